// SPDX-License-Identifier: Apache-2.0

// The Node client library with as many histograms as the exporter is measured with: main.js FOLDER HISTOGRAMS, where FOLDER has the
// library in node_modules. Serves them on a free port of 127.0.0.1, which it prints: /metrics as text.
"use strict";
const http = require("http");
const path = require("path");
const { Registry, Histogram } = require(path.join(process.argv[2], "node_modules", "prom-client"));

const buckets = [.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10];

function registryOf(count) {
  const registry = new Registry();
  const histogram = new Histogram({
    name: "http_request_duration_seconds", help: "Time from the first byte of a request to the last byte of its response.",
    labelNames: ["service", "method", "route", "status"], buckets, registers: [registry] });
  for (let i = 0; i < count; i++) {
    const labels = { service: `service-${Math.floor(i / 1000)}`, method: "GET", route: `/api/v1/things${Math.floor(i % 1000 / 4)}/:id`, status: String(200 + i % 4) };
    for (let n = 0; n < 100; n++)
      histogram.observe(labels, 0.0001 * 2 ** Math.floor(Math.random() * 8) * (1 + Math.random()));
  }
  return registry;
}

const registry = registryOf(Number(process.argv[3]));
const server = http.createServer(async (request, response) => {
  const text = await registry.metrics();
  response.writeHead(200, { "Content-Type": registry.contentType, "Content-Length": Buffer.byteLength(text) });
  response.end(text);
});
server.keepAliveTimeout = 600000;
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
