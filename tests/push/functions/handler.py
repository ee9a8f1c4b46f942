# SPDX-License-Identifier: Apache-2.0
"""An ordinary function: says how long it took, by its own clock."""
import os
import signal
import time


def handler(event, _context):
    start = time.monotonic_ns()
    print("working on", event["items"], "items", flush=True)
    time.sleep(event.get("ms", 1) / 1000)
    if event.get("dies"):
        os.kill(os.getpid(), signal.SIGKILL)
    if event.get("fails"):
        raise ValueError("it fails")
    return {"itemsProcessed": event["items"], "ns": time.monotonic_ns() - start, "filled": "x" * event.get("bytes", 0)}
