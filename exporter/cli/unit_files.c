/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a systemd service's own file, its drop-ins and environment files for LD_PRELOAD (unit_files.h). Files and not
 * the service manager are asked, so that it works for a system that is not running, too. Of several drop-ins the
 * last one in the order of their names counts.
 */
#include "unit_files.h"
#include "placing.h"

#include "exporter/buffer.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define VARIABLE "LD_PRELOAD="

static const char *const directories[] = {
    "/etc/systemd/system",     "/run/systemd/system", "/run/systemd/generator",     "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system", "/lib/systemd/system", "/run/systemd/generator.late"};
#define DIRECTORY_COUNT (sizeof(directories) / sizeof(directories[0]))

char *tb_unit_name(const char *text)
{
    static const char suffix[] = ".service", letters[] = "abcdefghijklmnopqrstuvwxyz"
                                                         "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@";
    static const char *const others[] = {".socket", ".target", ".timer", ".mount", ".path", ".slice", ".scope"};
    size_t len = strlen(text);
    if (!len || len > 200 || strspn(text, letters) != len || text[0] == '.')
        return NULL;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (len > strlen(others[i]) && strcmp(text + len - strlen(others[i]), others[i]) == 0)
            return NULL;
    bool has_suffix = len >= sizeof(suffix) && strcmp(text + len - (sizeof(suffix) - 1), suffix) == 0;
    return tb_format("%s%s", text, has_suffix ? "" : suffix);
}

/* `a@.service` of `a@b.service`; NULL: it is no instance. */
static char *template_of(const char *name)
{
    const char *at = strchr(name, '@'), *dot = strrchr(name, '.');
    return at && at + 1 < dot ? tb_format("%.*s%s", (int)(at + 1 - name), name, dot) : NULL;
}

static void set(char **to, const char *text, size_t len)
{
    free(*to);
    *to = text ? tb_strndup(text, len) : NULL;
}

/* One file's assignments, in order. */
struct reading {
    const struct tb_placing *from;
    struct tb_unit *unit;
    char *environment_files; /* names, each with a line feed behind; owned */
    const char *path;
    bool wins; /* comes after our drop-in */
};

/* The words of `Environment=`: blanks separate, quotes hold together, a backslash takes the next as it is. */
static void read_environment(struct reading *r, const char *value)
{
    if (!value[strspn(value, " \t")]) { /* takes back what was said */
        set(&r->unit->preload, NULL, 0);
        return;
    }
    struct tb_buffer word = {0};
    for (const char *p = value; *p;) {
        char quote = 0;
        word.len = 0;
        for (p += strspn(p, " \t"); *p && (quote || (*p != ' ' && *p != '\t')); p++) {
            bool is_quote = quote ? *p == quote : *p == '"' || *p == '\'';
            if (is_quote && quote)
                quote = 0;
            else if (is_quote)
                quote = *p;
            else
                tb_put(&word, *p == '\\' && p[1] ? ++p : p, 1);
        }
        if (word.len > strlen(VARIABLE) && memcmp(word.data, VARIABLE, strlen(VARIABLE)) == 0) {
            set(&r->unit->preload, word.data + strlen(VARIABLE), word.len - strlen(VARIABLE));
            if (r->wins)
                set(&r->unit->winner, r->path, strlen(r->path));
        }
    }
    tb_buffer_free(&word);
}

static void read_line(struct reading *r, const char *line)
{
    static const char environment[] = "Environment", file[] = "EnvironmentFile";
    line += strspn(line, " \t");
    size_t key = strcspn(line, " \t=");
    const char *value = line + key;
    value += strspn(value, " \t");
    if (*value++ != '=')
        return;
    if (key == strlen(environment) && memcmp(line, environment, key) == 0)
        read_environment(r, value);
    value += strspn(value, " \t-");
    if (key == strlen(file) && memcmp(line, file, key) == 0) {
        char *more = tb_format("%s%s\n", *value && r->environment_files ? r->environment_files : "", value);
        free(r->environment_files);
        r->environment_files = more;
    }
}

