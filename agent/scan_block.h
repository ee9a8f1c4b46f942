/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 64 bytes at once, as masks with a bit for each byte, the first lowest. Included once per instruction set by a file
 * that says which: TB_HOT_AVX2 (with PCLMULQDQ), else SSE2 on x86-64, else or with TB_HOT_PORTABLE plain C.
 */
#ifndef TB_SCAN_BLOCK_H
#define TB_SCAN_BLOCK_H

#include "scan.h"

#define TB_SCAN_BLOCK 64u

#if TB_HOT_AVX2
struct block {
    __m256i part[2];
};

static inline struct block block_load(const uint8_t *p)
{
    return (struct block){{_mm256_loadu_si256((const __m256i *)(const void *)p),
                           _mm256_loadu_si256((const __m256i *)(const void *)(p + 32))}};
}

static inline uint64_t block_mask(__m256i low, __m256i high)
{
    return (uint32_t)_mm256_movemask_epi8(low) | (uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32;
}

/* A byte to look for, kept in a register: the compiler would make it anew for every block. */
struct block_byte {
    __m256i all;
};

static inline struct block_byte block_byte(uint8_t byte)
{
    struct block_byte w = {_mm256_set1_epi8((char)byte)};
    __asm__("" : "+x"(w.all));
    return w;
}

/* The bits of a byte set in every byte. */
static inline struct block block_or(struct block b, struct block_byte bits)
{
    return (struct block){{_mm256_or_si256(b.part[0], bits.all), _mm256_or_si256(b.part[1], bits.all)}};
}

/* A bit for each byte that is the wanted one. */
static inline uint64_t block_equal(struct block b, struct block_byte w)
{
    return block_mask(_mm256_cmpeq_epi8(b.part[0], w.all), _mm256_cmpeq_epi8(b.part[1], w.all));
}

static inline bool block_has(struct block b, struct block_byte w)
{
    __m256i any = _mm256_or_si256(_mm256_cmpeq_epi8(b.part[0], w.all), _mm256_cmpeq_epi8(b.part[1], w.all));
    return !_mm256_testz_si256(any, any);
}

/* Has either block one of two bytes? */
static inline bool blocks_have(struct block a, struct block b, struct block_byte x, struct block_byte y)
{
    __m256i any = _mm256_setzero_si256();
#pragma GCC unroll 2
    for (unsigned i = 0; i < 2; i++) {
        any = _mm256_or_si256(
            any, _mm256_or_si256(_mm256_cmpeq_epi8(a.part[i], x.all), _mm256_cmpeq_epi8(a.part[i], y.all)));
        any = _mm256_or_si256(
            any, _mm256_or_si256(_mm256_cmpeq_epi8(b.part[i], x.all), _mm256_cmpeq_epi8(b.part[i], y.all)));
    }
    return !_mm256_testz_si256(any, any);
}

/* A bit for each byte below @limit, which is at most 0x80, or above 0x7f. */
static inline uint64_t block_below_or_odd(struct block b, uint8_t limit)
{
    const __m256i least = _mm256_set1_epi8((char)limit);
    return block_mask(_mm256_cmpgt_epi8(least, b.part[0]), _mm256_cmpgt_epi8(least, b.part[1]));
}

/* How many bits are set. */
static inline uint32_t block_count(uint64_t mask)
{
    return (uint32_t)_mm_popcnt_u64(mask);
}

/* Bit i is the parity of bits 0 to i. */
static inline uint64_t block_parities(uint64_t mask)
{
    __m128i all = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)mask), _mm_set1_epi8((char)0xff), 0);
    return (uint64_t)_mm_cvtsi128_si64(all);
}

#else

#if defined(TB_SCAN_X86) && !defined(TB_HOT_PORTABLE)
struct block {
    __m128i part[4];
};

static inline struct block block_load(const uint8_t *p)
{
    struct block b;
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++)
        b.part[i] = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i));
    return b;
}

struct block_byte {
    __m128i all;
};

static inline struct block_byte block_byte(uint8_t byte)
{
    struct block_byte w = {_mm_set1_epi8((char)byte)};
    __asm__("" : "+x"(w.all));
    return w;
}

static inline struct block block_or(struct block b, struct block_byte bits)
{
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++)
        b.part[i] = _mm_or_si128(b.part[i], bits.all);
    return b;
}

static inline uint64_t block_equal(struct block b, struct block_byte w)
{
    uint64_t mask = 0;
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++)
        mask |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(b.part[i], w.all)) << 16 * i;
    return mask;
}

static inline __m128i block_any(struct block b, struct block_byte w)
{
    __m128i any = _mm_setzero_si128();
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++)
        any = _mm_or_si128(any, _mm_cmpeq_epi8(b.part[i], w.all));
    return any;
}

static inline bool block_has(struct block b, struct block_byte w)
{
    return _mm_movemask_epi8(block_any(b, w)) != 0;
}

static inline bool blocks_have(struct block a, struct block b, struct block_byte x, struct block_byte y)
{
    return _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(block_any(a, x), block_any(a, y)),
                                          _mm_or_si128(block_any(b, x), block_any(b, y)))) != 0;
}

static inline uint64_t block_below_or_odd(struct block b, uint8_t limit)
{
    const __m128i least = _mm_set1_epi8((char)limit);
    uint64_t mask = 0;
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++)
        mask |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmplt_epi8(b.part[i], least)) << 16 * i;
    return mask;
}
#else
struct block {
    uint8_t byte[TB_SCAN_BLOCK];
};

static inline struct block block_load(const uint8_t *p)
{
    struct block b;
    __builtin_memcpy(b.byte, p, sizeof(b.byte));
    return b;
}

struct block_byte {
    uint8_t byte;
};

static inline struct block_byte block_byte(uint8_t byte)
{
    return (struct block_byte){byte};
}

static inline struct block block_or(struct block b, struct block_byte bits)
{
    for (unsigned i = 0; i < TB_SCAN_BLOCK; i++)
        b.byte[i] |= bits.byte;
    return b;
}

static inline uint64_t block_equal(struct block b, struct block_byte w)
{
    return tb_scan_mask_portable(b.byte, w.byte) | (uint64_t)tb_scan_mask_portable(b.byte + TB_SCAN_STEP, w.byte) << 32;
}

static inline bool block_has(struct block b, struct block_byte w)
{
    return block_equal(b, w) != 0;
}

static inline bool blocks_have(struct block a, struct block b, struct block_byte x, struct block_byte y)
{
    return block_has(a, x) || block_has(a, y) || block_has(b, x) || block_has(b, y);
}

static inline uint64_t block_below_or_odd(struct block b, uint8_t limit)
{
    uint64_t mask = 0;
    for (unsigned i = 0; i < TB_SCAN_BLOCK; i++)
        mask |= (uint64_t)(b.byte[i] < limit || b.byte[i] > 0x7f) << i;
    return mask;
}
#endif

/* Without the instruction the compiler would call its library. */
static inline uint32_t block_count(uint64_t mask)
{
    if (!mask)
        return 0;
    mask -= mask >> 1 & UINT64_C(0x5555555555555555);
    mask = (mask & UINT64_C(0x3333333333333333)) + (mask >> 2 & UINT64_C(0x3333333333333333));
    mask = (mask + (mask >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (uint32_t)(mask * UINT64_C(0x0101010101010101) >> 56);
}

static inline uint64_t block_parities(uint64_t mask)
{
#pragma GCC unroll 6
    for (unsigned shift = 1; shift < 64; shift *= 2)
        mask ^= mask << shift;
    return mask;
}
#endif

#endif
