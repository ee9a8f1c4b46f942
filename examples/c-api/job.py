#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A Python job that counts by tickbird.h without anything to build or install: the functions are looked up in the process itself.
Under `tickbird run -- ./job.py` they are there, elsewhere they are not, and the job does the same."""
import ctypes
import sys


class Label(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("value", ctypes.c_char_p)]


def counter(name, help_text, **labels):
    """A function that adds to the counter; one that does nothing where there is no Tickbird."""
    process = ctypes.PyDLL(None)  # PyDLL: these functions never block, so that the interpreter's lock may be kept
    try:
        get, add = process.tickbird_counter, process.tickbird_counter_add
    except AttributeError:
        return lambda by=1: None
    get.restype, add.restype = ctypes.c_void_p, None
    get.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(Label), ctypes.c_size_t]
    add.argtypes = [ctypes.c_void_p, ctypes.c_uint64]
    pairs = (Label * len(labels))(*[Label(k.encode(), v.encode()) for k, v in labels.items()])
    series = get(name.encode(), help_text.encode(), pairs, len(pairs))
    return lambda by=1: add(series, by)


def main():
    words = counter("job_words_total", "Words that were read.", language="any")
    lines = counter("job_lines_total", "Lines that were read.")
    total = 0
    for line in sys.stdin:
        count = len(line.split())
        words(count)
        lines()
        total += count
    print(total)


main()
