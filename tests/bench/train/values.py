# SPDX-License-Identifier: Apache-2.0
"""Makers of parameter values for training (lines.py): what a parameter of a name and a schema takes in real life.

Every maker is a function of a random.Random. Nothing here is taken from a service: the values are invented.
"""
import hashlib, os, re

HERE = os.path.dirname(os.path.abspath(__file__))
WORDS = [w for line in open(os.path.join(HERE, "names.txt"), encoding="utf-8") if not line.startswith("#") for w in line.split()]
FIRST = ("adam aisha akira alan alex amara amelia andre anita antonio arjun astrid bella ben bianca bruno camila carmen cecilia chris clara "
         "daniel david deepa diego dora edgar elena elias elif emil eric esther eva farah felix fiona flora george gina gloria hannah harry "
         "hector helena henry hugo ida igor irina isaac isabel ivan jack jacob jamal james jane jasmine jorge joseph joyce julia karen karim "
         "kate keiko kevin laura leon leo linda lucas lucia luka magda malik marta martin mateo max mei michael mila mina mohamed monica nadia "
         "naomi nick nina noor oscar pablo patrick paul pedro peter petra quentin rachel rafael rita robert rosa ruth ryan samir samuel sara "
         "sean silvia simon stella steve tara teresa thiago tim tina tomas uma vera vikram violet wanda will xavier yara yusra zane").split()
LAST = ("adams ali allen alvarez andersen bauer becker bell bennett bianchi brooks brown burke castro chan cohen cole cox cruz diaz dixon "
        "eriksson fischer flores ford foster fox gomez gonzalez graham gray griffin gupta hall hansen hayes hernandez hoffman howard hughes "
        "hunt ito ivanov jackson jensen johnson jordan kaya keller kelly khan klein kowalski larsen lehmann lopez maier marino martin meyer "
        "mishra morales morgan moreno murphy nakamura novak ortiz patel pereira perez peterson petrov popov powell price ramos reed reyes "
        "richter rivera rogers romano ross russell sanchez schneider sharma simmons sokolov stewart stone suarez sullivan torres vasquez vogel "
        "wagner walker wang ward watson weber wolf wong wood yamamoto zimmermann").split()
COUNTRIES = "US GB DE FR JP BR IN CA AU NL SE NO ES IT PL MX CH AT BE DK FI IE PT CZ".split()
NAMESPACES = "default kube-system kube-public monitoring logging ingress-nginx cert-manager argocd staging production dev qa".split()
HEX, DIGITS, LOWER = "0123456789abcdef", "0123456789", "abcdefghijklmnopqrstuvwxyz"
BASE62 = DIGITS + LOWER + LOWER.upper()


def some(r, alphabet, n):
    return "".join(r.choice(alphabet) for _ in range(n))


def word(r): return r.choice(WORDS)
def two(r): return word(r) + "-" + word(r)
def slug(r): return "-".join(word(r) for _ in range(r.randint(2, 5)))
def number(r): return str(int(10 ** (r.random() * r.choice([3, 5, 7, 9]))) + 1)
def snowflake(r): return str(r.randint(10 ** 17, 12 * 10 ** 17))
def uuid(r): return "-".join(some(r, HEX, n) for n in (8, 4, 4, 4, 12))
def sha(r): return some(r, HEX, 40)
def date(r): return "%04d-%02d-%02d" % (r.randint(2015, 2026), r.randint(1, 12), r.randint(1, 28))
def email(r): return "%s.%s@%s.com" % (r.choice(FIRST), r.choice(LAST), word(r))
def address(r): return ".".join(str(r.randint(1, 254)) for _ in range(4))
def host(r): return word(r) + r.choice(["", "-" + word(r)]) + r.choice([".com", ".org", ".net", ".io", ".dev", ".co.uk", ".de"])
def token(r): return some(r, BASE62 + "-_", r.randint(22, 48))
def ulid(r): return "01" + some(r, "0123456789ABCDEFGHJKMNPQRSTVWXYZ", 24)
def release(r): return "%s%d.%d.%d" % (r.choice(["v", ""]), r.randint(0, 9), r.randint(0, 30), r.randint(0, 9))
def org(r): return word(r) + r.choice(["", "-labs", "-inc", "hq", "-" + word(r), "42"])
def country(r): return r.choice(COUNTRIES)
def secret(r): return word(r).upper() + "_" + r.choice(["TOKEN", "KEY", "SECRET", "PASSWORD", "URL"])
def title(r): return "_".join(word(r).capitalize() for _ in range(r.randint(1, 3)))


def user(r):
    return r.choice([lambda: r.choice(FIRST), lambda: r.choice(FIRST), lambda: r.choice(FIRST) + r.choice(LAST), lambda: r.choice(FIRST) + "-" + r.choice(LAST),
                     lambda: r.choice(FIRST) + str(r.randint(1, 99))])()


