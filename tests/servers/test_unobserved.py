#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Programs that listen and are not recorded: the exporter says so, by service and reason, and stops when they end. The
commands say the same. Silence is never taken for no traffic."""
import os
import random
import shutil
import ssl
import subprocess
import urllib.request

import harness
import sites
import started

LATE = 90  # seconds: the exporter looks every 15, and what it did not reach on a busy machine the next time


def build(test, source, name, *flags):
    if not shutil.which("cc"):
        raise harness.Missing("no C compiler")
    program = test.dir / name
    done = subprocess.run(["cc", "-O1", "-w", "-D_GNU_SOURCE", sites.APPS / source, "-o", program, *flags], capture_output=True, check=False)
    if done.returncode:
        raise harness.Missing(f"{source} cannot be built: {done.stderr.decode()[-200:]}")
    return program


def unique(word):
    """A program's name that no other test's has."""
    return f"tb-{word}-{os.getpid()}"


def is_told(test, service, reason):
    return test.scrape().total("tickbird_unobservable", service=service, reason=reason) == 1


def reasons(test, service):
    return {labels["reason"] for labels, _ in test.scrape().values("tickbird_unobservable", service=service)}


def expect(test, name, service, *wanted):
    """@service has these reasons and no other."""
    try:
        harness.until(lambda: reasons(test, service) == set(wanted), f"{service} is told", LATE)
        harness.report(True, name)
    except AssertionError as late:
        harness.report(False, name, f"{late}; expected {wanted}, found {reasons(test, service)}")


def expect_exe(test, program, *wanted):
    """@program's file has these reasons and no other, each with one process."""
    def found():
        return {(labels["reason"], count) for labels, count in test.scrape().values("tickbird_unobserved_listeners", exe=str(program))}
    try:
        harness.until(lambda: found() == {(reason, 1) for reason in wanted}, f"{program} is told", LATE)
        harness.report(True, f"executable_is_told_{'_'.join(wanted) or 'not'}")
    except AssertionError as late:
        harness.report(False, f"executable_is_told_{'_'.join(wanted) or 'not'}", f"{late}; found {found()}")


def said_by(test, *words):
    return subprocess.run([harness.BUILD / "tickbird", *map(str, words)], env=test.env() | {"LD_PRELOAD": ""}, capture_output=True, check=False).stdout.decode()


def listener(test, program, **options):
    address = (test.ip, test.port())
    child = test.start([program, *address], **options)
    test.wait_for_port(address, child)
    return child


def not_preloaded_and_static(test):
    names = unique("plain"), unique("static")
    plain = listener(test, build(test, "listen.c", names[0]), preload=False)
    static = listener(test, build(test, "listen.c", names[1], "-static"), service=names[1])
    test.start_exporter()
    expect(test, "not_preloaded_is_told", names[0], "not_preloaded")
    expect_exe(test, test.dir / names[0], "not_preloaded")
    expect_exe(test, test.dir / names[1], "static")
    expect(test, "static_is_told", names[1], "static")
    doctor = said_by(test, "doctor", static.pid)
    harness.report("statically linked" in doctor, "doctor_tells_static", doctor if "statically linked" not in doctor else "")
    other = test.scrape().values("http_requests_in_flight", service=names[0])
    harness.report(not other, "what_is_not_recorded_has_no_other_metrics", str(other or ""))
    test.stop(plain)
    harness.until(lambda: not is_told(test, names[0], "not_preloaded"), "the ended program is forgotten")
    harness.report(True, "an_ended_program_is_forgotten")
    expect_exe(test, test.dir / names[0])


