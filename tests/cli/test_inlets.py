#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Inlets (docs/inlets.md). The truth is what other programs write and read: files by prometheus_client, which also reads the
scrapes, node_exporter's reading of the same folder, and protobuf taken apart here."""
import json
import math
import os
import re
import shutil
import socket
import struct
import subprocess
import urllib.request

from cli_lib import EXPORTER, Skip, check, main, make_regions, read_line, test, wait_for

try:
    import prometheus_client
    from prometheus_client.openmetrics import parser as openmetrics
    from prometheus_client.parser import text_string_to_metric_families
except ImportError:
    prometheus_client = None

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
OPENMETRICS2 = "application/openmetrics-text;version=2.0.0"
PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
OWN = ("tickbird_", "process_", "http_")


def need_client():
    if not prometheus_client:
        raise Skip("prometheus_client is not installed")


class Exporter:
    def __init__(self, s, config):
        make_regions(s)
        self.config = s.file("inlets.yml", config.encode())
        self.process = s.start([EXPORTER, "--config.file", self.config, "--web.listen-address=127.0.0.1:0",
                                "--log.format=json"], stderr=subprocess.PIPE)
        line = read_line(self.process.stderr)
        while "listening" not in line:
            line = read_line(self.process.stderr)
        self.port = int(re.search(r'"port":"(\d+)"', line).group(1))

    def get(self, accept="text/plain"):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/metrics", headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def text(self):
        return self.get().decode()


def samples(families):
    """{(name, labels): value} of what is not the exporter's own."""
    return {(x.name, tuple(sorted(x.labels.items()))): x.value for f in families for x in f.samples
            if not x.name.startswith(OWN)}


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


def value_of(e, what, **labels):
    pattern = r"^tickbird_exporter_inlet_" + what + r"\{" + "".join(f'(?=.*{n}="{v}")' for n, v in labels.items()) + r".*\} (\S+)$"
    return sum(float(v) for v in re.findall(pattern, e.text(), re.M))


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


@test
def wrong_inlets_are_told_by_line(s):
    for text, place in (("inlets: [{type: textfile}]", "1:10: folder"), ("inlets: [{folder: x}]", "1:10: inlets"), ("inlets: [{type: x, folder: y}]", "1:17: type"),
                        ("inlets: [{type: textfile, folder: x, name: A}]", "1:44: name"),
                        ("inlets:\n- {type: textfile, folder: x}\n- {type: textfile, folder: y}", "3:3: inlets"), ("inlets: [{type: textfile, colour: x}]", "1:27: ")):
        path = s.file("c.yml", text.encode() + b"\n")
        done = s.run("check-config", path)
        check(done.code != 0 and done.err.startswith(f"{path}:{place}"), text, done)
    check(s.run("check-config", s.file("c.yml", b"inlets: [{type: textfile, folder: x}, {type: textfile, name: b, folder: x}]\n")).code == 0)


if __name__ == "__main__":
    main()
