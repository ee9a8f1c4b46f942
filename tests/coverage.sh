#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Line coverage of agent/ and exporter/ from a build with --coverage that has run its tests: coverage.sh BUILD-FOLDER
set -eu
build=$1
find "$build/agent" "$build/exporter" -name '*.gcda' | sort | while read -r data; do
    gcov --no-output --object-directory "$(dirname "$data")" "$data" 2>/dev/null
done | awk '
    /^File / { file = $2; gsub(/\047/, "", file) }
    /^Lines executed/ && file ~ /^(agent|exporter)\/[a-z0-9_\/]+\.[ch]$/ {
        split($0, part, /[:% ]+/); percent = part[3]; lines = part[5]
        if (lines > seen[file]) { seen[file] = lines; covered[file] = percent * lines / 100 }
    }
    /^Lines executed/ { file = "" } # what follows without a name is the sum of one run
    END {
        for (file in seen) { total += seen[file]; hit += covered[file]; printf "%6.1f %%  %5d lines  %s\n", 100 * covered[file] / seen[file], seen[file], file | "sort -k4" }
        close("sort -k4")
        printf "%6.1f %%  %5d lines  all\n", 100 * hit / total, total
    }'
