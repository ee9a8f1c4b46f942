#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A soak: real servers under bounded traffic while everything around them is killed, stopped, reloaded, starved.

usage: soak.py [--seconds N] [--clients N]      TB_SEED repeats the choices (not the timing)

Each client keeps its own tally. At every scrape: no total falls, none exceeds the requests sent. At the end, per service
and status: what was counted differs from what the clients received by no more than the requests that were open, or
answered on a connection that then turned out dead, when something was killed; and what the agent itself says it lost
while the region directory was full. Prints the tally every minute and at the end.
"""
import argparse
import collections
import os
import pathlib
import resource
import signal
import subprocess
import sys
import threading
import time

import chaos
import client
import harness
import servers

PATHS = [("/hello", 4), ("/items/7", 3), ("/items/4242", 2), ("/big.bin", 1), ("/missing", 1), ("/nocontent", 1)]
SERVICES = ("nginx_static", "apache_event", "gunicorn_gthread", "node_cluster", "haproxy", "lighttpd_workers", "puma_cluster")
PATTERNS = ("/items/:number", "/items/{id}", "/items/*", "/*")


class Host(harness.Test):
    """One server under test; shares the region directory of the whole soak and remembers how it was started."""

    def __init__(self, name, region_dir):
        super().__init__(name)
        chaos.remove(self.region_dir)
        self.region_dir = region_dir
        self.started = None  # of what is observed: arguments of start()
        self.child = None
        self.lock = threading.Lock()  # held while it is being stopped and started

    def start(self, argv, preload=True, **options):  # pylint: disable=arguments-differ
        child = super().start(argv, preload=preload, **options)
        if preload:
            self.started, self.child = (argv, options), child
        return child

    def restart(self, address):
        """Its port may be a connection's for a moment: then it is started again."""
        argv, options = self.started
        for is_last in (False, False, False, True):
            self.start(argv, **options)
            try:
                return self.wait_for_port(address, self.child)
            except AssertionError:
                if is_last or "in use" not in self.log_of(self.child):
                    raise
                time.sleep(1)
        return None

    def pids(self):
        """All but the `tickbird run` or master that was started."""
        return [p for p in harness.process_tree(self.child.pid) if p != self.child.pid]


class Walker:
    """A client with one connection, one request at a time: a dead connection had at most one answer unsure."""

    def __init__(self, host, address, number):
        self.host, self.address, self.random = host, address, chaos.rng(f"{host.service}/{number}")
        self.whole, self.sent, self.unsure, self.refused = collections.Counter(), 0, 0, 0

    def run(self, over):
        conn = None
        while not over.is_set():
            path = self.random.choices([p for p, _ in PATHS], [w for _, w in PATHS])[0]
            try:
                conn = conn or client.Conn(self.address)
            except OSError:
                self.refused += 1
                over.wait(0.02)
                continue
            self.sent += 1
            try:
                response = chaos.get(conn, path)
                if not response.is_complete:
                    raise client.Closed()
            except (client.Closed, OSError, client.NoHead):
                self.unsure += 1
                conn.close()
                conn = None
                continue
            self.whole[str(response.status)] += 1
            if response.ends_connection:
                conn.close()
                conn = None
            over.wait(self.random.uniform(0, 0.02))
        if conn:
            conn.close()


