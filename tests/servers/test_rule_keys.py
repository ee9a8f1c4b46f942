#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Each key of a rule (docs/rules.md) on a real server: what the rule says is said once more in Python, about what the client sent and was
answered, and both count the same. Random requests; TB_SEED repeats them."""
import collections
import fnmatch
import http.client
import json
import random
import ssl
import urllib.parse

import harness
import servers
import sites

# What a rule's `match` says, and the same of a request (see Client.ask).
MATCHES = {
    "{method: POST}": lambda q: q["method"] == "POST",
    "{method: [GET, PUT]}": lambda q: q["method"] in ("GET", "PUT"),
    "{role: server}": lambda q: True,
    "{role: client}": lambda q: False,
    "{status: 409}": lambda q: q["status"] == 409,
    "{status: [2xx, 500-599]}": lambda q: q["status"] != 409,
    "{route: '/items/:id'}": lambda q: q["path"].startswith("/items/"),
    "{route: '/pl?ns*'}": lambda q: q["path"] == "/plans",
    "{path: '/items/*7'}": lambda q: fnmatch.fnmatch(q["path"], "/items/*7"),
    "{host: shop.example}": lambda q: q["host"].partition(":")[0] == "shop.example",
    "{host: 'api.*'}": lambda q: q["host"].startswith("api."),
    "{request_header: {X-Tenant: 'a*'}}": lambda q: (q["tenant"] or "").startswith("a"),
    "{response_header: {X-Level: gold}}": lambda q: q["level"] == "gold",
    "{query: {page: '1?'}}": lambda q: q["page"] and len(q["page"]) == 2 and q["page"][0] == "1",
    "{cookie: {plan: '*'}}": lambda q: q["plan"] is not None,
    "{request_json: {order.kind: [new, re*]}}": lambda q: q["body"] == "json" and q["kind"][:2] in ("ne", "re"),
    "{request_form: {kind: new}}": lambda q: q["body"] == "form" and q["kind"] == "new",
    "{response_json: {order.kind: new}}": lambda q: q["body"] == "json" and q["kind"] == "new",
    "{not: {host: shop.example}}": lambda q: q["host"].partition(":")[0] != "shop.example",
    "{method: POST, not: {request_header: {X-Tenant: acme}, query: {page: '12'}}}":
        lambda q: q["method"] == "POST" and q["tenant"] != "acme" and q["page"] != "12",
    "{status: 2xx, route: /plans, cookie: {plan: pro}, request_header: {X-Tenant: '*'}}":
        lambda q: q["status"] == 200 and q["path"] == "/plans" and q["plan"] == "pro" and q["tenant"] is not None,
}
# Of each kind one, over TLS.
TLS_MATCHES = [text for text in MATCHES if "X-Tenant: 'a*'" in text or "X-Level" in text or "order.kind: new}" in text or "form" in text]
# What a label says, and the same of a request; None or "": no label.
LABELS = {
    "method": lambda q: q["method"],
    "route": lambda q: "/items/:id" if q["path"].startswith("/items/") else q["path"],
    "status": lambda q: str(q["status"]),
    "status_class": lambda q: f"{q['status'] // 100}xx",
    "host": lambda q: q["host"].partition(":")[0],
    "{from: status_class, allow: [2xx], other: bad}": lambda q: "2xx" if q["status"] == 200 else "bad",
    "{request_header: X-Tenant}": lambda q: q["tenant"],
    "{request_header: x-tenant, allow: [ac*]}": lambda q: q["tenant"] if q["tenant"] == "acme" else "_other",
    "{response_header: X-Level}": lambda q: q["level"],
    "{query: page}": lambda q: q["page"],
    "{cookie: plan}": lambda q: q["plan"],
    "{has_cookie: plan}": lambda q: "no" if q["plan"] is None else "yes",
    "{has_request_header: X-Tenant}": lambda q: "no" if q["tenant"] is None else "yes",
    "{request_json: order.kind, request_form: kind}": lambda q: q["kind"] if q["body"] else "_other",
}
# What is added up; every number is one that a double holds.
SUMS = {
    "request_size": lambda q: q["bytes"],
    "response_size": lambda q: q["bytes"],
    "{query: page}": lambda q: int(q["page"] or 0),
    "{request_form: count}": lambda q: q["count"] if q["body"] == "form" else 0,
    "{response_json: 'order.lines[1].count'}": lambda q: q["count"] if q["body"] == "json" else 0,
}
BOUNDS = [2, 5, 10]


def parts(rules, share=10):
    """No more rules at a time than names of places and labels have room for."""
    rules = list(rules)
    return [rules[i:i + share] for i in range(0, len(rules), share)]


class Client:
    def __init__(self, address, rng, has_tls, has_chunks):
        self.conn = http.client.HTTPSConnection(*address, timeout=60, context=ssl._create_unverified_context()) if has_tls else \
            http.client.HTTPConnection(*address, timeout=60)
        self.rng, self.has_chunks, self.requests = rng, has_chunks, []

    def ask(self):
        choose = self.rng.choice
        q = {"method": choose(["GET", "POST", "PUT"]), "path": choose(["/plans", "/items/7", "/items/18", "/items/27"]),
             "host": choose(["shop.example", "shop.example:8080", "api.shop.example"]), "tenant": choose(["acme", "alpha", "zeta", None]),
             "page": choose(["3", "12", "17", None]), "plan": choose(["pro", "free", None]), "status": choose([200, 200, 409, 503]),
             "level": choose(["gold", "silver", None]), "kind": choose(["new", "repeat", "gift"]), "count": self.rng.randrange(1, 12)}
        q["body"] = None if q["method"] == "GET" else choose(["json", "form", None])
        body = {"json": json.dumps({"order": {"kind": q["kind"], "lines": [{}, {"count": q["count"]}]}}),
                "form": urllib.parse.urlencode({"a": "b c", "kind": q["kind"], "count": q["count"]}), None: ""}[q["body"]]
        q["bytes"] = len(body)
        headers = {"Host": q["host"], "X-Status": str(q["status"]), "X-Tenant": q["tenant"], "X-Level": q["level"],
                   "Content-Type": {"json": "application/json", "form": "application/x-www-form-urlencoded"}.get(q["body"]),
                   "Cookie": q["plan"] and f"theme=dark; plan={q['plan']}"}
        sent = [body[:5].encode(), body[5:].encode()] if body and self.has_chunks and choose([True, False]) else body or None
        self.conn.request(q["method"], q["path"] + (f"?x=1&page={q['page']}" if q["page"] else ""), sent,
                          {name: value for name, value in headers.items() if value})
        answer = self.conn.getresponse()
        assert (answer.status, answer.read().decode()) == (q["status"], body)
        self.requests.append(q)


def asked(test, rules, count=400, has_chunks=True):
    """Requests to a server for which the @rules hold, and the scrape after them. @has_chunks: some bodies have no length, but chunks, whose
    framing is of their size."""
    address = (test.ip, test.port())
    test.start_exporter("--config.file", test.write("config.yml", "routes: {patterns: ['/items/:id']}\n" + rules))
    test.scrape()
    test.wait_for_port(address, test.start([harness.which("node", "nodejs"), sites.APPS / "echo.js", *address, *(test.tls or ())[:2]]))
    client = Client(address, random.Random(f"{harness.SEED} {test.name}"), bool(test.tls), has_chunks)
    for _ in range(count):
        client.ask()
    return client.requests, test.settled(test.service, count)


def matches(chosen):
    def run(test):
        rules = "".join(f"  - {{metric: m{i}_total, match: {text}}}\n" for i, text in enumerate(chosen))
        requests, scrape = asked(test, "rules:\n" + rules)
        for i, text in enumerate(chosen):
            expected, found = sum(bool(MATCHES[text](q)) for q in requests), scrape.total(f"m{i}_total", service=test.service)
            harness.report(found == expected and (expected > 0 or "client" in text), f"match {text}", f"{found}, client {expected}")
    return run


def labels(chosen):
    def run(test):
        rules = "".join(f"  - {{metric: m{i}_total, labels: {{is: {text}}}}}\n" for i, text in enumerate(chosen))
        requests, scrape = asked(test, "rules:\n" + rules)
        for i, text in enumerate(chosen):
            expected = collections.Counter(LABELS[text](q) or "" for q in requests)
            found = {labels.get("is", ""): value for labels, value in scrape.values(f"m{i}_total", service=test.service)}
            harness.report(found == expected, f"label {text}", f"{found}, client {expected}")
    return run


def values(test):
    rules = "".join(f"  - {{metric: m{i}_total, value: {text}}}\n" for i, text in enumerate(SUMS))
    rules += "".join(f"  - {{metric: {name}, type: histogram, value: {value}, bounds: {BOUNDS}{more}}}\n" for name, value, more in (
        ("counts", "{request_form: count}", ""), ("counts_seconds", "{request_form: count}", ", scale: 0.001"), ("waits_seconds", "first_byte", ""),
        ("takes_seconds", "duration", ""), ("sizes_bytes", "response_size", "")))
    requests, scrape = asked(test, "rules:\n" + rules, has_chunks=False)
    of = {"service": test.service}
    for i, (text, tally) in enumerate(SUMS.items()):
        expected, found = sum(tally(q) for q in requests), scrape.total(f"m{i}_total", **of)
        harness.report(found == expected > 0, f"value {text}", f"{found}, client {expected}")

    def is_counted(name, numbers, bounds):
        found = {float(labels["le"]): value for labels, value in scrape.values(name + "_bucket", **of)}
        expected = {bound: sum(n <= bound for n in numbers) for bound in (*bounds, float("inf"))}
        harness.report(found == expected and abs(scrape.total(name + "_sum", **of) - sum(numbers)) < 1e-9, f"histogram {name}", f"{found}, client {expected}")
    is_counted("counts", [q["count"] for q in requests if q["body"] == "form"], BOUNDS)
    is_counted("counts_seconds", [q["count"] / 1000 for q in requests if q["body"] == "form"], BOUNDS)
    is_counted("sizes_bytes", [q["bytes"] for q in requests], BOUNDS)
    waits, takes = (scrape.total(name + "_sum", **of) for name in ("waits_seconds", "takes_seconds"))
    harness.report(0 < waits <= takes and all(scrape.total(name + "_seconds_count", **of) == len(requests) for name in ("waits", "takes")),
                   "histograms of durations", f"{waits} {takes}")


def with_tls(function):
    def run(test):
        test.tls = servers.make_certificate(test)
        function(test)
    return run


def services(test):
    """Rules of an entry of `services` hold for the services that it names, and for no others."""
    _, scrape = asked(test, f"""
rules: [{{metric: all_total}}]
services:
  - {{name: {test.service}, rules: [{{metric: mine_total}}]}}
  - {{name: other, rules: [{{metric: others_total}}]}}
""", 10)
    found = [scrape.total(name + "_total", service=test.service) for name in ("all", "mine", "others")]
    harness.report(found == [10, 10, 0], "rules_of_a_service_are_its_own", str(found))


harness.main_special({**{f"matches_{i}": matches(chosen) for i, chosen in enumerate(parts(MATCHES, 7))},
                      "matches_tls": with_tls(matches(TLS_MATCHES)), **{f"labels_{i}": labels(chosen) for i, chosen in enumerate(parts(LABELS, 7))}, "values": values, "services": services})
