#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""docs/dependencies.md: every query is asked of a real Prometheus that scraped a service which serves and calls; the alerts are
checked and tried with promtool."""
import json
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "servers"))
sys.path.insert(0, str(HERE.parent / "servers" / "apps"))
sys.dont_write_bytecode = True

import harness  # noqa: E402
import prom  # noqa: E402
import sites  # noqa: E402
import tally_server  # noqa: E402

PAGE = (HERE.parent.parent / "docs" / "dependencies.md").read_text(encoding="utf-8")

CALLER = """
import sys, time, urllib.request, urllib.error
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
end = time.monotonic() + 200
while time.monotonic() < end:
    for path in ('/items/1', '/items/2', '/items/3', '/error', '/close'):
        try: opener.open(sys.argv[1] + path, timeout=60).read()
        except OSError: pass
        except Exception: pass
    time.sleep(0.05)
"""


def blocks(language):
    found = re.findall(rf"^```{language}\n(.*?)\n```$", PAGE, re.M | re.S)
    assert found, language
    return found


def queries(test):
    behind = tally_server.Tally((test.ip, 0))
    address = sites.python_upstream(test, preload=True, service="shop")
    test.start([sites.PYTHON, test.write("caller.py", CALLER), f"http://{behind.base}"], service="shop")
    test.start_exporter()
    prometheus = prom.Prometheus(test, test.exporter)
    wrong = []
    with prom.Traffic([address]) as traffic:
        for query in blocks("promql"):
            asked = re.sub(r"\[\d+[mh]\]", "[20s]", query)
            try:
                harness.until(lambda e=asked: prometheus.query(e), query, 60)
            except (AssertionError, OSError) as error:
                wrong.append(f"{query}: {error}")
        harness.report(not wrong, "every_query_of_the_page_is_answered", "\n".join(wrong))
        share = re.sub(r"\[\d+[mh]\]", "[20s]", blocks("promql")[0])
        try:
            harness.until(lambda: abs(prometheus.value(share) - 0.6) < 0.08, "three of five calls succeed", 60)
            harness.report(True, "availability_is_that_of_the_calls")
        except AssertionError as late:
            harness.report(False, "availability_is_that_of_the_calls", f"{late}: {prometheus.query(share)}")
    harness.report(not traffic.error, "the_server_answered", str(traffic.error or ""))
    behind.stop()


# Each alert: what is there a minute (interval 1m), when it is looked at, and whether it fires.
TARGET = 'service="shop",target="pay.example"'
REQUESTS, ERRORS = f"http_client_requests_total{{{TARGET},status=", f"http_client_errors_total{{{TARGET},reason="
CASES = {
    "DependencyDown": ([(f"dependency_up{{{TARGET}}}", "1 1 0 0 0 0 0 0")], [("2m", False), ("5m", True)]),
    "DependencyFailing": ([(REQUESTS + '"200"}', "0+90x60"), (REQUESTS + '"500"}', "0x10 0+5x50"), (ERRORS + '"reset"}', "0x10 0+5x50")],
                          [("10m", False), ("30m", True)]),
    "DependencySlow": ([(f"http_client_request_duration_seconds_bucket{{{TARGET},le=\"{le}\"}}", f"0+{n}x60")
                        for le, n in (("0.5", 1), ("2.5", 9), ("+Inf", 10))], [("5m", False), ("30m", True)]),
}


def alerts(test):
    promtool = harness.which("promtool")
    rules = test.write("rules.yml", blocks("yaml")[0] + "\n")
    said = subprocess.run([promtool, "check", "rules", rules], capture_output=True, check=False)
    harness.report(said.returncode == 0, "the_rules_are_right", (said.stdout + said.stderr).decode())
    tests = []
    for alert, (series, moments) in CASES.items():
        for when, fires in moments:
            # only whether it fires: promtool compares labels and texts exactly, so the alert's own series is asked for
            samples = [] if not fires else [{"labels": f'{{alertname="{alert}"}}', "value": 1}]
            tests.append({"interval": "1m", "input_series": [{"series": s, "values": v} for s, v in series],
                          "promql_expr_test": [{"expr": f'count by (alertname) (ALERTS{{alertname="{alert}",alertstate="firing"}})',
                                                "eval_time": when, "exp_samples": samples}]})
    path = test.write("tests.yml", json.dumps({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": tests}))
    said = subprocess.run([promtool, "test", "rules", path], capture_output=True, check=False)
    harness.report(said.returncode == 0, "the_alerts_fire_when_they_should", (said.stdout + said.stderr).decode()[-3000:])


harness.main_special({"queries": queries, "alerts": alerts})
