#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Other local users. Two real unprivileged users share the machine with the observed program and the exporter: VICTIM runs the
program, ATTACKER does what the kernel lets it do in the shared directory. Needs root, to become them. SECURITY.md names these
tests one by one.
"""
import collections
import errno
import fcntl
import os
import pathlib
import pickle
import re
import shutil
import signal
import socket
import stat
import subprocess
import time

import chaos
import client
import harness

HAS_OWN_MOUNTS = chaos.in_own_mounts()
VICTIM, ATTACKER = 64101, 64102
REGION_BYTES = 3 << 20
LEASE_SECONDS = 45  # that the kernel waits for the holder of a lease (fs.lease-break-time)
FILES = int(os.environ.get("TB_FILES", "20000"))


def need_root():
    if os.getuid() != 0:
        raise harness.Missing("needs root, to become two other users")


def as_user(uid, function, wait=True):
    """Runs @function as @uid in a process of its own; returns its value, raises what it raised."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            try:
                result = (True, function())
            except Exception as error:  # pylint: disable=broad-except
                result = (False, error)
            os.write(write, pickle.dumps(result))
            os.close(write)
            while not wait:
                signal.pause()
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as f:
        is_ok, value = pickle.loads(f.read())
    if not wait:
        return pid
    os.waitpid(pid, 0)
    if not is_ok:
        raise value
    return value


def user(uid):
    return ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups"]


def start_as(test, uid, service=None, model="single", env=None, wrap=()):
    """The small server, run by @uid; the object and the program where that user may read them."""
    for source in (chaos.small_server(), harness.OBJECT):
        if not (test.dir / source.name).exists():
            shutil.copy(source, test.dir / source.name)
            (test.dir / source.name).chmod(0o755)
    child = test.start([*wrap, *user(uid), test.dir / "server", "read", model], service=service,
                       env={"LD_PRELOAD": str(test.dir / "libtickbird.so"), **(env or {})})

    def line():
        assert child.poll() is None, f"ended with {child.returncode}: {test.log_of(child)}"
        text = pathlib.Path(child.log).read_text(encoding="utf-8", errors="replace")
        return text.endswith("\n") and text.split()[-1]
    return child, ("127.0.0.1", int(harness.until(line, "the server listens")))


def ask(address, times=7):
    """So many requests, which are counted when this returns: the server has closed after the last one."""
    conn = client.Conn(address)
    for _ in range(times):
        assert chaos.get(conn, "/small").status == 200
    conn.finish()
    return {("GET", "/small", "200"): times}


def regions(test, uid=None):
    return sorted(p for p in test.region_dir.iterdir() if p.name.startswith("tb1-") and p.lstat().st_size == REGION_BYTES and
                  (uid is None or p.lstat().st_uid == uid))


def refused(function):
    """Did the kernel refuse?"""
    try:
        function()
        return False
    except OSError as error:
        return error.errno in (errno.EACCES, errno.EPERM)


def service_hash(service):
    value = 0xcbf29ce484222325
    for byte in service.encode():
        value = (value ^ byte) * 0x100000001b3 % (1 << 64)
    return f"{value:016x}"


# ---- what the kernel is told: modes and owners ----

def modes_under_every_umask(test):
    need_root()
    for umask in (0o000, 0o022, 0o077, 0o777):
        old = os.umask(umask)
        try:
            _, at = start_as(test, VICTIM, service=f"umask{umask:o}")
        finally:
            os.umask(old)
        ask(at)
    found = regions(test, VICTIM)
    assert len(found) == 4, found
    for path in found:
        st = path.stat()
        assert stat.S_IMODE(st.st_mode) == 0o660 and st.st_uid == VICTIM and st.st_gid == test.region_dir.stat().st_gid, \
            f"{path}: {st}"
    assert stat.S_IMODE(test.region_dir.stat().st_mode) == 0o3773


