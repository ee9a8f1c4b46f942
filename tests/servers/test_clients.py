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
import call_sources  # pylint: disable=wrong-import-position
import tally_server  # pylint: disable=wrong-import-position

PATHS = ("/items/1", "/items/22", "/missing", "/error", "/chunked", "/big", "/hop")


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
        harness.until(lambda: served() == found, name)
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
    call(test, "php_curl", [path, test.write("calls.php", call_sources.PHP_CURL), f"http://{server.base}/items/1"])
    harness.report(not counted(test, "php_curl"), "calls_of_a_module_bound_deeply_are_not_seen")
    server.stop()


def without_a_host(test):
    """A request that names nobody is for its peer; one to a Unix socket for the socket's name."""
    server, unix = tally_server.Tally((test.ip, 0)), tally_server.Tally(None, str(test.dir / "s"))
    test.start_exporter()
    call(test, "no_host", [sites.PYTHON, test.write("no_host.py", call_sources.NO_HOST), test.ip, server.server_address[1], test.dir / "s"])
    found = {key[0]: count for key, count in counted(test, "no_host").items()}
    expected = {server.base: 3, unix.base: 2}
    harness.report(found == expected, "calls_without_a_host_have_their_peer_as_target", f"{found}, expected {expected}")
    server.stop(), unix.stop()


def pipelines(test):
    server = tally_server.Tally((test.ip, 0))
    test.start_exporter()
    call(test, "pipeline", [sites.PYTHON, test.write("pipeline.py", call_sources.PIPELINE), test.ip, server.server_address[1]])
    found = counted(test, "pipeline")
    expected = {(server.base, "GET", "/items/:id", "200"): 10}
    harness.report(found == expected, "pipelined_calls_are_counted_once_each", f"{found}")
    harness.report(errors(test, "pipeline") == {(server.base, "timeout"): 5}, "answers_never_read_are_none", f"{errors(test, 'pipeline')}")
    server.stop()


def short_lived(test):
    """Programs that make one call each, as from cron, side by side: all counted, and no more regions than ran at once."""
    curl = harness.which("curl")
    server = tally_server.Tally((test.ip, 0))
    test.start_exporter()
    for _ in range(10):
        running = [subprocess.Popen([curl, "-s", "-o/dev/null", "--noproxy", "*", f"http://{server.base}/items/{i}"], env=test.env("cron"))
                   for i in range(3)]
        for child in running:
            child.wait(60)
    equal(test, "calls_of_short_lived_programs_are_counted", "cron", server)
    regions = [p.name for p in test.region_dir.glob("tb1-*")]
    harness.report(len(regions) <= 3, "short_lived_programs_leave_no_region_each", str(regions))
    server.stop()


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
        call(test, "eyeballs", [sites.PYTHON, test.write("eyeballs.py", call_sources.EYEBALLS), "three.example", port, test.ip, refuses, silent], env=env)
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
        harness.until(lambda: sum(proxy.asked.values()) == 3 and secure.counts, "all is counted")
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


def https(test):
    """Handshakes, and one that fails. What need not be HTTP is not counted: that it is, the first request says."""
    key, crt = certificate(test)
    server = tally_server.Tally((test.ip, 0), tls=(crt, key))
    test.start_exporter()
    call(test, "https", [sites.PYTHON, test.write("https_calls.py", call_sources.HTTPS), test.ip, server.server_address[1]])
    equal(test, "calls_through_tls_are_counted", "https", server)
    found = errors(test, "https")
    harness.report(found == {(server.base, "tls"): 1}, "a_failed_handshake_is_an_error", str(found))
    scrape = test.scrape()
    times = [scrape.total(f"http_client_{what}_duration_seconds_count", service="https", target=server.base) for what in ("tls_handshake", "connect")]
    harness.report(times == [3, 4], "handshakes_of_a_known_target_are_timed", f"{times}, expected 3 handshakes and 4 connects")
    server.stop()


def git(test):
    """A clone over plain HTTP, from files: the server's own lines are the truth."""
    path = harness.which("git")
    made = {"HOME": str(test.dir), "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}
    words = ["-c", "user.name=x", "-c", "user.email=x@x", "-c", "init.defaultBranch=main"]
    for argv in (["init", "-q", "r"], ["-C", "r", "commit", "-q", "--allow-empty", "-m", "x"], ["clone", "-q", "--bare", "r", "r.git"],
                 ["-C", "r.git", "update-server-info"]):
        subprocess.run([path, *words, *argv], check=True, cwd=test.dir, env=made | {"PATH": "/usr/bin:/bin"}, capture_output=True)
    address = (test.ip, test.port())
    server = test.start([sites.PYTHON, test.write("files.py", call_sources.GIT), *address], preload=False)
    test.wait_for_port(address, server)
    test.start_exporter()
    call(test, "git", [path, "clone", "-q", "http://%s:%d/r.git" % address, "copy"], env=made)
    logged = collections.Counter(tuple(line.split()) for line in open(server.log, encoding="utf-8") if line.startswith("GET"))
    found = collections.Counter()
    for (target, method, _, code), count in counted(test, "git").items():
        found[(method, code)] += count if target == "%s:%d" % address else 0
    harness.report(found == logged and bool(found), "git_counts_equal_the_servers_log", harness.difference(logged, found))


def reasons(test):
    """What goes wrong on a connection, and before there is one."""
    server, test.service = tally_server.Tally((test.ip, 0)), "wrong"
    test.start_exporter()
    with socket.socket() as nobody:
        nobody.bind((test.ip, 0))  # and never listens: whoever comes is refused
        refused = nobody.getsockname()[1]
        call(test, "wrong", [sites.PYTHON, test.write("wrong.py", call_sources.ERRORS), test.ip, server.server_address[1], "/items/1", "/close", "/close",
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


def refused_after_success(test):
    """A target that answered before is known: who refuses later is down, on whatever port."""
    server = tally_server.Tally((test.ip, 0))
    test.start_exporter()
    child = subprocess.Popen([sites.PYTHON, test.write("again.py", call_sources.AGAIN), test.ip, str(server.server_address[1])], env=test.env("again"),
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
        ("urllib", call_sources.URLLIB, ()), ("requests", call_sources.REQUESTS, ("requests",)), ("urllib3", call_sources.URLLIB3, ("urllib3",)), ("httpx", call_sources.HTTPX, ("httpx",)),
        ("aiohttp", call_sources.AIOHTTP, ("aiohttp",)))}
    harness.main_special({
        "curl": client_of("curl", "curl", "-sL", "-o/dev/null", "--noproxy", "*"),
        "wget": client_of("wget", "wget", "-q", "-O/dev/null", "-t1", "--no-proxy"),
        **python,
        "node": client_of("node", "node", ("calls.js", call_sources.NODE)),
        "java": client_of("java", "java", ("Calls.java", call_sources.JAVA)),
        "ruby": client_of("ruby", "ruby", ("calls.rb", call_sources.RUBY)),
        "perl": client_of("perl", "perl", ("calls.pl", call_sources.PERL)),
        "php": client_of("php", "php", ("calls.php", call_sources.PHP)),
        "php_curl": php_curl,
        "git": git,
        "https": https,
        "through_a_proxy": through_a_proxy,
        "without_a_host": without_a_host,
        "pipelines": pipelines,
        "happy_eyeballs": happy_eyeballs,
        "short_lived": short_lived,
        "reasons": reasons,
        "refused_after_success": refused_after_success,
    })


main()
