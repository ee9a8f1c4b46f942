#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Durations and first-byte times of slow handlers, uploads, readers and pipelines.

Bounds are exact, however busy the machine is. A lower one: the client waits until the exchange is known to have begun, and a
server cannot be quicker than what it waits for. An upper one: what the client measured from before its first byte until it has
the answer to a further request on the connection, for a duration ends when the server's last call returns, which may be after
the client has the bytes, but is before the next request is read.
"""
import time

import chaos
import client
import harness
import servers
import sites

WAIT = 0.4  # seconds that the client waits
BIG = 64 << 20  # bytes: more than the kernel buffers of a connection hold
PART = 1 << 20  # bytes: more than one call of the server sends


def application(test):
    address = sites.python_upstream(test, preload=True)
    chaos.start_exporter(test)
    return address


def times(test, route, count, method="GET"):
    """(durations, first-byte times), summed, of the @count requests of a route."""
    def read():
        scrape = test.scrape()
        where = {"service": test.service, "method": method, "route": route, "status": "200"}
        return scrape if scrape.total("http_request_duration_seconds_count", **where) == count else None
    scrape = harness.until(read, f"{count} requests of {route} are counted")
    where = {"service": test.service, "method": method, "route": route, "status": "200"}
    assert scrape.total("http_request_first_byte_seconds_count", **where) == count
    return scrape.total("http_request_duration_seconds_sum", **where), scrape.total("http_request_first_byte_seconds_sum", **where)


def in_flight(test, count):
    harness.until(lambda: test.scrape().total("http_requests_in_flight", service=test.service) == count, f"{count} in flight")


def is_over(conn):
    """The server has done with all before: it answers a further request, of another route than those that are looked at."""
    assert chaos.get(conn, "/missing").status == 404


def slow_handler(test):
    address = application(test)
    conn = client.Conn(address)
    began = time.monotonic()
    for _ in range(3):
        assert chaos.get(conn, "/slow").status == 200
    is_over(conn)
    took = time.monotonic() - began
    duration, first = times(test, "/slow", 3)
    assert 3 * 0.32 <= first <= duration <= took, (first, duration, took)
    return f"3 requests: client {took:.3f} s, duration {duration:.3f} s, first byte {first:.3f} s"


def slow_upload(test):
    address = application(test)
    conn = client.Conn(address)
    began = time.monotonic()
    conn.send(client.request("POST", "/echo", "localhost", ["Content-Length: 1000"], b"u" * 500))
    in_flight(test, 1)
    known = time.monotonic()
    time.sleep(WAIT)  # the slow client
    waited = time.monotonic() - known
    conn.send(b"u" * 500)
    assert conn.response("POST").status == 200
    is_over(conn)
    took = time.monotonic() - began
    duration, first = times(test, "/echo", 1, "POST")
    assert waited <= first <= duration <= took, (waited, first, duration, took)
    return f"waited {waited:.3f} s, duration {duration:.3f} s"


def slow_reader_of_a_large_file(test):
    site = servers.nginx_static(test)
    (test.dir / "www" / "big.bin").write_bytes(bytes(BIG))
    chaos.start_exporter(test)
    conn = client.Conn(site.address, receive_buffer=16384)
    began = time.monotonic()
    conn.send(client.request("GET", "/big.bin", "localhost"))
    response = conn.final_head("GET")
    while len(conn.buffer) < PART:
        assert conn.fill()
    known = time.monotonic()
    time.sleep(WAIT)  # the slow client
    waited = time.monotonic() - known
    conn.body("GET", response)
    is_over(conn)
    took = time.monotonic() - began
    assert response.is_complete and response.body_bytes == BIG
    duration, first = times(test, "/big.bin", 1)
    assert first <= known - began, (first, known - began)
    assert first + waited <= duration <= took, (first, waited, duration, took)
    return f"waited {waited:.3f} s, duration {duration:.3f} s, first byte {first:.6f} s"


def pipelined_requests_wait_for_those_before(test):
    address = application(test)
    conn = client.Conn(address)
    began = time.monotonic()
    conn.send(client.request("GET", "/slow", "localhost") * 3)
    ends = []
    for _ in range(3):
        assert conn.response("GET").status == 200
        ends.append(time.monotonic() - began)
    is_over(conn)
    ends.append(time.monotonic() - began)
    duration, first = times(test, "/slow", 3)
    # all three arrive in one read: the n-th is answered after n handlers, and its call has returned when the next one is
    assert 6 * 0.32 <= first <= duration <= sum(ends[1:]), (first, duration, ends)
    return f"client {sum(ends[:3]):.3f} s, duration {duration:.3f} s"


def handlers_that_take_no_time(test):
    """Upper bounds: what is quick is not made slow by what was before on the connection, nor by the time between requests."""
    address = application(test)
    conn = client.Conn(address)
    took = 0.0
    assert chaos.get(conn, "/slow").status == 200
    is_over(conn)
    for _ in range(5):
        time.sleep(0.2)  # an idle connection; what follows must not be timed from its beginning
        began = time.monotonic()
        assert chaos.get(conn, "/hello").status == 200
        is_over(conn)
        took += time.monotonic() - began
    duration, first = times(test, "/hello", 5)
    assert 0 < first <= duration <= took, (first, duration, took)
    return f"client {took:.6f} s, duration {duration:.6f} s"


chaos.main([slow_handler, slow_upload, slow_reader_of_a_large_file, pipelined_requests_wait_for_those_before, handlers_that_take_no_time])
