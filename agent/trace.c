/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state machine over the bytes of a header section, which looks at no more of a line than its first bytes unless it
 * is one of four. Formats: https://www.w3.org/TR/trace-context/ (traceparent),
 * https://github.com/openzipkin/b3-propagation.
 */
#include "trace.h"
#include "scan.h"

enum { LINE_START, NAME, VALUE, SKIP, OVER };
/* By rank: what is found in a later one counts. */
enum { B3_SAMPLED = 1, B3_TRACE_ID = 2, B3 = 4, TRACEPARENT = 8, ALL = 15 };

static const char *const names[] = {"x-b3-sampled:", "x-b3-traceid:", "b3:", "traceparent:"};

/* Hex digits at @p, at most @max of them, as a number of 128 bits. Returns how many there are. */
static size_t read_hex(const uint8_t *p, size_t len, size_t max, uint64_t ret[2])
{
    uint64_t high = 0, low = 0;
    size_t i = 0;
    for (; i < len && i < max; i++) {
        uint8_t digit = tb_hex(p[i]);
        if (digit > 15)
            break;
        high = high << 4 | low >> 60;
        low = low << 4 | digit;
    }
    ret[0] = high;
    ret[1] = low;
    return i;
}

/* 16 digits, or 32, not all of them 0. Returns how many; 0: no identifier. */
static size_t read_id(const uint8_t *p, size_t len, uint64_t ret[2])
{
    size_t digits = read_hex(p, len, 33, ret);
    return (digits == 16 || digits == 32) && (ret[0] | ret[1]) ? digits : 0;
}

/* Bit 5 is what letters in lower case and digits have, and capitals have not; eight bytes at a time. */
static bool has_capitals(const uint8_t *p, size_t len)
{
    uint64_t all = UINT64_MAX;
    for (size_t i = 0; i + 8 <= len; i += 8)
        all &= tb_read64(p + i);
    all &= tb_read64(p + len - 8);
    return (all & UINT64_C(0x2020202020202020)) != UINT64_C(0x2020202020202020);
}

/* version "-" trace-id "-" parent-id "-" flags; a version above 00 may go on behind another "-". */
static bool read_traceparent(const uint8_t *p, size_t len, uint64_t ret[2], bool *ret_is_sampled)
{
    uint64_t version[2], parent[2], flags[2];
    if (len < 55 || p[2] != '-' || p[35] != '-' || p[52] != '-' || has_capitals(p, 55) ||
        read_hex(p, 2, 2, version) != 2 || read_id(p + 3, 32, ret) != 32 || read_id(p + 36, 16, parent) != 16 ||
        read_hex(p + 53, 2, 2, flags) != 2)
        return false;
    if (version[1] == 0xff || (len > 55 && (version[1] == 0 || p[55] != '-')))
        return false;
    *ret_is_sampled = flags[1] & 1;
    return true;
}

/* trace-id "-" span-id, then perhaps "-" sampling and "-" the parent's; or only the sampling. */
static bool read_b3(const uint8_t *p, size_t len, uint64_t ret[2], bool *ret_is_sampled)
{
    uint64_t span[2];
    *ret_is_sampled = true; /* undecided is left to the server, which then does sample */
    if (len == 1) {
        *ret_is_sampled = false;
        return *p == '0';
    }
    size_t at = read_id(p, len, ret);
    if (!at || len < at + 17 || p[at] != '-' || read_hex(p + at + 1, 16, 16, span) != 16)
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
    while (len && (t->text[len - 1] == ' ' || t->text[len - 1] == '\t' || t->text[len - 1] == '\r'))
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
    c = tb_lower(c);
    for (uint32_t i = 0; t->names >> i; i++)
        if (t->names >> i & 1 && (uint8_t)names[i][t->len] == c)
            keep |= (uint8_t)(1u << i);
    t->names = keep;
    t->len++;
    if (keep && c == ':') {
        t->state = VALUE;
        t->len = 0;
    } else if (!keep) {
        t->state = c == '\n' ? LINE_START : SKIP;
    }
}

/* Bytes of a value, up to the end of its line or of the range. Returns where it goes on. */
static const uint8_t *value_bytes(struct tb_trace *t, const uint8_t *p, const uint8_t *end)
{
    const uint8_t *lf = tb_find_lf(p, end);
    while (!t->len && p < lf && (*p == ' ' || *p == '\t'))
        p++;
    size_t room = TB_TRACE_VALUE - t->len, len = (size_t)(lf - p);
    len = len < room ? len : room;
    tb_copy(t->text + t->len, p, len);
    t->len = (uint8_t)(t->len + len);
    if (lf == end)
        return end;
    end_of_value(t);
    t->state = LINE_START;
    return lf + 1;
}

static bool may_begin_name(uint8_t c)
{
    c |= 0x20;
    return c == 't' || c == 'x' || c == 'b';
}

void tb_trace_feed(struct tb_trace *t, struct tb_bytes in)
{
    const uint8_t *p = in.ptr, *end = p + in.len;
    while (p < end && t->state != OVER) {
        if (t->state == LINE_START) {
            t->names = ALL;
            t->len = 0;
            if (*p == '\r' || *p == '\n')
                t->state = OVER; /* the empty line: what follows is no header */
            else
                t->state = may_begin_name(*p) ? NAME : SKIP;
        } else if (t->state == SKIP) {
            p = tb_find_lf(p, end);
            if (p < end)
                p++, t->state = LINE_START;
        } else if (t->state == VALUE) {
            p = value_bytes(t, p, end);
        } else {
            name_byte(t, *p++);
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
