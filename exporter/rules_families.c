/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user's own metrics (`rules`), and those of programs themselves (tickbird.h), as families. Their series lie
 * together by name (tb_series_compare); what a region calls like a family of the exporter's own, or like another's
 * samples, is left out, so that a scrape is always whole.
 */
#include "families.h"

#include <stdlib.h>

#include "names.h"
#include "rules_ext.h"
#include "rules_gauges.h"
#include "snapshot_labels.h"

#define FAMILIES_MAX 256u /* more can only come of tampering */

struct shown_families {
    struct tb_metric metrics[FAMILIES_MAX]; /* name owned */
    size_t count;
    char *hidden[FAMILIES_MAX]; /* names of programs' own that are not shown; owned */
    size_t hidden_count;
};

static const struct tb_metric *configured(const struct tb_expose_options *options, const char *name)
{
    for (size_t i = 0; i < options->custom_count; i++)
        if (strcmp(options->custom[i].name, name) == 0)
            return &options->custom[i];
    return NULL;
}

/* Is the name that of a rule's metric, or of its samples? */
static bool is_of_rule(const struct tb_expose_options *options, const struct tb_metric *m)
{
    for (size_t i = 0; i < options->custom_count; i++)
        if (tb_ext_collide(m, &options->custom[i]))
            return true;
    return false;
}

/* May a family of that name be shown? Where the configuration has rules, only theirs are, and programs' own. */
static bool may_show(const struct shown_families *shown, const struct tb_expose_options *options,
                     const struct tb_metric *m, bool is_own)
{
    const struct tb_metric *is = configured(options, m->name);
    if (shown->count == FAMILIES_MAX ||
        (is_own ? is_of_rule(options, m) : options->custom_count && (!is || is->type != m->type)))
        return false;
    for (size_t i = 0; i < TB_FAMILIES; i++)
        if (tb_ext_collide(m, &options->metrics[i]))
            return false;
    for (size_t i = 0; i < shown->count; i++)
        if (tb_ext_collide(m, &shown->metrics[i]))
            return false;
    return true;
}

/* Has it one of these labels, or may it have: they are not read to their end? */
static bool has_any(const struct tb_ext *ext, const char *labels)
{
    const char *end;
    for (const char *p = labels; p && *p; p = end + (*end == ',')) {
        size_t len = tb_ext_label(p, &end);
        char *name = tb_strndup(p, len);
        bool has = !len || tb_ext_has_label(ext->labels, name);
        free(name);
        if (has)
            return true;
    }
    return false;
}

/* Has it a label that its samples have anyway? */
static bool is_ambiguous(const struct tb_exposition *x, const struct tb_snapshot *s, const struct tb_snap_series *e,
                         const struct tb_ext *ext)
{
    return tb_ext_has_label(ext->labels, s->label_names[TB_LABEL_SERVICE]) || has_any(ext, x->constant.text) ||
           has_any(ext, e->service->instance);
}

/* Series from @from on that are of one family. */
static size_t count_family(struct tb_snap_series *const *from, size_t count)
{
    size_t len = strcspn(from[0]->key.ext, "{"), i = 1;
    while (i < count && strncmp(from[i]->key.ext, from[0]->key.ext, len + 1) == 0)
        i++;
    return i;
}

static void expose_one(struct tb_exposition *x, struct tb_snap_series *e, const struct tb_ext *ext,
                       const struct tb_expose_options *options)
{
    if (tb_gauge_is(&e->key))
        tb_expose_value(x, tb_families_labels(x, e), e->total.rx_bytes, 0);
    else if (ext->shape == TB_EXT_HISTOGRAM)
        tb_expose_series_histogram(x, e, options->has_native);
    else
        tb_expose_value(x, tb_families_labels(x, e), ext->shape == TB_EXT_COUNT ? e->whole.count : e->total.rx_bytes,
                        e->whole.created_ns);
}

/* A histogram's unit is that of its bounds. */
static bool has_unit(const struct tb_metric *m, const struct tb_snap_series *e)
{
    bool is_bytes = tb_bounds_of(e->key.bound_set)->unit == TB_UNIT_BYTES;
    return m->type != TB_METRIC_HISTOGRAM || is_bytes == (m->decimals == 0);
}

