/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads `rules` of config.yml (rules_config.h): tables of keys as in config.c, one rule after the other. What needs the
 * whole file, names above all, is checked in rules_names.c.
 */
#include "rules_config.h"

#include <stdlib.h>

#include "config_metrics.h"
#include "config_yaml.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define SECOND UINT64_C(1000000000)
#define WINDOW_MIN_S 60u
#define WINDOW_MAX_S 64800u
#define WINDOW_DEFAULT_S 1800u
#define MAX_DEFAULT 20u /* values of a label that come from a client */

/* --- labels ----------------------------------------------------------------------------------------------------------
 */

static const struct {
    const char *word;
    uint8_t source;
} label_words[] = {{"method", TB_CUSTOM_METHOD}, {"route", TB_CUSTOM_ROUTE},
                   {"status", TB_CUSTOM_STATUS}, {"status_class", TB_CUSTOM_STATUS_CLASS},
                   {"target", TB_CUSTOM_TARGET}, {"host", TB_CUSTOM_FIELD}};

static void label_word(struct tb_yaml *y, yaml_node_t *value, struct tb_custom_label_config *l)
{
    const char *text = tb_yaml_text(y, value, l->name);
    for (size_t i = 0; text && i < COUNT(label_words); i++)
        if (strcmp(text, label_words[i].word) == 0) {
            l->source = label_words[i].source;
            if (l->source == TB_CUSTOM_FIELD)
                l->field = (struct tb_place_config){TB_CUSTOM_HOST, tb_copy_text("host"), 4};
            return;
        }
    if (text)
        tb_yaml_error(y, value,
                      "%s: \"%s\" is none of method, route, status, status_class, host, target: write one of them, or "
                      "where the value is, like {request_header: X-Tenant}",
                      l->name, text);
}

static void label_allow(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    const char *text = tb_rules_text_of(y, value, "allow", TB_CUSTOM_VALUE_MAX);
    if (text)
        tb_text_list_add(&((struct tb_custom_label_config *)to)->allow, text);
}

/* Keys of a label that say no place. False: it is none. */
static bool label_key(struct tb_yaml *y, const char *key, yaml_node_t *value, struct tb_custom_label_config *l)
{
    if (strcmp(key, "from") == 0) {
        label_word(y, value, l);
    } else if (strcmp(key, "has_cookie") == 0) {
        tb_rules_read_place(y, value, TB_CUSTOM_COOKIE, &l->field);
        l->source = TB_CUSTOM_PRESENCE;
    } else if (strcmp(key, "has_request_header") == 0) {
        tb_rules_read_place(y, value, TB_CUSTOM_REQUEST_HEADER, &l->field);
        l->source = TB_CUSTOM_PRESENCE;
    } else if (strcmp(key, "allow") == 0) {
        tb_yaml_each(y, value, label_allow, l);
    } else if (strcmp(key, "max") == 0) {
        tb_yaml_number(y, value, "max", 1, TB_CUSTOM_ADMITTED / 2, &l->max);
    } else if (strcmp(key, "other") == 0) {
        const char *text = tb_rules_text_of(y, value, "other", TB_CUSTOM_VALUE_MAX);
        free(l->other);
        l->other = text ? tb_copy_text(text) : NULL;
    } else {
        return false;
    }
    return true;
}

static void label_mapping(struct tb_yaml *y, yaml_node_t *node, struct tb_custom_label_config *l)
{
    yaml_node_t *key, *value;
    size_t at = 0;
    while (tb_yaml_pair(y, node, &at, &key, &value)) {
        uint8_t place = tb_rules_place(key);
        if (place && l->fallback.place) {
            tb_yaml_error(y, key, "%s: more than two places: leave some out", l->name);
        } else if (place) {
            tb_rules_read_place(y, value, place, l->field.place ? &l->fallback : &l->field);
            l->source = TB_CUSTOM_FIELD;
        } else if (!label_key(y, (const char *)key->data.scalar.value, value, l)) {
            tb_yaml_error(
                y, key,
                "%s: unknown key of a label: one of from, has_cookie, has_request_header, request_header, "
                "response_header, query, cookie, request_json, response_json, request_form, allow, max, other",
                (const char *)key->data.scalar.value);
        }
    }
}

