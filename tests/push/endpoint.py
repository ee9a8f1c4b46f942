# SPDX-License-Identifier: Apache-2.0
"""An HTTP endpoint for pushes that does what a test tells it: it keeps what it accepts, and refuses, delays, throttles or
hangs up as it is asked to. Requests that claim a signature are checked with botocore's signer, so that whoever signs
wrongly is refused as AWS does."""
import contextlib
import gzip
import http.server
import json
import threading

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def signature_of(method, path, headers, body, keys):
    """Which key signed rightly. None: nobody. @keys: access key -> (secret, session token or None)."""
    given = headers.get("Authorization", "")
    if not given.startswith("AWS4-HMAC-SHA256 "):
        return None
    parts = dict(p.strip().split("=", 1) for p in given[len("AWS4-HMAC-SHA256 "):].split(","))
    key, _, region, service, _ = parts["Credential"].split("/")
    if key not in keys:
        return None
    secret, token = keys[key]
    if headers.get("X-Amz-Security-Token") != token:
        return None
    request = AWSRequest(method, f"http://{headers['Host']}{path}", data=body)
    for name in parts["SignedHeaders"].split(";"):
        if name != "host":
            request.headers[name] = headers[name]
    request.context["timestamp"] = headers["X-Amz-Date"]
    signer = SigV4Auth(Credentials(key, secret), service, region)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    return key if signer.signature(text, request) == parts["Signature"] else None


class Endpoint:
    """`behave` is a list of what to do with the next requests: a status to answer, "hang up" (after taking the request
    in), "cut" (before reading it all), "hold" (until released), or a function (handler, body) of one's own; an empty list
    accepts."""

    def __init__(self, keys=None):
        self.keys, self.behave, self.seen, self.accepted = keys, [], [], []
        self.forward = None  # a function that answers what is accepted: (endpoint, handler, body)
        self.held, self.release, self.changed = threading.Event(), threading.Event(), threading.Condition()
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                endpoint.take(self)

            do_GET = do_PUT = do_POST

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, handler, status, body=b"", headers=()):
        handler.send_response(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        with contextlib.suppress(OSError):  # who has read enough may be gone
            handler.wfile.write(body)

    def refuse(self, handler, status, name):
        self.answer(handler, status, json.dumps({"__type": f"com.amazonaws#{name}", "message": "told to"}).encode(),
                    [("x-amzn-query-error", f"{name};Sender")])

    def take(self, handler):
        how = self.behave.pop(0) if self.behave else 200
        if how == "cut":
            handler.rfile.read(10)
            handler.close_connection = True
            return
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        plain = gzip.decompress(body) if handler.headers.get("Content-Encoding") == "gzip" else body
        note = (handler.path, handler.headers, plain)
        with self.changed:
            self.seen.append(note)
            self.changed.notify_all()
        if callable(how):
            how(handler, plain)
        elif self.keys is not None and not signature_of(handler.command, handler.path, handler.headers, body, self.keys):
            self.refuse(handler, 403, "SignatureDoesNotMatch")
        elif how == "throttle":
            self.refuse(handler, 400, "Throttling")
        elif isinstance(how, int) and how >= 300:
            self.refuse(handler, how, "Told")
        else:
            self.accepted.append(note)
            if how == "hold":
                self.held.set()
                self.release.wait(60)
            if self.forward and how == 200:
                self.forward(self, handler, plain)
            elif how in ("hang up", "hold"):
                handler.close_connection = True
                handler.connection.close()
            else:
                self.answer(handler, 200 if how == 200 else how, b"{}")

    def close(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()
