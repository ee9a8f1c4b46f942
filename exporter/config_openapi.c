/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The paths of an OpenAPI file as patterns. The file is read event by event: descriptions may be large, and only the
 * keys of `paths`, `basePath` and the URLs of `servers` are wanted. JSON is read as the YAML that it is. Bounded: 32
 * MiB, and nesting. Entry point: tb_openapi_read.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "agent/rules_format.h"
#include "config.h"
#include "config_yaml.h"

#define OPENAPI_BYTES_MAX ((size_t)32 << 20)
#define PREFIXES_MAX 8u
#define PATHS_MAX 20000u

struct openapi {
    yaml_parser_t parser;
    const char *file;
    struct tb_config_errors *errors;
    char *version, *base_path;
    struct tb_text_list prefixes; /* of servers */
    struct {
        char *path;
        uint32_t line, column;
    } * paths;
    size_t path_count, path_space, operations;
    unsigned depth;
    bool is_over, has_paths;
};

static void complain(struct openapi *o, const yaml_mark_t *at, const char *text)
{
    tb_config_error(o->errors, o->file, at ? at->line + 1 : 1, at ? at->column + 1 : 1, "%s", text);
    o->is_over = true;
}

static bool next(struct openapi *o, yaml_event_t *ret)
{
    if (o->is_over)
        return false;
    if (!yaml_parser_parse(&o->parser, ret)) {
        char *text = tb_format("OpenAPI: %s: see that the file is JSON or YAML",
                               o->parser.problem ? o->parser.problem : "it cannot be read");
        complain(o, &o->parser.problem_mark, text);
        free(text);
        return false;
    }
    o->depth = tb_yaml_depth(o->depth, ret);
    if (o->depth > TB_YAML_DEPTH_MAX) {
        complain(o, &ret->start_mark, "OpenAPI: nested deeper than 100: name an OpenAPI file");
        yaml_event_delete(ret);
        return false;
    }
    return true;
}

/* Skips the value that @first begins. */
static void skip(struct openapi *o, yaml_event_type_t first)
{
    unsigned depth = first == YAML_MAPPING_START_EVENT || first == YAML_SEQUENCE_START_EVENT;
    yaml_event_t e;
    while (depth && next(o, &e)) {
        if (e.type == YAML_MAPPING_START_EVENT || e.type == YAML_SEQUENCE_START_EVENT)
            depth++;
        else if (e.type == YAML_MAPPING_END_EVENT || e.type == YAML_SEQUENCE_END_EVENT)
            depth--;
        yaml_event_delete(&e);
    }
}

/* The next key of a mapping; NULL at its end. The caller's to free. */
static char *next_key(struct openapi *o, yaml_mark_t *ret_at)
{
    yaml_event_t e;
    char *key = NULL;
    while (!key && next(o, &e)) {
        if (e.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&e);
            return NULL;
        }
        *ret_at = e.start_mark;
        yaml_event_type_t type = e.type;
        if (type == YAML_SCALAR_EVENT)
            key = tb_strndup((const char *)e.data.scalar.value, strlen((const char *)e.data.scalar.value));
        yaml_event_delete(&e);
        if (!key) { /* a key that is no name: it and its value */
            skip(o, type);
            if (next(o, &e)) {
                type = e.type;
                yaml_event_delete(&e);
                skip(o, type);
            }
        }
    }
    return key;
}

/* The next value begins: its kind; scalars into *ret_text (the caller's to free). */
static yaml_event_type_t next_value(struct openapi *o, char **ret_text)
{
    yaml_event_t e;
    *ret_text = NULL;
    if (!next(o, &e))
        return YAML_NO_EVENT;
    yaml_event_type_t type = e.type;
    if (type == YAML_SCALAR_EVENT)
        *ret_text = tb_strndup((const char *)e.data.scalar.value, strlen((const char *)e.data.scalar.value));
    yaml_event_delete(&e);
    return type;
}

static bool is_operation(const char *key)
{
    static const char *const methods[] = {"get", "put", "post", "delete", "options", "head", "patch", "trace", "query"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(key, methods[i]) == 0)
            return true;
    return false;
}