static void read_label(struct tb_yaml *y, yaml_node_t *key, yaml_node_t *value, struct tb_custom_rule_config *rule)
{
    const char *name = (const char *)key->data.scalar.value, *why = tb_label_name_complaint(name, false);
    unsigned before = y->errors->count;
    if (why || strlen(name) > 100) {
        tb_yaml_error(y, key, "labels: \"%s\": %s", name, why ? why : "it is longer than 100 bytes: shorten it");
        return;
    }
    size_t at = rule->label_count;
    rule->labels = tb_grow(rule->labels, rule->label_count++, &rule->label_space, sizeof *rule->labels);
    for (; at && strcmp(rule->labels[at - 1].name, name) > 0; at--)
        rule->labels[at] = rule->labels[at - 1];
    struct tb_custom_label_config *l = &rule->labels[at];
    *l = (struct tb_custom_label_config){.name = tb_copy_text(name)};
    if (value->type == YAML_MAPPING_NODE)
        label_mapping(y, value, l);
    else
        label_word(y, value, l);
    if (!l->source && y->errors->count == before)
        tb_yaml_error(y, key, "%s: it says no place: write one like request_header: X-Tenant", name);
    if (!l->other)
        l->other = tb_copy_text("_other");
    if (l->source == TB_CUSTOM_FIELD && !l->max && !l->allow.count)
        l->max = MAX_DEFAULT;
}

static void rule_labels(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    yaml_node_t *key, *source;
    size_t at = 0;
    if (tb_yaml_is_none(value))
        return;
    if (value->type != YAML_MAPPING_NODE) {
        tb_yaml_error(y, value, "labels: it is no mapping: write names with what they are");
        return;
    }
    while (tb_yaml_pair(y, value, &at, &key, &source))
        read_label(y, key, source, to);
}

/* --- the other keys --------------------------------------------------------------------------------------------------
 */

static void rule_metric(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    const char *text = tb_rules_text_of(y, value, "metric", 150);
    if (text)
        ((struct tb_custom_rule_config *)to)->metric = tb_copy_text(text);
}

static void rule_help(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    const char *text = tb_rules_text_of(y, value, "help", 1000);
    if (text)
        ((struct tb_custom_rule_config *)to)->help = tb_copy_text(text);
}

static void rule_type(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    static const char *const names[] = {"", "counter", "histogram", "gauge", "distinct"}; /* enum tb_custom_kind */
    const char *text = tb_yaml_text(y, value, "type");
    for (uint8_t i = 1; text && i < COUNT(names); i++)
        if (strcmp(text, names[i]) == 0) {
            ((struct tb_custom_rule_config *)to)->kind = i;
            return;
        }
    if (text)
        tb_yaml_error(y, value, "type: \"%s\" is none of counter, histogram, gauge, distinct: write one of them", text);
}

static void value_word(struct tb_yaml *y, yaml_node_t *value, struct tb_custom_rule_config *rule)
{
    static const char *const words[TB_CUSTOM_VALUES] = {[TB_CUSTOM_DURATION] = "duration",
                                                        [TB_CUSTOM_FIRST_BYTE] = "first_byte",
                                                        [TB_CUSTOM_REQUEST_SIZE] = "request_size",
                                                        [TB_CUSTOM_RESPONSE_SIZE] = "response_size",
                                                        [TB_CUSTOM_IN_FLIGHT] = "in_flight"};
    const char *text = tb_yaml_text(y, value, "value");
    for (uint8_t i = 1; text && i < COUNT(words); i++)
        if (words[i] && strcmp(text, words[i]) == 0) {
            rule->value = i;
            return;
        }
    if (text)
        tb_yaml_error(
            y, value,
            "value: \"%s\" is none of duration, first_byte, request_size, response_size, in_flight: write one "
            "of them, or where a number is, like {response_json: total}",
            text);
}

static void rule_value(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_custom_rule_config *rule = to;
    yaml_node_t *key, *name;
    size_t at = 0;
    if (value->type != YAML_MAPPING_NODE) {
        value_word(y, value, rule);
        return;
    }
    while (tb_yaml_pair(y, value, &at, &key, &name)) {
        uint8_t place = tb_rules_place(key);
        if (!place || rule->field.place) {
            tb_yaml_error(y, key, "value: write one place of a number, like {response_json: total}");
            continue;
        }
        rule->value = TB_CUSTOM_NUMBER;
        tb_rules_read_place(y, name, place, &rule->field);
    }
}

/* A power of ten, as 0.001 or 1000. */
static void rule_scale(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_custom_rule_config *rule = to;
    const char *text = tb_yaml_text(y, value, "scale");
    uint64_t nano = 0, power = 1;
    if (!text)
        return;
    bool is_number = tb_config_decimal(text, 9, &nano);
    for (rule->scale = -9; is_number && rule->scale < 9 && power < nano; rule->scale++)
        power *= 10;
    rule->has_scale = true;
    if (!is_number || power != nano)
        tb_yaml_error(y, value, "scale: \"%s\" is no power of ten from 0.000000001 to 1000000000: write one like 0.001",
                      text);
}

