#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The Debian package under a real systemd as the first process of a machine of its own: an overlay of this one with its own
processes, network, mounts and control groups. The package comes, its units run, a service and two instances of a template are
enabled, the package is upgraded while they serve, and goes. Long: two packages are built."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../cli"))
from cli_lib import BUILD, ROOT, Skip, check, main, need, test, wait_for  # noqa: E402

PACKAGED = os.path.join(BUILD, "packaged")
with open(os.path.join(ROOT, "VERSION"), encoding="utf-8") as version_file:
    VERSION = version_file.read().strip()
GROUPS = "/sys/fs/cgroup"
WITHOUT = "-sys_module,-sys_time,-sys_rawio,-sys_boot,-syslog,-mknod"  # what could reach out of the namespaces

# Becomes the first process of the new machine; what systemd would find missing or could change elsewhere is made its own.
FIRST = """set -eu
mount -t tmpfs tmpfs {work}/top
mkdir {work}/top/upper {work}/top/work {work}/top/root
r={work}/top/root
mount -t overlay overlay -o lowerdir=/,upperdir={work}/top/upper,workdir={work}/top/work $r
mount -t proc proc $r/proc
mount --bind $r/proc/sys $r/proc/sys
mount -o remount,bind,ro $r/proc/sys
for d in run tmp dev sys; do mount -t tmpfs -o mode=755 tmpfs $r/$d; done
chmod 1777 $r/tmp
mkdir $r/dev/shm $r/dev/pts
mount -t tmpfs tmpfs $r/dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts $r/dev/pts
ln -s pts/ptmx $r/dev/ptmx
for n in null,1,3 zero,1,5 full,1,7 random,1,8 urandom,1,9 tty,5,0; do
    IFS=,; set -- $n; unset IFS; mknod -m 666 $r/dev/$1 c $2 $3
done
mkdir -p $r/sys/fs/cgroup/systemd $r/sys/fs/cgroup/unified
if [ -d {groups}/systemd ]; then mount -t cgroup -o none,name=systemd cgroup $r/sys/fs/cgroup/systemd; fi
if [ -d {groups}/unified ]; then mount -t cgroup2 cgroup2 $r/sys/fs/cgroup/unified; fi
if [ -e {groups}/cgroup.procs ]; then mount -t cgroup2 cgroup2 $r/sys/fs/cgroup; fi
mount -o remount,ro $r/sys
rm -rf $r/etc/ld.so.preload $r/etc/systemd/system $r/var/lib/tickbird $r/etc/tickbird
mkdir $r/etc/systemd/system
mount --bind {work} $r/mnt
cp {work}/*.service {work}/*.target $r/etc/systemd/system
ip link set lo up
mkdir $r/before
cd $r
pivot_root . before
umount -l /before
exec setpriv --bounding-set {without} env -i container=tickbird PATH=/usr/sbin:/usr/bin:/sbin:/bin \\
    /lib/systemd/systemd --system --unit=told.target --show-status=0 --log-target=null </dev/null
"""
TARGET = "[Unit]\nRequires=basic.target\nAfter=basic.target\nWants=told.service\n"
TOLD = """[Unit]
After=basic.target
[Service]
Type=oneshot
ExecStart=/bin/sh /mnt/script
ExecStopPost=/bin/systemctl --no-block exit
"""
SHOP = """[Service]
ExecStart=/usr/bin/python3 -m http.server --bind 127.0.0.1 %i
WorkingDirectory=/mnt/pages
"""
SCRIPT = f"""exec >/mnt/out 2>&1
get() {{ for i in $(seq $1); do curl -s -o /dev/null --noproxy '*' --retry 100 --retry-connrefused --retry-delay 1 $2; done; }}
series() {{
    echo "= $1"
    curl -s --noproxy '*' --retry 100 --retry-connrefused --retry-delay 1 127.0.0.1:8425/metrics | grep -E '^http_requests_total.* [1-9]'
}}
dpkg -i /mnt/tickbird_{VERSION}-1_*.deb >/dev/null 2>&1 || echo "not installed"
stat -c '%a %U %G' /dev/shm/tickbird
rm -f /etc/nginx/sites-enabled/*
echo 'server {{ listen 127.0.0.1:80; location / {{ return 204; }} }}' >/etc/nginx/conf.d/told.conf
for unit in nginx shop@8101 shop@; do tickbird enable $unit >/dev/null; done
systemctl start nginx shop@8101 shop@8102 tickbird-exporter
get 10 127.0.0.1/a; get 3 127.0.0.1:8101/; get 5 127.0.0.1:8102/
series first
dpkg -i /mnt/tickbird_{VERSION}.1-1_*.deb >/dev/null 2>&1 || echo "not upgraded"
systemctl is-active tickbird-exporter nginx
get 4 127.0.0.1/a
series upgraded
systemctl restart nginx
get 6 127.0.0.1/a
series restarted
tickbird disable nginx
systemctl restart nginx
grep -c tickbird /proc/$(cat /run/nginx.pid)/maps
systemctl stop tickbird-exporter
echo TICKBIRD_WEB_SYSTEMD_SOCKET=1 >/etc/default/tickbird-exporter
systemctl start tickbird-exporter.socket
series activated
dpkg -r tickbird >/dev/null 2>&1 || echo "not removed"
systemctl is-active tickbird-exporter nginx shop@8101
ls -d /etc/systemd/system/*.d
systemctl restart shop@8101
curl -s -o /dev/null --noproxy '*' --retry 100 --retry-connrefused --retry-delay 1 -w '%{{http_code}}\\n' 127.0.0.1:8101/
"""


