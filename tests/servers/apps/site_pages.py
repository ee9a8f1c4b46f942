# SPDX-License-Identifier: Apache-2.0
"""What every test application serves, so that one Site describes them all."""
BIG = b"0123456789abcdef" * 65536  # 1 MiB
CHUNKS = [b"first\n", b"GET /fake HTTP/1.1\r\n\r\n", b"HTTP/1.1 500 Fake\r\n\r\n", b"z" * 3000]
EVENTS = [b"data: 1\n\n", b"data: 2\n\n", b"data: 3\n\n"]


def simple(path):
    """(status, body) of the paths that need nothing special; None for the others."""
    if path in ("/hello", "/", "/left") or path.startswith("/items/"):
        return 200, b"hello\n"
    if path == "/big.bin":
        return 200, BIG
    if path == "/nocontent":
        return 204, b""
    if path == "/notmodified":
        return 304, b""
    if path == "/error":
        return 500, b"failed on purpose\n"
    if path == "/early":
        return 413, b"too large\n"
    if path in ("/chunked", "/sse", "/until-close", "/echo", "/slow"):
        return None
    return 404, b"no such page\n"
