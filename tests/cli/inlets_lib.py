# SPDX-License-Identifier: Apache-2.0
"""What the tests of inlets share: an exporter with a configuration, and what its scrapes say."""
import re
import subprocess
import urllib.request

from cli_lib import EXPORTER, Skip, check, make_regions, read_line

try:
    import prometheus_client
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
        line = read_line(self.process.stderr)
        while "listening" not in line:
            line = read_line(self.process.stderr)
        self.port = int(re.search(r'"port":"(\d+)"', line).group(1))
        while wanted not in line:
            line = read_line(self.process.stderr)
        self.inlet_line = line

    def get(self, accept="text/plain"):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/metrics", headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=30) as answer:
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


def check_places(s, wrong):
    """Each entry of `inlets` is refused with an error about a key where the @ is."""
    for key, marked in wrong:
        line = f"inlets: [{marked}]\n"
        path = s.file("c.yml", line.replace("@", "", 1).encode())
        done = s.run("check-config", path)
        check(done.code != 0 and done.err.startswith(f"{path}:1:{line.index('@') + 1}: {key}: ") and done.err.count(": ") >= 3, marked, done)
