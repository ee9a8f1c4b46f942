#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The JDK's own HTTP server: a JVM serves IPv4 clients on AF_INET6 sockets."""
import harness
import sites


def jdk(test):
    address = (test.ip, test.port())
    child = test.start([harness.which("java"), "-Xmx256m", "-XX:TieredStopAtLevel=1", sites.APPS / "App.java", *address])
    test.wait_for_port(address, child)
    # bare_lf: waits for the CR LF that does not come
    return sites.app(address, skip=["bare_lf"])


harness.main({"jdk": jdk})
