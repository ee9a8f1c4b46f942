/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The common case: a head that lies whole in one range, with an ordinary start line. One pass over the bytes, 64 a
 * step, that looks only at the byte behind each line feed: an empty line ends the head, C and T may begin a framing
 * header. Whatever is out of the ordinary is left, untouched, to the general parsers of http1.c and http1_head.c, which
 * give the same answers.
 *
 * Compiled once per instruction set (exchange_hot.h).
 */
#ifndef TB_HTTP1_WHOLE_H
#define TB_HTTP1_WHOLE_H

#include "http1.h"

static inline uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    __builtin_memcpy(&v, p, 8);
    return v;
}

static inline uint32_t load32(const uint8_t *p)
{
    uint32_t v;
    __builtin_memcpy(&v, p, 4);
    return v;
}

#define CASE_BITS UINT64_C(0x2020202020202020)
#define WORD_CONTENT UINT64_C(0x2d746e65746e6f63)  /* content- */
#define WORD_TRANSFER UINT64_C(0x726566736e617274) /* transfer */
#define WORD_HTTP11 UINT64_C(0x312e312f50545448)   /* HTTP/1.1 */
#define WORD_HTTP10 UINT64_C(0x302e312f50545448)   /* HTTP/1.0 */
#define WORD_GET 0x20544547u                       /* "GET " */
#define WORD_POST 0x54534f50u
#define WORD_HEAD 0x44414548u
#define WORD_LENGTH UINT64_C(0x203a6874676e656c)   /* "length: " */
#define WORD_TYPE 0x65707974u                      /* type */
#define WORD_TEXT_EVE UINT64_C(0x6576652f74786574) /* text/eve */
#define WORD_MULTIPAR UINT64_C(0x72617069746c756d) /* multipar */
#define COLON_BLANK 0x203au
#define STEP 64

/*
 * What may follow a line feed that is worth a look: CR, LF, C, T. By the low four bits of a byte, the one byte with bit
 * 5 set that is wanted; '-' and '*' come along and are sorted out later.
 */
#define WANTED_A 0x2a /* LF */
#define WANTED_D 0x2d /* CR */

/* A bit for each of the STEP bytes at @p that is a line feed with such a byte behind it. Reads STEP + 1 bytes. */
#if TB_HOT_AVX2
static inline uint64_t special_lines(const uint8_t *p)
{
    const __m256i wanted = _mm256_setr_epi8(1, 1, 1, 'c', 't', 1, 1, 1, 1, 1, WANTED_A, 1, 1, WANTED_D, 1, 1, 1, 1, 1,
                                            'c', 't', 1, 1, 1, 1, 1, WANTED_A, 1, 1, WANTED_D, 1, 1);
    const __m256i lf = _mm256_set1_epi8('\n'), bit5 = _mm256_set1_epi8(0x20);
    uint64_t mask = 0;
    for (int i = 1; i >= 0; i--) {
        __m256i here = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32 * i));
        __m256i next = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32 * i + 1));
        __m256i hit = _mm256_cmpeq_epi8(_mm256_shuffle_epi8(wanted, next), _mm256_or_si256(next, bit5));
        hit = _mm256_and_si256(hit, _mm256_cmpeq_epi8(here, lf));
        mask = mask << 32 | (uint32_t)_mm256_movemask_epi8(hit);
    }
    return mask;
}
#elif defined(TB_SCAN_X86) && !defined(TB_HOT_PORTABLE)
static inline uint64_t special_lines(const uint8_t *p)
{
    const __m128i lf = _mm_set1_epi8('\n'), bit5 = _mm_set1_epi8(0x20);
    uint64_t mask = 0;
    for (int i = 3; i >= 0; i--) {
        __m128i here = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i));
        __m128i next = _mm_or_si128(_mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i + 1)), bit5);
        /* every byte below '.' is one of CR, LF or rare; signed, so bytes from 0x80 come along */
        __m128i hit = _mm_or_si128(
            _mm_cmplt_epi8(next, _mm_set1_epi8('.')),
            _mm_or_si128(_mm_cmpeq_epi8(next, _mm_set1_epi8('c')), _mm_cmpeq_epi8(next, _mm_set1_epi8('t'))));
        hit = _mm_and_si128(hit, _mm_cmpeq_epi8(here, lf));
        mask = mask << 16 | (uint32_t)_mm_movemask_epi8(hit);
    }
    return mask;
}
#else
static inline uint64_t special_lines(const uint8_t *p)
{
    return tb_scan_mask_portable(p, '\n') | (uint64_t)tb_scan_mask_portable(p + 32, '\n') << 32;
}
#endif

