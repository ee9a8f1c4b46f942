// SPDX-License-Identifier: Apache-2.0
// Answers what it is sent, byte for byte, as JSON; X-Make: gzip, br or deflate first. X-Wait: not before so many requests wait. Arguments:
// address, port.
'use strict';
const http = require('http');
const zlib = require('zlib');
const make = {gzip: zlib.gzipSync, br: zlib.brotliCompressSync, deflate: zlib.deflateSync};
const waiting = [];

http.createServer((req, res) => {
  const parts = [];
  req.on('data', (piece) => parts.push(piece));
  req.on('end', () => {
    const coding = req.headers['x-make'] || req.headers['content-encoding'];
    const whole = Buffer.concat(parts), body = req.headers['x-make'] ? make[coding](whole) : whole;
    res.writeHead(200, {'Content-Type': 'application/json', 'Content-Length': body.length, ...(coding ? {'Content-Encoding': coding} : {})});
    waiting.push(() => res.end(body));
    if (waiting.length >= Number(req.headers['x-wait'] || 0))
      waiting.splice(0).forEach((send) => send());
  });
}).listen(Number(process.argv[3]), process.argv[2]);
