/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what entries of `inlets` have that ask others (inlet_config.h); their metrics: config_pull_metrics.c. */
#include "config_inlets.h"

#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)
#define INTERVAL_NS (15 * SECOND)
#define TIMEOUT_NS (5 * SECOND)
#define TIMEOUT_MAX_NS (60 * SECOND)
#define STALE_INTERVALS 3u
#define HEADERS_MAX 32u
#define WORDS_MAX 64u

struct tb_pull_config *tb_pull_config_new(void)
{
    struct tb_pull_config *c = tb_alloc(sizeof *c);
    c->interval_ns = INTERVAL_NS;
    return c;
}

static void free_secret(struct tb_pull_secret *s)
{
    free(s->text);
    free(s->file);
    free(s->variable);
}

static void free_metric(struct tb_pull_metric *m)
{
    for (size_t i = 0; i < m->label_count; i++) {
        free(m->labels[i].name);
        free(m->labels[i].value);
        free(m->labels[i].path.steps);
    }
    for (size_t i = 0; i < m->word_count; i++)
        free(m->command[i]);
    free(m->command);
    free(m->labels);
    free(m->name);
    free(m->help);
    free(m->each.steps);
    free(m->path.steps);
}

void tb_pull_config_free(struct tb_pull_config *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->metric_count; i++)
        free_metric(&c->metrics[i]);
    for (size_t i = 0; i < c->header_count; i++) {
        free(c->headers[i].name);
        free_secret(&c->headers[i].value);
    }
    for (size_t i = 0; i < c->word_count; i++)
        free(c->command[i]);
    free(c->command);
    free_secret(&c->password);
    free(c->metrics);
    free(c->headers);
    free(c->name);
    free(c->url);
    free(c->unix_socket);
    free(c->user);
    free(c->ca_file);
    free(c);
}

/* The entry that is being read; @key is there. */
static struct tb_pull_config *config_of(void *to, enum tb_inlet_key key, yaml_node_t *value)
{
    struct tb_inlet_reader *r = to;
    r->places[key] = value;
    return r->to->pull;
}

/* --- whom ------------------------------------------------------------------------------------------------------------
 */

void tb_config_pull_url(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    config_of(to, TB_KEY_URL, value)->url = tb_yaml_copy(y, value, "url");
}

void tb_config_pull_unix_socket(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_pull_config *c = config_of(to, TB_KEY_UNIX_SOCKET, value);
    c->unix_socket = tb_yaml_copy(y, value, "unix_socket");
    if (c->unix_socket && (*c->unix_socket != '/' || strlen(c->unix_socket) > 107))
        tb_yaml_error(y, value, "unix_socket: \"%s\" is no path of a socket: write /PATH, of up to 107 bytes",
                      c->unix_socket);
}

static char *path_beside(struct tb_yaml *y, yaml_node_t *value, const char *what)
{
    const char *text = tb_yaml_text(y, value, what);
    return text ? tb_yaml_beside(y, text) : NULL;
}

void tb_config_pull_user(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    config_of(to, TB_KEY_USER, value)->user = tb_yaml_copy(y, value, "user");
}

void tb_config_pull_password_file(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    config_of(to, TB_KEY_PASSWORD_FILE, value)->password.file = path_beside(y, value, "password_file");
}

void tb_config_pull_password_env(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    config_of(to, TB_KEY_PASSWORD_ENV, value)->password.variable = tb_yaml_copy(y, value, "password_env");
}

void tb_config_pull_ca_file(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    config_of(to, TB_KEY_CA_FILE, value)->ca_file = path_beside(y, value, "ca_file");
}

void tb_config_pull_insecure(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_yaml_switch(y, value, "insecure", &config_of(to, TB_KEY_INSECURE, value)->is_insecure);
}

void tb_config_pull_database(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_yaml_number(y, value, "database", 0, 65535, &config_of(to, TB_KEY_DATABASE, value)->database);
}

/* --- commands --------------------------------------------------------------------------------------------------------
 */

static void command_word(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_pull_config *c = to;
    const char *word = tb_yaml_lines(y, value, "command");
    if (!word)
        return;
    if (c->word_count == WORDS_MAX)
        tb_yaml_error(y, value, "command: more than %u words: write a script", WORDS_MAX);
    c->command = tb_grow(c->command, c->word_count, &c->word_space, sizeof *c->command);
    c->command[c->word_count++] = tb_strndup(word, strlen(word));
}

