#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Remote write into a real Prometheus: what it answers to queries is what the client asked and what a scrape says. Version 2.0 goes into the
receiver and the storage of a newer Prometheus (receiver/main.go), and is read by the library of protobuf."""
import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request

import write2
from go_program import program
from push_lib import EXPORTER, Endpoint, Server, Skip, check, main, once, push_once, read_line, serve, test, value, wait_for, write

CONFIG = """
push:
  interval: 1s
  outputs:
    - type: remote_write
      endpoint: {url}
      constants: {{job: tickbird, datacenter: "caf\u00e9"}}
      {more}
      metrics:
        - {{metric: "http_request*", where: {{service: shop}}}}
        - {{metric: http_connections_open, name: connections, where: {{service: shop}}, labels: [service]}}
"""


class Prometheus:
    def __init__(self, s):
        program = shutil.which("prometheus")
        if not program:
            raise Skip("no prometheus here")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        config = write(s, "global: {}\n", "prometheus.yml")
        s.start([program, "--config.file=" + config, f"--storage.tsdb.path={s.path}/tsdb", "--web.enable-remote-write-receiver",
                 f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=error"])
        self.url = f"http://127.0.0.1:{self.port}"
        wait_for("Prometheus is ready", self.is_ready, 60)

    def is_ready(self):
        try:
            return urllib.request.urlopen(self.url + "/-/ready", timeout=5).status == 200
        except OSError:
            return False

    def query(self, expression):
        address = self.url + "/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(address, timeout=60) as answer:
            return json.load(answer)["data"]["result"]

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return json.load(answer)["data"]


@test
def what_prometheus_has_is_what_was_served(s):
    server, prometheus = Server(s), Prometheus(s)
    config = write(s, CONFIG.format(url=prometheus.url + "/api/v1/write", more=""))
    for i in range(23):
        server.get(f"/orders/{i}")
    server.get("/broken")
    done = push_once(s, config)
    check(done.code == 0, done)
    served = once(s)
    compared = 0
    for name, found in served.items():
        if not name.startswith("http_request") or name.startswith("http_requests_in_flight"):
            continue
        for labels, expected in found.items():
            wanted = {**dict(labels), "job": "tickbird", "datacenter": "caf\u00e9"}
            selector = ",".join(f'{k}={json.dumps(v, ensure_ascii=False)}' for k, v in wanted.items())
            result = prometheus.query(f"{name}{{{selector}}}")
            if wanted["service"] != "shop":
                check(not result, name, wanted)
                continue
            check(len(result) == 1 and result[0]["metric"] == {**wanted, "__name__": name}, name, wanted, result)
            check(abs(float(result[0]["value"][1]) - expected) <= 1e-9 * abs(expected), name, wanted, result, expected)
            compared += 1
    check(compared > 40, compared)
    check(float(prometheus.query('sum(http_requests_total{service="shop",status="200"})')[0]["value"][1]) == 23)
    check(prometheus.query("connections")[0]["metric"] == {"__name__": "connections", "service": "shop", "job": "tickbird",
                                                           "datacenter": "caf\u00e9"})
    p95 = prometheus.query("histogram_quantile(0.95, sum by (le) (http_request_duration_seconds_bucket))")
    check(float(p95[0]["value"][1]) > 0, p95)


@test
def while_prometheus_is_away_what_is_sent_waits(s):
    server, receiver = Server(s), Endpoint()
    config = write(s, CONFIG.format(url=receiver.url, more="headers: {Authorization: Bearer abc}"))
    receiver.behave = ["hang up", 503, 429]
    process, scrape = serve(s, config)
    server.get("/orders/1")
    wait_for("it is accepted", lambda: len(receiver.accepted) >= 3)
    check(receiver.seen[0][2] == receiver.seen[1][2] == receiver.seen[2][2] == receiver.seen[3][2])
    headers = receiver.accepted[0][1]
    check(headers["X-Prometheus-Remote-Write-Version"] == "0.1.0" and headers["Content-Encoding"] == "snappy", headers)
    check(headers["Content-Type"] == "application/x-protobuf" and headers["Authorization"] == "Bearer abc", headers)
    found = scrape()
    check(value(found, "tickbird_exporter_push_requests_total", output="remote_write", result="uncertain") == 1, found)
    check(value(found, "tickbird_exporter_push_dropped_points_total", output="remote_write") == 0)
    process.kill()


@test
def a_refused_request_does_not_hold_up_the_next(s):
    server, receiver = Server(s), Endpoint()
    server.get("/orders/1")
    config = write(s, CONFIG.format(url=receiver.url, more=""))
    receiver.behave = [400]
    check(push_once(s, config).code == 1 and not receiver.accepted)
    check(push_once(s, config).code == 0 and len(receiver.accepted) == 1)


# --- version 2.0

NATIVE = "version: 2\n      histograms: exponential"
WRITTEN = "X-Prometheus-Remote-Write-%s-Written"


def written(receiver, samples, histograms=0, status=204):
    """An answer of version 2.0."""
    headers = [(WRITTEN % "Samples", samples), (WRITTEN % "Histograms", histograms), (WRITTEN % "Exemplars", 0)]
    return lambda handler, _: receiver.answer(handler, status, headers=headers)


def asked_and_sent(s, more):
    """(the request that a receiver got, what is served), after some requests."""
    server, receiver = Server(s), Endpoint()
    for i in range(23):
        server.get(f"/orders/{i}")
    server.get("/broken")
    config = write(s, CONFIG.format(url=receiver.url, more=more))
    receiver.behave = [written(receiver, 100000)]
    done = push_once(s, config)
    check(done.code == 0, done)
    (_, headers, body), = receiver.seen
    check(headers["X-Prometheus-Remote-Write-Version"] == "2.0.0" and headers["Content-Encoding"] == "snappy", headers)
    check(headers["Content-Type"] == "application/x-protobuf;proto=io.prometheus.write.v2.Request", headers)
    check(headers["User-Agent"].startswith("tickbird-exporter/"), headers)
    return write2.read(body), once(s)


def expected_of(served):
    """What CONFIG sends of it: (name, labels with the constants) -> value."""
    more = {"job": "tickbird", "datacenter": "caf\u00e9"}
    result = {(name, frozenset({**dict(labels), **more}.items())): value for name, found in served.items() if name.startswith("http_request")
              for labels, value in found.items() if dict(labels).get("service") == "shop"}
    result["connections", frozenset({"service": "shop", **more}.items())] = sum(served["http_connections_open"].values())
    return result


def without_ages(series):
    """What does not change while nothing is asked."""
    return {k: v for k, v in series.items() if "oldest" not in k[0] and k[0] != "connections"}


@test
def version_2_says_what_is_served(s):
    began = time.time()
    found, served = asked_and_sent(s, "version: 2")
    values = {key: series.samples[0].value for key, (series, _) in found.items()}
    check(without_ages(values) == without_ages(expected_of(served)) and len(values) > 40, set(values) ^ set(expected_of(served)))
    check(("connections" in {name for name, _ in values}), values)
    created = {name: set() for name, _ in found}
    for (name, _), (series, (kind, text, unit, exemplars)) in found.items():
        sample = series.samples[0]
        check(kind == ("histogram" if "duration" in name else "summary" if "first_byte" in name else "counter" if name.endswith("_total") else "gauge"), name, kind)
        check(not exemplars and text and unit == ("seconds" if "_seconds" in name else ""), name, text, unit)
        check((0 < sample.start_timestamp <= sample.timestamp) if kind != "gauge" else sample.start_timestamp == 0, name, sample)
        created[name].add(sample.start_timestamp)
    starts = set().union(*created.values()) - {0}  # a second for what clocks of the machine are apart
    check(1000 * (began - 1) <= min(starts) <= max(starts) <= 1000 * (time.time() + 1), began, created)
    check(len(starts) == 2, "the requests that failed came later", created)


@test
def version_2_has_exact_native_histograms(s):
    found, served = asked_and_sent(s, NATIVE)
    native = {key: series.histograms[0] for key, (series, _) in found.items() if series.histograms}
    check({name for name, _ in native} == {"http_request_duration_seconds"} and len(native) == 2, list(native))
    check(not any("duration_seconds_" in name for name, _ in found), list(found))
    for (_, labels), h in native.items():
        own = {k: v for k, v in dict(labels).items() if k not in ("job", "datacenter")}
        count, total = (value(served, "http_request_duration_seconds_" + what, **own) for what in ("count", "sum"))
        cells = write2.cells_of(h)
        check(h.count_int == count == h.zero_count_int + sum(cells.values()) and abs(h.sum - total) < 1e-9, h, count, total)
        check(h.schema == 3 and h.zero_threshold == 2 ** -20 and 0 < h.start_timestamp <= h.timestamp, h)
        for le, below in ((float(dict(k)["le"]), v) for k, v in served["http_request_duration_seconds_bucket"].items() if own.items() <= dict(k).items()):
            least = h.zero_count_int + sum(n for i, n in cells.items() if 2 ** (i / 8) <= le)
            most = h.zero_count_int + sum(n for i, n in cells.items() if 2 ** ((i - 1) / 8) < le)
            check(least <= below <= most, le, below, cells)


TRACES = {"/orders/1": f"{0x1111:032x}", "/broken": f"{0x2222:032x}"}


def traced(s, url, more):
    """Requests with a trace, of a service that notes exemplars, and what is pushed of them; the settings."""
    text = CONFIG.format(url=url, more=more) + "metrics: {exemplars: on}\n"
    config = write(s, text, "traced.yml")
    server = Server(s, "shop", "--config", config)
    for path, trace in TRACES.items():
        server.get(path, traceparent=f"00-{trace}-b7ad6b7169203331-01")
    return config


@test
def version_2_brings_exemplars_along(s):
    for more in ("version: 2", NATIVE):
        receiver, began = Endpoint(), time.time()
        config = traced(s, receiver.url, more)
        receiver.behave = [written(receiver, 100000)]
        check(push_once(s, config).code == 0)
        found, seen = write2.read(receiver.seen[0][2]), {}
        for (name, labels), (series, (_, _, _, exemplars)) in found.items():
            for told, number, when in exemplars:
                check(name == "http_request_duration_seconds" + ("" if more == NATIVE else "_bucket") and set(told) == {"trace_id"}, name, told)
                check(0 < number < 60 and number <= float(dict(labels).get("le", "inf")), labels, number)
                check(1000 * (began - 1) <= when <= 1000 * (time.time() + 1), when)
                seen.setdefault(dict(labels)["status"], []).append(told["trace_id"])
        check(seen == {"200": [TRACES["/orders/1"]], "500": [TRACES["/broken"]]}, seen)
        s.servers.pop().stop()
        s.run("forget", "shop")


class Receiver:
    """receiver/main.go."""

    def __init__(self, s):
        process = s.start([program("receiver"), "127.0.0.1:0", f"{s.path}/tsdb"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.base = "http://" + read_line(process.stdout, 60).split()[1]
        self.url = self.base + "/api/v1/write"

    def stored(self):
        """All samples and exemplars."""
        with urllib.request.urlopen(self.base + "/dump", timeout=60) as answer:
            return [json.loads(line) for line in answer]


@test
def a_newer_prometheus_stores_exemplars(s):
    receiver = Receiver(s)
    check(push_once(s, traced(s, receiver.url, "version: 2")).code == 0)
    found = {x["Labels"]["status"]: x["Exemplar"] for x in receiver.stored() if "Exemplar" in x}
    check(found == {"200": {"trace_id": TRACES["/orders/1"]}, "500": {"trace_id": TRACES["/broken"]}}, found)


@test
def a_newer_prometheus_stores_version_2(s):
    receiver = Receiver(s)
    server = Server(s)
    for i in range(23):
        server.get(f"/orders/{i}")
    for version, more in ((1, ""), (2, "version: 2"), (2, NATIVE)):
        done = push_once(s, write(s, CONFIG.format(url=receiver.url, more=more)))
        check(done.code == 0 and not done.err, version, done)
        served = expected_of(once(s))
    stored = {}
    for sample in receiver.stored():
        stored.setdefault((sample["Labels"].pop("__name__"), frozenset(sample["Labels"].items())), []).append(sample)
    for key, expected in without_ages(served).items():
        both = stored[key]
        check([float(x["Value"]) for x in both] == [expected] * (2 if "duration" in key[0] else 3), key, both, expected)
    native, = (v for k, v in stored.items() if k[0] == "http_request_duration_seconds" and dict(k[1])["status"] == "200")
    check(len(native) == 1 and native[0]["Count"] == 23 and native[0]["Schema"] == 3, native)
    check(native[0].get("Zero", 0) + sum(int(b.split()[2]) for b in native[0]["Buckets"]) == 23, native)


@test
def a_receiver_that_does_not_take_version_2_is_told(s):
    server, receiver = Server(s), Endpoint()
    server.get("/orders/1")
    config = write(s, CONFIG.format(url=receiver.url, more="version: 2"))
    for behave, words in ((415, "HTTP 415: it does not take version 2"), (204, "no word of samples that were written"), (200, "no word of samples")):
        receiver.behave = [lambda handler, _, status=behave: receiver.answer(handler, status)]
        done = push_once(s, config)
        check(done.code == 1 and words in done.err and "write version: 1" in done.err, behave, done)
    receiver.behave = [503, lambda handler, _: receiver.answer(handler, 204, headers=[(WRITTEN % "Samples", "x")])]
    check("no word" in push_once(s, config).err)


@test
def an_old_prometheus_is_not_taken_for_one_of_version_2(s):
    server, prometheus = Server(s), Prometheus(s)
    server.get("/orders/1")
    done = push_once(s, write(s, CONFIG.format(url=prometheus.url + "/api/v1/write", more="version: 2")))
    if prometheus.get("/api/v1/status/buildinfo")["version"].startswith("2."):
        check(done.code == 1 and "write version: 1" in done.err, done)


@test
def what_a_receiver_left_out_is_counted(s):
    server, receiver = Server(s), Endpoint()
    server.get("/orders/1")
    config = write(s, CONFIG.format(url=receiver.url, more="version: 2"))
    receiver.behave = [written(receiver, 1, 2)] + [written(receiver, 100000)] * 1000  # of the pushes that follow nothing is missing
    process, scrape = serve(s, config)
    name = "tickbird_exporter_push_dropped_points_total"
    wait_for("it is counted", lambda: value(scrape(), name, output="remote_write", reason="refused"))
    _, _, body = receiver.seen[0]
    check(value(scrape(), name, output="remote_write", reason="refused") == len(write2.read(body)) - 3)
    process.kill()


@test
def wrong_settings_are_told(s):
    for text, expected in {"endpoint: http://h, histograms: exponential": "version 1 has no exponential ones",
                           "endpoint: http://h, version: 3": "version: ",
                           "endpoint: ftp://h": '"ftp://h" is no URL',
                           "endpoint: http://h, constants: {bad name: v}": 'constants: "bad name"'}.items():
        done = s.run("check-config", write(s, "push: {outputs: [{type: remote_write, metrics: [a], %s}]}\n" % text))
        check(done.code == 1 and expected in done.err and done.err.count("\n") == 1, text, done)


main()
