#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Metrics of the user's own from the traffic of real servers, none of which knows of it: orders with values of JSON and forms, a
checkout's own buckets, errors by code, a cache's hits, calls to a payment gateway. Judged by what the client sent and got."""
import collections
import gzip
import http.client
import json
import os
import pathlib
import random
import signal
import sys
import threading
import urllib.parse

import harness
import servers
import sites

RULES = """
rules:
  - metric: orders_created_total
    help: Orders that were accepted.
    match: {method: POST, route: /orders, status: 201}
    labels:
      status: {response_json: order.status, allow: [paid, pending]}
      payment_method: {request_json: payment_method, request_form: payment_method, max: 3}
  - metric: order_errors_total
    match: {method: POST, route: /orders, status: [4xx, 5xx]}
    labels: {code: {response_json: error.code}, status: status}
  - metric: order_items_total
    match: {method: POST, route: /orders, status: 201}
    value: {response_json: 'lines[0].count'}
  - metric: checkout_duration_seconds
    type: histogram
    match: {route: /checkout}
    bounds: [0.1, 0.5, 1, 2, 5, 10]
  - metric: campaign_visits_total
    match: {route: /hello, query: {utm_source: '*'}}
    labels: {source: {query: utm_source, allow: [mail, news*]}, session: {has_cookie: sid}, tenant: {request_header: X-Tenant}}
  - metric: active_sessions
    type: distinct
    match: {route: /hello}
    value: {cookie: sid}
    window: 18h
  - metric: last_order_items
    type: gauge
    match: {method: POST, route: /orders, status: 201}
    value: {response_json: 'lines[0].count'}
