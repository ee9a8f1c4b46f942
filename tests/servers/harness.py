# SPDX-License-Identifier: Apache-2.0
"""Runs a real server with the object preloaded, drives it, scrapes the real exporter and compares, exactly.

A test file calls main() with named set-ups. A set-up gets a Test, starts what it needs and returns the Site to drive.
Reported per set-up: ok/not ok lines for the client, the counts, the histogram, the gauge and, where there is one, the
access log. TB_SEED repeats a run; TB_PLAIN=1 runs without Tickbird and prints what the server answers; TB_STEPS changes
the length; TB_UNDER starts every server through another program.
"""
import collections
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request

import cases
import client

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("B", HERE.parent.parent / "build")).resolve()
OBJECT = BUILD / "libtickbird.so"
PLAIN = os.environ.get("TB_PLAIN") == "1"
SEED = os.environ.get("TB_SEED") or str(random.SystemRandom().randrange(1 << 32))
STEPS = int(os.environ.get("TB_STEPS", "25"))
UNDER = os.environ.get("TB_UNDER", "").split()  # words before each server's command: a program that starts it
DEADLINE = 60.0  # seconds that a condition may take to come true, on a busy machine
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever proxy is set
status = 0


class Missing(Exception):
    """The server is not installed."""


def report(is_ok, name, detail=""):
    global status
    if detail:
        print("".join(f"# {name}: {line}\n" for line in detail.splitlines()), end="")
    print(("ok " if is_ok else "not ok ") + name, flush=True)
    if not is_ok:
        status = 1


def which(*names):
    """The first program of @names that is installed, as packaged (not a shadow in a user's path)."""
    for name in names:
        for folder in ("/usr/sbin", "/usr/bin", "/usr/local/bin"):
            path = os.path.join(folder, name)
            if os.access(path, os.X_OK):
                return path
    raise Missing(" or ".join(names) + " is not installed")


def until(condition, what, seconds=DEADLINE):
    """Polls until @condition() is true. Returns its value; raises when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.01)


def loopback_address():
    """A loopback address that is this process's own for all practical purposes, so that ports are not raced for."""
    pid = os.getpid()
    return f"127.{1 + (pid >> 16) % 250}.{(pid >> 8) & 255}.{1 + (pid & 255) % 254}"


given = set()


def free_port(ip):
    """A port that nobody has on @ip, and that was not given before: who got it may not have taken it yet."""
    while True:
        with socket.socket() as s:
            s.bind((ip, 0))
            address = s.getsockname()[:2]
        if address not in given:
            given.add(address)
            return address[1]


def process_tree(pid):
    """@pid and all that descend from it."""
    found = [pid]
    for p in found:
        try:
            for task in os.listdir(f"/proc/{p}/task"):
                with open(f"/proc/{p}/task/{task}/children", encoding="utf-8") as f:
                    found += [int(c) for c in f.read().split()]
        except OSError:
            pass  # it has just ended
    return found


SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


