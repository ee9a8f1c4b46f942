# SPDX-License-Identifier: Apache-2.0
"""The userland that the suites of other projects run in.

One Debian release, made by debootstrap in the cache directory and never changed afterwards; over it one overlay layer for
each suite, with its packages, sources and build; over that, for each run, a layer in memory. So a run with and one
without the object begin from the same bytes, whatever the machine has installed, and nothing of them is left.

Needs root (or sudo), debootstrap, overlayfs and namespaces. Files under CACHE only.
"""
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
RELEASE = "bookworm"
CACHE = os.environ.get("TICKBIRD_TEST_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "tickbird", "transparency")
BASE_PACKAGES = "ca-certificates procps iproute2 util-linux build-essential pkg-config python3 perl"
# From the archive that debootstrap chose. Not the security archive: programs and test suites shall be of the same source,
# which mirrors of it do not always carry.
BASE_SCRIPT = f"""set -eu
mirror=$(sed -n 's/^deb \\([^ ]*\\).*/\\1/p;q' /etc/apt/sources.list)
for kind in deb deb-src; do
    for suite in {RELEASE} {RELEASE}-updates; do echo "$kind $mirror $suite main"; done
done >/etc/apt/sources.list
printf 'APT::Install-Recommends "0";\\nAPT::Sandbox::User "root";\\nDpkg::Options {{"--force-unsafe-io";}};\\n' >/etc/apt/apt.conf.d/90suites
printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get update -q
apt-get dist-upgrade -y -q
apt-get install -y -q {BASE_PACKAGES}
groupadd -g 1000 tester
useradd -u 1000 -g 1000 -m -s /bin/bash tester
printf '127.0.0.1 localhost suites\\n::1 localhost ip6-localhost ip6-loopback\\n' >/etc/hosts
cp /etc/hosts /etc/hosts.suites
"""

LAYER_SCRIPT = """set -eu
[ -z "{packages}" ] || apt-get install -y -q {packages}
mkdir -p /suite
cd /suite
[ -z "{sources}" ] || (apt-get source -q --download-only {sources} && for f in *.dsc; do dpkg-source --no-check -x "$f"; done)
{versions}
{prepare}
rm -f /suite/*.orig*.tar.* /suite/*.debian.tar.* /suite/*.asc
chown -R tester:tester /suite
"""
VERSIONS = r"""{ for p in $(echo PACKAGES | tr ' ' '\n' | sed 's/=.*//'); do dpkg-query -W -f '${source:Package} ${source:Version}\n' "$p"; done
for f in *.dsc; do [ -e "$f" ] && sed -n '/^Source:/{s/.*: //;h};/^Version:/{s/.*: //;H;x;s/\n/ /;p;q}' "$f"; done; } | sort -u >/suite/versions
"""


def fail(message):
    sys.exit(f"check-transparency: {message}")


def enter(script, log, seconds, net, **variables):
    """Runs @script (text) by enter.sh in namespaces of its own; its exit status, or "timeout"."""
    work = tempfile.mkdtemp(prefix="tickbird-suite-")
    path = os.path.join(work, "script")
    with open(path, "w") as f:
        f.write(script)
    os.mkdir(os.path.join(work, "mnt"))
    env = {"PATH": os.environ["PATH"], "WORK": os.path.join(work, "mnt"), "SCRIPT": path, **variables}
    argv = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--ipc", "--uts", *(["--net"] if net else []),
            "/bin/bash", os.path.join(HERE, "enter.sh")]
    with open(log, "wb") as out:
        child = subprocess.Popen(argv, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=env,
                                 start_new_session=True)
        watch = Watch(child.pid)
        try:
            status = child.wait(seconds)
        except subprocess.TimeoutExpired:
            status = "timeout"
            child.kill()  # --kill-child: the first process of the pid namespace dies, and so do all in it
            child.wait()
        except BaseException:
            child.kill()
            child.wait()
            raise
        finally:
            watch.stop()
            shutil.rmtree(work, ignore_errors=True)
    return status, watch


