#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Rules that change under load, virtual hosts of a real server, and routes across restarts of a server. The truth is the
client's tally, the server's access log, and a server that was never restarted."""
import collections
import itertools
import pathlib
import signal
import threading

import chaos
import client
import harness
import servers

ROUNDS = 10


def start_nginx(test, servers_text="", service=None):
    """nginx with two workers that answers 200 to everything but /missing."""
    address = (test.ip, test.port())
    for old in ("logs", "temp", "sites", "conf.d"):
        chaos.remove(test.dir / old)
    child = servers.start_nginx(test, servers_text or f"""
server {{
    listen {address[0]}:{address[1]};
    keepalive_requests 1000000;
    location / {{ return 200 "ok\\n"; }}
    location /missing {{ return 404; }}
}}""", service=service)
    test.wait_for_port(address, child)
    return child, address


def rules(number):
    """One of the rule sets that take turns: a route of its own, /large in turns counted, ignored and without a route."""
    large = ["patterns: [/large]", "ignore: [/large]", "ignore: [{path: /large, route: none}]"][number % 3]
    if number % 3 == 0:
        return f"routes:\n  patterns: [{{path: /small, route: r{number}}}, /large]\n"
    return f"routes:\n  patterns: [{{path: /small, route: r{number}}}]\n  {large}\n"


def reloads_under_load(test, address):
    config = test.write("rules.yml", rules(0))
    exporter = chaos.start_exporter(test, "--config.file", config)
    over, sent, floor = threading.Event(), [0] * 4, chaos.Floor()
    early = []  # how many were answered before the exporter had published the first rules

    def load(number):
        conn, choose = client.Conn(address), chaos.rng(f"load{number}")
        while not over.is_set():
            assert chaos.get(conn, choose.choice(["/small", "/small", "/large", "/missing"])).is_complete
            sent[number] += 1
        conn.close()

    def counted(route):
        scrape = test.scrape()
        floor.check(scrape)
        return sum(n for (_, r, _), n in scrape.counts(test.service).items() if r == route)

    def reloads():
        return pathlib.Path(exporter.log).read_bytes().count(b"configuration reloaded")

    def change():
        try:
            harness.until(lambda: counted("r0") > 100, "the first rules count")
            early.append(counted("/small"))
            for number in range(1, ROUNDS):
                before = reloads()
                new = test.write("new.yml", rules(number))
                new.rename(config)
                if number % 2:  # nobody scrapes meanwhile, and the exporter looks by itself every 30 s only
                    exporter.send_signal(signal.SIGHUP)
                    harness.until(lambda b=before: reloads() > b, "SIGHUP is obeyed")
                harness.until(lambda n=number: counted(f"r{n}") > 100, f"rules {number} count")
                assert reloads() > before
        finally:
            over.set()

    chaos.in_threads([change] + [lambda i=i: load(i) for i in range(len(sent))])
    total = sum(sent)

    def whole():
        scrape = test.scrape()
        floor.check(scrape)
        ignored = scrape.total("tickbird_ignored_requests_total", service=test.service)
        return scrape if sum(scrape.counts(test.service).values()) + ignored >= total else None
    scrape = harness.until(whole, "all is counted")
    ignored = int(scrape.total("tickbird_ignored_requests_total", service=test.service))
    counts = scrape.counts(test.service)
    assert sum(counts.values()) + ignored == total, (counts, ignored, total)
    by_rules = {f"r{n}" for n in range(ROUNDS)} | {"/large", "_none", "_unmatched"}
    assert ignored and by_rules == {r for _, r, _ in counts} - {"/small"}, counts
    assert sum(n for (_, r, _), n in counts.items() if r == "/small") == early[0], (counts, early)
    assert not scrape.total("tickbird_rules_refused_total", service=test.service)
    return f"{total} requests, {ignored} of them ignored, {ROUNDS - 1} reloads, {floor.scrapes} scrapes"


def reload_loses_and_doubles_nothing_with_nginx(test):
    return reloads_under_load(test, start_nginx(test)[1])


def reload_loses_and_doubles_nothing_with_threads(test):
    return reloads_under_load(test, chaos.start_small(test, "read", "threads")[1])


def virtual_hosts_are_told_apart(test):
    """By Host header in any case, with port, and by absolute target; what is not allowed, or past the cap, is _other."""
    config = test.write("rules.yml", """routes:
  patterns: [{path: /, host: a.example.com, route: root of a}]
  host: {label: true, allow: ["*.example.com"], max: 2}
""")
    chaos.start_exporter(test, "--config.file", config)
    ip, port = test.ip, test.port()
    names = {"a": "a.example.com", "b": "b.example.com c.example.com"}
    test.access_log = None
    blocks = "".join(f"""
