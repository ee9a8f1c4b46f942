#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The shop of examples/shop, in both languages, under its own tickbird.yml: a test for each thing that people otherwise write metrics
code for, by the rows of such a list. The truth is the tally of the visitors, who know nothing of Tickbird either. Elsewhere are: row 12,
programs that measure themselves (test_own_metrics.py), row 16, routes of Alertmanager (tests/prometheus/test_alerts.py), and what needs a
stand-in for AWS: rows 18 and 20, the alarm applied and a notification (tests/push/test_alarm_applied.py)."""
import collections
import glob
import json
import os
import re
import subprocess
import sys

import harness
import prom

ROOT = harness.HERE.parent.parent
SHOP = ROOT / "examples/shop"
sys.path.insert(0, str(SHOP))
sys.dont_write_bytecode = True
import traffic  # noqa: E402  pylint: disable=wrong-import-position

LANGUAGES = {"python": ([sys.executable], "shop.py"), "node": (["node", "nodejs"], "shop.js")}
CHECKOUT_BOUNDS = [0.1, 0.5, 1, 2, 5, 10, float("inf")]


def start_shop(test, language, config=SHOP / "tickbird.yml"):
    """The exporter, the gateway without Tickbird, the shop with it. Returns the visitors."""
    programs, script = LANGUAGES[language]
    program = programs[0] if language == "python" else harness.which(*programs)
    test.start_exporter("--config.file", config)
    test.scrape()
    gateway, address = (test.ip, test.port()), (test.ip, test.port())
    test.wait_for_port(gateway, test.start([sys.executable, SHOP / "gateway.py", *gateway], preload=False))
    test.wait_for_port(address, test.start([program, SHOP / script, *address, *gateway]))
    return traffic.Traffic(*address)


def counted(test, visitors):
    """A scrape that has all of it, or the last one after a while; and its numbers of the service."""
    def labelled():
        scrape = test.scrape()
        return scrape, traffic.labelled((name, labels, value) for name, labels, value in scrape.samples)
    try:
        harness.until(lambda: not traffic.differences(labelled()[1], {test.service: visitors}), "everything is counted")
    except AssertionError as late:
        print(f"# {late}")
    return labelled()


def check(found, visitors, service, row, *families):
    """@row is met when each of @families has the tally's value for every label."""
    wanted = visitors.expected()
    wrong = [f"{f}: tally {wanted[f]}, Tickbird {found.get((f, service), {})}" for f in families
             if not wanted[f] or not traffic.equal(f, wanted[f], found.get((f, service), {}))]
    harness.report(not wrong, row, "\n".join(wrong))


def check_buckets(scrape, visitors, row):
    """The program waits so long at least, and the visitor saw so much at most: both say in which buckets a checkout may be."""
    wrong = []
    for method in {method for method, _, _ in visitors.checkouts}:
        took = [(least, most) for m, least, most in visitors.checkouts if m == method]
        found = {float(labels["le"]): value for labels, value in scrape.values("checkout_duration_seconds_bucket", payment_method=method)}
        if sorted(found) != CHECKOUT_BOUNDS:
            wrong.append(f"{method}: bounds {sorted(found)}")
            continue
        for bound, value in found.items():
            if not sum(most <= bound for _, most in took) <= value <= sum(least < bound for least, _ in took):
                wrong.append(f"{method} le {bound}: {value}, visitors {took}")
    harness.report(not wrong, row, "\n".join(wrong))


def check_searches(scrape, visitors, row):
    found = {float(labels["le"]): value for labels, value in scrape.values("search_duration_seconds_bucket")}
    wrong = [f"le {bound}: {value}, visitors {visitors.searches}" for bound, value in found.items()
             if not sum(most <= bound for most in visitors.searches) <= value <= len(visitors.searches)]
    harness.report(len(found) == 5 and not wrong, row, "\n".join(wrong))


