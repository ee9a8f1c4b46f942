// SPDX-License-Identifier: Apache-2.0
// Answers what it is sent, byte for byte, as JSON; X-Make: gzip, br or deflate first. X-Wait: not before so many requests wait. X-Status,
// X-Level: what the answer has. Arguments: address, port, and certificate and key for TLS.
'use strict';
const fs = require('fs');
const http = require('http');
const https = require('https');
const zlib = require('zlib');
const make = {gzip: zlib.gzipSync, br: zlib.brotliCompressSync, deflate: zlib.deflateSync};
const waiting = [];

function serve(req, res) {
  const parts = [];
  req.on('data', (piece) => parts.push(piece));
  req.on('end', () => {
    const coding = req.headers['x-make'] || req.headers['content-encoding'];
    const whole = Buffer.concat(parts), body = req.headers['x-make'] ? make[coding](whole) : whole;
    const level = req.headers['x-level'];
    res.writeHead(Number(req.headers['x-status'] || 200), {'Content-Type': 'application/json', 'Content-Length': body.length,
                  ...(coding ? {'Content-Encoding': coding} : {}), ...(level ? {'X-Level': level} : {})});
    waiting.push(() => res.end(body));
    if (waiting.length >= Number(req.headers['x-wait'] || 0))
      waiting.splice(0).forEach((send) => send());
  });
}

const [address, port, cert, key] = process.argv.slice(2);
const server = cert ? https.createServer({cert: fs.readFileSync(cert), key: fs.readFileSync(key)}, serve) : http.createServer(serve);
server.listen(Number(port), address);
