/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of the text format, one after the other (inlet_text.h); what they add up to is inlet_lines.c's. */
#include "inlet_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/pick.h"
#include "inlet_lines.h"

#define BLANKS " \t"

bool tb_inlet_real(const char *text, double *ret)
{
    const bool has_sign = *text == '+' || *text == '-';
    const char *word = text + has_sign;
    char *end;
    if (strcasecmp(word, "inf") == 0)
        *ret = *text == '-' ? -HUGE_VAL : HUGE_VAL;
    else if (strcasecmp(text, "nan") == 0)
        *ret = NAN;
    else if (!*text || text[strspn(text, "0123456789+-.eE")])
        return false;
    else {
        *ret = strtod(text, &end);
        return !*end && !isinf(*ret);
    }
    return true;
}

/* A line being read; it is terminated, and pieces of it are terminated as they are found. */
struct line {
    char *at;
    const char *names[TB_INLET_LABELS_MAX + 1], *values[TB_INLET_LABELS_MAX + 1]; /* one more: le */
    size_t count;
};

static void skip_blanks(struct line *l)
{
    l->at += strspn(l->at, BLANKS);
}

/* What is at hand up to one of @ends, which is put into *ret_end and overwritten. */
static char *take(struct line *l, const char *ends, char *ret_end)
{
    char *start = l->at;
    l->at += strcspn(start, ends);
    *ret_end = *l->at;
    if (*l->at)
        *l->at++ = 0;
    return start;
}

/* A value between quotes, in place. NULL: it does not end, or has an escape that is none. */
static char *take_quoted(struct line *l)
{
    char *start = ++l->at, *to = start;
    for (; *l->at != '"'; l->at++) {
        char c = *l->at;
        if (c == '\\') {
            c = *++l->at;
            if (c != '\\' && c != '"' && c != 'n')
                return NULL;
            if (c == 'n')
                c = '\n';
        }
        if (!c)
            return NULL;
        *to++ = c;
    }
    l->at++;
    *to = 0;
    return start;
}

/* Behind the opening brace. */
static bool take_labels(struct line *l, enum tb_inlet_reason *ret_reason)
{
    char end;
    for (skip_blanks(l); *l->at != '}'; skip_blanks(l)) {
        *ret_reason = TB_INLET_SYNTAX;
        char *name = take(l, "=" BLANKS, &end);
        skip_blanks(l);
        if (end != '=' && *l->at++ != '=')
            return false;
        skip_blanks(l);
        if (*l->at != '"')
            return false;
        char *value = take_quoted(l);
        if (!value)
            return false;
        *ret_reason = TB_INLET_LIMIT;
        if (l->count == TB_INLET_LABELS_MAX + 1)
            return false;
        l->names[l->count] = name;
        l->values[l->count++] = value;
        *ret_reason = TB_INLET_SYNTAX;
        skip_blanks(l);
        if (*l->at == ',')
            l->at++;
        else if (*l->at != '}')
            return false;
    }
    l->at++;
    return true;
}

/* `name{labels} value`; the name is the caller's already. */
static bool read_sample(struct tb_inlet_lines *lines, struct line *l, const char *name, bool has_labels,
                        enum tb_inlet_reason *ret_reason)
{
    char end;
    double value;
    *ret_reason = TB_INLET_NAME;
    if (!tb_inlet_is_name(name) || (has_labels && !take_labels(l, ret_reason)))
        return false;
    skip_blanks(l);
    const char *number = take(l, BLANKS, &end);
    skip_blanks(l);
    *ret_reason = *number ? TB_INLET_VALUE : TB_INLET_SYNTAX;
    if (!tb_inlet_real(number, &value))
        return false;
    *ret_reason = TB_INLET_TIMESTAMP;
    return !*l->at && tb_inlet_lines_sample(lines, name, l->names, l->values, l->count, value, ret_reason);
}

