#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The inlets of docs/inlets.md for RabbitMQ and Celery's Flower, with the real programs: as many messages as were put into queues are
shown as their lengths. TB_LONG=1 starts RabbitMQ, TB_FETCH=1 gets Flower from PyPI into a folder of the build (`make check-inlets`)."""
import base64
import json
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request

from cli_lib import BUILD, ROOT, Skip, check, main, need, test, wait_for
from inlets_lib import AGAIN, Exporter, entries, need_client, shown, value_of

SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
PASSWORD = "guest"


def free_ports(count):
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


class RabbitMQ:
    """A node of its own with a port mapper (epmd) of its own; both end with the test."""

    def __init__(self, s):
        mapper, node, amqp, self.port = free_ports(4)
        path = os.path.join(s.path, "rabbitmq")
        os.mkdir(path)
        for name, text in (("plugins", "[rabbitmq_management].\n"),
                           ("rabbitmq.conf", f"listeners.tcp.1 = 127.0.0.1:{amqp}\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {self.port}\n")):
            with open(os.path.join(path, name), "w", encoding="utf-8") as f:
                f.write(text)
        env = {"HOME": path, "RABBITMQ_NODENAME": "tb@localhost", "RABBITMQ_MNESIA_BASE": f"{path}/data", "RABBITMQ_LOG_BASE": f"{path}/log", "RABBITMQ_PID_FILE": f"{path}/pid",
               "RABBITMQ_ENABLED_PLUGINS_FILE": f"{path}/plugins", "RABBITMQ_CONFIG_FILE": f"{path}/rabbitmq.conf", "RABBITMQ_DIST_PORT": str(node),
               "ERL_EPMD_PORT": str(mapper), "ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_RELAXED_COMMAND_CHECK": "1",
               "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}"}
        self.env = {**s.env, **env}
        with open(os.path.join(path, "out"), "wb") as out:
            self.process = s.start([SERVER], env=env, stdout=out, stderr=out, start_new_session=True)
        s.closing.append(self.end)
        wait_for("RabbitMQ", self.is_there, 150)

    def end(self):
        """With its whole group: the server is a shell script's child."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        subprocess.run(["epmd", "-kill"], env=self.env, check=False, capture_output=True, timeout=30)

    def is_there(self):
        if self.process.poll() is not None:
            raise Skip("RabbitMQ does not start here")
        try:
            return self.call("GET", "/api/overview")
        except (urllib.error.URLError, OSError):
            return None

    def call(self, method, path, what=None):
        auth = base64.b64encode(f"guest:{PASSWORD}".encode()).decode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", None if what is None else json.dumps(what).encode(), method=method,
                                         headers={"Authorization": f"Basic {auth}", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")


@test
def rabbitmq_tells_lengths_of_queues(s):
    need_client()
    if os.environ.get("TB_LONG") != "1":
        raise Skip("half a minute and more (`make check-inlets` does it)")
    if not os.access(SERVER, os.X_OK):
        raise Skip("rabbitmq-server is not installed")
    if os.geteuid():
        raise Skip("its scripts start a node as root only, or as their own user")
    rabbit = RabbitMQ(s)
    truth = {"orders": 12, "mails": 3, "idle \"x\"": 0}
    for name, count in truth.items():
        quoted = urllib.request.quote(name, safe="")
        rabbit.call("PUT", f"/api/queues/%2F/{quoted}", {"durable": False})
        for i in range(count):
            sent = rabbit.call("POST", "/api/exchanges/%2F/amq.default/publish", {"properties": {}, "routing_key": name, "payload": str(i), "payload_encoding": "string"})
            check(sent == {"routed": True}, sent)
    with open(os.path.join(ROOT, "docs", "inlets.md"), encoding="utf-8") as f:
        check("/api/queues?columns=name,vhost,messages_ready" in f.read(), "what is tried here is what is written there")
    inlet = {"type": "json", "url": f"http://127.0.0.1:{rabbit.port}/api/queues?columns=name,vhost,messages_ready", "user": "guest", "password_file": s.file("p", PASSWORD.encode()),
             "metrics": [{"name": "task_queue_size", "each": ".", "path": "messages_ready", "labels": {"queue": {"path": "name"}, "vhost": {"path": "vhost"}}}], **AGAIN}
    e = Exporter(s, entries(inlet))

    def all_shown():
        return shown(e) == {("task_queue_size", (("queue", name), ("vhost", "/"))): count for name, count in truth.items()}
    wait_for("the lengths", all_shown, 120)
    rabbit.call("DELETE", "/api/queues/%2F/orders/contents")
    truth["orders"] = 0
    wait_for("a purged queue", all_shown, 120)
    wait_for("a good read", lambda: value_of(e, "up") == 1)


def venv():
    folder = os.path.join(BUILD, "cli", "flower")
    if not os.access(os.path.join(folder, "bin", "celery"), os.X_OK):
        if os.environ.get("TB_FETCH") != "1":
            raise Skip("no Flower (`make check-inlets` fetches it)")
        os.makedirs(folder, exist_ok=True)
        subprocess.run(["/usr/bin/python3", "-m", "venv", folder], check=True)
        subprocess.run([os.path.join(folder, "bin", "pip"), "install", "-q", "celery[redis]==5.4.0", "kombu==5.4.2", "flower==2.0.1", "packaging"], check=True, timeout=600)
    return os.path.join(folder, "bin")


SEND = """
import sys, celery
app = celery.Celery(broker=sys.argv[1])
for i in range(int(sys.argv[2])):
    app.send_task("shop.bill", (i,), ignore_result=True)
"""


@test
def flower_tells_lengths_of_queues(s):
    need_client()
    need("redis-server")
    folder, path = venv(), os.path.join(s.path, "redis.sock")
    s.start(["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", s.path], stdout=subprocess.DEVNULL)
    wait_for("redis", lambda: os.path.exists(path))
    broker, (port,) = f"redis+socket://{path}", free_ports(1)
    send = [os.path.join(folder, "python"), "-c", SEND, broker]

    def put(count):
        done = s.run(*send[1:], str(count), program=send[0])
        check(done.code == 0, done)
    put(17)
    s.start([os.path.join(folder, "celery"), "-b", broker, "flower", "--address=127.0.0.1", f"--port={port}"], env={"FLOWER_UNAUTHENTICATED_API": "true", "HOME": s.path},
            cwd=s.path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    inlets = [{"type": "json", "name": "flower", "url": f"http://127.0.0.1:{port}/api/queues/length",
               "metrics": [{"name": "task_queue_size", "each": "active_queues", "path": "messages", "labels": {"queue": {"path": "name"}, "system": "celery"}}], **AGAIN},
              {"type": "redis", "unix_socket": path, "metrics": [{"name": "celery_list", "command": ["LLEN", "celery"]}], **AGAIN}]
    e = Exporter(s, entries(*inlets))
    wait_for("what was sent", lambda: shown(e) == {("task_queue_size", (("queue", "celery"), ("system", "celery"))): 17, ("celery_list", ()): 17}, 120)
    put(3)
    wait_for("more", lambda: set(shown(e).values()) == {20}, 120)


if __name__ == "__main__":
    main()