/* Digits behind "Content-Length: " and nothing else before the line's end; the first such header. The common case in
 * few steps. */
static inline bool read_length(struct tb_message *m, const uint8_t *p, const uint8_t *end)
{
    uint64_t number = 0;
    const uint8_t *first = p;

    for (; p < end && (uint8_t)(*p - '0') < 10; p++)
        number = number * 10 + (uint8_t)(*p - '0');
    if (p == first || p - first > 17 || end - p < 3 || p[0] != '\r' || p[1] != '\n' || p[2] == ' ' || p[2] == '\t' ||
        (m->flags & TB_MSG_HAS_LENGTH))
        return false;
    m->number = number;
    m->flags |= TB_MSG_HAS_LENGTH;
    return true;
}

/* A line at @line that begins with "content-" or "transfer" in any case; 16 bytes may be read. */
static inline void framing_header(struct tb_message *m, const uint8_t *line, const uint8_t *end)
{
    uint64_t second = load64(line + 8), lower = second | CASE_BITS;

    if (TB_LIKELY(lower == WORD_LENGTH)) {
        if (second >> 48 == COLON_BLANK && line[7] == '-' && read_length(m, line + 16, end))
            return;
    } else if ((uint32_t)lower == WORD_TYPE && end - line >= 24) {
        /* a type that is no stream's, by its first letters */
        uint64_t type = load64(line + 14) | CASE_BITS;
        if (line[12] == ':' && line[13] == ' ' && line[14] != ' ' && type != WORD_TEXT_EVE && type != WORD_MULTIPAR)
            return;
    }
    tb_http1_framing_header(m, line, end);
}

/*
 * Walk from inside the start line to behind the empty line. Returns NULL when the head does not end in [p, end). At
 * least STEP + 1 bytes lie before @end.
 */
static inline const uint8_t *walk(struct tb_message *m, const uint8_t *p, const uint8_t *end)
{
    for (const uint8_t *q = p;; q += STEP) {
        size_t left = (size_t)(end - q);
        uint64_t mask;
        if (TB_LIKELY(left > STEP))
            mask = special_lines(q);
        else if (left > 1) /* overlap with what was seen already; the last byte has none behind it */
            mask = special_lines(end - STEP - 1) >> (STEP + 1 - left);
        else
            return NULL;
        for (; mask; mask &= mask - 1) {
            const uint8_t *lf = q + __builtin_ctzll(mask);
            if (lf[1] == '\r') {
                if (end - lf > 2 && lf[2] == '\n')
                    return lf + 3;
            } else if (TB_UNLIKELY(lf[1] == '\n')) {
                return lf + 2;
            } else if (TB_LIKELY(end - lf > 16)) {
                uint64_t word = load64(lf + 1) | CASE_BITS;
                if (word == WORD_CONTENT || word == WORD_TRANSFER)
                    framing_header(m, lf + 1, end);
            }
        }
        if (left <= STEP)
            return NULL;
    }
}

