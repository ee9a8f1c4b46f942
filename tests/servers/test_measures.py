#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a configuration asks for beside counts and durations, with real servers: sizes of bodies, other bounds and exemplars
against the client's own record, bounds that change while requests go on, connections that are open."""
import collections
import os
import random
import re
import signal
import threading
import urllib.request

import client
import harness
import servers

BOUNDS = [0.0005, 0.003, 0.4]
REPORTS = [0.2, 7]
SIZES = [10, 500, 20000]
CONFIG = f"""
metrics:
  duration: {{bounds: {BOUNDS}}}
  first_byte: on
  request_size: {{bounds: {SIZES}}}
  response_size: {{bounds: {SIZES}}}
  exemplars: on
routes:
  patterns:
    - {{path: /echo, bounds: {REPORTS}}}
"""


def start(test, set_up, config=CONFIG):
    """An exporter with rules, whose bundle the server finds when it starts; then the server."""
    path = test.write("config.yml", config)
    test.start_exporter("--config.file", path)
    test.scrape()
    return set_up(test), path


class Tally:
    """Sizes by (method, route): what this client sent and got."""

    def __init__(self):
        self.lock = threading.Lock()
        self.requests, self.responses = collections.defaultdict(list), collections.defaultdict(list)

    def add(self, method, route, sent, got):
        with self.lock:
            self.requests[method, route].append(sent)
            self.responses[method, route].append(got)


def one_request(rng, conn, site, tally, record):
    purpose = rng.choice([p for p in ("get", "get", "post", "chunked", "big") if p in site.paths])
    path, route = site.pick(rng, purpose)
    method, headers, body, size = "GET", [], b"", 0
    if purpose == "post":
        method, size = "POST", rng.choice([0, 1, 9, 10, 11, 499, 500, 501, 20000, 20001, rng.randrange(60000)])
        body = bytes(size)
        headers = [f"Content-Length: {size}"]
        if rng.random() < 0.5:
            headers, body = ["Transfer-Encoding: chunked"], client.chunked([body[i:i + 7000] for i in range(0, size, 7000)])
    trace = rng.getrandbits(128) | 1
    if rng.random() < 0.5:
        headers.append(f"traceparent: 00-{trace:032x}-{rng.getrandbits(64) | 1:016x}-01")
    conn.send(client.request(method, path, site.host, headers, body))
    response = conn.response(method)
    tally.add(method, route, size, response.body_bytes)
    record.add(method, route, response.status)
    return not response.ends_connection


def drive(test, site, tally, threads=4, requests=60):
    def run(number):
        rng = random.Random(f"{harness.SEED} {number}")
        conn = None
        for _ in range(requests):
            conn = conn or client.Conn(site.address)
            if not one_request(rng, conn, site, tally, test.record):
                conn.close()
                conn = None
        if conn:
            conn.close()
    running = [threading.Thread(target=run, args=(n,)) for n in range(threads)]
    for t in running:
        t.start()
    for t in running:
        t.join()
    done = sum(map(len, tally.requests.values()))
    if done != threads * requests:
        raise AssertionError(f"{done} of {threads * requests} requests were answered")


def cumulative(values, bounds):
    return {**{float(b): sum(v <= b for v in values) for b in bounds}, float("inf"): len(values)}


def buckets(scrape, service, family, method, route):
    found = collections.defaultdict(float)
    for labels, value in scrape.values(f"{family}_bucket", service=service, method=method, route=route):
        found[float(labels["le"])] += value
    return dict(found)


def check_sizes(test, scrape, tally, name):
    wrong = []
    for family, by_key in (("http_request_size_bytes", tally.requests), ("http_response_size_bytes", tally.responses)):
        for (method, route), sizes in by_key.items():
            found = buckets(scrape, test.service, family, method, route)
            if found != cumulative(sizes, SIZES):
                wrong.append(f"{family} {method} {route}: {found}, client {cumulative(sizes, SIZES)}")
            total = scrape.total(f"{family}_sum", service=test.service, method=method, route=route)
            if total != sum(sizes):
                wrong.append(f"{family}_sum {method} {route}: {total}, client {sum(sizes)}")
    harness.report(not wrong, f"{name}_sizes_equal_the_client", "\n".join(wrong) or f"{sum(map(len, tally.requests.values()))} requests")


def check_bounds(test, scrape, tally, name):
    wrong = []
    for method, route in tally.requests:
        for family in ("http_request_duration_seconds", "http_request_first_byte_seconds"):
            found = sorted(buckets(scrape, test.service, family, method, route))
            want = REPORTS if route == "/echo" else BOUNDS
            if found != [*want, float("inf")]:
                wrong.append(f"{family} {method} {route}: {found}")
    harness.report(not wrong, f"{name}_bounds_are_the_configuration's", "\n".join(wrong))


