#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tickbird.h: programs that measure themselves print the same with and without the object, and what is exported is what they
counted, over threads, forks, signals, kills, exits and folding."""
import http.client
import json
import os
import re
import shutil
import signal
import subprocess

from cli_lib import EXPORTER, OBJECT, ROOT, Skip, check, main, make_regions, need_object, read_line, test, wait_for

STRICT = ["-pedantic", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror"]
ADDS = 8 * 100000


def build(s, source, *flags, compiler="cc", name="program"):
    if not shutil.which(compiler):
        raise Skip(f"{compiler} is not installed")
    path = os.path.join(s.path, name)
    done = subprocess.run([compiler, "-O2", *STRICT, "-I" + os.path.join(ROOT, "shim"), *flags, "-o", path, os.path.join(ROOT, source)],
                          capture_output=True, check=False, timeout=120, text=True)
    check(done.returncode == 0, done.stderr)
    return path


def preloaded(s, **more):
    need_object()
    make_regions(s)
    return {"LD_PRELOAD": OBJECT, "TICKBIRD_SERVICE": "own", **more}


def samples(s, *options):
    """{name{labels}: value} of the program's own metrics, and of what Tickbird says about them."""
    done = s.run("--once", "--region.dir", s.regions, *options, program=EXPORTER)
    check(done.code == 0, done)
    found = re.findall(r'^((?:own|batch|job|tickbird_api)_\w+)\{service="\w+",?(.*)\} (\S+)$', done.out, re.M)
    return {f"{name}{{{labels}}}": float(value) for name, labels, value in found}


def counted(s, text):
    return samples(s).get(text, 0)


def port_of(exporter):
    """What it says on standard error once it listens."""
    while True:
        line = read_line(exporter.stderr)
        check(line, "the exporter ended")
        if "msg=listening" in line:
            return int(re.search(r"port=(\d+)", line)[1])


@test
def a_program_is_the_same_with_and_without(s):
    program = build(s, "examples/c-api/batch.c", "-std=c99")
    text = b"".join(b"%d\n" % n for n in range(1, 1001)) + b"no number\n"
    plain = s.run(program=program, stdin=text)
    with_it = s.run(program=program, stdin=text, env=preloaded(s))
    check((plain.code, plain.out, plain.err) == (0, "500500\n", "") and repr(plain) == repr(with_it), plain, with_it)
    found = samples(s)
    expected = {'batch_lines_total{result="good"}': 1000, 'batch_lines_total{result="bad"}': 1, "batch_amount_total{}": 500500,
                'batch_number_bucket{le="1"}': 1, 'batch_number_bucket{le="10"}': 10, 'batch_number_bucket{le="100"}': 100,
                'batch_number_bucket{le="1000"}': 1000, 'batch_number_bucket{le="10000"}': 1000, 'batch_number_bucket{le="+Inf"}': 1000,
                "batch_number_sum{}": 500500, "batch_number_count{}": 1000}
    check({k: v for k, v in found.items() if k in expected} == expected, found)
    check(found["batch_last_end_timestamp_seconds{}"] > 1.7e9, found)
    check("batch_jobs_running{}" not in found, "no process lives", found)
    check(not any(v for k, v in found.items() if k.startswith("tickbird_api")), found)


@test
def the_header_is_good_c_and_cpp_in_every_link(s):
    make_regions(s)
    tried = 0
    for compiler, flags in [("gcc", ["-std=c99"]), ("gcc", ["-std=c11", "-fno-pie", "-no-pie"]),
                            ("gcc", ["-std=c11", "-fno-pie", "-no-pie", "-O0"]), ("gcc", ["-std=gnu17", "-O0"]),
                            ("musl-gcc", ["-std=c99"]), ("clang", ["-std=c99"]), ("clang", ["-std=c99", "-fno-pie", "-no-pie", "-fno-plt"]),
                            ("g++", ["-std=c++11", "-x", "c++"]), ("clang++", ["-std=c++11", "-x", "c++"])]:
        if not shutil.which(compiler):
            continue
        if os.uname().machine != "x86_64" and "-no-pie" in flags:
            continue
        tried += 1
        program = build(s, "examples/c-api/batch.c", *flags, compiler=compiler, name=f"program{tried}")
        check(s.run(program=program, stdin=b"1\n").out == "1\n")
        done = s.run(program=program, stdin=b"1\n", env=preloaded(s))
        check(done.out == "1\n" and not done.err, done)
        check(counted(s, 'batch_lines_total{result="good"}') == tried, compiler, flags)
    check(tried, "no compiler")


