#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Ordinary Python that uses what a preload could disturb: servers and clients, subprocesses, signals, time-outs, pools.

The protocol is that of the other programs (tp.h): CASE FLAVOUR, or --list. Nothing printed may differ by chance.
"""
import asyncio
import concurrent.futures
import http.client
import http.server
import multiprocessing
import os
import selectors
import signal
import socket
import socketserver
import subprocess
import sys
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.path.encode() * 100
        self.send_response(200 if "missing" not in self.path else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

    def version_string(self):
        return "x"

    def date_time_string(self, timestamp=None):
        return "now"


class Threaded(http.server.ThreadingHTTPServer):
    daemon_threads = False  # server_close() waits for them, and so for the end of their connections


def serving():
    server = Threaded(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def ask(port, path):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    client.request("GET", path)
    answer = client.getresponse()
    result = answer.status, len(answer.read()), sorted(answer.getheaders())
    client.close()
    return result


def threads():
    server = serving()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        paths = [f"/users/{i}" for i in range(100)] + ["/missing"] * 5
        for path, seen in zip(paths, pool.map(lambda p: ask(server.server_port, p), paths)):
            print(path, seen)
    server.shutdown()
    server.server_close()
    print(sorted(os.listdir("/proc/self/fd")), threading.active_count() >= 1)


def failures():
    server = socket.create_server(("127.0.0.1", 0))  # says nothing
    s = socket.create_connection(server.getsockname())
    s.settimeout(0.05)
    for call in (lambda: s.recv(10), lambda: s.sendall(b"G" * 10), lambda: s.setblocking(False) or s.recv(1),
                 lambda: socket.create_connection(("127.0.0.1", 1), 1), lambda: socket.socket(fileno=99999),
                 lambda: os.read(9999, 1), lambda: os.write(server.fileno(), b"x"), lambda: s.shutdown(9),
                 lambda: os.close(9999), lambda: os.dup2(9999, 5), lambda: s.recvmsg(10, -1)):
        try:
            print("done", call())
        except (OSError, ValueError) as error:
            print(type(error).__name__, error)
    s.close()
    server.close()


def children():
    server = serving()
    for how in ({}, {"close_fds": False}, {"start_new_session": True}, {"preexec_fn": lambda: os.nice(0)}, {"pass_fds": (1, 2)}):
        done = subprocess.run(["/bin/sh", "-c", "ls /proc/self/fd | wc -l; exit 3"], stdout=subprocess.PIPE, check=False, **how)
        print(sorted(how), done.returncode, done.stdout)
        print(ask(server.server_port, "/between"))
    print(subprocess.run(["/nowhere"], check=False) if os.path.exists("/nowhere") else "no /nowhere")
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 4"], os.environ)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    pid = os.fork()
    if pid == 0:
        print("child", flush=True)
        os._exit(5)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    pool = multiprocessing.get_context("fork").Pool(2)
    print(pool.map(abs, range(-5, 5)))
    pool.close()
    pool.join()
    server.shutdown()


def loops():
    async def main():
        async def answer(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()
            writer.close()

        async def one():
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            data = await reader.read()
            writer.close()
            return data

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        print(await asyncio.gather(*[one() for _ in range(50)]))
        process = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
        print(await process.communicate(b"through cat"), process.returncode)
        try:
            await asyncio.wait_for(asyncio.open_connection("127.0.0.1", 1), 5)
        except OSError as error:
            print(error)
        server.close()
    asyncio.run(main())


def signals():
    seen = []
    signal.signal(signal.SIGALRM, lambda number, frame: seen.append(number))
    a, b = socket.socketpair()
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    a.settimeout(0.2)
    try:
        a.recv(1)
    except OSError as error:
        print(type(error).__name__)
    signal.setitimer(signal.ITIMER_REAL, 0)
    print(bool(seen), signal.getsignal(signal.SIGPIPE), signal.pthread_sigmask(signal.SIG_BLOCK, []))
    b.close()
    try:
        a.send(b"x")
    except OSError as error:
        print(type(error).__name__)


def forking():
    class Server(socketserver.ForkingMixIn, socketserver.TCPServer):
        pass

    server = Server(("127.0.0.1", 0), Handler)
    server.timeout = 20
    for i in range(10):
        client = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
        client.request("GET", f"/{i}", headers={"Connection": "close"})
        server.handle_request()
        answer = client.getresponse()
        print(answer.status, len(answer.read()))
    server.server_close()
    sel = selectors.DefaultSelector()
    print(type(sel).__name__)


CASES = {f.__name__: f for f in (threads, failures, children, loops, signals, forking)}

if sys.argv[1] == "--list":
    print("\n".join(name + " only-asleep" for name in CASES))
else:
    CASES[sys.argv[1]]()