def private_directory_is_its_users(test):
    """Without a shared directory: /dev/shm/tickbird-UID, 0700 whatever the umask; one that somebody else made is refused."""
    need_root()
    if not HAS_OWN_MOUNTS:
        raise harness.Missing("mounts are not permitted here")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "none", "/dev/shm"], check=True)
    try:
        old = os.umask(0)
        _, at = start_as(test, VICTIM, env={"TICKBIRD_DIR": ""})
        os.umask(old)
        ask(at)
        st = os.stat(f"/dev/shm/tickbird-{VICTIM}")
        assert stat.S_IMODE(st.st_mode) == 0o700 and st.st_uid == VICTIM, st
        assert refused(lambda: as_user(ATTACKER, lambda: os.listdir(f"/dev/shm/tickbird-{VICTIM}")))
        # the attacker was faster with both names: nothing of the victim's goes there, and the program serves
        third = VICTIM + 2
        for name in ("tickbird", f"tickbird-{third}"):
            as_user(ATTACKER, lambda n=name: (os.mkdir(f"/dev/shm/{n}"), os.chmod(f"/dev/shm/{n}", 0o777)))
        _, at = start_as(test, third, env={"TICKBIRD_DIR": ""})
        ask(at)
        assert not os.listdir("/dev/shm/tickbird") and not os.listdir(f"/dev/shm/tickbird-{third}")
        # nor does an exporter believe what lies in a directory that claims to be another's
        done = subprocess.run([chaos.EXPORTER, "--once", "--storage.path", test.dir / "ledger"], stdout=subprocess.PIPE, check=True, timeout=60)
        assert f'service="{test.service}"'.encode() in done.stdout  # the first one's
    finally:
        for child in test.processes:
            test.stop(child)
        subprocess.run(["umount", "-l", "/dev/shm"], check=True)


def another_user_cannot_touch_a_region(test):
    need_root()
    _, at = start_as(test, VICTIM)
    ask(at)
    region, image = regions(test)[0], regions(test)[0].read_bytes()
    other = test.region_dir / "mine"
    attempts = {
        "list": lambda: os.listdir(test.region_dir),
        "read": lambda: os.open(region, os.O_RDONLY),
        "write": lambda: os.open(region, os.O_RDWR),
        "truncate": lambda: os.truncate(region, 0),
        "unlink": lambda: os.unlink(region),
        "rename it away": lambda: os.rename(region, other),
        "rename over it": lambda: (other.write_bytes(b"x"), os.rename(other, region)),
        "chmod": lambda: os.chmod(region, 0o666),
        "chown": lambda: os.chown(region, ATTACKER, ATTACKER),
        "change the directory": lambda: os.chmod(test.region_dir, 0o777),
        "times": lambda: os.utime(region, (1, 1)),
    }
    if pathlib.Path("/proc/sys/fs/protected_hardlinks").read_text(encoding="ascii").strip() == "1":
        attempts["link"] = lambda: os.link(region, test.region_dir / "link")
    for name, attempt in attempts.items():
        assert refused(lambda a=attempt: as_user(ATTACKER, a)), name
    assert regions(test)[0].read_bytes()[:64] == image[:64]
    chaos.start_exporter(test)
    assert test.settled(test.service, 7).counts(test.service) == ask_key(7)
    return f"{len(attempts)} attempts refused"


def ask_key(times):
    return {("GET", "/small", "200"): times}


# ---- names and directories that the attacker made first ----

