# SPDX-License-Identifier: Apache-2.0
"""The measures of memory.sh: pages of the region file, and Private_* of /proc/PID/smaps, with and without the object."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "servers"))
import client  # noqa: E402  pylint: disable=wrong-import-position
import cost  # noqa: E402  pylint: disable=wrong-import-position
import harness  # noqa: E402  pylint: disable=wrong-import-position
import servers  # noqa: E402  pylint: disable=wrong-import-position

CONNECTIONS = 1200  # the packaged nginx.conf allows 768 for each of two workers
PAGE = 4096


def ask(conn, path):
    conn.send(client.request("GET", path, "localhost"))
    return conn.response("GET")


def nginx(preload):
    """Private bytes of an nginx worker after a request, those that CONNECTIONS more connections add to all, and workers."""
    test = harness.Test("memory")
    test.is_bare = not preload
    try:
        site = servers.SET_UPS["nginx_static"](test)
        if preload:
            print("region_bytes_silent", cost.region_bytes(test))
        warm = [client.Conn(site.address) for _ in range(8)]
        for conn in warm:
            ask(conn, "/hello")
        workers = harness.process_tree(test.processes[-1].pid)[1:]
        before = {pid: cost.private_bytes(pid) for pid in workers}
        conns = [client.Conn(site.address) for _ in range(CONNECTIONS)]
        for conn in conns:
            ask(conn, "/hello")
        after = {pid: cost.private_bytes(pid) for pid in workers}
        for conn in conns + warm:
            conn.close()
        return max(before.values()), sum(after.values()) - sum(before.values()), len(workers)
    finally:
        test.close()


def series():
    """Pages of the region per series: what is added beyond the first few by the same kind of traffic under more methods."""
    test = harness.Test("memory")
    try:
        site = servers.SET_UPS["nginx_static"](test)
        paths = ["/hello", "/", "/items/7", "/error", "/nocontent", "/missing", "/page.css", "/big.bin"]
        methods = ["GET"]
        used, counts, sent = [], [], 0
        test.start_exporter()
        for more in ([], ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "QUERY", "PROPFIND", "PURGE", "LOCK", "REPORT"]):
            methods += more
            conn = client.Conn(site.address)
            for method in methods:
                for path in paths * 40:
                    conn.send(client.request(method, path, "localhost", ["Content-Length: 0"]))
                    sent += 1
                    if conn.response(method).ends_connection:
                        conn.close()
                        conn = client.Conn(site.address)
            conn.close()
            counts.append(len(test.settled(test.service, sent).counts(test.service)))
            used.append(cost.region_bytes(test))
        print("region_bytes_per_series", round((used[1] - used[0]) / (counts[1] - counts[0])),
              f"{used[0]} bytes with {counts[0]} series, {used[1]} with {counts[1]}")
    finally:
        test.close()


def main():
    bare, bare_added, _ = nginx(False)
    loaded, loaded_added, workers = nginx(True)
    print("private_bytes_per_process", loaded - bare, f"nginx worker: {bare} without")
    # whole pages are counted: two of each process may be touched for the sake of a few bytes
    own = loaded_added - bare_added - workers * 2 * PAGE
    print("bytes_per_open_connection", max(0, round(own / CONNECTIONS)), f"nginx: {bare_added / CONNECTIONS:.0f} without")
    series()


main()