/* No shell takes it apart. */
void tb_config_pull_command(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_pull_config *c = config_of(to, TB_KEY_COMMAND, value);
    const unsigned before = y->errors->count;
    tb_yaml_each(y, value, command_word, c);
    if (y->errors->count == before && (!c->word_count || *c->command[0] != '/'))
        tb_yaml_error(y, value, "command: it does not begin with the path of a program: write [/PATH, ARGUMENT, ...]");
}

void tb_config_pull_format(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    static const char *const words[] = {[TB_PULL_NUMBER] = "number", [TB_PULL_TEXT] = "text", [TB_PULL_JSON] = "json"};
    struct tb_pull_config *c = config_of(to, TB_KEY_FORMAT, value);
    const char *text = tb_yaml_text(y, value, "format");
    for (size_t i = 0; text && i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i], text) == 0) {
            c->format = (enum tb_pull_format)i;
            return;
        }
    if (text)
        tb_yaml_error(y, value, "format: \"%s\" is none: write number, text or json", text);
}

/* --- headers ---------------------------------------------------------------------------------------------------------
 */

static void secret_file(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    ((struct tb_pull_secret *)to)->file = path_beside(y, value, "file");
}

static void secret_env(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    ((struct tb_pull_secret *)to)->variable = tb_yaml_copy(y, value, "env");
}

/* A text, {file: PATH} or {env: NAME}. */
static void read_secret(struct tb_yaml *y, yaml_node_t *value, struct tb_pull_secret *to)
{
    static const struct tb_yaml_key keys[] = {{"file", secret_file}, {"env", secret_env}};
    const unsigned before = y->errors->count;
    if (value->type == YAML_SCALAR_NODE) {
        to->text = tb_yaml_copy(y, value, "headers");
        return;
    }
    tb_yaml_mapping(y, value, "headers", TB_YAML_KEYS(keys), to);
    if (y->errors->count == before && !to->file == !to->variable)
        tb_yaml_error(y, value, "headers: a value comes from one place: write file: PATH or env: NAME");
}

