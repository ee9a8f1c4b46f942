#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Remote write into a real Prometheus: what it answers to queries is what the client asked and what a scrape says."""
import json
import shutil
import socket
import urllib.parse
import urllib.request

from push_lib import Endpoint, Server, Skip, check, main, once, push_once, serve, test, value, wait_for, write

CONFIG = """
push:
  interval: 1s
  outputs:
    - type: remote_write
      endpoint: {url}
      constants: {{job: tickbird, datacenter: "caf\u00e9"}}
      {more}
      metrics:
        - {{metric: "http_request*", where: {{service: shop}}}}
        - {{metric: http_connections_open, name: connections, where: {{service: shop}}, labels: [service]}}
"""


class Prometheus:
    def __init__(self, s):
        program = shutil.which("prometheus")
        if not program:
            raise Skip("no prometheus here")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        config = write(s, "global: {}\n", "prometheus.yml")
        s.start([program, "--config.file=" + config, f"--storage.tsdb.path={s.path}/tsdb", "--web.enable-remote-write-receiver",
                 f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=error"])
        self.url = f"http://127.0.0.1:{self.port}"
        wait_for("Prometheus is ready", self.is_ready, 60)

    def is_ready(self):
        try:
            return urllib.request.urlopen(self.url + "/-/ready", timeout=5).status == 200
        except OSError:
            return False

    def query(self, expression):
        address = self.url + "/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(address, timeout=20) as answer:
            return json.load(answer)["data"]["result"]

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=20) as answer:
            return json.load(answer)["data"]


@test
def what_prometheus_has_is_what_was_served(s):
    server, prometheus = Server(s), Prometheus(s)
    config = write(s, CONFIG.format(url=prometheus.url + "/api/v1/write", more=""))
    for i in range(23):
        server.get(f"/orders/{i}")
    server.get("/broken")
    done = push_once(s, config)
    check(done.code == 0, done)
    served = once(s)
    compared = 0
    for name, found in served.items():
        if not name.startswith("http_request") or name.startswith("http_requests_in_flight"):
            continue
        for labels, expected in found.items():
            wanted = {**dict(labels), "job": "tickbird", "datacenter": "caf\u00e9"}
            selector = ",".join(f'{k}={json.dumps(v, ensure_ascii=False)}' for k, v in wanted.items())
            result = prometheus.query(f"{name}{{{selector}}}")
            if wanted["service"] != "shop":
                check(not result, name, wanted)
                continue
            check(len(result) == 1 and result[0]["metric"] == {**wanted, "__name__": name}, name, wanted, result)
            check(abs(float(result[0]["value"][1]) - expected) <= 1e-9 * abs(expected), name, wanted, result, expected)
            compared += 1
    check(compared > 40, compared)
    check(float(prometheus.query('sum(http_requests_total{service="shop",status="200"})')[0]["value"][1]) == 23)
    check(prometheus.query("connections")[0]["metric"] == {"__name__": "connections", "service": "shop", "job": "tickbird",
                                                           "datacenter": "caf\u00e9"})
    p95 = prometheus.query("histogram_quantile(0.95, sum by (le) (http_request_duration_seconds_bucket))")
    check(float(p95[0]["value"][1]) > 0, p95)


@test
def while_prometheus_is_away_what_is_sent_waits(s):
    server, receiver = Server(s), Endpoint()
    config = write(s, CONFIG.format(url=receiver.url, more="headers: {Authorization: Bearer abc}"))
    receiver.behave = ["hang up", 503, 429]
    process, scrape = serve(s, config)
    server.get("/orders/1")
    wait_for("it is accepted", lambda: len(receiver.accepted) >= 3)
    check(receiver.seen[0][2] == receiver.seen[1][2] == receiver.seen[2][2] == receiver.seen[3][2])
    headers = receiver.accepted[0][1]
    check(headers["X-Prometheus-Remote-Write-Version"] == "0.1.0" and headers["Content-Encoding"] == "snappy", headers)
    check(headers["Content-Type"] == "application/x-protobuf" and headers["Authorization"] == "Bearer abc", headers)
    found = scrape()
    check(value(found, "tickbird_exporter_push_requests_total", output="remote_write", result="uncertain") == 1, found)
    check(value(found, "tickbird_exporter_push_dropped_points_total", output="remote_write") == 0)
    process.kill()


@test
def a_refused_request_does_not_hold_up_the_next(s):
    server, receiver = Server(s), Endpoint()
    server.get("/orders/1")
    config = write(s, CONFIG.format(url=receiver.url, more=""))
    receiver.behave = [400]
    check(push_once(s, config).code == 1 and not receiver.accepted)
    check(push_once(s, config).code == 0 and len(receiver.accepted) == 1)


@test
def wrong_settings_are_told(s):
    for text, expected in {"endpoint: ftp://h": '"ftp://h" is no URL',
                           "endpoint: http://h, constants: {bad name: v}": 'constants: "bad name"'}.items():
        done = s.run("check-config", write(s, "push: {outputs: [{type: remote_write, metrics: [a], %s}]}\n" % text))
        check(done.code == 1 and expected in done.err and done.err.count("\n") == 1, text, done)


main()
