/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_looking.c with AVX2. Only what is compiled here may use it. */
#include "exchange_impl.h"
#include "rules.h"
#include "scan.h"

#ifdef TB_SCAN_X86
#define TB_HOT_AVX2 1
#define TB_HOT_CAUGHT 1
#define TB_HOT_IO tb_exchange_io_looking_avx2
#include "avx2_begin.h"
#include "exchange_hot.h"
#include "avx2_end.h"
#endif
