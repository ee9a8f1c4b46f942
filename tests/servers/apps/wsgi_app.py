# SPDX-License-Identifier: Apache-2.0
"""A WSGI application with the pages of every test application."""
import http

import site_pages as pages


def application(environ, start_response):
    path = environ.get("PATH_INFO") or "/"
    if path != "/early":
        environ["wsgi.input"].read()
    found = pages.simple(path)
    if found is None and path in ("/echo",):
        found = 200, b"read\n"
    if found is not None:
        status, body = found
        headers = [] if status == 204 else [("Content-Length", str(len(body)))]
        start_response(f"{status} {http.HTTPStatus(status).phrase}", headers)
        return [] if status in (204, 304) or environ["REQUEST_METHOD"] == "HEAD" else [body]
    if path == "/sse":
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return iter(pages.EVENTS)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return iter(pages.CHUNKS)
