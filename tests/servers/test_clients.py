#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Programs that call others. Every count of answers equals what the server that was called has counted itself, by target, method,
route and status; every call without an answer has its reason."""
import collections
import http.server
import pathlib
import select
import socket
import socketserver
import subprocess
import sys
import threading

import harness
import sites

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "apps"))
import tally_server  # pylint: disable=wrong-import-position

PATHS = ("/items/1", "/items/22", "/missing", "/error", "/chunked", "/big", "/hop")

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


def counted(test, service):
    """(target, method, route, status) -> count"""
    out = collections.Counter()
    for labels, value in test.scrape().values("http_client_requests_total", service=service):
        if value:
            out[tuple(labels[k] for k in ("target", "method", "route", "status"))] += int(value)
    return out


def errors(test, service):
    return {(labels["target"], labels["reason"]): int(value)
            for labels, value in test.scrape().values("http_client_errors_total", service=service)}


def equal(test, name, service, *servers):
    """The client has ended, so all is counted; a server's thread may yet have to note what it sent."""
    def served():
        return sum((s.counts for s in servers), collections.Counter())
    found = counted(test, service)
    try:
        harness.until(lambda: served() == found, name, 5)
    except AssertionError:
        pass
    expected = served()
    wrong = harness.difference(expected, found).replace("client", "server")
    harness.report(not wrong and bool(expected), name, wrong or f"{sum(expected.values())} calls")


def call(test, name, argv, env=None, ok=(0,), timeout=60):
    """Runs a client to its end, as service @name."""
    result = subprocess.run([str(a) for a in argv], env=test.env(name) | {"no_proxy": "*"} | (env or {}), stdin=subprocess.DEVNULL,
                            capture_output=True, timeout=timeout, check=False, cwd=test.dir)
    if result.returncode not in ok:
        harness.report(False, f"{name}_runs", f"{result.returncode}: {(result.stderr + result.stdout).decode()[-2000:]}")
    return result


def client_of(name, program, *words, packages=()):
    """A test: @words with the URLs behind them, run under @program."""
    def one(test):
        path = harness.which(program) if program else sites.PYTHON
        for package in packages:
            if subprocess.run([path, "-c", f"import {package}"], capture_output=True, check=False).returncode:
                raise harness.Missing(f"{package} is not installed")
        server, other = tally_server.Tally((test.ip, 0)), tally_server.Tally((test.ip, 0))
        server.hop = other.hop
        test.start_exporter()
        argv = [w if not isinstance(w, tuple) else test.write(*w) for w in words]
        call(test, name, [path, *argv, *(f"http://{server.base}{p}" for p in PATHS)], ok=(0, 8, 22))
        equal(test, f"{name}_counts_equal_the_server", name, server, other)
        server.stop(), other.stop()
    return one


def php_curl(test):
    """PHP loads its modules with RTLD_DEEPBIND: what libcurl calls is bound past every preloaded object (docs/limits.md)."""
    path = harness.which("php")
    if b"curl" not in subprocess.run([path, "-m"], capture_output=True, check=False).stdout:
        raise harness.Missing("php-curl is not installed")
    server = tally_server.Tally((test.ip, 0))
    test.start_exporter()
    call(test, "php_curl", [path, test.write("calls.php", PHP_CURL), f"http://{server.base}/items/1"])
    harness.report(not counted(test, "php_curl"), "calls_of_a_module_bound_deeply_are_not_seen")
    server.stop()


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


def without_a_host(test):
    """A request that names nobody is for its peer; one to a Unix socket for the socket's name."""
    server, unix = tally_server.Tally((test.ip, 0)), tally_server.Tally(None, str(test.dir / "s"))
    test.start_exporter()
    call(test, "no_host", [sites.PYTHON, test.write("no_host.py", NO_HOST), test.ip, server.server_address[1], test.dir / "s"])
    found = {key[0]: count for key, count in counted(test, "no_host").items()}
    expected = {server.base: 3, unix.base: 2}
    harness.report(found == expected, "calls_without_a_host_have_their_peer_as_target", f"{found}, expected {expected}")
    server.stop(), unix.stop()


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


