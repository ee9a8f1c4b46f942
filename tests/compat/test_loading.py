#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The ways in which a loader can bring the object, a program and its modules together: one file, same counts."""
import os
import shutil
import struct
import subprocess

import compat
from compat import OBJECT, Skip, preload, test

LOADERS = {"glibc": ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"],
           "musl": ["/lib/ld-musl-x86_64.so.1", "/lib/ld-musl-aarch64.so.1"]}


def server_binary(libc):
    if libc == "glibc":
        return os.path.join(preload.BIN, "server")
    compat.musl_gcc()
    return os.path.join(preload.BIN, "server-musl")


def host(libc="glibc"):
    if libc == "glibc":
        return compat.program("host", "-ldl")
    return compat.program("host-musl", *compat.kernel_headers(), cc=compat.musl_gcc(), sources=[compat.source("host.c")])


def module(libc="glibc"):
    if libc == "glibc":
        return compat.program("module.so", "-shared", "-fPIC", sources=[compat.source("module.c")])
    return compat.program("module-musl.so", "-shared", "-fPIC", cc=compat.musl_gcc(), sources=[compat.source("module.c")])


def shared_words(path, count):
    """A file that a test's object maps and counts in."""
    with open(path, "wb") as f:
        f.write(bytes(8 * count))
    return lambda: struct.unpack(f"{count}Q", open(path, "rb").read())


# ---- preloaded more than once ----

TWICE = {
    "same_path": lambda d: f"{OBJECT}:{OBJECT}",
    "symbolic_link": lambda d: f"{OBJECT}:{link(d, os.symlink, 'libtickbird.so')}",
    "hard_link": lambda d: f"{OBJECT}:{link(d, os.link, 'other.so')}",
    "two_copies": lambda d: f"{OBJECT}:{link(d, shutil.copy, 'libtickbird.so')}",
    "copy_of_another_name": lambda d: f"{OBJECT}:{link(d, shutil.copy, 'preload-me.so')}",
    "only_copies": lambda d: f"{link(d, shutil.copy, 'a.so')}:{link(d, shutil.copy, 'b.so')}:{link(d, shutil.copy, 'c.so')}",
}


def link(directory, how, name):
    where = os.path.join(compat.BIN, "copies", os.path.basename(directory))
    os.makedirs(where, exist_ok=True)
    path = os.path.join(where, name)
    if os.path.lexists(path):
        os.unlink(path)
    how(OBJECT, path)
    return path


@test(*[(f"{libc}_{name}", libc, name) for libc in ("glibc", "musl") for name in TWICE
        if libc == "glibc" or name in ("two_copies", "only_copies")])
def twice(directory, random_, libc, name):
    server = compat.start([server_binary(libc), "recv", "threads"], directory, "twice", preload=TWICE[name](directory))
    compat.drive_exactly(server, directory, random_)
    assert len(preload.dump(directory)["region"]) == 1 and len(os.listdir(directory)) == 1


# ---- loaded late and unloaded ----

LATE = [("local", "local", ""), ("global", "global", ""), ("deepbind", "deepbind", ""), ("dlmopen", "dlmopen", ""),
        ("preloaded_too", "local", OBJECT), ("preloaded_too_global", "global", OBJECT)]


@test(*[(f"{libc}_{name}", libc, how, first) for libc in ("glibc", "musl") for name, how, first in LATE
        if libc == "glibc" or how in ("local", "global")])
