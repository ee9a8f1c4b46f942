# SPDX-License-Identifier: Apache-2.0
"""The traffic: every case is a function of a Session and leaves its connection usable or closed.

A Site says what a server offers: which path stands for which purpose and the route that it must be counted under. A
case that needs a path which the site lacks is not run. Cases are chosen at random, so they mix and follow one another
on shared connections; a seed repeats a run (but for the timing of threads).
"""
import os
import random
import socket
import threading
import time
import traceback

import client

FAKE_REQUEST = b"GET /fake HTTP/1.1\r\nHost: x\r\n\r\n"
FAKE_RESPONSE = b"HTTP/1.1 500 Fake\r\nContent-Length: 0\r\n\r\n"
ROUTE_UNMATCHED = "_unmatched"


class Site:
    """
    address   where the server listens
    paths     purpose -> list of (path, route). Purposes: get, big, post, nocontent, notmodified, chunked, error, sse, early,
              until_close, upgrade
    missing   paths that always give 404
    skip      names of cases that this server does not take part in, each with the reason in a comment where it is set
    answers_http09  answers what has no HTTP version by a bare body; that is no response
    pipeline  "all": answers every pipelined request; "some": takes them off the socket and may answer only the first
    """

    def __init__(self, address, paths, missing=("/missing", "/no/such/page"), skip=(), pipeline="all",
                 host="localhost", max_head=65536, proxy_head=None, answers_http09=False):
        self.address, self.paths, self.missing, self.skip = address, paths, missing, set(skip)
        self.pipeline, self.host, self.max_head, self.proxy_head = pipeline, host, max_head, proxy_head
        self.answers_http09 = answers_http09

    def pick(self, rng, purpose):
        return rng.choice(self.paths[purpose])


class Session:
    """One client thread: a random walk through the cases over one connection at a time."""

    def __init__(self, site, record, seed, number):
        self.site, self.record, self.number = site, record, number
        self.rng = random.Random(f"{seed}/{number}")
        self.conn_now = None
        self.case = ""
        self.uses = 0

    def conn(self):
        if self.conn_now is None:
            self.conn_now = client.Conn(self.site.address)
            self.uses = 0
            if self.site.proxy_head:
                self.conn_now.send(self.site.proxy_head(self.rng))
        self.uses += 1
        return self.conn_now

    def drop(self, reset=False):
        if self.conn_now is not None:
            self.conn_now.reset() if reset else self.conn_now.close()
            self.conn_now = None

    def route(self, route, target_path, status):
        return ROUTE_UNMATCHED if status == 404 and target_path in self.site.missing else route

    def receive(self, method, path, route):
        """Reads and records one final response. Returns it, or None when the server closed instead."""
        conn = self.conn_now
        try:
            response = conn.response(method)
        except (client.Closed, client.NoHead) as error:
            if isinstance(error, client.NoHead) and not self.site.answers_http09:
                raise
            self.record.note("unanswered", self.case)
            self.drop()
            return None
        self.record.add(method, self.route(route, path, response.status), response.status, not response.is_complete)
        self.record.note("seen", (self.case, response.status))
        if response.ends_connection or conn.at_end:
            self.drop()
        return response

    def ask(self, method, path, route, headers=(), body=b"", version="HTTP/1.1", target=None, host=True, cuts=None):
        conn = self.conn()
        data = client.request(method, target or self.decorated(path), self.site.host if host else None, headers, body, version)
        if cuts is None:
            cuts = () if self.rng.random() < 0.7 else [self.rng.randrange(1, len(data)) for _ in range(self.rng.randrange(1, 4))]
        conn.send_in_parts(data, cuts)
        response = self.receive(method, path, route)
        if version == "HTTP/1.0" and "keep-alive" not in " ".join(map(str, headers)).lower():
            self.drop()
        return response

    def decorated(self, path):
        """A query never shapes a route."""
        return path if self.rng.random() < 0.7 else f"{path}?q={self.rng.randrange(1 << 30)}&next=/other/path"

    def fresh(self):
        self.drop()
        return self.conn()


def case_get(s):
    s.ask("GET", *s.site.pick(s.rng, "get"))


def case_get_missing(s):
    path = s.rng.choice(s.site.missing)
    s.ask("GET", path, ROUTE_UNMATCHED)


def case_head(s):
    s.ask("HEAD", *s.site.pick(s.rng, "get"))


def case_head_missing(s):
    s.ask("HEAD", s.rng.choice(s.site.missing), ROUTE_UNMATCHED)


def case_one_byte_per_segment(s):
    path, route = s.site.pick(s.rng, "get")
    data = client.request("GET", path, s.site.host)
    s.ask("GET", path, route, target=path, cuts=range(1, len(data)))


