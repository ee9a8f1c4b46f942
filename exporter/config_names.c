/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `metrics` of config.yml: what families and labels are called (names.h). Keys may come in any order, so all are noted
 * first and then applied: preset, unit, labels, families. Last it is checked that no two names meet.
 */
#include <stdlib.h>

#include "config_metrics.h"
#include "config_yaml.h"
#include "names.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* A place in the file for each thing that can be named, NULL where the preset has named it. */
struct names_reader {
    struct tb_names *names;
    struct tb_metrics_config *recorded;
    yaml_node_t *preset, *unit, *labels, *constant, *families;
    yaml_node_t *label_at[TB_LABEL_COUNT], *family_at[TB_FAMILIES];
    size_t constant_count;
    const char *constants[TB_CONSTANT_LABELS]; /* in the file */
    unsigned instances, split_by;              /* of tb_names */
    yaml_node_t *split_at;
    struct tb_buffer constant_text;
};

/* One entry of `families`. */
struct family_reader {
    yaml_node_t *name, *unit;
    bool is_on;
};

/* The number of the text in @names; @count and told when it is none of them. */
static unsigned one_of(struct tb_yaml *y, yaml_node_t *node, const char *what, const char *(*name)(unsigned),
                       unsigned count)
{
    const char *text = tb_yaml_text(y, node, what);
    struct tb_buffer known = {0};
    unsigned i = 0;
    if (!text)
        return count;
    while (i < count && strcmp(text, name(i)) != 0)
        i++;
    if (i < count)
        return i;
    for (unsigned k = 0; k < count; k++) {
        tb_puts(&known, k ? ", " : "");
        tb_puts(&known, name(k));
    }
    tb_put(&known, "", 1);
    tb_yaml_error(y, node, "%s: \"%s\" is none of %s: write one of them", what, text, known.data);
    tb_buffer_free(&known);
    return count;
}

static const char *preset_name(unsigned i)
{
    return tb_preset_name((enum tb_preset)i);
}

static const char *unit_name(unsigned i)
{
    return tb_names_unit_name((enum tb_names_unit)i);
}

static const char *instance_name(unsigned i)
{
    return tb_instance_key((enum tb_instance_label)i);
}

