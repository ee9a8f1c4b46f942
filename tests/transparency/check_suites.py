#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Other projects' test suites, with and without Tickbird, compared test by test: `make check-transparency`.

Every suite of tests/transparency/suites/ runs twice from the same bytes in a private Debian userland, once with
libtickbird.so preloaded into every process. Zero differences are demanded. docs/transparency.md says what was found.

  check_suites.py [--suite a,b] [--quick]     compare
  check_suites.py --record [--suite a,b]      five plain runs: usual counts, and tests that flip by themselves
  check_suites.py --harmful NAME,...|all      preloads that do harm on purpose instead: what do suites notice?
  check_suites.py --fetch                     prepare only
  check_suites.py --table                     the last comparison as a table

One line for each suite, `ok NAME` or `not ok NAME`; the last line is `N passed, N failed`.
"""
import argparse
import concurrent.futures
import dataclasses
import json
import os
import re
import shutil
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from suitelib import judge, recipe as recipes, userland  # noqa: E402

BUILD = os.path.abspath(os.environ.get("B", "build"))


class Run:
    """One run of one suite."""

    def __init__(self, recipe, label, layer, base, options, preload=None):
        self.recipe, self.label = recipe, label
        where = os.path.join(userland.CACHE, "results", f"{recipe.name}.{label}")
        shutil.rmtree(where, ignore_errors=True)
        os.makedirs(os.path.join(where, "findings"))
        findings = os.path.join(where, "findings")
        os.chmod(findings, 0o777)
        self.metrics = os.path.join(where, "metrics.txt")
        variables = {"PRELOAD": "none"}
        if preload:
            variables = {"PRELOAD": options.preload, "OBJECT_DIR": os.path.dirname(preload),
                         "OBJECT": "/opt/preload/" + os.path.basename(preload),
                         "EXPORTER": os.path.join(BUILD, "tickbird-exporter"), "METRICS": self.metrics}
        began = time.monotonic()
        self.status, self.watch = userland.enter(
            recipe.run, os.path.join(where, "log"), recipe.seconds, True, RESULTS=findings, AS="1000",
            LAYERS=f"{layer}:{userland.layers_of(base)}", QUICK="1" if options.quick else "", **variables)
        self.took = time.monotonic() - began
        self.results = recipe.parse(findings)
        self.totals = userland.metrics(self.metrics)
        try:
            with open(os.path.join(findings, "regions")) as f:
                self.regions = int(f.read())
        except (OSError, ValueError):
            self.regions = 0

        self.cpu = cpu_seconds(os.path.join(findings, "times"))

    def summary(self):
        r = self.results
        return {"results": len(r), "pass": r.count("pass"), "fail": r.count("fail"), "skip": r.count("skip"),
                "seconds": round(self.took), "cpu": self.cpu, "regions": self.regions, "processes": self.watch.inside(),
                "without_object": sorted(set(self.watch.unmapped.values())), **self.totals}


def cpu_seconds(path):
    """User and system time of a run, from what the shell's `times` said."""
    try:
        with open(path) as f:
            return round(sum(60 * float(m) + float(s) for m, s in re.findall(r"(\d+)m([0-9.]+)s", f.read())))
    except OSError:
        return 0


def carry_object(path):
    """The object alone in a directory of its own: the build goes on while suites run."""
    to = os.path.join(userland.CACHE, "object", os.path.basename(os.path.dirname(path)) or "x")
    os.makedirs(to, exist_ok=True)
    shutil.copy2(path, os.path.join(to, os.path.basename(path) + ".new"))
    os.replace(os.path.join(to, os.path.basename(path) + ".new"), os.path.join(to, os.path.basename(path)))
    return os.path.join(to, os.path.basename(path))


def harmful_objects(name):
    """The deliberately harmful preloads of tests/transparency/harmful/, built; by name, or all of them."""
    import harmful  # pylint: disable=import-outside-toplevel
    known = harmful.harms() + ["nothing"]
    names = known if name == "all" else name.split(",")
    for n in names:
        if n not in known:
            userland.fail(f"no harm {n}: {' '.join(known)}")
    return {carry_object(harmful.make(n)): n for n in names}


