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
 * A bit for each of the STEP bytes at @p that is a line feed. With @bare, it is not 0 from the first step on in which a
 * CR has no LF behind it, looked at from the byte before @p on: a head where one stands is left to the general parser,
 * which takes it for ambiguous.
 */
#if TB_HOT_AVX2
typedef __m256i bare_cr;

static inline __attribute__((always_inline)) bare_cr no_bare_cr(void)
{
    return _mm256_setzero_si256();
}

static inline __attribute__((always_inline)) bool has_bare_cr(bare_cr bare)
{
    return !_mm256_testz_si256(bare, bare);
}

static inline __attribute__((always_inline)) uint32_t line_feeds_part(const uint8_t *p, bare_cr *bare)
{
    const __m256i lf = _mm256_set1_epi8('\n'), cr = _mm256_set1_epi8('\r');
    __m256i is_lf = _mm256_cmpeq_epi8(_mm256_loadu_si256((const __m256i *)(const void *)p), lf);
    if (bare) {
        __m256i behind_cr = _mm256_cmpeq_epi8(_mm256_loadu_si256((const __m256i *)(const void *)(p - 1)), cr);
        *bare = _mm256_or_si256(*bare, _mm256_andnot_si256(is_lf, behind_cr));
    }
    return (uint32_t)_mm256_movemask_epi8(is_lf);
}

static inline __attribute__((always_inline)) uint64_t line_feeds(const uint8_t *p, bare_cr *bare)
{
    uint64_t low = line_feeds_part(p, bare);
    return low | (uint64_t)line_feeds_part(p + 32, bare) << 32;
}
#elif defined(TB_SCAN_X86) && !defined(TB_HOT_PORTABLE)
typedef __m128i bare_cr;

static inline __attribute__((always_inline)) bare_cr no_bare_cr(void)
{
    return _mm_setzero_si128();
}

static inline __attribute__((always_inline)) bool has_bare_cr(bare_cr bare)
{
    return _mm_movemask_epi8(bare);
}

static inline __attribute__((always_inline)) uint64_t line_feeds_part(const uint8_t *p, bare_cr *bare)
{
    __m128i is_lf = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)p), _mm_set1_epi8('\n'));
    if (bare) {
        __m128i before = _mm_loadu_si128((const __m128i *)(const void *)(p - 1));
        *bare = _mm_or_si128(*bare, _mm_andnot_si128(is_lf, _mm_cmpeq_epi8(before, _mm_set1_epi8('\r'))));
    }
    return (uint32_t)_mm_movemask_epi8(is_lf);
}

static inline __attribute__((always_inline)) uint64_t line_feeds(const uint8_t *p, bare_cr *bare)
{
    uint64_t low = line_feeds_part(p, bare) | line_feeds_part(p + 16, bare) << 16;
    return low | (line_feeds_part(p + 32, bare) | line_feeds_part(p + 48, bare) << 16) << 32;
}
#else
typedef uint64_t bare_cr;

static inline bare_cr no_bare_cr(void)
{
    return 0;
}

static inline bool has_bare_cr(bare_cr bare)
{
    return bare != 0;
}

static inline uint64_t portable_mask(const uint8_t *p, uint8_t byte)
{
    return tb_scan_mask_portable(p, byte) | (uint64_t)tb_scan_mask_portable(p + 32, byte) << 32;
}

static inline uint64_t line_feeds(const uint8_t *p, bare_cr *bare)
{
    uint64_t mask = portable_mask(p, '\n');
    if (bare)
        *bare |= portable_mask(p - 1, '\r') & ~mask;
    return mask;
}
#endif

/*
 * Is a line that begins with this byte worth a look: CR, LF, blank, tab, or C or T in any case? By the low six bits of
 * the byte, so a few others (I, J, M, '#', '4', ...) come along.
 */
static inline bool may_matter(uint8_t first)
{
    const uint64_t set = UINT64_C(1) << '\r' | UINT64_C(1) << '\n' | UINT64_C(1) << ' ' | UINT64_C(1) << '\t' |
                         UINT64_C(1) << ('C' & 63) | UINT64_C(1) << ('c' & 63) | UINT64_C(1) << ('T' & 63) |
                         UINT64_C(1) << ('t' & 63);
#if defined(TB_SCAN_X86) && !defined(TB_HOT_PORTABLE)
    bool is_in_set; /* one instruction; compilers make three of it */
    __asm__("bt %2, %1" : "=@ccc"(is_in_set) : "r"(set), "r"((uint64_t)first));
    return is_in_set;
#else
    return set >> (first & 63) & 1;
#endif
}

/* The lowest bit of a mask that is not 0. */
static inline size_t lowest_bit(uint64_t mask)
{
#if TB_HOT_AVX2
    uint64_t bit; /* without the instruction that compilers put before it for the sake of older machines */
    __asm__("tzcnt %1, %0" : "=r"(bit) : "r"(mask) : "cc");
    return bit;
#else
    return (size_t)__builtin_ctzll(mask);
#endif
}

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
    uint64_t second = tb_read64(line + 8), lower = second | CASE_BITS;

    if (TB_LIKELY(lower == WORD_LENGTH)) {
        if (second >> 48 == COLON_BLANK && line[7] == '-' && read_length(m, line + 16, end))
            return;
    } else if ((uint32_t)lower == WORD_TYPE && end - line >= 24) {
        /* a type that is no stream's, by its first letters */
        uint64_t type = tb_read64(line + 14) | CASE_BITS;
        if (line[12] == ':' && line[13] == ' ' && line[14] != ' ' && type != WORD_TEXT_EVE && type != WORD_MULTIPAR)
            return;
    }
    tb_http1_framing_header(m, line, end);
}