def pipelines(test):
    server = tally_server.Tally((test.ip, 0))
    test.start_exporter()
    call(test, "pipeline", [sites.PYTHON, test.write("pipeline.py", PIPELINE), test.ip, server.server_address[1]])
    found = counted(test, "pipeline")
    expected = {(server.base, "GET", "/items/:id", "200"): 10}
    harness.report(found == expected, "pipelined_calls_are_counted_once_each", f"{found}")
    harness.report(errors(test, "pipeline") == {(server.base, "timeout"): 5}, "answers_never_read_are_none", f"{errors(test, 'pipeline')}")
    server.stop()


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


def happy_eyeballs(test):
    """Of a name's three addresses one refuses, one never answers, the third does: no error, until it is asked no more."""
    wrapper = next((p for p in ("/usr/lib/x86_64-linux-gnu/libnss_wrapper.so", "/usr/lib/aarch64-linux-gnu/libnss_wrapper.so")
                    if pathlib.Path(p).exists()), None)
    if not wrapper:
        raise harness.Missing("libnss_wrapper.so is not installed")
    server = tally_server.Tally((test.ip, 0))
    port, first = server.server_address[1], test.ip.rpartition(".")[0]
    refuses, silent = (f"{first}.{(int(test.ip.rpartition('.')[2]) + i) % 255}" for i in (1, 2))
    hosts = test.write("hosts", "".join(f"{ip} three.example\n" for ip in (test.ip, refuses, silent)))
    env = {"LD_PRELOAD": f"{harness.OBJECT}:{wrapper}", "NSS_WRAPPER_HOSTS": str(hosts)}
    test.start_exporter()
    with socket.socket() as full:
        full.bind((silent, port))
        full.listen(0)
        queue = []
        while len(queue) < 3:  # who comes now is neither answered nor refused
            queue.append(socket.socket())
            queue[-1].setblocking(False)
            queue[-1].connect_ex((silent, port))
        call(test, "eyeballs", [sites.PYTHON, test.write("eyeballs.py", EYEBALLS), "three.example", port, test.ip, refuses, silent], env=env)
    target = f"three.example:{port}"
    harness.report(counted(test, "eyeballs") == {(target, "GET", "/items/:id", "200"): 3}, "calls_to_another_address_are_counted",
                   str(counted(test, "eyeballs")))
    found = errors(test, "eyeballs")
    harness.report(found == {(target, "timeout"): 1}, "only_attempts_that_none_wins_are_errors", str(found))
    server.stop()


