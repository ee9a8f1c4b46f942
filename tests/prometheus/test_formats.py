#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The formats, judged by the parsers of others: the Python client's (text, OpenMetrics), promtool, and those of Prometheus itself
and of the Go client library (judge/, when Go and its modules are there; `make check-formats` fetches them).

What each of them reads in one format equals what it, and the others, read in every other: values, labels of any bytes, types,
units, exemplars, times of creation, native histograms. Then the real exporter over HTTP: what curl and Prometheus ask for.
"""
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import zlib

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "servers"))
sys.dont_write_bytecode = True
import harness  # noqa: E402  pylint: disable=wrong-import-position

EXPOSITION = harness.BUILD / "tests/prometheus/exposition"
METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "MKCOL", "LOCK", "QUERY")
ROUNDS = int(os.environ.get("TB_ROUNDS", "8"))
PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
TYPES = {"text": "text/plain; version=0.0.4", "openmetrics": "application/openmetrics-text; version=1.0.0",
         "openmetrics2": "application/openmetrics-text; version=2.0.0", "protobuf": PROTOBUF}


def build_exposition():
    """The program that makes expositions up, where nobody has built it yet. False, after a line that says why: it cannot be built."""
    if not EXPOSITION.exists():
        root = HERE.parent.parent
        build = os.path.relpath(harness.BUILD, root)
        made = subprocess.run(["make", "-s", f"B={build}", f"{build}/tests/prometheus/exposition"], cwd=root, capture_output=True, text=True, check=False)
        if made.returncode or not EXPOSITION.exists():
            print(f"skip every_format_is_read_alike {EXPOSITION} is not built: {made.stderr.strip()[-200:] or 'make check-prometheus builds it'}")
            return False
    return True


def rendered(seed, form, *options):
    return subprocess.run([EXPOSITION, str(seed), form, *options], capture_output=True, check=True).stdout


# -- the Python client

def python_samples(data, form):
    """{(name, labels): (value, exemplar)}, {family: (type, unit, help)}"""
    if form == "text":
        from prometheus_client.parser import text_string_to_metric_families as read
    else:
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as read
    samples, families = {}, {}
    for family in read(data.decode()):
        families[family.name] = (family.type, family.unit, family.documentation)
        for s in family.samples:
            labels = {k: (str(float(v)) if k == "le" else v) for k, v in s.labels.items()}
            key = (s.name, tuple(sorted(labels.items())))
            assert key not in samples, f"twice: {key}"
            samples[key] = (float(s.value), s.exemplar)
    return samples, families


def check_python(seeds):
    try:
        import prometheus_client  # noqa: F401  pylint: disable=import-outside-toplevel,unused-import
    except ImportError:
        print("skip the_python_client_reads_the_same python3-prometheus-client is not installed")
        return
    wrong = []
    for seed in seeds:
        text, families = python_samples(rendered(seed, "text"), "text")
        om, om_families = python_samples(rendered(seed, "openmetrics"), "openmetrics")
        created, _ = python_samples(rendered(seed, "openmetrics", "created"), "openmetrics")
        if {k: v for k, (v, _) in text.items()} != {k: v for k, (v, _) in om.items()}:
            wrong.append(f"seed {seed}: text and OpenMetrics differ: {set(text) ^ set(om)}")
        # a family that has no sample has no type yet to the reader of text
        if {n: f[0] for n, f in families.items()} != {n: f[0] for n, f in om_families.items()}:
            wrong.append(f"seed {seed}: types differ")
        exemplars = [e for _, e in om.values() if e]
        if len(exemplars) != 3 or exemplars[0].labels["trace_id"] != "4bf92f3577b34da6a3ce929d0e0e4736":
            wrong.append(f"seed {seed}: exemplars {exemplars}")
        more = {k: v for k, (v, _) in created.items() if k not in om}
        if not more or any(not n.endswith("_created") or v != 1700000000.123 for (n, _), v in more.items() if "extremes" in n):
            wrong.append(f"seed {seed}: created {more}")
    for escaping in ("underscores", "dots", "values"):
        for form in ("text", "openmetrics"):
            samples, _ = python_samples(rendered(seeds[0], form, escaping), form)
            found = {(name, *bare(dict(labels))): value for (name, labels), (value, _) in samples.items() if is_odd(name)}
            if found != odd(escaping):
                wrong.append(f"{form} {escaping}: {set(found.items()) ^ set(odd(escaping).items())}")
    harness.report(not wrong, "the_python_client_reads_the_same", "\n".join(wrong))


# -- Prometheus' parsers

def build_judge(test):
    """Its path; None, after a line that says why, where it cannot be built. TB_FETCH=1: with modules from the network."""
    env = dict(os.environ, GOFLAGS="-mod=readonly -buildvcs=false", GOTOOLCHAIN="local", **({} if os.environ.get("TB_FETCH") == "1" else {"GOPROXY": "off"}))
    program = test.dir / "judge"
    try:
        built = subprocess.run(["go", "build", "-p", "2", "-o", program, "."], cwd=HERE / "judge", env=env, capture_output=True, text=True,
                               check=False, timeout=250 if os.environ.get("TB_FETCH") != "1" else 1800)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"skip prometheus_own_parsers_read_the_same no judge: {error}")
        return None
    if built.returncode:
        lines = [line for line in built.stderr.splitlines() if line and line[0] != "#"]
        print(f"skip prometheus_own_parsers_read_the_same no judge (`make check-formats` fetches its modules): {lines[0] if lines else '?'}")
        return None
    return program


def judged(judge, arguments, data):
    out = subprocess.run([judge, *arguments], input=data, capture_output=True, check=True).stdout
    found = json.loads(out)
    assert not found["Error"], f"{arguments}: {found['Error']}"
    series, native = {}, {}
    for s in found["Series"]:
        key = tuple(sorted(s["Labels"].items()))
        into = native if "Native" in s else series
        assert key not in into, f"{arguments}: twice: {key}"
        into[key] = s
    return series, native, found


def values(series):
    return {k: s["Value"] for k, s in series.items()}


def starts(series):
    return {k: s["Start"] for k, s in series.items() if s["Start"]}


def exemplars(series):
    """By histogram: what they say, in any order; each may stand with its bucket or with the whole."""
    found = set()
    for key, s in series.items():
        name = dict(key)["__name__"].removesuffix("_bucket").removesuffix("_count").removesuffix("_sum")
        found |= {(name, e) for e in s.get("Exemplars", ())}
    return found


def compare(judge, seed):
    """What is wrong, as lines."""
    om = ["openmetrics", "created"]
    read = {form: judged(judge, ["parse", TYPES[form]], rendered(seed, *(om if form == "openmetrics" else [form]))) for form in TYPES}
    read["expfmt text"] = judged(judge, ["expfmt", "text"], rendered(seed, "text"))
    read["expfmt protobuf"] = judged(judge, ["expfmt", "protobuf"], rendered(seed, "protobuf"))
    wrong = []
    expected = values(read["text"][0])
    for form, (series, native, _) in read.items():
        if values(series) != expected:
            differing = [k for k in set(expected) | set(series) if expected.get(k) != values(series).get(k)]
            wrong.append(f"{form}: {len(differing)} series differ, as {differing[0]}: {expected.get(differing[0])}, "
                         f"{values(series).get(differing[0])}")
        if native:
            wrong.append(f"{form}: native histograms without being asked")
    for form in ("openmetrics", "openmetrics2"):
        if starts(read[form][0]) != starts(read["protobuf"][0]) or not starts(read[form][0]):
            wrong.append(f"{form}: starts differ from protobuf's")
    # OpenMetrics 2.0 has no place for an exemplar without a time
    timed = {e for e in exemplars(read["openmetrics"][0]) if not e[1].endswith(" 0")}
    if exemplars(read["protobuf"][0]) != exemplars(read["openmetrics"][0]) or len(timed) != 2:
        wrong.append(f"exemplars: {exemplars(read['protobuf'][0])}, {exemplars(read['openmetrics'][0])}")
    if exemplars(read["openmetrics2"][0]) != timed:
        wrong.append(f"exemplars of 2.0: {exemplars(read['openmetrics2'][0])}")
    return wrong + compare_native(judge, seed, expected)


def compare_native(judge, seed, expected):
    wrong, read = [], {}
    for form in ("protobuf", "openmetrics2"):
        series, native, _ = read[form] = judged(judge, ["parse", TYPES[form]], rendered(seed, form, "native"))
        if values(series) != expected:
            wrong.append(f"{form}: the classic series are others with native histograms")
        for key, s in native.items():
            labels = dict(key)
            count = expected[tuple(sorted({**labels, "__name__": labels["__name__"] + "_count"}.items()))]
            if int(re.search(r" count (\d+)$", s["Native"]).group(1)) != int(float(count)):
                wrong.append(f"{form}: {labels}: native {s['Native']}, classic {count}")
    if {k: s["Native"] for k, s in read["protobuf"][1].items()} != {k: s["Native"] for k, s in read["openmetrics2"][1].items()}:
        wrong.append("native histograms differ")
    return wrong


# Names that are no identifiers, as exposition.c makes them up, under each scheme: the metrics' and the labels'.
ODD_NAMES = {
    "allow-utf-8": ("shop.orders \u00e9_total", "shop.wait_seconds", {"service.name": "a.b", "plain_one": "", "\u82b1": '"=,'}),
    "underscores": ("shop_orders___total", "shop_wait_seconds", {"service_name": "a.b", "plain_one": "", "_": '"=,'}),
    "dots": ("shop_dot_orders______total", "shop_dot_wait__seconds", {"service_dot_name": "a.b", "plain__one": "", "__": '"=,'}),
    "values": ("U__shop_2e_orders_20__e9___total", "U__shop_2e_wait__seconds", {"U__service_2e_name": "a.b", "plain_one": "", "U___82b1_": '"=,'}),
}


def odd(escaping):
    """What a reader finds of them: labels, without the empty ones that Prometheus drops, and value."""
    counter, histogram, labels = ODD_NAMES[escaping]
    some = {k: v for k, v in labels.items() if v}
    found = {(counter, *sorted(some.items())): 7.0}
    for more in ({}, some):
        found |= {(histogram + "_bucket", *sorted({**more, "le": le}.items())): n for le, n in (("0.005", 1.0), ("1.0", 3.0), ("+Inf", 6.0))}
        found |= {(histogram + "_sum", *sorted(more.items())): 1.234, (histogram + "_count", *sorted(more.items())): 6.0}
    return found


def is_odd(name):
    return name.startswith(("shop", "U__shop"))


def bare(labels):
    """As odd() has them: all formats write bounds as one number."""
    return sorted((k, str(float(v)).replace("inf", "+Inf") if k == "le" else v) for k, v in labels.items() if v and k != "__name__")


def check_odd_names(judge, seed):
    """Prometheus reads quoted and escaped names in every format that has them; Python's parsers read the escaped ones."""
    wrong = []
    for escaping in ODD_NAMES:
        for form, kind in {**TYPES, "text": "text/plain; version=1.0.0"}.items():
            series, _, _ = judged(judge, ["parse", kind], rendered(seed, form, escaping))
            found = {(dict(k)["__name__"], *bare(dict(k))): float(s["Value"]) for k, s in series.items() if is_odd(dict(k)["__name__"])}
            if found != odd(escaping):
                wrong.append(f"{form} {escaping}: {set(found.items()) ^ set(odd(escaping).items())}")
    harness.report(not wrong, "prometheus_reads_names_that_are_no_identifiers", "\n".join(wrong))


