/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads flags and variables by the rows of agent/options.def. No option is named here: a new row is a new flag, with
 * its line in --help. Both `--flag=value` and `--flag value` are taken; a SWITCH alone means on.
 */
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"

#define NUMBER_MAX 1000000u

#define AGENT TB_SIDE_AGENT
#define RUN TB_SIDE_RUN
#define EXPORTER TB_SIDE_EXPORTER
#define COMMAND TB_SIDE_COMMAND
static const struct tb_option_row rows[TB_OPTION_COUNT] = {
#define OPTION(id, env, flag, type, default_value, help, side) {env, flag, default_value, help, TB_TYPE_##type, side},
#include "agent/options.def"
#undef OPTION
};

const struct tb_option_row *tb_option_row(enum tb_option id)
{
    return &rows[id];
}

bool tb_duration_parse(const char *text, uint64_t *ret_ns)
{
    static const struct {
        const char *unit;
        uint64_t ns;
    } units[] = {{"ms", 1000000},      {"s", 1000000000},         {"m", 60000000000},
                 {"h", 3600000000000}, {"d", 24 * 3600000000000}, {"", 0}};
    uint64_t sum = 0;
    if (strcmp(text, "0") == 0) {
        *ret_ns = 0;
        return true;
    }
    if (!*text)
        return false;
    while (*text) {
        char *end;
        if (*text < '0' || *text > '9')
            return false;
        unsigned long long n = strtoull(text, &end, 10);
        size_t u = 0, letters = strspn(end, "msdh");
        while (units[u].ns && (strlen(units[u].unit) != letters || strncmp(units[u].unit, end, letters) != 0))
            u++;
        if (!units[u].ns || n > INT64_MAX / units[u].ns || sum > INT64_MAX - n * units[u].ns)
            return false;
        sum += n * units[u].ns;
        text = end + letters;
    }
    *ret_ns = sum;
    return true;
}

static bool parse_switch(const char *text, bool *ret)
{
    *ret = strcmp(text, "1") == 0 || strcmp(text, "true") == 0 || strcmp(text, "on") == 0 || strcmp(text, "yes") == 0;
    return *ret || strcmp(text, "0") == 0 || strcmp(text, "false") == 0 || strcmp(text, "off") == 0 ||
           strcmp(text, "no") == 0;
}

static bool parse_number(const char *text, unsigned *ret)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    *ret = (unsigned)n;
    return *text >= '0' && *text <= '9' && !*end && n <= NUMBER_MAX;
}

/* Is @text one of the words behind "one of" in the help? */
static bool is_choice(const char *help, const char *text)
{
    const char *p = strstr(help, "one of ");
    size_t len = strlen(text);
    for (p = p ? p + 7 : ""; *p && len;) {
        size_t word = strcspn(p, ",. ");
        if (word == len && strncmp(p, text, len) == 0)
            return true;
        p += word;
        p += strspn(p, ",. ");
    }
    return false;
}

const char *tb_option_complaint(const struct tb_option_row *row, const char *text)
{
    uint64_t ns;
    bool is_on;
    unsigned n;
    switch (row->type) {
    case TB_TYPE_NUMBER:
        return parse_number(text, &n) ? NULL : "is no number from 0 to 1000000: give one";
    case TB_TYPE_DURATION:
        return tb_duration_parse(text, &ns) ? NULL : "is no duration: give one like 30s, 5m or 24h";
    case TB_TYPE_SWITCH:
        return parse_switch(text, &is_on) ? NULL : "is neither on nor off: give 1 or 0";
    case TB_TYPE_CHOICE:
        return is_choice(row->help, text) ? NULL : "is none of the words: see --help";
    case TB_TYPE_ADDRESS:
        return strrchr(text, ':') ? NULL : "is no address: give HOST:PORT, :PORT or [IPV6]:PORT";
    case TB_TYPE_LIST:
        return *text ? NULL : "is empty: leave it out or name something";
    default:
        return NULL;
    }
}

bool tb_option_is_list(const struct tb_option_row *row)
{
    return row->type == TB_TYPE_LIST || row->type == TB_TYPE_ADDRESS;
}

static void add_value(struct tb_options *o, enum tb_option id, const char *text, size_t len)
{
    size_t n = tb_option_is_list(&rows[id]) ? o->values[id].count : 0;
    if (n < o->values[id].count)
        free(o->values[id].items[n]);
    o->values[id].items = tb_realloc(o->values[id].items, (n + 1) * sizeof *o->values[id].items);
    o->values[id].items[n] = tb_strndup(text, len);
    o->values[id].count = n + 1;
}

static void clear_value(struct tb_options *o, enum tb_option id)
{
    for (size_t i = 0; i < o->values[id].count; i++)
        free(o->values[id].items[i]);
    o->values[id].count = 0;
}

static int take_variables(struct tb_options *o, unsigned side, char **ret_error)
{
    for (int id = 0; id < TB_OPTION_COUNT; id++) {
        const char *text = rows[id].sides & side && *rows[id].env ? getenv(rows[id].env) : NULL, *why;
        o->values[id].is_default = !text || !*text;
        if (o->values[id].is_default)
            text = rows[id].default_value;
        else if ((why = tb_option_complaint(&rows[id], text))) {
            *ret_error = tb_format("%s: \"%s\" %s", rows[id].env, text, why);
            return -EINVAL;
        }
        if (!tb_option_is_list(&rows[id])) {
            add_value(o, (enum tb_option)id, text, strlen(text));
            continue;
        }
        const char *separator = rows[id].type == TB_TYPE_LIST ? ":" : ",";
        while (*text) {
            size_t len = strcspn(text, separator);
            if (len)
                add_value(o, (enum tb_option)id, text, len);
            text += len + (text[len] != 0);
        }
    }
    return 0;
}

