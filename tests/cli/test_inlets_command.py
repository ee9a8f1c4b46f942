#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Inlets that run a command (docs/inlets.md): what it prints, what it gets to see, and that nothing of it is left, however it
or the exporter ends. The kernel says which processes there are."""
import json
import os
import signal

from cli_lib import EXPORTER, check, main, test, wait_for
from inlets_lib import AGAIN, Exporter, check_places, entries, need_client, read_once, refused, shown, value_of


def config(*inlets):
    return entries(*({"type": "command", **i} for i in inlets))


def shell(script, name="v", **more):
    return {"command": ["/bin/sh", "-c", script], "metrics": [{"name": name}], **more}


def processes(marker):
    """{pid: state} of those with @marker in their arguments."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if marker.encode() not in f.read():
                    continue
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
                found[int(pid)] = f.read().rpartition(") ")[2][0]
        except OSError:
            continue
    return found


def children(pid):
    """{pid: state} of a process' children, zombies among them."""
    found = {}
    for other in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{other}/stat", encoding="utf-8", errors="replace") as f:
                state, parent = f.read().rpartition(") ")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid:
            found[int(other)] = state
    return found


@test
def what_a_command_prints_is_shown(s):
    need_client()
    text = s.file("out.prom", b"# TYPE jobs_total counter\njobs_total{kind=\"a\"} 5\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n")
    doc = s.file("out.json", json.dumps([{"name": "a", "n": 1}, {"name": "b", "n": 2}]).encode())
    e = Exporter(s, config({"name": "number", "command": ["/usr/bin/printf", "%s", " -1.5e3\n\n"], "metrics": [{"name": "number", "scale": 2, "labels": {"a": "b c"}, "help": "A number."}]},
                           {"name": "text", "command": ["/bin/cat", text], "format": "text"},
                           {"name": "json", "command": ["/bin/cat", doc], "format": "json", **AGAIN, "metrics": [{"name": "n", "each": ".", "path": "n", "labels": {"name": {"path": "name"}}}]},
                           {"name": "words", **shell('echo $#; test "$1" = "a  b" && test "$2" = "*" && test "$0" = zero', "words")}))
    with open(e.config, encoding="utf-8") as f:
        check(len(json.load(f)["inlets"]) == 4)
    truth = {("number", (("a", "b c"),)): -3000, ("jobs_total", (("kind", "a"),)): 5, ("h_bucket", (("le", "+Inf"),)): 2, ("h_sum", ()): 3, ("h_count", ()): 2,
             ("n", (("name", "a"),)): 1, ("n", (("name", "b"),)): 2}
    for name in ("number", "text"):
        read_once(e, name)
        check(not refused(e, name), name)
    wait_for("all values", lambda: shown(e) == truth)
    check(read_once(e, "words") and refused(e, "words") == {"unreadable"}, "without its words the test fails")
    s.file("out.json", b'[{"name": "c", "n": 3}]')
    wait_for("what it prints now", lambda: ("n", (("name", "c"),)) in shown(e))


@test
def words_are_not_taken_apart(s):
    need_client()
    e = Exporter(s, config({"command": ["/bin/sh", "-c", 'test "$0" = \'zero $HOME\' && test "$1" = "*" && test "$2" = "a  b;c" && echo $#', "zero $HOME", "*", "a  b;c"], "metrics": [{"name": "count"}]}))
    check(read_once(e, "command") == {("count", ()): 2}, refused(e, "command"))


@test
def a_command_sees_little(s):
    need_client()
    s.env["EXPORTER_SECRET"] = "x"
    script = """echo variables $(env | grep -vE '^(PATH|LC_ALL|PWD|SHLVL|_)=' | wc -l); echo input $(wc -c); echo privileges $(sed -n 's/NoNewPrivs:.//p' /proc/self/status)
    echo root $(test "$(pwd)" = / && echo 1); echo blocked $(sed -n 's/SigBlk:.//p' /proc/self/status | tr -d 0 | wc -c); echo user $(id -u); echo session $(test "$(cut -d' ' -f6 /proc/$$/stat)" = $$ && echo 1)"""
    count = "import os; print(sum(os.path.exists(f'/proc/self/fd/{i}') for i in range(1000)))"
    e = Exporter(s, config(shell(script, format="text", metrics=[]), {"name": "files", "command": ["/usr/bin/python3", "-c", count], "metrics": [{"name": "files"}]}))
    read_once(e, "files")
    got = {k[0]: v for k, v in read_once(e, "command").items()}
    check(got == {"variables": 0, "files": 3, "input": 0, "privileges": 1, "root": 1, "files": 3, "blocked": 1, "user": os.getuid(), "session": 1}, got, refused(e, "command"))
    with open(f"/proc/{e.process.pid}/status", encoding="utf-8") as f:
        check("\nSeccomp:\t2\n" in f.read(), "the exporter itself starts nothing")


