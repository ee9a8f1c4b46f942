#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The metrics that people push by hand (OrdersCreated, CheckoutDuration, QueueDepth), of an ordinary server without a line of
metrics code: rules make them, and what CloudWatch gets is what the client asked, per dimension; and its alarm fires."""
import collections
import http.client
import json
import time

from push_lib import KEYS, Endpoint, alarm, check, cli_lib, datums, main, once, push_once, test, total, value, wait_for, write

SHOP = r"""
import http.server, json, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    def answer(self, status, what):
        body = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(200, {"queue": {"waiting": 1234}})
    def do_POST(self):
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        good = order["payment_method"] != "none"
        self.answer(201 if good else 402, {"order": {"status": "paid" if good else "failed"}})
""" + cli_lib.SERVE + "sys.stdin.read()\n"

CONFIG = """
rules:
  - metric: orders_created_total
    match: {{method: POST, route: /orders, status: 201}}
    labels: {{status: {{response_json: order.status, allow: [paid]}}}}
  - metric: checkout_duration_seconds
    type: histogram
    match: {{method: POST, route: /orders}}
    bounds: [0.1, 0.5, 1, 2, 5, 10]
    labels: {{payment_method: {{request_json: payment_method, allow: [card, cash]}}}}
  - metric: task_queue_size
    type: gauge
    match: {{route: /health}}
    value: {{response_json: queue.waiting}}
push:
  outputs:
    - type: cloudwatch
      namespace: MyApp/Business
      endpoint: {url}
      constants: {{Environment: production}}
      metrics:
        - {{metric: orders_created_total, dimensions: [[Environment]]}}
        - {{metric: checkout_duration_seconds, dimensions: [[payment_method]]}}
        - {{metric: task_queue_size, name: QueueDepth, unit: Count, dimensions: [[], [Environment]]}}
"""
QUEUE = {"Namespace": "MyApp/Business", "MetricName": "QueueDepth", "Statistic": "Maximum", "Period": 60, "EvaluationPeriods": 1,
         "Threshold": 1000, "Dimensions": {"Environment": "production"}}


@test
def what_people_push_by_hand(s):
    endpoint, asked = Endpoint(KEYS), collections.Counter()
    config = write(s, CONFIG.format(url=endpoint.url))
    server = cli_lib.run_python(s, SHOP, "--config", config)
    client = http.client.HTTPConnection("127.0.0.1", int(cli_lib.read_line(server.stdout)), timeout=60)

    def ask(method, path, body=None):
        client.request(method, path, json.dumps(body) if body else None)
        answer = client.getresponse()
        answer.read()
        asked[answer.status] += 1

    for i in range(60):
        ask("POST", "/orders", {"id": i, "payment_method": ("card", "cash", "none")[i % 3]})
    ask("GET", "/health")
    wait_for("all is counted", lambda: value(once(s), "http_requests_total", service="shop") == 61)
    check(asked == {201: 40, 402: 20, 200: 1}, asked)
    done = push_once(s, config)
    check(done.code == 0, done)
    found = datums(endpoint)
    check(total(endpoint, "OrdersCreated", Environment="production") == 40, found)
    counts = {d["Dimensions"]["PaymentMethod"]: sum(d["Counts"]) for d in found if d["MetricName"] == "CheckoutDuration"}
    check(counts == {"card": 20, "cash": 20, "other": 20} or counts == {"card": 20, "cash": 20, "_other": 20}, counts)
    check({d["Unit"] for d in found if d["MetricName"] == "CheckoutDuration"} == {"Seconds"}, found)
    check({d["Unit"] for d in found if d["MetricName"] == "OrdersCreated"} == {"Count"}, found)
    check([d["Value"] for d in found if d["MetricName"] == "QueueDepth"] == [1234, 1234], found)
    check(alarm.state_of(found, QUEUE, time.time() + 60) == "ALARM", found)
    check(alarm.state_of(found, {**QUEUE, "Dimensions": {"Environment": "staging"}}, time.time() + 60) == "INSUFFICIENT_DATA")
    ask("POST", "/orders", {"payment_method": "card"})
    wait_for("it is counted", lambda: value(once(s), "http_requests_total", service="shop") == 62)
    check(push_once(s, config).code == 0 and total(endpoint, "OrdersCreated", Environment="production") == 41, datums(endpoint))


main()