@test
def a_filter_before_the_first_metric_is_kept(s):
    program = build(s, "tests/cli/own_metrics.c", "-std=gnu11", "-pthread")
    plain = s.run("strict", program=program)
    if plain.code == 77:
        raise Skip("no strict mode here")
    with_it = s.run("strict", program=program, env=preloaded(s))
    check((plain.code, plain.out) == (0, "done\n") and repr(plain) == repr(with_it), plain, with_it)


@test
def additions_of_threads_are_exact(s):
    program = build(s, "tests/cli/own_metrics.c", "-std=gnu11", "-pthread")
    child = s.start([program, "threads"], env=preloaded(s), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    check(read_line(child.stdout, 120) == "done")
    found = samples(s)
    expected = {'own_things_total{a="1",b="2"}': ADDS, "own_seconds_total{}": ADDS / 4, "own_level{}": 0,
                'own_sizes_bucket{le="1"}': ADDS / 2, 'own_sizes_bucket{le="2"}': ADDS * 3 / 4, 'own_sizes_bucket{le="3"}': ADDS,
                'own_sizes_bucket{le="+Inf"}': ADDS, "own_sizes_sum{}": ADDS * 1.5, "own_sizes_count{}": ADDS}
    check({k: v for k, v in found.items() if k.startswith("own")} == expected, found)
    check(not any(v for k, v in found.items() if k.startswith("tickbird_api")), found)


@test
def shares_of_a_gauge_go_with_their_processes(s):
    program = build(s, "tests/cli/own_metrics.c", "-std=gnu11", "-pthread")
    child = s.start([program, "children"], env=preloaded(s), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    pids = [int(read_line(child.stdout)) for _ in range(4)]
    try:
        check(counted(s, "own_level{}") == 115, samples(s))
        os.kill(pids.pop(), signal.SIGKILL)
        # which of 1, 2, 4 and 8 it had is a matter of who was first to print
        wait_for("its share is gone", lambda: counted(s, "own_level{}") in (107, 111, 113, 114))
        child.stdin.close()
        child.wait(60)
        wait_for("the parent's is gone", lambda: counted(s, "own_level{}") in (7, 11, 13, 14))
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    wait_for("nobody is left", lambda: "own_level{}" not in samples(s))
    check(counted(s, 'own_things_total{a="1",b="2"}') == 4000, samples(s))


@test
def signal_handlers_may_add(s):
    program = build(s, "tests/cli/own_metrics.c", "-std=gnu11", "-pthread")
    before = s.run("signals", program=program)
    done = s.run("signals", program=program, env=preloaded(s))
    check(repr(before) == repr(done), done)
    found = samples(s)
    handled = found['own_things_total{a="1",b="2"}'] - 1
    check(handled > 0 and found["own_seconds_total{}"] == handled / 4 and found["own_sizes_count{}"] == handled, found)


@test
def mistakes_are_counted_and_harm_nobody(s):
    program = build(s, "tests/cli/own_metrics.c", "-std=gnu11", "-pthread")
    done = s.run("mistakes", program=program, env=preloaded(s))
    check(done.code == 0 and done.out == "done\n" and not done.err, done)
    found = samples(s)
    refused = {re.search('reason="(.*)"', k)[1]: v for k, v in found.items() if "refused" in k and v}
    check(refused == {"name": 2, "label": 1, "handle": 2, "value": 1}, refused)
    check(found['own_bad_total{x="_other"}'] == 2 and found['own_things_total{a="1",b="2"}'] == 7, found)


@test
def totals_of_short_jobs_outlive_them(s):
    program = build(s, "examples/c-api/batch.c", "-std=c99")
    env = preloaded(s)
    for _ in range(3):
        check(s.run(program=program, stdin=b"1\n2\n", env=env).out == "3\n")
    check(counted(s, 'batch_lines_total{result="good"}') == 6)
    storage = os.path.join(s.path, "storage")
    exporter = s.start([EXPORTER, "--web.listen-address", "127.0.0.1:0", "--region.dir", s.regions, "--storage.path", storage,
                        "--fold-after", "0"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    options = ["--storage.path", storage]

    def is_folded():
        done = s.run("--once", "--region.dir", s.regions, *options, program=EXPORTER)
        return 'tickbird_regions{state="free"} 1' in done.out
    wait_for("the region is folded", is_folded)
    check(samples(s, *options)['batch_lines_total{result="good"}'] == 6, samples(s, *options))
    check(s.run(program=program, stdin=b"1\n2\nx\n", env=env).out == "3\n")
    exporter.terminate()
    exporter.wait(60)
    found = samples(s, *options)
    check(found['batch_lines_total{result="good"}'] == 8 and found['batch_lines_total{result="bad"}'] == 1, found)
    check(found["batch_number_count{}"] == 8 and found["batch_amount_total{}"] == 12, found)


@test
def every_format_has_them(s):
    program = build(s, "tests/cli/own_metrics.c", "-std=gnu11", "-pthread")
    child = s.start([program, "children"], env=preloaded(s), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    pids = [int(read_line(child.stdout)) for _ in range(4)]
    try:
        exporter = s.start([EXPORTER, "--web.listen-address", "127.0.0.1:0", "--region.dir", s.regions, "--storage.path", s.path + "/storage"],
                           stderr=subprocess.PIPE)
        port = port_of(exporter)
        for kind, wanted in [("text/plain;version=0.0.4", b'own_level{service="own"} 115\n'),
                             ("application/openmetrics-text;version=1.0.0", b'own_level{service="own"} 115\n'),
                             ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
                              b"own_level" + b"\x12\x08A level.")]:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", "/metrics", headers={"Accept": kind})
            body = connection.getresponse().read()
            connection.close()
            check(wanted in body, kind, [line for line in body.splitlines() if b"own_" in line])
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


@test
def they_are_pushed_like_all_others(s):
    program = build(s, "examples/c-api/batch.c", "-std=c99")
    check(s.run(program=program, stdin=b"1\n2\n", env=preloaded(s)).out == "3\n")
    config = s.file("config.yml", b"""push:
  outputs:
  - {type: cloudwatch, region: us-east-1, namespace: Jobs, start: beginning, metrics: [batch_*]}
""")
    done = s.run("--config.file", config, "--region.dir", s.regions, "--push.dry-run", program=EXPORTER)
    sent = {m["MetricName"]: m for line in done.out.splitlines() if line.startswith("{") for m in json.loads(line)["MetricData"]}
    check(sent["BatchLines"]["Value"] == 2 and sent["BatchAmount"]["Value"] == 3 and sum(sent["BatchNumber"]["Counts"]) == 2, done)
    check(sent["BatchLastEndTimestamp"]["Value"] > 1.7e9, done)


@test
def where_it_may_not_it_does_nothing(s):
    program = build(s, "examples/c-api/batch.c", "-std=c99")
    env = preloaded(s)
    for more in ({"TICKBIRD_DISABLE": "1"}, {"TICKBIRD_EXCLUDE": "program"}, {"TICKBIRD_DIR": os.path.join(s.path, "none", "none")}):
        done = s.run(program=program, stdin=b"1\n2\n", env={**env, **more})
        check(done.out == "3\n" and not done.err, more, done)
        check(not os.listdir(s.regions), more)
    check(s.run("off", "own").code == 0)
    done = s.run(program=program, stdin=b"1\n2\n", env=env)
    check(done.out == "3\n" and not any(samples(s).values()), samples(s))
    check(s.run("on", "own").code == 0)
    s.run(program=program, stdin=b"1\n2\n", env=env)
    check(counted(s, 'batch_lines_total{result="good"}') == 2)


@test
def other_languages_find_the_functions_by_name(s):
    program = os.path.join(ROOT, "examples/c-api/job.py")
    plain = s.run(program, program="/usr/bin/python3", stdin=b"a b c\nd\n")
    done = s.run(program, program="/usr/bin/python3", stdin=b"a b c\nd\n", env=preloaded(s))
    check(plain.out == "4\n" and repr(plain) == repr(done), plain, done)
    found = samples(s)
    check(found['job_words_total{language="any"}'] == 4 and found["job_lines_total{}"] == 2, found)


@test
def a_library_may_count_in_its_constructor(s):
    library = s.file("early.c", b"""
#include <tickbird.h>
static __attribute__((constructor)) void start(void)
{
    tickbird_counter_add(tickbird_counter("own_starts_total", NULL, NULL, 0), 1);
}
int early(void) { return 0; }
""")
    program = s.file("main.c", b"int early(void); int main(void) { return early(); }\n")
    built = subprocess.run(["cc", "-shared", "-fPIC", "-I" + os.path.join(ROOT, "shim"), "-o", os.path.join(s.path, "libearly.so"), library],
                           check=False, timeout=60).returncode == 0
    check(built and subprocess.run(["cc", "-o", os.path.join(s.path, "main"), program, "-L" + s.path, "-learly", "-Wl,-rpath," + s.path],
                                   check=False, timeout=60).returncode == 0)
    check(s.run(program=os.path.join(s.path, "main"), env=preloaded(s)).code == 0)
    check(counted(s, "own_starts_total{}") == 1, samples(s))


main()
