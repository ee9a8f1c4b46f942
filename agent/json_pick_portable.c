/* SPDX-License-Identifier: Apache-2.0 */
/* JSON in plain C, as other architectures have it: built on x86-64 too, so that it is tested there. */
#define TB_HOT_AVX2 0
#define TB_HOT_PORTABLE 1
#define TB_JSON_FEED tb_json_feed_portable
#include "json_pick_impl.h"
