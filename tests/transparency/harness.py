# SPDX-License-Identifier: Apache-2.0
"""Runs a program plainly and preloaded, and compares what both show: exit, output, errors, files left behind.

A case is one behaviour of one program in one flavour (programs/tp.h). It runs three times: twice plainly, the second time
with an empty object, which shows what differs by chance or by preloading as such; and with ours. Usually all three show the
same. Where they do not it is repeated (Comparison): what the object shows must be among what plain runs show.
"""
import concurrent.futures
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.join(ROOT, "tests/transparency")
B = os.path.abspath(os.environ.get("B", os.path.join(ROOT, "build")))
OBJECT = os.path.join(B, "libtickbird.so")
BIN = os.path.join(B, "tests/transparency")
EMPTY = os.path.join(BIN, "empty.so")
SECONDS = 60  # for one run; they take milliseconds
# What bad calls need: the compiler must neither see through them nor replace them.
FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-Wextra", "-U_FORTIFY_SOURCE", "-fno-builtin",
         "-Wno-unused-result", "-Wno-nonnull", "-Wno-stringop-overread", "-Wno-stringop-overflow"]
LIBRARIES = {"openssl": ("/usr/include/openssl/ssl.h", "-lssl", "-lcrypto", "-Wno-deprecated-declarations"),  # header, then options
             "gnutls": ("/usr/include/gnutls/gnutls.h", "-lgnutls")}


class Case:
    """One thing to compare. @wrap comes before the program; @needs are words: root; long;
    noregion: nothing needs to be recorded; works: exit 0 is expected; system: preloaded by the machine's list; and tools."""

    def __init__(self, name, argv, needs=(), wrap=(), env=None):
        self.name, self.argv, self.needs, self.wrap, self.env = name, argv, set(needs), list(wrap), env or {}


class Seen:
    """What a run showed."""

    def __init__(self, status, out, err, files):
        self.parts = {"exit": status, "output": out, "errors": err, "files": files}

    def __eq__(self, other):
        return self.parts == other.parts

    def difference(self, other):
        """Where two runs differ first, in words."""
        for what, mine in self.parts.items():
            theirs = other.parts[what]
            if mine == theirs:
                continue
            if not isinstance(mine, bytes):
                return f"{what}: {mine!r} became {theirs!r}"
            a, b = mine.splitlines(), theirs.splitlines()
            for i in range(max(len(a), len(b))):
                old, new = (x[i].decode(errors="replace") if i < len(x) else "(nothing)" for x in (a, b))
                if old != new:
                    return f"{what}, line {i + 1}: {old!r} became {new!r}"
            return f"{what}: the ends of lines differ"
        return None


def compile_to(target, argv, sources):
    """Compiles when a source is newer than @target; parallel runs may do the same at once."""
    out = os.path.join(BIN, target)
    os.makedirs(os.path.dirname(out), exist_ok=True)
    if not os.path.exists(out) or any(os.path.getmtime(s) >= os.path.getmtime(out) for s in sources):
        new = f"{out}.{os.getpid()}"
        subprocess.run([*argv, "-o", new], check=True, cwd=ROOT)
        os.rename(new, out)
    return out


def build_openssl_module(source, common):
    """A copy of libssl under another name, which is one of the same length within it, and a module that needs that copy."""
    os.makedirs(BIN, exist_ok=True)
    found = subprocess.run(["cc", "-print-file-name=libssl.so"], stdout=subprocess.PIPE, check=True).stdout.decode().strip()
    with open(found, "rb") as f:
        library = f.read()
    name = os.path.basename(os.path.realpath(found)).encode()  # "libssl.so.3"
    other = name[:10] + b"T" * (len(name) - 10)
    copy = os.path.join(BIN, other.decode())
    if not os.path.exists(copy):
        with open(f"{copy}.{os.getpid()}", "wb") as f:
            f.write(library.replace(name + b"\0", other + b"\0"))
        os.rename(f"{copy}.{os.getpid()}", copy)
    compile_to("openssl-module.so", ["cc", *FLAGS, "-DMODULE", "-fPIC", "-shared", "-Wno-deprecated-declarations", "-Wno-unused", source, copy, "-lcrypto",
                                     "-lpthread", f"-Wl,-rpath,{BIN}"], [source, *common])


