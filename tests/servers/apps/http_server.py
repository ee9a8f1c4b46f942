# SPDX-License-Identifier: Apache-2.0
"""python -m http.server's own classes, one thread per connection. Arguments: address, port, HTTP version."""
import http.server
import ssl
import sys
import time

import site_pages as pages

SLOW_SECONDS = 0.32  # what /slow takes; between two bucket bounds, far from both


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = sys.argv[3]
    timeout = 60
    disable_nagle_algorithm = True  # head and body are two sends; a peer that waits to acknowledge would cost 40 ms each time

    def read_body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                if size == 0:
                    while self.rfile.readline() not in (b"\r\n", b"\n", b""):
                        pass
                    return
                self.rfile.read(size + 2)
        else:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status, body):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status not in (204, 304):
            self.wfile.write(body)

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path.startswith("http://"):
            path = "/" + path.split("/", 3)[3]
        found = pages.simple(path)
        if path == "/early":
            self.close_connection = True
        if found is not None:
            return self.answer(*found)
        if path == "/chunked" and self.request_version == "HTTP/1.1" and self.protocol_version == "HTTP/1.1":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            if self.command != "HEAD":
                for part in pages.CHUNKS:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                self.wfile.write(b"0\r\n\r\n")
            return None
        if path == "/sse":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for event in pages.EVENTS:
                self.wfile.write(event)
            self.close_connection = True
            return None
        if path == "/slow":
            time.sleep(SLOW_SECONDS)
            return self.answer(200, b"at last\n")
        if path == "/echo":
            return self.answer(200, b"read\n")
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"until the end\n" * 20)
        self.close_connection = True
        return None

    do_HEAD = do_GET

    def do_POST(self):
        if self.path.partition("?")[0] != "/early":
            self.read_body()
        self.do_GET()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True


server = Server((sys.argv[1], int(sys.argv[2])), Handler)
if len(sys.argv) > 4:  # certificate and key; each connection's handshake is made by its own thread
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[4], sys.argv[5])
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
