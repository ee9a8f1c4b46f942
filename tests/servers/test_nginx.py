#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""nginx as packaged: static files with sendfile and dropped privileges, proxy_pass with kept upstream connections, FastCGI."""
import harness
import servers

harness.main(servers.NGINX)
