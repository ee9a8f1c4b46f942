/* SPDX-License-Identifier: Apache-2.0 */
/* Names of custom series, read as hostile input (rules_ext.h). */
#include "rules_ext.h"

#include <stdlib.h>

#include "buffer.h"

size_t tb_ext_label(const char *p, const char **ret_end)
{
    size_t name = *p == '"' ? strcspn(p + 1, "=\"{}") + 2 : strcspn(p, "=\"{},");
    if (*p == '"' && p[name - 1] != '"')
        return 0;
    if (!name || p[name] != '=' || p[name + 1] != '"')
        return 0;
    const char *q = p + name + 2;
    for (; *q && *q != '"'; q++) {
        if (*q == '\n')
            return 0;
        if (*q == '\\' && *++q != '\\' && *q != '"')
            return 0;
    }
    if (*q != '"')
        return 0;
    *ret_end = q + 1;
    return name;
}

static int compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int d = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return d ? d : (a_len > b_len) - (a_len < b_len);
}

static bool is_label_name(const char *name, size_t len)
{
    char *text = tb_strndup(name, len);
    bool is_good = !tb_label_name_complaint(text, false);
    free(text);
    return is_good;
}

/* Labels from @p to the brace that ends them. NULL: they are not sound. */
static const char *read_labels(const char *p)
{
    const char *before = NULL, *end;
    size_t before_len = 0;
    while (*p != '}') {
        size_t len = tb_ext_label(p, &end);
        if (!len || !is_label_name(p, len) || (before && compare(before, before_len, p, len) >= 0))
            return NULL;
        before = p;
        before_len = len;
        p = end;
        if (*p == ',' && p[1] != '}')
            p++;
        else if (*p != '}')
            return NULL;
    }
    return p;
}

bool tb_ext_read(const char *text, struct tb_ext *ret)
{
    static const char shapes[] = {TB_EXT_COUNT, TB_EXT_SUM,       TB_EXT_BYTES,    TB_EXT_HISTOGRAM,
                                  TB_EXT_GAUGE, TB_EXT_IN_FLIGHT, TB_EXT_DISTINCT, 0},
                      own_shapes[] = {TB_EXT_COUNT, TB_EXT_SUM, TB_EXT_HISTOGRAM, TB_EXT_LAST, TB_EXT_OWN_GAUGE, 0};
    const bool is_own = *text >= 'A' && *text <= 'Z';
    if (!*text || !strchr(is_own ? own_shapes : shapes, tb_ext_shape(text)))
        return false;
    size_t len = strcspn(text + 1, "{");
    char *name = tb_strndup(text + 1, len);
    struct tb_metric m = tb_ext_metric(tb_ext_shape(text), name, "");
    bool is_good = !tb_metric_name_complaint(name, m.type);
    free(name);
    const char *end = is_good && text[1 + len] == '{' ? read_labels(text + len + 2) : NULL;
    if (!end || end[1])
        return false;
    *ret = (struct tb_ext){tb_ext_shape(text), is_own, text + 1, len, text + len + 2, (size_t)(end - text) - len - 2};
    return true;
}

uint8_t tb_ext_family(char shape)
{
    if (shape == TB_EXT_GAUGE || shape == TB_EXT_IN_FLIGHT || shape == TB_EXT_LAST)
        return TB_FAMILY_RULE_GAUGE;
    if (shape == TB_EXT_OWN_GAUGE)
        return TB_FAMILY_OWN_GAUGE;
    return shape == TB_EXT_DISTINCT ? TB_FAMILY_RULE_DISTINCT : TB_FAMILY_RULE;
}

/* Escaped, a name in quotes may be one of those that need none. */
static bool is_label(const char *label, size_t len, const char *name)
{
    char text[TB_ESCAPE_MEET + 1];
    if (*label != '"' && *name != '"')
        return len == strlen(name) && memcmp(label, name, len) == 0;
    if (len > TB_ESCAPE_MEET)
        return false;
    *(char *)mempcpy(text, label, len) = 0;
    return tb_escape_meet(text, name, true);
}

bool tb_ext_has_label(const char *labels, const char *name)
{
    const char *end;
    for (const char *p = labels; *p; p = end + (*end == ',')) {
        size_t here = tb_ext_label(p, &end);
        if (!here)
            return false;
        if (is_label(p, here, name))
            return true;
    }
    return false;
}

bool tb_ext_collide(const struct tb_metric *a, const struct tb_metric *b)
{
    if (!a->name || !b->name)
        return false;
    if (!tb_is_identifier(a->name, strlen(a->name), true) || !tb_is_identifier(b->name, strlen(b->name), true))
        return tb_names_collide(a, b);
    /* a sample's name is the family's but for its end */
    size_t i = 0;
    while (a->name[i] && a->name[i] == b->name[i])
        i++;
    bool is_near = strncmp(a->name + i, "_", 1) == 0 || strncmp(b->name + i, "_", 1) == 0 || !a->name[i] || !b->name[i];
    return (is_near || (i && a->name[i - 1] == '_')) && tb_names_collide(a, b);
}
