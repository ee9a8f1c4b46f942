#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""lighttpd with static files, by one process and by two workers."""
import harness
import servers

harness.main(servers.LIGHTTPD)
