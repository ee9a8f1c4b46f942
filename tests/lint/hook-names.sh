#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The names in shim/hooks.def, one a line: in every row type and name come first.
cd "$(dirname "$0")/../.." || exit 1
sed -nE 's/^HOOK[A-Z_]*\([^,]+, *([A-Za-z0-9_]+),.*/\1/p' shim/hooks.def
