# SPDX-License-Identifier: Apache-2.0
"""A machine that may be changed: an overlay of this one, or of another root file system, that only a mount namespace of its own sees."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../cli"))
from cli_lib import Skip, check  # noqa: E402

# Lower is the machine, upper a tmpfs. What is run in it sees no other file system but /proc and /dev.
SETUP = """set -eu
cd {work}
mount -t tmpfs tmpfs {work}/top
mkdir {work}/top/upper {work}/top/work {work}/top/root
mount -t overlay overlay -o lowerdir={lower},upperdir={work}/top/upper,workdir={work}/top/work {work}/top/root
find {work} -maxdepth 1 -type f -exec cp -t {work}/top/root/tmp '{{}}' +
mount -t proc proc {work}/top/root/proc
mount -t tmpfs tmpfs {work}/top/root/dev
mkdir -m 1777 {work}/top/root/dev/shm
mknod -m 666 {work}/top/root/dev/null c 1 3
chroot {work}/top/root /bin/sh -euc '{script}'
cd {work}/top/upper
find . -mindepth 1 | while read -r f; do [ -e "{lower}/$f" ] || [ -L "{lower}/$f" ] || echo "LEFT $f"; done
"""


def on_a_copy(work, script, lower="/", seconds=300):
    """
    Runs @script (shell, without single quotes) as root of the copy; the files of the directory @work are in its /tmp.
    Returns what it printed, with a line `LEFT ./PATH` for each file that is there behind it and was not before, and what it
    printed as errors.
    """
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        raise Skip("no mount namespace can be made")
    os.makedirs(work + "/top", exist_ok=True)
    check("'" not in script, "quotes")
    done = subprocess.run(["unshare", "-m", "-p", "-f", "--kill-child", "/bin/sh", "-c", SETUP.format(work=work, script=script, lower=lower)],
                          capture_output=True, text=True, timeout=seconds, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"})
    check(done.returncode == 0, done)
    return done.stdout, done.stderr