def place(name, text):
    with open(os.path.join(WORK, name), "w", encoding="utf-8") as f:
        f.write(text)


def control_groups():
    """New groups of this process's children, in the hierarchies that systemd wants to write to."""
    return [os.path.join(d, f"tb-systemd-{os.getpid()}") for d in (GROUPS + "/systemd", GROUPS + "/unified", GROUPS)
            if os.path.exists(d + "/cgroup.procs") and os.access(d + "/cgroup.procs", os.W_OK)]


def is_removed(group):
    subprocess.run(["find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"], capture_output=True, check=False)
    return not os.path.isdir(group)


def boot(seconds):
    """Runs the script; returns what it said. Ends every process of the new machine, and its control groups."""
    groups = control_groups()
    place("first", FIRST.format(work=WORK, groups=GROUPS, without=WITHOUT))
    join = "".join(f"mkdir {g}; echo $$ >{g}/cgroup.procs; " for g in groups)
    argv = ["sh", "-euc", join + f"exec unshare -m -p -f -u -i -n -C --kill-child --propagation private sh {WORK}/first"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    except subprocess.TimeoutExpired as late:
        done = late
    finally:
        for group in groups:  # the last processes may just be ending
            wait_for(f"{group} is empty", lambda group=group: is_removed(group))
    try:
        with open(WORK + "/out", encoding="utf-8") as f:
            return f.read()
    except FileNotFoundError as missing:
        raise Skip(f"no systemd can be started here: {str(done.stderr or done)[-300:]}") from missing


def counts(said, when):
    """(service, route) -> requests, of one scrape."""
    part = said.split(f"= {when}\n")[1]
    lines = part.split("\n= ")[0].splitlines()
    found = (re.match(r'http_requests_total\{service="([^"]*)",.*route="([^"]*)".*\} (\d+)$', line) for line in lines)
    return {(m.group(1), m.group(2)): int(m.group(3)) for m in found if m}


@test
def a_systemd_runs_what_the_package_brings(_):
    need("dpkg-deb", "nginx", "curl", "unshare", "setpriv", "systemctl")
    if os.geteuid() != 0:
        raise Skip("needs root")
    for version in (VERSION, VERSION + ".1"):
        subprocess.run(["packaging/deb.sh", PACKAGED, version, WORK], cwd=ROOT, check=True, capture_output=True, timeout=300,
                       env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"})
    os.makedirs(WORK + "/top")
    os.makedirs(WORK + "/pages")
    for name, text in (("told.target", TARGET), ("told.service", TOLD), ("shop@.service", SHOP), ("script", SCRIPT)):
        place(name, text)
    said = boot(400)
    shops = {("shop@8101", "/"): 3, ("shop@8102", "/"): 5}
    check(said.startswith("3773 root tickbird\n") and not re.search("^not ", said, re.M), said)
    check(counts(said, "first") == {("nginx", "/a"): 10, **shops}, said)
    check(counts(said, "upgraded") == {("nginx", "/a"): 14, **shops} and "\nactive\nactive\n= upgraded" in said, said)
    check(counts(said, "restarted") == {("nginx", "/a"): 20, **shops}, said)
    check("\n0\n= activated\n" in said and counts(said, "activated") == {("nginx", "/a"): 20, **shops}, said)
    check(re.search(r"\ninactive\nactive\nactive\nls: .*\n200\n$", said), said)


if not os.environ.get("TB_LONG"):
    print("long: make check-packaging")
    sys.exit(77)
if not os.path.exists(PACKAGED + "/tickbird"):
    subprocess.run(["make", "-s", "-j2", "-C", ROOT, "deb", "B=" + os.path.relpath(BUILD, ROOT)], check=True, stdout=sys.stderr)
WORK = tempfile.mkdtemp(prefix="tb-systemd-", dir="/tmp")
try:
    main()
finally:
    shutil.rmtree(WORK, ignore_errors=True)