static void read_path_item(struct openapi *o)
{
    yaml_mark_t at;
    char *key, *text;
    while ((key = next_key(o, &at))) {
        o->operations += is_operation(key);
        skip(o, next_value(o, &text));
        free(text);
        free(key);
    }
}

static void add_path(struct openapi *o, char *path, const yaml_mark_t *at)
{
    if (o->path_count == PATHS_MAX) {
        complain(o, at, "paths: there are more than 20000: give a part of the file");
        free(path);
        return;
    }
    o->paths = tb_grow(o->paths, o->path_count, &o->path_space, sizeof *o->paths);
    o->paths[o->path_count].path = path;
    o->paths[o->path_count].line = (uint32_t)at->line + 1;
    o->paths[o->path_count++].column = (uint32_t)at->column + 1;
}

static void read_paths(struct openapi *o)
{
    yaml_mark_t at;
    char *key, *text;
    o->has_paths = true;
    while ((key = next_key(o, &at))) {
        yaml_event_type_t type = next_value(o, &text);
        free(text);
        if (type == YAML_MAPPING_START_EVENT)
            read_path_item(o);
        else
            skip(o, type);
        if (*key == '/') { /* others are extensions: x-... */
            key[strcspn(key, "?#")] = 0;
            add_path(o, key, &at);
        } else {
            free(key);
        }
    }
}

/* The path of a server's URL, which may be one alone. */
static void add_prefix(struct openapi *o, const char *url)
{
    const char *host = strstr(url, "://");
    const char *path = host ? strchr(host + 3, '/') : *url == '/' ? url : NULL;
    size_t len = path ? strcspn(path, "?#") : 0;
    while (len && path[len - 1] == '/')
        len--;
    char *prefix = tb_strndup(path ? path : "", len);
    bool is_known = false;
    for (size_t i = 0; i < o->prefixes.count; i++)
        is_known |= strcmp(o->prefixes.items[i], prefix) == 0;
    if (!is_known && o->prefixes.count < PREFIXES_MAX)
        tb_text_list_add(&o->prefixes, prefix);
    free(prefix);
}

static void read_server(struct openapi *o)
{
    yaml_mark_t at;
    char *key, *text;
    while ((key = next_key(o, &at))) {
        yaml_event_type_t type = next_value(o, &text);
        if (text && strcmp(key, "url") == 0)
            add_prefix(o, text);
        skip(o, type);
        free(text);
        free(key);
    }
}

static void read_servers(struct openapi *o)
{
    char *text;
    for (;;) {
        yaml_event_type_t type = next_value(o, &text);
        free(text);
        if (type == YAML_SEQUENCE_END_EVENT || type == YAML_NO_EVENT)
            return;
        if (type == YAML_MAPPING_START_EVENT)
            read_server(o);
        else
            skip(o, type);
    }
}

static void read_root(struct openapi *o)
{
    yaml_mark_t at;
    char *key, *text;
    while ((key = next_key(o, &at))) {
        yaml_event_type_t type = next_value(o, &text);
        if (text && !o->version && (strcmp(key, "openapi") == 0 || strcmp(key, "swagger") == 0)) {
            o->version = text;
            text = NULL;
        } else if (text && !o->base_path && strcmp(key, "basePath") == 0) {
            o->base_path = text;
            text = NULL;
        } else if (type == YAML_MAPPING_START_EVENT && strcmp(key, "paths") == 0) {
            read_paths(o);
        } else if (type == YAML_SEQUENCE_START_EVENT && strcmp(key, "servers") == 0) {
            read_servers(o);
        } else {
            skip(o, type);
        }
        free(text);
        free(key);
    }
}

