/* SPDX-License-Identifier: Apache-2.0 */
/* The web configuration's schema (web_config.h), on top of config_yaml.h. */
#include "web_config.h"

#include <stdlib.h>

#include "config_yaml.h"
#include "web_auth.h"

#define RATE_BURST_MAX 1000000u

static void set_text(struct tb_web_text *to, const yaml_node_t *node, const char *text)
{
    free(to->text);
    *to = (struct tb_web_text){tb_strndup(text, strlen(text)), (uint32_t)tb_yaml_line(node),
                               (uint32_t)tb_yaml_column(node)};
}

/* Empty means not given, in all of these files. */
static const char *text_or_none(struct tb_yaml *y, yaml_node_t *node, const char *what)
{
    bool is_empty = node->type == YAML_SCALAR_NODE && !node->data.scalar.length;
    return is_empty || tb_yaml_is_none(node) ? NULL : tb_yaml_text(y, node, what);
}

/* --- tls_server_config -----------------------------------------------------------------------------------------------
 */

#define TLS(to) (&((struct tb_web_config *)(to))->tls)

static void read_pem(struct tb_yaml *y, yaml_node_t *node, const char *what, struct tb_web_text *to)
{
    const char *text = tb_yaml_is_none(node) ? NULL : tb_yaml_lines(y, node, what);
    if (text)
        set_text(to, node, text);
}
static void read_cert(struct tb_yaml *y, yaml_node_t *node, void *to)
{
    read_pem(y, node, "cert", &TLS(to)->cert);
}
static void read_key(struct tb_yaml *y, yaml_node_t *node, void *to)
{
    read_pem(y, node, "key", &TLS(to)->key);
}
static void read_client_ca(struct tb_yaml *y, yaml_node_t *node, void *to)
{
    read_pem(y, node, "client_ca", &TLS(to)->client_ca);
}

/* A name is looked up beside the configuration. */
static void read_file_name(struct tb_yaml *y, yaml_node_t *node, const char *what, struct tb_web_text *to)
{
    const char *text = text_or_none(y, node, what);
    if (!text)
        return;
    char *path = tb_yaml_beside(y, text);
    set_text(to, node, path);
    free(path);
}
static void read_cert_file(struct tb_yaml *y, yaml_node_t *node, void *to)
{
    read_file_name(y, node, "cert_file", &TLS(to)->cert_file);
}
static void read_key_file(struct tb_yaml *y, yaml_node_t *node, void *to)
{
    read_file_name(y, node, "key_file", &TLS(to)->key_file);
}
static void read_client_ca_file(struct tb_yaml *y, yaml_node_t *node, void *to)
{
    read_file_name(y, node, "client_ca_file", &TLS(to)->client_ca_file);
}

static void read_client_auth(struct tb_yaml *y, yaml_node_t *node, void *to)
{
    static const struct {
        const char *name;
        enum tb_client_auth auth;
    } types[] = {{"NoClientCert", TB_CLIENT_AUTH_NONE},
                 {"RequestClientCert", TB_CLIENT_AUTH_REQUEST},
                 {"RequireAnyClientCert", TB_CLIENT_AUTH_REQUIRE_ANY},
                 {"RequireClientCert", TB_CLIENT_AUTH_REQUIRE_ANY}, /* its old name */
                 {"VerifyClientCertIfGiven", TB_CLIENT_AUTH_VERIFY_IF_GIVEN},
                 {"RequireAndVerifyClientCert", TB_CLIENT_AUTH_VERIFY}};
    const char *text = text_or_none(y, node, "client_auth_type");
    if (!text)
        return;
    set_text(&TLS(to)->client_auth_type, node, text);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, text) == 0) {
            TLS(to)->client_auth = types[i].auth;
            return;
        }
    tb_yaml_error(y, node,
                  "client_auth_type: \"%s\" is not known: write NoClientCert, RequestClientCert, RequireAnyClientCert, "
                  "VerifyClientCertIfGiven or RequireAndVerifyClientCert",
                  text);
}