/* The first byte of '?', '#' or ' ' in [p, end), or end. */
static inline const uint8_t *path_end(const uint8_t *p, const uint8_t *end)
{
#if defined(TB_SCAN_X86) && !defined(TB_HOT_PORTABLE)
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8(' ')), _mm_cmpeq_epi8(v, _mm_set1_epi8('?')));
        hit = _mm_or_si128(hit, _mm_cmpeq_epi8(v, _mm_set1_epi8('#')));
        uint32_t mask = (uint32_t)_mm_movemask_epi8(hit);
        if (mask)
            return p + __builtin_ctz(mask);
    }
#endif
    while (p < end && *p != ' ' && *p != '?' && *p != '#')
        p++;
    return p;
}

static inline bool whole_request(struct tb_message *m, struct tb_bytes *in, struct tb_start_line *ret)
{
    const uint8_t *p = in->ptr, *end = p + in->len, *path;
    uint8_t method;

    if (TB_UNLIKELY(in->len <= STEP))
        return false;
    uint32_t word = load32(p);
    if (TB_LIKELY(word == WORD_GET)) {
        method = TB_METHOD_GET;
        path = p + 4;
    } else if ((word == WORD_POST || word == WORD_HEAD) && p[4] == ' ') {
        method = word == WORD_POST ? TB_METHOD_POST : TB_METHOD_HEAD;
        path = p + 5;
    } else {
        return false;
    }
    const uint8_t *cut = path_end(path, end), *blank = cut;
    if (cut == path || cut - path > (ptrdiff_t)TB_PATH_MAX)
        return false;
    while (blank < end && *blank != ' ')
        blank++;
    if (TB_UNLIKELY(end - blank < 12))
        return false;
    /* blank, HTTP/1.1 or HTTP/1.0, CR LF */
    uint64_t version = load64(blank + 1);
    if (TB_UNLIKELY(version != WORD_HTTP11 && version != WORD_HTTP10) || blank[9] != '\r' || blank[10] != '\n')
        return false;
    struct tb_message saved = *m;
    *m = (struct tb_message){.phase = TB_PHASE_HEADERS,
                             .flags = version == WORD_HTTP10 ? TB_MSG_VERSION_10 : 0,
                             .method = method,
                             .is_next = 1};
    const uint8_t *behind = walk(m, blank + 10, end);
    if (TB_UNLIKELY(!behind)) {
        *m = saved;
        return false;
    }
    if (TB_UNLIKELY(m->flags & TB_MSG_HAS_CODING))
        tb_http1_judge(m, true);
    ret->path = tb_bytes(path, (size_t)(cut - path));
    ret->method = method;
    ret->is_cut = false;
    ret->is_http2 = false;
    in->ptr = behind;
    in->len = (size_t)(end - behind);
    return true;
}

static inline bool whole_response(struct tb_message *m, struct tb_bytes *in)
{
    const uint8_t *p = in->ptr, *end = p + in->len;

    if (TB_UNLIKELY(in->len <= STEP))
        return false;
    uint64_t version = load64(p);
    if (TB_UNLIKELY((version != WORD_HTTP11 && version != WORD_HTTP10) || p[8] != ' ' || p[12] != ' '))
        return false;
    uint32_t digits = load32(p + 9) & 0xffffff;
    /* each of the three bytes is '0'..'9', the first is not '0' */
    if (TB_UNLIKELY((((digits + 0x464646) | (digits - 0x303030)) & 0x808080) || p[9] == '0'))
        return false;
    digits -= 0x303030;
    struct tb_message saved = *m;
    *m = (struct tb_message){.phase = TB_PHASE_HEADERS,
                             .flags = version == WORD_HTTP10 ? TB_MSG_VERSION_10 : 0,
                             .extra = (uint16_t)((digits & 0xff) * 100 + (digits >> 8 & 0xff) * 10 + (digits >> 16)),
                             .is_next = 1};
    const uint8_t *behind = walk(m, p + 12, end);
    if (TB_UNLIKELY(!behind)) {
        *m = saved;
        return false;
    }
    in->ptr = behind;
    in->len = (size_t)(end - behind);
    return true;
}

