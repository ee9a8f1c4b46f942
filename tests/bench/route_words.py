#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes agent/route_words.h, the hash table of API words, from tests/data/routes/words.txt; --check compares them.
With two file names: the header of another list.

A line of the list is `word whole part follow`, 0 to 7 each: how many API providers have the word as a whole segment, and as
a part of one (steps of 1, 2, 3, 5, 9, 18, 40 providers), and how often a value follows it (0 = not known).
"""
import os, sys

HERE = os.path.dirname(os.path.abspath(__file__))
LIST, HEADER = os.path.join(HERE, "../data/routes/words.txt"), os.path.join(HERE, "../../agent/route_words.h")
MIX, MASK = 0x9FB21C651E98DF25, (1 << 64) - 1


def segment_hash(word):
    """tb_segment_hash"""
    data, h, at = word.encode(), 0, 0
    while len(data) - at > 8:
        h = (h ^ int.from_bytes(data[at:at + 8], "little")) * MIX & MASK
        h ^= h >> 29
        at += 8
    h = (h ^ int.from_bytes(data[at:], "little")) * MIX & MASK
    h ^= h >> 29
    h = (h ^ len(data)) * MIX & MASK
    h ^= h >> 32
    return h & 0xFFFFFFFF or 1


def header(path=LIST):
    words = [line.split() for line in open(path, encoding="utf-8") if line.strip() and not line.startswith("#")]
    size = 1
    while size < len(words) * 1.5:
        size *= 2
    table = [0] * size
    for word, whole, part, follow in words:
        h = segment_hash(word)
        at = h & (size - 1)
        while table[at]:
            at = (at + 1) & (size - 1)
        table[at] = h >> 9 << 9 | int(whole) << 6 | int(part) << 3 | int(follow)
    rows = ["    " + ", ".join("0x%08x" % x for x in table[i:i + 9]) + "," for i in range(0, size, 9)]
    return """/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words of public APIs, made by tests/bench/route_words.py from tests/data/routes/words.txt: open addressing by
 * tb_segment_hash of the lower-case word; an entry is the hash's upper 23 bits and three numbers of 3 bits: whole,
 * part and follow. 0 = free.
 */
#ifndef TB_ROUTE_WORDS_H
#define TB_ROUTE_WORDS_H

#include <stdint.h>

#define TB_WORDS %du
/* clang-format off */
static const uint32_t words[TB_WORDS] = {
%s
};
/* clang-format on */

#endif
""" % (size, "\n".join(rows))


def main():
    if len(sys.argv) == 3:
        with open(sys.argv[2], "w", encoding="utf-8") as f:
            f.write(header(sys.argv[1]))
        return
    text = header()
    if "--check" in sys.argv:
        if open(HEADER, encoding="utf-8").read() != text:
            sys.exit("agent/route_words.h is not what tests/bench/route_words.py makes: run it")
        return
    with open(HEADER, "w", encoding="utf-8") as f:
        f.write(text)


if __name__ == "__main__":
    main()
