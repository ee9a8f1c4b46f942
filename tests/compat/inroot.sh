#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# inroot.sh ROOT PROGRAM ARGS: runs a program in another userland, with this machine's /tmp, /dev (and so the region
# directory), /proc and this source tree at their places. In a mount namespace of its own that ends with the program.
set -eu
root=$1
shift
if [ -z "${TB_INROOT:-}" ]; then
    TB_INROOT=1 exec unshare --mount --propagation private -- "$0" "$root" "$@"
fi
unset TB_INROOT
here=$(dirname "$(dirname "$(dirname "$(realpath "$0")")")")
for dir in /tmp /dev /proc "$here" ${B:+"$B"}; do
    mkdir -p "$root$dir"
    mount --rbind "$dir" "$root$dir"
done
exec chroot "$root" "$@"
