/* SPDX-License-Identifier: Apache-2.0 */
/* JSON with AVX2 (json_pick_impl.h). Only what is compiled here may use it. */
#include "scan.h"

#ifdef TB_SCAN_X86
#define TB_HOT_AVX2 1
#define TB_JSON_FEED tb_json_feed_avx2
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,pclmul,popcnt"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,pclmul,popcnt")
#endif
#include "json_pick_impl.h"
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
