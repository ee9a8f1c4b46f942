#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`tickbird enable` and `disable` on trees of unit files, and the units that are shipped, judged by systemd's own tools."""
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../cli"))
from cli_lib import (BUILD, EXPORTER, OBJECT, ROOT, Server, Skip, check, main, need, one_line, read_line, test,  # noqa: E402
                     wait_for)

DROP_IN = "etc/systemd/system/{}.d/90-tickbird.conf"


def unit(s, path, *lines):
    full = os.path.join(s.path, "root", path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "w", encoding="utf-8") as f:
        f.write("".join(line + "\n" for line in lines))


def enable(s, *argv, verb="enable"):
    return s.run(verb, "--root", s.path + "/root", *argv)


def drop_in(s, name):
    with open(os.path.join(s.path, "root", DROP_IN.format(name)), encoding="utf-8") as f:
        return f.read()


def preload(s, name):
    return re.search(r'^Environment="LD_PRELOAD=(.*)"$', drop_in(s, name), re.M).group(1)


@test
def a_service_is_enabled_and_disabled(s):
    unit(s, "lib/systemd/system/shop.service", "[Service]", "ExecStart=/usr/bin/shop")
    done = enable(s, "shop")
    check(done.code == 0 and not done.err and DROP_IN.format("shop.service") in done.out, done)
    text = drop_in(s, "shop.service")
    check(text in done.out and text.startswith("# Written by") and "[Service]\n" in text, done)
    check(f'Environment="LD_PRELOAD={OBJECT}"\n' in text and 'Environment="TICKBIRD_SERVICE=shop"\n' in text, text)
    check(enable(s, "shop.service", "--service", 'a "b" 100%').code == 0, "twice")
    check('Environment="TICKBIRD_SERVICE=a \\"b\\" 100%%"\n' in drop_in(s, "shop.service"), drop_in(s, "shop.service"))
    for _ in range(2):
        done = enable(s, "shop", verb="disable")
        check(done.code == 0 and not done.err, done)
        check(not os.path.exists(s.path + "/root/etc/systemd/system/shop.service.d"), "something is left")
    check(os.path.exists(s.path + "/root/lib/systemd/system/shop.service"), "the unit is gone")


@test
def a_preload_of_the_unit_is_kept_behind_ours(s):
    unit(s, "usr/lib/systemd/system/a.service", "[Service]", 'Environment=X=1 "LD_PRELOAD=/opt/one.so" Y=2')
    enable(s, "a")
    check(preload(s, "a.service") == OBJECT + ":/opt/one.so", preload(s, "a.service"))
    # A later file wins; an empty assignment takes back; what goes on is one line; ours from before is replaced.
    unit(s, "etc/systemd/system/a.service.d/20-b.conf", "[Service]", "Environment=\\", "  'LD_PRELOAD=/opt/two.so /opt/3.so'")
    enable(s, "a")
    check(preload(s, "a.service") == OBJECT + ":/opt/two.so:/opt/3.so", preload(s, "a.service"))
    unit(s, "run/systemd/system/a.service.d/30-c.conf", "[Service]", "Environment=")
    enable(s, "a")
    check(preload(s, "a.service") == OBJECT, preload(s, "a.service"))
    unit(s, "etc/systemd/system/a.service.d/40-d.conf", "[Service]", "Environment=LD_PRELOAD=/old/libtickbird.so.0.0.1:/opt/4.so")
    enable(s, "a")
    check(preload(s, "a.service") == OBJECT + ":/opt/4.so", preload(s, "a.service"))


@test
def an_instance_has_its_template_s_environment(s):
    unit(s, "lib/systemd/system/app@.service", "[Service]", "Environment=LD_PRELOAD=/opt/one.so")
    check(enable(s, "app@blue").code == 0, "it failed")
    check(preload(s, "app@blue.service") == OBJECT + ":/opt/one.so", drop_in(s, "app@blue.service"))
    check('TICKBIRD_SERVICE=app@blue"' in drop_in(s, "app@blue.service"), drop_in(s, "app@blue.service"))
    for more, name in (((), "%N"), (("--service", "100%"), "100%%")):
        check(enable(s, "app@", *more).code == 0, "it failed")
        check(f'TICKBIRD_SERVICE={name}"' in drop_in(s, "app@.service"), drop_in(s, "app@.service"))


