# SPDX-License-Identifier: Apache-2.0
"""The application of own_metrics.py with FastAPI, measured by prometheus-fastapi-instrumentator: two lines, as its users have them."""
import asyncio

import fastapi
import prometheus_fastapi_instrumentator

app = fastapi.FastAPI()
prometheus_fastapi_instrumentator.Instrumentator(excluded_handlers=["/metrics"]).instrument(app).expose(app)


@app.get("/wait/{milliseconds}")
async def wait(milliseconds: int):
    await asyncio.sleep(milliseconds / 1000)
    return {"waited": True}


@app.post("/orders", status_code=201)
def order(wanted: dict):
    if wanted["items"] > 9:
        raise fastapi.HTTPException(409, {"code": "out_of_stock"})
    return {"order": {"status": "pending" if wanted["payment_method"] == "invoice" else "paid"}}


@app.get("/broken")
def broken():
    raise fastapi.HTTPException(500, {"code": "broken"})
