#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""PutMetricData: exact counts through throttling, crashes and lost answers, signatures that botocore agrees with, limits,
credentials from every place. What is right is the client's own tally of what it asked the server."""
import json
import os
import re
import signal

from push_lib import (EXPORTER, KEYS, ROOT, SIGNED, Endpoint, Server, Skip, check, datums, main, once, push_once, serve, test, total, value, wait_for,
                      write)

MAPPING = """
push:
  interval: 1s
  outputs:
    - type: cloudwatch
      namespace: MyApp/Business
      endpoint: {url}
      constants: {{Environment: production}}
      {more}
      metrics:
        - metric: http_requests_total
          name: Requests
          where: {{service: shop}}
          dimensions: [[Environment, {{Code: status}}]]
        - {{metric: http_request_duration_seconds, where: {{service: shop}}}}
        - {{metric: http_requests_in_flight, where: {{service: shop}}, dimensions: [[], [service]]}}
"""


def mapping(s, endpoint, more=""):
    return write(s, MAPPING.format(url=endpoint.url, more=more))


def requests(endpoint, code):
    return total(endpoint, "Requests", Environment="production", Code=str(code))


@test
def what_is_pushed_is_what_the_client_asked(s):
    server, endpoint = Server(s), Endpoint(KEYS)
    config = mapping(s, endpoint)
    for i in range(30):
        server.get(f"/orders/{i}")
    server.get("/broken")
    check(push_once(s, config).code == 0)
    check(requests(endpoint, 200) == 30 and requests(endpoint, 500) == 1, datums(endpoint))
    check(push_once(s, config).code == 0)  # nothing came since
    check(requests(endpoint, 200) == 30 and requests(endpoint, 500) == 1, datums(endpoint))
    for i in range(7):
        server.get(f"/orders/{i}")
    check(push_once(s, config).code == 0)
    check(requests(endpoint, 200) == 37 and requests(endpoint, 500) == 1, datums(endpoint))
    check({d["Namespace"] for d in datums(endpoint)} == {"MyApp/Business"})
    check({d["Unit"] for d in datums(endpoint) if d["MetricName"] == "Requests"} == {"Count"})
    gauges = [d for d in datums(endpoint) if d["MetricName"] == "HttpRequestsInFlight"]
    check({tuple(d["Dimensions"].items()) for d in gauges} == {(), (("Service", "shop"),)}, gauges)


@test
def values_of_a_histogram_are_its_cells_and_add_up_to_its_sum(s):
    server, endpoint = Server(s), Endpoint(KEYS)
    for i in range(200):
        server.get(f"/orders/{i}")
    check(push_once(s, mapping(s, endpoint)).code == 0)
    served = once(s)
    found = [d for d in datums(endpoint) if d["MetricName"] == "HttpRequestDuration"]
    pairs = sorted((v, c) for d in found for v, c in zip(d["Values"], d["Counts"]))
    check(sum(c for _, c in pairs) == 200 and {d["Unit"] for d in found} == {"Seconds"}, found)
    exact = value(served, "http_request_duration_seconds_sum", service="shop")
    check(abs(sum(v * c for v, c in pairs) / exact - 1) < 1e-9, exact, pairs)
    cell = 2 ** (1 / 8)  # a value is off by less than its cell
    for labels, count in served["http_request_duration_seconds_bucket"].items():
        le = dict(labels)["le"]
        if dict(labels)["service"] == "shop" and le != "+Inf":
            check(sum(c for v, c in pairs if v <= float(le) / cell) <= count <= sum(c for v, c in pairs if v <= float(le) * cell),
                  le, count, pairs)


@test
def a_wrong_secret_is_refused_and_nothing_is_lost(s):
    server, endpoint = Server(s), Endpoint(KEYS)
    config = mapping(s, endpoint)
    for i in range(5):
        server.get(f"/orders/{i}")
    wrong = push_once(s, config, {"AWS_SECRET_ACCESS_KEY": "another"})
    check(wrong.code == 1 and "SignatureDoesNotMatch" in wrong.err and not endpoint.accepted, wrong)
    check(push_once(s, config).code == 0 and requests(endpoint, 200) == 5, datums(endpoint))


