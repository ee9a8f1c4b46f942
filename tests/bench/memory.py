# SPDX-License-Identifier: Apache-2.0
"""The measures of memory.sh: pages of the region file, and Private_* of /proc/PID/smaps, with and without the object."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "servers"))
import client  # noqa: E402  pylint: disable=wrong-import-position
import harness  # noqa: E402  pylint: disable=wrong-import-position
import servers  # noqa: E402  pylint: disable=wrong-import-position

CONNECTIONS = 400


def region_bytes(test):
    return sum(f.stat().st_blocks * 512 for f in test.region_dir.iterdir())


def private_bytes(pid):
    """Private pages of a process, without the region, which is shared."""
    total, in_region = 0, False
    for line in open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace"):
        words = line.split()
        if "-" in words[0] and not words[0].endswith(":"):
            in_region = "/dev/shm/" in line
        elif words[0] in ("Private_Clean:", "Private_Dirty:") and not in_region:
            total += int(words[1]) * 1024
    return total


def ask(conn, path):
    conn.send(client.request("GET", path, "localhost"))
    return conn.response("GET")


def nginx(preload):
    """Private bytes of an nginx worker after a request, and per connection with CONNECTIONS open."""
    test = harness.Test("memory")
    test.is_bare = not preload
    try:
        site = servers.SET_UPS["nginx_static"](test)
        if preload:
            print("region_bytes_silent", region_bytes(test))
        warm = [client.Conn(site.address) for _ in range(8)]
        for conn in warm:
            ask(conn, "/hello")
        workers = harness.process_tree(test.processes[-1].pid)[1:]
        before = {pid: private_bytes(pid) for pid in workers}
        conns = [client.Conn(site.address) for _ in range(CONNECTIONS)]
        for conn in conns:
            ask(conn, "/hello")
        after = {pid: private_bytes(pid) for pid in workers}
        for conn in conns + warm:
            conn.close()
        return max(before.values()), (sum(after.values()) - sum(before.values())) / CONNECTIONS
    finally:
        test.close()


def series():
    """Pages of the region per series, with the demo's mix: few routes, several statuses, durations of two decades."""
    test = harness.Test("memory")
    try:
        site = servers.SET_UPS["nginx_static"](test)
        silent = region_bytes(test)
        conn = client.Conn(site.address)
        for path in ["/hello", "/", "/items/7", "/error", "/nocontent", "/missing", "/page.css", "/big.bin"] * 60:
            if ask(conn, path).ends_connection:
                conn.close()
                conn = client.Conn(site.address)
        conn.close()
        test.start_exporter()
        count = len(test.settled(test.service, 480).counts(test.service))
        used = region_bytes(test) - silent
        print("region_bytes_per_series", round(used / count), f"{used} bytes, {count} series")
    finally:
        test.close()


def main():
    bare, bare_each = nginx(False)
    loaded, loaded_each = nginx(True)
    print("private_bytes_per_process", loaded - bare, f"nginx worker: {bare} without")
    print("bytes_per_open_connection", max(0, round(loaded_each - bare_each)), f"nginx: {bare_each:.0f} without, in pages")
    series()


main()
