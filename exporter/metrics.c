/* SPDX-License-Identifier: Apache-2.0 */
/* The default table of metric families (metrics.def). */
#include "metrics.h"

const struct tb_metric tb_metrics_default[TB_METRIC_COUNT] = {
#define METRIC(id, name, type, unit, decimals, help) {name, unit, help, TB_METRIC_##type, decimals},
#include "metrics.def"
#undef METRIC
};
