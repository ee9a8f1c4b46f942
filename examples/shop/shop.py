# SPDX-License-Identifier: Apache-2.0
"""A small shop that knows nothing of metrics: pages, a search, a cart, a checkout, orders that a payment gateway is asked about, and
a queue of confirmations to send. shop.js is the same in another language. Arguments: address, port, address and port of the gateway."""
import collections
import http.client
import http.server
import itertools
import json
import sys
import threading
import time
import urllib.parse

PRICES = {n: 500 + 250 * n for n in range(1, 21)}  # cents
DELIVERY = {"post": 0, "pickup": 0.15}  # seconds that it takes to ask where it can be had
GATEWAY = (sys.argv[3], int(sys.argv[4]))

lock = threading.Lock()
numbers, visitors = itertools.count(1), itertools.count(1)
cache, confirmations = {}, collections.deque()


class Refused(Exception):
    """An order that is not accepted: status, code."""


def pay(card, cents):
    """Asks the gateway; Refused unless it approves."""
    conn = http.client.HTTPConnection(*GATEWAY, timeout=30)
    try:
        conn.request("POST", "/payments", json.dumps({"card": card, "cents": cents}), {"Content-Type": "application/json"})
        answer = conn.getresponse()
        result = json.load(answer)["result"]
    except (OSError, http.client.HTTPException):
        raise Refused(502, "gateway_unreachable") from None
    finally:
        conn.close()
    if answer.status != 200:
        raise Refused(502, "gateway_busy")
    if result != "approved":
        raise Refused(402, "card_declined")


def order(wanted):
    items, method = int(wanted["items"]), wanted.get("payment_method")
    if not method:
        raise Refused(422, "no_payment_method")
    if items > 9:
        raise Refused(409, "out_of_stock")
    cents = PRICES[int(wanted["product"])] * items
    if method != "invoice":
        pay(wanted.get("card", ""), cents)
    number = next(numbers)
    confirmations.append(number)
    return {"order": {"id": number, "status": "pending" if method == "invoice" else "paid"}, "items": items, "total_cents": cents}


class Shop(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/":
            is_new = "session=" not in self.headers.get("Cookie", "")
            self.answer(200, {"shop": "open"}, **({"Set-Cookie": f"session=visitor-{next(visitors)}"} if is_new else {}))
        elif path.startswith("/products/"):
            self.product(path.rpartition("/")[2])
        elif path == "/search":
            word = urllib.parse.parse_qs(query).get("q", [""])[0]
            self.answer(200, {"found": [n for n in PRICES if word in f"product {n}"]})
        elif path == "/health":
            self.answer(200, {"queue": {"waiting": len(confirmations)}})
        else:
            self.answer(404, {"error": {"code": "not_found"}})

    def product(self, number):
        with lock:
            is_hit = number in cache
            if not is_hit:
                cache[number] = {"id": number, "cents": PRICES.get(int(number))}
        self.answer(200, cache[number], **{"X-Cache": "HIT" if is_hit else "MISS"})

    def do_POST(self):
        text = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        is_form = self.headers.get("Content-Type") == "application/x-www-form-urlencoded"
        wanted = dict(urllib.parse.parse_qsl(text)) if is_form else json.loads(text or "{}")
        if self.path == "/cart":
            self.answer(200, {"items": wanted["items"]})
        elif self.path == "/checkout":
            time.sleep(DELIVERY[wanted["delivery"]])
            self.answer(200, {"delivery": wanted["delivery"]})
        elif self.path == "/orders":
            try:
                self.answer(201, order(wanted))
            except Refused as refused:
                self.answer(refused.args[0], {"error": {"code": refused.args[1]}})
        elif self.path == "/confirmations":  # a job sends some of them
            for _ in range(min(int(wanted["send"]), len(confirmations))):
                confirmations.popleft()
            self.answer(200, {"waiting": len(confirmations)})
        else:
            self.answer(404, {"error": {"code": "not_found"}})

    def answer(self, status, value, **headers):
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Shop).serve_forever()
