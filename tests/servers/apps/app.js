// SPDX-License-Identifier: Apache-2.0
// The pages of every test application, on node's http. Arguments: address, port, number of cluster workers (0 = no cluster); certificate
// and key, for https.
'use strict';
const fs = require('fs');
const http = require('http');
const https = require('https');
const cluster = require('cluster');
const [address, port, workers] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const big = Buffer.alloc(1 << 20, '0123456789abcdef');
const chunks = ['first\n', 'GET /fake HTTP/1.1\r\n\r\n', 'HTTP/1.1 500 Fake\r\n\r\n', 'z'.repeat(3000)];

function simple(path) {
    if (path === '/hello' || path === '/' || path === '/left' || path === '/echo' || path.startsWith('/items/')) return [200, 'hello\n'];
    if (path === '/big.bin') return [200, big];
    if (path === '/nocontent') return [204, ''];
    if (path === '/notmodified') return [304, ''];
    if (path === '/error') return [500, 'failed on purpose\n'];
    if (path === '/chunked' || path === '/sse') return null;
    return [404, 'no such page\n'];
}

function answer(request, response) {
    let path = request.url.split('?')[0];
    if (path.startsWith('http://')) path = '/' + path.split('/').slice(3).join('/');
    if (path === '/early') {
        response.writeHead(413, { 'Content-Length': 10, Connection: 'close' });
        return response.end('too large\n');
    }
    request.resume();
    request.on('end', () => {
        const found = simple(path);
        if (found) {
            const [status, body] = found;
            response.writeHead(status, status === 204 ? {} : { 'Content-Length': Buffer.byteLength(body) });
            return response.end(status === 304 || status === 204 ? undefined : body);
        }
        if (path === '/sse') {
            response.writeHead(200, { 'Content-Type': 'text/event-stream', Connection: 'close' });
            for (let i = 0; i < 3; i++) response.write(`data: ${i}\n\n`);
            return response.end();
        }
        for (const part of chunks) response.write(part);
        return response.end();
    });
}

if (workers > 0 && cluster.isPrimary) {
    for (let i = 0; i < workers; i++) cluster.fork();
} else {
    const [cert, key] = process.argv.slice(5).map((path) => fs.readFileSync(path));
    const server = cert ? https.createServer({ maxHeaderSize: 80000, cert, key }, answer) : http.createServer({ maxHeaderSize: 80000 }, answer);
    server.keepAliveTimeout = 60000;
    server.on('upgrade', (request, socket) => {
        socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n');
        socket.on('error', () => {});
        socket.pipe(socket);
    });
    server.on('connect', (request, socket) => {
        socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
        socket.on('error', () => {});
        socket.pipe(socket);
    });
    server.listen({ host: address, port, backlog: 512 });
}