def check_calls(scrape, visitors, service, name):
    """Calls to the payment gateway: time, availability, whether it works now."""
    of = {"service": service, "target": "payments"}
    statuses = {}
    for (_, status), count in visitors.gateway.items():
        statuses[status] = statuses.get(status, 0) + count
    timed = {labels["status"]: value for labels, value in scrape.values("http_client_request_duration_seconds_count", **of) if value}
    harness.report(timed == statuses, f"{name}_row_09_latency_of_the_payment_gateway", f"{timed}, tally {statuses}")
    answered = {labels["status"]: value for labels, value in scrape.values("http_client_requests_total", **of) if value}
    failed = {labels["reason"]: value for labels, value in scrape.values("http_client_errors_total", **of) if value}
    harness.report(answered == statuses and failed == {"closed": visitors.hangups}, f"{name}_row_10_availability_of_the_payment_gateway",
                   f"{answered} {failed}, tally {statuses}, {visitors.hangups} hung up")


def check_status(test, visitors, name):
    """The state follows the last call: busy, approved, hung up, approved."""
    def up():
        return test.scrape().total("dependency_up", service=test.service, target="payments")
    wrong, began = [], None
    for number, card, wanted in ((1, "tok_busy", 0), (2, "tok_visa", 1), (3, "tok_hangup", 0), (4, "tok_visa", 1)):
        visitors.ask("POST", "/orders", {"product": 1, "items": 1, "card": card, "payment_method": "card"})
        try:
            harness.until(lambda w=wanted: up() == w, f"{number}: {card}: dependency_up {wanted}")
        except AssertionError as late:
            wrong.append(str(late))
        when = test.scrape().total("dependency_last_success_timestamp_seconds", service=test.service, target="payments")
        if wanted == 0 and began is not None and when != began:
            wrong.append(f"{number}: a failed call moved the last success")
        began = when
    harness.report(not wrong, f"{name}_row_11_integration_status", "\n".join(wrong))


def shop(language):
    def run(test):
        visitors = start_shop(test, language)
        visitors.run()
        scrape, found = counted(test, visitors)

        def row(number, words, *families):
            check(found, visitors, test.service, f"{language}_row_{number:02}_{words}", *families)
        row(1, "orders_created_by_status_and_payment_method", "orders_created_total", "order_items_total", "order_value_total")
        row(2, "checkouts_are_counted_by_payment_method", "checkout_duration_seconds_count")
        check_buckets(scrape, visitors, f"{language}_row_02_checkout_duration_buckets")
        row(3, "task_queue_size", "task_queue_size")
        row(4, "steps_of_the_checkout_funnel", "funnel_steps_total")
        row(5, "active_user_sessions", "active_sessions")
        row(6, "cache_hits_and_misses", "cache_requests_total")
        row(7, "searches_are_counted", "search_duration_seconds_count")
        check_searches(scrape, visitors, f"{language}_row_07_time_of_a_specific_operation")
        row(8, "errors_by_type", "order_errors_total")
        check_calls(scrape, visitors, test.service, language)
        row(9, "what_the_gateway_answers", "gateway_calls_total")
        check_status(test, visitors, language)
        harness.check_promtool(f"{language}_shop", scrape)
    return run


