# SPDX-License-Identifier: Apache-2.0
"""What the servers under test offer, in the words of cases.Site."""
import sys

import cases
import harness

APPS = harness.HERE / "apps"
PYTHON = "/usr/bin/python3"

APP_PATHS = {
    "get": [("/hello", "/hello"), ("/", "/"), ("/items/7", "/items/:id"), ("/items/4242", "/items/:id")],
    "big": [("/big.bin", "/big.bin")],
    "post": [("/echo", "/echo")],
    "nocontent": [("/nocontent", "/nocontent")],
    "notmodified": [("/notmodified", "/notmodified")],
    "chunked": [("/chunked", "/chunked")],
    "error": [("/error", "/error")],
    "left": [("/left", "/left")],
}


def app(address, add=None, without=(), **options):
    """The Site of a test application; @add: purposes that this one has more, @without: purposes that it lacks."""
    paths = {k: v for k, v in APP_PATHS.items() if k not in without}
    for purpose in add or ():
        paths[purpose] = [{"sse": ("/sse", "/sse"), "early": ("/early", "/early"), "until_close": ("/until-close", "/until-close")}[purpose]]
    return cases.Site(address, paths, **options)


def documents(test):
    """A document root with the pages as files."""
    root = test.dir / "www"
    (root / "items").mkdir(parents=True)
    (root / "index.html").write_text("<p>index</p>\n" * 20)
    (root / "hello").write_text("hello\n" * 100)
    (root / "items" / "7").write_text("seven\n")
    (root / "items" / "4242").write_text("many\n")
    (root / "notmodified").write_text("fixed\n")
    (root / "left").write_text("left\n")
    (root / "big.bin").write_bytes(b"0123456789abcdef" * 65536)
    (root / "page.css").write_text("body { color: black }\n" * 50)
    for path in [root, *root.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return root


FILE_PATHS = {k: APP_PATHS[k] for k in ("get", "big", "left", "notmodified")}


def python_upstream(test, preload=False, service=None):
    """A plain Python server for proxies to talk to. Returns its address."""
    address = (test.ip, test.port())
    child = test.start([PYTHON, APPS / "http_server.py", *address, "HTTP/1.1"], preload=preload, service=service)
    test.wait_for_port(address, child)
    return address


sys.dont_write_bytecode = True
