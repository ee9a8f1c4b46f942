/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading JSON for a few values (json_pick.h), included once per instruction set. Two ways take turns: pass_over()
 * (json_pass_impl.h), or pass_short() (json_short_impl.h) before it, walks 64 bytes a step; the states below read a
 * byte a step: a name that was cut or has escapes, what follows a wanted name, the value.
 *
 * TB_JSON_FEED names the function.
 */
#include "decimal.h"
#include "json_short_impl.h"

/* ---- byte by byte ---- */

/* Some value is known: its path goes no further, and with the last one the text is over. */
static void settle(struct tb_json_pick *j, const struct tb_pick_set *set)
{
    j->live &= (uint8_t)~j->picks.found;
    if (tb_pick_is_complete(&j->picks, set) && j->state != BROKEN)
        j->state = OVER;
}

/* Half a surrogate pair is no text. */
static void drop_half(struct tb_json_pick *j)
{
    j->picks.is_bad |= j->high != 0;
    j->high = 0;
}

/* The last digit of \u was read. */
static int32_t code_unit(struct tb_json_pick *j, uint16_t unit)
{
    j->escape = 0;
    if (j->high && unit >> 10 == 0x37) {
        int32_t code = 0x10000 + ((j->high & 0x3ff) << 10 | (unit & 0x3ff));
        j->high = 0;
        return DECODED + code;
    }
    drop_half(j);
    if (unit >> 10 == 0x36) {
        j->high = unit;
        return MORE;
    }
    if (unit >> 10 == 0x37) {
        j->picks.is_bad = true;
        return MORE;
    }
    return DECODED + unit;
}

/* One byte of a string (RFC 8259 section 7). */
static int32_t string_byte(struct tb_json_pick *j, uint8_t c)
{
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";

    if (j->escape >= FIRST_DIGIT) {
        uint8_t digit = tb_hex(c);
        if (digit > 15)
            return WRONG;
        uint16_t unit = (uint16_t)(j->unit << 4 | digit);
        j->unit = unit;
        return ++j->escape == FIRST_DIGIT + 4 ? code_unit(j, unit) : MORE;
    }
    if (j->escape == BACKSLASH) {
        j->unit = 0;
        j->escape = c == 'u' ? FIRST_DIGIT : 0;
        if (c == 'u')
            return MORE;
        drop_half(j);
        for (uint32_t i = 0; names[i]; i++)
            if (c == (uint8_t)names[i])
                return DECODED + meanings[i];
        return WRONG;
    }
    if (c == '\\') {
        j->escape = BACKSLASH;
        return MORE;
    }
    drop_half(j);
    return c == '"' ? QUOTE : c;
}

/* The bytes that @got, a byte or DECODED, stands for. */
static struct tb_bytes bytes_of(int32_t got, uint8_t to[4])
{
    if (got >= DECODED)
        return tb_bytes(to, tb_utf8_write(to, (uint32_t)(got - DECODED)));
    to[0] = (uint8_t)got;
    return tb_bytes(to, 1);
}

/* The paths in pending whose name does not go on with @b are out. */
static void compare_name(struct tb_json_pick *j, const struct tb_pick_set *set, struct tb_bytes b)
{
    for (uint32_t left = j->pending; left; left &= left - 1) {
        uint32_t i = (uint32_t)__builtin_ctz(left);
        const uint8_t *step = step_of(j, set, i);
        if (*step < j->key_at + b.len || !tb_equal(step + 1 + j->key_at, b.ptr, b.len))
            j->pending &= (uint8_t) ~(1u << i);
    }
    j->key_at = (uint8_t)(j->key_at + b.len);
}

static void end_of_name(struct tb_json_pick *j, const struct tb_pick_set *set)
{
    for (uint32_t left = j->pending; left; left &= left - 1)
        if (*step_of(j, set, (uint32_t)__builtin_ctz(left)) != j->key_at)
            j->pending &= (uint8_t) ~(left & -left);
    j->state = j->pending ? COLON : OUT;
}

static const uint8_t *name_bytes(struct tb_json_pick *j, const struct tb_pick_set *set, const uint8_t *p,
                                 const uint8_t *end)
{
    while (p < end && j->state == KEY) {
        uint8_t utf8[4];
        int32_t got = string_byte(j, *p++);
        if (j->picks.is_bad)
            j->pending = 0;
        j->picks.is_bad = false;
        if (got == QUOTE) {
            end_of_name(j, set);
        } else if (got == WRONG) {
            j->state = BROKEN;
        } else if (got != MORE) {
            compare_name(j, set, bytes_of(got, utf8));
            if (!j->pending)
                j->state = PASSED;
        }
    }
    return p;
}

static size_t plain_len(const uint8_t *p, const uint8_t *end)
{
    if (end - p >= (ptrdiff_t)TB_SCAN_BLOCK) {
        struct block b = block_load(p);
        uint64_t other =
            block_equal(b, block_byte('"')) | block_equal(b, block_byte('\\')) | block_below_or_odd(b, ' ');
        return other ? (size_t)__builtin_ctzll(other) : TB_SCAN_BLOCK;
    }
    const uint8_t *from = p;
    while (p < end && *p >= ' ' && *p != '"' && *p != '\\')
        p++;
    return (size_t)(p - from);
}

/* The plain beginning of a string's rest. Returns where something else stands. */
static const uint8_t *plain_text(struct tb_json_pick *j, const struct tb_pick_set *set, const uint8_t *p,
                                 const uint8_t *end)
{
    size_t len;
    do {
        len = plain_len(p, end);
        if (len)
            tb_pick_add(&j->picks, set, tb_bytes(p, len));
        p += len;
    } while (len == TB_SCAN_BLOCK);
    return p;
}

