#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""nginx, Apache, lighttpd (with OpenSSL, GnuTLS, mbed TLS and NSS) and haproxy that speak TLS themselves. The client is as in the clear."""
import harness
import servers

harness.main(servers.TLS)
