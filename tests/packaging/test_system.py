#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`tickbird install --system` and `uninstall --system` in a mount namespace with its own /etc and /usr/local: other people's lines, 32-bit programs, upgrades, what is left, and what is printed by anybody (nothing)."""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../cli"))
from cli_lib import BUILD, ROOT, Skip, check, main, need, test  # noqa: E402

BASE = "/usr/local/lib/tickbird"
VERSION = open(os.path.join(ROOT, "VERSION"), encoding="utf-8").read().strip()
LINE = f"{BASE}/$LIB/libtickbird.so.{VERSION}"
SETUP = """set -eu
mount --bind {work}/etc /etc
mount -t tmpfs tmpfs /usr/local
B={build} VERSION={version} prefix=/usr/local DESTDIR= {root}/packaging/install.sh install >/dev/null
objects() {{ find /usr/local/lib/tickbird -type f 2>/dev/null | sort; }}
"""
# One call of a function of libc, so that the loader has something to do; prints its own maps when asked to.
PROGRAM_32 = """
int puts(const char *); void _exit(int);
int printf(const char *, ...); void *fopen(const char *, const char *); char *fgets(char *, int, void *);
void _start(void) {
    char line[512]; void *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps)) printf("%s", line);
    puts("done"); __asm__ volatile("andl $-16, %esp"); extern int fflush(void *); fflush(0); _exit(0);
}
"""


def script(s, text, code=0):
    """Runs it in the namespace. Returns (stdout, stderr)."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        raise Skip("no mount namespace can be made")
    etc = s.path + "/etc"
    shutil.rmtree(etc, ignore_errors=True)
    os.makedirs(etc)
    for name in ("passwd", "group", "nsswitch.conf", "ld.so.cache", "hosts"):
        if os.path.exists("/etc/" + name):
            shutil.copy("/etc/" + name, etc)
    whole = SETUP.format(work=s.path, build=BUILD, version=VERSION, root=ROOT) + text.replace("WORK", s.path)
    done = subprocess.run(["unshare", "-m", "--propagation", "private", "/bin/sh", "-c", whole], capture_output=True, text=True,
                          timeout=60, cwd="/", env={"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"})
    check(done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout, done.stderr


@test
def a_machine_is_preloaded_and_freed_without_a_word(s):
    out, err = script(s, """
