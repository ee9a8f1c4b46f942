#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`tickbird doctor`: programs that can and cannot be observed, and running processes."""
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys

from cli_lib import (BUILD, OBJECT, TICKBIRD, Skip, check, main, make_regions, need, need_object, one_line, read_line, run_python, test,
                     wait_for)
from elf_samples import EM_386, EM_AARCH64, EM_X86_64, elf32, elf64, go_note, interp

X86_64 = os.uname().machine == "x86_64"
# Listens, says so, and ends when its input does.
LISTENER = ("import socket,sys; s=socket.create_server(('127.0.0.1',0)); print(s.getsockname()[1],flush=True);"
            "sys.stdin.read()")


def ask(s, *argv, code, words=(), program=None, **more):
    need_object()
    done = s.run("doctor", *argv, **({"program": program} if program else {}), **more)
    check(done.code == code, argv, done)
    for word in words:
        check(word in done.out, f"no {word!r}:", done)
    if code != 2:
        check(re.search(r"^  next +\S", done.out, re.M), "no next step:", done)
    return done


@test
def an_ordinary_program_can_be_observed(s):
    make_regions(s)
    done = ask(s, "--", "cat", code=0, words=("can be observed", "tickbird run -- cat", OBJECT, s.regions))
    check("not usable" not in done.out and not done.err, done)


@test
def a_script_is_followed_to_its_interpreter(s):
    make_regions(s)
    for name, line in (("direct", "#!/bin/cat\n"), ("env", "#!/usr/bin/env cat\n"),
                       ("env-s", "#! /usr/bin/env -S VAR=1 cat -u\n"), ("none", "echo no first line\n")):
        path = s.file(name, line.encode(), 0o755)
        ask(s, "--", path, code=0, words=("can be observed", "a script", "runs"))
    static = s.file("interpreter", elf64(EM_X86_64, [(1, b"x")]), 0o755)
    ask(s, "--", s.file("to-static", f"#!{static}\n".encode(), 0o755), code=1, words=("static" if X86_64 else "x86-64",))
    loop = os.path.join(s.path, "loop")
    s.file("loop", f"#!{loop}\n".encode(), 0o755)
    ask(s, "--", loop, code=1, words=("from script to script",))


@test
def static_programs_cannot(s):
    need("cc")
    make_regions(s)
    source = s.file("hello.c", b"int main(void) { return 0; }\n")
    for flag in ("-static", "-static-pie"):
        program = os.path.join(s.path, "hello" + flag)
        subprocess.run(["cc", flag, "-o", program, source], check=True)
        ask(s, "--", program, code=1, words=("cannot be observed", "statically linked"))
    stripped = os.path.join(s.path, "stripped")
    subprocess.run(["cc", "-static", "-s", "-o", stripped, source], check=True)
    ask(s, "--", stripped, code=1, words=("statically linked",))


@test
def go_programs_cannot_static_or_dynamic(s):
    if not X86_64:
        raise Skip("the sample files are for x86-64")
    make_regions(s)
    ask(s, "--", s.file("dynamic", elf64(EM_X86_64, [interp(), go_note()]), 0o755), code=1, words=("Go runtime",))
    ask(s, "--", s.file("static", elf64(EM_X86_64, [go_note()]), 0o755), code=1, words=("Go runtime",))
    ask(s, "--", s.file("other", elf64(EM_X86_64, [interp(), (4, b"\4\0\0\0\0\0\0\0\1\0\0\0GNU\0")]), 0o755), code=0)


