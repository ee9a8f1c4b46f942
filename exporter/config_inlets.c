/* SPDX-License-Identifier: Apache-2.0 */
/* Reads `inlets` of config.yml (inlet_config.h). */
#include "config_inlets.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inlet_socket.h"
#include "inlet_text.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const char *const types[TB_INLET_TYPES] = {[TB_INLET_TEXTFILE] = "textfile",
                                                  [TB_INLET_STATSD] = "statsd",
                                                  [TB_INLET_JSON] = "json",
                                                  [TB_INLET_REDIS] = "redis",
                                                  [TB_INLET_COMMAND] = "command"};

#define OF(type) (1u << TB_INLET_##type)
#define CONNECTS (OF(JSON) | OF(REDIS))
#define ASKS (CONNECTS | OF(COMMAND))

/* Which types have a key, and to which it is not left to choose. */
static const struct {
    const char *name;
    unsigned types, needed;
} rows[TB_INLET_KEYS] = {
    [TB_KEY_FOLDER] = {"folder", OF(TEXTFILE), OF(TEXTFILE)},
    [TB_KEY_LISTEN] = {"listen", OF(STATSD), OF(STATSD)},
    [TB_KEY_BOUNDS] = {"bounds", OF(STATSD), 0},
    [TB_KEY_URL] = {"url", CONNECTS, OF(JSON)},
    [TB_KEY_UNIX_SOCKET] = {"unix_socket", CONNECTS, 0},
    [TB_KEY_HEADERS] = {"headers", OF(JSON), 0},
    [TB_KEY_USER] = {"user", CONNECTS, 0},
    [TB_KEY_PASSWORD_FILE] = {"password_file", CONNECTS, 0},
    [TB_KEY_PASSWORD_ENV] = {"password_env", CONNECTS, 0},
    [TB_KEY_CA_FILE] = {"ca_file", CONNECTS, 0},
    [TB_KEY_INSECURE] = {"insecure", CONNECTS, 0},
    [TB_KEY_DATABASE] = {"database", OF(REDIS), 0},
    [TB_KEY_COMMAND] = {"command", OF(COMMAND), OF(COMMAND)},
    [TB_KEY_FORMAT] = {"format", OF(COMMAND), 0},
    [TB_KEY_INTERVAL] = {"interval", ASKS, 0},
    [TB_KEY_TIMEOUT] = {"timeout", ASKS, 0},
    [TB_KEY_STALE] = {"stale_after", ASKS, 0},
    [TB_KEY_METRICS] = {"metrics", ASKS, CONNECTS},
};

static const double usual_bounds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

const char *tb_inlet_type_name(enum tb_inlet_type type)
{
    return types[type];
}

void tb_inlet_config_free(struct tb_inlet_config *c)
{
    free(c->name);
    free(c->folder);
    free(c->listen);
    tb_pull_config_free(c->pull);
}

void tb_inlet_list_free(struct tb_inlet_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        tb_inlet_config_free(&l->items[i]);
    free(l->items);
    *l = (struct tb_inlet_list){0};
}

static void inlet_type(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_inlet_reader *r = to;
    const char *text = tb_yaml_text(y, value, "type");
    for (size_t i = 0; text && i < COUNT(types); i++)
        if (strcmp(types[i], text) == 0) {
            r->to->type = (enum tb_inlet_type)i;
            r->has_type = true;
#if !TB_HAS_HIREDIS
            if (i == TB_INLET_REDIS)
                tb_yaml_error(y, value, "type: this program was built without hiredis: build it with, or leave it out");
#endif
            return;
        }
    if (text)
        tb_yaml_error(y, value, "type: \"%s\" is no kind of inlet: one of textfile, statsd, json, redis, command",
                      text);
}

static void inlet_name(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";
    struct tb_inlet_config *c = ((struct tb_inlet_reader *)to)->to;
    c->name = tb_yaml_copy(y, value, "name");
    if (c->name && (!*c->name || strspn(c->name, letters) != strlen(c->name) || strlen(c->name) > 64))
        tb_yaml_error(y, value, "name: \"%s\" is no name: up to 64 of a-z, 0-9, - and _", c->name);
}

static void inlet_folder(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_inlet_reader *r = to;
    const char *text = tb_yaml_text(y, value, "folder");
    r->places[TB_KEY_FOLDER] = value;
    if (text)
        r->to->folder = tb_yaml_beside(y, text);
}

static void inlet_listen(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_inlet_reader *r = to;
    struct sockaddr_storage address;
    r->places[TB_KEY_LISTEN] = value;
    r->to->listen = tb_yaml_copy(y, value, "listen");
    if (r->to->listen && !tb_inlet_address(r->to->listen, &address))
        tb_yaml_error(y, value, "listen: \"%s\" is no loopback address: write 127.0.0.1:8125, [::1]:8125 or unix:/PATH",
                      r->to->listen);
}

