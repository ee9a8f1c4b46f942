#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Labelled paths out of route tables: lines `service<TAB>template<TAB>path`, 20 distinct paths per template, shuffled.

  lines.py TABLES.jsonl --part train --seed 1 [--values] [--literals] [--traffic N] >lines.tsv

--values    a random part of the parameters becomes names, slugs, branches and the like; one may be doubled ({owner}/{repo})
--literals  a random part of the literals becomes words that no list has, alike in style; one resource may be had many times
Both keep a list of words from being the only thing that is learned.
"""
import argparse, bisect, collections, itertools, json, random, re, sys
import tables, values

PARAMETER = re.compile(r"\{([^{}]+)\}")
GREEDY = {"path", "logpath", "dir", "file_path", "filepath", "proxypath", "proxy", "file", "account_urn", "resource_plural"}
PREFIXES = ["/api", "/api/v1", "/v1", "/rest", "/api/v2", "/v2", "/app", "/services/rest", "/1", "/2.0"]


def load(path, part):
    by_provider = collections.defaultdict(list)
    for line in open(path, encoding="utf-8"):
        table = json.loads(line)
        if tables.part_of(table["service"]) == part:
            by_provider[tables.provider(table["service"])].append(table)
    return by_provider


def templates(table, most, rng):
    """[(template, parameters, schemas)]: without what is a matter of taste, and at most @most neighbours."""
    found = []
    for template, schemas in sorted(table["paths"].items()):
        names = PARAMETER.findall(template)
        rest = PARAMETER.sub("", template)
        if any(n in GREEDY or "enum" in (schemas.get(n) or {}) or n.endswith("+") for n in names) or re.search(r"[^\x21-\x7e]|[#?%=({]", rest):
            continue
        found.append((re.sub("//+", "/", template).rstrip("/") or "/", schemas))
    if len(found) > most:
        at = rng.randrange(0, len(found) - most + 1)
        found = found[at:at + most]
    kept = {}
    for template, schemas in found:
        kept.setdefault(PARAMETER.sub("{}", template), (template, schemas))
    return list(kept.values())


def invent_values(table, rng):
    """Parameters become words; one may become two. Returns the table and the makers that go first."""
    counts = collections.Counter(n for template, _ in table for n in PARAMETER.findall(template))
    makers = {n: rng.choice(values.WORDLIKE) for n in sorted(counts) if rng.random() < 0.6}
    double = None
    if counts and rng.random() < 0.35:
        double = counts.most_common(1)[0][0] if rng.random() < 0.6 else rng.choice(sorted(counts))
        makers.setdefault(double, rng.choice(values.WORDLIKE))
        makers[double + "_b"] = rng.choice(values.WORDLIKE)
    prefix = rng.choice(PREFIXES) if rng.random() < 0.2 else ""
    changed = []
    for template, schemas in table:
        if double and len(re.findall(r"/\{%s\}(?=/|$)" % re.escape(double), template)) == 1:
            template = re.sub(r"/\{%s\}(?=/|$)" % re.escape(double), lambda m: m.group(0) + "/{" + double + "_b}", template)
        changed.append((prefix + template if template != "/" else prefix or "/", schemas))
    return changed, makers


def inventor(rng, words_of_service):
    """A maker of literals in one style, as one team would name things."""
    simple = [w for w in words_of_service if w.isalpha()]
    joint, lead = rng.choice(["-", "-", "-", "_", "_", "", "."]), values.word(rng) if rng.random() < 0.4 else None
    if simple and rng.random() < 0.3:
        lead = rng.choice(simple)
    plural, words = rng.choice(["", "s"]), rng.choice([1, 2, 2, 2, 3])
    camel = joint == "" and rng.random() < 0.8
    def literal():
        parts = ([lead] if lead and rng.random() < 0.7 else []) + [values.word(rng) for _ in range(words)]
        if camel:
            return parts[0] + "".join(p.capitalize() for p in parts[1:]) + plural
        return joint.join(parts) + plural
    return literal


def invent_literals(table, rng):
    """Some literals are renamed, the same everywhere; sometimes one resource with what is below it is had many times."""
    words = sorted({s for template, _ in table for s in template.split("/") if s and "{" not in s and not re.match(r"^v?\d", s)})
    literal, renamed = inventor(rng, words), {}
    if rng.random() < 0.6:
        share = rng.choice([0.1, 0.3, 0.6])
        renamed = {w: literal() for w in words if rng.random() < share}
    table = [("/".join(renamed.get(s, s) for s in template.split("/")), schemas) for template, schemas in table]
    if rng.random() < 0.7:
        below = collections.defaultdict(list)
        for template, schemas in table:
            segments = template.split("/")
            for i in range(1, min(len(segments), 5)):
                if segments[i] and "{" not in segments[i]:
                    below["/".join(segments[:i + 1])].append((segments[i + 1:], schemas))
        fit = sorted(k for k, v in below.items() if 2 <= len(v) <= 8 and any("{" in "/".join(s) for s, _ in v))
        if fit:
            chosen = rng.choice(fit)
            parent = chosen.rsplit("/", 1)[0]
            for _ in range(rng.choice([5, 10, 20, 40, 80])):
                name = literal()
                for rest, schemas in below[chosen]:
                    if rng.random() < 0.9:
                        table.append(("/".join([parent, name] + rest), schemas))
    kept = {}
    for template, schemas in table:
        kept.setdefault(PARAMETER.sub("{}", template), (template, schemas))
    return list(kept.values())


class Service:
    """The paths of one service; values of one parameter recur, as users, repositories and pods do."""

    def __init__(self, name, table, makers, rng):
        self.name, self.table, self.makers, self.rng = name, table, makers, rng
        self.pools = collections.defaultdict(list)
        self.rivals = collections.defaultdict(list)
        for template, _ in table:
            pattern = "".join("[^/]+" if p.startswith("{") else re.escape(p) for p in re.split(r"(\{[^{}]+\})", template))
            self.rivals[template.count("/")].append((template, re.compile(pattern + "$"), template.count("{")))

    def value(self, template, parameter, schemas):
        maker = self.makers.get(parameter) or values.maker_of(self.name, parameter, schemas.get(parameter) or {})
        pool = self.pools[parameter, template.split("{")[0][:24] if parameter.lower() in ("id", "name") else ""]
        if pool and self.rng.random() < 0.35:
            return self.rng.choice(pool)
        value = maker(self.rng)
        if len(pool) < 300:
            pool.append(value)
        return value

    def path(self, template, schemas):
        for _ in range(30):
            path = PARAMETER.sub(lambda m: self.value(template, m.group(1), schemas), template)
            mine = template.count("{")  # a router would prefer a more literal template that matches
            if not any(t != template and n < mine and p.match(path) for t, p, n in self.rivals[template.count("/")]):
                return path
        return None

    def distinct(self, each):
        rows, done = [], set()
        for template, schemas in self.table:
            want, got = each if "{" in template else 1, 0
            for _ in range(want * 8):
                path = self.path(template, schemas) if got < want else None
                if path and path not in done:
                    done.add(path)
                    got += 1
                    rows.append((template, path))
        self.rng.shuffle(rows)
        return rows

    def traffic(self, requests):
        """Popularity by rank; half of the requests repeat an earlier one."""
        order, rows, seen = list(self.table), [], collections.defaultdict(list)
        self.rng.shuffle(order)
        sums = list(itertools.accumulate(1 / (i + 1) for i in range(len(order))))
        for _ in range(requests):
            template, schemas = order[min(bisect.bisect_left(sums, self.rng.random() * sums[-1]), len(order) - 1)]
            had = seen[template]
            if had and self.rng.random() < 0.5:
                rows.append((template, had[int(len(had) * self.rng.random() ** 2)]))
                continue
            path = self.path(template, schemas)
            if path:
                had.append(path)
                rows.append((template, path))
        return rows


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("tables")
    a.add_argument("--part", default="train")
    a.add_argument("--seed", default="1")
    a.add_argument("--most", type=int, default=150, help="templates of a service")
    a.add_argument("--services", type=int, default=1, help="of a provider")
    a.add_argument("--least", type=int, default=10, help="templates of a service")
    a.add_argument("--each", type=int, default=20, help="paths of a template")
    a.add_argument("--values", action="store_true")
    a.add_argument("--literals", action="store_true")
    a.add_argument("--traffic", type=int, default=0)
    o = a.parse_args()
    for name, found in sorted(load(o.tables, o.part).items()):
        rng, made = random.Random("%s/%s" % (o.seed, name)), 0
        rng.shuffle(found)
        for table in found:
            rows = templates(table, o.most, rng)
            if made >= o.services or len(rows) < o.least or not any("{" in t for t, _ in rows):
                continue
            made += 1
            rows, makers = invent_values(rows, rng) if o.values else (rows, {})
            service = Service(table["service"], invent_literals(rows, rng) if o.literals else rows, makers, rng)
            for template, path in service.traffic(o.traffic) if o.traffic else service.distinct(o.each):
                sys.stdout.write("%s\t%s\t%s\n" % (service.name, template, path))


if __name__ == "__main__":
    main()
