#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Embedded metric format: each line is a document by the schema (emf_judge.py), and what CloudWatch would make of them is
what the client asked; to standard output, files, and agents' ports."""
import json
import os
import socket
import threading

from emf_judge import extract
from push_lib import EXPORTER, SIGNED, Server, check, main, once, push_once, serve, test, value, wait_for, write

CONFIG = """
push:
  interval: 1s
  outputs:
    - type: emf
      namespace: MyApp/Lambda
      to: {to}
      constants: {{FunctionName: orders}}
      {more}
      metrics:
        - {{metric: http_requests_total, name: ItemsProcessed, where: {{service: shop}}, dimensions: [[FunctionName], [FunctionName, status]]}}
        - {{metric: http_request_duration_seconds, name: ProcessingTime, unit: Milliseconds, where: {{service: shop}},
           dimensions: [[FunctionName]]}}
        - {{metric: http_requests_in_flight, where: {{service: shop}}}}
"""


ITEMS = ((("FunctionName", "orders"),), "ItemsProcessed", "Count")
TIMES = ((("FunctionName", "orders"),), "ProcessingTime", "Milliseconds")


def good(code):
    return ((("FunctionName", "orders"), ("Status", code)), "ItemsProcessed", "Count")


@test
def documents_on_standard_output_hold_every_request(s):
    server = Server(s)
    config = write(s, CONFIG.format(to="stdout", more=""))
    for i in range(250):
        server.get(f"/orders/{i}")
    server.get("/broken")
    done = push_once(s, config)
    found = extract(done.out)
    check(done.code == 0 and found[ITEMS] == [251] and found[good("200")] == [250] and found[good("500")] == [1], found)
    check(len(found[TIMES]) == 251, found)  # three documents of 100 values at most
    exact = value(once(s), "http_request_duration_seconds_sum", service="shop")
    check(abs(sum(found[TIMES]) / 1000 / exact - 1) < 1e-9, sum(found[TIMES]), exact)
    check(found[((("Service", "shop"),), "HttpRequestsInFlight", "None")] == [0], found)
    server.get("/orders/1")
    again = extract(push_once(s, config).out)
    check(again[ITEMS] == [1] and len(again[TIMES]) == 1 and again[good("500")] == [0], again)


@test
def a_file_is_rotated_and_one_that_cannot_be_written_loses_nothing(s):
    server, path = Server(s), os.path.join(s.path, "emf.log")
    config = write(s, CONFIG.format(to=path, more="max_file_mib: 1\n      keep_files: 2"))
    for _ in range(2):
        for i in range(20):
            server.get(f"/orders/{i}")
        check(push_once(s, config).code == 0)
    found = extract(open(path, encoding="ascii").read())
    check(found[ITEMS] == [20, 20], found)
    os.truncate(path, 1 << 20)  # as large as it may be
    server.get("/orders/1")
    check(push_once(s, config).code == 0)
    check(os.path.getsize(path + ".1") == 1 << 20 and extract(open(path, encoding="ascii").read())[ITEMS] == [1])
    os.unlink(path)
    os.symlink("/dev/full", path)  # not followed, so it cannot be written
    server.get("/orders/1")
    check(push_once(s, config).code == 1)
    os.unlink(path)
    check(push_once(s, config).code == 0)
    check(sum(extract(open(path, encoding="ascii").read())[ITEMS]) == 1)


@test
def an_agent_gets_a_datagram_for_each_document(s):
    server = Server(s)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as agent:
        agent.bind(("127.0.0.1", 0))
        agent.settimeout(60)
        config = write(s, CONFIG.format(to="udp://127.0.0.1:%d" % agent.getsockname()[1], more="log_group: shop"))
        for i in range(120):
            server.get(f"/orders/{i}")
        check(push_once(s, config).code == 0)
        lines = []
        while sum(len(v) for k, v in extract("".join(lines)).items() if k == TIMES) < 120 or "Service" not in "".join(lines):
            lines.append(agent.recv(65536).decode())
            check(lines[-1].count("\n") == 1 and json.loads(lines[-1])["_aws"]["LogGroupName"] == "shop")
        found = extract("".join(lines))
        check(found[ITEMS] == [120] and len(found[TIMES]) == 120, found)


@test
def an_agent_behind_a_connection_that_breaks(s):
    server, got = Server(s), []

    def take(listener):
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            with conn:
                while data := conn.recv(65536):
                    got.append(data)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        config = write(s, CONFIG.format(to=f"tcp://127.0.0.1:{port}", more="log_group: shop\n      start: beginning"))
        listener.close()
        server.get("/orders/1")
        process, scrape = serve(s, config)  # nobody listens
        wait_for("it is tried", lambda: value(scrape(), "tickbird_exporter_push_requests_total", result="failed") > 0)
        with socket.create_server(("127.0.0.1", port)) as again:
            threading.Thread(target=take, args=(again,), daemon=True).start()
            server.get("/orders/2")
            wait_for("all come", lambda: sum(extract(b"".join(got)[:b"".join(got).rfind(b"\n") + 1].decode())[ITEMS]) == 2)
        process.kill()


@test
def wrong_settings_are_one_line_each(s):
    cases = {
        "to: relative.log": 'to: "relative.log" is none',
        "to: udp://127.0.0.1:1": "log_group: an agent has to know it",
        "to: tcp://somewhere, log_group: a": "has no port",
        "namespace: a": "an output of type emf needs it",
    }
    for text, expected in cases.items():
        more = "" if "namespace" in text else ", namespace: a"
        done = s.run("check-config", write(s, "push: {outputs: [{type: emf, metrics: [a], %s%s}]}\n" % (text, more)))
        check(done.code == 1 and expected in done.err and done.err.count("\n") == 1, text, done)


@test
def the_dry_run_shows_the_documents(s):
    server = Server(s)
    server.get("/orders/1")
    done = s.run("--config.file", write(s, CONFIG.format(to="stdout", more="")), "--push.dry-run", program=EXPORTER, env=SIGNED)
    check(done.code == 0 and extract("\n".join(line for line in done.out.splitlines() if line.startswith("{")))[ITEMS] == [1], done)


main()