@test
def a_session_token_is_sent_and_signed(s):
    server, endpoint = Server(s), Endpoint({"ASIAEXAMPLE": ("secret/+=", "the/token+=")})
    server.get("/orders/1")
    env = {"AWS_ACCESS_KEY_ID": "ASIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret/+=", "AWS_SESSION_TOKEN": "the/token+="}
    check(push_once(s, mapping(s, endpoint), env).code == 0 and requests(endpoint, 200) == 1)
    check("x-amz-security-token" in endpoint.accepted[0][1]["Authorization"])
    server.get("/orders/1")
    told = b'{"__type":"a#SignatureDoesNotMatch","message":"should have been x-amz-security-token:the/token+="}'
    endpoint.behave = [lambda h, _: endpoint.answer(h, 403, told)]
    done = push_once(s, mapping(s, endpoint), env)
    check(done.code == 0 and "HTTP 403 SignatureDoesNotMatch" in done.err and "the/token" not in done.err, done)


@test
def what_root_made_belongs_to_the_directory(s):
    """Pushed by hand as root where the exporter runs as another user: that one must be able to go on."""
    if os.getuid() != 0:
        raise Skip("not root")
    Server(s).get("/orders/1")
    os.makedirs(s.env["TICKBIRD_STORAGE_PATH"])
    os.chown(s.env["TICKBIRD_STORAGE_PATH"], 65534, 65534)
    check(push_once(s, mapping(s, Endpoint(KEYS))).code == 0)
    check(os.stat(s.env["TICKBIRD_STORAGE_PATH"] + "/push-cloudwatch").st_uid == 65534)


@test
def throttling_and_failures_lose_and_double_nothing(s):
    server, endpoint = Server(s), Endpoint(KEYS)
    config = mapping(s, endpoint)
    for i in range(9):
        server.get(f"/orders/{i}")
    endpoint.behave = ["throttle", 500, 503]
    check(push_once(s, config).code == 0 and requests(endpoint, 200) == 9, endpoint.seen)
    check(len(endpoint.seen) == 4 and len({body for _, _, body in endpoint.seen}) == 1)
    endpoint.behave = ["cut"]  # it breaks off before all of it was taken
    server.get("/orders/1")
    check(push_once(s, config).code == 0 and requests(endpoint, 200) == 10, datums(endpoint))


@test
def what_a_receiver_that_is_away_missed_comes_later_with_its_time(s):
    server, endpoint = Server(s), Endpoint(KEYS)
    config = mapping(s, endpoint)
    server.get("/orders/1")
    endpoint.behave = ["throttle"] * 5
    check(push_once(s, config).code == 1 and not endpoint.accepted)
    server.get("/orders/2")
    check(push_once(s, config).code == 0 and requests(endpoint, 200) == 2, datums(endpoint))
    times = [d["Timestamp"] for d in datums(endpoint) if d["MetricName"] == "Requests" and d["Value"]]
    check(len(times) == 2 and times[0] < times[1], times)


@test
def a_crash_between_taking_and_accepting_loses_and_doubles_nothing(s):
    """Killed with the request refused so far: the next exporter has it from the state, once."""
    server, endpoint = Server(s), Endpoint(KEYS)
    config = mapping(s, endpoint)
    process, _ = serve(s, config)
    wait_for("the first push", lambda: endpoint.accepted)  # from here on everything counts
    endpoint.behave = [503] * 1000
    for i in range(25):
        server.get(f"/orders/{i}")
    seen = len(endpoint.seen)
    wait_for("it is tried", lambda: any(b'"Value":25' in body for _, _, body in endpoint.seen[seen:]))
    process.send_signal(signal.SIGKILL)
    process.wait()
    endpoint.behave = []
    check(push_once(s, config).code == 0)
    check(requests(endpoint, 200) == 25, datums(endpoint))


@test
def a_lost_answer_is_sent_again_or_dropped_as_configured(s):
    for policy, times, code in (("resend", 2, 0), ("drop", 1, 1)):
        server, endpoint = Server(s, policy), Endpoint(KEYS)
        config = write(s, MAPPING.format(url=endpoint.url, more=f"uncertain: {policy}").replace("service: shop", f"service: {policy}")
                       .replace("type: cloudwatch", f"type: cloudwatch\n      name: {policy}"))
        for i in range(4):
            server.get(f"/orders/{i}")
        endpoint.behave = ["hang up"]
        done = push_once(s, config)
        check(done.code == code and requests(endpoint, 200) == 4 * times, policy, done, datums(endpoint))
        server.get("/orders/1")
        check(push_once(s, config).code == 0 and requests(endpoint, 200) == 4 * times + 1, policy, datums(endpoint))
        check(len({body for _, _, body in endpoint.accepted[:times]}) == 1)  # the very same, time and all
        server.stop()


