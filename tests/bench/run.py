#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""make bench: what a request costs, counted or paired, never by the clock on the wall; compared with expected.txt.

Instruction counts are differences of two runs (2,000 minus 1,000 requests), so that starting and stopping cancel out, with
the object minus without it. Every run also checks that the measured requests were counted. Arguments pick measures by
the beginning of their names.
"""
import json
import math
import os
import pathlib
import random
import re
import signal
import socketserver
import statistics
import subprocess
import sys
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "servers"))
sys.dont_write_bytecode = True
import client  # noqa: E402  pylint: disable=wrong-import-position
import cost  # noqa: E402  pylint: disable=wrong-import-position
import harness  # noqa: E402  pylint: disable=wrong-import-position
import scale  # noqa: E402  pylint: disable=wrong-import-position
import scrapes  # noqa: E402  pylint: disable=wrong-import-position
import servers  # noqa: E402  pylint: disable=wrong-import-position
import tls_socket  # noqa: E402  pylint: disable=wrong-import-position

NGINX_HEADERS = ["User-Agent: bench/1.0", "Accept: */*", "Accept-Encoding: identity", "Connection: keep-alive"]  # and Host: 5
MORE_HEADERS = [f"X-Header-{i}: {'v' * 18}" for i in range(8)]  # 30 bytes each
ORDERS = """location = /orders { default_type application/json; return 200 '{"status": "paid"}'; }"""
results = []


def measured(name, value, note=""):
    results.append((name, value, note))
    print(f"  {name}: {value:.4g}  {note}", flush=True)


def drive(address, requests, data, head=b""):
    """@requests of one client, each after the answer to the one before, on one connection as long as the server keeps it.
    @head goes before the first request of each connection."""
    conn = None
    for _ in range(requests):
        if conn is None:
            conn = client.Conn(address)
            conn.send(head)
        conn.send(data)
        response = conn.response("GET")
        assert response.status == 200 and response.is_complete, response.status
        if response.ends_connection:
            conn.close()
            conn = None
    if conn:
        conn.close()


def get(path, headers=()):
    return client.request("GET", path, "localhost", list(headers))


def nginx_site(test, setting=""):
    """nginx as packaged, one process, a 1 KiB file. Returns (configuration file, address)."""
    address = (test.ip, test.port())
    root = test.dir / "www"
    root.mkdir()
    (root / "page").write_bytes(b"x" * 1024)
    conf = servers.nginx_configuration(test, f"""
