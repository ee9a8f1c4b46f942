# SPDX-License-Identifier: Apache-2.0
"""The Open POSIX test suite: signals, threads and their cancellation, asynchronous I/O, timers, semaphores, message queues."""
import os

from suitelib import results
from suitelib.recipe import Recipe

AREAS = """aio_ lio_ fork kill killpg raise sig mq_ sem_ nanosleep timer_ pthread_atfork pthread_c pthread_create pthread_detach pthread_equal
 pthread_exit pthread_join pthread_key pthread_kill pthread_mutex_ pthread_once pthread_self pthread_set pthread_sigmask pthread_testcancel""".replace("\n", "")

# Left to chance by the tests themselves, measured: mq_timedsend/5-1 failed in 23 of 120 plain runs side by side (20 with the object);
# pthread_cond_broadcast/1-2 spins in 200 processes, never ended within its time in 12 plain runs, and is ended by SIGTERM or SIGKILL as it
# comes (16 plain runs side by side: 3 passed, 4 unresolved, 1 by SIGTERM, 8 by SIGKILL).
CHANCE = "mq_timedsend/5-1 pthread_cond_broadcast/1-2"

RECIPE = Recipe(
    title="Open POSIX tests: signals, thread cancellation, asynchronous I/O, timers, queues",
    packages="",
    sources="posixtestsuite",
    prepare="""cd posixtestsuite-*/
ln -s "$PWD" /suite/src
cat >/tmp/one <<'.'
#!/bin/sh
# a test of its own unless it has no main (then it only has to compile)
o=${1%.c}.test
grep -q 'main *(' "$1" || exit 0
timeout 60 gcc -w -O1 -D_GNU_SOURCE -D_POSIX_C_SOURCE=200809L -D_XOPEN_SOURCE=700 -Iinclude -o "$o" "$1" -lpthread -lrt -lm 2>/dev/null || rm -f "$o"
.
chmod +x /tmp/one
find conformance/interfaces -name '[0-9]*-*.c' | xargs -P2 -n1 /tmp/one
find conformance -name '*.test' | wc -l
""",
    run=f"""cd /suite/src
areas="{AREAS}"
[ -z "$QUICK" ] || areas="aio_ sem_ sigaction"
cat >/tmp/one <<'.'
#!/bin/bash
# the tests of one interface share files and names: one after the other
cd "$1"
for t in *.test; do
    [ -x "$t" ] || continue
    case " {CHANCE} " in *" ${{1##*/}}/${{t%.test}} "*) continue ;; esac
    timeout -k 1 45 "./$t" >/dev/null 2>&1 </dev/null
    echo "$1/$t $?"
done
.
chmod +x /tmp/one
for a in $areas; do ls -d conformance/interfaces/$a*; done | sort -u | xargs -P4 -n1 /tmp/one >/results/log 2>/results/errors
exit 0
""",
    parse=lambda d: results.lines(os.path.join(d, "log"), r"^conformance/interfaces/(?P<name>\S+)\.test (?P<outcome>\d+)$",
                                  {"0": "pass", "1": "fail", "2": "unresolved", "4": "unsupported", "5": "untested",
                                   "124": "time-out"}),
    seconds=1500,
)
