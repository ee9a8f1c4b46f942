# SPDX-License-Identifier: Apache-2.0
"""Visitors of the shop, always the same ones, and a tally of what they asked and were answered. As a program it sends them to one or
more shops and prints what Tickbird counted beside the tally: traffic.py ADDRESS EXPORTER-PORT PROMETHEUS-PORT SERVICE=PORT... (0: there is no
Prometheus). Exit status 1 when a number differs."""
import collections
import http.client
import json
import re
import sys
import time
import urllib.parse
import urllib.request

VISITORS, BOTS = 40, 15  # bots bring no cookie back
CARDS = ["tok_visa", "tok_visa", "tok_declined", "tok_visa", "tok_busy", "tok_visa", "tok_hangup", "tok_visa"]
METHODS = ["card", "paypal", "card", "invoice", "cash"]  # cash is not in the labels' list


class Traffic:
    """One connection to the shop. All tallies are of what was answered, but for gateway, which is what the shop must have asked."""

    def __init__(self, host, port):
        self.conn = http.client.HTTPConnection(host, port, timeout=60)
        self.requests = collections.Counter()  # (method, path, status)
        self.orders, self.errors, self.gateway = collections.Counter(), collections.Counter(), collections.Counter()
        self.cache, self.funnel = collections.Counter(), collections.Counter()
        self.checkouts = []  # (payment method, least seconds, most seconds)
        self.searches = []  # most seconds
        self.runs = 0  # each brings four new products
        self.sessions, self.items, self.cents, self.waiting, self.hangups = set(), 0, 0, None, 0

    def ask(self, method, path, body=None, is_form=False, **headers):
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded" if is_form else "application/json"
            body = urllib.parse.urlencode(body) if is_form else json.dumps(body)
        self.conn.request(method, path, body, headers)
        answer = self.conn.getresponse()
        value = json.load(answer)
        self.requests[method, path.partition("?")[0], str(answer.status)] += 1
        return answer, value

    def timed(self, *args, **headers):
        """Seconds until the shop was done, so until it answered the next request, too."""
        began = time.monotonic()
        self.ask(*args, **headers)
        self.ask("GET", "/")
        return time.monotonic() - began

    def order(self, number, **cookie):
        method, card, items = METHODS[number % 5], CARDS[number % 8], 1 + number % 11
        wanted = {"product": 1 + number % 8, "items": items, "card": card}
        if number % 17:
            wanted["payment_method"] = method
        answer, value = self.ask("POST", "/orders", wanted, is_form=number % 2 == 0, **cookie)
        if answer.status == 201:
            self.orders[value["order"]["status"], method if method != "cash" else "_other"] += 1
            self.funnel["/orders"] += 1
            self.items += items
            self.cents += value["total_cents"]
        else:
            self.errors[value["error"]["code"]] += 1
        if number % 17 and items <= 9 and method != "invoice":
            if card == "tok_hangup":
                self.hangups += 1
            else:
                self.gateway[{"tok_declined": "declined", "tok_busy": "busy"}.get(card, "approved"), "503" if card == "tok_busy" else "200"] += 1

    def visit(self, number):
        """A visitor looks at some products; three in four fill a cart, two in four check out, and those order."""
        answer, _ = self.ask("GET", "/")
        cookie = {"Cookie": answer.headers["Set-Cookie"]}
        self.sessions.add(cookie["Cookie"])
        for product in range(1, 3 + number % 3):
            answer, _ = self.ask("GET", f"/products/{4 * self.runs + 1 + (number + product) % 8}", **cookie)
            self.cache[answer.headers["X-Cache"]] += 1
            self.funnel["/products/:id"] += 1
        if number % 4 != 3:
            self.ask("POST", "/cart", {"items": 1 + number % 11}, **cookie)
            self.funnel["/cart"] += 1
        if number % 4 < 2:
            method, delivery = METHODS[number % 5], "pickup" if number % 8 == 0 else "post"
            took = self.timed("POST", "/checkout", {"delivery": delivery, "payment_method": method}, **cookie)
            self.checkouts.append((method if method != "cash" else "_other", 0.15 if delivery == "pickup" else 0, took))
            self.funnel["/checkout"] += 1
            for again in range(3):
                self.order(3 * number + again, **cookie)

    def run(self):
        for number in range(VISITORS):
            self.visit(number)
        for number in range(BOTS):
            self.ask("GET", "/")
            self.searches.append(self.timed("GET", f"/search?q={number}"))
            self.ask("GET", "/no-such-page")
        self.ask("POST", "/confirmations", {"send": 5})
        self.runs += 1
        self.waiting = self.ask("GET", "/health")[1]["queue"]["waiting"]

    def expected(self):
        """What Tickbird should count, family -> labels -> value; of histograms the count alone."""
        methods = collections.Counter(method for method, _, _ in self.checkouts)
        return {
            "orders_created_total": {(("payment_method", m), ("status", s)): n for (s, m), n in self.orders.items()},
            "order_items_total": {(): self.items},
            "order_value_total": {(): self.cents / 100},
            "order_errors_total": {(("code", c),): n for c, n in self.errors.items()},
            "checkout_duration_seconds_count": {(("payment_method", m),): n for m, n in methods.items()},
            "search_duration_seconds_count": {(): len(self.searches)},
            "funnel_steps_total": {(("step", s),): n for s, n in self.funnel.items()},
            "task_queue_size": {(): self.waiting},
            "active_sessions": {(): len(self.sessions)},
            "cache_requests_total": {(("result", r),): n for r, n in self.cache.items()},
            "gateway_calls_total": {(("result", r), ("status", s), ("target", "payments")): n for (r, s), n in self.gateway.items()},
            "http_client_errors_total": {(("reason", "closed"), ("target", "payments")): self.hangups},
            "http_requests_total": {(): sum(self.requests.values())},
        }


