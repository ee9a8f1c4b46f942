#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`tickbird status`, `series`, `routes`, `top`, `on` and `off` on nothing, on live programs and on damaged regions."""
import json
import os
import struct
import subprocess

from cli_lib import HTTP_SERVER, OBJECT, Server, Skip, TICKBIRD, check, main, one_line, read_line, run_python, test, wait_for


def status(s, *argv):
    done = s.run("status", "--json", *argv)
    check(done.code == 0 and not done.err, done)
    return json.loads(done.out)


def series(s, *argv):
    done = s.run("series", "--json", *argv)
    check(done.code == 0 and not done.err, done)
    return {(e["service"], e["method"], e["route"], e.get("status", e.get("reason"))): e["count"]
            for e in json.loads(done.out)}


def wait_for_series(s, expected):
    """A response reaches the client before the write that sent it has been counted."""
    wait_for(f"series {expected}", lambda: series(s) == expected)


@test
def nothing_records_and_that_is_said_clearly(s):
    done = s.run("status", "--service", "x")
    check(done.code == 0 and "No program of service x records here" in done.out and s.regions in done.out, done)
    done = s.run("status")
    check(done.code == 0 and "No program records here" in done.out and "tickbird run" in done.out, done)
    empty = status(s)
    check(empty["programs"] == [] and empty["services"] == [] and empty["unreadable"] == [], empty)
    for verb in ("series", "routes"):
        check("Nothing has been counted" in s.run(verb).out)
        check(json.loads(s.run(verb, "--json").out) == [])
    done = s.run("top", "--frames", "1")
    check(done.code == 0 and "No program records here" in done.out, done)
    for verb in ("on", "off"):
        done = s.run(verb)
        check(done.code == 1 and not done.out, done)
        one_line(done.err)


@test
def status_shows_a_program_and_series_equal_what_the_client_saw(s):
    server = Server(s)
    sent = [("GET", "/hello", 200, 5), ("GET", "/missing", 404, 3), ("POST", "/hello", 200, 2), ("GET", "/broken", 500, 1),
            ("GET", "/items/7", 200, 4)]
    for method, path, code, times in sent:
        for _ in range(times):
            check(server.get(path, method) == code)
    wait_for_series(s, {("shop", "GET", "/hello", "200"): 5, ("shop", "GET", "_unmatched", "404"): 3,
                        ("shop", "POST", "/hello", "200"): 2, ("shop", "GET", "/broken", "500"): 1,
                        ("shop", "GET", "/items/:id", "200"): 4})
    now = status(s)
    program = now["programs"][0]
    check(len(now["programs"]) == 1 and program["service"] == "shop" and program["requests"] == 15, now)
    check(program["pids"] == [server.process.pid] and program["processes"] == 1, now)
    check(program["is_recording"] and "python3" in program["program"] and program["in_flight"] == 0, now)
    check(program["oldest_in_flight_seconds"] == 0 and program["since"].startswith("20"), now)
    check(not any(server.process.pid in l["pids"] for l in now["unobserved_listeners"]), now)
    text = s.run("status").out
    check("shop" in text and str(server.process.pid) in text and " 15 " in text and "recording" in text, text)
    routes = {r["route"]: (r["count"], r["errors"]) for r in json.loads(s.run("routes", "--json").out)}
    check(routes == {"/hello": (7, 0), "_unmatched": (3, 0), "/broken": (1, 1), "/items/:id": (4, 0)}, routes)
    first = s.run("routes", "--top", "1").out.splitlines()
    check(first[1].split()[-1] == "/hello" and "3 more routes" in first[2], first)
    check(len(json.loads(s.run("series", "--json", "--top", "2").out)) == 2)
    check("shop" in s.run("series").out)


@test
def what_a_service_calls_is_shown_with_its_state(s):
    server = Server(s)
    target = f"127.0.0.1:{server.port}"
    caller = run_python(s, "import http.client\nc = http.client.HTTPConnection('%s', timeout=60)\n"
                        "for path in ('/broken', '/a', '/b', '/c'):\n    c.request('GET', path)\n    c.getresponse().read()\n"
                        "print('done', flush=True)\ninput()\n" % target, service="caller")
    check(read_line(caller.stdout) == "done")
    wait_for("four calls", lambda: [d["calls"] for d in status(s)["dependencies"]] == [4])
    called = status(s)["dependencies"][0]
    check(called.pop("p95_seconds") > 0, called)
    check(called == {"service": "caller", "target": target, "calls": 4, "failed": 1, "state": "up"}, called)
    line = next(l for l in s.run("status").out.splitlines() if l.startswith("caller") and target in l)
    check(line.split()[2:6] == ["4", "1", "25.0", "%"] and line.endswith("up"), line)
    check(status(s, "--service", "shop")["dependencies"] == [])


