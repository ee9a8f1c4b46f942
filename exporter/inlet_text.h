/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Prometheus text format 0.0.4, read strictly: a text is taken whole or not at all, so that half a file is never
 * half a metric. Samples without a TYPE are gauges. Not taken: timestamps, quantiles of summaries, histograms of other
 * than whole counts. Pure.
 */
#ifndef TB_INLET_TEXT_H
#define TB_INLET_TEXT_H

#include "inlet_set.h"

#define TB_INLET_LINE_MAX 16384u /* bytes */

/* What was wrong first. */
struct tb_inlet_fault {
    size_t line; /* from 1 on; 0 = of no line */
    enum tb_inlet_reason reason;
};

/*
 * tb_inlet_text - @len bytes of @text.
 * @ret        empty; the families in the order that they came in, samples of each in order of labels
 * @ret_lines  samples that were read
 * Returns false with *ret_fault when it is refused; @ret is empty then.
 */
bool tb_inlet_text(const char *text, size_t len, struct tb_inlet_set *ret, size_t *ret_lines,
                   struct tb_inlet_fault *ret_fault);

/* tb_inlet_real - a number as that format has it: decimal, NaN, +Inf, -Inf. False: @text is none. */
bool tb_inlet_real(const char *text, double *ret);

#endif
