#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""haproxy before a Python server: plain, and with its privileges dropped into an empty root folder behind PROXY heads."""
import harness
import servers

harness.main(servers.HAPROXY)
