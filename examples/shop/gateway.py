# SPDX-License-Identifier: Apache-2.0
"""A payment gateway to try a shop with: POST /payments {"card": TOKEN, "cents": NUMBER}. As gateways' test systems do, it goes by
the token: tok_declined is refused, tok_busy is answered 503, tok_hangup not at all. Arguments: address, port."""
import http.server
import json
import sys


class Gateway(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        token = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["card"]
        if token == "tok_hangup":
            self.close_connection = True
            return
        status, result = {"tok_declined": (200, "declined"), "tok_busy": (503, "busy")}.get(token, (200, "approved"))
        body = json.dumps({"result": result}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Gateway).serve_forever()
