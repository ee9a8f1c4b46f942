/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Globs (glob.h), matched as a set of positions: after each byte of the text, everywhere in the glob where a match
 * could be now. So a glob of many stars costs no more than its length for each byte.
 */
#include "glob.h"

#define WORDS 4u /* positions 0 to TB_GLOB_MAX, one bit each */
_Static_assert(TB_GLOB_MAX < WORDS * 64, "a position is a bit");

/* One byte of a bracket at *@at, an escaped one too. False at its end or at the end of the glob. */
static bool bracket_byte(struct tb_bytes glob, size_t *at, uint8_t *ret)
{
    if (*at < glob.len && glob.ptr[*at] == '\\')
        ++*at;
    if (*at >= glob.len)
        return false;
    *ret = glob.ptr[(*at)++];
    return true;
}

/*
 * The bracket at @at: its length, 0 when it is none. *@ret_has says whether @c is in it (before a `!`).
 */
static size_t bracket(struct tb_bytes glob, size_t at, uint8_t c, bool *ret_has)
{
    size_t start = at++;
    bool is_negated = at < glob.len && (glob.ptr[at] == '!' || glob.ptr[at] == '^'), is_found = false;

    at += is_negated;
    for (size_t first = at; at == first || at >= glob.len || glob.ptr[at] != ']';) {
        uint8_t low, high;
        if (at + 1 < glob.len && glob.ptr[at] == '[' &&
            (glob.ptr[at + 1] == ':' || glob.ptr[at + 1] == '.' || glob.ptr[at + 1] == '='))
            return 0;
        if (!bracket_byte(glob, &at, &low))
            return 0;
        high = low;
        if (at + 1 < glob.len && glob.ptr[at] == '-' && glob.ptr[at + 1] != ']') {
            at++;
            if (!bracket_byte(glob, &at, &high) || high < low)
                return 0;
        }
        is_found |= low <= c && c <= high;
    }
    *ret_has = is_found != is_negated;
    return at + 1 - start;
}

static size_t stars(struct tb_bytes glob, size_t at)
{
    size_t n = 0;
    while (at + n < glob.len && glob.ptr[at + n] == '*')
        n++;
    return n;
}

bool tb_glob_is_valid(struct tb_bytes glob, enum tb_glob_kind kind)
{
    if (glob.len == 0 || glob.len > TB_GLOB_MAX)
        return false;
    for (size_t at = 0, len; at < glob.len; at += len) {
        bool has = false;
        len = 1;
        if (glob.ptr[at] == '\\')
            len = at + 1 < glob.len ? 2 : 0;
        else if (glob.ptr[at] == '[')
            len = bracket(glob, at, '/', &has);
        if (len == 0 || glob.ptr[at] == 0)
            return false;
        for (size_t i = 0; kind == TB_GLOB_PATH && glob.ptr[at] == '[' && i < len; i++)
            if (glob.ptr[at + i] == '/')
                return false;
    }
    return true;
}

/* A match may be at @at from now on, and behind the stars there. */
static void reach(struct tb_bytes glob, uint64_t *set, size_t at)
{
    set[at / 64] |= UINT64_C(1) << at % 64;
    at += stars(glob, at);
    set[at / 64] |= UINT64_C(1) << at % 64;
}

/* From position @at over the byte @c. */
static void step(struct tb_bytes glob, enum tb_glob_kind kind, size_t at, uint8_t c, uint64_t *next)
{
    if (at >= glob.len)
        return;
    bool is_wall = kind == TB_GLOB_PATH && c == '/', has = false;
    size_t len = 1;

    switch (glob.ptr[at]) {
    case '*':
        if (!is_wall || stars(glob, at) > 1)
            reach(glob, next, at);
        return;
    case '?':
        has = !is_wall;
        break;
    case '[':
        len = bracket(glob, at, c, &has);
        has = has && !is_wall && len;
        break;
    case '\\':
        len = 2;
        has = at + 1 < glob.len && glob.ptr[at + 1] == c;
        break;
    default:
        has = glob.ptr[at] == c;
    }
    if (has)
        reach(glob, next, at + len);
}

bool tb_glob_matches(struct tb_bytes glob, enum tb_glob_kind kind, const char *text)
{
    uint64_t now[WORDS] = {0};

    if (glob.len > TB_GLOB_MAX)
        return false;
    reach(glob, now, 0);
    for (const uint8_t *c = (const uint8_t *)text; *c; c++) {
        uint64_t next[WORDS] = {0}, any = 0;
        for (size_t w = 0; w < WORDS; w++)
            for (uint64_t bits = now[w]; bits; bits &= bits - 1)
                step(glob, kind, w * 64 + (size_t)__builtin_ctzll(bits), *c, next);
        for (size_t w = 0; w < WORDS; w++)
            any |= now[w] = next[w];
        if (!any)
            return false;
    }
    return now[glob.len / 64] >> glob.len % 64 & 1;
}
