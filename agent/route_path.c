/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Normalisation of request paths (RFC 3986, section 6.2.2) and their cut into segments. Pure; hostile bytes; linear in
 * the length of the path; nothing is written but the result. Entry points: tb_route_split,
 * tb_route_cut.
 */
#include "route_path.h"

/* Percent-decode into the path's buffer. When it is full or an escape is broken, what cannot be decoded stays. */
static struct tb_bytes decode(struct tb_route_path *p, struct tb_bytes t)
{
    size_t i = 0;
    while (i < t.len && t.ptr[i] != '%')
        i++;
    if (i == t.len || t.len > TB_ROUTE_DECODED - p->decoded_len)
        return t;
    uint8_t *out = p->decoded + p->decoded_len;
    size_t n = 0;
    for (i = 0; i < t.len; n++) {
        uint8_t high = t.ptr[i] == '%' && i + 2 < t.len ? tb_hex(t.ptr[i + 1]) : 255;
        uint8_t low = high < 16 ? tb_hex(t.ptr[i + 2]) : 255;
        out[n] = low < 16 ? (uint8_t)(high << 4 | low) : t.ptr[i];
        i += low < 16 ? 3 : 1;
    }
    p->decoded_len += (uint32_t)n;
    return tb_bytes(out, n);
}

/* A segment as it stands between two slashes. Returns false when the path ends here (too deep). */
static bool add(struct tb_route_path *p, struct tb_bytes t)
{
    size_t n = 0;
    while (n < t.len && t.ptr[n] != ';')
        n++;
    if (n) /* a segment that is only parameters keeps them: there is no name to keep instead */
        t.len = n;
    t = decode(p, t);
    if (t.len == 0 || (t.len == 1 && t.ptr[0] == '.'))
        return true;
    if (t.len == 2 && t.ptr[0] == '.' && t.ptr[1] == '.') {
        p->count -= p->count > 0;
        return true;
    }
    if (p->count == TB_ROUTE_DEPTH - 1) {
        p->has_rest = true;
        return false;
    }
    p->segments[p->count++].text = t;
    return true;
}

static void scan(struct tb_segment *s)
{
    struct tb_bytes t = s->text;
    tb_segment_scan(t, s);
    if (t.len > TB_ROUTE_LITERAL_MAX && !s->is_value) {
        s->is_value = true;
        s->is_version = false;
        s->kind = s->digits ? TB_KIND_TOKEN : TB_KIND_NAME;
    }
}

void tb_route_split(struct tb_bytes path, bool is_cut, struct tb_route_path *ret)
{
    tb_route_cut(path, is_cut, ret);
    for (uint32_t i = 0; i < ret->count; i++)
        scan(&ret->segments[i]);
}

void tb_route_cut(struct tb_bytes path, bool is_cut, struct tb_route_path *ret)
{
    ret->count = ret->decoded_len = 0;
    ret->has_rest = false;
    size_t i = 0;
    while (i < path.len) {
        size_t from = i;
        while (i < path.len && path.ptr[i] != '/')
            i++;
        if (i == path.len && is_cut) { /* half a segment */
            ret->has_rest = true;
            return;
        }
        if (i > from && !add(ret, tb_bytes(path.ptr + from, i - from)))
            return;
        i++;
    }
    ret->has_rest = ret->has_rest || is_cut;
}