def names_taken_in_advance(test):
    """All 256 names of the victim's service exist: files, links, pipes, directories of the attacker's. The victim's program is
    recorded all the same, nothing that a link points to is changed, and nobody waits at a pipe."""
    need_root()
    precious = test.dir / "precious"
    precious.write_bytes(b"keep")
    precious.chmod(0o666)
    prefix = f"tb1-{VICTIM}-{service_hash(test.service)}-"

    def plant():
        for number in range(256):
            path = test.region_dir / f"{prefix}{number}"
            kind = number % 6
            if kind == 0:
                path.write_bytes(b"")
                path.chmod(0)
            elif kind == 1:
                os.mkfifo(path, 0o666)
            elif kind == 2:
                path.symlink_to(precious)
            elif kind == 3:
                path.mkdir(0o777)
            elif kind == 4:
                path.write_bytes(bytes(4096))
                os.truncate(path, REGION_BYTES)
                path.chmod(0o666)
            else:
                path.symlink_to("/dev/zero")
    as_user(ATTACKER, plant)
    _, at = start_as(test, VICTIM, service=test.service)  # or it would not be there in time
    ask(at)
    chaos.start_exporter(test)
    counted = test.settled(test.service, 7).counts(test.service)
    assert counted == ask_key(7), counted
    assert precious.read_bytes() == b"keep"
    found = regions(test, VICTIM)
    assert len(found) == 1 and int(found[0].name.rsplit("-", 1)[1]) >= 256, found


def directory_of_somebody_else(test):
    """TICKBIRD_DIR that the attacker owns, that everybody may change, that is a link or no directory: refused, served."""
    need_root()
    base = test.region_dir / "places"
    base.mkdir()
    base.chmod(0o755)
    (base / "open").mkdir()
    (base / "open").chmod(0o777)
    (base / "theirs").mkdir()
    os.chown(base / "theirs", ATTACKER, ATTACKER)
    (base / "link").symlink_to(test.region_dir)
    os.mkfifo(base / "pipe")
    (base / "file").write_bytes(b"")
    for name in ("open", "theirs", "link", "pipe", "file", "missing", "file/below", "../../../../etc", "x" * 5000):
        _, at = start_as(test, VICTIM, env={"TICKBIRD_DIR": f"{base}/{name}"})
        ask(at, 2)
    assert not os.listdir(base / "open") and not os.listdir(base / "theirs") and not regions(test), os.listdir(test.region_dir)


def directory_swapped_meanwhile(test):
    """The directory's parent is the attacker's, who swaps a sound directory and one of its own as fast as it can, while programs
    start. What they make is theirs, and in the sound one only."""
    need_root()
    parent = test.region_dir / "parent"
    parent.mkdir()
    os.chown(parent, ATTACKER, ATTACKER)
    (parent / "dir").mkdir()
    (parent / "dir").chmod(0o3773)
    (parent / "dir").touch()
    (parent / "bad").mkdir(0o777)
    (parent / "bad").chmod(0o777)
    os.chown(parent / "bad", ATTACKER, ATTACKER)
    sound, theirs = os.open(parent / "dir", os.O_RDONLY), os.open(parent / "bad", os.O_RDONLY)
    swapper = os.fork()
    if swapper == 0:
        os.setgroups([])
        os.setgid(ATTACKER)
        os.setuid(ATTACKER)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                for old, new in (("dir", "tmp"), ("bad", "dir"), ("dir", "bad"), ("tmp", "dir")):
                    os.rename(parent / old, parent / new)
            except OSError:
                pass
        os._exit(0)
    try:
        for i in range(30):
            child, at = start_as(test, VICTIM, service=f"s{i}", env={"TICKBIRD_DIR": str(parent / "dir")})
            ask(at, 1)
            test.stop(child)
    finally:
        os.kill(swapper, signal.SIGKILL)
        os.waitpid(swapper, 0)
    made = os.listdir(sound)
    assert not os.listdir(theirs), os.listdir(theirs)
    for name in made:
        assert os.stat(name, dir_fd=sound, follow_symlinks=False).st_uid == VICTIM, name
    os.close(sound)
    os.close(theirs)
    return f"{len(made)} of 30 found the sound one"


# ---- forging ----

