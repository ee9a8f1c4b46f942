# SPDX-License-Identifier: Apache-2.0
"""What suites report, read into one form: a dictionary from the name of a test to its outcome.

Outcomes are words: pass, fail, skip, todo, or what a suite says beside these (a signal, an exit status). A name that comes
twice gets a number, so that no result hides another.
"""
import glob
import os
import re
import xml.etree.ElementTree


class Results(dict):
    def put(self, name, outcome):
        """Adds one result; @outcome is taken as it is."""
        name = re.sub(r"\s+", " ", name).strip()
        unique, n = name, 1
        while unique in self:
            n += 1
            unique = f"{name} #{n}"
        self[unique] = outcome

    def count(self, outcome):
        return sum(1 for o in self.values() if o == outcome)


def text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


TAP = re.compile(r"^(not ok|ok)\b(?: +(\d+))?(?: *-? *(.*))?$")


def tap(results, prefix, output, named=True):
    """TAP of one program, by number; @named: by description alone, for programs that shuffle their tests."""
    last = 0
    for line in output.splitlines():
        found = TAP.match(line)
        if not found:
            continue
        last = int(found.group(2) or last + 1)
        rest = found.group(3) or ""
        outcome = "pass" if found.group(1) == "ok" else "fail"
        if re.search(r"# *skip", rest, re.I):
            outcome = "skip"
        elif re.search(r"# *todo", rest, re.I):
            outcome = "todo " + outcome
        results.put(f"{prefix} {re.split(' #', rest)[0].strip() if named else last}", outcome)


def tap_files(directory, named=False):
    """One file of TAP for each test program (name.tap), and its exit status in name.status: both are results."""
    results = Results()
    for path in sorted(glob.glob(os.path.join(directory, "**", "*.tap"), recursive=True)):
        name = os.path.relpath(path, directory)[:-len(".tap")]
        tap(results, name, text(path), named)
        results.put(f"{name} exit", text(path[:-len(".tap")] + ".status").strip() or "none")
    return results


def junit(path):
    results = Results()
    try:
        tree = xml.etree.ElementTree.parse(path)
    except (OSError, xml.etree.ElementTree.ParseError):
        return results
    for case in tree.iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = "fail" if kinds & {"failure", "error"} else "skip" if "skipped" in kinds else "pass"
        results.put(f"{case.get('classname') or ''} {case.get('name')}", outcome)
    return results


def lines(path, pattern, outcomes):
    """One result a line: @pattern has groups `name` and `outcome`; @outcomes maps what is said to our words."""
    results = Results()
    for line in text(path).splitlines():
        found = re.search(pattern, line)
        if found:
            said = found.group("outcome")
            results.put(found.group("name"), outcomes.get(said, said))
    return results
