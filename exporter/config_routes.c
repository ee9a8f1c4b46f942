/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `routes` of config.yml, of the file or of a service: patterns and what is left out, OpenAPI files, probes, the label
 * host and the caps. Entry point: tb_config_read_routes.
 */
#include "config_routes.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "agent/rules.h"
#include "config_metrics.h"
#include "rules_config.h"
#include "rules_pattern.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* What is being read: `to` of every handler leads here. */
struct reader {
    struct tb_config *config;
    struct tb_route_config *routes;
};
/* One line of patterns or ignore. */
struct pattern_reader {
    struct reader *r;
    const char *what;
    bool is_ignore;
    const char *path, *label, *host;
    yaml_node_t *methods, *at, *bounds;
};

struct tb_pattern *tb_config_add_pattern(struct tb_route_config *r, const char *path, const char *file, size_t line,
                                         size_t column)
{
    r->patterns = tb_grow(r->patterns, r->pattern_count, &r->pattern_space, sizeof *r->patterns);
    struct tb_pattern *p = &r->patterns[r->pattern_count++];
    *p = (struct tb_pattern){.path = tb_strndup(path, strlen(path)),
                             .file = tb_strndup(file, strlen(file)),
                             .line = (uint32_t)line,
                             .column = (uint32_t)column};
    return p;
}

/* --- patterns and ignore -------------------------------------------------------------------------------------------
 */

