/* SPDX-License-Identifier: Apache-2.0 */
/* Prometheus' escaping schemes (escape.h); the rules are those of its model package's EscapeName. */
#include "escape.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

const char *tb_escaping_name(enum tb_escaping escaping)
{
    static const char *const names[TB_ESCAPE_COUNT] = {"allow-utf-8", "underscores", "dots", "values"};
    return names[escaping];
}

static bool is_of_identifier(unsigned char c, bool is_first, bool has_colon)
{
    return c == '_' || (c == ':' && has_colon) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9' && !is_first);
}

bool tb_is_identifier(const char *name, size_t len, bool has_colon)
{
    for (size_t i = 0; i < len; i++)
        if (!is_of_identifier((unsigned char)name[i], i == 0, has_colon))
            return false;
    return len != 0;
}

/* The code point at @p, of valid UTF-8; *ret_len: its bytes. */
static uint32_t code_point(const unsigned char *p, size_t *ret_len)
{
    const size_t len = *p < 0x80 ? 1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;
    uint32_t code = len == 1 ? *p : *p & (0x7fu >> len);
    for (size_t i = 1; i < len; i++)
        code = code << 6 | (p[i] & 0x3f);
    *ret_len = len;
    return code;
}

static char *put(char *to, const char *text)
{
    return stpcpy(to, text);
}

/* One character that may not stand as it is. */
static char *put_odd(char *to, uint32_t code, enum tb_escaping escaping)
{
    if (escaping == TB_ESCAPE_UNDERSCORES)
        return put(to, "_");
    if (escaping == TB_ESCAPE_DOTS)
        return put(to, code == '.' ? "_dot_" : "__");
    return to + snprintf(to, sizeof "_10ffff_", "_%x_", code);
}

char *tb_escape_name(char *to, const char *name, size_t len, enum tb_escaping escaping, bool is_label)
{
    if (escaping == TB_ESCAPE_NONE || (escaping != TB_ESCAPE_DOTS && tb_is_identifier(name, len, !is_label)))
        return mempcpy(to, name, len);
    if (escaping == TB_ESCAPE_VALUES)
        to = put(to, "U__");
    size_t bytes;
    for (size_t i = 0; i < len; i += bytes) {
        uint32_t code = code_point((const unsigned char *)name + i, &bytes);
        if (code == '_' && escaping != TB_ESCAPE_UNDERSCORES)
            to = put(to, "__");
        else if (code < 0x80 && is_of_identifier((unsigned char)code, i == 0, !is_label))
            *to++ = (char)code;
        else
            to = put_odd(to, code, escaping);
    }
    return to;
}

/* A name without its quotes, if it has any. */
static const char *bare(const char *name, size_t *len)
{
    if (!*len || *name != '"')
        return name;
    *len -= 2;
    return name + 1;
}

/* Behind the value, and a comma, that begin with the quote at @p. */
static const char *behind_value(const char *p, const char *end)
{
    for (p++; *p != '"'; p++)
        p += *p == '\\';
    return p + 1 < end ? p + 2 : p + 1;
}

char *tb_escape_labels(char *to, const char *text, size_t len, enum tb_escaping escaping)
{
    const char *end = text + len;
    if (escaping == TB_ESCAPE_NONE)
        return len ? mempcpy(to, text, len) : to;
    while (text < end) {
        const char *equals = memchr(text, '=', (size_t)(end - text));
        size_t name_len = (size_t)(equals - text);
        const char *name = bare(text, &name_len);
        to = tb_escape_name(to, name, name_len, escaping, true);
        text = behind_value(equals + 1, end);
        to = mempcpy(to, equals, (size_t)(text - equals));
    }
    return to;
}

bool tb_escape_meet(const char *a, const char *b, bool is_label)
{
    size_t a_len = strlen(a), b_len = strlen(b);
    a = bare(a, &a_len);
    b = bare(b, &b_len);
    for (enum tb_escaping i = TB_ESCAPE_NONE; i < TB_ESCAPE_COUNT; i++) {
        char left[TB_ESCAPED_MEET], right[TB_ESCAPED_MEET];
        size_t left_len = (size_t)(tb_escape_name(left, a, a_len, i, is_label) - left);
        size_t right_len = (size_t)(tb_escape_name(right, b, b_len, i, is_label) - right);
        if (left_len == right_len && memcmp(left, right, left_len) == 0)
            return true;
    }
    return false;
}
