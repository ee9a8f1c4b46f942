#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`tickbird enable` and `disable` on trees of unit files, and the units that are shipped, judged by systemd's own tools."""
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../cli"))
from cli_lib import BUILD, OBJECT, ROOT, check, main, need, one_line, test  # noqa: E402

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
    check('TICKBIRD_SERVICE=app"' in drop_in(s, "app@blue.service"), drop_in(s, "app@blue.service"))


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


main()
