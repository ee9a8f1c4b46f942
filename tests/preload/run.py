#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The preload tests: builds the small servers, drives each, and compares the region with the client's own record."""
import atexit
import collections
import os
import random
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

B = os.path.abspath(os.environ.get("B", "build"))
OBJECT = os.path.join(B, "libtickbird.so")
HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.path.join(B, "tests", "preload")
SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
LARGE = 200000
LENGTHS = {"/small": 5, "/large": LARGE, "/empty": 0, "/missing": 5, "/broken": 5}
STATUS = {"/missing": 404, "/broken": 500}

tests = []
children = []


def test(*parameters, name=None):
    """Registers a test; with parameters, one for each: (name, arguments...)."""
    def register(function):
        if not parameters:
            tests.append((name or function.__name__, function, ()))
        for p in parameters:
            tests.append((function.__name__ + "_" + p[0], function, p[1:]))
        return function
    return register


class Skip(Exception):
    pass


def build():
    os.makedirs(BIN, exist_ok=True)
    sources = [os.path.join(HERE, f) for f in ("server.c", "io.c", "models.c")]
    flags = ["-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-Wno-unused-result"]

    def compile_to(target, argv):
        out = os.path.join(BIN, target)
        shim = os.path.join(HERE, "../../shim")
        newest = max(os.path.getmtime(os.path.join(d, f)) for d in (HERE, shim) for f in os.listdir(d))
        if not os.path.exists(out) or os.path.getmtime(out) < max(newest, os.path.getmtime(os.path.join(B, "agent.a"))):
            new = f"{out}.{os.getpid()}"
            subprocess.run(argv + ["-o", new], check=True)
            os.rename(new, out)

    compile_to("server", ["cc", *flags, *sources, "-lpthread"])
    compile_to("dump", ["cc", *flags, "-I.", os.path.join(HERE, "dump.c"), os.path.join(B, "agent.a")])
    compile_to("odd", ["cc", *flags, os.path.join(HERE, "odd.c"), "-lpthread"])
    shim = [os.path.join(HERE, "../../shim", f) for f in ("fdtable.c", "identity.c", "resolve.c", "vdso.c")]
    compile_to("parts", ["cc", *flags, '-DTB_VERSION="test"', os.path.join(HERE, "parts.c"), *shim,
                         os.path.join(B, "agent.a"), "-lpthread"])
    compile_to("early.so", ["cc", *flags, "-shared", "-fPIC", os.path.join(HERE, "early.c")])
    if shutil.which("g++"):
        compile_to("unwind", ["g++", "-O1", "-g", os.path.join(HERE, "unwind.cc"), "-lpthread"])
    if shutil.which("musl-gcc"):
        # the kernel's headers are not among musl's
        triple = subprocess.run(["cc", "-print-multiarch"], stdout=subprocess.PIPE, check=True).stdout.decode().strip()
        kernel = [f"-idirafter{d}" for d in ("/usr/include", f"/usr/include/{triple}")]
        compile_to("server-musl", ["musl-gcc", *flags, *kernel, *sources])


# ---- the client ----

class Connection:
    """One connection, by hand; every whole response is noted under the request it answers."""

    def __init__(self, address, record):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET6 if address[0] == "::1" else socket.AF_INET
        self.s = socket.socket(family, socket.SOCK_STREAM)
        self.s.settimeout(60)
        self.s.connect(address)
        self.record, self.buffer, self.waiting = record, b"", []

    def send(self, method, path, body=b"", split=None):
        data = f"{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        if not body:
            data = f"{method} {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode()
        self.waiting.append((method, path))
        if split:
            self.s.sendall(data[:split])
            time.sleep(0.002)  # only makes it likely that the pieces arrive apart; nothing depends on it
            self.s.sendall(data[split:])
        else:
            self.s.sendall(data)

    def more(self):
        data = self.s.recv(65536)
        self.buffer += data
        return data

    def response(self):
        """The next response; False when the connection ended before one was whole."""
        method, path = self.waiting.pop(0)
        while b"\r\n\r\n" not in self.buffer:
            try:
                if not self.more():
                    return False
            except ConnectionError:
                return False
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        status = int(head.split()[1])
        length = None
        for line in head.split(b"\r\n")[1:]:
            key, value = line.split(b":", 1)
            if key.lower() == b"content-length":
                length = int(value)
        if method == "HEAD":
            length = 0
        self.record[(method, path if status != 404 else "_unmatched", status)] += 1
        while length is None or len(self.buffer) < length:
            try:
                if not self.more():
                    return length is None
            except ConnectionError:
                return False
        self.buffer = self.buffer[length:] if length is not None else b""
        return True

    def get(self, method, path, body=b"", split=None):
        self.send(method, path, body, split)
        return self.response()

    def close(self):
        self.s.close()

    def reset(self):
        """Leave at once: the kernel sends RST."""
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.s.close()


