#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`tickbird routes` of a running service: counts as the client has them, and how each route came to be."""
import json
import os

from cli_lib import Server, check, main, test, wait_for

OPENAPI = '{"openapi": "3.0.0", "info": {"title": "t", "version": "1"}, "paths": {"/pets/{pet}": {"get": {}}}}'
CONFIG = """routes:
  ignore: [{path: /health, route: none}]
services:
  - name: shop
    routes:
      openapi: pets.json
      patterns:
        - /items/:sku
        - {path: /orders/*, route: orders}
      max_routes: 20
"""
EXPECTED = {"/items/:sku": "pattern line 8", "orders": "pattern line 9", "/pets/:pet": "openapi", "_none": "pattern line 2",
            "/users/:id": "typed", "/hello": "literal", "/files/:uuid": "typed", "_unmatched": "_unmatched"}


def put(s, name, text):
    path = os.path.join(s.path, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def ask(s, paths, *flags):
    """A server started with @flags, asked for @paths."""
    server = Server(s, "shop", *flags)
    for path in paths:
        server.get(path)
    return server


def routes(s, total, *flags):
    """route -> (count, from), when @total requests are there: the last answer is counted after the client has it."""
    def look():
        done = s.run("routes", "--json", *flags)
        check(done.code == 0 and not done.err, done)
        found = {r["route"]: (r["count"], r["from"]) for r in json.loads(done.out)}
        return found if sum(c for c, _ in found.values()) >= total else None
    return wait_for("all is counted", look)


def traffic():
    paths = {"/items/:sku": ["/items/a", "/items/b", "/items/7"], "orders": ["/orders/1/x", "/orders"], "/pets/:pet": ["/pets/rex"],
             "_none": ["/health"] * 4, "/users/:id": [f"/users/{i}" for i in range(5)], "/hello": ["/hello"] * 2,
             "/files/:uuid": ["/files/0f8fad5b-d9cb-469f-a165-70867728950e"], "_unmatched": ["/no/a", "/nothing", "/nowhere"]}
    return {route: len(p) for route, p in paths.items()}, [p for each in paths.values() for p in each]


@test
def each_route_says_how_it_came_to_be(s):
    put(s, "pets.json", OPENAPI)
    path = put(s, "c.yml", CONFIG)
    counts, paths = traffic()
    ask(s, paths, "--config", path)
    found = routes(s, len(paths))
    check({r: c for r, (c, _) in found.items()} == counts, found)
    check({r: f for r, (_, f) in found.items()} == EXPECTED, found)
    lines = s.run("routes").out.splitlines()
    check(lines[0].split() == ["COUNT", "ERRORS", "MEAN", "SERVICE", "FROM", "ROUTE"], lines)
    check(any(line.endswith("pattern line 8  /items/:sku") for line in lines), lines)


@test
def a_file_is_named_only_where_its_rules_are_in_force(s):
    put(s, "pets.json", OPENAPI)
    path, other = put(s, "c.yml", CONFIG), put(s, "other.yml", CONFIG.replace("max_routes: 20", "max_routes: 21"))
    ask(s, ["/items/a"], "--config", path)
    check(routes(s, 1, "--config", path) == {"/items/:sku": (1, f"pattern line 8 of {path}")})
    check(routes(s, 1, "--config", other) == {"/items/:sku": (1, "pattern line 8")})
    done = s.run("routes", "--config", put(s, "wrong.yml", "routes: {route: raw}\n"))
    check(done.code == 1 and "wrong.yml:1:17: " in done.err and not done.out, done)


@test
def words_judged_values_are_learned_and_what_is_past_the_cap_is_other(s):
    path = put(s, "c.yml", "routes: {max_routes: 3}\n")
    names = ["zorblax", "quimby", "vantrell", "oskanor", "brivt", "lumquat", "drazzle", "pelvoni", "thrumic", "wexford"]
    paths = [f"/users/{n}/orders" for n in names] + ["/hello", "/api/items", "/api/prices", "/api/stores", "/api/carts"]
    ask(s, paths, "--config", path)
    found = routes(s, len(paths))
    check(sum(c for c, _ in found.values()) == len(paths), found)
    check(found.get("_other", (0, ""))[1] == "_other" and found["/users/:name/orders"][1] == "learned", found)


@test
def rules_that_are_gone_and_the_path_as_route_are_told(s):
    first = ask(s, ["/items/a"], "--config", put(s, "c.yml", "routes: {patterns: ['/items/:sku']}\n"))
    routes(s, 1)
    first.process.stdin.close()
    check(first.process.wait(timeout=60) == 0)
    ask(s, ["/items/a", "/x/7"], "--config", put(s, "d.yml", "routes: {route: path}\n"))
    found = routes(s, 3)
    check(found == {"/items/:sku": (1, "pattern of before"), "/items/a": (1, "path"), "/x/7": (1, "path")}, found)


main()
