#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Inlets that read a JSON URL (docs/inlets.md), from servers that answer well, wrongly, slowly, without an end, or not at all.
The truth is what Python's own reader of JSON finds."""
import base64
import json
import os
import random
import re
import shutil
import ssl
import subprocess
import threading

from cli_lib import EXPORTER, Skip, check, main, make_regions, test, wait_for
from inlets_lib import AGAIN, Answers, Exporter, check_places, entries, metric, need_client, read_once, refused, shown, value_of

def ok(body, status="200 OK", more=""):
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{more}\r\n".encode() + body


def config(*inlets):
    return entries(*({"type": "json", **i} for i in inlets))


@test
def numbers_are_found_by_their_paths(s):
    need_client()
    draw, server = random.Random(11), Answers(s)
    doc = {"plain": 5, "below": -0.25, "large": 123456789012345678901234567890, "text": " 7".strip(), "exp": "1e-3", "yes": True, "no": False,
           "nothing": None, "odd.name": {"x\"y": [[1, 2], [3, 4.5]]}, "list": [{"n": 1}, {"n": 2}], "ü": {"ß": 9},
           "queues": [{"name": f"q{i} \"\\\n", "vhost": draw.choice("ab"), "ready": draw.randrange(10**6), "rate": draw.random(),
                       "state": {"ok": draw.random() < .5}, "left": None if i % 7 == 0 else i} for i in range(300)],
           "by_name": {f"k{i}": {"n": i} for i in range(50)}, "simple": {"a": 1, "b": 2}, "rows": [3, 1, 2], "none": []}
    server.answers["/d"] = json.dumps(doc, indent=1).encode()
    all_ = [metric("plain_value", "plain"), metric("below", "below"), metric("large", "large"), metric("text_value", "text"), metric("exp", "exp"),
            metric("yes", "yes"), metric("no", "no"), metric("nothing", "nothing"), metric("odd", '["odd.name"]["x\\"y"][1][1]'),
            metric("element", "list[1].n", labels={"a": "const"}), metric("umlaut", "ü.ß"), metric("scaled", "plain", scale=0.001),
            metric("jobs_total", "plain", type="counter", help="Jobs."),
            metric("ready", "ready", each="queues", labels={"queue": {"path": "name"}, "vhost": {"path": "vhost"}, "fixed": "f"}),
            metric("rate", "rate", each="queues", labels={"n": {"path": "$key"}}), metric("ok", "state.ok", each="queues", labels={"n": {"path": "$key"}}),
            metric("left", "left", each="queues", labels={"n": {"path": "$key"}, "ready": {"path": "ready"}, "ok": {"path": "state.ok"}, "no": {"path": "nope"}}),
            metric("by_name", "n", each="by_name", labels={"name": {"path": "$key"}}), metric("simple", ".", each="simple", labels={"name": {"path": "$key"}}),
            metric("row_value", ".", each="rows", labels={"row": {"path": "$key"}}), metric("none", ".", each="none", labels={"row": {"path": "$key"}})]
    truth = {("plain_value", ()): 5, ("below", ()): -0.25, ("large", ()): float(doc["large"]), ("text_value", ()): 7, ("exp", ()): 0.001, ("yes", ()): 1, ("no", ()): 0,
             ("odd", ()): 4.5, ("element", (("a", "const"),)): 2, ("umlaut", ()): 9, ("scaled", ()): 0.005, ("jobs_total", ()): 5}
    for i, q in enumerate(doc["queues"]):
        truth["ready", (("fixed", "f"), ("queue", q["name"].replace("\n", "\ufffd")), ("vhost", q["vhost"]))] = q["ready"]
        truth["rate", (("n", str(i)),)], truth["ok", (("n", str(i)),)] = q["rate"], int(q["state"]["ok"])
        if q["left"] is not None:
            truth["left", (("n", str(i)), ("ok", str(q["state"]["ok"]).lower()), ("ready", str(q["ready"])))] = q["left"]
    truth.update({("by_name", (("name", f"k{i}"),)): i for i in range(50)})
    truth.update({("simple", (("name", k),)): v for k, v in doc["simple"].items()})
    truth.update({("row_value", (("row", str(i)),)): v for i, v in enumerate(doc["rows"])})
    e = Exporter(s, config({"url": server.url("/d"), "metrics": all_}))
    got = read_once(e, "json")
    check({k: got.get(k) for k in truth} == truth and got.keys() == truth.keys(), set(got.items()) ^ set(truth.items()), refused(e, "json"))
    check("# HELP jobs_total Jobs.\n# TYPE jobs_total counter\n" in e.text() and not refused(e, "json"))
    check(value_of(e, "accepted_lines_total") >= len(truth) and value_of(e, "last_success_timestamp_seconds") > 1e9)
    check(value_of(e, "up") == 1 and value_of(e, "read_duration_seconds") > 0)