static char *lower_case(const char *text)
{
    char *copy = tb_strndup(text, strlen(text));
    for (char *p = copy; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return copy;
}

/* A glob of host names. */
static const char *read_host(struct tb_yaml *y, yaml_node_t *node, const char *what)
{
    const char *text = tb_yaml_text(y, node, what);
    if (text && (strlen(text) > 200 || strpbrk(text, "/ @"))) {
        tb_yaml_error(y, node, "%s: \"%s\" is no host name: write one like shop.example.com or *.example.com", what,
                      text);
        return NULL;
    }
    return text;
}

static void pattern_path(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct pattern_reader *p = to;
    p->path = tb_yaml_text(y, value, "path");
}

static void pattern_method(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    (void)y;
    ((struct pattern_reader *)to)->methods = value;
}

static void pattern_host(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    ((struct pattern_reader *)to)->host = read_host(y, value, "host");
}

static void pattern_route(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct pattern_reader *p = to;
    const char *text = tb_yaml_text(y, value, "route");
    if (text && strlen(text) > TB_RULES_LABEL_MAX)
        tb_yaml_error(y, value, "route: it is longer than %u bytes: shorten it", TB_RULES_LABEL_MAX);
    else if (text && p->is_ignore && strcmp(text, "none") != 0 && strcmp(text, "drop") != 0)
        tb_yaml_error(y, value, "route: \"%s\" is neither none nor drop: write one of them, or use patterns", text);
    else
        p->label = text;
}

static void pattern_bounds(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct pattern_reader *p = to;
    if (p->is_ignore)
        tb_yaml_error(y, value, "bounds: what is ignored has no histogram: leave them out");
    else
        p->bounds = value;
}

static void add_pattern(struct tb_yaml *y, const struct pattern_reader *p, uint8_t method)
{
    struct tb_pattern *new =
        tb_config_add_pattern(p->r->routes, p->path, p->r->config->path, tb_yaml_line(p->at), tb_yaml_column(p->at));
    bool is_none = p->label && strcmp(p->label, "none") == 0;
    new->is_drop = p->is_ignore && !is_none;
    if (p->label && !new->is_drop)
        new->label = is_none ? tb_strndup("_none", 5) : tb_strndup(p->label, strlen(p->label));
    new->host = p->host ? lower_case(p->host) : NULL;
    new->method = method;
    if (p->bounds) {
        new->bounds = tb_alloc(sizeof *new->bounds);
        tb_config_read_bounds(y, p->bounds, "bounds", TB_UNIT_SECONDS, new->bounds);
    }
}

static void add_for_method(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    uint8_t method = tb_config_method(y, value);
    if (method)
        add_pattern(y, to, method);
}

static void read_pattern(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    static const struct tb_yaml_key keys[] = {{"path", pattern_path},
                                              {"method", pattern_method},
                                              {"host", pattern_host},
                                              {"route", pattern_route},
                                              {"bounds", pattern_bounds}};
    struct pattern_reader p = *(struct pattern_reader *)to;
    p.at = value;
    if (value->type == YAML_MAPPING_NODE) {
        unsigned before = y->errors->count;
        tb_yaml_mapping(y, value, p.what, TB_YAML_KEYS(keys), &p);
        if (!p.path && y->errors->count == before)
            tb_yaml_error(y, value, "%s: it has no path: write path: /users/:name", p.what);
    } else {
        p.path = tb_yaml_text(y, value, p.what);
    }
    if (!p.path)
        return;
    struct tb_pattern_parts parts;
    const char *why = tb_pattern_parse(p.path, &parts);
    if (why) {
        tb_yaml_error(y, value, "pattern \"%s\": %s", p.path, why);
        return;
    }
    if (p.methods)
        tb_yaml_each(y, p.methods, add_for_method, &p);
    else
        add_pattern(y, &p, 0);
}

static void routes_patterns(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct pattern_reader p = {.r = to, .what = "patterns"};
    tb_yaml_each(y, value, read_pattern, &p);
}

static void routes_ignore(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct pattern_reader p = {.r = to, .what = "ignore", .is_ignore = true};
    tb_yaml_each(y, value, read_pattern, &p);
}

static void routes_probes(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    const struct reader *r = to;
    tb_config_read_probes(y, value, "probes", r->config->path, r->routes);
}

static void routes_probe_agents(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    const struct reader *r = to;
    tb_config_read_probes(y, value, "probe_agents", r->config->path, r->routes);
}

/* --- the other keys of routes --------------------------------------------------------------------------------------
 */

static void routes_route(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    static const char *const names[] = {"inferred", "path", "none"}; /* enum tb_rules_route */
    struct reader *r = to;
    const char *text = tb_yaml_text(y, value, "route");
    for (size_t i = 0; text && i < COUNT(names); i++)
        if (strcmp(text, names[i]) == 0) {
            r->routes->route = (int)i;
            return;
        }
    if (text)
        tb_yaml_error(y, value, "route: \"%s\" is none of inferred, path, none: write one of them", text);
}

static void openapi_file(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct reader *r = to;
    const char *text = tb_yaml_text(y, value, "openapi");
    if (!text)
        return;
    char *path = tb_yaml_beside(y, text);
    tb_openapi_read(r->config, r->routes, path, tb_yaml_line(value), tb_yaml_column(value), y->errors);
    free(path);
}

static void routes_openapi(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_yaml_each(y, value, openapi_file, to);
}

static void host_label(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_yaml_switch(y, value, "label", &((struct reader *)to)->routes->has_host_label);
}

static void allowed_host(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    const char *text = read_host(y, value, "allow");
    char *glob = text ? lower_case(text) : NULL;
    if (glob)
        tb_text_list_add(&((struct reader *)to)->routes->hosts, glob);
    free(glob);
}

static void host_allow(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_yaml_each(y, value, allowed_host, to);
}

static void host_max(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_yaml_number(y, value, "max", 1, 1000, &((struct reader *)to)->routes->max_hosts);
}

static void routes_host(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    static const struct tb_yaml_key keys[] = {{"label", host_label}, {"allow", host_allow}, {"max", host_max}};
    ((struct reader *)to)->routes->has_host = true;
    tb_yaml_mapping(y, value, "host", TB_YAML_KEYS(keys), to);
}

static void routes_max_routes(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_yaml_number(y, value, "max_routes", 1, TB_SERIES_LIMIT, &((struct reader *)to)->routes->max_routes);
}

static void routes_max_series(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_yaml_number(y, value, "max_series", 1, TB_SERIES_LIMIT, &((struct reader *)to)->routes->max_series);
}

void tb_config_read_routes(struct tb_yaml *y, yaml_node_t *value, struct tb_config *config,
                           struct tb_route_config *routes)
{
    static const struct tb_yaml_key keys[] = {
        {"route", routes_route},           {"patterns", routes_patterns}, {"ignore", routes_ignore},
        {"openapi", routes_openapi},       {"host", routes_host},         {"max_routes", routes_max_routes},
        {"max_series", routes_max_series}, {"probes", routes_probes},     {"probe_agents", routes_probe_agents}};
    struct reader r = {.config = config, .routes = routes};
    routes->is_given = true;
    routes->line = (uint32_t)tb_yaml_line(value);
    routes->column = (uint32_t)tb_yaml_column(value);
    tb_yaml_mapping(y, value, "routes", TB_YAML_KEYS(keys), &r);
}

void tb_config_free_routes(struct tb_route_config *r)
{
    for (size_t i = 0; i < r->pattern_count; i++) {
        free(r->patterns[i].path);
        free(r->patterns[i].label);
        free(r->patterns[i].host);
        free(r->patterns[i].file);
        free(r->patterns[i].bounds);
    }
    free(r->patterns);
    tb_text_list_free(&r->hosts);
}
