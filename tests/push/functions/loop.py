# SPDX-License-Identifier: Apache-2.0
"""A custom runtime in Python: the loop that the documentation of the Runtime API describes. STREAMED=1 streams responses."""
import http.client
import importlib
import json
import os
import sys

VERSION = "/2018-06-01/runtime/"
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])


def post(path, value):
    body = json.dumps(value).encode()
    if os.environ.get("STREAMED") and path.endswith("/response"):
        pieces = (body[i:i + 7] for i in range(0, len(body), 7))
        api.request("POST", VERSION + path, pieces, {"Lambda-Runtime-Function-Response-Mode": "streaming"}, encode_chunked=True)
    else:
        api.request("POST", VERSION + path, body, {"Content-Type": "application/json"})
    return api.getresponse().read()


def error_of(error):
    return {"errorMessage": str(error), "errorType": type(error).__name__}


module, name = os.environ["_HANDLER"].split(".")
try:
    handler = getattr(importlib.import_module(module), name)
except Exception as failure:  # whatever it is, it is the function's
    post("init/error", error_of(failure))
    sys.exit(1)

while True:
    api.request("GET", VERSION + "invocation/next")
    answer = api.getresponse()
    event, request_id = json.load(answer), answer.headers["Lambda-Runtime-Aws-Request-Id"]
    try:
        result = handler(event, None)
    except Exception as failure:
        post(f"invocation/{request_id}/error", error_of(failure))
    else:
        post(f"invocation/{request_id}/response", result)
