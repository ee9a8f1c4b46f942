#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Scores of the route inference, and what it costs.

Every service gets a fresh learner and 20 distinct paths per template in random order; each path is scored with the
route of its moment. Corpora: the made-up one (tests/data/routes/templates.txt), and every file of lines
`service<TAB>template<TAB>path` named on the command line or in TICKBIRD_ROUTE_CORPUS (separated by colons).

F1       over pairs of paths: put together and belonging together
GA       share of paths in groups that are exactly right
kept     literal segments that stayed as they were
routes   inferred routes per true template (1.3 is the limit)
Fails when the made-up corpus falls below its floors. Lines `measure NAME VALUE` are what `make bench` compares with
expected.txt: routes made per true one, routes of a scanner, instructions (valgrind permitting).
"""
import collections, os, random, re, shutil, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("B", os.path.join(HERE, "../../build"))
FLOORS = {"F1": 0.95, "GA": 0.80, "kept": 0.98}
WORST = 0.60

SYLLABLES = "ba be bi bo da de di do fa fi ga go ka ki ko la le li lo ma me mi mo na ne no pa pe po ra re ri ro sa se si so ta te ti to va vi za zo".split()


def values(rng):
    """Makers of values by kind; names are made of syllables so that no list can know them."""
    def word(low=2, high=4):
        return "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(low, high)))
    def digits(n):
        return "".join(rng.choice("0123456789") for _ in range(n))
    def some(alphabet, n):
        return "".join(rng.choice(alphabet) for _ in range(n))
    hexes, base62 = "0123456789abcdef", "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return {
        "int": lambda: str(rng.randint(1, 10 ** rng.choice([2, 4, 6, 9]))),
        "uuid": lambda: "-".join(some(hexes, n) for n in (8, 4, 4, 4, 12)),
        "hash": lambda: some(hexes, 32),
        "sha": lambda: some(hexes, 40),
        "token": lambda: some(base62, 24),
        "order": lambda: "ORD-" + digits(8),
        "word": word,
        "slug": lambda: "-".join(word() for _ in range(rng.randint(2, 4))),
        "user": lambda: rng.choice([word(), word() + str(rng.randint(1, 99)), word() + "-" + word(), word() + word()]),
        "org": lambda: word() + rng.choice(["", "-labs", "hq"]),
        "repo": lambda: rng.choice([word(), word() + "-" + word(), word() + ".js", word() + "_" + word()]),
        "branch": lambda: rng.choice(["main", "develop", "feature-" + word(), "v%d.%d.%d" % (rng.randint(0, 9), rng.randint(0, 20), rng.randint(0, 9))]),
        "pod": lambda: "%s-%s-%s" % (word(), some("bcdf456789", 10), some("bcdfghjkl2456789", 5)),
        "host": lambda: "%s-%d.%s.internal" % (word(), rng.randint(1, 99), word()),
        "year": lambda: str(rng.randint(2005, 2026)),
        "month": lambda: "%02d" % rng.randint(1, 12),
        "date": lambda: "%d-%02d-%02d" % (rng.randint(2015, 2026), rng.randint(1, 12), rng.randint(1, 28)),
        "chunk": lambda: "%s.%s.js" % (word(), some(hexes, 8)),
        "sheet": lambda: "%s-%s.css" % (word(), some(hexes, 16)),
        "font": lambda: "%s.%s.woff2" % (word(), some(hexes, 12)),
        "locale": lambda: rng.choice("en-US en-GB de-DE de-CH fr-FR fr-CA es-ES es-MX pt-BR it-IT nl-NL sv-SE pl-PL ja-JP ko-KR zh-CN zh-TW".split()),
        "image": lambda: "IMG_%s.jpg" % digits(4),
        "email": lambda: "%s.%s@example.com" % (word(), word()),
        "country": lambda: rng.choice("US GB DE FR JP BR IN CA AU NL SE NO ES IT PL MX CH AT BE DK FI IE PT CZ".split()),
        "currency": lambda: rng.choice("USD EUR GBP JPY CHF SEK NOK DKK PLN CZK HUF CAD AUD NZD SGD HKD INR BRL MXN ZAR TRY ILS".split()),
    }


def made_up(seed):
    rng = random.Random(seed)
    make, rows, service, pools = values(rng), collections.OrderedDict(), None, {}
    def fill(match):
        pool = pools.setdefault((service, match.group(1)), [])
        if pool and rng.random() < 0.35:
            return rng.choice(pool)
        pool.append(make[match.group(1)]())
        return pool[-1]
    for line in open(os.path.join(HERE, "../data/routes/templates.txt"), encoding="utf-8"):
        line = line.strip()
        if line.startswith("service "):
            service = line[8:]
            rows[service] = []
        elif line and not line.startswith("#"):
            seen = set()
            for _ in range(160 if "{" in line else 1):
                path = re.sub(r"\{(\w+)\}", fill, line)
                if path not in seen and len(seen) < 20:
                    seen.add(path)
                    rows[service].append((line, path))
    for paths in rows.values():
        rng.shuffle(paths)
    return rows


def read(path):
    rows = collections.OrderedDict()
    for line in open(path, encoding="utf-8"):
        service, template, target = line.rstrip("\n").split("\t")
        rows.setdefault(service, []).append((template, target))
    return rows


def infer(paths, status=None):
    text = "".join("GET\t%s\t%d\n" % (p, status) if status else p + "\n" for p in paths)
    out = subprocess.run([os.path.join(BUILD, "tests/bench/route_lines")], input=text.encode(), stdout=subprocess.PIPE, check=True)
    return [line.split("\t")[-1] for line in out.stdout.decode().splitlines()]


def segments(route):
    return ["*" if re.search(r"[{}<>*#]", s) or (s.startswith(":") and len(s) > 1) else s for s in route.strip("/").split("/")]


def score(rows):
    routes = infer([path for _, path in rows])
    both = collections.Counter((t, r) for (t, _), r in zip(rows, routes))
    true, inferred = collections.Counter(t for t, _ in rows), collections.Counter(routes)
    pairs = lambda counts: sum(n * (n - 1) // 2 for n in counts.values())
    hit = pairs(both)
    precision, recall = hit / max(1, pairs(inferred)), hit / max(1, pairs(true))
    if not pairs(true) and not pairs(inferred):  # nothing to group, and nothing was
        precision = recall = 1.0
    exact = sum(n for (t, r), n in both.items() if n == true[t] == inferred[r])
    literals = kept = 0
    for (template, _), route in zip(rows, routes):
        a, b = segments(template), segments(route)
        literals += sum(x != "*" and x != "" for x in a)
        kept += sum(x != "*" and x != "" and x == y for x, y in zip(a, b)) if len(a) == len(b) else 0
    return {"F1": 2 * precision * recall / max(1e-9, precision + recall), "GA": exact / len(rows), "kept": kept / max(1, literals),
            "routes": len(inferred) / len(true)}


def report(name, services):
    scores = {service: score(rows) for service, rows in services.items() if service != "noise"}
    mean = {k: sum(s[k] for s in scores.values()) / len(scores) for k in ("F1", "GA", "kept", "routes")}
    worst = min(scores, key=lambda s: scores[s]["F1"])
    if "-v" in sys.argv:
        for service, s in scores.items():
            print("    %-28s F1 %.3f  GA %.3f  kept %.3f  routes %.2f" % (service, s["F1"], s["GA"], s["kept"], s["routes"]))
    print("%-20s %3d services  F1 %.3f  GA %.3f  kept %.3f  routes %.2f  worst %.3f (%s)"
          % (name, len(scores), mean["F1"], mean["GA"], mean["kept"], mean["routes"], scores[worst]["F1"], worst))
    return mean, scores[worst]["F1"]


def scanner():
    rng = random.Random(7)
    make = values(rng)
    tops = "wp-admin wp-login.php xmlrpc.php .env .git phpmyadmin admin cgi-bin solr actuator console owa config backup old".split()
    paths = set()
    while len(paths) < 5000:
        paths.add("/" + "/".join(rng.choice([rng.choice(tops), make["word"](), make["slug"](), make["token"](), make["word"]() + ".php"])
                                 for _ in range(rng.randint(1, 3))))
    return len(set(infer(sorted(paths), 404)))


def rules():
    """A configuration with 100 patterns and 10 requests to ignore; one pattern is that of route_cost.c."""
    lines = ["routes:", "  patterns:", "    - /api/:version/customers/:customer/orders/*"]
    lines += ["    - /%s/v1/things%d/:thing/parts/:part" % (("shop", "admin", "api")[i % 3], i) for i in range(99)]
    lines += ["  ignore:"] + ["    - /health%d/*" % i for i in range(10)]
    return "\n".join(lines) + "\n"


def instructions(kind, *more):
    """Of one request, as the difference of two runs under callgrind, less the bench's own loop."""
    def run(count):
        out = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=tb_route_begin",
                              "--toggle-collect=tb_route_end", os.path.join(BUILD, "tests/bench/route_cost"), str(count), kind, *more],
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        return int(re.search(rb"Collected : (\d+)", out.stderr).group(1))
    return (run(6000) - run(4000)) / 2000


def cost():
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as config:
        config.write(rules())
        config.flush()
        for name, more in (("", ()), ("_160_bytes", ("160",)), ("_100_patterns", ("40", config.name))):
            for kind, what in (("same", "known_path"), ("new", "new_number"), ("words", "new_word")):
                if (kind, name) != ("words", "_160_bytes"):
                    print("measure instructions_route_%s%s %.0f" % (what, name, instructions(kind, *more)))
        print("measure instructions_route_new_uuid_68_bytes %.0f" % instructions("uuid"))


def main():
    mean, worst = report("made up", made_up("1"))
    failed = worst < WORST or any(mean[k] < floor for k, floor in FLOORS.items())
    for path in [p for p in sys.argv[1:] if p != "-v"] + [p for p in os.environ.get("TICKBIRD_ROUTE_CORPUS", "").split(":") if p]:
        report(os.path.basename(path), read(path))
    print("measure routes_made_per_true %.2f" % mean["routes"])
    print("measure routes_of_a_404_scanner %d" % scanner())
    if shutil.which("valgrind"):
        cost()
    else:
        print("instructions a request: not counted, valgrind is not installed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
