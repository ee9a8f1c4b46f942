#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Real servers as judges of ambiguous requests. Each shape goes over a connection of its own, with a marker request behind
it; the client reads what the server answers. Then, per shape: every response the client got is counted under its status, no
response is counted that it did not get, and method and route are those of a request that the server could have read, or the
connection is counted as given up. A desynchronised parser shows as a response too many or too few, as a route that nobody
asked for, or as a request that stays in flight.

TB_MUTATED random mutations of the shapes follow (20; `make check-differential` more), judged by the totals alone. The seed
is printed; TB_SEED repeats it.
"""
import collections
import os
import pathlib
import random
import re
import socket
import sys

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "servers"))
import cases  # noqa: E402,F401  pylint: disable=unused-import
import client  # noqa: E402
import harness  # noqa: E402
import servers  # noqa: E402
import shapes  # noqa: E402
import streams  # noqa: E402

MUTATED = int(os.environ.get("TB_MUTATED", "20"))
SET_UPS = ["nginx_static", "apache_event", "node", "http_server", "haproxy", "lighttpd", "gunicorn_gthread", "uvicorn"]
MARKER = b"GET /hello?marker HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
# What a server may take for a request in these bytes: any other route counted is invented.
METHODS = {"GET", "POST", "HEAD", "CONNECT", "PUT", "_OTHER"}
GIVEN_UP = "tickbird_connections_given_up_total"
GIVE_UPS = ("ambiguous_framing", "not_http", "missed_bytes", "http2")


def answers(address, data):
    """Sends @data in one piece, ends the sending side, reads to the end. Returns the final statuses, and whether all of what
    came was understood (a response cut short is none)."""
    conn = client.Conn(address, 10)
    conn.send(data)
    conn.half_close()
    raw = b""
    try:
        while True:
            part = conn.sock.recv(1 << 20)
            if not part:
                break
            raw += part
    except (ConnectionResetError, socket.timeout):
        pass
    conn.close()
    return raw


STATUS_LINE = re.compile(rb"HTTP/\d\.\d \d{3}")  # gunicorn answers in the version that it was asked in, be it HTTP/15.1


def split(raw, methods):
    """The responses in @raw, read with every method that the request bytes may stand for: HEAD's have no body. Returns the
    statuses, final ones alone."""
    found, at, index = [], 0, 0
    while at < len(raw):
        end = raw.find(b"\r\n\r\n", at)
        if end < 0 or not STATUS_LINE.match(raw, at):
            break
        head = raw[at:end].decode("latin-1")
        status = int(head[9:12])
        at = end + 4
        if 100 <= status < 200 and status != 101:
            continue
        headers = {k.strip().lower(): v.strip().lower() for k, _, v in (line.partition(":") for line in head.split("\r\n")[1:])}
        method = methods[index] if index < len(methods) else "GET"
        index += 1
        found.append(status)
        if method == "HEAD" and not raw[at:].startswith(b"HTTP/1.") and at < len(raw):
            method = "GET"  # it answered something else first
        if method == "HEAD" or status in (204, 304):
            continue
        if "chunked" in headers.get("transfer-encoding", ""):
            while True:
                eol = raw.find(b"\r\n", at)
                if eol < 0:
                    return found
                size = int(raw[at:eol].split(b";")[0], 16)
                at = eol + 2 + size + 2
                if size == 0:
                    at = eol + 2
                    while raw[at:at + 2] not in (b"\r\n", b""):
                        at = raw.find(b"\r\n", at) + 2
                    at += 2
                    break
        elif "content-length" in headers:
            at += int(headers["content-length"])
        else:
            break  # to the end of the connection
    return found


def status_counts(counts):
    out = collections.Counter()
    for (_, _, status), n in counts.items():
        out[status] += n
    return out


def given_up(scrape, service):
    return sum(scrape.total(GIVEN_UP, service=service, reason=reason) for reason in GIVE_UPS)


# http.server reads no body of a GET: what lies in it is a request to it, whatever the length said (docs/parsing.md).
KNOWN = {("http_server", "get_with_body")}


REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [!-~\x80-\xff]+ HTTP/\d\.\d\r?$")
LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,9})[ \t]*\r?$", re.M | re.I)
CHUNKED = re.compile(rb"^transfer-encoding:[ \t]*chunked[ \t]*\r?$", re.M | re.I)
FRAMING = re.compile(rb"content.length|transfer.encoding", re.I)
NO_FIELD = re.compile(rb"^(?![!-9;-~]*:|[ \t]|\r?$)", re.M)
BARE_LF = re.compile(rb"(?<!\r)\n")
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[^\r\n]*)?\r\n")


def behind_chunks(data):
    """What follows a chunked body; nothing if there is a doubt."""
    while chunk := CHUNK.match(data):
        size = int(chunk[1], 16)
        if size == 0:
            return b"".join(re.split(rb"\r\n\r\n", data[chunk.end() - 2:], maxsplit=1)[1:])
        data = data[chunk.end() + size + 2:]
    return b""


def may_be_unread(name, data):
    """May an answer below 400 be counted as _OTHER although no connection is counted as given up? The requests in @data are
    read plainly up to the first doubt. Only where a line stands in the place of a request line that is none, which some servers
    take, or where a body is not read: by http.server of GET and HEAD, or when a line of the head is no field; by gunicorn when a
    line of the head ends in LF alone (docs/parsing.md)."""
    while data := data.lstrip(b"\r\n"):
        line, _, rest = data.partition(b"\n")
        if not REQUEST_LINE.match(line):
            return True
        head, *data = re.split(rb"\n\r?\n", b"\n" + rest, maxsplit=1)
        data = b"".join(data)
        lengths, codings = LENGTH.findall(head), CHUNKED.findall(head)
        if len(FRAMING.findall(head)) != len(lengths + codings) or len(lengths + codings) > 1:
            return False
        is_left = {"http_server": line.startswith((b"GET ", b"HEAD ")) or NO_FIELD.search(head[1:]),
                   "gunicorn_gthread": BARE_LF.search(line + head)}.get(name)
        if is_left and (codings or any(map(int, lengths))):
            return True
        data = behind_chunks(data) if codings else data[int(lengths[0]) if lengths else 0:]
    return False


class Judge:
    def __init__(self, test, name, site):
        self.test, self.name, self.site = test, name, site
        self.service = test.service
        self.before = test.scrape()
        self.wrong, self.classes = [], collections.Counter()

    def settled(self, expected):
        """The difference to the scrape before, once @expected responses are there and nothing is in flight."""
        last = [None]

        def is_there():
            now = self.test.scrape()
            counts = now.counts(self.service) - self.before.counts(self.service)
            is_still = last[0] == counts
            last[0] = counts
            self.now = now
            return sum(counts.values()) >= expected and now.total("http_requests_in_flight", service=self.service) == 0 and (
                is_still or sum(counts.values()) == expected)
        try:
            harness.until(is_there, "", 30)
        except AssertionError:
            pass
        counts = self.now.counts(self.service) - self.before.counts(self.service)
        ups = given_up(self.now, self.service) - given_up(self.before, self.service)
        in_flight = self.now.total("http_requests_in_flight", service=self.service)
        self.reasons = {r: n for r in GIVE_UPS if (n := self.now.total(GIVEN_UP, service=self.service, reason=r) - self.before.total(GIVEN_UP, service=self.service, reason=r))}
        self.before = self.now
        return counts, ups, in_flight

    def judge(self, name, data, is_exact):
        first = data.split(b" ", 1)[0].strip().decode("latin-1")
        raw = answers(self.site.address, data)
        statuses = split(raw, [first])
        truth = collections.Counter(str(s) for s in statuses)
        counts, ups, in_flight = self.settled(len(statuses))
        counted = status_counts(counts)
        problems = []
        is_exact = is_exact and (self.name, name) not in KNOWN
        if counted != truth:
            problems.append(f"answered {dict(truth)}, counted {dict(counted)}")
        if in_flight:
            problems.append(f"{in_flight:g} in flight")
        strange = [k for k in counts if k[0] not in METHODS or (k[0] != "_OTHER" and k[1].startswith("/hel:") and k[1].encode() not in data)]
        if strange:
            problems.append(f"invented {strange}")
        if is_exact and (ups or any(k[0] == "_OTHER" for k in counts)):
            problems.append(f"sound, but given up: {dict(counts)}")
        smuggled = counts[("GET", "/items/:id", "200")]
        if smuggled and b"/items/7" not in data:
            problems.append("a request counted that was not sent")
        # An answer to what the agent took for no request, which the server did read: then the connection must be given up.
        unread = sum(n for (method, route, status), n in counts.items() if (method, route) == ("_OTHER", "_unmatched") and status < "400")
        if unread and not ups and (self.name, name) not in KNOWN and not may_be_unread(self.name, data):
            problems.append(f"{unread} answered requests not understood, and nothing given up")
        self.classes["given up" if ups else "exact"] += 1
        if problems:
            self.wrong.append(f"{name}: {'; '.join(problems)}; given up {self.reasons}; {dict(counts)}\n   {data[:300]!r}\n   {raw[:200]!r}")


def run(name):
    test = harness.Test(name)
    try:
        site = servers.SET_UPS[name](test)
        test.start_exporter()
        judge = Judge(test, name, site)
        judge.settled(0)
        for shape, data in shapes.SHAPES.items():
            judge.judge(shape, data + MARKER, shape in shapes.EXACT)
        rng = random.Random(f"{harness.SEED}/{name}")
        for i in range(MUTATED):
            data = streams.damaged(rng, rng.choice(list(shapes.SHAPES.values()))) + MARKER
            judge.judge(f"mutation {i}", data, False)
        harness.report(not judge.wrong, f"{name}_is_never_misread",
                       f"seed {harness.SEED}, {dict(judge.classes)}\n" + "\n".join(judge.wrong[:40]))
    except harness.Missing as missing:
        print(f"skip {name} {missing}", flush=True)
    finally:
        test.close()


for set_up in sys.argv[1:] or SET_UPS:
    run(set_up)
sys.exit(harness.status)
