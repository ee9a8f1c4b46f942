# SPDX-License-Identifier: Apache-2.0
"""What the tests of inlets share: an exporter with a configuration, and what its scrapes say."""
import json
import re
import socket
import subprocess
import threading
import urllib.request

from cli_lib import EXPORTER, Skip, check, make_regions, read_line, wait_for

try:
    import prometheus_client
    from prometheus_client.parser import text_string_to_metric_families
except ImportError:
    prometheus_client = None

OWN = ("tickbird_", "process_", "http_")


def need_client():
    if not prometheus_client:
        raise Skip("prometheus_client is not installed")


class Exporter:
    def __init__(self, s, config, wanted="listening"):
        make_regions(s)
        self.config = s.file("inlets.yml", config.encode())
        self.process = s.start([EXPORTER, "--config.file", self.config, "--web.listen-address=127.0.0.1:0",
                                "--log.format=json"], stderr=subprocess.PIPE)
        self.port = int(re.search(r'"port":"(\d+)"', self.line_with("listening")).group(1))
        self.inlet_line = self.last if wanted in self.last else self.line_with(wanted)

    def line_with(self, word):
        """The next line of its log that has it."""
        self.last = read_line(self.process.stderr)
        while word not in self.last:
            before, self.last = self.last, read_line(self.process.stderr)
            check(self.last, "the exporter ended:", before)
        return self.last

    def get(self, accept="text/plain"):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/metrics", headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def text(self):
        return self.get().decode()


def samples(families):
    """{(name, labels): value} of what is not the exporter's own."""
    return {(x.name, tuple(sorted(x.labels.items()))): x.value for f in families for x in f.samples
            if not x.name.startswith(OWN)}


def value_of(e, what, **labels):
    pattern = r"^tickbird_exporter_inlet_" + what + r"\{" + "".join(f'(?=.*{n}="{v}")' for n, v in labels.items()) + r".*\} (\S+)$"
    return sum(float(v) for v in re.findall(pattern, e.text(), re.M))


def entries(*inlets):
    """A configuration with these inlets. They are read once, with all the time that a busy machine may need; see AGAIN."""
    return json.dumps({"inlets": [{"interval": "10m", "timeout": "60s", **i} for i in inlets]}) + "\n"


# Of inlets that are read again: what was read stays, however long the next takes, and a read that does not end in time changes nothing.
AGAIN = {"interval": "1s", "timeout": "1s", "stale_after": "1h"}


def metric(name="v", path=".", **more):
    return {"name": name, "path": path, **more}


def shown(e):
    return samples(text_string_to_metric_families(e.text()))


def read_once(e, name):
    """What a scrape shows when every inlet was read."""
    wait_for("a read", lambda: re.search(rf'^tickbird_exporter_inlet_up{{inlet="{name}"}} \d', e.text(), re.M))
    return shown(e)


def refused(e, name):
    return {r for r, n in re.findall(rf'inlet_refused_lines_total{{inlet="{name}",reason="(\w+)"}} (\d+)', e.text()) if int(n)}


def check_places(s, wrong):
    """Each entry of `inlets` is refused with an error about a key where the @ is."""
    for key, marked in wrong:
        line = f"inlets: [{marked}]\n"
        path = s.file("c.yml", line.replace("@", "", 1).encode())
        done = s.run("check-config", path)
        check(done.code != 0 and done.err.startswith(f"{path}:1:{line.index('@') + 1}: {key}: ") and done.err.count(": ") >= 3, marked, done)


class Answers:
    """A server: what it answers to a path is bytes, or a function of the connection and the request's head."""

    def __init__(self, s, tls=None, path=None):
        self.answers, self.heads, self.tls, self.held = {}, [], tls, threading.Event()
        self.listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.listener.bind(path or ("127.0.0.1", 0))
        self.listener.listen(64)
        s.closing.append(self.close)
        self.port = None if path else self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.held.set()
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            head = b""
            while b"\r\n\r\n" not in head:
                more = connection.recv(4096)
                if not more:
                    return
                head += more
            self.heads.append(head.decode())
            answer = self.answers.get(head.split(b" ")[1].decode(), b"")
            if callable(answer):
                answer(connection, head.decode())
            else:
                connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(answer)}\r\n\r\n".encode() + answer)
        except OSError:
            pass
        finally:
            connection.close()

    def url(self, path="/"):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}{path}"
