# SPDX-License-Identifier: Apache-2.0
"""Sources of small programs that call others: what test_clients.py runs."""

URLLIB = """
import sys, urllib.request, urllib.error
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for url in sys.argv[1:]:
    try: opener.open(url).read()
    except urllib.error.HTTPError as e: e.read()
"""

REQUESTS = """
import sys, requests
with requests.Session() as s:
    s.trust_env = False
    for url in sys.argv[1:]: s.get(url)
    s.post(sys.argv[1], data=b'x' * 5000)
    s.head(sys.argv[1])
"""

URLLIB3 = """
import sys, urllib3
pool = urllib3.PoolManager()
for url in sys.argv[1:]: pool.request('GET', url)
"""

HTTPX = """
import sys, httpx, asyncio
with httpx.Client(follow_redirects=True, trust_env=False) as c:
    for url in sys.argv[1:]: c.get(url)
async def more():
    async with httpx.AsyncClient(follow_redirects=True, trust_env=False) as c:
        await asyncio.gather(*(c.get(url) for url in sys.argv[1:]))
asyncio.run(more())
"""

AIOHTTP = """
import sys, aiohttp, asyncio
async def one(s, url):
    async with s.get(url) as answer: await answer.read()
async def main():
    async with aiohttp.ClientSession() as s:
        await asyncio.gather(*(one(s, url) for url in sys.argv[1:] * 3))
asyncio.run(main())
"""

NODE = """
const http = require('http'), agent = new http.Agent({keepAlive: true}), urls = process.argv.slice(2);
const get = url => new Promise(done => http.get(url, {agent}, a => { a.resume(); a.on('end', done); }));
(async () => {
  for (const url of urls) await get(url);
  await Promise.all(urls.map(get));
  if (typeof fetch == 'function') for (const url of urls) await (await fetch(url)).arrayBuffer();
  agent.destroy();
})();
"""

JAVA = """import java.io.*; import java.net.*; import java.net.http.*;
class Calls { public static void main(String[] urls) throws Exception {
  for (String url : urls) {
    HttpURLConnection c = (HttpURLConnection) new URL(url).openConnection();
    InputStream in = c.getResponseCode() < 400 ? c.getInputStream() : c.getErrorStream();
    in.readAllBytes(); in.close(); }
  HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).followRedirects(HttpClient.Redirect.ALWAYS).build();
  for (String url : urls)
    client.send(HttpRequest.newBuilder(URI.create(url)).build(), HttpResponse.BodyHandlers.ofByteArray());
} }"""

RUBY = """require 'net/http'
ARGV.each { |url| Net::HTTP.get_response(URI(url)) }
first = URI(ARGV[0])
Net::HTTP.start(first.host, first.port) { |h| ARGV.each { |url| h.get(URI(url).path) } }
"""

PERL = """use LWP::UserAgent; my $ua = LWP::UserAgent->new(keep_alive => 4); $ua->get($_) for @ARGV; $ua->post($ARGV[0], Content => 'x');"""

PHP = "<?php foreach (array_slice($argv, 1) as $url) @file_get_contents($url);"

PHP_CURL = "<?php $c = curl_init($argv[1]); curl_setopt($c, CURLOPT_RETURNTRANSFER, 1); exit(curl_exec($c) == 'ok' ? 0 : 1);"

NO_HOST = """
import socket, sys
def ask(s, times):
    for _ in range(times):
        s.sendall(b'GET /items/1 HTTP/1.1\\r\\n\\r\\n')
        answer = b''
        while not answer.endswith(b'ok'): answer += s.recv(1000)
ask(socket.create_connection((sys.argv[1], int(sys.argv[2]))), 3)
with socket.socket(socket.AF_UNIX) as s:
    s.connect(sys.argv[3])
    ask(s, 2)
"""

PIPELINE = """
import socket, sys
for how in ('whole', 'bytes', 'left'):
    with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as s:
        head = 'GET /items/%d HTTP/1.1\\r\\nHost: ' + '%s:%s\\r\\n\\r\\n' % tuple(sys.argv[1:])
        text = ''.join(head % i for i in range(5)).encode()
        if how == 'bytes':
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for b in text: s.sendall(bytes([b]))
        else:
            s.sendall(text)
        answer = b''
        while how != 'left' and answer.count(b'ok') < 5: answer += s.recv(100000)
        if how == 'left': # an answer that is never read is none
            import select
            select.select([s], [], [], 30)
"""

EYEBALLS = """
import errno, select, socket, sys
name, port, answers, refuses, silent = sys.argv[1], int(sys.argv[2]), *sys.argv[3:]
def looked_up():
    return {info[4][0] for info in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)}
assert looked_up() == {answers, refuses, silent}, looked_up()
def attempt(address):
    s = socket.socket()
    s.setblocking(False)
    assert s.connect_ex((address, port)) == errno.EINPROGRESS
    return s
def ended(s):
    select.select([], [s], [], 30)
    return s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
def ask(s):
    s.setblocking(True)
    s.sendall(f'GET /items/1 HTTP/1.1\\r\\nHost: {name}:{port}\\r\\n\\r\\n'.encode())
    while not s.recv(1000).endswith(b'ok'): pass
for _ in range(3): # one after the other, and side by side
    looked_up()
    assert ended(attempt(refuses)) == errno.ECONNREFUSED
    waiting, s = attempt(silent), attempt(answers)
    assert ended(s) == 0
    waiting.close()
    ask(s)
attempt(silent).close() # nobody answered
"""

HTTPS = """
import http.client, ssl, sys
host, port = sys.argv[1], int(sys.argv[2])
def ask(context):
    c = http.client.HTTPSConnection(host, port, timeout=60, context=context)
    try:
        c.request('GET', '/items/1')
        c.getresponse().read()
    except ssl.SSLError: pass
    c.close()
for _ in range(4): ask(ssl._create_unverified_context())
ask(ssl.create_default_context()) # who signed it?
"""

GIT = """
import http.server, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_): pass
    def log_request(self, code='-', size='-'):
        sys.stdout.write(f'{self.command} {int(code)}\\n'); sys.stdout.flush()
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""

ERRORS = """
import http.client, socket, sys, urllib.request
host, port = sys.argv[1], int(sys.argv[2])
def ask(path, timeout=30):
    c = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        c.request('GET', path)
        c.getresponse().read()
    except (OSError, http.client.HTTPException):
        pass
    c.close()
for path in sys.argv[3:]:
    if path.startswith('dns:'):
        try: socket.getaddrinfo(path[4:].rpartition(':')[0], path.rpartition(':')[2])
        except OSError: pass
    elif path.startswith('connect:'):
        try: socket.create_connection((path[8:].rpartition(':')[0], int(path.rpartition(':')[2])), 30).close()
        except OSError: pass
    else:
        ask(path, 0.3 if path == '/hang' else 30)
"""

AGAIN = """
import http.client, socket, sys
host, port = sys.argv[1], int(sys.argv[2])
def ask():
    c = http.client.HTTPConnection(host, port, timeout=30)
    try:
        c.request('GET', '/items/1')
        c.getresponse().read()
    except OSError: pass
    c.close()
ask()
print('asked', flush=True)
sys.stdin.readline()
for _ in range(3): ask()
s = socket.socket(); s.setblocking(False)
try: s.connect((host, port))
except BlockingIOError: pass
import select
select.select([], [s], [], 30)
s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
s.close()
"""
