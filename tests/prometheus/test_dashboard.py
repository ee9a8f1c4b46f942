#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""examples/grafana/tickbird.json: every query of every panel is asked of a real Prometheus that scraped two services with
traffic, errors, aborted and cut requests, one switched off and a program that is not observed. Each must parse and, but
for those that only speak when something is wrong, have data; some answers are compared with what the client sent. The
choice of services is asked for too. The same for examples/shop/dashboard.json, with the shop and its visitors.
"""
import json
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "servers"))
sys.dont_write_bytecode = True

import harness  # noqa: E402
import prom  # noqa: E402
import sites  # noqa: E402

EXAMPLES = HERE.parent.parent / "examples"
SHOP = EXAMPLES / "shop"
sys.path.insert(0, str(SHOP))
import traffic  # noqa: E402  pylint: disable=wrong-import-position

# What says something only when it is wrong, by panel and letter of the query; with no data it is right.
QUIET = {("Regions", "B")}


def queries(dashboard):
    """(title, letter, expression, format) of all targets."""
    return [(p["title"], t["refId"], t["expr"], t.get("format")) for p in dashboard["panels"] for t in p.get("targets", ())]


def as_asked(expression, service=".*"):
    """What Grafana makes of its variables."""
    for name, value in (("$__rate_interval", "20s"), ("$__range", "1m"), ("$service", service)):
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return expression


def check_shape(dashboard):
    """What Grafana wants of any dashboard: numbers of their own, panels side by side, known data sources and variables."""
    wrong = []
    panels = dashboard["panels"]
    names = {v["name"] for v in dashboard["templating"]["list"]}
    if len({p["id"] for p in panels}) != len(panels):
        wrong.append("a panel's number is given twice")
    taken = {}
    for p in panels:
        g = p["gridPos"]
        if g["x"] + g["w"] > 24:
            wrong.append(f"{p['title']}: wider than the grid")
        for cell in ((x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])):
            if cell in taken:
                wrong.append(f"{p['title']} lies on {taken[cell]}")
                break
            taken[cell] = p["title"]
        if p["type"] != "row" and (p["datasource"]["uid"] != "${datasource}" or not p["description"]):
            wrong.append(f"{p['title']}: no description, or a data source of its own")
        for t in p.get("targets", ()):
            used = set(re.findall(r"\$(\w+)", t["expr"])) - {"__rate_interval", "__range"}
            if used - names or t["datasource"]["uid"] != "${datasource}":
                wrong.append(f"{p['title']}: {t['expr']}")
    harness.report(not wrong, f"{dashboard['uid']}_the_dashboard_is_well_formed", "\n".join(wrong))


def check_names(dashboard, scrape):
    """No query names a metric that is not served."""
    served = {n for n, _, _ in scrape.samples}
    words = {w for _, _, expression, _ in queries(dashboard) for w in re.findall(r"\b(?:http|tickbird|process)_\w+|\b\w+(?=\{)", expression)}
    harness.report(words <= served, f"{dashboard['uid']}_every_metric_of_the_dashboard_is_served", " ".join(sorted(words - served)))


def abort(address):
    """One request that its client does not wait for, and one response of which it takes the beginning."""
    for path in (b"/slow", b"/big.bin"):
        s = socket.create_connection(address)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        s.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        if path == b"/big.bin":
            s.recv(1)
        s.close()


def check_queries(dashboard, prometheus):
    """Each until it has data: the last series needs two scrapes."""
    wrong = []
    for title, letter, expression, _ in queries(dashboard):
        asked = as_asked(expression)
        try:
            if (title, letter) in QUIET:
                prometheus.query(asked)
            else:
                harness.until(lambda e=asked: prometheus.query(e), title, 60)
            start = time.time() - 30
            prometheus.get("/api/v1/query_range", query=asked, start=start, end=start + 30, step="5s")
        except (AssertionError, OSError) as error:
            wrong.append(f"{title} {letter}: {error}: {asked}")
    harness.report(not wrong, f"{dashboard['uid']}_every_query_parses_and_has_data", "\n".join(wrong) or f"{len(queries(dashboard))} queries")


def expression_of(dashboard, title, letter="A"):
    return next(e for t, l, e, _ in queries(dashboard) if (t, l) == (title, letter))


def check_values(dashboard, prometheus):
    """One request in four fails: the share that a panel shows is that, for one service and for both."""
    wrong = []
    expression = expression_of(dashboard, "Server errors")
    for service in ("shop", "api", "shop|api", ".*"):
        def is_near(service=service):
            value = prometheus.value(as_asked(expression, service))
            return value is not None and abs(value - 0.25) < 0.05
        try:
            harness.until(is_near, f"share of errors of {service}", 60)
        except AssertionError as error:
            wrong.append(f"{error}: {prometheus.value(as_asked(expression, service))}")
    by = as_asked(expression_of(dashboard, "Requests per second, by service"))
    services = {r["metric"]["service"] for r in prometheus.query(by)}
    if not {"shop", "api"} <= services:
        wrong.append(f"services {services}")
    heat = {r["metric"]["le"] for r in prometheus.query(as_asked(expression_of(dashboard, "Latency")))}
    if "+Inf" not in heat or len(heat) != 17:
        wrong.append(f"buckets {heat}")
    harness.report(not wrong, "what_is_shown_is_what_the_client_sent", "\n".join(wrong))


def check_services(dashboard, prometheus, names):
    query = next(v for v in dashboard["templating"]["list"] if v["name"] == "service")["query"]["query"]
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", query).groups()
    found = prometheus.get(f"/api/v1/label/{label}/values", **{"match[]": metric})
    harness.report(names <= set(found), f"{dashboard['uid']}_the_services_can_be_chosen", str(found))


def run(test):
    dashboard = json.loads((EXAMPLES / "grafana/tickbird.json").read_text(encoding="utf-8"))
    check_shape(dashboard)
    addresses = {name: sites.python_upstream(test, preload=True, service=name) for name in ("shop", "api")}
    sites.python_upstream(test, preload=True, service="closed")
    sites.python_upstream(test)  # not preloaded: a reason of tickbird_unobservable
    subprocess.run([harness.BUILD / "tickbird", "off", "--dir", test.region_dir, "closed"], check=True, capture_output=True, timeout=60)
    test.start_exporter()
    prometheus = prom.Prometheus(test, test.exporter)
    with prom.Traffic(addresses.values(), abort) as traffic:
        check_queries(dashboard, prometheus)
        check_values(dashboard, prometheus)
        check_services(dashboard, prometheus, {"shop", "api", "closed"})
        check_names(dashboard, test.scrape())
    harness.report(not traffic.error, "the_servers_answered", str(traffic.error or ""))


class Visitors(threading.Thread):
    """The shop's visitors, again and again until they are left: rates need counters that rise between scrapes."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.tally, self.is_over, self.error = traffic.Traffic(*address), threading.Event(), None

    def run(self):
        try:
            while not self.is_over.is_set():
                self.tally.run()
        except OSError as error:
            self.error = error

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.join()


