# SPDX-License-Identifier: Apache-2.0
"""A server that keeps its own count of what it was asked and how it answered: what a test of clients is compared with.

Paths: /items/N 200, /missing 404, /error 500, /hop a redirect to /items/7, /chunked a chunked answer, /big 300 kB, /close and
/reset leave without an answer, /hang never answers, /garbage is no HTTP, /cut ends within the body.
"""
import collections
import http.server
import socket
import socketserver
import ssl
import struct
import threading

ROUTES = {"items": "/items/:id"}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def tally(self, status):
        path = self.path.partition("?")[0]
        if "://" in path:
            path = "/" + path.split("/", 3)[3]
        route = "/items/:id" if path.startswith("/items/") else "_unmatched" if status == 404 else path
        with self.server.lock:
            self.server.counts[(self.headers.get("Host", "").lower(), self.command, route, str(status))] += 1

    def answer(self, status, body=b"ok", **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.tally(status)

    def leave(self, path):
        with self.server.lock:
            self.server.left[path] += 1
        self.close_connection = True
        if path == "/reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.server.resets.add(self.connection)
        elif path == "/garbage":
            self.connection.sendall(b"220 this is mail\r\n")
        elif path == "/hang":
            self.connection.settimeout(60)
            self.connection.recv(1)  # until the client has left

    def do_GET(self):
        path = self.path.partition("?")[0]
        length = int(self.headers.get("Content-Length") or 0)
        while length > 0:
            length -= len(self.rfile.read(min(length, 65536)))
        if path in ("/close", "/reset", "/garbage", "/hang"):
            self.leave(path)
        elif path == "/hop":
            self.answer(302, Location=self.server.hop)
        elif path == "/chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"2\r\nok\r\n0\r\n\r\n")
            self.tally(200)
        else:
            self.answer({"/missing": 404, "/error": 500}.get(path, 200), b"x" * 300000 if path == "/big" else b"ok")

    do_POST = do_PUT = do_HEAD = do_DELETE = do_GET

    def log_message(self, *_):
        pass


class Tally(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address, unix=None, tls=None):
        self.resets, self.open = set(), []
        self.counts, self.left, self.lock = collections.Counter(), collections.Counter(), threading.Lock()
        if unix:
            self.address_family = socket.AF_UNIX
            self.server_name, self.server_port = "unix", 0
        super().__init__(unix or address, Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        where = self.server_address
        self.base = unix and "unix:" + unix or "%s:%d" % where[:2]
        self.hop = "http://%s/items/7" % self.base
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def server_bind(self):
        if self.address_family == socket.AF_UNIX:
            socketserver.TCPServer.server_bind(self)
            self.server_address = (self.server_address, 0)
        else:
            http.server.HTTPServer.server_bind(self)

    def shutdown_request(self, request):
        if request in self.resets:
            request.close()  # without a FIN before
        else:
            super().shutdown_request(request)

    def handle_error(self, request, client_address):
        pass  # a client that left

    def get_request(self):
        connection, address = super().get_request()
        self.open.append(connection)
        return connection, address or ("unix", 0)

    def stop(self):
        """Nobody listens any more, and connections that are open are closed."""
        self.shutdown()
        self.server_close()
        for connection in self.open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # closed already
