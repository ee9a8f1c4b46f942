# SPDX-License-Identifier: Apache-2.0
"""Node's own tests of HTTP, sockets, child processes and clusters, run by Debian's Node of the same source."""
import os

from suitelib import results
from suitelib.recipe import Recipe

WHICH = "http-[a-k]* http-o* http-pi* http-re* http-u* child-process-fork* cluster-worker* cluster-http*"
QUICK = "http-server-* net-server-* child-process-spawn*"

RECIPE = Recipe(
    title="Node: HTTP, sockets, child processes, clusters",
    packages="nodejs openssl",
    sources="nodejs",
    prepare="""cd nodejs-*/
rm -rf deps out
ln -s "$PWD" /suite/src
cat >/suite/one <<'.'
#!/bin/bash
# one test: exit status, or the name of the signal; its flags stand in its first lines
flags=$(sed -n 's,^// Flags: *,,p' "$1" | tr '\\n' ' ')
export TEST_THREAD_ID=$2 TEST_SERIAL_ID=$2
timeout -k 1 90 node $flags "$1" >/tmp/out.$2 2>&1 </dev/null
s=$?
if [ $s = 0 ] && head -c 9 /tmp/out.$2 | grep -q '^1..0 # ' ; then s=skip; fi
echo "${1##*/} $s"
.
chmod +x /suite/one
""",
    run=f"""cd /suite/src/test/parallel
which="{WHICH}"
[ -z "$QUICK" ] || which="{QUICK}"
ls $(for w in $which; do echo "test-$w.js test-$w.mjs"; done) 2>/dev/null | sort -u | awk '{{print $0, NR}}' |
    xargs -P3 -L1 /suite/one >/results/log 2>/results/errors
exit 0
""",
    parse=lambda d: results.lines(os.path.join(d, "log"), r"^(?P<name>\S+\.m?js) (?P<outcome>\w+)$",
                                  {"0": "pass", "1": "fail", "124": "time-out"}),
    seconds=1500,
    serves=True,
)