server {{ listen {address[0]}:{address[1]}; root {root}; keepalive_requests 100000; access_log off; {setting} }}""")
    return conf, address


def quit_nginx(child):
    """Ends it so that valgrind writes its report; a signal between two calls of a single-process nginx may need another."""
    def has_ended():
        child.send_signal(signal.SIGQUIT)
        try:
            child.wait(2)
            return True
        except subprocess.TimeoutExpired:
            return False
    harness.until(has_ended, "nginx ends", 60)


def counted(test, expected, name="http_requests_total"):
    """Checks that the region holds exactly the requests that were measured."""
    test.start_exporter()
    found = sum(test.settled(test.service, 0 if "client" in name else expected).counts(test.service, name).values())
    assert found == expected, f"{found} of {expected} measured requests were counted"


def callgrind_nginx(preload, requests, data, simd="auto", config=None):
    """User instructions of a whole run of nginx. With @preload also {function: instructions} of the object's own. @config:
    what an exporter left for programs to come."""
    test = harness.Test("bench")
    try:
        if config:
            test.start_exporter("--config.file", test.write("config.yml", config))
            test.scrape()
        conf, address = nginx_site(test, ORDERS)
        out = test.dir / "callgrind.out"
        argv = [harness.which("valgrind"), "--tool=callgrind", f"--callgrind-out-file={out}", "--quiet", harness.which("nginx"), "-c", conf,
                "-g", "master_process off;"]
        child = test.start(argv, preload=preload, env={"TICKBIRD_SIMD": simd} if preload else None)
        test.wait_for_port(address, child)
        drive(address, requests, data)
        quit_nginx(child)
        if preload:
            counted(test, requests)
        text = out.read_text()
        total = int(re.search(r"^(?:summary|totals): (\d+)", text, re.M).group(1))
        listing = subprocess.run(["callgrind_annotate", "--threshold=100", str(out)], capture_output=True, text=True, check=True).stdout
        own = {}  # rows are per file and function: inlined headers have rows of their own, some without the object's name
        for count, place, name, found_in in re.findall(r"^\s*([\d,]+) \([^)]*\)\s+(\S+):([\w.@']+)(?: \[([^\]]*)\])?$", listing, re.M):
            if "libtickbird.so" in found_in or (not found_in and (name.startswith("tb_") or re.search(r"(^|/)(agent|shim)/", place))):
                own[name] = own.get(name, 0) + int(count.replace(",", ""))
        return total, own
    finally:
        test.close()


def per_request(preload, data, simd="auto", config=None):
    low, own_low = callgrind_nginx(preload, 1000, data, simd, config)
    high, own_high = callgrind_nginx(preload, 2000, data, simd, config)
    own = {name: (own_high[name] - own_low.get(name, 0)) / 1000 for name in own_high}
    return (high - low) / 1000, {k: v for k, v in own.items() if v > 0.5}


def bench_instructions():
    """User instructions added to a keep-alive GET on nginx."""
    for what, headers in (("", NGINX_HEADERS), ("_8_more_headers", NGINX_HEADERS + MORE_HEADERS)):
        data = get("/page", headers)
        bare, _ = per_request(False, data)
        for simd in ("avx2", "sse2"):
            if simd == "avx2" and " avx2 " not in pathlib.Path("/proc/cpuinfo").read_text():
                continue
            loaded, own = per_request(True, data, simd)
            measured(f"instructions_nginx_get{what}_{simd}", loaded - bare, f"of {bare:.0f}")
            for name, count in sorted(own.items(), key=lambda x: -x[1]):
                print(f"      {count:8.1f}  {name}", flush=True)


def bench_measures():
    """User instructions added to the same GET where the configuration asks for more."""
    data = get("/page", NGINX_HEADERS)
    traced = get("/page", NGINX_HEADERS + ["traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"])
    bare, _ = per_request(False, data)
    bare_traced, _ = per_request(False, traced)
    for what, setting in (("bounds", "duration: {bounds: [0.005, 0.1, 1]}"), ("sizes", "request_size: on, response_size: on"),
                          ("first_byte", "first_byte: on"), ("exemplars", "exemplars: on")):
        is_traced = what == "exemplars"
        loaded, own = per_request(True, traced if is_traced else data, config="metrics: {%s}\n" % setting)
        measured(f"instructions_nginx_get_with_{what}", loaded - (bare_traced if is_traced else bare))
        for name, count in sorted(own.items(), key=lambda x: -x[1]):
            print(f"      {count:8.1f}  {name}", flush=True)


def bench_rules():
    """User instructions that rules of custom metrics add to a request with the object."""
    body = {"customer": {"id": "c-102938", "name": "A. Customer", "street": "1, Some Street", "city": "Somewhere"},
            "lines": [{"sku": f"article-{n}", "count": n, "price": 12.5} for n in range(3)], "note": "", "payment": {"method": "card"}}
    body["note"] = "n" * (1024 - len(json.dumps(body)))  # the value is the last of 1 KiB
    body = json.dumps(body)
    order = client.request("POST", "/orders", "localhost", NGINX_HEADERS + ["Content-Type: application/json", "Content-Length: 1024"], body.encode())
    others = "".join(f"""
  - metric: other_{n}_total
    match: {{route: /other{n}, {match}}}
    labels: {{x: {label}}}""" for n, (match, label) in enumerate([
        ("status: 2xx", "status"), ("method: POST", "method"), ("request_header: {X-Tenant: a}", "route"), ("query: {q: '*'}", "{query: q}"),
        ("method: POST", "{request_json: payment.method}"), ("status: 5xx", "{response_json: error.code}"),
        ("method: [GET, POST]", "{response_header: X-Cache}"), ("role: client", "target"), ("method: PUT", "{request_form: a}"),
        ("not: {cookie: {sid: '*'}}", "status")]))
    paid = """
  - metric: orders_total
    match: {method: POST, route: /orders}
    labels: {method: {request_json: payment.method, allow: [card, invoice]}}"""
    opened = """
  - metric: open_pages
    type: gauge
    value: in_flight
    match: {route: /page}"""
    by_header = opened + """
    labels: {language: {request_header: Accept-Language}, method: method}"""
    for name, data, rules in (("get_in_a_gauge_of_open_requests", get("/page", NGINX_HEADERS), opened),
                              ("get_in_a_gauge_by_header", get("/page", NGINX_HEADERS), by_header), ("get_beside_ten_rules", get("/page", NGINX_HEADERS), others), ("post_beside_ten_rules", order, others),
                              ("post_read_by_a_rule", order, paid)):
        without, _ = per_request(True, data)
        with_rules, own = per_request(True, data, config="rules:" + rules + "\n")
        measured(f"instructions_{name}", with_rules - without)
        for function, count in sorted(own.items(), key=lambda x: -x[1]):
            print(f"      {count:8.1f}  {function}", flush=True)


def bench_json():
    """User instructions of reading one value out of 1 KiB of JSON, without the rule."""
    for simd in ("avx2", "sse2"):
        for body in ("text", "members"):
            for place in ("first", "last"):
                total = {n: callgrind_total(False, harness.BUILD / "tests/bench/json_cost", str(n), body, place, simd) for n in (100, 200)}
                measured(f"instructions_json_{body}_{place}_{simd}", (total[200] - total[100]) / 100)


def callgrind_total(preload, *argv, calls=0):
    """User instructions of a whole run of a small program, of which the scrape behind it shows one request, or @calls, where
    @preload is "counted"."""
    test = harness.Test("bench")
    try:
        out = test.dir / "callgrind.out"
        env = dict(test.env() if preload else os.environ)
        subprocess.run([harness.which("valgrind"), "--tool=callgrind", f"--callgrind-out-file={out}", "--quiet", *argv], env=env, check=True,
                       stdout=subprocess.DEVNULL)
        if preload == "counted":
            counted(test, calls or 1, "http_client_requests_total" if calls else "http_requests_total")
        return int(re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.M).group(1))
    finally:
        test.close()


def added_per_call(program, kind, preload):
    """User instructions that each call of a program takes, without the object and with it."""
    totals = {(p, calls): callgrind_total(p, program, kind, str(calls)) for p in (False, preload) for calls in (1000, 2000)}
    return [(totals[p, 2000] - totals[p, 1000]) / 1000 for p in (False, preload)]


def bench_file_call():
    """User instructions added to a read of a file, and to one of a socket that does not speak HTTP, in a program that serves."""
    for kind in ("file", "socket", "asleep"):
        bare, loaded = added_per_call(harness.BUILD / "tests/bench/plain_calls", kind, True)
        measured(f"instructions_call_{kind}", loaded - bare, f"of {bare:.0f}")


def bench_own_adds():
    """User instructions of an addition by tickbird.h to a metric that the program holds."""
    for kind in ("counter", "sum", "gauge", "histogram"):
        bare, loaded = added_per_call(harness.BUILD / "tests/bench/own_adds", kind, True)
        measured(f"instructions_own_{kind}", loaded - bare, f"of {bare:.0f}")


def bench_tls_record():
    """User instructions added to a call that moves a record of a body, and how many more that is than to a send or recv of it.
    A step of the program is two such calls."""
    added = {}
    for kind in ("plain", "tls"):
        bare, loaded = added_per_call(harness.BUILD / "tests/bench/tls_calls", kind, "counted")
        added[kind] = (loaded - bare) / 2
        print(f"      {added[kind]:8.1f}  a call, {kind}, of {bare / 2:.0f}", flush=True)
    measured("instructions_tls_record", added["tls"] - added["plain"])


class FixedAnswer(socketserver.BaseRequestHandler):
    """Answers each request of a connection with the same 8 headers and 1 KiB, in one piece."""
    ANSWER = (b"HTTP/1.1 200 OK\r\nServer: fixed\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: text/html\r\nContent-Length: 1024\r\n"
              b'Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nConnection: keep-alive\r\nETag: "65920080-400"\r\nAccept-Ranges: bytes\r\n\r\n'
              + b"x" * 1024)

    def handle(self):
        data = b""
        while more := self.request.recv(65536):
            data += more
            while b"\r\n\r\n" in data:
                data = data.partition(b"\r\n\r\n")[2]
                self.request.sendall(self.ANSWER)


def bench_client():
    """User instructions added to a call of another server on a kept connection."""
    program, totals = harness.BUILD / "tests/bench/client_calls", {}
    with socketserver.ThreadingTCPServer((harness.loopback_address(), 0), FixedAnswer) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        for preload in (False, "counted"):
            for calls in (1000, 2000):
                argv = [program, *map(str, server.server_address), str(calls)]
                totals[preload, calls] = callgrind_total(preload, *argv, calls=calls)
        server.shutdown()
    bare, loaded = ((totals[p, 2000] - totals[p, 1000]) / 1000 for p in (False, "counted"))
    measured("instructions_client_get", loaded - bare, f"of {bare:.0f}")


def bench_clock():
    """Clock reads added per exchange: valgrind hides the vDSO, so each is a system call there."""
    data = get("/page", NGINX_HEADERS)
    for what, setting in (("", "sendfile off;"), ("_separate_body", "")):
        counts = {}
        for preload in (False, True):
            for requests in (100, 200):
                test = harness.Test("bench")
                try:
                    conf, address = nginx_site(test, setting)
                    child = test.start([harness.which("valgrind"), "--tool=none", "--trace-syscalls=yes", harness.which("nginx"), "-c", conf,
                                        "-g", "master_process off;"], preload=preload)
                    test.wait_for_port(address, child)
                    drive(address, requests, data)
                    quit_nginx(child)
                    counts[preload, requests] = pathlib.Path(child.log).read_bytes().count(b"sys_clock_gettime")
                finally:
                    test.close()
        each = [(counts[p, 200] - counts[p, 100]) / 100 for p in (False, True)]
        measured(f"clock_reads_per_exchange{what}", round(each[1] - each[0], 1))


def own_system_calls(site, child, out, requests):
    """System calls that the object itself makes while @requests are answered: their instruction pointer lies in it."""
    ranges, threads = [], 0
    tree = harness.process_tree(child.pid)
    for pid in tree:
        threads += len(os.listdir(f"/proc/{pid}/task"))
        for line in open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace"):
            if "libtickbird.so" in line and " r-xp " in line:
                ranges.append([int(x, 16) for x in line.split()[0].split("-")])
    assert ranges, "the object is not loaded"
    tracer = subprocess.Popen([harness.which("strace"), "-f", "-q", "-i", "-o", str(out), *sum((["-p", str(p)] for p in tree), [])],
                              stderr=subprocess.DEVNULL)
    harness.until(lambda: all(traced(p) for p in tree), "strace is attached")
    drive(site.address, requests, get("/hello", NGINX_HEADERS), proxy_head(site))
    tracer.send_signal(signal.SIGINT)
    tracer.wait(60)
    own = 0
    calls = 0
    for line in open(out, encoding="utf-8", errors="replace"):
        found = re.match(r"^\d+ +\[([0-9a-f]+)\] (\w+)\(", line)
        if found:
            calls += 1
            at = int(found.group(1), 16)
            own += any(low <= at <= high for low, high in ranges)
    assert calls >= requests, f"strace saw {calls} calls for {requests} requests"
    return own, threads


def traced(pid):
    return any(line.startswith("TracerPid:") and line.split()[1] != "0" for line in open(f"/proc/{pid}/status", encoding="utf-8"))


def proxy_head(site):
    return site.proxy_head(random.Random(1)) if site.proxy_head else b""


def touch_every_process(site):
    """What a process does once (claim its slot, reserve its pages) is not counted per request. A server that waits for a request may
    answer no other handshake meanwhile: through TLS one comes after the other."""
    at_once = 1 if isinstance(site.address, tls_socket.Address) else 64
    for _ in range(3 * 64 // at_once):
        conns = [client.Conn(site.address) for _ in range(at_once)]
        for conn in conns:
            conn.send(proxy_head(site) + get("/hello", NGINX_HEADERS))
        for conn in conns:
            conn.response("GET")
            conn.close()
    drive(site.address, 50, get("/hello", NGINX_HEADERS), proxy_head(site))


def bench_system_calls():
    """Extra system calls per keep-alive request, on every server; and threads."""
    for name, set_up in servers.SET_UPS.items():
        test, bare = harness.Test("bench"), harness.Test("bench_bare")
        bare.is_bare = True
        try:
            site, bare_site = set_up(test), set_up(bare)
            touch_every_process(site)
            touch_every_process(bare_site)
            child = test.processes[-1]
            low, threads = own_system_calls(site, child, test.dir / "strace.out", 1000)
            high, _ = own_system_calls(site, child, test.dir / "strace.out", 2000)
            measured(f"system_calls_per_request_{name}", round(max(0, high - low) / 1000, 1), f"{low} and {high} in 1,000 and 2,000 requests")
            # thread pools may be one more or less by chance; a thread of ours would be in every process
            before = sum(len(os.listdir(f"/proc/{p}/task")) for p in harness.process_tree(bare.processes[-1].pid))
            print(f"      threads: {threads} with, {before} without", flush=True)
        except harness.Missing as missing:
            print(f"  skipped: {name}: {missing}")
        finally:
            test.close()
            bare.close()


def bench_start():
    """System calls added at the start of a program that never serves."""
    test = harness.Test("bench")
    try:
        counts = []
        for env in (None, test.env()):
            out = test.dir / "strace.out"
            subprocess.run([harness.which("strace"), "-f", "-i", "-o", str(out), "/bin/true"], env=env, check=True)
            lines = [line for line in open(out, encoding="utf-8") if re.match(r"^\d+ +\[[0-9a-f]+\]", line)]
            counts.append(len(lines))
        measured("system_calls_at_start", counts[1] - counts[0], "the loader's and ours")
        # after the loader has mapped and protected the object come the constructors' calls; the bare run has none of them
        measured("own_system_calls_at_start", own_calls_of(lines))
    finally:
        test.close()


def own_calls_of(lines):
    """Of a strace -i listing: calls from within the object, whose place is where the loader mapped it."""
    mapped = None
    own = 0
    for number, line in enumerate(lines):
        if "libtickbird.so" in line and "openat(" in line:
            fd = line.rsplit("= ", 1)[1].strip()
            for later in lines[number:number + 12]:
                found = re.search(r"mmap\(NULL, (\d+), .*, " + fd + r", 0\) = (0x[0-9a-f]+)", later)
                if found:
                    mapped = (int(found.group(2), 16), int(found.group(2), 16) + int(found.group(1)))
                    break
        elif mapped:
            at = int(re.match(r"^\d+ +\[([0-9a-f]+)\]", line).group(1), 16)
            own += mapped[0] <= at < mapped[1]
    assert mapped, "the loader's mapping of the object was not found"
    return own


def bench_cpu():
    """CPU time per request of nginx, with over without, in alternating pairs."""
    tests = {}
    data = get("/page", NGINX_HEADERS)
    try:
        for preload in (False, True):
            test = tests[preload] = harness.Test("bench_on" if preload else "bench_off")
            conf, test.address = nginx_site(test)
            child = test.start([harness.which("nginx"), "-c", conf], preload=preload)
            test.wait_for_port(test.address, child)
            drive(test.address, 500, data)
            test.pids = harness.process_tree(child.pid)
        ratios = []
        batch = 6000
        while len(ratios) < 100:
            used = {}
            for preload in random.sample([False, True], 2):
                test = tests[preload]
                before = cost.cpu_ns(test.pids)
                drive(test.address, batch, data)
                used[preload] = cost.cpu_ns(test.pids) - before
            ratios.append(math.log(used[True] / used[False]))
            if len(ratios) >= 20:
                half = 1.984 * statistics.stdev(ratios) / math.sqrt(len(ratios))
                low, high = math.exp(statistics.mean(ratios) - half), math.exp(statistics.mean(ratios) + half)
                if high - low <= 0.04:
                    break
        measured("cpu_ratio_nginx", math.exp(statistics.mean(ratios)), f"{len(ratios)} pairs, 95 % interval {low:.3f} to {high:.3f}")
        counted(tests[True], 500 + batch * len(ratios))
    finally:
        for test in tests.values():
            test.close()


def bench_memory():
    """The region's pages and the private memory of a process."""
    said = subprocess.run([str(HERE / "memory.sh")], stdout=subprocess.PIPE, text=True, check=True,
                          env=dict(os.environ, B=str(harness.BUILD))).stdout
    for line in said.splitlines():
        name, value = line.split()[:2]
        measured(name, float(value), " ".join(line.split()[2:]))