def build():
    """Everything that is run. Returns the paths of the programs."""
    where = os.path.join(HERE, "programs")
    common = [os.path.join(where, "tp.h"), os.path.join(ROOT, "shim/hooks.h"), os.path.join(ROOT, "shim/hooks.def")]
    kernel = ["-idirafter/usr/include", "-idirafter/usr/include/" + os.uname().machine + "-linux-gnu"]
    jobs, scripts = [], []
    for name in sorted(os.listdir(where)):
        source, (stem, ext) = os.path.join(where, name), os.path.splitext(name)
        if ext in (".py", ".sh"):
            scripts.append(source)
        elif stem.endswith("_musl"):
            if shutil.which("musl-gcc"):
                jobs.append((stem, ["musl-gcc", *FLAGS, *kernel, source], [source, *common]))
        elif stem in LIBRARIES and not os.path.exists(LIBRARIES[stem][0]):
            continue
        elif ext == ".c":
            jobs.append((stem, ["cc", *FLAGS, source, "-lpthread", "-lutil", *LIBRARIES.get(stem, ())[1:]], [source, *common]))
        elif ext == ".cc" and shutil.which("g++"):
            jobs.append((stem, ["g++", "-O1", "-g", "-Wall", source, "-lpthread"], [source, *common]))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        programs = list(pool.map(lambda j: compile_to(*j), jobs))
    if any(os.path.basename(p) == "openssl" for p in programs):
        build_openssl_module(os.path.join(where, "openssl.c"), common)
    compile_to("empty.so", ["cc", "-shared", "-fPIC", "-xc", "/dev/null"], [])
    dump = os.path.join(ROOT, "tests/preload/dump.c")
    agent = os.path.join(B, "agent.a")
    compile_to("dump", ["cc", *FLAGS, "-I.", dump, agent], [dump, agent])
    return programs + scripts


def cases_of(program):
    listed = subprocess.run([program, "--list"], stdout=subprocess.PIPE, check=True).stdout.decode()
    for line in listed.splitlines():
        name, *needs = line.split()
        for flavour in ("awake", "asleep"):
            if "only-" in line and f"only-{flavour}" not in needs:
                continue
            yield Case(f"{os.path.basename(program).split('.')[0]}_{name}_{flavour}", [program, name, flavour],
                       [*needs, "noregion"] if flavour == "asleep" else needs)


def run(case, preload, regions, seconds=SECONDS):
    """One run in a directory of its own. @preload: a path or None."""
    where = tempfile.mkdtemp(prefix="tb-transparency-")
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": where, "TMPDIR": where, "TP_BIN": BIN}
    env.update({"TICKBIRD_DIR": regions, "TICKBIRD_SERVICE": "transparency"})
    env.update(case.env)
    env = {k: v for k, v in env.items() if v is not None}
    # What is around the program (a shell, unshare) is not what is looked at: env(1) gives it the object, unless the
    # whole machine's list does.
    is_system = "system" in case.needs
    env["TP_SYSTEM"] = (preload or "") if is_system else ""
    argv = [*case.wrap, *(["env", f"LD_PRELOAD={preload}"] if preload and case.wrap and not is_system else []), *case.argv]
    if preload and not case.wrap:
        env["LD_PRELOAD"] = preload
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        read, write = os.pipe()  # a pipe: no file size limit applies to it
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=write, stderr=err, env=env, cwd=where,
                                 start_new_session=True)
        os.close(write)
        killer = threading_timer(seconds, child.pid)
        with os.fdopen(read, "rb") as pipe:
            text = pipe.read()
        status = child.wait()
        status = "no end" if not killer() else status
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        err.seek(0)
        files = sorted("core" if f.startswith("core") else f for f in os.listdir(where))
        shutil.rmtree(where, ignore_errors=True)
        return Seen(status, text, err.read().replace(where.encode(), b"DIR"), files)


def threading_timer(seconds, pid):
    """Kills the group of @pid after @seconds. The returned function cancels that; False when it was too late."""
    fired = []

    def kill():
        fired.append(1)
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    timer = threading.Timer(seconds, kill)
    timer.start()

    def cancel():
        timer.cancel()
        return not fired
    return cancel


