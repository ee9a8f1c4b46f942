/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the reader of single values (json_pick.h) and the compiler of paths: any paths, any text. The answer is the
 * same whole, cut once, and byte by byte, for each instruction set; a text is never longer than promised and always
 * UTF-8.
 *
 * Input: paths, one a line, an empty line, the text. A path that starts with '#' is hashed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/scan.h"
#include "json_path.h"

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

/* Feeds @text in pieces of @piece bytes, each an allocation of its exact size. */
static enum tb_parse feed(tb_json_feed_fn *with, struct tb_json_pick *j, const struct tb_pick_set *set,
                          struct tb_bytes text, size_t first, size_t piece)
{
    enum tb_parse r = TB_PARSE_PARTIAL;
    memset(j, 0, sizeof(*j));
    for (size_t at = 0; at < text.len && r == TB_PARSE_PARTIAL;) {
        size_t n = at == 0 && first ? first : piece;
        n = n < text.len - at ? n : text.len - at;
        uint8_t *copy = malloc(n);
        memcpy(copy, text.ptr + at, n);
        r = with(j, set, tb_bytes(copy, n));
        free(copy);
        at += n;
    }
    return r;
}

static void must_agree(const struct tb_pick_set *set, const struct tb_json_pick *a, enum tb_parse ra,
                       const struct tb_json_pick *b, enum tb_parse rb)
{
    require(ra == rb, "another end");
    require(a->picks.found == b->picks.found, "other values are found");
    for (uint32_t i = 0; i < set->count; i++) {
        struct tb_bytes x = tb_pick_text(&a->picks, i), y = tb_pick_text(&b->picks, i);
        require(a->picks.values[i].kind == b->picks.values[i].kind && x.len == y.len && !memcmp(x.ptr, y.ptr, x.len),
                "another value");
        require(x.len <= TB_PICK_TEXT && (set->hashed >> i & 1 || tb_utf8_is_valid(x)), "no text");
    }
}

static void look(const struct tb_pick_set *set, struct tb_bytes text)
{
    static struct tb_json_pick whole, other;
    enum tb_parse r = feed(tb_json_feed_portable, &whole, set, text, 0, text.len);
    for (size_t i = 0; i < 3; i++) {
#ifdef TB_SCAN_X86
        if (i == 2 && tb_scan_best() != TB_SIMD_AVX2)
            continue;
        tb_json_feed_fn *with = i == 0 ? tb_json_feed_portable : i == 1 ? tb_json_feed_base : tb_json_feed_avx2;
#else
        tb_json_feed_fn *with = tb_json_feed_portable;
#endif
        must_agree(set, &whole, r, &other, feed(with, &other, set, text, 0, text.len));
        must_agree(set, &whole, r, &other, feed(with, &other, set, text, 0, 1));
        must_agree(set, &whole, r, &other, feed(with, &other, set, text, text.len / 2, text.len));
        must_agree(set, &whole, r, &other, feed(with, &other, set, text, 0, 67));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tb_pick_set set = {.key = {1, 2}};
    const uint8_t *p = data, *end = data + size;
    for (const uint8_t *lf; p < end && (lf = memchr(p, '\n', (size_t)(end - p))) != NULL && lf > p; p = lf + 1) {
        uint8_t path[TB_JSON_PATH_MAX];
        size_t len = 0, at = 0;
        bool is_hashed = *p == '#';
        struct tb_bytes text = tb_bytes(p + is_hashed, (size_t)(lf - p) - is_hashed);
        const char *wrong = tb_json_path_compile(text, path, &len, &at);
        require(at <= text.len, "a place outside of the path");
        if (!wrong)
            require(tb_json_set_add(&set, tb_bytes(path, len), is_hashed) || set.count == TB_PICKS ||
                        set.used + len > TB_PICK_BYTES,
                    "a path that the reader refuses");
    }
    if (p < end && *p == '\n')
        p++;
    if (set.count && p < end)
        look(&set, tb_bytes(p, (size_t)(end - p)));
    return 0;
}
