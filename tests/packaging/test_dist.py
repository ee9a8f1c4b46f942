#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The self-contained archive (packaging/dist.py): the same bytes each time, true checksums and SBOM, and that its programs
work in a root file system with nothing else in it. With
TB_LONG it is built from two copies of the sources as well."""
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../cli"))
from cli_lib import BUILD, ROOT, Skip, check, main, need, read_line, test  # noqa: E402

EPOCH = "1700000000"
archives = {}  # name -> directory of what dist.py made


def dist(work, name, build=BUILD, sources=ROOT, **env):
    out = os.path.join(work, name)
    done = subprocess.run(["packaging/dist.py", build, "1.2.3", EPOCH, out], cwd=sources, capture_output=True, timeout=120,
                          env={**os.environ, **env}, text=True)
    check(done.returncode == 0, done.stderr)
    return {n: open(os.path.join(out, n), "rb").read() for n in sorted(os.listdir(out))}


def archive(work):
    """Path of an archive, made once."""
    if "path" not in archives:
        dist(work, "dist")
        archives["path"] = next(os.path.join(work, "dist", n) for n in os.listdir(work + "/dist") if n.endswith(".tar.gz"))
    return archives["path"]


class Chroot:
    """A root file system with the archive in it, /proc, and a /dev/shm of its own; nothing else."""

    def __init__(self, work, name):
        self.path = os.path.join(work, name)
        for d in ("proc", "dev/shm", "tmp"):
            os.makedirs(os.path.join(self.path, d))
        with tarfile.open(archive(work)) as tar:
            tar.extractall(self.path, filter="tar") if hasattr(tarfile, "tar_filter") else tar.extractall(self.path)
        self.top = "/" + next(n for n in os.listdir(self.path) if n.startswith("tickbird-"))

    def argv(self, *commands):
        """Several commands, one after the other, in one mount and pid namespace; each is a list of words."""
        setup = ("mount -t tmpfs tmpfs $R/dev/shm && mount -t proc proc $R/proc && cd / && "
                 + " && ".join("chroot $R " + " ".join(c) for c in commands))
        return ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", f"R={self.path}", "unshare", "-m", "-p", "-f",
                "--kill-child", "/bin/sh", "-c", setup]

    def run(self, *commands):
        done = subprocess.run(self.argv(*commands), capture_output=True, timeout=60, text=True)
        check(done.returncode == 0 and not done.stderr, done)
        return done.stdout


def need_root():
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        raise Skip("no mount namespace can be made")


@test
def the_same_build_gives_the_same_bytes(s):
    old = os.umask(0o077)
    try:
        first, second = dist(WORK, "first"), dist(WORK, "second", TZ="Asia/Tokyo", LC_ALL="C")
    finally:
        os.umask(old)
    check(first == second, [n for n in first if first[n] != second.get(n)])
    with tarfile.open(archive(WORK)) as tar:
        entries = tar.getmembers()
    check([e.name for e in entries] == sorted(e.name for e in entries), "not sorted")
    check({(e.uid, e.gid, e.uname, e.mtime) for e in entries} == {(0, 0, "root", int(EPOCH))}, "owners or times")
    check({e.mode for e in entries if not e.issym()} == {0o755, 0o644}, "modes")


@test
def checksums_and_the_bill_of_materials_are_true(s):
    folder = os.path.dirname(archive(WORK))
    done = subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=folder, capture_output=True, text=True)
    check(done.returncode == 0 and done.stdout.count(": OK") == 2, done)
    with open(next(os.path.join(folder, n) for n in os.listdir(folder) if n.endswith(".cdx.json")), encoding="utf-8") as f:
        bill = json.load(f)
    said = {}
    for component in bill["components"]:
        for part in [component, *component.get("components", [])]:
            for h in part.get("hashes", []):
                said[part["name"]] = h["content"]
    with tarfile.open(archive(WORK)) as tar:
        there = {e.name.split("/", 1)[1]: hashlib.sha256(tar.extractfile(e).read()).hexdigest() for e in tar.getmembers()
                 if e.isfile() and "/share/" not in e.name}
    check(said == there, set(said.items()) ^ set(there.items()))
    packages = [c for c in bill["components"] if c["type"] == "library"]
    for c in packages:
        version = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", c["name"]], capture_output=True, text=True).stdout
        check(c["version"] == version and c["purl"].startswith("pkg:deb/"), c)
    check({"libc6", "libmicrohttpd12", "libgnutls30"} <= {c["name"] for c in packages}, packages)


@test
def its_programs_need_nothing_of_the_machine(s):
    need_root()
    root = Chroot(WORK, "bare")
    out = root.run([root.top + "/bin/tickbird-exporter", "--once"], [root.top + "/bin/tickbird", "--version"],
                   [root.top + "/bin/tickbird", "status"])
    check("tickbird_exporter_build_info{" in out and "tickbird 0." in out, out)


@test
def a_program_of_another_userland_is_counted_there(s):
    need_root()
    need("musl-gcc")
    root = Chroot(WORK, "musl")
    os.mkdir(root.path + "/lib")
    shutil.copy("/lib/ld-musl-x86_64.so.1" if os.path.exists("/lib/ld-musl-x86_64.so.1") else
                "/usr/lib/x86_64-linux-musl/libc.so", root.path + "/lib/ld-musl-x86_64.so.1")
    subprocess.run(["musl-gcc", "-O1", "-o", root.path + "/answers", ROOT + "/tests/packaging/answers.c"], check=True)
    out = root.run([root.top + "/bin/tickbird", "run", "--service", "shop", "--", "/answers", "37"],
                   [root.top + "/bin/tickbird-exporter", "--once"], [root.top + "/bin/tickbird", "series", "--json"])
    check(out.startswith("37\n"), out)
    check(re.search(r'^http_requests_total\{service="shop",method="GET",route="/a",status="200"\} 37$', out, re.M), out)
    check(os.listdir(root.path) and sorted(os.listdir(root.path + "/lib")) == ["ld-musl-x86_64.so.1"], "the root")


@test
def names_users_and_tls_work_there(s):
    need_root()
    need("openssl", "curl")
    root = Chroot(WORK, "tls")
    os.mkdir(root.path + "/etc")
    for name, text in (("passwd", "metrics:x:4242:4242::/:/x\n"), ("group", "metrics:x:4242:\n"),
                       ("hosts", "127.0.0.1 here.test\n"),
                       ("web.yml", "tls_server_config: {cert_file: /etc/cert.pem, key_file: /etc/key.pem}\n")):
        with open(f"{root.path}/etc/{name}", "w", encoding="utf-8") as f:
            f.write(text)
    cert, key = root.path + "/etc/cert.pem", root.path + "/etc/key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=here.test", "-addext", "subjectAltName=DNS:here.test", "-out", cert, "-keyout", key],
                   check=True, capture_output=True)
    os.chown(key, 4242, 4242)
    child = s.start(root.argv([root.top + "/bin/tickbird-exporter", "--web.listen-address", "here.test:0", "--user", "metrics",
                               "--web.config.file", "/etc/web.yml", "--storage.path", "/tmp/ledger"]),
                    stderr=subprocess.PIPE)
    line = ""
    while "msg=listening" not in line:
        line = read_line(child.stderr)
        check(line or child.poll() is None, "it ended")
    port = re.search(r"port=(\d+)", line).group(1)
    done = subprocess.run(["curl", "-sS", "--cacert", cert, "--resolve", f"here.test:{port}:127.0.0.1",
                           f"https://here.test:{port}/metrics"], capture_output=True, text=True, timeout=30)
    check(done.returncode == 0 and "tickbird_exporter_build_info{" in done.stdout, done)


@test
def two_copies_of_the_sources_give_the_same_bytes(s):
    if not os.environ.get("TB_LONG"):
        raise Skip("long: make check-packaging")
    made = []
    for name in ("one", "a-longer-name/two"):
        copy = os.path.join(WORK, name)
        subprocess.run(["git", "clone", "-q", "--no-hardlinks", ROOT, copy], check=True)
        subprocess.run(["nice", "make", "-s", "-j2", "all"], cwd=copy, check=True, capture_output=True, timeout=900)
        made.append(dist(WORK, os.path.basename(name) + "-dist", build="build", sources=copy))
    check(made[0] == made[1], [n for n in made[0] if made[0][n] != made[1].get(n)])


with tempfile.TemporaryDirectory(prefix="tb-dist-") as WORK:
    main()