def another_users_numbers_are_kept_apart(test):
    """The attacker's program calls itself what the victim's is called, and copies of a region say anything they like."""
    need_root()
    _, at = start_as(test, VICTIM)
    chaos.start_exporter(test)
    ask(at)
    assert test.settled(test.service, 7).counts(test.service) == ask_key(7)
    _, forged = start_as(test, ATTACKER, service=test.service)
    ask(forged, 50)
    apart = f"{test.service}@{ATTACKER}"
    assert test.settled(apart, 50).counts(apart) == ask_key(50)
    image = regions(test, ATTACKER)[0].read_bytes()
    at_service = image.index(test.service.encode() + b"\0")

    def forge():
        for i, name in enumerate((test.service, f"{test.service}@{VICTIM}", "", "\x1b[2J\x07\n\"}", "\xff\xfe", "a" * 127)):
            raw = name.encode("latin-1")
            data = bytearray(image)
            data[at_service:at_service + 128] = raw.ljust(128, b"\0")
            data[at_service + 128:at_service + 384] = b"/bin/\x1b]0;x\x07\xc2\x9b31m".ljust(256, b"\0")
            data[40 - 8:40] = os.urandom(8)  # its own region id
            (test.region_dir / f"tb1-{ATTACKER}-forged-{i}").write_bytes(data)
    as_user(ATTACKER, forge)
    scrape = test.scrape()
    assert scrape.counts(test.service) == ask_key(7), scrape.counts(test.service)
    assert not scrape.counts(f"{test.service}@{VICTIM}")
    assert scrape.total("tickbird_regions_set_apart", service=test.service) >= 2
    texts = [scrape.text]
    for verb in (["status"], ["status", "--json"], ["series"], ["routes"], ["top", "--once"]):
        done = subprocess.run([chaos.COMMAND, *verb, "--dir", test.region_dir, "--storage.path", test.dir / "ledger"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60)
        texts.append(done.stdout.decode("utf-8"))
    for text in texts:
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", text), repr(re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f].*", text).group(0))
    ask(at)
    assert test.settled(test.service, 14).counts(test.service) == ask_key(14)


# ---- filling, slowing, crashing the exporter ----