static void rule_window(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    const char *text = tb_yaml_text(y, value, "window");
    uint64_t ns = 0;
    if (!text)
        return;
    if (!tb_duration_parse(text, &ns) || ns < WINDOW_MIN_S * SECOND || ns > WINDOW_MAX_S * SECOND)
        tb_yaml_error(y, value, "window: \"%s\" is no duration from 1m to 18h: give one like 30m", text);
    else
        ((struct tb_custom_rule_config *)to)->window_s = (uint32_t)(ns / SECOND);
}

/* Bounds are read when all keys are known: what is in them depends on the value. */
struct rule_reader {
    struct tb_custom_rule_config *rule;
    yaml_node_t *bounds;
};

static bool is_large(struct tb_yaml *y, yaml_node_t *bounds)
{
    double most = 0;
    if (bounds->type != YAML_SEQUENCE_NODE)
        return false;
    for (yaml_node_item_t *i = bounds->data.sequence.items.start; i < bounds->data.sequence.items.top; i++) {
        const yaml_node_t *n = yaml_document_get_node(&y->document, *i);
        double v = n->type == YAML_SCALAR_NODE ? strtod((const char *)n->data.scalar.value, NULL) : 0;
        most = v > most ? v : most;
    }
    return most > 131072;
}

static void default_bounds(struct tb_custom_rule_config *rule, uint32_t set)
{
    struct tb_bounds bounds;
    if (!tb_histogram_builtin(set, &bounds))
        return;
    rule->bounds.unit = bounds.unit;
    rule->bounds.count = bounds.count;
    memcpy(rule->bounds.at_most, bounds.at_most, bounds.count * sizeof *bounds.at_most);
}

static void finish_bounds(struct tb_yaml *y, struct rule_reader *r, yaml_node_t *at)
{
    struct tb_custom_rule_config *rule = r->rule;
    bool is_size = rule->value == TB_CUSTOM_REQUEST_SIZE || rule->value == TB_CUSTOM_RESPONSE_SIZE;
    bool is_number = rule->value == TB_CUSTOM_NUMBER;
    enum tb_unit unit = is_size ? TB_UNIT_BYTES : TB_UNIT_SECONDS;
    rule->bounds.unit = (uint8_t)unit;
    if (r->bounds && rule->kind != TB_CUSTOM_HISTOGRAM)
        tb_yaml_error(y, r->bounds, "bounds: only a histogram has some: leave them out");
    else if (r->bounds)
        tb_config_read_bounds(y, r->bounds, "bounds", is_number && is_large(y, r->bounds) ? TB_UNIT_BYTES : unit,
                              &rule->bounds);
    else if (rule->kind == TB_CUSTOM_HISTOGRAM && is_number)
        tb_yaml_error(y, at, "bounds: there are none: write those of the numbers, like bounds: [1, 10, 100]");
    else if (rule->kind == TB_CUSTOM_HISTOGRAM)
        default_bounds(rule, is_size ? TB_SET_SIZE : TB_SET_DURATION);
}

/* --- one rule --------------------------------------------------------------------------------------------------------
 */

static void rule_bounds(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    (void)y;
    ((struct rule_reader *)to)->bounds = value;
}

#define OF_RULE(key, read)                                                                                             \
    static void key(struct tb_yaml *y, yaml_node_t *value, void *to)                                                   \
    {                                                                                                                  \
        read(y, value, ((struct rule_reader *)to)->rule);                                                              \
    }
OF_RULE(key_metric, rule_metric)
OF_RULE(key_help, rule_help)
OF_RULE(key_type, rule_type)
OF_RULE(key_match, tb_rules_read_match)
OF_RULE(key_value, rule_value)
OF_RULE(key_scale, rule_scale)
OF_RULE(key_window, rule_window)
OF_RULE(key_labels, rule_labels)

/* Is it known when the head of a request is complete? */
static bool is_known_at_head(uint8_t source, const struct tb_place_config *place)
{
    switch (source) {
    case TB_CUSTOM_STATUS:
    case TB_CUSTOM_STATUS_CLASS:
    case TB_CUSTOM_TARGET:
        return false;
    default:
        return place->place <= TB_CUSTOM_HOST && place->place != TB_CUSTOM_RESPONSE_HEADER;
    }
}

