/* SPDX-License-Identifier: Apache-2.0 */
/* YAML with places (config_yaml.h). The parser is libyaml's; what a value may be is decided here. */
#include "config_yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checksum.h"

char *tb_read_whole(const char *path, size_t max, size_t *ret_len)
{
    struct stat st;
    struct tb_buffer b = {0};
    /* O_NONBLOCK: a FIFO must not hold us */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error = EISDIR;
    if (fd < 0)
        return NULL;
    ssize_t n = -1;
    if (fstat(fd, &st) < 0 || S_ISDIR(st.st_mode)) {
        n = -1;
    } else {
        while ((n = read(fd, tb_buffer_room(&b, 65536), 65536)) > 0 && (b.len += (size_t)n) <= max)
            ;
        error = n > 0 ? EFBIG : errno;
    }
    close(fd);
    if (n != 0) {
        tb_buffer_free(&b);
        errno = error;
        return NULL;
    }
    *ret_len = b.len;
    return tb_buffer_text(&b);
}

void tb_text_list_add(struct tb_text_list *l, const char *text)
{
    l->items = tb_grow(l->items, l->count, &l->space, sizeof(char *));
    l->items[l->count++] = tb_strndup(text, strlen(text));
}

void tb_text_list_free(struct tb_text_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->items[i]);
    free(l->items);
    *l = (struct tb_text_list){0};
}

