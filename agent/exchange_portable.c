/* SPDX-License-Identifier: Apache-2.0 */
/* The hot path in plain C, as other architectures have it: built on x86-64 too, so that it is tested there. */
#define TB_HOT_AVX2 0
#define TB_HOT_CAUGHT 0
#define TB_HOT_PORTABLE 1
#define TB_HOT_IO tb_exchange_io_portable
#define TB_PLAIN_GET tb_plain_get_portable
#define TB_PLAIN_RESPONSE tb_plain_response_portable
#include "exchange_hot.h"
