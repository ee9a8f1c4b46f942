# SPDX-License-Identifier: Apache-2.0
"""Random streams of HTTP/1 messages: sound ones, ones with odd framing, and mutations of both."""

SOUND_HEADERS = [b"Host: example.org", b"Accept: */*", b"Cookie: a=b; c=d", b"Content-Type: text/html", b"Date: Thu, 01 Jan 1970 00:00:00 GMT",
                 b"X-Empty:", b"Connection: keep-alive", b"Content-Lengthy: 9", b"Transfer-Encodings: chunked", b"TE: trailers",
                 b"User-Agent: " + b"u" * 90]

ODD_HEADERS = [
    b"Content-Length: 5", b"content-length:5", b"Content-Length:  5  ", b"Content-Length: 0", b"Content-Length: 00005",
    b"Content-Length: +5", b"Content-Length: -5", b"Content-Length: 0x5", b"Content-Length: 5, 5", b"Content-Length: 5,6",
    b"Content-Length: 5 5", b"Content-Length: ", b"Content-Length:", b"Content-Length : 5", b"Content-Length\t: 5", b" Content-Length: 5",
    b"Content-Length: 5\r\n ", b"Content-Length: 5\r\n 1", b"Content-Length:\r\n 5", b"Content-Length: 5\r\n\t1",
    b"Content-Length: 18446744073709551615", b"Content-Length: 18446744073709551616", b"Content-Length: 18446744073709551621",
    b"Content-Length: 9223372036854775808", b"Content-Length: 4294967301", b"Content-Length: 5;a", b"Content-Length: 5\0",
    b"Content-Length: 5\x0b", b"Content-Length: \x0c5", b"Content\x00Length: 5", b"Content_Length: 5", b"Content-Length: five",
    b"Transfer-Encoding: chunked", b"transfer-encoding:chunked", b"Transfer-Encoding: CHUNKED", b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunkedx", b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: identity, chunked",
    b"Transfer-Encoding: identity", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: gzip", b"Transfer-Encoding:\tchunked", b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding: chunked\x00",
    b"Transfer-Encoding : chunked", b" Transfer-Encoding: chunked", b"Transfer-Encoding:\r\n chunked", b"Transfer-Encoding: chunked\r\n ",
    b"Transfer-Encoding: ,chunked", b"Transfer-Encoding: chunked,", b"Transfer-Encoding: \"chunked\"", b"Transfer-Encoding: chunked;q=1",
    b"Transfer-Encoding: ch\r\n unked", b"Transfer-Encoding:", b"Transfer_Encoding: chunked", b"X: y\r\n Transfer-Encoding: chunked",
    b"X: y\rTransfer-Encoding: chunked", b"X: y\nTransfer-Encoding: chunked", b"X: \x00", b"X: \x80\xff", b"X: \x7f", b"\x80: y",
    b"no colon", b": empty", b"X\r: y", b"Connection: close", b"Connection: upgrade", b"Upgrade: websocket", b"Expect: 100-continue",
    b"Content-Type: text/event-stream", b"Proxy-Connection: close",
]

