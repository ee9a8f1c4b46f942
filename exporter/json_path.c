/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles paths into JSON (json_path.h). */
#include "json_path.h"

struct path {
    const uint8_t *p, *end;
    uint8_t *to;
    size_t len, steps;
};

static const char *too_long(void)
{
    return "a path has at most 8 steps, a name at most 62 bytes";
}

static const char *add_step(struct path *s, uint8_t kind, const uint8_t *bytes, size_t len)
{
    if (++s->steps > TB_JSON_STEPS || s->len + 1 + len > TB_JSON_PATH_MAX)
        return too_long();
    s->to[s->len++] = kind;
    tb_copy(s->to + s->len, bytes, len);
    s->len += len;
    return NULL;
}

static const char *add_name(struct path *s, const uint8_t *name, size_t len)
{
    if (len > TB_JSON_KEY)
        return too_long();
    if (!tb_utf8_is_valid(tb_bytes(name, len)))
        return "a name is not UTF-8";
    return add_step(s, (uint8_t)len, name, len);
}

static const char *plain_name(struct path *s)
{
    const uint8_t *from = s->p;
    while (s->p < s->end && *s->p != '.' && *s->p != '[') {
        if (*s->p < ' ' || *s->p == ']' || *s->p == '"')
            return "a name with such a character stands in brackets and quotes: [\"...\"]";
        s->p++;
    }
    return s->p == from ? "a name is expected" : add_name(s, from, (size_t)(s->p - from));
}

static const char *quoted_name(struct path *s)
{
    uint8_t name[TB_JSON_KEY];
    size_t len = 0;
    for (s->p++; s->p < s->end && *s->p != '"'; s->p++) {
        if (*s->p == '\\' && (++s->p == s->end || (*s->p != '"' && *s->p != '\\')))
            return "behind a backslash stands a quote or another backslash";
        if (*s->p < ' ')
            return "a name has no control characters";
        if (len == sizeof(name))
            return too_long();
        name[len++] = *s->p;
    }
    if (s->p == s->end)
        return "the quote is not closed";
    s->p++;
    return add_name(s, name, len);
}

static const char *number(struct path *s)
{
    const uint8_t *from = s->p;
    uint32_t value = 0;
    for (; s->p < s->end && (uint8_t)(*s->p - '0') < 10; s->p++) {
        value = value * 10 + (uint32_t)(*s->p - '0');
        if (value >= UINT16_MAX)
            return "an element's number is at most 65534";
    }
    if (s->p == from)
        return "a number or a name in quotes is expected";
    return add_step(s, TB_JSON_INDEX, (const uint8_t[]){(uint8_t)value, (uint8_t)(value >> 8)}, 2);
}

static const char *bracket(struct path *s)
{
    s->p++;
    const char *wrong = s->p < s->end && *s->p == '"' ? quoted_name(s) : number(s);
    if (wrong)
        return wrong;
    if (s->p == s->end || *s->p != ']')
        return "']' is expected";
    s->p++;
    return NULL;
}

const char *tb_json_path_compile(struct tb_bytes text, uint8_t *ret_path, size_t *ret_len, size_t *ret_at)
{
    struct path s = {text.ptr, text.ptr + text.len, ret_path, 0, 0};
    const char *wrong = text.len ? NULL : "the path is empty";

    while (!wrong && s.p < s.end) {
        if (*s.p == '[') {
            wrong = bracket(&s);
        } else if (s.steps && *s.p != '.') {
            wrong = "'.' or '[' is expected";
        } else {
            s.p += s.steps > 0;
            wrong = plain_name(&s);
        }
    }
    *ret_at = (size_t)(s.p - text.ptr);
    if (!wrong)
        *ret_len = s.len;
    return wrong;
}
