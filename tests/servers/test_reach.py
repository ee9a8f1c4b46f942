#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Servers whose sockets take an unusual way: started by systemd, handed to other processes, kept over a new program (reload,
upgrade), in children that are programs of their own. Every count equals what the client noted."""
import os
import random
import signal
import time

import client
import harness
import servers
import sites
import started

APP_PATHS = (("/hello", "/hello"), ("/items/7", "/items/:id"), ("/items/4242", "/items/:id"), ("/error", "/error"))
FILE_PATHS = (("/hello", "/hello"), ("/items/7", "/items/:id"), ("/missing", "_unmatched"))


def rng(test, more=""):
    return random.Random(f"{harness.SEED}/{test.name}{more}")


def go(test, address, name, **options):
    if not test.exporter:
        test.start_exporter()
    started.requests_to(address, test.record, rng(test, name), **options)
    return started.compare(test, f"{name}_counts_equal_the_client")


def from_systemd(test, argv, *options):
    address = (test.ip, test.port())
    pass_on = [word for key, value in test.env().items() if key == "LD_PRELOAD" or key.startswith("TICKBIRD_") for word in ("-E", f"{key}={value}")]
    child = test.start([harness.which("systemd-socket-activate"), "-l", "%s:%d" % address, *options, *pass_on, *argv], preload=False, cwd=sites.APPS)
    test.wait_for_port(address, child)
    return address


# --- sockets that systemd opened


def systemd_listener(test):
    """LISTEN_FDS: the listening socket is descriptor 3; gunicorn's workers accept from it."""
    address = from_systemd(test, [harness.which("gunicorn"), "--workers", "2", "--log-level", "critical", "wsgi_app:application"])
    go(test, address, "systemd_listener", paths=APP_PATHS, methods=("GET",), keep_alive=2)


CONNECTION = r'''
import http.server, os, socket, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = self.path.encode()
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.command == "GET" else b"")
    do_HEAD = do_GET
    def log_message(self, *_):
        pass
'''


def systemd_connection(test):
    """Accept=yes: the connection itself is descriptor 3."""
    program = test.write("one.py", CONNECTION + 'assert os.environ["LISTEN_FDS"] == "1"\nHandler(socket.socket(fileno=3), ("", 0), None)\n')
    address = from_systemd(test, [sites.PYTHON, program], "-a")
    go(test, address, "systemd_connection", keep_alive=3)


# --- connections handed over by SCM_RIGHTS


def passed_to_workers(test):
    """One process accepts and passes connections to workers that are programs of their own."""
    worker = test.write("worker.py", CONNECTION + '''
channel = socket.socket(fileno=int(sys.argv[1]))
while True:
    data, fds, _, _ = socket.recv_fds(channel, 1, 1)
    if not data:
        break
    with socket.socket(fileno=fds[0]) as connection:
        try:
            Handler(connection, ("", 0), None)
        except ConnectionError:
            pass
''')
    address = (test.ip, test.port())
    acceptor = test.write("acceptor.py", f'''
import itertools, socket, subprocess, sys
listener = socket.create_server(({address[0]!r}, {address[1]}), backlog=64)
channels = []
for _ in range(2):
    ours, theirs = socket.socketpair()
    subprocess.Popen([sys.executable, {str(worker)!r}, str(theirs.fileno())], pass_fds=[theirs.fileno()])
    theirs.close()
    channels.append(ours)
for channel in itertools.cycle(channels):
    connection, _ = listener.accept()
    socket.send_fds(channel, [b"x"], [connection.fileno()])
    connection.close()
''')
    child = test.start([sites.PYTHON, acceptor])
    test.wait_for_port(address, child)
    go(test, address, "passed_to_workers", keep_alive=3, threads=3, connections=30)


# --- a new program in the place of the old


