#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The SELinux module and the AppArmor abstraction: the real compilers take them, and the abstraction allows every file that the
object opens in a real program (as strace sees it) and no more of its kind."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OBJECT = os.path.join(ROOT, os.environ.get("B", "build"), "libtickbird.so")
ABSTRACTION = os.path.join(ROOT, "packaging/apparmor/tickbird")
POLICY = os.path.join(ROOT, "packaging/selinux/tickbird")
LISTEN = "import socket; socket.create_server(('127.0.0.1', 0))"
CALL = re.compile(r'^(\w+)\((?:AT_FDCWD|\d+)(?:<([^>]*)>)?, "([^"]*)"(?:, ([A-Z_|]+))?')


class Missing(Exception):
    pass


def tool(name):
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if not found:
        raise Missing(f"{name} is not installed")
    return found


def run(*argv, **more):
    return subprocess.run(argv, capture_output=True, check=False, text=True, timeout=120, **more)


def compiles(checkmodule, text, folder):
    with open(os.path.join(folder, "tickbird.te"), "w", encoding="utf-8") as f:
        f.write(text)
    return run(checkmodule, "-M", "-m", "-o", os.path.join(folder, "tickbird.mod"), os.path.join(folder, "tickbird.te"))


def selinux_module(folder):
    checkmodule, package = tool("checkmodule"), tool("semodule_package")
    with open(POLICY + ".te", encoding="utf-8") as f:
        text = f.read()
    assert compiles(checkmodule, text.replace("    type init_t;\n", ""), folder).returncode != 0, "a wrong module compiles too"
    done = compiles(checkmodule, text, folder)
    assert done.returncode == 0, done.stderr
    module = os.path.join(folder, "tickbird.pp")
    done = run(package, "-o", module, "-m", os.path.join(folder, "tickbird.mod"), "-f", POLICY + ".fc")
    assert done.returncode == 0 and os.path.getsize(module) > 500, done.stderr


def contexts(_):
    """The paths that get a label, and those that do not."""
    with open(POLICY + ".fc", encoding="utf-8") as f:
        rules = [line.split() for line in f if line.strip()]
    for path, wanted in (("/dev/shm/tickbird", "tickbird_region_t"), ("/dev/shm/tickbird-33/tb1-33-0", "tickbird_region_t"),
                         ("/usr/lib/x86_64-linux-gnu/libtickbird.so.1.0", "lib_t"), ("/usr/local/lib/libtickbird.so", "lib_t"),
                         ("/dev/shm/tickbirds", ""), ("/usr/lib/libtick.so", "")):
        found = [rule[-1].split(":")[2] for rule in rules if re.fullmatch(rule[0], path)]
        assert found == ([wanted] if wanted else []), f"{path}: {found}"


def parse(folder, text):
    os.makedirs(os.path.join(folder, "abstractions"), exist_ok=True)
    with open(os.path.join(folder, "abstractions/tickbird"), "w", encoding="utf-8") as f:
        f.write(text)
    with open(os.path.join(folder, "profile"), "w", encoding="utf-8") as f:
        f.write("include <tunables/global>\nprofile shop /usr/bin/shop {\n  include <abstractions/base>\n  include <abstractions/tickbird>\n}\n")
    return run(tool("apparmor_parser"), "-Q", "-K", "-I", folder, "-I", "/etc/apparmor.d", os.path.join(folder, "profile"))


def apparmor_abstraction(folder):
    with open(ABSTRACTION, encoding="utf-8") as f:
        text = f.read()
    assert parse(folder, text.replace(" mr,", " mqr,")).returncode != 0, "a wrong abstraction is taken too"
    done = parse(folder, text)
    assert done.returncode == 0, done.stdout + done.stderr


def rules():
    """(regular expression, rights) of each rule of the abstraction."""
    out = []
    with open(ABSTRACTION, encoding="utf-8") as f:
        for line in f:
            words = line.split("#")[0].strip().rstrip(",").split()
            if len(words) < 2:
                continue
            glob = words[-2].replace("@{PROC}", "/proc").replace("@{pid}", "[0-9]*").replace("@{tid}", "[0-9]*")
            glob = glob.replace(".", r"\.").replace("**", "\0").replace("*", "[^/]*").replace("\0", ".*")
            out.append((re.sub(r"\{([^}]*)\}", lambda m: "(" + m.group(1).replace(",", "|") + ")", glob), words[-1]))
    return out


def opened(folder, directory):
    """(path, wants to write) of everything that a program which listens opens for the object."""
    log = os.path.join(folder, "strace")
    # strace is not observed: the variables are set for the program alone.
    done = run(tool("strace"), "-y", "-e", "trace=openat,renameat2", "-E", f"LD_PRELOAD={OBJECT}", "-E", f"TICKBIRD_DIR={directory}",
               "-o", log, os.path.realpath("/usr/bin/python3"), "-c", LISTEN)
    assert done.returncode == 0, done.stderr
    found = set()
    with open(log, encoding="utf-8") as f:
        for line in f:
            call = CALL.match(line)
            if not call:
                continue
            path = os.path.join(call.group(2) or "/", call.group(3))
            if path.startswith(("/proc/", "/etc/tickbird", directory)):
                path = path.replace("/proc/self/", "/proc/1/").replace("/proc/thread-self/", "/proc/1/task/1/")
                found.add((path + "/" * (path == directory), call.group(1) == "renameat2" or "O_RDWR" in (call.group(4) or "")))
    return found


def what_the_object_opens_is_allowed(folder):
    directory = f"/dev/shm/tickbird-{os.getpid()}"
    shutil.rmtree(directory, ignore_errors=True)  # of an earlier process of this number, that was killed
    os.mkdir(directory, 0o700)
    try:
        found = opened(folder, directory)
    finally:
        shutil.rmtree(directory)
    assert sum(path.startswith(directory + "/") for path, _ in found) >= 3, found
    allowed = rules()
    for path, writes in found:
        rights = "".join(r for glob, r in allowed if re.fullmatch(glob, path))
        assert "r" in rights and (not writes or "w" in rights), f"{path} ({'write' if writes else 'read'}): {rights or 'not allowed'}"
    for path in ("/dev/shm/other/tb1-0", "/proc/1/mem", "/etc/shadow", "/proc/1/maps"):
        assert not any(re.fullmatch(glob, path) for glob, _ in allowed), path


def main():
    status = 0
    for test in (selinux_module, contexts, apparmor_abstraction, what_the_object_opens_is_allowed):
        with tempfile.TemporaryDirectory() as folder:
            try:
                test(folder)
                print(f"ok {test.__name__}")
            except Missing as missing:
                print(f"skip {test.__name__} {missing}")
            except AssertionError as failed:
                print(f"# {failed}\nnot ok {test.__name__}")
                status = 1
    sys.exit(status)


main()