class Server:
    def __init__(self, argv, directory, service, env=None, preload=OBJECT, **more):
        self.directory, self.service = directory, service
        full = {**os.environ, "TICKBIRD_DIR": directory, "TICKBIRD_SERVICE": service, "LD_PRELOAD": preload, **(env or {})}
        self.p = subprocess.Popen(argv, stdout=subprocess.PIPE, env=full, start_new_session=True, **more)
        self.daemon = 0
        children.append(self)
        line = self.p.stdout.readline().decode().strip()
        if not line:
            raise AssertionError(f"server did not start: {argv}, exit {self.p.wait()}")
        self.address = "\0" + line[1:] if line[0] == "@" else int(line)
        if "daemon" in argv:
            self.daemon = int(self.p.stdout.readline().split()[1])

    def connect(self, record, host="127.0.0.1"):
        address = self.address if isinstance(self.address, str) else (host, self.address)
        return Connection(address, record)

    def stop(self, how=signal.SIGTERM):
        try:
            os.killpg(self.p.pid, how)
        except ProcessLookupError:
            pass
        if self.daemon:
            os.kill(self.daemon, signal.SIGKILL)
        self.p.stdout.close()
        self.p.wait()


def dump(directory):
    """What the regions of a directory hold."""
    out = subprocess.run([os.path.join(BIN, "dump"), directory], stdout=subprocess.PIPE, check=False).stdout.decode()
    result = collections.defaultdict(dict)
    result["inflight"] = 0
    for line in out.splitlines():
        word = line.split()
        if word[0] in ("requests", "aborted", "stream"):
            key = (word[2], word[4], int(word[3]))
            if word[1] == "client":
                key = ("client",) + key
            result[word[0]][key] = result[word[0]].get(key, 0) + int(word[5])
            for i, what in ((6, "incomplete"), (7, "untimed"), (8, "sum_ns")):
                if int(word[i]):
                    result[what][key] = result[what].get(key, 0) + int(word[i])
        elif word[0] in ("errors", "connect", "tls", "result"):
            result[word[0]][int(word[3])] = result[word[0]].get(int(word[3]), 0) + int(word[5])
        elif word[0] == "counter":
            result["counter"][word[1]] = result["counter"].get(word[1], 0) + int(word[2])
        elif word[0] == "owner":
            result["owner"][int(word[1])] = (int(word[2]), int(word[3]))
        elif word[0] == "inflight":
            result["inflight"] += int(word[1])
        elif word[0] == "region":
            result["region"][word[1]] = int(word[2])
        else:
            raise AssertionError("bad region: " + line)
    return result


def settle(directory, is_settled, seconds=10):
    """Reads until @is_settled says so: the last response is counted when the server's call returns, a moment after the
    client has it. Returns the last reading."""
    end = time.monotonic() + seconds
    while True:
        seen = dump(directory)
        if is_settled(seen) or time.monotonic() > end:
            return seen
        time.sleep(0.01)


def flying(seen):
    return sum(v[0] for v in seen["owner"].values()), seen["inflight"]


def compare(directory, wanted, aborted=None, counters=()):
    """The region equals the client's record, and nothing is in flight."""
    wanted = {k: v for k, v in wanted.items() if v}
    seen = settle(directory, lambda s: s["requests"] == wanted and flying(s) == (0, 0) and
                  aborted in (None, s["aborted"]))
    assert seen["requests"] == wanted, f"requests: region has {dict(seen['requests'])}, client saw {wanted}"
    assert aborted in (None, seen["aborted"]), f"aborted: region has {dict(seen['aborted'])}, expected {aborted}"
    assert flying(seen) == (0, 0), f"in flight: owners {dict(seen['owner'])}, table {seen['inflight']}"
    for name, value in seen["counter"].items():
        if name.startswith(("GIVEUP", "LOST", "NO_PAGE")) and name not in counters:
            raise AssertionError(f"counter {name} is {value}")
    return seen


def mixed_traffic(server, record, random_, connections=6, requests=12, hosts=("127.0.0.1",), bodies=True):
    """Interleaved requests on several connections: whole, split, pipelined, with and without bodies."""
    open_ = [server.connect(record, random_.choice(hosts)) for _ in range(connections)]
    for _ in range(requests):
        c = random_.choice(open_)
        path = random_.choice(list(LENGTHS))
        kind = random_.randrange(5)
        if kind == 0:
            c.get("GET", path, split=random_.randrange(1, 30))
        elif kind == 1:
            for p in random_.choices(list(LENGTHS), k=4):
                c.send("GET", p)
            while c.waiting:
                assert c.response()
        elif kind == 2 and bodies:
            assert c.get("POST", path, body=os.urandom(random_.randrange(1, 30000)))
        elif kind == 3:
            assert c.get("HEAD", path)
        else:
            assert c.get("GET", path)
    for c in open_:
        c.close()