def loaded_late(directory, random_, libc, how, first):
    for path in (OBJECT, link(directory, shutil.copy, "late.so")):
        env = {**os.environ, "TICKBIRD_DIR": directory, "TICKBIRD_SERVICE": "late", "LD_PRELOAD": first}
        done = subprocess.run([host(libc), "late", how, path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env,
                              check=False, timeout=60)
        assert (done.returncode, done.stdout) == (0, b"fine\n"), (done.returncode, done.stdout)
    seen = preload.dump(directory)
    # 1 + 2 * 50 exchanges a run, each seen from both ends; without the preload nothing is bound to the late object
    wanted = {("GET", "/late", 204): 202, ("client", "GET", "/late", 204): 202} if first else {}
    assert seen["requests"] == wanted, dict(seen["requests"])


# ---- modules ----

def drive_host(directory, who, how, libc="glibc"):
    return compat.drive_plainly([host(libc), "serve", who, how, module(libc)], directory)


@test(*[(f"{libc}_{how}_{who}", libc, how, who) for libc in ("glibc", "musl") for how in ("local", "global")
        for who in ("hhhh", "mmmm", "hmhm")])
def module_is_seen(directory, random_, libc, how, who):
    preload.compare(directory, drive_host(directory, who, how, libc), aborted={})


@test(*[(f"{how}_{who}", how, who) for how in ("deepbind", "dlmopen") for who in ("hhhm", "mhhh", "mhhm")])
def module_that_passes_us_by_is_exact_without_its_part(directory, random_, how, who):
    """Births and ends that nobody saw: the bytes decide."""
    preload.compare(directory, drive_host(directory, who, how), aborted={})


@test(*[(f"{how}_{who}", how, who) for how in ("deepbind", "dlmopen") for who in ("mmmm", "hmmh", "hmhh", "hhmh", "hhmm")])
def module_that_passes_us_by_is_not_invented(directory, random_, how, who):
    """Bytes that nobody saw: requests without their answers are aborted ones, answers without their requests count as such,
    and neither is ever more than there was."""
    record = drive_host(directory, who, how)
    answers = {"hmhh": {("_OTHER", "_unmatched", 200): sum(record.values())}}.get(who, {})
    seen = preload.settle(directory, lambda s: preload.flying(s) == (0, 0) and s["requests"] == answers, seconds=2)
    assert set(seen["requests"]) == set(answers) and sum(seen["requests"].values()) <= sum(answers.values()), \
        dict(seen["requests"])
    assert sum(seen["aborted"].values()) <= (sum(record.values()) if who[1] == "h" else 0), dict(seen["aborted"])
    print(f"# {who}: answered {dict(seen['requests'])}, aborted {dict(seen['aborted'])}, in flight {preload.flying(seen)[0]}")


# ---- how the program is linked and started ----

LINKED = {"now": ["-Wl,-z,now"], "lazy": ["-Wl,-z,lazy"], "no_pie": ["-no-pie", "-Wl,-z,lazy"],
          "no_plt": ["-fno-plt"], "sysv_hash": ["-Wl,--hash-style=sysv"], "gnu_hash": ["-Wl,--hash-style=gnu"],
          "fortified": ["-O2", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"], "large_files": ["-D_FILE_OFFSET_BITS=64"],
          "relr": ["-Wl,-z,pack-relative-relocs"]}


@test(*[(name, name) for name in LINKED])
def linked(directory, random_, name):
    try:
        binary = compat.server_with("server-" + name, *LINKED[name])
    except subprocess.CalledProcessError as error:
        raise Skip("the compiler cannot build it") from error
    way = random_.choice(("read", "recvmsg", "sendfile", "checked"))
    compat.drive_exactly(compat.start([binary, way, "threads"], directory, name), directory, random_)


@test(*[(name, name) for name in ("LD_BIND_NOW", "LD_BIND_NOT", "LD_WARN")])
def loader_told_by(directory, random_, name):
    server = compat.start([compat.server_with("server-lazy", *LINKED["lazy"]), "recv", "threads"], directory, "bind",
                          env={name: "1"})
    compat.drive_exactly(server, directory, random_)


@test(("static", ["-static"]), ("static_pie", ["-static-pie"]))
def no_loader(directory, random_, flags):
    """Nothing can be preloaded: it serves, nothing is counted, and the doctor says why."""
    binary = compat.server_with("server" + flags[0], *flags)
    server = compat.start([binary, "recv", "threads"], directory, "static")
    compat.drive_unseen(server, random_)
    assert os.listdir(directory) == []
    done = subprocess.run([os.path.join(compat.B, "tickbird"), "doctor", binary], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False, timeout=60)
    assert b"statically linked" in done.stdout and done.returncode != 0, (done.returncode, done.stdout.decode())


@test(*[(f"{libc}_{way}", libc, way) for libc in ("glibc", "musl") for way in ("environment", "option")])
def loader_run_as_a_program(directory, random_, libc, way):
    binary = server_binary(libc)
    loader = [p for p in LOADERS[libc] if os.path.exists(p)]
    argv = [loader[0], *(["--preload", OBJECT] if way == "option" else []), binary, "read", "prefork"]
    server = compat.start(argv, directory, "ld", preload=OBJECT if way == "environment" else "")
    compat.drive_exactly(server, directory, random_, connections=2)


# ---- beside others ----

@test(("lazy", ["-Wl,-z,lazy"]), ("now", ["-Wl,-z,now"]))
def audited(directory, random_, flags):
    audit = compat.program("audit.so", "-shared", "-fPIC", sources=[compat.source("audit.c")])
    words = shared_words(directory + ".audit", 2)
    server = compat.start([compat.server_with("server" + flags[0][-4:], *flags), "recv", "prefork"], directory, "audited",
                          env={"LD_AUDIT": audit, "AUDIT_COUNT": directory + ".audit"})
    compat.drive_exactly(server, directory, random_, connections=2)
    bindings, calls = words()
    print(f"# audited: {bindings} bindings, {calls} calls through a PLT")
    assert bindings > 0 and (calls > 0 or os.uname().machine != "x86_64"), "the audit did not run"


NEXT = {"gnu_hash": ["-Wl,--hash-style=gnu"], "sysv_hash": ["-Wl,--hash-style=sysv"], "both_hashes": ["-Wl,--hash-style=both"],
        "versions": ["-DVERSIONED", f"-Wl,--version-script={compat.source('next.map')}"],
        "versions_sysv": ["-DVERSIONED", "-Wl,--hash-style=sysv", f"-Wl,--version-script={compat.source('next.map')}"],
        "prelinked_high": ["-Wl,-Ttext-segment=0x900000000000"], "prelinked_low": ["-Wl,-Ttext-segment=0x3a00000000"]}


@test(*[(f"{libc}_{name}", libc, name) for libc in ("glibc", "musl") for name in NEXT])
def another_interposer_behind(directory, random_, libc, name):
    """The hooks find the next definition, whatever tables it is found through, and in its default version."""
    binary = server_binary(libc)
    compiler, more = ("cc", []) if libc == "glibc" else (compat.musl_gcc(), compat.kernel_headers())
    next_ = compat.program(f"next-{libc}-{name}.so", "-shared", "-fPIC", *NEXT[name], *more, cc=compiler,
                           sources=[compat.source("next.c")])
    words = shared_words(directory + ".next", 1)
    env = {"NEXT_COUNT": directory + ".next"}
    server = compat.start([binary, "read", "threads"], directory, "next", preload=f"{OBJECT}:{next_}", env=env)
    record, _ = compat.drive_exactly(server, directory, random_)
    calls = words()[0]
    assert calls >= sum(record.values()), f"the other was called {calls} times"
    server.stop()
    if name == "gnu_hash":  # in front of us it is no different: it calls what is behind it
        other = directory + ".front"
        os.mkdir(other, 0o700)
        server = compat.start([binary, "read", "threads"], other, "front", preload=f"{next_}:{OBJECT}", env=env)
        compat.drive_exactly(server, other, random_)


@test()
def names_that_the_libc_lacks(directory, random_):
    """With the object a program finds all of the hooks' names, so each must act as the call would: see limits.md."""
    names = subprocess.run([os.path.join(compat.HERE, "../lint/hook-names.sh")], stdout=subprocess.PIPE,
                           check=True).stdout.decode().split()
    plain = subprocess.run([host(), "symbols", *names], stdout=subprocess.PIPE, check=True).stdout.decode().split()
    env = {**os.environ, "TICKBIRD_DIR": directory, "LD_PRELOAD": OBJECT}
    ours = subprocess.run([host(), "symbols", *names], stdout=subprocess.PIPE, env=env, check=True).stdout.decode().split()
    print(f"# names that only the object has here: {sorted(set(ours) - set(plain)) or 'none'}")
    assert set(plain) <= set(ours) == set(names)


# ---- no libc ----

@test()
def go_without_libc(directory, random_):
    """A loader, our constructor, and nobody who could call a hook: the server works, no region, few system calls."""
    if not shutil.which("go"):
        raise Skip("go is not installed")
    env = {**os.environ, "GOCACHE": os.path.join(preload.BIN, "go-cache"), "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0"}
    try:
        binary = compat.compile_go("goserver", [compat.source("goserver.go")], env)
    except subprocess.CalledProcessError as error:
        raise Skip("go build failed") from error
    server = compat.start([binary], directory, "go")
    compat.drive_unseen(server, random_)
    with open(f"/proc/{server.p.pid}/maps", encoding="utf-8") as f:
        maps = f.read()
    assert OBJECT in maps and "libc" not in maps and os.listdir(directory) == []
    done = subprocess.run([os.path.join(compat.B, "tickbird"), "doctor", str(server.p.pid)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False, timeout=60)
    assert b"Go" in done.stdout and done.returncode != 0, (done.returncode, done.stdout.decode())
    server.stop()
    # its settings come from procfs
    server = compat.start([binary], directory, "go", env={"TICKBIRD_DEBUG": "1"}, stderr=subprocess.PIPE)
    server.stop()
    said = server.p.stderr.read()
    server.p.stderr.close()
    assert b"tickbird: no C library in this process" in said, said


if __name__ == "__main__":
    compat.main()
