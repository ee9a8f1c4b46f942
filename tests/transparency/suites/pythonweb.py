# SPDX-License-Identifier: Apache-2.0
"""Tests of Python's network frameworks that come with their Debian packages: Tornado and Twisted."""
import os

from suitelib import results
from suitelib.recipe import Recipe


def parse(directory):
    found = results.Results()
    words = {"ok": "pass", "OK": "pass", "FAIL": "fail", "ERROR": "fail", "SKIPPED": "skip", "TO" + "DO": "todo"}
    for name, outcome in results.lines(os.path.join(directory, "tornado"),
                                       r"^(?P<name>test\w+ \([\w.]+\)).*? \.\.\. .*?(?P<outcome>ok|FAIL|ERROR|skipped)",
                                       {**words, "skipped": "skip"}).items():
        found.put("tornado " + name, outcome)
    here = []
    for line in results.text(os.path.join(directory, "twisted")).splitlines():
        # verbose reporter: a tree, one more blank for each level; "test_x ...   [OK]"
        body = line.lstrip()
        depth = (len(line) - len(body)) // 2
        name, dots, rest = body.partition(" ... ")
        outcome = rest.strip().strip("[]")
        if dots and outcome in words:
            found.put("twisted " + ".".join(here[:depth] + [name]), words[outcome])
        elif body and not dots and " " not in body:
            here[depth:] = [body]
    return found


RECIPE = Recipe(
    title="Tornado and Twisted: event loops, HTTP servers and clients, processes, TLS",
    packages="python3-tornado python3-twisted python3-openssl python3-service-identity python3-pycurl python3-idna netbase",
    sources="",
    run="""cd ~
export ASYNC_TEST_TIMEOUT=60
timeout -k 5 400 python3 -m tornado.test --verbose --locale=C >/results/tornado 2>&1
if [ -n "$QUICK" ]; then set -- twisted.web.test.test_http; else
    set -- twisted.internet.test twisted.test.test_process twisted.test.test_tcp twisted.test.test_unix twisted.test.test_udp \\
        twisted.test.test_ssl twisted.test.test_internet twisted.test.test_threads twisted.web.test twisted.test.test_stdio; fi
timeout -k 5 500 python3 -m twisted.trial --reporter=verbose "$@" >/results/twisted 2>&1
exit 0
""",
    parse=parse,
    seconds=1000,
    serves=True,
)