def parse(text):
    """Exposition text -> list of (name, labels, value). A malformed line is an error."""
    samples = []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        found = SAMPLE.match(line)
        if not found:
            raise AssertionError(f"not a sample: {line!r}")
        labels = {k: v.replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\") for k, v in LABEL.findall(found.group(2) or "")}
        samples.append((found.group(1), labels, float(found.group(3))))
    return samples


class Scrape:
    def __init__(self, text):
        self.text = text
        self.samples = parse(text)

    def values(self, name, **labels):
        return [(l, v) for n, l, v in self.samples if n == name and all(l.get(k) == w for k, w in labels.items())]

    def total(self, name, **labels):
        return sum(v for _, v in self.values(name, **labels))

    def counts(self, service, name="http_requests_total"):
        """(method, route, status) -> count, without the zeroes that the exporter adds."""
        out = collections.Counter()
        for labels, value in self.values(name, service=service):
            if value:
                out[(labels["method"], labels["route"], labels["status"])] += int(value)
        return out


class Test:
    """One set-up: a folder, a region directory, processes; all removed at the end."""

    def __init__(self, name):
        self.name = self.service = name
        self.ip = loopback_address()
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"tb-{name}-"))
        self.dir.chmod(0o755)
        self.region_dir = pathlib.Path(tempfile.mkdtemp(prefix=f"tb-{name}-", dir="/dev/shm"))
        self.region_dir.chmod(0o3773 if os.getuid() == 0 else 0o700)
        self.processes = []
        self.exporter = None
        self.access_log = None
        self.tls = None  # paths of certificate, key and both, when the server shall speak TLS
        self.record = client.Record()
        self.is_bare = PLAIN  # without Tickbird

    # -- processes
    def port(self):
        return free_port(self.ip)

    def write(self, name, text):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def env(self, service=None):
        env = {k: v for k, v in os.environ.items() if not k.startswith("TICKBIRD_") and k != "LD_PRELOAD"}
        if not self.is_bare:
            env.update(LD_PRELOAD=str(OBJECT), TICKBIRD_DIR=str(self.region_dir), TICKBIRD_SERVICE=service or self.service)
        return env

    def start(self, argv, preload=True, service=None, by_command=False, env=None, cwd=None):
        """Starts a server; @by_command: through `tickbird run`, else with LD_PRELOAD set."""
        argv = [str(a) for a in argv]
        full = self.env(service) if preload and not by_command else {
            k: v for k, v in os.environ.items() if not k.startswith("TICKBIRD_") and k != "LD_PRELOAD"}
        full.update(env or {})
        if by_command and preload and not self.is_bare:
            argv = [str(BUILD / "tickbird"), "run", "--service", service or self.service, "--dir", str(self.region_dir), "--"] + argv
        if preload:
            argv = UNDER + argv
        log = open(self.dir / f"log-{len(self.processes)}.txt", "wb")
        child = subprocess.Popen(argv, env=full, cwd=cwd or self.dir, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                 start_new_session=True)
        log.close()
        child.log = log.name
        self.processes.append(child)
        return child

    def wait_for_port(self, address, child=None):
        def is_up():
            if child is not None and child.poll() is not None:
                raise AssertionError(f"{child.args[0]} ended with {child.returncode}: {self.log_of(child)}")
            try:
                probe = client.Conn(address, 5)
                probe.reset()  # a plain close would be answered by some servers
                return True
            except OSError:
                return False
        until(is_up, f"{address} accepts connections", 60)

    def log_of(self, child):
        with open(child.log, "rb") as f:
            return f.read()[-3000:].decode("utf-8", "replace")

    def stop(self, child, how=signal.SIGTERM):
        if child.poll() is None:
            os.killpg(child.pid, how)
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        try:
            os.killpg(child.pid, signal.SIGKILL)  # workers that outlived it
        except OSError:
            pass

    def close(self):
        for child in reversed(self.processes):
            self.stop(child)
        shutil.rmtree(self.region_dir, ignore_errors=True)
        if os.environ.get("TB_KEEP") != "1":
            shutil.rmtree(self.dir, ignore_errors=True)

    # -- the exporter
    def start_exporter(self, *options):
        self.exporter = (self.ip, self.port())
        child = self.start([BUILD / "tickbird-exporter", "--web.listen-address", "%s:%d" % self.exporter, "--region.dir",
                            self.region_dir, "--storage.path", self.dir / "ledger", *options], preload=False)
        self.wait_for_port(self.exporter, child)

    def scrape(self):
        """One scrape in text; urllib complains when it is cut short."""
        with DIRECT.open("http://%s:%d/metrics" % self.exporter, timeout=60) as answer:
            return Scrape(answer.read().decode())

    def settled(self, service, expected_total):
        """A scrape after the traffic: nothing in flight and all expected responses there, or the last one after a while."""
        deadline = time.monotonic() + DEADLINE
        before = None
        while True:
            scrape = self.scrape()
            now = (sum(scrape.counts(service).values()), scrape.total("http_requests_in_flight", service=service))
            if now[1] == 0 and now == before and (now[0] >= expected_total or time.monotonic() > deadline - DEADLINE * 0.85):
                return scrape
            if time.monotonic() > deadline:
                return scrape
            before = now
            time.sleep(0.05)


def difference(expected, found):
    lines = []
    for key in sorted(set(expected) | set(found)):
        if expected[key] != found[key]:
            lines.append(f"{' '.join(map(str, key)):50} client {expected[key]:6}  tickbird {found[key]:6}")
    return "\n".join(lines)


def own_counters(scrape, service):
    """The agent's own counters that moved: the first place to look when counts differ."""
    return "\n".join(f"{n}{{{','.join(f'{k}={w}' for k, w in l.items() if k != 'service')}}} {v:g}" for n, l, v in scrape.samples
                     if n.startswith("tickbird_") and l.get("service") == service and v and n.endswith("_total")
                     or n == "http_requests_aborted_total" and v and l.get("service") == service)


def check_counts(test, name, service, record):
    expected = +record.counts
    scrape = test.settled(service, sum(expected.values()))
    found = scrape.counts(service)
    left_ok = []
    for (method, route), sent in record.left.items():
        answered = sum(v for (m, r, _), v in found.items() if (m, r) == (method, route))
        aborted = scrape.total("http_requests_aborted_total", service=service, method=method, route=route)
        if answered > sent or answered + aborted > sent:
            left_ok.append(f"{method} {route}: {sent} sent and left, but {answered} answered and {aborted:g} aborted")
        for key in [k for k in found if k[:2] == (method, route)]:
            del found[key]
    wrong = difference(expected, found)
    report(not wrong, f"{name}_counts_equal_the_client",
           f"{sum(expected.values())} responses, {len(expected)} keys" if not wrong else
           f"seed {SEED}\n{wrong}\n{own_counters(scrape, service)}")
    if record.left:
        report(not left_ok, f"{name}_requests_left_alone_are_not_invented", "\n".join(left_ok))
    in_flight = scrape.total("http_requests_in_flight", service=service)
    has_gauge = bool(scrape.values("http_requests_in_flight", service=service))
    report(in_flight == 0 and has_gauge, f"{name}_nothing_in_flight", "" if in_flight == 0 and has_gauge else f"{in_flight}")
    check_histogram(name, service, scrape)
    return scrape


