/* SPDX-License-Identifier: Apache-2.0 */
/* The hot path with AVX2 (x86-64-v3 machines, chosen when the process wakes up). */
#include "scan.h"

#ifdef TB_SCAN_X86
#pragma GCC push_options
#pragma GCC target("avx2,bmi")
#define TB_HOT_AVX2 1
#define TB_HOT_IO tb_exchange_io_avx2
#include "exchange_hot.h"
#pragma GCC pop_options
#endif