def harm(todo, layers, base, options):
    """What suites notice of preloads that do harm on purpose. Some hang: a run may take three times the plain one.

    What differs with the harmless one too says nothing; fewer than five results may be the suite's own doing.
    """
    objects, seen, summary = harmful_objects(options.harmful), {}, {}
    for r in todo:
        plain = Run(r, "plain", layers[r.name], base, options)
        short = dataclasses.replace(r, seconds=int(3 * plain.took + 30))
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            runs = {n: pool.submit(Run, short, "harm-" + n, layers[r.name], base, options, o) for o, n in objects.items()}
        noise = set(judge.excused(r.name))
        if "nothing" in runs:
            noise |= {t for t, _, _ in judge.differences(plain.results, runs["nothing"].result().results, noise)}
        for n, run in runs.items():
            other = run.result()
            found = judge.differences(plain.results, other.results, noise)
            seen.setdefault(n, [])
            if len(found) >= 5 or other.status == "timeout":
                seen[n].append(r.name)
            summary.setdefault(n, {})[r.name] = {"differences": len(found), "status": other.status,
                                                 "first": found[:3], "results": len(other.results)}
            print(f"{r.name} {n}: {len(found)} of {len(plain.results)} results differ"
                  f"{', no end' if other.status == 'timeout' else ''}", flush=True)
    merge(os.path.join(userland.CACHE, "harmful.json"), summary)
    for n, suites in sorted(seen.items()):
        print(f"{n:24} {', '.join(suites) or '-'}")
    print(f"{sum(map(bool, seen.values()))} of {len(seen)} noticed by a suite")
    return 1 if seen.get("nothing") else 0


def compare(todo, layers, base, options):
    target = carry_object(os.path.abspath(options.object))
    failed, summary = 0, {}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        runs = {r.name: [pool.submit(Run, r, "plain", layers[r.name], base, options),
                         pool.submit(Run, r, "with", layers[r.name], base, options, target)] for r in todo}
        for r in todo:
            plain, other = [f.result() for f in runs[r.name]]
            if plain.status == 0 and plain.results:
                keep_plain(r, plain, options)
            found = judge.problems(r, plain, other, options.quick)
            failed += bool(found)
            report(r, plain, other, found)
            summary[r.name] = {"versions": userland.versions_of(r), "plain": plain.summary(), "with": other.summary(),
                               "problems": found, "excused": sorted(judge.excused(r.name))}
    path = os.path.join(userland.CACHE, "quick.json" if options.quick else "summary.json")
    merge(path, summary)
    print(f"details: {path}, {userland.CACHE}/results")
    print(f"{len(todo) - failed} passed, {failed} failed")
    return 1 if failed else 0


def merge(path, summary):
    old = {}
    if os.path.exists(path):
        with open(path) as f:
            old = json.load(f)
    for name, entry in summary.items():
        old.setdefault(name, {}).update(entry)
    with open(path, "w") as f:
        json.dump(old, f, indent=1, sort_keys=True)


def report(r, plain, other, found):
    s = other.summary()
    word = "not ok" if found else "ok"
    print(f"{word} {r.name}: {len(plain.results)} results ({plain.results.count('pass')} "
          f"passed, {plain.results.count('skip')} skipped), {s['processes']} processes seen with the object, "
          f"{s['regions']} regions, {s['requests']}+{s['client']} requests; {plain.took:.0f} s and {other.took:.0f} s "
          f"(CPU {plain.cpu} and {other.cpu})",
          flush=True)
    for line in found[:40]:
        print(f"    {line}", flush=True)
    if len(found) > 40:
        print(f"    ... and {len(found) - 40} more", flush=True)