@test
def a_lost_answer_on_a_connection_that_served_before(s):
    """A library that sends again by itself there would count twice what is to be dropped."""
    server, endpoint = Server(s), Endpoint(KEYS)
    process, scrape = serve(s, mapping(s, endpoint, "uncertain: drop"))
    wait_for("two pushes", lambda: len(endpoint.accepted) >= 2)
    endpoint.behave = ["hang up"]
    wait_for("it is dropped", lambda: value(scrape(), "tickbird_exporter_push_dropped_points_total", reason="uncertain") > 0)
    check(value(scrape(), "tickbird_exporter_push_requests_total", result="uncertain") == 1)
    check(len({body for _, _, body in endpoint.seen}) == len(endpoint.seen), endpoint.seen)
    server.get("/orders/1")
    wait_for("it goes on", lambda: requests(endpoint, 200) == 1)
    process.kill()


@test
def killed_while_waiting_for_an_answer(s):
    for policy, count in (("resend", 2), ("drop", 1)):
        server, endpoint = Server(s, policy), Endpoint(KEYS)
        config = write(s, MAPPING.format(url=endpoint.url, more=f"uncertain: {policy}").replace("service: shop", f"service: {policy}")
                       .replace("type: cloudwatch", f"type: cloudwatch\n      name: {policy}\n      start: beginning"))
        for i in range(6):
            server.get(f"/orders/{i}")
        endpoint.behave = ["hold"]
        process, _ = serve(s, config)
        check(endpoint.held.wait(60), "no request came")
        process.send_signal(signal.SIGKILL)
        process.wait()
        endpoint.release.set()
        push_once(s, config)
        check(requests(endpoint, 200) == 6 * count, policy, datums(endpoint))
        server.stop()


@test
def a_serving_exporter_counts_from_its_start_and_tells_how_it_is(s):
    server, endpoint = Server(s), Endpoint(KEYS)
    for i in range(50):
        server.get(f"/orders/{i}")  # before: not pushed
    server.settle()
    endpoint.behave = ["throttle", 200, 400]
    process, scrape = serve(s, mapping(s, endpoint))
    wait_for("pushes", lambda: len(endpoint.accepted) >= 2)
    check(requests(endpoint, 200) == 0, datums(endpoint))
    for i in range(11):
        server.get(f"/orders/{i}")
    wait_for("all of them arrive", lambda: requests(endpoint, 200) == 11)
    found = scrape()
    name = "tickbird_exporter_push_"
    check(value(found, name + "requests_total", output="cloudwatch", result="failed") == 1, found)
    check(value(found, name + "dropped_points_total", reason="refused") >= 1, found)
    check(value(found, name + "accepted_points_total") >= 4 and value(found, name + "last_success_timestamp_seconds") > 1e9)
    config = mapping(s, endpoint, "resolution: 1")
    process.send_signal(signal.SIGHUP)
    wait_for("new settings", lambda: datums(endpoint)[-1].get("StorageResolution") == 1)
    check(requests(endpoint, 200) == 11)
    server.get("/orders/1")
    wait_for("it goes on", lambda: requests(endpoint, 200) == 12)
    write(s, open(config, encoding="utf-8").read().replace("push:", "routes: {max_routes: 77}\npush:"))
    process.send_signal(signal.SIGHUP)
    server.get("/orders/1")
    wait_for("it goes on when other parts change", lambda: requests(endpoint, 200) == 13)
    check(value(scrape(), name + "requests_total", result="failed") == 0)  # counted anew since the push settings changed


@test
def an_exporter_that_is_ended_pushes_what_came_since(s):
    server, endpoint = Server(s), Endpoint(KEYS)
    config = write(s, MAPPING.format(url=endpoint.url, more="").replace("interval: 1s", "interval: 1h"))
    process, _ = serve(s, config)
    wait_for("the first push", lambda: endpoint.accepted)
    for i in range(5):
        server.get(f"/orders/{i}")
    server.settle()
    check(requests(endpoint, 200) == 0)
    process.terminate()
    check(process.wait(60) == 0 and requests(endpoint, 200) == 5, datums(endpoint))
    check(push_once(s, config).code == 0 and requests(endpoint, 200) == 5, datums(endpoint))


