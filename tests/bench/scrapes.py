#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a scrape costs the exporter, in processor time and memory, beside the Go client library on the same machine in the same
minutes (promhttp/, built with Go when it is there; modules come from the network once) and Node's prom-client (promclient/, with node and npm).

Processor time is the kernel's account of the process (schedstat), user and system, all threads. Scrapes of the two alternate, and the
least of each counts. A line is one of the text format, whatever the format that is timed: what a histogram costs, over 19.
"""
import glob
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "servers"))
sys.dont_write_bytecode = True
import harness  # noqa: E402  pylint: disable=wrong-import-position

ROUNDS = int(os.environ.get("TB_ROUNDS", "11"))
PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
ENCODED = ("protobuf", "openmetrics2")  # what promhttp/ can also encode without sending it
PROM_CLIENT = "prom-client@15.1.3"
OPENMETRICS2 = "application/openmetrics-text;version=2.0.0"


class Scraped:
    """A process that serves on 127.0.0.1:@port, over one kept connection."""

    def __init__(self, pid, port):
        self.pid, self.buffer = pid, bytearray(1 << 20)
        self.socket = socket.create_connection(("127.0.0.1", port), 60)

    def cpu_ns(self):
        return sum(int(pathlib.Path(f).read_text().split()[0]) for f in glob.glob(f"/proc/{self.pid}/task/*/schedstat"))

    def take(self, path="/metrics", accept="*/*", encoding="identity", keep=False):
        """(bytes of the answer, its text if it is kept): read without looking, to the end of the last chunk or by its length."""
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\nAccept-Encoding: {encoding}\r\n\r\n".encode())
        kept, total, tail, head = bytearray(), 0, b"", b""
        while True:
            got = self.socket.recv_into(self.buffer)
            assert got, "the connection ended"
            total += got
            tail = (tail + bytes(self.buffer[max(0, got - 64):got]))[-64:]
            if keep:
                kept += self.buffer[:got]
            if b"\r\n\r\n" not in head:
                head = (head + bytes(self.buffer[:got]))[:4096]
            length = re.search(rb"(?i)\r\ncontent-length: (\d+)\r\n", head)
            if (length and total >= head.index(b"\r\n\r\n") + 4 + int(length.group(1))) or (not length and tail.endswith(b"\r\n0\r\n\r\n")):
                assert head.startswith(b"HTTP/1.1 200"), head
                return total, bytes(kept)

    def cost_ns(self, *args, **kwargs):
        before = self.cpu_ns()
        self.take(*args, **kwargs)
        return self.cpu_ns() - before

    def memory_bytes(self, what):
        return int(re.search(rf"{what}:\s+(\d+)", pathlib.Path(f"/proc/{self.pid}/status").read_text()).group(1)) * 1024


class Exporter:
    """Regions of so many services and series, kept alive, and an exporter that reads them."""

    def __init__(self, services, series):
        self.dir = tempfile.mkdtemp(prefix="tb-scrapes-", dir="/dev/shm")
        self.ledger = tempfile.mkdtemp(prefix="tb-scrapes-")
        self.regions = subprocess.Popen([harness.BUILD / "tests/bench/regions", self.dir, str(services), str(series)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        assert self.regions.stdout.readline() == b"ready\n"
        port = harness.free_port("127.0.0.1")
        self.process = subprocess.Popen([harness.BUILD / "tickbird-exporter", "--web.listen-address", f"127.0.0.1:{port}", "--region.dir", self.dir,
                                         "--storage.path", self.ledger], stderr=subprocess.DEVNULL)

        def connected():
            try:
                return Scraped(self.process.pid, port)
            except OSError:
                return None
        self.scraped = harness.until(connected, "the exporter listens", 60)

    def __enter__(self):
        return self.scraped

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        self.regions.stdin.close()
        self.regions.wait(20)
        shutil.rmtree(self.dir)
        shutil.rmtree(self.ledger)


def start_promhttp(histograms, folder):
    """(process, Scraped); None, after a line that says why, without Go or its modules."""
    program = pathlib.Path(folder) / "promhttp"
    try:
        built = subprocess.run(["go", "build", "-o", program, "."], cwd=HERE / "promhttp", capture_output=True, text=True, check=False,
                               env=dict(os.environ, GOFLAGS="-mod=readonly -buildvcs=false", GOTOOLCHAIN="local"))
    except OSError as error:
        print(f"  promhttp is left out: {error}")
        return None
    if built.returncode:
        print(f"  promhttp is left out: {built.stderr.strip().splitlines()[-1]}")
        return None
    child = subprocess.Popen([program, str(histograms)], stdout=subprocess.PIPE)
    return child, Scraped(child.pid, int(child.stdout.readline()))


def start_promclient(histograms, folder):
    """The same of Node's client library, in the version that docs/cost.md names."""
    try:
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", folder, PROM_CLIENT], check=True,
                       capture_output=True, text=True, timeout=300)
        child = subprocess.Popen(["node", HERE / "promclient/main.js", folder, str(histograms)], stdout=subprocess.PIPE)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"  prom-client is left out: {error}")
        return None
    return child, Scraped(child.pid, int(child.stdout.readline()))


