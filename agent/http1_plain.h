/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The most common heads of all, read without any state: "GET /path HTTP/1.1" without a body that fills its range, and a
 * final HTTP/1.1 response with a Content-Length. Anything else is refused, and read by the general parsers, which give
 * the same answers for what is not refused (tests/unit/test_kept.c, tests/fuzz/fuzz_http1.c).
 *
 * Pure functions; nothing outside of the range is read. Compiled once per instruction set (exchange_hot.h).
 */
#ifndef TB_HTTP1_PLAIN_H
#define TB_HTTP1_PLAIN_H

#include "http1_whole.h"

#define WORD_BLANK_LINE 0x0a0d0a0du
#define WORD_CRLF 0x0a0du
#define WORD_V11_200 UINT64_C(0x2030303220312e31) /* 1.1 200 and a blank */

static inline uint16_t load16(const uint8_t *p)
{
    uint16_t v;
    __builtin_memcpy(&v, p, 2);
    return v;
}

/* Is one of the lines that follow the line feeds of @mask, whose first bit is @p, more than a header without meaning
 * for the framing? The last line feed stands 3 bytes before @end. */
static inline __attribute__((always_inline)) bool has_meaning(const uint8_t *p, uint64_t mask, const uint8_t *end)
{
    for (; mask; mask &= mask - 1) {
        size_t at = lowest_bit(mask);
        if (TB_LIKELY(!may_matter(p[at + 1])))
            continue;
        const uint8_t *line = p + at + 1;
        if (TB_UNLIKELY(*line <= ' '))
            return true; /* an empty line before the last one, or the line before goes on */
        if (TB_UNLIKELY(end - line < 8))
            continue; /* too short for a framing header */
        uint64_t word = tb_read64(line) | CASE_BITS;
        if (TB_UNLIKELY(word == WORD_CONTENT) || TB_UNLIKELY(word == WORD_TRANSFER))
            return true;
    }
    return false;
}

/* @p is at the end of the start line, [.., end) ends with an empty line and has TB_PLAIN_BYTES or more. */
static inline bool is_bodiless(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *last = end - 3 - STEP; /* without the line feed before the empty line */
    bare_cr bare = no_bare_cr();

    for (; p <= last; p += STEP)
        if (TB_UNLIKELY(has_meaning(p, line_feeds(p, &bare), end)))
            return false;
    size_t seen = (size_t)(p - last);
    if (seen < STEP && TB_UNLIKELY(has_meaning(p, line_feeds(last, &bare) >> seen, end)))
        return false;
    return !has_bare_cr(bare);
}

static inline const uint8_t *find_blank(const uint8_t *p, const uint8_t *end)
{
    while (p < end && *p != ' ' && *p != '\n')
        p++;
    return p;
}

size_t TB_PLAIN_GET(const uint8_t *p, size_t len)
{
    const uint8_t *end = p + len;

    if (TB_UNLIKELY(tb_read32(p) != WORD_GET) || TB_UNLIKELY(p[4] != '/') ||
        TB_UNLIKELY(tb_read32(end - 4) != WORD_BLANK_LINE))
        return 0;
    const uint8_t *cut = path_end(p + 4, end), *blank = cut;
    if (TB_UNLIKELY(end - cut < 12))
        return 0;
    if (TB_UNLIKELY(*cut != ' ')) {
        blank = find_blank(cut, end - 12);
        if (*blank != ' ')
            return 0;
    }
    if (TB_UNLIKELY(tb_read64(blank + 1) != WORD_HTTP11) || TB_UNLIKELY(load16(blank + 9) != WORD_CRLF) ||
        TB_UNLIKELY(cut - p > (ptrdiff_t)(TB_PATH_MAX + 4)) || TB_UNLIKELY(!is_bodiless(blank + 10, end)))
        return 0;
    return (size_t)(cut - p) - 4;
}

/* The number of up to seven digits at @d, 9 bytes of which may be read, if CR LF follow it. */
static inline bool read_number(const uint8_t *d, uint64_t *ret)
{
    uint64_t v = tb_read64(d) ^ UINT64_C(0x3030303030303030);
    /* the top bit of each byte that is no digit; what a carry adds is behind the first of them */
    uint64_t others = ((v + UINT64_C(0x7676767676767676)) | v) & UINT64_C(0x8080808080808080);
    if (TB_UNLIKELY(!others))
        return false;
    size_t digits = lowest_bit(others) / 8;
    if (TB_UNLIKELY(!digits) || TB_UNLIKELY(load16(d + digits) != WORD_CRLF))
        return false;
    v <<= 64 - 8 * digits; /* leading zeroes */
    v = (v * (1 + (10 << 8)) >> 8) & UINT64_C(0x00ff00ff00ff00ff);
    v = (v * (1 + (100 << 16)) >> 16) & UINT64_C(0x0000ffff0000ffff);
    *ret = v * (1 + (UINT64_C(10000) << 32)) >> 32;
    return true;
}

