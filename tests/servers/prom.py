# SPDX-License-Identifier: Apache-2.0
"""Starts a real Prometheus with one-second scrapes and asks it; traffic for it to show. And promtool, to which numbers of a scrape are told."""
import json
import subprocess
import threading
import urllib.parse
import urllib.request

import client
import harness

RULES = """groups:
- name: http
  interval: 1s
  rules:
  - record: job:request_errors:rate5m
    expr: rate(http_requests_total{status=~"5.."}[5m])
  - record: job:request_duration_p95:rate5m
    expr: histogram_quantile(0.95, sum by (le, job) (rate(http_request_duration_seconds_bucket[5m])))
  - record: job:availability:ratio1h
    expr: 1 - (sum by (job) (rate(http_requests_total{status=~"5.."}[1h])) / sum by (job) (rate(http_requests_total[1h])))
  - alert: HighErrorRate
    expr: job:request_errors:rate5m > 0.05
    labels: {severity: page}
    annotations: {summary: "errors on {{ $labels.route }}"}
"""


class Prometheus:
    def __init__(self, test, target, more=""):
        """@more: lines of the scrape configuration, each begun with two blanks."""
        self.test = test
        self.address = (test.ip, test.port())
        self.rules = test.write("rules.yml", RULES)
        self.config = test.write("prometheus.yml", f"""global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [{self.rules}]
scrape_configs:
- job_name: web
  static_configs: [{{targets: ["{target[0]}:{target[1]}"]}}]
{more}""")
        child = test.start([harness.which("prometheus"), f"--config.file={self.config}", f"--storage.tsdb.path={test.dir}/tsdb",
                            "--web.listen-address=%s:%d" % self.address, "--log.level=warn"], preload=False)
        test.wait_for_port(self.address, child)

    def get(self, path, **parameters):
        url = "http://%s:%d%s?%s" % (*self.address, path, urllib.parse.urlencode(parameters))
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)["data"]

    def query(self, expression, time=None):
        """The vector or matrix of an instant query."""
        try:
            return self.get("/api/v1/query", query=expression, **({"time": time} if time else {}))["result"]
        except urllib.error.HTTPError as error:
            if error.code == 503:  # still replaying its log
                return []
            raise

    def value(self, expression, time=None):
        """The one value of an instant query, None when there is none."""
        result = self.query(expression, time)
        assert len(result) <= 1, result
        return float(result[0]["value"][1]) if result else None

    def scrapes(self):
        """How many there were, and how many failed; those that took the whole second that they may are neither: a machine may be busy."""
        def samples(name):
            return {(r["metric"]["job"], r["metric"]["instance"], at): float(value) for r in self.query(f"{name}[10m]") for at, value in r["values"]}
        took = samples("scrape_duration_seconds")
        in_time = [is_up for at, is_up in samples("up").items() if is_up or took.get(at, 0) < 0.95]
        return len(in_time), in_time.count(0)


class Traffic(threading.Thread):
    """Some requests a second to each address, one in four an error, until it is left: rates need a counter that rises between
    scrapes. @more: called with each address, too."""

    def __init__(self, addresses, more=None):
        super().__init__(daemon=True)
        self.addresses, self.more, self.is_over, self.error = addresses, more, threading.Event(), None

    def run(self):
        try:
            while not self.is_over.wait(0.2):
                for address in self.addresses:
                    conn = client.Conn(address)
                    for path in ("/hello", "/hello", "/items/7", "/error"):
                        conn.send(client.request("GET", path, "localhost"))
                        conn.response("GET")
                    conn.close()
                    if self.more:
                        self.more(address)
        except OSError as error:
            self.error = error

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.join()


def as_series(scrape, service, *families):
    """Counters of a scrape as promtool writes series: {series: value}."""
    return {f"{name}{{{','.join(f'{k}={json.dumps(v)}' for k, v in labels.items())}}}": value
            for name, labels, value in scrape.samples if name in families and labels.get("service") == service and value}


def rate_test(test, rules, series, asked):
    """promtool with the file @rules: @series rise by their value each minute for ten; @asked: expression -> value that it then has.
    Returns whether all do, and what was said."""
    path = test.write("tests.json", json.dumps({
        "rule_files": [str(rules)], "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": [{"series": name, "values": f"0+{rise:g}x10"} for name, rise in series.items()],
                   "promql_expr_test": [{"expr": f"count(abs({expression} - {value!r}) < 1e-9)", "eval_time": "10m",
                                         "exp_samples": [{"labels": "{}", "value": 1}]} for expression, value in asked.items()]}]}))
    done = subprocess.run([harness.which("promtool"), "test", "rules", path], capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout + done.stderr
