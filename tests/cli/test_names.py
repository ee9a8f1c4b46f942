#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`metrics` of config.yml in a real exporter: in force when the file changes, and not when it is wrong; no label of its own
that constant labels could meet."""
import os
import re
import subprocess
import urllib.request

from cli_lib import EXPORTER, ROOT, Server, check, main, make_regions, read_line, test, wait_for

SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)')


def write(s, text):
    path = os.path.join(s.path, "c.yml")
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write(text)
    os.rename(path + ".new", path)
    return path


def samples(text):
    """(name, labels) -> value, and no series twice."""
    found = {}
    for line in text.splitlines():
        if line and line[0] != "#":
            name, labels, value = SAMPLE.match(line).groups()
            pairs = LABEL.findall(labels or "")
            check(len({k for k, _ in pairs}) == len(pairs), "a label twice", line)
            key = (name, tuple(sorted(pairs)))
            check(key not in found, "a series twice", line)
            found[key] = float(value)
    return found


def start_exporter(s, config, *flags):
    """A function that scrapes it."""
    process = s.start([EXPORTER, "--web.listen-address", "127.0.0.1:0", "--config.file", config, *flags], stderr=subprocess.PIPE,
                      bufsize=0)  # read_line waits for what is in the pipe
    port = None
    while not port:
        found = re.search(r"msg=listening.* port=(\d+)", read_line(process.stderr))
        port = found and found.group(1)

    def scrape(accept=None):
        """The samples; for an Accept header the Content-Type and the text."""
        request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept} if accept else {})
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read().decode()
            return samples(text) if accept is None else (answer.headers["Content-Type"], text)
    return scrape


def value(found, name, **labels):
    return found.get((name, tuple(sorted(labels.items()))))


@test
def names_change_when_the_file_does_and_stay_when_it_is_wrong(s):
    server = Server(s)
    for _ in range(3):
        check(server.get("/items") == 200)
    scrape = start_exporter(s, write(s, "metrics: {preset: otel}\n"))
    otel = {"service_name": "shop", "http_request_method": "GET", "http_route": "/items", "http_response_status_code": "200"}
    wait_for("requests are counted", lambda: value(scrape(), "http_server_request_duration_seconds_count", **otel) == 3)

    write(s, "metrics: {preset: prom-client, labels: {status: status}, constant_labels: {env: prod}}\n")
    plain = {"service": "shop", "method": "GET", "route": "/items", "status": "200", "env": "prod"}
    found = scrape()
    check(value(found, "http_request_duration_ms_count", **plain) == 3, found)
    check(not any(name.startswith("http_server") for name, _ in found), found)
    check(all(("env", "prod") in labels for _, labels in found), "a sample without the constant label")

    for wrong in ("metrics: {preset: other}\n", "metrics: {labels: {status: route}}\n", "metrics: [\n"):
        write(s, wrong)
        again = scrape()
        check(value(again, "http_request_duration_ms_count", **plain) == 3, wrong, again)
        check(value(again, "tickbird_exporter_config_last_reload_successful", env="prod") == 0, again)
    write(s, "routes:\n")
    found = scrape()
    del plain["env"]
    check(value(found, "http_request_duration_seconds_count", **plain) == 3, found)
    check(value(found, "tickbird_exporter_config_last_reload_successful") == 1, found)


@test
def names_that_are_no_identifiers_are_served_as_the_reader_can_read_them(s):
    config = write(s, "metrics:\n  labels: {service: service.name}\n  families: {http_requests_total: http.requests_total}\n"
                      "rules: [{metric: shop.orders_total, match: {path: /items}}]\n")
    scrape = start_exporter(s, config)
    server = Server(s)
    quoted = '{"%s","service.name"="shop"'

    def orders():  # until the program has its rules
        check(server.get("/items") == 200)
        return scrape("text/plain;version=1.0.0;escaping=allow-utf-8")
    _, text = wait_for("the rule counts", lambda: [got for got in (orders(),) if quoted % "shop.orders_total" in got[1]])[0]
    check(quoted % "http.requests_total" in text, text)
    for accept, escaping, names in (("", "underscores", ("http_requests_total", "shop_orders_total", "service_name")),
                                    ("text/plain;version=0.0.4;escaping=allow-utf-8", "underscores", ("http_requests_total", "shop_orders_total", "service_name")),
                                    ("text/plain;version=0.0.4;escaping=values", "values",
                                     ("U__http_2e_requests__total", "U__shop_2e_orders__total", "U__service_2e_name")),
                                    ("application/openmetrics-text;version=1.0.0;escaping=dots", "dots",
                                     ("http_dot_requests__total", "shop_dot_orders__total", "service_dot_name"))):
        kind, text = scrape(accept)
        check(kind.endswith("; escaping=" + escaping), accept, kind)
        found = samples(text)  # identifiers only
        for name in names[:2]:
            check(any(n == name and (names[2], "shop") in labels for n, labels in found), accept, name, text)


@test
def every_label_is_in_the_table(s):
    with open(os.path.join(ROOT, "exporter/labels.def"), encoding="utf-8") as f:
        table = set(re.findall(r'^(?:LABEL\(\w+, |FIXED\()"(\w+)"', f.read(), re.M))
    server = Server(s)
    check(server.get("/items") == 200 and server.get("/broken") == 500)
    scrape = start_exporter(s, write(s, "routes: {host: {label: true}}\n"))
    scrape()
    shown = {label for _, labels in scrape() for label, _ in labels}
    check({"service", "route", "code", "le"} <= shown <= table, shown - table, "is missing in exporter/labels.def")


@test
def a_scrape_stays_within_its_limit_and_loses_nothing(s):
    server = Server(s)
    for i in range(80):
        check(server.get(f"/route{chr(97 + i % 26)}{chr(97 + i // 26)}") == 200)
    scrape = start_exporter(s, write(s, "routes: {route: path}\nexporter: {metrics.max-series: 70}\n"), "--metrics.max-samples", "1000")
    wait_for("requests are counted", lambda: sum(v for (name, _), v in scrape().items() if name == "http_requests_total") == 80)
    for i in range(3):
        check(server.get(f"/later{i}") == 200)
    found = wait_for("the later ones, too", lambda: scrape())
    routes = {dict(labels)["route"] for name, labels in found if name == "http_requests_total"}
    check(sum(v for (name, _), v in found.items() if name == "http_requests_total") == 83, found)
    check(sum(v for (name, _), v in found.items() if name == "http_request_duration_seconds_count") == 83, found)
    check("_other" in routes and not any(r.startswith("/later") for r in routes) and len(found) <= 1000, len(found), routes)
    again = scrape()
    check(routes == {dict(labels)["route"] for name, labels in again if name == "http_requests_total"})
    left_out = {dict(labels)["reason"]: v for (name, labels), v in again.items() if name == "tickbird_exporter_left_out_series"}
    shown = {labels for name, labels in again if name == "http_request_duration_seconds_count"}
    check(left_out["samples_limit"] == 83 - (len(shown) - 1) and left_out["no_room"] == 0, left_out, len(shown))


@test
def limits_are_read_again_with_the_file(s):
    server = Server(s)
    for i in range(6):
        check(server.get(f"/route{chr(97 + i)}") == 200)

    def routes(found):
        return {dict(labels)["route"]: v for (name, labels), v in found.items() if name == "http_requests_total" and v}
    scrape = start_exporter(s, write(s, "exporter: {metrics.max-series: 2}\n"), "--metrics.max-service-series", "4")
    found = wait_for("requests are counted", lambda: [r for r in (routes(scrape()),) if sum(r.values()) == 6])[0]
    check(len(found) == 3 and found["_other"] == 4, found)
    write(s, "exporter: {metrics.max-series: 100, metrics.max-service-series: 1}\n")
    found = routes(scrape())
    check(len([r for r in found if r != "_other"]) == 4, found)  # the flag stays
    write(s, "routes:\n")
    check(len([r for r in routes(scrape()) if r != "_other"]) == 4)


@test
def where_a_program_runs_is_told_on_request(s):
    server = Server(s, "shop", "--labels", "pod=web-1,service=other")
    check(server.get("/items") == 200)
    scrape = start_exporter(s, write(s, "metrics: {instances: [pid, labels], labels: {service: app}}\n"))
    found = scrape()
    check([(dict(labels), v) for (name, labels), v in found.items() if name == "tickbird_region_info"] ==
          [({"app": "shop", "pid": str(server.process.pid), "pod": "web-1", "service": "other"}, 1)], found)
    write(s, "routes:\n")
    check(not any(name == "tickbird_region_info" for name, _ in scrape()))


@test
def a_text_file_has_the_agents_counters(s):
    server = Server(s)
    check(server.get("/items") == 200)
    path = os.path.join(s.path, "t.prom")
    check(s.run("--once", "--textfile", path, "--config.file", write(s, "metrics: {preset: otel}\n"), program=EXPORTER).code == 0)
    with open(path, encoding="utf-8") as f:
        found = samples(f.read())
    check(value(found, "tickbird_connections_total", service_name="shop") == 1, found)
    check(not any(name.startswith("process_") for name, _ in found), found)


@test
def check_config_says_what_is_called_otherwise(s):
    make_regions(s)
    path = write(s, "metrics:\n  preset: prom-client\n  constant_labels: {env: prod}\n  families: {tickbird_series: false}\n")
    done = s.run("check-config", path)
    check("  buckets of durations: 1 5 15 50 100 200 500 1000 2000\n" in done.out, done)
    rows = dict(line.rsplit(None, 1) for line in done.out.splitlines() if line.startswith("  "))
    rows = {" ".join(k.split()): v for k, v in rows.items()}
    check(done.code == 0 and "metrics: preset prom-client, request durations in milliseconds\n" in done.out, done)
    check(rows["label status"] == "code" and rows["http_request_duration_seconds"] == "http_request_duration_ms", rows)
    check(rows["tickbird_series"] == "(off)" and rows["constant labels"] == 'env="prod"', rows)
    check("metrics" not in s.run("check-config", write(s, "routes:\n")).out)


main()
