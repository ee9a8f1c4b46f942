#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Processes killed at any moment: workers of nginx under load, the exporter while programs come and go, a hung server."""
import collections
import os
import select
import signal
import threading
import time

import chaos
import client
import harness
import servers


class Walker:
    """A client on one connection at a time, one request at a time: so a broken connection had at most one in flight."""

    PATHS = [("/hello", "/hello"), ("/items/7", "/items/:id"), ("/big.bin", "/big.bin"), ("/missing", "_unmatched")]

    def __init__(self, address, seed):
        self.address, self.random = address, chaos.rng(seed)
        self.whole, self.sent, self.broken = collections.Counter(), 0, 0

    def run(self, is_over):
        conn = None
        while not is_over():
            path, route = self.random.choice(self.PATHS)
            try:
                conn = conn or client.Conn(self.address)
                self.sent += 1
                response = chaos.get(conn, path)
                if not response.is_complete:
                    raise client.Closed()
            except (client.Closed, OSError):
                self.broken += 1
                if conn:
                    conn.close()
                conn = None
                continue
            self.whole[("GET", route, str(response.status))] += 1
            if response.ends_connection:
                conn.close()
                conn = None
        if conn:
            conn.close()


def nginx_workers_killed_under_load(test):
    site = servers.nginx_static(test)
    master = test.processes[-1].pid
    chaos.start_exporter(test)
    walkers = [Walker(site.address, f"walker{i}") for i in range(6)]
    floor, over, random_ = chaos.Floor(), threading.Event(), chaos.rng("killer")

    def kill_workers():
        try:
            for _ in range(50):
                workers = harness.until(lambda: chaos.children(master), "nginx has workers")
                chaos.kill(random_.choice(workers))
                over.wait(random_.uniform(0.005, 0.1))
        finally:
            over.set()

    def scrape():
        while not over.is_set():
            scrape = test.scrape()
            floor.check(scrape)
            counted, sent = sum(scrape.counts(test.service).values()), sum(w.sent for w in walkers)
            assert counted <= sent, f"{counted} counted of {sent} sent"

    chaos.in_threads([kill_workers, scrape] + [lambda w=w: w.run(over.is_set) for w in walkers])
    whole = sum((w.whole for w in walkers), collections.Counter())
    broken = sum(w.broken for w in walkers)
    last = test.settled(test.service, sum(whole.values()) - broken)
    floor.check(last)
    found = last.counts(test.service)
    wrong = [f"{k}: client {whole[k]}, counted {found[k]}, {broken} connections broken"
             for k in set(whole) | set(found) if not whole[k] - broken <= found[k] <= whole[k] + broken]
    assert not wrong, "\n".join(wrong)
    difference = sum(whole.values()) - sum(found.values())
    assert abs(difference) <= broken, f"{difference} of {sum(whole.values())} missing, {broken} connections broken"
    gauge = last.values("http_requests_in_flight", service=test.service)
    assert gauge and gauge[0][1] == 0, gauge
    assert sum(whole.values()) > 100 and broken, (whole, broken)
    return f"{sum(whole.values())} whole, {broken} broken, {difference} not counted, {floor.scrapes} scrapes"


def exporter_killed_while_programs_come_and_go(test):
    random_, over, floor = chaos.rng("folding"), threading.Event(), chaos.Floor()
    record, lock = collections.Counter(), threading.Lock()
    address = (test.ip, test.port())
    folds, restarts = [0], [0]

    def program(service, seed):
        """Starts and ends; every request of its life is answered and counted before its end."""
        choose = chaos.rng(seed)
        while not over.is_set():
            child, at = chaos.start_small(test, choose.choice(["read", "sendfile", "recvmsg"]), "single", service)
            conn = client.Conn(at)
            for _ in range(choose.randrange(1, 40)):
                path = choose.choice(["/small", "/large", "/missing", "/broken"])
                response = chaos.get(conn, path)
                with lock:
                    record[(service, "_unmatched" if path == "/missing" else path, str(response.status))] += 1
            # one thread serves: that it closes shows that the write before has returned, and so is counted
            conn.send(client.request("GET", "/die", "localhost"))
            harness.until(lambda: not conn.fill(), "the server closes")
            conn.close()
            test.stop(child, choose.choice([signal.SIGKILL, signal.SIGTERM]))

    def exporters():
        try:
            for _ in range(25):
                child = chaos.start_exporter(test, "--fold-after", "50ms", "--unlink-after", "200ms", address=address)
                restarts[0] += 1
                until = time.monotonic() + random_.uniform(0, 0.4)
                while time.monotonic() < until:
                    scrape = test.scrape()
                    floor.check(scrape)
                test.stop(child, signal.SIGKILL)
        finally:
            over.set()

    chaos.in_threads([exporters] + [lambda s=s, i=i: program(s, f"{s}{i}") for s in ("one", "two") for i in range(2)])
    chaos.start_exporter(test, "--fold-after", "50ms", address=address)

    def equal():
        scrape = test.scrape()
        floor.check(scrape)
        folds[0] = scrape.total("tickbird_regions", state="dead")
        found = collections.Counter()
        for service in ("one", "two"):
            for (_, route, status), n in scrape.counts(service).items():
                found[(service, route, status)] += n
        return found if folds[0] == 0 else None
    found = harness.until(equal, "all regions are folded")
    assert found == record, harness.difference(record, found)
    return f"{sum(record.values())} requests of {len(test.processes) - restarts[0]} programs, {restarts[0]} exporters, {floor.scrapes} scrapes"


def hung_server_shows_and_goes_with_its_workers(test):
    child, at = chaos.start_small(test, "read", "prefork")
    chaos.start_exporter(test)
    began = time.monotonic()
    conns = [client.Conn(at) for _ in range(3)]
    for conn in conns:
        conn.send(client.request("GET", "/slow", "localhost"))

    def gauges():
        scrape = test.scrape()
        return (scrape.total("http_requests_in_flight", service=test.service),
                scrape.total("http_oldest_request_in_flight_seconds", service=test.service))
    harness.until(lambda: gauges()[0] == 3, "three in flight")
    seen = time.monotonic()  # all three were being answered by now
    harness.until(lambda: time.monotonic() - seen > 0.3, "some time has passed")
    before = time.monotonic()
    count, oldest = gauges()
    assert count == 3, count
    assert before - seen <= oldest <= time.monotonic() - began, (before - seen, oldest, time.monotonic() - began)

    def still_open():
        return sum(1 for conn in conns if not select.select([conn.sock], [], [], 0)[0])

    # one after the other: what the dead had in flight goes, what the living have stays
    for worker in chaos.children(child.pid):
        chaos.kill(worker)
        harness.until(lambda w=worker: not os.path.exists(f"/proc/{w}"), "the worker is gone")
        harness.until(lambda: gauges()[0] == still_open(), f"{still_open()} in flight")
    harness.until(lambda: gauges() == (0, 0), "the gauges of the dead are gone")
    for conn in conns:
        conn.close()
    return f"oldest {oldest:.3f} s"


chaos.main([nginx_workers_killed_under_load, exporter_killed_while_programs_come_and_go, hung_server_shows_and_goes_with_its_workers])