def bench_routes():
    """Scores of the route inference, and instructions of a route (routes.py)."""
    done = subprocess.run([sys.executable, str(HERE / "routes.py")], stdout=subprocess.PIPE, text=True, check=False,
                          env=dict(os.environ, B=str(harness.BUILD)))
    for line in done.stdout.splitlines():
        if line.startswith("measure "):
            measured(line.split()[1], float(line.split()[2]))
        else:
            print(f"  {line}", flush=True)
    measured("routes_below_a_floor", done.returncode, "exit status of routes.py")


def bench_scrapes():
    """What a scrape costs the exporter, beside the Go client library where it can be built."""
    for bench in scrapes.BENCHES:
        print(f"  {bench.__doc__}", flush=True)
        bench(measured)


def bench_push():
    """Processor time of a push of 10,000 series of which each has counted, all but the sending."""
    for output, family, count in (("cloudwatch", "http_requests_total", 10000), ("cloudwatch", "http_request_duration_seconds", 10000),
                                  ("otlp", "http_request_duration_seconds", 10000), ("emf", "http_requests_total", 10000),
                                  ("remote_write", "http_requests_total", 10000),
                                  ("remote_write", "http_request_duration_seconds", 527)):  # of 19 series each
        done = subprocess.run([harness.BUILD / "tests/bench/push", output, family, str(count), "5"], stdout=subprocess.PIPE, text=True,
                              check=True)
        measured(f"push_ms_{output}_{'histograms' if 'seconds' in family else 'counters'}", float(done.stdout), f"{count}, the best of 5")


def bench_scale():
    """Many processes, threads, connections: what a request costs stays flat, and the sums exact."""
    for part in scale.PARTS:
        for name, value, note in part():
            measured(name, value, note)


def judge():
    limits = {}
    for line in open(HERE / "expected.txt", encoding="utf-8"):
        parts = line.split("#")[0].split()
        if parts:
            limits[parts[0]] = float(parts[1])
    print(f"\n{'measure':48} {'value':>10} {'at most':>10}")
    bad = 0
    for name, value, note in results:
        limit = limits.get(name, next((v for k, v in limits.items() if k.endswith("*") and name.startswith(k[:-1])), None))
        is_over = limit is not None and value > limit
        bad += is_over
        print(f"{name:48} {value:10.2f} {'-' if limit is None else f'{limit:g}':>10} {'  TOO MUCH' if is_over else ''} {note}")
    return 1 if bad or not results else 0


def main():
    benches = {n[len("bench_"):]: f for n, f in globals().items() if n.startswith("bench_")}
    wanted = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for name, bench in benches.items():
        if not wanted or any(name.startswith(w) for w in wanted):
            print(f"{name}: {bench.__doc__ or ''}", flush=True)
            bench()
    sys.exit(judge())


main()
