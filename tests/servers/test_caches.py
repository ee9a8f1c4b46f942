#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Hit rates of real caches: by the header that each of them sends (docs/rules.md, the rules are read from there), and by what the cache did not
ask its origin for, by examples/prometheus/cache.yml. Truth is what each cache writes into its own log; what the client was answered, and
what the origin was asked, must agree with it."""
import collections
import http.client
import http.server
import os
import pathlib
import random
import re
import shutil
import subprocess
import threading

import harness
import prom
import servers

ROOT = harness.HERE.parent.parent
MODULES = pathlib.Path("/usr/lib/apache2/modules")
PATHS = ["/page/1", "/page/2", "/page/3", "/page/4", "/private/1", "/missing/1"]


def rules_of_page():
    """The rules about caches in docs/rules.md."""
    text = (ROOT / "docs/rules.md").read_text(encoding="utf-8")
    return re.search(r"^## Caches$.*?^```yaml\n(.*?)^```$", text, re.M | re.S)[1]


class Origin:
    """What is behind a cache: pages that may be kept, and others. Counts what it is asked for."""

    def __init__(self, test):
        asked = self.asked = collections.Counter()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                asked[self.path] += 1
                body = f"page {self.path}\n".encode()
                self.send_response(404 if self.path.startswith("/missing") else 200)
                self.send_header("Cache-Control", "max-age=600" if self.path.startswith("/page") else "no-store")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((test.ip, 0), Handler)
        self.address = "%s:%d" % (test.ip, self.server.server_port)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def text_of(path):
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def lines_of(text, pattern):
    """(all lines, those that are hits) of a log."""
    lines = [line for line in text.splitlines() if "/" in line]
    return len(lines), sum(bool(re.match(pattern, line)) for line in lines)


# --- each starts a cache in front of @origin at @address; returns what its own log says: (answers, hits)

def nginx(test, address, origin, header="add_header X-Cache $upstream_cache_status always;"):
    kept, log = test.dir / "kept", test.dir / "cache.log"
    kept.mkdir()
    if os.getuid() == 0:
        shutil.chown(kept, "www-data")
    test.wait_for_port(address, servers.start_nginx(test, f"""