static void read_version(struct tb_yaml *y, yaml_node_t *node, const char *what, unsigned *ret)
{
    const char *text = text_or_none(y, node, what);
    if (!text)
        return;
    if (strcmp(text, "TLS12") == 0 || strcmp(text, "TLS13") == 0)
        *ret = (unsigned)(text[4] - '0');
    else
        tb_yaml_error(y, node, "%s: \"%s\" is not offered: write TLS12 or TLS13", what, text);
}
static void read_min_version(struct tb_yaml *y, yaml_node_t *node, void *to)
{
    read_version(y, node, "min_version", &TLS(to)->min_version);
}
static void read_max_version(struct tb_yaml *y, yaml_node_t *node, void *to)
{
    read_version(y, node, "max_version", &TLS(to)->max_version);
}

static void add_to_list(struct tb_yaml *y, yaml_node_t *node, void *to)
{
    struct tb_web_list *l = to;
    const char *text = tb_yaml_text(y, node, "element of a list");
    if (!text)
        return;
    l->items = tb_grow(l->items, l->count, &l->space, sizeof *l->items);
    l->items[l->count] = (struct tb_web_text){0};
    set_text(&l->items[l->count++], node, text);
}
static void read_list(struct tb_yaml *y, yaml_node_t *node, struct tb_web_list *to)
{
    to->is_given = !tb_yaml_is_none(node);
    tb_yaml_each(y, node, add_to_list, to);
}
static void read_sans(struct tb_yaml *y, yaml_node_t *node, void *to)
{
    read_list(y, node, &TLS(to)->allowed_sans);
}
static void read_ciphers(struct tb_yaml *y, yaml_node_t *node, void *to)
{
    read_list(y, node, &TLS(to)->cipher_suites);
}
static void read_curves(struct tb_yaml *y, yaml_node_t *node, void *to)
{
    read_list(y, node, &TLS(to)->curves);
}
static void read_prefer(struct tb_yaml *y, yaml_node_t *node, void *to)
{
    tb_yaml_switch(y, node, "prefer_server_cipher_suites", &TLS(to)->server_decides);
}

/* One of a text and a file; told where the text stands. */
static void check_one(struct tb_yaml *y, const char *what, const struct tb_web_text *text,
                      const struct tb_web_text *file)
{
    if (text->text && file->text)
        tb_config_error(y->errors, y->file, text->line, text->column, "%s: %s_file is set as well: remove one", what,
                        what);
}

static void check_tls(struct tb_yaml *y, const struct tb_web_tls_config *t)
{
    bool has_ca = t->client_ca.text || t->client_ca_file.text,
         verifies = t->client_auth >= TB_CLIENT_AUTH_VERIFY_IF_GIVEN;
    check_one(y, "cert", &t->cert, &t->cert_file);
    check_one(y, "key", &t->key, &t->key_file);
    check_one(y, "client_ca", &t->client_ca, &t->client_ca_file);
    if (!t->cert.text && !t->cert_file.text)
        tb_config_error(y->errors, y->file, t->line, t->column, "tls_server_config: no certificate: set cert_file");
    if (!t->key.text && !t->key_file.text)
        tb_config_error(y->errors, y->file, t->line, t->column, "tls_server_config: no key: set key_file");
    if (has_ca && !t->client_auth)
        tb_config_error(y->errors, y->file, t->line, t->column,
                        "client_ca_file: no client certificate is asked for: set client_auth_type, for instance to "
                        "RequireAndVerifyClientCert");
    if (verifies && !has_ca)
        tb_config_error(y->errors, y->file, t->client_auth_type.line, t->client_auth_type.column,
                        "client_auth_type: nothing to verify with: set client_ca_file");
    if (t->allowed_sans.is_given && !t->client_auth)
        tb_config_error(y->errors, y->file, t->line, t->column,
                        "client_allowed_sans: no client certificate is asked for: set client_auth_type: "
                        "RequireAndVerifyClientCert");
    else if (t->allowed_sans.is_given && !verifies)
        tb_config_error(y->errors, y->file, t->line, t->column,
                        "client_allowed_sans: anybody can make a certificate with these names: have it verified: set "
                        "client_auth_type: RequireAndVerifyClientCert");
    if (t->min_version > t->max_version)
        tb_config_error(y->errors, y->file, t->line, t->column,
                        "max_version: it is below min_version: nothing could be agreed on");
}

