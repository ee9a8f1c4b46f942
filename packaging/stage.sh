#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# stage.sh BUILD VERSION ROOT: the tree that packages of distributions contain, below ROOT: programs, objects, manual pages,
# units. BUILD is made with prefix=/usr libdir=/usr/lib/tickbird systemdir=/usr/lib/tickbird/system.
set -eu
build=$1 version=$2 root=$3
here=$(dirname "$0")
umask 022
B=$build VERSION=$version DESTDIR=$root prefix=/usr libdir=/usr/lib/tickbird "$here/install.sh" install >/dev/null
strip --strip-unneeded --remove-section=.comment "$root/usr/bin/tickbird" "$root/usr/bin/tickbird-exporter" \
    "$root/usr/lib/tickbird"/libtickbird*.so.[0-9]* "$root/usr/lib/tickbird/libtickbird-i386.so"
gzip -9n "$root"/usr/share/man/man1/*.1
for file in tickbird-exporter.service tickbird-exporter.socket; do
    install -D -m 644 "$here/systemd/$file" "$root/usr/lib/systemd/system/$file"
done
install -D -m 644 "$here/systemd/tickbird.tmpfiles" "$root/usr/lib/tmpfiles.d/tickbird.conf"
install -D -m 644 "$here/systemd/tickbird.sysusers" "$root/usr/lib/sysusers.d/tickbird.conf"
