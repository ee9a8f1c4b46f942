#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What random traffic does not reach: durations, hung and killed servers, bodies over 4 GiB, 10,000 connections, tunnels,
and programs that never serve."""
import os
import resource
import select
import signal
import socket
import subprocess
import threading
import time

import client
import harness
import servers
import sites

GIB = 1 << 30


def check(name, wrong):
    harness.report(not wrong, name, "\n".join(wrong) if isinstance(wrong, list) else str(wrong or ""))


def compare(test, record, name):
    expected = +record.counts
    found = test.settled(test.service, sum(expected.values())).counts(test.service)
    wrong = harness.difference(expected, found)
    harness.report(not wrong, name, wrong)


def seconds_of(scrape, test, route, family="http_request_duration_seconds"):
    """(sum, count) of a route."""
    return tuple(scrape.total(f"{family}_{part}", service=test.service, route=route) for part in ("sum", "count"))


def python_server(test):
    address = (test.ip, test.port())
    child = test.start([sites.PYTHON, sites.APPS / "http_server.py", *address, "HTTP/1.1"])
    test.wait_for_port(address, child)
    return address


# --- durations


def durations(test):
    """Each against what the client's clock allows: never longer than the client waited, never shorter than what was forced."""
    address = python_server(test)
    test.start_exporter()
    record = test.record

    def timed(requests, pause_at=None, pause=0.0):
        """Sends all of @requests' bytes (with a pause at an offset), reads as many answers. Returns the seconds it took, at the end
        of which the server is known to be done with them: it has answered one more."""
        conn = client.Conn(address)
        data = b"".join(r[2] for r in requests)
        began = time.monotonic()
        if pause_at is None:
            conn.send(data)
        else:
            conn.send(data[:pause_at])
            # from here on the server is known to have read: a pause that began before could be partly unseen
            harness.until(lambda: test.scrape().total("http_requests_in_flight", service=test.service) == 1, "one in flight")
            select.select([], [], [], pause)  # the slow client is what is measured
            conn.send(data[pause_at:])
        for method, route, _ in requests:
            record.add(method, route, conn.response(method).status)
        conn.send(client.request("GET", "/missing", "localhost"))
        record.add("GET", "_unmatched", conn.response("GET").status)
        took = time.monotonic() - began
        conn.close()
        return took

    get_slow = ("GET", "/slow", client.request("GET", "/slow", "localhost"))
    took = timed([get_slow])
    upload = ("POST", "/echo", client.request("POST", "/echo", "localhost", ["Content-Length: 5000"], b"u" * 5000))
    took_upload = timed([upload], len(upload[2]) - 2000, 0.3)
    # the second request waits behind the first from the moment that its bytes were read
    get_hello = ("GET", "/hello", client.request("GET", "/hello", "localhost"))
    took_behind = timed([get_slow, get_hello])
    scrape = test.settled(test.service, sum(record.counts.values()))

    # a busy server reads the first part of the upload late: half of the pause is the least that it can have seen
    wrong = []
    for route, low, high, count in (("/slow", 2 * 0.32, took + took_behind, 2), ("/echo", 0.3 / 2, took_upload, 1), ("/hello", 0.32, took_behind, 1)):
        total, found = seconds_of(scrape, test, route)
        if found != count or not low <= total <= high:
            wrong.append(f"{route}: {total:.4f} s in {found:g} requests, expected {count} and {low:.4f} to {high:.4f} s")
    total, _ = seconds_of(scrape, test, "/slow", "http_request_first_byte_seconds")
    if not 2 * 0.32 <= total <= took + took_behind:
        wrong.append(f"first byte of /slow: {total:.4f} s")
    check("durations_of_sleep_upload_and_pipelining", wrong)
    compare(test, record, "durations_counts")