static void read_tls(struct tb_yaml *y, yaml_node_t *node, void *to)
{
    static const struct tb_yaml_key keys[] = {
        {"cert", read_cert},
        {"key", read_key},
        {"client_ca", read_client_ca},
        {"cert_file", read_cert_file},
        {"key_file", read_key_file},
        {"client_ca_file", read_client_ca_file},
        {"client_auth_type", read_client_auth},
        {"client_allowed_sans", read_sans},
        {"min_version", read_min_version},
        {"max_version", read_max_version},
        {"cipher_suites", read_ciphers},
        {"prefer_server_cipher_suites", read_prefer},
        {"curve_preferences", read_curves},
    };
    struct tb_web_tls_config *t = TLS(to);
    unsigned errors = y->errors->count;
    if (tb_yaml_is_none(node) ||
        (node->type == YAML_MAPPING_NODE && node->data.mapping.pairs.start == node->data.mapping.pairs.top))
        return;
    t->is_given = true;
    t->line = (uint32_t)tb_yaml_line(node);
    t->column = (uint32_t)tb_yaml_column(node);
    tb_yaml_mapping(y, node, "tls_server_config", TB_YAML_KEYS(keys), to);
    if (errors == y->errors->count)
        check_tls(y, t);
}

/* --- http_server_config ----------------------------------------------------------------------------------------------
 */

/* Accepted and of no effect either way: HTTP/2 is not served. */
static void read_http2(struct tb_yaml *y, yaml_node_t *node, void *to)
{
    bool is_on;
    (void)to;
    tb_yaml_switch(y, node, "http2", &is_on);
}

/* The headers that may be set, and the values of those that have no others. */
static const struct {
    const char *name, *values[3];
} known_headers[] = {
    {"Strict-Transport-Security", {NULL}},
    {"X-Content-Type-Options", {"nosniff", NULL}},
    {"X-Frame-Options", {"deny", "sameorigin", NULL}},
    {"X-XSS-Protection", {NULL}},
    {"Content-Security-Policy", {NULL}},
};
#define KNOWN_HEADERS (sizeof known_headers / sizeof *known_headers)

static void add_header(struct tb_yaml *y, struct tb_web_config *c, size_t known, yaml_node_t *node)
{
    const char *name = known_headers[known].name, *const *values = known_headers[known].values;
    const char *text = text_or_none(y, node, name);
    if (!text)
        return;
    size_t v = 0;
    while (values[v] && strcmp(values[v], text) != 0)
        v++;
    if (values[0] && !values[v]) {
        tb_yaml_error(y, node, "%s: \"%s\" is none of its values: write %s%s%s", name, text, values[0],
                      values[1] ? " or " : "", values[1] ? values[1] : "");
        return;
    }
    c->headers = tb_grow(c->headers, c->header_count, &c->header_space, sizeof *c->headers);
    c->headers[c->header_count++] =
        (struct tb_web_header){tb_strndup(name, strlen(name)), tb_strndup(text, strlen(text))};
}

static void read_headers(struct tb_yaml *y, yaml_node_t *node, void *to)
{
    yaml_node_t *key, *value;
    size_t at = 0;
    if (tb_yaml_is_none(node))
        return;
    if (node->type != YAML_MAPPING_NODE) {
        tb_yaml_error(y, node, "headers: it is no mapping: write names with values");
        return;
    }
    while (tb_yaml_pair(y, node, &at, &key, &value)) {
        size_t i = 0;
        while (i < KNOWN_HEADERS && strcmp(known_headers[i].name, (const char *)key->data.scalar.value) != 0)
            i++;
        if (i < KNOWN_HEADERS)
            add_header(y, to, i, value);
        else
            tb_yaml_error(y, key,
                          "%s: this header cannot be set: only Strict-Transport-Security, X-Content-Type-Options, "
                          "X-Frame-Options, X-XSS-Protection and Content-Security-Policy",
                          (const char *)key->data.scalar.value);
    }
}

static void read_http(struct tb_yaml *y, yaml_node_t *node, void *to)
{
    static const struct tb_yaml_key keys[] = {{"http2", read_http2}, {"headers", read_headers}};
    tb_yaml_mapping(y, node, "http_server_config", keys, 2, to);
}

/* --- basic_auth_users, rate_limit ------------------------------------------------------------------------------------
 */

