#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Small servers, one for each I/O pattern, with the real object; the region is read and compared exactly with what the
# client saw. Reports `ok NAME`, `not ok NAME` or `skip NAME reason`. B: the build directory. Arguments: names to run.
cd "$(dirname "$0")/../.." || exit 1
exec /usr/bin/python3 tests/preload/run.py "$@"
