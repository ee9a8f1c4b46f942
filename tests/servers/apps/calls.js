// SPDX-License-Identifier: Apache-2.0
// HTTPS servers on worker threads and their clients, https.get and fetch, in one process. Arguments: certificate, key,
// worker threads, requests by each kind of client. When all were answered it prints `done` with their number and stays.
'use strict';
const fs = require('fs');
const https = require('https');
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');

if (!isMainThread) {
    const server = https.createServer(workerData, (request, response) => {
        response.statusCode = request.url === '/found' ? 200 : 404;
        response.end('x'.repeat(request.url === '/found' ? 20000 : 10));
    });
    server.keepAliveTimeout = 60000;
    server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));
} else {
    const [cert, key, workers, count] = [process.argv[2], process.argv[3], Number(process.argv[4]), Number(process.argv[5])];
    const agent = new https.Agent({ keepAlive: true, maxSockets: 4, rejectUnauthorized: false });
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'; // for fetch, which takes no agent
    process.removeAllListeners('warning');
    process.on('warning', () => {});
    let answered = 0;
    const get = (url) => new Promise((resolve, reject) => {
        https.get(url, { agent }, (response) => response.resume().on('end', () => resolve(answered++))).on('error', reject);
    });
    const ask = async (url) => {
        await (await fetch(url)).arrayBuffer();
        answered++;
    };
    const start = () => new Promise((resolve, reject) => {
        const data = { cert: fs.readFileSync(cert), key: fs.readFileSync(key) };
        new Worker(__filename, { workerData: data }).once('message', resolve).once('error', reject);
    });
    (async () => {
        const ports = await Promise.all(Array.from({ length: workers }, start));
        const each = async (call) => {
            for (let i = 0; i < count; i++) await call(`https://127.0.0.1:${ports[i % workers]}${i % 5 ? '/found' : '/lost'}`);
        };
        await Promise.all([each(get), each(get), ...(typeof fetch === 'function' ? [each(ask), each(ask)] : [])]);
        console.log('done', answered);
    })();
}