void tb_config_error(struct tb_config_errors *e, const char *file, size_t line, size_t column, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    if (++e->count > TB_CONFIG_ERRORS_MAX)
        return;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    /* a key or value may hold anything: one error is one line */
    char *clean = tb_utf8_clean(text ? text : "", text ? strlen(text) : 0);
    for (char *p = clean; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    char *place = line ? tb_format("%s:%zu:%zu: ", file, line, column) : tb_format("%s: ", file);
    tb_puts(&e->text, place);
    tb_puts(&e->text, clean);
    tb_puts(&e->text, "\n");
    if (e->count == TB_CONFIG_ERRORS_MAX)
        tb_puts(&e->text, "(further errors are not shown)\n");
    free(place);
    free(clean);
    free(text);
}

void tb_yaml_error(struct tb_yaml *y, const yaml_node_t *at, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    tb_config_error(y->errors, y->file, at ? tb_yaml_line(at) : 1, at ? tb_yaml_column(at) : 1, "%s",
                    text ? text : "error");
    free(text);
}

static void parse_error(struct tb_yaml *y, const yaml_parser_t *p)
{
    bool has_place = p->error == YAML_SCANNER_ERROR || p->error == YAML_PARSER_ERROR || p->error == YAML_COMPOSER_ERROR;
    tb_config_error(y->errors, y->file, has_place ? p->problem_mark.line + 1 : 1,
                    has_place ? p->problem_mark.column + 1 : 1, "YAML: %s: correct the syntax here or just before",
                    p->problem ? p->problem : "it cannot be read");
}

/* Before anything is built: how deep is it? What is wrong otherwise is told when it is loaded. */
static bool is_too_deep(struct tb_yaml *y, size_t len)
{
    yaml_parser_t parser;
    yaml_event_t e;
    unsigned depth = 0;
    bool is_over = false;
    if (!yaml_parser_initialize(&parser))
        abort();
    yaml_parser_set_input_string(&parser, (const unsigned char *)y->text, len);
    while (!is_over && depth <= TB_YAML_DEPTH_MAX && yaml_parser_parse(&parser, &e)) {
        depth = tb_yaml_depth(depth, &e);
        is_over = e.type == YAML_STREAM_END_EVENT;
        if (depth > TB_YAML_DEPTH_MAX)
            tb_config_error(y->errors, y->file, e.start_mark.line + 1, e.start_mark.column + 1,
                            "YAML: nested deeper than %u: name a configuration file", TB_YAML_DEPTH_MAX);
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&parser);
    return depth > TB_YAML_DEPTH_MAX;
}

bool tb_yaml_open(struct tb_yaml *y, const char *file, struct tb_config_errors *errors)
{
    size_t len = 0;
    yaml_parser_t parser;
    yaml_document_t more;
    *y = (struct tb_yaml){.file = file, .errors = errors};
    y->text = tb_read_whole(file, TB_CONFIG_BYTES_MAX, &len);
    if (!y->text) {
        tb_config_error(errors, file, 0, 0, "%s: %s", errno == EFBIG ? "larger than 1 MiB" : strerror(errno),
                        errno == EFBIG ? "name a configuration file" : "name a file that this user may read");
        return false;
    }
    if (is_too_deep(y, len))
        return false;
    if (!yaml_parser_initialize(&parser))
        abort();
    yaml_parser_set_input_string(&parser, (const unsigned char *)y->text, len);
    y->has_document = yaml_parser_load(&parser, &y->document);
    bool is_good = y->has_document;
    if (is_good && yaml_document_get_root_node(&y->document)) {
        is_good = yaml_parser_load(&parser, &more);
        if (is_good && yaml_document_get_root_node(&more)) {
            tb_yaml_error(y, yaml_document_get_root_node(&more), "a second document: only one is read: remove it");
            y->visits = TB_YAML_VISITS_MAX;
        }
        if (is_good)
            yaml_document_delete(&more);
    }
    if (!is_good)
        parse_error(y, &parser);
    yaml_parser_delete(&parser);
    return is_good;
}

yaml_node_t *tb_yaml_root(struct tb_yaml *y)
{
    return y->has_document ? yaml_document_get_root_node(&y->document) : NULL;
}

void tb_yaml_close(struct tb_yaml *y)
{
    if (y->has_document)
        yaml_document_delete(&y->document);
    free(y->text);
    *y = (struct tb_yaml){0};
}

/* False when enough has been looked at; told once. */
static bool may_visit(struct tb_yaml *y, const yaml_node_t *at)
{
    if (y->visits == TB_YAML_VISITS_MAX || y->errors->count >= TB_CONFIG_ERRORS_MAX)
        return false;
    if (++y->visits == TB_YAML_VISITS_MAX)
        tb_yaml_error(y, at, "more than %u values, aliases counted: shorten the file", TB_YAML_VISITS_MAX);
    return y->visits < TB_YAML_VISITS_MAX;
}

bool tb_yaml_is_none(const yaml_node_t *n)
{
    if (!n)
        return true;
    if (n->type != YAML_SCALAR_NODE || n->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    const char *text = (const char *)n->data.scalar.value;
    return !*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0;
}

static const char *kind_name(const yaml_node_t *n)
{
    return n->type == YAML_MAPPING_NODE ? "a mapping" : n->type == YAML_SEQUENCE_NODE ? "a list" : "a value";
}

static bool scalar_is(const yaml_node_t *n, const char *text, size_t len)
{
    return n->type == YAML_SCALAR_NODE && n->data.scalar.length == len && memcmp(n->data.scalar.value, text, len) == 0;
}

bool tb_yaml_pair(struct tb_yaml *y, yaml_node_t *node, size_t *at, yaml_node_t **ret_key, yaml_node_t **ret_value)
{
    yaml_node_pair_t *first = node->data.mapping.pairs.start, *pair = first + *at;
    for (; pair < node->data.mapping.pairs.top; pair++) {
        yaml_node_t *key = yaml_document_get_node(&y->document, pair->key);
        *at = (size_t)(pair - first) + 1;
        if (!may_visit(y, key))
            return false;
        if (key->type != YAML_SCALAR_NODE) {
            tb_yaml_error(y, key, "key: it is %s: write a name", kind_name(key));
            continue;
        }
        const yaml_node_t *before = NULL;
        for (yaml_node_pair_t *p = first; p < pair && !before; p++) {
            const yaml_node_t *other = yaml_document_get_node(&y->document, p->key);
            if (scalar_is(other, (const char *)key->data.scalar.value, key->data.scalar.length))
                before = other;
        }
        if (before) {
            tb_yaml_error(y, key, "%s: it is set in line %zu already: remove one", (const char *)key->data.scalar.value,
                          tb_yaml_line(before));
            continue;
        }
        *ret_key = key;
        *ret_value = yaml_document_get_node(&y->document, pair->value);
        return true;
    }
    return false;
}

static void unknown_key(struct tb_yaml *y, const yaml_node_t *key, const char *what, const struct tb_yaml_key *keys,
                        size_t count)
{
    struct tb_buffer known = {0};
    for (size_t i = 0; i < count; i++) {
        tb_puts(&known, i ? ", " : "");
        tb_puts(&known, keys[i].name);
    }
    tb_put(&known, "", 1);
    tb_yaml_error(y, key, "%s: unknown key%s%s: one of %s", (const char *)key->data.scalar.value, *what ? " of " : "",
                  what, known.data);
    tb_buffer_free(&known);
}

void tb_yaml_mapping(struct tb_yaml *y, yaml_node_t *node, const char *what, const struct tb_yaml_key *keys,
                     size_t count, void *to)
{
    yaml_node_t *key, *value;
    size_t at = 0, k;
    if (tb_yaml_is_none(node))
        return;
    if (node->type != YAML_MAPPING_NODE) {
        tb_yaml_error(y, node, "%s: it is %s: write keys with values", *what ? what : "the file", kind_name(node));
        return;
    }
    while (tb_yaml_pair(y, node, &at, &key, &value)) {
        for (k = 0; k < count; k++)
            if (scalar_is(key, keys[k].name, strlen(keys[k].name)))
                break;
        if (k == count)
            unknown_key(y, key, what, keys, count);
        else
            keys[k].read(y, value, to);
    }
}

void tb_yaml_each(struct tb_yaml *y, yaml_node_t *node, void (*read)(struct tb_yaml *y, yaml_node_t *value, void *to),
                  void *to)
{
    if (tb_yaml_is_none(node))
        return;
    if (node->type != YAML_SEQUENCE_NODE) {
        read(y, node, to);
        return;
    }
    for (yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top; i++) {
        yaml_node_t *value = yaml_document_get_node(&y->document, *i);
        if (!may_visit(y, value))
            return;
        read(y, value, to);
    }
}

static const char *scalar_text(struct tb_yaml *y, yaml_node_t *node, const char *what, const char *allowed)
{
    if (!node || node->type != YAML_SCALAR_NODE) {
        tb_yaml_error(y, node, "%s: it is %s: write one value", what, node ? kind_name(node) : "nothing");
        return NULL;
    }
    const char *text = (const char *)node->data.scalar.value;
    if (tb_yaml_is_none(node) || !*text) {
        tb_yaml_error(y, node, "%s: it is empty: write a value, or leave the key out", what);
        return NULL;
    }
    for (size_t i = 0; i < node->data.scalar.length; i++)
        if (((unsigned char)text[i] < 0x20 || text[i] == 0x7f) && !(text[i] && strchr(allowed, text[i]))) {
            tb_yaml_error(y, node, "%s: it holds a control character: remove it", what);
            return NULL;
        }
    return text;
}

const char *tb_yaml_text(struct tb_yaml *y, yaml_node_t *node, const char *what)
{
    return scalar_text(y, node, what, "");
}

const char *tb_yaml_lines(struct tb_yaml *y, yaml_node_t *node, const char *what)
{
    return scalar_text(y, node, what, "\r\n\t");
}

uint64_t tb_yaml_hash(const struct tb_yaml *y, const yaml_node_t *node)
{
    const char *text = y->text;
    size_t line = 0;
    for (; line < node->start_mark.line && *text; text++)
        line += *text == '\n';
    const char *end = text;
    for (; line <= node->end_mark.line && *end; end++)
        line += *end == '\n';
    return tb_checksum(text, (size_t)(end - text));
}

char *tb_yaml_copy(struct tb_yaml *y, yaml_node_t *node, const char *what)
{
    const char *text = tb_yaml_text(y, node, what);
    return text ? tb_strndup(text, strlen(text)) : NULL;
}

bool tb_yaml_duration(struct tb_yaml *y, yaml_node_t *node, const char *what, uint64_t least_ns, uint64_t *ret)
{
    const char *text = tb_yaml_text(y, node, what);
    uint64_t ns = 0;
    if (!text)
        return false;
    if (!tb_duration_parse(text, &ns) || ns < least_ns) {
        tb_yaml_error(y, node, "%s: \"%s\" is no duration of at least %us: give one like 30s or 5m", what, text,
                      (unsigned)(least_ns / UINT64_C(1000000000)));
        return false;
    }
    *ret = ns;
    return true;
}

char *tb_yaml_beside(const struct tb_yaml *y, const char *name)
{
    const char *slash = strrchr(y->file, '/');
    return *name == '/' || !slash ? tb_strndup(name, strlen(name))
                                  : tb_format("%.*s%s", (int)(slash + 1 - y->file), y->file, name);
}

bool tb_yaml_number(struct tb_yaml *y, yaml_node_t *node, const char *what, uint32_t min, uint32_t max, uint32_t *ret)
{
    const char *text = tb_yaml_text(y, node, what);
    char *end = NULL;
    if (!text)
        return false;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || n < min || n > max) {
        tb_yaml_error(y, node, "%s: \"%s\" is no number from %u to %u: give one", what, text, min, max);
        return false;
    }
    *ret = (uint32_t)n;
    return true;
}

bool tb_yaml_switch(struct tb_yaml *y, yaml_node_t *node, const char *what, bool *ret)
{
    static const char *const on[] = {"true", "yes", "on"}, *const off[] = {"false", "no", "off"};
    const char *text = tb_yaml_text(y, node, what);
    for (size_t i = 0; text && i < 3; i++)
        if (strcmp(text, on[i]) == 0 || strcmp(text, off[i]) == 0) {
            *ret = strcmp(text, on[i]) == 0;
            return true;
        }
    if (text)
        tb_yaml_error(y, node, "%s: \"%s\" is neither true nor false: write one of them", what, text);
    return false;
}
