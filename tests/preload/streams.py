#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Servers that use the C library's streams on sockets, with the real object: every style and model, on glibc and musl.
The region is compared exactly with what the client saw."""
import collections
import os
import shutil
import subprocess
import sys

import run
from run import Skip, Server, compare, mixed_traffic, test

STYLES = ["print", "char", "wide", "unbuffered"]
MODELS = ["inetd", "fork", "fork-fdopen", "fdopen", "threads"]
ONE_AT_A_TIME = {"fdopen"}


build_servers = run.build


def build():
    build_servers()
    flags = ["-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-Wno-unused-result"]
    source = os.path.join(run.HERE, "streams.c")
    os.makedirs(run.BIN, exist_ok=True)
    for target, compiler in (("streams", "cc"), ("streams-musl", "musl-gcc")):
        out = os.path.join(run.BIN, target)
        if shutil.which(compiler) and not (os.path.exists(out) and os.path.getmtime(out) > os.path.getmtime(source)):
            subprocess.run([compiler, *flags, source, "-o", f"{out}.{os.getpid()}", "-lpthread"], check=True)
            os.rename(f"{out}.{os.getpid()}", out)


def start(directory, program, style, model):
    if not os.path.exists(os.path.join(run.BIN, program)):
        raise Skip("musl-gcc is not installed")
    return Server([os.path.join(run.BIN, program), style, model], directory, f"{style}-{model}")


ALL = [(f"{p}_{s}_{m}".replace("-", "_"), p, s, m) for p in ("streams", "streams-musl") for s in STYLES for m in MODELS
       if (s, m) != ("wide", "fork")]  # its standard output has a width before the fork


@test(*ALL, name="served_by")
def served_by(directory, random_, program, style, model):
    record = collections.Counter()
    server = start(directory, program, style, model)
    rounds, connections = (6, 1) if model in ONE_AT_A_TIME else (3, 4)
    for _ in range(rounds):
        mixed_traffic(server, record, random_, connections=connections, requests=8)
    compare(directory, record, aborted={})


@test(*ALL, name="ended_by_close")
def ended_by_close(directory, random_, program, style, model):
    """A body without a length, that fclose or exit ends: whole, not cut short."""
    record = collections.Counter()
    server = start(directory, program, style, model)
    for _ in range(4):
        c = server.connect(record)
        assert c.get("GET", "/small")
        assert c.get("GET", "/stream")
        c.close()
    seen = compare(directory, record, aborted={})
    assert not seen["incomplete"], dict(seen["incomplete"])


@test(*[a for a in ALL if a[3] not in ("fdopen", "threads")], name="written_out_by_exit")
def written_out_by_exit(directory, random_, program, style, model):
    """The library writes out its buffers after the last handler of the program: that answer counts too."""
    record = collections.Counter()
    server = start(directory, program, style, model)
    for path in ("/exit", "/exit-long", "/exit"):
        c = server.connect(record)
        assert c.get("GET", "/small")
        assert c.get("GET", path)
        c.close()
    seen = compare(directory, record, aborted={})
    assert not seen["incomplete"], dict(seen["incomplete"])
    assert not seen["untimed"], dict(seen["untimed"])


@test(*[a for a in ALL if a[3] in ("fdopen", "threads", "fork-fdopen")], name="reset_before_the_answer")
def reset_before_the_answer(directory, random_, program, style, model):
    """The library tells of a failed write by a short count."""
    record = collections.Counter()
    server = start(directory, program, style, model)
    for _ in range(3):
        c = server.connect(record)
        c.send("GET", "/reset")
        c.reset()
    compare(directory, record, aborted={("GET", "_unmatched", 1): 3})


if __name__ == "__main__":
    run.tests[:] = [t for t in run.tests if t[1].__module__ == "__main__"]
    run.build = build
    sys.exit(run.main())