def renamed_by_its_environment(test):
    """The service is the one that the agent would have used; hostile text stays one label."""
    name = 'a"b\\\n{}' + unique("x")
    program = build(test, "listen.c", unique("named"))
    listener(test, program, preload=False, env={"TICKBIRD_SERVICE": name})
    test.start_exporter()
    harness.until(lambda: f'service="a\\"b\\\\\ufffd{{}}{unique("x")}",reason="not_preloaded"' in test.scrape().text, "the service is told", LATE)
    harness.report(True, "service_as_the_agent_would_call_it")
    # An interpreter's is its script.
    script = test.write(unique("script") + ".py", "import socket, sys\ns = socket.create_server((sys.argv[1], int(sys.argv[2])))\nwhile True: s.accept()\n")
    address = (test.ip, test.port())
    child = test.start([sites.PYTHON, script, *address], preload=False)
    test.wait_for_port(address, child)
    expect(test, "service_of_a_script", unique("script"), "not_preloaded")


def recorded_programs_are_not_told(test):
    name = unique("good")
    listener(test, build(test, "listen.c", name), service=name)
    off = unique("off")
    listener(test, build(test, "listen.c", off), service=off, env={"TICKBIRD_DISABLE": "1"})
    test.start_exporter()
    expect(test, "disabled_is_told", off, "disabled")
    expect(test, "recorded_programs_are_not_told", name)
    expect_exe(test, test.dir / name)


def each_reason_of_an_idle_agent(test):
    """The object is there and no region: why, each with what doctor says."""
    cases = {"excluded": ({"TICKBIRD_EXCLUDE": unique("excluded")}, "TICKBIRD_EXCLUDE"),
             "directory_unwritable": ({"TICKBIRD_DIR": "/nonexistent"}, "does not exist"),
             "directory_on_disk": ({"TICKBIRD_DIR": "/proc"}, "disk"),
             "quota": ({"TICKBIRD_DIR_QUOTA": "3"}, "as many as TICKBIRD_DIR_QUOTA (3 MiB) allows"),
             "not_loaded": ({"LD_PRELOAD": "/nonexistent/libtickbird.so"}, "does not exist")}
    started_as = {}
    (test.region_dir / "one-file").touch() # what a quota of 3 MiB allows
    for reason, (env, words) in cases.items():
        program = build(test, "listen.c", unique(reason))
        started_as[reason] = (program, listener(test, program, env=env).pid, words)
    limited = build(test, "listen.c", unique("limit"))
    address = (test.ip, test.port())
    child = test.start(["prlimit", "--fsize=4096", limited, *address])
    test.wait_for_port(address, child)
    started_as["file_size_limit"] = (limited, child.pid, "limit on file sizes")
    deleted = build(test, "listen.c", unique("deleted"))
    child = listener(test, deleted)
    for region in test.region_dir.glob("tb1-*"):
        region.unlink()
    started_as["region_deleted"] = (deleted, child.pid, "was deleted")
    test.start_exporter()
    for reason, (program, pid, words) in started_as.items():
        expect_exe(test, program, reason)
        doctor = said_by(test, "doctor", pid)
        harness.report(words in doctor and "next" in doctor, f"doctor_tells_{reason}", doctor if words not in doctor else "")


def in_a_mount_namespace(test, name, before, after):
    """A listener in a mount namespace of its own, and what is done there before it starts and when it listens."""
    if os.getuid() != 0:
        raise harness.Missing("needs root")
    program = build(test, "listen.c", unique(name))
    up = test.dir / f"{name}.up"
    address = (test.ip, test.port())
    script = f"""set -e
{before}
{program} {address[0]} {address[1]} &
while ! grep -q ":{address[1]:04X} 00000000:0000 0A" /proc/net/tcp; do kill -0 $!; done
{after}
: > {up}
wait
"""
    child = test.start(["unshare", "-m", "--propagation", "private", "sh", "-c", script], preload=False,
                       env={"TICKBIRD_DIR": str(test.region_dir)})
    def is_up():
        assert child.poll() is None, test.log_of(child)
        return up.exists()
    harness.until(is_up, "the listener is set up", 60)
    pid = next(p for p in harness.process_tree(child.pid) if os.readlink(f"/proc/{p}/exe") == str(program))
    return program, pid


