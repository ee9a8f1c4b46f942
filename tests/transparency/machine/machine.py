#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A whole machine under Tickbird: a fresh Debian root in which a day's work is done twice, plainly and with the object in
/etc/ld.so.preload, and every step's output, messages and exit status are compared byte for byte.

usage: machine.py [--root DIR] [--keep] [--twice] [STEP...]      needs root, overlayfs and the Debian archive
--root: a root made before, or the place where to make it (default build/machine); --twice: two plain runs, to see that
the steps are the same without Tickbird.
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent.parent
BUILD = pathlib.Path(os.environ.get("B", TOP / "build")).resolve()
RELEASE = "bookworm"
PACKAGES = """ca-certificates build-essential git openssh-server openssh-client python3 perl nginx-light curl xz-utils zip unzip procps
sudo tmux bsdutils less vim-tiny file psmisc netcat-openbsd libmicrohttpd-dev pkg-config zlib1g-dev libssl-dev libcurl4-openssl-dev
libexpat1-dev tcl cron rsync screen gdb sqlite3 iproute2 python3-venv dpkg-dev libyaml-dev""".split()
LATER = "jq lua5.4 ruby ed bc".split()  # the work installs them, from what was fetched here


def run(*argv, **options):
    return subprocess.run([str(a) for a in argv], check=True, **options)


def inside(root, script):
    run("unshare", "-m", "sh", "-c", f"mount -t proc proc {root}/proc && exec chroot {root} sh -ec '{script}'",
        stdout=subprocess.DEVNULL)


def make_base(base):
    """A root with the tools of the work, with the archives and sources that it needs later; kept from run to run."""
    if (base / "made").exists():
        return
    print(f"making {base}: some minutes", flush=True)
    shutil.rmtree(base, ignore_errors=True)
    run("debootstrap", "--variant=minbase", "--include=ca-certificates", RELEASE, base, stdout=subprocess.DEVNULL)
    sources = base / "etc/apt/sources.list"
    sources.write_text(sources.read_text() + sources.read_text().replace("deb ", "deb-src "))
    shutil.copy("/etc/resolv.conf", base / "etc/resolv.conf")
    inside(base, "export DEBIAN_FRONTEND=noninteractive; printf \"#!/bin/sh\\nexit 101\\n\" > /usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; "
           f"apt-get -q update; apt-get -qy --no-install-recommends install {' '.join(PACKAGES)}; "
           f"apt-get -qdy --no-install-recommends install {' '.join(LATER)}; mkdir -p /root/src; cd /root/src; apt-get -q source git")
    (base / "made").touch()


def install(root):
    """Tickbird as its own installer puts it, preloaded into everything. The region directory as root's exporter makes it."""
    run("make", "-s", "-C", TOP, f"B={BUILD}", f"DESTDIR={root}", "prefix=/usr", "install", stdout=subprocess.DEVNULL)
    library = next(p for p in (root / "usr").rglob("libtickbird.so"))
    (root / "etc/ld.so.preload").write_text("/" + str(library.relative_to(root)) + "\n")


def work(base, where, is_loaded, revision, steps):
    """Does the work in a copy of @base, on @revision of Tickbird's sources. Returns the folder with what it left."""
    shutil.rmtree(where, ignore_errors=True)
    for name in ("upper", "tmp", "root"):
        (where / name).mkdir(parents=True)
    root = where / "root"
    # a private view of everything: mounts, processes, network, host name
    script = f"""set -e
mount -t overlay overlay -o lowerdir={base},upperdir={where}/upper,workdir={where}/tmp {root}
mount -t proc proc {root}/proc
mount --rbind /dev {root}/dev
mount -t devpts -o newinstance,ptmxmode=0666 devpts {root}/dev/pts
mount --bind {root}/dev/pts/ptmx {root}/dev/ptmx
mount -t tmpfs -o mode=1777 tmpfs {root}/dev/shm
mount -t tmpfs tmpfs {root}/run
ip link set lo up
hostname machine
mkdir -p {root}/root/tickbird
git -C {TOP} archive {revision} | tar -x -C {root}/root/tickbird
cp {HERE}/work.sh {root}/root/work.sh
"""
    if is_loaded:
        script += f"""install -d -m 3773 {root}/dev/shm/tickbird
{sys.executable} {HERE}/machine.py --install-into {root}
chroot {root} sh -c 'grep -c libtickbird /proc/self/maps' > {where}/is_loaded
"""
    script += f"""chroot {root} /bin/bash /root/work.sh {' '.join(steps)}
cp -r {root}/out {where}/out
"""
    if is_loaded:
        script += f"""rm {root}/etc/ld.so.preload
chroot {root} tickbird-exporter --once --storage.path /tmp/ledger > {where}/metrics 2> {where}/exporter.err || true
"""
    run("unshare", "-m", "-p", "-n", "-u", "-i", "-f", "sh", "-c", script, stdin=subprocess.DEVNULL,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "B": str(BUILD)})
    return where / "out"


def compare(plain, loaded):
    """Reports one line per step; returns the number of steps that differ."""
    wrong = 0
    for status in sorted(plain.glob("*.status")):
        name = status.stem
        differs = [end for end in ("status", "out", "err") if (plain / f"{name}.{end}").read_bytes() != (loaded / f"{name}.{end}").read_bytes()]
        size = sum((plain / f"{name}.{end}").stat().st_size for end in ("out", "err"))
        print(f"{'not ok' if differs else 'ok'} machine_{name}" + ("" if differs else f" # exit {status.read_text().strip()}, {size} bytes the same"), flush=True)
        for end in differs:
            wrong += 1
            diff = subprocess.run(["diff", "-U1", plain / f"{name}.{end}", loaded / f"{name}.{end}"], stdout=subprocess.PIPE, text=True,
                                  errors="replace", check=False).stdout
            print("".join(f"# {line[:200]}\n" for line in diff.splitlines()[:20]), end="", flush=True)
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", type=pathlib.Path, default=BUILD / "machine")
    parser.add_argument("--twice", action="store_true")
    parser.add_argument("--keep", action="store_true", help="keep what the runs left")
    parser.add_argument("--install-into", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("steps", nargs="*")
    options = parser.parse_args()
    if options.install_into:
        install(options.install_into)
        return 0
    if os.getuid() != 0:
        sys.exit("machine.py: not root: a root file system cannot be made: run it as root")
    base = options.root.resolve() / "base"
    make_base(base)
    revision = run("git", "-C", TOP, "rev-parse", "HEAD", stdout=subprocess.PIPE, text=True).stdout.strip()
    plain = work(base, options.root.resolve() / "plain", False, revision, options.steps)
    loaded = work(base, options.root.resolve() / ("second" if options.twice else "loaded"), not options.twice, revision, options.steps)
    wrong = compare(plain, loaded)
    if not options.twice:
        is_loaded = (loaded.parent / "is_loaded").read_text().strip() != "0"
        metrics = (loaded.parent / "metrics").read_text()
        served = sum(float(line.rsplit(" ", 1)[1]) for line in metrics.splitlines() if line.startswith("http_requests_total{"))
        services = {line.split('service="')[1].split('"')[0] for line in metrics.splitlines() if line.startswith("http_requests_total{")}
        print(f"{'ok' if is_loaded and served else 'not ok'} machine_was_observed # {served:.0f} requests of {', '.join(sorted(services))}")
        wrong += not (is_loaded and served)
    if not options.keep and not wrong:
        for name in ("plain", "loaded", "second"):
            shutil.rmtree(options.root.resolve() / name, ignore_errors=True)
    return 1 if wrong else 0


sys.exit(main())