static bool read_type(struct tb_inlet_lines *lines, struct line *l, const char *name, enum tb_inlet_reason *ret_reason)
{
    static const struct {
        const char *word;
        enum tb_metric_type type;
    } types[] = {{"counter", TB_METRIC_COUNTER},
                 {"gauge", TB_METRIC_GAUGE},
                 {"summary", TB_METRIC_SUMMARY},
                 {"histogram", TB_METRIC_HISTOGRAM},
                 {"untyped", TB_METRIC_GAUGE}};
    char end;
    const char *word = take(l, BLANKS, &end);
    skip_blanks(l);
    *ret_reason = *l->at ? TB_INLET_SYNTAX : TB_INLET_TYPE;
    for (size_t i = 0; i < sizeof types / sizeof *types && !*l->at; i++)
        if (strcmp(word, types[i].word) == 0)
            return tb_inlet_lines_type(lines, name, types[i].type, ret_reason);
    return false;
}

/* HELP has backslashes and line feeds escaped; unlike in values, nothing else is special. */
static void unescape_help(char *text)
{
    char *to = text;
    for (; *text; text++)
        if (*text == '\\' && (text[1] == '\\' || text[1] == 'n'))
            *to++ = *++text == 'n' ? '\n' : '\\';
        else
            *to++ = *text;
    *to = 0;
}

static bool read_comment(struct tb_inlet_lines *lines, struct line *l, enum tb_inlet_reason *ret_reason)
{
    char end;
    skip_blanks(l);
    const char *what = take(l, BLANKS, &end);
    const bool is_help = strcmp(what, "HELP") == 0;
    if (!is_help && strcmp(what, "TYPE") != 0)
        return true;
    skip_blanks(l);
    const char *name = take(l, BLANKS, &end);
    skip_blanks(l);
    *ret_reason = TB_INLET_NAME;
    if (!tb_inlet_is_name(name))
        return false;
    if (!is_help)
        return read_type(lines, l, name, ret_reason);
    unescape_help(l->at);
    return tb_inlet_lines_help(lines, name, l->at, ret_reason);
}

static bool read_line(struct tb_inlet_lines *lines, char *text, enum tb_inlet_reason *ret_reason)
{
    struct line l = {.at = text};
    skip_blanks(&l);
    if (!*l.at)
        return true;
    if (*l.at == '#') {
        l.at++;
        return read_comment(lines, &l, ret_reason);
    }
    char end;
    const char *name = take(&l, BLANKS "{", &end);
    bool has_labels = end == '{';
    skip_blanks(&l);
    if (!has_labels && *l.at == '{') {
        has_labels = true;
        l.at++;
    }
    return read_sample(lines, &l, name, has_labels, ret_reason);
}

/* The next line of @len bytes into @copy, terminated. Returns what it takes; 0: it is none, *ret_reason. */
static size_t copy_line(const char *text, size_t len, char copy[TB_INLET_LINE_MAX], enum tb_inlet_reason *ret_reason)
{
    const char *end = memchr(text, '\n', len);
    *ret_reason = TB_INLET_INCOMPLETE; /* somebody is writing it */
    if (!end)
        return 0;
    const size_t line = (size_t)(end - text);
    *ret_reason = TB_INLET_LIMIT;
    if (line >= TB_INLET_LINE_MAX)
        return 0;
    *ret_reason = TB_INLET_SYNTAX;
    if (memchr(text, 0, line) || !tb_utf8_is_valid(tb_bytes(text, line)))
        return 0;
    memcpy(copy, text, line);
    copy[line] = 0;
    return line + 1;
}

bool tb_inlet_text(const char *text, size_t len, struct tb_inlet_set *ret, size_t *ret_lines,
                   struct tb_inlet_fault *ret_fault)
{
    struct tb_inlet_lines lines = {.set = ret};
    char *copy = tb_alloc(TB_INLET_LINE_MAX);
    bool is_good = true;
    *ret_fault = (struct tb_inlet_fault){0};
    for (size_t at = 0, more; at < len && is_good; at += more) {
        ret_fault->line = ++lines.line;
        more = copy_line(text + at, len - at, copy, &ret_fault->reason);
        is_good = more && read_line(&lines, copy, &ret_fault->reason);
    }
    is_good = is_good && tb_inlet_lines_finish(&lines, ret_fault);
    *ret_lines = lines.count;
    free(copy);
    tb_inlet_lines_free(&lines);
    if (!is_good)
        tb_inlet_set_free(ret);
    return is_good;
}