/* A gauge of requests in flight: of those that the program answers, by what their heads say. */
static void check_open(struct tb_yaml *y, struct tb_custom_rule_config *rule, yaml_node_t *at)
{
    bool is_known = !rule->status_count;
    for (size_t i = 0; i < rule->label_count; i++)
        is_known &= is_known_at_head(rule->labels[i].source, &rule->labels[i].field) &&
                    is_known_at_head(rule->labels[i].source, &rule->labels[i].fallback);
    for (size_t i = 0; i < rule->match_count; i++)
        is_known &= is_known_at_head(rule->matches[i].source, &rule->matches[i].field);
    if (rule->kind != TB_CUSTOM_GAUGE)
        tb_yaml_error(y, at, "value: in_flight is a gauge's: write type: gauge");
    if (rule->roles == 1u << TB_ROLE_CLIENT)
        tb_yaml_error(y, at, "role: in_flight counts requests that the program answers: leave it out");
    if (!is_known)
        tb_yaml_error(y, at,
                      "value: in_flight knows no status, target, response or body: match and label by method, route, "
                      "path, host, request_header, query or cookie");
    rule->roles = 1u << TB_ROLE_SERVER;
}

static void check_rule(struct tb_yaml *y, struct rule_reader *r, yaml_node_t *at)
{
    struct tb_custom_rule_config *rule = r->rule;
    if (!rule->kind)
        rule->kind = TB_CUSTOM_COUNTER;
    if (!rule->metric) {
        tb_yaml_error(y, at, "rules: a rule has no metric: write metric: orders_created_total");
        return;
    }
    struct tb_metric m = tb_custom_metric(rule);
    const char *why = tb_metric_name_complaint(rule->metric, m.type);
    if (why)
        tb_yaml_error(y, at, "metric: \"%s\": %s", rule->metric, why);
    if (rule->kind == TB_CUSTOM_HISTOGRAM && !rule->value)
        rule->value = TB_CUSTOM_DURATION;
    bool is_distinct = rule->kind == TB_CUSTOM_DISTINCT;
    bool is_open = rule->value == TB_CUSTOM_IN_FLIGHT;
    if (rule->kind >= TB_CUSTOM_GAUGE && rule->value != TB_CUSTOM_NUMBER && !is_open)
        tb_yaml_error(y, at,
                      "value: a gauge has a place of a number or in_flight, distinct a place of what is told apart: "
                      "write one like value: {response_json: queued}");
    if (is_open)
        check_open(y, rule, at);
    if (rule->window_s && !is_distinct)
        tb_yaml_error(y, at, "window: only distinct has one: leave it out");
    if (is_distinct && !rule->window_s)
        rule->window_s = WINDOW_DEFAULT_S;
    if (is_distinct && rule->label_count)
        tb_yaml_error(y, at, "labels: distinct has none: each would take 272 KiB");
    if (rule->has_scale && rule->value != TB_CUSTOM_NUMBER)
        tb_yaml_error(y, at, "scale: only a number of a head or a body has one: leave it out");
    finish_bounds(y, r, at);
}

static void read_rule(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    static const struct tb_yaml_key keys[] = {{"metric", key_metric}, {"help", key_help},      {"type", key_type},
                                              {"match", key_match},   {"value", key_value},    {"scale", key_scale},
                                              {"window", key_window}, {"bounds", rule_bounds}, {"labels", key_labels}};
    struct tb_custom_config *c = to;
    unsigned before = y->errors->count;
    if (tb_yaml_is_none(value) || value->type != YAML_MAPPING_NODE) {
        tb_yaml_error(y, value, "rules: a rule is no mapping: write - metric: NAME and what it counts");
        return;
    }
    c->rules = tb_grow(c->rules, c->rule_count, &c->rule_space, sizeof *c->rules);
    struct rule_reader r = {.rule = &c->rules[c->rule_count++]};
    *r.rule = (struct tb_custom_rule_config){.line = (uint32_t)tb_yaml_line(value),
                                             .column = (uint32_t)tb_yaml_column(value)};
    tb_yaml_mapping(y, value, "rules", TB_YAML_KEYS(keys), &r);
    if (y->errors->count == before)
        check_rule(y, &r, value);
}

void tb_config_read_rules(struct tb_yaml *y, yaml_node_t *node, struct tb_custom_config *to)
{
    tb_yaml_each(y, node, read_rule, to);
}

static void free_rule(struct tb_custom_rule_config *r)
{
    for (size_t i = 0; i < r->label_count; i++) {
        free(r->labels[i].name);
        free(r->labels[i].other);
        free(r->labels[i].field.name);
        free(r->labels[i].fallback.name);
        tb_text_list_free(&r->labels[i].allow);
    }
    for (size_t i = 0; i < r->match_count; i++) {
        free(r->matches[i].field.name);
        tb_text_list_free(&r->matches[i].globs);
    }
    free(r->labels);
    free(r->matches);
    free(r->field.name);
    free(r->metric);
    free(r->help);
}

void tb_custom_config_free(struct tb_custom_config *c)
{
    for (size_t i = 0; i < c->rule_count; i++)
        free_rule(&c->rules[i]);
    free(c->rules);
}