def repo(r):
    return r.choice([lambda: word(r), lambda: word(r), lambda: two(r), lambda: two(r), lambda: word(r) + ".js", lambda: word(r) + "_" + word(r)])()


def branch(r):
    return r.choice([lambda: r.choice(["main", "master", "develop"]), lambda: "release-%d.%d" % (r.randint(1, 9), r.randint(0, 20)),
                     lambda: "feature-" + word(r), lambda: "fix-%d" % r.randint(1, 5000), lambda: release(r)])()


def reference(r): return sha(r) if r.random() < 0.5 else branch(r)


def pod(r):
    return r.choice([lambda: word(r), lambda: two(r), lambda: "%s-%s-%s" % (word(r), some(r, "bcdf456789", 10), some(r, "bcdfghjklmnpqrstvwxz2456789", 5)),
                     lambda: "%s-%d" % (word(r), r.randint(0, 9)), lambda: two(r) + "-" + word(r)])()


def namespace(r): return r.choice(NAMESPACES) if r.random() < 0.5 else two(r)


def filename(r):
    stem = r.choice([lambda: word(r), lambda: two(r), lambda: "IMG_%04d" % r.randint(1, 9999), lambda: date(r) + "-" + word(r)])()
    return stem + "." + r.choice("png jpg pdf txt csv zip json html js css md docx mp4".split())


def mixed(r): return r.choice([word, two, slug])(r)
def other(r): return r.choice([two, lambda r: word(r) + str(r.randint(1, 99)), slug])(r)


WORDLIKE = [user, repo, org, slug, word, two, mixed, lambda r: word(r) + "_" + word(r), secret, branch, pod, host,
            lambda r: word(r).capitalize(), lambda r: r.choice(FIRST), country, lambda r: word(r) + word(r).capitalize(),
            lambda r: word(r).upper(), filename, title, lambda r: some(r, BASE62, r.randint(5, 9)),
            lambda r: some(r, LOWER + DIGITS, r.randint(6, 25))]
IDS = [number, number, number, uuid, uuid, uuid, lambda r: some(r, HEX, 24), lambda r: some(r, BASE62, 22), None, snowflake]

NAMED = {}
for names, maker in (
        ("owner username user assignee author login member user_name account_name", user),
        ("repo repo_name repository repository_name project_name package_name package project app_name", repo),
        ("org enterprise organization workspace team group owner_name tenant company registry_name", org),
        ("ref basehead tag tag_name base head version revision", reference), ("sha commit commit_id hash", sha), ("ip ip_address", address),
        ("country country_code", country), ("filename file_name", filename), ("namespace", namespace),
        ("name key label language cluster plan license slug type code resource", mixed)):
    NAMED.update((n, maker) for n in names.split())
PARTIAL = (("secret", secret), ("variable", secret), ("branch", branch), ("domain", host), ("host", host), ("date", date), ("email", email),
           ("token", token), ("username", user), ("slug", slug), ("title", slug), ("handle", slug), ("uuid", uuid), ("guid", uuid))


def snake(name):
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower().replace("-", "_")


def choose(text, n):
    return int(hashlib.md5(text.encode()).hexdigest(), 16) % n


def by_example(example):
    if re.match(r"^[0-9a-f]{8}-[0-9a-f]{4}-", example):
        return uuid
    if example.isdigit():
        return number
    if re.match(r"^[0-9a-f]{6,}$", example) and re.search(r"\d", example):
        return lambda r: some(r, HEX, len(example))
    found = re.match(r"^([a-z]{2,6}[_-])[A-Za-z0-9]{8,}$", example)
    return (lambda r: found.group(1) + some(r, BASE62, r.choice([14, 24]))) if found else None


def maker_of(service, name, schema):
    """The maker for a parameter: one kind per service and parameter."""
    n, example = snake(name), str(schema.get("example", "") or "")
    fixed = {"uuid": uuid, "date": date, "date-time": date, "ipv4": address}.get(schema.get("format")) or by_example(example)
    if fixed:
        return fixed
    if schema.get("type") in ("integer", "number"):
        return number
    if n in NAMED:
        return NAMED[n]
    for piece, maker in PARTIAL:
        if piece in n:
            return maker
    if n.endswith(("id", "ids", "_number")):
        kind = choose(service + "ids", 10) if choose(service + name, 5) else choose(name, 10)
        return IDS[kind] or (lambda r: re.sub("[^a-z]", "", name.lower())[:4] + "_" + some(r, BASE62, 16))
    if n.endswith("name"):
        return mixed
    return other if choose(service + name, 4) else word
