/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and their addresses (resolved.h).
 *
 * Programs try the addresses of a name one after the other, or side by side, and what they make of it is one call. So
 * failures are held: when each address has failed as often, that many calls have failed; when one succeeds, none has.
 * A program that tries only the first address fails there again and again: what is held for longer than HELD_NS while
 * nothing is pending is an error too.
 */
#include "resolved.h"
#include "atomics.h"
#include "core.h"

#define TRIES 1000u
#define HELD_NS UINT64_C(2000000000)

static bool enter(struct tb_names_known *k)
{
    for (uint32_t i = 0; i < TRIES; i++)
        if (!tb_swap_acquire(&k->busy, 1))
            return true;
    return false;
}

static void leave(struct tb_names_known *k)
{
    tb_store_release(&k->busy, 0);
}

static bool is_same(const struct tb_address *a, const struct tb_address *b)
{
    return a->family == b->family && tb_equal(a->bytes, b->bytes, sizeof a->bytes);
}

/* Digits and dots, or with a colon: an address as text. */
static bool is_literal(struct tb_bytes text)
{
    bool is_number = true;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == ':')
            return true;
        is_number &= text.ptr[i] == '.' || (uint8_t)(text.ptr[i] - '0') < 10;
    }
    return is_number;
}

static void tell(const struct tb_name *n, uint16_t port, uint8_t why, struct tb_name_errors *ret)
{
    ret->port = n->only ? 0 : port;
    ret->why = why;
    ret->len = n->len;
    tb_copy(ret->name, n->text, n->len);
}

/* What is held is certain: the attempts at the address that failed most often. */
static void settle(struct tb_name *n, struct tb_name_errors *ret)
{
    uint8_t most = 0;
    for (size_t i = 0; i < n->count; i++) {
        most = n->fails[i] > most ? n->fails[i] : most;
        n->fails[i] = 0;
    }
    ret->count = most;
    tell(n, n->port, n->why, ret);
    n->held_ns = 0;
}

static bool is_overdue(const struct tb_name *n, uint64_t now_ns)
{
    return n->held_ns && !n->pending && now_ns > n->held_ns + HELD_NS;
}

static bool is_called(const struct tb_name *n, struct tb_bytes text)
{
    for (size_t i = 0; i < text.len && i < n->len; i++)
        if (n->text[i] != tb_lower(text.ptr[i]))
            return false;
    return n->serial && n->len == text.len;
}

static struct tb_name *find(struct tb_names_known *k, struct tb_bytes text, uint16_t only)
{
    for (size_t i = 0; i < TB_NAMES; i++)
        if (k->names[i].only == only && is_called(&k->names[i], text))
            return &k->names[i];
    return NULL;
}

/* The one that was looked up longest ago. */
static struct tb_name *oldest(struct tb_names_known *k)
{
    struct tb_name *found = &k->names[0];
    for (size_t i = 1; i < TB_NAMES; i++)
        if (k->names[i].serial < found->serial)
            found = &k->names[i];
    return found;
}

static struct tb_name *of_ref(struct tb_names_known *k, const struct tb_name_ref *ref)
{
    struct tb_name *n = &k->names[ref->number % TB_NAMES];
    return ref->serial && n->serial == ref->serial ? n : NULL;
}

static bool has_same_addresses(const struct tb_name *n, const struct tb_address *addresses, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!is_same(&n->at[i], &addresses[i]))
            return false;
    return n->count == count;
}

/* The entry of a name and its addresses, made when new, is the newest. */
static void enter_name(struct tb_names_known *k, struct tb_bytes text, const struct tb_address *addresses, size_t count,
                       uint16_t only, uint64_t now_ns, struct tb_name_errors *ret)
{
    struct tb_name *n = find(k, text, only);
    if (n && is_overdue(n, now_ns))
        settle(n, ret);
    if (!n || !has_same_addresses(n, addresses, count)) {
        n = n ? n : oldest(k);
        if (n->held_ns && !ret->count)
            settle(n, ret);
        tb_zero(n, sizeof *n);
        n->len = (uint8_t)text.len;
        n->count = (uint8_t)count;
        n->only = only;
        for (size_t i = 0; i < text.len; i++)
            n->text[i] = tb_lower(text.ptr[i]);
        tb_copy(n->at, addresses, count * sizeof *addresses);
    }
    if (!n->pending || !n->serial) /* attempts that are pending know it by its serial */
        n->serial = ++k->serials;
}

