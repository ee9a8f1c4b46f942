# SPDX-License-Identifier: Apache-2.0
"""An HTTP client written on bare sockets that keeps its own record of what it received.

It knows nothing of Tickbird. Every final response whose head arrived is recorded as (method, route, status), where the
method and the route are those of the request that it answers, in order. Standard library only.
"""
import collections
import socket
import struct
import threading

import tls_socket

CRLF = b"\r\n"
KNOWN_METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY", "PROPFIND", "PURGE"}


class Closed(Exception):
    """The server ended the connection before the next response began."""


class NoHead(Exception):
    """Bytes that are no response head: an HTTP/0.9 answer, a bare body."""


class Record:
    """What was received, as multisets; shared by all client threads."""

    def __init__(self):
        self.lock = threading.Lock()
        self.counts = collections.Counter()  # (method, route, status) -> final responses
        self.cut = collections.Counter()     # the part of them that ended early, as the client saw it
        self.left = collections.Counter()    # (method, route) -> requests whose answer the client did not wait for
        self.unanswered = collections.Counter()  # case -> requests that the server closed upon
        self.cases = collections.Counter()   # case -> times run
        self.seen = collections.Counter()    # (case, status) -> responses, to show what a server made of a case
        self.slowest = collections.Counter() # case -> seconds, only to show

    def add(self, method, route, status, is_cut=False):
        key = (method if method in KNOWN_METHODS else "_OTHER", route, str(status))
        with self.lock:
            self.counts[key] += 1
            if is_cut:
                self.cut[key] += 1

    def note(self, counter, key):
        with self.lock:
            getattr(self, counter)[key] += 1


class Response:
    def __init__(self, version, status, headers):
        self.version, self.status, self.headers = version, status, headers
        self.body_bytes = 0
        self.body_start = b""  # at most its first 256 bytes
        self.is_complete = False
        self.ends_connection = False

    def has(self, name, word):
        return word in self.headers.get(name, "").lower()


class Conn:
    """One connection. Blocking; a silent server is an error after @timeout seconds."""

    def __init__(self, address, timeout=60.0, receive_buffer=None):
        self.sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.connect(address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if isinstance(address, tls_socket.Address):
            self.sock = tls_socket.TlsSocket(self.sock, address.version)
        self.buffer = b""
        self.at_end = False

    def send(self, data):
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # what the server said before it closed may still be read

    def send_in_parts(self, data, cuts):
        """Each part is a send of its own; with TCP_NODELAY each is a segment of its own."""
        last = 0
        for cut in [*sorted(cuts), len(data)]:
            if cut > last:
                self.send(data[last:cut])
                last = cut

    def half_close(self):
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.sock.close()

    def finish(self):
        """Leaves when the server has: it closes after it is done with all that it answered, which is counted then."""
        self.half_close()
        while self.fill():
            pass
        self.close()

    def reset(self):
        """Leave at once: the kernel sends RST and drops what was on its way."""
        raw = getattr(self.sock, "sock", self.sock)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()

    def fill(self):
        if self.at_end:
            return False
        try:
            data = self.sock.recv(262144)
        except ConnectionResetError:
            data = b""
        if not data:
            self.at_end = True
            return False
        self.buffer += data
        return True

    def line(self):
        while b"\n" not in self.buffer:
            if not self.fill():
                raise Closed()
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.rstrip(b"\r")

    def head(self):
        """The next response head, interim or final. Raises Closed when the server ends the connection before it."""
        status_line = self.line().decode("latin-1")
        parts = status_line.split(" ", 2)
        if not parts[0].startswith("HTTP/1.") or len(parts) < 2 or len(parts[1]) != 3 or not parts[1].isdigit():
            raise NoHead(f"not a status line: {status_line[:80]!r}")
        headers = {}
        while True:
            line = self.line().decode("latin-1")
            if not line:
                break
            name, _, value = line.partition(":")
            name = name.strip().lower()
            headers[name] = headers[name] + "," + value.strip() if name in headers else value.strip()
        return Response(parts[0], int(parts[1]), headers)

    def final_head(self, method):
        response = self.head()
        while 100 <= response.status < 200 and response.status != 101:
            response = self.head()
        response.ends_connection = response.has("connection", "close") or (
            response.version == "HTTP/1.0" and not response.has("connection", "keep-alive"))
        return response

    def _take(self, response, count):
        """Up to @count bytes of body; None = to the end of the connection. False when the connection ended first."""
        while count is None or count > 0:
            if not self.buffer and not self.fill():
                return count is None
            part = self.buffer if count is None else self.buffer[:count]
            self.buffer = self.buffer[len(part):]
            response.body_bytes += len(part)
            response.body_start = (response.body_start + part)[:256]
            if count is not None:
                count -= len(part)
        return True

    def body(self, method, response):
        """Reads the body, sets is_complete and ends_connection."""
        if method == "HEAD" or response.status in (204, 304) or response.status == 101 or \
                (method == "CONNECT" and 200 <= response.status < 300):
            response.is_complete = True
        elif "chunked" in response.headers.get("transfer-encoding", "").lower():
            response.is_complete = self._chunked(response)
        elif "content-length" in response.headers:
            response.is_complete = self._take(response, int(response.headers["content-length"]))
        else:
            response.is_complete = self._take(response, None)
            response.ends_connection = True
        if not response.is_complete:
            response.ends_connection = True
        return response

    def _chunked(self, response):
        try:
            while True:
                size = int(self.line().split(b";")[0].strip(), 16)
                if size == 0:
                    while self.line():
                        pass
                    return True
                if not self._take(response, size) or self.line() != b"":
                    return False
        except (Closed, ValueError):
            return False

    def response(self, method):
        return self.body(method, self.final_head(method))


def request(method, target, host, headers=(), body=b"", version="HTTP/1.1"):
    lines = [f"{method} {target} {version}".encode("latin-1")]
    if host is not None:
        lines.append(b"Host: " + host.encode())
    lines += [h.encode("latin-1") if isinstance(h, str) else h for h in headers]
    return CRLF.join(lines) + CRLF + CRLF + body


def chunked(parts, extension=b"", trailers=()):
    out = b""
    for part in parts:
        out += b"%x%s\r\n%s\r\n" % (len(part), extension, part)
    return out + b"0" + extension + CRLF + b"".join(t.encode() + CRLF for t in trailers) + CRLF
