// SPDX-License-Identifier: Apache-2.0

// The application of own_metrics.py with Express, measured by a middleware with Node's client library. Arguments: folder that has both in
// node_modules, address, port.
'use strict';
const path = require('path');
const modules = path.join(process.argv[2], 'node_modules');
const express = require(path.join(modules, 'express'));
const prom = require(path.join(modules, 'prom-client'));

const labelNames = ['method', 'route', 'status'];
const requests = new prom.Counter({name: 'http_requests_total', help: 'Requests.', labelNames});
const duration = new prom.Histogram({name: 'http_request_duration_seconds', help: 'Durations.', labelNames,
                                     buckets: process.env.OWN_BOUNDS.split(' ').map(Number)});
const orders = new prom.Counter({name: 'orders_created_total', help: 'Orders.', labelNames: ['status', 'payment_method']});
prom.collectDefaultMetrics();

const app = express();
app.get('/metrics', async (req, res) => {
  res.type(prom.register.contentType).send(await prom.register.metrics());
});
app.use((req, res, next) => {
  const done = duration.startTimer();
  res.on('finish', () => {
    const labels = {method: req.method, route: req.route ? req.route.path : '_unmatched', status: res.statusCode};
    requests.inc(labels);
    done(labels);
  });
  next();
});
app.use(express.json());
app.get('/wait/:id', (req, res) => setTimeout(() => res.json({waited: true}), Number(req.params.id)));
app.post('/orders', (req, res) => {
  if (req.body.items > 9)
    return res.status(409).json({error: {code: 'out_of_stock'}});
  const status = req.body.payment_method === 'invoice' ? 'pending' : 'paid';
  orders.inc({status, payment_method: req.body.payment_method});
  return res.status(201).json({order: {status}});
});
app.get('/broken', (req, res) => res.status(500).json({error: {code: 'broken'}}));
app.use((req, res) => res.status(404).json({error: {code: 'not_found'}}));
app.listen(Number(process.argv[4]), process.argv[3]);
