// SPDX-License-Identifier: Apache-2.0
// A small shop without a word about metrics: orders, a checkout that takes its time, a queue. Arguments: address, port.
'use strict';
const http = require('http');
const zlib = require('zlib');

function respond(res, status, value, headers) {
  const text = JSON.stringify(value);
  if (headers['accept-encoding'] === 'gzip') {
    res.writeHead(status, {'Content-Type': 'application/json', 'Content-Encoding': 'gzip'});
    res.end(zlib.gzipSync(text));
  } else if (headers['x-chunks']) {  // in pieces, without a length
    res.writeHead(status, {'Content-Type': 'application/json'});
    res.write(text.slice(0, 7));
    setImmediate(() => res.end(text.slice(7)));
  } else {
    res.writeHead(status, {'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text)});
    res.end(text);
  }
}

function order(body, headers) {
  const form = headers['content-type'] === 'application/x-www-form-urlencoded';
  const wanted = form ? new URLSearchParams(body) : new Map(Object.entries(JSON.parse(body)));
  const method = wanted.get('payment_method');
  if (!method)
    return [422, {error: {code: 'no_method', text: 'say how it is paid'}}];
  if (Number(wanted.get('items')) > 9)
    return [409, {error: {code: 'out_of_stock'}}];
  return [201, {id: 17, lines: [{name: 'a "quoted" \u20ac thing', count: Number(wanted.get('items'))}], order: {status: method === 'invoice' ? 'pending' : 'paid'}}];
}

http.createServer((req, res) => {
  let body = '';
  req.setEncoding('utf8');
  req.on('data', (piece) => { body += piece; });
  req.on('end', () => {
    const path = req.url.split('?')[0];
    if (path === '/orders' && req.method === 'POST')
      respond(res, ...order(body, req.headers), req.headers);
    else if (path === '/checkout')
      setTimeout(() => respond(res, 200, {done: true}, req.headers), Number(req.headers['x-wait'] || 0));
    else if (path === '/hello')
      respond(res, 200, {hello: 'you'}, req.headers);
    else
      respond(res, 404, {error: {code: 'not_found'}}, req.headers);
  });
}).listen(Number(process.argv[3]), process.argv[2]);
