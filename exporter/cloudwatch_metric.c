/* SPDX-License-Identifier: Apache-2.0 */
/* Names, units and values as CloudWatch has them (cloudwatch_metric.h). Limits: the PutMetricData API reference. */
#include "cloudwatch_metric.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const char *const units[] = {
    "Seconds",          "Microseconds",     "Milliseconds", "Bytes",           "Kilobytes",        "Megabytes",
    "Gigabytes",        "Terabytes",        "Bits",         "Kilobits",        "Megabits",         "Gigabits",
    "Terabits",         "Percent",          "Count",        "Bytes/Second",    "Kilobytes/Second", "Megabytes/Second",
    "Gigabytes/Second", "Terabytes/Second", "Bits/Second",  "Kilobits/Second", "Megabits/Second",  "Gigabits/Second",
    "Terabits/Second",  "Count/Second",     "None"};

/* --- names -----------------------------------------------------------------------------------------------------------
 */

static bool ends_with(const char *text, size_t len, const char *tail)
{
    size_t tail_len = strlen(tail);
    return len > tail_len && memcmp(text + len - tail_len, tail, tail_len) == 0;
}

/* snake_case to CamelCase, at most @space - 1 letters. */
static void camel_case(char *to, size_t space, const char *from, size_t len)
{
    bool is_start = true;
    size_t used = 0;
    for (size_t i = 0; i < len && used + 1 < space; i++) {
        bool is_letter = isalnum((unsigned char)from[i]);
        if (is_letter)
            to[used++] = (char)(is_start ? toupper((unsigned char)from[i]) : (unsigned char)from[i]);
        is_start = !is_letter;
    }
    to[used] = 0;
}

static void default_name(const struct tb_point *p, char *to, size_t space)
{
    char tail[80];
    size_t len = strlen(p->family);
    if (ends_with(p->family, len, "_total"))
        len -= strlen("_total");
    snprintf(tail, sizeof tail, "_%s", p->unit);
    if (*p->unit && ends_with(p->family, len, tail))
        len -= strlen(tail);
    camel_case(to, space, p->family, len);
    if (!*to)
        snprintf(to, space, "Metric");
}

static const char *default_unit(const struct tb_point *p)
{
    static const struct {
        const char *served, *unit;
    } known[] = {{"seconds", "Seconds"}, {"milliseconds", "Milliseconds"}, {"ms", "Milliseconds"}, {"bytes", "Bytes"}};
    for (size_t i = 0; i < COUNT(known); i++)
        if (strcmp(p->unit, known[i].served) == 0)
            return known[i].unit;
    return p->type == TB_METRIC_COUNTER ? "Count" : "None";
}

/* Durations change with their unit; what other units mean is the user's. */
static double scale_of(const char *from, const char *to)
{
    static const struct {
        const char *unit;
        double in_a_second;
    } times[] = {{"Seconds", 1}, {"Milliseconds", 1e3}, {"Microseconds", 1e6}};
    double old = 0, new = 0;
    for (size_t i = 0; i < COUNT(times); i++) {
        old = strcmp(from, times[i].unit) == 0 ? times[i].in_a_second : old;
        new = strcmp(to, times[i].unit) == 0 ? times[i].in_a_second : new;
    }
    return old > 0 && new > 0 ? new / old : 1;
}

void tb_cloudwatch_metric(const struct tb_point *p, struct tb_cloudwatch_metric *ret)
{
    const char *own = default_unit(p);
    if (p->rule->name)
        snprintf(ret->name, sizeof ret->name, "%s", p->rule->name);
    else
        default_name(p, ret->name, sizeof ret->name);
    ret->unit = p->rule->unit ? p->rule->unit : own;
    ret->scale = scale_of(own, ret->unit);
}

void tb_cloudwatch_put_dimension_name(struct tb_buffer *b, const char *name)
{
    char camel[TB_CLOUDWATCH_NAME_MAX + 1];
    bool is_snake = islower((unsigned char)*name);
    camel_case(camel, sizeof camel, name, strlen(name));
    tb_cloudwatch_put_text(b, is_snake ? camel : name, TB_CLOUDWATCH_NAME_MAX);
}

bool tb_cloudwatch_put_text(struct tb_buffer *b, const char *text, size_t max)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t used = 0;
    bool is_blank = text[strspn(text, " ")] == 0;
    for (const char *p = is_blank ? "-" : text; *p; p++) {
        const unsigned char c = (unsigned char)*p;
        bool is_plain = c >= 0x20 && c < 0x7f, is_quoted = c == '"' || c == '\\';
        if (used + (is_plain ? 1 : 3) > max)
            return true;
        if (is_quoted)
            tb_put(b, "\\", 1);
        char escape[] = {'%', hex[c >> 4], hex[c & 15]};
        tb_put(b, is_plain ? p : escape, is_plain ? 1 : 3);
        used += is_plain ? 1 : 3;
    }
    return false;
}