def started_before_and_full(test):
    etc = test.dir / "etc"
    etc.mkdir()
    early = in_a_mount_namespace(test, "early", "", f"echo {harness.OBJECT} > {etc}/ld.so.preload\nmount --bind {etc} /etc")
    full = in_a_mount_namespace(test, "full", f"mount -t tmpfs -o size=4k tmpfs {test.region_dir}\nexport LD_PRELOAD={harness.OBJECT}", ":")
    test.start_exporter()
    for (program, pid), reason, words in ((early, "started_before", "before /etc/ld.so.preload"), (full, "directory_full", "file system is full")):
        expect_exe(test, program, reason)
        doctor = said_by(test, "doctor", pid)
        harness.report(words in doctor, f"doctor_tells_{reason}", doctor if words not in doctor else "")


def many_executables(test):
    """Beyond 64 executables the rest is one label; no process is left out of the sum."""
    program = build(test, "listen.c", unique("many"))
    for i in range(70):
        listener(test, shutil.copy(program, test.dir / f"{unique('many')}-{i}"), preload=False)
    test.start_exporter()
    def found():
        return test.scrape().values("tickbird_unobserved_listeners")
    harness.until(lambda: sum(count for _, count in found()) >= 70, "all are told", LATE)
    told = found()
    exes = {labels["exe"] for labels, _ in told}
    harness.report(len(exes) == 65 and "_other" in exes, "executables_are_capped", f"{len(exes)} executables")


def rights_that_do_not_suffice(test):
    """In namespaces of its own one socket listens: root is told by whom, another user that there is one."""
    if os.getuid() != 0:
        raise harness.Missing("needs root")
    program = build(test, "listen.c", unique("hidden"))
    exporter = shutil.copy(harness.BUILD / "tickbird-exporter", test.dir)
    script = f"""{program} 0.0.0.0 8000 &
while ! grep -q ":1F40 00000000:0000 0A" /proc/net/tcp; do kill -0 $! || exit 1; done
cd /
{exporter} --once --region.dir {test.region_dir}; echo ----
setpriv --reuid 65534 --regid 65534 --clear-groups {exporter} --once --region.dir {test.region_dir}
kill -9 $!
"""
    done = subprocess.run(["unshare", "-n", "-p", "-f", "--mount-proc", "sh", "-c", script], capture_output=True, check=False, timeout=120)
    root, _, nobody = done.stdout.decode().partition("----\n")
    root, nobody = harness.Scrape(root), harness.Scrape(nobody)
    found = [(s.values("tickbird_hidden_listeners"), s.values("tickbird_unobserved_listeners")) for s in (root, nobody)]
    told = [({}, 0)], [({"exe": str(program), "reason": "not_preloaded"}, 1)]
    harness.report(found[0] == told, "root_sees_who_listens", "" if found[0] == told else f"{found[0]} {done.stderr.decode()}")
    harness.report(found[1] == ([({}, 1)], []), "another_user_is_told_of_what_it_cannot_see", "" if found[1] == ([({}, 1)], []) else f"{found[1]} {done.stderr.decode()}")


def raised_rights(test):
    if os.getuid() != 0:
        raise harness.Missing("needs root")
    name = unique("secure")
    program = build(test, "listen.c", name)
    os.chown(program, 65534, 65534)
    program.chmod(0o6755)
    listener(test, program, service=name)
    test.start_exporter()
    expect(test, "raised_rights_are_told", name, "secure")


