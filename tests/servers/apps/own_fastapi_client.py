# SPDX-License-Identifier: Apache-2.0
"""The application of own_metrics.py with FastAPI, measured by a middleware of its own with the Python client of Prometheus."""
import asyncio
import time

import fastapi
import prometheus_client
from fastapi.responses import JSONResponse, Response
from own_metrics import ORDERS, measured

app = fastapi.FastAPI()


@app.get("/metrics")
def metrics():
    return Response(prometheus_client.generate_latest(), media_type=prometheus_client.CONTENT_TYPE_LATEST)


@app.middleware("http")
async def measure(request, call_next):
    if request.url.path == "/metrics":
        return await call_next(request)
    began = time.monotonic()
    response = await call_next(request)
    route = request.scope.get("route")
    measured(request.method, route.path if route else "_unmatched", response.status_code, began)
    return response


@app.get("/wait/{id}")
async def wait(id: int):  # pylint: disable=redefined-builtin
    await asyncio.sleep(id / 1000)
    return {"waited": True}


@app.post("/orders", status_code=201)
def order(wanted: dict):
    if wanted["items"] > 9:
        return JSONResponse({"error": {"code": "out_of_stock"}}, 409)
    status = "pending" if wanted["payment_method"] == "invoice" else "paid"
    ORDERS.labels(status, wanted["payment_method"]).inc()
    return {"order": {"status": status}}


@app.get("/broken")
def broken():
    return JSONResponse({"error": {"code": "broken"}}, 500)
