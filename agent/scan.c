/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chooses the instruction set for delimiter search. The searches themselves are inlined where they are used
 * (http1_head.c), once per instruction set, because a call per header line would cost more than the search.
 */
#include "scan.h"

#ifdef TB_SCAN_X86
#include <cpuid.h>

enum tb_simd tb_scan_best(void)
{
    uint32_t a, b, c, d;

    /* What avx2_begin.h names needs the processor (leaves 7 and 1) and the kernel's word that it saves ymm registers
     * (OSXSAVE, XCR0 bits 1 and 2).
     */
    const uint32_t asked = bit_OSXSAVE | bit_AVX | bit_PCLMUL | bit_POPCNT;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & asked) != asked)
        return TB_SIMD_SSE2;
    uint32_t xcr0_low, xcr0_high;
    __asm__ volatile("xgetbv" : "=a"(xcr0_low), "=d"(xcr0_high) : "c"(0));
    if ((xcr0_low & 6) != 6)
        return TB_SIMD_SSE2;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX2) || !(b & bit_BMI) || !(b & bit_BMI2))
        return TB_SIMD_SSE2;
    return TB_SIMD_AVX2;
}
#else
enum tb_simd tb_scan_best(void)
{
    return TB_SIMD_PORTABLE;
}
#endif