@test
def what_would_win_over_the_drop_in_is_said(s):
    unit(s, "lib/systemd/system/a.service", "[Service]", "EnvironmentFile=-/etc/default/none", "EnvironmentFile=-/etc/default/a")
    unit(s, "etc/default/a", "X=1", "LD_PRELOAD=/opt/one.so")
    unit(s, "lib/systemd/system/b.service", "[Service]")
    unit(s, "etc/systemd/system/b.service.d/99-z.conf", "[Service]", "Environment=LD_PRELOAD=/opt/one.so")
    for name, path in (("a", "/etc/default/a"), ("b", "/etc/systemd/system/b.service.d/99-z.conf")):
        done = enable(s, name)
        check(done.code == 1 and one_line(done.err).startswith(f"tickbird: {path}: it sets LD_PRELOAD"), done)
        check(not os.path.exists(os.path.join(s.path, "root", DROP_IN.format(name + ".service"))), "written all the same")


@test
def it_refuses_with_one_line(s):
    unit(s, "lib/systemd/system/a.service", "[Service]")
    for argv, code, words in ((("nosuch",), 1, "no such service"), ((), 2, "missing or wrong"), (("a.socket",), 2, "missing or wrong"),
                              (("../a",), 2, "missing or wrong"), (("a", "--lib", "/nowhere/x.so"), 1, "/nowhere/x.so")):
        done = enable(s, *argv)
        check(done.code == code and words in one_line(done.err), argv, done)
    if not os.path.exists("/run/systemd/system"):
        done = s.run("enable", "nginx")
        check(done.code == 1 and "systemd does not run here" in one_line(done.err), done)
    if os.geteuid() == 0:
        os.chmod(s.path, 0o755)
        done = s.run("--reuid", "4242", "--clear-groups", os.path.join(BUILD, "tickbird"), "enable", "--root", s.path + "/root", "a",
                     program=shutil.which("setpriv"))
        check(done.code == 1 and "ask as root" in one_line(done.err), done)


@test
def print_writes_nothing(s):
    unit(s, "lib/systemd/system/a.service", "[Service]")
    done = enable(s, "a", "--print")
    check(done.code == 0 and "Environment=" in done.out and not os.path.exists(s.path + "/root/etc"), done)


@test
def systemd_reads_the_drop_in_as_it_is_meant(s):
    need("systemd-analyze")
    unit(s, "bin/true")
    os.chmod(s.path + "/root/bin/true", 0o755)
    unit(s, "lib/systemd/system/a.service", "[Service]", "ExecStart=/bin/true", "Environment=LD_PRELOAD=/opt/one.so")
    enable(s, "a", "--service", 'x "y" 5%')
    shutil.copytree("/usr/lib/systemd/system", s.path + "/root/usr/lib/systemd/system", symlinks=True, dirs_exist_ok=True)
    done = s.run("verify", "--root", s.path + "/root", "--man=no", "--recursive-errors=no", "a.service",
                 program=shutil.which("systemd-analyze"))
    check(done.code == 0 and "90-tickbird" not in done.err and "nvalid" not in done.err, done)


UNITS = os.path.join(ROOT, "packaging/systemd")


@test
def the_exporter_s_unit_is_valid_and_hardened(s):
    need("systemd-analyze")
    analyze = shutil.which("systemd-analyze")
    root = s.path + "/root"
    shutil.copytree("/usr/lib/systemd/system", root + "/usr/lib/systemd/system", symlinks=True)
    for name in ("usr/bin/tickbird-exporter", "bin/kill"):
        unit(s, name)
        os.chmod(os.path.join(root, name), 0o755)
    for name in ("tickbird-exporter.service", "tickbird-exporter.socket"):
        shutil.copy(os.path.join(UNITS, name), root + "/usr/lib/systemd/system")
    done = s.run("verify", "--root", root, "--man=no", "--recursive-errors=no", "tickbird-exporter.service",
                 "tickbird-exporter.socket", program=analyze)
    check(done.code == 0 and "tickbird" not in done.err, done)
    # In tenths; systemd calls up to 3.9 OK. What is left over is what it needs: the network, /proc, the host's files.
    done = s.run("security", "--offline=true", "--no-pager", "--threshold=15", os.path.join(UNITS, "tickbird-exporter.service"),
                 program=analyze)
    check(done.code == 0 and "Overall exposure level" in done.out, done)


