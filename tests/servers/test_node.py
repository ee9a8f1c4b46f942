#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""node's http server, as one process and as a cluster whose primary passes connections to its workers."""
import harness
import servers

harness.main(servers.NODE)