def memory_of(child):
    for line in pathlib.Path(f"/proc/{child.pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) << 10
    return 0


def seconds_of(child):
    """Processor time that a process has used: it does not depend on what else the machine does."""
    fields = pathlib.Path(f"/proc/{child.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def a_full_directory_costs_a_bounded_time(test):
    """TB_FILES (20,000) files of the attacker's, the victim's numbers stay, and so do time and memory."""
    need_root()
    free = os.statvfs(test.region_dir)
    if free.f_bavail * free.f_frsize < 512 << 20:
        raise harness.Missing("needs 512 MiB in /dev/shm")
    _, at = start_as(test, VICTIM)
    ask(at)
    image = regions(test)[0].read_bytes()

    def fill():
        for i in range(FILES):
            os.close(os.open(test.region_dir / f"tb1-{ATTACKER}-{i}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    as_user(ATTACKER, fill)
    exporter = chaos.start_exporter(test)
    before = seconds_of(exporter)
    scrape = test.scrape()
    took = seconds_of(exporter) - before
    assert scrape.counts(test.service) == ask_key(7)
    assert scrape.total("tickbird_unreadable_regions", reason="quota") == FILES - 1024
    assert took < 5 + FILES / 5000, f"{took:.1f} s"

    def empty():
        for i in range(FILES):
            os.unlink(test.region_dir / f"tb1-{ATTACKER}-{i}")
    as_user(ATTACKER, empty)

    pages = [page for page in range(0, len(image), 4096) if any(image[page:page + 4096])]

    def hostile():
        for i in range(1100):  # sound ones, 1,024 of which count against the quota
            data = bytearray(image)
            data[32:40] = os.urandom(8)
            at_service = data.index(test.service.encode() + b"\0")
            data[at_service:at_service + 128] = b"many".ljust(128, b"\0")
            with open(test.region_dir / f"tb1-{ATTACKER}-{i}", "wb") as f:
                for page in pages:
                    os.pwrite(f.fileno(), data[page:page + 4096], page)
                os.truncate(f.fileno(), REGION_BYTES)
        for i in range(12):  # 288 MiB: past the quota of memory
            with open(test.region_dir / f"tb1-{ATTACKER}-large-{i}", "wb") as f:
                os.posix_fallocate(f.fileno(), 0, 24 << 20)
        os.truncate(os.open(test.region_dir / f"tb1-{ATTACKER}-sparse", os.O_CREAT | os.O_WRONLY, 0o666), 1 << 40)
    as_user(ATTACKER, hostile)
    test.scrape()
    before = seconds_of(exporter)
    scrape = test.scrape()
    took_regions = seconds_of(exporter) - before
    assert scrape.counts(test.service) == ask_key(7)
    assert scrape.total("tickbird_unreadable_regions", reason="quota") >= 80, scrape.values("tickbird_unreadable_regions")
    assert took_regions < 20, f"{took_regions:.1f} s"
    assert memory_of(exporter) < 400 << 20, memory_of(exporter)
    assert exporter.poll() is None
    return f"{FILES} files {took:.2f} s, 1,024 regions {took_regions:.2f} s, {memory_of(exporter) >> 20} MiB"


def locks_leases_and_pipes_stall_nobody(test):
    need_root()
    _, at = start_as(test, VICTIM)
    ask(at)
    exporter = chaos.start_exporter(test, "--fold-after", "50ms", "--unlink-after", "100ms")
    assert test.scrape().counts(test.service) == ask_key(7)  # who comes first has the name
    image = regions(test)[0].read_bytes()

    def hold():
        for i in range(8):
            path = test.region_dir / f"tb1-{ATTACKER}-held-{i}"
            data = bytearray(image)
            data[32:40] = os.urandom(8)
            path.write_bytes(data)
            fd = os.open(path, os.O_RDWR)
            if i % 4 == 0:
                fcntl.flock(fd, fcntl.LOCK_EX)
            elif i % 4 == 1:
                os.close(fd)
                fd = os.open(path, os.O_RDONLY)
                fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            elif i % 4 == 2:
                fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
                signal.signal(signal.SIGIO, signal.SIG_IGN)
            else:
                fcntl.lockf(fd, fcntl.LOCK_EX)
        os.mkfifo(test.region_dir / f"tb1-{ATTACKER}-pipe", 0o666)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(test.region_dir / f"tb1-{ATTACKER}-socket"))
        hold.kept = listener
    holder = as_user(ATTACKER, hold, wait=False)
    try:
        for _ in range(10):
            began = time.monotonic()
            scrape = test.scrape()
            assert time.monotonic() - began < LEASE_SECONDS / 2, "a scrape waited"
            assert scrape.counts(test.service) == ask_key(7), scrape.counts(test.service)
        began = time.monotonic()
        _, other = start_as(test, VICTIM, service="other")
        assert time.monotonic() - began < LEASE_SECONDS / 2
        ask(other)
        assert test.settled("other", 7).counts("other") == ask_key(7)
        assert exporter.poll() is None
    finally:
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)


def regions_that_change_while_they_are_read(test):
    """The attacker's regions are truncated, filled and written to at random while the exporter reads and folds them."""
    need_root()
    _, at = start_as(test, VICTIM)
    ask(at)
    image = regions(test)[0].read_bytes()
    exporter = chaos.start_exporter(test, "--fold-after", "10ms", "--unlink-after", "20ms")
    assert test.scrape().counts(test.service) == ask_key(7)  # who comes first has the name
    changer = os.fork()
    if changer == 0:
        os.setgroups([])
        os.setgid(ATTACKER)
        os.setuid(ATTACKER)
        random_ = chaos.rng("change")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            path = test.region_dir / f"tb1-{ATTACKER}-{random_.randrange(6)}"
            try:
                if not path.exists():
                    path.write_bytes(image)
                with open(path, "r+b") as f:
                    for _ in range(20):
                        how = random_.randrange(4)
                        if how == 0:
                            f.truncate(random_.choice([0, 4095, 4096, 200000, REGION_BYTES, 8 << 20]))
                        elif how == 1:
                            f.seek(random_.choice([random_.randrange(4096), random_.randrange(REGION_BYTES)]))
                            f.write(random_.choice([b"\xff" * 8, os.urandom(8), bytes(64)]))
                        elif how == 2:
                            f.seek(0)
                            f.write(image)
                        else:
                            os.rename(path, test.region_dir / f"tb1-{ATTACKER}-{random_.randrange(6)}")
                        f.flush()
            except OSError:
                pass
        os._exit(0)
    try:
        for _ in range(60):
            scrape = test.scrape()
            assert scrape.counts(test.service) == ask_key(7), scrape.text
    finally:
        os.kill(changer, signal.SIGKILL)
        os.waitpid(changer, 0)
    assert exporter.poll() is None, test.log_of(exporter)


# ---- programs with more rights than who starts them ----

def set_user_id_programs_do_nothing(test):
    """The attacker starts a set-user-ID program with every variable set; once through LD_PRELOAD, which the loader ignores, and
    once through /etc/ld.so.preload, where the object is loaded and must stay asleep."""
    need_root()
    if not HAS_OWN_MOUNTS:
        raise harness.Missing("mounts are not permitted here")
    program = test.dir / "server"
    start_as(test, VICTIM, service="makes_the_copies")
    suid = test.dir / "suid-server"
    shutil.copy(program, suid)
    os.chown(suid, 0, 0)
    suid.chmod(0o4755)
    hostile = {"TICKBIRD_DIR": str(test.region_dir), "TICKBIRD_SERVICE": "evil", "TICKBIRD_DEBUG": "1", "TICKBIRD_DIR_FORCE": "1",
               "TICKBIRD_LABELS": "a=b", "TICKBIRD_SELECT_FILE": "/etc/shadow", "LD_PRELOAD": str(test.dir / "libtickbird.so")}
    before = set(os.listdir(test.region_dir))

    def run(env):
        # the variables come behind setpriv, which would be an ordinary observed program
        child = test.start([*user(ATTACKER), "env", *(f"{k}={v}" for k, v in env.items()), suid, "read", "single"], preload=False)
        address = ("127.0.0.1", int(harness.until(lambda: pathlib.Path(child.log).read_text(encoding="ascii").strip(), "it listens")))
        ask(address, 3)
        assert re.search(r"^Uid:\t64102\t0\t", pathlib.Path(f"/proc/{child.pid}/status").read_text(encoding="ascii"), re.M), "it is not set-user-ID"
        maps = pathlib.Path(f"/proc/{child.pid}/maps").read_text(encoding="ascii")
        assert set(os.listdir(test.region_dir)) == before, set(os.listdir(test.region_dir)) - before
        assert not re.search("tb1-", maps)
        text = pathlib.Path(child.log).read_text(encoding="utf-8", errors="replace")
        assert len(text.split()) == 1, text
        test.stop(child)
        return "libtickbird.so" in maps
    assert not run(hostile)
    etc = test.dir / "etc"
    subprocess.run(["cp", "-a", "/etc", etc], check=True)
    (etc / "ld.so.preload").write_text(f"{test.dir}/libtickbird.so\n", encoding="ascii")
    subprocess.run(["mount", "--bind", etc, "/etc"], check=True)
    try:
        del hostile["LD_PRELOAD"]
        assert run(hostile), "ld.so.preload was not used"
    finally:
        subprocess.run(["umount", "-l", "/etc"], check=True)


# ---- variables ----

def hostile_variables_change_nothing(test):
    """Every variable that the agent reads, with long, binary and absurd values: the program does as without, says nothing, and
    what comes out of the exporter is sound text."""
    need_root()
    rows = (pathlib.Path(__file__).parents[2] / "agent" / "options.def").read_text(encoding="ascii")
    names = [n for n, side in re.findall(r'^OPTION\(\w+, "(TICKBIRD_\w+)",.*, ([A-Z| ]+)\)$', rows, re.M) if "AGENT" in side]
    assert len(names) >= 8, names
    values = [b"", b"\x1b[2J\x07\n\r\t\x7f", b"\xff\xfe\xc0\x80\xed\xa0\x80", b"A" * 100000, b"../../../../etc/passwd", b"%s%n%x,=,==,\"\\",
              b"99999999999999999999", b"-1", b"/dev/zero", b"/proc/self/mem", b"*" * 4000, b"arg=" + b"[" * 3000, b":::"]
    chaos.start_exporter(test)
    for name in names:
        for value in values:
            if name == "TICKBIRD_DEBUG" and value not in (b"",):
                continue  # its purpose is to speak
            env = {k: v for k, v in test.env().items()}
            env = {os.fsencode(k): os.fsencode(v) for k, v in env.items()}
            env[name.encode()] = value
            with open(test.dir / "out", "wb") as out:
                child = subprocess.Popen([chaos.small_server(), "read", "single"], env=env, stdin=subprocess.DEVNULL, stdout=out,
                                         stderr=subprocess.STDOUT, start_new_session=True)
            try:
                line = harness.until(lambda: (test.dir / "out").read_bytes().endswith(b"\n") and (test.dir / "out").read_bytes(),
                                     f"{name}={value[:20]!r}: the server listens")
                assert re.fullmatch(rb"\d+\n", line), f"{name}={value[:20]!r}: {line!r}"
                ask(("127.0.0.1", int(line)), 2)
                assert child.poll() is None
                assert (test.dir / "out").read_bytes() == line, f"{name}={value[:20]!r}: {(test.dir / 'out').read_bytes()[:200]!r}"
            finally:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    text = test.scrape().text
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    return f"{len(names)} variables, {len(values)} values"


# ---- the exporter's own port ----

def bad_clients_of_the_exporter(test):
    need_root()
    child, at = start_as(test, VICTIM)
    ask(at)
    exporter = chaos.start_exporter(test)
    random_ = chaos.rng("bad clients")
    bad = [b"\0" * 5000, b"GET /metrics\r\n\r\n", b"GET " + b"/" * 100000 + b" HTTP/1.1\r\n\r\n", b"POST /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
           b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 20000, b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /metrics%00 HTTP/1.1\r\nHost: x\r\n\r\n",
           b"PUT /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", b"\x16\x03\x01\x02\x00\x01\x00", random_.randbytes(3000)]
    for data in bad * 3:
        conn = client.Conn(test.exporter, 5)
        conn.send(data)
        conn.half_close() if random_.random() < 0.5 else conn.reset()
    idle = []
    for _ in range(400):  # connections that say nothing, or one byte
        try:
            conn = client.Conn(test.exporter, 5)
            conn.send(b"G" if random_.random() < 0.5 else b"")
            idle.append(conn)
        except OSError:
            break
    for conn in idle:
        conn.close()
    counts = harness.until(lambda: scrape_or_none(test), "the exporter answers again").counts(test.service)
    assert counts == ask_key(7) and exporter.poll() is None and child.poll() is None
    return f"{len(bad) * 3} bad requests, {len(idle)} idle connections"


def scrape_or_none(test):
    try:
        return test.scrape()
    except (OSError, AssertionError, client.Closed, client.NoHead):
        return None


chaos.main([modes_under_every_umask, private_directory_is_its_users, another_user_cannot_touch_a_region, names_taken_in_advance,
            directory_of_somebody_else, directory_swapped_meanwhile, another_users_numbers_are_kept_apart,
            a_full_directory_costs_a_bounded_time, locks_leases_and_pipes_stall_nobody, regions_that_change_while_they_are_read,
            set_user_id_programs_do_nothing, hostile_variables_change_nothing, bad_clients_of_the_exporter])
