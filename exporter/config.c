/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schema of config.yml: tables of keys, and what each value becomes. Entry point: tb_config_load. The rules in it
 * are compiled once here, so that nothing is found wrong later.
 */
#include "config.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>

#include "agent/rules.h"
#include "config_calls.h"
#include "config_metrics.h"
#include "config_yaml.h"
#include "rules_compile.h"
#include "rules_config.h"
#include "rules_pattern.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define KEYS(table) table, COUNT(table)

/* What is being read: `to` of every handler leads here. */
struct reader {
    struct tb_config *config;
    struct tb_route_config *routes;
    struct tb_service_config *service;
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
        tb_yaml_mapping(y, value, p.what, KEYS(keys), &p);
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
    tb_yaml_mapping(y, value, "host", KEYS(keys), to);
}

static void routes_max_routes(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_yaml_number(y, value, "max_routes", 1, TB_SERIES_LIMIT, &((struct reader *)to)->routes->max_routes);
}

static void routes_max_series(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_yaml_number(y, value, "max_series", 1, TB_SERIES_LIMIT, &((struct reader *)to)->routes->max_series);
}

static void read_routes(struct tb_yaml *y, yaml_node_t *value, struct reader *r, struct tb_route_config *routes)
{
    static const struct tb_yaml_key keys[] = {
        {"route", routes_route},           {"patterns", routes_patterns}, {"ignore", routes_ignore},
        {"openapi", routes_openapi},       {"host", routes_host},         {"max_routes", routes_max_routes},
        {"max_series", routes_max_series}, {"probes", routes_probes},     {"probe_agents", routes_probe_agents}};
    r->routes = routes;
    routes->is_given = true;
    routes->line = (uint32_t)tb_yaml_line(value);
    routes->column = (uint32_t)tb_yaml_column(value);
    tb_yaml_mapping(y, value, "routes", KEYS(keys), r);
}

/* --- services ------------------------------------------------------------------------------------------------------
 */

static void service_name(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct reader *r = to;
    const char *text = tb_yaml_text(y, value, "name");
    if (text && strlen(text) >= sizeof(((struct tb_rules_row *)0)->service))
        tb_yaml_error(y, value, "name: it is longer than 119 bytes: shorten it with a *");
    else if (text)
        r->service->name = tb_strndup(text, strlen(text));
}

static void service_routes(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct reader *r = to;
    read_routes(y, value, r, &r->service->routes);
}

static void service_metrics(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_config_read_metrics(y, value, &((struct reader *)to)->service->metrics);
}

static void service_calls(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_config_read_calls(y, value, &((struct reader *)to)->service->calls);
}

static void service_rules(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_config_read_rules(y, value, &((struct reader *)to)->service->custom);
}

static void read_service(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    static const struct tb_yaml_key keys[] = {{"name", service_name},
                                              {"routes", service_routes},
                                              {"metrics", service_metrics},
                                              {"calls", service_calls},
                                              {"rules", service_rules}};
    struct reader *r = to;
    struct tb_config *c = r->config;
    unsigned before = y->errors->count;
    if (c->service_count == TB_RULES_ROWS_MAX - 1) {
        tb_yaml_error(y, value, "services: more than %u entries: join some with a * in their name",
                      TB_RULES_ROWS_MAX - 1);
        return;
    }
    c->services = tb_grow(c->services, c->service_count, &c->service_space, sizeof *c->services);
    r->service = &c->services[c->service_count++];
    *r->service = (struct tb_service_config){.routes = {.route = -1}};
    if (tb_yaml_is_none(value) || value->type != YAML_MAPPING_NODE)
        tb_yaml_error(y, value, "services: an entry is no mapping: write - name: NAME and what it has");
    else
        tb_yaml_mapping(y, value, "services", KEYS(keys), r);
    if (!r->service->name && y->errors->count == before)
        tb_yaml_error(y, value, "services: an entry has no name: write name: NAME, or name: '*'");
    for (size_t i = 0; r->service->name && i + 1 < c->service_count; i++)
        if (c->services[i].name && tb_glob(tb_bytes_str(c->services[i].name), tb_bytes_str(r->service->name))) {
            tb_yaml_error(y, value, "services: \"%s\" is never reached: \"%s\" comes before it: put it first",
                          r->service->name, c->services[i].name);
            break;
        }
}

static void read_services(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_yaml_each(y, value, read_service, to);
}

/* --- the file ------------------------------------------------------------------------------------------------------
 */

static void read_exporter(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_config_read_options(y, value, ((struct reader *)to)->config, TB_SIDE_EXPORTER, "exporter");
}

