# SPDX-License-Identifier: Apache-2.0
"""A small Python service that knows nothing of metrics. Arguments: address, port."""
import http.server
import sys
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        status, body = 200, b"{}\n"
        if self.path.startswith("/users/") and self.path.endswith("/orders"):
            time.sleep(0.04)  # a slow query
        elif self.path == "/report":
            status, body = 500, b"failed\n"
        elif not self.path.startswith(("/users/", "/health")):
            status, body = 404, b"not found\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