def start(directory, way="read", model="single", family="inet", exit_how="_exit", program="server", **more):
    return Server([os.path.join(BIN, program), way, model, family, exit_how], directory, f"{way}-{model}", **more)


# ---- ways and models: everything that answers plain requests ----

WAYS = ["read", "readv", "recv", "recvfrom", "recvmsg", "recvmmsg", "sendfile", "sendfile64", "splice", "syscall",
        "pieces", "preadv2", "checked"]
SERIAL = ["single", "prefork", "fork", "fork-unseen", "threads", "small-stacks", "epoll", "dup", "dup-fcntl", "exec",
          "pass", "unseen-close", "syscall-close", "close-range", "handlers", "jumps", "cancel", "clearenv", "daemon"]
ONE_AT_A_TIME = {"single", "dup", "dup-fcntl", "unseen-close", "syscall-close", "close-range", "handlers", "jumps",
                 "cancel", "clearenv", "daemon"}


@test(*[(w, w) for w in WAYS])
def way(directory, random_, name):
    record = collections.Counter()
    server = start(directory, name, "epoll")
    mixed_traffic(server, record, random_, connections=8, requests=40)
    compare(directory, record, aborted={})


@test(*[(m.replace("-", "_"), m) for m in SERIAL])
def model(directory, random_, name, ways=("read", "recv", "readv"), program="server"):
    record = collections.Counter()
    server = start(directory, random_.choice(ways), name, program=program)
    rounds, connections = (8, 1) if name in ONE_AT_A_TIME else (3, 2 if name in ("prefork", "fork-unseen", "pass") else 6)
    for _ in range(rounds):
        mixed_traffic(server, record, random_, connections=connections, requests=6)
    # what is handed over by fork, exec or SCM_RIGHTS is nobody's abort
    compare(directory, record, aborted={})


@test(*[(f, f) for f in ("unix", "inet6", "mapped")])
def family(directory, random_, name):
    record = collections.Counter()
    server = start(directory, "read", "threads", name)
    hosts = {"inet6": ("::1",), "mapped": ("127.0.0.1", "::1")}.get(name, ("127.0.0.1",))
    mixed_traffic(server, record, random_, connections=4, requests=20, hosts=hosts)
    compare(directory, record, aborted={})


@test(*[(m.replace("-", "_"), m) for m in SERIAL])
def musl(directory, random_, name):
    """The same object in programs of another C library."""
    if not os.path.exists(os.path.join(BIN, "server-musl")):
        raise Skip("musl-gcc is not installed")
    model(directory, random_, name, [w for w in WAYS if w not in ("preadv2", "checked")], "server-musl")


# ---- ends ----

@test(*[(h, h) for h in ("exit", "_exit", "_Exit", "quick_exit", "exit_group")])
def response_ended_by(directory, random_, how):
    record = collections.Counter()
    server = start(directory, "read", "fork", "inet", how)
    for _ in range(5):
        c = server.connect(record)
        assert c.get("GET", "/small")
        assert c.get("GET", "/exit")
        c.close()
    compare(directory, record, aborted={})


@test()
def response_ended_by_close(directory, random_):
    record = collections.Counter()
    server = start(directory, "sendfile", "threads")
    for _ in range(5):
        c = server.connect(record)
        assert c.get("GET", "/stream")
        c.close()
    assert not compare(directory, record, aborted={})["incomplete"]


@test()
def cut_responses_and_closed_requests(directory, random_):
    record = collections.Counter()
    server = start(directory, "read", "epoll")
    for _ in range(4):
        c = server.connect(record)
        assert not c.get("GET", "/half")
        c.close()
    for _ in range(3):
        c = server.connect(record)
        assert c.get("GET", "/small")
        assert not c.get("GET", "/die")
        c.close()
    seen = compare(directory, record, aborted={("GET", "_unmatched", 2): 3})
    assert seen["incomplete"] == {("GET", "/half", 200): 4}, dict(seen["incomplete"])


@test()
def client_leaves_in_the_middle(directory, random_):
    record = collections.Counter()
    server = start(directory, "read", "threads")
    for _ in range(3):  # a request that is never whole
        c = server.connect(record)
        assert c.get("GET", "/small")
        c.s.sendall(b"GET /small HTTP/1.1\r\nHos")
        c.close()
    compare(directory, record, aborted={("GET", "/small", 3): 3})