def case_many_headers(s):
    headers = [f"X-Header-{i}: {'v' * s.rng.randrange(0, 60)}" for i in range(s.rng.randrange(1, 40))]
    s.ask("GET", *s.site.pick(s.rng, "get"), headers=headers)


def case_large_head(s):
    size = s.rng.randrange(6000, max(s.site.max_head, 6001))
    headers = [f"X-Large-{i}: {'v' * min(4000, size - i * 4000)}" for i in range((size + 3999) // 4000)]
    s.ask("GET", *s.site.pick(s.rng, "get"), headers=headers, cuts=())


def case_http10(s):
    s.ask("GET", *s.site.pick(s.rng, "get"), version="HTTP/1.0")


def case_http10_keep_alive(s):
    s.ask("GET", *s.site.pick(s.rng, "get"), version="HTTP/1.0", headers=["Connection: keep-alive"])


def case_connection_close(s):
    s.ask("GET", *s.site.pick(s.rng, "get"), headers=["Connection: close"])
    s.drop()  # not every server says that it will close


def case_post_length(s):
    path, route = s.site.pick(s.rng, "post")
    body = s.rng.choice([b"", b"x", FAKE_REQUEST * 3, FAKE_RESPONSE, bytes(s.rng.randrange(256) for _ in range(300)), b"y" * 70000])
    s.ask("POST", path, route, headers=[f"Content-Length: {len(body)}", "Content-Type: application/octet-stream"], body=body)


def case_post_chunked(s):
    path, route = s.site.pick(s.rng, "post")
    parts = [s.rng.choice([b"abc", FAKE_REQUEST, FAKE_RESPONSE, b"0\r\n\r\n", b"z" * 5000]) for _ in range(s.rng.randrange(1, 6))]
    s.ask("POST", path, route, headers=["Transfer-Encoding: chunked"], body=client.chunked(parts))


def case_chunk_extension(s):
    path, route = s.site.pick(s.rng, "post")
    s.ask("POST", path, route, headers=["Transfer-Encoding: chunked"], body=client.chunked([b"abc", FAKE_REQUEST], b";name=value"))


def case_trailers(s):
    path, route = s.site.pick(s.rng, "post")
    s.ask("POST", path, route, headers=["Transfer-Encoding: chunked", "Trailer: X-Sum"],
          body=client.chunked([b"abc", FAKE_RESPONSE], trailers=["X-Sum: 12", "X-Other: GET / HTTP/1.1"]))


def case_expect_continue(s):
    """Waits for the interim answer (or a final one) before the body goes."""
    path, route = s.site.pick(s.rng, "post")
    body = b"q" * s.rng.randrange(1, 3000)
    conn = s.conn()
    conn.send(client.request("POST", path, s.site.host, [f"Content-Length: {len(body)}", "Expect: 100-continue"]))
    try:
        response = conn.head()
    except client.Closed:
        s.record.note("unanswered", s.case)
        return s.drop()
    if response.status == 100:
        conn.send(body)
        s.receive("POST", path, route)
        return None
    conn.body("POST", response)
    s.record.add("POST", s.route(route, path, response.status), response.status, not response.is_complete)
    return s.drop()


def case_put_delete(s):
    path, route = s.site.pick(s.rng, "get")
    method = s.rng.choice(["PUT", "DELETE", "PATCH", "OPTIONS"])
    s.ask(method, path, route, headers=["Content-Length: 0"])


def case_unknown_method(s):
    path, route = s.site.pick(s.rng, "get")
    # in one piece: a server may refuse the method before it has read the path
    s.ask(s.rng.choice(["BREW", "X-PING"]), path, route, headers=["Content-Length: 0"], cuts=())


def case_absolute_form(s):
    path, route = s.site.pick(s.rng, "get")
    s.ask("GET", path, route, target=f"http://{s.site.host}{path}")


def case_leading_crlf(s):
    path, route = s.site.pick(s.rng, "get")
    s.conn().send(b"\r\n\r\n" if s.rng.random() < 0.5 else b"\r\n")
    s.ask("GET", path, route)


def case_bare_lf(s):
    path, route = s.site.pick(s.rng, "get")
    s.fresh().send(client.request("GET", path, s.site.host).replace(b"\r\n", b"\n"))
    s.receive("GET", path, route)
    s.drop()


def case_obs_fold(s):
    path, route = s.site.pick(s.rng, "get")
    s.ask("GET", path, route, headers=["X-Folded: one", " two", "\tthree"])


def case_no_host(s):
    path, route = s.site.pick(s.rng, "get")
    s.ask("GET", path, route, host=False)


def case_nocontent(s):
    s.ask("GET", *s.site.pick(s.rng, "nocontent"))


def case_notmodified(s):
    """304 with a Content-Length of the body that it does not carry."""
    path, route = s.site.pick(s.rng, "notmodified")
    s.ask("GET", path, route, headers=["If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT", 'If-None-Match: "fixed"'])


def case_chunked_response(s):
    s.ask("GET", *s.site.pick(s.rng, "chunked"))


def case_error(s):
    s.ask("GET", *s.site.pick(s.rng, "error"))


def case_big(s):
    s.ask("GET", *s.site.pick(s.rng, "big"))


def case_big_slow_reader(s):
    s.drop()
    s.conn_now = client.Conn(s.site.address, receive_buffer=4096)
    if s.site.proxy_head:
        s.conn_now.send(s.site.proxy_head(s.rng))
    s.ask("GET", *s.site.pick(s.rng, "big"))
    s.drop()


def case_until_close(s):
    s.ask("GET", *s.site.pick(s.rng, "until_close"))
    s.drop()


def case_event_stream(s):
    s.ask("GET", *s.site.pick(s.rng, "sse"))
    s.drop()


def case_early_answer(s):
    """The head announces a body that is never sent whole; the server answers without waiting for it."""
    path, route = s.site.pick(s.rng, "early")
    conn = s.fresh()
    conn.send(client.request("POST", path, s.site.host, ["Content-Length: 50000000"]) + b"u" * 1000)
    s.receive("POST", path, route)
    s.drop()


def pipeline(s, count):
    requests = []
    for _ in range(count):
        kind = s.rng.randrange(10)
        if kind == 0 and "post" in s.site.paths and s.site.pipeline == "all":
            path, route = s.site.pick(s.rng, "post")
            requests.append(("POST", path, route, ["Content-Length: 5"], b"GET /"))
        elif kind == 1:
            requests.append(("GET", s.rng.choice(s.site.missing), ROUTE_UNMATCHED, [], b""))
        elif kind == 2:
            requests.append(("HEAD", *s.site.pick(s.rng, "get"), [], b""))
        elif kind == 3 and "nocontent" in s.site.paths:
            requests.append(("GET", *s.site.pick(s.rng, "nocontent"), [], b""))
        else:
            requests.append(("GET", *s.site.pick(s.rng, "get"), [], b""))
    data = b"".join(client.request(m, p, s.site.host, h, b) for m, p, _, h, b in requests)
    if s.site.pipeline != "all":
        s.fresh()
    conn = s.conn()
    conn.send(data)
    for number, (method, path, route, _, _) in enumerate(requests):
        if s.receive(method, path, route) is None or s.conn_now is None:
            break
        if number == 0 and s.site.pipeline != "all":
            conn.half_close()  # a server that forgot the rest of the segment learns that nothing will follow
    if s.site.pipeline != "all":
        s.drop()


def case_pipeline(s):
    pipeline(s, s.rng.randrange(2, 11))


LONG_PIPELINES = threading.Semaphore(3)  # more at once exhaust the queue pool, which costs routes (docs/limits.md)


def case_pipeline_200(s):
    with LONG_PIPELINES:
        pipeline(s, 200)


def case_garbage(s):
    conn = s.fresh()
    conn.send(s.rng.choice([b"\x00\x01\x02\x03\x04\x05\x06\x07\r\n\r\n", b"this is not http\r\n\r\n", b"{}\r\n\r\n", b"<xml/>\n\n"]))
    conn.half_close()
    s.receive("_OTHER", "", ROUTE_UNMATCHED)
    s.drop()


def case_tls_hello(s):
    conn = s.fresh()
    conn.send(b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(s.rng.randrange(256) for _ in range(156)))
    conn.half_close()
    s.receive("_OTHER", "", ROUTE_UNMATCHED)
    s.drop()


def case_silent(s):
    """A connection that says nothing; some servers answer even that."""
    conn = s.fresh()
    if s.rng.random() < 0.5:
        conn.half_close()
        s.receive("_OTHER", "", ROUTE_UNMATCHED)
    s.drop(reset=True)


def case_end_in_head(s):
    """The client stops inside the head and listens: a server may answer, as to what it has understood so far."""
    path, route = s.site.pick(s.rng, "get")
    data = client.request("GET", path, s.site.host)
    part = data[:s.rng.randrange(1, len(data) - 2)]
    conn = s.fresh()
    conn.send(part)
    conn.half_close()
    if b"\n" in part:
        s.receive("GET", path, route)
    else:
        s.receive("_OTHER", "", ROUTE_UNMATCHED)
    s.drop()


def case_leave_in_head(s):
    """Whether the server answers into the void is not to be seen from here: only an upper bound holds for this route."""
    path, route = s.site.pick(s.rng, "left")
    data = client.request("GET", path, s.site.host)
    s.fresh().send(data[:s.rng.randrange(data.index(b"\n") + 1, len(data) - 2)])
    s.record.note("left", ("GET", route))
    s.drop(reset=s.rng.random() < 0.5)


def case_leave_during_response(s):
    """The head arrived, so the exchange counts under its status, whether the server could write the rest or not."""
    path, route = s.site.pick(s.rng, "big")
    s.drop()
    s.conn_now = client.Conn(s.site.address, receive_buffer=4096)
    if s.site.proxy_head:
        s.conn_now.send(s.site.proxy_head(s.rng))
    s.conn_now.send(client.request("GET", path, s.site.host))
    try:
        response = s.conn_now.final_head("GET")
        s.record.add("GET", s.route(route, path, response.status), response.status)
        s.record.note("seen", (s.case, response.status))
    except client.Closed:
        s.record.note("unanswered", s.case)
    s.drop(reset=True)


def case_leave_before_response(s):
    path, route = s.site.pick(s.rng, "left")
    s.fresh().send(client.request("GET", path, s.site.host))
    s.record.note("left", ("GET", route))
    s.drop(reset=s.rng.random() < 0.5)


NEEDS = {
    "post_length": "post", "post_chunked": "post", "chunk_extension": "post", "trailers": "post", "expect_continue": "post",
    "nocontent": "nocontent", "notmodified": "notmodified", "chunked_response": "chunked", "error": "error", "big": "big",
    "big_slow_reader": "big", "until_close": "until_close", "event_stream": "sse", "early_answer": "early",
    "leave_during_response": "big", "leave_before_response": "left",
    "leave_in_head": "left",
}
RARE = {"pipeline_200": 0.05, "big_slow_reader": 0.1, "leave_during_response": 0.3, "large_head": 0.3, "big": 0.3,
        "one_byte_per_segment": 0.3, "garbage": 0.3, "tls_hello": 0.3, "silent": 0.2}
CASES = {name[len("case_"):]: f for name, f in globals().items() if name.startswith("case_")}


def cases_of(site):
    names = [n for n in CASES if n not in site.skip and (n not in NEEDS or NEEDS[n] in site.paths)]
    if site.pipeline != "all" and "pipeline_200" in names:
        names.remove("pipeline_200")  # more than one segment: the rest would be reset away with the answers
    picked = os.environ.get("TB_CASES")  # to narrow a fault down
    return [n for n in names if not picked or n in picked.split(",")]


def warm_up(site, record, seed):
    """One request for each path, one after the other: routes that have never answered are judged a bounded number at a time."""
    s = Session(site, record, seed, "warm")
    s.case = "warm_up"
    for purpose in ("get", "nocontent", "chunked", "error"):
        for path, route in site.paths.get(purpose, ()):
            s.ask("GET", path, route, cuts=())
    for path, route in site.paths.get("post", ()):
        s.ask("POST", path, route, headers=["Content-Length: 0"], cuts=())
    s.drop()


def run(site, record, seed, connections=64, steps=25):
    """Drives the site with @connections sessions at once. Returns a list of what went wrong for the client itself."""
    names = cases_of(site)
    warm_up(site, record, seed)
    weights = [RARE.get(n, 1.0) for n in names]
    problems = []

    def session(number):
        s = Session(site, record, seed, number)
        # every case runs at least once: each session begins with some of the list
        todo = names[number::connections] if len(names) > connections else [names[number % len(names)]]
        todo = list(todo) + s.rng.choices(names, weights, k=steps)
        for s.case in todo:
            try:
                record.note("cases", s.case)
                began = time.monotonic()
                CASES[s.case](s)
                record.slowest[s.case] = max(record.slowest[s.case], time.monotonic() - began)
            except (socket.timeout, TimeoutError):
                problems.append(f"{s.case}: the server stayed silent")
                s.drop()
                if len(problems) > 5:
                    break
            except Exception as error:  # pylint: disable=broad-except
                problems.append(f"{s.case}: {type(error).__name__}: {error}: "
                                + traceback.format_exc().strip().splitlines()[-3].strip())
                s.drop()
                if len(problems) > 5:
                    break
        s.drop()

    threads = [threading.Thread(target=session, args=(n,), daemon=True) for n in range(connections)]
    for t in threads:
        t.start()
    deadline = time.monotonic() + 200
    for t in threads:
        t.join(max(0.1, deadline - time.monotonic()))
    if any(t.is_alive() for t in threads):
        problems.append("client threads did not end in time")
    return problems
