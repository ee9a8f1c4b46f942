#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`tickbird check-config`, and `run --config`: places of errors, exit codes, the example of docs/configuration.md."""
import os
import re

from cli_lib import ROOT, check, main, test


def write(s, text, name="c.yml"):
    path = os.path.join(s.path, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


@test
def each_error_is_a_line_with_its_place_and_exit_1(s):
    path = write(s, "routes:\n  rute: path\n  max_routes: many\n")
    done = s.run("check-config", path)
    lines = done.err.splitlines()
    check(done.code == 1 and not done.out and len(lines) == 2, done)
    check(lines[0].startswith(f"{path}:2:3: rute: unknown key of routes: one of route,"), done)
    check(lines[1].startswith(f"{path}:3:15: max_routes: "), done)


@test
def a_wrong_file_starts_nothing(s):
    path = write(s, "routes: {route: raw}\n")
    marker = os.path.join(s.path, "started")
    done = s.run("run", "--config", path, "--", "/usr/bin/touch", marker)
    check(done.code == 125 and f"{path}:1:17: " in done.err and not os.path.exists(marker), done)


@test
def the_example_of_the_documents_is_right(s):
    with open(os.path.join(ROOT, "docs/configuration.md"), encoding="utf-8") as f:
        examples = re.findall(r"```yaml\n(.*?)```", f.read(), re.S)
    for i, text in enumerate(examples):
        done = s.run("check-config", write(s, text, f"{i}.yml"))
        check(done.code == 0 and "no errors" in done.out, done)


@test
def paths_can_be_tried_out_with_the_rules(s):
    path = write(s, "services: [{name: shop, routes: {patterns: ['/items/:sku'], ignore: [/healthz]}}]\n")
    lines = "/items/7\n/healthz\n/users/7\n"
    done = s.run("routes", "--stdin", "--config", path, "--service", "shop", stdin=lines.encode())
    check(done.out == "/items/7\t/items/:sku\n/healthz\t_ignored\n/users/7\t/users/:id\n", done)


@test
def no_file_is_wrong_usage(s):
    check(s.run("check-config").code == 2)
    check(s.run("check-config", "/nonexistent/c.yml").code == 1)


main()
