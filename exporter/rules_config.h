/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `rules` of config.yml: metrics of the user's own, as they are written there. docs/rules.md is its reference. Compiled
 * by rules_custom.c.
 */
#ifndef TB_RULES_CONFIG_H
#define TB_RULES_CONFIG_H

#include "config.h"
#include "config_yaml.h"

#include "agent/custom_format.h"

/* Something of a head or a body, as `request_header: X-Tenant`. */
struct tb_place_config {
    uint8_t place; /* enum tb_custom_place; 0 = none */
    char *name;    /* as the reader of that place takes it (custom_format.h); owned */
    size_t len;    /* of it: a path into JSON may hold any byte */
};

struct tb_custom_label_config {
    char *name;
    uint8_t source; /* enum tb_custom_source */
    struct tb_place_config field, fallback;
    struct tb_text_list allow;
    char *other;
    uint32_t max;
};

struct tb_custom_match_config {
    uint8_t source;
    struct tb_place_config field;
    struct tb_text_list globs;
    bool is_not;
};

struct tb_custom_rule_config {
    char *metric, *help;
    uint32_t line, column;
    uint8_t kind, roles, value;
    uint64_t methods;
    uint16_t statuses[TB_CUSTOM_STATUSES][2];
    uint32_t status_count;
    struct tb_place_config field;
    int scale;
    bool has_scale;
    uint32_t window_s; /* of TB_CUSTOM_DISTINCT */
    struct tb_bounds_config bounds;
    struct tb_custom_label_config *labels; /* by name */
    size_t label_count, label_space;
    struct tb_custom_match_config *matches;
    size_t match_count, match_space;
};

/* One rule's parts, of rules_config.c and rules_config_match.c only.
 * tb_rules_place - enum tb_custom_place of a key; 0: it is none. tb_rules_read_place - a name in it. tb_rules_text_of -
 * a text of at most @max bytes, else told and NULL. tb_rules_read_match - @to is struct tb_custom_rule_config. */
uint8_t tb_rules_place(const yaml_node_t *key);
void tb_rules_read_place(struct tb_yaml *y, yaml_node_t *value, uint8_t place, struct tb_place_config *to);
const char *tb_rules_text_of(struct tb_yaml *y, yaml_node_t *node, const char *what, size_t max);
void tb_rules_read_match(struct tb_yaml *y, yaml_node_t *value, void *to);

static inline char *tb_copy_text(const char *text)
{
    return tb_strndup(text, strlen(text));
}

/* tb_config_read_rules - a list of rules, appended to @to. */
void tb_config_read_rules(struct tb_yaml *y, yaml_node_t *node, struct tb_custom_config *to);
void tb_custom_config_free(struct tb_custom_config *c);

/* tb_config_check_rules - of the whole file: names of metrics and labels against each other and against those that the
 * exporter itself has; fills in c->names.custom. */
void tb_config_check_rules(struct tb_config *c, struct tb_config_errors *errors);

/* tb_config_method - enum tb_method + 1; 0 and told: it is none that is counted by name. */
uint8_t tb_config_method(struct tb_yaml *y, yaml_node_t *node);

/* tb_custom_compile - the rules of @own and @common as the section TB_RULES_CUSTOM, appended to @out; nothing when
 * there are none. Returns NULL, or `why: what to do` (static): then *ret_at is the rule. */
const char *tb_custom_compile(const struct tb_custom_config *own, const struct tb_custom_config *common,
                              struct tb_buffer *out, const struct tb_custom_rule_config **ret_at);

/* tb_custom_has_paths - does some rule ask for paths as they are sent? */
bool tb_custom_has_paths(const struct tb_custom_config *c);

/* tb_custom_metric - how a rule's metric is shown: its type, unit and decimals. */
struct tb_metric tb_custom_metric(const struct tb_custom_rule_config *r);

/* tb_custom_shape - the letter that its name in a region begins with (custom_format.h). */
char tb_custom_shape(const struct tb_custom_rule_config *r);

#endif
