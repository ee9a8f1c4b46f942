# SPDX-License-Identifier: Apache-2.0
"""What the tests of pushing share: the programs and scratch directories of the command's tests, configurations, what a
scrape says."""
import collections
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "cli"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import alarm  # noqa: E402,F401
import cli_lib  # noqa: E402
try:
    from endpoint import Endpoint  # noqa: E402,F401
except ImportError as missing:
    print(f"{missing}: install python3-botocore")
    sys.exit(77)
from cli_lib import EXPORTER, ROOT, Scratch, Skip, check, main, read_line, test, wait_for  # noqa: E402,F401

KEYS = {"AKIDEXAMPLE": ("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None)}
SIGNED = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": KEYS["AKIDEXAMPLE"][0], "AWS_REGION": "eu-west-1",
          "AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nonexistent"}


def write(s, text, name="c.yml"):
    path = os.path.join(s.path, name)
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write(text)
    os.rename(path + ".new", path)
    return path


class Server(cli_lib.Server):
    """A test can wait until the agent has counted the last answer."""

    def __init__(self, s, service="shop", *flags):
        super().__init__(s, service, *flags)
        self.scratch, self.service = s, service
        s.servers = [*getattr(s, "servers", []), self]

    def settle(self):
        wait_for("the agent counts the last answer", lambda: (value(once(self.scratch), "http_requests_total", service=self.service) or 0) ==
                 self.asked)


def push_once(s, config, env=None):
    for server in getattr(s, "servers", []):
        server.settle()
    return s.run("--config.file", config, "--push.once", program=EXPORTER, env={**SIGNED, **(env or {})})


def serve(s, config, env=None, *flags):
    """A serving exporter, and the function that scrapes it."""
    log = open(os.path.join(s.path, "exporter.log"), "ab+")
    process = s.start([EXPORTER, "--config.file", config, "--web.listen-address", "127.0.0.1:0", *flags],
                      env={**SIGNED, **(env or {})}, stderr=log)

    def address():
        with open(log.name, encoding="utf-8") as f:
            found = re.findall(r"msg=listening .*?address=(\S+) port=(\d+)", f.read())
        return found[-1] if found else None

    def scrape():
        import urllib.request
        host, port = address()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            return samples(answer.read().decode())

    wait_for("the exporter listens", address)
    return process, scrape


def samples(text):
    """name -> {frozenset of labels: value} of a text exposition."""
    found = collections.defaultdict(dict)
    for line in text.splitlines():
        m = re.match(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$", line)
        if m and not line.startswith("#"):
            labels = re.findall(r'([\w]+)="((?:[^"\\]|\\.)*)"', m.group(2) or "")
            found[m.group(1)][frozenset(labels)] = float(m.group(3))
    return found


def value(found, name, **labels):
    """The sum of the samples that have these labels; None: there is none."""
    values = [v for k, v in found[name].items() if labels.items() <= dict(k).items()]
    return sum(values) if values else None


def once(s):
    return samples(s.run("--once", program=EXPORTER).out)


def datums(endpoint):
    """What PutMetricData requests said, in order: dictionaries with namespace and dimensions made plain."""
    result = []
    for _, _, body in endpoint.accepted:
        request = json.loads(body)
        for d in request["MetricData"]:
            d["Namespace"] = request["Namespace"]
            d["Dimensions"] = {x["Name"]: x["Value"] for x in d.get("Dimensions", [])}
            result.append(d)
    return result


def total(endpoint, name, **dimensions):
    """The sum of all values of a metric."""
    result = 0
    for d in datums(endpoint):
        if d["MetricName"] == name and d["Dimensions"] == dimensions:
            result += d["Value"] if "Value" in d else sum(v * c for v, c in zip(d["Values"], d["Counts"]))
    return result
