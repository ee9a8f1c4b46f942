#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The exporter's own HTTP side with real clients: curl, openssl, Prometheus, systemd's socket activation, and sockets that
are slow on purpose. No program is observed here."""
import concurrent.futures
import os
import re
import select
import socket
import ssl
import subprocess
import time

import harness
import prom

PASSWORD = "correct horse"
HASH = "$2y$05$MAIL93rDU7UWpNFaGBqioOdcEPP3xXVFJ9fHUov56GYMzRnQuDQBa"
CLIENTS = {  # name: (subjectAltName, extendedKeyUsage)
    "server": ("DNS:localhost,IP:127.0.0.1", "serverAuth"),
    "dns": ("DNS:scraper.example", "clientAuth"),
    "uri": ("URI:spiffe://example/scraper", "clientAuth"),
    "address": ("IP:10.1.2.3,IP:fd00::1", "clientAuth"),
    "other": ("DNS:scraper.example.org", "clientAuth"),
    "purpose": ("DNS:scraper.example", "serverAuth"),
}


def openssl(*argv):
    subprocess.run([harness.which("openssl"), *map(str, argv)], check=True, capture_output=True)


def make_authority(test, name="ca"):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2, "-subj", f"/CN={name}",
            "-keyout", test.dir / f"{name}.key", "-out", test.dir / f"{name}.pem")


def make_certificate(test, name, names, purpose, ca="ca"):
    made = test.dir / name
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-keyout", f"{made}.key", "-out", f"{made}.csr")
    test.write(f"{name}.ext", f"subjectAltName={names}\nextendedKeyUsage={purpose}\n")
    openssl("x509", "-req", "-in", f"{made}.csr", "-CA", test.dir / f"{ca}.pem", "-CAkey", test.dir / f"{ca}.key", "-days", 2,
            "-set_serial", int.from_bytes(os.urandom(8), "big"), "-extfile", f"{made}.ext", "-out", f"{made}.pem")


def make_certificates(test, *names):
    make_authority(test)
    for name in ("server", *names):
        make_certificate(test, name, *CLIENTS[name])


TLS = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"


def ports_of(test, child):
    """Of the sockets that it said to listen on, once it has."""
    def found():
        if child.poll() is not None:
            raise AssertionError(f"it ended: {test.log_of(child)}")
        return re.findall(r"msg=listening address=(\S+) port=(\d+)", test.log_of(child))
    return [int(port) for _, port in harness.until(found, "the exporter listens", 60)]


def start(test, *flags, config=None):
    """An exporter on a free port of 127.0.0.1; returns it and its port."""
    if config is not None:
        test.write("web.yml", config)
        flags += ("--web.config.file", "web.yml")
    child = test.start([harness.BUILD / "tickbird-exporter", "--web.listen-address", "127.0.0.1:0", "--region.dir", test.region_dir,
                        "--storage.path", test.dir / "ledger", *flags], preload=False)
    return child, ports_of(test, child)[0]


def curl(test, *argv):
    """The status of each transfer, "000" where there was none."""
    done = subprocess.run([harness.which("curl"), "--silent", "--max-time", "60", "--output", "/dev/null", "--write-out", "%{http_code} ",
                           "--cacert", test.dir / "ca.pem", *map(str, argv)], capture_output=True, check=False, timeout=120)
    return done.stdout.decode().split()


def metric(test, port, name, **labels):
    with socket.create_connection(("127.0.0.1", port), 60) as s:
        s.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = read_all(s)
    return harness.Scrape(answer.partition(b"\r\n\r\n")[2].decode()).total(name, **labels)


def read_all(s):
    answer = b""
    while True:
        data = s.recv(1 << 20)
        if not data:
            return answer
        answer += data


def client_certificates_decide(test):
    make_certificates(test, *list(CLIENTS)[1:])
    make_authority(test, "strangers")
    make_certificate(test, "stranger", *CLIENTS["dns"], ca="strangers")
    sans = "  client_allowed_sans: [scraper.example, 'spiffe://example/scraper', 10.1.2.3]\n"
    ca = "  client_ca_file: ca.pem\n"
    everybody = ("dns", "uri", "address", "other", "purpose", "stranger", None)
    expected = {
        "RequireAndVerifyClientCert\n" + ca + sans: {"dns", "uri", "address"},
        "RequireAndVerifyClientCert\n" + ca: {"dns", "uri", "address", "other"},
        "VerifyClientCertIfGiven\n" + ca + sans: {"dns", "uri", "address", None},
        "RequireAnyClientCert\n": {"dns", "uri", "address", "other", "purpose", "stranger"},
        "RequestClientCert\n": set(everybody),
        "NoClientCert\n": set(everybody),
    }
    child, port = start(test, config=TLS)
    wrong = []
    for more, allowed in expected.items():
        test.write("web.yml", TLS + "  client_auth_type: " + more)  # read again with the next connection
        for version in ("1.2", "1.3"):
            for name in everybody:
                given = ["--cert", test.dir / f"{name}.pem", "--key", test.dir / f"{name}.key"] if name else []
                status = curl(test, f"--tlsv{version}", "--tls-max", version, *given, f"https://localhost:{port}/metrics")
                if status != (["200"] if name in allowed else ["000"]):
                    wrong.append(f"{more!r} TLS {version} {name}: {status}")
    harness.report(not wrong, "client_certificates_decide", "\n".join(wrong))
    test.stop(child)


def users_need_their_password(test):
    test.write("ca.pem", "")
    _, port = start(test, config=f"basic_auth_users:\n  scraper: {HASH}\nhttp_server_config:\n  headers: {{X-Frame-Options: deny}}\n")
    url, wrong = f"http://127.0.0.1:{port}", []

    def ask(path, *user):  # 429: a new password, while hashing has had its share of the time
        return harness.until(lambda: next((s for s in curl(test, *user, url + path) if s != "429"), None), "an answer")
    for path in ("/metrics", "/", "/-/healthy", "/nothing"):
        for user in (None, "scraper:wrong", "scraper:", "nobody:" + PASSWORD, "scraper:" + PASSWORD):
            status = ask(path, *(["--user", user] if user else []))
            if status != ("401" if user != "scraper:" + PASSWORD else "404" if path == "/nothing" else "200"):
                wrong.append(f"{path} {user}: {status}")
    head = subprocess.run([harness.which("curl"), "-si", url], capture_output=True, check=False, timeout=60).stdout.decode()
    if 'WWW-Authenticate: Basic realm="tickbird"' not in head or "X-Frame-Options: deny" not in head:
        wrong.append(head)
    harness.report(not wrong, "users_need_their_password", "\n".join(wrong))


def old_versions_are_refused(test):
    make_certificates(test)
    _, port = start(test, config=TLS)

    def shakes_hands(*flags):
        done = subprocess.run([harness.which("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", test.dir / "ca.pem",
                               "-verify_return_error", *flags], input=b"", capture_output=True, check=False, timeout=60)
        return b"Verify return code: 0" in done.stdout and done.returncode == 0
    found = {v: shakes_hands("-" + v, "-cipher", "DEFAULT@SECLEVEL=0") for v in ("tls1", "tls1_1", "tls1_2", "tls1_3")}
    found["without forward secrecy"] = shakes_hands("-tls1_2", "-cipher", "kRSA")
    found["in clear"] = curl(test, f"http://127.0.0.1:{port}/metrics") == ["200"]
    harness.report(found == {"tls1": False, "tls1_1": False, "tls1_2": True, "tls1_3": True, "without forward secrecy": False, "in clear": False},
                   "old_versions_are_refused", str(found))


def a_renewed_certificate_counts_at_once(test):
    make_certificates(test)
    child, port = start(test, config=TLS)
    context = ssl.create_default_context(cafile=test.dir / "ca.pem")

    def connect():
        return context.wrap_socket(socket.create_connection(("127.0.0.1", port), 60), server_hostname="localhost")

    def serves(s):
        s.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n")
        return s.recv(1000).startswith(b"HTTP/1.1 200 ")
    kept = connect()
    before, wrong = kept.getpeercert()["serialNumber"], []
    make_certificate(test, "server", *CLIENTS["server"])
    with connect() as second:
        if second.getpeercert()["serialNumber"] == before or not serves(second):
            wrong.append("the new certificate is not served")
        after = second.getpeercert()["serialNumber"]
    if not serves(kept):
        wrong.append("a connection of before was cut")
    test.write("server.pem", "half a certificate")
    with connect() as third:
        if third.getpeercert()["serialNumber"] != after or not serves(third):
            wrong.append("a broken file ended the certificate of before")
    if "web configuration not reloaded" not in test.log_of(child):
        wrong.append("the log says nothing of the broken file")
    kept.close()
    harness.report(not wrong, "a_renewed_certificate_counts_at_once", "\n".join(wrong))


def slow_senders_are_dropped_and_scrapes_go_on(test):
    child, port = start(test, "--web.max-connections", "150")
    slow = [socket.create_connection(("127.0.0.1", port), 60) for _ in range(300)]
    for s in slow:
        s.setblocking(False)
        s.send(b"GET /metrics HTTP/1.1\r\nX: ")
    began, scrapes, is_open = time.monotonic(), 0, set(slow)
    while is_open and time.monotonic() < began + 120:
        if metric(test, port, "tickbird_exporter_http_connections") > 151:
            break
        scrapes += 1
        for s in select.select(list(is_open), [], [], 0)[0]:
            try:
                gone = not s.recv(1000)
            except OSError:
                gone = True
            if gone:
                is_open.discard(s)
        for s in is_open:
            try:
                s.send(b"y")
            except OSError:
                pass
        select.select([], [], [], 0.5)
    refused = metric(test, port, "tickbird_exporter_http_refused_total")
    harness.report(not is_open and scrapes > 5 and child.poll() is None, "slow_senders_are_dropped_and_scrapes_go_on",
                   f"{len(is_open)} still open, {scrapes} scrapes meanwhile, {refused:g} refused")
    for s in slow:
        s.close()


def two_hundred_scrapes_at_once(test):
    child, port = start(test)

    def scrape(_):
        with socket.create_connection(("127.0.0.1", port), 60) as s:
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            head, _, body = read_all(s).partition(b"\r\n\r\n")
        status = int(head.split()[1])
        if status == 200 and b"\nprocess_cpu_seconds_total " not in body:
            raise AssertionError("a part of a scrape")
        return status
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        statuses = list(pool.map(scrape, range(200)))
    harness.report(set(statuses) <= {200, 503} and statuses.count(200) >= 40 and child.poll() is None, "two_hundred_scrapes_at_once",
                   f"{statuses.count(200)} answered, {statuses.count(503)} told to come again")


SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""


def fill(test, routes):
    """A server that has answered so many routes."""
    address = (test.ip, test.port())
    config = test.write("config.yml", "routes: {route: path}\n")
    child = test.start(["/usr/bin/python3", test.write("server.py", SERVER), *address], by_command=True, env={"TICKBIRD_CONFIG": str(config)})
    test.wait_for_port(address, child)
    with socket.create_connection(address, 60) as s, s.makefile("rb") as answers:
        for i in range(routes):
            name = "".join(chr(ord("a") + i // 26 ** k % 26) for k in range(3))
            s.sendall(f"GET /{name * 4} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            while answers.readline() not in (b"\r\n", b""):
                pass


def resident_bytes(child):
    with open(f"/proc/{child.pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def slow_readers_hold_little_and_give_way(test):
    fill(test, 2500)
    child, port = start(test, "--web.max-requests", "30")
    request = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

    def scrape():
        with socket.create_connection(("127.0.0.1", port), 60) as s:
            s.sendall(request)
            return read_all(s)
    size, before = len(scrape()), resident_bytes(child)
    slow = []
    for _ in range(50):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", port))
        s.sendall(request)
        slow.append(s)
    refused = harness.until(lambda: scrape().startswith(b"HTTP/1.1 503 "), "the limit is reached", 60)
    held = resident_bytes(child) - before
    harness.until(lambda: scrape().startswith(b"HTTP/1.1 200 "), "the slowest give way", 60)
    harness.report(refused and size > 2e6 and held < 30 * size / 3 and child.poll() is None, "slow_readers_hold_little_and_give_way",
                   f"a scrape has {size} bytes, 30 unread ones hold {held}")
    for s in slow:
        s.close()


def half_a_tls_handshake_is_dropped(test):
    make_certificates(test)
    _, port = start(test, config=TLS)
    began = time.monotonic()
    stalled = socket.create_connection(("127.0.0.1", port), 60)
    stalled.sendall(b"\x16\x03\x01\x02\x00\x01\x00")  # the beginning of a ClientHello
    try:
        closed = stalled.recv(100) == b""  # within the socket's 60 s
    except ConnectionResetError:
        closed = True
    took = time.monotonic() - began
    harness.report(closed and took > 5 and curl(test, f"https://localhost:{port}/metrics") == ["200"], "half_a_tls_handshake_is_dropped",
                   f"after {took:.1f} s")


def fifty_scrapes_on_one_tls_connection(test):
    make_certificates(test)
    _, port = start(test, config=TLS)
    done = subprocess.run([harness.which("curl"), "--silent", "--fail", "--max-time", "100", "--cacert", test.dir / "ca.pem", "--write-out",
                           "\n%{http_code} %{num_connects}\n", *[f"https://localhost:{port}/metrics"] * 50], capture_output=True, check=False,
                          timeout=120)
    answers = re.findall(r"^(\d{3}) (\d+)$", done.stdout.decode(), re.M)
    harness.report(answers == [("200", "1")] + [("200", "0")] * 49, "fifty_scrapes_on_one_tls_connection", str(answers[:3]))


def prometheus_scrapes_with_a_certificate_and_a_password(test):
    make_certificates(test, "dns")
    config = TLS + ("  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n  client_allowed_sans: [scraper.example]\n"
                    "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]\n"
                    f"http_server_config: {{http2: true}}\nbasic_auth_users:\n  scraper: {HASH}\n")
    _, port = start(test, config=config)
    plain = test.write("checked.yml", re.sub(".*client_allowed_sans.*\n", "", config))  # which an older promtool does not know
    said = subprocess.run([harness.which("promtool"), "check", "web-config", plain], capture_output=True, check=False, timeout=60)
    harness.report(said.returncode == 0, "promtool_accepts_the_same_web_configuration", (said.stdout + said.stderr).decode())
    prometheus = prom.Prometheus(test, ("localhost", port), f"""
  scheme: https
  tls_config: {{ca_file: {test.dir}/ca.pem, cert_file: {test.dir}/dns.pem, key_file: {test.dir}/dns.key}}
  basic_auth: {{username: scraper, password: {PASSWORD}}}
