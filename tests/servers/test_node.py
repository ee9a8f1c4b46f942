#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""node's http server, as one process and as a cluster whose primary passes connections to its workers."""
import harness
import sites


def node(workers):
    def set_up(test):
        address = (test.ip, test.port())
        child = test.start([harness.which("node", "nodejs"), sites.APPS / "app.js", *address, workers])
        test.wait_for_port(address, child)
        return sites.app(address, ["sse", "early"])
    return set_up


harness.main({"node": node(0), "node_cluster": node(2)})