@test
def a_service_can_be_asked_for_alone(s):
    one, two = Server(s, "one"), Server(s, "two")
    one.get("/a")
    two.get("/b")
    two.get("/b")
    wait_for_series(s, {("one", "GET", "/a", "200"): 1, ("two", "GET", "/b", "200"): 2})
    check([p["service"] for p in status(s, "--service", "two")["programs"]] == ["two"])
    check(series(s, "--service", "one") == {("one", "GET", "/a", "200"): 1})
    check("/a" not in s.run("routes", "--service", "two").out)
    check(sorted(p["service"] for p in status(s)["programs"]) == ["one", "two"])
    check(status(s, "--dir", os.path.join(s.path, "elsewhere"))["programs"] == [])


@test
def a_request_in_flight_and_its_age_are_shown(s):
    server = Server(s)
    server.client.request("GET", "/held")
    check(read_line(server.process.stdout) == "holding")
    now = wait_for("in flight", lambda: (lambda p: p if p["in_flight"] == 1 else None)(status(s)["programs"][0]))
    check(now["requests"] == 0, now)
    wait_for("its age", lambda: status(s)["programs"][0]["oldest_in_flight_seconds"] > 0.1)
    server.process.stdin.write(b"\n")
    server.process.stdin.flush()
    check(server.client.getresponse().read() == b"ok")
    wait_for("done", lambda: status(s)["programs"][0]["in_flight"] == 0)
    wait_for_series(s, {("shop", "GET", "/held", "200"): 1})


@test
def off_stops_counting_at_once_and_on_goes_on(s):
    one, two = Server(s, "one"), Server(s, "two")
    for server in (one, two):
        server.get("/a")
    both = {("one", "GET", "/a", "200"): 1, ("two", "GET", "/a", "200"): 1}
    wait_for_series(s, both)
    done = s.run("off", "one")
    check(done.code == 0 and "one: switched off (1 process)" in done.out and "two" not in done.out, done)
    done = s.run("off", "--service", "nobody")
    check(done.code == 0 and "programs that start later" in done.out and "switched off (" not in done.out, done)
    states = {p["service"]: p["is_recording"] for p in status(s)["programs"]}
    check(states == {"one": False, "two": True}, states)
    check("switched off" in s.run("status").out)
    for server in (one, two):
        server.client.close()
        check(server.get("/a") == 200)
    wait_for_series(s, {**both, ("two", "GET", "/a", "200"): 2})
    check(s.run("on").code == 0)
    for server in (one, two):
        server.client.close()
        check(server.get("/a") == 200)
    wait_for_series(s, {("one", "GET", "/a", "200"): 2, ("two", "GET", "/a", "200"): 3})


@test
def totals_of_a_program_that_is_gone_stay_visible(s):
    server = Server(s)
    server.get("/a")
    wait_for_series(s, {("shop", "GET", "/a", "200"): 1})
    server.stop()
    now = wait_for("its end", lambda: (lambda n: n if not n["programs"] else None)(status(s)))
    check(now["services"][0]["requests"] == 1 and now["services"][0]["processes"] == 0, now)
    check(series(s) == {("shop", "GET", "/a", "200"): 1})
    check("No program records here" in s.run("status").out)
    check(s.run("off").code == 0 and s.run("on").code == 0)


@test
def top_shows_the_rates_of_its_interval(s):
    server = Server(s)
    server.get("/a")
    wait_for_series(s, {("shop", "GET", "/a", "200"): 1})
    top = s.start([TICKBIRD, "top", "--interval", "1", "--frames", "30"], stdout=subprocess.PIPE)
    read_line(top.stdout)  # the first frame is there, so the second interval has begun
    for _ in range(20):
        server.get("/b")
    lines = []
    wait_for("the new route", lambda: lines.append(read_line(top.stdout)) or "/b" in lines[-1])
    row = lines[-1].split()
    check(row[-1] == "/b" and row[-2] == "200" and float(row[0]) > 0, lines)
    check(not any(line.endswith("/a") for line in lines), lines)


@test
def damaged_regions_are_named_with_the_reason(s):
    server = Server(s)
    server.get("/a")
    wait_for_series(s, {("shop", "GET", "/a", "200"): 1})
    name = next(n for n in os.listdir(s.regions) if n.startswith("tb1-"))
    with open(os.path.join(s.regions, name), "rb") as f:
        region = f.read()
    uid = os.geteuid()
    for number, content in enumerate((b"", os.urandom(8192), region[:100], region[:8] + struct.pack("<I", 99) + region[12:],
                                      region[:5000])):
        path = os.path.join(s.regions, f"tb1-{uid}-{number:016x}-0")
        with open(path, "wb") as f:
            f.write(content)
    now = status(s)
    check(len(now["programs"]) == 1 and now["programs"][0]["requests"] == 1, now)
    reasons = {u["path"].split("-")[-2]: u["reason"] for u in now["unreadable"]}
    check(len(reasons) >= 4 and any("new" in r for r in reasons.values()), now["unreadable"])
    text = s.run("status").out
    check("Cannot be read" in text, text)
    for verb in ("series", "routes", "off", "on"):
        done = s.run(verb)
        check(done.code in (0, 1) and done.code >= 0, verb, done)
    check(s.run("on", "shop").code == 0)
    wait_for_series(s, {("shop", "GET", "/a", "200"): 1})