@test
def what_changes_is_read_again(s):
    need_client()
    server = Answers(s)
    server.answers["/d"] = b"1"
    e = Exporter(s, config({"url": server.url("/d"), "metrics": [metric()], **AGAIN}))
    wait_for("the first value", lambda: shown(e) == {("v", ()): 1})
    server.answers["/d"] = b"2"
    wait_for("the new value", lambda: shown(e) == {("v", ()): 2})


def send(*parts):
    def answer(connection, _):
        for part in parts:
            connection.sendall(part)
    return answer


def without_end(part, first=b"HTTP/1.1 200 OK\r\n\r\n"):
    def answer(connection, _):
        connection.sendall(first)
        while True:
            connection.sendall(part)
    return answer


def drip(connection, _):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    wait = threading.Event()
    while True:
        connection.sendall(b" ")
        wait.wait(0.05)


HOSTILE = {
    "endless": (without_end(b"1" * 65536), "limit"), "endless_head": (without_end(b"X-A: " + b"b" * 1000 + b"\r\n", b"HTTP/1.1 200 OK\r\n"), "limit"),
    "drip": (drip, "timeout"), "loop": (lambda c, h: c.sendall(ok(b"", "302 Found", "Location: /loop\r\n")), "unreadable"),
    "garbage": (send(b"\x00\xff\x13garbage\r\n\r\n"), "unreadable"), "closed": (send(), "unreadable"), "empty": (b"", "syntax"),
    "broken": (send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1"), "unreadable"), "text": (b"hello", "syntax"), "nan": (b"NaN", "syntax"),
    "deep": (b"[" * 200000 + b"]" * 200000, "syntax"), "many": (b"[" + b"{}," * 300000 + b"{}]", "limit"), "huge": (b"1" + b"0" * 400, "syntax"),
    "huge_exponent": (b"1e999999", "syntax"), "utf8": (b'"\xff"', "syntax"), "two": (b"1 2", "syntax"), "cut": (b'{"a": [1, 2', "syntax"),
    "object": (b"{}", "value"), "word": (b'"seven"', "value"), "nan_text": (b'"NaN"', "value"), "inf_text": (b'"-inf"', "value"),
    "nul_text": (b'"1\\u0000"', "value"), "status": (send(ok(b"1", "500 Oops")), "unreadable"), "denied": (send(ok(b"1", "401 No")), "unreadable"),
}


@test
def a_bad_answer_is_refused_with_its_reason(s):
    need_client()
    server = Answers(s)
    server.answers["/good"] = b"7"
    inlets = [{"name": "good", "url": server.url("/good"), "metrics": [metric("good")]}]
    for name, (answer, _) in HOSTILE.items():
        server.answers[f"/{name}"] = answer
        inlets.append({"name": name, "url": server.url(f"/{name}"), "metrics": [metric(f"v_{name}")], "timeout": "60s"})
    next(i for i in inlets if i["name"] == "drip")["timeout"] = "300ms"
    inlets.append({"name": "nobody", "url": "http://127.0.0.1:1/", "metrics": [metric("nobody")]})
    e = Exporter(s, config(*inlets))
    truth = {name: reason for name, (_, reason) in HOSTILE.items()} | {"nobody": "unreadable", "good": None}
    wait_for("all reads", lambda: set(re.findall(r'^tickbird_exporter_inlet_up\{inlet="(\w+)"\}', e.text(), re.M)) == truth.keys(), 60)
    text = e.text()
    got = {name: None for name in truth}
    for name, reason, n in re.findall(r'inlet_refused_lines_total\{inlet="(\w+)",reason="(\w+)"\} ([1-9]\d*)', text):
        check(got[name] is None and n == "1", name, reason, n)
        got[name] = reason
    check(got == truth, {k: (v, truth[k]) for k, v in got.items() if v != truth[k]})
    check(shown(e) == {("good", ()): 7}, shown(e))
    up = dict(re.findall(r'^tickbird_exporter_inlet_up\{inlet="(\w+)"\} (\d)', text, re.M))
    check({k for k, v in up.items() if v == "1"} == {"good"} | {n for n, (_, r) in HOSTILE.items() if r == "value"}, up)


@test
def single_samples_are_refused(s):
    need_client()
    server = Answers(s)
    rows = [{"n": "a", "v": 1}, {"n": ["x"], "v": 2}, {"n": "x" * 1025, "v": 3}, {"n": "d", "v": "no"}, {"n": "e"}, {"n": "f", "v": -1}]
    server.answers["/d"] = json.dumps({"rows": rows, "same": [1, 2], "most": list(range(10001))}).encode()
    row = {"each": "rows", "labels": {"n": {"path": "n"}}}
    e = Exporter(s, config({"name": "a", "url": server.url("/d"), "metrics": [metric("g", "v", **row), metric("c_total", "v", type="counter", **row)]},
                           {"name": "b", "url": server.url("/d"), "metrics": [metric("same", ".", each="same")]},
                           {"name": "c", "url": server.url("/d"), "metrics": [metric("there", "rows[0].v"), metric("gone", "rows[0].w"), metric("gone", "x.y[3]"),
                                                                              metric("no_rows", "v", each="rows[0].v"), metric("no_members", "w", each="rows")]},
                           {"name": "d", "url": server.url("/d"), "metrics": [metric("most", ".", each="most", labels={"n": {"path": "$key"}})]}))
    for name in "abcd":
        read_once(e, name)
    got = shown(e)
    check(sum(k[0] == "most" for k in got) == 10000)
    check({k: v for k, v in got.items() if k[0] != "most"} == {("g", (("n", "a"),)): 1, ("g", (("n", "f"),)): -1, ("c_total", (("n", "a"),)): 1, ("there", ()): 1}, got)
    check(refused(e, "a") == {"label", "value"} and refused(e, "b") == {"duplicate"} and refused(e, "c") == {"incomplete"} and refused(e, "d") == {"limit"})


@test
def a_server_that_hangs_keeps_nobody_waiting(s):
    need_client()
    server, asked = Answers(s), threading.Event()

    def hang(_connection, _head):
        asked.set()
        server.held.wait()
    server.answers.update({"/hang": hang, "/good": b"3"})
    e = Exporter(s, config({"name": "hang", "url": server.url("/hang"), "metrics": [metric("h")], "timeout": "60s"},
                           {"name": "good", "url": server.url("/good"), "metrics": [metric("good")]}))
    check(asked.wait(60))
    wait_for("the other's value", lambda: shown(e) == {("good", ()): 3})
    with open(e.config, "w", encoding="utf-8") as f:
        f.write(config({"name": "good", "url": server.url("/good"), "metrics": [metric("good")]}))
    wait_for("the inlet is gone", lambda: 'inlet="hang"' not in e.text())
    check(not server.held.is_set())
    with open(e.config, "w", encoding="utf-8") as f:
        f.write(config({"name": "again", "url": server.url("/hang"), "metrics": [metric("h")], "timeout": "60s"}))
    asked.clear()
    wait_for("it is asked", lambda: e.text() and asked.is_set())
    e.process.terminate()
    check(e.process.wait(40) == 0 and not server.held.is_set(), "the end waited for the server")


@test
def what_is_old_goes_and_comes_back(s):
    need_client()
    server = Answers(s)
    good = json.dumps([{"n": "a", "v": 1}]).encode()
    server.answers["/d"] = good
    e = Exporter(s, config({"url": server.url("/d"), "metrics": [metric("v", "v", each=".", labels={"n": {"path": "n"}})], **AGAIN, "stale_after": "1s"}))
    wait_for("a value", lambda: shown(e) == {("v", (("n", "a"),)): 1})
    server.answers["/d"] = send()
    wait_for("it is gone", lambda: not shown(e) and value_of(e, "up") == 0)
    check(value_of(e, "last_success_timestamp_seconds") > 1e9, "when all was well stays")
    server.answers["/d"] = good
    wait_for("it is back", lambda: shown(e) and value_of(e, "up") == 1)


@test
def names_that_are_taken_are_told_once(s):
    need_client()
    server = Answers(s)
    server.answers["/d"] = b"1"
    e = Exporter(s, config({"url": server.url("/d"), "metrics": [metric("http_requests_total", type="counter"), metric("fine")], **AGAIN}))
    wait_for("several reads", lambda: value_of(e, "accepted_lines_total") > 6)
    check(shown(e) == {("fine", ()): 1} and value_of(e, "refused_lines_total", reason="collision") == 1)


@test
def secrets_are_sent_and_not_told(s):
    need_client()
    server = Answers(s)

    def guarded(connection, head):
        want = "Basic " + base64.b64encode(f"monitor:{server.password}".encode()).decode()
        good = f"Authorization: {want}\r\n" in head and "X-Plain: a b\r\n" in head and "X-Key: key-from-file\r\n" in head and "X-Env: key-from-env\r\n" in head
        connection.sendall(ok(b"1") if good else ok(b"", "401 Unauthorized"))
    server.answers["/d"] = guarded
    server.password = "pass-from-file"
    password = s.file("password", b"pass-from-file\n", 0o600)
    key = s.file("key", b"key-from-file\r\n", 0o600)
    s.env.update(PULL_KEY="key-from-env", PULL_PASSWORD="pass-from-env")
    headers = {"X-Plain": "a b", "X-Key": {"file": key}, "X-Env": {"env": "PULL_KEY"}}
    common = {"url": server.url("/d"), "headers": headers, "user": "monitor", **AGAIN}
    e = Exporter(s, config({"name": "a", "metrics": [metric("a")], "password_file": password, **common},
                           {"name": "b", "metrics": [metric("b")], "password_env": "PULL_PASSWORD", **common},
                           {"name": "c", "metrics": [metric("c")], "password_env": "PULL_NOT_SET", **common},
                           {"name": "d", "metrics": [metric("d")], "password_file": os.path.join(s.path, "missing"), **common}))
    for name in "abcd":
        read_once(e, name)
    wait_for("the file's", lambda: ("a", ()) in shown(e))
    check(shown(e) == {("a", ()): 1} and refused(e, "c") == refused(e, "d") == {"unreadable"})
    wait_for("the wrong password", lambda: "unreadable" in refused(e, "b"))
    server.password = "pass-from-env"
    wait_for("the variable's", lambda: ("b", ()) in shown(e))
    s.file("password", b"one\ntwo\n")
    wait_for("a refusal", lambda: value_of(e, "up", inlet="a") == 0)
    s.file("password", b"pass-from-env")
    wait_for("the file is read again", lambda: value_of(e, "up", inlet="a") == 1)
    with open(f"/proc/{e.process.pid}/cmdline", "rb") as f:
        said = f.read()
    said += e.get()
    e.process.terminate()
    said += e.process.stderr.read()
    check(b"could not be read" in said and not re.search(rb"(pass|key)-from-|" + base64.b64encode(b"monitor:")[:9], said), said[-3000:])


@test
def tls_is_checked(s):
    need_client()
    if not shutil.which("openssl"):
        raise Skip("openssl is not installed")
    cert, key = os.path.join(s.path, "cert.pem"), os.path.join(s.path, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    server = Answers(s, tls)
    server.answers["/d"] = b"4"
    e = Exporter(s, config({"name": "a", "url": server.url("/d"), "metrics": [metric("a")], "ca_file": "cert.pem"}, {"name": "b", "url": server.url("/d"), "metrics": [metric("b")]},
                           {"name": "c", "url": server.url("/d"), "metrics": [metric("c")], "insecure": True}))
    for name in "abc":
        read_once(e, name)
    check(shown(e) == {("a", ()): 4, ("c", ()): 4} and refused(e, "b") == {"unreadable"}, shown(e))


@test
def unix_sockets_are_asked(s):
    need_client()
    path = os.path.join(s.path, "http.sock")
    server = Answers(s, path=path)
    server.answers["/d"] = b"5"
    e = Exporter(s, config({"url": "http://queue.local/d", "unix_socket": path, "metrics": [metric("a")]}))
    check(read_once(e, "json") == {("a", ()): 5} and "Host: queue.local\r\n" in server.heads[0], server.heads)


@test
def one_scrape_waits_for_them(s):
    need_client()
    server = Answers(s)
    server.answers.update({"/d": b"6", "/bad": send()})
    make_regions(s)
    inlets = json.loads(config({"name": "a", "url": server.url("/d"), "metrics": [metric("depth")]}, {"name": "b", "url": server.url("/bad"), "metrics": [metric("b")]}))
    path = s.file("c.yml", json.dumps({**inlets, "push": {"outputs": [{"type": "emf", "to": "stdout", "namespace": "N", "start": "beginning", "metrics": ["depth"]}]}}).encode())
    done = s.run("--config.file", path, "--once", program=EXPORTER)
    check(done.code == 0 and "\ndepth 6\n" in done.out and 'inlet_up{inlet="b"} 0\n' in done.out, done)
    done = s.run("--config.file", path, "--push.dry-run", program=EXPORTER)
    check(done.code == 0 and "depth" in done.out.lower(), done)
    done = s.run("--config.file", path, "--push.once", program=EXPORTER)
    check(done.code == 0 and json.loads(done.out)["Depth"] == 6, done)


@test
def what_stays_goes_on_over_a_reload(s):
    need_client()
    server = Answers(s)
    server.answers["/d"] = b"1"
    first = {"url": server.url("/d"), "metrics": [metric("a")], "interval": "1h"}
    inlets = config(first)[1:-2] + ",\n"
    e = Exporter(s, "{" + inlets + "}\n")
    check(read_once(e, "json") == {("a", ()): 1})
    server.answers["/d"] = b"2"
    with open(e.config, "w", encoding="utf-8") as f:
        f.write("{" + inlets + "metrics: {constant_labels: {env: test}}}\n")
    wait_for("the new configuration", lambda: shown(e) == {("a", (("env", "test"),)): 1})
    check(len(server.heads) == 1, "it was read anew")


GOOD = "type: json, url: 'http://h/', metrics: [{name: a, path: b}]"
MORE = GOOD[:-1] + ", "
WRONG = [  # the place is marked
    ("url", "@{type: json, metrics: [{name: a, path: b}]}"), ("metrics", "@{type: json, url: 'http://h/'}"),
    ("url", "{type: json, url: @'ftp://h/', metrics: [{name: a, path: b}]}"), ("url", "{type: json, url: @'http://u:p@h/', metrics: [{name: a, path: b}]}"),
    ("url", "{type: json, url: @'http://', metrics: [{name: a, path: b}]}"),
    ("user", "{%s, user: @u}" % GOOD), ("user", "{%s, password_file: @p}" % GOOD), ("password_env", "{%s, user: u, password_file: p, password_env: @P}" % GOOD),
    ("interval", "{%s, interval: @1ms}" % GOOD), ("timeout", "{%s, timeout: @20s}" % GOOD), ("timeout", "{%s, timeout: @1ms}" % GOOD),
    ("stale_after", "{%s, stale_after: @5s}" % GOOD), ("unix_socket", "{%s, unix_socket: @x}" % GOOD), ("insecure", "{%s, insecure: @5}" % GOOD),
    ("headers", "{%s, headers: {@a b: c}}" % GOOD), ("headers", "{%s, headers: {A: @{file: x, env: Y}}}" % GOOD), ("headers", "{%s, headers: {A: @{}}}" % GOOD),
    ("headers", "{%s, headers: @5}" % GOOD), ("type", "{%s, folder: @x}" % GOOD),
    ("metrics", "{%s@{path: x}]}" % MORE), ("metrics", "{%s@{name: x}]}" % MORE), ("metrics", "{%s@{name: x, path: x, command: [LLEN, a]}]}" % MORE), ("type", "{%s, database: @1}" % GOOD), ("name", "{%s@{name: 1x, path: x}]}" % MORE),
    ("name", "{%s@{name: x_total, path: x}]}" % MORE), ("name", "{%s@{name: x, path: x, type: counter}]}" % MORE), ("type", "{%s{name: x, path: x, type: @y}]}" % MORE),
    ("path", "{%s{name: x, path: @'a..b'}]}" % MORE), ("each", "{%s{name: x, path: x, each: @'a['}]}" % MORE), ("scale", "{%s{name: x, path: x, scale: @0}]}" % MORE),
    ("labels", "{%s{name: x, path: x, labels: {@le: a}}]}" % MORE), ("patch", "{%s{name: x, path: x, labels: {a: {@patch: x}}}]}" % MORE),
    ("labels", "{%s{name: x, path: x, labels: @5}]}" % MORE)]


@test
def wrong_entries_are_told_by_line(s):
    check_places(s, WRONG)
    check(s.run("check-config", s.file("c.yml", f"inlets: [{{{GOOD}}}]\n".encode())).code == 0)


if __name__ == "__main__":
    main()
