# SPDX-License-Identifier: Apache-2.0
"""Deliberately harmful objects (harmful/harmful.c): the comparison must report each of them, and the harmless one never."""
import os
import re
import subprocess
import tempfile

import harness

SOURCE = os.path.join(harness.HERE, "harmful/harmful.c")
SECONDS = 5  # for one run of a harmful object: some hang
# Where each is expected to show, tried first; whatever is not found there is looked for in all cases.
HINTS = {
    "errno_zeroed": "calls_receiving", "errno_left_on_success": "calls_receiving", "failure_hidden": "edges_bad_pointers",
    "message_looked_at": "edges_bad_pointers", "lock_around_calls": "threads_closed_under_a_reader",
    "system_call_added": "filters_own_filter_awake", "much_stack": "threads_smallest_stacks",
    "counter_read": "filters_no_counter_by_number", "cancellation_lost": "threads_cancelled_awake",
    "eintr_retried": "signals_interrupted", "flags_dropped": "edges_flags", "short_writes": "edges_full",
    "accept_flags_dropped": "edges_accept_flags", "close_guarded": "limits_no_descriptors",
    "fd_kept_on_listen": "limits_serve_only", "vfork_wrapped": "processes_vfork", "fd_kept": "limits_fds_only",
    "sigpipe_ignored": "edges_broken_pipe", "handler_installed": "signals_masks", "signal_blocked": "signals_masks",
    "variable_removed": "limits_environment", "variable_added": "limits_environment",
    "memory_mapped": "limits_little_address_space", "thread_started": "limits_status", "output_on_stderr": "limits_fds_only",
    "limit_raised": "limits_all_limits", "core_prevented": "limits_crashes", "child_left": "limits_status",
    "errno_at_start": "limits_errno_at_start",
}


def harms():
    with open(SOURCE, encoding="ascii") as f:
        return sorted(set(re.findall(r"HARM_(\w+)", f.read())) - {"nothing"})


def make(name):
    return harness.compile_to(f"harmful/{name}.so", ["cc", "-D_GNU_SOURCE", "-O1", "-shared", "-fPIC", "-w",
                                                     "-fno-optimize-sibling-calls", f"-DHARM_{name}", SOURCE, "-ldl",
                                                     "-lpthread"], [SOURCE])


def differs(case, preload, seconds=SECONDS):
    """Whether a case shows the object, and how."""
    with harness.own_regions() as regions:
        return harness.Comparison(case, preload, regions, seconds).difference()


def unnoticed(name, cases):
    """What is wrong with a harm: that it shows nowhere. None when it shows, and where."""
    preload = make(name)
    hint = HINTS.get(name, "")
    for case in sorted(cases, key=lambda c: not hint or not c.name.startswith(hint)):
        how = differs(case, preload)
        if how:
            return None, f"{name} shows in {case.name}: {how[:140]}"
    return "no case shows it", None


def harmless_reported(cases):
    preload = make("nothing")
    chosen = sorted({h for h in HINTS.values()})
    for case in (c for c in cases if any(c.name.startswith(h) for h in chosen)):
        how = differs(case, preload, harness.SECONDS)
        if how:
            return f"{case.name}: {how}"
    return None


def malloc_unnoticed():
    """malloc in the path of a call shows in no behaviour: what the object imports is looked at (tests/lint/object.sh)."""
    with tempfile.TemporaryDirectory() as where:
        source, made = os.path.join(where, "m.c"), os.path.join(where, "libtickbird.so")
        with open(source, "w", encoding="ascii") as f:
            f.write("extern void *malloc(unsigned long);\nvoid *grow(void);\nvoid *grow(void) { return malloc(8); }\n")
        shim = os.path.join(harness.B, "shim")
        objects = [os.path.join(shim, f) for f in sorted(os.listdir(shim)) if f.endswith(".o")]
        agent = os.path.join(harness.B, "agent.a")
        subprocess.run(["cc", "-shared", "-nostdlib", "-fPIC", "-fvisibility=hidden", "-Wl,-soname,libtickbird.so",
                        "-Wl,--hash-style=both", "-Wl,-z,now", "-Wl,-z,relro", "-Wl,-z,noexecstack", "-Wl,-Bsymbolic",
                        "-Wl,--version-script=" + os.path.join(harness.ROOT, "shim/libtickbird.map"), "-o", made, source,
                        *objects, "-Wl,--whole-archive", agent, "-Wl,--no-whole-archive"], check=True)
        for part in ("agent.a", "agent", "shim"):
            os.symlink(os.path.join(harness.B, part), os.path.join(where, part))
        done = subprocess.run([os.path.join(harness.ROOT, "tests/lint/object.sh")], env={**os.environ, "B": where},
                              stdout=subprocess.PIPE, check=False)
    failed = re.findall(r"^not ok (\S+)", done.stdout.decode(), re.M)
    return None if failed == ["object_imports_are_weak_and_few"] else f"object.sh reports {failed}"