def measured(set_up, name):
    def run(test):
        site, _ = start(test, set_up)
        tally = Tally()
        drive(test, site, tally)
        scrape = harness.check_counts(test, name, test.service, test.record)
        check_sizes(test, scrape, tally, name)
        check_bounds(test, scrape, tally, name)
        closed = harness.until(lambda: test.scrape().total("http_connections_open", service=test.service) == 0, "all connections are closed")
        harness.report(closed, f"{name}_no_connection_is_left")
    return run


def exemplars(test):
    """OpenMetrics shows the trace of the slowest request of each bucket."""
    site, _ = start(test, servers.http_server("HTTP/1.1"), "metrics: {exemplars: on}\n")
    conn = client.Conn(site.address)
    traces = [0x1111, 0x2222]
    for path, trace in (("/hello", traces[0]), ("/slow", traces[1]), ("/slow", None)):
        headers = [f"traceparent: 00-{trace:032x}-b7ad6b7169203331-01"] if trace else []
        conn.send(client.request("GET", path, site.host, headers))
        test.record.add("GET", path, conn.response("GET").status)
    test.settled(test.service, 3)
    request = urllib.request.Request("http://%s:%d/metrics" % test.exporter,
                                     headers={"Accept": "application/openmetrics-text;version=1.0.0"})
    with harness.DIRECT.open(request, timeout=60) as answer:
        text = answer.read().decode()
    found = dict(re.findall(r'_bucket\{[^}]*route="([^"]*)"[^}]*\} \d+ # \{trace_id="([0-9a-f]{32})"\}', text))
    wanted = {"/hello": f"{traces[0]:032x}", "/slow": f"{traces[1]:032x}"}
    harness.report(found == wanted, "openmetrics_has_the_traces", f"{found}")
    conn.close()


def bounds_change(test):
    """Requests go on while the bounds change, and change back: every request is counted, once."""
    site, path = start(test, servers.node(2), "metrics: {duration: {bounds: [0.1, 1]}}\n")
    exporter = test.processes[0]
    for bounds in ([0.25, 2], None, [0.1, 1]):
        tally = Tally()
        drive(test, site, tally, threads=2, requests=20)
        path.write_text("metrics: {duration: {bounds: %s}}\n" % bounds if bounds else "{}\n")
        os.kill(exporter.pid, signal.SIGHUP)

        def shown(bounds=bounds):
            with client_of(site) as conn:
                conn.send(client.request("GET", "/hello", site.host))
                test.record.add("GET", "/hello", conn.response("GET").status)
            les = {labels["le"] for labels, _ in test.scrape().values("http_request_duration_seconds_bucket", service=test.service, route="/hello")}
            return len(les) == (len(bounds) + 1 if bounds else 17) and (not bounds or str(bounds[0]) in les)
        harness.until(shown, f"bounds {bounds} are in force")
    drive(test, site, Tally(), threads=2, requests=20)
    expected = +test.record.counts
    found = test.settled(test.service, sum(expected.values())).counts(test.service)
    harness.report(found == expected, "counters_go_on_when_bounds_change", harness.difference(expected, found) or f"{sum(expected.values())} requests")


class client_of:  # pylint: disable=invalid-name
    """A connection that is closed behind its block."""

    def __init__(self, site):
        self.conn = client.Conn(site.address)

    def __enter__(self):
        return self.conn

    def __exit__(self, *_):
        self.conn.close()


def connections(test):
    """The gauge follows the client's: opened, closed, and gone with a killed worker."""
    site, _ = start(test, servers.node(2), "{}\n")

    def opened():
        return test.scrape().total("http_connections_open", service=test.service)
    conns = [client.Conn(site.address) for _ in range(12)]
    idle = [client.Conn(site.address) for _ in range(3)]  # say nothing: no HTTP connections
    for conn in conns:
        for _ in range(3):
            conn.send(client.request("GET", "/hello", site.host))
            conn.response("GET")
    harness.report(opened() == 12, "open_connections_are_counted", f"{opened()}")
    for conn in conns[:5]:
        conn.close()
    harness.until(lambda: opened() == 7, "closed ones are not")
    harness.report(test.scrape().total("tickbird_accepted_connections_total", service=test.service) == 12, "accepted_connections_are_counted")
    os.killpg(test.processes[-1].pid, signal.SIGKILL)
    harness.until(lambda: opened() == 0, "nothing of what was killed")
    harness.report(True, "killed_servers_have_no_connections")
    for conn in conns[5:] + idle:
        conn.close()


harness.main_special({"nginx": measured(servers.nginx_static, "nginx"), "python": measured(servers.http_server("HTTP/1.1"), "python"),
                      "node": measured(servers.node(2), "node"), "exemplars": exemplars, "bounds_change": bounds_change,
                      "connections": connections})