def slow_reader(test):
    """The duration of a sendfile body runs until its last byte is handed to the kernel; the first byte comes early."""
    site = servers.nginx_static(test)
    with open(test.dir / "www" / "huge.bin", "wb") as f:
        f.truncate(64 << 20)
    os.chmod(test.dir / "www" / "huge.bin", 0o644)
    test.start_exporter()
    conn = client.Conn(site.address, receive_buffer=65536)
    began = time.monotonic()
    conn.send(client.request("GET", "/huge.bin", "localhost"))
    response = conn.final_head("GET")
    while len(conn.buffer) < 1 << 20:  # more than one call of the server sends: the first has returned
        conn.fill()
    known = time.monotonic()
    select.select([], [], [], 0.4)  # the slow reader is what is measured
    waited = time.monotonic() - known
    conn.body("GET", response)
    conn.send(client.request("GET", "/none", "localhost"))
    conn.response("GET")  # it is done with what was before
    took = time.monotonic() - began
    conn.close()
    scrape = test.settled(test.service, 2)
    total, count = seconds_of(scrape, test, "/huge.bin")
    first, _ = seconds_of(scrape, test, "/huge.bin", "http_request_first_byte_seconds")
    is_right = response.is_complete and count == 1 and first + waited <= total <= took and first <= known - began
    check("slow_reader_of_a_large_file", "" if is_right else f"{total:.4f} s, first byte {first:.4f} s, client {took:.4f} s, count {count:g}")


# --- sizes and numbers


def bodies_over_4_gib(test):
    """Down by sendfile and up by length; the request behind each on the same connection proves that the framing held."""
    size = 4 * GIB + 12345
    site = servers.nginx_static(test)
    with open(test.dir / "www" / "huge.bin", "wb") as f:
        f.truncate(size)
    os.chmod(test.dir / "www" / "huge.bin", 0o644)
    (test.dir / "sites" / "site").write_text((test.dir / "sites" / "site").read_text().replace(
        "location = /error", "location = /sink { client_max_body_size 0; return 200; }\n location = /error"))
    test.stop(test.processes[-1], signal.SIGQUIT)
    child = test.start([harness.which("nginx"), "-c", test.dir / "nginx.conf"])
    test.wait_for_port(site.address, child)
    test.start_exporter()

    conn = client.Conn(site.address, timeout=120)
    conn.send(client.request("GET", "/huge.bin", "localhost") + client.request("GET", "/hello", "localhost"))
    head = conn.final_head("GET")
    left, buffer = size - len(conn.buffer), bytearray(4 << 20)
    conn.buffer = b""
    while left > 0:
        got = conn.sock.recv_into(buffer, min(len(buffer), left))
        assert got, "the connection ended in the body"
        left -= got
    test.record.add("GET", "/huge.bin", head.status)
    test.record.add("GET", "/hello", conn.response("GET").status)

    conn.send(client.request("POST", "/sink", "localhost", [f"Content-Length: {size}"]))
    block, left = b"GET /fake HTTP/1.1\r\n\r\n" * 100000, size
    while left > 0:
        conn.send(block[:left])
        left -= min(left, len(block))
    test.record.add("POST", "/sink", conn.response("POST").status)
    conn.send(client.request("GET", "/items/7", "localhost"))
    test.record.add("GET", "/items/:id", conn.response("GET").status)
    conn.close()
    compare(test, test.record, "bodies_over_4_gib_counts")


