#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Active sessions of a real server: 100,000 different cookies through nginx, and as many values of a header, some of them again and again, between
requests of bots that bring neither. Two numbers are estimated, independently of each other: with a standard error of 0.7 % their mean is off by
more than 2 % once in 100,000 runs. And no value is stored: every file that Tickbird has is looked through for them.
When sessions end is a matter of clocks that are set: tests/unit/test_custom_values.c."""
import pathlib
import random

import client
import harness
import servers

SESSIONS, BOTS, AGAIN, BATCH = 100_000, 10_000, 10_000, 50  # no more than 64 exchanges are looked into at one time
EDGE = 12  # bytes: a file that has the beginning or the end of a value keeps it
RULES = """
rules:
  - {metric: active_sessions, type: distinct, value: {cookie: session}, window: 18h}
  - {metric: active_users, type: distinct, value: {request_header: X-User}, window: 18h}
  - {metric: shown_total, match: {route: /shown}, labels: {campaign: {cookie: campaign}}}
"""


def visit(session, user):
    return f"GET /page HTTP/1.1\r\nHost: shop\r\nCookie: theme=dark; session={session}\r\nX-User: {user}\r\n\r\n".encode()


BOT = b"GET /page HTTP/1.1\r\nHost: shop\r\nUser-Agent: bot\r\n\r\n"


def values(rng, count):
    return [f"{rng.getrandbits(96):024x}" for _ in range(count)]


def ask_all(address, requests):
    """Sends them in batches over four connections in turn, and waits for each batch's answers."""
    conns = [client.Conn(address, 120) for _ in range(4)]
    for number, first in enumerate(range(0, len(requests), BATCH)):
        conn, batch = conns[number % len(conns)], requests[first:first + BATCH]
        conn.send(b"".join(batch))
        while conn.buffer.count(b"\r\n\r\n") < len(batch):
            assert conn.fill(), "the server closed"
        assert conn.buffer.count(b"HTTP/1.1 204 ") == len(batch), conn.buffer[:300]
        conn.buffer = b""
    for conn in conns:
        conn.close()


def kept_in(folders, wanted):
    """Files of @folders that have one of @wanted, texts of EDGE bytes; and how many bytes were looked at."""
    found, looked = set(), 0
    for path in (p for folder in folders for p in pathlib.Path(folder).rglob("*") if p.is_file()):
        data = path.read_bytes()
        for page in range(0, len(data), 4096):
            part = data[page:page + 4096 + EDGE - 1]
            if part.count(0) == len(part):
                continue  # a hole
            looked += len(part)
            found.update((path.name, part[i:i + EDGE]) for i in range(len(part) - EDGE + 1) if part[i:i + EDGE] in wanted)
    return found, looked


def run(test):
    address, rng = (test.ip, test.port()), random.Random(harness.SEED)
    test.start_exporter("--config.file", test.write("config.yml", RULES))
    test.scrape()
    test.wait_for_port(address, servers.start_nginx(test, f"""
server {{ listen {address[0]}:{address[1]}; access_log off; keepalive_requests 1000000; location / {{ return 204; }} }}"""))
    sessions, users, (shown,) = values(rng, SESSIONS), values(rng, SESSIONS), values(rng, 1)
    requests = [visit(*who) for who in zip(sessions, users)]
    requests += rng.choices(requests, k=AGAIN) + [BOT] * BOTS
    rng.shuffle(requests)
    requests.append(f"GET /shown HTTP/1.1\r\nHost: shop\r\nCookie: campaign={shown}\r\n\r\n".encode())
    ask_all(address, requests)
    scrape = test.settled(test.service, len(requests))
    harness.report(scrape.total("http_requests_total", service=test.service) == len(requests), "all_requests_are_counted")
    unread = scrape.total("tickbird_rule_unreadable_total", service=test.service)
    errors = [scrape.total(name, service=test.service) / SESSIONS - 1 for name in ("active_sessions", "active_users")]
    said = " ".join(f"{100 * e:+.2f} %" for e in errors) + f", {unread:g} not looked into"
    harness.report(abs(sum(errors)) / 2 <= 0.02 and max(map(abs, errors)) < 0.04 and not unread, "a_hundred_thousand_sessions_are_counted_within_two_percent", said)
    edges = {part for value in (*sessions, *users) for part in (value[:EDGE].encode(), value[-EDGE:].encode())}
    found, looked = kept_in([test.region_dir, test.dir / "ledger"], edges | {shown[:EDGE].encode()})
    names = {name for name, _ in found}
    harness.report({part for _, part in found} == {shown[:EDGE].encode()} and any(test.service in n or n.startswith("tb1-") for n in names),
                   "no_session_is_stored_but_a_label_is_found", f"{found}, {looked} bytes")


def bots(test):
    """Bots alone are nobody."""
    address = (test.ip, test.port())
    test.start_exporter("--config.file", test.write("config.yml", RULES))
    test.scrape()
    test.wait_for_port(address, servers.start_nginx(test, f"""
server {{ listen {address[0]}:{address[1]}; keepalive_requests 1000000; location / {{ return 204; }} }}"""))
    ask_all(address, [BOT] * 1000 + [visit("a", "b")])
    scrape = test.settled(test.service, 1001)
    found = [scrape.total(name, service=test.service) for name in ("active_sessions", "active_users")]
    harness.report(found == [1, 1], "bots_are_no_sessions", str(found))


harness.main_special({"sessions": run, "bots": bots})