void tb_name_resolved(struct tb_core *core, struct tb_bytes text, const struct tb_address *addresses, size_t count,
                      uint64_t now_ns, struct tb_name_errors *ret)
{
    struct tb_names_known *k = &core->names;
    ret->count = 0;
    count = count < TB_NAME_ADDRESSES ? count : TB_NAME_ADDRESSES;
    if (!count || !text.len || text.len > TB_NAME_BYTES || is_literal(text) || !enter(k))
        return;
    enter_name(k, text, addresses, count, 0, now_ns, ret);
    leave(k);
}

void tb_name_learned(struct tb_core *core, struct tb_bytes authority, const struct tb_address *address, uint16_t port)
{
    struct tb_names_known *k = &core->names;
    struct tb_name_errors none = {0}; /* what was held of a name that gives way is lost: nobody comes back to it */
    if (!address->family || !port || !authority.len || authority.len > TB_NAME_BYTES || !enter(k))
        return;
    enter_name(k, authority, address, 1, port, 0, &none);
    leave(k);
}

static bool gave(const struct tb_name *n, uint8_t number, const struct tb_address *address, uint16_t port)
{
    return is_same(&n->at[number], address) && (!n->only || n->only == port);
}

bool tb_name_attempt(struct tb_core *core, const struct tb_address *address, uint16_t port, struct tb_name_ref *ret)
{
    struct tb_names_known *k = &core->names;
    ret->serial = 0;
    if (!address->family || !enter(k))
        return false;
    for (uint8_t i = 0; i < TB_NAMES; i++)
        for (uint8_t a = 0; a < k->names[i].count; a++)
            if (k->names[i].serial > ret->serial && gave(&k->names[i], a, address, port))
                *ret = (struct tb_name_ref){k->names[i].serial, i, a, k->names[i].only != 0};
    struct tb_name *n = of_ref(k, ret);
    if (n)
        n->pending++;
    leave(k);
    return n != NULL;
}

/* One more failure at an address; are they certain now? */
static void hold(struct tb_name *n, uint8_t address, uint8_t why, uint16_t port, uint64_t now_ns,
                 struct tb_name_errors *ret)
{
    uint8_t least = 255, *fails = &n->fails[address % TB_NAME_ADDRESSES];
    if (is_overdue(n, now_ns))
        settle(n, ret);
    uint32_t before = ret->count;
    *fails = *fails < 255 ? (uint8_t)(*fails + 1) : *fails;
    n->why = why;
    n->port = port;
    n->held_ns = n->held_ns ? n->held_ns : now_ns | 1;
    for (size_t i = 0; i < n->count; i++)
        least = n->fails[i] < least ? n->fails[i] : least;
    if (!least)
        return;
    bool is_all = true;
    for (size_t i = 0; i < n->count; i++) {
        n->fails[i] = (uint8_t)(n->fails[i] - least);
        is_all &= !n->fails[i];
    }
    ret->count = before + least;
    tell(n, port, why, ret);
    n->held_ns = is_all ? 0 : n->held_ns;
}

void tb_name_ended(struct tb_core *core, const struct tb_name_ref *ref, uint8_t why, bool is_left, uint16_t port,
                   uint64_t start_ns, uint64_t now_ns, struct tb_name_errors *ret)
{
    struct tb_names_known *k = &core->names;
    ret->count = 0;
    if (!enter(k))
        return;
    struct tb_name *n = of_ref(k, ref);
    if (n) {
        n->pending = n->pending ? (uint16_t)(n->pending - 1) : 0;
        if (!why) {
            n->won_ns = now_ns | 1;
            n->held_ns = 0;
            tb_zero(n->fails, sizeof n->fails);
        } else if (!is_left || !n->won_ns || n->won_ns < start_ns) {
            hold(n, ref->address, why, port, now_ns, ret);
        }
    }
    leave(k);
}

void tb_name_held(struct tb_core *core, uint32_t number, struct tb_name_errors *ret)
{
    struct tb_names_known *k = &core->names;
    ret->count = 0;
    if (!enter(k))
        return;
    struct tb_name *n = &k->names[number % TB_NAMES];
    if (n->serial && n->held_ns && !n->pending)
        settle(n, ret);
    leave(k);
}

void tb_names_forked(struct tb_names_known *k)
{
    for (size_t i = 0; i < TB_NAMES; i++)
        k->names[i].pending = 0;
    leave(k);
}

size_t tb_name_text(struct tb_core *core, const struct tb_name_ref *ref, uint8_t *ret)
{
    struct tb_names_known *k = &core->names;
    size_t len = 0;
    if (!ref->serial || !enter(k))
        return 0;
    const struct tb_name *n = of_ref(k, ref);
    if (n)
        tb_copy(ret, n->text, len = n->len);
    leave(k);
    return len;
}
