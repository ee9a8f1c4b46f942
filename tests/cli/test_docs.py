#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The manual pages and docs/configuration.md say what the programs do. `--write` renews the table of options."""
import os
import re
import shutil
import subprocess
import sys

from cli_lib import EXPORTER, ROOT, Skip, check, main, test

CONFIGURATION = os.path.join(ROOT, "docs/configuration.md")
BEGIN, END = "<!-- options: begin (tests/cli/test_docs.py --write) -->\n", "<!-- options: end -->"
SIDES = {"AGENT": "agent", "RUN": "run", "EXPORTER": "exporter", "COMMAND": "command"}
ROW = re.compile(r'^OPTION\((\w+), "(.*?)", "(.*?)", (\w+), "(.*?)", "(.*)", ([A-Z |]+)\)$')


def options():
    with open(os.path.join(ROOT, "agent/options.def"), encoding="utf-8") as f:
        rows = [ROW.match(line.rstrip()) for line in f if line.startswith("OPTION(")]
    check(rows and all(rows), "a row of options.def has another form")
    return [row.groups() for row in rows]


def code(text):
    return f"`{text}`" if text else ""


def table():
    lines = ["| Variable | Flag | Read by | Default | What it does |\n", "|---|---|---|---|---|\n"]
    for _, env, flag, kind, default, text, sides in options():
        readers = ", ".join(SIDES[side] for side in sides.split(" | "))
        shown = {"0": "off", "1": "on"}[default] if kind == "SWITCH" else code(default)
        lines.append(f"| {code(env)} | {code(flag)} | {readers} | {shown} | {text.replace('|', chr(92) + '|')} |\n")
    return "".join(lines)


def page(name):
    with open(os.path.join(ROOT, "docs/man", name), encoding="utf-8") as f:
        return re.sub(r"\\f.", "", f.read().replace("\\-", "-"))


def flags_in(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z.-]*[a-z]", text))


@test
def the_table_of_options_is_that_of_the_programs(_):
    with open(CONFIGURATION, encoding="utf-8") as f:
        text = f.read()
    found = text[text.index(BEGIN) + len(BEGIN):text.index(END)]
    check(found == table(), "renew it with tests/cli/test_docs.py --write")


@test
def the_page_of_the_command_has_each_verb_and_option(s):
    text = page("tickbird.1")
    flags, verbs = set(), [line.split()[0] for line in s.run("--help").out.splitlines() if line.startswith("  ")]
    for verb in verbs:
        check(re.search(rf"^\.SS .*\b{verb}\b", text, re.M), f"{verb} has no section")
        flags |= flags_in(s.run(verb, "--help").out)
    check(flags == flags_in(text), flags ^ flags_in(text))


@test
def the_page_of_the_exporter_has_each_flag_and_variable(s):
    if not os.access(EXPORTER, os.X_OK):
        raise Skip("tickbird-exporter is not built")
    text = page("tickbird-exporter.1")
    help_text = s.run("--help", program=EXPORTER).out
    check(flags_in(help_text) == flags_in(text), flags_in(help_text) ^ flags_in(text))
    for _, env, flag, _, default, _, sides in options():
        if "EXPORTER" in sides and flag:
            check(not env or env in text, env)
            check(default in ("", "0") or default in text, flag, default)


@test
def the_pages_format_without_a_warning(_):
    if not shutil.which("groff"):
        raise Skip("groff is not installed")
    for name in sorted(os.listdir(os.path.join(ROOT, "docs/man"))):
        done = subprocess.run(["groff", "-man", "-ww", "-Tutf8", "-z", os.path.join(ROOT, "docs/man", name)],
                              capture_output=True, check=True)
        check(not done.stderr, done.stderr.decode())


if sys.argv[1:] == ["--write"]:
    with open(CONFIGURATION, encoding="utf-8") as source:
        old = source.read()
    with open(CONFIGURATION, "w", encoding="utf-8") as target:
        target.write(old[:old.index(BEGIN) + len(BEGIN)] + table() + old[old.index(END):])
else:
    main()
