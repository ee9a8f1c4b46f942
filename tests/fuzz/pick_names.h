/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzz targets of form_pick.h and header_pick.h share. Input: names, one a line (one that starts with '#' is
 * hashed), an empty line, the text. The values must be the same whole, cut once, and byte by byte.
 */
#ifndef TB_FUZZ_PICK_NAMES_H
#define TB_FUZZ_PICK_NAMES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/pick.h"

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

typedef bool add_fn(struct tb_pick_set *set, struct tb_bytes name, bool is_hashed);
/* Reads @text in pieces of @piece bytes, each an allocation of its exact size. */
typedef void read_fn(const struct tb_pick_set *set, struct tb_bytes text, size_t piece, struct tb_picks *ret);

static void read_piece(struct tb_bytes text, size_t at, size_t piece, uint8_t **ret_copy, size_t *ret_len)
{
    size_t n = piece < text.len - at ? piece : text.len - at;
    *ret_copy = malloc(n);
    memcpy(*ret_copy, text.ptr + at, n);
    *ret_len = n;
}

static void fuzz_names(const uint8_t *data, size_t size, add_fn *add, read_fn *read)
{
    static struct tb_picks whole, other;
    struct tb_pick_set set = {.key = {1, 2}};
    const uint8_t *p = data, *end = data + size;
    for (const uint8_t *lf; p < end && (lf = memchr(p, '\n', (size_t)(end - p))) != NULL && lf > p; p = lf + 1) {
        bool is_hashed = *p == '#';
        (void)add(&set, tb_bytes(p + is_hashed, (size_t)(lf - p) - is_hashed), is_hashed);
    }
    if (p < end && *p == '\n')
        p++;
    if (!set.count || p == end)
        return;
    struct tb_bytes text = tb_bytes(p, (size_t)(end - p));
    read(&set, text, text.len, &whole);
    size_t pieces[] = {1, text.len / 2 + 1, 33};
    for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++) {
        read(&set, text, pieces[k], &other);
        require(whole.found == other.found, "other values are found");
        for (uint32_t i = 0; i < set.count; i++) {
            struct tb_bytes x = tb_pick_text(&whole, i), y = tb_pick_text(&other, i);
            require(whole.values[i].kind == other.values[i].kind && x.len == y.len && !memcmp(x.ptr, y.ptr, x.len),
                    "another value");
            require(x.len <= TB_PICK_TEXT && (set.hashed >> i & 1 || tb_utf8_is_valid(x)), "no text");
        }
    }
}

#endif
