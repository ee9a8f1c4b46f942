#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""PHP's built-in server."""
import harness
import sites


def built_in(test):
    address = (test.ip, test.port())
    child = test.start([harness.which("php"), "-n", "-S", "%s:%d" % address, sites.APPS / "app.php"])
    test.wait_for_port(address, child)
    # It closes each connection after one answer and forgets what was pipelined.
    # expect_continue: sends no interim answer
    return sites.app(address, ["until_close"], pipeline="some", skip=["expect_continue"])


harness.main({"php_built_in": built_in})
