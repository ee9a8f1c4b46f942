/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts of rules, and values that were found in an exchange. Other threads may be writing either, in a race that nobody
 * waits for: every place is checked where it is used.
 */
#include "exchange_caught.h"
#include "rules.h"

struct tb_bytes tb_custom_text(const struct tb_custom *c, uint32_t offset)
{
    const uint8_t *p = &c->text[offset < TB_CUSTOM_TEXTS ? offset : TB_CUSTOM_TEXTS];
    return tb_bytes(p + 1, *p);
}

bool tb_custom_fits(const struct tb_custom *c, uint32_t offset, uint32_t count, struct tb_bytes text, uint32_t *steps)
{
    for (uint32_t i = 0; i < count; i++) {
        struct tb_bytes glob = tb_custom_text(c, offset);
        if (tb_glob_within(glob, text, steps))
            return true;
        offset += 1 + (uint32_t)glob.len;
    }
    return false;
}

struct tb_bytes tb_custom_pick(const struct tb_picks *picks, uint32_t number)
{
    if (!picks || number >= TB_PICKS)
        return tb_bytes("", 0);
    uint32_t at = tb_load_relaxed(&picks->values[number].at), len = tb_load_relaxed(&picks->values[number].len);
    at = at < TB_PICK_POOL ? at : TB_PICK_POOL;
    len = len < TB_PICK_POOL - at ? len : TB_PICK_POOL - at;
    return tb_bytes(picks->text + at, len);
}

/* A host as it was asked for, without its port. */
static struct tb_bytes without_port(struct tb_bytes host)
{
    size_t i = host.len && host.ptr[0] == '[' ? 1 : 0;
    while (i < host.len && host.ptr[i] != (host.ptr[0] == '[' ? ']' : ':'))
        i++;
    host.len = host.len && host.ptr[0] == '[' && i < host.len ? i + 1 : i;
    return host;
}

/* What was found of a field: its picks and number in them. False: nothing, and why. */
static inline __attribute__((always_inline)) bool look_up(const struct tb_custom *c, const struct tb_capture *caught,
                                                          uint32_t field, const struct tb_picks **ret_picks,
                                                          uint32_t *ret_number, uint8_t *ret_why)
{
    static const uint8_t whys[] = {[TB_PICK_NULL] = TB_CUSTOM_WHY_MISSING,
                                   [TB_PICK_OBJECT] = TB_CUSTOM_WHY_TYPE,
                                   [TB_PICK_ARRAY] = TB_CUSTOM_WHY_TYPE,
                                   [TB_PICK_TOO_LONG] = TB_CUSTOM_WHY_TOO_LONG,
                                   [TB_PICK_NO_TEXT] = TB_CUSTOM_WHY_NOT_UTF8};
    *ret_why = 0;
    if (!caught || field >= TB_CUSTOM_FIELDS)
        return false;
    uint8_t set = tb_custom_set_of(c->field[field].place % TB_CUSTOM_PLACES);
    *ret_picks = tb_capture_picks(caught, set);
    *ret_number = c->pick[field] % TB_PICKS;
    uint8_t kind = *ret_picks ? tb_load_relaxed(&(*ret_picks)->values[*ret_number].kind) : TB_PICK_NONE;
    if (kind == TB_PICK_NONE)
        *ret_why = tb_capture_why(caught, set);
    else if (kind >= TB_PICK_NULL)
        *ret_why = kind < sizeof whys ? whys[kind] : TB_CUSTOM_WHY_TYPE;
    return kind != TB_PICK_NONE && kind < TB_PICK_NULL;
}

/* Control characters: nothing that is shown as it is. */
static bool has_controls(struct tb_bytes text)
{
    uint64_t found = 0;
    for (size_t i = 0; i < text.len; i += 8) {
        size_t n = text.len - i;
        uint64_t x = n < 8 ? tb_load_few(text.ptr + i, n) | TB_EACH_BYTE(' ') << 8 * n : tb_load_8(text.ptr + i);
        uint64_t delete = x ^ TB_EACH_BYTE(127);
        /* a borrow comes only from a byte that is one itself */
        found |= ((x - TB_EACH_BYTE(' ')) & ~x) | ((delete - TB_EACH_BYTE(1)) & ~delete);
    }
    return found & TB_EACH_BYTE(0x80);
}

bool tb_custom_value(const struct tb_custom *c, const struct tb_capture *caught, uint32_t field, struct tb_bytes *ret,
                     uint8_t *ret_why)
{
    const struct tb_picks *picks;
    uint32_t number;
    *ret = tb_bytes("", 0);
    if (!look_up(c, caught, field, &picks, &number, ret_why))
        return false;
    uint8_t kind = tb_load_relaxed(&picks->values[number].kind);
    *ret = kind == TB_PICK_TRUE    ? tb_bytes_str("true")
           : kind == TB_PICK_FALSE ? tb_bytes_str("false")
                                   : tb_custom_pick(picks, number);
    if (c->field[field].place == TB_CUSTOM_HOST)
        *ret = without_port(*ret);
    if (has_controls(*ret))
        *ret_why = TB_CUSTOM_WHY_NOT_UTF8;
    return !*ret_why;
}

bool tb_custom_hash(const struct tb_custom *c, const struct tb_capture *caught, uint32_t field, uint64_t *ret,
                    uint8_t *ret_why)
{
    const struct tb_picks *picks;
    uint32_t number;
    if (!look_up(c, caught, field, &picks, &number, ret_why))
        return false;
    struct tb_bytes hash = tb_custom_pick(picks, number);
    *ret = hash.len == sizeof *ret ? tb_read64(hash.ptr) : 0;
    return *ret != 0;
}
