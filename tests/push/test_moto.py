#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Into moto, which stands in for AWS, behind an endpoint that checks the signature with botocore: what boto3 reads back is
what the client asked."""
from push_lib import KEYS, Endpoint, Server, check, main, once, push_once, test, value, write
from stand_in import Moto

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
    found = moto.statistics("MyApp/Business",
                            {"name": "Requests", "stat": "Sum", "dimensions": {**environment, "Code": "200"}},
                            {"name": "Requests", "stat": "Sum", "dimensions": {**environment, "Code": "500"}},
                            {"name": "Requests", "stat": "Sum", "dimensions": environment},
                            {"name": "HttpRequestDuration", "stat": "SampleCount", "dimensions": {"Service": "shop"}},
                            {"name": "HttpRequestDuration", "stat": "Sum", "dimensions": {"Service": "shop"}})
    check(found[:4] == [65, 1, 0, 66], found)
    exact = value(once(s), "http_request_duration_seconds_sum", service="shop")
    check(abs(found[4] / exact - 1) < 1e-6, found, exact)


main()
