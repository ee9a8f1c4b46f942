#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""On an older release (Debian 11: glibc 2.31, gcc 10, made by debootstrap): the archive made here, and the Debian package made there.
The nginx of that release is observed, and counts equal its client's. Long: downloads."""
import os
import pathlib
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


def bullseye():
    try:
        return releases.debian("bullseye")
    except harness.Missing as missing:
        raise Skip(str(missing)) from missing


def place(name, text):
    pathlib.Path(WORK, name).write_text(text, encoding="utf-8")


@test
def the_archive_works_there(_):
    root = bullseye()
    subprocess.run(["packaging/dist.py", BUILD, VERSION, "1700000000", WORK], cwd=ROOT, check=True, capture_output=True, timeout=120)
    out, err = on_a_copy(WORK, f"""
tar -C /opt -xzf /tmp/tickbird-{VERSION}-linux-*.tar.gz
cd /opt/tickbird-{VERSION}-linux-*
python3 /tmp/client.py bin/tickbird run -- nginx -c /tmp/nginx.conf
bin/tickbird-exporter --once
bin/tickbird install --system --everything >/dev/null
cat /etc/ld.so.preload; grep -c libtickbird.so.{VERSION} /proc/self/maps | sed s/[1-9].*/mapped/
bin/tickbird uninstall --system >/dev/null
ls /etc/ld.so.preload 2>/dev/null || echo gone
""", lower=root)
    check(out.startswith(ANSWERED) and all(line in out for line in SERIES), out)
    check(f"/$LIB/libtickbird.so.{VERSION}\nmapped\ngone\n" in out and not err, out[-2000:], err)


@test
def the_package_is_built_and_works_there(_):
    need("git")
    root = bullseye()
    with open(os.path.join(WORK, "sources.tar"), "wb") as f:
        subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, stdout=f)
    out, err = on_a_copy(WORK, f"""
mkdir /tmp/src; cd /tmp/src; tar -xf /tmp/sources.tar
apt-get -qq update >/dev/null 2>&1
packaging/setup.sh build >/dev/null 2>&1
apt-get -qq -y install --no-install-recommends dpkg-dev >/dev/null 2>&1
nice make -s -j2 deb WERROR=-Werror SOURCE_DATE_EPOCH=1700000000 >/dev/null
dpkg -i build/dist/tickbird_{VERSION}-1_*.deb >/dev/null
mkdir -p /etc/tickbird; echo "include exe nginx" >/etc/tickbird/select
tickbird install --system >/dev/null
python3 /tmp/client.py nginx -c /tmp/nginx.conf
tickbird-exporter --once
dpkg -r tickbird >/dev/null
ls /etc/ld.so.preload /usr/lib/tickbird 2>/dev/null || echo gone
""", lower=root, seconds=1500)
    check(out.startswith(ANSWERED) and all(line in out for line in SERIES), out, err)
    check("\ngone\nLEFT " in out, out[-2000:])
    check(not err, err)


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
