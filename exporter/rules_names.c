/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the metrics of `rules` are called and how they are shown, checked against each other and against everything that
 * the exporter serves itself, so that no configuration makes an exposition that Prometheus refuses.
 */
#include <stdlib.h>

#include "rules_config.h"
#include "rules_ext.h"

/* The word of a unit that a name ends with, before _total; OpenMetrics wants them to agree. */
static const char *unit_of(const char *name)
{
    static const char *const units[] = {"seconds", "bytes", "ratio"};
    size_t len = strlen(name), total = len > 6 && strcmp(name + len - 6, "_total") == 0 ? 6 : 0;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t unit = strlen(units[i]);
        if (len - total > unit + 1 && name[len - total - unit - 1] == '_' &&
            strncmp(name + len - total - unit, units[i], unit) == 0)
            return units[i];
    }
    return "";
}

char tb_custom_shape(const struct tb_custom_rule_config *r)
{
    static const char shapes[TB_CUSTOM_KINDS] = {[TB_CUSTOM_HISTOGRAM] = TB_EXT_HISTOGRAM,
                                                 [TB_CUSTOM_GAUGE] = TB_EXT_GAUGE,
                                                 [TB_CUSTOM_DISTINCT] = TB_EXT_DISTINCT};
    bool is_size = r->value == TB_CUSTOM_REQUEST_SIZE || r->value == TB_CUSTOM_RESPONSE_SIZE;
    if (r->value == TB_CUSTOM_IN_FLIGHT)
        return TB_EXT_IN_FLIGHT;
    if (shapes[r->kind])
        return shapes[r->kind];
    if (!r->value)
        return TB_EXT_COUNT;
    return is_size ? TB_EXT_BYTES : TB_EXT_SUM;
}

struct tb_metric tb_ext_metric(char shape, const char *name, const char *help)
{
    const bool is_real = shape == TB_EXT_LAST || shape == TB_EXT_OWN_GAUGE;
    const bool is_nano = shape == TB_EXT_SUM || shape == TB_EXT_HISTOGRAM || shape == TB_EXT_GAUGE;
    const bool is_counter = shape == TB_EXT_COUNT || shape == TB_EXT_SUM || shape == TB_EXT_BYTES;
    return (struct tb_metric){.name = name,
                              .unit = unit_of(name),
                              .help = help,
                              .type = shape == TB_EXT_HISTOGRAM ? TB_METRIC_HISTOGRAM
                                      : is_counter              ? TB_METRIC_COUNTER
                                                                : TB_METRIC_GAUGE,
                              .decimals = is_real   ? TB_METRIC_REAL
                                          : is_nano ? 9
                                                    : 0};
}

struct tb_metric tb_custom_metric(const struct tb_custom_rule_config *r)
{
    struct tb_metric m = tb_ext_metric(tb_custom_shape(r), r->metric, r->help ? r->help : TB_EXT_HELP);
    if (r->kind == TB_CUSTOM_HISTOGRAM && r->bounds.unit == TB_UNIT_BYTES)
        m.decimals = 0;
    return m;
}

/* --- the whole file --------------------------------------------------------------------------------------------------
 */

struct checker {
    struct tb_config *config;
    struct tb_config_errors *errors;
    const struct tb_custom_rule_config **rules; /* of all lists */
    size_t count, space;
};

static void complain(struct checker *c, const struct tb_custom_rule_config *r, const char *why)
{
    tb_config_error(c->errors, c->config->path, r->line, r->column, "metric \"%s\": %s", r->metric, why);
}

static void collect(struct checker *c, const struct tb_custom_config *list)
{
    for (size_t i = 0; i < list->rule_count; i++) {
        c->rules = tb_grow(c->rules, c->count, &c->space, sizeof *c->rules);
        c->rules[c->count++] = &list->rules[i];
    }
}

static bool is_same_metric(const struct tb_custom_rule_config *a, const struct tb_custom_rule_config *b)
{
    return tb_custom_shape(a) == tb_custom_shape(b) && a->bounds.unit == b->bounds.unit &&
           (!a->help || !b->help || strcmp(a->help, b->help) == 0);
}

/* Against the rules before it, and the exporter's own families. */
static void check_name(struct checker *c, size_t at)
{
    const struct tb_custom_rule_config *r = c->rules[at];
    struct tb_metric m = tb_custom_metric(r);
    if (strncmp(r->metric, "tickbird_", 9) == 0 || strncmp(r->metric, "process_", 8) == 0)
        complain(c, r, "names that begin so are the exporter's own: write another name");
    for (size_t i = 0; i < TB_FAMILIES; i++)
        if (tb_ext_collide(&m, &c->config->names.metrics[i])) {
            complain(c, r, "a metric of the exporter's own has samples of that name: write another name");
            return;
        }
    for (size_t i = 0; i < at; i++) {
        struct tb_metric other = tb_custom_metric(c->rules[i]);
        bool is_same = strcmp(m.name, other.name) == 0;
        if (is_same && !is_same_metric(r, c->rules[i]))
            complain(c, r, "another rule of this name has another type, unit of value or help: let them be the same");
        else if (!is_same && tb_ext_collide(&m, &other))
            complain(c, r, "another rule's metric has samples of that name: write another name");
        else
            continue;
        return;
    }
}

static void check_labels(struct checker *c, const struct tb_custom_rule_config *r)
{
    const struct tb_names *names = &c->config->names;
    for (size_t i = 0; i < r->label_count; i++)
        if (tb_ext_has_label(names->constant, r->labels[i].name) ||
            tb_escape_meet(names->labels[TB_LABEL_SERVICE], r->labels[i].name, true))
            complain(c, r, "a label has the name of one that is on every sample: write another name");
}

static void keep(struct checker *c, const struct tb_custom_rule_config *r)
{
    struct tb_names *names = &c->config->names;
    struct tb_metric m = tb_custom_metric(r);
    for (size_t i = 0; i < names->custom_count; i++)
        if (strcmp(names->custom[i].name, m.name) == 0) {
            if (r->help)
                names->custom[i].help = tb_names_keep(names, tb_copy_text(r->help));
            return;
        }
    m.name = tb_names_keep(names, tb_copy_text(m.name));
    m.unit = unit_of(m.name);
    m.help = tb_names_keep(names, tb_copy_text(m.help));
    names->custom = tb_grow(names->custom, names->custom_count, &names->custom_space, sizeof *names->custom);
    names->custom[names->custom_count++] = m;
}

void tb_config_check_rules(struct tb_config *c, struct tb_config_errors *errors)
{
    struct checker all = {.config = c, .errors = errors};
    collect(&all, &c->custom);
    for (size_t i = 0; i < c->service_count; i++)
        collect(&all, &c->services[i].custom);
    for (size_t i = 0; i < all.count; i++) {
        check_name(&all, i);
        check_labels(&all, all.rules[i]);
        keep(&all, all.rules[i]);
    }
    free(all.rules);
}
