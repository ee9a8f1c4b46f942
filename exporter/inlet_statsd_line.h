/* SPDX-License-Identifier: Apache-2.0 */
/* One line of StatsD, with the tags and packed values of DogStatsD: `name:1:2|ms|@0.5|#tag:value`. Pure. */
#ifndef TB_INLET_STATSD_LINE_H
#define TB_INLET_STATSD_LINE_H

#include "inlet_set.h"

#define TB_STATSD_LINE_MAX 8192u /* bytes */

enum tb_statsd_type { TB_STATSD_COUNTER, TB_STATSD_GAUGE, TB_STATSD_TIMER, TB_STATSD_HISTOGRAM, TB_STATSD_SET };

struct tb_statsd_line {
    enum tb_statsd_type type;
    char name[TB_NAME_MAX + 1]; /* as the metric is called: counters with _total, timers with _seconds */
    char *labels;               /* owned: as in struct tb_inlet_sample */
    double rate;                /* of how many it stands for one; above 0, at most 1 */
    char *values;               /* into the line: colons between them */
};

/*
 * tb_statsd_read - @line, terminated, which is overwritten.
 * Returns false with *ret_reason when it is refused. Labels are the caller's to free if it is not.
 */
bool tb_statsd_read(char *line, struct tb_statsd_line *ret, enum tb_inlet_reason *ret_reason);

/* tb_statsd_value - the next of the values; "" is one, too. NULL: there is no more. */
char *tb_statsd_value(struct tb_statsd_line *l);

#endif
