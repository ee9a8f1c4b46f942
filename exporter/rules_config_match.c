/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `match` of a rule of config.yml, and what says where something is looked for: `request_header: X-Tenant`. Part of
 * rules_config.c.
 */
#include "rules_config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/header_pick.h"
#include "agent/methods.h"
#include "config_yaml.h"
#include "json_path.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const struct {
    const char *key;
    uint8_t place;
} places[] = {{"request_header", TB_CUSTOM_REQUEST_HEADER},
              {"response_header", TB_CUSTOM_RESPONSE_HEADER},
              {"query", TB_CUSTOM_QUERY},
              {"cookie", TB_CUSTOM_COOKIE},
              {"request_json", TB_CUSTOM_REQUEST_JSON},
              {"response_json", TB_CUSTOM_RESPONSE_JSON},
              {"request_form", TB_CUSTOM_REQUEST_FORM}};

uint8_t tb_rules_place(const yaml_node_t *key)
{
    for (size_t i = 0; i < COUNT(places); i++)
        if (strcmp((const char *)key->data.scalar.value, places[i].key) == 0)
            return places[i].place;
    return 0;
}

const char *tb_rules_text_of(struct tb_yaml *y, yaml_node_t *node, const char *what, size_t max)
{
    const char *text = tb_yaml_text(y, node, what);
    if (text && strlen(text) > max) {
        tb_yaml_error(y, node, "%s: it is longer than %zu bytes: shorten it", what, max);
        return NULL;
    }
    return text;
}

/* A path into JSON, told at its byte when it is none. */
static void read_path(struct tb_yaml *y, yaml_node_t *value, const char *text, struct tb_place_config *to)
{
    uint8_t path[TB_JSON_PATH_MAX];
    size_t at = 0;
    const char *why = tb_json_path_compile(tb_bytes(text, strlen(text)), path, &to->len, &at);
    if (why)
        tb_yaml_error(y, value, "\"%s\" is no path, at its byte %zu: %s", text, at + 1, why);
    else
        to->name = tb_strndup((const char *)path, to->len);
}

void tb_rules_read_place(struct tb_yaml *y, yaml_node_t *value, uint8_t place, struct tb_place_config *to)
{
    const char *text = tb_rules_text_of(y, value, "name", 120);
    bool is_header = place == TB_CUSTOM_REQUEST_HEADER || place == TB_CUSTOM_RESPONSE_HEADER;
    if (!text)
        return;
    if ((is_header || place == TB_CUSTOM_COOKIE) && text[strcspn(text, " :\t=;,")]) {
        tb_yaml_error(y, value, "\"%s\" is no name of a header or cookie: write one like X-Tenant", text);
        return;
    }
    *to = (struct tb_place_config){.place = place};
    if (place == TB_CUSTOM_REQUEST_JSON || place == TB_CUSTOM_RESPONSE_JSON) {
        read_path(y, value, text, to);
        return;
    }
    to->name = place == TB_CUSTOM_COOKIE ? tb_format(TB_HEADER_COOKIE "%s", text) : tb_copy_text(text);
    to->len = strlen(to->name);
    for (char *p = to->name; is_header && *p; p++)
        *p = (char)tolower((unsigned char)*p);
}

uint8_t tb_config_method(struct tb_yaml *y, yaml_node_t *node)
{
    const char *text = tb_yaml_text(y, node, "method");
    uint64_t hash = TB_HASH_START;
    if (!text)
        return 0;
    for (const char *c = text; *c; c++)
        hash = tb_hash_step(hash, (uint8_t)*c);
    uint8_t method = tb_method_by_hash(hash, strlen(text));
    if (method == TB_METHOD_OTHER || strcmp(tb_method_name(method), text) != 0) {
        tb_yaml_error(y, node, "method: \"%s\" is no method that is counted by name: write one like GET", text);
        return 0;
    }
    return (uint8_t)(method + 1);
}

/* --- match -----------------------------------------------------------------------------------------------------------
 */

struct match_reader {
    struct tb_custom_rule_config *rule;
    struct tb_custom_match_config *match; /* whose globs are read */
    bool is_not;
};

static void add_glob(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    const char *text = tb_rules_text_of(y, value, "match", 250);
    if (text)
        tb_text_list_add(&((struct match_reader *)to)->match->globs, text);
}

static struct tb_custom_match_config *add_match(struct tb_yaml *y, yaml_node_t *value, struct match_reader *r,
                                                uint8_t source)
{
    struct tb_custom_rule_config *rule = r->rule;
    rule->matches = tb_grow(rule->matches, rule->match_count, &rule->match_space, sizeof *rule->matches);
    r->match = &rule->matches[rule->match_count++];
    *r->match = (struct tb_custom_match_config){.source = source, .is_not = r->is_not};
    tb_yaml_each(y, value, add_glob, r);
    return r->match;
}

static void match_route(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    (void)add_match(y, value, to, TB_CUSTOM_ROUTE);
}

static void match_path(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    (void)add_match(y, value, to, TB_CUSTOM_PATH);
}

static void match_target(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    (void)add_match(y, value, to, TB_CUSTOM_TARGET);
}

