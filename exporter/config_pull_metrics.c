/* SPDX-License-Identifier: Apache-2.0 */
/* Reads `metrics` of inlets that ask (inlet_config.h). */
#include "config_inlets.h"

#include <math.h>
#include <string.h>

#include "inlet_set.h"
#include "inlet_text.h"
#include "json_path.h"

#define KEY_WORD "$key" /* instead of a path: what the element is called */

/* "." is the value itself. */
static void read_path(struct tb_yaml *y, yaml_node_t *value, const char *what, struct tb_pull_path *to)
{
    const char *text = tb_yaml_text(y, value, what);
    uint8_t steps[TB_JSON_PATH_MAX];
    size_t len = 0, at = 0;
    if (!text || strcmp(text, ".") == 0)
        return;
    const char *wrong = tb_json_path_compile(tb_bytes((const uint8_t *)text, strlen(text)), steps, &len, &at);
    if (wrong) {
        tb_yaml_error(y, value, "%s: \"%s\": %s, at byte %zu: write one like queues[0].length", what, text, wrong,
                      at + 1);
        return;
    }
    to->steps = (uint8_t *)tb_strndup((const char *)steps, len);
    to->len = len;
}

static void metric_name(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    ((struct tb_pull_metric *)to)->name = tb_yaml_copy(y, value, "name");
}

static void metric_help(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    ((struct tb_pull_metric *)to)->help = tb_yaml_copy(y, value, "help");
}

static void metric_type(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_pull_metric *m = to;
    const char *text = tb_yaml_text(y, value, "type");
    if (text && strcmp(text, "counter") == 0)
        m->type = TB_METRIC_COUNTER;
    else if (text && strcmp(text, "gauge") != 0)
        tb_yaml_error(y, value, "type: \"%s\" is neither gauge nor counter: write one of them", text);
}

static void metric_scale(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_pull_metric *m = to;
    const char *text = tb_yaml_text(y, value, "scale");
    if (text && (!tb_inlet_real(text, &m->scale) || !isfinite(m->scale) || m->scale == 0))
        tb_yaml_error(y, value, "scale: \"%s\" is no number to multiply by: write one like 0.001", text);
}

static void metric_each(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_pull_metric *m = to;
    m->has_each = true;
    read_path(y, value, "each", &m->each);
}

static void metric_path(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_pull_metric *m = to;
    m->has_path = true;
    read_path(y, value, "path", &m->path);
}

/* --- labels ----------------------------------------------------------------------------------------------------------
 */

static void label_path(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_pull_label *l = to;
    const char *text = tb_yaml_text(y, value, "path");
    l->is_key = text && strcmp(text, KEY_WORD) == 0;
    if (text && !l->is_key)
        read_path(y, value, "path", &l->path);
}

static void read_label(struct tb_yaml *y, yaml_node_t *key, yaml_node_t *value, struct tb_pull_metric *m)
{
    static const struct tb_yaml_key keys[] = {{"path", label_path}};
    const char *name = (const char *)key->data.scalar.value, *wrong = tb_label_name_complaint(name, false);
    if (m->label_count == TB_PULL_LABELS_MAX) {
        tb_yaml_error(y, key, "labels: more than %u: leave some out", TB_PULL_LABELS_MAX);
        return;
    }
    if (wrong)
        tb_yaml_error(y, key, "labels: \"%s\": %s", name, wrong);
    m->labels = tb_grow(m->labels, m->label_count, &m->label_space, sizeof *m->labels);
    struct tb_pull_label *l = &m->labels[m->label_count++];
    *l = (struct tb_pull_label){.name = tb_strndup(name, strlen(name))};
    if (value->type == YAML_MAPPING_NODE) {
        tb_yaml_mapping(y, value, "labels", TB_YAML_KEYS(keys), l);
        return;
    }
    l->value = tb_yaml_copy(y, value, "labels");
    if (l->value && strlen(l->value) > TB_INLET_VALUE_MAX)
        tb_yaml_error(y, value, "labels: the value is longer than %u bytes: shorten it", TB_INLET_VALUE_MAX);
}

static void metric_labels(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    yaml_node_t *key, *text;
    size_t at = 0;
    if (value->type != YAML_MAPPING_NODE) {
        tb_yaml_error(y, value, "labels: it is no mapping: write names with values");
        return;
    }
    while (tb_yaml_pair(y, value, &at, &key, &text))
        read_label(y, key, text, to);
}

