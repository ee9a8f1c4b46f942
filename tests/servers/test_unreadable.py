#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Bodies that rules cannot read, of requests and of answers, through a real server: each is counted under its reason, the label has its
`other`, and what can be read beside them is. The codings are made by zlib, node and zstd."""
import collections
import gzip
import http.client
import json
import subprocess
import zlib

import client
import harness
import servers
import sites

RULES = """
rules:
  - {metric: asked_total, match: {role: server, route: /say}, labels: {status: {request_json: order.status}}}
  - {metric: said_total, match: {role: server, route: /say}, labels: {status: {response_json: order.status}}}
  - {metric: filed_total, match: {role: server, route: /file.json}, labels: {status: {response_json: order.status}}}
"""
ORDER = {"order": {"status": "paid", "note": "a \u20ac " * 40}}
PLAIN = json.dumps(ORDER, ensure_ascii=False).encode()
PER_PROCESS = 64  # exchanges that rules look into at one time


def zstd(text):
    return subprocess.run([harness.which("zstd"), "-c"], input=text, capture_output=True, check=True, timeout=60).stdout


# reason, "" = it is read; bodies
BODIES = [
    ("", [PLAIN, b'{"order":{"status":"paid"}}', b'\n  {"order" : {"status":"p\\u0061id"}, "a": [1, {"order": 2}]}']),
    ("compressed", [gzip.compress(PLAIN), zlib.compress(PLAIN), zlib.compress(PLAIN, 9)]),
    ("too_long", [json.dumps({"order": {"status": "x" * 65}}).encode(), json.dumps({"note": "x" * 65536, **ORDER}).encode()]),
    ("not_utf8", ['{"order":{"status":"bezahlt \u00fc"}}'.encode("latin-1"), b'{"order":{"status":"\\ud800"}}', b'{"order":{"status":"a\\u0000b"}}']),
    ("malformed", [b'{"order":{"status":paid}}', b'{"order":{"status":tru}}']),
    ("missing", [b'{"order":{"state":"paid"}}', b"{}"]),
    ("type", [b"<html>paid</html>", b'{"order":{"status":{"is":"paid"}}}', b'{"order":{"status":["paid"]}}']),
]


class Client:
    def __init__(self, address):
        self.conn = http.client.HTTPConnection(*address, timeout=60)
        self.asked, self.said = collections.Counter(), collections.Counter()

    def say(self, reason, body, answer_reason=None, **headers):
        """@reason: why the request cannot be read; @answer_reason: and the answer, where that is another."""
        self.conn.request("POST", "/say", body, {"Content-Type": "application/json", **{name.replace("_", "-"): v for name, v in headers.items()}})
        answer = self.conn.getresponse()
        self.asked[reason] += 1
        self.said[reason if answer_reason is None else answer_reason] += 1
        return answer.read()


def check(test, name, metric, tally):
    """Labels of those that were read and of those that were not; reasons."""
    scrape = test.scrape()
    labels = {found["status"]: value for found, value in scrape.values(metric, service=test.service)}
    reasons = {found["reason"]: value for found, value in scrape.values("tickbird_rule_unreadable_total", service=test.service, rule=metric)}
    hidden = {reason: count for reason, count in tally.items() if reason}
    expected = {status: count for status, count in (("paid", tally[""]), ("_other", sum(hidden.values()))) if count}
    harness.report(labels == expected and reasons == hidden, name, f"{labels} {reasons}, sent {dict(tally)}")


def bodies(test):
    address = (test.ip, test.port())
    test.start_exporter("--config.file", test.write("config.yml", RULES))
    test.scrape()
    test.wait_for_port(address, test.start([harness.which("node", "nodejs"), sites.APPS / "echo.js", *address]))
    asker, count = Client(address), 1
    for reason, several in BODIES:
        for body in several:
            for _ in range(count):
                asker.say(reason, body)
        count += 1  # each reason has a number of its own
    for coding in ("gzip", "deflate", "br"):
        packed = asker.say("", PLAIN, "compressed", X_Make=coding)
        assert asker.say("compressed", packed, Content_Encoding=coding) == packed
    harness.until(lambda: test.scrape().total("said_total", service=test.service) == sum(asker.said.values()), "all are counted")
    check(test, "requests_that_cannot_be_read_are_told_by_reason", "asked_total", asker.asked)
    check(test, "answers_that_cannot_be_read_are_told_by_reason", "said_total", asker.said)
    try:
        for body in (zstd(PLAIN), zstd(PLAIN * 1000)):
            asker.say("compressed", body, Content_Encoding="zstd")
    except harness.Missing as missing:
        print(f"skip zstd_is_told {missing}")
        return
    harness.until(lambda: test.scrape().total("said_total", service=test.service) == sum(asker.said.values()), "zstd is counted")
    check(test, "zstd_is_told", "said_total", asker.said)


def at_once(test):
    """More requests wait than the process has room to look into."""
    address, count = (test.ip, test.port()), PER_PROCESS + 16
    test.start_exporter("--config.file", test.write("config.yml", RULES))
    test.scrape()
    test.wait_for_port(address, test.start([harness.which("node", "nodejs"), sites.APPS / "echo.js", *address]))
    conns = [client.Conn(address, 60) for _ in range(count)]
    for conn in conns:
        conn.send(b"POST /say HTTP/1.1\r\nHost: shop\r\nX-Wait: %d\r\nContent-Length: %d\r\n\r\n%s" % (count, len(PLAIN), PLAIN))
    for conn in conns:
        assert conn.response("POST").status == 200
        conn.close()
    def seen():
        scrape = test.scrape()
        return (scrape.total("said_total", service=test.service, status="paid"),
                scrape.total("tickbird_rule_unreadable_total", service=test.service, rule="said_total", reason="no_memory"))
    harness.until(lambda: sum(seen()) == count, "each is counted, or told")
    harness.report(0 < seen()[0] <= PER_PROCESS, "what_there_is_no_room_for_is_told", f"{seen()} of {count}")


def unseen(test):
    """nginx has the kernel send a file."""
    address, root = (test.ip, test.port()), test.dir / "www"
    test.write("www/file.json", PLAIN)
    test.start_exporter("--config.file", test.write("config.yml", RULES))
    test.scrape()
    test.wait_for_port(address, servers.start_nginx(test, f"""
server {{ listen {address[0]}:{address[1]}; location / {{ root {root}; sendfile on; }} location /read/ {{ alias {root}/; sendfile off; }} }}"""))
    conn = http.client.HTTPConnection(*address, timeout=60)
    for _ in range(7):
        conn.request("GET", "/file.json")
        conn.getresponse().read()
    harness.until(lambda: test.scrape().total("filed_total", service=test.service) == 7, "all are counted")
    check(test, "what_the_kernel_sent_is_told", "filed_total", collections.Counter({"unseen": 7}))


harness.main_special({"bodies": bodies, "at_once": at_once, "unseen": unseen})
