#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Inlets (docs/inlets.md). The truth is what other programs write and read: files by prometheus_client, which also reads the
scrapes, node_exporter's reading of the same folder, and protobuf taken apart here."""
import json
import math
import os
import random
import re
import shutil
import socket
import struct
import subprocess
import urllib.request

from cli_lib import EXPORTER, Skip, check, main, make_regions, test, wait_for
from inlets_lib import OWN, Exporter, need_client, samples, value_of

try:
    import prometheus_client
    from prometheus_client.openmetrics import parser as openmetrics
    from prometheus_client.parser import text_string_to_metric_families
except ImportError:
    prometheus_client = None

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
OPENMETRICS2 = "application/openmetrics-text;version=2.0.0"
PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"


def same(a, b, what):
    check(a.keys() == b.keys(), what, sorted(a.keys() ^ b.keys())[:5])
    for key, value in a.items():
        check(value == b[key] or (math.isnan(value) and math.isnan(b[key])), what, key, value, b[key])


def folder(s, **files):
    path = os.path.join(s.path, "in")
    os.makedirs(path, exist_ok=True)
    for name, text in files.items():
        put(path, name, text)
    return path


def put(path, name, text):
    """As a job should: written beside and renamed."""
    with open(os.path.join(path, name + ".new"), "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    os.rename(os.path.join(path, name + ".new"), os.path.join(path, name + ".prom"))


def registry():
    r = prometheus_client.CollectorRegistry()
    g = prometheus_client.Gauge("task_queue_size", "Line one\nback\\slash", ["queue", "kind"], registry=r)
    for i, number in enumerate((0, -1.5, 1e300, 5e-324, 0.1, 123456789.123456789, float("nan"), float("inf"), float("-inf"), 2.0**53)):
        g.labels(f'q"{i}\\ \n ü', "a{b},c=").set(number)
    c = prometheus_client.Counter("jobs_done", "Jobs", ["job"], registry=r)
    c.labels("x").inc(7.25)
    h = prometheus_client.Histogram("sizes", "Sizes", ["of"], buckets=(0.001, 0.1, 2.5, 1000, 1e12), registry=r)
    for number in (0.0005, 0.05, 2, 999, 1e13):
        h.labels("m").observe(number)
        h.labels("n").observe(number * 2)
    e = prometheus_client.Summary("waits", "Waits", registry=r)
    e.observe(1.25)
    e.observe(2)
    return r


# --- protobuf: fields as {number: [values]} -------------------------------------------------------------------------


def varint(data, at):
    n = shift = 0
    while True:
        byte = data[at]
        n |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return n, at


def fields(data):
    got, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 1:
            value, at = struct.unpack_from("<d", data, at)[0], at + 8
        else:
            size, at = varint(data, at)
            value, at = data[at:at + size], at + size
        got.setdefault(key >> 3, []).append(value)
    return got


def from_protobuf(data):
    got, at = {}, 0
    while at < len(data):
        size, at = varint(data, at)
        family = fields(data[at:at + size])
        at += size
        name = family[1][0].decode()
        if name.startswith(OWN):
            continue
        for metric in map(fields, family[4]):
            labels = tuple((p[1][0].decode(), p[2][0].decode()) for p in map(fields, metric.get(1, [])))
            check(labels == tuple(sorted(labels)), labels)
            for kind in (2, 3):
                for single in metric.get(kind, []):
                    got[name, labels] = fields(single)[1][0]
            for total in map(fields, metric.get(4, []) + metric.get(7, [])):
                got[name + "_count", labels], got[name + "_sum", labels] = total[1][0], total[2][0]
            for bucket in (b for h in metric.get(7, []) for b in map(fields, fields(h)[3])):
                le = {math.inf: "+Inf"}.get(bucket[2][0]) or repr(bucket[2][0])
                got[name + "_bucket", tuple(sorted((*labels, ("le", le))))] = bucket[1][0]
    return got


def with_floats(got):
    """Bounds as Python writes them, so that 1000 and 1000.0 and 1e3 are one."""
    def bound(name, value):
        return value if name != "le" or value == "+Inf" else repr(float(value))
    return {(name, tuple((n, bound(n, v)) for n, v in labels)): value for (name, labels), value in got.items()}


@test
def what_another_library_writes_is_shown_in_every_format(s):
    need_client()
    path, r = folder(s), registry()
    prometheus_client.write_to_textfile(os.path.join(path, "a.prom"), r)
    truth = with_floats({k: v for k, v in samples(r.collect()).items() if not k[0].endswith("_created")})
    check(len(truth) > 20)
    e = Exporter(s, f"inlets: [{{type: textfile, folder: {path}}}]\n")
    same(truth, with_floats(samples(text_string_to_metric_families(e.text()))), "text")
    same(truth, with_floats(from_protobuf(e.get(PROTOBUF))), "protobuf")
    text = e.get(OPENMETRICS2).decode()
    check("sizes{of=\"m\"} {" in text.replace("}{", "} {") and re.search(r'count:5,sum:\S+,bucket:\[0.001:1,0.1:2,2.5:3,1000.0:4,', text), text)
    check(value_of(e, "accepted_lines_total") >= len(truth))


@test
def openmetrics_of_it_can_be_read(s):
    need_client()
    path = folder(s, a='# TYPE h histogram\nh_bucket{le="5"} 2\nh_bucket{le="+Inf"} 3\nh_sum 1e3\nh_count 3\n'
                       '# TYPE c_total counter\nc_total 5\n# HELP g He said "a\\\\b"\\n.\n# TYPE g gauge\ng{a="1"} 0.5\n')
    e = Exporter(s, f"inlets: [{{type: textfile, folder: {path}}}]\n")
    got = samples(openmetrics.text_string_to_metric_families(e.get(OPENMETRICS).decode()))
    same({("h_bucket", (("le", "5.0"),)): 2, ("h_bucket", (("le", "+Inf"),)): 3, ("h_sum", ()): 1e3, ("h_count", ()): 3,
          ("c_total", ()): 5, ("g", (("a", "1"),)): 0.5}, got, "openmetrics")


GOOD = "good_one 1\n"
WRONG = [
    ("a", "incomplete"), ("a 1", "incomplete"), ("a 1\nb", "incomplete"), ("a\n", "syntax"), ("a{ 1\n", "syntax"), ("a{b} 1\n", "syntax"),
    ('a{b="c" d="e"} 1\n', "syntax"), ('a{b="c} 1\n', "syntax"), ('a{b="\\x"} 1\n', "syntax"), ("a 1\0\n", "syntax"), (b"a{b=\"\xff\"} 1\n", "syntax"),
    ("1a 1\n", "name"), ("a-b 1\n", "name"), ("# TYPE 9 gauge\n", "name"), ('a{1b="c"} 1\n', "label"), ('a{__b="c"} 1\n', "label"),
    ('a{b="c",b="d"} 1\n', "label"), ('a{le="1"} 1\n', "label"), ("a 0x10\n", "value"), ("a 1,5\n", "value"), ("a one\n", "value"),
    ("a 1e999\n", "value"), ("a 1 1700000000000\n", "timestamp"), ("# TYPE a meter\na 1\n", "type"), ("a 1\n# TYPE a gauge\n", "type"),
    ("# TYPE a gauge\n# TYPE a gauge\na 1\n", "type"), ("# TYPE a summary\na{quantile=\"0.5\"} 1\n", "type"),
    ("# HELP a x\n# HELP a y\na 1\n", "duplicate"), ("a 1\na 2\n", "duplicate"), ('a{b="c",d="e"} 1\na{d="e",b="c"} 1\n', "duplicate"),
    ("# TYPE h histogram\nh_sum 1\nh_count 1\n", "incomplete"), ('# TYPE h histogram\nh_bucket{le="1"} 1\nh_sum 1\nh_count 1\n', "incomplete"),
    ('# TYPE h histogram\nh_bucket{le="+Inf"} 2\nh_sum 1\nh_count 1\n', "value"),
    ('# TYPE h histogram\nh_bucket{le="1"} 3\nh_bucket{le="+Inf"} 2\nh_sum 1\nh_count 2\n', "value"),
    ('# TYPE h histogram\nh_bucket{le="1"} 0.5\nh_bucket{le="+Inf"} 2\nh_sum 1\nh_count 2\n', "value"),
    ('# TYPE h histogram\nh_bucket{le="x"} 1\nh_bucket{le="+Inf"} 2\nh_sum 1\nh_count 2\n', "label"),
    ("# TYPE s summary\ns_sum 1\n", "incomplete"), ("a{" + ",".join(f'l{i}="1"' for i in range(33)) + "} 1\n", "limit"),
    ("# " + "x" * 20000 + "\n", "limit"), ("# x\n" * 300000, "limit"), ("".join(f'a{{b="{i}"}} 1\n' for i in range(10001)), "limit"),
    ("".join(f"a{i} 1\n" for i in range(501)), "limit"), ("good_one 2\n", "duplicate"), ("# TYPE good_one counter\ngood_one{a=\"1\"} 2\n", "type"),
]


@test
def a_wrong_file_is_refused_whole_and_says_why(s):
    path = folder(s, a=GOOD)
    e = Exporter(s, f"inlets: [{{type: textfile, name: jobs, folder: {path}}}]\n")
    seen = {}
    for text, reason in WRONG:
        put(path, "b", (b"before 1\n" if isinstance(text, bytes) else "before 1\n") + text)
        seen[reason] = seen.get(reason, 0) + 1
        got = e.text()
        check("\nbefore 1\n" not in got and "\ngood_one 1\n" in got, text[:80], reason)
        counted = {r: int(n) for r, n in re.findall(r'inlet_refused_lines_total\{inlet="jobs",reason="(\w+)"\} (\d+)', got)}
        check({r: n for r, n in counted.items() if n} == seen, text[:80], reason, counted, seen)
    e.text()
    check(value_of(e, "refused_lines_total") == len(WRONG), "a file that stays is refused once")
    put(path, "b", "before 1\n")
    check("\nbefore 1\n" in e.text())


@test
def names_that_are_taken_are_not_shown(s):
    path = folder(s, a="http_requests_total 5\nfine 1\ntickbird_mine 1\nprocess_open_fds 1\n# TYPE x summary\nx_sum 1\nx_count 1\n",
                  b='http_request_duration_seconds_count 2\nfine{env="a"} 1\nalso_fine 1\nx_total 1\n')
    e = Exporter(s, f"metrics: {{constant_labels: {{env: test}}}}\ninlets: [{{type: textfile, folder: {path}}}]\n")
    text = e.text()
    check(re.search(r'^also_fine\{env="test"\} 1$', text, re.M) and re.search(r'^x_sum\{env="test"\} 1$', text, re.M), text[-3000:])
    check(not re.search(r'^(http_requests_total.* 5|fine.* 1|tickbird_mine.*|process_open_fds.* 1|http_request_duration_seconds_count\{env="test"\} 2)$',
                        text, re.M), text)
    check(value_of(e, "refused_lines_total", reason="collision") >= 6)
    put(path, "b", "nothing 1\n")
    check(re.search(r'^fine\{env="test"\} 1$', e.text(), re.M), "the label is gone")


@test
def files_come_and_go_and_tell_their_age(s):
    path = folder(s, a="one 1\n", b='one{a="2"} 2\n', c="# x\n")
    put(path, ".hidden", "invisible 1\n")
    e = Exporter(s, f"inlets: [{{type: textfile, folder: {path}}}]\n")
    os.utime(os.path.join(path, "a.prom"), ns=(10**18, 10**18 + 5))
    check('\none 1\none{a="2"} 2\n' in e.text() and "invisible" not in e.text())
    check('file_mtime_timestamp_seconds{inlet="textfile",file="a.prom"} 1000000000.000000005\n' in e.text())
    os.unlink(os.path.join(path, "a.prom"))
    check('\none{a="2"} 2\n' in e.text() and "\none 1\n" not in e.text() and 'file="a.prom"' not in e.text())
    os.mkfifo(os.path.join(path, "fifo.prom"))
    os.symlink("/dev/zero", os.path.join(path, "zero.prom"))
    check('\none{a="2"} 2\n' in e.text())
    check(value_of(e, "refused_lines_total") >= 1)
    good = value_of(e, "last_success_timestamp_seconds")
    shutil.rmtree(path)
    check("\none{" not in e.text() and value_of(e, "refused_lines_total", reason="unreadable") >= 1)
    check(value_of(e, "last_success_timestamp_seconds") == good)
    folder(s, a="two 2\n")
    check("\ntwo 2\n" in e.text() and value_of(e, "last_success_timestamp_seconds") > good)
    for i in range(101):
        put(path, f"x{i:03}", f'x{{i="{i}"}} 1\n')
    check(len(re.findall(r"^x\{", e.text(), re.M)) == 99, "a hundred files, a.prom among them")
    with open(e.config, "w", encoding="utf-8") as f:
        f.write("inlets: []\n")
    wait_for("the inlets are gone", lambda: "\ntwo 2" not in e.text() and "exporter_inlet_" not in e.text())


@test
def node_exporter_reads_the_same(s):
    need_client()
    program = shutil.which("prometheus-node-exporter") or shutil.which("node_exporter")
    if not program:
        raise Skip("node_exporter is not installed")
    path = folder(s)
    prometheus_client.write_to_textfile(os.path.join(path, "a.prom"), registry())
    put(path, "b", '# TYPE c_total counter\nc_total{x="\\\\\\"\\n"} 1e3\n  plain   { a = "b" , }\t-0.25\n# TYPE u untyped\nu 3\n')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    s.start([program, f"--web.listen-address=127.0.0.1:{port}", "--collector.disable-defaults", "--web.disable-exporter-metrics",
             "--collector.textfile", f"--collector.textfile.directory={path}"], stderr=subprocess.DEVNULL)

    def answer():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as got:
                return got.read().decode()
        except OSError:
            return None
    theirs = with_floats(samples(text_string_to_metric_families(wait_for("an answer", answer))))
    theirs = {k: v for k, v in theirs.items() if not k[0].startswith(("node_", "promhttp_")) and not k[0].endswith("_created")}
    e = Exporter(s, f"inlets: [{{type: textfile, folder: {path}}}]\n")
    same(theirs, with_floats(samples(text_string_to_metric_families(e.text()))), "node_exporter")


@test
def outputs_get_them(s):
    path = folder(s, a='q{x="1"} 2.5\nq{x="2"} 7\nbelow -1\nwith_nan NaN\n# TYPE c_total counter\nc_total 20e9\n')
    config = s.file("c.yml", f"inlets: [{{type: textfile, folder: {path}}}]\npush: {{outputs: [{{type: emf, to: stdout, namespace: N, "
                             "start: beginning, metrics: [q, below, with_nan, c_total]}]}\n".encode())
    make_regions(s)
    done = s.run("--config.file", config, "--push.once", program=EXPORTER)
    got = json.loads(done.out)
    check(done.code == 0 and {k: v for k, v in got.items() if k != "_aws"} == {"Q": 9.5, "C": 20e9}, done)


# --- StatsD -----------------------------------------------------------------------------------------------------------


class Sender:
    """Datagrams to an exporter with one StatsD inlet, over @kind; what a scrape then shows."""

    def __init__(self, s, kind="unix", more=""):
        self.path = os.path.join(s.path, "statsd")
        listen = f"unix:{self.path}" if kind == "unix" else "127.0.0.1:0"
        self.exporter = Exporter(s, f"inlets: [{{type: statsd, listen: '{listen}'{more}}}]\n", "inlet listens")
        self.port = int(re.search(r'"port":"(\d*)"', self.exporter.inlet_line).group(1) or 0)
        self.socket = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(self.path if kind == "unix" else ("127.0.0.1", self.port))

    def send(self, *lines):
        for line in lines:
            self.socket.send(line if isinstance(line, bytes) else line.encode())

    def samples(self):
        return samples(text_string_to_metric_families(self.exporter.text()))

    def refused(self):
        return {r: int(n) for r, n in re.findall(r'inlet_refused_lines_total\{inlet="statsd",reason="(\w+)"\} (\d+)', self.exporter.text()) if int(n)}


@test
def statsd_adds_up_what_was_sent(s):
    need_client()
    for kind in ("unix", "udp"):
        e, draw = Sender(s, kind, ", bounds: [0.001, 0.01, 0.1, 1]"), random.Random(5)
        truth, times, users = {}, {}, set()
        for i in range(3000):
            shop, n = draw.choice("abc"), draw.randrange(1, 9)
            truth["orders_total", (("shop", shop),)] = truth.get(("orders_total", (("shop", shop),)), 0) + n * 2
            times.setdefault(shop, []).append(draw.choice((0.5, 1, 2, 10, 11, 100, 5000)))
            users.add(user := f"u{draw.randrange(400)}")
            e.send(f"orders:{n}|c|@0.5|#shop:{shop}\nwait.time:{times[shop][-1]}|ms|#shop:{shop}", f"users:{user}|s")
            if i % 100 == 0:  # the socket is never full
                e.exporter.text()
        e.send("depth:5|g", "depth:+2.5|g", "depth:-1|g", "cold:-4|g", "cold:2|g|#b:2,a:x:y,flag")
        truth["depth", ()], truth["cold", ()], truth["cold", (("a", "x:y"), ("b", "2"), ("flag", "true"))] = 6.5, -4, 2
        truth["users", ()] = len(users)
        for shop, list_ in times.items():
            for bound in (0.001, 0.01, 0.1, 1, math.inf):
                le = "+Inf" if bound == math.inf else f"{bound:g}"
                truth["wait_time_seconds_bucket", (("le", le), ("shop", shop))] = sum(t / 1000 <= bound for t in list_)
            truth["wait_time_seconds_count", (("shop", shop),)] = len(list_)
        got = e.samples()
        sums = {k[1][0][1]: got.pop(k) for k in list(got) if k[0] == "wait_time_seconds_sum"}
        same(truth, got, kind)
        check(all(math.isclose(sums[shop], sum(t / 1000 for t in list_)) for shop, list_ in times.items()), sums)
        check(value_of(e.exporter, "accepted_lines_total") == 3 * 3000 + 5 and not e.refused())
        check(value_of(e.exporter, "last_success_timestamp_seconds") > 1e9)
        e.exporter.process.terminate()
        check(e.exporter.process.wait(60) == 0 and not os.path.exists(e.path), "its socket is left")


@test
def statsd_takes_what_a_client_library_sends(s):
    need_client()
    try:
        import statsd
    except ImportError as error:
        raise Skip("python3-statsd is not installed") from error
    e = Sender(s, "udp")
    client = statsd.StatsClient("127.0.0.1", e.port, prefix="app")
    with client.pipeline() as batch:
        batch.incr("hits", 3)
        batch.gauge("level", 7)
        batch.gauge("level", -2, delta=True)
        batch.timing("took", 320)
        batch.set("who", "x")
        batch.set("who", "y")
    client.incr("hits")
    got = e.samples()
    check([got[n, ()] for n in ("app_hits_total", "app_level", "app_took_seconds_sum", "app_who")] == [4, 5, 0.32, 2], got)
    check(got["app_took_seconds_bucket", (("le", "0.25"),)] == 0 and got["app_took_seconds_bucket", (("le", "0.5"),)] == 1)


@test
def statsd_packs_and_rates(s):
    need_client()
    e = Sender(s)
    e.send("a:1:2:3|c", "h:1:2:30|h|@0.1", "d:0.2|d|c:ci-1|T1700000000", "1st-x.y:1|c|#x-z:q\"\\,x_z:again", "e_total:1|c")
    got = e.samples()
    check(got["a_total", ()] == 6 and got["h_count", ()] == 30 and got["h_sum", ()] == 330 and got["d_count", ()] == 1 and got["e_total", ()] == 1, got)
    check(got["h_bucket", (("le", "1"),)] == 10 and got["h_bucket", (("le", "10"),)] == 20, got)
    check(got["_1st_x_y_total", (("x_z", 'q"\\'),)] == 1, got)


@test
def statsd_refuses_by_reason(s):
    need_client()
    e, seen = Sender(s), {}
    for line, reason in (("a", "syntax"), ("a:1", "syntax"), (b"a:1|c|#b:\xff", "syntax"), (b"a:1|c\0", "syntax"), (":1|c", "name"), ("x" * 300 + ":1|c", "name"),
                         ("a:1|q", "type"), ("_sc|x|0", "syntax"), ("_e{1,1}:a|b", "type"), ("a:x|c", "value"), ("a:-1|c", "value"), ("a:nan|g", "value"),
                         ("a:1:x|c", "value"), ("a:|c", "value"), ("a:1|c|@0", "value"), ("a:1|c|@2", "value"), ("a:1|c|#le:5", "label"),
                         ("a:1|c|#" + ",".join(f"t{i}:1" for i in range(33)), "limit"), ("a:" + "1" * 9000 + "|c", "limit"), ("ok_total:1|g", "type")):
        e.send("ok:1|c", line)
        seen[reason] = seen.get(reason, 0) + 1
        check(e.refused() == seen, line[:50], reason, e.refused(), seen)
    check({k for k in e.samples()} == {("ok_total", ())}, "something of a refused line is left", e.samples())
    check(e.samples()["ok_total", ()] == 20)
    for i in range(501):
        e.send("\n".join(f"f{i}:1|c|#n:{n}" for n in range(21)))
        if i % 50 == 0:
            e.exporter.text()
    got = e.samples()
    check(len(got) == 10000 and len({k[0] for k in got}) <= 500, len(got))
    check(e.refused()["limit"] - seen["limit"] == 501 * 21 - 9999, e.refused())
    e.send("http_requests:7|c", "ok:1|c")
    check(e.samples()["ok_total", ()] == 21)


@test
def statsd_sockets_are_found_again(s):
    need_client()
    e = Sender(s)
    e.send("a:1|c")
    check(e.samples()["a_total", ()] == 1)
    with open(e.exporter.config, "a", encoding="utf-8") as f:
        f.write("# the inlet is as before\n")
    e.send("a:1|c")
    check(e.samples()["a_total", ()] == 2, "it began anew")
    e.exporter.process.kill()
    e.exporter.process.wait()
    check(os.path.exists(e.path))
    again = Sender(s)
    again.send("a:1|c")
    check(again.samples()["a_total", ()] == 1)


@test
def wrong_inlets_are_told_by_line(s):
    for text, place in (("inlets: [{type: textfile}]", "1:10: folder"), ("inlets: [{folder: x}]", "1:10: inlets"), ("inlets: [{type: x, folder: y}]", "1:17: type"),
                        ("inlets: [{type: statsd}]", "1:10: listen"), ("inlets: [{type: statsd, listen: '10.0.0.1:8125'}]", "1:33: listen"),
                        ("inlets: [{type: statsd, listen: '0.0.0.0:8125'}]", "1:33: listen"), ("inlets: [{type: statsd, listen: 'unix:x'}]", "1:33: listen"),
                        ("inlets: [{type: statsd, listen: '[::1]:1', bounds: [2, 1]}]", "1:56: bounds"), ("inlets: [{type: statsd, listen: '[::1]:1', folder: x}]", "1:52: type"),
                        ("inlets: [{type: textfile, folder: x, name: A}]", "1:44: name"),
                        ("inlets:\n- {type: textfile, folder: x}\n- {type: textfile, folder: y}", "3:3: inlets"), ("inlets: [{type: textfile, colour: x}]", "1:27: ")):
        path = s.file("c.yml", text.encode() + b"\n")
        done = s.run("check-config", path)
        check(done.code != 0 and done.err.startswith(f"{path}:{place}"), text, done)
    check(s.run("check-config", s.file("c.yml", b"inlets: [{type: textfile, folder: x}, {type: textfile, name: b, folder: x}]\n")).code == 0)


if __name__ == "__main__":
    main()