def exporter(test, *options):
    """What one run of the exporter prints; it changes nothing of the totals."""
    done = subprocess.run([harness.BUILD / "tickbird-exporter", "--region.dir", test.region_dir, "--storage.path", test.dir / "other", *options],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def prom_client(test):
    """The names, unit, label and buckets of Node's client library, beside the shop's own rules."""
    config = test.write("config.yml", (SHOP / "tickbird.yml").read_text() + "metrics: {preset: prom-client}\n")
    visitors = start_shop(test, "node", config)
    visitors.run()
    scrape, _ = counted(test, visitors)
    expected = collections.Counter()
    for (method, path, status), count in visitors.requests.items():
        route = "_unmatched" if status == "404" else re.sub(r"\d+$", ":id", path)
        expected[method, route, status] += count
    found = {(labels["method"], labels["route"], labels["code"]): value for labels, value in scrape.values("http_request_duration_ms_count") if value}
    harness.report(found == expected, "row_13_names_of_prom_client", f"{found}\nvisitors {dict(expected)}" if found != expected else "")
    buckets = {float(labels["le"]): value for labels, value in scrape.values("http_request_duration_ms_bucket", route="/checkout")}
    wrong = [f"le {bound}: {value}" for bound, value in buckets.items()
             if not sum(1000 * most <= bound for _, _, most in visitors.checkouts) <= value
             <= sum(1000 * least < bound for _, least, _ in visitors.checkouts)]
    harness.report(sorted(buckets) == [1, 5, 15, 50, 100, 200, 500, 1000, 2000, float("inf")] and not wrong,
                   "row_13_buckets_of_prom_client", f"{sorted(buckets)} {wrong}")


def rules(test):
    """The ratios that Prometheus makes of what the exporter has shown, against the tally."""
    files = [SHOP / "rules.yml", *sorted((ROOT / "examples/prometheus").glob("re*ing.yml")), *(ROOT / f"examples/prometheus/{name}.yml" for name in ("recipe", "alerts", "cache"))]
    for path in files:
        done = subprocess.run([harness.which("promtool"), "check", "rules", path], capture_output=True, text=True, check=False)
        row = 15 if path.stem == "alerts" else 14
        harness.report(done.returncode == 0, f"row_{row}_rules_of_{path.parent.name}_{path.stem}_load", done.stdout + done.stderr if done.returncode else "")
    visitors = start_shop(test, "python")
    visitors.run()
    scrape, _ = counted(test, visitors)
    families = ("orders_created_total", "funnel_steps_total", "cache_requests_total", "http_client_requests_total", "http_client_errors_total")
    answered = sum(n for (_, status), n in visitors.gateway.items() if status == "200")
    is_right, said = prom.rate_test(test, SHOP / "rules.yml", prom.as_series(scrape, test.service, *families), {
        "service:orders_created:per_minute": float(sum(visitors.orders.values())),
        "service:funnel_conversion:ratio5m": visitors.funnel["/orders"] / visitors.funnel["/products/:id"],
        "service:cache_hits:ratio5m": visitors.cache["HIT"] / sum(visitors.cache.values()),
        "service_target:availability:ratio5m": answered / (sum(visitors.gateway.values()) + visitors.hangups)})
    harness.report(is_right, "row_14_conversion_hit_rate_and_availability_as_rules", "" if is_right else said)
    quiet = {name: 0 for name in prom.as_series(scrape, test.service, *families)}
    is_right, said = prom.rate_test(test, SHOP / "rules.yml", quiet, {"service:orders_created:per_minute": 0.0})
    harness.report(is_right, "row_14_a_quiet_shop_has_orders_of_zero", "" if is_right else said)


def pushed(test):
    """The same numbers for CloudWatch and as embedded metric format; who signs and who takes them is tests/push's concern."""
    visitors = start_shop(test, "node")
    visitors.run()
    counted(test, visitors)
    said = exporter(test, "--config.file", SHOP / "cloudwatch.yml", "--push.dry-run")
    request = json.loads(said.splitlines()[-1])
    datums = [(d["MetricName"], {x["Name"]: x["Value"] for x in d.get("Dimensions", [])}, d) for d in request["MetricData"]]
    production = {"Environment": "production"}
    single = {(name, tuple(dims)): (d["Value"], d["Unit"]) for name, dims, d in datums if "Value" in d}
    methods = collections.Counter(method for method, _, _ in visitors.checkouts)
    timed = {dims["PaymentMethod"]: sum(d["Counts"]) for name, dims, d in datums if name == "CheckoutDuration" and d["Unit"] == "Seconds"}
    harness.report(request["Namespace"] == "MyApp/Business" and timed == methods and single == {
        ("OrdersCreated", ("Environment",)): (sum(visitors.orders.values()), "Count"),
        ("QueueDepth", ()): (visitors.waiting, "Count"), ("QueueDepth", ("Environment",)): (visitors.waiting, "Count")},
        "row_17_put_metric_data", f"{single} {timed}\nvisitors {visitors.orders} {methods} {visitors.waiting}")
    harness.report("7 metrics in 1 requests, 2.10 a month" in said, "row_17_the_dry_run_tells_the_price", said.splitlines()[0])

    alarm = dict(re.findall(r'^  (\w+) += (.+)$', (ROOT / "examples/terraform/main.tf").read_text().split('"queue_depth"')[1], re.M))
    found = [d for name, dims, d in datums if json.dumps(name) == alarm["metric_name"] and dims == production]
    harness.report(alarm["namespace"] == '"MyApp/Business"' and alarm["dimensions"] == "{ Environment = var.environment }" and len(found) == 1,
                   "row_18_the_alarm_asks_for_what_is_sent", "" if found else f"{alarm}")

    values = collections.defaultdict(list)
    for line in exporter(test, "--config.file", SHOP / "emf.yml", "--push.once").splitlines():
        document = json.loads(line)
        for directive in document["_aws"]["CloudWatchMetrics"]:
            for metric in directive["Metrics"]:
                got = document[metric["Name"]]
                key = (directive["Namespace"], document["FunctionName"], str(directive["Dimensions"]), metric["Name"], metric["Unit"])
                values[key] += got if isinstance(got, list) else [got]
    where = ("MyApp/Lambda", "orders", "[['FunctionName']]")
    orders = sum(n for (_, path, _), n in visitors.requests.items() if path == "/orders")
    harness.report(set(values) == {(*where, "ProcessingTime", "Milliseconds"), (*where, "ItemsProcessed", "Count")}
                   and len(values[*where, "ProcessingTime", "Milliseconds"]) == orders
                   and sum(values[*where, "ItemsProcessed", "Count"]) == visitors.items, "row_19_embedded_metric_format",
                   f"{[(k, len(v), sum(v)) for k, v in values.items()]}, visitors {orders} {visitors.items}")


def page(_):
    """README.md: each of twenty things has a test of that name, and each file of the folder is told of."""
    text = (SHOP / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| .* \| (tests/\S+): `(\w+)` \|$", text, re.M)
    wrong = [f"{number}: no {name} in {path}" for number, path, name in rows
             if re.sub(r"^row_\d+_", "", name) not in (ROOT / path).read_text(encoding="utf-8")]
    harness.report([int(number) for number, _, _ in rows] == list(range(1, 21)) and not wrong, "each_row_has_its_test", "\n".join(wrong) or str(rows))
    missing = {p.name for p in SHOP.iterdir() if p.is_file()} - {"README.md"} - set(re.findall(r"[\w.]+", text))
    harness.report(not missing, "each_file_is_told_of", str(missing))


def in_session(leader):
    """Processes that are left of the session of a program."""
    found = []
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path, encoding="latin-1") as f:
                fields = f.read().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[3] == str(leader) and fields[0] != "Z":
            found.append(path)
    return found


def one_command(test):
    """run.sh: its own comparison holds, nothing of it goes on."""
    folder = test.dir / "tmp"
    folder.mkdir()
    env = {**os.environ, "B": str(harness.BUILD), "TMPDIR": str(folder)}
    child = subprocess.Popen([SHOP / "run.sh"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    test.processes.append(child)
    said, _ = child.communicate(timeout=200)
    is_right = child.returncode == 0 and "every number is the tally's" in said
    harness.report(is_right, "one_command_shows_it", "" if is_right else f"exit {child.returncode}\n{said}")
    left = in_session(child.pid) + os.listdir(folder)
    harness.report(not left, "one_command_leaves_nothing", str(left) if left else "")


harness.main_special({**{language: shop(language) for language in LANGUAGES}, "prom_client": prom_client, "rules": rules, "page": page, "pushed": pushed,
                      "one_command": one_command})
