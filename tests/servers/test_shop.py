#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The shop of examples/shop, in both languages, under its own tickbird.yml: a test for each thing that people otherwise write metrics
code for. The truth is the tally of the visitors, who know nothing of Tickbird either."""
import sys

import harness

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


harness.main_special({language: shop(language) for language in LANGUAGES})
