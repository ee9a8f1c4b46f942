# SPDX-License-Identifier: Apache-2.0
"""moto, which stands in for AWS, and boto3 to ask it. They come from PyPI into a folder of the build: without it, TB_FETCH=1 fetches it."""
import json
import os
import socket
import subprocess
import urllib.request

from push_lib import ROOT, Skip, check, wait_for

VENV = os.path.join(ROOT, os.environ.get("B", "build"), "push", "venv")
REGION = "eu-west-1"
ASK = """
import sys, json, time, datetime, boto3
ask = json.loads(sys.argv[1])
client = lambda name: boto3.client(name, endpoint_url=ask["url"], region_name=ask["region"], aws_access_key_id="a", aws_secret_access_key="b")
"""


def venv():
    python = os.path.join(VENV, "bin/python")
    if not os.access(os.path.join(VENV, "bin/moto_server"), os.X_OK):
        if os.environ.get("TB_FETCH") != "1":
            raise Skip("no moto (`make check-push` fetches it)")
        subprocess.run(["/usr/bin/python3", "-m", "venv", VENV], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "moto[server]==5.2.5", "boto3==1.44.5"], check=True, timeout=900)
    return python


class Moto:
    def __init__(self, s, region=REGION):
        self.python, self.region = venv(), region
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        s.start([os.path.join(VENV, "bin/moto_server"), "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL)
        self.url = f"http://127.0.0.1:{port}"
        wait_for("moto answers", self.is_ready, 90)

    def is_ready(self):
        try:
            return urllib.request.urlopen(self.url + "/moto-api/", timeout=5).status == 200
        except OSError:
            return False

    def take(self, endpoint, handler, body):
        """What the endpoint found rightly signed goes on to moto."""
        headers = {k: v for k, v in handler.headers.items() if k.lower() not in ("host", "content-length", "content-encoding")}
        request = urllib.request.Request(self.url + handler.path, body, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            endpoint.answer(handler, answer.status, answer.read())

    def ask(self, script, **what):
        """Runs @script with boto3: `client(name)` gives a service, `ask` is @what; the JSON that it prints."""
        done = subprocess.run([self.python, "-c", ASK + script, json.dumps({"url": self.url, "region": self.region, **what})],
                              capture_output=True, text=True, timeout=120, check=False)
        check(done.returncode == 0, done.stderr)
        return json.loads(done.stdout)

    def statistics(self, namespace, *metrics):
        """The sum over the hours of the last two; each metric: name, stat, dimensions. No data is 0."""
        return self.ask(STATISTICS, namespace=namespace, metrics=metrics)


STATISTICS = """
now = datetime.datetime.now(datetime.timezone.utc)
stat = lambda m: {"Id": "q", "MetricStat": {"Period": 3600, "Stat": m["stat"], "Metric": {"Namespace": ask["namespace"], "MetricName": m["name"],
    "Dimensions": [{"Name": k, "Value": v} for k, v in m["dimensions"].items()]}}}
out = []
for m in ask["metrics"]:
    r = client("cloudwatch").get_metric_data(MetricDataQueries=[stat(m)], StartTime=now - datetime.timedelta(hours=2),
                                             EndTime=now + datetime.timedelta(hours=2))
    out.append(sum(r["MetricDataResults"][0]["Values"]))
print(json.dumps(out))
"""
