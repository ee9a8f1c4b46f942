/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state machine over the bytes of a header section, which looks at no more of a line than its first bytes unless it
 * is one of four. Formats: https://www.w3.org/TR/trace-context/ (traceparent),
 * https://github.com/openzipkin/b3-propagation.
 */
#include "trace.h"

enum { LINE_START, NAME, VALUE, SKIP, OVER };
/* By rank: what is found in a later one counts. */
enum { B3_SAMPLED = 1, B3_TRACE_ID = 2, B3 = 4, TRACEPARENT = 8, ALL = 15 };

static const char *const names[] = {"x-b3-sampled:", "x-b3-traceid:", "b3:", "traceparent:"};

/* @digits hex digits at @p as a number. False: they are not. */
static bool read_hex(const uint8_t *p, size_t digits, uint64_t *ret)
{
    uint64_t v = 0;
    for (size_t i = 0; i < digits; i++) {
        uint8_t digit = tb_hex(p[i]);
        if (digit > 15)
            return false;
        v = v << 4 | digit;
    }
    *ret = v;
    return true;
}

/* 16 digits, or 32. Returns how many; 0: no identifier. */
static size_t read_id(const uint8_t *p, size_t len, uint64_t ret[2])
{
    size_t digits = 0;
    while (digits < len && tb_hex(p[digits]) < 16)
        digits++;
    ret[0] = 0;
    if (digits != 16 && digits != 32)
        return 0;
    if (!read_hex(p + digits - 16, 16, &ret[1]) || (digits == 32 && !read_hex(p, 16, &ret[0])))
        return 0;
    return ret[0] | ret[1] ? digits : 0;
}

static bool has_capitals(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((uint8_t)(p[i] - 'A') < 26)
            return true;
    return false;
}

/* version "-" trace-id "-" parent-id "-" flags; a version above 00 may go on behind another "-". */
static bool read_traceparent(const uint8_t *p, size_t len, uint64_t ret[2], bool *ret_is_sampled)
{
    uint64_t version, parent, flags;
    if (len < 55 || p[2] != '-' || p[35] != '-' || p[52] != '-' || has_capitals(p, 55) || !read_hex(p, 2, &version) ||
        !read_hex(p + 36, 16, &parent) || !read_hex(p + 53, 2, &flags) || read_id(p + 3, 32, ret) != 32)
        return false;
    if (version == 0xff || !parent || (len > 55 && (version == 0 || p[55] != '-')))
        return false;
    *ret_is_sampled = flags & 1;
    return true;
}

/* trace-id "-" span-id, then perhaps "-" sampling and "-" the parent's; or only the sampling. */
static bool read_b3(const uint8_t *p, size_t len, uint64_t ret[2], bool *ret_is_sampled)
{
    uint64_t span;
    *ret_is_sampled = true; /* undecided is left to the server, which then does sample */
    if (len == 1) {
        *ret_is_sampled = false;
        return *p == '0';
    }
    size_t at = read_id(p, len, ret);
    if (!at || len < at + 17 || p[at] != '-' || !read_hex(p + at + 1, 16, &span))
        return false;
    at += 17;
    if (len > at) {
        if (p[at] != '-' || len < at + 2 || (len > at + 2 && p[at + 2] != '-'))
            return false;
        *ret_is_sampled = p[at + 1] != '0';
    }
    return true;
}

static void end_of_value(struct tb_trace *t)
{
    uint64_t id[2] = {0, 0};
    bool is_sampled = true, is_good = false;
    uint8_t header = t->names;
    size_t len = t->len;
    while (len && (t->text[len - 1] == ' ' || t->text[len - 1] == '\t'))
        len--;
    if (header == TRACEPARENT)
        is_good = read_traceparent(t->text, len, id, &is_sampled);
    else if (header == B3)
        is_good = read_b3(t->text, len, id, &is_sampled);
    else if (header == B3_TRACE_ID)
        is_good = read_id(t->text, len, id) == len;
    else if (len == 1 && t->text[0] == '0' && t->from <= B3_TRACE_ID)
        t->is_denied = true;
    if (!is_good || header < t->from)
        return;
    /* the same header twice says nothing certain */
    t->is_denied = header == t->from || !is_sampled || (header == B3_TRACE_ID && t->is_denied);
    t->from = header;
    t->id[0] = id[0];
    t->id[1] = id[1];
}

/* One byte of a name: which candidates still fit. */
static void name_byte(struct tb_trace *t, uint8_t c)
{
    uint8_t keep = 0;
    for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (t->names >> i & 1 && (uint8_t)names[i][t->len] == tb_lower(c))
            keep |= (uint8_t)(1u << i);
    t->names = keep;
    t->len++;
    t->state = NAME;
    if (keep && c == ':') {
        t->state = VALUE;
        t->len = 0;
    } else if (!keep) {
        t->state = c == '\n' ? LINE_START : SKIP;
    }
}

void tb_trace_feed(struct tb_trace *t, struct tb_bytes in)
{
    for (size_t i = 0; i < in.len; i++) {
        uint8_t c = in.ptr[i];
        if (t->state == OVER)
            return;
        if (t->state == SKIP) {
            while (i < in.len && in.ptr[i] != '\n')
                i++;
            t->state = i < in.len ? LINE_START : SKIP;
        } else if (t->state == VALUE) {
            if (c == '\r' || c == '\n') {
                end_of_value(t);
                t->state = c == '\n' ? LINE_START : SKIP;
            } else if (t->len < TB_TRACE_VALUE && (t->len || (c != ' ' && c != '\t'))) {
                t->text[t->len++] = c;
            }
        } else if (t->state == LINE_START && (c == '\r' || c == '\n')) {
            t->state = OVER; /* the empty line: what follows is no header */
        } else {
            if (t->state == LINE_START) {
                t->names = ALL;
                t->len = 0;
            }
            name_byte(t, c);
        }
    }
}

void tb_trace_id(struct tb_trace *t, uint64_t ret[2])
{
    if (t->state == VALUE)
        end_of_value(t); /* the section ended in the middle of the line */
    t->state = OVER;
    ret[0] = t->is_denied ? 0 : t->id[0];
    ret[1] = t->is_denied ? 0 : t->id[1];
}
