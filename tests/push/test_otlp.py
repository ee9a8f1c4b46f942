#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""OTLP over HTTP into a real OpenTelemetry Collector: totals and differences, exponential histograms that hold the exact
cells, resources; and what its answers mean."""
import math

from collector import Collector
from push_lib import Endpoint, Server, check, main, once, push_once, serve, test, value, wait_for, write

CONFIG = """
push:
  interval: 1s
  outputs:
    - type: otlp
      endpoint: {url}
      resource: {{deployment.environment: production}}
      {more}
      metrics:
        - {{metric: http_requests_total, where: {{service: shop}}}}
        - {{metric: http_request_duration_seconds, where: {{service: shop}}}}
        - {{metric: http_request_first_byte_seconds, where: {{service: shop}}}}
        - {{metric: http_connections_open, name: connections, where: {{service: shop}}}}
"""


def of(points, name, **attributes):
    return [p for p in points if p["Name"] == name and attributes.items() <= p["attributes"].items()]


@test
def the_collector_has_what_was_served(s):
    server, collector = Server(s), Collector(s)
    config = write(s, CONFIG.format(url=collector.url, more=""))
    for i in range(40):
        server.get(f"/orders/{i}")
    server.get("/broken")
    done = push_once(s, config)
    check(done.code == 0, done)
    served = once(s)
    wait_for("it is printed", lambda: of(collector.points(), "connections"))
    points = collector.points()
    count = of(points, "http_requests_total", status="200")
    check(len(count) == 1 and count[0]["Value"] == "40" and count[0]["DataType"] == "Sum", count)
    check(count[0]["IsMonotonic"] == "true" and count[0]["AggregationTemporality"] == "Cumulative", count)
    check(count[0]["resource"] == {"service.name": "shop", "deployment.environment": "production"}, count)
    check(count[0]["attributes"] == {"method": "GET", "route": "/orders/:id", "status": "200"}, count)
    check(not count[0]["StartTimestamp"].startswith("1970"), count)
    duration = of(points, "http_request_duration_seconds", status="200")[0]
    check(duration["DataType"] == "ExponentialHistogram" and duration["Unit"] == "s" and duration["Count"] == "40", duration)
    exact = value(served, "http_request_duration_seconds_sum", status="200")
    check(abs(float(duration["Sum"]) - exact) <= 1e-6, duration, exact)  # it prints six decimals
    check(sum(n for _, _, _, n in duration["buckets"]) == 40, duration)
    cells = [(round(8 * math.log2(high)), n) for _, low, high, n in duration["buckets"] if low > 0]
    check([i for i, _ in cells] == list(range(cells[0][0], cells[0][0] + len(cells))), cells)
    for labels, count in served["http_request_duration_seconds_bucket"].items():
        le, status = float(dict(labels)["le"]), dict(labels)["status"]
        if status == "200":  # between the buckets that end below and those that begin below
            check(sum(n for i, n in cells if 2 ** (i / 8) <= le) <= count <= sum(n for i, n in cells if 2 ** ((i - 1) / 8) < le),
                  le, count, cells)
    first = of(points, "http_request_first_byte_seconds", status="200")[0]
    check(first["Count"] == "40" and first["DataType"] == "Histogram", first)
    check(of(points, "connections")[0]["DataType"] == "Gauge")


@test
def differences_add_up_and_begin_where_the_one_before_ended(s):
    server, collector = Server(s), Collector(s)
    config = write(s, CONFIG.format(url=collector.url, more="temporality: delta"))
    for i in range(9):
        server.get(f"/orders/{i}")
    check(push_once(s, config).code == 0)
    for i in range(4):
        server.get(f"/orders/{i}")
    check(push_once(s, config).code == 0)
    wait_for("both are printed", lambda: len(of(collector.points(), "connections")) == 2)
    count = of(collector.points(), "http_requests_total", status="200")
    check([p["Value"] for p in count] == ["9", "4"] and {p["AggregationTemporality"] for p in count} == {"Delta"}, count)
    check(count[0]["Timestamp"] == count[1]["StartTimestamp"], count)
    duration = of(collector.points(), "http_request_duration_seconds", status="200")
    check([p["Count"] for p in duration] == ["9", "4"], duration)
    check([sum(b[3] for b in p["buckets"]) for p in duration] == [9, 4], duration)


@test
def classic_histograms_are_those_of_a_scrape(s):
    server, collector = Server(s), Collector(s)
    config = write(s, CONFIG.format(url=collector.url, more="histograms: classic"))
    for i in range(12):
        server.get(f"/orders/{i}")
    check(push_once(s, config).code == 0)
    served = once(s)
    wait_for("it is printed", lambda: of(collector.points(), "connections"))
    found = of(collector.points(), "http_request_duration_seconds", status="200")[0]
    le = sorted((float(dict(k)["le"]), v) for k, v in served["http_request_duration_seconds_bucket"].items() if dict(k)["status"] == "200")
    check(found["bounds"] == [b for b, _ in le[:-1]], found, le)
    check([sum(found["buckets"][:i + 1]) for i in range(len(le))] == [v for _, v in le], found, le)


@test
def points_that_are_rejected_are_counted_and_failures_are_told_apart(s):
    server, receiver = Server(s), Endpoint()
    server.get("/orders/1")
    config = write(s, CONFIG.format(url=receiver.url, more=""))
    partial = b"\x0a\x07\x08\x02\x12\x03bad"
    receiver.behave = [503, lambda h, _: receiver.answer(h, 200, partial)]
    process, scrape = serve(s, config)
    name = "tickbird_exporter_push_"
    wait_for("it is answered", lambda: value(scrape(), name + "last_success_timestamp_seconds"))
    found = scrape()
    check(value(found, name + "dropped_points_total", reason="refused") == 2, found)
    check(value(found, name + "requests_total", result="failed") == 1, found)
    receiver.behave = [500]
    wait_for("500 is for good", lambda: value(scrape(), name + "dropped_points_total", reason="refused") > 2)
    process.kill()


@test
def settings_that_contradict_are_refused(s):
    done = s.run("check-config", write(s, "push: {outputs: [{type: otlp, endpoint: http://x, temporality: delta, histograms: classic, metrics: [a]}]}"))
    check(done.code == 1 and "classic ones go as totals only" in done.err and done.err.count("\n") == 1, done)


main()