@test
def the_directory_and_the_user_are_made_as_the_exporter_would(s):
    need("systemd-tmpfiles", "systemd-sysusers")
    root = s.path + "/root"
    unit(s, "usr/lib/sysusers.d/tickbird.conf", open(os.path.join(UNITS, "tickbird.sysusers"), encoding="utf-8").read())
    unit(s, "usr/lib/tmpfiles.d/tickbird.conf", open(os.path.join(UNITS, "tickbird.tmpfiles"), encoding="utf-8").read())
    os.makedirs(root + "/etc")
    os.makedirs(root + "/dev/shm")
    if os.geteuid() != 0:
        raise Skip("needs root")
    for program, argv in (("systemd-sysusers", ("--root", root)), ("systemd-tmpfiles", ("--root", root, "--create", "tickbird.conf"))):
        done = s.run(*argv, program=shutil.which(program))
        check(done.code == 0, done)
    group = re.search(r"^tickbird:x:(\d+):", open(root + "/etc/group", encoding="utf-8").read(), re.M)
    made = os.stat(root + "/dev/shm/tickbird")
    check((made.st_uid, made.st_gid, made.st_mode & 0o7777) == (0, int(group.group(1)), 0o3773), made)


def settings(name):
    """All values of one setting of the exporter's unit."""
    with open(os.path.join(UNITS, "tickbird-exporter.service"), encoding="utf-8") as f:
        return re.findall(rf"^{name}=(.*)$", f.read(), re.M)


def calls_of(words):
    """The system calls that these names and @groups mean."""
    calls = set()
    for word in words:
        if word.startswith("@"):
            lines = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager", word], check=True, capture_output=True,
                                   text=True).stdout.splitlines()
            calls |= calls_of([line.split()[0] for line in lines if line.startswith("    ") and line.strip()[0] != "#"])
        else:
            calls.add(word)
    return calls


@test
def the_exporter_works_with_the_rights_that_its_unit_leaves(s):
    need("systemd-analyze", "setpriv", "curl")
    if os.geteuid() != 0:
        raise Skip("needs root")
    lists = settings("SystemCallFilter")
    check(len(lists) == 2 and lists[1].startswith("~") and settings("CapabilityBoundingSet") == [""], lists)
    # What systemd adds by itself: what any program needs to start.
    calls = calls_of(lists[0].split()) - calls_of(lists[1][1:].split()) | calls_of(["@default", "execve"])
    check(not calls & {"mount", "reboot", "setuid", "ptrace", "bpf"} and "read" in calls, calls)
    filtered, program = s.path + "/filtered", s.path + "/tickbird-exporter"
    subprocess.run(["cc", "-o", filtered, os.path.join(ROOT, "tests/packaging/filtered.c"), "-lseccomp"], check=True)
    shutil.copy(EXPORTER, program)
    os.chmod(s.path, 0o755)
    server = Server(s)  # root's region in a shared directory, as the unit meets it
    os.chown(s.regions, 0, 4242)
    os.chmod(s.regions, 0o3773)
    for name in os.listdir(s.regions):
        os.chown(os.path.join(s.regions, name), 0, 4242)
    check([server.get("/a") for _ in range(5)] == [200] * 5)
    ledger = s.path + "/ledger"
    os.mkdir(ledger, 0o750)
    os.chown(ledger, 4242, 4242)
    child = s.start(["setpriv", "--reuid", "4242", "--regid", "4242", "--clear-groups", "--bounding-set", "-all", "--no-new-privs",
                     filtered, program, "--web.listen-address", "127.0.0.1:0", "--fold-after", "50ms"],
                    stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdin.write("".join(name + "\n" for name in sorted(calls)).encode())
    child.stdin.close()
    line = ""
    while "msg=listening" not in line:
        line = read_line(child.stderr)
        check(line or child.poll() is None, "it ended", child.poll())
        check("level=error" not in line, line)
    url = f"http://127.0.0.1:{re.search(r'port=([0-9]+)', line).group(1)}/metrics"
    wanted = 'http_requests_total{service="shop",method="GET",route="/a",status="200"} 5\n'
    scrape = lambda: subprocess.run(["curl", "-sS", url], capture_output=True, text=True, timeout=20).stdout  # noqa: E731
    check(wanted in scrape(), scrape())
    server.stop()
    wait_for("the dead program's totals are in the ledger", lambda: any(
        os.path.getsize(os.path.join(ledger, n)) and not n.endswith(".lock") for n in os.listdir(ledger)))
    check(wanted in scrape(), scrape())
    done = s.run("stat", "-c", "%u", *[os.path.join(ledger, n) for n in os.listdir(ledger)], program="/usr/bin/env")
    check(set(done.out.split()) == {"4242"}, done)


main()