def connections_10000(test):
    """10,000 connections open at once over nginx's two workers, each with a request before and after the others."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(10000, hard - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    site = servers.nginx_static(test)
    text = (test.dir / "nginx.conf").read_text().replace("worker_connections 768;", "worker_connections 10100;")
    (test.dir / "nginx.conf").write_text(f"worker_rlimit_nofile {hard};\n" + text)
    test.stop(test.processes[-1], signal.SIGQUIT)
    child = test.start([harness.which("nginx"), "-c", test.dir / "nginx.conf"])
    test.wait_for_port(site.address, child)
    test.start_exporter()
    conns = []
    for number in range(count):
        conn = client.Conn(site.address)
        conns.append(conn)
        if number % 2:  # every other one is silent until all are open
            conn.send(client.request("GET", "/hello", "localhost"))
            test.record.add("GET", "/hello", conn.response("GET").status)
    for conn in conns:
        conn.send(client.request("GET", f"/items/{'7' if id(conn) % 2 else '4242'}", "localhost"))
    for conn in conns:
        test.record.add("GET", "/items/:id", conn.response("GET").status)
        conn.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    print(f"# {count} connections at once")
    compare(test, test.record, "connections_10000_counts")


# --- tunnels


def tunnels(test):
    """101 and CONNECT end the HTTP of a connection: what looks like HTTP behind them is not counted."""
    site = servers.SET_UPS["node"](test)
    test.start_exporter()
    for _ in range(20):
        for head, method, route, status in (
                (client.request("GET", "/ws", "localhost", ["Connection: Upgrade", "Upgrade: echo"]), "GET", "/ws", 101),
                (b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n", "CONNECT", None, 200)):
            conn = client.Conn(site.address)
            conn.send(head)
            answer = conn.final_head(method)
            assert answer.status == status, answer.status
            noise = client.request("GET", "/hello", "localhost") + b"HTTP/1.1 500 Fake\r\nContent-Length: 0\r\n\r\n"
            conn.send(noise)
            while len(conn.buffer) < len(noise) and conn.fill():
                pass
            assert conn.buffer == noise
            conn.close()
            test.record.add(method, route, status)
    expected = {("GET", "/ws", "101"): 20, ("CONNECT", "200"): 20}
    found = test.settled(test.service, 40).counts(test.service)
    grouped = {}
    for (method, route, status), value in found.items():
        key = (method, status) if method == "CONNECT" else (method, route, status)
        grouped[key] = grouped.get(key, 0) + value
    check("tunnels_counts", "" if grouped == expected else f"{dict(found)}")


# --- hung and killed servers


def hung_server(test):
    """A request that is never answered shows in the gauges, with its age, until its process is killed."""
    address = (test.ip, test.port())
    gate = test.dir / "gate"
    os.mkfifo(gate)
    code = f'''
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/stuck":
            open({str(gate)!r}).read()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.ThreadingHTTPServer(({address[0]!r}, {address[1]}), Handler).serve_forever()
'''
    child = test.start([sites.PYTHON, "-c", code])
    test.wait_for_port(address, child)
    test.start_exporter()
    conn = client.Conn(address)
    conn.send(client.request("GET", "/hello", "localhost"))
    conn.response("GET")

    def gauges():
        scrape = test.scrape()
        return (scrape.total("http_requests_in_flight", service=test.service),
                scrape.total("http_oldest_request_in_flight_seconds", service=test.service))
    began = time.monotonic()
    stuck = [client.Conn(address) for _ in range(2)]
    for s in stuck:
        s.send(client.request("GET", "/stuck", "localhost"))
    harness.until(lambda: gauges()[0] == 2, "two requests in flight")
    harness.until(lambda: gauges()[1] > 0.3, "the oldest grows old")
    age, limit = gauges()[1], time.monotonic() - began
    check("hung_server_shows_the_age_of_its_oldest_request", "" if 0.3 < age <= limit + 0.05 else f"{age} s, at most {limit} s")
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    harness.until(lambda: gauges() == (0, 0), "a killed process leaves nothing in flight")
    check("killed_server_leaves_nothing_in_flight", "")
    found = test.scrape().counts(test.service)
    check("killed_server_keeps_its_counts", "" if found[("GET", "/hello", "200")] == 1 else f"{dict(found)}")


def killed_workers(test):
    """kill -9 of nginx's workers in a loop under load: totals never fall, at most what was in flight is missing."""
    site = servers.nginx_static(test)
    test.start_exporter()
    master = test.processes[-2]
    connections, kills = 16, 12
    stop = threading.Event()
    received = [0] * connections
    sent = [0] * connections

    def load(number):
        conn = None
        while not stop.is_set():
            try:
                conn = conn or client.Conn(site.address)
                sent[number] += 1
                conn.send(client.request("GET", "/hello", "localhost"))
                if conn.response("GET").is_complete:
                    received[number] += 1
            except (client.Closed, OSError):
                conn = None
        if conn:
            conn.close()

    threads = [threading.Thread(target=load, args=(n,), daemon=True) for n in range(connections)]
    for t in threads:
        t.start()
    falls, last = [], 0
    for _ in range(kills):
        floor = sum(received) + 200
        harness.until(lambda f=floor: sum(received) > f, "load goes on")
        workers = harness.process_tree(master.pid)[1:]
        if workers:
            os.kill(workers[0], signal.SIGKILL)
        total = sum(test.scrape().counts(test.service).values())
        if total < last:
            falls.append(f"{last} fell to {total}")
        last = total
    stop.set()
    for t in threads:
        t.join(30)
    scrape = test.settled(test.service, sum(received))
    total = sum(scrape.counts(test.service).values())
    check("killed_workers_totals_never_fall", falls)
    low, high = sum(received) - kills * connections, sum(sent)
    check("killed_workers_lose_at_most_what_was_in_flight",
          "" if low <= total <= high else f"{total} counted, {sum(received)} received, {sum(sent)} sent, {kills} kills of {connections} connections")
    gauge = scrape.total("http_requests_in_flight", service=test.service)
    check("killed_workers_leave_nothing_in_flight", "" if gauge == 0 else f"{gauge}")