def check_histogram(name, service, scrape):
    """Each series' +Inf bucket, its count, and the counter agree (but for untimed ones); buckets rise."""
    wrong = []
    untimed = scrape.total("tickbird_untimed_requests_total", service=service)
    counts = scrape.counts(service)
    counted = scrape.counts(service, "http_request_duration_seconds_count")
    missing = sum(counts.values()) - sum(counted.values())
    if missing != untimed:
        wrong.append(f"{sum(counts.values())} requests, {sum(counted.values())} durations, {untimed:g} untimed")
    series = collections.defaultdict(list)
    for labels, value in scrape.values("http_request_duration_seconds_bucket", service=service):
        series[(labels["method"], labels["route"], labels["status"])].append((float(labels["le"]), value))
    for key, buckets in series.items():
        buckets.sort()
        values = [v for _, v in buckets]
        if values != sorted(values) or buckets[-1][0] != float("inf") or values[-1] != counted[key]:
            wrong.append(f"{key}: buckets {values}, count {counted[key]}")
    if not series:
        wrong.append("no histogram")
    report(not wrong, f"{name}_histogram_agrees_with_the_counter", "\n".join(wrong))


def check_promtool(name, scrape):
    try:
        promtool = which("promtool")
    except Missing as missing:
        print(f"skip {name}_promtool_has_nothing_to_say {missing}")
        return
    said = subprocess.run([promtool, "check", "metrics"], input=scrape.text.encode(), capture_output=True, check=False)
    report(said.returncode == 0 and not said.stdout and not said.stderr, f"{name}_promtool_has_nothing_to_say",
           (said.stdout + said.stderr).decode())


def check_access_log(test, name, service, scrape):
    """The server's own word: lines of `METHOD STATUS BYTES PATH`, compared with what was counted. A line without a byte sent
    is no answer: the client had left. test.access_log: path of the log, then what this server's log cannot tell."""
    path, blind = test.access_log

    def key(method, status):
        known = method if method in client.KNOWN_METHODS else "_OTHER"
        return ("*" if status in blind.get("methods_of", ()) else known, status)

    logged = collections.Counter()
    with open(path, "rb") as f:
        for line in f:
            method, status, sent, target = line.decode("latin-1").rstrip("\n").split(" ", 3)
            if sent != "0" and status not in blind.get("statuses", ()) and target.partition("?")[0] != "/left":
                logged[key(method, status)] += 1
    counted = collections.Counter()
    for (method, route, status), value in scrape.counts(service).items():
        if route != "/left":
            counted[key(method, status)] += value
    wrong = difference(logged, counted).replace("client", "log")
    report(not wrong, f"{name}_counts_equal_the_access_log", wrong)


def drive(test, name, site):
    began = time.monotonic()
    problems = cases.run(site, test.record, f"{SEED}/{name}", steps=STEPS)
    total = sum(test.record.counts.values())
    detail = [f"seed {SEED}, {total} responses, {sum(test.record.cases.values())} cases, {time.monotonic() - began:.1f} s"]
    detail += problems[:10]
    if PLAIN or problems:
        for case in sorted(test.record.cases):
            answers = {k[1]: v for k, v in sorted(test.record.seen.items()) if k[0] == case}
            detail.append(f"{case:24} run {test.record.cases[case]:5}  answers {answers}  closed {test.record.unanswered[case]}  "
                          f"slowest {test.record.slowest[case]:.2f} s")
    answered = total >= 0.5 * sum(test.record.cases.values())
    report(not problems and answered, f"{name}_serves_the_client", "\n".join(detail))


def run_one(name, set_up):
    test = Test(name)
    try:
        site = set_up(test)
        if not PLAIN:
            test.start_exporter()
        drive(test, name, site)
        if not PLAIN:
            scrape = check_counts(test, name, test.service, test.record)
            check_promtool(name, scrape)
            if test.access_log:
                check_access_log(test, name, test.service, scrape)
            for extra in getattr(site, "extra", ()):
                extra(test, site)
    finally:
        test.close()


def main_special(tests):
    """@tests: name -> function(Test) that drives and reports by itself."""
    def run_special(name, function):
        test = Test(name)
        try:
            function(test)
        finally:
            test.close()
    main(tests, run_special)


def main(set_ups, run_each=run_one):
    """@set_ups: name -> function(Test) -> Site. Names on the command line pick some."""
    print(f"# seed {SEED}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    wanted = sys.argv[1:]
    for name, set_up in set_ups.items():
        if wanted and name not in wanted:
            continue
        try:
            run_each(name, set_up)
        except Missing as missing:
            print(f"skip {name} {missing}", flush=True)
        except Exception:  # pylint: disable=broad-except
            report(False, f"{name}_runs", traceback.format_exc())
    sys.exit(status)
