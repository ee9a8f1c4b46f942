# SPDX-License-Identifier: Apache-2.0
"""The Runtime API and the Extensions API of AWS Lambda, as far as a function and one extension need them: one invocation
at a time, each of which ends when both wait for the next. Keeps its own tally with its own clock."""
import http.server
import json
import threading
import time
import urllib.parse

WAIT = 60.0  # seconds for what has to happen


class Invocation:
    def __init__(self, number, event):
        self.id, self.event, self.result, self.kind = f"8476a536-e9f4-11e8-9739-{number:012x}", event, None, None
        self.handed_ns = self.asked_ns = 0  # before the event was sent; when the runtime had asked for the next


class Api:
    """@refuse: how many bytes a response may have (413 beyond)."""

    def __init__(self, refuse=6 << 20):
        self.changed = threading.Condition()
        self.refuse, self.count = refuse, 0
        self.registered = None  # the body of the registration
        self.runtime_waits, self.extension_waits = False, None
        self.event = self.extension_event = None  # to be handed out
        self.invocation = None
        self.init_errors, self.is_over = [], False
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def log_message(self, *args):
                pass

            def do_GET(self):
                api.get(self, urllib.parse.urlsplit(self.path).path)

            def do_POST(self):
                api.post(self, urllib.parse.urlsplit(self.path).path, self.body())

            def body(self):
                if self.headers.get("Transfer-Encoding", "") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                whole = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    whole += self.rfile.read(size)
                    self.rfile.readline()
                while self.rfile.readline() not in (b"\r\n", b""):  # trailers
                    pass
                return whole

            def answer(self, status, body=b"", **headers):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                self.wfile.flush()

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = "127.0.0.1:%d" % self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        with self.changed:
            self.is_over = True
            self.changed.notify_all()
        self.server.shutdown()
        self.server.server_close()

    def until(self, what, condition, seconds=WAIT):
        with self.changed:
            if not self.changed.wait_for(lambda: condition() or self.is_over, seconds) or self.is_over:
                raise AssertionError(f"{what}: not within {seconds} s")

    # ---- what is asked ----

    def get(self, handler, path):
        if path == "/2018-06-01/runtime/invocation/next":
            asked_ns = time.monotonic_ns()
            with self.changed:
                self.runtime_waits = True
                if self.invocation:
                    self.invocation.asked_ns = asked_ns
                self.changed.notify_all()
                self.changed.wait_for(lambda: self.event or self.is_over)
                i, self.event, self.runtime_waits = self.event, None, False
            if i:
                i.handed_ns = time.monotonic_ns()
                handler.answer(200, json.dumps(i.event).encode(), Lambda_Runtime_Aws_Request_Id=i.id,
                               Lambda_Runtime_Deadline_Ms=str(int(time.time() * 1000) + 60000), Lambda_Runtime_Trace_Id="Root=1-5bef4de7;Sampled=0",
                               Lambda_Runtime_Invoked_Function_Arn="arn:aws:lambda:eu-west-1:123456789012:function:orders")
        elif path == "/2020-01-01/extension/event/next" and handler.headers["Lambda-Extension-Identifier"] == "an-identifier":
            with self.changed:
                self.extension_waits = handler  # the latest: one that was killed leaves its request behind
                self.changed.notify_all()
                self.changed.wait_for(lambda: self.extension_event or self.is_over or self.extension_waits is not handler)
                event = None
                if self.extension_waits is handler:
                    event, self.extension_event, self.extension_waits = self.extension_event, None, None
            if event:
                handler.answer(200, json.dumps(event).encode(), Lambda_Extension_Event_Identifier="1")
        else:
            handler.answer(404, b"{}")

    def post(self, handler, path, body):
        parts = path.split("/")[1:]
        if path == "/2020-01-01/extension/register":
            events = json.loads(body)
            with self.changed:
                self.registered = (handler.headers["Lambda-Extension-Name"], sorted(events["events"]))
                self.changed.notify_all()
            handler.answer(200, b'{"functionName":"orders"}', Lambda_Extension_Identifier="an-identifier")
        elif path == "/2018-06-01/runtime/init/error":
            self.init_errors.append(body)
            handler.answer(202, b'{"status":"OK"}')
        elif len(parts) == 5 and parts[3] == self.invocation.id and parts[4] == "response" and len(body) > self.refuse:
            handler.answer(413, b'{"errorType":"RequestEntityTooLarge"}')
        elif len(parts) == 5 and parts[3] == self.invocation.id and parts[4] in ("response", "error"):
            with self.changed:
                self.invocation.kind, self.invocation.result = parts[4], body
                self.changed.notify_all()
            handler.answer(202, b'{"status":"OK"}')
        else:
            handler.answer(404, b"{}")

    # ---- what happens to the function ----

    def until_idle(self, with_runtime=True, with_extension=True):
        self.until("the function and its extension wait",
                   lambda: (self.runtime_waits or not with_runtime) and
                   (self.extension_waits and not self.extension_event or not with_extension))

    def hand(self, event, seconds=60, with_extension=True):
        """An event is given to both; the invocation goes on."""
        with self.changed:
            self.count += 1
            self.invocation = self.event = Invocation(self.count, event)
            self.runtime_waits = False
            if with_extension:
                self.extension_event = {"eventType": "INVOKE", "deadlineMs": int((time.time() + seconds) * 1000), "requestId": self.invocation.id,
                                        "invokedFunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:orders"}
            self.changed.notify_all()
            return self.invocation

    def invoke(self, event, with_extension=True):
        """The whole of it."""
        i = self.hand(event, with_extension=with_extension)
        self.until("it is answered", lambda: i.kind)
        self.until_idle(with_extension=with_extension)
        return i

    def shut_down(self, reason="spindown", seconds=2):
        with self.changed:
            self.extension_event = {"eventType": "SHUTDOWN", "shutdownReason": reason, "deadlineMs": int((time.time() + seconds) * 1000)}
            self.changed.notify_all()
