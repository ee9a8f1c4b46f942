/* SPDX-License-Identifier: Apache-2.0 */
/* JSON with AVX2 (json_pick_impl.h). Only what is compiled here may use it. */
#include "scan.h"

#ifdef TB_SCAN_X86
#define TB_HOT_AVX2 1
#define TB_JSON_FEED tb_json_feed_avx2
#include "avx2_begin.h"
#include "json_pick_impl.h"
#include "avx2_end.h"
#endif
