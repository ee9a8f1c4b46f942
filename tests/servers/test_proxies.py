#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Reverse proxies: what one process serves and what it calls in turn are two sets of series under one service. The first equals what
the client saw, the second what the server behind has counted itself; a server that goes down is told by reason."""
import collections
import http.client
import pathlib
import sys

import harness

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "apps"))
import tally_server  # pylint: disable=wrong-import-position

PATHS = ("/items/1", "/items/22", "/missing", "/error", "/chunked", "/big")


def nginx(test, address, behind):
    conf = test.write("nginx.conf", f"""
daemon off; worker_processes 2; pid {test.dir}/pid; error_log {test.dir}/error crit;
events {{ worker_connections 128; }}
http {{
  access_log off; client_body_temp_path {test.dir}/b; proxy_temp_path {test.dir}/p; fastcgi_temp_path {test.dir}/f;
  uwsgi_temp_path {test.dir}/u; scgi_temp_path {test.dir}/s;
  upstream app.example {{ server {behind}; keepalive 4; }}
  server {{ listen {address[0]}:{address[1]};
    location / {{ proxy_pass http://app.example; proxy_http_version 1.1; proxy_set_header Connection ""; }} }}
}}""")
    return [harness.which("nginx"), "-p", test.dir, "-c", conf], "app.example"


def haproxy(test, address, behind):
    conf = test.write("haproxy.cfg", f"""
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    retries 0
frontend front
    bind {address[0]}:{address[1]}
    default_backend app
backend app
    http-request set-header Host app.example
    server one {behind}
""")
    return [harness.which("haproxy"), "-db", "-f", conf], "app.example"


def apache(test, address, behind):
    modules = pathlib.Path("/usr/lib/apache2/modules")
    program = harness.which("apache2")
    load = "\n".join(f"LoadModule {m}_module {modules}/mod_{m}.so" for m in ("mpm_event", "authz_core", "proxy", "proxy_http"))
    conf = test.write("apache.conf", f"""
ServerName localhost
{load}
ServerRoot {test.dir}
PidFile {test.dir}/pid
DefaultRuntimeDir {test.dir}
ErrorLog {test.dir}/error
Listen {address[0]}:{address[1]}
ProxyPass / http://{behind}/ retry=0
""")
    return [program, "-DFOREGROUND", "-f", conf], behind


def ask(address, path):
    connection = http.client.HTTPConnection(*address, timeout=60)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def counted(test):
    """route, status -> count, of what was called."""
    out = collections.Counter()
    for labels, value in test.scrape().values("http_client_requests_total", service=test.service):
        if value:
            out[tuple(labels[k] for k in ("target", "method", "route", "status"))] += int(value)
    return out


def compare(name, expected, found):
    wrong = harness.difference(expected, found)
    harness.report(not wrong and bool(expected), name, wrong)


def errors(test):
    return {(labels["target"], labels["reason"]): int(value)
            for labels, value in test.scrape().values("http_client_errors_total", service=test.service)}


def proxy(name, configure):
    def one(test):
        behind = tally_server.Tally((test.ip, 0))
        address = (test.ip, test.port())
        argv, target = configure(test, address, behind.base)
        child = test.start(argv)
        test.wait_for_port(address, child)
        test.start_exporter()
        seen = collections.Counter()
        for path in PATHS * 3:
            code = ask(address, path)
            seen[("GET", "_unmatched" if code == 404 else "/items/:id" if "items" in path else path, str(code))] += 1
        compare(f"{name}_serves_what_the_client_saw", seen, test.settled(test.service, sum(seen.values())).counts(test.service))
        try:
            harness.until(lambda: counted(test) == behind.counts, "all is counted")
        except AssertionError:
            pass
        compare(f"{name}_calls_what_the_server_behind_counted", behind.counts, counted(test))
        harness.report(not errors(test), f"{name}_has_no_errors_yet", str(errors(test)))
        behind.stop()
        codes = {ask(address, "/items/1") for _ in range(3)}
        found = errors(test)
        harness.report(codes <= {502, 503} and found.get((target, "refused"), 0) >= 3 - found.get((target, "closed"), 0) > 0,
                       f"{name}_tells_that_its_server_is_gone", f"{codes} {found}")
        up = {labels["target"]: value for labels, value in test.scrape().values("dependency_up", service=test.service)}
        harness.report(up == {target: 0}, f"{name}_server_is_down", str(up))
    return one


harness.main_special({"nginx": proxy("nginx", nginx), "haproxy": proxy("haproxy", haproxy), "apache": proxy("apache", apache)})
