#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""On other releases, made by debootstrap: Debian 11 (glibc 2.31, gcc 10) and Ubuntu 22.04 (glibc 2.35). The archive made here, and the
Debian package made there, upgraded while a server runs, and removed. The nginx of that release is observed, and counts equal its
client's. Long: downloads."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, d) for d in ("../cli", "../compat", "../servers")]
import harness  # noqa: E402
import releases  # noqa: E402
from cli_lib import BUILD, ROOT, Skip, check, main, need, test  # noqa: E402
from machine_copy import on_a_copy  # noqa: E402

VERSION = pathlib.Path(ROOT, "VERSION").read_text(encoding="utf-8").strip()
CONF = """daemon off; pid /tmp/pid; error_log /tmp/error.log; user nobody nogroup; events {}
http { access_log off; server { listen 127.0.0.1:8080; location / { return 204; } location /gone { return 410; } } }
"""
# Asks what its arguments ask to start, prints what was answered, ends it.
CLIENT = """
import http.client, subprocess, sys, time
server = subprocess.Popen(sys.argv[1:])
between = sys.stdin.readline().split() # what is run half-way
end = time.monotonic() + 30
while True:
    try:
        client = http.client.HTTPConnection("127.0.0.1", 8080, timeout=20)
        client.connect()
        break
    except ConnectionRefusedError:
        assert time.monotonic() < end and server.poll() is None, "it does not listen"
        time.sleep(0.05)
got = {}
for i in range(60):
    if i == 30 and between:
        subprocess.run(between, check=True, stdout=subprocess.DEVNULL)
    client.request("GET", "/gone" if i % 3 == 0 else "/a")
    answer = client.getresponse()
    answer.read()
    got[answer.status] = got.get(answer.status, 0) + 1
client.close()
server.terminate()
server.wait()
print(*sorted(got.items()))
"""
ANSWERED = "(204, 40) (410, 20)\n"
SERIES = ['http_requests_total{service="nginx",method="GET",route="/a",status="204"} 40\n',
          'http_requests_total{service="nginx",method="GET",route="/gone",status="410"} 20\n']


def userland(release, *mirror):
    try:
        return releases.debian(release, *mirror)
    except harness.Missing as missing:
        raise Skip(str(missing)) from missing


def place(name, text):
    pathlib.Path(WORK, name).write_text(text, encoding="utf-8")


@test
def the_archive_works_there(_):
    root = userland("bullseye")
    subprocess.run(["packaging/dist.py", BUILD, VERSION, "1700000000", WORK], cwd=ROOT, check=True, capture_output=True, timeout=120)
    out, err = on_a_copy(WORK, f"""
tar -C /opt -xzf /tmp/tickbird-{VERSION}-linux-*.tar.gz
cd /opt/tickbird-{VERSION}-linux-*
python3 /tmp/client.py </dev/null bin/tickbird run -- nginx -c /tmp/nginx.conf
bin/tickbird-exporter --once
bin/tickbird install --system --everything >/dev/null
cat /etc/ld.so.preload; grep -c libtickbird.so.{VERSION} /proc/self/maps | sed s/[1-9].*/mapped/
bin/tickbird uninstall --system >/dev/null
ls /etc/ld.so.preload 2>/dev/null || echo gone
""", lower=root)
    check(out.startswith(ANSWERED) and all(line in out for line in SERIES), out)
    check(f"/$LIB/libtickbird.so.{VERSION}\nmapped\ngone\n" in out and not err, out[-2000:], err)


def is_built_and_works(root):
    """The package: built, used, upgraded below a server that runs, used again and removed."""
    need("git")
    with open(os.path.join(WORK, "sources.tar"), "wb") as f:
        subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, stdout=f)
    out, err = on_a_copy(WORK, f"""
mkdir /tmp/src; cd /tmp/src; tar -xf /tmp/sources.tar
apt-get -qq update >/dev/null 2>&1
packaging/setup.sh build >/dev/null 2>&1
apt-get -qq -y install --no-install-recommends dpkg-dev >/dev/null 2>&1
export SOURCE_DATE_EPOCH=1700000000
nice make -s -j2 deb WERROR=-Werror >/dev/null
packaging/deb.sh build/packaged {VERSION}.1 build/dist >/dev/null
dpkg -i build/dist/tickbird_{VERSION}-1_*.deb >/dev/null
mkdir -p /etc/tickbird; echo "include exe nginx" >/etc/tickbird/select
tickbird install --system >/dev/null
echo dpkg -i build/dist/tickbird_{VERSION}.1-1_*.deb | python3 /tmp/client.py nginx -c /tmp/nginx.conf
tickbird-exporter --once
echo "= upgraded"
dpkg-query -W tickbird
python3 /tmp/client.py nginx -c /tmp/nginx.conf </dev/null
tickbird-exporter --once
dpkg -r tickbird >/dev/null
ls /etc/ld.so.preload /usr/lib/tickbird 2>/dev/null || echo gone
""", lower=root, seconds=1500)
    first, upgraded, second = out.partition(f"= upgraded\ntickbird\t{VERSION}.1-1\n")
    check(upgraded, out, err)
    check(first.startswith(ANSWERED) and all(line in first for line in SERIES), out, err)
    check(second.startswith(ANSWERED) and all(re.sub(r"\d+$", lambda m: str(2 * int(m[0])), line.strip()) in second for line in SERIES), out, err)
    check("\ngone\nLEFT " in second, out[-2000:])
    check(not err, err)


@test
def the_package_works_on_debian_11(_):
    is_built_and_works(userland("bullseye"))


@test
def the_package_works_on_ubuntu_22_04(_):
    is_built_and_works(userland("jammy", releases.UBUNTU))


if not os.environ.get("TB_LONG"):
    print("long: make check-packaging")
    sys.exit(77)
WORK = tempfile.mkdtemp(prefix="tb-older-", dir="/tmp")
try:
    place("nginx.conf", CONF)
    place("client.py", CLIENT)
    main()
finally:
    shutil.rmtree(WORK, ignore_errors=True)
