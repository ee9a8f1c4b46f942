#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Programs whose executable brings OpenSSL along: servers and clients in one process, which keeps its own tally. A build with Debian's static
OpenSSL in every case; node, which has it inside when it comes from nodejs.org, as it is installed."""
import collections
import os
import platform
import subprocess

import harness
import servers

CONNECTIONS, REQUESTS = 8, 200  # of the C program; multiples of 5, since every fifth request is for what is not there
LIBRARIES = ["libssl.a", "libcrypto.a"]
# A function whose beginning nobody can move, defined before the library's.
ODD = 'int SSL_set_wfd(void);\n__asm__(".globl SSL_set_wfd\\n.type SSL_set_wfd, @function\\nSSL_set_wfd: lea SSL_set_wfd(%rip), %rax\\n' \
      'xor %eax, %eax\\nret\\n.size SSL_set_wfd, .-SSL_set_wfd");\n'


def build(test, *options, more=""):
    """The C program with OpenSSL linked in and its functions shown; @more: C, before the library's."""
    if platform.machine() != "x86_64":
        raise harness.Missing("beginnings of functions are known for x86-64 only")
    out = test.dir / "own"
    argv = ["cc", "-std=gnu11", "-O1", "-rdynamic", *options, "-o", out, harness.HERE / "apps" / "own_tls.c", test.write("more.c", more)]
    argv += [f"-l:{name}" for name in LIBRARIES] + ["-lpthread", "-ldl"]
    for name in LIBRARIES:
        found = subprocess.run(["cc", f"-print-file-name={name}"], capture_output=True, check=True).stdout.decode().strip()
        if not os.path.isabs(found):
            raise harness.Missing(f"{name} is not installed")
    subprocess.run([str(a) for a in argv], check=True)
    return out


def tally(test, child):
    """What the process says that it has done."""
    def said():
        if child.poll() is not None:
            raise AssertionError(f"ended with {child.returncode}: {test.log_of(child)}")
        return [line for line in test.log_of(child).splitlines() if line.startswith("done ")]
    return int(harness.until(said, "the process has done", 120)[0].split()[1])


def start(test, how, options=(), more="", env=None):
    cert, key, _ = servers.make_certificate(test)
    child = test.start([build(test, *options, more=more), how, CONNECTIONS, REQUESTS, cert, key], env=env)
    test.start_exporter()
    return child


def changed_code(child):
    """Code of the process that comes from no file."""
    with open(f"/proc/{child.pid}/maps", encoding="utf-8") as f:
        lines = [line.split() for line in f]
    return [words[0] for words in lines if "x" in words[1] and words[4] == "0" and not words[5:]]


def compare(test, name, total):
    """Every request counts once as served and once as called, a fifth of them as not found."""
    expected = collections.Counter({("GET", "/found", "200"): total * 4 // 5, ("GET", "_unmatched", "404"): total // 5})
    scrape = test.settled(test.service, total)
    for kind, family in (("served", "http_requests_total"), ("called", "http_client_requests_total")):
        wrong = harness.difference(expected, scrape.counts(test.service, family))
        harness.report(not wrong, f"{name}_{kind}", wrong and wrong + "\n" + harness.own_counters(scrape, test.service))


def exact(how, *options):
    def run(test):
        child = start(test, how, options)
        total = tally(test, child)
        harness.report(total == CONNECTIONS * REQUESTS, f"{test.name}_answers_all", str(total))
        compare(test, test.name, total)
        found = changed_code(child)
        harness.report(len(found) == 2, f"{test.name}_has_its_code_and_the_way_back", str(found))
    return run


def left_alone(reason, advice, options=(), more="", env=None):
    """The program does what it does; nothing is counted, and why is told."""
    def run(test):
        child = start(test, "plain", options, more, env)
        total = tally(test, child)
        scrape = test.scrape()
        counted = sum(scrape.counts(test.service).values())
        told = {labels["reason"] for labels, value in scrape.values("tickbird_unobservable", service=test.service) if value}
        harness.report(total == CONNECTIONS * REQUESTS and not counted, f"{test.name}_answers_all_and_nothing_counts", f"{total} {counted}")
        harness.report(told == {"built_tls", reason}, f"{test.name}_is_told", str(told))
        harness.report(not changed_code(child), f"{test.name}_has_its_code_as_it_was", str(changed_code(child)))
        doctor = subprocess.run([harness.BUILD / "tickbird", "doctor", str(child.pid)], env={**os.environ, "TICKBIRD_DIR": str(test.region_dir)},
                                capture_output=True, check=False).stdout.decode()
        harness.report("records in part" in doctor and advice in doctor, f"{test.name}_is_told_by_doctor", doctor)
    return run


def node(test):
    workers, count = 3, 100
    cert, key, _ = servers.make_certificate(test)
    child = test.start([harness.which("node", "nodejs"), harness.HERE / "apps" / "calls.js", cert, key, workers, count])
    test.start_exporter()
    total = tally(test, child)
    harness.report(total in (2 * count, 4 * count), f"{test.name}_answers_all", str(total))
    compare(test, test.name, total)


def kept(test):
    select = test.write("select", f"keep-code exe {test.dir}/own\n")
    left_alone("tls_refused", "a rule", env={"TICKBIRD_SELECT_FILE": str(select)})(test)


def not_observed(test):
    child = start(test, "plain", env={"TICKBIRD_EXCLUDE": f"{test.dir}/own"})
    total = tally(test, child)
    harness.report(total == CONNECTIONS * REQUESTS and not test.scrape().counts(test.service), f"{test.name}_answers_all_and_nothing_counts", str(total))
    harness.report(not changed_code(child), f"{test.name}_has_its_code_as_it_was", str(changed_code(child)))


harness.main_special({
    "own_tls": exact("plain", "-pie", "-fPIE"),
    "own_tls_fixed": exact("plain", "-no-pie"),
    "own_tls_ex": exact("ex", "-pie", "-fPIE"),
    "own_tls_early": exact("early", "-pie", "-fPIE"),
    "own_tls_odd": left_alone("tls_code", "not of a known form", ["-Wl,--allow-multiple-definition"], ODD),
    "own_tls_off": left_alone("tls_refused", "TICKBIRD_INLINE_HOOKS", env={"TICKBIRD_INLINE_HOOKS": "0"}),
    "own_tls_kept": kept,
    "own_tls_not_observed": not_observed,
    "node_calls": node,
})