void tb_cloudwatch_put_number(struct tb_buffer *b, double n)
{
    char text[32];
    if (n >= 0 && n < 9e15 && n == floor(n)) {
        tb_put_u64(b, (uint64_t)n);
        return;
    }
    tb_put(b, text, (size_t)snprintf(text, sizeof text, "%.12g", n));
}

/* --- values ----------------------------------------------------------------------------------------------------------
 */

size_t tb_cloudwatch_values(const struct tb_point *p, struct tb_cloudwatch_value *ret)
{
    double sum = tb_point_real(p, p->sum), low = 0, high = 0, above, most;
    size_t count = 0;
    for (uint32_t i = 0; i < p->cell_count; i++) {
        tb_point_cell_bounds(p, p->cells[i].index, &above, &most);
        low += above * (double)p->cells[i].count;
        high += most * (double)p->cells[i].count;
    }
    high += tb_point_zero_bound(p) * (double)p->zero_count;
    /* how far into its cell each value lies, so that they add up to the sum */
    double part = high > low ? (sum - low) / (high - low) : 0;
    part = part < 0 ? 0 : part > 1 ? 1 : part;
    if (p->zero_count)
        ret[count++] = (struct tb_cloudwatch_value){part * tb_point_zero_bound(p), p->zero_count};
    for (uint32_t i = 0; i < p->cell_count; i++) {
        tb_point_cell_bounds(p, p->cells[i].index, &above, &most);
        ret[count++] = (struct tb_cloudwatch_value){above + part * (most - above), p->cells[i].count};
    }
    if (count && p->cell_count && sum > high) /* above all bounds: the last cell has no upper one */
        ret[count - 1].value += (sum - high) / (double)ret[count - 1].count;
    return count;
}

/* --- settings --------------------------------------------------------------------------------------------------------
 */

static bool is_ascii_name(const char *name, size_t max)
{
    bool is_good = *name && *name != ':' && strlen(name) <= max && name[strspn(name, " ")];
    for (; is_good && *name; name++)
        is_good = (unsigned char)*name >= 0x20 && (unsigned char)*name < 0x7f;
    return is_good;
}

static char *check_unit(const char *unit)
{
    for (size_t i = 0; i < COUNT(units); i++)
        if (strcmp(units[i], unit) == 0)
            return NULL;
    return tb_format(
        "unit: \"%s\" is no unit of CloudWatch: write one like Count, Seconds, Milliseconds, Bytes, Percent "
        "or None",
        unit);
}

static char *check_sets(const struct tb_push_set *sets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < sets[i].dimensions.count; k++) {
            const struct tb_push_pair *d = &sets[i].dimensions.items[k];
            if (*d->name && !is_ascii_name(d->name, TB_CLOUDWATCH_NAME_MAX))
                return tb_format("dimensions: \"%s\" is no name: up to 255 ASCII letters, not beginning with ':'",
                                 d->name);
        }
    return NULL;
}

char *tb_cloudwatch_check(const struct tb_push_output_config *c)
{
    const char *namespace = c->texts[TB_PUSH_NAMESPACE];
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_/#: ";
    char *wrong = check_sets(c->sets, c->set_count);
    if (namespace && (!is_ascii_name(namespace, 255) || namespace[strspn(namespace, letters)]))
        return tb_format(
            "namespace: \"%s\" is none: up to 255 of letters, digits and . - _ / #, not beginning with ':'", namespace);
    if (namespace && strncmp(namespace, "AWS/", 4) == 0)
        return tb_format("namespace: \"%s\": names that begin with AWS/ are Amazon's own: choose another", namespace);
    for (size_t i = 0; !wrong && i < c->rule_count; i++) {
        const struct tb_push_rule *rule = &c->rules[i];
        wrong = rule->unit ? check_unit(rule->unit) : NULL;
        if (!wrong && rule->name && !is_ascii_name(rule->name, TB_CLOUDWATCH_NAME_MAX))
            wrong = tb_format("name: \"%s\" is no name: up to 255 ASCII letters, not beginning with ':'", rule->name);
        if (!wrong)
            wrong = check_sets(rule->sets, rule->set_count);
    }
    return wrong;
}