@test
def an_exporter_that_is_ended_waits_seconds_for_an_answer(s):
    server, endpoint = Server(s), Endpoint(KEYS)
    config = write(s, MAPPING.format(url=endpoint.url, more="timeout: 10m").replace("interval: 1s", "interval: 1h"))
    process, _ = serve(s, config)
    wait_for("the first push", lambda: endpoint.accepted)
    server.get("/orders/1")
    server.settle()
    endpoint.behave = ["hold"]  # for a minute
    process.terminate()
    check(process.wait(40) == 0 and endpoint.held.is_set())
    endpoint.release.set()
    check(push_once(s, config).code == 0 and requests(endpoint, 200) == 2, datums(endpoint))  # sent again: it may not have arrived


@test
def a_second_exporter_does_not_push(s):
    server, endpoint = Server(s), Endpoint(KEYS)
    config = mapping(s, endpoint)
    serve(s, config)
    done = push_once(s, config)
    check(done.code == 1 and "another exporter keeps the ledger" in done.err and done.err.count("\n") == 2, done)
    server.stop()


@test
def the_dry_run_prints_sends_nothing_and_says_the_price(s):
    server, endpoint = Server(s), Endpoint(KEYS)
    server.get("/orders/1")
    config = write(s, MAPPING.format(url=endpoint.url, more="").replace("interval: 1s", "interval: 1s\n  price: 0.5"))
    done = s.run("--config.file", config, "--push.dry-run", program=EXPORTER, env=SIGNED)
    check(done.code == 0 and "5 metrics in 1 requests, 2.50 a month at 0.50 for each" in done.out, done)
    check(json.loads(done.out.splitlines()[-1])["Namespace"] == "MyApp/Business" and not endpoint.seen, done)
    check(not os.path.exists(s.env["TICKBIRD_STORAGE_PATH"] + "/push-cloudwatch"))
    check(push_once(s, config).code == 0 and requests(endpoint, 200) == 1)


@test
def other_letters_become_ascii(s):
    server, endpoint = Server(s, "caf\u00e9"), Endpoint(KEYS)
    server.get("/orders/1")
    config = write(s, MAPPING.format(url=endpoint.url, more="").replace("service: shop", "service: 'caf*'"))
    check(push_once(s, config).code == 0)
    check({"Service": "caf%C3%A9"} in [d["Dimensions"] for d in datums(endpoint)], datums(endpoint))


def credentials_json(key, secret, token, expires):
    return json.dumps({"AccessKeyId": key, "SecretAccessKey": secret, "Token": token, "Expiration": expires}).encode()


