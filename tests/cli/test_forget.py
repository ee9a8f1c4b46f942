#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`tickbird forget`, with and without an exporter that holds the ledger, and what the exporter cleans up. The truth is
what the clients got answered and the files that are there."""
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import urllib.request

from cli_lib import EXPORTER, Server, Skip, TICKBIRD, check, main, need, one_line, read_line, test, wait_for


def totals(s):
    done = s.run("series", "--json")
    check(done.code == 0 and not done.err, done)
    return {e["service"]: e["count"] for e in json.loads(done.out)}


def serving(s, service, requests):
    """A server that has answered so many."""
    server = Server(s, service)
    for _ in range(requests):
        check(server.get("/a") == 200)
    return server


def stop(s, server):
    server.stop()
    wait_for("its end", lambda: server.process.pid not in
             [p for e in json.loads(s.run("status", "--json").out)["programs"] for p in e["pids"]])


def dead(s, service, requests):
    """The last answer is counted a moment after the client has it: killed before that, the server would take it along."""
    before = totals(s).get(service, 0)
    server = serving(s, service, requests)
    wait_for("all are counted", lambda: totals(s).get(service, 0) == before + requests)
    stop(s, server)


class Exporter:
    def __init__(self, s, *argv):
        self.process = s.start([EXPORTER, "--web.listen-address", "127.0.0.1:0", "--region.dir", s.regions, *argv],
                               stderr=subprocess.PIPE)
        line = ""
        while "msg=listening" not in line:
            line = read_line(self.process.stderr)
        port = re.search(r'port="?([0-9]+)', line).group(1)
        self.url = f"http://127.0.0.1:{port}/metrics"

    def totals(self):
        with urllib.request.urlopen(self.url, timeout=60) as answer:
            text = answer.read().decode()
        found = re.findall(r'^http_requests_total\{service="(\w+)",.*status="200"\} (\d+)$', text, re.M)
        return {service: int(count) for service, count in found}, text


@test
def a_service_that_is_gone_is_forgotten(s):
    dead(s, "old", 3)
    other = serving(s, "kept", 2)
    wait_for("both", lambda: totals(s) == {"old": 3, "kept": 2})
    done = s.run("forget", "old")
    check(done.code == 0 and done.out == "old: forgotten\n" and not done.err, done)
    check(totals(s) == {"kept": 2} and '"old"' not in s.run("status", "--json").out)
    check(len([n for n in os.listdir(s.regions) if n.startswith("tb1-")]) == 1, os.listdir(s.regions))
    done = s.run("forget", "old")
    check(done.code == 1 and "no such service" in one_line(done.err), done)
    dead(s, "old", 4)  # it begins at 0
    check(totals(s) == {"old": 4, "kept": 2}, totals(s))
    stop(s, other)
    check(s.run("forget", "kept").code == 0 and totals(s) == {"old": 4}, totals(s))


@test
def a_service_that_is_gone_for_too_long_is_forgotten_by_itself(s):
    dead(s, "old", 3)
    kept = serving(s, "kept", 2)
    lasting = Exporter(s, "--fold-after", "1s")  # never, unless told
    wait_for("both", lambda: lasting.totals()[0] == {"old": 3, "kept": 2})
    lasting.process.terminate()
    lasting.process.wait(60)
    exporter = Exporter(s, "--fold-after", "1s", "--forget-after", "2s")
    check("old" in exporter.totals()[0], "it is served until its time is over")
    wait_for("it is forgotten", lambda: exporter.totals()[0] == {"kept": 2}, 60)
    stop(s, kept)
    wait_for("the other is, too", lambda: exporter.totals()[0] == {}, 60)


@test
def a_service_that_records_is_refused(s):
    server = serving(s, "shop", 2)
    done = s.run("forget", "shop")
    check(done.code == 1 and "a program of it records" in one_line(done.err), done)
    exporter = Exporter(s)
    done = s.run("forget", "shop")
    check(done.code == 1 and "a program of it records" in one_line(done.err), done)
    wait_for("both requests", lambda: exporter.totals()[0] == {"shop": 2})
    stop(s, server)
    check(totals(s) == {"shop": 2})
    for argv in (["forget"], ["forget", "a", "b"], ["forget", "shop", "--no-such"]):
        check(s.run(*argv).code == 2, argv)


@test
def an_exporter_that_holds_the_ledger_obeys(s):
    dead(s, "old", 3)
    kept = serving(s, "kept", 2)
    exporter = Exporter(s, "--fold-after", "1s")
    wait_for("both", lambda: exporter.totals()[0] == {"old": 3, "kept": 2})
    wait_for("it is folded", lambda: 'tickbird_exporter_folded_regions_total 1' in exporter.totals()[1])
    done = s.run("forget", "old")
    check(done.code == 0 and done.out == "old: forgotten\n", done)
    found, text = exporter.totals()
    check(found == {"kept": 2} and 'service="old"' not in text, found)
    check("tickbird_exporter_folded_regions_total 2" not in text and "tickbird_exporter_service_restarts_total 0" in text)
    check(not [n for n in os.listdir(s.env["TICKBIRD_STORAGE_PATH"]) if "forget" in n])
    # what it serves goes on, also over its own restart
    stop(s, kept)
    dead(s, "kept", 5)
    wait_for("seven", lambda: exporter.totals()[0] == {"kept": 7})
    exporter.process.send_signal(signal.SIGKILL)
    exporter.process.wait()
    check(totals(s) == {"kept": 7}, totals(s))
    again = Exporter(s)
    check(again.totals()[0] == {"kept": 7}, again.totals()[0])
    # a region that was not folded yet goes too
    check(s.run("forget", "kept").code == 0 and again.totals()[0] == {}, again.totals()[0])


@test
def a_request_of_a_stranger_is_not_obeyed(s):
    if os.geteuid() != 0:
        raise Skip("needs root, to be somebody else")
    need("setpriv")
    dead(s, "old", 3)
    exporter = Exporter(s)
    os.chmod(s.path, 0o755)
    os.chmod(s.regions, 0o755)
    for name in os.listdir(s.regions):
        os.chmod(os.path.join(s.regions, name), 0o644)
    storage = s.env["TICKBIRD_STORAGE_PATH"]
    os.chmod(storage, 0o755)
    argv = ["--reuid", "65534", "--regid", "65534", "--clear-groups", TICKBIRD, "forget", "old"]
    done = s.run(*argv, program="setpriv")
    check(done.code == 1 and "the ledger" in one_line(done.err) and "ask as root" in done.err, done)
    # even where the directory lets him
    path = os.path.join(s.path, "request")
    with open(path, "w", encoding="utf-8") as f:
        f.write("old")
    os.chown(path, 65534, 65534)
    target = os.path.join(storage, "forget-0123456789abcdef")
    os.rename(path, target)
    wait_for("the request is removed", lambda: not os.path.exists(target))
    check(exporter.totals()[0] == {"old": 3}, exporter.totals()[0])


@test
def a_ledger_written_by_root_stays_its_owners(s):
    if os.geteuid() != 0:
        raise Skip("needs root, to be somebody else")
    dead(s, "old", 1)
    dead(s, "kept", 2)
    storage = s.env["TICKBIRD_STORAGE_PATH"]
    os.makedirs(storage)
    os.chown(storage, 65534, 65534)
    check(s.run("forget", "old").code == 0)
    for name in ("ledger", "ledger.lock"):
        check(os.stat(os.path.join(storage, name)).st_uid == 65534, name)


@test
def roots_files_are_neither_given_away_nor_written_over(s):
    """The ledger's directory is somebody else's, who has put files of root's under the ledger's names."""
    if os.geteuid() != 0:
        raise Skip("needs root, to be somebody else")
    dead(s, "old", 1)
    storage = s.env["TICKBIRD_STORAGE_PATH"]
    os.makedirs(storage)
    os.chown(storage, 65534, 65534)
    for name in ("ledger.lock", "ledger.new"):
        path = os.path.join(s.path, "secret-" + name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
            f.write(b"secret")
        os.link(path, os.path.join(storage, name))
    check(s.run("forget", "old").code == 0)
    for name in ("ledger.lock", "ledger.new"):
        path = os.path.join(s.path, "secret-" + name)
        with open(path, "rb") as f:
            check(f.read() == b"secret", name)
        check(os.stat(path).st_uid == 0, name)


@test
def the_exporter_removes_what_was_left_half_made(s):
    os.makedirs(s.regions, 0o700)

    def put(name, age):
        path = os.path.join(s.regions, name)
        with open(path, "wb") as f:
            f.write(b"x")
        now = os.stat(path).st_mtime
        os.utime(path, (now - age, now - age))
        return path

    old, fresh, held = put(".tb1-0-aa", 120), put(".tb1-0-bb", 5), put(".tb1-0-cc", 120)
    marker, other = put(".off-off-123", 120), put(".hidden", 120)
    with open(held, "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        exporter = Exporter(s, "--fold-after", "1s")
        wait_for("the old ones are gone", lambda: not os.path.exists(old) and not os.path.exists(marker))
        exporter.totals()
        check(os.path.exists(fresh) and os.path.exists(held) and os.path.exists(other), os.listdir(s.regions))
    wait_for("the one that was held", lambda: not os.path.exists(held))
    check(os.path.exists(fresh))
    # read-only ones change nothing
    stays = put(".tb1-0-dd", 120)
    shutil.rmtree(s.env["TICKBIRD_STORAGE_PATH"] + "2", ignore_errors=True)
    exporter.process.kill()
    exporter.process.wait()
    check(s.run("--once", "--region.dir", s.regions, program=EXPORTER).code == 0 and os.path.exists(stays))


main()
