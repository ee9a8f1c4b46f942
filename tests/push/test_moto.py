#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Into moto, which stands in for AWS, behind an endpoint that checks the signature with botocore: what boto3 reads back is
what the client asked. moto comes from PyPI into a folder of the build: without it, TB_FETCH=1 fetches it."""
import json
import os
import socket
import subprocess
import urllib.request

from push_lib import KEYS, ROOT, Endpoint, Server, Skip, check, main, once, push_once, test, value, wait_for, write

VENV = os.path.join(ROOT, os.environ.get("B", "build"), "push", "venv")
ASK = """
import sys, json, datetime, boto3
ask = json.loads(sys.argv[1])
c = boto3.client("cloudwatch", endpoint_url=ask["url"], region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
now = datetime.datetime.now(datetime.timezone.utc)
stat = lambda m, s: {"Id": "q", "MetricStat": {"Period": 3600, "Stat": s, "Metric": {"Namespace": "MyApp/Business", "MetricName": m["name"],
    "Dimensions": [{"Name": k, "Value": v} for k, v in m["dimensions"].items()]}}}
out = []
for m in ask["metrics"]:
    r = c.get_metric_data(MetricDataQueries=[stat(m, m["stat"])], StartTime=now - datetime.timedelta(hours=2),
                          EndTime=now + datetime.timedelta(hours=2))
    out.append(sum(r["MetricDataResults"][0]["Values"]))
print(json.dumps(out))
"""
CONFIG = """
push:
  outputs:
    - type: cloudwatch
      namespace: MyApp/Business
      endpoint: {url}
      constants: {{Environment: production}}
      metrics:
        - {{metric: http_requests_total, name: Requests, where: {{service: shop}}, dimensions: [[Environment, {{Code: status}}]]}}
        - {{metric: http_request_duration_seconds, where: {{service: shop}}}}
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
    def __init__(self, s):
        self.python = venv()
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
        with urllib.request.urlopen(request, timeout=30) as answer:
            endpoint.answer(handler, answer.status, answer.read())

    def statistics(self, *metrics):
        done = subprocess.run([self.python, "-c", ASK, json.dumps({"url": self.url, "metrics": metrics})], capture_output=True,
                              text=True, timeout=60, check=False)
        check(done.returncode == 0, done.stderr)
        return json.loads(done.stdout)


@test
def boto3_reads_back_what_the_client_asked(s):
    moto, server, endpoint = Moto(s), Server(s), Endpoint(KEYS)
    endpoint.forward = moto.take
    for i in range(64):
        server.get(f"/orders/{i}")
    server.get("/broken")
    config = write(s, CONFIG.format(url=endpoint.url))
    wrong = push_once(s, config, {"AWS_SECRET_ACCESS_KEY": "another"})
    check(wrong.code == 1 and "SignatureDoesNotMatch" in wrong.err, wrong)
    check(push_once(s, config).code == 0)
    server.get("/orders/1")
    check(push_once(s, config).code == 0)
    environment = {"Environment": "production"}
    found = moto.statistics({"name": "Requests", "stat": "Sum", "dimensions": {**environment, "Code": "200"}},
                            {"name": "Requests", "stat": "Sum", "dimensions": {**environment, "Code": "500"}},
                            {"name": "Requests", "stat": "Sum", "dimensions": environment},
                            {"name": "HttpRequestDuration", "stat": "SampleCount", "dimensions": {"Service": "shop"}},
                            {"name": "HttpRequestDuration", "stat": "Sum", "dimensions": {"Service": "shop"}})
    check(found[:4] == [65, 1, 0, 66], found)
    exact = value(once(s), "http_request_duration_seconds_sum", service="shop")
    check(abs(found[4] / exact - 1) < 1e-6, found, exact)


main()
