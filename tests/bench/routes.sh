#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Scores and cost of the route inference; corpora: see routes.py.
exec /usr/bin/python3 "$(dirname "$0")/routes.py" "$@"
