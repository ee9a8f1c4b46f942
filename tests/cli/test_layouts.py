#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Regions of several layouts side by side in one directory: those of earlier agents count, a newer one is named and does no harm."""
import os
import re
import struct
import zlib

from cli_lib import EXPORTER, ROOT, Server, check, main, make_regions, test

MAGIC, VERSION, SECTION_COUNT, REGION_ID, UID, SECTIONS = 0, 8, 20, 32, 96, 1624  # offsets in the header
SECTION = struct.Struct("<IIQQ")  # type, version, offset, bytes


def golden(name="v1", kind="regions"):
    with open(os.path.join(ROOT, f"tests/data/{kind}/{name}.z"), "rb") as f:
        return bytearray(zlib.decompress(f.read()))


def put(s, number, region, service="00000000000000aa"):
    """As the region of one more program of this user; @service: the hash in the name of the file."""
    struct.pack_into("<Q", region, REGION_ID, 1000 + number)
    struct.pack_into("<I", region, UID, os.getuid())
    make_regions(s)
    path = os.path.join(s.regions, f"tb1-{os.getuid()}-{service}-{number}")
    with open(path, "wb") as f:
        for at in range(0, len(region), 4096):  # sparse, as an agent leaves it
            page = region[at:at + 4096]
            f.seek(at)
            if any(page):
                f.write(page)
        f.truncate(len(region))
    os.chmod(path, 0o660)


def scrape(s):
    done = s.run("--once", program=EXPORTER)
    check(done.code == 0 and not done.err, done)
    counts = {}
    for line in done.out.splitlines():
        found = re.match(r'http_requests_total\{service="shop",method="GET",route="(.*?)",status="(\d+)"\} ([1-9]\d*)$', line)
        if found:
            counts[found.group(1, 2)] = int(found.group(3))
    return counts, done.out


GOLDEN = {("/items/:id", "200"): 3, ("/about", "200"): 1, ("_unmatched", "404"): 1, ("/broken", "500"): 1}


@test
def an_earlier_region_counts_exactly(s):
    put(s, 0, golden())
    counts, text = scrape(s)
    check(counts == GOLDEN and 'tickbird_regions{state="dead"} 1\n' in text, counts)
    check('http_request_duration_seconds_count{service="shop",method="GET",route="/items/:id",status="200"} 3\n' in text, text)


@test
def regions_with_and_without_measures_add_up(s):
    put(s, 0, golden("v1-measures"))
    counts, text = scrape(s)
    label = 'service="shop",method="GET",route="/items/:id",status="200"'
    check(counts == GOLDEN, counts)
    for family in ("http_request_duration_seconds", "http_request_first_byte_seconds"):
        check([line.split()[-1] for line in text.splitlines() if line.startswith(f"{family}_bucket{{{label},le=")] == ["2", "3", "3", "3"], text)
    check(f"http_response_size_bytes_sum{{{label}}} 6\n" in text and f"http_request_size_bytes_count{{{label}}} 3\n" in text, text)
    put(s, 1, golden())
    check(scrape(s)[0] == {k: 2 * n for k, n in GOLDEN.items()}, counts)


@test
def a_newer_layout_is_named_and_the_others_count(s):
    put(s, 0, golden())
    newer = golden()
    version, = struct.unpack_from("<I", newer, VERSION)
    struct.pack_into("<I", newer, VERSION, version + 1)
    put(s, 1, newer)
    counts, text = scrape(s)
    check(counts == GOLDEN, counts)
    check('tickbird_unreadable_regions{reason="newer_layout"} 1\n' in text and 'tickbird_regions{state="dead"} 1\n' in text, text)


