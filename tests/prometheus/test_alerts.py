#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""examples/prometheus and examples/alertmanager: when each alert fires and when not by promtool, who is told by amtool, and the whole
way from a request that fails to a webhook with a real Prometheus and a real Alertmanager."""
import http.server
import json
import pathlib
import re
import subprocess
import sys
import threading
import urllib.request

try:
    import yaml
except ImportError:
    yaml = None

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "servers"))
sys.dont_write_bytecode = True

import client  # noqa: E402
import harness  # noqa: E402

EXAMPLES = HERE.parent.parent / "examples"
RULES = {name: EXAMPLES / "prometheus" / f"{name}.yml" for name in ("recording", "alerts", "recipe")}
CORRECTED = ["recording", "alerts"]
ROUTES = EXAMPLES / "alertmanager" / "alertmanager.yml"
WHO = 'job="tickbird",service="shop"'


def requests(status, values, name="http_requests_total", more=""):
    return (f'{name}{{{WHO},{more}status="{status}"}}', values)


def durations(counts, name="http_request_duration_seconds", more=""):
    """@counts: bound -> requests in a minute that took at most so long."""
    return [(f'{name}_bucket{{{WHO},{more}le="{le}"}}', f"0+{n}x400") for le, n in counts.items()]


def own(name, values, labels=""):
    return (f'{name}{{job="tickbird",instance="a:8425"{labels}}}', values)


# alert: (series with a value a minute, moments at which it does not fire, a moment at which it does). promtool evaluates groups in
# any order, so what rests on a recorded series may be 15 seconds later.
FIRES = {
    "HighErrorRate": ([requests(200, "0+94x60"), requests(500, "0+6x60")], ["2m45s"], "3m15s"),
    "SlowResponseTime": (durations({"1": 90, "2.5": 100, "+Inf": 100}), ["5m45s"], "6m15s"),
    "QueueBacklog": ([own("task_queue_size", "1001x60")], ["9m30s", "9m45s"], "10m"),
    "RequestsStopped": ([requests(200, "0+60x1440 86400x60")], ["1446m", "1458m45s"], "1459m15s"),
    "DependencyDown": ([(f'dependency_up{{{WHO},target="pay.example"}}', "1x5 0x60")], ["7m45s"], "8m"),
    "DependencySlow": (durations({"1": 90, "2.5": 100, "+Inf": 100}, "http_client_request_duration_seconds", 'target="pay.example",'),
                       ["10m45s"], "11m15s"),
    "TickbirdDown": ([own("up", "1x5 0x60")], ["10m45s"], "11m"),
    "TickbirdUnobserved": ([own("tickbird_unobserved_listeners", "1x60", ',exe="java",reason="not_preloaded"')], ["29m45s"], "30m"),
    "TickbirdRequestsLost": ([own("tickbird_lost_requests_total", "0x5 1x60", ',service="shop"')], ["5m45s"], "6m"),
    "TickbirdSeriesFull": ([own("tickbird_series_overflow_total", "0x5 0+1x60", ',service="shop"')], ["16m45s"], "17m"),
    "TickbirdConnectionsGivenUp": ([own("tickbird_connections_total", "0+100x60", ',service="shop"'),
                                    own("tickbird_connections_given_up_total", "0+2x60", ',service="shop",reason="two_threads"')],
                                   ["10m45s"], "11m"),
    "TickbirdConfigRefused": ([own("tickbird_exporter_config_last_reload_successful", "1x5 0x60")], ["10m45s"], "11m"),
    "TickbirdPushFails": ([own("tickbird_exporter_push_last_success_timestamp_seconds", "0x60", ',output="cloudwatch"')], ["20m"], "20m15s"),
}
# The budget's alerts: the share that fails, and when which of the four fires.
BURNS = [
    ([requests(200, "0+980x60"), requests(500, "0+20x60")], {"14.4": ("2m", "4m"), "6": ("15m", "17m")}),  # 2 %
    ([requests(200, "0+9960x200"), requests(500, "0+40x200")], {"3": ("60m", "62m"), "1": ("179m", "182m")}),  # 0.4 %
]
# A quiet hour: all that is shipped, healthy.
QUIET = [requests(200, "0+600x120"), requests(404, "0+30x120"), requests(500, "0x120"), *durations({"0.25": 600, "1": 630, "+Inf": 630}),
         own("task_queue_size", "20x120"), (f'dependency_up{{{WHO},target="pay.example"}}', "1x120"), own("up", "1x120"),
         requests(200, "0+60x120", "http_client_requests_total", 'target="pay.example",'),
         *durations({"0.5": 60, "1": 60, "+Inf": 60}, "http_client_request_duration_seconds", 'target="pay.example",'),
         own("tickbird_lost_requests_total", "0x120", ',service="shop"'), own("tickbird_series_overflow_total", "0x120", ',service="shop"'),
         own("tickbird_connections_total", "0+600x120", ',service="shop"'),
         own("tickbird_connections_given_up_total", "0+1x120", ',service="shop",reason="tls"'),
         own("tickbird_exporter_config_last_reload_successful", "1x120"), own("tickbird_exporter_web_config_last_reload_successful", "1x120"),
         own("tickbird_unobserved_listeners", "1x120", ',exe="sshd",reason="excluded"'),
         own("tickbird_exporter_push_last_success_timestamp_seconds", "0+60x120", ',output="cloudwatch"')]


def shipped(name):
    """The rules of a file; an alert's expression has those of recorded series in place of their names."""
    if not yaml:
        raise harness.Missing("no python3-yaml")
    rules = [rule for group in yaml.safe_load(RULES[name].read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]
    recorded = {rule["record"]: rule["expr"] for group in (rules, shipped("recording") if name == "alerts" else ()) for rule in group if "record" in rule}
    for rule in rules:
        while any(name in rule["expr"] for name in recorded):
            rule["expr"] = re.sub("|".join(recorded), lambda m: f"({recorded[m[0]]})", rule["expr"])
    return rules


def firing(matchers, when, count):
    """Asks how many alerts fire; the alerts' own labels and texts are of no concern here."""
    return {"expr": f'count(ALERTS{{alertstate="firing"{matchers}}})', "eval_time": when,
            "exp_samples": [{"labels": "{}", "value": count}] if count else []}


def promtool(test, rules, groups):
    """Runs tests of rules; each group: (series, questions)."""
    path = test.write("tests.json", json.dumps({
        "rule_files": [str(RULES[r]) for r in rules], "evaluation_interval": "15s",
        "tests": [{"interval": "1m", "input_series": [{"series": s, "values": v} for s, v in series], "promql_expr_test": asked}
                  for series, asked in groups]}))
    done = subprocess.run([harness.which("promtool"), "test", "rules", path], capture_output=True, check=False)
    return done.returncode == 0, (done.stdout + done.stderr).decode()[-3000:]


def times(test):
    names = re.findall(r"alert: (\w+)", RULES["alerts"].read_text())
    missing = set(names) - set(FIRES) - {"ErrorBudgetBurn"}
    harness.report(not missing, "each_alert_is_tried", str(missing))
    groups = []
    for alert, (series, quiet, fires) in FIRES.items():
        only = f',alertname="{alert}"'
        groups.append((series, [firing(only, when, 0) for when in quiet] + [firing(only, fires, 1)]))
    ok, said = promtool(test, CORRECTED, groups)
    harness.report(ok, "each_alert_fires_when_it_should", said)
    groups = [(series, [firing(f',alertname="ErrorBudgetBurn",burn="{burn}"', when, count) for burn, moments in burns.items()
                        for when, count in zip(moments, (0, 1))]) for series, burns in BURNS]
    ok, said = promtool(test, CORRECTED, groups)
    harness.report(ok, "a_budget_that_burns_is_told_by_its_rate", said)


def which_duration(_):
    """Each alert on a duration says where that ends, in its text and in docs/alerts.md; no other alert does."""
    rows = dict(re.findall(r"^\| (\w.*?) \|.*\| (.*?) \|$", (EXAMPLES.parent / "docs/alerts.md").read_text(encoding="utf-8"), re.M))
    table = {alert: said for names, said in rows.items() for alert in names.split(", ")}
    wrong, seen = [], 0
    for rule in (rule for name in ("alerts", "recipe") for rule in shipped(name) if "alert" in rule):
        is_timed = "_duration_" in rule["expr"] or "_first_byte_" in rule["expr"]
        end = ("first" if "_first_byte_" in rule["expr"] else "last") if is_timed else None
        text = rule["annotations"].get("description", "")
        in_text = re.search(r"(?:response's (first|last)|the (first|last) byte of the response)", text)
        in_table = re.fullmatch("to the (first|last) byte", table["Tickbird…" if rule["alert"].startswith("Tickbird") else rule["alert"]])
        if (in_text and (in_text[1] or in_text[2])) != end or (in_table and in_table[1]) != end:
            wrong.append(f"{rule['alert']}: {end}, text {in_text}, table {in_table}")
        seen += is_timed
    harness.report(not wrong and seen == 3, "each_alert_says_which_duration_it_uses", "\n".join(wrong) or f"{seen} of them")


def quiet(test):
    told = {re.match(r"\w+", series)[0] for series, _ in QUIET}
    asked = {name for rules in ("alerts", "recipe") for rule in shipped(rules) for name in re.findall(r"\b(?:http|tickbird|task|dependency)_\w+|\bup\b|\w+(?=\[)", rule["expr"])}
    harness.report(asked <= told, "the_quiet_hour_has_all_that_alerts_ask_for", str(asked - told))
    for rules, name in ((CORRECTED, "a_quiet_hour_fires_nothing"), (["recipe"], "a_quiet_hour_fires_nothing_of_the_recipe_either")):
        ok, said = promtool(test, rules, [(QUIET, [firing("", f"{m}m", 0) for m in range(0, 120, 5)])])
        harness.report(ok, name, said)
    silent = [requests(200, "0x120"), requests(500, "0x120"), *[(s, "0x120") for s, _ in durations({"1": 0, "+Inf": 0})]]
    ok, said = promtool(test, CORRECTED, [(silent, [firing("", f"{m}m", 0) for m in range(0, 120, 5)])])
    harness.report(ok, "a_service_without_requests_fires_nothing", said)


def recipe(test):
    """The copied forms work, and do what the comments above them say."""
    few = [requests(200, "0+6000x60"), requests(500, "0+6x60")]  # 0.1 % of 100 a second
    ok, said = promtool(test, ["recipe"], [(few, [firing(',alertname="HighErrorRate"', "10m", 1)]),
                                           (durations({"1": 90, "2.5": 100, "+Inf": 100}), [firing(',alertname="SlowResponseTime"', "7m", 1)]),
                                           ([own("task_queue_size", "1001x60")], [firing("", "9m30s", 0), firing("", "10m", 1)])])
    harness.report(ok, "the_recipes_alerts_fire", said)
    ok, said = promtool(test, CORRECTED, [(few, [firing(',alertname="HighErrorRate"', "10m", 0)])])
    harness.report(ok, "one_failure_in_a_thousand_is_no_high_error_rate", said)


def routes(test):
    files = [EXAMPLES / "prometheus" / "prometheus.yml"]
    done = subprocess.run([harness.which("promtool"), "check", "config", *files], capture_output=True, check=False)
    harness.report(done.returncode == 0, "promtool_takes_the_configuration", (done.stdout + done.stderr).decode())
    amtool = harness.which("amtool")
    done = subprocess.run([amtool, "check-config", ROUTES], capture_output=True, check=False)
    harness.report(done.returncode == 0, "amtool_takes_the_configuration", (done.stdout + done.stderr).decode())
    wrong = []
    for labels, receivers in ((("team=backend", "severity=critical"), "backend,pager"), (("team=backend", "severity=warning"), "backend,mail"),
                              (("team=platform", "severity=warning"), "platform,mail"), (("severity=critical",), "pager"),
                              (("severity=info",), "everybody")):
        done = subprocess.run([amtool, "config", "routes", "test", f"--config.file={ROUTES}", *labels], capture_output=True, check=False)
        if done.stdout.decode().strip() != receivers:
            wrong.append(f"{labels}: {done.stdout.decode()} {done.stderr.decode()}")
    harness.report(not wrong, "each_team_and_severity_has_its_receivers", "\n".join(wrong))
    bare = [m.group(1) for m in re.finditer(r"- alert: (\w+)\n(?:.*\n)*?\s+labels: (.*)\n", RULES["alerts"].read_text())
            if "severity:" not in m.group(2) or "team:" not in m.group(2)]
    harness.report(not bare, "each_alert_has_a_severity_and_a_team", str(bare))


class Webhook:
    """What Alertmanager sends, by path: [(alert, status)]."""

    def __init__(self, ip):
        told = self.told = {}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                told.setdefault(self.path, []).extend((a["labels"]["alertname"], a["status"]) for a in body["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((ip, 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.base = "http://%s:%d" % (ip, self.server.server_port)


APP = """
import http.server, sys
class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(500 if self.path == "/error" else 200)
        self.send_header("X-Queue-Depth", "2500")
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), App).serve_forever()
"""


def shorter(text):
    """The same rules in seconds: rates over 10 s, `for` a second."""
    return re.sub(r"interval: \d+[sm]", "interval: 1s", re.sub(r"for: \d+[mh]", "for: 1s", text.replace("[5m]", "[10s]")))


def whole_way(test):
    alertmanager = harness.which("alertmanager", "prometheus-alertmanager")
    promexe = harness.which("prometheus")
    hook = Webhook(test.ip)
    address, manager, prometheus = ((test.ip, test.port()) for _ in range(3))
    server = test.start([harness.which("python3"), test.write("app.py", APP), address[0], address[1]], service="shop")
    test.wait_for_port(address, server)
    rules = "rules:\n  - {metric: task_queue_size, type: gauge, value: {response_header: X-Queue-Depth}}\n"
    test.start_exporter("--config.file", test.write("config.yml", rules))

    # the shipped routes, at once and to here
    text = re.sub(r"http://localhost:5001", hook.base, ROUTES.read_text())
    text = re.sub(r"group_wait: \w+", "group_wait: 100ms", re.sub(r"group_interval: \w+", "group_interval: 1s", text))
    for gone in ("slack_configs", "pagerduty_configs", "sns_configs", "email_configs"):  # need the world outside
        text = re.sub(rf"    {gone}:\n(?:      .*\n)+", "", text)
    for name in ("pager", "mail"):
        text = text.replace(f"  - name: {name}\n", f"  - name: {name}\n    webhook_configs:\n      - url: {hook.base}/{name}\n")
    child = test.start([alertmanager, f"--config.file={test.write('alertmanager.yml', text)}", f"--storage.path={test.dir}/alertmanager",
                        "--web.listen-address=%s:%d" % manager, "--cluster.listen-address="], preload=False)
    test.wait_for_port(manager, child)
    files = [test.write(f"{name}.yml", shorter(RULES[name].read_text())) for name in CORRECTED]
    config = test.write("prometheus.yml", f"""global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [{files[0]}, {files[1]}]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["{manager[0]}:{manager[1]}"]}}]}}]}}
scrape_configs:
- job_name: tickbird
  static_configs: [{{targets: ["{test.exporter[0]}:{test.exporter[1]}"]}}]
""")
    child = test.start([promexe, f"--config.file={config}", f"--storage.tsdb.path={test.dir}/tsdb",
                        "--web.listen-address=%s:%d" % prometheus, "--log.level=warn"], preload=False)
    test.wait_for_port(prometheus, child)

    conn = client.Conn(address)

    def ask(path):
        conn.send(client.request("GET", path, "localhost"))
        conn.response("GET")

    def told(path, alert, status="firing"):
        return (alert, status) in hook.told.get(path, [])

    def until_told(paths, alert, traffic, status="firing"):
        def is_told():
            for path in traffic:
                ask(path)
            return all(told(p, alert, status) for p in paths)
        harness.until(is_told, f"{alert} {status} is told to {paths}: {hook.told}", 120)

    until_told(["/backend", "/mail"], "QueueBacklog", ["/ok"])
    harness.report(not told("/pager", "QueueBacklog"), "a_backlog_is_told_to_the_team_and_by_mail", str(hook.told))
    until_told(["/backend", "/pager"], "HighErrorRate", ["/ok", "/error"])
    harness.report(not told("/platform", "HighErrorRate") and not told("/alerts", "HighErrorRate"),
                   "failing_requests_are_told_to_the_team_and_the_pager", str(hook.told))
    with urllib.request.urlopen("http://%s:%d/api/v2/alerts?inhibited=true" % manager, timeout=10) as answer:
        known = {a["labels"]["alertname"]: a["status"]["state"] for a in json.load(answer)}
    harness.report(known.get("QueueBacklog") == "suppressed", "a_warning_waits_while_its_service_fails", str(known))
    until_told(["/backend", "/pager"], "HighErrorRate", ["/ok"], "resolved")
    harness.report(True, "the_end_is_told_too")
    conn.close()


harness.main_special({"times": times, "which_duration": which_duration, "quiet": quiet, "recipe": recipe, "routes": routes, "whole_way": whole_way})
