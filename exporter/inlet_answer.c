/* SPDX-License-Identifier: Apache-2.0 */
/* Answers to inlets that ask (inlet_answer.h), checked and put together as those of text files are (inlet_lines.h). */
#include "inlet_answer.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

void tb_pull_answer_free(struct tb_pull_answer *a)
{
    tb_inlet_set_free(&a->set);
    *a = (struct tb_pull_answer){0};
}

void tb_pull_fail(struct tb_pull_answer *a, enum tb_inlet_reason reason, const char *format, ...)
{
    va_list args;
    tb_pull_answer_free(a);
    a->refused[reason] = 1;
    va_start(args, format);
    vsnprintf(a->why, sizeof a->why, format, args);
    va_end(args);
}

void tb_pull_begin(struct tb_pull_gather *g, struct tb_pull_answer *to)
{
    *g = (struct tb_pull_gather){.lines = {.set = &to->set}, .to = to};
    to->is_good = true;
}

void tb_pull_refuse(struct tb_pull_gather *g, const struct tb_pull_metric *m, enum tb_inlet_reason reason)
{
    g->to->refused[reason]++;
    if (!*g->to->why)
        snprintf(g->to->why, sizeof g->to->why, "%s: %s", m->name, tb_inlet_reason(reason));
}

void tb_pull_add(struct tb_pull_gather *g, const struct tb_pull_metric *m, char *const *found, double value)
{
    const char *names[TB_PULL_LABELS_MAX], *values[TB_PULL_LABELS_MAX];
    const double scaled = value * m->scale;
    enum tb_inlet_reason reason = TB_INLET_VALUE;
    for (size_t i = 0; i < m->label_count; i++) {
        names[i] = m->labels[i].name;
        values[i] = m->labels[i].value ? m->labels[i].value : found[i];
    }
    if (!isfinite(scaled) || (m->type == TB_METRIC_COUNTER && scaled < 0) ||
        !tb_inlet_lines_sample(&g->lines, m->name, names, values, m->label_count, scaled, &reason)) {
        tb_pull_refuse(g, m, reason);
        return;
    }
    struct tb_inlet_family *f = tb_inlet_set_find(&g->to->set, m->name);
    f->type = m->type;
    if (!*f->help && m->help) {
        enum tb_inlet_reason ignored; /* it has none yet */
        (void)tb_inlet_lines_help(&g->lines, m->name, m->help, &ignored);
    }
}

void tb_pull_end(struct tb_pull_gather *g)
{
    struct tb_inlet_fault fault = {0};
    const size_t count = g->lines.count;
    if (tb_inlet_lines_finish(&g->lines, &fault))
        g->to->accepted = count;
    else
        tb_pull_fail(g->to, fault.reason, "two samples have the same labels: give the metric a label that differs");
    tb_inlet_lines_free(&g->lines);
}

bool tb_pull_number(const char *text, double *ret)
{
    double value;
    if (!tb_inlet_real(text, &value) || !isfinite(value))
        return false;
    *ret = value;
    return true;
}