def shop(test):
    dashboard = json.loads((SHOP / "dashboard.json").read_text(encoding="utf-8"))
    check_shape(dashboard)
    test.start_exporter("--config.file", SHOP / "tickbird.yml")
    test.scrape()
    gateway, address = (test.ip, test.port()), (test.ip, test.port())
    test.wait_for_port(gateway, test.start([sites.PYTHON, SHOP / "gateway.py", *gateway], preload=False))
    test.wait_for_port(address, test.start([sites.PYTHON, SHOP / "shop.py", *address, *gateway]))
    prometheus = prom.Prometheus(test, test.exporter)
    with Visitors(address) as visitors:
        check_queries(dashboard, prometheus)
        check_services(dashboard, prometheus, {test.service})
        check_names(dashboard, test.scrape())
    harness.report(not visitors.error, "the_shop_answered", str(visitors.error or ""))
    tally = visitors.tally
    for title, expected, off in (("Tasks waiting", tally.waiting, 0), ("Active sessions", len(tally.sessions), max(2, 0.05 * len(tally.sessions)))):
        asked = as_asked(expression_of(dashboard, title))
        try:
            harness.until(lambda e=asked, n=expected, o=off: abs((prometheus.value(e) or 0) - n) <= o, title, 60)
            harness.report(True, f"{title.lower().replace(' ', '_')}_is_the_visitors_number")
        except AssertionError as late:
            harness.report(False, f"{title.lower().replace(' ', '_')}_is_the_visitors_number", f"{late}: {prometheus.query(asked)}, visitors {expected}")


harness.main_special({"dashboard": run, "shop": shop})
