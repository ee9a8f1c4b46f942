#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Before the files go (not for an upgrade): no program that starts from now on may be told to load the object.
set -e
case ${1-remove} in
remove | 0)
    tickbird uninstall --system
    for file in /etc/systemd/system/*.service.d/90-tickbird.conf; do
        [ -f "$file" ] || continue
        unit=${file%/*}
        unit=${unit##*/}
        tickbird disable --root / "${unit%.d}" >/dev/null
    done
    if [ -d /run/systemd/system ]; then
        systemctl --no-reload disable --now tickbird-exporter.service tickbird-exporter.socket >/dev/null 2>&1 || true
        systemctl daemon-reload || true
    fi
    ;;
esac