def go(test):
    program = shutil.which("go")
    if not program:
        raise harness.Missing("go is not installed")
    name = unique("go")
    source = test.write("main.go", f'package main\nimport ("net"; "os")\nfunc main() {{ l, _ := net.Listen("tcp4", os.Args[1]+":"+os.Args[2]); for {{ c, e := l.Accept(); if e == nil {{ c.Close() }} }} }}\n')
    env = os.environ | {"GOFLAGS": "-mod=mod", "GO111MODULE": "off", "CGO_ENABLED": "0", "HOME": str(test.dir), "GOCACHE": str(harness.BUILD / "go-cache")}
    subprocess.run([program, "build", "-o", test.dir / name, source], check=True, env=env, capture_output=True)
    listener(test, test.dir / name, service=name)
    test.start_exporter()
    expect(test, "go_is_told", name, "go")
    doctor = said_by(test, "status")
    harness.report(name[:15] in doctor or name in doctor, "status_tells_go", "" if name[:15] in doctor else doctor)


def ring_server(test):
    """liburing makes its system calls inside the program: none of them is hooked."""
    name = unique("ring")
    program = build(test, "uring.c", name, "-luring")
    address = (test.ip, test.port())
    child = test.start([program, *address], service=name)
    test.wait_for_port(address, child)
    test.start_exporter()
    started.requests_to(address, test.record, random.Random(harness.SEED), connections=5, paths=(("/hello", "/hello"),), methods=("GET",))
    expect(test, "io_uring_is_told", name, "io_uring")
    counted = sum(test.scrape().counts(name).values())
    harness.report(counted == 0, "io_uring_counts_nothing_wrong", f"{counted} counted" if counted else "")
    doctor = said_by(test, "doctor", child.pid)
    harness.report("io_uring" in doctor, "doctor_tells_io_uring", doctor if "io_uring" not in doctor else "")


def node_with_a_ring(test):
    """Node's HTTP stays ordinary calls with a ring open: exact, and the ring is told."""
    address = (test.ip, test.port())
    child = test.start([harness.which("node", "nodejs"), sites.APPS / "app.js", *address, 0], env={"UV_USE_IO_URING": "1"})
    test.wait_for_port(address, child)
    test.start_exporter()
    started.requests_to(address, test.record, random.Random(harness.SEED), keep_alive=3, methods=("GET",), paths=(("/hello", "/hello"), ("/items/7", "/items/:id")))
    started.compare(test, "node_with_a_ring_counts_equal_the_client")
    rings = any("io_uring" in os.readlink(f"/proc/{child.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{child.pid}/fd"))
    expect(test, "node_with_a_ring_is_told", test.service, *(["io_uring"] if rings else []))


def tls_that_nobody_follows(test):
    """The JDK's own TLS: told from the first connection on; what is not told before is told for nothing."""
    java, keytool = harness.which("java"), harness.which("keytool")
    keys = test.dir / "keys.p12"
    subprocess.run([keytool, "-genkeypair", "-keystore", keys, "-storetype", "PKCS12", "-storepass", "password", "-keyalg", "EC", "-alias", "test",
                    "-dname", "CN=localhost"], check=True, capture_output=True)
    name, address = unique("jsse"), (test.ip, test.port())
    child = test.start([java, sites.APPS / "App.java", *address, keys], service=name)
    test.wait_for_port(address, child)
    test.start_exporter()
    harness.until(lambda: test.scrape().values("tickbird_processes", service=name), "it records", LATE)
    early = reasons(test, name)
    harness.report(not early, "tls_is_not_told_before_it_is_answered", str(early))
    unverified = ssl.create_default_context()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    with urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=unverified)).open("https://%s:%d/hello" % address, timeout=60) as answer:
        answer.read()
    expect(test, "tls_that_nobody_follows_is_told", name, "built_tls")
    doctor = said_by(test, "doctor", child.pid)
    harness.report("records in part" in doctor and "TLS" in doctor, "doctor_tells_built_tls", doctor)


harness.main_special({f.__name__: f for f in (
    not_preloaded_and_static, renamed_by_its_environment, recorded_programs_are_not_told, each_reason_of_an_idle_agent, started_before_and_full,
    many_executables, rights_that_do_not_suffice, raised_rights, go, ring_server, node_with_a_ring, tls_that_nobody_follows)})