server {{
    listen {ip}:{port}{'' if block != 'b' else ' default_server'};
    server_name {name};
    access_log {test.dir}/logs/hosts.log hosts;
    location / {{ return 200 "{block}\\n"; }}
}}""" for block, name in names.items())
    servers.start_nginx(test, blocks, http="log_format hosts '$host $status';\n")
    test.wait_for_port((ip, port))
    expected, asked, body = collections.Counter(), collections.Counter(), {}
    conn = client.Conn((ip, port))
    for i, (target, host, name, label) in enumerate([
            ("/", "a.example.com", "a.example.com", "a.example.com"), ("/", f"B.Example.COM:{port}", "b.example.com", "b.example.com"),
            ("/x/7", "A.example.com", "a.example.com", "a.example.com"),
            ("http://a.example.com/", "a.example.com", "a.example.com", "a.example.com"),
            ("/", "evil.test", "evil.test", "_other"), ("/", "c.example.com", "c.example.com", "_other")] * 7):
        conn.send(client.request("GET", target, host))
        response = conn.response("GET")
        body[i] = response.body_start
        assert response.status == 200 and body[i] == (b"a\n" if name == "a.example.com" else b"b\n"), (target, host, body[i])
        route = "/x/:id" if target == "/x/7" else "root of a" if name == "a.example.com" else "/"
        expected[(label, route)] += 1
        asked[name] += 1
    conn.close()

    def counted():
        scrape = test.scrape()
        found = collections.Counter()
        for labels, value in scrape.values("http_requests_total", service=test.service):
            found[(labels.get("host"), labels["route"])] += int(value)
        return (+found, scrape) if sum(found.values()) >= sum(expected.values()) else None
    found, scrape = harness.until(counted, "all is counted")
    assert found == expected, (found, expected)
    log = collections.Counter(line.split()[0] for line in (test.dir / "logs" / "hosts.log").read_text().splitlines())
    assert log == asked, (log, asked)
    by_host = collections.Counter()
    for (label, _), n in found.items():
        by_host[label] += n
    assert by_host == {"a.example.com": log["a.example.com"], "b.example.com": log["b.example.com"],
                       "_other": log["evil.test"] + log["c.example.com"]}, (by_host, log)
    assert scrape.total("tickbird_hosts_overflow_total", service=test.service) > 0
    return f"{sum(found.values())} requests, {len(log)} hosts"


def names(seed, count):
    """All different: a path that comes again is judged again only by a process that does not remember it (docs/routes.md)."""
    choose = chaos.rng(seed)
    parts = ["zor", "blax", "quim", "van", "trell", "osk", "briv", "lum", "draz", "pel", "thru", "wex"]
    words = ["".join(word) for word in itertools.product(parts, repeat=3)]
    return choose.sample(words, count)


def routes_are_the_same_after_a_restart(test):
    """One server stays, one is restarted, one is restarted after its totals went into the ledger: same paths, same routes."""
    config = test.write("rules.yml", "routes:\n  patterns: [/items/:sku]\n")
    exporter = chaos.start_exporter(test, "--config.file", config)
    services = ("stays", "restarted", "folded")

    words = names("words", 60)

    def paths(part, some):
        out = []
        for i, name in enumerate(some):
            out += [f"/users/{name}/orders", f"/users/{i}{part}7", f"/items/{name}", f"/api/{['prices', 'stores', 'carts'][i % 3]}/{name}",
                    f"/teams/{name}", "/hello", f"/missing/{name}"]
        return out

    before, after = paths("first", words[:30]), paths("second", words[30:])

    def drive(address, some):
        conn = client.Conn(address)
        for path in some:
            assert chaos.get(conn, path).is_complete
        conn.close()

    def counts(service, total):
        def look():
            found = collections.Counter()
            scrape = test.scrape()
            for (_, route, _), n in scrape.counts(service).items():
                found[route] += n
            return found if sum(found.values()) >= total else None
        return harness.until(look, f"all of {service} is counted")

    running = {}
    for service in services:
        running[service] = start_nginx(test, service=service)
        drive(running[service][1], before)
        counts(service, len(before))
        if service != "stays":
            test.stop(running[service][0])
    test.stop(exporter)
    chaos.start_exporter(test, "--config.file", config)
    first = counts("stays", len(before))
    running["restarted"] = start_nginx(test, service="restarted")
    for service in ("stays", "restarted"):
        drive(running[service][1], after)
    test.stop(test.processes[-2])  # the exporter; the next one folds
    chaos.start_exporter(test, "--config.file", config, "--fold-after", "50ms")
    harness.until(lambda: not test.scrape().total("tickbird_regions", state="dead"), "the dead region is folded")
    running["folded"] = start_nginx(test, service="folded")
    drive(running["folded"][1], after)
    total = len(before) + len(after)
    found = {service: counts(service, total) for service in services}
    for service in services:
        assert found[service] == found["stays"], f"{service}: {harness.difference(found['stays'], found[service])}"
    new = set(found["stays"]) - set(first)
    assert found["stays"]["/items/:sku"] == 60 and any(":name" in r for r in found["stays"]), found["stays"]
    return f"{total} requests each, {len(found['stays'])} routes, {len(new)} of them new after the restart"


chaos.main([reload_loses_and_doubles_nothing_with_nginx, reload_loses_and_doubles_nothing_with_threads, virtual_hosts_are_told_apart,
            routes_are_the_same_after_a_restart])
