#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""PHP's built-in server."""
import harness
import servers

harness.main(servers.PHP)