@test
def a_real_go_program_cannot(s):
    need("go")
    make_regions(s)
    s.file("main.go", b"package main\nfunc main() {}\n")
    program = os.path.join(s.path, "gopher")
    env = {**os.environ, "GOFLAGS": "-mod=mod", "GO111MODULE": "off", "GOTOOLCHAIN": "local",
           "GOCACHE": os.path.join(BUILD, "go-cache")}  # the runtime is compiled once
    for flags in ([], ["-ldflags=-s -w"]):
        subprocess.run(["go", "build", *flags, "-o", program, os.path.join(s.path, "main.go")], check=True, env=env,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ask(s, "--", program, code=1, words=("Go runtime",))


@test
def other_architectures_cannot(s):
    make_regions(s)
    other = EM_AARCH64 if X86_64 else EM_X86_64
    ask(s, "--", s.file("i386", elf32(EM_386), 0o755), code=1, words=("i386", "architecture"))
    ask(s, "--", s.file("other", elf64(other, [interp()]), 0o755), code=1,
        words=("arm64" if X86_64 else "x86-64", "architecture"))
    big = b"\x7fELF\x02\x02\x01" + bytes(9) + b"\0\2\0\x16" + bytes(44)
    ask(s, "--", s.file("s390x", big, 0o755), code=1, words=("s390x",))


@test
def set_user_id_programs_cannot(s):
    if os.geteuid() != 0:
        raise Skip("only root can make another user's program")
    if os.statvfs(s.path).f_flag & os.ST_NOSUID:
        raise Skip("the scratch directory is mounted nosuid")
    make_regions(s)
    program = os.path.join(s.path, "setuid")
    shutil.copy("/bin/cat", program)
    os.chown(program, 65534, 65534)
    os.chmod(program, 0o4755)
    ask(s, "--", program, code=1, words=("AT_SECURE",))
    os.chmod(program, 0o2755)
    ask(s, "--", program, code=1, words=("AT_SECURE",))
    os.chown(program, 0, 0)
    os.chmod(program, 0o4755)  # root's own: nothing changes at exec
    ask(s, "--", program, code=0)


@test
def damaged_and_odd_files_are_judged_calmly(s):
    make_regions(s)
    with open("/bin/cat", "rb") as f:
        cat = f.read()
    for name, content in (("empty", b""), ("short", b"\x7fELF"), ("head", cat[:40]), ("cut", cat[:200]),
                          ("zeros", b"\x7fELF" + bytes(200)), ("class", b"\x7fELF\x09" + cat[5:])):
        done = s.run("doctor", "--", s.file(name, content, 0o755))
        check(done.code in (0, 1), name, done)
    ask(s, "--", s.file("nobody-executes", b"x"), code=1, words=("may not be executed",))
    ask(s, "--", "no-such-program-here", code=1, words=("not found",))
    ask(s, "--", s.path, code=1)


@test
def an_unfit_directory_is_a_reason(s):
    ask(s, "--", "cat", code=1, words=("does not exist",))
    s.file(s.regions, b"")
    ask(s, "--", "cat", code=1, words=("not a directory",))
    os.unlink(s.regions)
    os.mkdir(s.regions)
    os.chmod(s.regions, 0o777)
    ask(s, "--", "cat", code=1, words=("sticky",))
    os.chmod(s.regions, 0o1777)
    ask(s, "--", "cat", code=0)
    if os.geteuid() == 0:
        os.chown(s.regions, 65534, 65534)
        ask(s, "--", "cat", code=1, words=("neither to root nor",))
    ask(s, "--", "cat", code=1, words=("not an absolute path",), env={"TICKBIRD_DIR": "relative"})


@test
def a_disk_is_no_place_for_regions_unless_forced(s):
    disk = next((d for d in ("/var/tmp", os.path.expanduser("~"), "/var/log") if os.path.isdir(d) and subprocess.run(
        ["stat", "-f", "-c", "%T", d], capture_output=True, check=False).stdout.strip() not in (b"tmpfs", b"ramfs")), None)
    if not disk:
        raise Skip("no disk file system")
    disk = "/usr" if os.geteuid() == 0 else disk
    ask(s, "--", "cat", code=1, words=("disk",), env={"TICKBIRD_DIR": disk})
    done = s.run("doctor", "--", "cat", env={"TICKBIRD_DIR": disk, "TICKBIRD_DIR_FORCE": "1"})
    check("write-back" not in done.out, done)


@test
def a_process_that_was_started_without_is_told_so(s):
    make_regions(s)
    process = s.start([sys.executable, "-c", LISTENER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    read_line(process.stdout)
    done = ask(s, str(process.pid), code=1, words=("started without the preload", "listens    on 1 socket"))
    check("not loaded" in done.out, done)


@test
def a_process_that_names_a_missing_object_is_told_so(s):
    make_regions(s)
    process = s.start([sys.executable, "-c", LISTENER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                      stderr=subprocess.DEVNULL, env={"LD_PRELOAD": "/nonexistent/libtickbird.so"})
    read_line(process.stdout)
    ask(s, str(process.pid), code=1, words=("/nonexistent/libtickbird.so, which does not exist",))


@test
def a_static_process_is_told_so(s):
    need("cc")
    make_regions(s)
    source = s.file("wait.c", b"#include <unistd.h>\nint main(void) { char c; write(1, \"\\n\", 1);"
                              b" return read(0, &c, 1) < 0; }\n")
    program = os.path.join(s.path, "static-wait")
    subprocess.run(["cc", "-static", "-w", "-o", program, source], check=True)
    process = s.start([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"LD_PRELOAD": OBJECT})
    read_line(process.stdout)
    ask(s, str(process.pid), code=1, words=("statically linked",))


@test
def a_process_of_another_user_cannot_be_told(s):
    if os.geteuid() != 0:
        raise Skip("needs two users")
    need("setpriv")
    need_object()
    if not subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", "test", "-x", os.path.dirname(OBJECT)],
                          check=False).returncode == 0:
        raise Skip("the build directory is not open to other users")
    done = s.run("--reuid", "65534", "--regid", "65534", "--clear-groups",
                 os.path.join(os.path.dirname(OBJECT), "tickbird"), "doctor", str(os.getpid()), program="setpriv")
    check(done.code == 1 and "no right" in done.out, done)


@test
def no_process_is_wrong_usage(s):
    done = ask(s, "999999999", code=2)
    one_line(done.err)
    ask(s, "--", "999999999", code=1, words=("not found",))


def started(s, script, env=None):
    """A Python program under `tickbird run`; returns it after its first line, which it gets too."""
    process = run_python(s, script, service="patient", env=env)
    return process, read_line(process.stdout)


@test
def a_process_that_has_not_listened_can_be_observed(s):
    process, _ = started(s, "import sys; print(flush=True); sys.stdin.read()")
    ask(s, str(process.pid), code=0, words=("can be observed", "not listened", OBJECT))


@test
def a_process_that_is_disabled_is_told_so(s):
    process, _ = started(s, "import sys; print(flush=True); sys.stdin.read()", {"TICKBIRD_DISABLE": "1"})
    ask(s, str(process.pid), code=1, words=("TICKBIRD_DISABLE",))


@test
def a_process_that_records_is_shown_with_its_region(s):
    process, port = started(s, LISTENER)
    socket.create_connection(("127.0.0.1", int(port))).close()
    done = wait_for("a region", lambda: (lambda d: d if "region" in d.out else None)(s.run("doctor", str(process.pid))))
    check(done.code == 0 and "records: service patient" in done.out and s.regions in done.out, done)
    check(s.run("off", "patient").code == 0)
    ask(s, str(process.pid), code=1, words=("switched off", "tickbird on"))
    check(s.run("on").code == 0)
    ask(s, str(process.pid), code=0, words=("records",))


@test
def phps_curl_module_is_told_of(s):
    php = shutil.which("php")
    if not php or b"curl" not in subprocess.run([php, "-m"], capture_output=True, check=False).stdout.split():
        raise Skip("php-curl is not installed")
    need_object()
    for options, is_told in (((), True), (("-n",), False)):  # -n: no configuration, so no modules
        process = s.start([TICKBIRD, "run", "--", php, *options, "-r", 'echo "\\n"; fgets(STDIN);'], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE)
        read_line(process.stdout)
        done = s.run("doctor", str(process.pid))
        check(done.code == 0 and ("RTLD_DEEPBIND" in done.out) == is_told, done)


BLOCKED = """
import os, socket
a, b = socket.socketpair()
print(flush=True)
b.recv(1)
"""


def core_of(s, script, preload):
    """The core file of a Python program that ends by SIGABRT, after its first line at the earliest."""
    need("python3")
    with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as f:
        if f.read().strip() != "core":
            raise Skip("core files do not go to the current directory here")
    folder = os.path.join(s.path, "crash")
    os.mkdir(folder)
    make_regions(s)
    unlimited = lambda: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)  # pylint: disable=unnecessary-lambda-assignment
    process = s.start([os.path.realpath("/usr/bin/python3"), "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                      cwd=folder, preexec_fn=unlimited, env={"LD_PRELOAD": OBJECT} if preload else {})
    read_line(process.stdout)
    # Abort only when it waits in the call: its system call number is that of recvfrom.
    if "recv" in script:
        wait_for("the call", lambda: open(f"/proc/{process.pid}/syscall", encoding="ascii").read().startswith(("45 ", "207 ")))
        process.send_signal(signal.SIGABRT)
    process.wait(30)
    found = [name for name in os.listdir(folder) if name.startswith("core")]
    if not found:
        raise Skip("no core file is written here")
    return os.path.join(folder, found[0])


@test
def a_crash_below_a_hooked_call_runs_through_the_object(s):
    core = core_of(s, BLOCKED, True)
    done = ask(s, "--core", core, code=1, words=("runs through the object", "called through it", "Aborted", "python3"))
    check([line for line in done.out.splitlines() if "<- the object" in line and "libtickbird.so" in line], done)


@test
def a_crash_beside_the_object_does_not(s):
    core = core_of(s, "import os; print(flush=True); os.abort()", True)
    done = ask(s, "--core", core, code=0, words=("does not run through", "it was loaded", "abort"))
    check("<- the object" not in done.out, done)


@test
def a_crash_without_the_object_is_told_so(s):
    ask(s, "--core", core_of(s, BLOCKED, False), code=0, words=("does not run through", "it was not loaded"))


@test
def a_crash_whose_files_are_gone_is_never_called_clear(s):
    """The mappings that the core file lists say what the innermost function belongs to, whatever lies on disk."""
    core = core_of(s, BLOCKED, True)
    with open(core, "rb") as f:
        data = f.read()
    with open(core, "wb") as f:
        f.write(data[:len(data) // 3])
    done = s.run("doctor", "--core", core)
    check(done.code in (1, 2) and "does not run through" not in done.out, done)


@test
def what_is_no_core_file_is_wrong_usage(s):
    for path in ("/nonexistent", s.file("text", b"core\n"), OBJECT):
        one_line(ask(s, "--core", path, code=2).err)


main()
