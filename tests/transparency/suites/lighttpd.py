# SPDX-License-Identifier: Apache-2.0
"""lighttpd's own tests, against the server built from the same source."""
import os

from suitelib import results
from suitelib.recipe import Recipe


RECIPE = Recipe(
    title="lighttpd: requests, CGI, FastCGI, SCGI, proxying, authentication",
    packages="libpcre2-dev autoconf automake libtool zlib1g-dev",
    sources="lighttpd",
    prepare="""cd lighttpd-*/
ln -s "$PWD" /suite/src
[ -x configure ] || sh autogen.sh
./configure --without-lua --with-openssl=no
make -j2 -s
make -j2 -s check TESTS=
""",
    run="""cd /suite/src/tests
export srcdir=. top_builddir=/suite/src
./prepare.sh >/results/prepare 2>&1
for t in *.t; do
    timeout -k 1 300 perl ./$t >/results/${t%.t}.tap 2>/results/${t%.t}.err </dev/null
    echo $? >/results/${t%.t}.status
done
exit 0
""",
    parse=lambda d: results.tap_files(d, named=True),
    serves=True,
)