static void read_users(struct tb_yaml *y, yaml_node_t *node, void *to)
{
    struct tb_web_config *c = to;
    yaml_node_t *key, *value;
    size_t at = 0;
    if (tb_yaml_is_none(node))
        return;
    if (node->type != YAML_MAPPING_NODE) {
        tb_yaml_error(y, node, "basic_auth_users: it is no mapping: write names with bcrypt hashes");
        return;
    }
    while (tb_yaml_pair(y, node, &at, &key, &value)) {
        const char *name = tb_yaml_text(y, key, "user"), *hash = name ? tb_yaml_text(y, value, name) : NULL;
        const char *why = hash ? tb_web_hash_complaint(hash) : NULL;
        if (name && strchr(name, ':'))
            tb_yaml_error(y, key, "%s: a user's name cannot hold a colon: choose another", name);
        else if (why)
            tb_yaml_error(y, value, "%s: its hash %s", name, why);
        else if (hash) {
            c->users = tb_grow(c->users, c->user_count, &c->user_space, sizeof *c->users);
            c->users[c->user_count++] =
                (struct tb_web_user){tb_strndup(name, strlen(name)), tb_strndup(hash, strlen(hash))};
        }
    }
}

static void read_interval(struct tb_yaml *y, yaml_node_t *node, void *to)
{
    const char *text = tb_yaml_text(y, node, "interval");
    if (text && !tb_duration_parse(text, &((struct tb_web_config *)to)->rate_interval_ns))
        tb_yaml_error(y, node, "interval: \"%s\" is no duration: give one like 250ms or 1s", text);
}

static void read_burst(struct tb_yaml *y, yaml_node_t *node, void *to)
{
    tb_yaml_number(y, node, "burst", 0, RATE_BURST_MAX, &((struct tb_web_config *)to)->rate_burst);
}

static void read_rate(struct tb_yaml *y, yaml_node_t *node, void *to)
{
    static const struct tb_yaml_key keys[] = {{"interval", read_interval}, {"burst", read_burst}};
    const struct tb_web_config *c = to;
    unsigned errors = y->errors->count;
    tb_yaml_mapping(y, node, "rate_limit", keys, 2, to);
    if (errors == y->errors->count && c->rate_interval_ns && !c->rate_burst)
        tb_yaml_error(y, node, "rate_limit: without a burst every request would be refused: set burst to 1 or more");
}

/* --- the file --------------------------------------------------------------------------------------------------------
 */

struct tb_web_config *tb_web_config_load(const char *path, struct tb_config_errors *errors)
{
    static const struct tb_yaml_key keys[] = {{"tls_server_config", read_tls},
                                              {"http_server_config", read_http},
                                              {"basic_auth_users", read_users},
                                              {"rate_limit", read_rate}};
    struct tb_web_config *c = tb_alloc(sizeof *c);
    struct tb_yaml y;
    unsigned before = errors->count;
    c->path = tb_strndup(path, strlen(path));
    c->tls.min_version = 2;
    c->tls.max_version = 3;
    c->tls.server_decides = true;
    if (tb_yaml_open(&y, path, errors))
        tb_yaml_mapping(&y, tb_yaml_root(&y), "", TB_YAML_KEYS(keys), c);
    c->is_empty = !tb_yaml_root(&y);
    tb_yaml_close(&y);
    if (errors->count == before)
        return c;
    tb_web_config_free(c);
    return NULL;
}

static void free_list(struct tb_web_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->items[i].text);
    free(l->items);
}

static void free_tls(struct tb_web_tls_config *t)
{
    struct tb_web_text *texts[] = {
        &t->cert, &t->key, &t->client_ca, &t->cert_file, &t->key_file, &t->client_ca_file, &t->client_auth_type};
    if (t->key.text)
        explicit_bzero(t->key.text, strlen(t->key.text));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(texts[i]->text);
    free_list(&t->allowed_sans);
    free_list(&t->cipher_suites);
    free_list(&t->curves);
}

void tb_web_config_free(struct tb_web_config *c)
{
    if (!c)
        return;
    free_tls(&c->tls);
    for (size_t i = 0; i < c->header_count; i++) {
        free(c->headers[i].name);
        free(c->headers[i].value);
    }
    for (size_t i = 0; i < c->user_count; i++) {
        free(c->users[i].name);
        free(c->users[i].hash);
    }
    free(c->headers);
    free(c->users);
    free(c->path);
    free(c);
}
