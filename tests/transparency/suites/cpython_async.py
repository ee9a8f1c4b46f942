# SPDX-License-Identifier: Apache-2.0
"""The rest of CPython's regression tests that matter here: asyncio, processes and threads in pools. Slow, so apart."""
import os

from suitelib import results
from suitelib.recipe import Recipe

TESTS = "test_asyncio test_concurrent_futures test_multiprocessing_fork test_multiprocessing_main_handling test_ctypes test_cmd_line test_imaplib test_queue"

RECIPE = Recipe(
    title="CPython: asyncio, multiprocessing, pools of threads and processes",
    packages="libpython3.11-testsuite python3.11 openssl netbase tzdata",
    sources="",
    run=f"""cd ~
tests="{TESTS}"
[ -z "$QUICK" ] || tests="test_queue test_imaplib"
python3.11 -m test -j3 --timeout 300 -u network,subprocess --junit-xml /results/junit.xml $tests
exit 0
""",
    parse=lambda d: results.junit(os.path.join(d, "junit.xml")),
    seconds=1500,
)
