// SPDX-License-Identifier: Apache-2.0

// The shop of shop.py in another language: it answers the same, and knows as little of metrics. Arguments: address, port, address and
// port of the payment gateway.
'use strict';
const http = require('http');

const [address, port, gatewayAddress, gatewayPort] = process.argv.slice(2);
const prices = new Map(Array.from({length: 20}, (_, n) => [n + 1, 750 + 250 * n]));  // cents
const delivery = {post: 0, pickup: 150};  // milliseconds that it takes to ask where it can be had
const cache = new Map();
let numbers = 0, visitors = 0, confirmations = [];

class Refused extends Error {
  constructor(status, code) {
    super(code);
    this.status = status;
  }
}

// Asks the gateway; throws unless it approves.
function pay(card, cents) {
  return new Promise((resolve, reject) => {
    const body = JSON.stringify({card, cents});
    const call = http.request({host: gatewayAddress, port: gatewayPort, method: 'POST', path: '/payments', agent: false,
                               headers: {'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body)}}, (res) => {
      let text = '';
      res.on('data', (piece) => { text += piece; });
      res.on('end', () => {
        if (res.statusCode !== 200)
          reject(new Refused(502, 'gateway_busy'));
        else if (JSON.parse(text).result !== 'approved')
          reject(new Refused(402, 'card_declined'));
        else
          resolve();
      });
    });
    call.on('error', () => reject(new Refused(502, 'gateway_unreachable')));
    call.end(body);
  });
}

async function order(wanted) {
  const items = Number(wanted.items), method = wanted.payment_method;
  if (!method)
    throw new Refused(422, 'no_payment_method');
  if (items > 9)
    throw new Refused(409, 'out_of_stock');
  const cents = prices.get(Number(wanted.product)) * items;
  if (method !== 'invoice')
    await pay(wanted.card, cents);
  confirmations.push(++numbers);
  return {order: {id: numbers, status: method === 'invoice' ? 'pending' : 'paid'}, items, total_cents: cents};
}

function answer(res, status, value, headers) {
  const text = JSON.stringify(value);
  res.writeHead(status, {'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text), ...headers});
  res.end(text);
}

function get(req, res) {
  const url = new URL(req.url, 'http://shop');
  if (url.pathname === '/') {
    const isNew = !(req.headers.cookie || '').includes('session=');
    answer(res, 200, {shop: 'open'}, isNew ? {'Set-Cookie': `session=visitor-${++visitors}`} : {});
  } else if (url.pathname.startsWith('/products/')) {
    const number = url.pathname.split('/')[2], isHit = cache.has(number);
    if (!isHit)
      cache.set(number, {id: number, cents: prices.get(Number(number))});
    answer(res, 200, cache.get(number), {'X-Cache': isHit ? 'HIT' : 'MISS'});
  } else if (url.pathname === '/search') {
    const word = url.searchParams.get('q') || '';
    answer(res, 200, {found: [...prices.keys()].filter((n) => `product ${n}`.includes(word))});
  } else if (url.pathname === '/health') {
    answer(res, 200, {queue: {waiting: confirmations.length}});
  } else {
    answer(res, 404, {error: {code: 'not_found'}});
  }
}

async function post(req, res, text) {
  const isForm = req.headers['content-type'] === 'application/x-www-form-urlencoded';
  const wanted = isForm ? Object.fromEntries(new URLSearchParams(text)) : JSON.parse(text || '{}');
  if (req.url === '/cart') {
    answer(res, 200, {items: wanted.items});
  } else if (req.url === '/checkout') {
    setTimeout(() => answer(res, 200, {delivery: wanted.delivery}), delivery[wanted.delivery]);
  } else if (req.url === '/orders') {
    try {
      answer(res, 201, await order(wanted));
    } catch (refused) {
      answer(res, refused.status, {error: {code: refused.message}});
    }
  } else if (req.url === '/confirmations') {  // a job sends some of them
    confirmations = confirmations.slice(Number(wanted.send));
    answer(res, 200, {waiting: confirmations.length});
  } else {
    answer(res, 404, {error: {code: 'not_found'}});
  }
}

http.createServer((req, res) => {
  let text = '';
  req.setEncoding('utf8');
  req.on('data', (piece) => { text += piece; });
  req.on('end', () => (req.method === 'POST' ? post(req, res, text) : get(req, res)));
}).listen(Number(port), address);
