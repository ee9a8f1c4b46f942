/* SPDX-License-Identifier: Apache-2.0 */
/* The hot path while rules look into heads or bodies (exchange_caught.h): what they look into leaves it. */
#define TB_HOT_AVX2 0
#define TB_HOT_CAUGHT 1
#define TB_HOT_IO tb_exchange_io_looking
#include "exchange_hot.h"
