#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Which programs are observed: variables and select file, what a program that is left out costs, and how it is
explained. The truth is the region: a program that is observed makes one when it listens."""
import os
import re
import shutil
import socket
import subprocess

from cli_lib import OBJECT, Skip, check, main, make_regions, need, need_object, one_line, read_line, test

PYTHON = os.path.realpath("/usr/bin/python3")
LISTEN = "import socket; s = socket.socket(); s.listen(1)"
SERVE = r"""
import socket, sys
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
for _ in range(3):
    c = s.accept()[0]
    while c.recv(4096).find(b"\r\n\r\n") < 0:
        pass
    c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    c.close()
sys.stdin.read()
"""


def regions(s):
    return sorted(n for n in os.listdir(s.regions) if n.startswith("tb1-"))


def environment(s, **more):
    need_object()
    make_regions(s)
    return {**s.env, "LD_PRELOAD": OBJECT, **more}


def records(s, *args, program=(PYTHON,), cwd=None, **variables):
    """Starts a program that listens; did it make a region? Nothing may be printed in either case."""
    env = environment(s, **variables)
    done = subprocess.run([*program, "-c", LISTEN, *args], env=env, capture_output=True, timeout=60, cwd=cwd)
    check(done.returncode == 0 and not done.stdout and not done.stderr, done)
    found = regions(s)
    for name in found:
        os.unlink(os.path.join(s.regions, name))
    return bool(found)


def select_file(s, text, mode=0o644):
    return s.file("select", text.encode() if isinstance(text, str) else text, mode)


@test
def variables_select_by_executable_and_argument(s):
    check(records(s))
    check(records(s, TICKBIRD_INCLUDE="python3*"))
    check(records(s, TICKBIRD_INCLUDE=PYTHON))
    check(records(s, TICKBIRD_INCLUDE="exe=/usr/**"))
    check(not records(s, TICKBIRD_INCLUDE="nginx"))
    check(not records(s, TICKBIRD_EXCLUDE="nginx:python3*"))
    check(not records(s, TICKBIRD_INCLUDE="python3*", TICKBIRD_EXCLUDE="python3*"))
    check(not records(s, "--batch", TICKBIRD_EXCLUDE="arg=--batch"))
    check(records(s, "--batched", TICKBIRD_EXCLUDE="arg=--batch"))
    check(not records(s, "a:b", TICKBIRD_EXCLUDE=r"arg=a\:b"))
    check(records(s, "", "--serve=x", TICKBIRD_INCLUDE="arg=--serve=*"))
    check(not records(s, TICKBIRD_EXCLUDE="arg=["), "a rule that cannot be read")
    check(not records(s, TICKBIRD_EXCLUDE="x" * 255 + ":" + "y" * 255 + ":" + "z" * 255 + ":" + "w" * 260), "too long")


@test
def names_count_as_executed_and_as_they_are(s):
    link = os.path.join(s.path, "shop-server")
    os.symlink(PYTHON, link)
    for rule in ("shop-server", os.path.basename(PYTHON), PYTHON, link):
        check(not records(s, program=[link], TICKBIRD_EXCLUDE=rule), rule)
        check(records(s, program=[link], TICKBIRD_INCLUDE=rule), rule)
    check(not records(s, program=["./shop-server"], cwd=s.path, TICKBIRD_EXCLUDE="shop-server"))
    script = s.file("worker", f"#!{PYTHON}\n{LISTEN}\n".encode(), 0o755)
    done = subprocess.run([script], env=environment(s, TICKBIRD_INCLUDE="worker"), capture_output=True, timeout=60)
    check(done.returncode == 0 and regions(s), done)


@test
def the_arguments_are_found_however_many_there_are(s):
    many = ["x"] * 5000 + ["--last"]
    check(not records(s, *many, TICKBIRD_EXCLUDE="arg=--last"))
    check(records(s, *many, TICKBIRD_EXCLUDE="arg=--lost"))
    variables = {f"V{i}": "y" * 50 for i in range(3000)}
    check(not records(s, "--last", TICKBIRD_EXCLUDE="arg=--last", **variables))
    env = {"LD_PRELOAD": OBJECT, "TICKBIRD_DIR": s.regions, "TICKBIRD_INCLUDE": "arg=--last"}
    for argv in ([PYTHON, "-c", LISTEN, "--last"], ["/lib64/ld-linux-x86-64.so.2", PYTHON, "-c", LISTEN, "--last"]):
        if os.path.exists(argv[0]):
            done = subprocess.run(argv, env=env, capture_output=True, timeout=60)
            check(done.returncode == 0 and not done.stderr and len(regions(s)) == 1, argv[0], done)
            os.unlink(os.path.join(s.regions, regions(s)[0]))


@test
def the_select_file_and_the_variables_both_apply(s):
    path = select_file(s, "# what is observed here\ninclude exe python3*\n\nexclude arg --batch\n")
    check(records(s, TICKBIRD_SELECT_FILE=path))
    check(not records(s, "--batch", TICKBIRD_SELECT_FILE=path))
    check(not records(s, TICKBIRD_SELECT_FILE=path, TICKBIRD_INCLUDE="nginx"))
    check(not records(s, TICKBIRD_SELECT_FILE=path, TICKBIRD_EXCLUDE="python3*"))
    select_file(s, "include exe nginx\n")
    check(not records(s, TICKBIRD_SELECT_FILE=path, TICKBIRD_INCLUDE="python3*"), "no variable widens the file")


@test
def a_select_file_that_cannot_be_trusted_or_read_selects_nothing(s):
    good = "exclude exe nginx\n"
    path = select_file(s, good)
    check(records(s, TICKBIRD_SELECT_FILE=path))
    for mode in (0o664, 0o646):
        select_file(s, good, mode)
        check(not records(s, TICKBIRD_SELECT_FILE=path), oct(mode))
    for text in ("exlude exe nginx\n", good + "exclude\n", b"exclude exe a\0b\n", good * 300, "exclude exe [\n"):
        select_file(s, text)
        check(not records(s, TICKBIRD_SELECT_FILE=path), text[:40])
    select_file(s, "#" * 4095 + "\n")
    check(records(s, TICKBIRD_SELECT_FILE=path), "4,096 bytes are still read")
    check(records(s, TICKBIRD_SELECT_FILE=path + "/none"))
    os.unlink(path)
    os.mkfifo(path)
    check(not records(s, TICKBIRD_SELECT_FILE=path), "a FIFO")
    if os.geteuid() == 0:
        os.unlink(path)
        select_file(s, good)
        os.chown(path, 65534, 65534)
        check(not records(s, TICKBIRD_SELECT_FILE=path), "somebody else's")


def strace(s, argv, env, name, stdin=None):
    out = os.path.join(s.path, name)
    subprocess.run(["strace", "-f", "-i", "-o", out, *argv], env=env, check=True, timeout=60, capture_output=True,
                   stdin=stdin)
    with open(out, encoding="utf-8", errors="replace") as f:
        return f.read().splitlines()


def own_calls(lines):
    """The calls whose instruction lies in the object: their names, in order."""
    mapped, own = None, []
    for number, line in enumerate(lines):
        found = re.match(r"^\d+ +\[([0-9a-f]+)\] (\w+)\(", line)
        if not found:
            continue
        if "libtickbird.so" in line and found.group(2) == "openat":
            fd = line.rsplit("= ", 1)[1].strip()
            for later in lines[number:number + 12]:
                at = re.search(r"mmap\(NULL, (\d+), .*, " + fd + r", 0\) = (0x[0-9a-f]+)", later)
                if at:
                    mapped = range(int(at.group(2), 16), int(at.group(2), 16) + int(at.group(1)))
                    break
        elif mapped and int(found.group(1), 16) in mapped:
            own.append(found.group(2).replace("newfstatat", "fstat"))  # which of the two depends on libc
    check(mapped, "the object was not loaded")
    return own


@test
def a_program_that_is_left_out_makes_no_call_after_the_decision(s):
    need("strace", "curl")
    env = environment(s)
    path = select_file(s, "exclude arg leave-me-alone\n")
    argv = [PYTHON, "-c", LISTEN + "\nfor i in range(200): socket.socket().close()", "leave-me-alone"]
    of_file = ["openat", "fstat", "read", "close"]
    # the instruction pointer of strace tells whose call it is; newer kernels have newfstatat for fstat
    cases = (({"TICKBIRD_EXCLUDE": "arg=leave-me-*"}, ["openat"]),
             ({"TICKBIRD_EXCLUDE": os.path.basename(PYTHON)}, ["openat"]),
             ({"TICKBIRD_SELECT_FILE": path}, of_file))
    for number, (variables, expected) in enumerate(cases):
        calls = own_calls(strace(s, argv, {**env, **variables}, f"out{number}"))
        check(calls == expected, variables, calls)
    # by its full path alone: one more, at its first socket, and no other
    link = os.path.join(s.path, "other-name")
    os.symlink(PYTHON, link)
    calls = own_calls(strace(s, [link, *argv[1:]], {**env, "TICKBIRD_EXCLUDE": PYTHON}, "out"))
    check(calls == ["openat", "fstat", "readlinkat"], calls)
    check(not regions(s))


@test
def the_start_of_a_program_that_never_serves_stays_within_five_calls(s):
    need("strace")
    env = environment(s, TICKBIRD_EXCLUDE="nginx:arg=x:/opt/**")
    env["TICKBIRD_SELECT_FILE"] = select_file(s, "include exe *\nexclude exe /usr/lib/**\nexclude arg --batch\n")
    calls = own_calls(strace(s, ["/bin/true"], env, "out"))
    check(calls == ["openat", "fstat", "read", "close", "fstat"], calls)


@test
def a_socket_as_standard_input_costs_two_calls_more(s):
    """As in the commands that sshd and other servers run; glibc's tables of streams are opened and sealed again."""
    need("strace")
    here, there = socket.socketpair()
    with here, there:
        env = environment(s, TICKBIRD_SELECT_FILE=os.path.join(s.path, "none"))
        calls = own_calls(strace(s, ["/bin/true"], env, "out", stdin=here))
    check(calls == ["openat", "fstat", "mprotect", "mprotect"], calls)


