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

/* A bit for each byte that equals @byte once @bits are set in it. */
static inline uint64_t block_equal_with(struct block b, uint8_t bits, uint8_t byte)
{
    const __m256i set = _mm256_set1_epi8((char)bits), want = _mm256_set1_epi8((char)byte);
    return block_mask(_mm256_cmpeq_epi8(_mm256_or_si256(b.part[0], set), want),
                      _mm256_cmpeq_epi8(_mm256_or_si256(b.part[1], set), want));
}

/* A bit for each byte that equals @byte. */
static inline uint64_t block_equal(struct block b, uint8_t byte)
{
    const __m256i want = _mm256_set1_epi8((char)byte);
    return block_mask(_mm256_cmpeq_epi8(b.part[0], want), _mm256_cmpeq_epi8(b.part[1], want));
}

static inline bool block_has(struct block b, uint8_t byte)
{
    const __m256i want = _mm256_set1_epi8((char)byte);
    __m256i any = _mm256_or_si256(_mm256_cmpeq_epi8(b.part[0], want), _mm256_cmpeq_epi8(b.part[1], want));
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
    for (unsigned i = 0; i < 4; i++)
        b.part[i] = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i));
    return b;
}

static inline uint64_t block_equal_with(struct block b, uint8_t bits, uint8_t byte)
{
    const __m128i set = _mm_set1_epi8((char)bits), want = _mm_set1_epi8((char)byte);
    uint64_t mask = 0;
    for (unsigned i = 0; i < 4; i++)
        mask |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_or_si128(b.part[i], set), want)) << 16 * i;
    return mask;
}

static inline uint64_t block_below_or_odd(struct block b, uint8_t limit)
{
    const __m128i least = _mm_set1_epi8((char)limit);
    uint64_t mask = 0;
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

static inline uint64_t block_equal_with(struct block b, uint8_t bits, uint8_t byte)
{
    for (unsigned i = 0; bits && i < TB_SCAN_BLOCK; i++)
        b.byte[i] |= bits;
    return tb_scan_mask_portable(b.byte, byte) | (uint64_t)tb_scan_mask_portable(b.byte + TB_SCAN_STEP, byte) << 32;
}

static inline uint64_t block_below_or_odd(struct block b, uint8_t limit)
{
    uint64_t mask = 0;
    for (unsigned i = 0; i < TB_SCAN_BLOCK; i++)
        mask |= (uint64_t)(b.byte[i] < limit || b.byte[i] > 0x7f) << i;
    return mask;
}
#endif

static inline uint64_t block_equal(struct block b, uint8_t byte)
{
    return block_equal_with(b, 0, byte);
}

static inline bool block_has(struct block b, uint8_t byte)
{
    return block_equal(b, byte) != 0;
}

/* Without the instruction the compiler would call its library. */
static inline uint32_t block_count(uint64_t mask)
{
    mask -= mask >> 1 & UINT64_C(0x5555555555555555);
    mask = (mask & UINT64_C(0x3333333333333333)) + (mask >> 2 & UINT64_C(0x3333333333333333));
    mask = (mask + (mask >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (uint32_t)(mask * UINT64_C(0x0101010101010101) >> 56);
}

static inline uint64_t block_parities(uint64_t mask)
{
    for (unsigned shift = 1; shift < 64; shift *= 2)
        mask ^= mask << shift;
    return mask;
}
#endif

#endif