def haproxy_reload(test):
    """The master executes itself anew and takes its sockets from the old process (expose-fd listeners); a kept connection goes
    on in the old worker."""
    program = harness.which("haproxy")
    upstream = sites.python_upstream(test)
    address = (test.ip, test.port())
    conf = test.write("haproxy.cfg", f"""
global
    stats socket {test.dir}/admin.sock mode 600 level admin expose-fd listeners
    stats timeout 10s
    hard-stop-after 60s
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
frontend front
    bind {address[0]}:{address[1]}
    default_backend app
backend app
    server one {upstream[0]}:{upstream[1]}
""")
    child = test.start([program, "-W", "-db", "-f", conf, "-x", test.dir / "admin.sock"])
    test.wait_for_port(address, child)
    go(test, address, "haproxy_before", paths=APP_PATHS, methods=("GET",), keep_alive=2)
    for turn in range(2):
        kept = client.Conn(address)
        kept.send(client.request("GET", "/hello", "localhost"))
        test.record.add("GET", "/hello", kept.response("GET").status)
        before = set(harness.process_tree(child.pid))
        reload_until_new_worker(child, before)
        started.requests_to(address, test.record, rng(test, turn), paths=APP_PATHS, methods=("GET",), connections=10, keep_alive=2)
        kept.send(client.request("GET", "/hello", "localhost"))
        try:
            test.record.add("GET", "/hello", kept.response("GET").status)
        except client.Closed:
            pass  # a worker that stops may close what is idle
        kept.close()
    started.compare(test, "haproxy_reload_counts_equal_the_client")


def reload_until_new_worker(child, before):
    """A master that is still starting misses the signal: it is told again."""
    said = 0.0

    def has_new():
        nonlocal said
        if time.monotonic() - said > 3:
            said = time.monotonic()
            os.kill(child.pid, signal.SIGUSR2)
        return set(harness.process_tree(child.pid)) - before
    harness.until(has_new, "haproxy has a new worker")


def gunicorn_upgrade(test):
    """USR2: the master executes itself; the new one inherits the listener, then the old one ends."""
    address = (test.ip, test.port())
    pid_file = test.dir / "pid"
    child = test.start([harness.which("gunicorn"), "-b", "%s:%d" % address, "--workers", "2", "--log-level", "critical", "--pid", pid_file,
                        "wsgi_app:application"], cwd=sites.APPS, env={"PYTHONDONTWRITEBYTECODE": "1"})
    test.wait_for_port(address, child)
    go(test, address, "gunicorn_before", paths=APP_PATHS, methods=("GET",))
    os.kill(child.pid, signal.SIGUSR2)
    new = harness.until(lambda: (test.dir / "pid.2").exists() and int((test.dir / "pid.2").read_text() or "0"), "the new master is there")
    harness.until(lambda: len(harness.process_tree(new)) >= 3, "it has workers")
    started.requests_to(address, test.record, rng(test, "both"), paths=APP_PATHS, methods=("GET",), threads=3, connections=30)
    os.kill(child.pid, signal.SIGTERM)
    child.wait(60)
    started.requests_to(address, test.record, rng(test, "new"), paths=APP_PATHS, methods=("GET",))
    started.compare(test, "gunicorn_upgrade_counts_equal_the_client")


def nginx_upgrade(test):
    """USR2: a new binary on the same sockets; the old workers end when they have served."""
    site = servers.nginx_static(test)
    # In the foreground it refuses: it is started once more, as a daemon. What it does not name, it takes out of the new
    # program's environment.
    test.stop(test.processes[-1])
    conf = test.dir / "nginx.conf"
    conf.write_text(conf.read_text().replace("daemon off;", "daemon on;") + "env LD_PRELOAD;\nenv TICKBIRD_DIR;\nenv TICKBIRD_SERVICE;\n")
    test.start([harness.which("nginx"), "-c", conf]).wait(60)
    master = harness.until(lambda: int((test.dir / "nginx.pid").read_text() or "0"), "nginx wrote its pid")
    test.wait_for_port(site.address)
    try:
        upgrade_nginx(test, site, master)
    finally:
        for name in ("nginx.pid", "nginx.pid.oldbin"):
            if (test.dir / name).exists():
                os.kill(int((test.dir / name).read_text()), signal.SIGTERM)


def is_there(pid):
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


