#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The Debian package and the rpm: judged by their tools, then installed, upgraded and removed on a copy of this machine (an
overlay, seen in a mount namespace only), with every program preloaded meanwhile. Long: they are built apart."""
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../cli"))
from cli_lib import BUILD, ROOT, check, main, need, test  # noqa: E402
from machine_copy import on_a_copy  # noqa: E402

PACKAGED = os.path.join(BUILD, "packaged")
VERSION = open(os.path.join(ROOT, "VERSION"), encoding="utf-8").read().strip()


def package(program, version, *env):
    done = subprocess.run([f"packaging/{program}.sh", PACKAGED, version, WORK], cwd=ROOT, capture_output=True, text=True, timeout=300,
                          env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"})
    check(done.returncode == 0 and not done.stderr, done)
    return done.stdout.split()[-1]


@test
def the_debian_package_is_judged_clean(_):
    need("lintian", "dpkg-deb")
    path = package("deb", VERSION)
    with open(path, "rb") as f:
        first = f.read()
    with open(package("deb", VERSION), "rb") as f:
        check(f.read() == first, "not the same bytes twice")
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "warning", path], capture_output=True, text=True)
    check(done.returncode == 0 and not done.stdout, done)


@test
def the_debian_package_comes_and_goes_without_a_word(_):
    need("dpkg-deb")
    package("deb", VERSION)
    package("deb", VERSION + ".1")
    out, err = on_a_copy(WORK, f"""
dpkg -i /tmp/tickbird_{VERSION}-1_*.deb >/dev/null
getent passwd tickbird | cut -d: -f1,6
mkdir -p /etc/systemd/system /etc/tickbird; echo "include exe nginx" >/etc/tickbird/select
echo [Service] >/etc/systemd/system/shop.service; tickbird enable --root / shop >/dev/null
grep -c /usr/lib/tickbird/libtickbird.so /etc/systemd/system/shop.service.d/90-tickbird.conf
rm /etc/systemd/system/shop.service
tickbird install --system >/dev/null; cat /etc/ld.so.preload
dpkg -i /tmp/tickbird_{VERSION}.1-1_*.deb >/dev/null
grep -c libtickbird.so.{VERSION} /proc/self/maps | sed s/[1-9].*/mapped/
ls /usr/lib/tickbird
dpkg -r tickbird >/dev/null
ls /etc/ld.so.preload /usr/lib/tickbird 2>/dev/null || echo gone
ls /etc/tickbird
dpkg -P tickbird >/dev/null
""")
    lines = out.splitlines(keepends=True)
    said, left = ("".join(line for line in lines if line.startswith("LEFT ") == is_left) for is_left in (False, True))
    check(all(line.startswith("Creating ") for line in err.splitlines()), err)  # systemd-sysusers
    check(said.startswith(f"tickbird:/var/lib/tickbird\n1\n/usr/lib/tickbird/system/$LIB/libtickbird.so.{VERSION}\nmapped\n"), out)
    check(f"libtickbird.so.{VERSION}.1\n" in said and said.endswith("gone\nselect\n"), out)
    # sysusers keeps a user, as Debian does: its files' owner must not become somebody else. Back-ups of passwd are its own.
    ours = [line for line in left.splitlines() if not line.startswith(("LEFT ./tmp/", "LEFT ./var/log/", "LEFT ./var/lib/dpkg/",
                                                                       "LEFT ./var/cache/")) and line[-1] != "-"]
    check(not ours, ours)


@test
def the_rpm_is_built_and_comes_and_goes(_):
    need("rpmbuild", "rpm")
    path, newer = package("rpm", VERSION), package("rpm", VERSION + ".1")
    listed = subprocess.run(["rpm", "-qlp", path], capture_output=True, text=True).stdout.splitlines()
    check({"/usr/bin/tickbird-exporter", "/usr/include/tickbird.h", f"/usr/lib/tickbird/libtickbird.so.{VERSION}"} <= set(listed), listed)
    needs = subprocess.run(["rpm", "-qp", "--requires", path], capture_output=True, text=True).stdout
    check("libmicrohttpd.so.12" in needs and "libtickbird" not in needs, needs)
    out, err = on_a_copy(WORK, f"""
rpm --dbpath /tmp/db --initdb
rpm --dbpath /tmp/db -i --nodeps --force-debian /tmp/{os.path.basename(path)}
tickbird install --system --everything >/dev/null
cat /etc/ld.so.preload
rpm --dbpath /tmp/db -U --nodeps --force-debian /tmp/{os.path.basename(newer)}
rpm --dbpath /tmp/db -q tickbird
grep -c libtickbird.so /proc/self/maps | sed s/[1-9].*/mapped/
ls /usr/lib/tickbird/libtickbird.so.*
rpm --dbpath /tmp/db -e tickbird --force-debian
ls /etc/ld.so.preload /usr/lib/tickbird /usr/bin/tickbird 2>/dev/null || echo gone
""")
    said, left = out.split("\ngone\nLEFT ")[0].splitlines(), out.partition("\ngone\n")[2]
    check(left and said == [f"/usr/lib/tickbird/system/$LIB/libtickbird.so.{VERSION}", f"tickbird-{VERSION}.1-1.x86_64", "mapped",
                            f"/usr/lib/tickbird/libtickbird.so.{VERSION}.1"], (out, err))
    check("ld.so" not in err and "LEFT ./usr" not in out, (out, err))


if not os.environ.get("TB_LONG"):
    print("long: make check-packaging")
    sys.exit(77)
if not os.path.exists(PACKAGED + "/tickbird"):
    subprocess.run(["make", "-s", "-j2", "-C", ROOT, "deb", "B=" + os.path.relpath(BUILD, ROOT)], check=True, stdout=sys.stderr)
WORK = tempfile.mkdtemp(prefix="tb-packages-", dir="/tmp")
try:
    main()
finally:
    shutil.rmtree(WORK, ignore_errors=True)