#define NO_LENGTH UINT64_MAX
#define CONTENT_BYTES 27 /* what plain_content() may read of a line */
#define CASE_OF_6 UINT64_C(0x0000202020202020)
#define BYTES_6 UINT64_C(0x0000ffffffffffff)
#define WORD_TYPE_6 UINT64_C(0x0000203a65707974) /* type, colon, blank */

/* A line that begins with "content-": false when it is not understood here. */
static inline __attribute__((always_inline)) bool plain_content(const uint8_t *line, uint64_t *length)
{
    uint64_t second = tb_read64(line + 8) | CASE_OF_6;

    if (TB_UNLIKELY(line[7] != '-')) /* with bit 5, CR is taken for it */
        return false;
    if (TB_LIKELY(second == WORD_LENGTH))
        return TB_LIKELY(*length == NO_LENGTH) && read_number(line + 16, length);
    if (TB_LIKELY((second & BYTES_6) == WORD_TYPE_6)) {
        uint64_t type = tb_read64(line + 14) | CASE_BITS; /* its first letters tell that it is no stream's */
        if (TB_UNLIKELY(line[14] == ' ') || TB_UNLIKELY(type == WORD_TEXT_EVE))
            return false;
        return type != WORD_MULTIPAR;
    }
    /* a length or a type in another form is not for here */
    return ((second ^ WORD_LENGTH) & BYTES_6) && (uint32_t)second != WORD_TYPE;
}

/* The lines behind the line feeds of @mask. True: *ret_behind is where the head ends, NULL when it is refused. */
static inline __attribute__((always_inline)) bool end_of_head(const uint8_t *p, uint64_t mask, const uint8_t *end,
                                                              uint64_t *length, const uint8_t **ret_behind)
{
    for (; mask; mask &= mask - 1) {
        size_t at = lowest_bit(mask);
        if (TB_LIKELY(!may_matter(p[at + 1])))
            continue;
        const uint8_t *line = p + at + 1;
        if (*line <= ' ') { /* the empty line; anything else, also a line that goes on, is refused */
            if (TB_UNLIKELY(end - line < 2) || TB_UNLIKELY(load16(line) != WORD_CRLF) ||
                TB_UNLIKELY(*length == NO_LENGTH))
                goto refuse;
            *ret_behind = line + 2;
            return true;
        }
        if (TB_UNLIKELY(end - line < CONTENT_BYTES))
            goto refuse;
        uint64_t word = tb_read64(line) | CASE_BITS;
        if (word == WORD_CONTENT) {
            if (TB_UNLIKELY(!plain_content(line, length)))
                goto refuse;
        } else if (TB_UNLIKELY(word == WORD_TRANSFER)) {
            goto refuse;
        }
    }
    return false;
refuse:
    *ret_behind = NULL;
    return true;
}

static inline const uint8_t *walk_with_length(const uint8_t *p, const uint8_t *end, uint64_t *length)
{
    const uint8_t *last = end - 1 - STEP, *behind; /* the last byte has none behind it */

    for (; p <= last; p += STEP)
        if (end_of_head(p, line_feeds(p, NULL), end, length, &behind))
            return behind;
    size_t seen = (size_t)(p - last);
    if (seen < STEP && end_of_head(p, line_feeds(last, NULL) >> seen, end, length, &behind))
        return behind;
    return NULL;
}

struct tb_plain_response TB_PLAIN_RESPONSE(const uint8_t *p, size_t len) {
    struct tb_plain_response refused = {0, 0};
    uint64_t status = 200, length = NO_LENGTH;

    if (TB_UNLIKELY(tb_read64(p) != WORD_HTTP11))
        return refused;
    if (TB_UNLIKELY(tb_read64(p + 5) != WORD_V11_200)) {
        uint32_t digits = (tb_read32(p + 9) & 0xffffff) - 0x303030;
        if (((digits | (digits + 0x767676)) & 0x808080) || p[8] != ' ' || p[12] != ' ')
            return refused;
        status = (digits & 0xff) * 100 + (digits >> 8 & 0xff) * 10 + (digits >> 16);
        if (status < 200 || status == 204 || status == 304)
            return refused;
    }
    const uint8_t *behind = walk_with_length(p + 12, p + len, &length);
    if (TB_UNLIKELY(!behind))
        return refused;
    return (struct tb_plain_response){status << 48 | (uint64_t)(behind - p), length};
}

#endif
