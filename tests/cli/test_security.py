#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""SECURITY.md makes no claim without a test: every test that it names exists, and every file it links."""
import os
import re

from cli_lib import ROOT, check, main, test


def text_of(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


@test
def every_test_that_it_names_exists(_):
    named = re.findall(r"`(tests/[\w./]+)(?:: (\w+))?`", text_of("SECURITY.md"))
    check(len(named) > 30, f"only {len(named)} tests are named")
    for path, name in named:
        check(os.path.exists(os.path.join(ROOT, path)), f"{path} does not exist")
        check(not name or re.search(rf"\b{name}\b", text_of(path)), f"{path}: no {name}")


@test
def every_threat_names_a_test(_):
    rows = re.search(r"## Threats\n(.*?)\n## ", text_of("SECURITY.md"), re.S)
    lines = [line for line in rows.group(1).splitlines() if line.startswith("| ") and not line.startswith(("| threat", "|---"))]
    check(len(lines) >= 19, f"only {len(lines)} threats")
    for line in lines:
        check("`tests/" in line.rsplit("|", 2)[1], f"no test: {line[:80]}")


@test
def its_links_lead_somewhere(_):
    for target in re.findall(r"\]\(([^)#:]+)\)", text_of("SECURITY.md")):
        check(os.path.exists(os.path.join(ROOT, target)), f"{target} does not exist")


main()
