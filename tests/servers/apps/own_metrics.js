// SPDX-License-Identifier: Apache-2.0

// The application of own_metrics.py with Node's client library, measured when a response is finished, as its users do. Arguments: folder
// that has the library in node_modules, address, port.
'use strict';
const http = require('http');
const path = require('path');
const prom = require(path.join(process.argv[2], 'node_modules', 'prom-client'));

const labelNames = ['method', 'route', 'status'];
const requests = new prom.Counter({name: 'http_requests_total', help: 'Requests.', labelNames});
const duration = new prom.Histogram({name: 'http_request_duration_seconds', help: 'Durations.', labelNames,
                                     buckets: process.env.OWN_BOUNDS.split(' ').map(Number)});
const orders = new prom.Counter({name: 'orders_created_total', help: 'Orders.', labelNames: ['status', 'payment_method']});
prom.collectDefaultMetrics();  // reads /proc, watches the event loop and the collector of garbage

// Route, milliseconds to wait, status, value of the answer.
function handle(method, url, body) {
  if (url.startsWith('/wait/'))
    return ['/wait/:id', Number(url.split('/')[2]), 200, {waited: true}];
  if (url === '/orders' && method === 'POST') {
    const wanted = JSON.parse(body);
    if (wanted.items > 9)
      return ['/orders', 0, 409, {error: {code: 'out_of_stock'}}];
    const status = wanted.payment_method === 'invoice' ? 'pending' : 'paid';
    orders.inc({status, payment_method: wanted.payment_method});
    return ['/orders', 0, 201, {order: {status}}];
  }
  if (url === '/broken')
    return ['/broken', 0, 500, {error: {code: 'broken'}}];
  return ['_unmatched', 0, 404, {error: {code: 'not_found'}}];
}

function answer(res, status, type, text) {
  res.writeHead(status, {'Content-Type': type, 'Content-Length': Buffer.byteLength(text)});
  res.end(text);
}

http.createServer((req, res) => {
  if (req.url === '/metrics') {
    prom.register.metrics().then((text) => answer(res, 200, prom.register.contentType, text));
    return;
  }
  const done = duration.startTimer();
  let body = '';
  req.on('data', (piece) => { body += piece; });
  req.on('end', () => {
    const [route, wait, status, value] = handle(req.method, req.url, body);
    res.on('finish', () => {
      const labels = {method: req.method, route, status};
      requests.inc(labels);
      done(labels);
    });
    const send = () => answer(res, status, 'application/json', JSON.stringify(value));
    if (wait)
      setTimeout(send, wait);
    else
      send();
  });
}).listen(Number(process.argv[4]), process.argv[3]);
