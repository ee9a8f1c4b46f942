#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The kill switch: `tickbird off` and `on` on programs that run and on programs that start later, markers that do not
count, rights that are missing, and connections that live across it. The truth is what the clients got answered."""
import json
import os
import re
import socket
import threading

import cli_lib
from cli_lib import EXPORTER, Skip, TICKBIRD, check, main, make_regions, need, need_object, one_line, test, wait_for


class Server(cli_lib.Server):
    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), 60)

    def ask(self, *paths):
        with self.connect() as c:
            return talk(c, *paths)


def talk(connection, *paths):
    """Sends the requests at once and returns the statuses of their answers."""
    connection.sendall(b"".join(f"GET {p} HTTP/1.1\r\nHost: x\r\nUser-Agent: {'x' * 60}\r\n\r\n".encode() for p in paths))
    got = b""
    while got.count(b"\r\n\r\nok") < len(paths):
        more = connection.recv(65536)
        check(more, "closed early", got)
        got += more
    return [int(x) for x in re.findall(rb"HTTP/1\.1 (\d+)", got)]


def series(s):
    done = s.run("series", "--json")
    check(done.code == 0 and not done.err, done)
    return {(e["service"], e["route"], e.get("status", e.get("reason"))): e["count"] for e in json.loads(done.out)}


def status(s):
    return json.loads(s.run("status", "--json").out)


def given_up(s):
    return sum(e["count"] for e in status(s)["not_observed"] if e["reason"] == "switched_off")


def exported(s):
    done = s.run("--once", "--region.dir", s.regions, program=EXPORTER)
    check(done.code == 0, done)
    return [line for line in done.out.splitlines() if line.startswith("tickbird_switched_off")]


def markers(s):
    return sorted(n for n in os.listdir(s.regions) if n.startswith("off"))


@test
def programs_that_start_later_begin_switched_off(s):
    need_object()
    make_regions(s)
    done = s.run("off")
    check(done.code == 0 and "programs that start later begin switched off" in done.out and markers(s) == ["off"], done)
    one = Server(s, "one")
    check(one.ask("/a", "/b") == [200, 200])
    now = status(s)
    check([p["is_recording"] for p in now["programs"]] == [False] and not series(s), now)
    check(now["switched_off"][0]["service"] == "" and now["switched_off"][0]["since"].startswith("20"), now)
    check("Switched off since 20" in s.run("status").out and "everything in" in s.run("status").out)
    check(exported(s) == ['tickbird_switched_off{service="one"} 1', "tickbird_switched_off_directories 1"], exported(s))
    done = s.run("on", "one")
    check(done.code == 1 and "everything in" in one_line(done.err), done)
    done = s.run("on")
    check(done.code == 0 and "one: switched on (1 process)" in done.out and markers(s) == [], done)
    check(one.ask("/a") == [200])
    wait_for("the request", lambda: series(s) == {("one", "/a", "200"): 1})
    check(exported(s) == ["tickbird_switched_off_directories 0"], exported(s))
    two = Server(s, "two")
    check(two.ask("/c") == [200])
    wait_for("both", lambda: series(s) == {("one", "/a", "200"): 1, ("two", "/c", "200"): 1})


@test
def one_service_alone_begins_switched_off(s):
    need_object()
    make_regions(s)
    done = s.run("off", "one")
    check(done.code == 0 and len(markers(s)) == 1, done)
    one, two = Server(s, "one"), Server(s, "two")
    check(one.ask("/a") == [200] and two.ask("/a") == [200])
    wait_for("one of them", lambda: series(s) == {("two", "/a", "200"): 1})
    check("Switched off since 20" in s.run("status").out and "service one in" in s.run("status").out)
    check(exported(s)[0] == 'tickbird_switched_off{service="one"} 1', exported(s))
    # it outlives a restart, which adopts the region
    one.stop()
    again = Server(s, "one")
    check(again.ask("/a") == [200])
    check([p["is_recording"] for p in status(s)["programs"] if p["service"] == "one"] == [False])
    check(s.run("on", "one").code == 0 and markers(s) == [])
    check(again.ask("/a") == [200])
    wait_for("both", lambda: series(s) == {("one", "/a", "200"): 1, ("two", "/a", "200"): 1})


@test
def a_marker_keeps_its_time_and_off_may_be_said_twice(s):
    need_object()
    make_regions(s)
    check(s.run("off").code == 0)
    path = os.path.join(s.regions, "off")
    os.utime(path, (1700000000, 1700000000))
    check(s.run("off").code == 0 and os.stat(path).st_mtime == 1700000000)
    check(status(s)["switched_off"][0]["since"].startswith("2023-11-14"), status(s))


@test
def what_strangers_put_under_the_name_does_not_count(s):
    need_object()
    make_regions(s)
    path = os.path.join(s.regions, "off")

    def put(kind):
        if kind == "link":
            os.symlink("/etc/passwd", path)
        elif kind == "directory":
            os.mkdir(path)
        elif kind == "full directory":
            os.makedirs(os.path.join(path, "x"))
        elif kind == "fifo":
            os.mkfifo(path)
        else:
            with open(path, "w", encoding="utf-8"):
                pass
            if kind == "second link":
                os.link(path, path + ".other")
            elif kind == "writable":
                os.chmod(path, 0o666)
            elif kind == "owner":
                os.chown(path, 65534, 65534)

    for number, kind in enumerate(["link", "directory", "full directory", "fifo", "second link", "writable"] +
                                  (["owner"] if os.geteuid() == 0 else [])):
        put(kind)
        server = Server(s, f"s{number}")
        check(server.ask("/a") == [200])
        wait_for(kind, lambda n=number: series(s).get((f"s{n}", "/a", "200")) == 1)
        check(not status(s)["switched_off"], kind)
        server.stop()
        done = s.run("off")  # replaces it
        check(done.code == 0 and status(s)["switched_off"], kind, done)
        check(s.run("on").code == 0, kind)
        for name in os.listdir(s.regions):
            if name.startswith("off"):
                os.unlink(os.path.join(s.regions, name))


@test
def without_the_right_it_says_what_is_untouched(s):
    need("setpriv")
    if os.geteuid() != 0:
        raise Skip("needs root, to be somebody else")
    server = Server(s, "one")
    check(server.ask("/a") == [200])
    os.chmod(s.shared, 0o755)
    os.chmod(s.regions, 0o3777)
    region = next(n for n in os.listdir(s.regions) if n.startswith("tb1-"))
    os.chmod(os.path.join(s.regions, region), 0o664)
    argv = ["--reuid", "65534", "--regid", "65534", "--clear-groups", TICKBIRD]
    for verb in (["off"], ["off", "one"]):
        done = s.run(*argv, *verb, program="setpriv")
        check(done.code == 1, done)
        line = one_line(done.err)
        check(f"one ({os.path.join(s.regions, region)})" in line and "programs that start later in" in line, line)
    check(status(s)["programs"][0]["is_recording"] and not markers(s))
    os.chmod(os.path.join(s.regions, region), 0o660)
    done = s.run(*argv, "off", program="setpriv")
    check(done.code == 1 and os.path.join(s.regions, region) in one_line(done.err), done)
    # a member of the group switches what runs, and is told what that is not
    os.chmod(os.path.join(s.regions, region), 0o666)
    done = s.run(*argv, "off", program="setpriv")
    check(done.code == 1 and "one: switched off (1 process)" in done.out, done)
    check(region not in one_line(done.err) and "programs that start later in" in done.err, done)


@test
def connections_across_it_are_given_up_and_counted(s):
    server = Server(s)
    at_rest, crossing, born = server.connect(), server.connect(), None
    for connection in (at_rest, crossing):
        for _ in range(3):
            check(talk(connection, "/a") == [200])
    wait_for("six", lambda: series(s) == {("shop", "/a", "200"): 6})
    check(s.run("off").code == 0)
    check(talk(crossing, "/a") == [200] and talk(crossing, "/a", "/a") == [200, 200])
    born = server.connect()
    check(talk(born, "/a") == [200])
    check(s.run("on").code == 0)
    for connection in (at_rest, crossing, born):
        check(talk(connection, "/a", "/missing") == [200, 404])
    # nothing crossed on the first while it was off: it goes on exactly; the others are silent to their end
    wait_for("eight", lambda: series(s) == {("shop", "/a", "200"): 7, ("shop", "_unmatched", "404"): 1})
    check(given_up(s) == 2, status(s)["not_observed"])
    check(server.ask("/a") == [200])
    wait_for("nine", lambda: series(s) == {("shop", "/a", "200"): 8, ("shop", "_unmatched", "404"): 1})
    for connection in (at_rest, crossing, born):
        connection.close()


class Load(threading.Thread):
    """A kept connection with pipelined requests, renewed now and then; counts what it got answered."""

    def __init__(self, server, number, stop):
        super().__init__()
        self.server, self.number, self.stop, self.ok, self.missing, self.error = server, number, stop, 0, 0, None

    def run(self):
        try:
            for turn in range(100000):
                if self.stop.is_set():
                    return
                with self.server.connect() as c:
                    for n in range(1 + (turn + self.number) % 40):
                        paths = ["/hello", "/missing", "/hello"][:1 + n % 3]
                        got = talk(c, *paths)
                        check(got == [404 if p == "/missing" else 200 for p in paths], got)
                        self.ok += got.count(200)
                        self.missing += got.count(404)
        except Exception as error:  # told by the main thread
            self.error = error


@test
def under_load_totals_never_exceed_the_truth(s):
    server, stop = Server(s), threading.Event()
    clients = [Load(server, number, stop) for number in range(4)]
    for client in clients:
        client.start()
    wait_for("a first request", lambda: series(s))
    was_off = 0
    for turn in range(25):
        check(s.run("off", *(["shop"] if turn % 2 else [])).code == 0)
        before = sum(c.ok for c in clients)
        wait_for("traffic while it is off", lambda b=before: sum(c.ok for c in clients) > b)
        was_off += 1
        check(s.run("on", *(["shop"] if turn % 2 else [])).code == 0)
        before = sum(series(s).values())
        wait_for("traffic counted again", lambda b=before: sum(series(s).values()) > b)
        found = series(s)
        check(found[("shop", "/hello", "200")] <= sum(c.ok for c in clients) + 4 * 3, turn)
    stop.set()
    for client in clients:
        client.join(30)
        check(not client.error and not client.is_alive(), client.error)
    ok, missing = sum(c.ok for c in clients), sum(c.missing for c in clients)
    wait_for("the end of what is in flight", lambda: status(s)["programs"][0]["in_flight"] == 0)
    before = series(s)
    # no request was paired with another's answer, and none was invented
    check(set(before) <= {("shop", "/hello", "200"), ("shop", "_unmatched", "404")}, before)
    check(0 < before[("shop", "/hello", "200")] < ok and 0 < before[("shop", "_unmatched", "404")] < missing, before, ok)
    check(given_up(s) >= was_off, status(s)["not_observed"])
    for _ in range(20):
        check(server.ask("/hello", "/missing", "/hello") == [200, 404, 200])
    expected = {key: before[key] + (40 if key[2] == "200" else 20) for key in before}
    wait_for("the exact counts of new connections", lambda: series(s) == expected)


main()
