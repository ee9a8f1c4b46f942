#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Programs that measure themselves, with the Python client of Prometheus (bare, in FastAPI, by FastAPI's instrumentator) and Node's
prom-client (bare, in Express): with Tickbird they answer what they
answer without it, and measure the same; and what Tickbird counts is what they count, for each label.

Buckets: the program waits so long at least, the client sees so much at most (it stops when the program has answered something else on
that connection, so when it was done). Between the two lie both, Tickbird's and the library's, and where the two say the same bucket
Tickbird and the library are equal. Nothing is assumed about how fast the machine is.

prom-client and Express come from npm into a folder of the build, FastAPI's instrumentator from PyPI: without them, TB_FETCH=1 fetches them.
"""
import collections
import http.client
import importlib.util
import json
import os
import re
import subprocess
import time

import harness
import sites

BOUNDS = [0.005, 0.02, 0.06, 0.15, 0.5, 30]
WAITS = [0, 0, 10, 40, 100, 200]  # milliseconds, far from any bound
METHODS = ["card", "invoice", "paypal"]
NODE_PACKAGES = ["prom-client@15.1.3", "express@5.3.0"]
INSTRUMENTATOR = ["fastapi==0.165.0", "uvicorn==0.54.0", "prometheus-fastapi-instrumentator==8.1.0"]
CONFIG = f"""
metrics: {{duration: {{bounds: {BOUNDS}}}}}
routes: {{patterns: ['/wait/:id'], ignore: [/metrics]}}
rules:
  - metric: orders_created_total
    match: {{method: POST, route: /orders, status: 201}}
    labels: {{status: {{response_json: order.status}}, payment_method: {{request_json: payment_method}}}}