static bool is_switch(const yaml_node_t *node)
{
    static const char *const words[] = {"true", "yes", "on", "false", "no", "off"};
    if (!node || node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    for (size_t i = 0; i < COUNT(words); i++)
        if (strcmp((const char *)node->data.scalar.value, words[i]) == 0)
            return true;
    return false;
}

/* --- labels ----------------------------------------------------------------------------------------------------------
 */

/* `label: false`. What differed in it alone is summed; series of services, which nobody sums, stay apart. */
static void leave_out(struct tb_yaml *y, yaml_node_t *value, enum tb_label_id id, struct names_reader *r)
{
    bool is_on = true;
    tb_yaml_switch(y, value, tb_label_key(id), &is_on);
    if (!is_on && (id == TB_LABEL_SERVICE || id == TB_LABEL_REASON))
        tb_yaml_error(y, value, "%s: it cannot be left out: drop it in the server (metric_relabel_configs)",
                      tb_label_key(id));
    else if (!is_on)
        r->names->labels[id] = NULL;
}

static void read_label(struct tb_yaml *y, yaml_node_t *key, yaml_node_t *value, struct names_reader *r)
{
    const char *name = (const char *)key->data.scalar.value, *text;
    unsigned id = 0;
    while (id < TB_LABEL_COUNT && strcmp(name, tb_label_key((enum tb_label_id)id)) != 0)
        id++;
    if (id == TB_LABEL_COUNT) {
        tb_yaml_error(y, key, "%s: unknown key of labels: one of service, host, target, method, route, status, reason",
                      name);
        return;
    }
    r->label_at[id] = value;
    if (is_switch(value)) {
        leave_out(y, value, (enum tb_label_id)id, r);
        return;
    }
    text = tb_yaml_text(y, value, name);
    const char *why = text ? tb_label_name_complaint(text, true) : NULL;
    if (why)
        tb_yaml_error(y, value, "%s: \"%s\": %s", name, text, why);
    else if (text)
        r->names->labels[id] = tb_names_label(r->names, text);
}

static void read_constant(struct tb_yaml *y, yaml_node_t *key, yaml_node_t *value, struct names_reader *r)
{
    const char *name = (const char *)key->data.scalar.value, *text = tb_yaml_text(y, value, name);
    const char *why = tb_label_name_complaint(name, true);
    if (!why && tb_label_is_fixed(name))
        why = "this exporter has a label of that name: write another one";
    for (unsigned i = 0; !why && i < TB_INSTANCE_COUNT; i++)
        if (r->split_by >> i & 1 && tb_escape_meet(instance_name(i), name, true))
            why = "split_by has a label of that name: write another one";
    for (size_t i = 0; !why && i < r->constant_count; i++)
        if (tb_escape_meet(r->constants[i], name, true))
            why = "escaped, it is the name of one above: write another name";
    if (!why && r->constant_count == TB_CONSTANT_LABELS)
        why = "more than 32 constant labels: remove some";
    if (why)
        tb_yaml_error(y, key, "constant_labels: \"%s\": %s", name, why);
    for (unsigned id = 0; id < TB_LABEL_COUNT; id++)
        if (!why && r->names->labels[id] && tb_escape_meet(r->names->labels[id], name, true))
            tb_yaml_error(y, key, "constant_labels: \"%s\" is what the label %s is called: write another name", name,
                          tb_label_key((enum tb_label_id)id));
    if (why || !text)
        return;
    r->constants[r->constant_count++] = name;
    char *clean = tb_label_clean(text, strlen(text));
    tb_puts(&r->constant_text, r->constant_text.len ? "," : "");
    tb_puts(&r->constant_text, tb_names_label(r->names, name));
    tb_puts(&r->constant_text, "=\"");
    tb_put_escaped(&r->constant_text, clean, strlen(clean));
    tb_puts(&r->constant_text, "\"");
    free(clean);
}

/* A family with @id and a label that keeps its name: the two must not be the same. */
static void keep_apart(struct tb_yaml *y, const struct names_reader *r, enum tb_label_id id, const char *family,
                       const char *fixed)
{
    if (r->label_at[id] && r->names->labels[id] && tb_escape_meet(r->names->labels[id], fixed, true))
        tb_yaml_error(y, r->label_at[id], "%s: %s has a label \"%s\": write another name", tb_label_key(id), family,
                      fixed);
}

/* What stands around a label's name in a message: one that is no identifier has its quotes already. */
static const char *quote_of(const char *label)
{
    return *label == '"' ? "" : "\"";
}

static void check_labels(struct tb_yaml *y, struct names_reader *r)
{
    for (unsigned a = 0; a < TB_LABEL_COUNT; a++)
        for (unsigned b = 0; b < TB_LABEL_COUNT; b++) {
            const char *left = r->names->labels[a], *right = r->names->labels[b];
            /* told at the one that was set; of two that were set, at the second */
            bool is_here = r->label_at[a] && (!r->label_at[b] || a > b);
            if (a != b && is_here && left && right && tb_escape_meet(left, right, true) &&
                tb_labels_meet((enum tb_label_id)a, (enum tb_label_id)b))
                tb_yaml_error(y, r->label_at[a], "%s: the label %s is called %s%s%s too: write another name",
                              tb_label_key((enum tb_label_id)a), tb_label_key((enum tb_label_id)b), quote_of(right),
                              right, quote_of(right));
        }
    for (unsigned i = 0; i < TB_INSTANCE_COUNT; i++)
        for (unsigned id = 0; r->split_by >> i & 1 && id < TB_LABEL_COUNT; id++)
            if (r->names->labels[id] && tb_escape_meet(r->names->labels[id], instance_name(i), true))
                tb_yaml_error(y, r->split_at,
                              "split_by: the label %s is called \"%s\", too: give it another name in labels",
                              tb_label_key((enum tb_label_id)id), instance_name(i));
    keep_apart(y, r, TB_LABEL_SERVICE, "tickbird_agent_info", "version");
    keep_apart(y, r, TB_LABEL_REASON, "tickbird_unobserved_listeners", "exe");
    keep_apart(y, r, TB_LABEL_REASON, "tickbird_rule_unreadable_total", "rule");
}

/* --- families --------------------------------------------------------------------------------------------------------
 */

static void family_name(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    (void)y;
    ((struct family_reader *)to)->name = value;
}

static void family_unit(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    (void)y;
    ((struct family_reader *)to)->unit = value;
}

static void family_enabled(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_yaml_switch(y, value, "enabled", &((struct family_reader *)to)->is_on);
}

static void apply_name(struct tb_yaml *y, yaml_node_t *node, struct tb_names *names, size_t family)
{
    const char *text = tb_yaml_text(y, node, "name");
    const char *why = text ? tb_metric_name_complaint(text, names->metrics[family].type) : NULL;
    if (why)
        tb_yaml_error(y, node, "name: \"%s\": %s", text, why);
    else if (text)
        tb_names_rename(names, family, tb_names_keep(names, tb_strndup(text, strlen(text))));
}

static void apply_unit(struct tb_yaml *y, const struct family_reader *f, struct tb_names *names, size_t family)
{
    unsigned unit = one_of(y, f->unit, "unit", unit_name, TB_NAMES_UNITS);
    if (unit == TB_NAMES_UNITS)
        return;
    if (!tb_names_has_unit(family))
        tb_yaml_error(y, f->unit, "unit: %s has no unit that can be changed: leave it out",
                      tb_metrics_default[family].name);
    else if (f->name && *names->metrics[family].unit && unit != tb_names_unit(names, family))
        tb_yaml_error(y, f->unit, "unit: \"%s\" says another one: change the name, or leave the unit out",
                      names->metrics[family].name);
    else
        tb_names_set_unit(names, family, (enum tb_names_unit)unit);
}

static void read_family(struct tb_yaml *y, yaml_node_t *key, yaml_node_t *value, struct names_reader *r)
{
    static const struct tb_yaml_key keys[] = {
        {"name", family_name}, {"unit", family_unit}, {"enabled", family_enabled}};
    struct family_reader f = {.is_on = true};
    const char *name = (const char *)key->data.scalar.value;
    size_t family = 0;
    while (family < TB_FAMILIES && strcmp(tb_metrics_default[family].name, name) != 0)
        family++;
    if (family == TB_FAMILIES) {
        tb_yaml_error(y, key, "%s: unknown family: write a name of docs/metrics.md, as it is without a preset", name);
        return;
    }
    r->family_at[family] = value;
    if (is_switch(value))
        family_enabled(y, value, &f);
    else if (value->type == YAML_MAPPING_NODE)
        tb_yaml_mapping(y, value, name, TB_YAML_KEYS(keys), &f);
    else
        f.name = value;
    if (f.name)
        apply_name(y, f.name, r->names, family);
    if (f.unit)
        apply_unit(y, &f, r->names, family);
    if (!f.is_on)
        r->names->metrics[family].name = NULL;
}

/* Families that were named must not meet any other. */
static void check_families(struct tb_yaml *y, const struct names_reader *r)
{
    for (size_t a = 0; a < TB_FAMILIES; a++)
        for (size_t b = 0; b < TB_FAMILIES; b++) {
            bool is_here = r->family_at[a] && (!r->family_at[b] || a > b);
            if (a != b && is_here && tb_metric_first(a) == a && tb_metric_first(b) == b &&
                tb_names_collide(&r->names->metrics[a], &r->names->metrics[b]))
                tb_yaml_error(y, r->family_at[a], "name: \"%s\" and \"%s\" have samples of one name: change one",
                              r->names->metrics[a].name, r->names->metrics[b].name);
        }
}

/* --- the whole -------------------------------------------------------------------------------------------------------
 */

/* Notes that are read later. */
#define NOTE(what)                                                                                                     \
    static void note_##what(struct tb_yaml *y, yaml_node_t *value, void *to)                                           \
    {                                                                                                                  \
        (void)y;                                                                                                       \
        ((struct names_reader *)to)->what = value;                                                                     \
    }
NOTE(preset)
NOTE(unit)
NOTE(labels)
NOTE(constant)
NOTE(families)

static void one_instance(struct tb_yaml *y, yaml_node_t *value, const char *what, unsigned *to)
{
    unsigned id = one_of(y, value, what, instance_name, TB_INSTANCE_COUNT);
    if (id < TB_INSTANCE_COUNT)
        *to |= 1u << id;
}

static void one_shown(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    one_instance(y, value, "instances", &((struct names_reader *)to)->instances);
}

static void one_split(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    one_instance(y, value, "split_by", &((struct names_reader *)to)->split_by);
}

static void note_instances(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_yaml_each(y, value, one_shown, to);
}

static void note_split_by(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    ((struct names_reader *)to)->split_at = value;
    tb_yaml_each(y, value, one_split, to);
}

/* What is not about names, but about what programs record. */
#define RECORDED(what)                                                                                                 \
    static void recorded_##what(struct tb_yaml *y, yaml_node_t *value, void *to)                                       \
    {                                                                                                                  \
        tb_config_read_##what(y, value, ((struct names_reader *)to)->recorded);                                        \
    }
RECORDED(duration)
RECORDED(first_byte)
RECORDED(request_size)
RECORDED(response_size)
RECORDED(exemplars)

/* Each entry of a mapping whose keys are names. */
static void each_entry(struct tb_yaml *y, yaml_node_t *node, const char *what, struct names_reader *r,
                       void (*read)(struct tb_yaml *, yaml_node_t *, yaml_node_t *, struct names_reader *))
{
    yaml_node_t *key, *value;
    size_t at = 0;
    if (tb_yaml_is_none(node))
        return;
    if (node->type != YAML_MAPPING_NODE) {
        tb_yaml_error(y, node, "%s: it is no mapping: write names with values", what);
        return;
    }
    while (tb_yaml_pair(y, node, &at, &key, &value))
        read(y, key, value, r);
}

void tb_config_read_names(struct tb_yaml *y, yaml_node_t *node, struct tb_config *c)
{
    static const struct tb_yaml_key keys[] = {{"preset", note_preset},
                                              {"unit", note_unit},
                                              {"labels", note_labels},
                                              {"constant_labels", note_constant},
                                              {"families", note_families},
                                              {"instances", note_instances},
                                              {"split_by", note_split_by},
                                              {"duration", recorded_duration},
                                              {"first_byte", recorded_first_byte},
                                              {"request_size", recorded_request_size},
                                              {"response_size", recorded_response_size},
                                              {"exemplars", recorded_exemplars}};
    struct names_reader r = {.names = &c->names, .recorded = &c->metrics};
    tb_yaml_mapping(y, node, "metrics", TB_YAML_KEYS(keys), &r);
    unsigned preset = r.preset ? one_of(y, r.preset, "preset", preset_name, TB_PRESET_COUNT) : TB_PRESET_CLASSIC;
    unsigned unit = r.unit ? one_of(y, r.unit, "unit", unit_name, TB_NAMES_UNITS) : TB_NAMES_UNITS;
    tb_names_free(&c->names);
    tb_names_make(&c->names, preset < TB_PRESET_COUNT ? (enum tb_preset)preset : TB_PRESET_CLASSIC);
    c->names.is_given = true;
    c->names.instances = r.instances;
    c->names.split_by = r.split_by;
    tb_config_preset_bounds(c->names.preset, &c->metrics);
    for (size_t i = 0; unit < TB_NAMES_UNITS && i < TB_FAMILIES; i++)
        if (tb_names_has_unit(i))
            tb_names_set_unit(&c->names, i, (enum tb_names_unit)unit);
    each_entry(y, r.labels, "labels", &r, read_label);
    each_entry(y, r.constant, "constant_labels", &r, read_constant);
    each_entry(y, r.families, "families", &r, read_family);
    check_labels(y, &r);
    check_families(y, &r);
    if (r.constant_text.len) {
        tb_put(&r.constant_text, "", 1);
        c->names.constant = tb_names_keep(&c->names, r.constant_text.data);
    }
}
