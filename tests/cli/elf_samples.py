# SPDX-License-Identifier: Apache-2.0
"""Program files made by hand: only as much of an ELF file as says what it is."""
import struct

EM_386, EM_X86_64, EM_AARCH64 = 3, 62, 183
PT_LOAD, PT_INTERP, PT_NOTE = 1, 3, 4


def elf64(machine, segments=(), kind=3):
    """segments: (type, content); their bytes follow the program headers."""
    head, table = 64, 56 * len(segments)
    bodies, headers, at = b"", b"", head + table
    for type_, content in segments:
        headers += struct.pack("<IIQQQQQQ", type_, 4, at, at, at, len(content), len(content), 1)
        bodies += content
        at += len(content)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    return ident + struct.pack("<HHIQQQIHHHHHH", kind, machine, 1, 0, head, 0, 0, 64, 56, len(segments), 0, 0, 0) + \
        headers + bodies


def elf32(machine):
    ident = b"\x7fELF\x01\x01\x01" + bytes(9)
    return ident + struct.pack("<HHIIIIIHHHHHH", 2, machine, 1, 0, 52, 0, 0, 52, 32, 0, 0, 0, 0)


def interp(path="/lib64/ld-linux-x86-64.so.2"):
    return (PT_INTERP, path.encode() + b"\0")


def go_note():
    return (PT_NOTE, struct.pack("<III", 4, 8, 4) + b"Go\0\0" + b"abcdefgh")
