#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""AWS Lambda: unmodified runtimes against an emulated Runtime and Extensions API (lambda_api.py), started as the layer
starts them, with the example's configuration. What the extension writes for each invocation is compared with the API's
own tally and with what the function says of itself; between invocations both are stopped, as Lambda freezes them.

AWS's own runtimes, from PyPI and npm, are tried where they are at hand (`make check-lambda` fetches them); with TB_LAYER
that layer is unpacked and used instead of the programs of the build."""
import json
import os
import re
import shutil
import signal
import subprocess
import zipfile

from emf_judge import extract
from lambda_api import Api
from push_lib import EXPORTER, ROOT, Skip, check, main, samples, test, value

FUNCTIONS = os.path.join(ROOT, "tests/push/functions")
BUILD = os.path.dirname(EXPORTER)
FETCHED = os.path.join(BUILD, "servers")
PYTHON = "/usr/bin/python3"
FUNCTION = (("FunctionName", "orders"),)
EVENTS = [{"items": 3, "ms": 20}, {"items": 0}, {"items": 41, "ms": 5}, {"items": 7, "ms": 1, "fails": True}, {"items": 12, "ms": 2}]


def program(name):
    return shutil.which(name, path="/usr/bin:/bin") or _skip(f"{name} is not installed")


def _skip(reason):
    raise Skip(reason)


def place_layer(opt):
    """What is in /opt of a function."""
    layer = os.environ.get("TB_LAYER")
    if layer:
        with zipfile.ZipFile(layer) as z:
            for entry in z.infolist():
                path = os.path.join(opt, entry.filename)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                if (entry.external_attr >> 28) == 0o12:
                    os.symlink(z.read(entry).decode(), path)
                    continue
                with open(path, "wb") as out:
                    out.write(z.read(entry))
                os.chmod(path, entry.external_attr >> 16 & 0o777)
        return
    for source, target in (("packaging/lambda/tickbird-wrapper", "tickbird-wrapper"), ("packaging/lambda/tickbird-extension", "extensions/tickbird"),
                           ("packaging/lambda/tickbird.yml", "tickbird/tickbird.yml"), (os.path.join(BUILD, "libtickbird.so"), "tickbird/libtickbird.so"),
                           (EXPORTER, "tickbird/bin/tickbird-exporter")):
        os.makedirs(os.path.dirname(os.path.join(opt, target)), exist_ok=True)
        shutil.copy(os.path.join(ROOT, source), os.path.join(opt, target))


class Function:
    """A function `orders`, its extension, and the API that they are clients of. @under: words before each command, with
    the paths that are seen below them."""

    def __init__(self, s, argv, env=None, is_wrapped=True, has_extension=True, under=(), paths=None, config="examples/lambda/tickbird.yml"):
        self.s, self.argv, self.under, self.has_extension = s, argv, list(under), has_extension
        self.opt, self.task, self.tmp = (os.path.join(s.path, name) for name in ("opt", "task", "tmp"))
        if not os.path.exists(self.opt):
            place_layer(self.opt)
            shutil.copytree(FUNCTIONS, self.task)
            if config:
                shutil.copy(os.path.join(ROOT, config), os.path.join(self.task, "tickbird.yml"))
            os.makedirs(self.tmp, exist_ok=True)
        self.seen = paths or {"opt": self.opt, "task": self.task, "tmp": self.tmp}
        self.api = Api()
        self.env = {"AWS_LAMBDA_RUNTIME_API": self.api.address, "AWS_LAMBDA_FUNCTION_NAME": "orders", "LAMBDA_TASK_ROOT": self.seen["task"],
                    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128", "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/orders",
                    "AWS_LAMBDA_LOG_STREAM_NAME": "1", "_HANDLER": "handler.handler", "TMPDIR": self.seen["tmp"], "PYTHONPATH": self.seen["task"], "PYTHONDONTWRITEBYTECODE": "1",
                    "TICKBIRD_DIR": self.seen["tmp"] + "/tickbird", "TICKBIRD_STORAGE_PATH": self.seen["tmp"] + "/tickbird-state", **(env or {})}
        self.wrapper = [self.seen["opt"] + "/tickbird-wrapper"] if is_wrapped else []
        self.extension = self.runtime = None
        self.out = os.path.join(s.path, f"function-{len(s.processes)}.out")
        self.emf = os.path.join(s.path, f"extension-{len(s.processes)}.out")

    def start(self):
        if self.has_extension:
            self.start_extension()
        self.start_runtime()
        self.api.until_idle(with_extension=self.has_extension)
        return self

    def start_extension(self):
        with open(self.emf, "ab") as out, open(self.emf + ".err", "ab") as errors:
            self.extension = self.s.start([*self.under, self.seen["opt"] + "/extensions/tickbird"], env=self.env, stdout=out, stderr=errors,
                                          start_new_session=True)
        self.api.until("the extension registers", lambda: self.api.registered)
        check(self.api.registered == ("tickbird", ["INVOKE", "SHUTDOWN"]), self.api.registered)

    def start_runtime(self):
        with open(self.out, "ab") as out, open(self.out + ".err", "ab") as errors:
            self.runtime = self.s.start([*self.under, *self.wrapper, *self.argv], env=self.env, cwd=self.task, stdout=out, stderr=errors,
                                        start_new_session=True)

    def written(self):
        with open(self.emf, encoding="ascii") as f:
            return f.read()

    def freeze(self, how=signal.SIGSTOP):
        for process in (self.runtime, self.extension):
            if process and process.poll() is None:
                os.killpg(process.pid, how)

    def invoke(self, event):
        """Thawed for one invocation. Returns it with what the extension wrote for it."""
        before = len(self.written()) if self.extension else 0
        self.freeze(signal.SIGCONT)
        i = self.api.invoke(event, with_extension=self.has_extension)
        text = self.written()[before:] if self.extension else ""
        self.freeze()
        return i, text

    def end(self):
        """Lambda ends the runtime, and then the extension."""
        self.freeze(signal.SIGCONT)
        if self.runtime.poll() is None:
            os.killpg(self.runtime.pid, signal.SIGKILL)
        self.runtime.wait()
        before = len(self.written())
        self.api.shut_down()
        check(self.extension.wait(timeout=60) == 0)
        return self.written()[before:]

    def close(self):
        self.freeze(signal.SIGCONT)
        self.api.close()
        for process in (self.runtime, self.extension):
            if process and process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def errors(self):
        with open(self.emf + ".err", encoding="utf-8") as f, open(self.out + ".err", encoding="utf-8") as g:
            return f.read() + g.read()


def of(found, name, unit):
    return found[(FUNCTION, name, unit)]


def check_documents(i, text, event):
    """What one invocation made: exactly one of each; its time is no less than the function says and no more than the API."""
    found = extract(text)
    check(of(found, "Invocations", "Count") == [1], i.id, text)
    check(of(found, "Errors", "Count") == [int(i.kind == "error")], i.kind, text)
    times = of(found, "ProcessingTime", "Milliseconds")
    own_ns = event.get("ms", 1) * 10 ** 6 if i.kind == "error" else json.loads(i.result)["ns"]
    check(len(times) == 1 and own_ns / 1e6 <= times[0] + 1e-5 and times[0] <= (i.asked_ns - i.handed_ns) / 1e6 + 1e-5, own_ns, times,
          i.asked_ns - i.handed_ns)
    return sum(of(found, "ItemsProcessed", "Count"))


def stdout_of(function):
    """But for the times that a runtime writes."""
    with open(function.out, "rb") as f:
        return re.sub(rb"\d{4}-\d\d-\d\dT[\d:.]+Z", b"TIME", f.read())


def run_plain(s, argv, env=None):
    """The same function alone: what it writes, and what it answers but for times."""
    f = Function(s, argv, env, is_wrapped=False, has_extension=False).start()
    try:
        kinds = [f.invoke(event)[0].kind for event in EVENTS]
        return stdout_of(f), kinds
    finally:
        f.close()


def judge_once(s, argv, env, plain, kinds):
    """Whether the extension wrote of each invocation before the next: on a machine that holds a process up for seconds it
    may be late, and says so."""
    f = Function(s, argv, env).start()
    try:
        done = [f.invoke(event) for event in EVENTS]
        last = f.end()
        check(stdout_of(f) == plain and [i.kind for i, _ in done] == kinds, stdout_of(f), plain)
        found = extract(f.written())
        check(sum(of(found, "Invocations", "Count")) == len(EVENTS) and sum(of(found, "Errors", "Count")) == kinds.count("error"), found)
        if "invocation not seen" in f.errors() or "not everything was accepted" in f.errors():
            return False
        for (i, text), event in zip(done, EVENTS):
            items = check_documents(i, text, event)
            check(items == (event["items"] if i.kind == "response" else 0), event, i.kind, items)
        check(sum(of(extract(last), "Invocations", "Count")) == 0, last)
        return True
    finally:
        f.close()


def judge(s, argv, env=None):
    plain, kinds = run_plain(s, argv, env)
    check(any(judge_once(s, argv, env, plain, kinds) for _ in range(4)), "no invocation is seen to end")


# ---- runtimes ----

@test
def a_loop_in_python(s):
    judge(s, [PYTHON, "loop.py"])


@test
def a_loop_in_python_that_streams_its_responses(s):
    judge(s, [PYTHON, "loop.py"], {"STREAMED": "1"})


@test
def a_loop_in_node(s):
    judge(s, [program("node"), "loop.mjs"])


@test
def a_shell_with_curl(s):
    program("curl")
    judge(s, [program("bash"), "loop.sh"])


@test
def the_runtime_of_aws_for_python(s):
    folder = os.path.join(FETCHED, "awslambdaric")
    if not os.path.isdir(os.path.join(folder, "lib")):
        if os.environ.get("TB_FETCH") != "1":
            raise Skip("no awslambdaric (`make check-lambda` fetches it)")
        subprocess.run([PYTHON, "-m", "venv", folder], check=True)
        subprocess.run([folder + "/bin/pip", "install", "-q", "awslambdaric==4.2.2"], check=True, timeout=250)
    judge(s, [folder + "/bin/python", "-m", "awslambdaric", "handler.handler"])


@test
def the_runtime_of_aws_for_node(s):
    folder, node = os.path.join(FETCHED, "aws-lambda-ric"), program("node")
    entry = folder + "/node_modules/aws-lambda-ric/index.mjs"
    if not os.path.exists(folder + "/done"):
        if os.environ.get("TB_FETCH") != "1":
            raise Skip("no aws-lambda-ric (`make check-lambda` builds it)")
        headers = {"npm_config_nodedir": "/usr"} if os.path.isdir("/usr/include/node") else {}
        subprocess.run([program("npm"), "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, "aws-lambda-ric@4.0.2"], check=True,
                       timeout=900, env={**os.environ, **headers})
        open(folder + "/done", "w", encoding="utf-8").close()
    judge(s, [node, entry, "handler.handler"])


# ---- the extension ----

@test
def what_the_function_talks_to_is_no_dependency(s):
    f = Function(s, [PYTHON, "loop.py"]).start()
    try:
        for event in EVENTS:
            f.invoke(event)
        f.freeze(signal.SIGCONT)
        done = s.run("--once", program=EXPORTER, env=f.env)
        found = samples(done.out)
        names = {name for name in found if name.startswith(("http_client_", "dependency_"))}
        check(not names and value(found, "faas_invocations_total", service="orders") == len(EVENTS), names, done.out)
        check(value(found, "faas_errors_total", service="orders", reason="function") == 1, done.out)
        check(value(found, "faas_invoke_duration_seconds_count", service="orders") == len(EVENTS), done.out)
    finally:
        f.close()


@test
def a_response_that_is_too_large_is_an_error_once(s):
    f = Function(s, [PYTHON, "loop.py"]).start()
    f.api.refuse = 1000
    try:
        i = f.api.hand({"items": 1, "bytes": 5000})
        f.api.until_idle()  # this runtime asks for the next one, as if nothing had been
        f.end()
        found = extract(f.written())
        check(i.kind is None and sum(of(found, "Errors", "Count")) == sum(of(found, "Invocations", "Count")) == 1, found)
    finally:
        f.close()


@test
def what_is_left_is_written_at_the_end(s):
    f = Function(s, [PYTHON, "loop.py"], env={"_HANDLER": "missing.handler"})
    try:
        f.start_extension()
        f.start_runtime()  # it cannot be made ready, and is never invoked
        check(f.runtime.wait(timeout=60) == 1 and len(f.api.init_errors) == 1)
        f.api.until_idle(with_runtime=False)
        check(f.written() == "")
        check(sum(of(extract(f.end()), "Errors", "Count")) == 1, f.written())
    finally:
        f.close()


@test
def a_crash_of_the_extension_is_harmless_and_loses_nothing(s):
    f = Function(s, [PYTHON, "loop.py"]).start()
    try:
        f.invoke(EVENTS[0])
        f.freeze(signal.SIGCONT)
        f.extension.kill()
        f.extension.wait()
        with f.api.changed:
            f.api.registered, f.api.extension_waits = None, None
        for event in EVENTS[1:3]:  # the function goes on
            check(f.api.invoke(event, with_extension=False).kind == "response")
        f.start_extension()
        f.api.until_idle()
        check(f.api.invoke(EVENTS[4]).kind == "response")
        f.end()
        found = extract(f.written())
        check(sum(of(found, "ItemsProcessed", "Count")) == 3 + 0 + 41 + 12 and sum(of(found, "Invocations", "Count")) == 4, found)
        check(len(of(found, "ProcessingTime", "Milliseconds")) == 4, found)
    finally:
        f.close()


@test
def a_function_that_is_not_observed_is_not_held_up(s):
    f = Function(s, [PYTHON, "loop.py"], is_wrapped=False).start()
    try:
        for event in EVENTS[:3]:
            i = f.api.hand(event, seconds=3600)  # until then nobody could wait: the test would not end
            f.api.until("it is answered", lambda: i.kind)
            f.api.until_idle()
        check(f.end() == "" and "invocation not seen to end" in f.errors(), f.errors())
    finally:
        f.close()


@test
def an_invocation_without_an_end_is_an_error_of_the_next(s):
    f = Function(s, [PYTHON, "loop.py"]).start()
    try:
        f.invoke(EVENTS[0])
        f.freeze(signal.SIGCONT)
        f.api.hand({"items": 1, "dies": True}, seconds=3600)
        check(f.runtime.wait(timeout=60) == -signal.SIGKILL)
        f.api.until_idle(with_runtime=False)  # the extension notices
        before = len(f.written())
        f.api.shut_down("failure")
        check(f.extension.wait(timeout=60) == 0)
        with f.api.changed:
            f.api.registered, f.api.runtime_waits = None, False
        f.start()  # in what Lambda has reset: /tmp is as it was
        i = f.api.invoke(EVENTS[2])
        f.end()
        found = extract(f.written()[before:])
        check(i.kind == "response" and sum(of(found, "Invocations", "Count")) == 2 and sum(of(found, "Errors", "Count")) == 1, found)
        check(len(of(found, "ProcessingTime", "Milliseconds")) == 1, found)
    finally:
        f.close()


@test
def a_deadline_ends_the_waiting(s):
    f = Function(s, [PYTHON, "loop.py"]).start()
    try:
        i = f.api.hand({"items": 1, "ms": 3600000}, seconds=1)
        f.api.until("the extension is ready before the function", lambda: f.api.extension_waits and not f.api.extension_event)
        check(i.kind is None and extract(f.end()).get((FUNCTION, "Invocations", "Count"), [0]) == [0])
    finally:
        f.close()


@test
def a_configuration_that_is_wrong_stops_nobody(s):
    f = Function(s, [PYTHON, "loop.py"], config=None)
    with open(os.path.join(f.task, "tickbird.yml"), "w", encoding="utf-8") as out:
        out.write("push: {outputs: [{type: emf}]}\n")
    f.start()
    try:
        check([f.invoke(event)[0].kind for event in EVENTS[:2]] == ["response"] * 2 and f.end() == "" and "tickbird.yml:1:" in f.errors(), f.errors())
    finally:
        f.close()


@test
def the_layer_has_a_configuration_of_its_own(s):
    f = Function(s, [PYTHON, "loop.py"], config=None).start()
    try:
        f.invoke(EVENTS[0])
        f.end()
        found = extract(f.written(), "Tickbird/Lambda")
        check(sum(of(found, "Invocations", "Count")) == 1 and sum(of(found, "Errors", "Count")) == 0, found)
        check(len(of(found, "ProcessingTime", "Milliseconds")) == 1, found)
    finally:
        f.close()


def disk_like():
    """A directory on a file system that keeps locks and is not in memory; None: there is none."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", BUILD], capture_output=True, text=True, check=True).stdout.strip()
    return None if kind in ("tmpfs", "overlayfs", "nfs") else BUILD