@test()
def killed_worker_loses_at_most_what_was_in_flight(directory, random_):
    record = collections.Counter()
    server = start(directory, "read", "fork")
    floor = 0
    for _ in range(8):
        c = server.connect(record)
        for _ in range(random_.randrange(1, 9)):
            assert c.get("GET", "/small")
        c.send("GET", "/large")
        workers = subprocess.run(["pgrep", "-P", str(server.p.pid)], stdout=subprocess.PIPE, check=False).stdout.split()
        for w in workers:
            os.kill(int(w), signal.SIGKILL)
        c.close()
        seen = sum(dump(directory)["requests"].values())
        assert seen >= floor, "totals fell"
        floor = seen
    record[("GET", "/large", 200)] = 0
    seen = dump(directory)["requests"]
    whole = sum(record.values())
    # the last small response of each worker is counted when its write returns, which the kill may prevent
    assert whole - 8 <= sum(v for k, v in seen.items() if k[1] == "/small") <= whole
    c = server.connect(record)  # whoever comes next cleans up after the dead
    assert c.get("GET", "/small")
    assert flying(settle(directory, lambda s: flying(s) == (0, 0))) == (0, 0)
    c.close()


# ---- processes and descriptors ----

@test()
def vfork_children_touch_nothing(directory, random_):
    record = collections.Counter()
    server = start(directory, "read", "vfork")
    for _ in range(6):
        c = server.connect(record)
        for _ in range(3):
            assert c.get("GET", "/small")
        c.close()
    compare(directory, record, aborted={})


@test()
def exchange_open_at_fork_is_counted_by_the_side_that_answers(directory, random_):
    record = collections.Counter()
    server = start(directory, "recv", "fork-handed")
    for _ in range(6):
        c = server.connect(record)
        assert c.get("GET", "/small")
        c.close()
    compare(directory, record, aborted={})


@test()
def programs_run_during_an_exchange_do_not_end_it(directory, random_):
    record = collections.Counter()
    server = start(directory, "read", "fork-programs")
    for _ in range(3):
        c = server.connect(record)
        for _ in range(random_.randrange(1, 4)):
            assert c.get("GET", "/small")
        c.send("GET", "/large")  # a route that never answered; not answered by any of the four processes
        assert not c.more()
        c.close()
    compare(directory, record, aborted={("GET", "_unmatched", 2): 3})


@test()
def failed_exec_leaves_everything_as_it_was(directory, random_):
    record = collections.Counter()
    server = start(directory, "read", "failed-exec")
    for _ in range(4):
        c = server.connect(record)
        for _ in range(3):
            assert c.get("GET", "/small")
        c.close()
    compare(directory, record, aborted={})


@test()
def closed_under_a_reader(directory, random_):
    record = collections.Counter()
    server = start(directory, "read", "close-under-reader")
    for _ in range(5):
        old = server.connect(record)
        assert old.get("GET", "/small")  # so that it is a connection that is known by then
        new = server.connect(record)
        new.send("GET", "/small")
        while b"100 Continue\r\n\r\n" not in new.buffer:
            assert new.more()
        new.buffer = b""
        # on the old connection, whose number the new one has by now: must not be taken for the new one's bytes
        old.s.sendall(b"POST /small HTTP/1.1\r\nContent-Length: 1000\r\n\r\n")
        assert new.response()
        new.close()
        old.close()
    compare(directory, record, aborted={})


@test()
def number_reused_without_a_close_ends_what_was_open(directory, random_):
    record = collections.Counter()
    server = start(directory, "read", "unseen-close")
    for _ in range(4):
        c = server.connect(record)
        assert c.get("GET", "/small")
        assert not c.get("GET", "/die")
        c.close()
    c = server.connect(record)
    assert c.get("GET", "/small")
    c.close()
    compare(directory, record, aborted={("GET", "_unmatched", 2): 4})


@test(("seen", "pass"), ("unseen", "pass-unseen"))
def received_descriptors_are_new_connections(directory, random_, model_):
    record = collections.Counter()
    server = start(directory, "read", model_)
    for _ in range(8):
        c = server.connect(record)
        assert c.get("GET", "/small")
        c.s.sendall(b"GET /small HTTP/1.1\r\nHo")  # never whole; the next connection has the same number
        c.close()
    for _ in range(2):  # each worker's number is taken once more, which ends the last one's
        c = server.connect(record)
        assert c.get("GET", "/small")
        c.close()
    compare(directory, record, aborted={("GET", "/small", 3): 8})


