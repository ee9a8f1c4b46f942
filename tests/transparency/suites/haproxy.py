# SPDX-License-Identifier: Apache-2.0
"""HAProxy's regression tests, run against Debian's haproxy by varnishtest, whose language they are written in."""
import os

from suitelib import results
from suitelib.recipe import Recipe

RECIPE = Recipe(
    title="HAProxy: its regression tests, by varnishtest",
    packages="varnish haproxy socat",
    sources="haproxy",
    prepare="""cd haproxy-*/
ln -s "$PWD" /suite/src
# one after the other: their limits of time are small; newer runners know more words; what this one does not know fails the same way in both runs
cat >/suite/one <<'.'
#!/bin/bash
n=$(echo ${1%.vtc} | tr / _)
sed 's/^vtest /varnishtest /; s/^feature cmd.*//' $1 >${1%.vtc}.run.vtc
HAPROXY_PROGRAM=/usr/sbin/haproxy timeout -k 1 100 varnishtest -t 60 -k ${1%.vtc}.run.vtc >/tmp/$n.log 2>&1 </dev/null
echo "$n $?"
rm -f ${1%.vtc}.run.vtc
.
chmod +x /suite/one
""",
    run="""cd /suite/src
dirs=reg-tests
[ -z "$QUICK" ] || dirs="reg-tests/http-messaging reg-tests/connection"
find $dirs -name '*.vtc' | sort | xargs -P1 -n1 /suite/one >/results/log 2>/results/errors
mkdir /results/logs; cp /tmp/*.log /results/logs
exit 0
""",
    parse=lambda d: results.lines(os.path.join(d, "log"), r"^(?P<name>\S+) (?P<outcome>\d+)$",
                                  {"0": "pass", "2": "fail", "77": "skip"}),
    serves=True,
)
