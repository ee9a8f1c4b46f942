/* SPDX-License-Identifier: Apache-2.0 */
/* Families that an inlet has taken in (inlet_set.h). */
#include "inlet_set.h"

#include <stdlib.h>
#include <string.h>

#include "agent/pick.h"
#include "rules_ext.h"
#include "rules_gauges.h"

const char *tb_inlet_reason(enum tb_inlet_reason reason)
{
    static const char *const words[] = {
#define INLET_REASON(id, word) word,
#include "inlet_reasons.def"
#undef INLET_REASON
    };
    return words[reason];
}

void tb_inlet_set_free(struct tb_inlet_set *s)
{
    for (size_t i = 0; i < s->count; i++) {
        struct tb_inlet_family *f = &s->families[i];
        for (size_t k = 0; k < f->count; k++) {
            free(f->samples[k].labels);
            free(f->samples[k].bounds);
            free(f->samples[k].buckets);
        }
        free(f->samples);
        free(f->name);
        free(f->help);
    }
    free(s->families);
    *s = (struct tb_inlet_set){0};
}

struct tb_inlet_family *tb_inlet_set_find(const struct tb_inlet_set *s, const char *name)
{
    for (size_t i = s->count; i > 0; i--) /* what is looked for was mostly added last */
        if (strcmp(s->families[i - 1].name, name) == 0)
            return &s->families[i - 1];
    return NULL;
}

struct tb_inlet_family *tb_inlet_set_add(struct tb_inlet_set *s, const char *name, const char *help,
                                         enum tb_metric_type type)
{
    s->families = tb_grow(s->families, s->count, &s->space, sizeof *s->families);
    struct tb_inlet_family *f = &s->families[s->count++];
    *f = (struct tb_inlet_family){
        .name = tb_strndup(name, strlen(name)), .help = tb_strndup(help, strlen(help)), .type = type};
    return f;
}

struct tb_inlet_sample *tb_inlet_family_add(struct tb_inlet_set *s, struct tb_inlet_family *f, char *labels)
{
    f->samples = tb_grow(f->samples, f->count, &f->space, sizeof *f->samples);
    struct tb_inlet_sample *sample = &f->samples[f->count++];
    *sample = (struct tb_inlet_sample){.labels = labels};
    s->samples++;
    return sample;
}

/* --- names and labels ------------------------------------------------------------------------------------------------
 */

bool tb_inlet_is_name(const char *name)
{
    const size_t len = strlen(name);
    return len <= TB_NAME_MAX && tb_is_identifier(name, len, true);
}

static void sort_pairs(const char **names, const char **values, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const char *name = names[i], *value = values[i];
        size_t at = i;
        for (; at > 0 && strcmp(names[at - 1], name) > 0; at--) {
            names[at] = names[at - 1];
            values[at] = values[at - 1];
        }
        names[at] = name;
        values[at] = value;
    }
}

char *tb_inlet_labels(const char **names, const char **values, size_t count, enum tb_inlet_reason *ret_reason)
{
    struct tb_buffer text = {0};
    sort_pairs(names, values, count);
    for (size_t i = 0; i < count; i++) {
        const size_t len = strlen(values[i]);
        bool is_good = !tb_label_name_complaint(names[i], false) && len <= TB_INLET_VALUE_MAX &&
                       tb_utf8_is_valid(tb_bytes(values[i], len));
        *ret_reason = TB_INLET_LABEL;
        if (!is_good || (i && strcmp(names[i - 1], names[i]) == 0)) {
            tb_buffer_free(&text);
            return NULL;
        }
        if (!len)
            continue; /* as good as not there */
        tb_put(&text, ",", text.len != 0);
        tb_puts(&text, names[i]);
        tb_put(&text, "=\"", 2);
        tb_put_escaped(&text, values[i], len);
        tb_put(&text, "\"", 1);
    }
    tb_put(&text, "", 1);
    text.len--;
    return tb_buffer_text(&text);
}

/* --- collisions ------------------------------------------------------------------------------------------------------
 */

static bool meets_constant(const char *constant, const char *labels)
{
    const char *end;
    for (const char *p = constant; *p; p = end + (*end == ',')) {
        size_t len = tb_ext_label(p, &end);
        char *name = tb_strndup(p, len);
        bool has = len && tb_ext_has_label(labels, name);
        free(name);
        if (has || !len)
            return has;
    }
    return false;
}

static struct tb_metric metric_of(const struct tb_inlet_family *f)
{
    return (struct tb_metric){f->name, "", f->help, f->type, TB_METRIC_REAL};
}

static bool meets_own(const struct tb_inlet_family *f, const struct tb_names *names)
{
    const struct tb_metric m = metric_of(f);
    if (strncmp(f->name, "tickbird_", 9) == 0)
        return true;
    for (size_t i = 0; i < TB_FAMILIES; i++)
        if (tb_ext_collide(&m, &names->metrics[i]))
            return true;
    for (size_t i = 0; i < names->custom_count; i++)
        if (tb_ext_collide(&m, &names->custom[i]))
            return true;
    for (size_t i = 0; *names->constant && i < f->count; i++)
        if (meets_constant(names->constant, f->samples[i].labels))
            return true;
    return false;
}

static bool meets_first(const struct tb_inlet_family *f, const struct tb_inlet_set *s, size_t count)
{
    const struct tb_metric m = metric_of(f);
    for (size_t i = 0; i < count; i++) {
        const struct tb_metric other = metric_of(&s->families[i]);
        if (!s->families[i].is_hidden && tb_ext_collide(&m, &other))
            return true;
    }
    return false;
}

/* When a total began, which client libraries write as a gauge beside it: OpenMetrics has that as a part of the total.
 */
