#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An old kernel: Linux 3.10 by a system call filter (oldkernel.c). The small servers of the preload tests in each model, and
real servers in the ways of tests/servers. TB_STEPS changes how much these get; `all` as argument takes every server."""
import collections
import os
import re
import subprocess
import sys

import compat
from compat import Skip, preload, test

MODELS = ("prefork", "fork", "fork-unseen", "threads", "epoll", "exec", "pass", "daemon", "handlers", "cancel")
WAYS = ("recvmsg", "recvmmsg", "splice", "syscall")  # sendfile's needs memfd_create; nginx has it
SERVERS = os.path.join(compat.HERE, "../servers")


def oldkernel():
    return compat.program("oldkernel")


@test()
def filter_makes_an_old_kernel(directory, random_):
    done = subprocess.run([oldkernel(), "--check"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode == 77:
        raise Skip(done.stdout.decode().strip())
    assert done.returncode == 0, done.stdout.decode()


def drive(directory, random_, program, way, model):
    server = compat.start([oldkernel(), os.path.join(preload.BIN, program), way, model], directory, "old")
    few = 2 if model in ("prefork", "fork-unseen", "pass") else 1 if model in preload.ONE_AT_A_TIME else 4
    record = collections.Counter()
    for _ in range(2):
        preload.mixed_traffic(server, record, random_, connections=few, requests=8)
    preload.compare(directory, record, aborted={})


@test(*[(f"{libc}_{m.replace('-', '_')}", f"server{'-musl' if libc == 'musl' else ''}", m) for libc in ("glibc", "musl")
        for m in MODELS if libc == "glibc" or m in ("fork-unseen", "threads")])
def model_on_3_10(directory, random_, program, model):
    if program != "server":
        compat.musl_gcc()
    drive(directory, random_, program, random_.choice(("read", "recv", "readv")), model)


@test(*[(way, way) for way in WAYS])
def way_on_3_10(directory, random_, way):
    drive(directory, random_, "server", way, "epoll")


@test(("flags", [], "128"), ("kernel", ["oldkernel"], "0"))
def close_range_that_fails_for(directory, random_, under, flags):
    """It closes nothing, so the open exchanges go on."""
    under = [oldkernel()] if under else []
    record = compat.drive_plainly([*under, compat.program("host", "-ldl"), "close", flags], directory)
    preload.compare(directory, record, aborted={})


def run_servers(script, names, under, **env):
    """Runs a file of tests/servers with the filter around each server. Returns its lines: (word, name), and the output."""
    full = {**os.environ, "TB_UNDER": under, "TB_STEPS": os.environ.get("TB_STEPS", "6"), "B": compat.B, **env}
    done = subprocess.run([sys.executable, os.path.join(SERVERS, script), *names], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env=full, check=False, timeout=280)
    output = done.stdout.decode()
    lines = [re.fullmatch("(ok|not ok|skip) (.*)", line) for line in output.splitlines()]
    return [found.groups() for found in lines if found], output


def relay(script, names=()):
    """Its lines become ours. A server that does not start is tried without Tickbird; when it does not start then either,
    it is given getrandom, without which many refuse to start."""
    reported, output = run_servers(script, names, oldkernel())
    wrong = 0
    for word, name in reported:
        if word == "not ok" and name.endswith("_runs"):
            server = name[:-len("_runs")]
            plain, _ = run_servers(script, [server], oldkernel(), TB_PLAIN="1")
            if ("not ok", name) in plain:
                print(f"# {server} does not start on 3.10, without Tickbird either")
                again, more = run_servers(script, [server], oldkernel() + " --getrandom")
                output += more
                for word_again, name_again in again:
                    wrong |= word_again == "not ok"
                    print(f"{word_again} on_3_10_with_getrandom_{name_again}", flush=True)
                continue
        wrong |= word == "not ok"
        print(f"{word} on_3_10_{name}", flush=True)
    if wrong or not reported:
        print("".join(f"# {line}\n" for line in output.splitlines()), end="")
    return int(wrong or not reported)


def main():
    status = 0
    everything = "all" in sys.argv[1:]
    if everything:
        sys.argv.remove("all")
    try:
        compat.main()
    except SystemExit as end:
        status = end.code
    if len(sys.argv) > 1:  # some tests by name
        sys.exit(status)
    if everything:
        others = ("test_prometheus.py", "test_unobserved.py")  # a scraper; what only newer kernels have, as io_uring
        for script in sorted(f for f in os.listdir(SERVERS) if f.startswith("test_") and f not in others):
            status |= relay(script)
    else:
        status |= relay("test_nginx.py", ("nginx_static",))
        status |= relay("test_python.py", ("http_server",))
    sys.exit(status)


if __name__ == "__main__":
    main()
