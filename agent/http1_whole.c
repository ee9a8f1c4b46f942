/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The common case: a head that lies whole in one range, with an ordinary start line. One pass over the bytes, 64 a step, that looks
 * only at the byte behind each line feed: an empty line ends the head, C and T may begin a framing header. Whatever is out of the
 * ordinary is left, untouched, to the general parsers of http1.c and http1_head.c, which give the same answers.
 */
#include "http1.h"

static uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    __builtin_memcpy(&v, p, 8);
    return v;
}

static uint32_t load32(const uint8_t *p)
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
#define STEP 64

/* What may follow a line feed that is worth a look. */
static const uint8_t is_special[256] = {['\r'] = 1, ['\n'] = 1, ['c'] = 1, ['C'] = 1, ['t'] = 1, ['T'] = 1};

static __attribute__((noinline)) void framing_header(struct tb_message *m, const uint8_t *line, const uint8_t *lf,
                                                     const uint8_t *end)
{
    while (lf < end && *lf != '\n')
        lf++;
    if (lf < end)
        tb_http1_framing_line(m, line, lf, end);
}

/*
 * Walk from inside the start line to behind the empty line. Returns NULL when the head does not end in [p, end). At least STEP bytes from
 * @readable to @end.
 */
#define WALK_BODY(MASK)                                                                                                \
    for (const uint8_t *q = p;; q += STEP) {                                                                           \
        size_t left = (size_t)(end - q);                                                                               \
        uint64_t mask;                                                                                                 \
        if (TB_LIKELY(left > STEP))                                                                                    \
            mask = MASK(q);                                                                                            \
        else /* overlap with what was seen; the last byte has none behind it */                                        \
            mask = left ? (MASK(end - STEP) << 1 >> 1) >> (STEP - left) : 0;                                           \
        while (mask) {                                                                                                 \
            const uint8_t *lf = q + __builtin_ctzll(mask);                                                             \
            mask &= mask - 1;                                                                                          \
            if (TB_LIKELY(!is_special[lf[1]]))                                                                         \
                continue;                                                                                              \
            if (lf[1] == '\n')                                                                                         \
                return lf + 2;                                                                                         \
            if (lf[1] == '\r') {                                                                                       \
                if (lf + 2 < end && lf[2] == '\n')                                                                     \
                    return lf + 3;                                                                                     \
                continue;                                                                                              \
            }                                                                                                          \
            if (end - lf < 16)                                                                                         \
                continue;                                                                                              \
            uint64_t word = load64(lf + 1) | CASE_BITS;                                                                \
            if (TB_UNLIKELY(word == WORD_CONTENT || word == WORD_TRANSFER))                                            \
                framing_header(m, lf + 1, mask ? q + __builtin_ctzll(mask) : lf + 8, end);                             \
        }                                                                                                              \
        if (left <= STEP)                                                                                              \
            return NULL;                                                                                               \
    }

#ifdef TB_SCAN_X86
static inline uint64_t mask_sse2(const uint8_t *p)
{
    const __m128i lf = _mm_set1_epi8('\n');
    uint64_t mask = 0;
    for (int i = 3; i >= 0; i--)
        mask = mask << 16 | (uint32_t)_mm_movemask_epi8(
                                _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i)), lf));
    return mask;
}

static const uint8_t *walk_sse2(struct tb_message *m, const uint8_t *p, const uint8_t *end)
{
    WALK_BODY(mask_sse2)
}

__attribute__((target("avx2"))) static inline uint64_t mask_avx2(const uint8_t *p)
{
    const __m256i lf = _mm256_set1_epi8('\n');
    uint32_t low = (uint32_t)_mm256_movemask_epi8(
        _mm256_cmpeq_epi8(_mm256_loadu_si256((const __m256i *)(const void *)p), lf));
    uint32_t high = (uint32_t)_mm256_movemask_epi8(
        _mm256_cmpeq_epi8(_mm256_loadu_si256((const __m256i *)(const void *)(p + 32)), lf));
    return low | (uint64_t)high << 32;
}

__attribute__((target("avx2,bmi"))) static const uint8_t *walk_avx2(struct tb_message *m, const uint8_t *p,
                                                                    const uint8_t *end)
{
    WALK_BODY(mask_avx2)
}
#endif

static uint64_t mask_portable(const uint8_t *p)
{
    return tb_scan_mask_portable(p, '\n') | (uint64_t)tb_scan_mask_portable(p + 32, '\n') << 32;
}

static const uint8_t *walk_portable(struct tb_message *m, const uint8_t *p, const uint8_t *end)
{
    WALK_BODY(mask_portable)
}

static const uint8_t *walk(struct tb_message *m, const uint8_t *p, const uint8_t *end)
{
#ifdef TB_SCAN_X86
    if (TB_LIKELY(tb_http1_simd == TB_SIMD_AVX2))
        return walk_avx2(m, p, end);
    if (tb_http1_simd == TB_SIMD_SSE2)
        return walk_sse2(m, p, end);
#endif
    return walk_portable(m, p, end);
}

/* The first byte of '?', '#' or ' ' in [p, end), or end. */
static inline const uint8_t *path_end(const uint8_t *p, const uint8_t *end)
{
#ifdef TB_SCAN_X86
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

bool tb_http1_whole_request(struct tb_message *m, struct tb_bytes *in, struct tb_start_line *ret)
{
    const uint8_t *p = in->ptr, *end = p + in->len, *path;
    uint8_t method;

    if (TB_UNLIKELY(in->len < STEP))
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

bool tb_http1_whole_response(struct tb_message *m, struct tb_bytes *in)
{
    const uint8_t *p = in->ptr, *end = p + in->len;

    if (TB_UNLIKELY(in->len < STEP))
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
