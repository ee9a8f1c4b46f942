#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Gauges of requests in flight (`value: in_flight`) on real servers. The test is the origin behind them: every request stays open
until it answers, so that it knows at any moment what is open, by method and tenant."""
import collections
import os
import select
import signal
import socket
import sys

import client
import harness
import servers

RULES = """
rules:
  - metric: shop_open_requests
    help: Requests that wait for an answer.
    type: gauge
    value: in_flight
    match: {path: /held*}
    labels: {method: method, tenant: {request_header: X-Tenant, allow: [a, b]}}
"""
WITH_MORE = RULES + "  - {metric: shop_open_posts, type: gauge, value: in_flight, match: {method: POST}}\n"


class Origin:
    """Holds what it is asked, by the number that the request carries."""

    def __init__(self, address):
        self.listener = socket.create_server(address, backlog=512)
        self.held = {}

    def wait_for(self, numbers):
        """Until all of them have come."""
        def one():
            conn, _ = self.listener.accept()
            head = b""
            while b"\r\n\r\n" not in head:
                piece = conn.recv(65536)
                if not piece:
                    conn.close()
                    return
                head += piece
            self.held[int(head.lower().partition(b"\r\nx-number: ")[2].partition(b"\r\n")[0])] = conn
        while not set(numbers) <= set(self.held):
            self.listener.settimeout(harness.DEADLINE)
            one()

    def answer(self, number):
        conn = self.held.pop(number)
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        conn.close()

    def close(self):
        for conn in [self.listener, *self.held.values()]:
            conn.close()


class Open:
    """Clients with a request each that waits."""

    def __init__(self, address):
        self.address, self.conns, self.what = address, {}, {}

    def add(self, number, method, tenant):
        conn = client.Conn(self.address)
        head = f"{method} /held/page HTTP/1.1\r\nHost: localhost\r\nX-Number: {number}\r\n"
        head += f"X-Tenant: {tenant}\r\n" if tenant else ""
        conn.send((head + ("Content-Length: 4\r\n\r\nbody" if method == "POST" else "\r\n")).encode())
        self.conns[number] = conn
        self.what[number] = method, tenant if tenant in ("a", "b") else "_other"

    def forget(self, number):
        self.conns.pop(number).close()
        del self.what[number]

    def drop_closed(self):
        for number in [n for n, c in self.conns.items() if select.select([c.sock], [], [], 0)[0]]:
            self.forget(number)

    def tally(self):
        return collections.Counter(self.what.values())


def shown(test, metric="shop_open_requests"):
    """What is open by method and tenant; gauges that are 0 left out."""
    found = collections.Counter()
    for labels, value in test.scrape().values(metric, service=test.service):
        found[labels.get("method"), labels.get("tenant")] += int(value)
    return +found


def agree(test, clients, what):
    harness.until(lambda: shown(test) == clients.tally(), what)
    harness.report(True, f"{test.name}_{what.replace(' ', '_')}", f"{dict(clients.tally())}")


def run(test, address, origin, workers):
    """@workers(): pids, of which one is killed; None: they are not told."""
    clients, tenants = Open(address), ["a", "b", "c", None]
    for number in range(80):  # more than can be looked into at one time (docs/limits.md)
        clients.add(number, "POST" if number % 5 == 0 else "GET", tenants[number % 4])
    origin.wait_for(range(80))
    agree(test, clients, "what is held is open")
    for number in range(0, 80, 3):
        origin.answer(number)
        harness.until(lambda n=number: select.select([clients.conns[n].sock], [], [], 0)[0], "it is answered")
        clients.forget(number)
    agree(test, clients, "what is answered is not")
    written = "tickbird_exporter_rules_written_total"
    before = test.scrape().total(written)
    (test.dir / "config.yml").write_text(WITH_MORE)
    os.kill(test.processes[0].pid, signal.SIGHUP)
    harness.until(lambda: test.scrape().total(written) > before, "the new rules are in force")
    for number in range(100, 110):
        clients.add(number, "POST", "a")
    origin.wait_for(range(100, 110))
    agree(test, clients, "what was open stays under new rules")
    found = sum(shown(test, "shop_open_posts").values())
    harness.report(found == 10, f"{test.name}_a_new_rule_counts_what_begins_then", f"{found}")
    for number in list(clients.conns)[::2]:
        clients.forget(number)
    harness.until(lambda: shown(test) == clients.tally(), "clients that leave")
    harness.report(True, f"{test.name}_who_leaves_is_gone")
    for worker in workers() if workers else []:
        before = len(clients.conns)
        os.kill(worker, signal.SIGKILL)
        harness.until(lambda: (clients.drop_closed(), shown(test) == clients.tally())[1], "a worker was killed")
        harness.report(True, f"{test.name}_the_requests_of_a_killed_worker_are_gone", f"{before} to {len(clients.conns)}")
    for number in list(clients.conns):
        clients.forget(number)
    harness.until(lambda: not shown(test), "nothing is open")
    names = {labels["tenant"] for labels, _ in test.scrape().values("shop_open_requests", tenant="a")}
    harness.report(names == {"a"}, f"{test.name}_gauges_that_were_not_0_are_0")
    harness.check_promtool(test.name, test.scrape())


def prepare(test):
    path = test.write("config.yml", RULES)
    test.start_exporter("--config.file", path)
    test.scrape()
    origin = Origin((test.ip, test.port()))
    return origin, "%s:%d" % origin.listener.getsockname()


def children(pid):
    return [p for p in harness.process_tree(pid) if p != pid]


def nginx(test):
    origin, upstream = prepare(test)
    address = (test.ip, test.port())
    child = servers.start_nginx(test, f"""
server {{
    listen {address[0]}:{address[1]};
    location / {{ proxy_pass http://{upstream}; proxy_pass_request_headers on; proxy_read_timeout 600; }}
}}""", by_command=True)
    test.wait_for_port(address, child)
    run(test, address, origin, lambda: children(child.pid)[:1])
    origin.close()


PYTHON = """
import http.client, http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *args): pass
    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        conn = http.client.HTTPConnection(sys.argv[3])
        conn.request("GET", "/", headers={"X-Number": self.headers["X-Number"]})
        try:
            text = conn.getresponse().read()
        except OSError:
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    do_POST = do_GET
server = http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler)
server.request_queue_size = 512
server.serve_forever()
"""


def python(test):
    """A thread for each request, which knows nothing of clients that leave until it answers."""
    origin, upstream = prepare(test)
    address = (test.ip, test.port())
    child = test.start([sys.executable, "-c", PYTHON, *address, upstream])
    test.wait_for_port(address, child)
    clients = Open(address)
    for number in range(70):
        clients.add(number, "POST" if number % 5 == 0 else "GET", "a" if number % 2 else "x")
        if number % 5 == 4:
            origin.wait_for(range(number))  # its backlog is short
    origin.wait_for(range(70))
    agree(test, clients, "what is held is open")
    for number in range(0, 70, 2):
        origin.answer(number)
        clients.forget(number)
    agree(test, clients, "what is answered is not")
    test.stop(child, signal.SIGKILL)
    harness.until(lambda: not shown(test), "the process is gone")
    harness.report(True, "python_nothing_of_a_killed_process_is_left")
    origin.close()


harness.main_special({"nginx": nginx, "python": python})
