/* SPDX-License-Identifier: Apache-2.0 */
/* The table of metric families: name, type, unit and help of each. Whoever exposes takes a table as a parameter. */
#ifndef TB_METRICS_H
#define TB_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "agent/core.h"

enum tb_metric_type { TB_METRIC_COUNTER, TB_METRIC_GAUGE, TB_METRIC_SUMMARY, TB_METRIC_HISTOGRAM };

struct tb_metric {
    const char *name; /* of the text format: counters end in _total. NULL: the family is not exposed */
    const char *unit; /* the word that the name ends with (before _total), "" = none */
    const char *help;
    enum tb_metric_type type;
    uint8_t decimals; /* values, sums and bounds are integers times 10^-decimals; at most 9 */
};

enum tb_metric_id {
#define METRIC(id, name, type, unit, decimals, help) TB_M_##id,
#include "metrics.def"
#undef METRIC
    TB_METRIC_COUNT
};

/* Behind them, what the agent counts about itself: one for each row of agent/counters.def, of which the first of a name
 * stands for the family. */
#define TB_FAMILIES (TB_METRIC_COUNT + TB_COUNTER_COUNT)

/* The families under their default names: by tb_metric_id, then by the rows of counters.def. */
extern const struct tb_metric tb_metrics_default[TB_FAMILIES];

/* tb_metric_first - the number that stands for the family: its own, or for a row of counters.def that of the first row
 * with its name. */
size_t tb_metric_first(size_t family);

#endif
