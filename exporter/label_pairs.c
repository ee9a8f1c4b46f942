/* SPDX-License-Identifier: Apache-2.0 */
/* From label text to LabelPair messages (label_pairs.h). */
#include "label_pairs.h"

#include <stdbool.h>
#include <string.h>

#include "varint.h"

struct piece {
    const char *text;
    size_t len;
};

struct label {
    struct piece name, value; /* the value escaped */
    size_t escapes;           /* backslashes in it that stand for nothing */
};

static bool is_after(const struct piece *a, const struct piece *b)
{
    if (*a->text != *b->text)
        return (unsigned char)*a->text > (unsigned char)*b->text;
    int order = memcmp(a->text, b->text, a->len < b->len ? a->len : b->len);
    return order > 0 || (order == 0 && a->len > b->len);
}

/* The value that begins at @at and ends before its closing quote. */
static void read_value(const char *at, struct label *l)
{
    const char *p = at;
    for (; *p != '"'; p++) {
        if (*p == '\\') {
            l->escapes++;
            p++;
        }
    }
    l->value = (struct piece){at, (size_t)(p - at)};
}

/* All labels, sorted by name. Texts are short: a loop takes less than calls to look for their ends. */
static size_t split(const char *at, const char *end, struct label *ret)
{
    size_t count = 0;
    while (at < end && count < TB_LABELS_MAX) {
        struct label l = {.name.text = at};
        while (*at != '=')
            at++;
        l.name.len = (size_t)(at - l.name.text);
        if (*l.name.text == '"') /* no identifier: the quotes are the text's */
            l.name = (struct piece){l.name.text + 1, l.name.len - 2};
        read_value(at + 2, &l);
        at = l.value.text + l.value.len + 2; /* the quote and a comma */
        size_t place = count++;
        for (; place > 0 && is_after(&ret[place - 1].name, &l.name); place--)
            ret[place] = ret[place - 1];
        ret[place] = l;
    }
    return count;
}

static char *put_value(char *to, const struct label *l)
{
    const char *from = l->value.text, *end = from + l->value.len;
    if (!l->escapes) {
        memcpy(to, from, l->value.len);
        return to + l->value.len;
    }
    for (; from < end; from++) {
        bool is_escaped = *from == '\\';
        from += is_escaped;
        char c = *from;
        if (is_escaped && c == 'n')
            c = '\n';
        *to++ = c;
    }
    return to;
}

char *tb_label_pairs(char *to, const char *text, size_t len)
{
    enum { LABEL = 1 << 3 | 2, NAME = 1 << 3 | 2, VALUE = 2 << 3 | 2 }; /* tags */
    struct label labels[TB_LABELS_MAX];
    if (!len)
        return to; /* no labels may have no place */
    size_t count = split(text, text + len, labels);
    for (size_t i = 0; i < count; i++) {
        const struct label *l = &labels[i];
        size_t value_len = l->value.len - l->escapes;
        size_t name_field = 1 + tb_varint_len(l->name.len) + l->name.len;
        *to++ = LABEL;
        to = tb_varint_write(to, name_field + 1 + tb_varint_len(value_len) + value_len);
        *to++ = NAME;
        to = tb_varint_write(to, l->name.len);
        memcpy(to, l->name.text, l->name.len);
        to += l->name.len;
        *to++ = VALUE;
        to = tb_varint_write(to, value_len);
        to = put_value(to, l);
    }
    return to;
}