def plain_runs(r, options):
    """The file that keeps the results of plain runs of this very suite, and what is in it."""
    key = userland.stamp_of(r.packages, r.sources, r.prepare, r.run, str(options.quick))[:16]
    path = os.path.join(userland.CACHE, "plain", f"{r.name}-{key}.json")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if not os.path.exists(path):
        return path, []
    with open(path) as f:
        return path, json.load(f)


def keep_plain(r, run, options):
    """Plain runs are kept as they come, so that an interrupted recording goes on where it was."""
    path, runs = plain_runs(r, options)
    if run.status != 0 or not run.results:
        userland.fail(f"{r.name}: a plain run ended with {run.status}, {len(run.results)} results: see its log")
    runs.append(run.results)
    with open(path + ".new", "w") as f:
        json.dump(runs, f)
    os.replace(path + ".new", path)
    print(f"{r.name}: plain run {len(runs)}, {len(run.results)} results, {run.took:.0f} s (CPU {run.cpu})", flush=True)


def record(todo, layers, base, options):
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        pending = {}
        for r in todo:
            missing = max(judge.RECORDED_RUNS, options.runs) - len(plain_runs(r, options)[1])
            for n in range(missing):
                pending[pool.submit(Run, r, f"plain{n}", layers[r.name], base, options)] = r
        for done in concurrent.futures.as_completed(pending):
            keep_plain(pending[done], done.result(), options)
    for r in todo:
        runs = plain_runs(r, options)[1]
        least, flipped = judge.record(r.name, runs, options.quick)
        print(f"{r.name}: at least {least} results, {len(flipped)} flipped", flush=True)
    return 0


def table(todo):
    """The last whole runs, as docs/transparency.md has them."""
    with open(os.path.join(userland.CACHE, "summary.json")) as f:
        summary = json.load(f)
    print("| suite | source | results | passed, skipped, other | differences | excused | processes | regions | requests |")
    print("|---|---|---|---|---|---|---|---|---|")
    for r in todo:
        entry = summary.get(r.name)
        if not entry or len(entry["problems"]) and "usual count" in entry["problems"][0]:
            continue
        a, b = entry["plain"], entry["with"]
        version = next((v for p, v in entry["versions"] if p in (r.sources or r.packages.split()[0])), "")
        print(f"| {r.name}: {r.title.split(': ', 1)[-1]} | {version} | {a['results']:,} | {a['pass']:,}, {a['skip']:,}, "
              f"{a['results'] - a['pass'] - a['skip']:,} | {len(entry['problems'])} | {len(entry['excused'])} | {b['processes']:,} | "
              f"{b['regions']} | {b['requests'] + b['client']:,} |")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", help="only these, with commas")
    parser.add_argument("--quick", action="store_true", help="the short form of each suite")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--runs", type=int, default=0, help="record that many plain runs, if more than five")
    parser.add_argument("--harmful", metavar="NAME")
    parser.add_argument("--fetch", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--table", action="store_true", help="the last comparison, for docs/transparency.md")
    parser.add_argument("--preload", choices=("file", "env"), default="file",
                        help="by /etc/ld.so.preload of the userland (every process), or LD_PRELOAD")
    parser.add_argument("--object", default=os.path.join(BUILD, "libtickbird.so"))
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    known = recipes.find()
    # A suite whose usual count was never recorded proves nothing: it runs only when it is named.
    names = options.suite.split(",") if options.suite else [n for n in known if judge.expected(n, options.quick)]
    if not names:
        userland.fail("no suite to run: none has a usual count recorded for this form: name them with --suite, or --record them")
    for name in names:
        if name not in known:
            userland.fail(f"no suite {name}: {' '.join(known)}")
    todo = [known[n] for n in names]
    if options.list:
        for r in todo:
            print(f"{r.name:14} {r.title}")
        return 0
    if options.table:
        return table(todo)
    base = userland.ensure_base()
    layers = {r.name: userland.ensure_layer(r, base) for r in todo}
    if options.fetch:
        return 0
    return (record if options.record else harm if options.harmful else compare)(todo, layers, base, options)


if __name__ == "__main__":
    sys.exit(main())
