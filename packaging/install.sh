#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# install | uninstall: puts the built files below $DESTDIR, or removes exactly them.
#
# Programs that run have the object mapped, and writing into a mapped file kills them. So every file is written under a
# temporary name and renamed: a process keeps what it has, a new one gets the new file. The object has a versioned name,
# the plain one is a symbolic link that is switched in one step.
#
# Reads B (build directory), VERSION, DESTDIR, prefix, bindir, libdir, mandir, includedir from the environment.
set -eu
: "${VERSION:?}" "${prefix:=/usr/local}" "${bindir:=$prefix/bin}" "${libdir:=$prefix/lib}"
: "${mandir:=$prefix/share/man}" "${includedir:=$prefix/include}" "${DESTDIR:=}" "${B:=build}"

object=libtickbird.so
inert=libtickbird-i386.so
root=$(dirname "$0")/..

fail()
{
    echo "install.sh: $*" >&2
    exit 1
}

# place SOURCE DIRECTORY NAME MODE
place()
{
    new="$2/.$3.new.$$"
    cp "$1" "$new"
    chmod "$4" "$new"
    # On disk before it has its name: after a crash a program must not find half an object.
    sync "$new" 2>/dev/null || sync
    mv -f "$new" "$2/$3"
    echo "  INSTALL $2/$3"
}

# link TARGET DIRECTORY NAME
link()
{
    new="$2/.$3.new.$$"
    ln -s "$1" "$new"
    mv -fT "$new" "$2/$3"
    echo "  LINK    $2/$3 -> $1"
}

install_files()
{
    for file in $object tickbird tickbird-exporter; do
        [ -f "$B/$file" ] || fail "$B/$file: it is not built: run make first"
    done
    mkdir -p "$DESTDIR$bindir" "$DESTDIR$libdir"
    place "$B/$object" "$DESTDIR$libdir" "$object.$VERSION" 644
    link "$object.$VERSION" "$DESTDIR$libdir" "$object"
    # Beside it, for 32-bit programs of a machine that is preloaded as a whole (tickbird install --system).
    [ ! -f "$B/$inert" ] || place "$B/$inert" "$DESTDIR$libdir" "$inert" 644
    place "$B/tickbird" "$DESTDIR$bindir" tickbird 755
    place "$B/tickbird-exporter" "$DESTDIR$bindir" tickbird-exporter 755
    mkdir -p "$DESTDIR$includedir"
    place "$root/shim/tickbird.h" "$DESTDIR$includedir" tickbird.h 644
    for page in "$root"/docs/man/*.1; do
        [ -f "$page" ] || continue
        mkdir -p "$DESTDIR$mandir/man1"
        place "$page" "$DESTDIR$mandir/man1" "${page##*/}" 644
    done
}

# remove PATH: a file or link that may be missing
remove()
{
    if [ -e "$1" ] || [ -L "$1" ]; then
        rm -f "$1"
        echo "  REMOVE  $1"
    fi
}

uninstall_files()
{
    # With the line there and the file gone, every program would complain at its start.
    if [ -z "$DESTDIR" ] && grep -qs "$object" /etc/ld.so.preload; then
        fail "/etc/ld.so.preload names $object: take the line out first (tickbird uninstall --system), then uninstall again"
    fi
    remove "$DESTDIR$libdir/$object"
    remove "$DESTDIR$libdir/$inert"
    for file in "$DESTDIR$libdir/$object".[0-9]*; do
        remove "$file"
    done
    remove "$DESTDIR$bindir/tickbird"
    remove "$DESTDIR$bindir/tickbird-exporter"
    remove "$DESTDIR$includedir/tickbird.h"
    for page in "$root"/docs/man/*.1; do
        remove "$DESTDIR$mandir/man1/${page##*/}"
    done
}

trap 'rm -f "$DESTDIR$libdir/.libtickbird"*".new.$$" "$DESTDIR$bindir/.tickbird"*".new.$$"' EXIT
case ${1-} in
install) install_files ;;
uninstall) uninstall_files ;;
*) fail "${1-}: no such action: say install or uninstall" ;;
esac
