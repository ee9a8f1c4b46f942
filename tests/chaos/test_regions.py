#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The region directory missing, unwritable, full, on a disk; region files that are garbage, hostile or cut; namespaces.

The server answers everything and ends as it would without us; the exporter counts what it can read and says what it cannot.
"""
import collections
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

import chaos
import client
import harness
import servers

HAS_OWN_MOUNTS = chaos.in_own_mounts()


def traffic(address, record, requests=40, connections=4):
    """Requests by turns on some connections, all answered in full and counted; what was answered goes into @record."""
    conns = [client.Conn(address) for _ in range(connections)]
    for i in range(requests):
        path = ["/small", "/large", "/missing", "/broken"][i % 4 if i % 7 else 0]
        response = chaos.get(conns[i % connections], path)
        assert response.is_complete, f"{path}: {response.body_bytes} bytes only"
        record[("GET", "_unmatched" if path == "/missing" else path, str(response.status))] += 1
    for conn in conns:
        conn.finish()


def alive(child):
    assert child.poll() is None, f"ended with {child.returncode}"
    for pid in harness.process_tree(child.pid):
        assert os.path.exists(f"/proc/{pid}")


def doctor(child, **env):
    done = subprocess.run([chaos.COMMAND, "doctor", str(child.pid)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={**os.environ, "LC_ALL": "C", **env}, check=False, timeout=60)
    return done.returncode, done.stdout.decode()


def serves_unobserved(test, where, reason):
    """A server whose directory is @where: answers all, says nothing, and doctor says why."""
    child, at = chaos.start_small(test, "sendfile", "prefork", env={"TICKBIRD_DIR": str(where)})
    said = pathlib.Path(child.log).read_bytes()
    traffic(at, collections.Counter())
    alive(child)
    code, text = doctor(child)
    assert code == 1 and re.search(reason, text), f"doctor: exit {code}: {text}"
    assert pathlib.Path(child.log).read_bytes() == said, "something was written to the server's output"
    return text.strip().splitlines()[0]


def directory_missing(test):
    return serves_unobserved(test, test.region_dir / "no" / "such", r"no such|does not exist|missing|cannot be opened|No such")


def exporter_says_that_its_directory_is_missing(test):
    where = test.region_dir / "mistyped"
    child = chaos.start_exporter(test, region_dir=where)
    harness.until(lambda: re.search(r"level=warn .*%s" % where, test.log_of(child)), "the exporter says so")
    where.mkdir(0o700)
    _, at = chaos.start_small(test, "read", "single", env={"TICKBIRD_DIR": str(where)})
    record = collections.Counter()
    traffic(at, record, connections=1)
    found = test.settled(test.service, sum(record.values())).counts(test.service)
    assert found == record, harness.difference(record, found)


def exporter_says_that_its_directory_is_unfit(test):
    """One line, as status and doctor have it; a directory that is fit is not mentioned."""
    disk, unsafe = test.dir / "regions", test.region_dir / "unsafe"
    disk.mkdir(0o700)
    unsafe.mkdir()
    unsafe.chmod(0o777)
    kind = subprocess.run(["stat", "-f", "-c", "%T", disk], capture_output=True, check=False).stdout.strip()
    for where, why in ((disk, "disk file system"), (unsafe, "no sticky bit"), (test.region_dir, None)):
        if where == disk and kind in (b"tmpfs", b"ramfs"):
            continue
        child = chaos.start_exporter(test, region_dir=where)
        warnings = re.compile(r"level=warn .*%s .*" % where)
        if why:
            harness.until(lambda: warnings.search(test.log_of(child)), f"the exporter says: {why}")
        test.scrape()  # by then it has looked
        said = warnings.findall(test.log_of(child))
        assert len(said) == bool(why) and (not why or why in said[0]), test.log_of(child)
        done = subprocess.run([harness.BUILD / "tickbird", "status"], env=test.env() | {"LD_PRELOAD": "", "TICKBIRD_DIR": str(where)},
                              capture_output=True, text=True, check=False)
        assert (f"\n{where}: " in done.stdout) == bool(why) and (not why or why in done.stdout), done


def directory_unwritable(test):
    """nginx drops its rights and its packaged user may not write; a program of that user finds no directory either."""
    if os.getuid() != 0:
        raise harness.Missing("needs root")
    test.region_dir.chmod(0o755)
    user = ["setpriv", "--reuid", "65534", "--clear-groups"]
    # the build directory need not be open to that user, what is run must be
    shutil.copy(chaos.small_server(), test.dir / "server")
    shutil.copy(harness.OBJECT, test.dir / "libtickbird.so")
    child = test.start([*user, test.dir / "server", "read", "prefork"],
                       env={"LD_PRELOAD": str(test.dir / "libtickbird.so")})
    port = int(harness.until(lambda: pathlib.Path(child.log).read_text(encoding="ascii").strip(), "the server listens"))
    traffic(("127.0.0.1", port), collections.Counter())
    alive(child)
    assert not os.listdir(test.region_dir)
    code, text = doctor(child)
    if "no right to look into" in text:  # root of a container is not everybody's
        raise harness.Missing("root may not look into another user's process")
    assert code == 1 and re.search(r"write|ermission", text), f"doctor: exit {code}: {text}"
    return text.strip().splitlines()[0]


def directory_on_a_disk(test):
    where = pathlib.Path(tempfile.mkdtemp(dir="/var/tmp"))
    where.chmod(0o3773 if os.getuid() == 0 else 0o700)
    try:
        if subprocess.run(["stat", "-f", "-c", "%T", where], stdout=subprocess.PIPE, check=True).stdout.strip() == b"tmpfs":
            raise harness.Missing("/var/tmp is a tmpfs")
        said = serves_unobserved(test, where, r"tmpfs|disk")
        assert not os.listdir(where)
        return said
    finally:
        chaos.remove(where)


def small_tmpfs(test, size):
    if not HAS_OWN_MOUNTS:
        raise harness.Missing("mounts are not permitted here")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=3773", "none", test.region_dir], check=True)
    close = test.close

    def close_and_unmount():
        for child in reversed(test.processes):
            test.stop(child)
        subprocess.run(["umount", "-l", test.region_dir], check=False)
        close()
    test.close = close_and_unmount


def fill(test):
    """Takes the last page of the tmpfs. Returns the bytes it took."""
    taken = 0
    with open(test.region_dir / "filler", "wb", buffering=0) as f:
        try:
            while True:
                taken += f.write(b"\1" * 4096)
        except OSError:
            return taken


def ends_normally(test, child):
    child.send_signal(signal.SIGQUIT)
    assert child.wait(60) == 0, f"exit {child.returncode}: {test.log_of(child)}"


def nginx_all(address, times):
    conns = [client.Conn(address) for _ in range(4)]
    for i in range(times):
        response = chaos.get(conns[i % 4], ["/hello", "/items/7", "/missing", "/nocontent", "/big.bin"][i % 5])
        assert response.is_complete
    for conn in conns:
        conn.close()


def directory_full_from_the_start(test):
    small_tmpfs(test, "64k")
    fill(test)
    site = servers.nginx_static(test)
    child = test.processes[-1]
    nginx_all(site.address, 200)
    # nginx writes its title over its environment: doctor cannot see the directory, says so, and takes the caller's
    code, text = doctor(child)
    assert code == 1 and "environment" in text and "TICKBIRD_DIR" in text, f"doctor: exit {code}: {text}"
    code, text = doctor(child, TICKBIRD_DIR=str(test.region_dir))
    assert code == 1 and "file system is full" in text, f"doctor: exit {code}: {text}"
    ends_normally(test, child)
    return text.strip().splitlines()[0]


def directory_full_while_serving(test):
    small_tmpfs(test, "256k")
    site = servers.nginx_static(test)
    child = test.processes[-1]
    chaos.start_exporter(test)
    conn = client.Conn(site.address)
    for _ in range(50):
        assert chaos.get(conn, "/hello").status == 200
    conn.close()
    counted = test.settled(test.service, 50).counts(test.service)
    assert counted == {("GET", "/hello", "200"): 50}, counted
    fill(test)
    # new routes, statuses and methods want pages that there are not
    conn = client.Conn(site.address)
    for i in range(600):
        method, path = [("GET", "/hello"), ("HEAD", f"/items/{i}"), ("PUT", f"/hello/{i}"), ("GET", "/nocontent"),
                        ("GET", f"/area{i}/page"), ("OPTIONS", "/error")][i % 6]
        response = chaos.get(conn, path, method)
        assert response.is_complete
        if response.ends_connection:
            conn.close()
            conn = client.Conn(site.address)
    conn.close()
    alive(child)
    scrape = test.settled(test.service, 650)
    total, lost = sum(scrape.counts(test.service).values()), scrape.total("tickbird_lost_requests_total", service=test.service)
    refused = scrape.total("tickbird_pages_refused_total", service=test.service)
    assert total + lost == 650, f"{total} counted, {lost:g} lost, of 650"
    # where the second worker's shard found no page for a series, its requests are among the lost ones
    assert 50 <= scrape.counts(test.service)[("GET", "/hello", "200")] <= 150, scrape.counts(test.service)
    assert refused > 0, "no page was refused: the test did not fill the directory"
    ends_normally(test, child)
    return f"{total} counted, {lost:g} counted as lost, {refused:g} pages refused"


# ---- files that are not what they seem ----

def region_files(test):
    return [p for p in test.region_dir.iterdir() if p.is_file() and not p.is_symlink()]


def hostile_files(test):
    """The regions of others are unreadable in every way; the one good one is read, and the exporter lives."""
    random_ = chaos.rng("hostile")
    child, at = chaos.start_small(test, "read", "prefork")
    record = collections.Counter()
    traffic(at, record)
    good = region_files(test)[0]
    image = good.read_bytes()
    name = re.sub(r"\d+$", "", good.name)
    exporter = chaos.start_exporter(test, "--fold-after", "50ms", "--unlink-after", "100ms")
    at_first = test.scrape().total("tickbird_unreadable_regions")

    def put(content, size=None):
        path = test.region_dir / f"{name}{random_.randrange(10**6, 10**9)}"
        path.write_bytes(content)
        path.chmod(0o660)
        if size is not None:
            os.truncate(path, size)
        return path

    planted = [put(b""), put(b"x"), put(random_.randbytes(4096)), put(random_.randbytes(len(image))), put(image[:100]),
               put(image[:4095]), put(image[:4096]), put(image[:len(image) // 2]), put(b"", 1 << 40), put(image, 1 << 40),
               put(image[:8] + b"\xff\xff\0\0" + image[12:])]
    for i, make in enumerate((lambda p: p.symlink_to(good), os.mkfifo, os.mkdir, lambda p: p.symlink_to("/dev/zero"),
                              lambda p: p.symlink_to(p))):
        make(test.region_dir / f"{name}{i + 20}")
    scrape = test.scrape()
    assert scrape.total("tickbird_unreadable_regions") - at_first >= len(planted) - 2, scrape.text
    assert dict(scrape.counts(test.service)) == record or \
        sum(scrape.counts(test.service).values()) >= sum(record.values()), scrape.counts(test.service)
    for path in planted:
        path.unlink(missing_ok=True)

    # words of a true region changed at random: whatever it counts is its own affair; the exporter neither dies nor hangs
    for _ in range(60):
        changed = bytearray(image)
        for _ in range(random_.choice([1, 3, 30])):
            at_word = random_.choice([random_.randrange(0, 4096, 4), random_.randrange(0, len(image) - 8, 8)])
            changed[at_word:at_word + 4] = random_.choice([b"\xff" * 4, bytes(4), random_.randbytes(4), b"\xff\xff\xff\x7f"])
        path = put(bytes(changed))
        if random_.random() < 0.3:
            os.truncate(path, random_.randrange(len(image)))
        test.scrape()  # within its 60 s
        path.unlink(missing_ok=True)
    assert exporter.poll() is None
    for command in (["status"], ["status", "--json"]):
        done = subprocess.run([chaos.COMMAND, *command, "--dir", test.region_dir], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False, timeout=60)
        assert done.returncode in (0, 1), done
    alive(child)
    traffic(at, record)
    return f"{len(planted)} planted, 60 changed"


def region_cut_by_its_owner(test):
    """The exporter reads a region while its owner truncates it and writes it again; the program is gone by then. Totals that
    fall restart at 0, as those of a lost region do; another service is not touched."""
    child, at = chaos.start_small(test, "read", "single")
    record = collections.Counter()
    traffic(at, record, connections=1)
    image = region_files(test)[0].read_bytes()
    test.stop(child, signal.SIGKILL)
    victim = region_files(test)[0]
    _, at = chaos.start_small(test, "read", "single", service="other")
    other = collections.Counter()
    traffic(at, other, connections=1)
    exporter = chaos.start_exporter(test, "--fold-after", "1h")
    assert test.scrape().counts(test.service) == record
    over, seen, scrapes = [], {True}, [0]

    def scrape():
        try:
            deadline = time.monotonic() + 120
            while len(seen) < 2 or scrapes[0] < 150:
                assert time.monotonic() < deadline, "no cut was seen"
                scrape = test.scrape()
                scrapes[0] += 1
                found = scrape.counts(test.service)
                assert not found - record, f"more than there was: {found - record}"
                seen.add(sum(found.values()) == sum(record.values()))
                assert scrape.counts("other") == other, harness.difference(other, scrape.counts("other"))
        finally:
            over.append(1)

    def cut():
        random_ = chaos.rng("cut")
        while not over:
            with open(victim, "r+b") as f:
                f.truncate(random_.randrange(len(image)))
                f.seek(0)
                f.write(image)

    chaos.in_threads([scrape, cut])
    assert exporter.poll() is None, test.log_of(exporter)
    lost = test.scrape().total("tickbird_exporter_service_restarts_total")
    assert lost > 0
    return f"{lost:g} restarts of the service's totals"


# ---- namespaces ----

def exporter_in_namespaces_of_its_own(test):
    """Only the directory is shared: another pid, mount and user namespace (as containers have them)."""
    wrap = chaos.require_unshare("-Urpmf", "--mount-proc", "--kill-child")
    child, at = chaos.start_small(test, "sendfile", "prefork")
    record = collections.Counter()
    exporter = chaos.start_exporter(test, "--fold-after", "100ms", wrap=wrap)
    traffic(at, record)
    found = test.settled(test.service, sum(record.values())).counts(test.service)
    assert found == record, harness.difference(record, found)
    # a region with a living owner must not be folded, though its pids are nobody's there
    floor = chaos.Floor()
    for _ in range(20):
        floor.check(test.scrape())
        time.sleep(0.02)  # some foldings' time; nothing depends on it
    assert test.scrape().total("tickbird_regions", state="live") == 1
    traffic(at, record)
    test.settled(test.service, sum(record.values()))  # the client may have an answer before the server has counted it
    test.stop(child, signal.SIGKILL)
    harness.until(lambda: test.scrape().total("tickbird_regions", state="live") == 0, "the region is seen to be dead")
    scrape = test.scrape()
    floor.check(scrape)
    found = scrape.counts(test.service)
    assert found == record, harness.difference(record, found)
    assert exporter.poll() is None


def server_in_namespaces_of_its_own(test):
    wrap = chaos.require_unshare("-Urpmf", "--mount-proc", "--kill-child")
    child, at = chaos.start_small(test, "read", "prefork", wrap=wrap)
    chaos.start_exporter(test)
    record = collections.Counter()
    traffic(at, record)
    scrape = test.settled(test.service, sum(record.values()))
    found = scrape.counts(test.service)
    assert found == record, harness.difference(record, found)
    assert scrape.total("http_requests_in_flight", service=test.service) == 0
    alive(child)


chaos.main([directory_missing, exporter_says_that_its_directory_is_missing, exporter_says_that_its_directory_is_unfit, directory_unwritable, directory_on_a_disk, directory_full_from_the_start,
            directory_full_while_serving, hostile_files, region_cut_by_its_owner, exporter_in_namespaces_of_its_own,
            server_in_namespaces_of_its_own])
