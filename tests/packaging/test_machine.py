#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A whole machine with the object preloaded, in a mount namespace with its own /etc and /dev/shm: what
docs/configuration.md says under "Preloading a whole machine", each command of it, the ways out of an emergency too."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("B", "build"))
PYTHON = os.path.realpath("/usr/bin/python3")
SERVE = """
import http.server, threading, urllib.request
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header('Content-Length', '2'); self.end_headers(); self.wfile.write(b'ok')
    def log_message(self, *a): pass
s = http.server.HTTPServer(('127.0.0.1', 0), H)
threading.Thread(target=s.serve_forever, daemon=True).start()
for _ in range(3):
    assert urllib.request.urlopen(f'http://127.0.0.1:{s.server_port}/a').read() == b'ok'
"""
SETUP = """set -eu
mount --bind {work}/etc /etc
mount -t tmpfs tmpfs /dev/shm
serve() {{ env -i {python} {work}/serve.py; }}
series() {{ echo SERIES; {work}/bin/tickbird series --json --storage.path {work}/ledger; echo END; }}
"""


class Machine:
    def __init__(self):
        self.work = tempfile.mkdtemp(prefix="tb-machine-")
        os.chmod(self.work, 0o755)
        etc = os.path.join(self.work, "etc")
        os.makedirs(os.path.join(etc, "tickbird"))
        for name in ("passwd", "group", "nsswitch.conf", "ld.so.cache", "hosts"):
            if os.path.exists("/etc/" + name):
                shutil.copy("/etc/" + name, etc)
        env = dict(os.environ, B=BUILD, VERSION="1.0.0", prefix=self.work, DESTDIR="")
        subprocess.run([os.path.join(ROOT, "packaging/install.sh"), "install"], env=env, check=True, capture_output=True)
        with open(os.path.join(self.work, "serve.py"), "w", encoding="utf-8") as f:
            f.write(SERVE)

    def run(self, script, code=0):
        text = SETUP.format(work=self.work, python=PYTHON) + script.replace("LIB", self.work + "/lib").replace(
            "BIN", self.work + "/bin").replace("WORK", self.work)
        done = subprocess.run(["unshare", "-m", "--propagation", "private", "/bin/sh", "-c", text], timeout=120,
                              capture_output=True, cwd="/", env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        out = done.stdout.decode()
        assert done.returncode == code, f"exit {done.returncode}\n{out}\n{done.stderr.decode()}"
        return out, done.stderr.decode()

    def close(self):
        shutil.rmtree(self.work, ignore_errors=True)


def served(out):
    """What each call of series() says the server has answered."""
    lists = [json.loads(part.split("END")[0]) for part in out.split("SERIES\n")[1:]]
    return [sum(e["count"] for e in l if e["service"] == "serve" and e.get("status") == "200" and e["route"] == "/a")
            for l in lists]


def build(m, name, source, *flags):
    path = os.path.join(m.work, name)
    with open(path + ".c", "w", encoding="utf-8") as f:
        f.write(source)
    subprocess.run(["cc", *flags, "-o", path, path + ".c"], check=True, capture_output=True)
    return path


BROKEN = "#include <stdlib.h>\n__attribute__((constructor)) static void start(void) { abort(); }\n"
RESCUE = '#include <unistd.h>\nint main(void) { return unlink("/etc/ld.so.preload") != 0; }\n'


def the_select_file_says_what_is_observed(m):
    out, err = m.run("""
printf 'include exe python3*\\n' >/etc/tickbird/select
echo LIB/libtickbird.so >/etc/ld.so.preload
grep -q libtickbird /proc/self/maps
serve
ls /dev/shm
BIN/tickbird status
BIN/tickbird doctor -- /bin/sh || echo left
series
printf 'include exe nginx\\n' >/etc/tickbird/select
serve
series
""")
    assert not err, err
    assert "tickbird-0" in out and "Select file /etc/tickbird/select: 1 include, 0 excludes." in out, out
    assert "no include in /etc/tickbird/select matches it" in out and "left" in out, out
    assert served(out)[0] >= 3 and served(out)[1] == served(out)[0], out


def off_and_an_exclude_of_everything_stop_it(m):
    out, err = m.run("""
echo LIB/libtickbird.so >/etc/ld.so.preload
serve
BIN/tickbird off
serve
series
BIN/tickbird on
echo 'exclude exe *' >/etc/tickbird/select
serve
BIN/tickbird doctor -- /bin/cat || true
series
rm /etc/tickbird/select
serve
series
""")
    assert not err, err
    on, excluded, again = served(out)[0], served(out)[1], served(out)[2]
    assert 0 < on == excluded < again == 2 * on, out
    assert "excluded by /etc/tickbird/select line 1 (exclude exe *)" in out, out


def a_running_shell_takes_the_line_away_without_a_program(m):
    build(m, "broken.so", BROKEN, "-shared", "-fPIC")
    m.run("""
echo WORK/broken.so >/etc/ld.so.preload
if /bin/true; then exit 3; fi
if LD_PRELOAD= /bin/true; then exit 4; fi
: >/etc/ld.so.preload
/bin/true
""")


def a_static_program_takes_it_away_where_no_shell_starts(m):
    build(m, "broken.so", BROKEN, "-shared", "-fPIC")
    build(m, "rescue", RESCUE, "-static")  # as a static busybox would: `busybox rm /etc/ld.so.preload`
    m.run("""
echo WORK/broken.so >/etc/ld.so.preload
if sh -c :; then exit 3; fi
WORK/rescue
sh -c :
""")


def a_file_that_is_gone_is_a_message_and_no_more(m):
    _, err = m.run("""
echo LIB/libtickbird.so >/etc/ld.so.preload
rm -f LIB/libtickbird.so LIB/libtickbird.so.1.0.0
/bin/true
""")
    assert "cannot be preloaded" in err, err


def uninstall_refuses_while_the_line_is_there(m):
    out, _ = m.run(f"""
cd {ROOT}
echo LIB/libtickbird.so >/etc/ld.so.preload
B={BUILD} VERSION=1.0.0 prefix=WORK DESTDIR= packaging/install.sh uninstall 2>&1 && exit 3
rm /etc/ld.so.preload
mkdir -p /etc/tickbird
echo 'include exe nginx' >/etc/tickbird/select
B={BUILD} VERSION=1.0.0 prefix=WORK DESTDIR= packaging/install.sh uninstall
cat /etc/tickbird/select
""")
    assert "take the line out first" in out and "include exe nginx" in out, out


def main():
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        print("no mount namespace can be made")
        sys.exit(77)
    failed = False
    for test in (the_select_file_says_what_is_observed, off_and_an_exclude_of_everything_stop_it,
                 a_running_shell_takes_the_line_away_without_a_program,
                 a_static_program_takes_it_away_where_no_shell_starts, a_file_that_is_gone_is_a_message_and_no_more,
                 uninstall_refuses_while_the_line_is_there):
        machine = Machine()
        try:
            test(machine)
            print(f"ok {test.__name__}", flush=True)
        except (AssertionError, subprocess.SubprocessError) as error:
            failed = True
            print(f"{error}\nnot ok {test.__name__}", flush=True)
        finally:
            machine.close()
    sys.exit(failed)


main()
