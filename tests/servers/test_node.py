#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""node's http and https servers, as one process and as a cluster whose primary passes connections to its workers."""
import harness
import servers

harness.main({**servers.NODE, **servers.NODE_TLS})
