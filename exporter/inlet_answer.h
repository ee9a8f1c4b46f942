/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one read of an inlet that asks has given: families of samples, and what was refused. One that could not be read
 * has none; a sample that cannot be shown is left out of one that could. Pure. One thread at a time.
 */
#ifndef TB_INLET_ANSWER_H
#define TB_INLET_ANSWER_H

#include "inlet_config.h"
#include "inlet_lines.h"

/* Zero-initialise. */
struct tb_pull_answer {
    struct tb_inlet_set set;
    size_t accepted; /* samples */
    uint64_t refused[TB_INLET_REASONS];
    bool is_good;  /* it could be read */
    char why[200]; /* it could not, or what was refused first; "": nothing was */
};

void tb_pull_answer_free(struct tb_pull_answer *a);

/* tb_pull_fail - it could not be read: nothing of it is left. */
void tb_pull_fail(struct tb_pull_answer *a, enum tb_inlet_reason reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Samples being put together. tb_pull_begin - into the empty @to. */
struct tb_pull_gather {
    struct tb_inlet_lines lines;
    struct tb_pull_answer *to;
};
void tb_pull_begin(struct tb_pull_gather *g, struct tb_pull_answer *to);

/* tb_pull_add - one sample. @found: a value for each label that is no constant, at their places; the rest is not
 * looked at. @value is as it was read: finite, not scaled. */
void tb_pull_add(struct tb_pull_gather *g, const struct tb_pull_metric *m, char *const *found, double value);

/* tb_pull_refuse - a sample that there would have been. */
void tb_pull_refuse(struct tb_pull_gather *g, const struct tb_pull_metric *m, enum tb_inlet_reason reason);

/* tb_pull_end - all of them are given. */
void tb_pull_end(struct tb_pull_gather *g);

/* tb_pull_number - a decimal number. False: @text is none, or not finite. */
bool tb_pull_number(const char *text, double *ret);

#endif