class Forward(socketserver.ThreadingTCPServer):
    """A forward proxy: absolute targets and CONNECT; counts what it was asked for."""
    daemon_threads = True

    def __init__(self, ip):
        self.asked = collections.Counter()
        super().__init__((ip, 0), ForwardHandler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


class ForwardHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        authority = self.path.split("/")[2]
        with socket.create_connection(authority.split(":"), 60) as behind:
            behind.sendall(f"GET /items/1 HTTP/1.0\r\nHost: {authority}\r\n\r\n".encode())
            while behind.recv(65536):
                pass
        self.send_response(203)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
        self.server.asked[(authority, "GET", "203")] += 1

    def do_CONNECT(self):
        with socket.create_connection(self.path.split(":"), 60) as behind:
            self.send_response(200)
            self.end_headers()
            self.server.asked[(self.path, "CONNECT", "200")] += 1
            ends = {self.connection: behind, behind: self.connection}
            while True:
                for end in select.select(list(ends), [], [], 60)[0]:
                    data = end.recv(65536)
                    if not data:
                        self.close_connection = True
                        return
                    ends[end].sendall(data)

    def log_message(self, *_):
        pass


def through_a_proxy(test):
    """Whoever asks a proxy is after the server behind it: an absolute target, and a CONNECT with TLS inside."""
    key, crt = certificate(test)
    server, secure, proxy = tally_server.Tally((test.ip, 0)), tally_server.Tally((test.ip, 0), tls=(crt, key)), Forward(test.ip)
    test.start_exporter()
    through = ["curl", "-sk", "--noproxy", "", "-o/dev/null", "-x", "http://%s:%d" % proxy.server_address]
    for url in (f"http://{server.base}/items/1", f"http://{server.base}/items/2", f"https://{secure.base}/items/3"):
        call(test, "through", [*through, url])
    try:
        harness.until(lambda: sum(proxy.asked.values()) == 3 and secure.counts, "all is counted", 5)
    except AssertionError:
        pass
    found = collections.Counter()
    for (target, method, _, code), count in counted(test, "through").items():
        found[(target, method, code)] += count
    expected = proxy.asked + collections.Counter({(t, m, c): n for (t, m, _, c), n in secure.counts.items()})
    harness.report(found == expected and len(expected) == 3, "a_proxys_clients_call_the_server_behind_it", harness.difference(expected, found))
    server.stop(), secure.stop(), proxy.shutdown(), proxy.server_close()


def certificate(test):
    """A key and a certificate that nobody trusts."""
    key, crt = test.dir / "key.pem", test.dir / "crt.pem"
    subprocess.run([harness.which("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", crt, "-days", "2",
                    "-subj", "/CN=x"], check=True, capture_output=True)
    return key, crt


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


def https(test):
    """Handshakes, and one that fails. What need not be HTTP is not counted: that it is, the first request says."""
    key, crt = certificate(test)
    server = tally_server.Tally((test.ip, 0), tls=(crt, key))
    test.start_exporter()
    call(test, "https", [sites.PYTHON, test.write("https_calls.py", HTTPS), test.ip, server.server_address[1]])
    equal(test, "calls_through_tls_are_counted", "https", server)
    found = errors(test, "https")
    harness.report(found == {(server.base, "tls"): 1}, "a_failed_handshake_is_an_error", str(found))
    scrape = test.scrape()
    times = [scrape.total(f"http_client_{what}_duration_seconds_count", service="https", target=server.base) for what in ("tls_handshake", "connect")]
    harness.report(times == [3, 4], "handshakes_of_a_known_target_are_timed", f"{times}, expected 3 handshakes and 4 connects")
    server.stop()


GIT = """
import http.server, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_): pass
    def log_request(self, code='-', size='-'):
        sys.stdout.write(f'{self.command} {int(code)}\\n'); sys.stdout.flush()
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""


def git(test):
    """A clone over plain HTTP, from files: the server's own lines are the truth."""
    path = harness.which("git")
    made = {"HOME": str(test.dir), "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}
    words = ["-c", "user.name=x", "-c", "user.email=x@x", "-c", "init.defaultBranch=main"]
    for argv in (["init", "-q", "r"], ["-C", "r", "commit", "-q", "--allow-empty", "-m", "x"], ["clone", "-q", "--bare", "r", "r.git"],
                 ["-C", "r.git", "update-server-info"]):
        subprocess.run([path, *words, *argv], check=True, cwd=test.dir, env=made | {"PATH": "/usr/bin:/bin"}, capture_output=True)
    address = (test.ip, test.port())
    server = test.start([sites.PYTHON, test.write("files.py", GIT), *address], preload=False)
    test.wait_for_port(address, server)
    test.start_exporter()
    call(test, "git", [path, "clone", "-q", "http://%s:%d/r.git" % address, "copy"], env=made)
    logged = collections.Counter(tuple(line.split()) for line in open(server.log, encoding="utf-8") if line.startswith("GET"))
    found = collections.Counter()
    for (target, method, _, code), count in counted(test, "git").items():
        found[(method, code)] += count if target == "%s:%d" % address else 0
    harness.report(found == logged and bool(found), "git_counts_equal_the_servers_log", harness.difference(logged, found))


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


def reasons(test):
    """What goes wrong on a connection, and before there is one."""
    server, test.service = tally_server.Tally((test.ip, 0)), "wrong"
    test.start_exporter()
    with socket.socket() as nobody:
        nobody.bind((test.ip, 0))  # and never listens: whoever comes is refused
        refused = nobody.getsockname()[1]
        call(test, "wrong", [sites.PYTHON, test.write("wrong.py", ERRORS), test.ip, server.server_address[1], "/items/1", "/close", "/close",
                             "/reset", "/hang", "/garbage", "/items/2", "dns:no-such-name.invalid:80", "dns:no-such-database.invalid:5432",
                             f"connect:{test.ip}:{refused}"])
    equal(test, "answers_among_failures_are_counted", "wrong", server)
    found, expected = errors(test, "wrong"), {(server.base, "closed"): 2, (server.base, "reset"): 1, (server.base, "timeout"): 1,
                                              (server.base, "protocol"): 1, ("no-such-name.invalid", "dns"): 1}
    harness.report(found == expected, "each_call_without_an_answer_has_its_reason", "" if found == expected else f"{found}, expected {expected}")
    connects = test.scrape().total("http_client_connect_duration_seconds_count", service="wrong", target=server.base)
    harness.report(connects == 6, "the_time_to_connect_is_counted_once_a_connection", f"{connects:g}, of 6 after the first")
    up = {labels["target"]: value for labels, value in test.scrape().values("dependency_up", service="wrong")}
    harness.report(up == {server.base: 1, "no-such-name.invalid": 0}, "up_is_what_answered_last", str(up))
    server.stop()


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


def refused_after_success(test):
    """A target that answered before is known: who refuses later is down, on whatever port."""
    server = tally_server.Tally((test.ip, 0))
    test.start_exporter()
    child = subprocess.Popen([sites.PYTHON, test.write("again.py", AGAIN), test.ip, str(server.server_address[1])], env=test.env("again"),
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    test.processes.append(child)
    child.stdout.readline()
    server.stop()
    child.communicate(b"\n", 60)
    found, expected = errors(test, "again"), {(server.base, "refused"): 4}
    harness.report(found == expected, "refusals_of_a_known_target_are_counted", "" if found == expected else f"{found}, expected {expected}")
    up = test.scrape().values("dependency_up", service="again")
    harness.report([value for _, value in up] == [0], "a_target_that_refuses_is_down", str(up))


def main():
    python = {name: client_of(name, None, (f"calls_{name}.py", text), packages=packages) for name, text, packages in (
        ("urllib", URLLIB, ()), ("requests", REQUESTS, ("requests",)), ("urllib3", URLLIB3, ("urllib3",)), ("httpx", HTTPX, ("httpx",)),
        ("aiohttp", AIOHTTP, ("aiohttp",)))}
    harness.main_special({
        "curl": client_of("curl", "curl", "-sL", "-o/dev/null", "--noproxy", "*"),
        "wget": client_of("wget", "wget", "-q", "-O/dev/null", "-t1", "--no-proxy"),
        **python,
        "node": client_of("node", "node", ("calls.js", NODE)),
        "java": client_of("java", "java", ("Calls.java", JAVA)),
        "ruby": client_of("ruby", "ruby", ("calls.rb", RUBY)),
        "perl": client_of("perl", "perl", ("calls.pl", PERL)),
        "php": client_of("php", "php", ("calls.php", PHP)),
        "php_curl": php_curl,
        "git": git,
        "https": https,
        "through_a_proxy": through_a_proxy,
        "without_a_host": without_a_host,
        "pipelines": pipelines,
        "happy_eyeballs": happy_eyeballs,
        "reasons": reasons,
        "refused_after_success": refused_after_success,
    })


main()
