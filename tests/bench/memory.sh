#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the object takes: tmpfs of a program that listens and says nothing, tmpfs per active series, private memory of a
# process beyond what it has without the object, and per open connection. Prints `name bytes remark` lines. B: the build directory.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
exec /usr/bin/python3 -B "$here/memory.py"