static const uint8_t *text_bytes(struct tb_json_pick *j, const struct tb_pick_set *set, const uint8_t *p,
                                 const uint8_t *end)
{
    if (!j->escape && !j->high)
        p = plain_text(j, set, p, end);
    while (p < end && j->state == STRING) {
        uint8_t utf8[4];
        bool is_control = *p < 0x20 && !j->escape;
        int32_t got = is_control ? WRONG : string_byte(j, *p);
        p++;
        if (got == WRONG) {
            tb_pick_drop(&j->picks);
            j->state = BROKEN;
        } else if (got == QUOTE) {
            tb_pick_end(&j->picks, set, TB_PICK_STRING);
            j->state = OUT;
            settle(j, set);
        } else if (got != MORE) {
            tb_pick_add(&j->picks, set, bytes_of(got, utf8));
        }
    }
    return p;
}

/* A number, true, false or null is complete: which? TB_PICK_NONE: neither. */
static enum tb_pick_kind scalar_kind(struct tb_bytes text)
{
    if (text.len > TB_PICK_TEXT)
        return TB_PICK_NUMBER;
    if (text.len == 4 && tb_equal(text.ptr, "true", 4))
        return TB_PICK_TRUE;
    if (text.len == 5 && tb_equal(text.ptr, "false", 5))
        return TB_PICK_FALSE;
    if (text.len == 4 && tb_equal(text.ptr, "null", 4))
        return TB_PICK_NULL;
    return tb_decimal_is_json(text) ? TB_PICK_NUMBER : TB_PICK_NONE;
}

static const uint8_t *scalar_bytes(struct tb_json_pick *j, const struct tb_pick_set *set, const uint8_t *p,
                                   const uint8_t *end)
{
    const uint8_t *from = p;

    while (p < end && !is_blank(*p) && *p != ',' && *p != '}' && *p != ']')
        p++;
    tb_pick_add(&j->picks, set, tb_bytes(from, (size_t)(p - from)));
    if (p == end)
        return p;
    enum tb_pick_kind kind = scalar_kind(tb_pick_opened(&j->picks));
    j->state = OUT;
    if (kind == TB_PICK_NONE) {
        tb_pick_drop(&j->picks);
        j->state = BROKEN;
        return p;
    }
    if (kind == TB_PICK_NULL) {
        tb_pick_mark(&j->picks, j->picks.open, kind);
        tb_pick_drop(&j->picks);
    } else {
        tb_pick_end(&j->picks, set, kind);
    }
    settle(j, set);
    return p;
}

/* The first byte of the value of the paths in pending. */
static const uint8_t *value_start(struct tb_json_pick *j, const struct tb_pick_set *set, const uint8_t *p)
{
    uint8_t c = *p, ends = 0;

    if (c == '{' || c == '[') {
        enter(j, set, c == '[');
        settle(j, set);
        return p + 1;
    }
    for (uint32_t left = j->pending; left; left &= left - 1)
        if (is_last_step(j, set, (uint32_t)__builtin_ctz(left)))
            ends |= (uint8_t)(left & -left);
    j->pending = 0;
    if (c == ']' && is_in_array(j)) { /* it has no elements */
        j->state = OUT;
        return p;
    }
    bool is_string = c == '"';
    if (ends)
        tb_pick_begin(&j->picks, set, ends);
    j->state = is_string ? (ends ? STRING : PASSED) : (ends ? SCALAR : OUT);
    return p + is_string;
}

/* Behind a wanted string. It was a name if a colon follows. */
static const uint8_t *colon(struct tb_json_pick *j, const uint8_t *p)
{
    bool is_name = *p == ':';
    j->pending = is_name ? j->pending : 0;
    j->state = is_name ? VALUE : OUT;
    return p + is_name;
}

/* The first byte. No path leads to a text that is a single value. */
static const uint8_t *start(struct tb_json_pick *j, const struct tb_pick_set *set, const uint8_t *p)
{
    uint8_t c = *p;
    bool is_value = c == '"' || c == '-' || (uint8_t)(c - '0') < 10 || c == 't' || c == 'f' || c == 'n';

    j->pending = (uint8_t)((1u << set->count) - 1);
    if (c == '{' || c == '[')
        enter(j, set, c == '[');
    else
        j->state = is_value ? OVER : BROKEN;
    return p + 1;
}

static inline bool is_passing(const struct tb_json_pick *j)
{
    return j->state == OUT || j->state == PASSED;
}

enum tb_parse TB_JSON_FEED(struct tb_json_pick *j, const struct tb_pick_set *set, struct tb_bytes in)
{
    const uint8_t *p = in.ptr, *end = p + in.len;

    if (j->state == START && (p = skip_blanks(p, end)) < end)
        p = start(j, set, p);
    while (p < end && j->state < OVER) { /* in the order in which states most often follow */
        if (is_passing(j) && is_short(j, set, p, end))
            p = pass_short(j, set, p, end);
        if (is_passing(j) && p < end)
            p = pass_over(j, set, in.ptr, p, end);
        if (j->state == KEY)
            p = name_bytes(j, set, p, end);
        if (j->state == COLON && (p = skip_blanks(p, end)) < end)
            p = colon(j, p);
        if (j->state == VALUE && (p = skip_blanks(p, end)) < end)
            p = value_start(j, set, p);
        if (j->state == STRING)
            p = text_bytes(j, set, p, end);
        if (j->state == SCALAR)
            p = scalar_bytes(j, set, p, end);
    }
    return j->state == BROKEN ? TB_PARSE_BAD : j->state == OVER ? TB_PARSE_OK : TB_PARSE_PARTIAL;
}
