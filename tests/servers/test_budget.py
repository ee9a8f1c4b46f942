#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What regions take of tmpfs: a program that listens and is silent, programs that live for a moment. The figures
are those of docs/sizing.md; the truth is what the file system says that it gave away. Full services: tests/unit/test_budget.c."""
import concurrent.futures
import os
import subprocess

import harness
import sites

SILENT = 64 << 10


def files(test):
    return [entry for entry in os.scandir(test.region_dir) if entry.name.startswith("tb1-")]


def taken(entries):
    return sum(entry.stat().st_blocks * 512 for entry in entries)


def serve(test, name):
    address = (test.ip, test.port())
    child = test.start([sites.PYTHON, sites.APPS / "http_server.py", *address, "HTTP/1.1"], service=name)
    test.wait_for_port(address, child)
    return address


def silent(test):
    address = (test.ip, test.port())
    child = test.start([sites.PYTHON, "-c", f"import socket\ns = socket.create_server({address!r})\nwhile True: s.accept()[0].close()"])
    test.wait_for_port(address, child)
    size = taken(files(test))
    harness.report(0 < size <= SILENT, "a_silent_program_takes_no_more_than_64_KiB", f"{size} bytes")


def short_lived(test):
    """What lives for a moment leaves no file each: as many as ran at once, whatever their number; all are counted."""
    curl = harness.which("curl")
    address = serve(test, "server")
    before = {entry.name for entry in files(test)}
    env = test.env("client") | {"PATH": "/usr/bin"}
    def fetch(_):
        return subprocess.run([curl, "-s", "-o", "/dev/null", "--noproxy", "*", "http://%s:%d/hello" % address], env=env, check=False).returncode
    for count, at_once in ((60, 1), (940, 8)):
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            failed = sum(map(bool, pool.map(fetch, range(count))))
        left = [entry for entry in files(test) if entry.name not in before]
        harness.report(not failed and 1 <= len(left) <= at_once, f"{count}_programs_{at_once}_at_once_leave_that_many_files_at_most",
                       f"{len(left)} files, {failed} failed")
    size = taken(left)
    harness.report(0 < size <= SILENT * len(left), "what_they_leave_is_small", f"{size} bytes in {len(left)} files")
    test.start_exporter()
    counted = test.scrape().total("tickbird_connections_total", service="client") # curl makes one for each request
    harness.report(counted == 1000, "a_thousand_programs_are_counted", f"{counted:.0f}")


harness.main_special({f.__name__: f for f in (silent, short_lived)})