static void read_document(struct openapi *o)
{
    yaml_event_t e;
    bool has_begun = false;
    while (!has_begun && next(o, &e)) {
        yaml_event_type_t type = e.type;
        yaml_mark_t at = e.start_mark;
        yaml_event_delete(&e);
        if (type == YAML_STREAM_START_EVENT || type == YAML_DOCUMENT_START_EVENT)
            continue;
        has_begun = true;
        if (type == YAML_MAPPING_START_EVENT)
            read_root(o);
        else
            complain(o, &at, "OpenAPI: the file holds no mapping: name an OpenAPI file");
    }
    if (!o->is_over && !o->version)
        complain(o, NULL, "OpenAPI: neither openapi nor swagger says a version: name an OpenAPI file");
    else if (!o->is_over && !o->has_paths)
        complain(o, NULL, "OpenAPI: there are no paths: name a file that has some");
}

/*
 * JSON writes characters beyond 16 bits as two escapes, which YAML does not know. They are in descriptions: question
 * marks of the same length keep all places right.
 */
static void replace_surrogates(char *text, size_t len)
{
    for (size_t i = 0; i + 6 <= len; i++) {
        if (text[i] != '\\')
            continue;
        if (text[i + 1] == 'u' && (text[i + 2] == 'd' || text[i + 2] == 'D') && strchr("89abcdefABCDEF", text[i + 3]))
            memset(text + i, '?', 6);
        i++; /* what is escaped */
    }
}

/* Prefix and path with one slash between them. */
static void add_patterns(const struct openapi *o, struct tb_route_config *to)
{
    static char nothing[] = "";
    char *only = o->base_path ? o->base_path : nothing;
    char **prefixes = o->prefixes.count ? o->prefixes.items : &only;
    size_t count = o->prefixes.count ? o->prefixes.count : 1;
    for (size_t k = 0; k < count; k++) {
        size_t len = strlen(prefixes[k]);
        while (len && prefixes[k][len - 1] == '/')
            len--;
        for (size_t i = 0; i < o->path_count; i++) {
            char *path =
                tb_format("%s%.*s%s", len && prefixes[k][0] != '/' ? "/" : "", (int)len, prefixes[k], o->paths[i].path);
            tb_config_add_pattern(to, path, o->file, o->paths[i].line, o->paths[i].column)->is_openapi = true;
            free(path);
        }
    }
}

static void free_openapi(struct openapi *o)
{
    for (size_t i = 0; i < o->path_count; i++)
        free(o->paths[i].path);
    for (size_t i = 0; i < o->prefixes.count; i++)
        free(o->prefixes.items[i]);
    free(o->prefixes.items);
    free(o->paths);
    free(o->version);
    free(o->base_path);
}

void tb_openapi_read(struct tb_config *c, struct tb_route_config *to, const char *file, size_t line, size_t column,
                     struct tb_config_errors *errors)
{
    struct openapi o = {.file = file, .errors = errors};
    size_t len = 0;
    char *text = tb_read_whole(file, OPENAPI_BYTES_MAX, &len);
    if (!text) {
        tb_config_error(errors, c->path, line, column, "openapi: %s: %s: %s", file,
                        errno == EFBIG ? "larger than 32 MiB" : strerror(errno),
                        errno == EFBIG ? "give a part of it" : "name a file that this user may read");
        return;
    }
    size_t first = strspn(text, " \t\r\n");
    if (text[first] == '{')
        replace_surrogates(text, len);
    if (!yaml_parser_initialize(&o.parser))
        abort();
    yaml_parser_set_input_string(&o.parser, (const unsigned char *)text, len);
    read_document(&o);
    yaml_parser_delete(&o.parser);
    if (!o.is_over) {
        size_t prefixes = o.prefixes.count ? o.prefixes.count : 1;
        add_patterns(&o, to);
        c->openapi = tb_grow(c->openapi, c->openapi_count, &c->openapi_space, sizeof *c->openapi);
        c->openapi[c->openapi_count++] = (struct tb_openapi_note){.file = tb_strndup(file, strlen(file)),
                                                                  .version = tb_strndup(o.version, strlen(o.version)),
                                                                  .paths = o.path_count,
                                                                  .operations = o.operations,
                                                                  .prefixes = prefixes};
    }
    free_openapi(&o);
    free(text);
}
