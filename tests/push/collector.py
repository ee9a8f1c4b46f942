# SPDX-License-Identifier: Apache-2.0
"""A real OpenTelemetry Collector (collector/main.go), built of its own modules: an OTLP/HTTP receiver that prints what it
got. Two minutes and Go modules from the network where it is not built (go_program.py)."""
import re
import socket
import subprocess
import threading

from go_program import program
from push_lib import wait_for, write

CONFIG = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}}}
exporters: {{debug: {{verbosity: detailed}}}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{metrics: {{receivers: [otlp], exporters: [debug]}}}}
"""


class Collector:
    def __init__(self, s):
        path = program("collector")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        config = write(s, CONFIG.format(port=port), "collector.yml")
        self.process = s.start([path, "--config=file:" + config], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.text, self.url = "", f"http://127.0.0.1:{port}/v1/metrics"
        threading.Thread(target=self.read, daemon=True).start()
        wait_for("the collector is ready", lambda: "Everything is ready" in self.text or self.process.poll() is not None, 60)

    def read(self):
        for line in self.process.stderr:
            self.text += line.decode("utf-8", "replace")

    def points(self):
        """What it printed: a dictionary for each data point, with its metric, resource and attributes."""
        result, resource, metric, into = [], {}, {}, None
        for line in self.text.splitlines():
            line = line.strip()
            if line.startswith("Resource attributes:"):
                resource = into = {}
            elif line.startswith("Metric #"):
                metric = {"resource": resource}
            elif line.startswith(("NumberDataPoints #", "HistogramDataPoints #", "ExponentialHistogramDataPoints #")):
                result.append({**metric, "attributes": {}, "buckets": [], "bounds": []})
                into = result[-1]["attributes"]
            elif (m := re.match(r"-> (Name|Description|Unit|DataType|IsMonotonic|AggregationTemporality): (.*)", line)):
                metric[m[1]] = m[2]
            elif (m := re.match(r"-> (.*): Str\((.*)\)$", line)) and into is not None:
                into[m[1]] = m[2]
            elif result and (m := re.match(r"(Value|Count|Sum|StartTimestamp|Timestamp|ZeroThreshold): (.*)", line)):
                result[-1][m[1]] = m[2]
            elif result and (m := re.match(r"Bucket ([\[(])(.*), (.*)[\])], Count: (\d+)", line)):
                result[-1]["buckets"].append((m[1], float(m[2]), float(m[3]), int(m[4])))
            elif result and (m := re.match(r"ExplicitBounds #\d+: (.*)", line)):
                result[-1]["bounds"].append(float(m[1]))
            elif result and (m := re.match(r"Buckets #\d+, Count: (\d+)", line)):
                result[-1]["buckets"].append(int(m[1]))
        return result
