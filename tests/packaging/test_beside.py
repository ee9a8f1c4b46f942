#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The object beside others that are preloaded: both do what they are for, in either order, and the other one is never lost
by `tickbird run`."""
import http.client
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../cli"))
from cli_lib import OBJECT, SERVE, TICKBIRD, Skip, check, main, make_regions, need_object, read_line, test, wait_for  # noqa: E402

COUNT = 40
LIBRARIES = "/usr/lib/x86_64-linux-gnu/"
# Prints its port. Answers with what the other objects are there to change; ends with its input.
SERVER = r"""
import http.server, json, pwd, sys, threading, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        users = [u.pw_name for u in pwd.getpwall()]
        body = json.dumps({"year": time.gmtime().tm_year, "users": users}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
""" + SERVE + r"""
sys.stdin.read()
"""


def answers(s, argv, env):
    """What the server says, and what it printed at its end on standard error."""
    with open(s.path + "/stderr", "wb") as err:
        process = s.start([*argv, "/usr/bin/python3", "-c", SERVER], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err)
    client = http.client.HTTPConnection("127.0.0.1", int(read_line(process.stdout)), timeout=20)
    said = None
    for _ in range(COUNT):
        client.request("GET", "/a")
        said = json.loads(client.getresponse().read())
    client.close()
    process.stdin.close()
    check(process.wait(20) == 0, "it failed")
    with open(s.path + "/stderr", encoding="utf-8", errors="replace") as err:
        return said, err.read()


def counted(s):
    def total():
        done = s.run("series", "--json", "--service", "shop")
        rows = json.loads(done.out) if done.code == 0 and done.out else []
        return sum(r["count"] for r in rows if r["route"] == "/a" and r["status"] == "200")
    wait_for("all are counted", lambda: total() >= COUNT)
    return total()


def beside(s, name, env, has_effect):
    need_object()
    library = LIBRARIES + name
    if not os.path.exists(library):
        raise Skip(f"{library} is not installed")
    make_regions(s)
    plain, err = answers(s, [], env)
    check(not has_effect(plain, err), "the effect is there without it", plain, err)
    ways = {
        "run": ([TICKBIRD, "run", "--service", "shop", "--"], {"LD_PRELOAD": library}),
        "ours first": ([], {"LD_PRELOAD": f"{OBJECT}:{library}", "TICKBIRD_SERVICE": "shop"}),
        "ours last": ([], {"LD_PRELOAD": f"{library} {OBJECT}", "TICKBIRD_SERVICE": "shop"})}
    for number, (way, (argv, more)) in enumerate(ways.items()):
        s.env["TICKBIRD_DIR"] = s.regions = os.path.join(s.path, f"regions{number}")
        s.env["TICKBIRD_STORAGE_PATH"] = os.path.join(s.path, f"ledger{number}")
        make_regions(s)
        said, err = answers(s, argv, {**env, **more})
        check(has_effect(said, err), way, said, err)
        found = counted(s)
        check(found == COUNT, way, found)


@test
def jemalloc(s):
    beside(s, "libjemalloc.so.2", {"MALLOC_CONF": "stats_print:true"}, lambda said, err: "Begin jemalloc statistics" in err)


@test
def libfaketime(s):
    beside(s, "faketime/libfaketime.so.1", {"FAKETIME": "@2001-02-03 04:05:06"}, lambda said, err: said["year"] == 2001)


@test
def nss_wrapper(s):
    passwd = s.file("passwd", b"bird:x:4242:4242::/:/bin/sh\n")
    group = s.file("group", b"bird:x:4242:\n")
    beside(s, "libnss_wrapper.so", {"NSS_WRAPPER_PASSWD": passwd, "NSS_WRAPPER_GROUP": group},
           lambda said, err: said["users"] == ["bird"])


main()