"""
METHODS = ["card", "invoice", "paypal", "crypto"]  # one more than the label admits


def start(test, set_up, rules=RULES):
    path = test.write("config.yml", rules)
    test.start_exporter("--config.file", path)
    test.scrape()
    return set_up(test), path


def node(test):
    address = (test.ip, test.port())
    child = test.start([harness.which("node", "nodejs"), sites.APPS / "orders.js", *address])
    test.wait_for_port(address, child)
    return address


def gunicorn(test):
    address = (test.ip, test.port())
    child = test.start([harness.which("gunicorn"), "-b", "%s:%d" % address, "-w", "2", "--log-level", "critical", "--keep-alive", "60",
                        "orders_wsgi:application"], cwd=sites.APPS, env={"PYTHONDONTWRITEBYTECODE": "1"})
    test.wait_for_port(address, child)
    return address


class Client:
    """Sends orders and tallies what was answered. One for all threads."""

    def __init__(self, address):
        self.address, self.lock = address, threading.Lock()
        self.created, self.errors, self.visits = collections.Counter(), collections.Counter(), collections.Counter()
        self.items = self.requests = self.hidden = 0
        self.sessions = set()

    def order(self, rng, conn):
        method, items = rng.choice(METHODS + [None]), rng.randrange(1, 12)
        wanted = {"items": items, "note": "x" * rng.randrange(300)}
        if method:
            wanted["payment_method"] = method
        form = rng.random() < 0.5
        body = urllib.parse.urlencode(wanted) if form else json.dumps(wanted)
        headers = {"Content-Type": "application/x-www-form-urlencoded" if form else "application/json", **self.form_of_answer(rng)}
        conn.request("POST", "/orders", body, headers)
        answer = conn.getresponse()
        text = answer.read()
        is_hidden = answer.headers.get("Content-Encoding") == "gzip"
        value = json.loads(gzip.decompress(text) if is_hidden else text)
        with self.lock:
            self.requests += 1
            self.hidden += is_hidden
            if answer.status == 201:
                self.created["_other" if is_hidden else value["order"]["status"], method] += 1
                self.items += 0 if is_hidden else value["lines"][0]["count"]
            else:
                self.errors["_other" if is_hidden else value["error"]["code"], str(answer.status)] += 1

    @staticmethod
    def form_of_answer(rng):
        return rng.choice([{}, {}, {"X-Chunks": "1"}, {"Accept-Encoding": "gzip"}])

    def visit(self, rng, conn):
        source, sid, tenant = rng.choice(["mail", "news1", "x%2Fy", None]), rng.randrange(100) * rng.randrange(2), rng.choice(["a", "b"])
        headers = {"X-Tenant": f" {tenant} ", "Cookie": f"a=b; sid=s{sid}" if sid else "asid=1"}
        conn.request("GET", "/hello" + (f"?q=1&utm_source={source}" if source else "?utm_medium=1"), headers=headers)
        conn.getresponse().read()
        with self.lock:
            self.requests += 1
            if sid:
                self.sessions.add(sid)
            if source:
                self.visits["_other" if source == "x%2Fy" else source, "yes" if sid else "no", tenant] += 1

    def run(self, threads=4, count=150):
        def one(number):
            rng = random.Random(f"{harness.SEED} {number}")
            conn = http.client.HTTPConnection(*self.address, timeout=60)
            for _ in range(count):
                (self.order if rng.random() < 0.7 else self.visit)(rng, conn)
            conn.close()
        running = [threading.Thread(target=one, args=(n,)) for n in range(threads)]
        for t in running:
            t.start()
        for t in running:
            t.join()
        if self.requests != threads * count:
            raise AssertionError(f"{self.requests} requests were answered")


def series(scrape, family, *labels, **wanted):
    return {tuple(found[name] for name in labels): value for found, value in scrape.values(family, **wanted)}


def shop(set_up, name):
    def run(test):
        address, _ = start(test, set_up)
        client = Client(address)
        client.run()
        scrape = test.settled(test.service, client.requests)
        service = {"service": test.service}
        found = series(scrape, "orders_created_total", "status", "payment_method", **service)
        named = {m for _, m in found} - {"_other"}
        expected = collections.Counter()
        for (status, method), n in client.created.items():
            expected[status, method if method in named else "_other"] += n
        harness.report(found == expected and len(named) == 3, f"{name}_orders_are_counted_by_status_and_payment", f"{found}, client {client.created}")
        found = series(scrape, "order_errors_total", "code", "status", **service)
        harness.report(found == client.errors, f"{name}_errors_are_counted_by_code", f"{found}, client {client.errors}")
        harness.report(scrape.total("order_items_total", **service) == client.items, f"{name}_numbers_are_added_up", f"client {client.items}")
        found = series(scrape, "campaign_visits_total", "source", "session", "tenant", **service)
        harness.report(found == client.visits, f"{name}_queries_cookies_and_headers_are_labels", f"{found}, client {client.visits}")
        found = scrape.total("active_sessions", **service)
        harness.report(abs(found - len(client.sessions)) <= 2, f"{name}_sessions_are_counted", f"{found}, client {len(client.sessions)}")
        conn = http.client.HTTPConnection(*address, timeout=60)
        for items in (9, 4):
            conn.request("POST", "/orders", json.dumps({"payment_method": "card", "items": items}), {"Content-Type": "application/json"})
            conn.getresponse().read()
        conn.close()
        harness.until(lambda: test.scrape().total("last_order_items", **service) == 4, "the gauge has the last number")
        harness.report(True, f"{name}_a_gauge_has_the_last_number")
        hidden = series(scrape, "tickbird_rule_unreadable_total", "reason", **service)
        harness.report(set(hidden) == {("compressed",)} and client.hidden, f"{name}_compressed_bodies_are_told", f"{hidden}, {client.hidden}")
        harness.check_promtool(name, scrape)
    return run


def checkout(test):
    """Buckets of its own for one operation; every duration is far from a bound."""
    address, _ = start(test, node)
    waits, conn = [0, 0, 250, 650, 1300], http.client.HTTPConnection(*address, timeout=60)
    took = []
    for wait in waits:
        conn.request("GET", "/checkout", headers={"X-Wait": str(wait)})
        conn.getresponse().read()
    conn.close()
    scrape = test.settled(test.service, len(waits))
    found = {float(labels["le"]): v for labels, v in scrape.values("checkout_duration_seconds_bucket", service=test.service)}
    harness.report(sorted(found) == [0.1, 0.5, 1, 2, 5, 10, float("inf")], "a_checkout_has_the_buckets_asked_for", f"{found} {took}")
    harness.report(found[float("inf")] == 5 and found[0.1] <= 2 and scrape.total("checkout_duration_seconds_sum", service=test.service) >= 2.2,
                   "a_checkout_takes_what_it_takes", f"{found}")


def reloaded(test):
    """Rules change while requests go on; an error in the file leaves the ones before."""
    address, path = start(test, node)
    exporter, conn = test.processes[0], http.client.HTTPConnection(*address, timeout=60)

    def get():
        conn.request("GET", "/hello?utm_source=mail")
        conn.getresponse().read()
        return test.scrape()
    get()
    path.write_text(RULES + "  - {metric: broken}\n")
    os.kill(exporter.pid, signal.SIGHUP)
    harness.until(lambda: get().total("tickbird_exporter_config_last_reload_successful") == 0, "the error is seen")
    before = get().total("campaign_visits_total", service=test.service)
    harness.report(before > 1, "rules_before_an_error_go_on", f"{before}")
    path.write_text("rules: [{metric: hellos_total, match: {route: /hello}}]\n")
    os.kill(exporter.pid, signal.SIGHUP)
    harness.until(lambda: get().total("hellos_total", service=test.service) > 0, "the new rule counts")
    harness.report(not get().values("campaign_visits_total"), "rules_that_are_gone_are_not_shown")
    conn.close()


def cache(test):
    """A cache's hits from the header that it sends."""
    rules = """
rules:
  - metric: cache_requests_total
    match: {response_header: {X-Cache: '*'}}
    labels: {result: {response_header: X-Cache, allow: [HIT, MISS, EXPIRED]}}
"""
    path = test.write("config.yml", rules)
    test.start_exporter("--config.file", path)
    test.scrape()
    origin, address = (test.ip, test.port()), (test.ip, test.port())
    (test.dir / "cache").mkdir()
    child = servers.start_nginx(test, f"""
server {{ listen {origin[0]}:{origin[1]}; location / {{ add_header Cache-Control "max-age=600"; return 200 "page $uri\\n"; }} }}
server {{
    listen {address[0]}:{address[1]};
    location / {{ proxy_pass http://{origin[0]}:{origin[1]}; proxy_cache c; proxy_cache_bypass $arg_fresh; add_header X-Cache $upstream_cache_status; }}
    location /plain/ {{ return 200 "no cache\\n"; }}
}}""", http=f"proxy_cache_path {test.dir}/cache keys_zone=c:1m;", by_command=True)
    test.wait_for_port(address, child)
    rng, tally, conn = random.Random(harness.SEED), collections.Counter(), http.client.HTTPConnection(*address, timeout=60)
    for _ in range(120):
        conn.request("GET", rng.choice(["/a", "/b", "/c/d", "/plain/x", "/a?fresh=1"]))
        answer = conn.getresponse()
        answer.read()
        word = answer.headers.get("X-Cache")
        if word:
            tally[(word if word in ("HIT", "MISS", "EXPIRED") else "_other",)] += 1
    conn.close()
    harness.until(lambda: sum(series(test.scrape(), "cache_requests_total", "result").values()) == sum(tally.values()), "all are counted")
    found = series(test.scrape(), "cache_requests_total", "result", service=test.service)
    harness.report(found == tally, "a_caches_hits_are_counted", f"{found}, client {tally}")