class Watch(threading.Thread):
    """Looks from outside, ten times a second, at which processes of the sandbox have the object mapped."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.root, self.mapped, self.unmapped, self.over = pid, set(), {}, threading.Event()
        self.start()

    def stop(self):
        self.over.set()
        self.join()

    def run(self):
        while not self.over.wait(0.1):
            try:
                space = os.readlink(f"/proc/{self.root}/ns/pid_for_children")
            except OSError:
                continue
            if space == os.readlink("/proc/self/ns/pid"):
                continue
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    if os.readlink(f"/proc/{pid}/ns/pid") == space:
                        self.look(pid)
                except OSError:
                    pass  # gone

    def look(self, pid):
        with open(f"/proc/{pid}/stat") as f:
            key = (pid, f.read().rsplit(")", 1)[1].split()[19])
        if key in self.mapped:
            return
        with open(f"/proc/{pid}/maps") as f:
            maps = f.read()
        if "/opt/preload/" in maps:
            self.mapped.add(key)
            self.unmapped.pop(key, None)
        elif maps:
            self.unmapped[key] = os.readlink(f"/proc/{pid}/exe")

    def inside(self):
        return len(self.mapped)


def stamp_of(*texts):
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def is_stamped(path, stamp):
    try:
        with open(path + ".stamp") as f:
            return f.read() == stamp
    except OSError:
        return False


def set_stamp(path, stamp):
    with open(path + ".stamp", "w") as f:
        f.write(stamp)


def ensure_base():
    if os.geteuid() != 0:
        fail("needs root: it makes private namespaces and a Debian userland of its own: sudo make check-transparency")
    for tool in ("debootstrap", "unshare", "ip"):
        if not shutil.which(tool):
            fail(f"{tool} is missing: packaging/setup.sh suites")
    os.makedirs(CACHE, exist_ok=True)
    base, stamp = os.path.join(CACHE, "base"), stamp_of(BASE_SCRIPT, RELEASE)
    if is_stamped(base, stamp):
        return base
    print(f"making the userland in {CACHE} (Debian {RELEASE}) ...", flush=True)
    for path in (base, base + ".boot", base + ".work"):
        shutil.rmtree(path, ignore_errors=True)
    with open(base + ".log", "wb") as out:
        if subprocess.call(["debootstrap", "--variant=minbase", RELEASE, base + ".boot"], stdout=out, stderr=subprocess.STDOUT) != 0:
            fail(f"debootstrap failed: see {base}.log")
    prepare(BASE_SCRIPT, base + ".boot", base, 1800)
    set_stamp(base, stamp)
    return base


def prepare(script, layers, upper, seconds):
    archives = os.path.join(CACHE, "archives")
    os.makedirs(os.path.join(archives, "partial"), exist_ok=True)
    with tempfile.TemporaryDirectory() as nothing:
        status, _ = enter(script, upper + ".log", seconds, False, LAYERS=layers, UPPER=upper, RESULTS=nothing,
                          ARCHIVES=archives)
    if status != 0:
        fail(f"preparing {os.path.basename(upper)} failed ({status}): see {upper}.log")
    shutil.rmtree(upper + ".work", ignore_errors=True)


def layers_of(base):
    return f"{base}:{base}.boot"


def ensure_layer(recipe, base):
    """The layer of a suite: its packages, sources and build. Made once, again when the recipe's preparation changes."""
    layer = os.path.join(CACHE, "layers", recipe.name)
    versions = VERSIONS.replace("PACKAGES", f"'{recipe.packages}'")
    script = LAYER_SCRIPT.format(packages=recipe.packages, sources=recipe.sources, versions=versions,
                                 prepare=recipe.prepare)
    stamp = stamp_of(BASE_SCRIPT, script)
    if not is_stamped(layer, stamp):
        print(f"{recipe.name}: preparing ...", flush=True)
        began = time.monotonic()
        for path in (layer, layer + ".work"):
            shutil.rmtree(path, ignore_errors=True)
        os.makedirs(layer)
        prepare(script, layers_of(base), layer, 2400)
        set_stamp(layer, stamp)
        print(f"{recipe.name}: prepared in {time.monotonic() - began:.0f} s", flush=True)
    return layer


def versions_of(recipe):
    try:
        with open(os.path.join(CACHE, "layers", recipe.name, "suite", "versions")) as f:
            return [tuple(line.split()) for line in f if line.strip()]
    except OSError:
        return []


def metrics(path):
    """Requests, client requests and regions that the exporter saw at the end of a run."""
    totals = {"requests": 0, "client": 0, "given_up": 0}
    names = {"http_requests_total": "requests", "http_client_requests_total": "client",
             "tickbird_connections_given_up_total": "given_up"}
    try:
        with open(path) as f:
            for line in f:
                found = re.match(r"(\w+)(?:\{.*\})? ([0-9.e+]+)", line)
                if found and found.group(1) in names:
                    totals[names[found.group(1)]] += int(float(found.group(2)))
    except OSError:
        pass
    return totals