def long_time():
    """A number of seconds that no other process sleeps for."""
    return f"{1000 + os.urandom(2)[0]}.{os.getpid()}{int.from_bytes(os.urandom(3), 'big')}"


HOSTILE = {"status": ("echo 1; exit 3", "unreadable"), "killed": ("echo 1; kill -9 $$", "unreadable"), "endless": ("yes 1", "limit"), "large": ("head -c 300000 /dev/zero", "limit"),
           "empty": (":", "value"), "two": ("echo 1 2", "value"), "word": ("echo one", "value"), "nan": ("echo nan", "value"), "nul": ("printf '1\\0'", "value"), "huge": ("echo 1e999", "value"),
           "binary": ("head -c 1000 /dev/urandom; printf '\\377'", "value"), "hanging": ("echo 1; sleep LONG", "timeout"), "deaf": ("trap '' TERM HUP INT; echo 1; sleep LONG & wait; wait", "timeout"),
           "drip": ("while echo; do sleep 0.01; done", "timeout"), "behind": ("echo 1; sleep LONG & exit 0", None)}


@test
def a_bad_command_is_refused_and_gone(s):
    need_client()
    marker = long_time()
    inlets = [{"name": n, "command": ["/bin/sh", "-c", script.replace("LONG", marker) + f" # {marker}"], "metrics": [{"name": "v_" + n}], "timeout": "400ms" if reason == "timeout" else "60s"}
              for n, (script, reason) in HOSTILE.items()]
    plain, broken = s.file("plain", b"echo 1\n"), s.file("broken", b"#!/no/such\n", 0o755)
    inlets += [{"name": n, "command": [path], "metrics": [{"name": "v_" + n}]} for n, path in (("missing", "/no/such"), ("folder", "/"), ("plain", plain), ("broken", broken))]
    e = Exporter(s, config(*inlets))
    truth = {n: {reason} if reason else set() for n, (_, reason) in HOSTILE.items()} | {n: {"unreadable"} for n in ("missing", "folder", "plain", "broken")}
    for name in truth:
        read_once(e, name)
    got = {name: refused(e, name) for name in truth}
    check(got == truth, {k: (v, truth[k]) for k, v in got.items() if v != truth[k]})
    check(shown(e) == {("v_behind", ()): 1}, shown(e))
    helper, = children(e.process.pid)
    wait_for("no command is left", lambda: not {p for p in processes(marker) if p != e.process.pid})
    wait_for("no process is left", lambda: not children(helper))


@test
def text_and_json_are_refused_as_elsewhere(s):
    need_client()
    e = Exporter(s, config({"name": "text", "command": ["/usr/bin/printf", "a 1\\nb"], "format": "text"},
                           {"name": "json", "command": ["/bin/echo", "{"], "format": "json", "metrics": [{"name": "j", "path": "."}]}))
    for name, reason in (("text", "incomplete"), ("json", "syntax")):
        check(not read_once(e, name) and refused(e, name) == {reason})


