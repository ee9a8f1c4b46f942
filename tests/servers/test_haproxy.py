#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""haproxy before a Python server: plain, and with its privileges dropped into an empty root folder behind PROXY heads."""
import os

import harness
import sites


def proxy_head(rng):
    if rng.random() < 0.5:
        return b"PROXY TCP4 192.0.2.1 192.0.2.2 5555 80\r\n"
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + bytes([192, 0, 2, 1, 192, 0, 2, 2, 21, 179, 0, 80])


def haproxy(accept_proxy, drop):
    def set_up(test):
        program = harness.which("haproxy")
        upstream = sites.python_upstream(test)
        address = (test.ip, test.port())
        (test.dir / "empty").mkdir()
        dropped = f"user haproxy\n    group haproxy\n    chroot {test.dir}/empty\n" if drop and os.getuid() == 0 else ""
        conf = test.write("haproxy.cfg", f"""
global
    nbthread 2
    maxconn 4000
    {dropped}
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    timeout http-keep-alive 60s
    option http-keep-alive
    errorfile 500 /dev/null
frontend front
    bind {address[0]}:{address[1]}{' accept-proxy' if accept_proxy else ''} backlog 512
    http-request return status 204 if {{ path /nocontent }}
    default_backend app
backend app
    http-reuse safe
    server one {upstream[0]}:{upstream[1]}
""".replace("    errorfile 500 /dev/null\n", ""))
        child = test.start([program, "-W", "-db", "-f", conf] if drop else [program, "-db", "-f", conf])
        test.wait_for_port(address, child)
        return sites.app(address, ["sse", "until_close"], max_head=12000, proxy_head=proxy_head if accept_proxy else None)
    return set_up


harness.main({"haproxy": haproxy(False, False), "haproxy_proxy_head": haproxy(True, True)})
