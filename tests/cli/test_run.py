#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`tickbird` itself and `tickbird run`: options, environment, exit codes, warnings."""
import os
import stat
import subprocess

from cli_lib import OBJECT, Skip, TICKBIRD, check, main, need, need_object, one_line, test
from elf_samples import EM_AARCH64, EM_X86_64, elf64, go_note, interp


def environment(scratch, *options, env=None):
    need_object()
    done = scratch.run("run", *options, "--", "/usr/bin/env", env=env)
    check(done.code == 0, done)
    return dict(line.split("=", 1) for line in done.out.splitlines() if "=" in line)


@test
def help_lists_each_verb_and_each_verb_explains_itself(s):
    done = s.run("--help")
    check(done.code == 0 and not done.err, done)
    verbs = [line.split()[0] for line in done.out.splitlines() if line.startswith("  ")]
    check("run" in verbs and "status" in verbs and "doctor" in verbs, verbs)
    for verb in verbs:
        own, other = s.run(verb, "--help"), s.run("help", verb)
        check(own.code == 0 and own.out.startswith(f"Usage: tickbird {verb}") and own.out == other.out, verb, own)


@test
def version_is_the_projects(s):
    with open(os.path.join(os.path.dirname(__file__), "../../VERSION"), encoding="ascii") as f:
        version = f.read().strip()
    check(s.run("--version").out == f"tickbird {version}\n")


@test
def unknown_verbs_and_options_are_one_clear_line_and_exit_2(s):
    for argv in (["frobnicate"], ["--frobnicate"], ["status", "--frobnicate"], ["status", "-x"], ["status", "extra"],
                 ["series", "--top"], ["series", "--top", "0"], ["series", "--top", "1x"], ["series", "--top", "-1"],
                 ["status", "--json=1"], ["doctor"], ["doctor", "--frobnicate"], ["doctor", "1", "2"],
                 ["doctor", "999999999"], ["help", "frobnicate"], ["status", "--dir", ""], ["routes", "x"]):
        done = s.run(*argv)
        check(done.code == 2 and not done.out, argv, done)
        one_line(done.err)
    done = s.run()
    check(done.code == 2 and "Usage" in done.err, done)


@test
def run_with_wrong_options_exits_125_and_starts_nothing(s):
    marker = os.path.join(s.path, "started")
    for argv in (["--frobnicate"], ["--service", ""], ["--service", "a\nb"], ["--service", "x" * 200],
                 ["--lib", "/nonexistent/libtickbird.so"], ["--lib", "/etc/passwd"], ["--strict=1"],
                 ["--dir", "/nonexistent/deep/dir"], ["--dir", ""]):
        done = s.run("run", *argv, "--", "/usr/bin/touch", marker)
        check(done.code == 125, argv, done)
        one_line(done.err)
        check(not os.path.exists(marker), argv)
    done = s.run("run", "--service", "--", "/usr/bin/touch", marker)
    check(done.code == 125 and "value is missing" in one_line(done.err), done)
    check(not os.path.exists(marker), "-- was taken for the name")
    for argv in ([], ["--service"], ["--service", "shop"], ["--"]):
        done = s.run("run", *argv)
        check(done.code == 125, argv, done)
        one_line(done.err)


@test
def run_exits_as_the_program_does(s):
    need_object()
    check(s.run("run", "--", "/bin/sh", "-c", "exit 7").code == 7)
    check(s.run("run", "/bin/sh", "-c", "exit 8").code == 8)
    check(s.run("run", "--", "/bin/sh", "-c", "kill -9 $$").code == -9)
    done = s.run("run", "--", "/bin/cat", stdin=b"through\n")
    check(done.code == 0 and done.out == "through\n" and not done.err, done)


@test
def run_says_127_for_what_is_missing_and_126_for_what_is_no_program(s):
    need_object()
    for name, code in (("no-such-program-here", 127), ("/nonexistent/program", 127), (s.file("text"), 126),
                       (s.path, 126), (s.file("broken", b"#!/nonexistent/interpreter\n", 0o755), 127),
                       (s.file("foreign", elf64(EM_X86_64, [interp("/nonexistent/ld.so")], 3), 0o755), 127)):
        done = s.run("run", "--", name)
        check(done.code == code, name, done)
        check("tickbird: " in done.err.splitlines()[-1] + ": ", done)


@test
def run_sets_what_the_agent_reads(s):
    got = environment(s, "--service", "shop", "--labels", "env=test,zone=a", "--debug")
    check(got["TICKBIRD_SERVICE"] == "shop" and got["TICKBIRD_LABELS"] == "env=test,zone=a", got)
    check(got["TICKBIRD_DEBUG"] == "1" and "TICKBIRD_DISABLE" not in got, got)
    check(got["LD_PRELOAD"] == OBJECT, got)
    kept = environment(s, env={"TICKBIRD_SERVICE": "kept", "UNRELATED": "x"})
    check(kept["TICKBIRD_SERVICE"] == "kept" and kept["UNRELATED"] == "x", kept)
    check(environment(s, "--service", "flag", env={"TICKBIRD_SERVICE": "variable"})["TICKBIRD_SERVICE"] == "flag")


