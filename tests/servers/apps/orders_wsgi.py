# SPDX-License-Identifier: Apache-2.0
"""The same shop as orders.js in Python, without a word about metrics."""
import gzip
import json
import time
import urllib.parse


def order(body, kind):
    wanted = dict(urllib.parse.parse_qsl(body.decode())) if kind == "application/x-www-form-urlencoded" else json.loads(body)
    method = wanted.get("payment_method")
    if not method:
        return 422, {"error": {"code": "no_method", "text": "say how it is paid"}}
    if int(wanted.get("items", 1)) > 9:
        return 409, {"error": {"code": "out_of_stock"}}
    lines = [{"name": 'a "quoted" \u20ac thing', "count": int(wanted.get("items", 1))}]
    return 201, {"id": 17, "lines": lines, "order": {"status": "pending" if method == "invoice" else "paid"}}


def page(environ):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    path = environ["PATH_INFO"]
    if path == "/orders" and environ["REQUEST_METHOD"] == "POST":
        return order(body, environ.get("CONTENT_TYPE"))
    if path == "/checkout":
        time.sleep(int(environ.get("HTTP_X_WAIT", 0)) / 1000)
        return 200, {"done": True}
    if path == "/hello":
        return 200, {"hello": "you"}
    return 404, {"error": {"code": "not_found"}}


def application(environ, start_response):
    status, value = page(environ)
    text = json.dumps(value).encode()
    headers = [("Content-Type", "application/json")]
    if environ.get("HTTP_ACCEPT_ENCODING") == "gzip":
        text = gzip.compress(text)
        headers.append(("Content-Encoding", "gzip"))
    chunks = [text]
    if environ.get("HTTP_X_CHUNKS"):  # in pieces, without a length
        chunks = [text[:7], text[7:]]
    else:
        headers.append(("Content-Length", str(len(text))))
    start_response(f"{status} Any", headers)
    return chunks