def killed_mid_response(test):
    """A server killed while it sends: the client sees a cut body; nothing sticks, nothing is counted twice."""
    address = python_server(test)
    child = test.processes[-1]
    test.start_exporter()
    for _ in range(3):
        conn = client.Conn(address)
        conn.send(client.request("GET", "/hello", "localhost"))
        test.record.add("GET", "/hello", conn.response("GET").status)
        conn.finish()  # and it is counted, before the server is killed
    conns = [client.Conn(address, receive_buffer=4096) for _ in range(4)]
    for conn in conns:
        conn.send(client.request("GET", "/big.bin", "localhost"))
        conn.final_head("GET")
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    for conn in conns:
        conn.close()
    scrape = test.settled(test.service, 3)
    found = scrape.counts(test.service)
    in_flight = scrape.total("http_requests_in_flight", service=test.service)
    is_right = found[("GET", "/hello", "200")] == 3 and found[("GET", "/big.bin", "200")] <= 4 and in_flight == 0
    check("killed_mid_response", "" if is_right else f"{dict(found)}, in flight {in_flight}")


# --- programs that never serve


def shells_and_tools(test):
    """200 preloaded shells and tools from a wrapper script: no region, the same output."""
    script = test.write("wrapper.sh", "i=0; while [ $i -lt 100 ]; do /bin/true; x=$(echo $i | cat); i=$((i + 1)); done; echo $x\n")
    said = [subprocess.run(["/bin/sh", str(script)], env=env, capture_output=True, check=False) for env in (None, test.env())]
    left = os.listdir(test.region_dir)
    same = (said[0].stdout, said[0].stderr, said[0].returncode) == (said[1].stdout, said[1].stderr, said[1].returncode)
    check("shells_and_tools_make_no_region", "" if same and not left else f"{said[1]} {left}")


def client_only(test):
    """A program that only asks others: nothing of it is counted as served."""
    address = sites.python_upstream(test)
    code = f'import urllib.request\nfor i in range(5):\n    urllib.request.urlopen("http://{address[0]}:{address[1]}/hello").read()\n'
    subprocess.run([sites.PYTHON, "-c", code], env=test.env(), check=True)
    test.start_exporter()
    found = test.scrape().counts(test.service)
    check("client_only_serves_nothing", "" if not found else f"{dict(found)}")


def unix_and_v6_sockets(test):
    """Unix stream sockets, IPv6, and IPv4 clients of an IPv6 listener are counted alike."""
    path = str(test.dir / "app.sock")
    code = f'''
import http.server, socket, threading
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def address_string(self):
        return ""
    def log_message(self, *_):
        pass
class Unix(http.server.ThreadingHTTPServer):
    address_family = socket.AF_UNIX
    def server_bind(self):
        self.socket.bind(self.server_address)
class Six(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.bind(("::", 0))
threading.Thread(target=Unix({path!r}, Handler).serve_forever).start()
six = Six(("::", 0), Handler)
print(six.socket.getsockname()[1], flush=True)
six.serve_forever()
'''
    child = test.start([sites.PYTHON, "-c", code])
    port = int(harness.until(lambda: test.log_of(child).strip(), "the server tells its port"))  # free on every address
    test.wait_for_port((test.ip, port), child)
    harness.until(lambda: os.path.exists(path), "the Unix socket is there")
    test.start_exporter()
    has_v6 = os.path.exists("/proc/net/if_inet6") and "00000000000000000000000000000001" in open("/proc/net/if_inet6", encoding="ascii").read()
    for _ in range(10):
        conns = [client.Conn((test.ip, port))] + ([client.Conn(("::1", port))] if has_v6 else [])
        unix = client.Conn.__new__(client.Conn)
        unix.sock, unix.buffer, unix.at_end = socket.socket(socket.AF_UNIX), b"", False
        unix.sock.connect(path)
        for conn in [*conns, unix]:
            for _ in range(3):
                conn.send(client.request("GET", "/hello", "localhost"))
                test.record.add("GET", "/hello", conn.response("GET").status)
            conn.close()
    compare(test, test.record, "unix_and_v6_sockets_counts")


harness.main_special({f.__name__: f for f in (
    durations, slow_reader, tunnels, hung_server, killed_workers, killed_mid_response, shells_and_tools, client_only, unix_and_v6_sockets,
    connections_10000, bodies_over_4_gib)})
