#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Where messages begin and end: agent/http1.c against llhttp, Node's parser, on random and mutated streams.

As far as neither gives up, both must see the same messages, byte for byte. Where they part, one of them must have said so:
llhttp by an error (a server that uses it answers 400 and closes), the agent by giving the connection up, which is counted.
The classes of docs/parsing.md are told apart here and counted; any other difference fails. TB_STREAMS streams (4,000).
"""
import collections
import os
import pathlib
import random
import re
import struct
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "servers"))
import harness  # noqa: E402
import streams  # noqa: E402

COUNT = int(os.environ.get("TB_STREAMS", "4000"))
BATCH = 20000
# llhttp ends a status line at a CR without LF; RFC 9112 section 2.2 lets nobody do that.
BARE_CR_IN_STATUS_LINE = re.compile(rb"HTTP/\d\.\d [^\n]*\r[^\n]")


def classify(what, stream, ours, theirs):
    """The class of a stream; the first word of a failure is DIFFERENT."""
    ours, theirs = ours.split(), theirs.split()
    our_end, their_end = ours.pop(), theirs.pop()
    same = 0
    while same < min(len(ours), len(theirs)) and ours[same] == theirs[same]:
        same += 1
    we_stopped = same >= len(ours) - 1 and our_end not in ("rest",) and (same == len(ours) or ours[same].endswith(":?"))
    they_stopped = same >= len(theirs) - 1 and their_end != "rest" and (same == len(theirs) or theirs[same].endswith(":?"))
    if same == len(ours) == len(theirs) and our_end == their_end == "rest":
        return "agreed to the end"
    if we_stopped and they_stopped:
        return f"both stop ({our_end})"
    if they_stopped:
        return "llhttp refuses, the agent reads on"
    if we_stopped:
        return f"the agent gives up ({our_end}), llhttp reads on"
    if same == len(ours) == len(theirs):
        return "agreed to the end"
    if what and BARE_CR_IN_STATUS_LINE.search(stream):
        return "bare CR in a status line"
    return "DIFFERENT"


def run(program, data):
    with tempfile.TemporaryFile() as f:
        f.write(data)
        f.seek(0)
        return subprocess.run(program, stdin=f, stdout=subprocess.PIPE, check=True, timeout=1000).stdout.decode().splitlines()


def main():
    node = harness.which("node", "nodejs")
    rng = random.Random(harness.SEED)
    seen, wrong = collections.Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        messages = os.path.join(folder, "messages")
        root = HERE.parent.parent
        subprocess.run(["cc", "-std=gnu11", "-D_GNU_SOURCE", "-O1", f"-I{root}/agent", "-o", messages, HERE / "messages.c",
                        harness.BUILD / "agent.a"], check=True)
        for left in range(COUNT, 0, -BATCH):
            batch = [streams.stream(rng) for _ in range(min(left, BATCH))]
            data = b"".join(struct.pack("<BI", what, len(stream)) + stream for what, stream in batch)
            ours, theirs = run([messages], data), run([node, HERE / "judge.js"], data)
            assert len(ours) == len(theirs) == len(batch), (len(ours), len(theirs), len(batch))
            for (what, stream), our, their in zip(batch, ours, theirs):
                found = classify(what, stream, our, their)
                seen[found] += 1
                if found == "DIFFERENT":
                    wrong.append(f"{('request', 'response', 'response to HEAD')[what]}: {stream!r}\n  agent  {our}\n  llhttp {their}")
    print("".join(f"# {count:7} {name}\n" for name, count in sorted(seen.items(), key=lambda x: -x[1])), end="")
    harness.report(not wrong, "messages_end_where_llhttp_ends_them", f"seed {harness.SEED}, {COUNT} streams\n" + "\n".join(wrong[:5]))
    harness.report(seen["agreed to the end"] > COUNT / 5 and seen["both stop (ambiguous)"] > COUNT / 100,
                   "the_streams_are_worth_comparing")


try:
    main()
except harness.Missing as missing:
    print(f"skip llhttp {missing}")
sys.exit(harness.status)
