#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus scrapes each preset of names. The client's record is the truth of counts; the buckets of `prom-client` are held
against those of a client library inside the server, and the client's own stopwatch.

The library stops before the response is written. The client may have it before the server's write has returned, so it stops when the
server has answered something else on that connection. Then for every bound: what the client saw within it <= ours <= what the library
saw within it. Nothing is assumed about how fast the machine is.
"""
import bisect
import collections
import itertools
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "servers"))
sys.dont_write_bytecode = True
import client  # noqa: E402  pylint: disable=wrong-import-position
import harness  # noqa: E402  pylint: disable=wrong-import-position
import prom  # noqa: E402  pylint: disable=wrong-import-position

PROM_CLIENT = [1, 5, 15, 50, 100, 200, 500, 1000, 2000]
OTEL = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
CLASSIC = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
PRESETS = {  # family, unit in seconds, bounds, labels of service, method, route, status
    "classic": ("http_request_duration_seconds", 1, CLASSIC, ("service", "method", "route", "status")),
    "otel": ("http_server_request_duration_seconds", 1, OTEL,
             ("service_name", "http_request_method", "http_route", "http_response_status_code")),
    "prom-client": ("http_request_duration_ms", 1000, PROM_CLIENT, ("service", "method", "route", "code")),
}
PATHS = ["/wait/0", "/wait/2", "/wait/8", "/wait/30", "/wait/70", "/wait/140", "/fail/3", "/fail/30", "/wait/300"]


class Traffic:
    """Seconds until the server was done with each answer by (route, status); @after is what it is asked then, and not counted."""

    def __init__(self, address, after=None):
        self.conn, self.after, self.seconds = client.Conn(address), after, collections.defaultdict(list)

    def get(self, path):
        self.conn.send(client.request("GET", path, "localhost"))
        return str(self.conn.response("GET").status)

    def ask(self, path):
        began = time.monotonic()
        status = self.get(path)
        if self.after:
            self.get(self.after)
        self.seconds[(f"/{path.split('/')[1]}/:id", status)].append(time.monotonic() - began)


def own_buckets(address):
    """(route, status) -> counts within each bound, and how many: what the library in the server says."""
    found = collections.defaultdict(dict)
    with harness.DIRECT.open("http://%s:%d/own" % address, timeout=60) as answer:
        for name, labels, value in harness.parse(answer.read().decode()):
            if name == "http_request_duration_ms_bucket":
                found[(labels["route"], labels["code"])][float(labels["le"])] = value
    return found


def check_counts(preset, prometheus, traffic, service):
    """What Prometheus has stored, and under which labels."""
    family, _, bounds, labels = PRESETS[preset]
    expected = {(service, "GET", *key): float(len(seconds)) for key, seconds in traffic.seconds.items()}

    def stored():
        return {tuple(r["metric"].get(n) for n in labels): float(r["value"][1])
                for r in prometheus.query(f'{family}_count{{{labels[2]}!="/own"}}')}
    try:
        harness.until(lambda: stored() == expected, "everything is scraped")
    except AssertionError:
        pass  # the difference is told
    found = stored()
    harness.report(found == expected, f"{preset}_counts_equal_the_client", "" if found == expected else f"client {expected}\nstored {found}")
    extra = {frozenset(set(r["metric"]) - set(labels) - {"__name__", "instance", "job"}) for r in prometheus.query(family + "_count")}
    shown = {float(r["metric"]["le"]) for r in prometheus.query(f"{family}_bucket")}
    harness.report(extra == {frozenset()} and shown == {*bounds, float("inf")}, f"{preset}_has_its_labels_and_bounds", f"{extra} {sorted(shown)}")


def check_buckets(preset, prometheus, traffic, address):
    family, unit, bounds, labels = PRESETS[preset]
    own, wrong, equal, total = own_buckets(address), [], 0, 0
    buckets = collections.defaultdict(dict)
    for r in prometheus.query(f"{family}_bucket"):
        buckets[(r["metric"][labels[2]], r["metric"][labels[3]])][float(r["metric"]["le"])] = float(r["value"][1])
    for key, seconds in traffic.seconds.items():
        ordered = sorted(s * unit for s in seconds)
        for bound in bounds:
            least, ours = bisect.bisect_right(ordered, bound), buckets[key].get(bound, -1)
            most = own[key][bound] if preset == "prom-client" else len(ordered)
            total, equal = total + 1, equal + (ours == most)
            if not least <= ours <= most:
                wrong.append(f"{key} le={bound}: client {least}, tickbird {ours}, in the server {most}")
    harness.report(not wrong, f"{preset}_buckets_lie_between_the_servers_and_the_clients",
                   "\n".join(wrong) or (f"{equal} of {total} are what the server has" if preset == "prom-client" else ""))


def run(preset):
    test = harness.Test(f"preset-{preset}")
    try:
        address = (test.ip, test.port())
        child = test.start(["/usr/bin/python3", HERE / "measured_server.py", *address, *PROM_CLIENT])
        test.wait_for_port(address, child)
        config = test.write("config.yml", f"metrics: {{preset: {preset}}}\nroutes: {{patterns: ['/wait/:id', '/fail/:id'], ignore: [/own, /begin]}}\n")
        test.start_exporter("--config.file", config)
        prometheus = prom.Prometheus(test, test.exporter)
        began = client.Conn(address)

        def has_rules():  # the program takes them up at a request
            began.send(client.request("GET", "/own", "localhost"))
            began.response("GET")
            return test.scrape().total("tickbird_ignored_requests_total") > 0
        harness.until(has_rules, "the program has its rules")
        began.close()
        traffic = Traffic(address, after="/own")
        for path in itertools.chain.from_iterable([PATHS] * 4):
            traffic.ask(path)
        check_counts(preset, prometheus, traffic, test.service)
        check_buckets(preset, prometheus, traffic, address)
        if preset != "prom-client":  # its unit is what promtool complains about
            harness.check_promtool(preset, test.scrape())
    finally:
        test.close()


def run_odd_names():
    """A Prometheus that knows identifiers only stores names with dots with underscores, and loses nothing."""
    test = harness.Test("odd-names")
    try:
        address = (test.ip, test.port())
        child = test.start(["/usr/bin/python3", HERE / "measured_server.py", *address, *PROM_CLIENT])
        test.wait_for_port(address, child)
        config = test.write("config.yml", "metrics: {labels: {service: service.name}, constant_labels: {stage.name: blue}, "
                                          "families: {http_requests_total: http.requests_total}}\n")
        test.start_exporter("--config.file", config)
        prometheus = prom.Prometheus(test, test.exporter)
        traffic = Traffic(address)
        for _ in range(20):
            traffic.ask("/wait/0")

        def stored():
            labels = f'service_name="{test.service}",stage_name="blue"'
            return [prometheus.value(f"sum({name}{{{labels}}})") for name in ("http_requests_total", "http_request_duration_seconds_count")]
        try:
            harness.until(lambda: stored() == [20, 20], "everything is scraped")
        except AssertionError:
            pass  # the difference is told
        scrapes, failed = prometheus.scrapes()
        harness.report(stored() == [20, 20] and not failed, "names_with_dots_are_stored_with_underscores",
                       f"stored {stored()}, {failed} of {scrapes} scrapes failed")
    finally:
        test.close()


def run_limited():
    """A server with a sample_limit loses a scrape that is larger; ours stays below, and no request is lost."""
    test = harness.Test("limited")
    try:
        address = (test.ip, test.port())
        child = test.start(["/usr/bin/python3", HERE / "measured_server.py", *address, *PROM_CLIENT])
        test.wait_for_port(address, child)
        config = test.write("config.yml", "routes: {route: path}\nexporter: {metrics.max-samples: 1200}\n")
        test.start_exporter("--config.file", config)
        prometheus = prom.Prometheus(test, test.exporter, "  sample_limit: 1200\n")
        traffic = Traffic(address)
        for i in range(150):
            traffic.ask(f"/wait/0/{chr(97 + i % 26)}{chr(97 + i // 26)}/page")
        asked = sum(len(seconds) for seconds in traffic.seconds.values())

        def stored():
            return prometheus.value("sum(http_requests_total)"), prometheus.value("sum(http_request_duration_seconds_count)")
        try:
            harness.until(lambda: stored() == (asked, asked), "everything is scraped")
        except AssertionError:
            pass  # the difference is told
        (scrapes, failed), size = prometheus.scrapes(), prometheus.value("max_over_time(scrape_samples_scraped[5m])")
        routes = prometheus.value('count(http_request_duration_seconds_count{route!="_other"})')
        harness.report(stored() == (asked, asked) and not failed and routes < 150, "a_server_with_a_limit_misses_nothing",
                       f"stored {stored()} of {asked}, {failed} of {scrapes} scrapes failed, at most {size} samples, {routes} routes by themselves")
    finally:
        test.close()


def main():
    try:
        harness.which("prometheus")
        import prometheus_client  # noqa: F401  pylint: disable=import-outside-toplevel,unused-import
    except (harness.Missing, ImportError) as missing:
        print(missing)
        sys.exit(77)
    for preset in PRESETS:
        run(preset)
    run_odd_names()
    run_limited()
    sys.exit(harness.status)


main()