/* @text is changed: lines that go on are joined. */
static void read_lines(struct reading *r, char *text)
{
    for (char *p = text; (p = strstr(p, "\\\n"));)
        p[0] = p[1] = ' ';
    for (char *line = text; *line;) {
        char *end = line + strcspn(line, "\n"), *next = *end ? end + 1 : end;
        *end = 0;
        read_line(r, line);
        line = next;
    }
}

static void read_file(struct reading *r, const char *path)
{
    char *text;
    r->path = path;
    if (tb_place_read(r->from, path, &text, NULL) != 0)
        return;
    read_lines(r, text);
    free(text);
}

/* An environment file's assignments win over those of all unit files. */
static void read_environment_files(struct reading *r)
{
    for (char *path = r->environment_files; path && *path;) {
        char *end = strchr(path, '\n'), *text;
        *end = 0;
        if (tb_place_read(r->from, path, &text, NULL) == 0) {
            char *at = strstr(text, VARIABLE);
            if (at && (at == text || at[-1] == '\n'))
                set(&r->unit->winner, path, strlen(path));
            free(text);
        }
        path = end + 1;
    }
}

/* Paths of drop-ins, without the root; owned. */
struct paths {
    char **items;
    size_t count, space;
};

static void list_drop_ins(const char *root, const char *directory, const char *unit, struct paths *all)
{
    char *path = tb_format("%s%s/%s.d", root, directory, unit);
    DIR *files = opendir(path);
    for (struct dirent *entry; files && (entry = readdir(files));) {
        const char *dot = strrchr(entry->d_name, '.');
        if (!dot || strcmp(dot, ".conf") != 0)
            continue;
        all->items = tb_grow(all->items, all->count, &all->space, sizeof(char *));
        all->items[all->count++] = tb_format("%s/%s", path + strlen(root), entry->d_name);
    }
    if (files)
        closedir(files);
    free(path);
}

static int by_base_name(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(strrchr(*x, '/'), strrchr(*y, '/'));
}

static void read_drop_ins(struct reading *r, const char *name, const char *own_drop_in)
{
    struct paths all = {0};
    char *of_template = template_of(name);
    const char *names[] = {name, of_template, "service"};
    for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
        for (size_t d = 0; names[n] && d < DIRECTORY_COUNT; d++)
            list_drop_ins(r->from->root, directories[d], names[n], &all);
    if (all.count)
        qsort(all.items, all.count, sizeof(char *), by_base_name);
    for (size_t i = 0; i < all.count; i++) {
        int order = strcmp(strrchr(all.items[i], '/') + 1, own_drop_in);
        r->wins = order > 0;
        if (order != 0)
            read_file(r, all.items[i]);
        free(all.items[i]);
    }
    free(all.items);
    free(of_template);
}

/* The first directory that has it. Returns a path without the root, or NULL. */
static char *find_fragment(const struct tb_placing *from, const char *name)
{
    for (size_t i = 0; i < DIRECTORY_COUNT; i++) {
        char *path = tb_format("%s/%s", directories[i], name), *text = NULL;
        bool is_there = tb_place_read(from, path, &text, NULL) == 0;
        free(text);
        if (is_there)
            return path;
        free(path);
    }
    return NULL;
}

void tb_unit_look(const char *root, const char *name, const char *drop_in, struct tb_unit *ret)
{
    struct tb_placing from = {.root = root};
    *ret = (struct tb_unit){.name = tb_strndup(name, strlen(name))};
    struct reading r = {.from = &from, .unit = ret};
    char *of_template = template_of(name);
    ret->fragment = find_fragment(&from, name);
    if (!ret->fragment && of_template)
        ret->fragment = find_fragment(&from, of_template);
    free(of_template);
    if (ret->fragment)
        read_file(&r, ret->fragment);
    read_drop_ins(&r, name, drop_in);
    read_environment_files(&r);
    free(r.environment_files);
}

void tb_unit_free(struct tb_unit *unit)
{
    free(unit->name);
    free(unit->fragment);
    free(unit->preload);
    free(unit->winner);
}