/*
 * Walk from inside the start line to behind the empty line. Returns NULL when the head does not end in [p, end), or
 * has a bare CR. At least STEP + 2 bytes lie before @end.
 */
static inline __attribute__((always_inline)) const uint8_t *walk(struct tb_message *m, bool is_request,
                                                                 const uint8_t *p, const uint8_t *end)
{
    const uint8_t *last = end - 1 - STEP; /* the last byte has none behind it */
    bare_cr all = no_bare_cr(), *bare = is_request ? &all : NULL;

    for (;; p += STEP) {
        uint64_t mask;
        if (TB_LIKELY(p <= last))
            mask = line_feeds(p, bare);
        else if (p < end - 1) /* overlap with what was seen already */
            mask = line_feeds(last, bare) >> (p - last);
        else
            return NULL;
        for (; mask; mask &= mask - 1) {
            size_t at = lowest_bit(mask) + 1;
            if (TB_LIKELY(!may_matter(p[at])))
                continue;
            const uint8_t *line = p + at;
            if (*line == '\r') {
                if (end - line > 1 && line[1] == '\n')
                    return TB_UNLIKELY(has_bare_cr(all)) ? NULL : line + 2;
            } else if (TB_UNLIKELY(*line == '\n')) {
                return TB_UNLIKELY(has_bare_cr(all)) ? NULL : line + 1;
            } else if (TB_LIKELY(end - line > 15)) {
                uint64_t word = tb_read64(line) | CASE_BITS;
                if (word == WORD_CONTENT || word == WORD_TRANSFER)
                    framing_header(m, line, end);
            }
        }
    }
}

/* The first byte of '?', '#', ' ' or LF (the line has no version then) in [p, end), or end. */
static inline const uint8_t *path_end(const uint8_t *p, const uint8_t *end)
{
#if TB_HOT_AVX2
    /* by the low four bits of a byte the one that is looked for, or one that has other low bits */
    const __m128i wanted = _mm_setr_epi8(' ', 0, 0, '#', 0, 0, 0, 0, 0, 0, '\n', 0, 0, 0, 0, '?');
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        uint32_t mask = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_shuffle_epi8(wanted, v), v));
        if (mask)
            return p + __builtin_ctz(mask);
    }
#elif defined(TB_SCAN_X86) && !defined(TB_HOT_PORTABLE)
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8(' ')), _mm_cmpeq_epi8(v, _mm_set1_epi8('?')));
        hit = _mm_or_si128(hit, _mm_cmpeq_epi8(v, _mm_set1_epi8('#')));
        hit = _mm_or_si128(hit, _mm_cmpeq_epi8(v, _mm_set1_epi8('\n')));
        uint32_t mask = (uint32_t)_mm_movemask_epi8(hit);
        if (mask)
            return p + __builtin_ctz(mask);
    }
#endif
    while (p < end && *p != ' ' && *p != '?' && *p != '#' && *p != '\n')
        p++;
    return p;
}

static inline bool whole_request(struct tb_message *m, struct tb_bytes *in, struct tb_start_line *ret)
{
    const uint8_t *p = in->ptr, *end = p + in->len, *path;
    uint8_t method;

    if (TB_UNLIKELY(in->len < STEP + 2))
        return false;
    uint32_t word = tb_read32(p);
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
    while (blank < end && *blank != ' ' && *blank != '\n')
        blank++;
    if (TB_UNLIKELY(end - blank < 12) || TB_UNLIKELY(*blank != ' '))
        return false;
    /* blank, HTTP/1.1 or HTTP/1.0, CR LF */
    uint64_t version = tb_read64(blank + 1);
    if (TB_UNLIKELY(version != WORD_HTTP11 && version != WORD_HTTP10) || blank[9] != '\r' || blank[10] != '\n')
        return false;
    struct tb_message saved = *m;
    *m = (struct tb_message){.phase = TB_PHASE_HEADERS,
                             .flags = version == WORD_HTTP10 ? TB_MSG_VERSION_10 : 0,
                             .method = method,
                             .is_next = 1};
    const uint8_t *behind = walk(m, true, blank + 10, end);
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
    uint64_t version = tb_read64(p);
    if (TB_UNLIKELY((version != WORD_HTTP11 && version != WORD_HTTP10) || p[8] != ' ' || p[12] != ' '))
        return false;
    uint32_t digits = tb_read32(p + 9) & 0xffffff;
    /* each of the three bytes is '0'..'9', the first is not '0' */
    if (TB_UNLIKELY((((digits + 0x464646) | (digits - 0x303030)) & 0x808080) || p[9] == '0'))
        return false;
    digits -= 0x303030;
    struct tb_message saved = *m;
    *m = (struct tb_message){.phase = TB_PHASE_HEADERS,
                             .flags = version == WORD_HTTP10 ? TB_MSG_VERSION_10 : 0,
                             .extra = (uint16_t)((digits & 0xff) * 100 + (digits >> 8 & 0xff) * 10 + (digits >> 16)),
                             .is_next = 1};
    const uint8_t *behind = walk(m, false, p + 12, end);
    if (TB_UNLIKELY(!behind)) {
        *m = saved;
        return false;
    }
    if (TB_UNLIKELY((m->flags & (TB_MSG_HAS_CODING | TB_MSG_HAS_LENGTH)) == (TB_MSG_HAS_CODING | TB_MSG_HAS_LENGTH)))
        tb_http1_judge(m, false);
    in->ptr = behind;
    in->len = (size_t)(end - behind);
    return true;
}

#endif