@test()
def program_replaced_in_the_middle_of_an_exchange(directory, random_):
    record = collections.Counter()
    server = start(directory, "read", "exec-self")
    c = server.connect(record)
    c.s.sendall(b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n")
    # wait for the program: the second request must not be read by the first
    end = time.monotonic() + 10
    while b"stdio" not in open(f"/proc/{server.p.pid}/cmdline", "rb").read() and time.monotonic() < end:
        time.sleep(0.01)
    assert c.get("GET", "/small")
    seen = settle(directory, lambda s: s["requests"] == dict(record))
    assert seen["requests"] == dict(record), dict(seen["requests"])
    assert flying(seen) == (0, 0), (dict(seen["owner"]), seen["inflight"])
    c.close()


@test()
def reset_before_the_answer_is_the_clients_doing(directory, random_):
    record = collections.Counter()
    server = start(directory, "read", "threads")
    for _ in range(4):
        c = server.connect(record)
        c.send("GET", "/slow")
        c.reset()
    compare(directory, record, aborted={("GET", "_unmatched", 1): 4})


@test()
def one_thread_reads_and_another_answers(directory, random_):
    record = collections.Counter()
    server = start(directory, "read", "reader-writer")
    for _ in range(6):
        c = server.connect(record)
        for _ in range(20):
            for _ in range(random_.randrange(1, 12)):
                c.send("GET", "/small")
            while c.waiting:
                assert c.response()
        c.close()
    compare(directory, record, aborted={})


@test(*[(w, w) for w in ("read", "recvmsg", "syscall")])
def proxy_counts_both_sides_apart(directory, random_, way_):
    record = collections.Counter()
    backend = start(directory, "read", "threads", preload="")
    server = start(directory, way_, "proxy", env={"BACKEND": str(backend.address)})
    for _ in range(4):
        mixed_traffic(server, record, random_, connections=1, requests=8)
    both = {**record, **{("client", *k): v for k, v in record.items()}}
    compare(directory, both, aborted={})


@test()
def inherited_listener(directory, random_):
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(16)
    record = collections.Counter()

    def arrange():
        os.dup2(listener.fileno(), 3)
        os.set_inheritable(3, True)

    argv = ["/bin/sh", "-c", f"echo {listener.getsockname()[1]}; exec {BIN}/server read inherited"]
    server = Server(argv, directory, "inherited", preexec_fn=arrange, close_fds=False)
    listener.close()
    for _ in range(4):
        mixed_traffic(server, record, random_, connections=1, requests=4)
    compare(directory, record, aborted={})


@test()
def counts_without_durations_behind_a_filter(directory, random_):
    record = collections.Counter()
    server = start(directory, "read", "filtered")
    for _ in range(5):
        c = server.connect(record)
        for _ in range(3):
            assert c.get("GET", "/small")
        assert c.get("GET", "/missing")
        c.close()
    seen = compare(directory, record, aborted={})
    assert sum(seen["untimed"].values()) == 16, dict(seen["untimed"])
    assert seen["counter"]["SECCOMP"] == 1
    assert [v[1] & 2 for v in seen["owner"].values()] == [2], dict(seen["owner"])


def private_memory(pid):
    """KiB that the process has written to; the object's code is a file's, one for all processes that have it."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith("Private_Dirty:"))


@test()
def ten_thousand_connections(directory, random_):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(10000, hard - 200)
    if wanted < 2000:
        raise Skip(f"only {hard} descriptors allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    record = collections.Counter()
    server = start(directory, "read", "epoll")
    open_ = [server.connect(record) for _ in range(wanted)]
    for c in open_:
        assert c.get("GET", "/small")
    for c in random_.sample(open_, 500):
        assert c.get("GET", "/missing")
    compare(directory, record, aborted={})
    ours = private_memory(server.p.pid)
    for c in open_:
        c.close()
    compare(directory, record, aborted={})
    server.stop()
    plain_server = start(directory, "read", "epoll", preload="")
    open_ = [plain_server.connect(collections.Counter()) for _ in range(wanted)]
    for c in open_:
        assert c.get("GET", "/small")
    plain = private_memory(plain_server.p.pid)
    for c in open_:
        c.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    print(f"# {wanted} connections: {plain} KiB private memory, {ours} with the object")
    assert ours - plain <= 256 + wanted * 136 // 1024, "private memory"


@test()
def garbage_is_not_counted(directory, random_):
    record = collections.Counter()
    server = start(directory, "read", "threads")
    for data in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(300), b"\x00" * 50, b"SSH-2.0-x\r\n"):
        c = server.connect(record)
        c.s.sendall(data)
        c.close()
    c = server.connect(record)
    assert c.get("GET", "/small")
    c.close()
    seen = settle(directory, lambda s: s["requests"] == dict(record))
    assert seen["requests"] == dict(record), dict(seen["requests"])


@test()
def reset_by_the_client_in_the_middle_of_a_response(directory, random_):
    record = collections.Counter()
    server = start(directory, "sendfile", "threads")
    for _ in range(4):
        c = server.connect(record)
        c.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.send("GET", "/large")
        while b"\r\n\r\n" not in c.buffer:
            c.more()
        record[("GET", "/large", 200)] += 1
        c.reset()
    seen = compare(directory, record, aborted={})
    # the kernel may have taken the whole body from the server before the reset came
    assert seen["incomplete"].get(("GET", "/large", 200), 0) <= 4


@test()
def workers_forked_behind_a_filter(directory, random_):
    record = collections.Counter()
    server = start(directory, "read", "filtered-fork")
    for _ in range(5):
        c = server.connect(record)
        for _ in range(3):
            assert c.get("GET", "/small")
        c.close()
    compare(directory, record, aborted={})


# ---- names ----

def service_of(directory, argv, env=None):
    server = Server(argv, directory, "", env=env)
    c = server.connect(collections.Counter())
    assert c.get("GET", "/small")
    c.close()
    return list(settle(directory, lambda s: s["requests"])["region"])


PYTHON_SERVER = '''
import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *a): pass
s = http.server.HTTPServer(("127.0.0.1", 0), H)
print(s.server_port, flush=True)
s.serve_forever()
'''


@test(("explicit", {"TICKBIRD_SERVICE": "shop", "OTEL_SERVICE_NAME": "other"}, "shop"),
      ("opentelemetry", {"OTEL_SERVICE_NAME": "other", "OTEL_RESOURCE_ATTRIBUTES": "service.name=last"}, "other"),
      ("resource_attributes", {"OTEL_RESOURCE_ATTRIBUTES": "a=b,service.name=my%2dshop,c=d"}, "my-shop"), ("program", {}, "server"))
def service(directory, random_, env, wanted):
    assert service_of(directory, [os.path.join(BIN, "server"), "read", "threads"], env) == [wanted]


@test(("script", ["-X", "dev", "{}/orders.py"]), ("module", ["-m", "orders"]))
def service_of_python(directory, random_, argv):
    where = tempfile.mkdtemp()
    with open(os.path.join(where, "orders.py"), "w", encoding="ascii") as f:
        f.write(PYTHON_SERVER)
    found = service_of(directory, ["/usr/bin/python3", *[a.format(where) for a in argv]], {"PYTHONPATH": where})
    shutil.rmtree(where)
    assert found == ["orders"], found


@test(*[(t, t) for t in ("slots", "connections", "scripts", "units", "symbols", "empty_tables", "clock")])
def parts(directory, random_, what):
    done = subprocess.run([os.path.join(BIN, "parts"), what], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, done.stdout.decode()


# ---- odd ways of loading ----

@test()
def loaded_late(directory, random_):
    script = f"import ctypes, os; ctypes.CDLL({OBJECT!r}); os.write(1, b'fine')"
    done = subprocess.run(["/usr/bin/python3", "-c", script], stdout=subprocess.PIPE, check=False)
    assert (done.returncode, done.stdout) == (0, b"fine")


@test()
def run_by_the_loader_as_a_program(directory, random_):
    loaders = [p for p in ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1") if os.path.exists(p)]
    record = collections.Counter()
    server = Server([loaders[0], "--preload", OBJECT, os.path.join(BIN, "server"), "recv", "threads"], directory, "ld", preload="")
    mixed_traffic(server, record, random_, connections=2, requests=10)
    compare(directory, record, aborted={})


@test()
def a_go_program_is_left_alone(directory, random_):
    if not shutil.which("go"):
        raise Skip("go is not installed")
    where = tempfile.mkdtemp(dir=BIN)
    with open(os.path.join(where, "main.go"), "w", encoding="ascii") as f:
        f.write('package main\nimport "os"\nfunc main() { os.Stdout.WriteString(os.Getenv("TICKBIRD_SERVICE")) }\n')
    env = {**os.environ, "GOCACHE": os.path.join(BIN, "go-cache"), "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0"}
    program = os.path.join(where, "main")
    built = subprocess.run(["go", "build", "-buildmode=pie", "-o", program, "main.go"], cwd=where, env=env, check=False,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if built.returncode:
        raise Skip("go build: " + built.stdout.decode().strip().splitlines()[-1])
    env = {**os.environ, "TICKBIRD_DIR": directory, "TICKBIRD_SERVICE": "go", "LD_PRELOAD": OBJECT}
    done = subprocess.run([program], env=env, stdout=subprocess.PIPE, check=False)
    shutil.rmtree(where)
    assert (done.returncode, done.stdout) == (0, b"go"), (done.returncode, done.stdout)
    assert os.listdir(directory) == []


# ---- the host notices nothing ----

def odd(*argv, directory, preload=OBJECT, **env):
    full = dict(os.environ, TICKBIRD_DIR=directory, TICKBIRD_SERVICE="odd", **env)
    if preload:
        full["LD_PRELOAD"] = preload
    return subprocess.run([os.path.join(BIN, "odd"), *argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=full,
                          check=False, timeout=60)


@test(*[(w, w) for w in ("errno", "fds", "signals", "memory", "exec-args", "closefrom", "raw-arguments", "loops")])
def same_as_without(directory, random_, what):
    plain = odd(what, directory=directory, preload=None)
    ours = odd(what, directory=directory)
    assert plain.returncode == 0, plain.stdout.decode()
    assert (plain.returncode, plain.stdout) == (ours.returncode, ours.stdout), \
        f"plain {plain.returncode} {plain.stdout.decode()!r}, preloaded {ours.returncode} {ours.stdout.decode()!r}"


@test(("before", "{early}:{ours}"), ("after", "{ours}:{early}"))
def calls_before_the_constructor(directory, random_, order):
    early = os.path.join(BIN, "early.so")
    ours = odd("nothing", directory=directory, preload=order.format(early=early, ours=OBJECT))
    assert ours.returncode == 0 and b"early: ok" in ours.stdout, (ours.returncode, ours.stdout)


@test()
def cancelled_thread_runs_destructors(directory, random_):
    program = os.path.join(BIN, "unwind")
    if not os.path.exists(program):
        raise Skip("g++ is not installed")
    env = dict(os.environ, TICKBIRD_DIR=directory, LD_PRELOAD=OBJECT)
    done = subprocess.run([program], stdout=subprocess.PIPE, env=env, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"destroyed 12\n"), (done.returncode, done.stdout)


@test()
def twice_preloaded_counts_once(directory, random_):
    copy = os.path.join(directory + ".copy", "libtickbird.so.9")
    os.makedirs(os.path.dirname(copy))
    shutil.copy(OBJECT, copy)
    record = collections.Counter()
    server = start(directory, "read", "threads", preload=f"{OBJECT}:{copy}:{OBJECT}")
    mixed_traffic(server, record, random_, connections=2, requests=10)
    compare(directory, record, aborted={})
    shutil.rmtree(os.path.dirname(copy))


@test()
def switched_off_makes_no_region(directory, random_):
    record = collections.Counter()
    server = start(directory, "read", "threads", env={"TICKBIRD_DISABLE": "1"})
    mixed_traffic(server, record, random_, connections=2, requests=10)
    server.stop()
    assert os.listdir(directory) == []


@test(("missing", "/nowhere/at/all"), ("on_disk", None), ("not_a_directory", "/dev/null"))
def no_region_no_harm(directory, random_, where):
    record = collections.Counter()
    where = where or tempfile.mkdtemp(dir=BIN)
    server = start(directory, "sendfile", "threads", env={"TICKBIRD_DIR": where})
    mixed_traffic(server, record, random_, connections=2, requests=10)
    server.stop()
    assert sum(record.values()) >= 10
    if where.startswith(BIN):
        assert os.listdir(where) == []
        os.rmdir(where)


@test(("file_size_0", resource.RLIMIT_FSIZE, 0), ("file_size_1_mib", resource.RLIMIT_FSIZE, 1 << 20),
      ("address_space", resource.RLIMIT_AS, 5 << 20))
def limits_leave_no_room(directory, random_, what, size):
    """Not recording, and not killed by SIGXFSZ; the server goes on."""
    record = collections.Counter()
    server = start(directory, "read", "epoll", preexec_fn=lambda: resource.setrlimit(what, (size, size)))
    mixed_traffic(server, record, random_, connections=2, requests=10)
    assert server.p.poll() is None
    assert sum(record.values()) >= 10 and os.listdir(directory) == []


@test(("for_the_header", "16k"), ("for_a_series", "64k"), ("for_many", "96k"))
def full_directory(directory, random_, size):
    """A tmpfs without room: never SIGBUS, what is counted is true, what is not counted is said."""
    if os.getuid() != 0 or not shutil.which("unshare"):
        raise Skip("needs root to mount a tmpfs")
    script = f"mount -t tmpfs -o size={size},mode=0700 none {directory} && exec {BIN}/server read threads"
    probe = subprocess.run(["unshare", "-m", "sh", "-c", f"mount -t tmpfs none {directory}"], check=False)
    if probe.returncode:
        raise Skip("no right to mount")
    record = collections.Counter()
    server = Server(["unshare", "-m", "sh", "-c", script], directory, "full")
    for _ in range(3):
        mixed_traffic(server, record, random_, connections=3, requests=20)
    assert server.p.poll() is None, f"the server died: {server.p.poll()}"
    seen = dump(f"/proc/{server.p.pid}/root{directory}")
    for key, count in seen["requests"].items():
        known = sum(v for k, v in record.items() if k[2] == key[2]) if key[1] == "_other" else record[key]
        assert count <= known, (key, count, known)
    counted = sum(seen["requests"].values())
    if counted < sum(record.values()) and seen["region"]:
        assert seen["counter"].get("NO_PAGE"), (counted, dict(record), dict(seen["counter"]))


@test(("setuid", "drop"), ("chroot", "chroot"))
def privileges_dropped_after_listen(directory, random_, model_):
    if os.getuid() != 0:
        raise Skip("needs root")
    record = collections.Counter()
    server = start(directory, "read", model_)
    mixed_traffic(server, record, random_, connections=1, requests=8)
    mixed_traffic(server, record, random_, connections=1, requests=8)
    compare(directory, record, aborted={})


@test()
def set_user_id_is_left_alone(directory, random_):
    """AT_SECURE is simulated where it cannot be had: the loader drops the preload by itself."""
    if os.getuid() != 0:
        raise Skip("needs root to make a set-user-ID program")
    program = os.path.join(directory + ".suid")
    shutil.copy(os.path.join(BIN, "odd"), program)
    os.chown(program, 65534, 65534)
    os.chmod(program, 0o6755)
    env = dict(os.environ, TICKBIRD_DIR=directory, TICKBIRD_DEBUG="1", LD_PRELOAD=OBJECT)
    done = subprocess.run([program, "errno"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, check=False)
    os.unlink(program)
    assert done.returncode == 0 and b"tickbird" not in done.stdout.replace(OBJECT.encode(), b""), done.stdout
    assert os.listdir(directory) == []


def count_calls(argv, env):
    out = subprocess.run(["strace", "-f", "-qq", "-o", "/dev/stdout", *argv], stdout=subprocess.PIPE, env=env, check=True)
    return [line.split()[1] if line[0].isdigit() else line for line in out.stdout.decode().splitlines()]


@test()
def start_of_a_program_that_never_serves(directory, random_):
    if not shutil.which("strace"):
        raise Skip("strace is not installed")
    env = dict(os.environ, TICKBIRD_DIR=directory)
    plain = count_calls(["/bin/true"], env)
    # -E sets the variable for the program alone
    ours = count_calls(["-E", f"LD_PRELOAD={OBJECT}", "/bin/true"], env)
    # what any object costs: the loader opens, reads, maps and protects it
    loader = sum(1 for c in ours if any(w in c for w in ("openat", "read(", "fstat", "newfstatat", "mmap", "mprotect",
                                                         "close(", "pread64", "access(", "munmap"))) - \
        sum(1 for c in plain if any(w in c for w in ("openat", "read(", "fstat", "newfstatat", "mmap", "mprotect", "close(",
                                                     "pread64", "access(", "munmap")))
    print(f"# /bin/true: {len(plain)} system calls, {len(ours)} with the object, {loader} of them the loader's kind")
    assert len(ours) - len(plain) <= 15
    assert os.listdir(directory) == []


@test(("request", 1000, 1), ("connection", 1, 200))
def no_extra_system_call_per(directory, random_, requests, connections):
    if not shutil.which("strace"):
        raise Skip("strace is not installed")

    def calls(times, preload):
        record = collections.Counter()
        log = os.path.join(directory + ".strace")
        argv = ["strace", "-f", "-qq", "-o", log, "-E", f"LD_PRELOAD={preload}", os.path.join(BIN, "server"), "readv",
                "single"]
        server = Server(argv, directory, "calls", preload="")
        for _ in range(times * connections):
            c = server.connect(record)
            for _ in range(times * requests if connections == 1 else 1):
                assert c.get("GET", "/small")
            c.close()
        c = server.connect(record)
        assert c.get("GET", "/exit")
        server.p.wait()
        with open(log, encoding="utf-8") as f:
            n = sum(1 for _ in f)
        os.unlink(log)
        return n

    # what this many more add must be the same with and without the object
    plain = calls(2, "") - calls(1, "")
    ours = calls(2, OBJECT) - calls(1, OBJECT)
    print(f"# {max(requests, connections)} more: {plain} system calls, {ours} with the object")
    assert ours - plain < 50, "system calls were added"


def main():
    os.chdir(os.path.dirname(os.path.dirname(HERE)))
    for name in list(os.environ):
        if name.startswith("TICKBIRD_") or name in ("LD_PRELOAD", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
            del os.environ[name]
    build()
    base = tempfile.mkdtemp(prefix="tb-preload-", dir="/dev/shm")
    atexit.register(shutil.rmtree, base, True)
    wanted = sys.argv[1:]
    failed = 0
    print(f"# seed {SEED}")
    for name, function, arguments in tests:
        if wanted and not any(w in name for w in wanted):
            continue
        directory = os.path.join(base, name)
        os.mkdir(directory, 0o700)
        began = time.monotonic()
        try:
            function(directory, random.Random(f"{SEED} {name}"), *arguments)
            print(f"ok {name}", flush=True)
            if time.monotonic() - began > 5:
                print(f"# {name} took {time.monotonic() - began:.1f} s", flush=True)
        except Skip as why:
            print(f"skip {name} {why}", flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            if not isinstance(error, AssertionError):
                import traceback
                traceback.print_exc()
            print(f"# {name}: {type(error).__name__}: {error}\nnot ok {name}", flush=True)
        finally:
            while children:
                children.pop().stop(signal.SIGKILL)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
