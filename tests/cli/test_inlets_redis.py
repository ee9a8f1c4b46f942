#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Inlets that ask a Redis server (docs/inlets.md): a real one, whose numbers are known from what was put in, and servers that
answer wrongly."""
import os
import random
import re
import shutil
import socket
import subprocess

from cli_lib import EXPORTER, Skip, check, main, need, test, wait_for
from inlets_lib import AGAIN, Answers, Exporter, check_places, entries, need_client, read_once, refused, shown, value_of


class Redis:
    """A server on a Unix socket, and with @flags wherever they say."""

    def __init__(self, s, *flags):
        need("redis-server", "redis-cli")
        need_client()
        self.path, self.s = os.path.join(s.path, "redis.sock"), s
        self.process = s.start(["redis-server", "--port", "0", "--unixsocket", self.path, "--save", "", "--dir", s.path, *flags],
                               stdout=subprocess.DEVNULL)
        wait_for("redis", lambda: self.call("PING", text=True) in ("PONG", "NOAUTH Authentication required."))

    def call(self, *words, text=False, auth=()):
        done = subprocess.run(["redis-cli", "-s", self.path, *auth, *map(str, words)], capture_output=True, timeout=60)
        return done.stdout.decode().strip() if text else done.stdout


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def config(*inlets):
    return entries(*({"type": "redis", **i} for i in inlets))


def metric(name, *command, **more):
    return {"name": name, "command": list(command), **more}


KEYS = [("LPUSH", "LLEN", "list"), ("SADD", "SCARD", "set"), ("ZADD", "ZCARD", "sorted"), ("HSET", "HLEN", "hash"), ("XADD", "XLEN", "stream")]


@test
def what_is_in_a_server_is_counted(s):
    redis, draw, truth, metrics = Redis(s), random.Random(3), {}, []
    for put, command, key in KEYS:
        truth[f"len_{key}", (("queue", key),)] = n = draw.randrange(2, 60)
        metrics.append(metric(f"len_{key}", command if n % 2 else command.lower(), f"k:{key} \"ü", labels={"queue": key}))
        for i in range(n):
            redis.call(put, f"k:{key} \"ü", *{"ZADD": (i, f"m{i}"), "HSET": (f"f{i}", f"1{i}"), "XADD": ("*", "f", i)}.get(put, (f"m{i}",)))
    redis.call("SET", "number", "-12.5e2")
    redis.call("SET", "text", "abc")
    redis.call("SET", "long", "1" * 5000)
    metrics += [metric("number", "GET", "number", scale=2), metric("field", "HGET", "k:hash \"ü", "f1"), metric("chars", "STRLEN", "long"), metric("keys", "DBSIZE"),
                metric("empty", "LLEN", "no such"), metric("none", "GET", "no such"), metric("text", "GET", "text"), metric("long", "GET", "long"), metric("wrong", "LLEN", "text")]
    truth.update({("number", ()): -2500, ("field", ()): 11, ("chars", ()): 5000, ("keys", ()): 8, ("empty", ()): 0})
    e = Exporter(s, config({"unix_socket": redis.path, "metrics": metrics, **AGAIN}))
    wait_for("all values", lambda: shown(e) == truth)
    check({"value"} <= refused(e, "redis") <= {"value", "timeout"}, refused(e, "redis"))
    redis.call("LPUSH", "k:list \"ü", "one more")
    wait_for("one more", lambda: shown(e)["len_list", (("queue", "list"),)] == truth["len_list", (("queue", "list"),)] + 1)
    check(not re.search(r"cmdstat_(?!llen|scard|zcard|hlen|xlen|get|hget|strlen|dbsize|info|ping|lpush|sadd|zadd|hset|xadd|set|command)", redis.call("INFO", "commandstats", text=True)))
    redis.process.terminate()
    wait_for("it is gone", lambda: value_of(e, "up") == 0)


@test
def passwords_and_databases(s):
    redis = Redis(s, "--requirepass", "secret-one", "--user", "reader", "on", ">secret-two", "~jobs", "+llen", "+select")
    for database, count in ((0, 2), (5, 7)):
        redis.call("RPUSH", "jobs", *range(count), auth=("-a", "secret-one", "--no-auth-warning", "-n", str(database)))
    one, two, bad = s.file("one", b"secret-one\n", 0o600), s.file("two", b"secret-two", 0o600), s.file("bad", b"secret-bad")
    s.env["REDIS_PASSWORD"] = "secret-one"
    jobs = {"metrics": [metric("jobs", "LLEN", "jobs")]}
    inlets = {"default": {"password_file": one}, "variable": {"password_env": "REDIS_PASSWORD", "database": 5}, "user": {"user": "reader", "password_file": two, "database": 5},
              "wrong": {"password_file": bad}, "nobody": {}, "no_database": {"password_file": one, "database": 99},
              "forbidden": {"user": "reader", "password_file": two, "metrics": [metric("jobs", "DBSIZE")]}}
    truth = {"default": 2, "variable": 7, "user": 7}
    e = Exporter(s, config(*({"name": name, "unix_socket": redis.path, **jobs, **more, "metrics": [{**m, "name": f"jobs_{name}"} for m in more.get("metrics", jobs["metrics"])]}
                             for name, more in inlets.items())))
    for name in inlets:
        read_once(e, name)
        check(refused(e, name) == (set() if name in truth else {"unreadable"}), name, refused(e, name))
    check(shown(e) == {(f"jobs_{name}", ()): n for name, n in truth.items()}, shown(e))
    with open(f"/proc/{e.process.pid}/cmdline", "rb") as f:
        said = f.read()
    e.process.terminate()
    check(b"secret-" not in said + e.process.stderr.read())


@test
def over_tcp_and_tls(s):
    need("openssl")
    cert, key = os.path.join(s.path, "cert.pem"), os.path.join(s.path, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    for _ in range(5):  # a port may be taken meanwhile
        plain, tls = free_port(), free_port()
        try:
            redis = Redis(s, "--bind", "127.0.0.1", "--port", str(plain), "--tls-port", str(tls), "--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "no")
            break
        except AssertionError:
            pass
    else:
        raise Skip("no port is free, or redis-server has no TLS")
    redis.call("RPUSH", "jobs", *range(9))
    jobs = [metric("jobs", "LLEN", "jobs")]
    e = Exporter(s, config({"name": "plain", "url": f"redis://127.0.0.1:{plain}", "metrics": [{**jobs[0], "name": "a"}]},
                           {"name": "tls", "url": f"rediss://127.0.0.1:{tls}", "ca_file": cert, "metrics": [{**jobs[0], "name": "b"}] + [metric(f"b{i}", "STRLEN", "x" * 3000) for i in range(90)]},
                           {"name": "untrusted", "url": f"rediss://127.0.0.1:{tls}", "metrics": [{**jobs[0], "name": "c"}]},
                           {"name": "insecure", "url": f"rediss://127.0.0.1:{tls}", "insecure": True, "metrics": [{**jobs[0], "name": "d"}]},
                           {"name": "not_tls", "url": f"redis://127.0.0.1:{tls}", "metrics": [{**jobs[0], "name": "e"}]}))
    for name in ("plain", "tls", "untrusted", "insecure", "not_tls"):
        read_once(e, name)
    check({k: v for k, v in shown(e).items() if v} == {("a", ()): 9, ("b", ()): 9, ("d", ()): 9} and len(shown(e)) == 93, shown(e))
    check(refused(e, "untrusted") and refused(e, "not_tls"))


class Peer(Answers):
    """Answers a first message, whatever it is."""

    def serve(self, connection):
        try:
            connection.recv(4096)
            self.answer(connection)
        except OSError:
            pass
        finally:
            connection.close()


def send(text):
    return lambda connection: connection.sendall(text)


def without_end(part):
    def answer(connection):
        while True:
            connection.sendall(part)
    return answer


HOSTILE = {"garbage": (send(b"hello\r\n"), "syntax"), "http": (send(b"HTTP/1.1 400 Bad\r\n\r\n"), "syntax"), "closed": (send(b""), "unreadable"), "cut": (send(b"$10\r\n123"), "unreadable"),
           "line": (without_end(b":" + b"1" * 4000), "limit"), "bulk": (send(b"$100000000\r\n" + b"1" * 100000), "limit"), "array": (send(b"*1000000000\r\n" + b":1\r\n" * 50000), "limit"),
           "deep": (send(b"*1\r\n" * 1000), "syntax"), "huge": (send(b":99999999999999999999999\r\n"), "syntax"), "not_whole": (send(b":1x\r\n"), "syntax"), "status": (send(b"+OK\r\n"), "value"),
           "list": (send(b"*2\r\n:1\r\n$1\r\na\r\n"), "value"), "nan": (send(b"$3\r\nnan\r\n"), "value"), "nul": (send(b"$2\r\n1\0\r\n"), "value"), "loading": (send(b"-LOADING wait\r\n"), "unreadable"),
           "wrong_type": (send(b"-WRONGTYPE x\r\n"), "value")}


@test
def wrong_replies_are_refused(s):
    need_client()
    inlets, silent = [], Peer(s)
    for name, (answer, _) in HOSTILE.items():
        peer = Peer(s)
        peer.answer = answer
        inlets.append({"name": name, "url": f"redis://127.0.0.1:{peer.port}", "metrics": [metric("v_" + name, "LLEN", "a")], "timeout": "60s"})
    silent.answer = lambda connection: silent.held.wait()
    inlets.append({"name": "silent", "url": f"redis://127.0.0.1:{silent.port}", "metrics": [metric("v_silent", "LLEN", "a")], "timeout": "200ms"})
    e = Exporter(s, config(*inlets))
    truth = {name: {reason} for name, (_, reason) in HOSTILE.items()} | {"silent": {"timeout"}}
    for name in truth:
        read_once(e, name)
    got = {name: refused(e, name) for name in truth}
    check(got == truth and not shown(e), {k: (v, truth[k]) for k, v in got.items() if v != truth[k]}, shown(e))


@test
def a_single_scrape_has_them(s):
    redis = Redis(s)
    redis.call("RPUSH", "jobs", 1, 2, 3)
    path = s.file("c.yml", config({"unix_socket": redis.path, "metrics": [metric("task_queue_size", "LLEN", "jobs", help="Jobs that wait.", labels={"queue": "jobs"})]}).encode())
    os.makedirs(s.regions, 0o700, exist_ok=True)
    done = s.run("--config.file", path, "--once", program=EXPORTER)
    check('# HELP task_queue_size Jobs that wait.\n# TYPE task_queue_size gauge\ntask_queue_size{queue="jobs"} 3\n' in done.out, done)


GOOD = "type: redis, url: 'redis://h', metrics: [{name: a, command: [LLEN, k]}]"
MORE = GOOD[:-1] + ", "
WRONG = [("url", "@{type: redis, metrics: [{name: a, command: DBSIZE}]}"), ("url", "{%s}" % GOOD.replace("'redis://h'", "@'http://h'")), ("url", "{%s}" % GOOD.replace("'redis://h'", "@'redis://h/2'")),
         ("url", "{%s}" % GOOD.replace("'redis://h'", "@'redis://:p@h'")), ("url", "{%s}" % GOOD.replace("'redis://h'", "@'redis://h:x'")), ("url", "{%s}" % GOOD.replace("'redis://h'", "@'redis://[::1'")),
         ("type", "{%s, headers: @{a: b}}" % GOOD), ("user", "{%s, user: @u}" % GOOD), ("database", "{%s, database: @-1}" % GOOD),
         ("metrics", "{%s@{name: b}]}" % MORE), ("metrics", "{%s@{name: b, command: DBSIZE, path: x}]}" % MORE), ("metrics", "{%s@{name: b, command: DBSIZE, labels: {x: {path: y}}}]}" % MORE)]
WRONG += [("command", "{%s{name: b, command: @%s}]}" % (MORE, c)) for c in ("[EVAL, x]", "[DEL, x]", "[LLEN]", "LLEN", "[LLEN, a, b]", "[DBSIZE, a]", "[KEYS, '*']", "[]", "[FLUSHALL]", "''")] + [("command", "{%s{name: b, command: [GET, @{a: b}]}]}" % MORE)]


@test
def wrong_entries_are_told_by_line(s):
    check_places(s, WRONG)
    for good in (GOOD, GOOD + ", password_file: p, database: 3", GOOD.replace("redis://h", "rediss://[::1]:7000"), "type: redis, unix_socket: /r, metrics: [{name: a, command: DBSIZE}]"):
        done = s.run("check-config", s.file("c.yml", f"inlets: [{{{good}}}]\n".encode()))
        check(done.code == 0, good, done)


if __name__ == "__main__":
    main()
