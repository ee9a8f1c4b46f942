// SPDX-License-Identifier: Apache-2.0
// The function of handler.py.
import { setTimeout as sleep } from "node:timers/promises";

export async function handler(event) {
    const start = process.hrtime.bigint();
    process.stdout.write(`working on ${event.items} items\n`);
    await sleep(event.ms ?? 1);
    if (event.dies) process.kill(process.pid, "SIGKILL");
    if (event.fails) throw new Error("it fails");
    return { itemsProcessed: event.items, ns: Number(process.hrtime.bigint() - start), filled: "x".repeat(event.bytes ?? 0) };
}
