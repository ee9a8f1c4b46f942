#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""TLS beyond one server and its ordinary clients: HTTP/2 inside it, plain HTTP on its port, handshakes that fail, libraries that
come late or go and come back with a reload, early data, and programs that are clients of it."""
import os
import signal
import socket
import ssl
import subprocess

import client
import harness
import servers
import sites
import tls_socket


def check(name, wrong):
    harness.report(not wrong, name, str(wrong or ""))


def get(test, address, path, record=True):
    """One GET on a connection of its own; recorded."""
    conn = client.Conn(address)
    conn.send(client.request("GET", path, "localhost", ["Connection: close"]))
    response = conn.response("GET")
    conn.close()
    if record:
        test.record.add("GET", path, response.status)
    return response


def compare(test, name):
    expected = +test.record.counts
    scrape = test.settled(test.service, sum(expected.values()))
    harness.report(scrape.counts(test.service) == expected, name, harness.difference(expected, scrape.counts(test.service)))
    return scrape


def start_nginx(test, settings, more="", **options):
    """nginx with TLS; answers /hello by itself. Returns the process and the address."""
    test.tls = servers.make_certificate(test)
    address = (test.ip, test.port())
    child = servers.start_nginx(test, f"""
server {{
    listen {address[0]}:{address[1]} {settings};
    {more}
    location = /hello {{ return 200 "hello\\n"; }}
    location = /early {{ return 200 "$ssl_early_data\\n"; }}
}}""", **options)
    test.wait_for_port(address, child)
    return child, tls_socket.Address(address)


def curl(address, path, *options):
    done = subprocess.run([harness.which("curl"), "-sk", "--max-time", "30", *options, "https://%s:%d%s" % (*address, path)], capture_output=True, check=False)
    assert done.returncode == 0, done
    return done.stdout.decode()


def http2(test):
    """Agreed in the handshake: such a connection counts as one that is not read, and nothing on it as a request."""
    _, address = start_nginx(test, "ssl http2")
    test.start_exporter()
    for _ in range(3):
        said = curl(address, "/hello", "--http2", "-w", "%{http_version}")
        assert said.endswith("2"), said
    get(test, address, "/hello")
    scrape = compare(test, "http2_counts_no_request")
    given_up = scrape.total("tickbird_connections_given_up_total", service=test.service, reason="http2")
    check("http2_connections_are_said", given_up != 3 and given_up)


def port_and_protocol(test):
    """Plain HTTP on a TLS port is answered in clear and counts; a handshake that fails is one that failed, and no request."""
    _, address = start_nginx(test, "ssl", "ssl_protocols TLSv1.2;")
    test.start_exporter()
    plain = client.Conn(tuple(address))
    plain.send(client.request("GET", "/hello", "localhost"))
    test.record.add("GET", "/hello", plain.response("GET").status)
    plain.close()
    failed = 0
    for _ in range(4):
        with socket.create_connection(tuple(address), 30) as sock:
            try:
                tls_socket.TlsSocket(sock, ssl.TLSVersion.TLSv1_3)
            except OSError:
                failed += 1
    assert failed == 4, failed
    get(test, address, "/hello")
    scrape = compare(test, "plain_http_on_a_tls_port_counts")
    told = scrape.total("tickbird_tls_handshakes_failed_total", service=test.service)
    check("failed_handshakes_are_said", told != failed and f"{told} of {failed}")


def late_library(test):
    """The first connection that brings the library along is counted as all others are."""
    test.tls = servers.make_certificate(test)
    ports = test.port(), test.port()
    child = test.start([sites.PYTHON, sites.APPS / "late_tls.py", test.ip, *ports, *test.tls[:2]])
    test.wait_for_port((test.ip, ports[0]), child)
    test.start_exporter()
    get(test, (test.ip, ports[0]), "/clear")
    for _ in range(5):
        get(test, tls_socket.Address((test.ip, ports[1])), "/late")
    compare(test, "a_library_that_comes_late_is_followed_at_once")


def reload_apache(test):
    """A graceful restart unloads mod_ssl and its library and loads them again, in the master; the workers are its children."""
    test.tls = servers.make_certificate(test)
    site = servers.apache("event")(test)
    address = tls_socket.Address(site.address)
    test.start_exporter()
    child = test.processes[0]
    for round_ in range(3):
        for _ in range(10):
            get(test, address, "/hello")
        before = set(harness.process_tree(child.pid))
        os.kill(child.pid, signal.SIGUSR1)
        harness.until(lambda b=before: len(set(harness.process_tree(child.pid)) - b) >= 2, f"workers of restart {round_}")
        harness.until(lambda b=before: get(test, address, "/hello").status == 200, "the new workers answer")
    compare(test, "apache_counts_on_after_graceful_restarts")


def reload_nginx(test):
    child, address = start_nginx(test, "ssl")
    test.start_exporter()
    for round_ in range(3):
        for _ in range(10):
            get(test, address, "/hello")
        before = set(harness.process_tree(child.pid))
        os.kill(child.pid, signal.SIGHUP)
        harness.until(lambda b=before: len(set(harness.process_tree(child.pid)) - b) >= 2, f"workers of reload {round_}")
    get(test, address, "/hello")
    compare(test, "nginx_counts_on_after_reloads")


def early_data(test):
    """The request is in the client's first flight; nginx reads it before the handshake is over."""
    _, address = start_nginx(test, "ssl", "ssl_early_data on; ssl_protocols TLSv1.3;")
    test.start_exporter()
    openssl, session = harness.which("openssl"), test.dir / "session"
    request = test.write("request", client.request("GET", "/early", "localhost", ["Connection: close"]))

    def s_client(*options, stdin=b""):
        return subprocess.run([openssl, "s_client", "-connect", "%s:%d" % address, *options], input=stdin, capture_output=True, check=False,
                              timeout=60).stdout

    # -ign_eof: stays until the server closes, so that the tickets behind the handshake are read
    said = s_client("-sess_out", session, "-ign_eof", stdin=client.request("GET", "/hello", "localhost", ["Connection: close"]))
    assert b"hello" in said, said[-500:]
    test.record.add("GET", "/hello", 200)
    said = s_client("-sess_in", session, "-early_data", request, "-ign_eof")
    assert b"Early data was accepted" in said and b"HTTP/1.1 200" in said, said[-800:]
    test.record.add("GET", "/early", 200)
    compare(test, "early_data_is_counted")


