# SPDX-License-Identifier: Apache-2.0
"""libuv's own tests: the event loop that Node and others stand on."""
import os

from suitelib import results
from suitelib.recipe import Recipe


def parse(directory):
    found = results.Results()
    # "ok 12 - tcp_close" with "# SKIP" behind it where it does not apply
    for name, outcome in results.lines(os.path.join(directory, "log"), r"^(?P<outcome>ok|not ok) \d+ - (?P<name>\w+)",
                                       {"ok": "pass", "not ok": "fail"}).items():
        found.put(name, outcome)
    return found


RECIPE = Recipe(
    title="libuv: sockets, pipes, processes, signals, threads, files",
    packages="autoconf automake libtool",
    sources="libuv1",
    prepare="""cd libuv1-*/
sh autogen.sh
./configure --disable-shared
make -j2 test/run-tests
ln -s "$PWD" /suite/src
""",
    run="""cd /suite/src
if [ -n "$QUICK" ]; then set -- tcp_ping_pong pipe_ping_pong spawn_stdout signal_multiple_loops fs_file_sync; for t; do
    ./test/run-tests $t $t >/dev/null 2>&1 && echo "ok 1 - $t" || echo "not ok 1 - $t"; done >/results/log; exit 0; fi
UV_TEST_TIMEOUT_MULTIPLIER=3 ./test/run-tests >/results/log 2>/results/errors
exit 0
""",
    parse=parse,
    seconds=1200,
)
