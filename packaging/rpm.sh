#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# rpm.sh BUILD VERSION OUTPUT: the package for distributions with rpm. What it depends on are the libraries of the system that
# it was built on, so build it on the one that it is for.
set -eu
build=$(realpath "$1") version=$2
mkdir -p "$3"
output=$(realpath "$3")
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
packaging/stage.sh "$build" "$version" "$work/tree"
rpmbuild --quiet -bb --define "_topdir $work/rpm" --define "_rpmdir $output" --define "_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm" \
    --define "tickbird_version $version" --define "tickbird_tree $work/tree" --define "tickbird_scripts $PWD/packaging/scripts" \
    packaging/tickbird.spec >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
echo "  RPM     $output/tickbird-$version-1.$(uname -m).rpm"
