#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Python, Ruby and mini_httpd servers that speak TLS themselves, over sockets and over memory. The client is as in the clear."""
import harness
import servers

harness.main(servers.TLS_APPS)