/* ---- the most common heads of all, without any state ---- */

/*
 * A request without a body: [p, end) from inside its start line. Returns where its head ends; NULL when that is not in
 * the range, or a framing header is among its lines.
 */
static inline const uint8_t *walk_bodiless(const uint8_t *p, const uint8_t *end)
{
    for (const uint8_t *q = p;; q += STEP) {
        size_t left = (size_t)(end - q);
        uint64_t mask;
        if (TB_LIKELY(left > STEP))
            mask = special_lines(q);
        else if (left > 1)
            mask = special_lines(end - STEP - 1) >> (STEP + 1 - left);
        else
            return NULL;
        for (; mask; mask &= mask - 1) {
            const uint8_t *lf = q + __builtin_ctzll(mask);
            if (lf[1] == '\r') {
                if (end - lf > 2 && lf[2] == '\n')
                    return lf + 3;
            } else if (lf[1] == '\n') {
                return lf + 2;
            } else if (end - lf > 8) {
                uint64_t word = load64(lf + 1) | CASE_BITS;
                if (TB_UNLIKELY(word == WORD_CONTENT || word == WORD_TRANSFER))
                    return NULL;
            }
        }
        if (left <= STEP)
            return NULL;
    }
}

/*
 * A response with one plain Content-Length, no coding and no stream's type. Returns where its head ends, and the
 * length; NULL when it is anything else.
 */
static inline const uint8_t *walk_with_length(const uint8_t *p, const uint8_t *end, uint64_t *ret_length)
{
    uint64_t length = UINT64_MAX;

    for (const uint8_t *q = p;; q += STEP) {
        size_t left = (size_t)(end - q);
        uint64_t mask;
        if (TB_LIKELY(left > STEP))
            mask = special_lines(q);
        else if (left > 1)
            mask = special_lines(end - STEP - 1) >> (STEP + 1 - left);
        else
            return NULL;
        for (; mask; mask &= mask - 1) {
            const uint8_t *lf = q + __builtin_ctzll(mask);
            if (lf[1] == '\r') {
                if (end - lf <= 2 || lf[2] != '\n')
                    continue;
                *ret_length = length;
                return length == UINT64_MAX ? NULL : lf + 3;
            }
            if (TB_UNLIKELY(end - lf < 26))
                return NULL; /* too near to the end to be looked at in words */
            uint64_t word = load64(lf + 1) | CASE_BITS;
            if (word != WORD_CONTENT) {
                if (TB_UNLIKELY(word == WORD_TRANSFER || lf[1] == '\n'))
                    return NULL;
                continue;
            }
            uint64_t second = load64(lf + 9), lower = second | CASE_BITS;
            if (lower == WORD_LENGTH) {
                const uint8_t *d = lf + 17;
                uint8_t digit = (uint8_t)(*d - '0');
                if (TB_UNLIKELY(second >> 48 != COLON_BLANK || lf[8] != '-' || length != UINT64_MAX || digit > 9))
                    return NULL;
                length = 0;
                do { /* ends at the latest at the line's end; a value of more than 18 digits is refused below */
                    length = length * 10 + digit;
                    digit = (uint8_t)(*++d - '0');
                } while (digit <= 9 && end - d > 3);
                if (TB_UNLIKELY(d - lf > 17 + 18 || d[0] != '\r' || d[1] != '\n' || d[2] == ' ' || d[2] == '\t'))
                    return NULL;
            } else if ((uint32_t)lower == WORD_TYPE) {
                uint64_t type = load64(lf + 15) | CASE_BITS;
                if (TB_UNLIKELY(lf[13] != ':' || lf[14] != ' ' || lf[15] == ' ' || type == WORD_TEXT_EVE ||
                                type == WORD_MULTIPAR))
                    return NULL;
            }
        }
        if (left <= STEP)
            return NULL;
    }
}

#endif
