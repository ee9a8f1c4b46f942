#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Python servers: http.server in both HTTP versions, gunicorn's sync and threaded workers, uvicorn with asyncio and with uvloop."""
import harness
import servers

harness.main(servers.PYTHON)
