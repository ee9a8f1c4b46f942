# SPDX-License-Identifier: Apache-2.0
"""What the tests of servers that others start have in common: a tally of simple requests, compared exactly."""
import collections
import random
import threading

import client
import harness
import sites

PATHS = (("/hello", "/hello"), ("/items/7", "/items/:id"), ("/items/4242", "/items/:id"), ("/missing", "_unmatched"))


def requests_to(address, record, rng, connections=20, keep_alive=1, paths=PATHS, methods=("GET", "GET", "GET", "HEAD"), threads=1):
    """@connections connections with up to @keep_alive requests each, noted as answered. A cut inside the head is as good
    as none to a reader of a stream."""
    def go(seed):
        own = random.Random(seed)
        for _ in range(connections // threads):
            conn = client.Conn(address)
            for number in range(keep_alive):
                path, route = own.choice(paths)
                method = own.choice(methods)
                data = client.request(method, path, "localhost", ["Connection: close"] if number == keep_alive - 1 else ["Connection: keep-alive"])
                conn.send_in_parts(data, [own.randrange(1, len(data))] if own.random() < 0.3 else [])
                try:
                    response = conn.response(method)
                except client.Closed:
                    if number == 0:
                        raise
                    break  # a server may close what is kept alive at any time
                record.add(method, "_unmatched" if response.status == 404 else route, response.status)
                if not response.is_complete:
                    raise AssertionError(f"{method} {path}: cut short")
                if response.ends_connection:
                    break
            conn.close()
    failures = []

    def guarded(seed):
        try:
            go(seed)
        except Exception as failure:  # pylint: disable=broad-except
            failures.append(f"{type(failure).__name__}: {failure}")

    running = [threading.Thread(target=guarded, args=(rng.random(),)) for _ in range(threads)]
    for t in running:
        t.start()
    for t in running:
        t.join()
    if failures:
        raise AssertionError(failures[0])


def compare(test, name, services=None):
    """The sum over @services (one alone: the test's own) equals the tally; nothing is in flight or aborted."""
    services = services or [test.service]
    expected = +test.record.counts
    total = sum(expected.values())

    def counted():
        scrape = test.scrape()
        found = collections.Counter()
        for service in services:
            found += scrape.counts(service)
        in_flight = sum(scrape.total("http_requests_in_flight", service=s) for s in services)
        return scrape, found, in_flight

    try:
        scrape, found, in_flight = harness.until(lambda: (lambda r: r if sum(r[1].values()) >= total and r[2] == 0 else None)(counted()),
                                                 "all is counted")
    except AssertionError:
        scrape, found, in_flight = counted()
    wrong = harness.difference(expected, found)
    for service in services:
        aborted = scrape.total("http_requests_aborted_total", service=service)
        cut = scrape.total("http_responses_incomplete_total", service=service)
        untimed = scrape.total("tickbird_untimed_requests_total", service=service)
        if aborted or cut or untimed:
            wrong += f"\n{service}: {aborted:g} aborted, {cut:g} cut short, {untimed:g} untimed"
    if in_flight:
        wrong += f"\n{in_flight:g} in flight"
    harness.report(not wrong, name, f"{total} responses, {len(expected)} keys" if not wrong else
                   "\n".join([f"seed {harness.SEED}", wrong.strip()] + [harness.own_counters(scrape, s) for s in services]))
    return scrape


def documents(test):
    return sites.documents(test)
