/* SPDX-License-Identifier: Apache-2.0 */
/* What a path's shape does not see at a glance (route_shape.h), byte by byte. Pure. */
#include "route_shape.h"

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

uint64_t tb_shape_plain(const struct tb_core *core, const struct tb_route_head *head, struct tb_bytes path)
{
    if (path.len <= TB_SHAPE_HEX || path.len >= TB_SHAPE_MAX)
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
