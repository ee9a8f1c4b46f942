/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From here to avx2_end.h functions may use what tb_scan_best asks of the machine before it says TB_SIMD_AVX2. They
 * must not run elsewhere: only what has names of its own for AVX2 is included in between.
 */
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,pclmul,popcnt"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,pclmul,popcnt")
#endif