@test
def a_command_that_hangs_keeps_nobody_waiting(s):
    need_client()
    marker = long_time()
    hang = {"name": "hang", "command": ["/bin/sh", "-c", f"sleep {marker} & wait"], "metrics": [{"name": "h"}]}
    good = {"name": "good", "command": ["/bin/echo", "3"], "metrics": [{"name": "good"}]}
    e = Exporter(s, config(hang, good))
    wait_for("the other's value", lambda: shown(e) == {("good", ()): 3})
    wait_for("it runs meanwhile", lambda: processes(marker) and shown(e) == {("good", ()): 3})
    with open(e.config, "w", encoding="utf-8") as f:
        f.write(config(good, {**good, "name": "new", "command": ["/bin/echo", "4"]}))
    wait_for("the inlet is gone, and so is what it ran", lambda: 'inlet="hang"' not in e.text() and not processes(marker))
    wait_for("the new one is refused", lambda: refused(e, "new") == {"unreadable"})
    wait_for("the other goes on", lambda: shown(e) == {("good", ()): 3} and value_of(e, "up", inlet="new") == 0)


@test
def nothing_outlives_the_exporter(s):
    need_client()
    for end in (signal.SIGTERM, signal.SIGKILL):
        marker = long_time()
        e = Exporter(s, config(*({"name": f"a{i}", "command": ["/bin/sh", "-c", f"trap '' TERM HUP; sleep {marker} & wait"], "metrics": [{"name": f"h{i}"}]}
                                 for i in range(3))))
        wait_for("commands run", lambda m=marker: len(processes(m)) >= 6)
        helper, = children(e.process.pid)
        e.process.send_signal(end)
        e.process.wait(20)
        wait_for("nothing is left", lambda m=marker, h=helper: not processes(m) and not os.path.exists(f"/proc/{h}"))


@test
def the_process_that_starts_them_may_end(s):
    need_client()
    e = Exporter(s, config({"command": ["/bin/echo", "3"], "metrics": [{"name": "v"}], **AGAIN, "stale_after": "1s"}))
    wait_for("a value", lambda: shown(e) == {("v", ()): 3})
    helper, = children(e.process.pid)
    os.kill(helper, signal.SIGKILL)
    wait_for("its value goes", lambda: not shown(e) and value_of(e, "up") == 0 and "unreadable" in refused(e, "command"))
    check(not children(e.process.pid), "it is left as a zombie")


@test
def without_commands_there_is_no_process(s):
    e = Exporter(s, "inlets: []\n")
    check(e.get() and not children(e.process.pid))


@test
def a_single_scrape_has_them(s):
    path = s.file("c.yml", config(shell("echo 7", "task_queue_size")).encode())
    os.makedirs(s.regions, 0o700, exist_ok=True)
    done = s.run("--config.file", path, "--once", program=EXPORTER)
    check(done.code == 0 and "\ntask_queue_size 7\n" in done.out, done)


WRONG = [("command", "@{type: command, metrics: [{name: a}]}"), ("command", "{type: command, command: @[], metrics: [{name: a}]}"), ("command", "{type: command, command: @echo, metrics: [{name: a}]}"),
         ("command", "{type: command, command: @[bin/echo, x], metrics: [{name: a}]}"), ("command", "{type: command, command: [/bin/echo, @{a: b}], metrics: [{name: a}]}"),
         ("command", "{type: command, command: [/bin/x" + ", x" * 63 + ", @y], metrics: [{name: a}]}"), ("format", "{type: command, command: /x, format: @xml, metrics: [{name: a}]}"),
         ("metrics", "@{type: command, command: /x}"), ("metrics", "@{type: command, command: /x, metrics: [{name: a}, {name: b}]}"), ("metrics", "{type: command, command: /x, format: text, metrics: @[{name: a}]}"),
         ("metrics", "{type: command, command: /x, format: json, metrics: [@{name: a}]}"), ("metrics", "{type: command, command: /x, metrics: [@{name: a, path: b}]}"),
         ("metrics", "@{type: command, command: /x, format: json}"), ("type", "{type: command, command: /x, metrics: [{name: a}], url: @'http://h/'}"), ("type", "{type: json, command: @/x, url: 'http://h/', metrics: [{name: a, path: b}]}")]


@test
def wrong_entries_are_told_by_line(s):
    check_places(s, WRONG)
    for good in ("command: /x, metrics: [{name: a}]", "command: [/x, y], format: text", "command: [/x], format: json, metrics: [{name: a, path: b}]"):
        done = s.run("check-config", s.file("c.yml", f"inlets: [{{type: command, {good}}}]\n".encode()))
        check(done.code == 0, good, done)


if __name__ == "__main__":
    main()
