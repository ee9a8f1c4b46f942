#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""puma with threads and as a cluster, and WEBrick."""
import harness
import sites


def puma(*options):
    def set_up(test):
        address = (test.ip, test.port())
        child = test.start([harness.which("puma"), "-b", "tcp://%s:%d" % address, "-t", "4:4", "-q", *options, sites.APPS / "config.ru"])
        test.wait_for_port(address, child)
        # leading_crlf: refuses the empty line; whether it has read the request by then is a matter of timing
        # obs_fold: when the fold comes alone, closes 20 seconds later without a word
        return sites.app(address, pipeline="some", skip=["leading_crlf", "obs_fold"])
    return set_up


def webrick(test):
    address = (test.ip, test.port())
    child = test.start([harness.which("ruby"), sites.APPS / "webrick.rb", *address])
    test.wait_for_port(address, child)
    # leading_crlf: as above; expect_continue: no interim answer unless the servlet asks for it
    return sites.app(address, without=["chunked"], skip=["leading_crlf", "expect_continue"])


harness.main({"puma": puma(), "puma_cluster": puma("-w", "2"), "webrick": webrick})
