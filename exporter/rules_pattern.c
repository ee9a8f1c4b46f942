/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns of paths: literal segments, :name or {name} for one segment or a part of it, * for the rest. Both ways of
 * writing a parameter mean the same, so lines of an OpenAPI file and of a web framework can be pasted.
 */
#include "rules_pattern.h"

#include <ctype.h>
#include <string.h>

#include "agent/bytes.h"

static bool is_name_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* A part being built; texts are cut at their room, which tb_pattern_parse refuses before. */
struct builder {
    struct tb_pattern_part *part;
    size_t text_len, label_len;
    unsigned parameters;
};

static void put(char *to, size_t *len, char c)
{
    if (*len < 255)
        to[(*len)++] = c;
    to[*len] = 0;
}

static void put_literal(struct builder *b, char c)
{
    put(b->part->text, &b->text_len, c);
    put(b->part->label, &b->label_len, c);
}

/* {name}, {name:regular expression}, {name*}: the name is what stands before the first byte that no name has. */
static void put_parameter(struct builder *b, const char *name, size_t len)
{
    if (!b->text_len || b->part->text[b->text_len - 1] != '*')
        put(b->part->text, &b->text_len, '*');
    put(b->part->label, &b->label_len, ':');
    for (size_t i = 0; i < len && name[i] != ':' && name[i] != '*'; i++)
        if (is_name_byte(name[i]) || name[i] == '-' || name[i] == '.')
            put(b->part->label, &b->label_len, (char)(is_name_byte(name[i]) ? name[i] : '_'));
    b->parameters++;
}

/* Escapes of a path are decoded before it is matched: so are a pattern's. -1: no escape begins here. */
static int decode(const char *p, size_t left)
{
    if (left < 3 || *p != '%')
        return -1;
    uint8_t high = tb_hex((uint8_t)p[1]), low = tb_hex((uint8_t)p[2]);
    return high < 16 && low < 16 ? high << 4 | low : -1;
}

static const char *parse_part(const char *p, size_t len, struct tb_pattern_part *part)
{
    struct builder b = {.part = part};
    *part = (struct tb_pattern_part){.kind = TB_PART_LITERAL};
    for (size_t i = 0; i < len;) {
        size_t name = i + 1, end = name;
        if (p[i] == '{') {
            while (end < len && p[end] != '}')
                end++;
            if (end == len)
                return "a brace is not closed: write {name}";
            if (!is_name_byte(p[name]))
                return "a parameter has no name: write {name} or :name";
            put_parameter(&b, p + name, end - name);
            i = end + 1;
        } else if (p[i] == ':' && i == 0) {
            while (end < len && is_name_byte(p[end]))
                end++;
            if (end == name)
                return "a parameter has no name: write {name} or :name";
            put_parameter(&b, p + name, end - name);
            i = end;
        } else if (p[i] == '*' || p[i] == '?' || p[i] == '#' || p[i] == ';' || p[i] == '}') {
            return p[i] == '*' ? "a * may only be the whole last segment: name a parameter, such as :file.js"
                               : "it holds a byte that no path of a route has (one of ? # ; }): leave it out";
        } else if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f) {
            return "it holds a control character: leave it out";
        } else {
            int escaped = decode(p + i, len - i);
            if (escaped >= 0 && (escaped < 0x20 || escaped == 0x7f))
                return "it holds a control character: leave it out";
            put_literal(&b, (char)(escaped >= 0 ? escaped : p[i]));
            i += escaped >= 0 ? 3 : 1;
        }
    }
    if (b.parameters)
        part->kind = strcmp(part->text, "*") == 0 ? TB_PART_PARAMETER : TB_PART_GLOB;
    return NULL;
}

const char *tb_pattern_parse(const char *path, struct tb_pattern_parts *ret)
{
    *ret = (struct tb_pattern_parts){0};
    if (*path != '/')
        return "it does not begin with a slash: write /path/:parameter";
    for (const char *p = path; *p;) {
        size_t len = strcspn(++p, "/");
        if (!len) /* a slash at the end, or two of them */
            continue;
        if (ret->is_wild)
            return "something follows the *: a * may only be the whole last segment";
        if (len == 1 && *p == '*') {
            ret->is_wild = true;
            ret->label_len += sizeof "/:rest" - 1;
        } else if (ret->count == TB_RULES_DEPTH_MAX) {
            return "it has more than 19 segments: end it with /*";
        } else if (len > 255) {
            return "a segment has more than 255 bytes: write a parameter instead";
        } else {
            struct tb_pattern_part *part = &ret->parts[ret->count++];
            const char *why = parse_part(p, len, part);
            if (why)
                return why;
            ret->label_len += 1 + strlen(part->label) + (part->label[0] == ':' ? 2 : 0);
        }
        p += len;
    }
    if (ret->label_len > TB_RULES_LABEL_MAX)
        return "its route would be longer than 200 bytes: end it with /*, or give it a route: of its own";
    return NULL;
}
