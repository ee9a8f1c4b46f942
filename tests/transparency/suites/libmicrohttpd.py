# SPDX-License-Identifier: Apache-2.0
"""libmicrohttpd's own tests: an HTTP server with every threading model, driven by libcurl."""
import glob
import os

from suitelib import results
from suitelib.recipe import Recipe


def parse(directory):
    found = results.Results()
    for path in sorted(glob.glob(os.path.join(directory, "**", "*.trs"), recursive=True)):
        for line in results.text(path).splitlines():
            if line.startswith(":test-result:"):
                found.put(os.path.relpath(path, directory)[:-4], line.split()[1].lower())
    return found


RECIPE = Recipe(
    title="libmicrohttpd: an HTTP server in every threading model, and libcurl as its client",
    packages="libcurl4-openssl-dev libgnutls28-dev zlib1g-dev openssl",
    sources="libmicrohttpd",
    prepare="""cd libmicrohttpd-*/
./configure --disable-doc --disable-examples --enable-https
make -j2 -s
make -j2 -s -k check TESTS= || :
ln -s "$PWD" /suite/src
""",
    run="""cd /suite/src
dirs="src/microhttpd src/testcurl src/testcurl/https src/testzzuf"
[ -z "$QUICK" ] || dirs=src/microhttpd
for d in $dirs; do [ -d $d ] && timeout 1000 make -s -k -j2 -C $d check-TESTS >/dev/null 2>&1; done
find src -name '*.trs' | while read -r f; do mkdir -p /results/${f%/*}; cp $f /results/$f; done
find src -name 'test-suite.log' -exec cat {} + >/results/log
""",
    parse=parse,
    seconds=1500,
    serves=True,
)
