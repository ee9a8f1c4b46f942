# SPDX-License-Identifier: Apache-2.0
"""PHP's own tests of sockets, streams, processes, its built-in server and php-fpm, run by Debian's PHP of the same source."""
import os

from suitelib import results
from suitelib.recipe import Recipe

DIRS = "sapi/cli/tests sapi/fpm/tests ext/sockets/tests ext/pcntl/tests ext/posix/tests ext/curl/tests ext/standard/tests/http ext/standard/tests/network ext/standard/tests/streams ext/standard/tests/general_functions/proc*.phpt"
QUICK = "sapi/cli/tests ext/standard/tests/http"

RECIPE = Recipe(
    title="PHP: built-in server, php-fpm, sockets, streams, processes",
    packages="php8.2-cli php8.2-fpm php8.2-curl openssl netbase",
    sources="php8.2",
    prepare="""cd php8.2-*/
ln -s "$PWD" /suite/src
# the tests look for the program beside the sources' tree
mkdir -p sapi/fpm sapi/cli
ln -sf /usr/sbin/php-fpm8.2 sapi/fpm/php-fpm
ln -sf /usr/bin/php8.2 sapi/cli/php
""",
    run=f"""cd /suite/src
dirs=$(echo {DIRS})
[ -z "$QUICK" ] || dirs="{QUICK}"
export TEST_PHP_EXECUTABLE=/usr/bin/php8.2 NO_INTERACTION=1 SKIP_ONLINE_TESTS=1 TEST_TIMEOUT=90 REPORT_EXIT_STATUS=0 TEST_FPM_RUN_AS_ROOT=0
php8.2 run-tests.php -q -j3 -n -W /results/list --no-progress $dirs >/results/log 2>&1
exit 0
""",
    parse=lambda d: results.lines(os.path.join(d, "list"), r"^(?P<outcome>[A-Z]+)\t/suite/php[^/]*/(?P<name>\S+)\.phpt$",
                                  {"PASSED": "pass", "FAILED": "fail", "SKIPPED": "skip"}),
    serves=True,
)