static void match_host(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_custom_match_config *m = add_match(y, value, to, TB_CUSTOM_FIELD);
    m->field = (struct tb_place_config){TB_CUSTOM_HOST, tb_copy_text("host"), 4};
}

/* `request_header: {X-Tenant: acme*}` */
static void match_place(struct tb_yaml *y, yaml_node_t *value, void *to, uint8_t place)
{
    yaml_node_t *name, *globs;
    size_t at = 0;
    if (value->type != YAML_MAPPING_NODE) {
        tb_yaml_error(y, value, "match: it is no mapping: write {NAME: VALUE}, with * for any value");
        return;
    }
    while (tb_yaml_pair(y, value, &at, &name, &globs)) {
        struct tb_custom_match_config *m = add_match(y, globs, to, TB_CUSTOM_FIELD);
        tb_rules_read_place(y, name, place, &m->field);
    }
}

#define MATCH_PLACE(what, place)                                                                                       \
    static void match_##what(struct tb_yaml *y, yaml_node_t *value, void *to)                                          \
    {                                                                                                                  \
        match_place(y, value, to, place);                                                                              \
    }
MATCH_PLACE(request_header, TB_CUSTOM_REQUEST_HEADER)
MATCH_PLACE(response_header, TB_CUSTOM_RESPONSE_HEADER)
MATCH_PLACE(query, TB_CUSTOM_QUERY)
MATCH_PLACE(cookie, TB_CUSTOM_COOKIE)
MATCH_PLACE(request_json, TB_CUSTOM_REQUEST_JSON)
MATCH_PLACE(response_json, TB_CUSTOM_RESPONSE_JSON)
MATCH_PLACE(request_form, TB_CUSTOM_REQUEST_FORM)

static void match_role(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    const char *text = tb_yaml_text(y, value, "role");
    struct tb_custom_rule_config *rule = ((struct match_reader *)to)->rule;
    if (text && strcmp(text, "server") == 0)
        rule->roles = 1u << TB_ROLE_SERVER;
    else if (text && strcmp(text, "client") == 0)
        rule->roles = 1u << TB_ROLE_CLIENT;
    else if (text)
        tb_yaml_error(y, value, "role: \"%s\" is neither server nor client: write one of them", text);
}

static void one_method(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    uint8_t method = tb_config_method(y, value);
    if (method)
        ((struct match_reader *)to)->rule->methods |= UINT64_C(1) << (method - 1);
}

static void match_method(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_yaml_each(y, value, one_method, to);
}

/* 201, 2xx or 200-299 */
static bool parse_status(const char *text, uint16_t ret[2])
{
    unsigned first, last;
    int end = 0;
    if (strlen(text) == 3 && text[0] >= '1' && text[0] <= '5' && strcmp(text + 1, "xx") == 0) {
        ret[0] = (uint16_t)((text[0] - '0') * 100);
        ret[1] = (uint16_t)(ret[0] + 99);
        return true;
    }
    int n = sscanf(text, "%3u%n-%3u%n", &first, &end, &last, &end);
    if (n < 1 || text[end] || first < 100 || (n == 2 && (last < first || last > 999)))
        return false;
    ret[0] = (uint16_t)first;
    ret[1] = (uint16_t)(n == 2 ? last : first);
    return true;
}

static void one_status(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_custom_rule_config *rule = ((struct match_reader *)to)->rule;
    const char *text = tb_yaml_text(y, value, "status");
    uint16_t range[2];
    if (!text)
        return;
    if (!parse_status(text, range)) {
        tb_yaml_error(y, value, "status: \"%s\" is no status: write 201, 2xx or 200-299", text);
    } else if (rule->status_count == TB_CUSTOM_STATUSES) {
        tb_yaml_error(y, value, "status: more than %u: join some to a range", TB_CUSTOM_STATUSES);
    } else {
        rule->statuses[rule->status_count][0] = range[0];
        rule->statuses[rule->status_count++][1] = range[1];
    }
}

static void match_status(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_yaml_each(y, value, one_status, to);
}

#define TEXT_MATCHES                                                                                                   \
    {"route", match_route}, {"path", match_path}, {"host", match_host}, {"target", match_target},                      \
        {"request_header", match_request_header}, {"response_header", match_response_header}, {"query", match_query},  \
        {"cookie", match_cookie}, {"request_json", match_request_json}, {"response_json", match_response_json},        \
    {                                                                                                                  \
        "request_form", match_request_form                                                                             \
    }

static void match_not(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    static const struct tb_yaml_key keys[] = {TEXT_MATCHES};
    struct match_reader r = *(struct match_reader *)to;
    r.is_not = true;
    tb_yaml_mapping(y, value, "not", TB_YAML_KEYS(keys), &r);
}

void tb_rules_read_match(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    static const struct tb_yaml_key keys[] = {
        {"role", match_role}, {"method", match_method}, {"status", match_status}, {"not", match_not}, TEXT_MATCHES};
    struct match_reader r = {.rule = to};
    tb_yaml_mapping(y, value, "match", TB_YAML_KEYS(keys), &r);
}
