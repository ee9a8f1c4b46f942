/* SPDX-License-Identifier: Apache-2.0 */
/* The table of metric families: name, type, unit and help of each. Whoever exposes takes a table as a parameter. */
#ifndef TB_METRICS_H
#define TB_METRICS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "agent/core.h"

enum tb_metric_type { TB_METRIC_COUNTER, TB_METRIC_GAUGE, TB_METRIC_SUMMARY, TB_METRIC_HISTOGRAM };

/* As the decimals of a family: its values, sums and bounds are the bits of a double. Only what others measured is so.
 */
#define TB_METRIC_REAL 255u

struct tb_metric {
    const char *name; /* of the text format: counters end in _total. NULL: the family is not exposed */
    const char *unit; /* the word that the name ends with (before _total), "" = none */
    const char *help;
    enum tb_metric_type type;
    uint8_t decimals; /* values, sums and bounds are integers times 10^-decimals; at most 9, or TB_METRIC_REAL */
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

/* tb_real_bits, tb_bits_real - a value of a family of TB_METRIC_REAL, as it is carried. */
static inline uint64_t tb_real_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline double tb_bits_real(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