/* A gauge is shown while a region has it. */
static bool is_shown(const struct tb_snap_series *e)
{
    return tb_gauge_is(&e->key) ? e->total.first_byte_ns != 0 : tb_snapshot_is_shown(e);
}

static bool is_any_shown(struct tb_snap_series *const *from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (is_shown(from[i]))
            return true;
    return false;
}

/* What a program says that its metric is. */
static const char *own_help(struct tb_snap_series *const *from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (from[i]->help && *from[i]->help)
            return from[i]->help;
    return TB_EXT_OWN_HELP;
}

static void hide(struct shown_families *shown, char *name)
{
    if (shown->hidden_count < FAMILIES_MAX)
        shown->hidden[shown->hidden_count++] = name;
    else
        free(name);
}

static void expose_family(struct tb_exposition *x, const struct tb_snapshot *s, struct tb_snap_series *const *from,
                          size_t count, const struct tb_expose_options *options, struct shown_families *shown)
{
    struct tb_ext ext;
    if (!tb_ext_read(from[0]->key.ext, &ext) || (ext.is_own && !is_any_shown(from, count)))
        return;
    char *name = tb_strndup(ext.name, ext.name_len);
    struct tb_metric m = tb_ext_metric(ext.shape, name, ext.is_own ? own_help(from, count) : TB_EXT_HELP);
    const struct tb_metric *is = ext.is_own ? NULL : configured(options, name);
    if (ext.shape == TB_EXT_HISTOGRAM && tb_bounds_of(from[0]->key.bound_set)->unit == TB_UNIT_BYTES)
        m.decimals = 0;
    if (is) {
        m.help = is->help;
        m.decimals = is->decimals;
    }
    if (!may_show(shown, options, &m, ext.is_own)) {
        if (ext.is_own)
            hide(shown, name);
        else
            free(name);
        return;
    }
    shown->metrics[shown->count++] = m;
    if (!tb_expose_family(x, &m))
        return;
    for (size_t i = 0; i < count; i++)
        if (is_shown(from[i]) && has_unit(&m, from[i]) && tb_ext_read(from[i]->key.ext, &ext) &&
            !is_ambiguous(x, s, from[i], &ext))
            expose_one(x, from[i], &ext, options);
}

static void expose_unreadable(struct tb_exposition *x, const struct tb_snapshot *s, const struct tb_metric *m)
{
    bool is_announced = false;
    for (size_t i = 0; i < s->series_count; i++) {
        struct tb_snap_series *e = s->series[i];
        if (e->key.family != TB_FAMILY_UNREADABLE || !tb_snapshot_is_shown(e))
            continue;
        if (!is_announced && !tb_expose_family(x, m))
            return;
        is_announced = true;
        tb_expose_value(x, tb_families_labels(x, e), e->whole.count, e->whole.created_ns);
    }
}

static void expose_hidden(struct tb_exposition *x, const struct shown_families *shown, const struct tb_metric *m)
{
    if (!shown->hidden_count || !tb_expose_family(x, m))
        return;
    for (size_t i = 0; i < shown->hidden_count; i++) {
        struct tb_buffer labels = {0};
        tb_put_label(&labels, "metric", shown->hidden[i]);
        tb_expose_value(x, (struct tb_labels){labels.data, labels.len, false}, 1, 0);
        tb_buffer_free(&labels);
    }
}

void tb_expose_custom(struct tb_exposition *x, const struct tb_snapshot *s, const struct tb_expose_options *options)
{
    struct shown_families shown = {.count = 0, .hidden_count = 0};
    for (size_t i = 0; i < s->series_count;) {
        size_t count = 1;
        if (tb_ext_is_family(s->series[i]->key.family)) {
            count = count_family(s->series + i, s->series_count - i);
            expose_family(x, s, s->series + i, count, options, &shown);
        }
        i += count;
    }
    for (size_t i = 0; i < shown.count; i++)
        free((void *)(uintptr_t)shown.metrics[i].name);
    expose_hidden(x, &shown, &options->metrics[TB_M_OWN_HIDDEN]);
    for (size_t i = 0; i < shown.hidden_count; i++)
        free(shown.hidden[i]);
    expose_unreadable(x, s, &options->metrics[TB_M_RULE_UNREADABLE]);
}