static void inlet_bound(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_inlet_config *c = to;
    const char *text = tb_yaml_text(y, value, "bounds");
    double bound = 0;
    if (!text)
        return;
    if (!tb_inlet_real(text, &bound) || !isfinite(bound) || (c->bound_count && bound <= c->bounds[c->bound_count - 1]))
        tb_yaml_error(y, value, "bounds: %s is no number above the bound before it: give rising ones", text);
    else if (c->bound_count == TB_BOUNDS_MAX)
        tb_yaml_error(y, value, "bounds: more than %u: leave some out", TB_BOUNDS_MAX);
    else
        c->bounds[c->bound_count++] = bound;
}

static void inlet_bounds(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_inlet_reader *r = to;
    r->places[TB_KEY_BOUNDS] = value;
    tb_yaml_each(y, value, inlet_bound, r->to);
}

/* Each key is of some types. */
static void check_keys(struct tb_yaml *y, yaml_node_t *value, const struct tb_inlet_reader *r)
{
    const unsigned type = 1u << r->to->type;
    for (size_t i = 0; i < TB_INLET_KEYS; i++)
        if (r->places[i] && !(rows[i].types & type))
            tb_yaml_error(y, r->places[i], "type: an inlet of type %s has no such key: leave it out",
                          types[r->to->type]);
        else if (!r->places[i] && rows[i].needed & type)
            tb_yaml_error(y, value, "%s: an inlet of type %s needs it: write %s: VALUE", rows[i].name,
                          types[r->to->type], rows[i].name);
}

static void finish(struct tb_yaml *y, yaml_node_t *value, struct tb_inlet_reader *r, const struct tb_inlet_list *l)
{
    struct tb_inlet_config *c = r->to;
    const unsigned before = y->errors->count;
    if (!c->name)
        c->name = tb_strndup(types[c->type], strlen(types[c->type]));
    check_keys(y, value, r);
    if (!r->places[TB_KEY_BOUNDS]) {
        c->bound_count = COUNT(usual_bounds);
        memcpy(c->bounds, usual_bounds, sizeof usual_bounds);
    }
    for (size_t i = 0; i + 1 < l->count; i++)
        if (l->items[i].name && strcmp(l->items[i].name, c->name) == 0)
            tb_yaml_error(y, value, "inlets: two are called \"%s\": give one a name of its own", c->name);
    if (ASKS & 1u << c->type && y->errors->count == before) {
        tb_config_check_pull(y, value, r);
    } else {
        tb_pull_config_free(c->pull);
        c->pull = NULL;
    }
}

static void read_inlet(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    static const struct tb_yaml_key keys[] = {{"type", inlet_type},
                                              {"name", inlet_name},
                                              {"folder", inlet_folder},
                                              {"listen", inlet_listen},
                                              {"bounds", inlet_bounds},
                                              {"url", tb_config_pull_url},
                                              {"unix_socket", tb_config_pull_unix_socket},
                                              {"headers", tb_config_pull_headers},
                                              {"user", tb_config_pull_user},
                                              {"password_file", tb_config_pull_password_file},
                                              {"password_env", tb_config_pull_password_env},
                                              {"ca_file", tb_config_pull_ca_file},
                                              {"insecure", tb_config_pull_insecure},
                                              {"database", tb_config_pull_database},
                                              {"command", tb_config_pull_command},
                                              {"format", tb_config_pull_format},
                                              {"interval", tb_config_pull_interval},
                                              {"timeout", tb_config_pull_timeout},
                                              {"stale_after", tb_config_pull_stale},
                                              {"metrics", tb_config_read_pull_metrics}};
    struct tb_inlet_list *l = to;
    const unsigned before = y->errors->count;
    if (l->count == TB_INLETS_MAX) {
        tb_yaml_error(y, value, "inlets: more than %u: leave some out", TB_INLETS_MAX);
        return;
    }
    l->items = tb_grow(l->items, l->count, &l->space, sizeof *l->items);
    struct tb_inlet_reader r = {.to = &l->items[l->count++]};
    *r.to = (struct tb_inlet_config){.hash = tb_yaml_hash(y, value), .pull = tb_pull_config_new()};
    tb_yaml_mapping(y, value, "inlets", TB_YAML_KEYS(keys), &r);
    if (!r.has_type && y->errors->count == before)
        tb_yaml_error(y, value, "inlets: an entry has no type: write type: textfile, or another");
    else if (y->errors->count == before)
        finish(y, value, &r, l);
}

void tb_config_read_inlets(struct tb_yaml *y, yaml_node_t *value, struct tb_config *c)
{
    tb_yaml_each(y, value, read_inlet, &c->inlets);
}
