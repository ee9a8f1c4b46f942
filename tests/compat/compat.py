# SPDX-License-Identifier: Apache-2.0
"""What the compatibility tests share: the preload tests' server, client and comparison, and builds of their own."""
import collections
import hashlib
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "preload"))
import run as preload  # noqa: E402  pylint: disable=wrong-import-position

of_preload = {f"{function.__name__}": function for _, function, _ in preload.tests}
preload.tests.clear()  # a suite of its own, run by the same loop
test, Skip, OBJECT, B = preload.test, preload.Skip, preload.OBJECT, preload.B
BIN = os.path.join(B, "tests", "compat")
FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-Wno-unused-result"]
SERVER = [os.path.join(preload.HERE, f) for f in ("server.c", "io.c", "models.c")]


def source(name):
    return os.path.join(HERE, name)


def compile_to(name, argv):
    """Builds BIN/@name unless it is newer than the sources; safe when two suites do it at once."""
    os.makedirs(BIN, exist_ok=True)
    out = os.path.join(BIN, name)
    newest = max(os.path.getmtime(a) for a in argv if a.endswith((".c", ".h", ".map", ".go")) and os.path.exists(a))
    if not os.path.exists(out) or os.path.getmtime(out) < max(newest, os.path.getmtime(os.path.join(HERE, "module.h"))):
        new = f"{out}.{os.getpid()}"
        subprocess.run([*argv, "-o", new], check=True)
        os.rename(new, out)
    return out


def program(name, *flags, cc="cc", sources=None):
    return compile_to(name, [cc, *FLAGS, *(sources or [source(name + ".c")]), *flags])


def server_with(name, *flags, cc="cc"):
    """The preload tests' server, built another way."""
    return program(name, *flags, "-lpthread", cc=cc, sources=SERVER)


def compile_go(name, sources, env):
    """A position-independent Go program, linked by Go's own linker."""
    out = os.path.join(BIN, name)
    os.makedirs(BIN, exist_ok=True)
    if not os.path.exists(out) or os.path.getmtime(out) < max(os.path.getmtime(s) for s in sources):
        new = f"{out}.{os.getpid()}"
        subprocess.run(["go", "build", "-buildmode=pie", "-o", new, *sources], env=env, check=True)
        os.rename(new, out)
    return out


def kernel_headers():
    """For musl-gcc, which has none."""
    triple = subprocess.run(["cc", "-print-multiarch"], stdout=subprocess.PIPE, check=True).stdout.decode().strip()
    return [f"-idirafter{d}" for d in ("/usr/include", f"/usr/include/{triple}")]


def musl_gcc():
    found = shutil.which("musl-gcc")
    if not found:
        raise Skip("musl-gcc is not installed")
    return found


def start(argv, directory, service, **more):
    return preload.Server([str(a) for a in argv], directory, service, **more)


def drive_exactly(server, directory, random_, connections=3, requests=10, **more):
    """Mixed traffic; the region equals the client's tally. Returns the tally and the reading."""
    record = collections.Counter()
    preload.mixed_traffic(server, record, random_, connections=connections, requests=requests, **more)
    assert sum(record.values()) >= requests
    return record, preload.compare(directory, record, aborted={})


def drive_unseen(server, random_):
    """The same traffic for a server that is not recorded: it must be served all the same."""
    record = collections.Counter()
    preload.mixed_traffic(server, record, random_, connections=2, requests=8)
    assert sum(record.values()) >= 8
    return record


def drive_plainly(argv, directory, connections=3, requests=3):
    """GET /small and nothing else, for a server that knows no more. Returns the tally."""
    server = start(argv, directory, "host")
    record = collections.Counter()
    for _ in range(connections):
        c = server.connect(record)
        for _ in range(requests):
            assert c.get("GET", "/small")
        c.close()
    assert sum(record.values()) == connections * requests
    assert server.p.poll() is None
    return record


def object_hash():
    with open(OBJECT, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()[:16]


def main():
    print(f"# object {object_hash()}")
    sys.exit(preload.main())