def check_judge(test, seeds):
    judge = build_judge(test)
    if not judge:
        return
    check_odd_names(judge, seeds[0])
    wrong, natives = [], 0
    for seed in seeds:
        wrong += [f"seed {seed}: {line}" for line in compare(judge, seed)]
        natives += len(judged(judge, ["parse", TYPES["protobuf"]], rendered(seed, "protobuf", "native"))[1])
    harness.report(not wrong and natives > 0, "prometheus_own_parsers_read_the_same", "\n".join(wrong) or f"{natives} native histograms")


# -- over HTTP

def ask(test, *headers, options=()):
    """(headers in lower case, body as sent) of one scrape by curl."""
    head = test.dir / "head"
    body = subprocess.run([harness.which("curl"), "-sS", "--noproxy", "*", "--max-time", "60", "-D", head, *options,
                           *[w for h in headers for w in ("-H", h)], "http://%s:%d/metrics" % test.exporter], capture_output=True, check=True).stdout
    lines = head.read_text().splitlines()
    return {"status": lines[0].split()[1], **{k.lower(): v.strip() for k, v in (x.split(":", 1) for x in lines[1:] if ":" in x)}}, body


def stable(text):
    """The samples that do not change from scrape to scrape."""
    return sorted(line for line in text.decode().splitlines()
                  if line[0] != "#" and not re.match(r"process_|tickbird_exporter_|http_oldest|tickbird_service_created", line))