def clients(test):
    """Programs that ask a TLS server, with OpenSSL and with GnuTLS; the server itself is not observed."""
    _, address = start_nginx(test, "ssl", preload=False)
    test.start_exporter()
    test.access_log = None
    url = "https://%s:%d/hello" % address
    code = "import ssl, sys, urllib.request as u\nfor _ in range(3): u.urlopen(sys.argv[1], context=ssl._create_unverified_context()).read()"
    asked = {"curl": (["curl", "-sk", url, url], 2), "wget": (["wget", "-q", "--no-check-certificate", "-O", "/dev/null", url, url], 2),
             "python": ([sites.PYTHON, "-c", code, url], 3)}
    for name, (argv, times) in asked.items():
        if not os.path.isabs(argv[0]):
            argv[0] = harness.which(argv[0])
        child = test.start(argv, service=name)
        assert child.wait(60) == 0, test.log_of(child)

        def found(name=name):
            return test.scrape().total("http_client_requests_total", service=name, method="GET", status="200")
        try:
            harness.until(lambda t=times, f=found: f() == t, f"{name}'s calls are counted")
            harness.report(True, f"{name}_as_a_client_through_tls")
        except AssertionError:
            harness.report(False, f"{name}_as_a_client_through_tls", f"{found()} of {times}")


harness.main_special({f.__name__: f for f in (http2, port_and_protocol, late_library, reload_apache, reload_nginx, early_data, clients)})
