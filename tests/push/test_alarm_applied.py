#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The examples for AWS, on moto: Terraform makes the alarm on the queue's depth and its topic, the shop's queue is pushed with the shop's
own configuration, and the alarm's own words find it; Alertmanager tells a topic by the shipped receiver.

Terraform needs its provider for AWS: in one of the folders where it looks for local copies, or in TB_TF_PLUGINS.
"""
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

from push_lib import KEYS, Endpoint, Skip, alarm, check, cli_lib, datums, main, once, push_once, test, value, wait_for, write
from stand_in import Moto

EXAMPLES = pathlib.Path(cli_lib.ROOT) / "examples"
sys.path.insert(0, str(EXAMPLES / "shop"))
sys.dont_write_bytecode = True
import traffic  # noqa: E402  pylint: disable=wrong-import-position

REGION = "eu-central-1"
PLUGINS = [os.environ.get("TB_TF_PLUGINS"), os.path.expanduser("~/.terraform.d/plugins"), "/usr/local/share/terraform/plugins",
           "/usr/share/terraform/plugins"]
ALARMS = """
found = client("cloudwatch").describe_alarms()["MetricAlarms"]
keys = ("Namespace", "MetricName", "Statistic", "Period", "EvaluationPeriods", "Threshold", "DatapointsToAlarm", "TreatMissingData")
topics = [t["TopicArn"] for t in client("sns").list_topics()["Topics"]]
print(json.dumps([{**{k: a[k] for k in keys}, "Dimensions": {d["Name"]: d["Value"] for d in a["Dimensions"]},
                   "tells": [a["AlarmActions"], a["OKActions"]] == [topics, topics] and len(topics) == 1} for a in found]))
"""
SUBSCRIBE = """
topic = client("sns").create_topic(Name="alerts")["TopicArn"]
queue = client("sqs").create_queue(QueueName="told")["QueueUrl"]
arn = client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
print(json.dumps({"topic": topic, "queue": queue}))
"""
RECEIVE = """
deadline, found = time.monotonic() + 60, []
while not found and time.monotonic() < deadline:
    found = client("sqs").receive_message(QueueUrl=ask["queue"], WaitTimeSeconds=1).get("Messages", [])
print(json.dumps([json.loads(m["Body"]) for m in found]))
"""


def terraform(s):
    """A function that runs it on a copy of the example, as an account of the stand-in."""
    program = shutil.which("terraform")
    folder = next((p for p in PLUGINS if p and os.path.isdir(os.path.join(p, "registry.terraform.io/hashicorp/aws"))), None)
    if not program or not folder:
        raise Skip("no terraform" if not program else "no provider for AWS in a local folder (TB_TF_PLUGINS)")
    place = shutil.copytree(EXAMPLES / "terraform", os.path.join(s.path, "terraform"))
    settings = write(s, f'provider_installation {{\n  filesystem_mirror {{ path = "{folder}" }}\n}}\n', "terraform.rc")
    env = {**os.environ, "TF_CLI_CONFIG_FILE": settings, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "CHECKPOINT_DISABLE": "1"}

    def run(*words):
        done = subprocess.run([program, *words, "-no-color"], cwd=place, env=env, capture_output=True, text=True, timeout=240, check=False)
        check(done.returncode == 0, done.stdout, done.stderr)
    run("init")
    return run


def start_shop(s):
    """The shop under its rules; nobody is there to be paid, so visitors order by invoice."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    s.start([cli_lib.TICKBIRD, "run", "--config", str(EXAMPLES / "shop/tickbird.yml"), "--service", "shop", "--", "/usr/bin/python3",
             str(EXAMPLES / "shop/shop.py"), "127.0.0.1", str(port), "127.0.0.1", "1"])

    def listens():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0
    wait_for("the shop listens", listens)
    return traffic.Traffic("127.0.0.1", port)


@test
def terraform_takes_the_example(s):
    terraform(s)("validate")


@test
def row_18_an_alarm_of_terraform_finds_the_queue(s):
    moto, apply, visitors, endpoint = Moto(s, REGION), terraform(s), start_shop(s), Endpoint(KEYS)
    apply("apply", "-auto-approve", "-input=false", f"-var=endpoint={moto.url}")
    made, = moto.ask(ALARMS)
    check(made["tells"], "alarm and ok go to the one topic", made)
    endpoint.forward = moto.take
    for number in range(1200):
        visitors.ask("POST", "/orders", {"product": 1, "items": 1 + number % 3, "payment_method": "invoice"})
    waiting = visitors.ask("GET", "/health")[1]["queue"]["waiting"]
    check(waiting == 1200, waiting)
    wait_for("all is counted", lambda: value(once(s), "http_requests_total", service="shop") == 1201)
    text = (EXAMPLES / "shop/cloudwatch.yml").read_text()
    config = write(s, text.replace(f"region: {REGION}\n", f"region: {REGION}\n      endpoint: {endpoint.url}\n"))
    done = push_once(s, config)
    check(done.code == 0, done)
    asked = {"name": made["MetricName"], "stat": made["Statistic"]}
    found = moto.statistics(made["Namespace"], {**asked, "dimensions": made["Dimensions"]},
                            {**asked, "dimensions": {**made["Dimensions"], "Environment": "staging"}})
    check(found == [waiting, 0] and waiting > made["Threshold"], found, made)
    at_once = {**made, "EvaluationPeriods": 1, "DatapointsToAlarm": 1}  # three minutes are not waited for
    check(alarm.state_of(datums(endpoint), at_once, time.time() + made["Period"]) == "ALARM", made)


@test
def row_20_alertmanager_tells_a_topic(s):
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if not program:
        raise Skip("prometheus-alertmanager is not installed")
    moto = Moto(s, REGION)
    there = moto.ask(SUBSCRIBE)
    text = (EXAMPLES / "alertmanager/alertmanager.yml").read_text()
    for gone in ("slack_configs", "pagerduty_configs", "webhook_configs", "email_configs"):  # other receivers are tried elsewhere
        text = re.sub(rf"    {gone}:\n(?:      .*\n)+", "", text)
    text = re.sub(r"topic_arn: .*", f"topic_arn: {there['topic']}", re.sub(r"api_url: https://sns.*", f"api_url: {moto.url}", text))
    text = text.replace(f"sigv4: {{region: {REGION}}}", f"sigv4: {{region: {REGION}, access_key: a, secret_key: b}}")
    config = write(s, text.replace("group_wait: 30s", "group_wait: 100ms"), "alertmanager.yml")
    log = os.path.join(s.path, "alertmanager.log")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = "http://127.0.0.1:%d" % probe.getsockname()[1]
    with open(log, "wb") as out:
        s.start([program, f"--config.file={config}", f"--storage.path={s.path}/alertmanager", f"--web.listen-address={url[7:]}",
                 "--cluster.listen-address="], stderr=out, stdout=out)

    def is_ready():
        try:
            return urllib.request.urlopen(url + "/-/ready", timeout=5).status == 200
        except OSError:
            return False
    wait_for("Alertmanager is ready", is_ready, 90)
    raised = [{"labels": {"alertname": "HighErrorRate", "severity": "critical", "team": "backend", "service": "shop"},
               "annotations": {"summary": "shop: 12% of the requests fail"}}]
    request = urllib.request.Request(url + "/api/v2/alerts", json.dumps(raised).encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=60).close()
    told = moto.ask(RECEIVE, queue=there["queue"])
    with open(log, encoding="utf-8") as f:
        check(len(told) == 1 and told[0]["Subject"] == "shop: 12% of the requests fail" and "HighErrorRate" in told[0]["Message"], told, f.read()[-3000:])


main()
