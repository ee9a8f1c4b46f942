#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a process cannot have observed is said in its own line of the region, and of no other process."""
import collections
import os
import subprocess
import sys

import run
from run import Server, Skip, compare, settle, test

IO_URING, SECCOMP = 1 << 0, 1 << 1
build_servers = run.build


def build():
    build_servers()
    out = os.path.join(run.BIN, "told")
    new = f"{out}.{os.getpid()}"
    subprocess.run(["cc", "-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", os.path.join(run.HERE, "told.c"), "-o", new], check=True)
    os.rename(new, out)


def bits(directory):
    """pid -> bits, as the region's owner lines say."""
    out = subprocess.run([os.path.join(run.BIN, "dump"), directory], stdout=subprocess.PIPE, check=False).stdout.decode()
    return {int(w[1]): int(w[3]) for w in (line.split() for line in out.splitlines()) if w[0] == "owner"}


@test()
def a_filter_of_a_vfork_child_is_its_own(directory, random_):
    record = collections.Counter()
    server = Server([os.path.join(run.BIN, "told"), "filter-in-vfork"], directory, "told")
    for _ in range(3):
        c = server.connect(record)
        assert c.get("GET", "/small")
        assert c.get("GET", "/small")
        c.close()
    seen = compare(directory, record)
    assert not seen["untimed"], "durations were lost"
    assert not any(b & SECCOMP for b in bits(directory).values()), bits(directory)


@test()
def what_was_noted_before_a_fork_is_the_childs_too(directory, random_):
    record = collections.Counter()
    server = Server([os.path.join(run.BIN, "told"), "ring-before-fork"], directory, "told")
    conns = [server.connect(record) for _ in range(2)]
    for c in conns:
        assert c.get("GET", "/small")
    seen = settle(directory, lambda s: s["requests"] == dict(record))
    assert seen["requests"] == dict(record), dict(seen["requests"])
    told = bits(directory)
    if not any(told.values()):
        raise Skip("this kernel allows no io_uring")
    assert len(told) == 3 and all(b & IO_URING for b in told.values()), told
    for c in conns:
        c.close()


if __name__ == "__main__":
    run.tests[:] = [t for t in run.tests if t[1].__module__ == "__main__"]
    run.build = build
    sys.exit(run.main())