def upgrade_nginx(test, site, master):
    go(test, site.address, "nginx_before", paths=FILE_PATHS, keep_alive=2)
    os.kill(master, signal.SIGUSR2)
    new = harness.until(lambda: (test.dir / "nginx.pid.oldbin").exists() and (test.dir / "nginx.pid").exists() and
                        int((test.dir / "nginx.pid").read_text() or "0"), "the new master is there")
    harness.until(lambda: len(harness.process_tree(new)) >= 3, "it has workers")
    started.requests_to(site.address, test.record, rng(test, "both"), paths=FILE_PATHS, threads=3, connections=30)
    os.kill(master, signal.SIGQUIT)
    harness.until(lambda: not is_there(master), "the old master ends")
    started.requests_to(site.address, test.record, rng(test, "new"), paths=FILE_PATHS)
    started.compare(test, "nginx_upgrade_counts_equal_the_client")


# --- children that are programs of their own


def uvicorn_workers(test):
    """Workers are spawned: they begin as new programs with the listener inherited."""
    address = (test.ip, test.port())
    child = test.start([harness.which("uvicorn"), "--host", address[0], "--port", address[1], "--log-level", "critical", "--workers", "2",
                        "asgi_app:application"], cwd=sites.APPS, env={"PYTHONDONTWRITEBYTECODE": "1"})
    test.wait_for_port(address, child)
    go(test, address, "uvicorn_workers", paths=APP_PATHS, methods=("GET",), threads=4, connections=40)


def erlang(test):
    """inets httpd; the runtime starts helper programs that inherit its environment."""
    erl = harness.which("erl")
    root = started.documents(test)
    address = (test.ip, test.port())
    for name in ("server", "logs"):
        (test.dir / name).mkdir()
    ip = ",".join(address[0].split("."))
    program = (f'inets:start(), {{ok, _}} = inets:start(httpd, [{{port, {address[1]}}}, {{bind_address, {{{ip}}}}}, {{server_name, "localhost"}}, '
               f'{{server_root, "{test.dir}/server"}}, {{document_root, "{root}"}}, {{ipfamily, inet}}]), '
               'io:format("~s", [os:cmd("echo helper")]).')
    child = test.start([erl, "-noshell", "-eval", program], env={"HOME": str(test.dir)})
    test.wait_for_port(address, child)
    # HEAD: its 404 has a body, which is no HTTP; a missing file: seldom it is a 500, which makes a route of it
    go(test, address, "erlang", paths=[p for p in FILE_PATHS if p[0] != "/missing"], keep_alive=2, methods=("GET",))


def php_fpm_clear_env(test):
    """FastCGI is no HTTP: what the pool's workers, whose environment is cleared, ask of others shows that they record. The
    region and the settings must not hang on the environment."""
    upstream = sites.python_upstream(test)
    address = (test.ip, test.port())
    app = test.write("ask.php", f"""<?php
if (getenv('TICKBIRD_DIR') !== false || getenv('LD_PRELOAD') !== false) {{ http_response_code(500); exit; }}
$fd = fsockopen('{upstream[0]}', {upstream[1]});
fwrite($fd, "GET /hello HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n");
echo strlen(stream_get_contents($fd));
""")
    _, socket = servers.start_php_fpm(test, "pool", 3, "clear_env = yes")
    child = servers.start_nginx(test, f"""
server {{
    listen {address[0]}:{address[1]};
    location / {{ include /etc/nginx/fastcgi_params; fastcgi_param SCRIPT_FILENAME {app}; fastcgi_pass unix:{socket}; }}
}}""")
    test.wait_for_port(address, child)
    go(test, address, "php_fpm_clear_env", paths=(("/hello", "/hello"), ("/items/7", "/items/:id")), methods=("GET",), keep_alive=2)
    asked = sum(test.record.counts.values())
    scrape = test.scrape()
    connections = scrape.total("tickbird_connections_total", service="pool")
    answered = {k[2] for k in test.record.counts}
    is_right = connections == asked and answered == {"200"}
    harness.report(is_right, "php_fpm_clear_env_asks_are_seen", "" if is_right else f"{connections:g} connections, {asked} asked, answered {answered}")


harness.main_special({f.__name__: f for f in (
    systemd_listener, systemd_connection, passed_to_workers, haproxy_reload, gunicorn_upgrade, nginx_upgrade, uvicorn_workers, erlang,
    php_fpm_clear_env)})
