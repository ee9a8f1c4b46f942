# SPDX-License-Identifier: Apache-2.0
"""Tests of Go's standard library, as programs of two kinds: linked by gcc against libc, and position independent."""
import glob
import os

from suitelib import results
from suitelib.recipe import Recipe

PACKAGES = "net net/http net/http/httptest net/http/httputil net/rpc os os/exec os/signal os/user syscall runtime/cgo crypto/tls io/ioutil internal/poll log/syslog"


def parse(directory):
    found = results.Results()
    for path in sorted(glob.glob(os.path.join(directory, "*.log"))):
        unit = os.path.basename(path)[:-len(".log")]
        for name, outcome in results.lines(path, r"^\s*--- (?P<outcome>PASS|FAIL|SKIP): (?P<name>\S+)",
                                           {"PASS": "pass", "FAIL": "fail", "SKIP": "skip"}).items():
            found.put(f"{unit} {name}", outcome)
        found.put(f"{unit} exit", results.text(path[:-4] + ".status").strip())
    return found


RECIPE = Recipe(
    title="Go: net, net/http, os, os/exec, os/signal, syscall with cgo, linked by gcc and as PIE",
    packages="golang-1.19-go gcc libc6-dev netbase",
    sources="",
    prepare=f"""export PATH=/usr/lib/go-1.19/bin:$PATH GOCACHE=/tmp/gocache GOFLAGS=-mod=mod GO111MODULE=on GOPROXY=off HOME=/tmp
cp -rL /usr/lib/go-1.19 /suite/goroot
export GOROOT=/suite/goroot
cd $GOROOT/src
for p in {PACKAGES}; do
    u=$(echo $p | tr / _)
    CGO_ENABLED=1 timeout 600 go test -c -ldflags=-linkmode=external -o /suite/$u.cgo.test $p || :
    case $p in net|net/http|os|os/exec) CGO_ENABLED=1 timeout 600 go test -c -buildmode=pie -o /suite/$u.pie.test $p || : ;; esac
done
ls /suite/*.test
file /suite/*.test || :
""",
    run=f"""export GOROOT=/suite/goroot PATH=/suite/goroot/bin:$PATH GOCACHE=/tmp/gocache GO111MODULE=on GOPROXY=off
packages="{PACKAGES}"
[ -z "$QUICK" ] || packages="os/exec net"
for p in $packages; do
    u=$(echo $p | tr / _)
    for t in /suite/$u.*.test; do
        [ -x $t ] || continue
        n=${{t##*/}}; n=${{n%.test}}
        cd $GOROOT/src/$p
        timeout -k 5 400 $t -test.v -test.short -test.timeout 380s >/results/$n.log 2>&1
        echo $? >/results/$n.status
    done
done
exit 0
""",
    parse=parse,
    seconds=1500,
)
