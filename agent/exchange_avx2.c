/* SPDX-License-Identifier: Apache-2.0 */
/* The hot path with AVX2 (x86-64-v3 machines, chosen when the process wakes up). Only what is compiled here may use it.
 */
#include "exchange_impl.h"
#include "rules.h"
#include "scan.h"

#ifdef TB_SCAN_X86
#define TB_HOT_AVX2 1
#define TB_HOT_CAUGHT 0
#define TB_HOT_IO tb_exchange_io_avx2
#define TB_PLAIN_GET tb_plain_get_avx2
#define TB_PLAIN_RESPONSE tb_plain_response_avx2
#include "avx2_begin.h"
#include "exchange_hot.h"
#include "avx2_end.h"
#endif
