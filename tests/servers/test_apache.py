#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""apache2 as packaged, with the event and the prefork module."""
import harness
import servers

harness.main(servers.APACHE)
