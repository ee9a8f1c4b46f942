# SPDX-License-Identifier: Apache-2.0
# The pages of every test application, as a Rack application.
BIG = '0123456789abcdef' * 65_536
CHUNKS = ["first\n", "GET /fake HTTP/1.1\r\n\r\n", "HTTP/1.1 500 Fake\r\n\r\n", 'z' * 3000].freeze

def simple(path)
  return [200, "hello\n"] if ['/hello', '/', '/left', '/echo'].include?(path) || path.start_with?('/items/')

  { '/big.bin' => [200, BIG], '/nocontent' => [204, ''], '/notmodified' => [304, ''],
    '/error' => [500, "failed on purpose\n"], '/chunked' => nil }.fetch(path, [404, "no such page\n"])
end

run(lambda do |env|
  env['rack.input'].read
  found = simple(env['PATH_INFO'])
  next [200, { 'content-type' => 'text/plain' }, CHUNKS.each] if found.nil?

  status, body = found
  headers = [204, 304].include?(status) ? {} : { 'content-length' => body.bytesize.to_s, 'content-type' => 'text/plain' }
  [status, headers, [204, 304].include?(status) || env['REQUEST_METHOD'] == 'HEAD' ? [] : [body]]
end)
