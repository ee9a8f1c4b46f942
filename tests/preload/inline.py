#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Jumps over the beginnings of functions: the decoder against objdump, the jumps on functions of a program of ours."""
import os
import platform
import shutil
import subprocess
import sys

import run
from run import Skip, test

SHIM = [os.path.join(run.HERE, "../../shim", f) for f in ("inline.c", "prologue.c", "instruction.c", "filter.c", "resolve.c")]
SANITIZED = "prologues-sanitized"
# Where jumps lead and what lies around them differs between the two.
KINDS = {"pie": ["-pie", "-fPIE"], "fixed": ["-no-pie"]}


def need_this_machine():
    if platform.machine() != "x86_64":
        raise Skip("beginnings of functions are known for x86-64 only")


def build():
    os.makedirs(run.BIN, exist_ok=True)
    if platform.machine() != "x86_64":
        return
    flags = ["-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-Wall"]

    def compile_to(target, argv):
        new = f"{target}.{os.getpid()}"
        subprocess.run(argv + ["-o", os.path.join(run.BIN, new)], check=True)
        os.rename(os.path.join(run.BIN, new), os.path.join(run.BIN, target))

    compile_to("prologues", ["cc", *flags, os.path.join(run.HERE, "prologues.c"), *SHIM[1:3]])
    try:
        compile_to(SANITIZED, ["cc", *flags, "-fsanitize=address,undefined", "-fno-sanitize-recover=all", os.path.join(run.HERE, "prologues.c"), *SHIM[1:3]])
    except subprocess.CalledProcessError:
        pass  # the compiler's sanitizers are not installed
    for kind, how in KINDS.items():
        compile_to(f"inline-{kind}", ["cc", *flags, *how, "-rdynamic", "-fexceptions", os.path.join(run.HERE, "inline.c"), *SHIM, "-lpthread"])


def libraries():
    """What is in this process, and OpenSSL where it is installed: some are written by hand, some by compilers."""
    found = {"libc.so.6": "", "libcrypto.so.3": "", "libssl.so.3": "", "libssl.a": "", "libstdc++.so.6": ""}
    for folder in ("/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/lib64", "/lib64"):
        for name in found:
            path = os.path.join(folder, name)
            if not found[name] and os.path.exists(path):
                found[name] = path
    return {name: path for name, path in found.items() if path}


@test()
def lengths_are_those_of_a_disassembler(directory, random_):
    need_this_machine()
    if not shutil.which("objdump"):
        raise Skip("objdump is not installed")
    accepted = 0
    for name, path in libraries().items():
        listing = os.path.join(directory, "listing")
        with open(listing, "wb") as f:
            subprocess.run(["objdump", "-d", "--insn-width=16", path], stdout=f, check=True)
        with open(listing, "rb") as f:
            done = subprocess.run([os.path.join(run.BIN, "prologues")], stdin=f, stdout=subprocess.PIPE, check=False)
        said = done.stdout.decode()
        assert done.returncode == 0, f"{name}: {said}"
        print(f"# {name}: {said}", end="")
        accepted += int(said.split(" functions: ")[1].split()[0])
    assert accepted > 3000, f"of too few functions: {accepted}"


@test()
def random_code_is_read_within_its_bounds(directory, random_):
    need_this_machine()
    if not os.path.exists(os.path.join(run.BIN, SANITIZED)):
        raise Skip("the compiler has no sanitizers")
    done = subprocess.run([os.path.join(run.BIN, SANITIZED), str(random_.randrange(1 << 60))], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=200, check=False)
    assert done.returncode == 0, done.stdout.decode()


@test(*[(f"{kind}_{what}", kind, what) for kind in KINDS for what in (
    "works", "unknown", "changed", "threads", "many", "unwound", "filter_kills_mprotect", "filter_kills_mremap", "filter_refuses_mprotect",
    "filter_refuses_mremap", "filter_harmless", "denied_by_mdwe", "no_room")])
def inline(directory, random_, kind, what):
    need_this_machine()
    done = subprocess.run([os.path.join(run.BIN, f"inline-{kind}"), what], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=120, check=False)
    if done.returncode == 77:
        raise Skip(done.stdout.decode().strip())
    assert done.returncode == 0, f"{done.returncode}: {done.stdout.decode()}"


if __name__ == "__main__":
    run.tests[:] = [t for t in run.tests if t[1].__module__ == "__main__"]
    run.build = build
    sys.exit(run.main())