server {{
    listen {address[0]}:{address[1]};
    access_log {log} cache;
    location / {{ proxy_pass http://{origin.address}; proxy_cache c; {header} }}
}}""", http=f"proxy_cache_path {kept} keys_zone=c:1m;\nlog_format cache '$upstream_cache_status $uri';\n"))
    return lambda: lines_of(text_of(log), "HIT ")


def varnish(test, address, origin):
    program, reader = harness.which("varnishd"), harness.which("varnishncsa")
    harness.which("cc", "gcc")  # varnish compiles its configuration
    place = test.dir / "varnish"
    child = test.start([program, "-F", "-n", place, "-a", "%s:%d" % address, "-b", origin.address, "-s", "malloc,16m", "-p", "thread_pool_min=10",
                        "-p", "thread_pools=1", "-p", "vsl_space=16M"])
    test.wait_for_port(address, child)

    def said():
        """The log is in shared memory; what it has by now is read and written out."""
        told = subprocess.run([reader, "-n", place, "-d", "-F", "%{Varnish:hitmiss}x %U"], capture_output=True, text=True, timeout=60, check=False)
        return lines_of(told.stdout, "hit /")
    return said


def apache(test, address, origin):
    program, kept, log = harness.which("apache2"), test.dir / "kept", test.dir / "cache.log"
    kept.mkdir()
    if os.getuid() == 0:
        shutil.chown(kept, "www-data")
    load = "\n".join(f"LoadModule {m}_module {MODULES}/mod_{m}.so" for m in
                     ("mpm_event", "authz_core", "proxy", "proxy_http", "cache", "cache_disk"))
    user = "User www-data\nGroup www-data" if os.getuid() == 0 else ""
    conf = test.write("apache.conf", f"""
ServerName localhost
{load}
{user}
ServerRoot {test.dir}
PidFile {test.dir}/pid
DefaultRuntimeDir {test.dir}
Mutex file:{test.dir} default
ErrorLog {test.dir}/error
LogFormat "%{{cache-status}}e %U" cache
CustomLog {log} cache
KeepAliveTimeout 60
MaxKeepAliveRequests 0
Listen {address[0]}:{address[1]}
CacheRoot {kept}
CacheEnable disk /
CacheHeader on
ProxyPass / http://{origin.address}/ retry=0
""")
    test.wait_for_port(address, test.start([program, "-DFOREGROUND", "-f", conf]))
    return lambda: lines_of(text_of(log), "cache hit ")


def squid(test, address, origin):
    program, log = harness.which("squid"), test.dir / "logs"
    log.mkdir()
    if os.getuid() == 0:
        shutil.chown(log, "proxy")
    ip, port = origin.address.split(":")
    conf = test.write("squid.conf", f"""
http_port {address[0]}:{address[1]} accel defaultsite=app.example no-vhost
cache_peer {ip} parent {port} 0 no-query no-digest originserver name=app
acl all_of_them src 0.0.0.0/0
http_access allow all_of_them
cache_peer_access app allow all_of_them
never_direct allow all_of_them
cache_mem 8 MB
pid_filename none
pinger_enable off
netdb_filename none
visible_hostname cache.example
shutdown_lifetime 1 second
logformat own %Ss %rp
access_log stdio:{log}/access.log own
cache_log {log}/cache.log
cache_store_log none
coredump_dir {log}
""")
    test.wait_for_port(address, test.start([program, "-N", "-f", conf]))
    return lambda: lines_of(text_of(log / "access.log"), r"TCP_(MEM_)?HIT\S* /")


CACHES = {"nginx": nginx, "varnish": varnish, "apache": apache, "squid": squid}


# --- a client and its tally

def is_hit(headers):
    """What the answer says of itself, by the words of each cache; and by its age."""
    word = headers.get("X-Cache", "")
    return word.startswith("HIT") or len(headers.get("X-Varnish", "").split()) == 2


class Client:
    def __init__(self, address):
        self.conn = http.client.HTTPConnection(*address, timeout=60)
        self.answers = self.hits = self.with_age = self.older = 0

    def get(self, path):
        self.conn.request("GET", path)
        answer = self.conn.getresponse()
        answer.read()
        age = answer.headers.get("Age")
        self.answers += 1
        self.hits += is_hit(answer.headers)
        self.with_age += age is not None
        self.older += int(age or 0) > 0
        return int(age or 0)


def settled(test, asked):
    """The scrape in which all answers of the service are."""
    harness.until(lambda: test.scrape().total("http_requests_total", service=test.service) >= asked, "all answers are counted")
    return test.scrape()


def drive(test, name, start):
    origin, address = Origin(test), (test.ip, test.port())
    test.start_exporter("--config.file", test.write("config.yml", rules_of_page()))
    test.scrape()
    said, client = start(test, address, origin), Client(address)
    if name == "varnish":  # a page is a second old: from then on a hit has an age
        harness.until(lambda: client.get("/page/1") > 0, "a page has an age")
    rng = random.Random(f"{harness.SEED} {name}")
    for _ in range(150):
        client.get(rng.choice(PATHS))
    harness.until(lambda: said()[0] >= client.answers, f"the log is written: {said()}")
    return client, origin, said()


def by_header(name, start):
    def run(test):
        client, _, (answers, hits) = drive(test, name, start)
        scrape = settled(test, answers)
        of = {"service": test.service}
        found = (scrape.total("cache_answers_total", **of), scrape.total("cache_hits_total", **of))
        harness.report(found == (client.answers, client.hits) and (answers, hits) == found and 0 < hits < answers,
                       f"{name}_hits_are_those_of_its_log", f"Tickbird {found}, log {answers, hits}, client {client.answers, client.hits}")
        aged = (scrape.total("cache_aged_answers_total", **of), scrape.total("cache_aged_hits_total", **of))
        harness.report(aged == (client.with_age, client.older) and (name != "varnish" or client.older > 0), f"{name}_ages_are_the_answers",
                       f"Tickbird {aged}, client {client.with_age, client.older}")
        harness.check_promtool(name, scrape)
    return run


def by_difference(name, start):
    """No header is needed: what was served without asking the origin."""
    def run(test):
        _, origin, (answers, hits) = drive(test, name, start)
        scrape, of = settled(test, answers), {"service": test.service}
        served, asked = scrape.total("http_requests_total", **of), scrape.total("http_client_requests_total", **of)
        harness.report(served == answers and asked == sum(origin.asked.values()) and served - asked == hits, f"{name}_hits_are_what_the_origin_was_spared",
                       f"Tickbird {served} - {asked}, log {answers, hits}, origin {dict(origin.asked)}")
        series = prom.as_series(scrape, test.service, "http_requests_total", "http_client_requests_total", "http_client_errors_total")
        text = (ROOT / "examples/prometheus/cache.yml").read_text(encoding="utf-8").replace('"cache.*"', f'"{test.service}"')
        is_right, told = prom.rate_test(test, test.write("cache.yml", text), series, {
            f'service:cache_spared:ratio5m{{service="{test.service}"}}': hits / answers})
        harness.report(is_right, f"{name}_the_recording_rule_has_the_rate_of_the_log", "" if is_right else told)
    return run


def content_network(test):
    """What Cloudflare says, to who calls through it: CF-Cache-Status, written here by nginx."""
    origin, address = Origin(test), (test.ip, test.port())
    test.start_exporter("--config.file", test.write("config.yml", rules_of_page()))
    test.scrape()
    test.is_bare = True  # nobody rides on what is far away
    said = nginx(test, address, origin, "add_header CF-Cache-Status $upstream_cache_status always;")
    test.is_bare = False
    caller = """
import http.client, sys
conn = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=60)
for n in range(60):
    conn.request("GET", f"/page/{n % 7}")
    conn.getresponse().read()
"""
    child = test.start([harness.which("python3"), "-c", caller, *address])
    assert child.wait(120) == 0, test.log_of(child)
    harness.until(lambda: said()[0] >= 60, "the log is written")
    found = {labels["result"]: value for labels, value in test.scrape().values("cdn_answers_total", service=test.service)}
    harness.report(found == {"HIT": said()[1], "MISS": 60 - said()[1]} and said()[1] == 53, "a_content_networks_word_is_a_label", f"{found}, log {said()}")


def cold(test):
    """A cache that only missed has a rate of 0, one that was asked nothing has none."""
    rules = ROOT / "examples/prometheus/cache.yml"
    done = subprocess.run([harness.which("promtool"), "check", "rules", rules], capture_output=True, text=True, check=False)
    harness.report(done.returncode == 0, "the_rules_load", done.stdout + done.stderr)
    of = 'service="cache-1"'
    wrong = []
    for series, ratio in (({f"http_requests_total{{{of}}}": 30, f"http_client_requests_total{{{of}}}": 30}, 0.0),
                          ({f"http_requests_total{{{of}}}": 30, f"http_client_requests_total{{{of}}}": 45}, 0.0),  # tried twice
                          ({f"http_requests_total{{{of}}}": 30, f"http_client_errors_total{{{of}}}": 3}, 0.9),
                          ({f"http_requests_total{{{of}}}": 30}, 1.0)):
        is_right, told = prom.rate_test(test, rules, series, {"service:cache_spared:ratio5m": ratio})
        wrong += [] if is_right else [told]
    is_right, told = prom.rate_test(test, rules, {f"http_requests_total{{{of}}}": 0}, {"count(service:cache_spared:ratio5m) or vector(0)": 0.0})
    harness.report(is_right and not wrong, "a_cold_cache_has_a_rate_of_zero_and_an_idle_one_none", told + "\n".join(wrong))


harness.main_special({**{name: by_header(name, start) for name, start in CACHES.items()},
                      **{f"{name}_spared": by_difference(name, start) for name, start in CACHES.items()},
                      "content_network": content_network, "cold": cold})
