#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Clients that write in one thread and read in another, so that the answer is seen before its request is noted. Their server's own
count is the truth."""
import collections
import os
import pathlib
import socket
import subprocess
import sys
import time

import run
from run import Skip, compare, test

sys.path.insert(0, str(pathlib.Path(run.HERE).parent / "servers/apps"))
import tally_server  # pylint: disable=wrong-import-position

build_servers = run.build


class Prompt(tally_server.Tally):
    """Head and body of an answer go out in two writes; the second does not wait for an acknowledgement of the first."""

    def get_request(self):
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, address


def build():
    build_servers()
    for name, flags in (("overtaken", ["-lpthread"]), ("gate.so", ["-shared", "-fPIC", "-lpthread", "-ldl"])):
        out = os.path.join(run.BIN, name)
        new = f"{out}.{os.getpid()}"
        source = os.path.join(run.HERE, name.partition(".")[0] + ".c")
        subprocess.run(["cc", "-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", source, *flags, "-o", new], check=True)
        os.rename(new, out)


def call(directory, case):
    """Runs the client to its end; what its server has counted, as the region is to have it."""
    server = Prompt(("127.0.0.1", 0))
    env = {**os.environ, "TICKBIRD_DIR": directory, "TICKBIRD_SERVICE": "overtaken",
           "LD_PRELOAD": f"{run.OBJECT}:{os.path.join(run.BIN, 'gate.so')}"}
    try:
        argv = [os.path.join(run.BIN, "overtaken"), case, str(server.server_address[1])]
        ended = subprocess.run(argv, env=env, timeout=60, check=False, stdout=subprocess.PIPE)
        if ended.returncode == 77:
            raise Skip("nobody may be traced here")
        assert ended.returncode == 0, f"exit {ended.returncode}"
        answers = int(ended.stdout)
        deadline = time.monotonic() + 20
        while sum(server.counts.values()) < answers and time.monotonic() < deadline:
            time.sleep(0.01)  # it counts an answer once all of it is sent
    finally:
        server.stop()
    return {("client", method, route, int(status)): count for (_, method, route, status), count in server.counts.items()}


@test(*[(c, c) for c in ("first", "slices", "kept", "closed", "kept_closed", "reused", "head", "middle")])
def answer_before_its_request_is_noted(directory, random_, case):
    seen = compare(directory, call(directory, case))
    assert "errors" not in seen, dict(seen["errors"])


@test(("one_connection", "many"), ("new_connections", "many_new"))
def two_threads_of_a_client(directory, random_, case):
    seen = compare(directory, call(directory, case))
    assert "errors" not in seen, dict(seen["errors"])


@test(("which_goes_on", "making"), ("which_is_closed", "making_closed"))
def answer_while_the_region_is_made_on_a_connection(directory, random_, case):
    seen = compare(directory, call(directory, case))
    assert "errors" not in seen, dict(seen["errors"])


@test()
def answer_while_the_region_is_made_in_vain(directory, random_):
    call(directory, "refused")
    assert not os.listdir(directory), "a region was made"


@test()
def answer_that_is_left_before_its_request_is_noted(directory, random_):
    call(directory, "cut")
    seen = compare(directory, {("client", "GET", "/items/:id", 200): 1})
    assert sum(seen["incomplete"].values()) == 1, dict(seen["incomplete"])


@test()
def answer_whose_request_is_never_noted(directory, random_):
    """It is counted, as what it was for nobody can say."""
    answered = call(directory, "ended")
    assert sum(answered.values()) == 1, answered
    compare(directory, collections.Counter({("client", "_OTHER", "_unmatched", 404): 1}))


if __name__ == "__main__":
    run.tests[:] = [t for t in run.tests if t[1].__module__ == "__main__"]
    run.build = build
    sys.exit(run.main())
