#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The readers of single values (agent/json_pick.h, form_pick.h, header_pick.h, decimal.h) against Python's json,
urllib.parse, http.cookies, email and decimal, on random texts, each text cut at every byte.

Texts that Python refuses are given, too: then only the cuts are compared with each other. TB_PICKS texts of each kind (400).
"""
import decimal
import email.parser
import http.cookies
import json
import os
import pathlib
import random
import string
import struct
import subprocess
import sys
import tempfile
import urllib.parse

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "servers"))
import harness  # noqa: E402

COUNT = int(os.environ.get("TB_PICKS", "400"))
NONE, STRING, NUMBER, TRUE, FALSE, NULL, OBJECT, ARRAY, TOO_LONG, NO_TEXT = range(10)
LONGEST, EVERYWHERE = 64, 0xffffffff
BAD = 2
rng = random.Random(harness.SEED)


class Number(str):
    """A number as it stands in the text."""


class Pairs(list):
    """The members of an object, in order, with duplicates."""


def refuse(word):
    raise ValueError(word)


def run(program, records):
    """A line for each (kind, names, text, cut)."""
    with tempfile.TemporaryFile() as f:
        for kind, names, text, cut in records:
            lines = b"\n".join(names)
            f.write(kind + struct.pack("<III", len(lines), len(text), cut) + lines + text)
        f.seek(0)
        out = subprocess.run(program, stdin=f, stdout=subprocess.PIPE, check=True, timeout=250).stdout
    lines = out.decode().splitlines()
    assert len(lines) == len(records), (len(lines), len(records))
    return lines


def compare(program, kind, name, cases, expected):
    """Each of @cases (names, text) whole, byte by byte and cut at every byte; what @expected gives for it is the truth,
    None: there is none."""
    records, wrong, known, cuts = [], [], 0, []
    for names, text in cases:
        cuts.append(len(text) + 1)
        records += [(kind, names, text, cut) for cut in [0, EVERYWHERE, *range(1, len(text))][:len(text) + 1]]
    lines = run(program, records)
    at = 0
    for (names, text), count in zip(cases, cuts):
        got, at = lines[at:at + count], at + count
        if len(set(got)) > 1:
            wrong.append(f"{names} {text!r}: by the cut {sorted(set(got))}")
        truth = expected(names, text)
        if truth is not None:
            known += 1
            values = [(int(k), bytes.fromhex(v)) for k, v in (word.split(":") for word in got[0].split()[1:])]
            if got[0].split()[0] == str(BAD) or values != truth:
                wrong.append(f"{names} {text!r}:\n  {got[0]}\n  {truth}")
    harness.report(not wrong, name, f"seed {harness.SEED}\n" + "\n".join(wrong[:5]))
    harness.report(known > len(cases) / 3, name + "_in_texts_worth_reading", f"{known} of {len(cases)}")
    print(f"# {name}: {len(cases)} texts, {known} of them judged, {len(records)} readings")


def as_text(value):
    """What is expected of a string of Python; bytes that were no UTF-8 are surrogates in it."""
    try:
        data = value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")
    except UnicodeError:
        return NO_TEXT, b""  # half of a pair
    if len(data) > LONGEST:
        return TOO_LONG, b""
    try:
        data.decode()
    except UnicodeError:
        return NO_TEXT, b""
    return STRING, data


# ---- JSON ----

KEYS = ["a", "b", "id", "order", "payment_method", "total", "items", "price", "caf\u00e9", "x y", 'q"', "b\\s", "", "k" * 62]


def random_string():
    letters = rng.choice(["abc", "ab\"\\/\n\t", "\u00e9\u4e2d\U0001f600x", string.ascii_letters + " {}[],:", "\\\"", "\ud83d\ude00z"])
    return "".join(rng.choice(letters) for _ in range(rng.choice([0, 1, 3, 8, 20, 63, 64, 65, 130])))


def random_value(depth):
    kind = rng.randrange(9 if depth else 6)
    if kind == 0:
        return random_string()
    if kind == 1:
        return rng.choice([0, 1, -1, 12.5, -3e-7, 1e300, 10 ** 70, 123456789])
    if kind < 5:
        return rng.choice([True, False, None, "card", 42])
    if kind == 5:
        return rng.choice([{}, []])
    if kind == 6:
        return [random_value(depth - 1) for _ in range(rng.randrange(6))]
    return {rng.choice(KEYS): random_value(depth - 1) for _ in range(rng.randrange(7))}


def written(value):
    text = json.dumps(value, ensure_ascii=rng.random() < .5, indent=rng.choice([None, None, 1, 4]),
                      separators=rng.choice([(",", ":"), (", ", ": "), (" ,\n", "\t: ")]))
    if rng.random() < .2:  # names in escapes
        text = text.replace('"a', '"\\u0061').replace('"pay', '"p\\u0061y')
    if rng.random() < .2:  # members that are there twice
        text = text.replace('"b"', '"a"').replace('"total"', '"id"')
    data = text.encode("utf-8", "surrogatepass")
    if rng.random() < .35:
        data = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(data) + 1)
            change = rng.randrange(3)
            if change == 0:
                data[at:at] = rng.choice([b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\xff", b"\x01", b"\\ud800", b"tru", b" "])
            elif change == 1:
                del data[at:at + rng.randrange(1, 4)]
            elif at < len(data):
                data[at] = rng.randrange(256)
        data = bytes(data)
    return data or b" "


def paths_into(value):
    """Paths, some of which are there; often one alone, which the reader of JSON has a way of its own for."""
    found, count = [], rng.choice([1, 4])
    while len(found) < count:
        path, at = [], value
        for _ in range(rng.randrange(1, 6)):
            if isinstance(at, dict) and at and rng.random() < .9:
                key = rng.choice(list(at))
                path.append(key)
                at = at[key]
            elif isinstance(at, list) and at and rng.random() < .9:
                index = rng.randrange(len(at))
                path.append(index)
                at = at[index]
            elif rng.random() < .3 or not path:
                path.append(rng.choice([rng.choice(KEYS[:-1]), rng.randrange(3)]))
        is_long = sum(map(len, map(path_text, found))) + len(path_text(path)) > 200  # a set has 256 bytes
        found.append((rng.randrange(3),) if is_long else tuple(path))
    return found


def path_text(path):
    def step(key):
        if isinstance(key, int):
            return f"[{key}]"
        return '["' + key.replace("\\", "\\\\").replace('"', '\\"') + '"]'
    return "".join(map(step, path)).encode()


def look_up(value, path):
    """Every value at @path, in the order of the text."""
    if not path:
        yield value
    elif isinstance(value, Pairs) and isinstance(path[0], str):
        for key, member in value:
            if key == path[0]:
                yield from look_up(member, path[1:])
    elif isinstance(value, list) and not isinstance(value, Pairs) and isinstance(path[0], int) and path[0] < len(value):
        yield from look_up(value[path[0]], path[1:])


def json_truth(paths, text):
    try:
        root = json.loads(text.decode("utf-8", "surrogateescape"), object_pairs_hook=Pairs, parse_int=Number, parse_float=Number,
                          parse_constant=refuse)
    except (ValueError, RecursionError):
        return None
    result = []
    for path in paths:
        path = PATHS[path]
        for value in look_up(root, path):
            if isinstance(value, Number):
                result.append((TOO_LONG, b"") if len(value) > LONGEST else (NUMBER, value.encode()))
            elif isinstance(value, str):
                result.append(as_text(value))
            elif isinstance(value, Pairs):
                result.append((OBJECT, b""))
            elif isinstance(value, list):
                result.append((ARRAY, b""))
            else:
                result.append({True: (TRUE, b"true"), False: (FALSE, b"false"), None: (NULL, b"")}[value])
            break
        else:
            result.append((NONE, b""))
    return result


PATHS = {}


def json_cases():
    for _ in range(COUNT):
        value = random_value(4)
        while not isinstance(value, (dict, list)):
            value = random_value(4)
        paths = paths_into(value)
        PATHS.update((path_text(path), path) for path in paths)
        text = written(value)
        yield [path_text(path) for path in paths], text[:600]


# ---- forms ----

def form_cases():
    letters = "ab=&+%2541cC3%A9\u00e9~ -"
    for _ in range(COUNT):
        names = rng.sample([b"a", b"b", b"payment_method", b"a b", b"\xc3\xa9", b"A", b"%"], 4)
        if rng.random() < .5:
            fields = [(rng.choice(names), rng.choice([b"card", b"x" * 64, b"x" * 65, b"\xff", b"a&b=c", "\u4e2d +".encode()]))
                      for _ in range(rng.randrange(8))]
            text = urllib.parse.urlencode(fields).encode()
        else:
            text = "".join(rng.choice(letters) for _ in range(rng.randrange(1, 120))).encode()
        yield names, text or b"&"


def form_truth(names, text):
    first = {}
    for name, value in urllib.parse.parse_qsl(text.decode("latin-1"), keep_blank_values=True, encoding="latin-1"):
        first.setdefault(name.encode("latin-1"), value.encode("latin-1"))
    return [as_text(first[name]) if name in first else (NONE, b"") for name in names]


# ---- header sections ----

COOKIE_OCTETS = "".join(chr(c) for c in range(0x21, 0x7f) if chr(c) not in '",;\\')


def header_cases():
    for _ in range(COUNT):
        cookies = rng.sample(["sid", "session", "a", "_ga", "id", "theme"], rng.randrange(5))
        lines = ["Host: example.com", "User-Agent:curl/8", "X-Cache: " + rng.choice(["HIT", "MISS from host", " Hit\tfrom  x "]),
                 "Age:" + " " * rng.randrange(3) + str(rng.randrange(99)), "X-Empty:", "Cookies: a=1", "Cookie2: a=2"]
        if cookies:
            lines.append("Cookie: " + "; ".join(
                key + "=" + rng.choice(['%s', '"%s"']) % "".join(rng.choice(COOKIE_OCTETS) for _ in range(rng.randrange(1, 80)))
                for key in cookies))
        rng.shuffle(lines)
        text = "".join(rng.choice([str, str.upper, str.lower])(line.split(":", 1)[0]) + ":" + line.split(":", 1)[1] + "\r\n" for line in lines)
        yield rng.sample([b"cookie:sid", b"cookie:a", b"cookie:id", b"x-cache", b"age", b"x-empty", b"X-None", b"host"], 4), \
            (text + "\r\nAge: 1\r\n").encode()


def header_truth(names, text):
    message = email.parser.BytesParser().parsebytes(text)
    cookies = http.cookies.SimpleCookie(message.get("Cookie", ""))

    def value(name):
        if name.startswith("cookie:"):
            morsel = cookies.get(name[len("cookie:"):])
            return morsel and morsel.coded_value.strip('"')
        found = message.get(name)
        return found if found is None else " ".join(found.split())
    return [(NONE, b"") if value(n.decode()) is None else as_text(value(n.decode())) for n in names]


# ---- decimals ----

def decimals(program):
    texts = [b"0", b"-0.0", b"12.5", b"1e3", b"-1.5E-4", b".5", b"5.", b"+7", b"1e", b"--1", b"", b" 3 ", b"1e99999", b"0.0005",
             b"999999999999999999", b"9999999999999999999", b"1000000000000000000000", b"9223372036854775.807", b"1.2.3", b"0x1"]
    texts += ["".join(rng.choice("00112359.-e+") for _ in range(rng.randrange(1, 12))).encode() for _ in range(20 * COUNT)]
    wrong, numbers = [], 0
    decimal.setcontext(decimal.Context(prec=25000, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN))
    for text, line in zip(texts, run(program, [(b"d", [], text, 0) for text in texts])):
        try:
            value = decimal.Decimal(text.decode())
        except decimal.InvalidOperation:
            value = None
        digits = len("".join(map(str, value.as_tuple().digits)).strip("0")) if value is not None else 0
        if value is None or digits > 18 or (value and not -9999 <= value.normalize().as_tuple().exponent <= 9999):
            if line != "none":
                wrong.append(f"{text}: {line}")
            continue
        numbers += 1
        thousand = int((value * 1000).to_integral_value(decimal.ROUND_HALF_UP))
        mantissa, exponent, scaled, is_json = line.split() if line != "none" else (0, 0, "none", "0")
        if scaled == "none" or decimal.Decimal(mantissa).scaleb(int(exponent)) != value or \
                scaled != ("beyond" if abs(thousand) >= 1 << 63 else str(thousand)):
            wrong.append(f"{text}: {line}, {thousand}")
        try:
            json_says = json.loads(text, parse_constant=refuse) is not None and not text.startswith(b" ")
        except ValueError:
            json_says = False
        if (is_json == "1") != json_says:
            wrong.append(f"{text}: JSON {is_json}")
    harness.report(not wrong and numbers > 5 * COUNT, "decimals_are_exact", f"seed {harness.SEED}\n" + "\n".join(wrong[:5]))


def main():
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "picks")
        root = HERE.parent.parent
        subprocess.run(["cc", "-std=gnu11", "-D_GNU_SOURCE", "-O1", f"-I{root}", f"-I{root}/agent", "-o", program, HERE / "picks.c",
                        root / "exporter" / "json_path.c", harness.BUILD / "agent.a"], check=True)
        compare(program, b"j", "json_as_python_reads_it", list(json_cases()), json_truth)
        compare(program, b"f", "forms_as_python_reads_them", list(form_cases()), form_truth)
        compare(program, b"h", "header_fields_and_cookies_as_python_reads_them", list(header_cases()), header_truth)
        decimals(program)


main()
sys.exit(harness.status)
