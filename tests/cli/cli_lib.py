# SPDX-License-Identifier: Apache-2.0
"""What the tests of the tickbird command share: a private region directory, the built programs, a small HTTP server, one
line per test."""
import contextlib
import http.client
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("B", "build"))
TICKBIRD = os.path.join(BUILD, "tickbird")
EXPORTER = os.path.join(BUILD, "tickbird-exporter")
OBJECT = os.path.join(BUILD, "libtickbird.so")
TIMEOUT = 120  # seconds for one command; a hang is a failure

tests = []


class Skip(Exception):
    pass


def test(function):
    tests.append(function)
    return function


class Result:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout.decode(), done.stderr.decode()

    def __repr__(self):
        return f"exit {self.code}\nstdout: {self.out}\nstderr: {self.err}"


def clean_environment(scratch):
    env = {k: v for k, v in os.environ.items() if not k.startswith("TICKBIRD_") and k != "LD_PRELOAD"}
    env.update(TICKBIRD_DIR=os.path.join(scratch, "regions"), TICKBIRD_STORAGE_PATH=os.path.join(scratch, "ledger"),
               LC_ALL="C.UTF-8", PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    return env


SHM = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
IS_NOEXEC = bool(SHM and os.statvfs(SHM).f_flag & os.ST_NOEXEC)  # as engines of containers mount it


class Scratch:
    """A directory on a tmpfs for one test, and the command run in its environment. Where nothing may be executed on the tmpfs
    only the regions are there."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="tb-cli-", dir=None if IS_NOEXEC else SHM)
        self.env = clean_environment(self.path)
        self.shared = tempfile.mkdtemp(prefix="tb-cli-", dir=SHM) if IS_NOEXEC else self.path
        self.env["TICKBIRD_DIR"] = self.regions = os.path.join(self.shared, "regions")
        self.processes, self.closing = [], []

    def file(self, name, content=b"", mode=0o644):
        path = os.path.join(self.path, name)
        with open(path, "wb") as out:
            out.write(content)
        os.chmod(path, mode)
        return path

    def run(self, *argv, env=None, stdin=b"", program=TICKBIRD, **more):
        done = subprocess.run([program, *argv], env={**self.env, **(env or {})}, input=stdin, capture_output=True,
                              timeout=TIMEOUT, **more)
        return Result(done)

    def start(self, argv, env=None, **more):
        process = subprocess.Popen(argv, env={**self.env, **(env or {})}, **more)
        self.processes.append(process)
        return process

    def close(self):
        for close in self.closing:
            close()
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    with contextlib.suppress(OSError):
                        stream.close()
        for path in {self.path, self.shared}:
            shutil.rmtree(path, ignore_errors=True)


def one_line(text):
    """Messages are one line, `tickbird: what: why: what to do`."""
    assert text.startswith("tickbird: ") and text.endswith("\n") and text.count("\n") == 1, text
    assert text.count(": ") >= 2, text
    return text


def check(condition, *about):
    if not condition:
        raise AssertionError(" ".join(str(a) for a in about))


def wait_for(what, condition, seconds=60):
    """Polls until @condition is true; for states of other processes that announce nothing."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        select.select([], [], [], 0.02)
    raise AssertionError(f"{what}: not within {seconds} s")


def read_line(stream, seconds=60):
    """The next line of a child's pipe. Byte by byte: what a buffer has taken in already, select does not see."""
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([stream], [], [], seconds)
        check(ready, f"no line within {seconds} s")
        byte = os.read(stream.fileno(), 1)
        if not byte:
            break
        line += byte
    return line.decode().rstrip("\n")


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Skip(f"{program} is not installed")


def need_object():
    if not os.path.exists(OBJECT):
        raise Skip("libtickbird.so is not built")


def make_regions(s):
    os.makedirs(s.regions, 0o700, exist_ok=True)


def run_python(s, code, *flags, service="shop", env=None):
    """A Python program under `tickbird run`, with pipes for what it reads and prints."""
    need_object()
    make_regions(s)
    return s.start([TICKBIRD, "run", "--service", service, *flags, "--", "/usr/bin/python3", "-c", code], env=env,
                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)


# Behind a program's Handler, which it ends: a server of it in threads. Prints its port.
SERVE = r"""
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_port, flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
"""
# Prints its port. Answers paths that begin with /missing or /no with 404, /broken with 500, /held when it has read a line.
# Ends when its input does. For each request that it is done with it adds a byte to the file SERVED, if there is one.
HTTP_SERVER = r"""
import http.server, os, sys, threading
served = os.open(os.environ.get("SERVED", "/dev/null"), os.O_WRONLY | os.O_APPEND)
held = threading.Event()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1 # a response in one call, as fast servers send it
    def handle_one_request(self):
        super().handle_one_request()
        if self.raw_requestline:
            os.write(served, b".")
    def do_GET(self):
        if self.path == "/held":
            print("holding", flush=True)
            held.wait()
        self.send_response(404 if self.path.startswith(("/missing", "/no")) else 500 if self.path == "/broken" else 200)
        self.send_header("Content-Length", "2")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(b"ok")
    do_POST = do_GET
""" + SERVE + r"""
sys.stdin.readline()
held.set()
sys.stdin.read()
"""


class Server:
    """HTTP_SERVER under `tickbird run`, and a client of it that keeps its connection."""

    def __init__(self, s, service="shop", *flags):
        with tempfile.NamedTemporaryFile(dir=s.path, prefix="served-", delete=False) as served:
            self.served = served.name
        self.process = run_python(s, HTTP_SERVER, *flags, service=service, env={"SERVED": self.served})
        self.asked = 0
        self.port = int(read_line(self.process.stdout))
        self.client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def get(self, path, method="GET", **headers):
        """The status of the answer, which is counted when this returns: a client may have it before."""
        self.client.request(method, path, headers=headers)
        answer = self.client.getresponse()
        check(answer.read() == b"ok")
        self.asked += 1
        wait_for("the server is done with the answer", lambda: os.path.getsize(self.served) >= self.asked)
        return answer.status

    def stop(self):
        self.client.close()
        self.process.kill()
        self.process.wait()


def main():
    if not os.access(TICKBIRD, os.X_OK):
        print(f"{TICKBIRD} is not built")
        sys.exit(1)
    failed = False
    only = sys.argv[1:]
    for function in tests:
        name = function.__name__
        if only and not any(re.search(word, name) for word in only):
            continue
        scratch = Scratch()
        try:
            function(scratch)
            print(f"ok {name}", flush=True)
        except Skip as reason:
            print(f"skip {name} {reason}", flush=True)
        except Exception:  # whatever it is, it is a failed test
            failed = True
            traceback.print_exc(file=sys.stdout)
            print(f"not ok {name}", flush=True)
        finally:
            scratch.close()
    sys.exit(failed)