static void read_run(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_config_read_options(y, value, ((struct reader *)to)->config, TB_SIDE_RUN, "run");
}

static void include_glob(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    const char *text = tb_yaml_text(y, value, "include");
    if (text)
        tb_text_list_add(&((struct reader *)to)->config->include, text);
}

static void read_include(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_yaml_each(y, value, include_glob, to);
}

static void exclude_glob(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    const char *text = tb_yaml_text(y, value, "exclude");
    if (text)
        tb_text_list_add(&((struct reader *)to)->config->exclude, text);
}

static void read_exclude(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_yaml_each(y, value, exclude_glob, to);
}

static void read_common_routes(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct reader *r = to;
    read_routes(y, value, r, &r->config->routes);
}

static void read_metrics(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_config_read_names(y, value, ((struct reader *)to)->config);
}

static void read_common_calls(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_config_read_calls(y, value, &((struct reader *)to)->config->calls);
}

static void read_rules(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_config_read_rules(y, value, &((struct reader *)to)->config->custom);
}

static void read_push(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_config_read_push(y, value, ((struct reader *)to)->config);
}

static void read_inlets(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_config_read_inlets(y, value, ((struct reader *)to)->config);
}

static void read_file(struct tb_config *c, struct tb_config_errors *errors)
{
    static const struct tb_yaml_key keys[] = {{"exporter", read_exporter},    {"run", read_run},
                                              {"include", read_include},      {"exclude", read_exclude},
                                              {"routes", read_common_routes}, {"services", read_services},
                                              {"metrics", read_metrics},      {"calls", read_common_calls},
                                              {"rules", read_rules},          {"push", read_push},
                                              {"inlets", read_inlets}};
    struct reader r = {.config = c};
    struct tb_yaml y;
    if (tb_yaml_open(&y, c->path, errors))
        tb_yaml_mapping(&y, tb_yaml_root(&y), "", KEYS(keys), &r);
    tb_yaml_close(&y);
}

struct tb_config *tb_config_load(const char *path, char **ret_errors)
{
    struct tb_config *c = tb_alloc(sizeof *c);
    struct tb_config_errors errors = {0};
    c->path = tb_strndup(path, strlen(path));
    c->routes.route = -1;
    tb_names_make(&c->names, TB_PRESET_CLASSIC);
    read_file(c, &errors);
    if (!errors.count)
        tb_config_check_rules(c, &errors);
    for (size_t i = 0; !errors.count && i <= c->service_count; i++) {
        struct tb_buffer set = {0};
        /* a wrong common line is told once */
        (void)tb_rules_compile(c, c->service_count - i, TB_RULES_FROM_RUN, &errors, &set);
        tb_buffer_free(&set);
    }
    *ret_errors = NULL;
    if (errors.count) {
        tb_put(&errors.text, "", 1);
        *ret_errors = errors.text.data;
        tb_config_free(c);
        return NULL;
    }
    tb_buffer_free(&errors.text);
    return c;
}

static void free_routes(struct tb_route_config *r)
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

void tb_config_free(struct tb_config *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < TB_OPTION_COUNT; i++)
        tb_text_list_free(&c->options[i]);
    for (size_t i = 0; i < c->service_count; i++) {
        free(c->services[i].name);
        free_routes(&c->services[i].routes);
        tb_config_free_calls(&c->services[i].calls);
        tb_custom_config_free(&c->services[i].custom);
    }
    for (size_t i = 0; i < c->openapi_count; i++) {
        free(c->openapi[i].file);
        free(c->openapi[i].version);
    }
    free(c->openapi);
    free(c->services);
    free_routes(&c->routes);
    tb_config_free_calls(&c->calls);
    tb_custom_config_free(&c->custom);
    tb_text_list_free(&c->include);
    tb_text_list_free(&c->exclude);
    tb_names_free(&c->names);
    tb_push_config_free(c->push);
    tb_inlet_list_free(&c->inlets);
    free(c->path);
    free(c);
}

size_t tb_config_service(const struct tb_config *c, const char *name)
{
    size_t i = 0;
    while (i < c->service_count && !tb_glob(tb_bytes_str(c->services[i].name), tb_bytes_str(name)))
        i++;
    return i;
}

bool tb_config_has_rules(const struct tb_config *c)
{
    bool has = c->routes.is_given || c->metrics.is_given || c->calls.is_given || c->custom.rule_count;
    for (size_t i = 0; i < c->service_count; i++)
        has |= c->services[i].routes.is_given || c->services[i].metrics.is_given || c->services[i].calls.is_given ||
               c->services[i].custom.rule_count;
    return has;
}
