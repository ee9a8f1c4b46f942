#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What workers do not do to one another and to the machine: no cache line of the region is written by two of them while they
serve, no thread is added, nobody is woken who has nothing to do."""
import collections
import os
import time

import chaos
import client
import harness

LINE = 64  # bytes
# Known routes: a path that answers 404 is unknown each time, and unknown ones are told apart by a number that all share.
PATHS = ("/small", "/large", "/broken", "/empty")


def workers_write_no_cache_line_of_each_other(test):
    """Four workers, each with one connection (a worker serves one at a time), serve by turns; the region is read between."""
    _, at = chaos.start_small(test, "read", "prefork")
    conns = [client.Conn(at) for _ in range(4)]
    record = collections.Counter()

    def serve(conn, rounds):
        for _ in range(rounds):
            for path in PATHS:
                record[chaos.get(conn, path).status] += 1

    for _ in range(30):  # all routes and series are there, and cells for the durations that occur
        for conn in conns:
            serve(conn, 1)
    region, = [p for p in test.region_dir.iterdir() if p.is_file()]

    def settled():
        """The region, when the last request of all has been counted: twice the same."""
        last = None

        def same():
            nonlocal last
            before, last = last, region.read_bytes()
            return before == last
        harness.until(same, "the region is at rest")
        return last

    # A duration of a new order of magnitude takes new memory, once, under a word that all share: so one of some rounds must do.
    for attempt in range(30):
        written = []
        for conn in conns:
            before = settled()
            serve(conn, 10)
            after = settled()
            written.append({i for i in range(0, len(after), LINE) if before[i:i + LINE] != after[i:i + LINE]})
        shared = {line for a in range(4) for b in range(a) for line in written[a] & written[b]}
        if not shared:
            break
    assert not shared, f"lines at {[hex(s) for s in sorted(shared)]} are written by two workers"
    assert all(len(w) >= len(PATHS) for w in written), [len(w) for w in written]
    for conn in conns:
        conn.close()
    chaos.start_exporter(test)
    found = test.settled(test.service, sum(record.values())).counts(test.service)
    assert sum(found.values()) == sum(record.values()), (found, record)
    return f"lines written by each: {[len(w) for w in written]}, in attempt {attempt + 1}"


def rests(pids):
    """(threads, times they slept and were woken), summed over @pids."""
    threads = woken = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as f:
                woken += sum(int(line.split()[1]) for line in f if line.startswith("voluntary_ctxt_switches"))
            threads += 1
    return threads, woken


def idle_servers_are_not_woken(test):
    counts = []
    for is_bare in (True, False):
        test.is_bare = is_bare
        child, at = chaos.start_small(test, "read", "prefork")
        conns = [client.Conn(at) for _ in range(4)]
        for conn in conns:
            for path in PATHS:
                chaos.get(conn, path)
        pids = harness.process_tree(child.pid)
        assert len(pids) == 5, pids

        def asleep():
            return all(open(f"/proc/{p}/stat", encoding="ascii").read().rpartition(")")[2].split()[0] == "S" for p in pids)
        harness.until(asleep, "the workers wait for their clients")
        for _ in range(5):  # a busy machine may be late with what was before
            threads, before = rests(pids)
            time.sleep(1)  # the time in which they might be woken
            after = rests(pids)
            if after == (threads, before):
                break
        assert after == (threads, before), f"{'bare' if is_bare else 'observed'}: woken {after[1] - before} times"
        counts.append(threads)
        for conn in conns:
            conn.close()
        test.stop(child)
    assert counts[0] == counts[1], f"{counts[0]} threads, {counts[1]} with the object"


chaos.main([workers_write_no_cache_line_of_each_other, idle_servers_are_not_woken])