def gateway(test):
    """Calls that a program makes, by status: a payment gateway as its client sees it."""
    rules = """
rules:
  - metric: gateway_calls_total
    match: {role: client, route: /pay}
    labels: {result: {response_json: result}, status: status}
  - metric: gateway_duration_seconds
    type: histogram
    match: {role: client, route: /pay}
    bounds: [0.5, 1]
"""
    server = """
import http.server, json, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *args): pass
    def do_POST(self):
        n = int(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["n"])
        text = json.dumps({"result": "declined" if n % 3 == 0 else "approved"}).encode()
        self.send_response(503 if n % 5 == 0 else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""
    caller = """
import http.client, json, sys
conn = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=60)
for n in range(30):
    conn.request("POST", "/pay", json.dumps({"n": n}), {"Content-Type": "application/json"})
    conn.getresponse().read()
print("done", flush=True)
sys.stdin.read()
"""
    path = test.write("config.yml", rules)
    test.start_exporter("--config.file", path)
    test.scrape()
    address = (test.ip, test.port())
    child = test.start([sys.executable, "-c", server, *address], preload=False)
    test.wait_for_port(address, child)
    child = test.start([sys.executable, "-c", caller, *address])
    expected = collections.Counter()
    for n in range(30):
        expected["declined" if n % 3 == 0 else "approved", "503" if n % 5 == 0 else "200"] += 1
    harness.until(lambda: "done" in pathlib.Path(child.log).read_text(), "the calls are made")
    scrape = test.scrape()
    found = series(scrape, "gateway_calls_total", "result", "status", service=test.service)
    harness.report(found == expected, "calls_to_a_gateway_are_counted", f"{found}, {expected}")
    harness.report(scrape.total("gateway_duration_seconds_count", service=test.service) == 30, "calls_to_a_gateway_are_timed")


harness.main_special({"node": shop(node, "node"), "gunicorn": shop(gunicorn, "gunicorn"), "checkout": checkout, "reloaded": reloaded,
                      "cache": cache, "gateway": gateway})