/* The row of `--flag` or `--flag=value`; -1 when there is none on this side. */
static int find_flag(const char *argument, unsigned side, const char **ret_value)
{
    for (int id = 0; id < TB_OPTION_COUNT; id++) {
        size_t len = strlen(rows[id].flag);
        if (!len || !(rows[id].sides & side) || strncmp(argument, rows[id].flag, len) != 0)
            continue;
        if (argument[len] && argument[len] != '=')
            continue;
        *ret_value = argument[len] ? argument + len + 1 : NULL;
        return id;
    }
    return -1;
}

static int take_flags(int argc, char *const *argv, unsigned side, struct tb_options *o, char **ret_error)
{
    bool is_given[TB_OPTION_COUNT] = {false};
    for (int i = 1; i < argc; i++) {
        const char *value = NULL, *why;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            o->wants_help = true;
            continue;
        }
        if (strcmp(argv[i], "--version") == 0) {
            o->wants_version = true;
            continue;
        }
        int id = find_flag(argv[i], side, &value);
        if (id < 0) {
            *ret_error = argv[i][0] == '-' ? tb_format("%s: unknown flag: see --help", argv[i])
                                           : tb_format("%s: no argument is expected: flags only, see --help", argv[i]);
            return -EINVAL;
        }
        if (!value && rows[id].type == TB_TYPE_SWITCH)
            value = "1";
        else if (!value && i + 1 < argc)
            value = argv[++i];
        if (!value) {
            *ret_error = tb_format("%s: needs a value: see --help", rows[id].flag);
            return -EINVAL;
        }
        if ((why = tb_option_complaint(&rows[id], value))) {
            *ret_error = tb_format("%s: \"%s\" %s", rows[id].flag, value, why);
            return -EINVAL;
        }
        if (!is_given[id])
            clear_value(o, (enum tb_option)id); /* of the variable */
        is_given[id] = true;
        o->values[id].is_default = false;
        add_value(o, (enum tb_option)id, value, strlen(value));
    }
    return 0;
}

int tb_options_parse(int argc, char *const *argv, enum tb_side side, struct tb_options *ret, char **ret_error)
{
    *ret = (struct tb_options){0};
    int r = take_flags(argc, argv, side, ret, ret_error);
    bool wants_help = ret->wants_help, wants_version = ret->wants_version;
    if (r < 0)
        return r;
    /* Twice, since flags come after variables but a wrong flag is told first. */
    tb_options_free(ret);
    *ret = (struct tb_options){.wants_help = wants_help, .wants_version = wants_version};
    if (wants_help || wants_version)
        return 0;
    r = take_variables(ret, side, ret_error);
    return r < 0 ? r : take_flags(argc, argv, side, ret, ret_error);
}

void tb_options_file(struct tb_options *o, enum tb_option id, char *const *items, size_t count)
{
    if (!o->values[id].is_default && !o->values[id].is_of_file)
        return;
    clear_value(o, id);
    o->values[id].is_default = !count;
    o->values[id].is_of_file = count != 0;
    if (!count)
        add_value(o, id, rows[id].default_value, strlen(rows[id].default_value));
    for (size_t i = 0; i < count; i++)
        add_value(o, id, items[i], strlen(items[i]));
}

void tb_options_free(struct tb_options *o)
{
    for (int id = 0; id < TB_OPTION_COUNT; id++) {
        clear_value(o, (enum tb_option)id);
        free(o->values[id].items);
    }
    *o = (struct tb_options){0};
}

char *tb_options_usage(enum tb_side side)
{
    struct tb_buffer b = {0};
    for (int id = 0; id < TB_OPTION_COUNT; id++) {
        if (!(rows[id].sides & side) || !*rows[id].flag)
            continue;
        char *line = tb_format("  %-24s %s", rows[id].flag, rows[id].help);
        tb_puts(&b, line);
        free(line);
        bool is_switch = rows[id].type == TB_TYPE_SWITCH,
             is_off = is_switch && strcmp(rows[id].default_value, "0") == 0;
        if (*rows[id].default_value && !is_off) {
            tb_puts(&b, " Default: ");
            tb_puts(&b, is_switch ? "on" : rows[id].default_value);
            tb_puts(&b, ".");
        }
        if (*rows[id].env) {
            tb_puts(&b, " [");
            tb_puts(&b, rows[id].env);
            tb_puts(&b, "]");
        }
        tb_puts(&b, "\n");
    }
    return tb_buffer_text(&b);
}

const char *tb_option_text(const struct tb_options *o, enum tb_option id)
{
    return o->values[id].count ? o->values[id].items[0] : "";
}

bool tb_option_is_on(const struct tb_options *o, enum tb_option id)
{
    bool is_on = false;
    parse_switch(tb_option_text(o, id), &is_on);
    return is_on;
}

uint64_t tb_option_ns(const struct tb_options *o, enum tb_option id)
{
    uint64_t ns = 0;
    tb_duration_parse(tb_option_text(o, id), &ns);
    return ns;
}

unsigned tb_option_number(const struct tb_options *o, enum tb_option id)
{
    unsigned n = 0;
    parse_number(tb_option_text(o, id), &n);
    return n;
}
