/* SPDX-License-Identifier: Apache-2.0 */
/* Delimiter search, 32 bytes a step: AVX2 or SSE2 on x86-64, plain C elsewhere. All give the same answers
 * (tests/unit/test_scan.c). */
#ifndef TB_SCAN_H
#define TB_SCAN_H

#include "bytes.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define TB_SCAN_X86 1
#endif

enum tb_simd { TB_SIMD_PORTABLE, TB_SIMD_SSE2, TB_SIMD_AVX2 };

/*
 * tb_scan_best - the widest instruction set that this machine and its kernel let us use (cpuid, xgetbv). Pure; no
 * system call.
 */
enum tb_simd tb_scan_best(void);

#define TB_SCAN_STEP 32u

/* A bit for each of the 32 bytes at @p that equals @byte. Reads exactly 32 bytes. */
static inline uint32_t tb_scan_mask_portable(const uint8_t *p, uint8_t byte)
{
    uint32_t mask = 0;
    for (uint32_t word = 0; word < 4; word++) {
        uint64_t v;
        __builtin_memcpy(&v, p + 8 * word, 8);
        v ^= UINT64_C(0x0101010101010101) * byte;
        /* 0x80 in each byte of v that is zero; exact, without carries between bytes */
        uint64_t zero =
            ~(((v & UINT64_C(0x7f7f7f7f7f7f7f7f)) + UINT64_C(0x7f7f7f7f7f7f7f7f)) | v | UINT64_C(0x7f7f7f7f7f7f7f7f));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        zero = __builtin_bswap64(zero);
#endif
        mask |= (uint32_t)(((zero >> 7) * UINT64_C(0x0102040810204080)) >> 56) << (8 * word);
    }
    return mask;
}

#ifdef TB_SCAN_X86
static inline uint32_t tb_scan_mask_sse2(const uint8_t *p, uint8_t byte)
{
    __m128i b = _mm_set1_epi8((char)byte);
    uint32_t low = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)p), b));
    uint32_t high =
        (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + 16)), b));
    return low | high << 16;
}
#endif

/* tb_find_byte - the first @byte of [p, end), or @end. */
static inline const uint8_t *tb_find_byte(const uint8_t *p, const uint8_t *end, uint8_t byte)
{
#ifdef TB_SCAN_X86
    for (; end - p >= (ptrdiff_t)TB_SCAN_STEP; p += TB_SCAN_STEP) {
        uint32_t mask = tb_scan_mask_sse2(p, byte);
        if (mask)
            return p + __builtin_ctz(mask);
    }
#endif
    while (p < end && *p != byte)
        p++;
    return p;
}

/* tb_find_lf - the first line feed of [p, end), or @end. */
static inline const uint8_t *tb_find_lf(const uint8_t *p, const uint8_t *end)
{
    return tb_find_byte(p, end, '\n');
}

#endif
