/* SPDX-License-Identifier: Apache-2.0 */
/* The hot path with what every machine of the architecture has: SSE2 on x86-64, plain C elsewhere. */
#define TB_HOT_AVX2 0
#define TB_HOT_CAUGHT 0
#define TB_HOT_IO tb_exchange_io_base
#define TB_PLAIN_GET tb_plain_get_base
#define TB_PLAIN_RESPONSE tb_plain_response_base
#include "exchange_hot.h"