STS = """<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>W</AccessKeyId>
<SecretAccessKey>ws</SecretAccessKey><SessionToken>wt</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""


@test
def credentials_come_from_every_place(s):
    server = Server(s)
    none = {k: "" for k in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    giver = Endpoint()

    def ask(env, keys, *answers):
        server.get("/orders/1")
        receiver = Endpoint(keys)
        giver.behave = [lambda h, _, a=a: giver.answer(h, 200, a) for a in answers]
        done = push_once(s, mapping(s, receiver), {**none, **env})
        check(done.code == 0 and receiver.accepted, env, done)
        return giver.seen[-len(answers):] if answers else []

    home = os.path.join(s.path, "home")
    os.makedirs(home + "/.aws")
    write(s, "[default]\naws_access_key_id = P\naws_secret_access_key = ps\n[work]\naws_access_key_id=Q\naws_secret_access_key=qs\n"
          "aws_session_token = qt\n", "home/.aws/credentials")
    write(s, "[profile work]\nregion = us-east-2\n", "home/.aws/config")
    ask({"HOME": home}, {"P": ("ps", None)})
    ask({"HOME": home, "AWS_PROFILE": "work", "AWS_REGION": ""}, {"Q": ("qs", "qt")})
    token = s.file("token", b"the-token\n")
    answer = credentials_json("C", "cs", "ct", "2099-01-01T00:00:00Z")
    found = ask({"AWS_CONTAINER_CREDENTIALS_FULL_URI": giver.url + "/creds", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": token},
                {"C": ("cs", "ct")}, answer)
    check(found[0][0] == "/creds" and found[0][1]["Authorization"] == "the-token")
    found = ask({"AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_ARN": "arn:aws:iam::1:role/r", "AWS_ENDPOINT_URL_STS": giver.url},
                {"W": ("ws", "wt")}, STS.encode())
    check(b"WebIdentityToken=the-token" in found[0][2] and b"RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr" in found[0][2], found)
    found = ask({"AWS_EC2_METADATA_DISABLED": "", "AWS_EC2_METADATA_SERVICE_ENDPOINT": giver.url}, {"C": ("cs", "ct")},
                b"metadata-token", b"the-role", answer)
    check([f[0] for f in found] == ["/latest/api/token", "/latest/meta-data/iam/security-credentials/",
                                    "/latest/meta-data/iam/security-credentials/the-role"], found)
    check(found[0][1]["X-aws-ec2-metadata-token-ttl-seconds"] and found[2][1]["X-aws-ec2-metadata-token"] == "metadata-token")
    far = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.1/x"}
    done = push_once(s, mapping(s, giver), {**none, **far})
    check(done.code == 1 and "AWS_CONTAINER_CREDENTIALS_FULL_URI" in done.err, done)


@test
def credentials_are_fetched_anew_before_they_expire(s):
    """Those of the first answer last for less than the margin: the next request has the next ones."""
    Server(s)
    giver, receiver = Endpoint(), Endpoint({"A1": ("s1", "t1"), "A2": ("s2", "t2")})
    import datetime
    soon = (datetime.datetime.utcnow() + datetime.timedelta(seconds=60)).strftime("%Y-%m-%dT%H:%M:%SZ")
    answers = [credentials_json("A1", "s1", "t1", soon), credentials_json("A2", "s2", "t2", "2099-01-01T00:00:00Z")]
    giver.behave = [lambda h, _, a=a: giver.answer(h, 200, a) for a in answers]
    env = {"AWS_ACCESS_KEY_ID": "", "AWS_CONTAINER_CREDENTIALS_FULL_URI": giver.url + "/creds"}
    process, _ = serve(s, mapping(s, receiver), env)
    wait_for("three pushes", lambda: len(receiver.accepted) >= 3)
    process.kill()
    process.wait()
    used = [headers["Authorization"].split("Credential=")[1].split("/")[0] for _, headers, _ in receiver.accepted]
    check(used[:3] == ["A1", "A2", "A2"] and len(giver.seen) == 2, used, giver.seen)


@test
def hostile_answers_change_nothing(s):
    server = Server(s)
    answers = [(400, b'{"__type":' + b"[" * 60000), (500, b"x" * 5000000), (503, b"\xff\xfe<xml"), (400, b"{\"__type\":17}")]
    for i, (status, body) in enumerate(answers):
        endpoint = Endpoint(KEYS)
        server.get("/orders/1")
        endpoint.behave = [lambda h, _, a=status, b=body: endpoint.answer(h, a, b)]
        done = push_once(s, mapping(s, endpoint))
        check(done.code == (1 if status == 400 else 0) and len(done.err) < 2000, i, done)


@test
def the_examples_of_the_documents_are_right(s):
    with open(os.path.join(ROOT, "docs/push.md"), encoding="utf-8") as f:
        examples = re.findall(r"```yaml\n(.*?)```", f.read(), re.S)
    check(len(examples) >= 4)
    for text in examples:
        done = s.run("check-config", write(s, text))
        check(done.code == 0, text, done)


@test
def wrong_settings_are_one_line_each(s):
    cases = {
        "outputs: [{type: cloudwatch, metrics: [a]}]": "namespace: an output of type cloudwatch needs it",
        "outputs: [{type: cloudwatsch}]": 'type: "cloudwatsch" is no kind of output: one of cloudwatch',
        "outputs: [{type: cloudwatch, namespace: AWS/EC2, metrics: [a]}]": 'namespace: "AWS/EC2": names that begin with AWS/',
        "outputs: [{type: cloudwatch, namespace: a, metrics: [{metric: a, unit: Widgets}]}]": 'unit: "Widgets" is no unit',
        "outputs: [{type: cloudwatch, namespace: a, metrics: [{metric: 'a*', name: B}]}]": 'name: "a*" may match several families',
        "outputs: [{type: cloudwatch, namespace: a}]": "metrics: nothing would be pushed",
        "outputs: [{type: cloudwatch, namespace: a, metrics: [a], headers: {a: b}}]": "an output of type cloudwatch has no such key",
        "outputs: [{type: cloudwatch, namespace: a, metrics: [a]}, {type: cloudwatch, namespace: b, metrics: [a]}]":
            'outputs: two are called "cloudwatch"',
        "interval: 10ms": 'interval: "10ms" is no duration of at least 1s',
        "outputs: [{type: cloudwatch, namespace: a, metrics: [{metric: a, dimensions: [[%s]]}]}]" % ",".join("l%d" % i for i in range(31)):
            "dimensions: more than 30 in a set",
    }
    for text, expected in cases.items():
        done = s.run("check-config", write(s, "push: {%s}\n" % text))
        check(done.code == 1 and expected in done.err and done.err.count("\n") == 1, text, done)


main()
