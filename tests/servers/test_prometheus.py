#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus scrapes every second and evaluates the usual recording rules; each equals what the client's record says.

First every route is asked once, so that each series has its first scrape; then, before any error, the rules must have
values; then traffic with errors and slow answers. rate() extrapolates by at most 1.1 scrape intervals at either end: that,
and nothing else, is the tolerance.
"""
import bisect
import collections
import subprocess
import sys
import threading
import time

import client
import harness
import prom
import sites

SLOW_SECONDS = 0.32  # that /slow takes (apps/http_server.py)
BOUNDS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]


class Traffic:
    """Counts and durations by (route, status), as the client saw them."""

    def __init__(self, address):
        self.address, self.counts, self.seconds = address, collections.Counter(), []
        self.lock = threading.Lock()

    def ask(self, path, times):
        conn = client.Conn(self.address)
        for _ in range(times):
            began = time.monotonic()
            conn.send(client.request("GET", path, "localhost"))
            response = conn.response("GET")
            with self.lock:
                self.counts[(path, str(response.status))] += 1
                self.seconds.append(time.monotonic() - began)
        conn.close()

    def errors(self):
        return sum(v for (_, status), v in self.counts.items() if status[0] == "5")


def samples_by_series(prometheus, metric):
    """(route, status) -> [(time, value)], raw."""
    return {(r["metric"]["route"], r["metric"]["status"]): [(t, float(v)) for t, v in r["values"]]
            for r in prometheus.query(metric + "[5m]")}


def slack(samples):
    """The most that rate() may add by extrapolation, as a factor."""
    sampled = samples[-1][0] - samples[0][0]
    return 1 + 2 * 1.1 / (len(samples) - 1) if sampled else float("inf")


def check_rates(prometheus, series, traffic, moment):
    wrong = []
    for (route, status), samples in series.items():
        sent = traffic.counts[(route, status)]
        if samples[-1][1] - samples[0][1] != sent:
            wrong.append(f"{route} {status}: {samples[-1][1] - samples[0][1]:g} between first and last scrape, client {sent}")
        if status[0] != "5":
            continue
        value = prometheus.value(f'job:request_errors:rate5m{{route="{route}",status="{status}"}}', moment)
        if value is None or not sent / 300 * 0.9999 <= value <= sent / 300 * slack(samples) * 1.0001:
            wrong.append(f"{route} {status}: rule {value}, client {sent / 300} and at most {slack(samples):.3f} times that")
    harness.report(not wrong, "error_rate_equals_the_client", "\n".join(wrong))


def check_availability(prometheus, series, traffic, moment):
    expected = 1 - traffic.errors() / sum(traffic.counts.values())
    spread = max(slack(s) for s in series.values())
    value = prometheus.value("job:availability:ratio1h", moment)
    low, high = 1 - (1 - expected) * spread, 1 - (1 - expected) / spread
    is_right = value is not None and low <= value <= high
    harness.report(is_right, "availability_equals_the_client", f"rule {value}, client {expected}, within {low:.6f} to {high:.6f}")


def check_p95(prometheus, traffic, moment):
    """More than one in twenty is /slow, so no less than its handler takes; and no more than the client waited."""
    ordered = sorted(traffic.seconds)
    p95 = ordered[int(len(ordered) * 0.95)]
    value = prometheus.value("job:request_duration_p95:rate5m", moment)
    low, high = BOUNDS[bisect.bisect_left(BOUNDS, SLOW_SECONDS) - 1], BOUNDS[bisect.bisect_left(BOUNDS, p95)]
    is_right = value is not None and low <= value <= high
    harness.report(is_right, "p95_lies_in_the_bucket_of_the_clients_p95", f"rule {value}, client {p95:.4f}, bucket {low} to {high}")


def check_promtool(test):
    promtool = harness.which("promtool")
    harness.check_promtool("prometheus", test.scrape())
    said = subprocess.run([promtool, "check", "rules", str(test.dir / "rules.yml")], capture_output=True, check=False)
    harness.report(said.returncode == 0, "promtool_accepts_the_rules", (said.stdout + said.stderr).decode() if said.returncode else "")


def run(test):
    harness.which("promtool")
    address = sites.python_upstream(test, preload=True)
    test.start_exporter()
    prometheus = prom.Prometheus(test, test.exporter)

    routes = ["/hello", "/error", "/slow", "/items/7"]
    first = Traffic(address)
    for path in ("/hello", "/slow", "/items/7"):
        first.ask(path, 1)

    def has_values():
        return prometheus.query("job:request_errors:rate5m") and prometheus.query("job:availability:ratio1h")
    harness.until(has_values, "the rules have values")
    before = prometheus.query("job:request_errors:rate5m")
    # without traffic since the first scrape availability is 0/0; traffic without an error gives it its value
    calm = Traffic(address)
    calm.ask("/hello", 20)
    harness.until(lambda: prometheus.value("job:availability:ratio1h") == 1.0, "availability is 1 before the first error")
    harness.report(bool(before) and all(float(r["value"][1]) == 0 for r in before), "rules_have_values_before_the_first_error",
                   f"{len(before)} series of errors, availability 1")

    # /error was never asked: its series begins with its first error, which rate() cannot see.
    first_error = Traffic(address)
    first_error.ask("/error", 1)
    harness.until(lambda: prometheus.query('http_requests_total{route="/error",status="500"}'), "the error is scraped")

    loud = Traffic(address)
    for _ in range(4):
        threads = [threading.Thread(target=loud.ask, args=a) for a in
                   [("/hello", 60), ("/items/7", 20), ("/error", 7), ("/slow", 5), ("/slow", 5), ("/slow", 3)]]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    for key, value in calm.counts.items():
        loud.counts[key] += value
    loud.seconds += calm.seconds

    total = sum((first.counts + loud.counts + first_error.counts).values())
    last = harness.until(lambda: next((r["value"][0] for r in prometheus.query("sum(http_requests_total)")
                                       if float(r["value"][1]) == total), None), "everything is scraped")
    # the rules have been evaluated on that scrape once a rule's own sample is younger than it
    harness.until(lambda: float((prometheus.query("timestamp(job:availability:ratio1h)") or [{"value": [0, 0]}])[0]["value"][1]) > last + 1,
                  "the rules are evaluated")
    series = {k: v for k, v in samples_by_series(prometheus, "http_requests_total").items() if k[0] in routes}
    check_rates(prometheus, series, loud, None)
    check_availability(prometheus, series, loud, None)
    check_p95(prometheus, loud, None)
    scrapes, failed = prometheus.scrapes()
    harness.report(scrapes and not failed, "every_scrape_succeeded", f"{scrapes} scrapes, {failed} failed")
    check_promtool(test)


harness.main_special({"prometheus": run})
