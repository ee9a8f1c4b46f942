#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The list of API words (tests/data/routes/words.txt) out of route tables: words that two providers or more use.

  words.py TABLES.jsonl [--without FOLD] >words.txt

Counts the providers of "train"; with --without less a quarter of them (fit.py). The numbers are those of
tests/bench/route_words.py.
"""
import collections, hashlib, json, re, sys
import tables

FOLDS = 4


def fold_of(service):
    return int(hashlib.md5(("f" + tables.provider(service)).encode()).hexdigest(), 16) % FOLDS


def parts(segment):
    spaced = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1 \2", re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", segment))
    return [p.lower() for p in re.findall(r"[A-Za-z]+", spaced)]


def step(providers):
    return next((i for i, limit in enumerate((1, 2, 3, 5, 9, 18, 40)) if providers < limit), 7)


def follow(uses):
    """How often a value follows, 1 to 7; every provider has one voice. 0 when few have one."""
    literal = sum(u[0] / sum(u) for u in uses.values())
    value = sum(u[1] / sum(u) for u in uses.values())
    return 1 + min(6, int((value + 0.45) / (literal + value + 0.9) * 7)) if literal + value > 0.6 else 0


def count(path, is_wanted):
    whole, part = collections.defaultdict(set), collections.defaultdict(set)
    uses = collections.defaultdict(lambda: collections.defaultdict(lambda: [0, 0, 0]))
    for line in open(path, encoding="utf-8"):
        table = json.loads(line)
        name = tables.provider(table["service"])
        if not is_wanted(table["service"]):
            continue
        for template in table["paths"]:
            segments = [s for s in re.split("[?#]", template)[0].split("/") if s]
            for i, segment in enumerate(segments):
                if "{" in segment:
                    continue
                word = segment.lower()
                if re.match(r"^[a-z0-9._-]{1,40}$", word):
                    whole[word].add(name)
                for p in parts(segment):
                    if len(p) >= 2:
                        part[p].add(name)
                after = 2 if i + 1 == len(segments) else 1 if "{" in segments[i + 1] else 0
                for key in {word, (parts(segment) or [""])[-1]}:
                    uses[key][name][after] += 1
    return whole, part, uses


def entries(path, is_wanted):
    whole, part, uses = count(path, is_wanted)
    for word in sorted({w for w, v in whole.items() if len(v) > 1} | {w for w, v in part.items() if len(v) > 1}):
        numbers = step(len(whole.get(word, ()))), step(len(part.get(word, ()))), follow(uses.get(word, {}))
        if any(numbers):
            yield (word, *numbers)


def main():
    without = int(sys.argv[sys.argv.index("--without") + 1]) if "--without" in sys.argv else None
    wanted = lambda s: tables.part_of(s) == "train" and (without is None or fold_of(s) != without)
    print("# Words that two or more providers of public APIs use in paths: word, whole, part, follow (tests/bench/route_words.py).")
    for entry in entries(sys.argv[1], wanted):
        print("%s %d %d %d" % entry)


if __name__ == "__main__":
    main()
