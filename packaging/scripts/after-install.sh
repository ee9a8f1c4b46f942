#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# After the files are there: the user, the directory of regions. Where the whole machine is preloaded, the new object takes
# the old one's place; programs that run keep theirs.
set -e
case ${1-configure} in
configure | [1-9]*)
    if command -v systemd-sysusers >/dev/null 2>&1; then
        systemd-sysusers tickbird.conf
        systemd-tmpfiles --create tickbird.conf || true
    elif ! getent group tickbird >/dev/null; then
        groupadd --system tickbird
        useradd --system --gid tickbird --home-dir /var/lib/tickbird --no-create-home --shell /usr/sbin/nologin tickbird
    fi
    if grep -qs '^[^#]*/usr/lib/tickbird/system/' /etc/ld.so.preload; then
        tickbird install --system --everything >/dev/null
    fi
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload || true
        systemctl try-restart tickbird-exporter.service || true
    fi
    ;;
esac
