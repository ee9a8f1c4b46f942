#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`tickbird check-config`, and `run --config`: places of errors, exit codes, the example of docs/configuration.md."""
import os
import re
import subprocess

from cli_lib import EXPORTER, ROOT, TICKBIRD, check, main, make_regions, need_object, test, wait_for


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
        examples = [e for e in re.findall(r"```yaml\n(.*?)```", f.read(), re.S) if "tls_server_config" not in e]  # a file of its own
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
def probes_are_one_line(s):
    """Counted under their own routes, under one, or not at all; a line of the user's own is not touched."""
    paths = b"/healthz\n/metrics\n/actuator/health/db\n/users/7\n/healthz/of/patients\n"
    found = {}
    for how in ("count", "route", "ignore"):
        path = write(s, f"routes: {{probes: {how}}}\n")
        done = s.run("routes", "--stdin", "--config", path, stdin=paths)
        check(done.code == 0 and not done.err, done)
        found[how] = [line.split("\t")[1] for line in done.out.splitlines()]
    others = ["/users/:id", "/healthz/of/patients"]
    check(found["route"] == ["probe"] * 3 + others, found)
    check(found["ignore"] == ["_ignored"] * 3 + others, found)
    check(found["count"][:3] == ["/healthz", "/metrics", "/actuator/health/db"] and found["count"][3:] == others, found)
    done = s.run("check-config", write(s, "routes: {probes: label}\n"))
    check(done.code != 0 and "none of count, route, ignore" in done.err, done)
    for how, code in (("count", 0), ("route", 0), ("ignore", 0), ("label", 1)):
        done = s.run("check-config", write(s, f"routes: {{probe_agents: {how}}}\n"))
        check((done.code != 0) == bool(code) and ("probe_agents: \"label\" is none of" in done.err) == bool(code), done)


@test
def rules_that_run_left_are_removed_when_nothing_was_started_with_them(s):
    need_object()
    make_regions(s)
    config = write(s, "routes: {patterns: ['/items/:sku']}\n")

    def left(name=r"rules-\d+-[0-9a-f]{16}"):
        return [os.path.join(s.regions, f) for f in os.listdir(s.regions) if re.fullmatch(name, f)]

    def age(path):
        os.utime(path, (1, 1))
        return path

    program = s.start([TICKBIRD, "run", "--config", config, "--", "/bin/cat"], stdin=subprocess.PIPE)
    wait_for("cat runs", lambda: os.readlink(f"/proc/{program.pid}/exe").endswith("cat"))
    mine = age(left()[0])
    unused = age(write(s, "x", f"{s.regions}/rules-{os.getuid()}-0123456789abcdef"))
    other = age(write(s, "x", f"{s.regions}/rules-of-mine"))
    young = write(s, "x", f"{s.regions}/rules-{os.getuid()}-00000000deadbeef")
    s.start([EXPORTER, "--web.listen-address", "127.0.0.1:0", "--fold-after", "50ms"],
            stderr=subprocess.DEVNULL, env={"TICKBIRD_UNLINK_AFTER": "1h"})
    wait_for("the unused file goes", lambda: not os.path.exists(unused))
    check(os.path.exists(mine) and os.path.exists(other) and os.path.exists(young), os.listdir(s.regions))
    program.stdin.close()
    program.wait(timeout=60)
    wait_for("the file goes after its program", lambda: not os.path.exists(mine))
    check(os.path.exists(other) and os.path.exists(young), os.listdir(s.regions))
    check(s.run("run", "--config", config, "--", "/bin/true").code == 0 and len(left()) == 2)
    again = [f for f in left() if f != young]
    age(again[0])
    check(s.run("run", "--config", config, "--", "/bin/true").code == 0 and os.path.exists(again[0]) and os.stat(again[0]).st_mtime > 1000)


@test
def no_file_is_wrong_usage(s):
    check(s.run("check-config").code == 2)
    check(s.run("check-config", "/nonexistent/c.yml").code == 1)


main()
