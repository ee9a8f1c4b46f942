/* SPDX-License-Identifier: Apache-2.0 */
/* Forms and queries (form_pick.h): a state machine that decodes names and wanted values, and searches the '&' of
 * others. */
#include "form_pick.h"
#include "scan.h"

enum { START, NAME, VALUE, SKIP };

static void begin(struct tb_form_pick *f, const struct tb_pick_set *set)
{
    f->state = NAME;
    f->name_at = 0;
    f->pending = (uint8_t)((1u << set->count) - 1) & (uint8_t)~f->picks.found;
}

/* Names in pending that do not go on with @c are out. */
static void name_byte(struct tb_form_pick *f, const struct tb_pick_set *set, uint8_t c)
{
    for (uint32_t i = 0; f->pending >> i; i++)
        if (f->name_at >= set->len[i] || set->bytes[set->at[i] + f->name_at] != c)
            f->pending &= (uint8_t) ~(1u << i);
    f->name_at++;
    if (!f->pending)
        f->state = SKIP;
}

static void end_of_name(struct tb_form_pick *f, const struct tb_pick_set *set)
{
    for (uint32_t i = 0; f->pending >> i; i++)
        if (f->name_at != set->len[i])
            f->pending &= (uint8_t) ~(1u << i);
    f->state = f->pending ? VALUE : SKIP;
    if (f->pending)
        tb_pick_begin(&f->picks, set, f->pending);
}

/* A byte as it is decoded. */
static void decoded(struct tb_form_pick *f, const struct tb_pick_set *set, uint8_t c)
{
    if (f->state == NAME)
        name_byte(f, set, c);
    else if (f->state == VALUE)
        tb_pick_add(&f->picks, set, tb_bytes(&c, 1));
}

/* A '%' that no two digits followed stands for itself, and so does what followed. */
static void drop_escape(struct tb_form_pick *f, const struct tb_pick_set *set)
{
    uint8_t len = f->escape_len;
    f->escape_len = 0;
    for (uint8_t i = 0; i < len; i++)
        decoded(f, set, f->escape[i]);
}

static void pair_ends(struct tb_form_pick *f, const struct tb_pick_set *set)
{
    drop_escape(f, set);
    if (f->state == NAME && f->name_at)
        end_of_name(f, set);
    if (f->state == VALUE)
        tb_pick_end(&f->picks, set, TB_PICK_STRING);
    f->state = START;
}

static void byte(struct tb_form_pick *f, const struct tb_pick_set *set, uint8_t c)
{
    if (f->escape_len && tb_hex(c) <= 15) {
        if (f->escape_len == 2) {
            f->escape_len = 0;
            decoded(f, set, (uint8_t)(tb_hex(f->escape[1]) << 4 | tb_hex(c)));
        } else {
            f->escape[f->escape_len++] = c;
        }
        return;
    }
    drop_escape(f, set);
    if (c == '&') {
        pair_ends(f, set);
    } else if (c == '=' && f->state == NAME) {
        end_of_name(f, set);
    } else if (c == '%') {
        f->escape[0] = c;
        f->escape_len = 1;
    } else {
        decoded(f, set, c == '+' ? ' ' : c);
    }
}

enum tb_parse tb_form_feed(struct tb_form_pick *f, const struct tb_pick_set *set, struct tb_bytes in)
{
    const uint8_t *p = in.ptr, *end = p + in.len;

    while (p < end && !tb_pick_is_complete(&f->picks, set)) {
        if (f->state == START)
            begin(f, set);
        if (f->state == SKIP) {
            f->escape_len = 0;
            p = tb_find_byte(p, end, '&');
            if (p < end)
                f->state = START, p++;
        } else {
            byte(f, set, *p++);
        }
    }
    return tb_pick_is_complete(&f->picks, set) ? TB_PARSE_OK : TB_PARSE_PARTIAL;
}

void tb_form_end(struct tb_form_pick *f, const struct tb_pick_set *set)
{
    pair_ends(f, set);
}
