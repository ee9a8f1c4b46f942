/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schema of config.yml: tables of keys, and what each value becomes. Entry point: tb_config_load. The rules in it
 * are compiled once here, so that nothing is found wrong later.
 */
#include "config.h"

#include <stdlib.h>

#include "agent/rules.h"
#include "config_calls.h"
#include "config_metrics.h"
#include "config_routes.h"
#include "rules_compile.h"
#include "rules_config.h"

/* What is being read: `to` of every handler leads here. */
struct reader {
    struct tb_config *config;
    struct tb_service_config *service;
};
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
    tb_config_read_routes(y, value, r->config, &r->service->routes);
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
        tb_yaml_mapping(y, value, "services", TB_YAML_KEYS(keys), r);
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
    tb_config_read_routes(y, value, r->config, &r->config->routes);
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
        tb_yaml_mapping(&y, tb_yaml_root(&y), "", TB_YAML_KEYS(keys), &r);
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

void tb_config_free(struct tb_config *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < TB_OPTION_COUNT; i++)
        tb_text_list_free(&c->options[i]);
    for (size_t i = 0; i < c->service_count; i++) {
        free(c->services[i].name);
        tb_config_free_routes(&c->services[i].routes);
        tb_config_free_calls(&c->services[i].calls);
        tb_custom_config_free(&c->services[i].custom);
    }
    for (size_t i = 0; i < c->openapi_count; i++) {
        free(c->openapi[i].file);
        free(c->openapi[i].version);
    }
    free(c->openapi);
    free(c->services);
    tb_config_free_routes(&c->routes);
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
