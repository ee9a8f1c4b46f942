/* SPDX-License-Identifier: Apache-2.0 */
/* Samples as they stand in lines, put together to counters, gauges, summaries and histograms. Part of inlet_text.c. */
#ifndef TB_INLET_LINES_H
#define TB_INLET_LINES_H

#include "inlet_set.h"
#include "inlet_text.h"

struct tb_inlet_line {
    size_t family; /* of the set */
    enum { TB_LINE_VALUE, TB_LINE_BUCKET, TB_LINE_SUM, TB_LINE_COUNT } part;
    char *labels; /* owned, without le */
    double le;    /* of a bucket */
    double value;
    size_t line;
};

/* Zero-initialise, but for the set, which is empty. */
struct tb_inlet_lines {
    struct tb_inlet_set *set;
    struct tb_inlet_line *items;
    size_t count, space;
    size_t line; /* being read */
    bool has_help[TB_INLET_FAMILIES_MAX], has_type[TB_INLET_FAMILIES_MAX], has_samples[TB_INLET_FAMILIES_MAX];
};

void tb_inlet_lines_free(struct tb_inlet_lines *l); /* not the set */

/* What one line says. False with *ret_reason: it cannot be so. Names are sound. */
bool tb_inlet_lines_help(struct tb_inlet_lines *l, const char *name, const char *help,
                         enum tb_inlet_reason *ret_reason);
bool tb_inlet_lines_type(struct tb_inlet_lines *l, const char *name, enum tb_metric_type type,
                         enum tb_inlet_reason *ret_reason);
/* @names, @values: @count labels, at most TB_INLET_LABELS_MAX + 1; reordered. */
bool tb_inlet_lines_sample(struct tb_inlet_lines *l, const char *name, const char **names, const char **values,
                           size_t count, double value, enum tb_inlet_reason *ret_reason);

/* tb_inlet_lines_finish - all of them into the set. */
bool tb_inlet_lines_finish(struct tb_inlet_lines *l, struct tb_inlet_fault *ret_fault);

#endif
