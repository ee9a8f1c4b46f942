#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Alarms on what is pushed: they get data, go to ALARM and back, and never see what is pushed under other dimensions."""
import http.client
import threading
import time

from push_lib import KEYS, Endpoint, Server, alarm, check, datums, main, read_line, serve, test, wait_for, write

# What the documentation's tables say for 3 of 3 and 2 of 3, with a range of 5: missing, ignore, breaching, notBreaching.
TABLE = [
    (3, "0-X-X", "OK OK OK OK"), (3, "----0", "OK OK OK OK"), (3, "-----", "INSUFFICIENT_DATA ALARM ALARM OK"),
    (3, "0XX-X", "ALARM ALARM ALARM ALARM"), (3, "--X--", "ALARM RETAIN ALARM OK"),
    (2, "0-X-X", "ALARM ALARM ALARM ALARM"), (2, "00X0X", "ALARM ALARM ALARM ALARM"), (2, "0-X--", "OK OK ALARM OK"),
    (2, "----0", "OK OK ALARM OK"), (2, "---X-", "ALARM RETAIN ALARM OK"),
]


@test
def the_judge_agrees_with_the_documentation(s):
    for m, points, results in TABLE:
        range_ = [{"0": False, "X": True, "-": None}[p] for p in points]
        for missing, expected in zip(("missing", "ignore", "breaching", "notBreaching"), results.split()):
            retained = expected == "RETAIN" or (missing == "ignore" and points == "-----")
            for state in ("OK", "ALARM") if retained else ("OK",):
                got = alarm.judge(range_, 3, m, missing, state)
                check(got == (state if retained else expected), m, points, missing, got)


CONFIG = """
push:
  interval: 1s
  outputs:
    - type: cloudwatch
      namespace: MyApp/Business
      endpoint: {url}
      resolution: 1
      constants: {{Environment: production}}
      metrics:
        - {{metric: http_requests_in_flight, name: QueueDepth, where: {{service: shop}}, dimensions: {dimensions}}}
"""
QUEUE = {"Namespace": "MyApp/Business", "MetricName": "QueueDepth", "Statistic": "Maximum", "Period": 2, "EvaluationPeriods": 3,
         "Threshold": 0.5, "Dimensions": {"Environment": "production"}}


@test
def a_queue_alarm_fires_and_recovers(s):
    server, endpoint = Server(s), Endpoint(KEYS)
    process, _ = serve(s, write(s, CONFIG.format(url=endpoint.url, dimensions="[[], [Environment]]")))

    def state(definition=QUEUE):
        return alarm.state_of(datums(endpoint), definition, time.time())

    wait_for("it is OK", lambda: state() == "OK")
    held = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    threading.Thread(target=held.request, args=("GET", "/held")).start()
    check(read_line(server.process.stdout).strip() == "holding")
    wait_for("it is ALARM", lambda: state() == "ALARM", 60)
    check(state({**QUEUE, "Dimensions": {"Environment": "staging"}}) == "INSUFFICIENT_DATA")
    check(state({**QUEUE, "Dimensions": {}}) in ("ALARM", "OK"))  # pushed as well
    server.process.stdin.write(b"\n")
    server.process.stdin.flush()
    wait_for("it is OK again", lambda: state() == "OK", 60)
    process.kill()


@test
def without_the_dimension_an_alarm_never_gets_data(s):
    """What a recipe often has wrong: pushed without dimensions, asked for with one."""
    Server(s)
    endpoint = Endpoint(KEYS)
    process, _ = serve(s, write(s, CONFIG.format(url=endpoint.url, dimensions="[[]]")))
    wait_for("three pushes", lambda: len(endpoint.accepted) >= 3)
    found = datums(endpoint)
    process.kill()
    check(alarm.state_of(found, QUEUE, time.time()) == "INSUFFICIENT_DATA")
    check(alarm.datapoints(found, "MyApp/Business", "QueueDepth", {}, "Maximum", 2))


main()
