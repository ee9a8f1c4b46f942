// SPDX-License-Identifier: Apache-2.0
// A custom runtime in JavaScript, on node's own HTTP client.
import http from "node:http";
import { handler } from "./handler.mjs";

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function ask(method, path, body) {
    return new Promise((resolve, reject) => {
        const request = http.request({ host, port, agent, method, path: `/2018-06-01/runtime/${path}` }, (answer) => {
            const chunks = [];
            answer.on("data", (chunk) => chunks.push(chunk));
            answer.on("end", () => resolve({ headers: answer.headers, body: Buffer.concat(chunks).toString() }));
        });
        request.on("error", reject);
        request.end(body);
    });
}

for (;;) {
    const next = await ask("GET", "invocation/next");
    const id = next.headers["lambda-runtime-aws-request-id"];
    let kind = "response", result;
    try {
        result = await handler(JSON.parse(next.body));
    } catch (error) {
        [kind, result] = ["error", { errorMessage: error.message, errorType: error.name }];
    }
    await ask("POST", `invocation/${id}/${kind}`, JSON.stringify(result));
}
