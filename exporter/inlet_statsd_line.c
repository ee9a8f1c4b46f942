/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of StatsD (inlet_statsd_line.h). */
#include "inlet_statsd_line.h"

#include <math.h>
#include <string.h>

#include "agent/pick.h"
#include "inlet_text.h"

#define RATE_LEAST 1e-6

/* @name as Prometheus has names, with @end behind it if it does not end so. False: it is too long, or empty. */
static bool make_name(const char *name, const char *end, char ret[TB_NAME_MAX + 1])
{
    const size_t digit = *name >= '0' && *name <= '9';
    size_t len = strlen(name), tail = strlen(end);
    if (!len || digit + len + tail > TB_NAME_MAX)
        return false;
    *ret = '_';
    for (size_t i = 0; i < len; i++)
        ret[digit + i] = (char)(tb_is_identifier((char[]){'_', name[i]}, 2, true) ? name[i] : '_');
    len += digit;
    if (len < tail || memcmp(ret + len - tail, end, tail) != 0) {
        memcpy(ret + len, end, tail);
        len += tail;
    }
    ret[len] = 0;
    return true;
}

static bool read_type(const char *word, struct tb_statsd_line *ret, const char **ret_end)
{
    static const struct {
        const char *word, *end;
        enum tb_statsd_type type;
    } types[] = {{"c", "_total", TB_STATSD_COUNTER},  {"g", "", TB_STATSD_GAUGE},
                 {"ms", "_seconds", TB_STATSD_TIMER}, {"h", "", TB_STATSD_HISTOGRAM},
                 {"d", "", TB_STATSD_HISTOGRAM},      {"s", "", TB_STATSD_SET}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].word, word) == 0) {
            ret->type = types[i].type;
            *ret_end = types[i].end;
            return true;
        }
    return false;
}

/* `tag:value,tag`: a tag without a value is "true". Names are made such; of two alike the first counts. */
static char *read_tags(char *text, enum tb_inlet_reason *ret_reason)
{
    const char *names[TB_INLET_LABELS_MAX], *values[TB_INLET_LABELS_MAX];
    size_t count = 0;
    char *tag;
    while ((tag = strsep(&text, ","))) {
        if (!*tag)
            continue;
        *ret_reason = TB_INLET_LIMIT;
        if (count == TB_INLET_LABELS_MAX)
            return NULL;
        char *value = strchr(tag, ':');
        if (value)
            *value++ = 0;
        for (char *c = tag; *c; c++)
            if (!tb_is_identifier((char[]){'_', *c}, 2, false) || (c == tag && *c >= '0' && *c <= '9'))
                *c = '_';
        size_t same = 0;
        while (same < count && strcmp(names[same], tag) != 0)
            same++;
        if (same < count)
            continue;
        names[count] = tag;
        values[count++] = value ? value : "true";
    }
    return tb_inlet_labels(names, values, count, ret_reason);
}

/* What stands behind the type: a rate, tags; of a container, a time and what is to come nothing is taken. */
static bool read_rest(char *rest, struct tb_statsd_line *ret, char **ret_tags)
{
    char *part;
    while ((part = strsep(&rest, "|"))) {
        if (*part == '#')
            *ret_tags = part + 1;
        else if (*part == '@' && (!tb_inlet_real(part + 1, &ret->rate) || !(ret->rate >= RATE_LEAST && ret->rate <= 1)))
            return false;
    }
    return true;
}

bool tb_statsd_read(char *line, struct tb_statsd_line *ret, enum tb_inlet_reason *ret_reason)
{
    static char none[] = "";
    char *values = strchr(line, ':'), *type = values ? strchr(values, '|') : NULL, *tags = none;
    const char *end;
    *ret_reason = TB_INLET_SYNTAX;
    if (!type || !tb_utf8_is_valid(tb_bytes_str(line)))
        return false;
    *values++ = 0;
    *type++ = 0;
    char *rest = strchr(type, '|');
    if (rest)
        *rest++ = 0;
    *ret = (struct tb_statsd_line){.rate = 1, .values = values};
    *ret_reason = TB_INLET_TYPE;
    if (!read_type(type, ret, &end))
        return false;
    *ret_reason = TB_INLET_NAME;
    if (!make_name(line, end, ret->name))
        return false;
    *ret_reason = TB_INLET_VALUE;
    if (!read_rest(rest, ret, &tags))
        return false;
    ret->labels = read_tags(tags, ret_reason);
    return ret->labels != NULL;
}

char *tb_statsd_value(struct tb_statsd_line *l)
{
    return strsep(&l->values, ":");
}
