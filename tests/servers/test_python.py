#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Python servers: http.server in both HTTP versions, gunicorn's sync and threaded workers, uvicorn with asyncio and with uvloop."""
import harness
import sites


def http_server(version):
    def set_up(test):
        address = (test.ip, test.port())
        child = test.start([sites.PYTHON, sites.APPS / "http_server.py", *address, version])
        test.wait_for_port(address, child)
        # leading_crlf: takes an empty line for the end of a keep-alive connection
        # expect_continue: an HTTP/1.0 server sends no interim answer
        return sites.app(address, ["sse", "early", "until_close"], answers_http09=True,
                         skip=["leading_crlf"] + (["expect_continue"] if version == "HTTP/1.0" else []),
                         pipeline="all" if version == "HTTP/1.1" else "some")
    return set_up


def gunicorn(*options):
    def set_up(test):
        address = (test.ip, test.port())
        child = test.start([harness.which("gunicorn"), "-b", "%s:%d" % address, "--backlog", "512", "--log-level", "critical",
                            "--keep-alive", "60", *options, "wsgi_app:application"], cwd=sites.APPS, env={"PYTHONDONTWRITEBYTECODE": "1"})
        test.wait_for_port(address, child)
        # bare_lf: waits for the CR LF that does not come
        # leading_crlf: refuses the empty line; whether it has read the request by then is a matter of timing
        return sites.app(address, ["sse", "early"], pipeline="some", skip=["bare_lf", "leading_crlf"])
    return set_up


def uvicorn(*options):
    def set_up(test):
        address = (test.ip, test.port())
        child = test.start([harness.which("uvicorn"), "--host", address[0], "--port", address[1], "--log-level", "critical",
                            "--backlog", "512", "--timeout-keep-alive", "60", *options, "asgi_app:application"], cwd=sites.APPS,
                           env={"PYTHONDONTWRITEBYTECODE": "1"})
        test.wait_for_port(address, child)
        # leading_crlf: h11 refuses it, see gunicorn
        return sites.app(address, ["sse", "early"], skip=["leading_crlf"])
    return set_up


harness.main({
    "http_server": http_server("HTTP/1.1"),
    "http_server_10": http_server("HTTP/1.0"),
    "gunicorn_sync": gunicorn("--workers", "2"),
    "gunicorn_gthread": gunicorn("--workers", "2", "--threads", "4"),
    "uvicorn": uvicorn("--loop", "asyncio", "--http", "h11"),
    "uvicorn_uvloop": uvicorn("--loop", "uvloop", "--http", "httptools"),
})
