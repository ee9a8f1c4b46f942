/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Explains the selection. The rules and the decision are agent/select.c, the same code as in the observed program; here
 * are only the file, read as the agent would, and the words.
 */
#include "selection.h"
#include "buffer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SELECT_PATH TB_SYSCONFDIR "/tickbird/select"
#define TODO_RULE "change that rule if that is not meant; programs read it when they start"
#define TODO_FILE "correct it: until then programs that start are not observed"

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

struct tb_selection_sources tb_selection_here(void)
{
    return (struct tb_selection_sources){"", getenv("TICKBIRD_SELECT_FILE"), getenv("TICKBIRD_INCLUDE"),
                                         getenv("TICKBIRD_EXCLUDE")};
}

/* The file's text in @text (TB_SELECT_FILE_MAX + 1 bytes). Returns its length; 0 when there is none, or with @ret_why
 * set when the agent would not take it. */
static size_t read_file(const char *path, bool is_named, char *text, bool *ret_exists, char *ret_why, size_t size)
{
    struct stat st;
    ssize_t len = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    *ret_exists = fd >= 0 || (errno != ENOENT && errno != ENOTDIR);
    if (fd < 0) {
        if (*ret_exists)
            snprintf(ret_why, size, "it cannot be opened: %s", strerror(errno));
        return 0;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        snprintf(ret_why, size, "it is not a file");
    else if (st.st_uid != 0 && !(is_named && st.st_uid == geteuid()))
        snprintf(ret_why, size, "it does not belong to root");
    else if (st.st_mode & (S_IWGRP | S_IWOTH))
        snprintf(ret_why, size, "others than its owner may write it");
    else if ((len = read(fd, text, TB_SELECT_FILE_MAX + 1)) < 0)
        snprintf(ret_why, size, "it cannot be read: %s", strerror(errno));
    else if (len > (ssize_t)TB_SELECT_FILE_MAX)
        snprintf(ret_why, size, "it is longer than %u bytes", TB_SELECT_FILE_MAX);
    close(fd);
    return ret_why[0] || len < 0 ? 0 : (size_t)len;
}

static const char *path_of(const struct tb_selection_sources *s)
{
    return or_empty(s->file)[0] ? s->file : SELECT_PATH;
}

static void put(struct tb_selection *ret, const char *todo, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void put(struct tb_selection *ret, const char *todo, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(ret->why, sizeof ret->why, format, args);
    va_end(args);
    ret->is_out = true;
    ret->todo = todo;
}

static void explain(const struct tb_selection_sources *s, const struct tb_select_filter *filters,
                    const struct tb_select_reason *reason, struct tb_selection *ret)
{
    const struct tb_select_rule *rule = &reason->rule;
    enum tb_select_form form = filters[reason->filter].texts[reason->text].form;
    char place[PATH_MAX + 32];
    const char *variable = form == TB_SELECT_INCLUDES ? "TICKBIRD_INCLUDE" : "TICKBIRD_EXCLUDE";
    int len = rule->text.len < 200 ? (int)rule->text.len : 200;
    if (form == TB_SELECT_FILE)
        snprintf(place, sizeof place, "%.200s line %u", path_of(s), rule->number);
    else
        snprintf(place, sizeof place, "%s", variable);
    switch (reason->why) {
    case TB_SELECT_EXCLUDED:
        put(ret, TODO_RULE, "excluded by %.400s (%.*s)", place, len, rule->text.ptr);
        break;
    case TB_SELECT_NOT_INCLUDED:
        put(ret, TODO_RULE, "no include in %.400s matches it",
            form == TB_SELECT_FILE ? path_of(s) : "TICKBIRD_INCLUDE");
        break;
    case TB_SELECT_MALFORMED:
        put(ret, "correct that rule; programs read it when they start",
            "%.400s is no rule (%.*s), so nothing is observed", place, len, rule->text.ptr);
        break;
    case TB_SELECT_NO_ARGUMENTS:
        put(ret, TODO_RULE, "there are rules about arguments, and its arguments cannot be found");
        break;
    }
}

static bool add_list(struct tb_select_filter *filter, enum tb_select_form form, const char *list,
                     struct tb_selection *ret)
{
    size_t len = strlen(or_empty(list));
    if (len)
        filter->texts[filter->count++] = (struct tb_select_text){form, tb_bytes(list, len)};
    if (len > TB_SELECT_LIST_MAX)
        put(ret, "make it shorter, or use the select file", "%s is longer than %u bytes, so nothing is observed",
            form == TB_SELECT_INCLUDES ? "TICKBIRD_INCLUDE" : "TICKBIRD_EXCLUDE", TB_SELECT_LIST_MAX);
    return len <= TB_SELECT_LIST_MAX;
}

void tb_selection_ask(const struct tb_selection_sources *s, const struct tb_select_program *program,
                      struct tb_selection *ret)
{
    static char text[TB_SELECT_FILE_MAX + 1];
    struct tb_select_filter filters[2] = {{.count = 0}};
    struct tb_select_reason reason = {0};
    char path[PATH_MAX], why[256] = "";
    size_t count = 0;
    uint32_t included = 0;
    bool exists;

    *ret = (struct tb_selection){0};
    if (!add_list(&filters[0], TB_SELECT_INCLUDES, s->includes, ret) ||
        !add_list(&filters[0], TB_SELECT_EXCLUDES, s->excludes, ret))
        return;
    count += filters[0].count != 0;
    snprintf(path, sizeof path, "%s%s", or_empty(s->root), path_of(s));
    size_t len = read_file(path, or_empty(s->file)[0] != 0, text, &exists, why, sizeof why);
    if (why[0]) {
        put(ret, TODO_FILE, "%.400s cannot be used (%s), so nothing is observed", path_of(s), why);
        return;
    }
    if (len)
        filters[count++] = (struct tb_select_filter){{{TB_SELECT_FILE, tb_bytes(text, len)}}, 1};
    if (tb_select_decide(filters, count, program, &included, &reason) == TB_SELECT_OUT)
        explain(s, filters, &reason, ret);
}

void tb_selection_of_program(char *const *argv, const char *program, const char *binary, struct tb_selection *ret)
{
    const struct tb_selection_sources sources = tb_selection_here();
    char exe[PATH_MAX];
    size_t count = 0, used = 0;
    while (argv[count])
        count++;
    const char **args = tb_alloc((count + 1) * sizeof *args);
    /* The kernel puts the script's path before the arguments of its interpreter. */
    if (strcmp(program, binary) != 0)
        args[used++] = program;
    for (size_t i = 1; i < count; i++)
        args[used++] = argv[i];
    const struct tb_select_program asked = {program, realpath(binary, exe) ? exe : binary, args, used};
    tb_selection_ask(&sources, &asked, ret);
    free(args);
}

void tb_selection_of_process(const struct tb_process *p, struct tb_selection *ret)
{
    static const char *const none[] = {NULL};
    char root[TB_PROCESS_ROOT], exe[PATH_MAX];
    size_t count = 0;
    const char **args = tb_process_arguments(p->pid, &count);
    const struct tb_selection_sources sources = {tb_process_root(p, root), p->select_file, p->include, p->exclude};
    snprintf(exe, sizeof exe, "%s", p->exe);
    char *mark = strstr(exe, " (deleted)");
    if (mark && !mark[10])
        *mark = 0;
    const struct tb_select_program program = {p->executed_name[0] ? p->executed_name : NULL, exe,
                                              args ? args : (const char *const *)none, count};
    tb_selection_ask(&sources, &program, ret);
    free(args);
}

void tb_selection_file(const char *file, struct tb_selection_file *ret)
{
    char text[TB_SELECT_FILE_MAX + 1], why[256] = "";
    const struct tb_selection_sources sources = {.file = file};
    struct tb_select_cursor cursor = {0};
    struct tb_select_rule rule;
    int got;

    *ret = (struct tb_selection_file){.todo = TODO_FILE};
    snprintf(ret->path, sizeof ret->path, "%s", path_of(&sources));
    size_t len = read_file(ret->path, or_empty(file)[0] != 0, text, &ret->exists, why, sizeof why);
    struct tb_select_text rules = {TB_SELECT_FILE, tb_bytes(text, len)};
    while ((got = tb_select_next(&rules, &cursor, &rule)) > 0)
        if (!rule.is_keep_code)
            rule.is_exclude ? ret->excludes++ : ret->includes++;
    if (why[0])
        snprintf(ret->why, sizeof ret->why, "%.200s: %s", ret->path, why);
    else if (got < 0)
        snprintf(ret->why, sizeof ret->why, "%.200s: line %u is no rule (%.*s)", ret->path, rule.number,
                 rule.text.len < 100 ? (int)rule.text.len : 100, rule.text.ptr);
}

int tb_selection_join(char *list, const char *item, const char **ret_why)
{
    char escaped[2 * TB_SELECT_LIST_MAX + 2];
    size_t used = strlen(list), len = 0;
    struct tb_select_cursor cursor = {0};
    struct tb_select_rule rule;

    *ret_why = "the list is too long";
    for (const char *c = item; *c; c++) {
        if (len + 2 > TB_SELECT_LIST_MAX)
            return -1;
        if (*c == '\\' && c[1])
            escaped[len++] = *c++;
        else if (*c == ':')
            escaped[len++] = '\\';
        escaped[len++] = *c;
    }
    struct tb_select_text text = {TB_SELECT_EXCLUDES, tb_bytes(escaped, len)};
    *ret_why = "it is no glob of a program or arg=GLOB";
    if (tb_select_next(&text, &cursor, &rule) != 1)
        return -1;
    *ret_why = "the list is too long";
    if (used + (used != 0) + len > TB_SELECT_LIST_MAX)
        return -1;
    if (used)
        list[used++] = ':';
    memcpy(list + used, escaped, len);
    list[used + len] = 0;
    return 0;
}
