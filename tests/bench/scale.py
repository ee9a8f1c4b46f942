# SPDX-License-Identifier: Apache-2.0
"""What stays flat as things get many: processes, threads and connections, for `make bench`. Every part also checks that the
sum that the exporter serves is exactly what the clients received.

Cost of a request is counted in instructions (callgrind) where it can be: added by the object, few against many. What
callgrind cannot hold (1,000 processes, 100,000 connections) is measured by what the exporter spends and by memory.
"""
import pathlib
import re
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "servers"))
sys.path.insert(0, str(HERE.parent / "chaos"))
import chaos  # noqa: E402  pylint: disable=wrong-import-position
import cost  # noqa: E402  pylint: disable=wrong-import-position
import harness  # noqa: E402  pylint: disable=wrong-import-position

CLIENTS = harness.BUILD / "tests" / "bench" / "clients"


class Clients:
    """A process of many connections (clients.c)."""

    def __init__(self, port, connections):
        self.child = subprocess.Popen([CLIENTS, str(port), str(connections)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answers = 0

    def wait(self):
        line = self.child.stdout.readline()
        assert line, "a client has failed"
        self.answers = int(line)

    def ask(self, turns):
        self.child.stdin.write(f"{turns}\n")
        self.child.stdin.flush()

    def close(self):
        self.child.stdin.close()
        assert self.child.wait(60) == 0


def all_ask(groups, turns):
    for group in groups:
        group.ask(turns)
    for group in groups:
        group.wait()
    return sum(g.answers for g in groups)


def check_total(test, expected, what):
    def is_there():
        scrape = test.scrape()
        found = sum(v for l, v in scrape.values("http_requests_total"))
        return scrape if found >= expected else None
    scrape = harness.until(is_there, f"{what}: {expected} requests counted", 60)
    found = sum(v for _, v in scrape.values("http_requests_total"))
    assert found == expected, f"{what}: {expected} answered, {found:g} counted"
    return scrape


# --- instructions, few against many

def callgrind_total(model, connections, turns, preload, workers=0):
    """Instructions of the small server until it is told to end by SIGTERM. With @workers, each of which has one connection:
    of one of them, the median."""
    test = harness.Test("scale")
    try:
        wrap = [harness.which("valgrind"), "--tool=callgrind", f"--callgrind-out-file={test.dir}/out.%p", "--quiet", "--max-threads=1200"]
        env = {"WORKERS": str(workers)} if workers else {}
        if not preload:
            env["LD_PRELOAD"] = ""
        child, at = chaos.start_small(test, "read", model, wrap=wrap, env=env)
        clients = Clients(at[1], connections)
        clients.wait()
        clients.ask(turns)
        clients.wait()
        if preload:
            chaos.start_exporter(test)
            check_total(test, connections * turns, model)
        clients.close()
        pids = harness.process_tree(child.pid)
        for pid in reversed(pids):
            chaos.kill(pid, 15)
        child.wait(60)

        def totals():
            found = [re.search(r"^totals: (\d+)", f.read_text(), re.M) for f in test.dir.glob("out.*")]
            return [int(f.group(1)) for f in found] if len(found) >= len(pids) and all(found) else None
        each = harness.until(totals, "callgrind has written", 120)
        return statistics.median(each) if workers else sum(each)
    finally:
        test.close()


def added(model, connections, turns, workers=0):
    """Instructions that the object adds to a request beyond the first @turns of each connection."""
    requests = turns if workers else connections * turns

    def of_later(preload):
        low, high = (callgrind_total(model, connections, n, preload, workers) for n in (turns, 2 * turns))
        return (high - low) / requests
    return of_later(True) - of_later(False)


def instructions():
    """With as many requests of each connection, for a connection's first ones cost more than its later ones."""
    few, many = added("threads", 4, 20), added("threads", 500, 20)
    yield "instructions_500_threads_over_4", many / few, f"{many:.0f} against {few:.0f} on one route"
    few, many = added("epoll", 10, 4), added("epoll", 8000, 4)
    yield "instructions_8000_connections_over_10", many / few, f"{many:.0f} against {few:.0f}"
    few, many = added("prefork", 4, 60, 4), added("prefork", 270, 60, 270)
    yield "instructions_270_processes_over_4", many / few, f"{many:.0f} against {few:.0f} in one region of 256 owner slots"


# --- 1,000 programs in one directory

def scrape_cost(test, times=20):
    pid = test.processes[-1].pid
    test.scrape()
    before = cost.cpu_ns([pid])
    for _ in range(times):
        test.scrape()
    return (cost.cpu_ns([pid]) - before) / times


def programs(count, services):
    test = harness.Test("scale")
    try:
        ports = [chaos.start_small(test, "read", "epoll", service=f"s{i % services}")[1][1] for i in range(count)]
        groups = []
        for port in ports:
            groups.append(Clients(port, 2))
            groups[-1].wait()
        answers = all_ask(groups, 20)
        chaos.start_exporter(test)
        scrape = check_total(test, answers, f"{count} programs")
        assert len(scrape.values("http_requests_in_flight")) == services
        spent = scrape_cost(test)
        pages = cost.region_bytes(test)
        for group in groups:
            group.close()
        return spent, pages, answers
    finally:
        test.close()


def processes():
    few, _, _ = programs(100, 20)
    many, pages, answers = programs(1000, 20)
    yield "scrape_us_per_region", (many - few) / 900 / 1000, f"1,000 programs of 20 services, {answers} requests exact, {many / 1e6:.1f} ms a scrape"
    yield "region_bytes_1000_programs_each", pages / 1000, "of the directory"


# --- 100,000 connections

def connections(preload, count, each):
    test = harness.Test("scale")
    test.is_bare = not preload
    groups = []
    try:
        small = [chaos.start_small(test, "read", "epoll") for _ in range(-(-count // each))]
        before = sum(cost.private_bytes(child.pid) for child, _ in small)
        groups = [Clients(at[1], each) for _, at in small]
        for group in groups:
            group.wait()
        all_ask(groups, 1)
        after = sum(cost.private_bytes(child.pid) for child, _ in small)
        answers = all_ask(groups, 2)
        if preload:
            chaos.start_exporter(test)
            scrape = check_total(test, answers, f"{count} connections")
            assert scrape.total("http_requests_in_flight") == 0
            given_up = scrape.total("tickbird_connections_given_up_total")
            assert given_up == 0, f"{given_up} connections given up"
        for group in groups:
            group.close()
        return (after - before) / (each * len(groups)), answers
    finally:
        for group in groups:
            group.child.kill()
        test.close()


def open_connections():
    chaos.allow_descriptors(18000)
    each = 17000
    bare, _ = connections(False, 100000, each)
    loaded, answers = connections(True, 100000, each)
    yield "bytes_per_connection_of_100000", loaded - bare, f"{answers} requests on {each * -(-100000 // each)} open connections, exact"


PARTS = (instructions, processes, open_connections)
