/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shape of a path: what is left when the segments that are values by form alone (numbers, UUIDs, long hexadecimal
 * ones) keep nothing but their place and length. Two paths of one shape have one route once all that it passes through
 * is settled, so the route of a shape can be remembered, and a value never seen before costs no walk (route.c).
 *
 * One pass over at most 63 bytes, by bit masks, for most of them; a longer path's is made a segment at a time
 * (tb_shape_plain), and looked up after the path itself. Pure; nothing is read outside the path.
 */
#ifndef TB_ROUTE_SHAPE_H
#define TB_ROUTE_SHAPE_H

#include "route_cache.h"
#include "scan.h"

#define TB_SHAPE_MAX 64u
#define TB_SHAPE_HEX 24u /* bytes of a hexadecimal segment that is a value here */

/* A path looked at: a bit for each byte, and a sum over the bytes that are no digits. */
struct tb_shape {
    uint64_t slash, digit;
    uint64_t low, high;
};

#ifdef TB_SCAN_X86
/* Look at 16 bytes, from byte @at on. The sum of each half takes its bytes, and the product of its 32-bit halves. */
static inline __attribute__((always_inline)) __m128i tb_shape_block(__m128i x, unsigned at, __m128i sum,
                                                                    struct tb_shape *s)
{
    x = _mm_sub_epi8(x, _mm_set1_epi8('0'));
    __m128i digit = _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(9)), x);
    s->slash |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(x, _mm_set1_epi8(-1))) << at; /* before '0' */
    s->digit |= (uint64_t)(uint32_t)_mm_movemask_epi8(digit) << at;
    x = _mm_andnot_si128(digit, x);
    sum = _mm_add_epi64(_mm_shuffle_epi32(sum, 0x93), x); /* turned by 32 bits: of what is in it nothing is lost */
    return _mm_add_epi64(sum, _mm_mul_epu32(x, _mm_srli_epi64(x, 32)));
}

static inline __m128i tb_shape_load(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* @len is at most TB_SHAPE_MAX - 1. */
static inline __attribute__((always_inline)) struct tb_shape tb_shape_look(const uint8_t *p, size_t len)
{
    struct tb_shape s = {0, 0, 0, 0};
    __m128i sum = _mm_setzero_si128();
    if (TB_UNLIKELY(len < 16)) {
        uint64_t low = len >= 8 ? tb_load_8(p) : tb_load_few(p, len);
        uint64_t high = len > 8 ? tb_load_few(p + 8, len - 8) : 0;
        sum = tb_shape_block(_mm_set_epi64x((long long)high, (long long)low), 0, sum, &s);
    } else {
        sum = tb_shape_block(tb_shape_load(p), 0, sum, &s);
        if (len > 32)
            sum = tb_shape_block(tb_shape_load(p + 16), 16, sum, &s);
        if (len > 48)
            sum = tb_shape_block(tb_shape_load(p + 32), 32, sum, &s);
        sum = tb_shape_block(tb_shape_load(p + len - 16), (unsigned)len - 16, sum, &s); /* overlaps */
    }
    s.low = (uint64_t)_mm_cvtsi128_si64(sum);
    s.high = (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(sum, sum));
    return s;
}
#else
static inline __attribute__((always_inline)) struct tb_shape tb_shape_look(const uint8_t *p, size_t len)
{
    struct tb_shape s = {0, 0, 0, 0};
    for (unsigned i = 0; i < len; i++) {
        bool digit = (uint8_t)(p[i] - '0') < 10;
        s.slash |= (uint64_t)(p[i] == '/') << i;
        s.digit |= (uint64_t)digit << i;
        s.low = tb_route_mix(s.low, digit ? 0 : p[i]);
    }
    return s;
}
#endif

/*
 * tb_shape_values - the bytes that belong to numbers: segments of digits alone, but for one that stands first (a digit
 * may be a version). Returns false when a segment begins with digits and goes on, as a UUID may: tb_shape_plain tells.
 */
static inline bool tb_shape_values(const struct tb_shape *s, size_t len, uint64_t *ret)
{
    uint64_t edges = s->slash | UINT64_C(1) << len;
    /* runs of digits from the start of a segment: the sum carries through each to the byte behind it */
    uint64_t starts = s->slash << 1 & s->digit & ~UINT64_C(3), ends = (s->digit + starts) & ~s->digit;
    *ret = ends - starts; /* ones from each start to its end */
    return !(ends & ~edges);
}

/*
 * tb_shape_hash - of a @path with @values (not 0), in the space of tb_route_path_hash; @s is what was seen of it. The
 * sums are over all bytes but digits, which also tells where digits are, and which of them are values.
 */
static inline uint64_t tb_shape_hash(const struct tb_core *core, const struct tb_route_head *head, struct tb_bytes path,
                                     const struct tb_shape *s, uint64_t values)
{
    uint64_t h =
        tb_load_acquire(&core->route_seed) ^ tb_load_relaxed(&head->epoch) ^ (s->slash | UINT64_C(1) << path.len);
    uint64_t others = s->digit & ~values;
    if (others) { /* v1: these matter */
        h ^= (uint64_t)path.ptr[(unsigned)__builtin_ctzll(others)] << 32;
        while (TB_UNLIKELY(others &= others - 1))
            h = tb_route_mix(h, path.ptr[(unsigned)__builtin_ctzll(others)]);
    }
    return tb_route_mix_last(tb_route_mix(h, s->low), s->high);
}

/*
 * tb_shape_plain - the hash of the shape of @path when it has UUIDs or hexadecimal segments of TB_SHAPE_HEX bytes or
 * more, or numbers and TB_SHAPE_MAX bytes or more. 0 = it has none, or no shape. About 4 instructions a byte.
 */
uint64_t tb_shape_plain(const struct tb_core *core, const struct tb_route_head *head, struct tb_bytes path);

#endif
