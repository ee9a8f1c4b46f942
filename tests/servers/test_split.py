#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Two real servers of one service, told apart by labels that the configuration asks for (metrics.split_by). Each server has a client of
its own, whose record is the truth of its series; one is killed and started again, and the exporter is restarted meanwhile."""
import collections
import signal

import client
import harness
import sites

SERVICE = "shop"
CONFIG = "metrics: {split_by: [pid, program]}\n"


class Server:
    """A Python server, and what its client was answered."""

    def __init__(self, test):
        self.address, self.counts = (test.ip, test.port()), collections.Counter()
        self.child = test.start([sites.PYTHON, sites.APPS / "http_server.py", *self.address, "HTTP/1.1"], service=SERVICE)
        test.wait_for_port(self.address, self.child)

    def get(self, path, route, times):
        conn = client.Conn(self.address)
        for _ in range(times):
            conn.send(client.request("GET", path, "localhost"))
            self.counts["GET", route, str(conn.response("GET").status)] += 1
        conn.close()


def by_pid(scrape, name="http_requests_total"):
    """pid -> (method, route, status) -> count; "" where there is no such label."""
    found = collections.defaultdict(collections.Counter)
    for labels, value in scrape.values(name, service=SERVICE):
        if value:
            found[labels.get("pid", "")][labels["method"], labels["route"], labels["status"]] += int(value)
    return dict(found)


def settle(test, expected, what):
    """A scrape that says what the clients do; the last one, with the difference told, when none does in time."""
    found = {}

    def has_settled():
        nonlocal found
        found = by_pid(test.scrape())
        return found == expected
    try:
        harness.until(has_settled, what)
    except AssertionError:
        pass
    harness.report(found == expected, what, "" if found == expected else f"clients {expected}\nfound {found}")


def check_histograms(scrape):
    """Under the labels of each counter a histogram whose buckets rise to its count."""
    buckets = collections.defaultdict(list)
    for labels, value in scrape.values("http_request_duration_seconds_bucket", service=SERVICE):
        buckets[tuple(sorted((k, v) for k, v in labels.items() if k != "le"))].append((float(labels["le"]), value))
    counts = {tuple(sorted(l.items())): v for l, v in scrape.values("http_requests_total", service=SERVICE) if v}
    rising = [k for k, b in buckets.items() if [v for _, v in sorted(b)] == sorted(v for _, v in b)]
    ends = {k: max(b)[1] for k, b in buckets.items()}
    harness.report(ends == counts and len(rising) == len(counts), "each_counter_has_its_histogram", "" if ends == counts else f"{ends}\n{counts}")


def totals(scrape):
    """What the service counted, by all labels: none of it may ever fall."""
    return {(n, *sorted(l.items())): v for n, l, v in scrape.samples
            if l.get("service") == SERVICE and (n == "http_requests_total" or n.endswith(("_bucket", "_count")))}


def check_split(test):
    config = test.write("config.yml", CONFIG)
    test.start_exporter("--config.file", config, "--fold-after", "1s")
    one, two = Server(test), Server(test)
    one.get("/hello", "/hello", 7)
    two.get("/hello", "/hello", 11)
    two.get("/items/7", "/items/:id", 3)
    pids = [str(s.child.pid) for s in (one, two)]
    settle(test, dict(zip(pids, (one.counts, two.counts))), "each_server_has_series_of_its_own")
    scrape = test.scrape()
    check_histograms(scrape)
    harness.check_promtool("split", scrape)
    gauges = {l["pid"] for l, _ in scrape.values("http_requests_in_flight", service=SERVICE)}
    programs = {l["program"] for l, _ in scrape.values("http_requests_total", service=SERVICE)}
    harness.report(gauges == set(pids), "gauges_are_told_apart_as_well", f"{gauges}")
    harness.report(len(programs) == 1 and "python" in programs.pop(), "a_second_label_stands_beside_it")

    before = totals(test.scrape())
    test.stop(test.processes[0])  # the exporter
    one.get("/hello", "/hello", 5)
    test.start_exporter("--config.file", config, "--fold-after", "1s")
    settle(test, dict(zip(pids, (one.counts, two.counts))), "a_restart_of_the_exporter_changes_nothing")
    after = totals(test.scrape())
    fallen = [k for k, v in before.items() if after.get(k, -1) < v]
    harness.report(not fallen, "no_total_fell", "\n".join(map(str, fallen)))

    test.stop(one.child, signal.SIGKILL)
    settle(test, {pids[1]: two.counts}, "labels_of_a_gone_process_expire")
    whole = test.write("config.yml", "metrics: {}\n")
    both = one.counts + two.counts
    settle(test, {"": both}, "without_the_labels_the_service_has_all_that_was_ever_counted")
    assert whole == config


def check_adopted(test):
    """A server that takes over the region of one before goes on with its totals, under its own labels."""
    test.start_exporter("--config.file", test.write("config.yml", CONFIG), "--fold-after", "1h")
    one = Server(test)
    one.get("/hello", "/hello", 4)
    settle(test, {str(one.child.pid): one.counts}, "the_first_is_counted")
    test.stop(one.child, signal.SIGKILL)
    settle(test, {str(one.child.pid): one.counts}, "what_a_killed_server_counted_is_shown_until_its_region_is_folded")
    two = Server(test)
    two.get("/hello", "/hello", 2)
    settle(test, {str(two.child.pid): one.counts + two.counts}, "the_next_goes_on_under_its_own_labels")


if __name__ == "__main__":
    harness.main_special({"split": check_split, "adopted": check_adopted})