@test
def a_section_of_a_later_version_is_skipped(s):
    region = golden()
    count, = struct.unpack_from("<I", region, SECTION_COUNT)
    end = max(offset + size for _, _, offset, size in (SECTION.unpack_from(region, SECTIONS + i * SECTION.size) for i in range(count)))
    SECTION.pack_into(region, SECTIONS + count * SECTION.size, 200, 7, end, 4096)
    struct.pack_into("<I", region, SECTION_COUNT, count + 1)
    region += b"\xff" * (end + 4096 - len(region))
    struct.pack_into("<Q", region, 40, len(region))  # file_size
    put(s, 0, region)
    counts, text = scrape(s)
    check(counts == GOLDEN, counts, text)


@test
def earlier_regions_and_a_running_program_add_up(s):
    put(s, 0, golden())
    put(s, 1, golden())
    server = Server(s)
    check(server.get("/items/9") == 200 and server.get("/broken") == 500)
    counts, text = scrape(s)
    sums = {}
    for (route, status), n in counts.items():  # a new program has yet to learn the route
        key = (route.replace("/items/9", "/items/:id"), status)
        sums[key] = sums.get(key, 0) + n
    check(sums == {**{k: 2 * n for k, n in GOLDEN.items()}, ("/items/:id", "200"): 7, ("/broken", "500"): 3}, counts, text)


def of_shop(s):
    """The hash that agents give a region of service shop."""
    make_regions(s)
    Server(s).stop()
    (name,) = os.listdir(s.regions)
    os.unlink(os.path.join(s.regions, name))
    return name.split("-")[2]


def adopted(s, name, timed):
    """An earlier region of the service is taken over by a program of today, and everything goes on in it. @timed: of /items/:id."""
    put(s, 0, golden(name), of_shop(s))
    before = os.listdir(s.regions)
    server = Server(s)
    check([server.get(f"/items/{i}") for i in range(4, 9)] == [200] * 5 and server.get("/broken") == 500 and server.get("/new") == 200)
    counts, text = scrape(s)
    check(os.listdir(s.regions) == before and 'tickbird_regions{state="live"} 1\n' in text, text)
    check(counts == {**GOLDEN, ("/items/:id", "200"): 8, ("/broken", "500"): 2, ("/new", "200"): 1}, counts)
    check(f'http_request_duration_seconds_count{{service="shop",method="GET",route="/items/:id",status="200"}} {timed}\n' in text, text)
    server.stop()
    check(scrape(s)[0] == counts)


@test
def a_program_goes_on_in_an_earlier_region(s):
    adopted(s, "v1", 8)


@test
def a_program_goes_on_in_an_earlier_region_with_measures(s):
    adopted(s, "v1-measures", 5)  # it had bounds of its own, and today's program has not: that histogram begins anew


@test
def rules_of_an_earlier_exporter_are_obeyed(s):
    make_regions(s)
    rules = os.path.join(s.regions, "rules")
    with open(rules, "wb") as f:
        f.write(golden("v1", "rules"))
    os.chmod(rules, 0o644)
    server = Server(s)
    for path in ("/things/a", "/things/b", "/assets/x.js", "/static/a/b", "/reports/1", "/", "/healthz"):
        check(server.get(path) == 200, path)
    check(server.get("/orders/1", method="POST") == 200)
    counts, text = scrape(s)
    check(counts == {("/things/:thing", "200"): 2, ("/assets/:file.js", "200"): 1, ("/static/:rest", "200"): 1, ("/reports/:id", "200"): 1,
                     ("start", "200"): 1}, counts, text)
    check('http_requests_total{service="shop",method="POST",route="orders write",status="200"} 1\n' in text, text)
    check('tickbird_ignored_requests_total{service="shop"} 1\n' in text, text)
    reports = 'service="shop",method="GET",route="/reports/:id",status="200"'
    bounds = re.findall(r"http_request_duration_seconds_bucket\{" + re.escape(reports) + r',le="(.*?)"\}', text)
    check([float(b) for b in bounds] == [1, 5, float("inf")], bounds)
    check(f"http_response_size_bytes_sum{{{reports}}} 2\n" in text, text)


main()
