# SPDX-License-Identifier: Apache-2.0
"""What the chaos tests share: a test is a function of a harness.Test that raises when something is wrong.

The servers are the small ones of tests/preload and real ones; the harness and the client are those of tests/servers.
"""
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent / "servers"))

import client  # noqa: E402  pylint: disable=wrong-import-position
import harness  # noqa: E402  pylint: disable=wrong-import-position

BIN = harness.BUILD / "tests" / "chaos"
STARTING = threading.Lock()  # the harness numbers what it starts
EXPORTER = harness.BUILD / "tickbird-exporter"
COMMAND = harness.BUILD / "tickbird"


def rng(name):
    return random.Random(f"{harness.SEED}/{name}")


def main(tests):
    """Runs the functions of @tests in order; names on the command line pick some."""
    print(f"# seed {harness.SEED}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    for function in tests:
        name = function.__name__
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        test = harness.Test(name)
        try:
            detail = function(test)
            harness.report(True, name, detail or "")
        except harness.Missing as missing:
            print(f"skip {name} {missing}", flush=True)
        except Exception:  # pylint: disable=broad-except
            harness.report(False, name, f"seed {harness.SEED}\n{traceback.format_exc()}")
        finally:
            test.close()
    sys.exit(harness.status)


def small_server():
    """The server of tests/preload, built for this folder."""
    out = BIN / "server"
    sources = [HERE.parent / "preload" / name for name in ("server.c", "io.c", "models.c")]
    if not out.exists() or out.stat().st_mtime < max(s.stat().st_mtime for s in sources):
        BIN.mkdir(parents=True, exist_ok=True)
        new = BIN / f"server.{os.getpid()}"
        subprocess.run(["cc", "-std=gnu11", "-D_GNU_SOURCE", "-O1", "-w", "-o", new, *sources, "-lpthread"], check=True)
        new.rename(out)
    return out


def start_small(test, way, model, service=None, wrap=(), env=None):
    """Starts the small server, before it @wrap. Returns (process, address)."""
    with STARTING:
        child = test.start([*wrap, small_server(), way, model], service=service, env=env)

    def line():
        text = pathlib.Path(child.log).read_text(encoding="ascii", errors="replace")
        if child.poll() is not None:
            raise AssertionError(f"{child.args}: ended with {child.returncode}: {text}")
        return text.endswith("\n") and text.split()[0]

    return child, ("127.0.0.1", int(harness.until(line, "the small server listens")))


def start_exporter(test, *flags, wrap=(), address=None, env=None, ledger=None, region_dir=None):
    """An exporter with @flags; scrapes go to it from now on."""
    test.exporter = address or (test.ip, test.port())
    argv = [*wrap, EXPORTER, "--web.listen-address", "%s:%d" % test.exporter, "--region.dir", region_dir or test.region_dir,
            "--storage.path", ledger or test.dir / "ledger", *flags]
    with STARTING:
        child = test.start(argv, preload=False, env=env)
    test.wait_for_port(test.exporter, child)
    return child


def get(conn, path, method="GET", headers=(), body=b""):
    conn.send(client.request(method, path, "localhost", headers, body))
    return conn.response(method)


def children(pid):
    return [p for p in harness.process_tree(pid) if p != pid]


def kill(pid, how=signal.SIGKILL):
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        pass


def allow_descriptors(count):
    """Raises this process's limit (its children inherit it)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(hard, count)))
        except (ValueError, OSError) as error:
            raise harness.Missing(f"only {hard} descriptors allowed") from error


def in_threads(functions):
    """Runs the functions at once; the first exception of any is raised when all have ended."""
    failed = []

    def guarded(function):
        try:
            function()
        except BaseException as error:  # pylint: disable=broad-except
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(f,)) for f in functions]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failed:
        raise failed[0]


class Floor:
    """Remembers the highest value of every counter series; a lower one is an error."""

    def __init__(self):
        self.seen, self.scrapes = {}, 0

    def check(self, scrape):
        self.scrapes += 1
        now = {}
        for name, labels, value in scrape.samples:
            if name.startswith("http_") and name.endswith(("_total", "_count", "_sum", "_bucket")):
                now[(name, tuple(sorted(labels.items())))] = value
        for key, value in self.seen.items():
            assert now.get(key, -1) >= value, f"{key} fell from {value} to {now.get(key, 'nothing')}"
        self.seen = now


def require_unshare(*flags):
    """The command that makes namespaces, when this machine lets us have them."""
    argv = [harness.which("unshare"), *flags]
    if subprocess.run([*argv, "/bin/true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode:
        raise harness.Missing(f"unshare {' '.join(flags)} is not permitted here")
    return argv


def in_own_mounts():
    """Runs this program again where its mounts are its own. False when that is not permitted."""
    if os.environ.get("TB_CHAOS_MOUNTS"):
        return os.environ["TB_CHAOS_MOUNTS"] == "1"
    if os.getuid() != 0:  # in a user namespace no server could change its user
        return False
    try:
        argv = require_unshare("-m")
    except harness.Missing:
        return False
    os.environ["TB_CHAOS_MOUNTS"] = "1"
    os.execv(argv[0], [*argv, sys.executable, *sys.argv])
    return True


def remove(path):
    shutil.rmtree(path, ignore_errors=True)
