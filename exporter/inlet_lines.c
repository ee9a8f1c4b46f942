/* SPDX-License-Identifier: Apache-2.0 */
/* From lines to samples (inlet_lines.h). */
#include "inlet_lines.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WHOLE_MAX 0x1p53 /* a count beyond is none: a double cannot tell it from its neighbours */

void tb_inlet_lines_free(struct tb_inlet_lines *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->items[i].labels);
    free(l->items);
    *l = (struct tb_inlet_lines){0};
}

/* The number of a family, made if need be; TB_INLET_FAMILIES_MAX: there are too many. */
static size_t family_of(struct tb_inlet_lines *l, const char *name)
{
    const struct tb_inlet_family *f = tb_inlet_set_find(l->set, name);
    if (!f && l->set->count == TB_INLET_FAMILIES_MAX)
        return TB_INLET_FAMILIES_MAX;
    f = f ? f : tb_inlet_set_add(l->set, name, "", TB_METRIC_GAUGE);
    return (size_t)(f - l->set->families);
}

bool tb_inlet_lines_help(struct tb_inlet_lines *l, const char *name, const char *help, enum tb_inlet_reason *ret_reason)
{
    const size_t at = family_of(l, name);
    *ret_reason = at == TB_INLET_FAMILIES_MAX ? TB_INLET_LIMIT : TB_INLET_DUPLICATE;
    if (at == TB_INLET_FAMILIES_MAX || l->has_help[at])
        return false;
    l->has_help[at] = true;
    free(l->set->families[at].help);
    l->set->families[at].help = tb_strndup(help, strlen(help));
    return true;
}

bool tb_inlet_lines_type(struct tb_inlet_lines *l, const char *name, enum tb_metric_type type,
                         enum tb_inlet_reason *ret_reason)
{
    const size_t at = family_of(l, name);
    *ret_reason = at == TB_INLET_FAMILIES_MAX ? TB_INLET_LIMIT : TB_INLET_TYPE;
    if (at == TB_INLET_FAMILIES_MAX || l->has_type[at] || l->has_samples[at])
        return false;
    l->has_type[at] = true;
    l->set->families[at].type = type;
    return true;
}

/* --- one sample ------------------------------------------------------------------------------------------------------
 */

/* A sample of a summary or histogram: its name without what stands for the part. */
static bool find_part(struct tb_inlet_lines *l, const char *name, struct tb_inlet_line *ret)
{
    static const char *const ends[] = {
        [TB_LINE_BUCKET] = "_bucket", [TB_LINE_SUM] = "_sum", [TB_LINE_COUNT] = "_count"};
    const size_t len = strlen(name);
    for (int part = TB_LINE_BUCKET; part <= TB_LINE_COUNT; part++) {
        const size_t end = strlen(ends[part]);
        if (len <= end || strcmp(name + len - end, ends[part]) != 0)
            continue;
        char *base = tb_strndup(name, len - end);
        const struct tb_inlet_family *f = tb_inlet_set_find(l->set, base);
        free(base);
        if (!f || (f->type != TB_METRIC_HISTOGRAM && (f->type != TB_METRIC_SUMMARY || part == TB_LINE_BUCKET)))
            return false;
        ret->family = (size_t)(f - l->set->families);
        ret->part = part;
        return true;
    }
    return false;
}

/* Takes `le` out of the labels of a bucket. */
static bool take_bound(const char **names, const char **values, size_t *count, double *ret)
{
    for (size_t i = 0; i < *count; i++) {
        if (strcmp(names[i], "le") != 0)
            continue;
        bool is_good = tb_inlet_real(values[i], ret) && !isnan(*ret) && *ret > -HUGE_VAL;
        (*count)--;
        names[i] = names[*count];
        values[i] = values[*count];
        return is_good;
    }
    return false;
}

static bool place(struct tb_inlet_lines *l, const char *name, struct tb_inlet_line *ret,
                  enum tb_inlet_reason *ret_reason)
{
    if (!find_part(l, name, ret)) {
        ret->family = family_of(l, name);
        *ret_reason = TB_INLET_LIMIT;
        if (ret->family == TB_INLET_FAMILIES_MAX)
            return false;
        const enum tb_metric_type type = l->set->families[ret->family].type;
        *ret_reason = TB_INLET_TYPE; /* a quantile, or a histogram's line that is none of its parts */
        if (type == TB_METRIC_HISTOGRAM || type == TB_METRIC_SUMMARY)
            return false;
    }
    *ret_reason = TB_INLET_LIMIT;
    return l->count < TB_INLET_SAMPLES_MAX;
}

