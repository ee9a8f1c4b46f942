# SPDX-License-Identifier: Apache-2.0
"""Odd surroundings for the same programs: the region directory and /dev/shm in every bad state, namespaces, users,
privileges, closed standard descriptors, loader and allocator settings, set-user-ID and file capabilities.

Each is a shell script that arranges something and ends in the program, or variables. What a script makes is in a directory
of its own or in a private mount namespace.
"""
import os
import shutil
import subprocess

import harness

PRIVATE = "mount --make-rprivate / && "
SHM = PRIVATE + "mount -t tmpfs -o mode=1777{} none /dev/shm && "
# /etc as it is, with a file of its own on top that only this namespace has.
ETC = PRIVATE + ("mkdir etc && mount -t tmpfs none etc && mkdir etc/upper etc/work && mount -t overlay "
                 "-o lowerdir=/etc,upperdir=etc/upper,workdir=etc/work none /etc && "
                 "echo \"$TP_SYSTEM\" >/etc/ld.so.preload && ")
DEFAULT = {"TICKBIRD_DIR": None}

# name: (script before the program, words that a case needs, variables)
SCRIPTS = {
    # the directory
    "dir_is_missing": ("", "noregion", {"TICKBIRD_DIR": "/nowhere/at/all"}),
    "dir_is_a_device": ("", "noregion", {"TICKBIRD_DIR": "/dev/null"}),
    "dir_is_a_file": ("touch f && TICKBIRD_DIR=$TMPDIR/f ", "noregion", {}),
    "dir_is_a_dangling_link": ("ln -s /nowhere l && TICKBIRD_DIR=$TMPDIR/l ", "noregion", {}),
    "dir_is_on_disk": ("mkdir d && TICKBIRD_DIR=$TMPDIR/d ", "noregion", {}),
    "dir_is_everybodys": ("chmod 777 \"$TICKBIRD_DIR\" && ", "noregion", {}),
    "dir_is_another_users": ("chown 12345 \"$TICKBIRD_DIR\" && ", "root noregion", {}),
    # /dev/shm
    "shm_is_empty": (SHM.format(""), "root mount", DEFAULT),
    "shm_is_full": (SHM.format(",size=16k") + "head -c 16384 /dev/zero >/dev/shm/full && ", "root mount", DEFAULT),
    "shm_has_one_page": (SHM.format(",size=4k"), "root mount", DEFAULT),
    "shm_has_little": (SHM.format(",size=64k"), "root mount", DEFAULT),
    "shm_has_no_inodes": (SHM.format(",nr_inodes=1"), "root mount", DEFAULT),
    "shm_is_read_only": (PRIVATE + "mount -t tmpfs -o ro none /dev/shm && ", "root mount", DEFAULT),
    "shm_is_missing": (PRIVATE + "mount -t tmpfs none /mnt && mkdir /mnt/dev && mount --rbind /dev /mnt/dev && "
                       "mount -t tmpfs none /dev && cp -a /mnt/dev/null /mnt/dev/zero /mnt/dev/urandom /dev && ", "root mount",
                       DEFAULT),
    "shm_is_a_disk": (PRIVATE + "mkdir shm && mount --bind shm /dev/shm && ", "root mount", DEFAULT),
    "tickbird_is_a_file": (SHM.format("") + "echo x >/dev/shm/tickbird && ", "root mount", DEFAULT),
    "tickbird_is_a_dangling_link": (SHM.format("") + "ln -s /nowhere /dev/shm/tickbird && ", "root mount", DEFAULT),
    "tickbird_is_a_link_to_a_directory": (SHM.format("") + "mkdir d && ln -s $PWD/d /dev/shm/tickbird && ", "root mount", DEFAULT),
    "tickbird_is_a_pipe": (SHM.format("") + "mkfifo /dev/shm/tickbird /dev/shm/tickbird-0 && ", "root mount", DEFAULT),
    "tickbird_is_a_strangers": (SHM.format("") + "mkdir -m 777 /dev/shm/tickbird /dev/shm/tickbird-0 && "
                                "chown 12345 /dev/shm/tickbird /dev/shm/tickbird-0 && ", "root mount", DEFAULT),
    "proc_is_missing": (PRIVATE + "mount -t tmpfs none /proc && ", "root mount", {}),
    # namespaces, users, privileges
    "own_user_space": ("exec unshare -Ur ", "root", {}),
    "own_process_space": ("exec unshare -p -f --mount-proc ", "root", {}),
    "own_net_space": ("exec unshare -n sh -c 'ip link set lo up && exec \"$@\"' sh ", "root ip", {}),
    "own_time_space": ("exec unshare -T --monotonic 864000 --boottime 864000 -f ", "root", {}),
    "own_everything": ("exec unshare -m -u -i -p -f -C --mount-proc ", "root", {}),
    "other_user": ("exec setpriv --reuid 65534 --regid 65534 --clear-groups ", "root noregion", {}),
    "no_privileges": ("exec setpriv --no-new-privs --bounding-set -all --inh-caps -all ", "root", {}),
    # descriptors and limits
    "input_is_closed": ("exec <&- && ", "", {}),
    "errors_are_closed": ("exec 2>&- && ", "", {}),
    "input_and_errors_are_closed": ("exec <&- 2>&- && ", "", {}),
    "more_is_open": ("exec 3</dev/null 7>/dev/null 9<>/dev/null && ", "", {}),
    "few_descriptors": ("ulimit -n 16 && ", "", {}),
    "no_core": ("ulimit -c 0 && ", "", {}),
    "little_stack": ("ulimit -s 100 && ", "", {}),
    "no_file_size": ("ulimit -f 0 && ", "noregion", {}),
    "little_memory": ("ulimit -v 100000 && ", "", {}),
    "hardly_any_memory": ("ulimit -v 12000 && ", "noregion", {}),
    "one_processor": ("exec taskset -c 0 ", "", {}),
    "fixed_addresses": ("exec setarch -R ", "", {}),
    "own_session": ("exec setsid -w ", "", {}),
    "interrupts_ignored": ("trap '' INT TERM HUP PIPE && ", "", {}),
    # the loader and the allocator
    "bound_at_once": ("", "", {"LD_BIND_NOW": "1"}),
    "allocator_checks": ("", "", {"GLIBC_TUNABLES": "glibc.malloc.check=3:glibc.malloc.perturb=85"}),
    "no_restartable_sequences": ("", "", {"GLIBC_TUNABLES": "glibc.pthread.rseq=0"}),
    # the agent's settings
    "switched_off": ("", "noregion", {"TICKBIRD_DISABLE": "1"}),
    "left_out": ("", "noregion", {"TICKBIRD_EXCLUDE": "*"}),
    "portable_code": ("", "", {"TICKBIRD_SIMD": "portable"}),
    "long_variables": ("", "noregion", {"TICKBIRD_DIR": "/" + "x" * 100000, "TICKBIRD_SERVICE": "y" * 100000}),
    # the whole machine's list, which the loader also obeys for programs with privileges of their own
    "system_wide": (ETC, "root mount system", {}),
    "system_wide_set_user_id": (ETC + "cp \"$1\" p && chown 65534:65534 p && chmod 6755 p && shift && set -- $PWD/p \"$@\" && ",
                                "root mount system noregion", {}),
    "system_wide_capabilities": (ETC + "cp \"$1\" p && setcap cap_net_bind_service+ep p && shift && "
                                 "set -- setpriv --reuid 65534 --regid 65534 --clear-groups $PWD/p \"$@\" && chmod 755 . && ",
                                 "root mount system noregion setcap", {}),
}
PROGRAMS = {"limits": ("serve_only",), "descriptors": ("lowest_first",)}


def missing_tool(needs):
    """Why something that a script needs is not there; None: it is."""
    if "mount" in needs and subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        return "no right to mount"
    for tool in ("ip", "setcap"):
        if tool in needs and not shutil.which(tool):
            return f"{tool} is not installed"
    return None


def cases():
    for name, (script, needs, env) in SCRIPTS.items():
        for program, names in PROGRAMS.items():
            for case in names:
                needed = [*needs.split(), "works"]
                is_prefix = "exec " in script and not script.rstrip().endswith("&&") or "TICKBIRD_DIR=" in script
                line = script + ("" if is_prefix else "exec ") + '"$@"'
                wrap = ["sh", "-c", line, "sh"]
                if "mount" in needed:
                    wrap = ["unshare", "-m", *wrap]
                if env is DEFAULT:
                    needed.append("noregion")  # it is in the namespace, or is not to be had
                argv = [os.path.join(harness.BIN, program), case, "awake"]
                yield harness.Case(f"in_{name}_{program}_{case}", argv, needed, wrap if script else (), env)
