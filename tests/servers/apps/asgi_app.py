# SPDX-License-Identifier: Apache-2.0
"""An ASGI application with the pages of every test application."""
import site_pages as pages


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["type"] != "http":
        return
    path = scope["path"]
    if path.startswith("http://"):
        path = "/" + path.split("/", 3)[3]
    more = path != "/early"
    while more:
        message = await receive()
        more = message.get("more_body", False)

    async def start(status, headers=()):
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})

    found = pages.simple(path)
    if path == "/echo":
        found = 200, b"read\n"
    if found is not None:
        status, body = found
        await start(status, [] if status == 204 else [(b"content-length", b"%d" % len(body))])
        await send({"type": "http.response.body", "body": b"" if status in (204, 304) else body})
        return
    kind = [(b"content-type", b"text/event-stream")] if path == "/sse" else []
    await start(200, kind)
    for part in pages.EVENTS if path == "/sse" else pages.CHUNKS:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
