#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The JDK's own HTTP server: a JVM serves IPv4 clients on AF_INET6 sockets."""
import harness
import servers

harness.main(servers.JAVA)
