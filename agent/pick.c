/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values on their way into a pool of text (pick.h). The value being read lies at the end of what is used; it stays
 * there when it turns out to be a text, and gives its place back otherwise.
 */
#include "pick.h"

bool tb_pick_set_add(struct tb_pick_set *set, struct tb_bytes item, bool is_hashed)
{
    if (set->count == TB_PICKS || item.len > UINT8_MAX || item.len > TB_PICK_BYTES - set->used)
        return false;
    tb_copy(set->bytes + set->used, item.ptr, item.len);
    set->at[set->count] = set->used;
    set->len[set->count] = (uint8_t)item.len;
    set->used = (uint16_t)(set->used + item.len);
    set->hashed |= (uint8_t)(is_hashed << set->count++);
    return true;
}

uint64_t tb_pick_hash(const struct tb_picks *p, const struct tb_pick_set *set, uint32_t i)
{
    return (set->hashed >> i & 1) && p->values[i].len == 8 ? tb_read64(p->text + p->values[i].at) : 0;
}

void tb_pick_begin(struct tb_picks *p, const struct tb_pick_set *set, uint8_t which)
{
    tb_pick_drop(p);
    p->open = which;
    if (which & set->hashed)
        tb_siphash_begin(&p->hash, set->key);
}

void tb_pick_add(struct tb_picks *p, const struct tb_pick_set *set, struct tb_bytes in)
{
    if (p->open & set->hashed)
        tb_siphash_add(&p->hash, in);
    size_t room = TB_PICK_POOL - p->used;
    room = room < TB_PICK_TEXT ? room : TB_PICK_TEXT;
    if (in.len > room - p->open_len || p->open_len > room) {
        p->open_len = TB_PICK_TEXT + 1; /* and stays so */
        return;
    }
    uint8_t *to = p->text + p->used + p->open_len;
    uint64_t all = 0;
    size_t left = in.len;
    for (; left >= 8; left -= 8, in.ptr += 8, to += 8) {
        uint64_t word = tb_load_8(in.ptr);
        __builtin_memcpy(to, &word, 8);
        all |= word;
    }
    uint64_t rest = tb_load_few(in.ptr, left);
    __builtin_memcpy(to, &rest, 8);
    all |= rest;
    p->is_odd |= (all & UINT64_C(0x8080808080808080)) != 0;
    p->open_len = (uint16_t)(p->open_len + in.len);
}

static void settle(struct tb_picks *p, uint8_t which, enum tb_pick_kind kind, uint16_t at, uint8_t len)
{
    p->found |= which;
    for (uint32_t left = which; left; left &= left - 1) {
        uint32_t i = (uint32_t)__builtin_ctz(left);
        p->values[i].kind = (uint8_t)kind;
        p->values[i].at = at;
        p->values[i].len = len;
    }
}

void tb_pick_mark(struct tb_picks *p, uint8_t which, enum tb_pick_kind kind)
{
    settle(p, which, kind, 0, 0);
}

/* The hash, as a text of 8 bytes. */
static void end_hashed(struct tb_picks *p, uint8_t which, enum tb_pick_kind kind)
{
    uint64_t hash = tb_siphash_end(&p->hash);
    if (TB_PICK_POOL - p->used < sizeof(hash)) {
        tb_pick_mark(p, which, TB_PICK_TOO_LONG);
        return;
    }
    __builtin_memcpy(p->text + p->used, &hash, sizeof(hash));
    settle(p, which, kind, p->used, sizeof(hash));
    p->used = (uint16_t)(p->used + sizeof(hash));
}

void tb_pick_end(struct tb_picks *p, const struct tb_pick_set *set, enum tb_pick_kind kind)
{
    uint8_t texts = p->open & (uint8_t)~set->hashed, hashed = p->open & set->hashed;
    uint16_t len = p->open_len;

    if (p->is_bad) {
        tb_pick_mark(p, p->open, TB_PICK_NO_TEXT);
    } else {
        if (texts && len > TB_PICK_TEXT) {
            tb_pick_mark(p, texts, TB_PICK_TOO_LONG);
        } else if (texts && p->is_odd && !tb_utf8_is_valid(tb_bytes(p->text + p->used, len))) {
            tb_pick_mark(p, texts, TB_PICK_NO_TEXT);
        } else if (texts) {
            settle(p, texts, kind, p->used, (uint8_t)len);
            p->used = (uint16_t)(p->used + len);
        }
        if (hashed)
            end_hashed(p, hashed, kind);
    }
    tb_pick_drop(p);
}

void tb_pick_drop(struct tb_picks *p)
{
    p->open = 0;
    p->open_len = 0;
    p->is_odd = p->is_bad = false;
}

bool tb_utf8_is_valid(struct tb_bytes text)
{
    const uint8_t *p = text.ptr, *end = p + text.len;
    while (p < end) {
        uint8_t c = *p++;
        if (c < 0x80)
            continue;
        uint32_t more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1, code = c & (0x3fu >> more);
        if (c < 0xc2 || c > 0xf4 || (size_t)(end - p) < more)
            return false;
        for (uint32_t i = 0; i < more; i++, p++) {
            if ((*p & 0xc0) != 0x80)
                return false;
            code = code << 6 | (*p & 0x3f);
        }
        if (code > 0x10ffff || (more == 2 && code < 0x800) || (more == 3 && code < 0x10000) || code >> 11 == 0x1b)
            return false;
    }
    return true;
}

size_t tb_utf8_write(uint8_t *to, uint32_t code)
{
    size_t len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = len; i > 1; code >>= 6)
        to[--i] = (uint8_t)(0x80 | (code & 0x3f));
    to[0] = (uint8_t)(lead[len] | code);
    return len;
}
