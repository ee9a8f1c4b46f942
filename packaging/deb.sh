#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# deb.sh BUILD VERSION OUTPUT: the Debian package, made with dpkg's own tools. SOURCE_DATE_EPOCH is the time of its files.
set -eu
build=$(realpath "$1") version=$2
mkdir -p "$3"
output=$(realpath "$3")
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/debian/tickbird
architecture=$(dpkg --print-architecture)
umask 022

packaging/stage.sh "$build" "$version" "$root"
documents=$root/usr/share/doc/tickbird
mkdir -p "$documents" "$root/usr/share/lintian/overrides" "$root/DEBIAN"
for file in docs/*.md SECURITY.md; do
    install -m 644 "$file" "$documents"
done
{
    echo "tickbird ($version-1) unstable; urgency=medium"
    printf '\n  * See CHANGELOG.md.\n\n'
    echo " -- Tickbird maintainers <maintainers@tickbird.invalid>  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")"
} | gzip -9n >"$documents/changelog.Debian.gz"
gzip -9n <CHANGELOG.md >"$documents/changelog.gz"
cat >"$documents/copyright" <<END
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: tickbird

Files: *
Copyright: 2026 the Tickbird authors
License: Apache-2.0
 On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.
END
cat >"$root/usr/share/lintian/overrides/tickbird" <<END
# For 32-bit programs of a machine that is preloaded as a whole: it holds no code.
tickbird: binary-from-other-architecture [usr/lib/tickbird/libtickbird-i386.so]
tickbird: shared-library-lacks-prerequisites [usr/lib/tickbird/libtickbird-i386.so]
# It is preloaded into programs of any C library, so it depends on none.
tickbird: shared-library-lacks-prerequisites [usr/lib/tickbird/libtickbird.so.$version]
# Only where systemd runs, and never to start what nobody asked for.
tickbird: maintainer-script-calls-systemctl
# Not in the archive of Debian.
tickbird: initial-upload-closes-no-bugs
END
install -m 755 packaging/scripts/after-install.sh "$root/DEBIAN/postinst"
install -m 755 packaging/scripts/before-removal.sh "$root/DEBIAN/prerm"
install -m 755 packaging/scripts/after-purge.sh "$root/DEBIAN/postrm"

printf 'Source: tickbird\n\nPackage: tickbird\nArchitecture: any\n' >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O "$root/usr/bin/tickbird" "$root/usr/bin/tickbird-exporter" | sed 's/^shlibs:Depends=//')
cat >"$root/DEBIAN/control" <<END
Package: tickbird
Version: $version-1
Architecture: $architecture
Maintainer: Tickbird maintainers <maintainers@tickbird.invalid>
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: $depends
Section: net
Priority: optional
Description: HTTP request metrics of unmodified servers
 Counts requests, errors and latencies by method, route and status of an HTTP
 server that is left as it is, by an object that is preloaded into it, and
 serves them to Prometheus.
END
(cd "$root" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" '{}' +
dpkg-deb --root-owner-group -Zxz --build "$root" "$output/tickbird_$version-1_$architecture.deb" >/dev/null
echo "  DEB     $output/tickbird_$version-1_$architecture.deb"
