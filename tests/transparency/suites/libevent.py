# SPDX-License-Identifier: Apache-2.0
"""libevent's regression tests, once for each way of waiting that Linux has."""
import glob
import os

from suitelib import results
from suitelib.recipe import Recipe


def parse(directory):
    found = results.Results()
    for path in sorted(glob.glob(os.path.join(directory, "*.log"))):
        way = os.path.basename(path)[:-len(".log")]
        test = None
        for line in results.text(path).splitlines():
            name, colon, rest = line.partition(": ")
            if colon and "/" in name and " " not in name:
                test = name
            else:
                rest = line
            words = {"OK": "pass", "SKIPPED": "skip", "DISABLED": "skip", "FAILED": "fail"}
            for word, outcome in words.items():
                if test and (rest.strip().endswith(word) or f"[{test[-20:]} {word}" in rest):
                    found.put(f"{way} {test}", outcome)
                    test = None
                    break
    return found


RECIPE = Recipe(
    title="libevent: event loop, buffers, DNS, HTTP server and client, TLS",
    packages="libssl-dev zlib1g-dev autoconf automake libtool",
    sources="libevent",
    prepare="""cd libevent-*/
sh autogen.sh
./configure --disable-shared --disable-samples
make -j2
make -j2 check TESTS= || make -j2 test/regress
ln -s "$PWD" /suite/src
""",
    run="""cd /suite/src
if [ -n "$QUICK" ]; then test/regress --quiet http/base http/head http/post rpc/.. >/results/epoll.log 2>&1; exit 0; fi
test/regress >/results/epoll.log 2>/results/epoll.errors &
EVENT_NOEPOLL=1 test/regress http/.. bufferevent/.. main/.. >/results/poll.log 2>/results/poll.errors &
EVENT_NOEPOLL=1 EVENT_NOPOLL=1 test/regress http/.. listener/.. rpc/.. >/results/select.log 2>/results/select.errors &
wait
""",
    parse=parse,
    serves=True,
)
