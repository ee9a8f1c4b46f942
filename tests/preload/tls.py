#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Programs that call a TLS library, with the real object: what the program says that its client end received is what was
counted, for the server that answered and for the client that asked, which are one process here. Descriptors and memory
as transport, records of one byte, renegotiation, cleared sessions, early data, sessions freed by another thread, forks."""
import collections
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../transparency"))
import harness  # noqa: E402  pylint: disable=wrong-import-position


def dumped(regions):
    """(role, path) -> count of GETs answered by 200; counter -> value; requests still in flight."""
    out = subprocess.run([os.path.join(harness.BIN, "dump"), regions], stdout=subprocess.PIPE, check=True).stdout.decode()
    counts, counters, open_ = collections.Counter(), collections.Counter(), 0
    for words in map(str.split, out.splitlines()):
        if words[0] == "requests":
            assert words[2:4] == ["GET", "200"] and words[6:8] == ["0", "0"], words
            counts[(words[1], words[4])] += int(words[5])
        elif words[0] == "aborted":
            counts[(words[1], f"aborted {words[4]}")] += int(words[5])
        elif words[0] == "counter":
            counters[words[1]] += int(words[2])
        elif words[0] == "owner":
            open_ += int(words[2])
    return counts, counters, open_


def check(case):
    regions = tempfile.mkdtemp(prefix="tb-tls-", dir="/dev/shm")
    try:
        seen = harness.run(case, harness.OBJECT, regions)
        lines = seen.parts["output"].decode().splitlines()
        assert seen.parts["exit"] == 0, (seen.parts["exit"], lines[-3:])
        told = collections.Counter(line.rpartition("told ")[2] for line in lines if "told " in line)
        told["/transparent"] += 1  # what awoke the agent (tp_serve), in clear
        expected = collections.Counter({(role, path): count for path, count in told.items() for role in ("server", "client")})
        counts, counters, open_ = dumped(regions)
        assert counts == expected, f"expected {dict(expected)}, counted {dict(counts)}"
        assert not open_, f"{open_} in flight"
        handshakes = sum(line.startswith(("server's handshake: 1,", "server's handshake: 0,")) for line in lines)
        assert bool(counters["TLS_STREAMS"]) == bool(handshakes), f"{handshakes} handshakes, {dict(counters)}"
        assert bool(counters["TLS_FAILED"]) == ("_refused_" in case.name), dict(counters)
        assert not counters["GIVEUP_TLS"] and not counters["GIVEUP_NO_STATE"], dict(counters)
    finally:
        subprocess.run(["rm", "-rf", regions], check=True)


def check_loading():
    """Objects come and go under a look; some of the connections fall into each stage of it."""
    source = os.path.join(harness.ROOT, "tests/preload/loading.c")
    program = harness.compile_to("loading", ["cc", *harness.FLAGS, source, "-lpthread", "-ldl"], [source])
    regions = tempfile.mkdtemp(prefix="tb-tls-", dir="/dev/shm")
    try:
        seen = harness.run(harness.Case("loading", [program, "4000"]), harness.OBJECT, regions, seconds=200)
        assert (seen.parts["exit"], seen.parts["output"]) == (0, b"done\n"), seen.parts
    finally:
        subprocess.run(["rm", "-rf", regions], check=True)


def check_forked(how):
    """A child must not wait for a lock of the loader that a thread of its parent held."""
    source = os.path.join(harness.ROOT, "tests/preload/forked.c")
    program = harness.compile_to("forked", ["cc", *harness.FLAGS, source, "-lpthread"], [source])
    regions = tempfile.mkdtemp(prefix="tb-tls-", dir="/dev/shm")
    try:
        seen = harness.run(harness.Case("forked", [program, how]), harness.OBJECT, regions, seconds=200)
        assert (seen.parts["exit"], seen.parts["output"]) == (0, b"done\n"), seen.parts
    finally:
        subprocess.run(["rm", "-rf", regions], check=True)


def check_vain():
    """Looks for a library that is not there become rare: each keeps signals out, which the program itself never does."""
    source = os.path.join(harness.ROOT, "tests/preload/vain.c")
    program = harness.compile_to("vain", ["cc", *harness.FLAGS, source], [source])
    regions = tempfile.mkdtemp(prefix="tb-tls-", dir="/dev/shm")
    try:
        calls = subprocess.run(["strace", "-f", "-e", "trace=rt_sigprocmask", "-E", f"LD_PRELOAD={harness.OBJECT}", "-E",
                                f"TICKBIRD_DIR={regions}", program], stderr=subprocess.PIPE, check=True, timeout=200)
        looks = calls.stderr.count(b"SIG_BLOCK")
        assert 0 < looks < 40, f"{looks} looks at 400 beginnings of TLS"
    finally:
        subprocess.run(["rm", "-rf", regions], check=True)


def main():
    status = 0
    programs = [p for p in harness.build() if os.path.basename(p) in harness.LIBRARIES]
    if len(programs) < len(harness.LIBRARIES):
        print("skip tls libssl-dev or libgnutls28-dev is not installed")
    checks = {"objects_come_and_go_under_a_look": check_loading}
    if shutil.which("strace"):
        checks["looks_in_vain_become_rare"] = check_vain
    else:
        print("skip looks_in_vain_become_rare strace is not installed")
    for how in ("asleep", "awake", "number", "raw", "raw-asleep"):
        checks[f"a_child_does_not_wait_for_the_loader_{how}"] = lambda how=how: check_forked(how)
    for case in (c for p in programs for c in harness.cases_of(p) if c.name.endswith("_awake")):
        checks[f"{case.name[:-len('_awake')]}_is_counted_exactly"] = lambda case=case: check(case)
    for name, function in checks.items():
        if sys.argv[1:] and not any(w in name for w in sys.argv[1:]):
            continue
        try:
            function()
            print(f"ok {name}", flush=True)
        except AssertionError as wrong:
            print(f"# {name}: {wrong}\nnot ok {name}", flush=True)
            status = 1
    return status


sys.exit(main())
