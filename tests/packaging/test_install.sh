#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# `make install` and `make uninstall`: what lands where, and that a program which has the old object mapped lives on.
set -u
cd "$(dirname "$0")/../.." || exit 1
B=${B:-build}
work=$(mktemp -d) || exit 1
regions=$(mktemp -d -p /dev/shm tb-install-XXXXXX) || exit 1
child=
# shellcheck disable=SC2317 # called by the trap
cleanup()
{
    if [ -n "$child" ]; then
        kill "$child" 2>/dev/null
        wait "$child" 2>/dev/null
    fi
    rm -rf "$work" "$regions"
}
trap cleanup EXIT
failed=0

ok()
{
    if [ "$1" -eq 0 ]; then
        echo "ok $2"
    else
        echo "not ok $2"
        failed=1
    fi
}

# install VERSION ACTION [DESTDIR]
installer()
{
    B=$B VERSION=$1 DESTDIR=${3-$work/root} prefix=/usr libdir=/usr/lib/here packaging/install.sh "$2" >"$work/out" 2>&1
}

for file in libtickbird.so tickbird tickbird-exporter; do
    [ -f "$B/$file" ] || { echo "$B/$file is not built"; exit 1; }
done

installer 1.2.3 install
ok $? install_succeeds
lib=$work/root/usr/lib/here
[ "$(readlink "$lib/libtickbird.so")" = libtickbird.so.1.2.3 ] && [ -f "$lib/libtickbird.so.1.2.3" ] &&
    [ -x "$work/root/usr/bin/tickbird" ] && [ -x "$work/root/usr/bin/tickbird-exporter" ] &&
    cmp -s shim/tickbird.h "$work/root/usr/include/tickbird.h"
ok $? files_have_their_places
[ "$(stat -c %a "$lib/libtickbird.so.1.2.3" "$work/root/usr/bin/tickbird" | tr '\n' ' ')" = "644 755 " ]
ok $? modes_do_not_depend_on_the_umask
[ -z "$(find "$work/root" -name '*.new.*')" ]
ok $? no_temporary_file_is_left

# A program with the object mapped: `cat` between two fifos, before and after each replacement.
mkfifo "$work/in" "$work/back"
TICKBIRD_DIR=$regions LD_PRELOAD=$lib/libtickbird.so cat <"$work/in" >"$work/back" &
child=$!
exec 3>"$work/in" 4<"$work/back"
answers()
{
    echo "$1" >&3 && read -r line <&4 && [ "$line" = "$1" ]
}
answers before
ok $? a_preloaded_program_works
grep -q libtickbird.so.1.2.3 "/proc/$child/maps"
ok $? it_has_the_object_mapped
before=$(stat -c %i "$lib/libtickbird.so.1.2.3")
installer 1.2.3 install &&
    [ "$(stat -c %i "$lib/libtickbird.so.1.2.3")" != "$before" ]
ok $? the_same_version_gets_a_new_file
answers after-the-same-version
ok $? the_program_survives_the_same_version
installer 2.0.0 install &&
    [ "$(readlink "$lib/libtickbird.so")" = libtickbird.so.2.0.0 ]
ok $? the_link_leads_to_the_new_version
answers after-a-new-version
ok $? the_program_survives_a_new_version
"$work/root/usr/bin/tickbird" doctor --lib "$lib/libtickbird.so" "$child" | grep -q "replaced since"
ok $? doctor_says_that_the_program_keeps_the_old_object
LD_PRELOAD=$lib/libtickbird.so grep -q libtickbird.so.2.0.0 /proc/self/maps
ok $? a_new_program_gets_the_new_version

# Installed anywhere, the command finds the object beside it.
B=$B VERSION=1.0.0 DESTDIR='' prefix="$work/opt" packaging/install.sh install >"$work/out" 2>&1
TICKBIRD_DIR=$regions "$work/opt/bin/tickbird" run -- env | grep -q "^LD_PRELOAD=$work/opt/lib/libtickbird.so\$"
ok $? the_installed_command_finds_the_installed_object

# Somebody else's files stay.
echo mine >"$work/root/usr/bin/other"
echo mine >"$lib/libtickbird.so-notes"
installer 2.0.0 uninstall
ok $? uninstall_succeeds
answers after-uninstall
ok $? the_program_survives_uninstall
[ "$(cd "$work/root" && find . ! -type d | sort | tr '\n' ' ')" = "./usr/bin/other ./usr/lib/here/libtickbird.so-notes " ]
ok $? uninstall_removes_exactly_what_was_installed
installer 2.0.0 uninstall
ok $? a_second_uninstall_is_no_error

B=$work/nothing installer 1.2.3 install "$work/other"
code=$?
[ $code -ne 0 ] && grep -q "not built" "$work/out" && [ ! -e "$work/other" ]
ok $? nothing_is_installed_before_it_is_built

exit $failed
