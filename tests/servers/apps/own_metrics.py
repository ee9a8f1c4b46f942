# SPDX-License-Identifier: Apache-2.0
"""An application that measures itself with the Python client of Prometheus, as people write them: requests by method, route and
status, how long they took, orders by status and payment. `application` is for WSGI servers, `asgi` for ASGI ones; /metrics is what it
has measured. OWN_BOUNDS: bounds of durations in seconds."""
import asyncio
import json
import os
import time

import prometheus_client

BOUNDS = [float(b) for b in os.environ["OWN_BOUNDS"].split()]
REQUESTS = prometheus_client.Counter("http_requests_total", "Requests.", ["method", "route", "status"])
DURATION = prometheus_client.Histogram("http_request_duration_seconds", "Durations.", ["method", "route", "status"], buckets=BOUNDS)
ORDERS = prometheus_client.Counter("orders_created_total", "Orders.", ["status", "payment_method"])
REASONS = {200: "OK", 201: "Created", 404: "Not Found", 409: "Conflict", 500: "Internal Server Error"}


def handle(method, path, body):
    """Route, seconds to wait, status, value of the answer."""
    if path.startswith("/wait/"):
        return "/wait/:id", int(path.rpartition("/")[2]) / 1000, 200, {"waited": True}
    if path == "/orders" and method == "POST":
        wanted = json.loads(body)
        if wanted["items"] > 9:
            return "/orders", 0, 409, {"error": {"code": "out_of_stock"}}
        status = "pending" if wanted["payment_method"] == "invoice" else "paid"
        ORDERS.labels(status, wanted["payment_method"]).inc()
        return "/orders", 0, 201, {"order": {"status": status}}
    if path == "/broken":
        return "/broken", 0, 500, {"error": {"code": "broken"}}
    return "_unmatched", 0, 404, {"error": {"code": "not_found"}}


def measured(method, route, status, began):
    REQUESTS.labels(method, route, str(status)).inc()
    DURATION.labels(method, route, str(status)).observe(time.monotonic() - began)


def application(environ, start_response):
    method, path, began = environ["REQUEST_METHOD"], environ["PATH_INFO"], time.monotonic()
    if path == "/metrics":
        status, text, kind = 200, prometheus_client.generate_latest(), prometheus_client.CONTENT_TYPE_LATEST
    else:
        route, wait, status, value = handle(method, path, environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        time.sleep(wait)
        text, kind = json.dumps(value).encode(), "application/json"
        measured(method, route, status, began)
    start_response(f"{status} {REASONS[status]}", [("Content-Type", kind), ("Content-Length", str(len(text)))])
    return [text]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    method, path, began, body, more = scope["method"], scope["path"], time.monotonic(), b"", True
    while more:
        piece = await receive()
        body, more = body + piece.get("body", b""), piece.get("more_body", False)
    if path == "/metrics":
        status, text, kind = 200, prometheus_client.generate_latest(), prometheus_client.CONTENT_TYPE_LATEST
    else:
        route, wait, status, value = handle(method, path, body)
        await asyncio.sleep(wait)
        text, kind = json.dumps(value).encode(), "application/json"
        measured(method, route, status, began)
    await send({"type": "http.response.start", "status": status,
                "headers": [(b"content-type", kind.encode()), (b"content-length", str(len(text)).encode())]})
    await send({"type": "http.response.body", "body": text})
