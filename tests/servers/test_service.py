#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What real programs are called when nobody says so, and that different ones under one name are told."""
import os
import subprocess

import harness
import sites

GUNICORN_APP = "def app(environ, start):\n    start('200 OK', [('Content-Length', '2')])\n    return [b'ok']\n"
ASGI_APP = """
async def app(scope, receive, send):
    await send({'type': 'http.response.start', 'status': 200, 'headers': []})
    await send({'type': 'http.response.body', 'body': b'ok'})
"""
NODE = "require('http').createServer((q, a) => a.end('ok')).listen(+process.argv[3], process.argv[2])"
JAVA = """import com.sun.net.httpserver.*; import java.net.*;
class Shop { public static void main(String[] a) throws Exception {
  HttpServer.create(new InetSocketAddress(a[0], Integer.parseInt(a[1])), 0).start(); } }"""
PERL = """use IO::Socket::INET;
my $s = IO::Socket::INET->new(LocalAddr => $ARGV[0], LocalPort => $ARGV[1], Listen => 5, ReuseAddr => 1) or die;
while (my $c = $s->accept) { close $c }"""
RUBY = "require 'socket'; s = TCPServer.new(ARGV[0], ARGV[1].to_i); loop { s.accept.close }"


def unnamed(test, *argv, **more):
    """Starts a program that nobody gives a name."""
    address = (test.ip, test.port())
    words = [str(a).format(ip=address[0], port=address[1]) for a in argv]
    env = {"TICKBIRD_SERVICE": ""} | more.pop("env", {})
    child = test.start(words, env=env, **more)
    test.wait_for_port(address, child)
    return child


def has_no_unit():
    with open("/proc/self/cgroup", encoding="utf-8") as f:
        if ".service" in f.read():
            raise harness.Missing("this runs in a systemd service, whose name comes first")


def interpreters(test):
    has_no_unit()
    test.write("billing.py", GUNICORN_APP)
    test.write("orders/asgi.py", ASGI_APP)
    started = {
        "web": [sites.PYTHON, test.write("web.py", "import socket, sys\ns = socket.create_server((sys.argv[1], int(sys.argv[2])))\nwhile True: s.accept()\n"), "{ip}", "{port}"],
        "http.server": [sites.PYTHON, "-m", "http.server", "--bind", "{ip}", "{port}"],
    }
    for name, program, argv in (
            ("billing", "gunicorn", ["-w", "1", "-b", "{ip}:{port}", "billing:app"]),
            ("orders", "uvicorn", ["--host", "{ip}", "--port", "{port}", "orders.asgi:app"]),
            ("cart", "node", [test.write("cart.js", NODE), "{ip}", "{port}"]),
            ("Shop", "java", [test.write("Shop.java", JAVA), "{ip}", "{port}"]),
            ("stock", "perl", [test.write("stock.pl", PERL), "{ip}", "{port}"]),
            ("mail", "ruby", [test.write("mail.rb", RUBY), "{ip}", "{port}"])):
        try:
            started[name] = [harness.which(program, program + "js"), *argv]
        except harness.Missing as missing:
            print(f"skip service_of_{program} {missing}")
    for argv in started.values():
        unnamed(test, *argv)
    test.start_exporter()
    found = {labels["service"] for labels, count in test.scrape().values("tickbird_processes") if count}
    harness.report(found == set(started), "services_of_interpreters", "" if found == set(started) else f"{sorted(found)}, expected {sorted(started)}")
    harness.report(not test.scrape().values("tickbird_service_collision"), "different_names_are_no_collision")


def status(test):
    return subprocess.run([harness.BUILD / "tickbird", "status", "--storage.path", test.dir / "ledger"], capture_output=True, check=False,
                          env=test.env() | {"LD_PRELOAD": ""}).stdout.decode()


SERVER = "import os, socket, sys\ns = socket.create_server((sys.argv[1], int(sys.argv[2])))\n"
WORKER = "if len(sys.argv) == 3: os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, sys.argv[0], sys.argv[1], '0', 'worker'])\n"
WAIT = "while True: s.accept()\n"