@test
def as_lambda_has_it_nothing_is_writable_but_tmp_on_a_disk(s):
    bwrap, disk = program("bwrap"), disk_like()
    if not disk:
        raise Skip("the build is not on a disk")
    tmp = os.path.join(disk, os.path.basename(s.path))
    os.makedirs(tmp)
    try:
        under = [bwrap, "--unshare-user", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--remount-ro", "/dev",
                 "--ro-bind", os.path.join(s.path, "opt"), "/opt", "--ro-bind", os.path.join(s.path, "task"), "/mnt", "--bind", tmp, "/tmp"]
        f = Function(s, [PYTHON, "/mnt/loop.py"], under=under, paths={"opt": "/opt", "task": "/mnt", "tmp": "/tmp"},
                     env={"TICKBIRD_DIR": "", "TICKBIRD_STORAGE_PATH": ""})
        tried = subprocess.run([*under, "/bin/sh", "-c", "! true >/dev/shm/x && ! true >/x && true >/tmp/x"], capture_output=True, text=True, check=False)
        if tried.returncode:
            raise Skip(f"no such sandbox here: {tried.stderr.strip()}")
        f.start()
        try:
            check([f.invoke(event)[0].kind for event in EVENTS].count("error") == 1)
            f.end()
            found = extract(f.written())
            check(sum(of(found, "Invocations", "Count")) == len(EVENTS) and sum(of(found, "ItemsProcessed", "Count")) == 3 + 0 + 41 + 12, found)
            check(any(name.startswith("tb1-") for name in os.listdir(tmp + "/tickbird")))
        finally:
            f.close()
    finally:
        shutil.rmtree(tmp)


main()