def labelled(samples):
    """(name, labels, value) -> (family, service) -> the other labels -> value. Requests are one number for each service."""
    found = collections.defaultdict(collections.Counter)
    for name, labels, value in samples:
        labels = dict(labels)
        key = (name, labels.pop("service", ""))
        found[key][() if name == "http_requests_total" else tuple(sorted(labels.items()))] += value
    return {key: {labels: value for labels, value in series.items() if value} for key, series in found.items()}


def equal(family, wanted, found):
    """Sessions are an estimate, everything else is exact."""
    return set(wanted) == set(found) and all(
        abs(wanted[labels] - found[labels]) <= (max(2, 0.05 * wanted[labels]) if family == "active_sessions" else 1e-6) for labels in wanted)


def get(server, path):
    with urllib.request.urlopen(f"http://{server}{path}", timeout=60) as answer:
        return answer.read().decode()


def scraped(exporter):
    return labelled((name, re.findall(r'(\w+)="([^"]*)"', labels), float(value))
                    for name, labels, value in re.findall(r"^(\w+)\{(.*)\} (\S+)$", get(exporter, "/metrics"), re.M))


def differences(found, tallies):
    return [(family, service) for service, tally in tallies.items() for family, wanted in tally.expected().items()
            if not equal(family, wanted, found.get((family, service), {}))]


def query(prometheus, expression):
    """The vector that Prometheus answers: labels and value."""
    result = json.loads(get(prometheus, "/api/v1/query?" + urllib.parse.urlencode({"query": expression})))["data"]["result"]
    return [(r["metric"], float(r["value"][1])) for r in result]


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


def show(tallies, found):
    for service, tally in tallies.items():
        print(f"{service:82}  tally  Tickbird")
        for family, wanted in tally.expected().items():
            series = found.get((family, service), {})
            for labels in sorted(set(wanted) | set(series)):
                name = family + ("{%s}" % ",".join(f'{k}="{v}"' for k, v in labels) if labels else "")
                print(f"{name:78} {wanted.get(labels, 0):10g} {series.get(labels, 0):9g}")
        print()


def main():
    address, exporter, tallies = sys.argv[1], f"{sys.argv[1]}:{sys.argv[2]}", {}
    prometheus = f"{address}:{sys.argv[3]}" if int(sys.argv[3]) else None
    for word in sys.argv[4:]:
        service, _, port = word.partition("=")
        tallies[service] = Traffic(address, int(port))
    for _ in range(3 if prometheus else 1):  # rates need counters that rise between scrapes
        for tally in tallies.values():
            tally.run()
        wait_for(lambda: not differences(scraped(exporter), tallies))
        total = sum(sum(tally.requests.values()) for tally in tallies.values())
        if prometheus:
            wait_for(lambda n=total: query(prometheus, "sum(http_requests_total)")[0:1] == [({}, n)])
    found = scraped(exporter)
    differ = differences(found, tallies)
    show(tallies, found)
    print("every number is the tally's" if not differ else f"DIFFERENT: {differ}")
    if prometheus:
        wait_for(lambda: len(query(prometheus, "service:funnel_conversion:ratio5m")) == len(tallies))
        print("\nWhat Prometheus computes from it")
        for labels, value in query(prometheus, '{__name__=~"service.*:.*|task_queue_size|dependency_up"}'):
            words = " ".join(labels[k] for k in ("service", "target") if k in labels)
            print(f"{labels['__name__']:44} {words:24} {value:9.4g}")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