@test
def children_decide_for_themselves(s):
    env = environment(s, TICKBIRD_EXCLUDE="arg=parent")
    code = f"import subprocess, sys\nsubprocess.run([{PYTHON!r}, '-c', {LISTEN!r}], check=True)\n{LISTEN}"
    done = subprocess.run([PYTHON, "-c", code, "parent"], env=env, capture_output=True, timeout=60)
    check(done.returncode == 0 and len(regions(s)) == 1, done, regions(s))


@test
def a_server_that_is_left_out_answers_and_records_nothing(s):
    env = environment(s, TICKBIRD_EXCLUDE="arg=quiet")
    server = s.start([PYTHON, "-c", SERVE, "quiet"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                     stderr=subprocess.PIPE)
    port = read_line(server.stdout)
    for _ in range(3):
        need("curl")
        done = subprocess.run(["curl", "-sS", f"http://127.0.0.1:{port}/a"], capture_output=True, timeout=60)
        check(done.stdout == b"ok", done)
    check(not regions(s) and s.regions not in open(f"/proc/{server.pid}/maps", encoding="utf-8").read())
    done = s.run("doctor", str(server.pid))
    check(done.code == 1 and "is left alone: excluded by TICKBIRD_EXCLUDE (arg=quiet)" in done.out, done)
    listed = s.run("status").out
    check("excluded by TICKBIRD_EXCLUDE (arg=quiet)" in listed, listed)
    server.stdin.close()
    check(server.wait(60) == 0 and not server.stderr.read())


@test
def doctor_explains_who_left_a_program_out(s):
    path = select_file(s, "# machine\n\nexclude exe python3*\n")
    environment(s)
    done = s.run("doctor", "--", PYTHON, env={"TICKBIRD_SELECT_FILE": path})
    check(done.code == 1 and f"is left alone: excluded by {path} line 3 (exclude exe python3*)" in done.out, done)
    server = s.start([PYTHON, "-c", SERVE], env=environment(s, TICKBIRD_SELECT_FILE=path), stdin=subprocess.PIPE,
                     stdout=subprocess.PIPE)
    read_line(server.stdout)
    done = s.run("doctor", str(server.pid))
    check(done.code == 1 and f"excluded by {path} line 3" in done.out, done)
    done = s.run("doctor", "--", PYTHON, "x", env={"TICKBIRD_INCLUDE": "nginx:arg=y"})
    check(done.code == 1 and "no include in TICKBIRD_INCLUDE matches it" in done.out, done)
    select_file(s, "include exe python3*\nexclud exe x\n")
    done = s.run("doctor", "--", PYTHON, env={"TICKBIRD_SELECT_FILE": path})
    check(done.code == 1 and f"{path} line 2 is no rule (exclud exe x), so nothing is observed" in done.out, done)
    done = s.run("status", env={"TICKBIRD_SELECT_FILE": path})
    check(f"Select file {path}: line 2 is no rule (exclud exe x): correct it" in done.out, done)
    select_file(s, "include exe python3*\n", 0o666)
    done = s.run("doctor", "--", PYTHON, env={"TICKBIRD_SELECT_FILE": path})
    check(done.code == 1 and "others than its owner may write it" in done.out, done)
    select_file(s, "include exe python3*\n")
    done = s.run("doctor", "--", PYTHON, env={"TICKBIRD_SELECT_FILE": path})
    check(done.code == 0 and "can be observed" in done.out, done)
    done = s.run("status", env={"TICKBIRD_SELECT_FILE": path})
    check(f"Select file {path}: 1 include, 0 excludes." in done.out, done)


@test
def run_hands_its_lists_to_the_program(s):
    show = "import os; print(os.environ.get('TICKBIRD_INCLUDE'), os.environ.get('TICKBIRD_EXCLUDE'))"
    environment(s)
    done = s.run("run", "--include", "python3*", "--include", "arg=a:b", "--", PYTHON, "-c", show,
                 env={"TICKBIRD_INCLUDE": "nginx", "TICKBIRD_EXCLUDE": "perl"})
    check(done.code == 0 and done.out == "python3*:arg=a\\:b perl\n" and not done.err, done)
    done = s.run("run", "--exclude", "python3*", "--", PYTHON, "-c", show)
    check(done.code == 0 and "is left alone: excluded by TICKBIRD_EXCLUDE (python3*)" in one_line(done.err), done)
    done = s.run("run", "--strict", "--exclude", "python3*", "--", PYTHON, "-c", show)
    check(done.code == 125 and not done.out, done)
    for bad in ("[", "arg=", "a/b", "x" * 300):
        done = s.run("run", "--include", bad, "--", PYTHON, "-c", show)
        check(done.code == 125 and not done.out, done)
        one_line(done.err)


@test
def a_program_of_musl_finds_its_arguments(s):
    need("musl-gcc", "strace")
    source = s.file("m.c", b"#include <sys/socket.h>\nint main(void) { return listen(socket(2, 1, 0), 1); }\n")
    program = os.path.join(s.path, "m")
    subprocess.run(["musl-gcc", "-o", program, source], check=True, timeout=60)
    for rule, expected in (("arg=go", 0), ("arg=stay", 1), ("m", 0)):
        env = environment(s, TICKBIRD_EXCLUDE=rule)
        done = subprocess.run([program, "go"], env=env, capture_output=True, timeout=60)
        check(done.returncode == 0 and not done.stderr and len(regions(s)) == expected, rule, done, regions(s))
        shutil.rmtree(s.regions)


@test
def the_file_of_the_machine_is_honoured(s):
    """In a mount namespace of its own: /etc is this machine's."""
    need("unshare", "mount")
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        raise Skip("no mount namespace can be made")
    environment(s)
    etc = os.path.join(s.path, "etc")
    os.makedirs(os.path.join(etc, "tickbird"))
    script = f"mount --bind {etc} /etc && exec {PYTHON} -c '{LISTEN}'"
    for text, expected in ((None, 1), ("exclude exe python3*\n", 0), ("include exe python3*\n", 1)):
        if text:
            with open(os.path.join(etc, "tickbird/select"), "w", encoding="utf-8") as f:
                f.write(text)
        done = subprocess.run(["unshare", "-m", "sh", "-c", script], env={**s.env, "LD_PRELOAD": OBJECT},
                              capture_output=True, timeout=60)
        check(done.returncode == 0 and len(regions(s)) == expected, text, done, regions(s))
        for name in regions(s):
            os.unlink(os.path.join(s.regions, name))


main()