def check_http(test):
    """Many series with long labels, so that an answer is longer than what is sent in one piece."""
    test.service = "formats-" + "x" * 50
    server = test.start([sys.executable, HERE.parent / "servers/apps/http_server.py", test.ip, str(test.port()), "HTTP/1.1"])
    address = (test.ip, int(server.args[-2]))
    test.wait_for_port(address, server)
    for n in range(60):
        subprocess.run([harness.which("curl"), "-sS", "--noproxy", "*", "-o", "/dev/null", "-X", METHODS[n % len(METHODS)],
                        "http://%s:%d/%s/x%d" % (*address, "left" if n % 2 else "error", n)], check=True)
    test.start_exporter()
    test.settled(test.service, 60)
    head, plain = ask(test)
    expected = stable(plain)
    wrong = []
    gzip_head, packed = ask(test, "Accept-Encoding: gzip")
    member = zlib.decompressobj(31)
    unpacked = member.decompress(packed)
    if gzip_head.get("content-encoding") != "gzip" or stable(unpacked) != expected or not member.eof or member.unused_data:
        wrong.append(f"gzip: {gzip_head}, one member: {member.eof and not member.unused_data}")
    for accepted in ("gzip;q=0", "*;q=0", "br"):
        h, body = ask(test, "Accept-Encoding: " + accepted)
        if "content-encoding" in h or stable(body) != expected:
            wrong.append(f"{accepted}: {h}")
    for encoding in ("gzip", "zstd, gzip"):
        h, body = ask(test, "Accept-Encoding: " + encoding, options=["--compressed"])
        if "content-encoding" not in h or stable(body) != expected:
            wrong.append(f"curl --compressed {encoding}: {h}")
    for accept, content in (("", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"),
                            (TYPES["openmetrics"] + ";escaping=dots", "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=dots"),
                            ("application/openmetrics-text;version=2.0.0,*/*;q=0.1", "application/openmetrics-text; version=2.0.0; charset=utf-8; escaping=allow-utf-8"),
                            (PROTOBUF, PROTOBUF.replace(";", "; ") + "; escaping=underscores")):
        h, _ = ask(test, "Accept: " + accept)
        if h["content-type"] != content or h["status"] != "200" or h["vary"] != "Accept, Accept-Encoding":
            wrong.append(f"{accept}: {h}")
    for options in (["--http1.0"], ["-r", "0-10"]):
        h, body = ask(test, options=options)
        if stable(body) != expected:
            wrong.append(f"{options}: {h}")
    is_long = head.get("transfer-encoding") == "chunked"
    harness.report(not wrong and is_long, "curl_gets_what_it_asks_for", "\n".join(wrong) or f"{len(plain)} bytes")
    return plain


def check_promtool(test, text):
    try:
        promtool = harness.which("promtool")
    except harness.Missing as missing:
        print(f"skip promtool_has_nothing_to_say {missing}")
        return
    said = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    harness.report(said.returncode == 0 and not said.stdout + said.stderr, "promtool_has_nothing_to_say",
                   (said.stdout + said.stderr).decode())


def main():
    seed = int(os.environ.get("TB_SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"# TB_SEED={seed}")
    seeds = [seed + n for n in range(ROUNDS)]
    test = harness.Test("formats")
    try:
        if build_exposition():
            check_python(seeds)
            check_judge(test, seeds)
        check_promtool(test, check_http(test))
    finally:
        test.close()
    return harness.status


if __name__ == "__main__":
    sys.exit(main())
