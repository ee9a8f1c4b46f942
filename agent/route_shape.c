/* SPDX-License-Identifier: Apache-2.0 */
/* What a path's shape does not see at a glance (route_shape.h), byte by byte. Pure. */
#include "route_shape.h"

#define LONG_SHAPE UINT64_C(0x6c6f6e672d736861) /* tells these hashes from those of whole paths */

static bool is_digit(uint8_t c)
{
    return (uint8_t)(c - '0') < 10;
}

/* The same answer as tb_segment_scan has for segments of this length: a value by form, hexadecimal. */
static bool is_hex_value(const uint8_t *p, size_t len)
{
    unsigned digits = 0;
    bool uuid = len == 36 && p[8] == '-';
    for (size_t i = 0; i < len; i++) {
        bool dash = uuid && (i == 8 || i == 13 || i == 18 || i == 23);
        if (dash ? p[i] != '-' : !is_digit(p[i]) && (uint8_t)((p[i] | 0x20) - 'a') > 5)
            return false;
        digits += is_digit(p[i]);
    }
    return uuid || digits >= 2;
}

/* A path that is too long for the masks: a segment at a time. The first one is a value for nobody: it may be a version.
 */
static uint64_t long_shape(const struct tb_core *core, const struct tb_route_head *head, struct tb_bytes path)
{
    uint64_t h = tb_load_acquire(&core->route_seed) ^ tb_load_relaxed(&head->epoch) ^ LONG_SHAPE;
    bool found = false;
    for (size_t at = 0; at < path.len;) {
        const uint8_t *p = path.ptr + ++at; /* behind the slash */
        struct tb_segment_met m = tb_segment_meet(p, path.len - at);
        bool is_value = at > 1 && m.len && (m.number || (m.len >= TB_SHAPE_HEX && is_hex_value(p, m.len)));
        h = tb_route_mix(tb_route_mix(h, is_value ? LONG_SHAPE : m.sum), is_value ? 0 : m.len + 1);
        found = found || is_value;
        at += m.len;
    }
    return found ? tb_route_mix_last(h, path.ptr[0]) : 0;
}

uint64_t tb_shape_plain(const struct tb_core *core, const struct tb_route_head *head, struct tb_bytes path)
{
    if (path.len >= TB_SHAPE_MAX)
        return long_shape(core, head, path);
    if (path.len <= TB_SHAPE_HEX)
        return 0;
    uint8_t plain[TB_SHAPE_MAX];
    bool found = false;
    struct tb_shape shape = tb_shape_look(path.ptr, path.len);
    uint64_t edges = shape.slash | UINT64_C(1) << path.len, values;
    for (; edges & (edges - 1); edges &= edges - 1) {
        unsigned from = (unsigned)__builtin_ctzll(edges) + 1, to = (unsigned)__builtin_ctzll(edges & (edges - 1));
        if (to - from < TB_SHAPE_HEX || to < from || !is_hex_value(path.ptr + from, to - from))
            continue;
        if (!found)
            tb_copy(plain, path.ptr, path.len);
        found = true;
        for (unsigned i = from; i < to; i++)
            plain[i] = '0';
    }
    if (!found)
        return 0;
    shape = tb_shape_look(plain, path.len);
    if (!tb_shape_values(&shape, path.len, &values) || !values)
        return 0;
    return tb_shape_hash(core, head, tb_bytes(plain, path.len), &shape, values);
}
