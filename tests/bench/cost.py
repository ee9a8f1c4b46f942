# SPDX-License-Identifier: Apache-2.0
"""What processes and region directories take, as the kernel says it; the bench programs share it."""
import os
import pathlib


def cpu_ns(pids):
    """Nanoseconds on a CPU, of all threads of @pids that live."""
    return sum(int(pathlib.Path(f"/proc/{pid}/task/{task}/schedstat").read_text(encoding="ascii").split()[0])
               for pid in pids for task in os.listdir(f"/proc/{pid}/task"))


def private_bytes(pid):
    """Private pages of a process, without the region, which is shared."""
    total, in_region = 0, False
    for line in open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace"):
        words = line.split()
        if "-" in words[0] and not words[0].endswith(":"):
            in_region = "/dev/shm/" in line
        elif words[0] in ("Private_Clean:", "Private_Dirty:") and not in_region:
            total += int(words[1]) * 1024
    return total


def region_bytes(test):
    """Pages of the region files of a harness.Test."""
    return sum(f.stat().st_blocks * 512 for f in test.region_dir.iterdir())