def bench_against_promclient(measured):
    """10,000 histograms of 10 services, in text."""
    folder = tempfile.mkdtemp(prefix="tb-promclient-")
    node = start_promclient(10000, folder)
    try:
        if not node:
            return
        with Exporter(10, 1000) as ours:
            _, text = ours.take(keep=True)
            own_lines, lines = (sum(not line.startswith((b"#", b"HTTP/")) and b" " in line for line in t.partition(b"\r\n\r\n")[2].splitlines())
                                for t in (text, node[1].take(keep=True)[1]))
            assert lines == 190000, f"{lines} lines"
            pairs = [(ours.cost_ns() / own_lines, node[1].cost_ns() / lines) for _ in range(ROUNDS)]
            own, other = (min(p[i] for p in pairs) for i in (0, 1))
            measured("scrape_part_of_promclient_text", own / other, f"prom-client {other:.0f} ns a line: {other / own:.1f} times ours ({own:.0f})")
    finally:
        if node:
            node[0].terminate()
            node[0].wait(20)
        shutil.rmtree(folder)


def bench_against_promhttp(measured):
    """10,000 histograms of 10 services."""
    folder = tempfile.mkdtemp(prefix="tb-promhttp-")
    go = start_promhttp(10000, folder)
    try:
        with Exporter(10, 1000) as ours:
            for _ in range(2):
                _, text = ours.take(keep=True)
            lines = sum(not line.startswith((b"#", b"HTTP/")) and b" " in line for line in text.splitlines())
            assert lines > 190000, f"{lines} lines"
            print(f"  {lines} lines of ours, {len(text)} bytes", flush=True)
            measured("scrape_rss_mib", ours.memory_bytes("VmHWM") / 2**20, "the highest, in text scrapes")
            cases = {"text": ({}, {}), "gzip": ({"encoding": "gzip"}, {"encoding": "gzip"}), "zstd": ({"encoding": "zstd"}, None),
                     "protobuf": ({"accept": PROTOBUF}, {"accept": PROTOBUF}), "openmetrics2": ({"accept": OPENMETRICS2}, {"accept": OPENMETRICS2})}
            for name, (mine, theirs) in cases.items():
                pairs = [(ours.cost_ns(**mine), go[1].cost_ns(**theirs) if go and theirs is not None else 0) for _ in range(ROUNDS)]
                own, other = (min(p[i] for p in pairs) for i in (0, 1))
                size = ours.take(**mine)[0]
                measured(f"scrape_ns_per_line_{name}", own / lines, f"{own / 1e6:.1f} ms, {size / 1e6:.2f} MB")
                if other:
                    unsent = min(go[1].cost_ns(path=f"/encode/{name}") for _ in range(ROUNDS)) / 190000 if name in ENCODED else 0
                    more = f"; {unsent:.0f} without sending it: {unsent / (own / lines):.1f} times" if unsent else ""
                    measured(f"scrape_part_of_promhttp_{name}", (own / lines) / (other / 190000), f"promhttp {other / 190000:.0f} ns a line: "
                             f"{(other / 190000) / (own / lines):.1f} times ours{more}")
            measured("scrape_rss_mib_all_formats", ours.memory_bytes("VmHWM") / 2**20, "the highest of all")
    finally:
        if go:
            go[0].terminate()
            go[0].wait(20)
        shutil.rmtree(folder)


def bench_idle_machine(measured):
    """20 services of 10 series, where nothing happens."""
    with Exporter(20, 10) as ours:
        ours.take()
        measured("scrape_ms_20_idle_services", min(ours.cost_ns(encoding="gzip") for _ in range(100)) / 1e6)


def bench_many_regions(measured):
    """20,000 series in 1,000 regions against 20."""
    with Exporter(1000, 20) as many, Exporter(20, 1000) as few:
        for scraped in (many, few):
            scraped.take()
        pairs = [(many.cost_ns(), few.cost_ns()) for _ in range(ROUNDS)]
        a, b = (min(p[i] for p in pairs) for i in (0, 1))
        measured("scrape_ratio_1000_regions", a / b, f"{a / 1e6:.1f} ms against {b / 1e6:.1f} ms")


BENCHES = (bench_against_promhttp, bench_against_promclient, bench_idle_machine, bench_many_regions)


def main():
    def measured(name, value, note=""):
        print(f"  {name}: {value:.4g}  {note}", flush=True)
    for bench in BENCHES:
        if not sys.argv[1:] or bench.__name__[len("bench_"):] in sys.argv[1:]:
            print(f"{bench.__name__[len('bench_'):]}: {bench.__doc__}", flush=True)
            bench(measured)


if __name__ == "__main__":
    main()