static bool is_header_name(const char *name)
{
    return *name &&
           !name[strspn(name, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")];
}

void tb_config_pull_headers(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_pull_config *c = config_of(to, TB_KEY_HEADERS, value);
    yaml_node_t *key, *text;
    size_t at = 0;
    if (value->type != YAML_MAPPING_NODE) {
        tb_yaml_error(y, value, "headers: it is no mapping: write names with values");
        return;
    }
    while (tb_yaml_pair(y, value, &at, &key, &text)) {
        const char *name = (const char *)key->data.scalar.value;
        if (!is_header_name(name) || c->header_count == HEADERS_MAX) {
            tb_yaml_error(y, key, "headers: \"%s\" is no name of a header, or there are more than %u: correct it", name,
                          HEADERS_MAX);
            continue;
        }
        c->headers = tb_grow(c->headers, c->header_count, &c->header_space, sizeof *c->headers);
        struct tb_pull_header *h = &c->headers[c->header_count++];
        *h = (struct tb_pull_header){.name = tb_strndup(name, strlen(name))};
        read_secret(y, text, &h->value);
    }
}

/* --- when ------------------------------------------------------------------------------------------------------------
 */

void tb_config_pull_interval(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_yaml_duration(y, value, "interval", SECOND, &config_of(to, TB_KEY_INTERVAL, value)->interval_ns);
}

void tb_config_pull_timeout(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct tb_pull_config *c = config_of(to, TB_KEY_TIMEOUT, value);
    if (tb_yaml_duration(y, value, "timeout", 0, &c->timeout_ns) &&
        (c->timeout_ns < SECOND / 100 || c->timeout_ns > TIMEOUT_MAX_NS))
        tb_yaml_error(y, value, "timeout: it is not between 10ms and 60s: give one like 5s");
}

void tb_config_pull_stale(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    tb_yaml_duration(y, value, "stale_after", SECOND, &config_of(to, TB_KEY_STALE, value)->stale_ns);
}

static void check_times(struct tb_yaml *y, struct tb_inlet_reader *r)
{
    struct tb_pull_config *c = r->to->pull;
    if (!r->places[TB_KEY_TIMEOUT])
        c->timeout_ns = c->interval_ns < TIMEOUT_NS ? c->interval_ns : TIMEOUT_NS;
    else if (c->timeout_ns > c->interval_ns)
        tb_yaml_error(y, r->places[TB_KEY_TIMEOUT], "timeout: it is longer than the interval: shorten it");
    if (!r->places[TB_KEY_STALE])
        c->stale_ns = STALE_INTERVALS * c->interval_ns;
    else if (c->stale_ns < c->interval_ns)
        tb_yaml_error(y, r->places[TB_KEY_STALE], "stale_after: it is shorter than the interval: lengthen it");
}

/* --- together --------------------------------------------------------------------------------------------------------
 */

/* HOST, HOST:PORT, [ADDRESS]:PORT. */
static bool is_host(const char *text, size_t len)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
    const size_t name = *text == '[' ? strspn(text + 1, "0123456789abcdefABCDEF:.%") + 2 : strspn(text, letters);
    const size_t digits = name < len ? strspn(text + name + 1, "0123456789") : 0;
    if (!name || name > len || (*text == '[' && text[name - 1] != ']'))
        return false;
    return name == len || (text[name] == ':' && digits && digits < 6 && name + 1 + digits == len);
}

static void check_url(struct tb_yaml *y, struct tb_inlet_reader *r)
{
    const bool is_redis = r->to->type == TB_INLET_REDIS;
    const char *plain = is_redis ? "redis://" : "http://", *tls = is_redis ? "rediss://" : "https://";
    const char *url = r->to->pull->url;
    const bool is_plain = strncmp(url, plain, strlen(plain)) == 0, is_tls = strncmp(url, tls, strlen(tls)) == 0;
    const char *host = url + strlen(is_plain ? plain : is_tls ? tls : url);
    const size_t len = strcspn(host, "/?#");
    if (memchr(host, '@', len))
        tb_yaml_error(y, r->places[TB_KEY_URL], "url: it has a user or password: write user and password_file");
    else if (!is_host(host, len))
        tb_yaml_error(y, r->places[TB_KEY_URL], "url: \"%s\" is no URL: write %sHOST or %sHOST", url, plain, tls);
    else if (is_redis && host[len])
        tb_yaml_error(y, r->places[TB_KEY_URL], "url: \"%s\" has a path: leave it out, and write database: NUMBER",
                      url);
}

/* A Redis server may have a password alone. */
static void check_password(struct tb_yaml *y, struct tb_inlet_reader *r)
{
    yaml_node_t *user = r->places[TB_KEY_USER], *file = r->places[TB_KEY_PASSWORD_FILE],
                *variable = r->places[TB_KEY_PASSWORD_ENV];
    if (file && variable)
        tb_yaml_error(y, variable, "password_env: there is a password_file, too: leave one out");
    else if (user && !file && !variable)
        tb_yaml_error(y, user, "user: there is no password: write password_file or password_env, too");
    else if (!user && (file || variable) && r->to->type != TB_INLET_REDIS)
        tb_yaml_error(y, file ? file : variable, "user: there is a password, and nobody's: write user: NAME, too");
}

/* Redis on a Unix socket: its name is nobody's. */
static void complete_url(struct tb_yaml *y, yaml_node_t *value, struct tb_inlet_reader *r)
{
    if (r->places[TB_KEY_URL])
        return;
    if (r->places[TB_KEY_UNIX_SOCKET])
        r->to->pull->url = tb_format("redis://localhost");
    else
        tb_yaml_error(y, value, "url: there is no server to ask: write url: redis://HOST or unix_socket: /PATH");
}

void tb_config_check_pull(struct tb_yaml *y, yaml_node_t *value, struct tb_inlet_reader *r)
{
    struct tb_pull_config *c = r->to->pull;
    c->type = r->to->type;
    c->name = tb_strndup(r->to->name, strlen(r->to->name));
    check_times(y, r);
    if (c->type != TB_INLET_COMMAND)
        complete_url(y, value, r);
    if (c->url)
        check_url(y, r);
    check_password(y, r);
    tb_config_check_pull_metrics(y, value, r);
}