@test
def run_keeps_an_existing_preload_behind_its_own_and_never_names_two_agents(s):
    libm = next((p for p in ("/lib/x86_64-linux-gnu/libm.so.6", "/lib/aarch64-linux-gnu/libm.so.6", "/lib64/libm.so.6")
                 if os.path.exists(p)), None)
    if not libm:
        raise Skip("no libm to preload")
    check(environment(s, env={"LD_PRELOAD": libm})["LD_PRELOAD"] == f"{OBJECT}:{libm}")
    done = s.run("run", "--", TICKBIRD, "run", "--", "/usr/bin/env", env={"LD_PRELOAD": f" {libm}: "})
    check(f"\nLD_PRELOAD={OBJECT}:{libm}\n" in "\n" + done.out, done)


@test
def run_makes_the_directory_that_it_is_given_and_names_it_absolutely(s):
    where = os.path.join(s.path, "made")
    need_object()
    done = s.run("run", "--dir", "made", "--", "/usr/bin/env", cwd=s.path)
    check(f"\nTICKBIRD_DIR={where}\n" in "\n" + done.out, done)
    mode = stat.S_IMODE(os.stat(where).st_mode)
    check(mode == (0o3773 if os.geteuid() == 0 else 0o700), oct(mode))


@test
def run_makes_the_directory_of_the_environment_too(s):
    need_object()
    done = s.run("run", "--", "/bin/true")
    check(done.code == 0 and not done.err and os.path.isdir(s.regions), done)


@test
def an_unfit_directory_is_told_in_one_line_and_strict_stops(s):
    need_object()
    s.file(s.regions)
    done = s.run("run", "--", "/bin/echo", "ran")
    check(done.code == 0 and done.out == "ran\n" and "not a directory" in one_line(done.err), done)
    done = s.run("run", "--strict", "--", "/bin/echo", "ran")
    check(done.code == 125 and not done.out, done)
    one_line(done.err)
    done = s.run("run", "--", "/bin/true", env={"TICKBIRD_DIR": "relative"}, cwd=s.path)
    check(done.code == 0 and "absolute" in one_line(done.err), done)


@test
def help_of_run_names_each_option_that_run_reads(s):
    with open(os.path.join(os.path.dirname(__file__), "../../agent/options.def"), encoding="utf-8") as f:
        rows = [line for line in f if line.startswith("OPTION(") and " RUN)" in line.replace("|", " ").replace("  ", " ")]
    flags = [line.split('"')[3] for line in rows]
    text = s.run("run", "--help").out
    check(len(flags) >= 5 and all(f"{flag} " in text for flag in flags if flag), flags, text)


@test
def run_does_not_touch_a_directory_that_exists(s):
    os.mkdir(s.regions, 0o750)
    os.chmod(s.regions, 0o750)
    need_object()
    check(s.run("run", "--dir", s.regions, "--", "/bin/true").code == 0)
    check(stat.S_IMODE(os.stat(s.regions).st_mode) == 0o750)


@test
def a_program_that_cannot_be_observed_runs_with_one_line_and_not_under_strict(s):
    need("cc")
    need_object()
    source = s.file("hello.c", b'#include <stdio.h>\nint main(void) { puts("ran"); return 3; }\n')
    program = os.path.join(s.path, "static-hello")
    subprocess.run(["cc", "-static", "-o", program, source], check=True)
    done = s.run("run", "--", program)
    check(done.code == 3 and done.out == "ran\n", done)
    check("statically linked" in one_line(done.err), done)
    done = s.run("run", "--strict", "--", program)
    check(done.code == 125 and not done.out, done)
    one_line(done.err)
    for name, content, word in (("arm", elf64(EM_AARCH64, [interp()]), "arm64"),
                                ("go", elf64(EM_X86_64, [interp(), go_note()]), "Go")):
        done = s.run("run", "--strict", "--", s.file(name, content, 0o755))
        check(done.code == 125 and word in one_line(done.err), name, done)


@test
def an_observable_program_starts_without_a_word(s):
    need_object()
    done = s.run("run", "--strict", "--", "/bin/true")
    check(done.code == 0 and not done.err and not done.out, done)


@test
def blanks_in_the_objects_path_are_refused(s):
    need_object()
    os.mkdir(os.path.join(s.path, "a b"))
    where = os.path.join(s.path, "a b", "libtickbird.so")
    os.symlink(OBJECT, where)
    os.mkdir(os.path.join(s.path, "c:d"))
    with open(OBJECT, "rb") as f:
        s.file("c:d/libtickbird.so", f.read())
    done = s.run("run", "--lib", os.path.join(s.path, "c:d", "libtickbird.so"), "--", "/bin/true")
    check(done.code == 125 and "LD_PRELOAD" in one_line(done.err), done)
    check(s.run("run", "--lib", where, "--", "/bin/true").code == 0)  # a link that leads elsewhere is resolved


main()
