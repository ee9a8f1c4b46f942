# SPDX-License-Identifier: Apache-2.0
"""Sends a few thousand requests, then prints what was sent beside what Prometheus read, and what its rules say.

Arguments: the ports of nginx, the Python server, the exporter and Prometheus. Exit status 1 when a count differs.
"""
import collections
import http.client
import json
import random
import re
import sys
import threading
import time
import urllib.parse
import urllib.request

NGINX, PYTHON, EXPORTER, PROMETHEUS = map(int, sys.argv[1:5])
sent = collections.Counter()  # (service, method, route, status)
lock = threading.Lock()


def client(service, port, requests):
    conn = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    for method, path, route, body in requests:
        conn.request(method, path, body)
        answer = conn.getresponse()
        answer.read()
        with lock:
            sent[(service, method, "_unmatched" if answer.status == 404 else route, str(answer.status))] += 1
    conn.close()


def requests_of(service, rng, count):
    pages = {
        "shop": [("GET", lambda: "/", "/", 6), ("GET", lambda: "/page.html", "/page.html", 10),
                 ("GET", lambda: "/img/logo.png", "/img/logo.png", 4), ("GET", lambda: f"/old/{rng.randrange(10**6)}", "", 1),
                 ("POST", lambda: "/checkout", "/checkout", 2), ("GET", lambda: "/cart", "/cart", 1)],
        "api": [("GET", lambda: f"/users/{rng.randrange(1, 10**6)}", "/users/:id", 8),
                ("GET", lambda: f"/users/{rng.randrange(1, 10**6)}/orders", "/users/:id/orders", 3),
                ("POST", lambda: f"/users/{rng.randrange(1, 10**6)}", "/users/:id", 2), ("GET", lambda: "/report", "/report", 1)],
    }[service]
    for method, path, route, _ in rng.choices(pages, [p[3] for p in pages], k=count):
        yield method, path(), route, b"item=1" if method == "POST" else None


def ask(expression):
    url = f"http://127.0.0.1:{PROMETHEUS}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)["data"]["result"]


def scraped():
    with urllib.request.urlopen(f"http://127.0.0.1:{EXPORTER}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = collections.Counter()
    for service, method, route, status, value in re.findall(
            r'^http_requests_total\{service="(\w+)",method="(\w+)",route="([^"]*)",status="(\d+)"\} (\d+)', text, re.M):
        if int(value):
            found[(service, method, route, status)] += int(value)
    return found


def main():
    seed = random.randrange(1 << 30)
    # the two requests by which run.sh saw that the servers are up
    sent[("shop", "GET", "/", "200")] += 1
    sent[("api", "GET", "/health", "200")] += 1
    for _ in range(4):  # over a few scrapes, so that there is a rate to see
        threads = [threading.Thread(target=client, args=(s, p, list(requests_of(s, random.Random(f"{seed}{n}{s}{_}"), c))))
                   for s, p, c in (("shop", NGINX, 400), ("api", PYTHON, 70)) for n in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    total = sum(sent.values())
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and [r["value"][1] for r in ask("sum(http_requests_total)")] != [str(total)]:
        time.sleep(0.1)

    found = scraped()
    print(f"{'service':8} {'method':7} {'route':20} {'status':6} {'client':>8} {'tickbird':>9}")
    for key in sorted(set(sent) | set(found)):
        mark = "" if sent[key] == found[key] else "   <-- differs"
        print(f"{key[0]:8} {key[1]:7} {key[2]:20} {key[3]:6} {sent[key]:8} {found[key]:9}{mark}")
    print(f"{total} requests sent, {sum(found.values())} counted: {'equal in every line' if sent == found else 'NOT EQUAL'}")

    print("\nWhat Prometheus computes from it")
    for result in ask('sum by (service) (rate(http_requests_total[1m]))'):
        print(f"  requests per second, {result['metric']['service']:5} {float(result['value'][1]):10.1f}")
    for result in ask("histogram_quantile(0.95, sum by (le, service, route) (rate(http_request_duration_seconds_bucket[1m]))) > 0"):
        metric = result["metric"]
        print(f"  p95 of {metric['service']:4} {metric['route']:20} {float(result['value'][1]) * 1000:8.2f} ms")
    for name in ("job:request_duration_p95:rate5m", "job:availability:ratio1h"):
        for result in ask(name):
            print(f"  {name:32} {float(result['value'][1]):10.4f}")
    for result in ask("job:request_errors:rate5m > 0"):
        print(f"  job:request_errors:rate5m        {float(result['value'][1]):10.4f}   {result['metric']['service']} {result['metric']['route']}")
    return 0 if sent == found else 1


sys.exit(main())
