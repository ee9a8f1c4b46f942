#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The rules of docs/rules.md: its examples are right, and docs/rules.schema.json agrees with `tickbird check-config` about what is
right and what is not."""
import json
import os
import re

from cli_lib import ROOT, Skip, check, main, test

RIGHT = [
    "rules: []",
    "rules: [{metric: a_total}]",
    "rules: [{metric: an order.größe_total}]",
    "rules: [{metric: a_total, match: {method: [GET, POST], status: [201, 4xx, 500-599], not: {route: /x}}}]",
    "rules: [{metric: a_seconds, type: histogram, value: first_byte, bounds: [0.1, 1]}]",
    "rules: [{metric: a, type: gauge, value: {response_header: X-Queue}, scale: 0.001}]",
    "rules: [{metric: a, type: distinct, value: {cookie: sid}, window: 1h30m}]",
    "rules: [{metric: a, type: gauge, value: in_flight, match: {method: POST, path: /a*, not: {cookie: {a: b}}}, labels: {t: {request_header: T}, r: route}}]",
    "rules: [{metric: a_total, labels: {x: {from: route, allow: [/a, /b*], other: rest}, y: {request_json: a.b, request_form: b, max: 7}}}]",
    "services: [{name: shop, rules: [{metric: a_total, labels: {m: method}}]}]",
]
WRONG = [
    "rules: [{type: counter}]",
    "rules: [{metric: orders}]",
    "rules: [{metric: 'a{b_total'}]",
    "rules: [{metric: 'a\\b_total'}]",
    "rules: [{metric: 'a=b_total'}]",
    "rules: [{metric: a_total, colour: red}]",
    "rules: [{metric: a_total, type: summary}]",
    "rules: [{metric: a_total, bounds: [1]}]",
    "rules: [{metric: a_total, match: {status: 2x}}]",
    "rules: [{metric: a_total, match: {role: proxy}}]",
    "rules: [{metric: a_total, match: {request_header: X-A}}]",
    "rules: [{metric: a_total, value: {header: X}}]",
    "rules: [{metric: a_total, window: 30m}]",
    "rules: [{metric: a_total, labels: {x: colour}}]",
    "rules: [{metric: a_total, labels: {x: {max: 3}}}]",
    "rules: [{metric: a_total, labels: {le: method}}]",
    "rules: [{metric: a_total, labels: {x-y: method}}]",
    "rules: [{metric: a, type: gauge, value: duration}]",
    "rules: [{metric: a_total, value: in_flight}]",
    "rules: [{metric: a, type: distinct, value: in_flight}]",
    "rules: [{metric: a, type: gauge, value: in_flight, match: {status: 200}}]",
    "rules: [{metric: a, type: gauge, value: in_flight, match: {role: client}}]",
    "rules: [{metric: a, type: gauge, value: in_flight, match: {target: x}}]",
    "rules: [{metric: a, type: gauge, value: in_flight, match: {not: {response_header: {X: y}}}}]",
    "rules: [{metric: a, type: gauge, value: in_flight, labels: {s: status}}]",
    "rules: [{metric: a, type: gauge, value: in_flight, labels: {s: {request_header: X, request_json: y}}}]",
    "rules: [{metric: a, type: gauge}]",
    "rules: [{metric: a, type: distinct, value: {cookie: sid}, labels: {m: method}}]",
    "services: [{name: shop, rules: [{metric: a}]}]",
]


def is_right(s, text):
    path = os.path.join(s.path, "c.yml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text + "\n")
    done = s.run("check-config", path)
    check(done.code == 0 or re.match(rf"{re.escape(path)}:\d+:\d+: ", done.err), done)
    return done.code == 0


def examples():
    with open(os.path.join(ROOT, "docs/rules.md"), encoding="utf-8") as f:
        return re.findall(r"```yaml\n(.*?)```", f.read(), re.S)


@test
def the_examples_of_the_documents_are_right(s):
    check(len(examples()) >= 2)
    for text in examples():
        check(is_right(s, text), text)


@test
def the_schema_agrees_with_check_config(s):
    try:
        import jsonschema  # pylint: disable=import-outside-toplevel
        import yaml  # pylint: disable=import-outside-toplevel
    except ImportError as missing:
        raise Skip(f"{missing.name} is not installed") from missing
    with open(os.path.join(ROOT, "docs/rules.schema.json"), encoding="utf-8") as f:
        schema = json.load(f)
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)
    for text, expected in [(t, True) for t in RIGHT + examples()] + [(t, False) for t in WRONG]:
        found = validator.is_valid(yaml.safe_load(text)), is_right(s, text)
        check(found == (expected, expected), f"(schema, check-config) = {found}: {text}")


main()
