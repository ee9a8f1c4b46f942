#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""puma with threads and as a cluster, and WEBrick."""
import harness
import servers

harness.main(servers.RUBY)
