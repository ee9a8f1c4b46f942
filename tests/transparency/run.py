#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Same behaviour, byte for byte: every small program of programs/, in every flavour and in odd environments, shows the
same with and without the object; and each deliberately harmful object of harmful/ is noticed by that comparison.

Reports `ok NAME`, `not ok NAME` or `skip NAME reason`, and what differed by chance as `note`. Arguments: parts of names to run;
--long adds what takes long, --object=PATH tries another object.
"""
import concurrent.futures
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import chance  # noqa: E402  pylint: disable=wrong-import-position
import environments  # noqa: E402  pylint: disable=wrong-import-position
import harmful  # noqa: E402  pylint: disable=wrong-import-position
import harness  # noqa: E402  pylint: disable=wrong-import-position


def excuse(case, is_long):
    """Why a case cannot run here, or None."""
    if "root" in case.needs and os.getuid():
        return "needs root"
    if "long" in case.needs and not is_long:
        return "long"
    return environments.missing_tool(case.needs)


def hooks_without_program(outputs):
    """The hooked names that programs/calls.c does not call both ways."""
    names = subprocess.run([os.path.join(harness.ROOT, "tests/lint/hook-names.sh")], stdout=subprocess.PIPE, check=True)
    called = {kind: set(re.findall(rf"^(\w+) {kind}\b", outputs, re.M)) for kind in ("ok", "fails", "never fails")}
    missing = []
    for name in names.stdout.decode().split():
        if name not in called["ok"]:
            missing.append(f"{name} (success)")
        if name not in called["fails"] | called["never fails"]:
            missing.append(f"{name} (failure)")
    return missing


def main():
    wanted = [a for a in sys.argv[1:] if a[0] != "-"]
    is_long = "--long" in sys.argv[1:]
    for a in sys.argv[1:]:
        if a.startswith("--object="):
            harness.OBJECT = os.path.abspath(a[len("--object="):])
    programs = harness.build()
    listed = [c for p in programs for c in harness.cases_of(p)] + list(environments.cases())
    all_cases = [c for c in listed if not excuse(c, is_long)]
    cases = [c for c in listed if not wanted or any(w in c.name for w in wanted)]
    failed, outputs = 0, ""

    def report(name, wrong):
        nonlocal failed
        if wrong:
            failed += 1
            print(f"# {name}: {wrong}\nnot ok {name}", flush=True)
        else:
            print(f"ok {name}", flush=True)

    ready, left_out = [], {}
    for case in cases:
        why = excuse(case, is_long)
        if why == "long":
            continue
        if why:
            left_out[case.name] = why
            print(f"skip {case.name} {why}", flush=True)
        else:
            ready.append(case)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for case, (wrong, differed, plain) in zip(ready, pool.map(harness.compare, ready)):
            if differed:
                print(f"note {case.name} {differed}", flush=True)
            report(case.name, wrong)
            if case.name.startswith("calls_"):
                outputs += plain.parts["output"].decode(errors="replace")
    chosen = [n for n in harmful.harms() if not wanted or any(w in f"harmful_{n}_is_noticed" for w in wanted)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for name, (wrong, where) in zip(chosen, pool.map(lambda n: harmful.unnoticed(n, all_cases), chosen)):
            print(f"# {where}" if where else "#", flush=True)
            report(f"harmful_{name}_is_noticed", wrong)
    for test, check in (("chance_is_told_from_harm", chance.misjudged),
                        ("harmless_object_is_not_reported", lambda: harmful.harmless_reported(all_cases)),
                        ("harmful_malloc_is_noticed", harmful.malloc_unnoticed)):
        if not wanted or any(w in test for w in wanted):
            report(test, check())
    missing = [why for name, why in left_out.items() if name.startswith("calls_")]
    if missing:
        print(f"skip every_hook_is_called_both_ways {missing[0]}", flush=True)
    elif not wanted:
        report("every_hook_is_called_both_ways", ", ".join(hooks_without_program(outputs)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
