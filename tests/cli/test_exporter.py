#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tickbird-exporter as a process: its flags, files, signals, user, and what it tells the service manager. Its HTTP side
with real clients is tests/servers/test_web.py."""
import json
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import urllib.error
import urllib.request

from cli_lib import EXPORTER, Server, Skip, check, main, make_regions, read_line, test, wait_for

WRONG = b"basic_auth_users: {a: b}\n"


def exporter(s, *flags, **more):
    """One that serves on a free port; returns it and the port."""
    make_regions(s)
    child = s.start([EXPORTER, "--web.listen-address", "127.0.0.1:0", *flags], stderr=subprocess.PIPE, **more)
    line = ""
    while "msg=listening" not in line:
        line = read_line(child.stderr)
        check(line or child.poll() is None, "it ended")
    return child, int(re.search(r"port=(\d+)", line).group(1))


def get(port, path, method="GET", **headers):
    with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", None, headers, method=method), timeout=60) as answer:
        return answer.read().decode()


def value(text, name):
    return float(re.search(rf"^{name} (\S+)$", text, re.M).group(1))


def run(s, *flags):
    make_regions(s)
    return s.run(*flags, program=EXPORTER)


@test
def check_config_says_what_is_wrong_and_serves_nothing(s):
    good, bad = s.file("good.yml", b"exporter: {fold-after: 1m}\n"), s.file("bad.yml", b"exporter:\n  fold-aftr: 1m\n")
    web, wrong = s.file("web.yml", b"rate_limit: {interval: 1s, burst: 2}\n"), s.file("wrong.yml", WRONG)
    done = run(s, "--check-config", "--config.file", good, "--web.config.file", web)
    check(done.code == 0 and not done.out and not done.err, done)
    for flags, place in ((("--config.file", bad), f"{bad}:2:3: "), (("--web.config.file", wrong), f"{wrong}:1:23: ")):
        done = run(s, "--check-config", *flags)
        check(done.code == 2 and done.err.startswith(place) and done.err.count("\n") == 1, done)
        done = run(s, *flags)
        check(done.code == 2 and done.err.startswith(place), done)
    check(not os.path.exists(s.env["TICKBIRD_STORAGE_PATH"]), "it made its ledger")


@test
def once_prints_a_scrape_and_writes_a_file(s):
    path = s.path + "/metrics.prom"
    done = run(s, "--once")
    check(done.code == 0 and "tickbird_exporter_build_info{" in done.out and "process_open_fds" in done.out, done)
    done = run(s, "--once", "--textfile", path)
    check(done.code == 0 and not done.out, done)
    with open(path, encoding="utf-8") as f:
        text = f.read()
    check("tickbird_exporter_build_info{" in text and "process_" not in text, text)
    check(stat.S_IMODE(os.stat(path).st_mode) == 0o644, "its mode")
    done = run(s, "--once", "--textfile", s.path + "/nowhere/x.prom")
    check(done.code == 1 and "text file not written" in done.err, done)
    check(not [n for n in os.listdir(s.path) if n.startswith("metrics.prom.")], "a file is left")


@test
def a_text_file_is_replaced_whole_and_nothing_is_served(s):
    server, path = Server(s), s.path + "/metrics.prom"
    child = s.start([EXPORTER, "--textfile", path, "--textfile.interval", "1s"], stderr=subprocess.PIPE)

    def requests():
        with open(path, encoding="utf-8") as f:
            text = f.read()
        check(text.endswith("\n") and "tickbird_exporter_build_info{" in text, "a part of a file")
        return sum(float(v) for v in re.findall(r'^http_requests_total\{.*route="/x".*status="200"\} (\S+)$', text, re.M))
    wait_for("a file", lambda: os.path.exists(path))
    inode = os.stat(path).st_ino
    for _ in range(7):
        check(server.get("/x") == 200)
    wait_for("the requests", lambda: requests() == 7)
    check(os.stat(path).st_ino != inode, "the file was written over")
    fds = [os.readlink(f"/proc/{child.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{child.pid}/fd")]
    with open(f"/proc/{child.pid}/net/tcp", encoding="utf-8") as f:
        listening = {f"socket:[{line.split()[9]}]" for line in f.read().splitlines()[1:] if line.split()[3] == "0A"}
    check(not listening & set(fds), "it listens")
    child.terminate()
    check(child.wait(60) == 0)


@test
def an_address_in_the_configuration_file_is_served_beside_a_text_file(s):
    config = s.file("config.yml", b"exporter:\n  web.listen-address: ['127.0.0.1:0', '127.0.0.2:0']\n")
    make_regions(s)
    child = s.start([EXPORTER, "--config.file", config, "--textfile", s.path + "/x.prom"], stderr=subprocess.PIPE)
    check("msg=listening address=127.0.0.1:" in read_line(child.stderr))
    wait_for("the file", lambda: os.path.exists(s.path + "/x.prom"))


@test
def node_exporter_takes_the_text_file(s):
    program = shutil.which("prometheus-node-exporter") or shutil.which("node_exporter")
    if not program:
        raise Skip("node_exporter is not installed")
    server = Server(s)
    check(server.get("/x") == 200)
    check(run(s, "--once", "--textfile", s.path + "/tickbird.prom").code == 0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    s.start([program, f"--web.listen-address=127.0.0.1:{port}", "--collector.disable-defaults", "--collector.textfile",
             f"--collector.textfile.directory={s.path}"], stderr=subprocess.DEVNULL)

    def answer():
        try:
            return get(port, "/metrics")
        except OSError:
            return None
    text = wait_for("an answer", answer)
    check(value(text, "node_textfile_scrape_error") == 0, "it found an error in the file")
    check(re.search(r'^http_requests_total\{.*service="shop".*\} 1$', text, re.M), text[-2000:])


@test
def signals_and_pages_read_the_configuration_again(s):
    web = s.file("web.yml", b"rate_limit: {interval: 0s, burst: 0}\n")
    child, port = exporter(s, "--web.config.file", web, "--web.enable-lifecycle")
    name = "tickbird_exporter_web_config_last_reload_success_timestamp_seconds"
    before = value(get(port, "/metrics"), name)
    check("read again" in get(port, "/-/reload", "POST"))
    after = value(get(port, "/metrics"), name)
    check(after > before, before, after)
    child.send_signal(signal.SIGHUP)
    wait_for("SIGHUP", lambda: value(get(port, "/metrics"), name) > after)
    s.file("web.yml", WRONG)
    wait_for("the wrong file", lambda: value(get(port, "/metrics"), "tickbird_exporter_web_config_last_reload_successful") == 0)
    try:
        get(port, "/-/reload", "POST")
        check(False, "a wrong file was fine")
    except urllib.error.HTTPError as error:
        check(error.code == 500, error)
    _, port = exporter(s)
    try:
        get(port, "/-/reload", "POST")
        check(False, "it is on by default")
    except urllib.error.HTTPError as error:
        check(error.code == 403, error)


@test
def the_service_manager_is_told(s):
    for name in (s.path + "/notify", "\0tickbird-test-" + os.path.basename(s.path)):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.bind(name)
            told.settimeout(60)
            child, _ = exporter(s, env={"NOTIFY_SOCKET": name.replace("\0", "@"), "WATCHDOG_USEC": "200000"})

            def expect(word):
                said = b""
                while word not in said:
                    said = told.recv(1000)
                return said
            expect(b"READY=1")
            expect(b"WATCHDOG=1")
            child.send_signal(signal.SIGHUP)
            check(b"MONOTONIC_USEC=" in expect(b"RELOADING=1"))
            expect(b"READY=1")
            child.terminate()
            expect(b"STOPPING=1")
            check(child.wait(60) == 0)


def status_of(child):
    with open(f"/proc/{child.pid}/status", encoding="utf-8") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


@test
def rights_are_given_up(s):
    child, port = exporter(s)
    found = status_of(child)
    check(found["NoNewPrivs"] == "1" and found["Seccomp"] == "2", found)
    check("tickbird_exporter_build_info" in get(port, "/metrics"))
    child, _ = exporter(s, "--seccomp=0", "--storage.path", s.path + "/second")
    found = status_of(child)
    check(found["NoNewPrivs"] == "1" and found["Seccomp"] in ("0", "2"), found)  # 2: of a container's own


@test
def as_root_another_user_goes_on(s):
    if os.getuid() != 0:
        raise Skip("needs root")
    user = pwd.getpwnam("nobody")
    os.chmod(s.path, 0o755)
    storage = s.path + "/theirs"
    child, port = exporter(s, "--user", "nobody", "--storage.path", storage)
    found = status_of(child)
    check(found["Uid"].split() == [str(user.pw_uid)] * 4 and found["Gid"].split() == [str(user.pw_gid)] * 4, found)
    check(int(found["CapEff"], 16) == 0 and int(found["CapPrm"], 16) == 0, found)
    check(value(get(port, "/metrics"), "tickbird_exporter_ledger_writable") == 1)
    check(os.stat(storage).st_uid == user.pw_uid)
    for user in ("no such user", str(1 << 32)):  # no more than 32 bits: not root
        done = run(s, "--user", user, "--storage.path", s.path + "/other", "--web.listen-address", "127.0.0.1:0")
        check(done.code == 1 and done.err.startswith(f"tickbird-exporter: --user {user}: ") and done.err.count("\n") == 1, done)


@test
def a_scrape_that_was_too_late_leaves_the_page_whole(s):
    check(Server(s).get("/x") == 200)
    _, port = exporter(s)
    get(port, "/metrics")
    try:
        get(port, "/metrics", **{"X-Prometheus-Scrape-Timeout-Seconds": "0.000001"})
        check(False, "it was in time")
    except urllib.error.HTTPError as error:
        check(error.code == 503, error)
    services = json.loads(get(port, "/api/v1/services"))["services"]
    check([service["processes"] for service in services] == [1], services)


@test
def messages_have_the_form_that_is_asked_for(s):
    make_regions(s)
    for flags, parse in (((), None), (("--log.format", "json"), json.loads)):
        child = s.start([EXPORTER, "--web.listen-address", "127.0.0.1:0", "--log.level=debug", *flags], stderr=subprocess.PIPE)
        line = read_line(child.stderr)
        check(parse(line)["msg"] == "listening" if parse else " msg=listening " in line, line)
        child.terminate()
        child.wait(60)
    done = run(s, "--log.level", "loud")
    check(done.code == 2 and done.err.count("\n") == 1 and "--log.level" in done.err, done)


main()
