#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A server that measures itself with the Python client of Prometheus, as applications do: `http_request_duration_ms`, with the bounds
given. It waits as long as a path says (/wait/MS), so that durations are spread over the buckets. /own is what it has measured."""
import http.server
import sys
import time

import prometheus_client

OWN = prometheus_client.Histogram("http_request_duration_ms", "", ["method", "route", "code"], buckets=[float(b) for b in sys.argv[3:]])


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # a response in one call

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        began = time.monotonic()
        if self.path == "/own":
            self.answer(200, prometheus_client.generate_latest())
            return
        kind, wait = self.path.split("/")[1:3]
        time.sleep(float(wait) / 1000)
        status = 500 if kind == "fail" else 200
        OWN.labels("GET", f"/{kind}/:id", str(status)).observe((time.monotonic() - began) * 1000)
        self.answer(status, b"done\n")

    def log_message(self, *args):
        pass


http.server.ThreadingHTTPServer.request_queue_size = 64
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
