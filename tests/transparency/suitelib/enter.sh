#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Makes a private root and runs a script in it. Started by userland.py as root inside new mount, pid, ipc, uts (and, for
# runs, net) namespaces, so that nothing of it is left on the machine: the mounts, processes and ports go with them.
#
# From the environment: LAYERS (overlay lower directories, uppermost first), WORK (an empty directory), UPPER (kept; unset:
# in memory), RESULTS (bound to /results), OBJECT_DIR (bound to /opt/preload), PRELOAD (file or env: how OBJECT is
# preloaded; none), OBJECT (path inside), ARCHIVES (shared package cache, for preparation), AS (user), SCRIPT (path on the
# host, bound to /run/script), EXPORTER and METRICS (scrape the regions at the end into that file).
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755 work "$WORK"
mkdir "$WORK/root" "$WORK/work" "$WORK/upper"
if [ -n "${UPPER:-}" ]; then
    mkdir -p "$UPPER" "$UPPER.work"
    mount -t overlay -o "lowerdir=$LAYERS,upperdir=$UPPER,workdir=$UPPER.work" overlay "$WORK/root"
else
    mount -t overlay -o "lowerdir=$LAYERS,upperdir=$WORK/upper,workdir=$WORK/work" overlay "$WORK/root"
fi
root=$WORK/root
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs -o mode=755 dev "$root/dev"
for d in null zero full random urandom tty; do : >"$root/dev/$d" && mount --bind "/dev/$d" "$root/dev/$d"; done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for n in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${n%:*}" "$root/dev/${n#*:}"; done
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
mount -t tmpfs -o mode=755 run "$root/run"
mkdir -p "$root/run/lock" "$root/results"
mount --bind "$RESULTS" "$root/results"
install -m 755 "$SCRIPT" "$root/run/script"
cp "$root/etc/hosts.suites" "$root/etc/hosts" 2>/dev/null || :

if [ -n "${ARCHIVES:-}" ]; then
    mount --bind "$ARCHIVES" "$root/var/cache/apt/archives"
    cp -L /etc/resolv.conf "$root/etc/resolv.conf"
    exec chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive /bin/bash /run/script
fi

# The run itself: only loopback. The regions' directory exists with and without the object, so that nothing else differs.
ip link set lo up
mkdir -m 3773 "$root/dev/shm/tickbird"
env_preload=
if [ "$PRELOAD" != none ]; then
    mkdir "$root/opt/preload"
    mount --bind -o ro "$OBJECT_DIR" "$root/opt/preload"
    case $PRELOAD in
    file) echo "$OBJECT" >"$root/etc/ld.so.preload" ;;
    env) env_preload=LD_PRELOAD=$OBJECT ;;
    esac
fi
ulimit -c 0
ulimit -Sn 1024
ulimit -Hn 4096
status=0
# shellcheck disable=SC2086  # empty or one word
chroot "$root" /usr/bin/setpriv --reuid "$AS" --regid "$AS" --clear-groups /usr/bin/env -i HOME=/home/tester USER=tester \
    LOGNAME=tester SHELL=/bin/bash PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin LC_ALL=C.UTF-8 TZ=UTC QUICK="${QUICK:-}" \
    TICKBIRD_DIR=/dev/shm/tickbird $env_preload /bin/bash /run/script </dev/null || status=$?
times >"$RESULTS/times"
find "$root/dev/shm/tickbird" -name 'tb1-*' | wc -l >"$RESULTS/regions"
if [ -n "${EXPORTER:-}" ]; then
    mkdir "$WORK/storage"
    "$EXPORTER" --once --region.dir "$root/dev/shm/tickbird" --storage.path "$WORK/storage" >"$METRICS" || :
fi
exit $status
