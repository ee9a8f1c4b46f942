/* SPDX-License-Identifier: Apache-2.0 */
/* The default table of metric families (metrics.def, agent/counters.def). */
#include "metrics.h"

#include <string.h>

const struct tb_metric tb_metrics_default[TB_FAMILIES] = {
#define METRIC(id, name, type, unit, decimals, help) {name, unit, help, TB_METRIC_##type, decimals},
#include "metrics.def"
#undef METRIC
#define COUNTER(id, family, reason, help) {"tickbird_" family, "", help, TB_METRIC_COUNTER, 0},
#include "agent/counters.def"
#undef COUNTER
};

size_t tb_metric_first(size_t family)
{
    size_t first = family < TB_METRIC_COUNT ? family : TB_METRIC_COUNT;
    while (strcmp(tb_metrics_default[first].name, tb_metrics_default[family].name) != 0)
        first++;
    return first;
}