@test
def a_program_that_listens_unobserved_is_not_passed_over(s):
    server = Server(s)
    plain = s.start(["/usr/bin/python3", "-c", HTTP_SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    read_line(plain.stdout)
    found = [l for l in status(s)["unobserved_listeners"] if plain.pid in l["pids"]]
    check([(l["reason"], l["why"]) for l in found] == [("not_preloaded", "it was started without the preload")], found)
    check(not any(server.process.pid in l["pids"] for l in status(s)["unobserved_listeners"]))
    text = s.run("status").out
    check("Listening on TCP, but not recording" in text and str(plain.pid) in text, text)
    done = s.run("doctor", "--all")
    check(done.code == 1 and f"{plain.pid}" in done.out and "records: service shop" in done.out, done)
    server.get("/a")
    check(s.run("off").code == 0)
    found = [l for l in status(s)["unobserved_listeners"] if server.process.pid in l["pids"]]
    check([(l["reason"], l["why"]) for l in found] == [("not_recording", "it is switched off")], found)


# A ring is made, then one request is answered in the ordinary way.
RING = "import ctypes; ring = ctypes.CDLL(None).syscall(425, 4, ctypes.create_string_buffer(256))"
RING_SERVER = RING + r"""
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
peer, _ = server.accept()
client.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
peer.recv(100)
peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
print(flush=True)
sys.stdin.read()
"""


@test
def what_a_process_does_beside_the_hooks_is_told(s):
    if subprocess.run(["/usr/bin/python3", "-c", RING + "; raise SystemExit(ring < 0)"], check=False).returncode:
        raise Skip("io_uring is not allowed here")
    process = run_python(s, RING_SERVER, service="ring")
    read_line(process.stdout)
    check(series(s) == {("ring", "GET", "/a", "200"): 1})
    losses = [(l["service"], l["counter"], l["reason"]) for l in status(s)["not_observed"]]
    check(("ring", "unobservable", "io_uring") in losses, losses)
    check("io_uring" in s.run("status").out)
    check("io_uring" in s.run("doctor", str(process.pid)).out)


@test
def what_is_counted_is_no_loss(s):
    server = Server(s)
    server.get("/a")
    wait_for_series(s, {("shop", "GET", "/a", "200"): 1})
    check(status(s)["not_observed"] == [], status(s)["not_observed"])
    check("Not observed" not in s.run("status").out)


@test
def names_of_strangers_cannot_drive_the_terminal(s):
    server = Server(s)
    server.get("/a")
    wait_for_series(s, {("shop", "GET", "/a", "200"): 1})
    name = next(n for n in os.listdir(s.regions) if n.startswith("tb1-"))
    with open(os.path.join(s.regions, name), "r+b") as f:
        f.seek(0)
        head = f.read(4096)
        at = head.index(b"shop\0")
        f.seek(at)
        f.write(b"a\x1b[2J\"\\\xff\xc2\x9b\0")
    for verb in ("status", "series", "routes"):
        done = s.run(verb)
        check(done.code == 0 and "\x1b" not in done.out and "\x9b" not in done.out, verb, done)
        found = s.run(verb, "--json")
        check("\x1b" not in found.out, found)
        json.loads(found.out)


@test
def a_closed_or_full_output_is_an_error(s):
    if not os.path.exists("/dev/full"):
        raise Skip("there is no /dev/full")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([TICKBIRD, "--help"], stdout=full, stderr=subprocess.PIPE, env=s.env, check=False)
        check(done.returncode == 1, done)
        one_line(done.stderr.decode())
        done = subprocess.run([TICKBIRD, "status"], stdout=full, stderr=subprocess.PIPE, env=s.env, check=False)
        check(done.returncode == 1, done)


@test
def the_hook_table_is_that_of_the_object(s):
    done = s.run("status", "--hooks")
    check(done.code == 0 and "ssize_t read(int fd, void *buf, size_t len)" in done.out, done)
    names = {line.split("(")[0].split()[-1].lstrip("*") for line in done.out.splitlines()}
    if os.path.exists(OBJECT):
        listed = subprocess.run(["nm", "-D", "--defined-only", OBJECT], capture_output=True, check=True)
        exported = {line.split()[-1] for line in listed.stdout.decode().splitlines()}
        exported = {name for name in exported if not name.startswith("tickbird_")}  # tickbird.h's, for tests/lint/object.sh
        check(exported == names, exported ^ names)


main()