/* --- a metric --------------------------------------------------------------------------------------------------------
 */

static void check_name(struct tb_yaml *y, yaml_node_t *value, const struct tb_pull_config *c,
                       const struct tb_pull_metric *m)
{
    const char *wrong = !tb_inlet_is_name(m->name) ? "it is no metric name: write letters, digits and _, no digit first"
                                                   : tb_metric_name_complaint(m->name, m->type);
    if (wrong)
        tb_yaml_error(y, value, "name: \"%s\": %s", m->name, wrong);
    for (size_t i = 0; i + 1 < c->metric_count; i++)
        if (c->metrics[i].name && strcmp(c->metrics[i].name, m->name) == 0 && c->metrics[i].type != m->type)
            tb_yaml_error(y, value, "type: another \"%s\" is of another type: give both one", m->name);
}

static void read_metric(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    static const struct tb_yaml_key keys[] = {
        {"name", metric_name}, {"help", metric_help}, {"type", metric_type},     {"scale", metric_scale},
        {"each", metric_each}, {"path", metric_path}, {"labels", metric_labels}, {"command", tb_config_redis_command}};
    struct tb_pull_config *c = ((struct tb_inlet_reader *)to)->to->pull;
    const unsigned before = y->errors->count;
    if (c->metric_count == TB_PULL_METRICS_MAX) {
        tb_yaml_error(y, value, "metrics: more than %u: leave some out", TB_PULL_METRICS_MAX);
        return;
    }
    c->metrics = tb_grow(c->metrics, c->metric_count, &c->metric_space, sizeof *c->metrics);
    struct tb_pull_metric *m = &c->metrics[c->metric_count++];
    *m = (struct tb_pull_metric){.type = TB_METRIC_GAUGE,
                                 .scale = 1,
                                 .line = (uint32_t)tb_yaml_line(value),
                                 .column = (uint32_t)tb_yaml_column(value)};
    tb_yaml_mapping(y, value, "metrics", TB_YAML_KEYS(keys), m);
    if (!m->name && y->errors->count == before)
        tb_yaml_error(y, value, "metrics: an entry has no name: write name: NAME");
    else if (m->name)
        check_name(y, value, c, m);
}

void tb_config_read_pull_metrics(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    ((struct tb_inlet_reader *)to)->places[TB_KEY_METRICS] = value;
    tb_yaml_each(y, value, read_metric, to);
}

static void complain(struct tb_yaml *y, const struct tb_pull_metric *m, const char *wrong)
{
    tb_config_error(y->errors, y->file, m->line, m->column, "metrics: \"%s\": %s", m->name, wrong);
}

static bool has_found_labels(const struct tb_pull_metric *m)
{
    for (size_t i = 0; i < m->label_count; i++)
        if (!m->labels[i].value)
            return true;
    return false;
}

void tb_config_check_pull_metrics(struct tb_yaml *y, yaml_node_t *value, const struct tb_inlet_reader *r)
{
    const struct tb_pull_config *c = r->to->pull;
    const bool is_command = c->type == TB_INLET_COMMAND, is_text = is_command && c->format == TB_PULL_TEXT;
    const bool is_number = is_command && c->format == TB_PULL_NUMBER, has_commands = c->type == TB_INLET_REDIS;
    const bool has_paths = c->type == TB_INLET_JSON || (is_command && c->format == TB_PULL_JSON);
    if (is_text && c->metric_count)
        tb_yaml_error(y, r->places[TB_KEY_METRICS], "metrics: the output names them itself: leave the key out");
    else if (is_number && c->metric_count != 1)
        tb_yaml_error(y, value, "metrics: the output is one number: name one metric, or write format: json or text");
    else if (!is_text && !c->metric_count)
        tb_yaml_error(y, value, "metrics: nothing would be read: name at least one metric");
    for (size_t i = 0; i < c->metric_count; i++) {
        const struct tb_pull_metric *m = &c->metrics[i];
        if (has_paths && !m->has_path)
            complain(y, m, "it has no path: write path: PATH, or path: .");
        if (!has_paths && (m->has_path || m->has_each || has_found_labels(m)))
            complain(y, m, "there is no JSON that paths could lead into: leave them out");
        if (has_commands && !m->word_count)
            complain(y, m, "it has no command: write one like command: [LLEN, KEY]");
        if (!has_commands && m->word_count)
            complain(y, m, "it has a command and is not of Redis: leave it out");
    }
}