METHODS = [b"GET"] * 6 + [b"POST"] * 6 + [b"PUT", b"HEAD", b"OPTIONS", b"DELETE", b"PATCH", b"CONNECT", b"get", b"BREW", b"G\0T", b""]
TARGETS = [b"/", b"/a/b?c=d", b"*", b"http://h.example/abs", b"h.example:443", b"/a b", b"/\x80", b"/%00", b"", b"/" + b"p" * 80, b"//", b"/#f"]
VERSIONS = [b"HTTP/1.1"] * 12 + [b"HTTP/1.0", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/1.11", b"http/1.1", b"HTTP/11", b"HTTP/1.1 ", b""]
STATUSES = [b"200 OK"] * 8 + [b"204 No Content", b"304 Not Modified", b"100 Continue", b"103 Early Hints", b"101 Switching", b"404 Not Found",
                              b"500 ", b"200", b"999 x", b"099 x", b"2000 x", b"20 x", b"200\tOK", b" 200 OK", b"200 \x80"]
CHUNK_SIZES = [b"%x", b"%x", b"%x", b"%X", b"0%x", b"000000000%x", b"%x;a=b", b"%x;a=\"b\"", b"%x ", b" %x", b"%x\t", b"+%x", b"-%x", b"0x%x",
               b"1000000000000000%x", b"10000000000000000%x", b"ffffffffffffffff%x", b"%x;a\nb", b"%x;a\rb", b"%x\r", b"%x;", b"%x ;a", b"%x_"]
DAMAGE = [b"\r", b"\n", b"\r\n", b"\0", b" ", b"\t", b":", b"\x0b", b"\x80", b",", b"0", b"5", b";", b"\r\n ", b"\r\r\n", b"\n\n", b"X"]


def eol(rng, odd):
    return b"\r\n" if rng.random() >= odd else rng.choice([b"\n", b"\r\n", b"\r", b"\r\r\n", b" \r\n"])


def chunks(rng, odd):
    out = b""
    for _ in range(rng.randrange(4)):
        data = rng.choice([b"a", b"hello", b"GET / HTTP/1.1\r\n\r\n", b"\r\n0\r\n\r\n", b"x" * rng.randrange(1, 70)])
        size = rng.choice(CHUNK_SIZES) if rng.random() < odd else b"%x"
        out += size % len(data) + eol(rng, odd / 4) + data + eol(rng, odd / 4)
    last = rng.choice([b"00", b"0;x", b"0 ", b"-0", b"0\n"]) if rng.random() < odd / 2 else b"0"
    trailers = rng.choice([b"X: y\r\n", b"Content-Length: 5\r\n", b" folded\r\n", b"no colon\r\n", b"X: y\n"]) if rng.random() < odd else b""
    return out + last + eol(rng, odd / 4) + trailers + eol(rng, odd / 4)


def message(rng, what, odd):
    if what == 0:
        method = rng.choice(METHODS) if rng.random() < 0.5 else rng.choice([b"GET", b"POST"])
        target = rng.choice(TARGETS) if rng.random() < odd else b"/x/%d" % rng.randrange(100)
        version = rng.choice(VERSIONS) if rng.random() < odd else b"HTTP/1.1"
        out = method + b" " + target + b" " + version + eol(rng, odd / 4)
        if rng.random() < odd / 3:
            out = rng.choice([b"\r\n", b"\n", b"\r\n\r\n", b" "]) + out
        has_body = method in (b"POST", b"PUT", b"PATCH") or rng.random() < 0.1
    else:
        version = rng.choice(VERSIONS) if rng.random() < odd / 2 else b"HTTP/1.1"
        status = rng.choice(STATUSES) if rng.random() < 0.4 else b"200 OK"
        out = version + b" " + status + eol(rng, odd / 4)
        has_body = rng.random() < 0.95
    headers = [rng.choice(ODD_HEADERS) if rng.random() < odd else rng.choice(SOUND_HEADERS) for _ in range(rng.randrange(5))]
    body = b""
    no_body = what != 0 and (what == 2 or status[:1] == b"1" or status[:3] in (b"204", b"304"))
    if has_body:
        if rng.random() < 0.5:
            body = rng.choice([b"", b"hello", b"GET /in HTTP/1.1\r\n\r\n", b"b" * rng.randrange(200)])
            headers.insert(rng.randrange(len(headers) + 1), b"Content-Length: %d" % len(body))
        else:
            body = chunks(rng, odd)
            headers.insert(rng.randrange(len(headers) + 1), b"Transfer-Encoding: chunked")
    for header in headers:
        out += header + eol(rng, odd / 4)
    return out + eol(rng, odd / 8) + (b"" if no_body else body)


def damaged(rng, stream):
    for _ in range(rng.randrange(1, 3)):
        at = rng.randrange(len(stream) + 1)
        how = rng.randrange(4)
        if how == 0:
            stream = stream[:at] + rng.choice(DAMAGE) + stream[at:]
        elif how == 1:
            stream = stream[:at] + rng.choice(DAMAGE) + stream[at + 1:]
        elif how == 2:
            stream = stream[:at] + stream[at + rng.randrange(1, 4):]
        else:
            stream = stream[:at]
    return stream


def stream(rng):
    """(what, bytes): 0 requests, 1 responses to GET, 2 responses to HEAD."""
    what = rng.choice([0, 0, 1, 1, 2])
    odd = rng.choice([0, 0.1, 0.1, 0.4])
    out = b"".join(message(rng, what, odd) for _ in range(rng.randrange(1, 5)))
    return what, damaged(rng, out) if rng.random() < 0.3 else out