def collisions(test):
    return [count for _, count in test.scrape().values("tickbird_service_collision", service="server")]


def processes(test):
    return test.scrape().total("tickbird_processes", service="server")


def collision(test):
    """Two scripts of one name are told, replicas and workers of one program are not."""
    has_no_unit()
    first = unnamed(test, sites.PYTHON, test.write("a/server.py", SERVER + WORKER + WAIT), "{ip}", "{port}")
    harness.until(lambda: len(harness.process_tree(first.pid)) == 2, "the worker is there")
    test.start_exporter()
    harness.until(lambda: processes(test) == 2, "both record")
    value = collisions(test)
    harness.report(not value, "a_worker_with_other_arguments_is_no_collision", f"{value}" if value else "")
    second = unnamed(test, sites.PYTHON, test.write("b/server.py", SERVER + WAIT), "{ip}", "{port}")
    harness.until(lambda: collisions(test) == [2], "the collision is told")
    harness.report(True, "two_programs_of_one_name_are_told")
    said = status(test)
    harness.report("2 different command lines count as one service, server" in said, "status_tells_it", "" if "2 different" in said else said)
    test.stop(second)
    harness.until(lambda: not collisions(test), "the collision is over")
    harness.report(True, "it_is_over_when_one_ends")


def collision_elsewhere(test):
    """The same in pid namespaces of their own, where no parents can be looked up."""
    has_no_unit()
    own = ["unshare", "--pid", "--fork", "--kill-child"]
    if subprocess.run([*own, "true"], capture_output=True, check=False).returncode:
        raise harness.Missing("no pid namespace can be made")
    test.start_exporter()
    unnamed(test, *own, sites.PYTHON, test.write("a/server.py", SERVER + WORKER + WAIT), "{ip}", "{port}")
    harness.until(lambda: processes(test) == 2, "both record")
    value = collisions(test)
    harness.report(not value, "a_worker_in_another_pid_namespace_is_no_collision", f"{value}" if value else "")
    unnamed(test, *own, sites.PYTHON, test.write("b/server.py", SERVER + WAIT), "{ip}", "{port}")
    harness.until(lambda: processes(test) == 3, "the other records")
    value = collisions(test)
    harness.report(value == [2], "two_programs_in_two_pid_namespaces_are_told", f"{value}" if value != [2] else "")


def labels_of(test, env):
    for name in os.listdir(test.region_dir):
        os.unlink(test.region_dir / name)
    test.stop(unnamed(test, sites.PYTHON, "-m", "http.server", "--bind", "{ip}", "{port}", env={"TICKBIRD_SERVICE": "s"} | env))
    (name,) = os.listdir(test.region_dir)
    with open(test.region_dir / name, "rb") as f:
        return f.read(4096)


def labels_and_resource_attributes(test):
    """Both are in the region, cut to whole pairs."""
    found = labels_of(test, {"TICKBIRD_LABELS": "team=a", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=prod,x=y"})
    harness.report(b"\0team=a,deployment.environment=prod,x=y\0" in found, "labels_and_attributes_are_kept")
    found = labels_of(test, {"OTEL_RESOURCE_ATTRIBUTES": "x=y"})
    harness.report(b"\0x=y\0" in found, "attributes_alone_are_kept")
    long = ",".join(f"key{i:03}=value" for i in range(200))
    found = labels_of(test, {"TICKBIRD_LABELS": "team=a", "OTEL_RESOURCE_ATTRIBUTES": long})
    kept = found[found.index(b"team=a,"):].split(b"\0")[0].decode()
    harness.report(900 < len(kept) < 1024 and kept.endswith("=value") and ("team=a," + long).startswith(kept), "too_many_are_cut_between_pairs", kept[-40:])


harness.main_special({f.__name__: f for f in (interpreters, collision, collision_elsewhere, labels_and_resource_attributes)})
