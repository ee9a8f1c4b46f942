#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""docs/promql.md: every query is asked of a real Prometheus that scraped a service with traffic and errors, and a program that is
not observed. None may be an error; all but those that speak when something is wrong must have data. The windows are made
short for the test."""
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "servers"))
sys.dont_write_bytecode = True

import harness  # noqa: E402
import prom  # noqa: E402
import sites  # noqa: E402

PAGE = HERE.parent.parent / "docs" / "promql.md"
# Words of queries that have no answer where all is well, or nothing is called.
QUIET = ("http_client", "offset 1d", "oldest_request", "hidden_listeners", "service_collision", "lost_requests", "aborted")


def queries():
    found = re.findall(r"^```promql\n(.*?)\n```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert len(found) > 10, found
    return found


def check(prometheus):
    wrong = []
    for query in queries():
        asked = re.sub(r"\[\d+[mh]\]", "[20s]", query)
        try:
            if any(word in query for word in QUIET):
                prometheus.query(asked)
            else:
                harness.until(lambda e=asked: prometheus.query(e), query, 60)
        except (AssertionError, OSError) as error:
            wrong.append(f"{query}: {error}")
    harness.report(not wrong, "every_query_of_the_page_is_answered", "\n".join(wrong))


def check_share(prometheus):
    """The second query of the page against what was sent."""
    share = re.sub(r"\[\d+[mh]\]", "[20s]", next(q for q in queries() if "5.." in q))
    try:
        harness.until(lambda: abs(prometheus.value(share) - 0.25) < 0.05, "a quarter fails", 60)
        harness.report(True, "the_share_of_errors_is_that_of_the_client")
    except AssertionError as late:
        harness.report(False, "the_share_of_errors_is_that_of_the_client", f"{late}: {prometheus.query(share)}")


def run(test):
    address = sites.python_upstream(test, preload=True, service="shop")
    sites.python_upstream(test)  # not preloaded
    test.start_exporter()
    prometheus = prom.Prometheus(test, test.exporter)
    with prom.Traffic([address]) as traffic:
        check(prometheus)
        check_share(prometheus)
    harness.report(not traffic.error, "the_server_answered", str(traffic.error or ""))


harness.main_special({"promql": run})