"""
ENV = {"OWN_BOUNDS": " ".join(map(str, BOUNDS)), "PYTHONDONTWRITEBYTECODE": "1"}
LABELS = {"http_requests_total": ("method", "route", "status"), "orders_created_total": ("status", "payment_method")}


def gunicorn(address):
    return [harness.which("gunicorn"), "-b", "%s:%d" % address, "--threads", "4", "--log-level", "critical", "--keep-alive", "60",
            "own_metrics:application"]


def uvicorn(app):
    def argv(address):
        return [harness.which("uvicorn"), "--host", address[0], "--port", str(address[1]), "--log-level", "critical", "--timeout-keep-alive", "60", app]
    return argv


def fastapi_client(address):
    if not importlib.util.find_spec("fastapi"):
        raise harness.Missing("no FastAPI (python3-fastapi)")
    return uvicorn("own_fastapi_client:app")(address)


def node(script):
    def argv(address):
        program, folder = harness.which("node", "nodejs"), harness.BUILD / "servers/own-node"
        if not all((folder / "node_modules" / package.partition("@")[0]).is_dir() for package in NODE_PACKAGES):
            if os.environ.get("TB_FETCH") != "1":
                raise harness.Missing("no prom-client and Express (`make check-own-metrics` fetches them)")
            subprocess.run([harness.which("npm"), "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", folder,
                            *NODE_PACKAGES], check=True, timeout=250)
        return [program, sites.APPS / script, folder, *address]
    return argv


class Client:
    """One connection; what was answered, in order, and how long a wait took at most."""

    def __init__(self, address):
        self.conn = http.client.HTTPConnection(*address, timeout=60)
        self.answers, self.waits = [], []

    def ask(self, method, path, value=None):
        self.conn.request(method, path, None if value is None else json.dumps(value), {"Content-Type": "application/json"})
        answer = self.conn.getresponse()
        headers = sorted((k.lower(), v) for k, v in answer.headers.items() if k.lower() != "date")
        self.answers.append((method, path, answer.status, answer.reason, headers, answer.read()))

    def run(self):
        for number in range(60):
            self.ask("POST", "/orders", {"payment_method": METHODS[number % 3], "items": 1 + number % 11})
            if number % 10 == 0:
                self.ask("GET", "/broken")
                self.ask("GET", f"/nothing/{number}")
        for wait in WAITS * 3:
            began = time.monotonic()
            self.ask("GET", f"/wait/{wait}")
            self.ask("GET", "/broken")
            self.waits.append((wait / 1000, time.monotonic() - began))

    def own(self):
        """What the library in the program says; FastAPI has other words for the same route."""
        self.conn.request("GET", "/metrics")
        return harness.Scrape(self.conn.getresponse().read().decode().replace("/wait/{id}", "/wait/:id"))


def counts(scrape, family, **labels):
    return collections.Counter({tuple(found[name] for name in LABELS[family]): value for found, value in scrape.values(family, **labels) if value})


def buckets(scrape, **labels):
    return {float(found["le"]): value for found, value in scrape.values("http_request_duration_seconds_bucket", route="/wait/:id", **labels)}


def start(test, argv, preload):
    address = (test.ip, test.port())
    child = test.start(argv(address), cwd=sites.APPS, env=ENV, preload=preload)
    test.wait_for_port(address, child)
    return Client(address)


def check_buckets(name, client, own, ours, bounds):
    """@own, @ours: bound -> how many, by the library and by Tickbird; @bounds: those that both have."""
    wrong, equal = [], 0
    for bound in bounds:
        least = sum(most <= bound for _, most in client.waits)
        most = sum(wait < bound for wait, _ in client.waits)
        if not (least <= ours.get(bound, -1) <= most and least <= own.get(bound, -1) <= most):
            wrong.append(f"le {bound}: Tickbird {ours.get(bound)}, library {own.get(bound)}, client {least} to {most}")
        equal += ours.get(bound) == own.get(bound)
    harness.report(not wrong, f"row_12_{name}_buckets_are_the_librarys", "\n".join(wrong) or f"{equal} of {len(bounds)} equal")


def measured(name, argv):
    def run(test):
        test.start_exporter("--config.file", test.write("config.yml", CONFIG))
        test.scrape()
        plain, client = start(test, argv, preload=False), start(test, argv, preload=True)
        plain.run()
        client.run()
        differ = [(a, b) for a, b in zip(plain.answers, client.answers) if a != b]
        harness.report(not differ and len(plain.answers) == len(client.answers), f"row_12_{name}_answers_as_without", "\n".join(map(str, differ[:3])))
        own, own_plain = client.own(), plain.own()
        asked = collections.Counter((method, re.sub(r"^/wait/.*", "/wait/:id", path) if status != 404 else "_unmatched", str(status))
                                    for method, path, status, *_ in client.answers)
        scrape = test.settled(test.service, sum(asked.values()))
        for family in LABELS:
            found, told = counts(scrape, family, service=test.service), counts(own, family)
            is_right = found == told and told == counts(own_plain, family) and (family != "http_requests_total" or found == asked)
            harness.report(is_right, f"row_12_{name}_{family}", "" if is_right else f"Tickbird {found}\nlibrary {told}\nclient {asked}")
        check_buckets(name, client, buckets(own), buckets(scrape, service=test.service), [*BOUNDS, float("inf")])
    return run


def fastapi(test):
    """The instrumentator knows classes of statuses, and paths without a route as `none`."""
    folder = harness.BUILD / "servers/fastapi"
    if not (folder / "bin/uvicorn").exists():
        if os.environ.get("TB_FETCH") != "1":
            raise harness.Missing("no prometheus-fastapi-instrumentator (`make check-own-metrics` fetches it)")
        subprocess.run(["/usr/bin/python3", "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin/pip", "install", "-q", *INSTRUMENTATOR], check=True, timeout=250)

    def argv(address):
        return [folder / "bin/python", "-m", "uvicorn", "--host", address[0], "--port", str(address[1]), "--log-level", "critical",
                "--timeout-keep-alive", "60", "own_fastapi:app"]

    def own_counts(client):
        return collections.Counter({(labels["method"], labels["handler"].replace("{milliseconds}", ":id"), labels["status"]): value
                                    for labels, value in client.own().values("http_requests_total")})
    test.start_exporter("--config.file", test.write("config.yml", CONFIG))
    test.scrape()
    plain, client = start(test, argv, preload=False), start(test, argv, preload=True)
    plain.run()
    client.run()
    harness.report(plain.answers == client.answers, "row_12_fastapi_answers_as_without")
    told, scrape, found = own_counts(client), test.settled(test.service, len(client.answers)), collections.Counter()
    for (method, route, status), count in counts(scrape, "http_requests_total", service=test.service).items():
        found[method, "none" if route == "_unmatched" else route, status[0] + "xx"] += count
    is_right = found == told == own_counts(plain) and sum(told.values()) == len(client.answers)
    harness.report(is_right, "row_12_fastapi_http_requests_total", "" if is_right else f"Tickbird {found}\ninstrumentator {told}")
    own = {float(labels["le"]): value for labels, value in client.own().values("http_request_duration_seconds_bucket", handler="/wait/{milliseconds}")}
    check_buckets("fastapi", client, own, buckets(scrape, service=test.service), [0.5, float("inf")])


harness.main_special({"wsgi": measured("wsgi", gunicorn), "asgi": measured("asgi", uvicorn("own_metrics:asgi")),
                      "fastapi_client": measured("fastapi_client", fastapi_client), "node": measured("node", node("own_metrics.js")),
                      "express": measured("express", node("own_express.js")), "fastapi": fastapi})
