/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interned strings of a region: append-only, shared by all its processes, lock-free. A string is written, published and
 * only then entered in the index by compare-and-swap; a writer killed in between leaks its bytes and nothing else. Two
 * writers of one new text: the loser gives its bytes back when nobody has appended since.
 */
#include "region.h"
#include "series.h"

/* Index slots tried: at most half of them are ever used by the text there is room for. */
#define PROBES 128u

static struct tb_strings_head *head_of(const struct tb_core *core)
{
    return (struct tb_strings_head *)(void *)core->strings;
}

static uint32_t hash_of(struct tb_bytes text)
{
    uint64_t hash = text.len;
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ text.ptr[i]) * UINT64_C(0x9e3779b97f4a7c15);
    hash ^= hash >> 32;
    return (uint32_t)hash ? (uint32_t)hash : 1;
}

static bool is_text(const struct tb_core *core, uint32_t ref, uint32_t hash, struct tb_bytes text)
{
    struct tb_bytes known = tb_string_get(core->strings, TB_LEN_STRINGS, ref);
    const struct tb_string *s = (const struct tb_string *)(const void *)(core->strings + ref);
    return known.ptr && s->hash == hash && known.len == text.len && tb_equal(known.ptr, text.ptr, text.len);
}

static uint32_t bytes_of(size_t len)
{
    return (uint32_t)(sizeof(struct tb_string) + len + 1 + 7) & ~7u;
}

/* Appends @text, published but in no index. Returns its reference, or 0. */
static uint32_t append(struct tb_core *core, uint32_t hash, struct tb_bytes text)
{
    struct tb_strings_head *head = head_of(core);
    uint32_t bytes = bytes_of(text.len), at = tb_load_relaxed(&head->used);
    do {
        if (at < TB_STR_FREE || at % 8 || at > TB_LEN_STRINGS || bytes > TB_LEN_STRINGS - at ||
            !tb_region_reserve(core, TB_OFF_STRINGS + at, bytes))
            return 0;
    } while (!tb_cas_acq_rel(&head->used, &at, at + bytes));
    struct tb_string *s = (struct tb_string *)(void *)(core->strings + at);
    s->hash = hash;
    s->len = (uint16_t)text.len;
    tb_copy(s->bytes, text.ptr, text.len);
    s->bytes[text.len] = 0;
    /* release: pairs with the acquire in tb_string_get() */
    tb_store_release(&s->state, TB_SLOT_PUBLISHED);
    return at;
}

static void take_back(struct tb_core *core, uint32_t ref, size_t len)
{
    struct tb_string *s = (struct tb_string *)(void *)(core->strings + ref);
    uint32_t top = ref + bytes_of(len);
    tb_store_release(&s->state, TB_SLOT_EMPTY);
    (void)tb_cas_acq_rel(&head_of(core)->used, &top, ref);
}

static uint32_t look_up(struct tb_core *core, struct tb_bytes text, bool may_append, bool *ret_is_new)
{
    if (!core->base || text.len > TB_STRING_MAX || !text.ptr)
        return 0;
    uint32_t hash = hash_of(text), appended = 0, found = 0;
    uint32_t *index = (uint32_t *)(void *)(core->strings + sizeof(struct tb_strings_head));
    for (uint32_t i = 0; i < PROBES && !found; i++) {
        uint32_t at = (hash + i) % TB_STRINGS_INDEX;
        if (!tb_region_reserve(core, TB_OFF_STRINGS + sizeof(struct tb_strings_head) + at * 4u, 4))
            break;
        uint32_t ref = tb_load_acquire(&index[at]);
        if (ref == 0) {
            if (!appended && may_append)
                appended = append(core, hash, text);
            if (!appended)
                break;
            if (tb_cas_acq_rel(&index[at], &ref, appended)) {
                *ret_is_new = true;
                return appended;
            }
        }
        if (is_text(core, ref, hash, text))
            found = ref;
    }
    if (appended)
        take_back(core, appended, text.len);
    return found;
}

uint32_t tb_string_intern(struct tb_core *core, struct tb_bytes text)
{
    bool is_new;
    return look_up(core, text, true, &is_new);
}

uint32_t tb_string_find(struct tb_core *core, struct tb_bytes text)
{
    bool is_new;
    return look_up(core, text, false, &is_new);
}

uint32_t tb_string_admit(struct tb_core *core, struct tb_bytes text, uint32_t *admitted, uint32_t max,
                         enum tb_counter overflow)
{
    uint32_t ref = tb_string_find(core, text);
    if (ref)
        return ref;
    /* a place first, so that the cap holds whoever else is here */
    if (tb_fetch_add_relaxed(admitted, 1) < max) {
        bool is_new = false;
        ref = look_up(core, text, true, &is_new);
        if (is_new)
            return ref;
    }
    tb_add_relaxed(admitted, -1u);
    if (!ref)
        tb_count(core, overflow);
    return ref ? ref : TB_STR_OTHER;
}

struct tb_bytes tb_string_get(const uint8_t *strings, size_t strings_len, uint32_t ref)
{
    struct tb_bytes none = {NULL, 0};
    if (ref < TB_STR_FIRST || ref % 8 || ref >= strings_len || strings_len - ref < sizeof(struct tb_string) + 1)
        return none;
    const struct tb_string *s = (const struct tb_string *)(const void *)(strings + ref);
    if (tb_load_acquire(&s->state) != TB_SLOT_PUBLISHED)
        return none;
    size_t len = tb_load_relaxed(&s->len); /* once: another process may change it */
    if (len > TB_STRING_MAX || len > strings_len - ref - sizeof(struct tb_string) - 1)
        return none;
    return tb_bytes(s->bytes, len);
}