class Soak:
    def __init__(self, test, seconds, clients, can_fill):
        self.test, self.seconds, self.can_fill = test, seconds, can_fill
        self.random = chaos.rng("events")
        self.over = threading.Event()
        self.floor = chaos.Floor()
        self.events = collections.Counter()
        self.hosts, self.walkers, self.addresses = [], [], {}
        self.exporter_lock = threading.Lock()
        self.exporter_address = (test.ip, test.port())
        self.exporter = None
        self.config = test.write("config.yml", "routes: {}\n")
        for name in SERVICES:
            host = Host(name, test.region_dir)
            try:
                site = servers.SET_UPS[name](host)
            except harness.Missing as missing:
                print(f"# without {name}: {missing}", flush=True)
                host.processes and host.close()
                continue
            self.hosts.append(host)
            self.addresses[name] = site.address
            self.walkers += [Walker(host, site.address, i) for i in range(clients)]
        self.start_exporter()

    # -- the exporter
    def start_exporter(self):
        self.exporter = chaos.start_exporter(self.test, "--fold-after", "100ms", "--unlink-after", "1s", "--log.level", "error",
                                             "--config.file", self.config, address=self.exporter_address)

    # -- what happens: each takes a moment, then things are as before
    def kill_worker(self):
        host = self.random.choice(self.hosts)
        pids = host.pids()
        if pids:
            chaos.kill(self.random.choice(pids))

    def restart_server(self):
        host = self.random.choice(self.hosts)
        with host.lock:
            host.stop(host.child, self.random.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))
            host.restart(self.addresses[host.service])

    def stop_and_continue(self):
        host = self.random.choice(self.hosts)
        pids = [host.child.pid, *host.pids()]
        chosen = self.random.sample(pids, self.random.randint(1, len(pids)))
        for pid in chosen:
            chaos.kill(pid, signal.SIGSTOP)
        self.over.wait(self.random.uniform(0.01, 0.5))
        for pid in chosen:
            chaos.kill(pid, signal.SIGCONT)

    def stop_exporter_a_while(self):
        with self.exporter_lock:
            chaos.kill(self.exporter.pid, signal.SIGSTOP)
            self.over.wait(self.random.uniform(0.01, 0.5))
            chaos.kill(self.exporter.pid, signal.SIGCONT)

    def kill_exporter(self):
        with self.exporter_lock:
            self.test.stop(self.exporter, signal.SIGKILL)
            self.start_exporter()

    def second_exporter(self):
        done = subprocess.run([chaos.EXPORTER, "--once", "--region.dir", self.test.region_dir, "--storage.path", self.test.dir / "ledger"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode()
        harness.parse(done.stdout.decode())

    def reload_nginx(self):
        for host in self.hosts:
            if host.service.startswith("nginx"):
                for pid in harness.process_tree(host.child.pid):
                    if pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"nginx: master"):
                        chaos.kill(pid, signal.SIGHUP)

    def exhaust_descriptors(self):
        """No new descriptor for a while, for a server's processes or the exporter."""
        host = self.random.choice([*self.hosts, None])
        pids = harness.process_tree(host.child.pid) if host else [self.exporter.pid]
        before = {}
        for pid in pids:
            try:
                before[pid] = resource.prlimit(pid, resource.RLIMIT_NOFILE)
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[pid][1]))
            except (ProcessLookupError, PermissionError):
                pass
        self.over.wait(self.random.uniform(0.05, 0.5))
        for pid, limit in before.items():
            try:
                resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)
            except (ProcessLookupError, PermissionError):
                pass

    def fill_directory(self):
        """Takes every page of the region directory, gives them back. No server is started meanwhile: it would be unobserved."""
        filler = self.test.region_dir / "filler"
        with open(filler, "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"\1" * 65536)
            except OSError:
                pass
        self.over.wait(self.random.uniform(0.05, 1))
        filler.unlink()

    def rotate_config(self):
        pattern = self.random.choice(PATTERNS)
        new = self.test.write("config.new", f"routes:\n  patterns: ['{pattern}']\n")
        new.rename(self.config)  # by its time or by the signal, whichever comes first
        chaos.kill(self.exporter.pid, signal.SIGHUP)

    def disturb(self):
        choices = {self.kill_worker: 30, self.restart_server: 8, self.stop_and_continue: 12, self.stop_exporter_a_while: 4,
                   self.kill_exporter: 6, self.second_exporter: 3, self.reload_nginx: 6, self.exhaust_descriptors: 8, self.rotate_config: 6}
        if self.can_fill:
            choices[self.fill_directory] = 5
        until = time.monotonic() + self.seconds
        try:
            while time.monotonic() < until:
                event = self.random.choices(list(choices), list(choices.values()))[0]
                event()
                self.events[event.__name__] += 1
                self.over.wait(self.random.uniform(0.02, 0.8))
            self.over.wait(1)  # every connection is used once more, so that a dead one is found
        finally:
            self.over.set()

    # -- the tally
    def sent(self, service):
        return sum(w.sent for w in self.walkers if w.host.service == service)

    def check_scrape(self):
        with self.exporter_lock:
            scrape = self.test.scrape()
        self.floor.check(scrape)
        for host in self.hosts:
            counted, sent = sum(scrape.counts(host.service).values()), self.sent(host.service)
            assert counted <= sent, f"{host.service}: {counted} counted of {sent} sent"
        return scrape

    def watch(self):
        said = time.monotonic()
        while not self.over.is_set():
            try:
                self.check_scrape()
            except (OSError, client.Closed):
                pass  # it has no descriptors just now
            if time.monotonic() - said > 60:
                said = time.monotonic()
                print(f"# {sum(w.sent for w in self.walkers)} sent, {sum(w.unsure for w in self.walkers)} unsure, "
                      f"{sum(self.events.values())} disturbances, {self.floor.scrapes} scrapes", flush=True)
            self.over.wait(0.1)

    def run(self):
        chaos.in_threads([self.disturb, self.watch, *(lambda w=w: w.run(self.over) for w in self.walkers)])
        return self.tally()

    def tally(self):
        lines, wrong = [], []
        for host in self.hosts:
            mine = [w for w in self.walkers if w.host is host]
            whole = sum((w.whole for w in mine), collections.Counter())
            unsure = sum(w.unsure for w in mine)
            scrape = self.test.settled(host.service, sum(whole.values()) - unsure)
            self.floor.check(scrape)
            found = collections.Counter()
            for (_, _, status), n in scrape.counts(host.service).items():
                found[status] += n
            lost = int(scrape.total("tickbird_lost_requests_total", service=host.service))
            difference = sum(whole.values()) - sum(found.values())
            lines.append(f"{host.service:18} sent {self.sent(host.service):8}  answered {sum(whole.values()):8}  counted "
                         f"{sum(found.values()):8}  difference {difference:5}  unsure {unsure:5}  said to be lost {lost:5}")
            wrong += [f"{host.service} {s}: clients {whole[s]}, counted {found[s]}, unsure {unsure}, lost {lost}"
                      for s in set(whole) | set(found) if not whole[s] - unsure - lost <= found[s] <= whole[s] + unsure]
            if not -unsure <= difference <= unsure + lost:
                wrong.append(lines[-1])
            if sum(whole.values()) < 10 * len(mine):
                wrong.append(f"{host.service}: hardly any traffic: {whole}")
            gauge = scrape.total("http_requests_in_flight", service=host.service)
            if gauge:
                wrong.append(f"{host.service}: {gauge} in flight when nothing is")
        lines.append("disturbances: " + ", ".join(f"{n} {k}" for k, n in sorted(self.events.items())))
        lines.append(f"{self.floor.scrapes} scrapes, no total fell, none above what was sent")
        assert not wrong, "\n".join(lines + wrong)
        return "\n".join(lines)

    def close(self):
        for host in self.hosts:
            host.close()


def mount_directory(test, size):
    """A tmpfs of its own for the regions, so that it can be filled."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=3773", "none", test.region_dir], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--clients", type=int, default=3, help="of each server")
    options = parser.parse_args()
    has_mounts = chaos.in_own_mounts()

    def soak(test):
        if has_mounts:
            mount_directory(test, "64m")
        run = Soak(test, options.seconds, options.clients, has_mounts)
        try:
            return run.run()
        finally:
            run.close()
            if has_mounts:
                for child in test.processes:
                    test.stop(child)
                subprocess.run(["umount", "-l", test.region_dir], check=False)
    soak.__name__ = "soak"
    sys.argv[1:] = []
    chaos.main([soak])


main()