""")
    up = harness.until(lambda: prometheus.value("up") == 1 and prometheus.value("tickbird_exporter_scrapes_total{code='200'}"), "it is up", 60)
    harness.report(up > 0, "prometheus_scrapes_with_a_certificate_and_a_password", f"{up:g} scrapes")


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


def it_serves_on_every_address(test):
    ips = ["127.0.0.1", "127.0.0.2"] + (["::1"] if has_ipv6() else [])
    flags = ["--web.listen-address=" + (f"[{ip}]:0" if ":" in ip else f"{ip}:0") for ip in ips]
    child = test.start([harness.BUILD / "tickbird-exporter", *flags, "--region.dir", test.region_dir, "--storage.path",
                        test.dir / "ledger"], preload=False)
    harness.until(lambda: len(ports_of(test, child)) == len(ips), "it listens everywhere")
    found = []
    for ip, port in zip(ips, ports_of(test, child)):
        with socket.create_connection((ip, port), 60) as s:
            s.sendall(b"GET /-/healthy HTTP/1.0\r\n\r\n")
            found.append(read_all(s)[:12])
    harness.report(len(found) == len(ips) and all(f.endswith(b" 200") for f in found), "it_serves_on_every_address", f"{ips} {found}")


def systemd_hands_over_its_sockets(test):
    activate, port, path = harness.which("systemd-socket-activate"), test.port(), test.dir / "socket"
    child = test.start([activate, "-l", f"{test.ip}:{port}", "-l", path, harness.BUILD / "tickbird-exporter", "--web.systemd-socket",
                        "--region.dir", test.region_dir, "--storage.path", test.dir / "ledger"], preload=False)
    test.wait_for_port((test.ip, port), child)
    test.write("ca.pem", "")
    found = curl(test, f"http://{test.ip}:{port}/metrics") + curl(test, "--unix-socket", path, "http://localhost/metrics")
    lone = subprocess.run([harness.BUILD / "tickbird-exporter", "--web.systemd-socket", "--region.dir", test.region_dir, "--storage.path",
                           test.dir / "ledger2"], capture_output=True, check=False, timeout=60)
    harness.report(found == ["200", "200"] and lone.returncode == 1 and b"LISTEN_FDS" in lone.stderr, "systemd_hands_over_its_sockets",
                   f"{found} {lone}")


harness.main_special({f.__name__: f for f in (
    client_certificates_decide, users_need_their_password, old_versions_are_refused, a_renewed_certificate_counts_at_once,
    slow_senders_are_dropped_and_scrapes_go_on, two_hundred_scrapes_at_once, slow_readers_hold_little_and_give_way, half_a_tls_handshake_is_dropped, fifty_scrapes_on_one_tls_connection,
    prometheus_scrapes_with_a_certificate_and_a_password, it_serves_on_every_address, systemd_hands_over_its_sockets)})