mkdir /etc/tickbird; echo 'include exe nginx' >/etc/tickbird/select
tickbird install --system
cat /etc/ld.so.preload; stat -c %a /etc/ld.so.preload
grep -c libtickbird /proc/self/maps
cp /bin/cat /usr/local/bin/secure; chmod 4755 /usr/local/bin/secure
setpriv --reuid 4242 --clear-groups secure /proc/self/maps >/dev/null
(umask 077; tickbird install --system >/dev/null)
stat -c %a /usr/local/lib/tickbird /usr/local/lib/tickbird/lib64/*
tickbird uninstall --system
grep -c libtickbird /proc/self/maps && exit 3
objects; ls /usr/local/lib; ls /etc
""")
    check(not err, err)
    head, rest = out.split("tickbird status\n")
    lines = rest.splitlines()
    check(LINE in head and lines[0] == LINE and lines[1] == "644" and int(lines[2]) > 0, out)
    check(lines[3:6] == ["755", "644", "0"], out)
    check("ld.so.preload" not in lines and BASE not in rest.replace(LINE, "") and "tickbird" in lines, out)


@test
def the_line_goes_before_the_objects_and_comes_after_them(s):
    need("strace")
    out, _ = script(s, """
strace -f -qq -e trace=rename,unlink -o WORK/in tickbird install --system --everything >/dev/null
strace -f -qq -e trace=rename,unlink -o WORK/out tickbird uninstall --system
cat WORK/in; echo OUT; cat WORK/out
""")
    into, out = out.split("OUT\n")
    places = [line for line in into.splitlines() if "rename(" in line and "/trial/" not in line]
    check(len(places) == 7 and '"/etc/ld.so.preload"' in places[-1] and BASE in places[0], into)
    removals = [line for line in out.splitlines() if "unlink(" in line]
    check(len(removals) == 7 and '"/etc/ld.so.preload"' in removals[0] and BASE in removals[1], out)


@test
def lines_of_others_stay_byte_for_byte(s):
    for name in ("one", "two"):
        subprocess.run(["cc", "-shared", "-fPIC", "-nostdlib", "-o", f"{s.path}/{name}.so", "-xc", "-"], input=b"int x;",
                       check=True)
    others = f"# ours: libtickbird.so stays out\n{s.path}/one.so  # first\n\n{s.path}/two.so"
    s.file("others", others.encode(), 0o600)
    out, err = script(s, f"""
cp -p WORK/others /etc/ld.so.preload
tickbird install --system --everything >/dev/null
tail -n +3 /etc/ld.so.preload; stat -c %a /etc/ld.so.preload
for o in one.so two.so libtickbird.so; do grep -q $o /proc/self/maps && echo has $o; done
tickbird uninstall --system
stat -c %a /etc/ld.so.preload; tail -n +1 /etc/ld.so.preload
echo; echo NEXT
echo '{s.path}/one.so /opt/libtickbird.so.0.0.9:{s.path}/two.so' >/etc/ld.so.preload 
tickbird install --system --everything >/dev/null
cat /etc/ld.so.preload
""")
    first, second = out.split("NEXT\n")
    check(first == f"\n{s.path}/two.so\n{LINE}\n600\nhas one.so\nhas two.so\nhas libtickbird.so\n600\n{others}\n\n", first)
    check(second == f"{s.path}/one.so:{s.path}/two.so\n{LINE}\n", second)
    # The line that was there before names a file that never was: the loader says so, until it is replaced.
    check(all("/opt/libtickbird.so.0.0.9" in line for line in err.splitlines()), err)


@test
def programs_of_32_bits_start_as_before(s):
    if not os.path.exists("/lib32/libc.so.6"):
        raise Skip("libc6-i386 is not installed")
    subprocess.run(["cc", "-m32", "-O1", "-fno-stack-protector", "-fno-pie", "-no-pie", "-nostdlib", "-o", s.path + "/small",
                    "-xc", "-", "-xnone", "/lib32/libc.so.6", "-Wl,--dynamic-linker=/lib/ld-linux.so.2"],
                   input=PROGRAM_32.encode(), check=True)
    out, err = script(s, """
tickbird install --system --everything >/dev/null
WORK/small
""")
    check(f"{BASE}/lib32/libtickbird.so.{VERSION}" in out and out.endswith("done\n") and not err, (out, err))
    # Without the inert object the loader does complain, and the command says so beforehand.
    out, err = script(s, """
rm /usr/local/lib/libtickbird-i386.so
tickbird install --system --everything >/dev/null
WORK/small >/dev/null
""")
    lines = err.splitlines()
    check(len(lines) == 2 and "32-bit programs will print" in lines[0] and "cannot be preloaded" in lines[1], err)


@test
def an_upgrade_keeps_what_may_be_about_to_be_opened(s):
    out, err = script(s, f"""
tickbird install --system --everything >/dev/null
for f in $(objects); do cp $f ${{f%/*}}/libtickbird.so.0.0.1; cp $f ${{f%/*}}/libtickbird.so.0.0.2; done
echo '{BASE}/$LIB/libtickbird.so.0.0.2' >/etc/ld.so.preload
for f in $(objects); do case $f in *.{VERSION}) rm $f ;; esac; done
tickbird install --system --everything >/dev/null
cat /etc/ld.so.preload; ls {BASE}/lib64
tickbird uninstall --system; ls {BASE} 2>&1 || true
""")
    check(not err, err)
    check(f"{LINE}\nlibtickbird.so.0.0.2\nlibtickbird.so.{VERSION}\n" in out and "No such file" in out, out)


@test
def a_trial_that_fails_changes_nothing(s):
    broken = s.path + "/libtickbird.so"
    shutil.copy(BUILD + "/libtickbird-i386.so", s.path)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", broken, "-xc", "-"], check=True, input=(
        b'#include <unistd.h>\n__attribute__((constructor)) static void start(void) { write(2, "oh no\\n", 6); }\n'))
    out, err = script(s, f"""
tickbird install --system --everything --lib {broken} && exit 3
objects; ls /etc/ld.so.preload 2>/dev/null || echo unchanged
tickbird install --system --everything >/dev/null; objects >WORK/before; cat /etc/ld.so.preload >>WORK/before
tickbird install --system --everything --lib {broken} && exit 4
objects | cat - /etc/ld.so.preload | cmp - WORK/before && echo in force
sh -c 'echo quiet'
""")
    check(out == "unchanged\nin force\nquiet\n" and err.count("a trial failed: oh no: ") == 2 and err.count("\n") == 2, (out, err))


@test
def it_refuses_with_one_line_where_it_must(s):
    for text, words in (
            ("tickbird install --system", "select: it does not exist, so every program would be observed"),
            ("mkdir /etc/tickbird; echo 'include nothing' >/etc/tickbird/select; tickbird install --system", "select"),
            ("tickbird install", "--system for the whole machine"),
            ("ln -s /tmp/x /etc/ld.so.preload; tickbird install --system --everything", "it is a link"),
            ("chmod 755 /etc; setpriv --reuid 4242 --clear-groups /usr/local/bin/tickbird install --system --everything",
             "ask as root")):
        out, err = script(s, f"({text}) || echo refused; objects; rm -rf /etc/tickbird; rm -f /etc/ld.so.preload")
        check(out == "refused\n" and words in err and err.count("\n") == 1, (text, out, err))


@test
def print_says_what_would_be_done_and_does_nothing(s):
    out, err = script(s, """
tickbird install --system --everything --print; objects; ls /etc/ld.so.preload 2>/dev/null || echo nothing
tickbird install --system --everything >/dev/null; tickbird uninstall --system --print; objects; cat /etc/ld.so.preload
""")
    first, second = out.split("nothing\n")
    check(not err and first.count("copy ") == 6 and first.endswith(f":\n{LINE}\n"), out)
    check(second.startswith("remove /etc/ld.so.preload\nremove ") and second.count("\nremove ") == 6 and
          second.count("\n" + BASE) == 7, second)


if not os.path.exists(os.path.join(BUILD, "libtickbird-i386.so")):
    print("the inert object is for x86-64 alone")
    sys.exit(77)
main()