static bool is_creation(const char *name)
{
    const size_t len = strlen(name), end = sizeof "_created" - 1;
    return len > end && strcmp(name + len - end, "_created") == 0;
}

size_t tb_inlet_set_hide(struct tb_inlet_set *s, const struct tb_names *names, const struct tb_inlet_set *const *before,
                         size_t count, const char **ret_name)
{
    size_t newly = 0;
    for (size_t i = 0; i < s->count; i++) {
        struct tb_inlet_family *f = &s->families[i];
        const bool was_hidden = f->is_hidden;
        f->is_hidden = meets_own(f, names) || meets_first(f, s, i);
        for (size_t k = 0; k < count && !f->is_hidden; k++)
            f->is_hidden = meets_first(f, before[k], before[k]->count);
        if (f->is_hidden && !was_hidden && !is_creation(f->name)) {
            newly += f->count;
            *ret_name = f->name;
        }
    }
    return newly;
}

void tb_inlet_set_replace(struct tb_inlet_set *s, struct tb_inlet_set *by)
{
    for (size_t i = 0; i < by->count; i++) {
        const struct tb_inlet_family *before = tb_inlet_set_find(s, by->families[i].name);
        by->families[i].is_hidden = before && before->is_hidden;
    }
    tb_inlet_set_free(s);
    *s = *by;
    *by = (struct tb_inlet_set){0};
}

/* --- merging ---------------------------------------------------------------------------------------------------------
 */

static bool has_common(const struct tb_inlet_family *a, const struct tb_inlet_family *b)
{
    for (size_t i = 0, k = 0; i < a->count && k < b->count;) {
        int d = strcmp(a->samples[i].labels, b->samples[k].labels);
        if (!d)
            return true;
        i += d < 0;
        k += d > 0;
    }
    return false;
}

/* Samples of @from between those of @to, in order. */
static void merge_family(struct tb_inlet_family *to, struct tb_inlet_family *from)
{
    size_t i = to->count, k = from->count, at = i + k;
    while (to->space < at)
        to->samples = tb_grow(to->samples, to->space, &to->space, sizeof *to->samples);
    to->count = at;
    while (k > 0) {
        bool is_from = i == 0 || strcmp(to->samples[i - 1].labels, from->samples[k - 1].labels) < 0;
        to->samples[--at] = is_from ? from->samples[--k] : to->samples[--i];
    }
    from->count = 0;
}

bool tb_inlet_set_merge(struct tb_inlet_set *to, struct tb_inlet_set *from, enum tb_inlet_reason *ret_reason)
{
    size_t families = to->count;
    for (size_t i = 0; i < from->count; i++) {
        const struct tb_inlet_family *same = tb_inlet_set_find(to, from->families[i].name);
        const bool has_type = !same || same->type == from->families[i].type;
        families += !same;
        if (!has_type || (same && has_common(same, &from->families[i]))) {
            *ret_reason = has_type ? TB_INLET_DUPLICATE : TB_INLET_TYPE;
            return false;
        }
    }
    if (families > TB_INLET_FAMILIES_MAX || to->samples + from->samples > TB_INLET_SAMPLES_MAX) {
        *ret_reason = TB_INLET_LIMIT;
        return false;
    }
    for (size_t i = 0; i < from->count; i++) {
        struct tb_inlet_family *f = &from->families[i], *same = tb_inlet_set_find(to, f->name);
        merge_family(same ? same : tb_inlet_set_add(to, f->name, f->help, f->type), f);
    }
    to->samples += from->samples;
    tb_inlet_set_free(from);
    return true;
}

/* --- into a scrape ---------------------------------------------------------------------------------------------------
 */

static void expose_sample(struct tb_exposition *x, const struct tb_inlet_family *f, const struct tb_inlet_sample *s)
{
    const struct tb_labels labels = tb_labels(s->labels);
    const uint64_t value = tb_real_bits(s->value);
    if (f->type == TB_METRIC_HISTOGRAM)
        tb_expose_histogram(
            x, labels,
            &(struct tb_exposed_histogram){
                .bounds = s->bounds, .bound_count = s->bound_count, .buckets = s->buckets, .sum = value});
    else if (f->type == TB_METRIC_SUMMARY)
        tb_expose_summary(x, labels, s->count, value, 0);
    else
        tb_expose_value(x, labels, value, 0);
}

void tb_inlet_set_of_rules(const struct tb_snapshot *s, struct tb_inlet_set *ret)
{
    struct tb_ext ext;
    for (size_t i = 0; i < s->series_count; i++) {
        const struct tb_snap_key *key = &s->series[i]->key;
        const struct tb_inlet_family *last = ret->count ? &ret->families[ret->count - 1] : NULL;
        if ((key->family != TB_FAMILY_RULE && !tb_gauge_is(key)) || !tb_ext_read(key->ext, &ext) ||
            (last && strncmp(last->name, ext.name, ext.name_len) == 0 && !last->name[ext.name_len]))
            continue;
        char *name = tb_strndup(ext.name, ext.name_len);
        tb_inlet_set_add(ret, name, "", tb_ext_metric(ext.shape, name, "").type);
        free(name);
    }
}

void tb_inlet_set_expose(struct tb_exposition *x, const struct tb_inlet_set *s, const struct tb_inlet_set *beside)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct tb_inlet_family *f = &s->families[i];
        const struct tb_metric m = metric_of(f);
        if (f->is_hidden || !f->count || meets_first(f, beside, beside->count) || !tb_expose_family(x, &m))
            continue;
        for (size_t k = 0; k < f->count; k++)
            expose_sample(x, f, &f->samples[k]);
    }
}