def recorded(regions):
    """How many requests the regions of a directory hold."""
    done = subprocess.run([os.path.join(BIN, "dump"), regions], stdout=subprocess.PIPE, check=False)
    return sum(int(line.split()[5]) for line in done.stdout.decode().splitlines() if line.startswith("requests "))


def own_regions():
    """A directory for the regions of one comparison, to be used with `with`."""
    return tempfile.TemporaryDirectory(prefix="tb-transparency-", dir="/dev/shm", ignore_cleanup_errors=True)


class Comparison:
    """Runs of one case, plainly and with an object, as many as it takes to tell a difference from chance.

    A run with the object is strange when no plain run showed the same. One strange run says little on a machine where
    anything may be late: it is a difference when, after PLAIN_RUNS, it is still strange and a further run is strange too.
    Plain runs that disagree say nothing about the object; they only make what is allowed wider.
    """
    PLAIN_RUNS = 8  # before a run with the object is held to be strange
    OBJECT_RUNS = 20  # in which a second strange one is waited for,
    REPEAT_SECONDS = 60  # or as long; but MIN_OBJECT_RUNS at least
    MIN_OBJECT_RUNS = 5

    def __init__(self, case, preload, regions, seconds=SECONDS):
        """@seconds: for one run with the object."""
        self.case, self.preload, self.regions, self.seconds = case, preload, regions, seconds
        self.plain, self.under = [], []
        self._run_plainly()
        self._run_plainly()
        if unfit(case, self.reference()):
            return
        self._run_with_object()
        if self.strange():
            self._repeat()

    def _run_plainly(self):
        self.plain.append(run(self.case, EMPTY if len(self.plain) % 2 else None, self.regions))

    def _run_with_object(self):
        self.under.append(run(self.case, self.preload, self.regions, self.seconds))

    def _repeat(self):
        while self.strange() and len(self.plain) < self.PLAIN_RUNS:
            self._run_plainly()
        until = time.monotonic() + self.REPEAT_SECONDS
        while len(self.strange()) == 1 and len(self.under) < self.OBJECT_RUNS:
            if time.monotonic() > until and len(self.under) >= self.MIN_OBJECT_RUNS:
                break
            self._run_with_object()
            if self.strange():
                self._run_plainly()

    def strange(self):
        allowed = [seen for seen in self.plain if not unfit(self.case, seen)]
        return [seen for seen in self.under if seen not in allowed]

    def reference(self):
        """The first plain run, if it did what it should, else another one."""
        return next((seen for seen in self.plain if not unfit(self.case, seen)), self.plain[0])

    def difference(self):
        """What the object changes, in words; None: nothing."""
        strange = self.strange()
        return self.reference().difference(strange[0]) if len(strange) > 1 else None

    def chance(self):
        """What differed by chance, in words; None: nothing did."""
        reference, strange = self.reference(), self.strange()
        count = f"{len(self.plain)} plain runs, {len(self.under)} with the object"
        other = next((seen for seen in self.plain if seen != reference), None)
        if other:
            return f"differs by itself ({count}): {reference.difference(other)}"
        return f"differed once ({count}): {reference.difference(strange[0])}" if len(strange) == 1 else None


def unfit(case, plain):
    """Why a plain run cannot be compared with, None when it can."""
    if plain.parts["exit"] == "no end":
        return f"no end after {SECONDS} s without the object"
    if "works" in case.needs and (plain.parts["exit"] or not plain.parts["output"]):
        return f"does not work without the object: {plain.parts}"
    if b": cannot: " in plain.parts["output"]:
        return "the test itself failed: " + plain.parts["output"].decode(errors="replace").splitlines()[-1]
    return None


def compare(case):
    """What is wrong with a case, None when nothing is; what differed by chance, None when nothing did; and the reference."""
    with own_regions() as regions:
        compared = Comparison(case, OBJECT, regions)
        plain = compared.reference()
        wrong = unfit(case, plain) or compared.difference()
        if not wrong and "noregion" not in case.needs and not recorded(regions):
            wrong = "the agent recorded nothing: it was not awake"
        return wrong, compared.chance(), plain
