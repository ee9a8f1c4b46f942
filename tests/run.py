#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the suites and adds up what they report.

A suite is a program. It reports one line per test: `ok NAME`, `not ok NAME` or `skip NAME reason`; unit tests report
in the form of cmocka's TAP output. A line `note TEXT` is shown with the results, though all went well. What counts as a failure beside `not ok`: a non-zero exit without one, no test at
all, a time-out. Exit 77 without a report skips the whole suite, its last line is the reason.

The last line is `N passed, N failed` (`, N skipped`); the exit status is 1 when anything failed.
"""
import argparse
import concurrent.futures
import glob
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TAP_SKIP = re.compile(r"^(?:not )?ok \d+ *-? *(?:# SKIP|# skip) *(.*)$")
TAP = re.compile(r"^(ok|not ok) \d+ - (.*)$")
PLAIN = re.compile(r"^(ok|not ok) ([^\s].*)$")
SKIP = re.compile(r"^skip (\S+) *(.*)$")
NOTE = re.compile(r"^note (.*)$", re.M)


class Suite:
    def __init__(self, kind, name, argv, seconds):
        self.kind, self.name, self.argv, self.seconds = kind, name, argv, seconds
        self.passed, self.failed, self.skipped = [], [], []
        self.output, self.took = "", 0.0


def find(kind, build):
    """The suites of one kind, as (name, argv, time limit in seconds)."""
    def programs(pattern, seconds, *args):
        return [(os.path.splitext(os.path.basename(p))[0], [p, *args], seconds) for p in sorted(glob.glob(pattern))]

    if kind == "unit":
        names = [os.path.basename(p)[:-2] for p in sorted(glob.glob("tests/unit/test_*.c"))]
        return [(n, [os.path.join(build, "tests/unit", n)], 600) for n in names]
    if kind == "corpus":
        result = []
        for path in sorted(glob.glob("tests/fuzz/fuzz_*.c")):
            name = os.path.basename(path)[:-2]
            corpus = os.path.join("tests/fuzz/corpus", name[len("fuzz_"):])
            result.append((name, [os.path.join(build, "tests/fuzz", name + ".replay"), corpus], 600))
        return result
    if kind == "object":
        return [("object", ["tests/lint/object.sh"], 60)]
    if kind == "preload":
        return programs("tests/preload/run.sh", 600) + programs("tests/preload/streams.py", 600) + \
            programs("tests/preload/told.py", 600) + programs("tests/preload/overtaken.py", 600) + \
            programs("tests/preload/tls.py", 600) + programs("tests/preload/inline.py", 600)
    if kind == "compat":
        return programs("tests/compat/test_*.py", 600)
    if kind == "transparency":
        return [("transparency", ["tests/transparency/run.py"], 600)]
    if kind == "cli":
        return programs("tests/cli/test_*", 600)
    if kind == "packaging":
        return programs("tests/packaging/test_*", 1800 if os.environ.get("TB_LONG") else 600)
    if kind == "servers":
        return [s for s in programs("tests/servers/test_*.py", 600) if s[0] != "test_prometheus"]
    if kind == "chaos":
        return programs("tests/chaos/test_*.py", 600)
    if kind == "differential":
        return programs("tests/differential/test_*.py", 1800 if os.environ.get("TB_STREAMS") else 600)
    if kind == "push":
        return programs("tests/push/test_*.py", 1200 if os.environ.get("TB_FETCH") == "1" else 600)
    if kind == "page":
        return programs("tests/page/test_*.py", 600)
    if kind == "prometheus":
        return programs("tests/servers/test_prometheus.py", 600) + programs("tests/prometheus/test_*.py", 600)
    sys.exit(f"run.py: unknown kind of suite {kind!r}")


def judge(suite, output, status):
    for line in output.splitlines():
        for pattern in (TAP_SKIP, SKIP, TAP, PLAIN):
            found = pattern.match(line)
            if found:
                break
        else:
            continue
        if pattern is TAP_SKIP:
            suite.skipped.append((found.group(1) or "a test", "reported as skipped by the test program"))
        elif pattern is SKIP:
            suite.skipped.append((found.group(1), found.group(2) or "no reason given"))
        elif found.group(1) == "ok":
            suite.passed.append(found.group(2))
        else:
            suite.failed.append(found.group(2))
    reported = suite.passed or suite.failed or suite.skipped
    if status == 77 and not reported:
        last = output.strip().splitlines()[-1:] or ["no reason given"]
        suite.skipped.append((suite.name, last[0]))
    elif status == "timeout":
        suite.failed.append(f"(no end after {suite.seconds} s)")
    elif not reported:
        suite.failed.append(f"(exit {status}, reported no test)")
    elif status not in (0, 77) and not suite.failed:
        suite.failed.append(f"(exit {status})")


def run(suite, env):
    began = time.monotonic()
    with tempfile.TemporaryFile() as out:
        try:
            child = subprocess.Popen(suite.argv, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=env,
                                     start_new_session=True)
            try:
                status = child.wait(suite.seconds)
            except subprocess.TimeoutExpired:
                status = "timeout"
                os.killpg(child.pid, signal.SIGTERM)
                try:
                    child.wait(10)
                except subprocess.TimeoutExpired:
                    os.killpg(child.pid, signal.SIGKILL)
                    child.wait()
        except OSError as error:
            out.write(f"{suite.argv[0]}: {error}\n".encode())
            status = 127
        out.seek(0)
        suite.output = out.read().decode("utf-8", "replace")
    suite.took = time.monotonic() - began
    judge(suite, suite.output, status)
    return suite


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build")
    parser.add_argument("--only", default="", help="comma-separated: names of suites that contain one of these")
    parser.add_argument("-j", type=int, default=2)
    parser.add_argument("-v", action="store_true", help="show the output of suites that pass, too")
    parser.add_argument("kinds", nargs="+")
    args = parser.parse_args()
    os.chdir(ROOT)
    env = dict(os.environ, B=os.path.abspath(args.build), CMOCKA_MESSAGE_OUTPUT="TAP", LC_ALL="C.UTF-8")
    for name in list(env):
        if name.startswith("TICKBIRD_") or name in ("LD_PRELOAD", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
            del env[name]

    wanted = [w for w in args.only.split(",") if w]
    suites = [Suite(kind, *s) for kind in args.kinds for s in find(kind, args.build)]
    suites = [s for s in suites if not wanted or any(w in s.name for w in wanted)]
    if not suites:
        print(f"run.py: no suite of {', '.join(args.kinds)}", file=sys.stderr)
    with concurrent.futures.ThreadPoolExecutor(args.j) as pool:
        for done in concurrent.futures.as_completed([pool.submit(run, s, env) for s in suites]):
            suite = done.result()
            words = [f"{len(suite.passed)} passed"]
            words += [f"{len(suite.failed)} failed"] if suite.failed else []
            words += [f"{len(suite.skipped)} skipped"] if suite.skipped else []
            print(f"{'FAIL' if suite.failed else 'ok':4} {suite.kind:10} {suite.name:28} {', '.join(words):28} "
                  f"{suite.took:6.1f} s", flush=True)
            lines = suite.output.splitlines()
            if suite.failed and not args.v:  # what went well says nothing about the failure, and there is much of it
                lines = [line for line in lines if not line.startswith("ok ")]
            if suite.failed or args.v:
                print("".join(f"     | {line}\n" for line in lines[-200:]), end="", flush=True)

    skipped = [(s.name, *what) for s in suites for what in s.skipped]
    for suite_name, name, reason in skipped:
        print(f"skipped: {suite_name}: {name}: {reason}")
    for suite in suites:
        for note in NOTE.findall(suite.output):
            print(f"noted: {suite.name}: {note}")
        for name in suite.failed:
            print(f"failed: {suite.kind} {suite.name}: {name}")
    passed, failed = (sum(len(getattr(s, what)) for s in suites) for what in ("passed", "failed"))
    print(f"{passed} passed, {failed} failed" + (f", {len(skipped)} skipped" if skipped else ""), flush=True)
    return 1 if failed or not passed else 0


sys.exit(main())
