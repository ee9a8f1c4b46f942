# SPDX-License-Identifier: Apache-2.0
# The pages of every test application, on WEBrick. Arguments: address, port.
require 'webrick'

BIG = '0123456789abcdef' * 65_536
PAGES = { '/hello' => [200, "hello\n"], '/' => [200, "hello\n"], '/left' => [200, "hello\n"], '/echo' => [200, "hello\n"],
          '/big.bin' => [200, BIG], '/nocontent' => [204, nil], '/notmodified' => [304, nil],
          '/error' => [500, "failed on purpose\n"] }.freeze

# One answer for every path and method that the pages know.
class Pages < WEBrick::HTTPServlet::AbstractServlet
  def do_GET(request, response)
    page = PAGES[request.path] || (request.path.start_with?('/items/') ? [200, "hello\n"] : [404, "no such page\n"])
    response.status, response.body = page
    response['Content-Type'] = 'text/plain'
  end

  def do_POST(request, response)
    request.body
    do_GET(request, response)
  end
end

server = WEBrick::HTTPServer.new(BindAddress: ARGV[0], Port: ARGV[1].to_i, RequestTimeout: 60, MaxClients: 200,
                                 Logger: WEBrick::Log.new(File::NULL), AccessLog: [])
server.mount('/', Pages)
trap('TERM') { server.shutdown }
server.start