bool tb_inlet_lines_sample(struct tb_inlet_lines *l, const char *name, const char **names, const char **values,
                           size_t count, double value, enum tb_inlet_reason *ret_reason)
{
    struct tb_inlet_line item = {.part = TB_LINE_VALUE, .value = value, .line = l->line};
    if (!place(l, name, &item, ret_reason))
        return false;
    const bool is_whole = value >= 0 && value <= WHOLE_MAX && value == floor(value);
    *ret_reason = TB_INLET_VALUE;
    if ((item.part == TB_LINE_BUCKET || item.part == TB_LINE_COUNT) && !is_whole)
        return false;
    *ret_reason = TB_INLET_LABEL;
    if (item.part == TB_LINE_BUCKET && !take_bound(names, values, &count, &item.le))
        return false;
    *ret_reason = TB_INLET_LIMIT;
    if (count > TB_INLET_LABELS_MAX || !(item.labels = tb_inlet_labels(names, values, count, ret_reason)))
        return false;
    l->has_samples[item.family] = true;
    l->items = tb_grow(l->items, l->count, &l->space, sizeof *l->items);
    l->items[l->count++] = item;
    return true;
}

/* --- together --------------------------------------------------------------------------------------------------------
 */

static int compare(const void *a, const void *b)
{
    const struct tb_inlet_line *one = a, *other = b;
    int d = (one->family > other->family) - (one->family < other->family);
    d = d ? d : strcmp(one->labels, other->labels);
    d = d ? d : (one->part > other->part) - (one->part < other->part);
    d = d ? d : (one->le > other->le) - (one->le < other->le);
    return d ? d : (one->line > other->line) - (one->line < other->line);
}

static bool is_same_sample(const struct tb_inlet_line *a, const struct tb_inlet_line *b)
{
    return a->family == b->family && strcmp(a->labels, b->labels) == 0;
}

/* Lines are sorted: a second one for the same stands behind the first. */
static bool find_duplicate(const struct tb_inlet_lines *l, struct tb_inlet_fault *ret_fault)
{
    for (size_t i = 1; i < l->count; i++) {
        const struct tb_inlet_line *a = &l->items[i - 1], *b = &l->items[i];
        if (is_same_sample(a, b) && a->part == b->part && !(a->le < b->le)) {
            *ret_fault = (struct tb_inlet_fault){b->line, TB_INLET_DUPLICATE};
            return true;
        }
    }
    return false;
}

/* Buckets, sum and count; the last bucket is that of everything. */
static bool make_histogram(struct tb_inlet_sample *to, const struct tb_inlet_line *from, size_t count,
                           enum tb_inlet_reason *ret_reason)
{
    *ret_reason = TB_INLET_INCOMPLETE;
    if (count < 3 || from[count - 1].part != TB_LINE_COUNT || from[count - 2].part != TB_LINE_SUM)
        return false;
    const size_t bounds = count - 3;
    if (from[bounds].part != TB_LINE_BUCKET || !isinf(from[bounds].le) || from[bounds].le < 0)
        return false;
    *ret_reason = TB_INLET_LIMIT;
    if (bounds > TB_BOUNDS_MAX)
        return false;
    to->value = from[count - 2].value;
    to->bound_count = bounds;
    to->bounds = tb_alloc((bounds + 1) * sizeof *to->bounds);
    to->buckets = tb_alloc((bounds + 1) * sizeof *to->buckets);
    *ret_reason = TB_INLET_VALUE;
    for (size_t i = 0; i <= bounds; i++) {
        const double before = i ? from[i - 1].value : 0;
        if (from[i].value < before)
            return false;
        to->bounds[i] = tb_real_bits(from[i].le);
        to->buckets[i] = (uint64_t)(from[i].value - before);
    }
    return from[bounds].value == from[count - 1].value;
}

static bool make_summary(struct tb_inlet_sample *to, const struct tb_inlet_line *from, size_t count,
                         enum tb_inlet_reason *ret_reason)
{
    *ret_reason = TB_INLET_INCOMPLETE;
    if (count != 2 || from[0].part != TB_LINE_SUM)
        return false;
    to->value = from[0].value;
    to->count = (uint64_t)from[1].value;
    return true;
}

bool tb_inlet_lines_finish(struct tb_inlet_lines *l, struct tb_inlet_fault *ret_fault)
{
    if (l->count)
        qsort(l->items, l->count, sizeof *l->items, compare);
    if (find_duplicate(l, ret_fault))
        return false;
    for (size_t i = 0, count; i < l->count; i += count) {
        const struct tb_inlet_line *from = &l->items[i];
        struct tb_inlet_family *f = &l->set->families[from->family];
        for (count = 1; i + count < l->count && is_same_sample(from, from + count); count++)
            ;
        struct tb_inlet_sample *to = tb_inlet_family_add(l->set, f, tb_strndup(from->labels, strlen(from->labels)));
        bool is_good = true;
        if (f->type == TB_METRIC_HISTOGRAM)
            is_good = make_histogram(to, from, count, &ret_fault->reason);
        else if (f->type == TB_METRIC_SUMMARY)
            is_good = make_summary(to, from, count, &ret_fault->reason);
        else
            to->value = from->value;
        if (!is_good) {
            ret_fault->line = from->line;
            return false;
        }
    }
    return true;
}
