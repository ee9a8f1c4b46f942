# SPDX-License-Identifier: Apache-2.0
"""Whether two runs of a suite agree, and what is known about the suite beforehand.

suites/expected.txt   suite, least number of results of a whole run, of a quick run
suites/excused.txt    suite, outcomes of five or more plain runs, test: flipped without the object, so says nothing with it

Both are written by `--record` alone, from five plain runs or more.
"""
import os

from suitelib.recipe import SUITES

EXPECTED, EXCUSED = os.path.join(SUITES, "expected.txt"), os.path.join(SUITES, "excused.txt")
SHARE = 0.01
RECORDED_RUNS = 5
MISSING = "missing"
HEADS = {
    EXPECTED: "# SPDX-License-Identifier: Apache-2.0\n# Written by check_suites.py --record. suite, least results of a whole run, "
              "of a quick run (- not recorded)\n",
    EXCUSED: "# SPDX-License-Identifier: Apache-2.0\n# Written by check_suites.py --record: tests that flipped in five plain "
             "runs or more. suite | their outcomes | test\n",
}


def rows(path, separator=None):
    try:
        with open(path) as f:
            return [[w.strip() for w in line.rstrip("\n").split(separator)] for line in f
                    if line.strip() and not line.startswith("#")]
    except FileNotFoundError:
        return []


def expected(name, is_quick):
    for row in rows(EXPECTED):
        if row[0] == name and row[2 if is_quick else 1] != "-":
            return int(row[2 if is_quick else 1])
    return None


def excused(name):
    """Tests of a suite that may differ, with the outcomes that excuse them."""
    found = {}
    for suite, outcomes, test in rows(EXCUSED, "|"):
        if suite == name and len(outcomes.split(",")) >= RECORDED_RUNS and len(set(outcomes.split(","))) > 1:
            found[test] = outcomes
    return found


def differences(plain, other, excuses):
    """(test, without, with) for every test that does not agree and is not excused."""
    return [(test, plain.get(test, MISSING), other.get(test, MISSING)) for test in sorted(set(plain) | set(other))
            if plain.get(test, MISSING) != other.get(test, MISSING) and test not in excuses]


def problems(recipe, plain, other, is_quick):
    """Everything that keeps a pair of runs from being called equal, one line each."""
    found = []
    excuses = excused(recipe.name)
    least = expected(recipe.name, is_quick)
    if least is None:
        found.append("its usual count was never recorded: --record")
    for run, what in ((plain, "without"), (other, "with")):
        if run.status == "timeout":
            found.append(f"no end after {recipe.seconds} s {what} the object")
        if least is not None and len(run.results) < least:
            found.append(f"{len(run.results)} results {what} the object, usually at least {least}")
    here = [t for t in excuses if t in plain.results or t in other.results]
    if len(here) > max(1, int(len(plain.results) * SHARE)):
        found.append(f"{len(here)} of {len(plain.results)} excused: more than {SHARE:.0%}")
    if not other.watch.inside():
        found.append("no process with the object was seen")
    if plain.watch.inside():
        found.append("a process of the plain run had the object")
    if recipe.serves and not other.totals["requests"] + other.totals["client"]:
        found.append("it serves, and no request was recorded")
    if recipe.serves and not other.regions:
        found.append("it serves, and no region was made")
    found += [f"{t}: {a} without, {b} with" for t, a, b in differences(plain.results, other.results, excuses)]
    return found


def write_rows(path, name, new):
    """Replaces the rows of one suite."""
    separator = "|" if path == EXCUSED else None
    kept = [r for r in rows(path, separator) if r[0] != name] + new
    join = " | ".join if path == EXCUSED else " ".join
    with open(path, "w") as f:
        f.write(HEADS[path] + "".join(join(r) + "\n" for r in sorted(kept)))


def record(name, runs, is_quick):
    """From at least five plain runs: the least count, and the tests that flipped."""
    if len(runs) < RECORDED_RUNS:
        raise ValueError(f"{len(runs)} runs instead of at least {RECORDED_RUNS}")
    least = min(len(r) for r in runs)
    row = next((r for r in rows(EXPECTED) if r[0] == name), [name, "-", "-"])
    row[2 if is_quick else 1] = str(least)
    write_rows(EXPECTED, name, [row])
    if is_quick:
        return least, []
    flipped = []
    for test in sorted(set().union(*runs)):
        outcomes = [r.get(test, MISSING).replace(",", ";") for r in runs]
        if len(set(outcomes)) > 1:
            flipped.append([name, ",".join(outcomes), test.replace("|", "/")])
    write_rows(EXCUSED, name, flipped)
    return least, flipped
