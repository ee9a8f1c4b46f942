/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The most common exchange, in as few steps as can be: a GET without a body on a kept connection, answered with a
 * length. One range a call, in the role of the server. Everything is checked before anything is changed: the rest of
 * the connection is as after an ordinary exchange, and what will be needed is known already (owner slot, in-flight
 * entry, route, cells). Otherwise nothing is done and the caller takes the general way.
 *
 * Threads: the try-flags guard each half as in the general way; whoever fails to take one here finds it taken there,
 * and says so. Fork story: exchange.c's; the cells are found under the shard of the process's own owner slot.
 */
#include "cell_cache.h"
#include "custom_hot.h"
#include "exchange_impl.h"
#include "measures.h"
#include "route_cache.h"
#include "rules.h"

tb_plain_get_fn *tb_plain_get_selected = tb_plain_get_base;
tb_plain_response_fn *tb_plain_response_selected = tb_plain_response_base;

/* What must be 0 of response_flags when a request or a response begins. */
#define ODD_RESPONSE_FLAGS ((uint8_t)~RESPONSE_ANSWERED)

/* The end without what is in the table of cells yet; enters it there. Holds the response half. */
static __attribute__((noinline)) void finish_unknown_cell(struct tb_core *core, struct tb_conn *c, uint64_t end_ns)
{
    struct call call = {.core = core, .c = c, .now_ns = end_ns, .has_now = true};
    struct tb_pending p = c->first;
    uint64_t base = tb_load_acquire(&core->cell_base); /* before anything is found under it */
    const struct tb_set *set = &core->sets[TB_CELL_SET(base)];
    uint32_t node = p.route - 1, cell = tb_histogram_place(&set->histogram, end_ns - p.start_ns);
    struct tb_series_key key = {.family = TB_FAMILY_REQUESTS,
                                .role = TB_ROLE_SERVER,
                                .method = p.method,
                                .bound_set = (uint8_t)TB_CELL_SET(base),
                                .status = c->response.extra};
    struct tb_record *record;
    uint64_t *block;

    tb_store_relaxed(&c->response_flags, 0);
    key.route = finish(&call, &p, key.status, true, false);
    tb_queue_pop_first(c);
    if (node >= TB_ROUTE_NODES || p.target || !TB_CELL_EPOCH(base)) /* the last: more is recorded than cells have */
        return;
    if (key.route == TB_STR_UNMATCHED ||
        key.route == TB_STR_OTHER) /* not yet answered; past a cap: counted each time */
        return;
    uint32_t measures = tb_load_relaxed(&core->measures);
    if (measures & TB_MEASURE_ROUTES && tb_measures_set(core, key.route) != key.bound_set)
        return;
    if (measures & TB_MEASURE_CUSTOM && tb_custom_counts(core, key.role, key.method, key.status, key.route))
        return;
    if (tb_series_places(core, &key, cell, &record, &block))
        tb_cell_keep(core, tb_cell_key(base, core->shard, node, p.method, key.status) | cell / TB_BLOCK_CELLS, record,
                     block);
}

/* Both in one word: the table of cells does not know targets, and a word with one is no node. */
static inline uint64_t route_and_target(const struct tb_pending *p)
{
    typedef uint64_t __attribute__((may_alias)) word;
    _Static_assert(offsetof(struct tb_pending, target) == offsetof(struct tb_pending, route) + 4 &&
                       offsetof(struct tb_pending, route) % 8 == 0,
                   "one word");
    return *(const word *)(const void *)&p->route;
}

/* The exchange of c->first is over, @tx_body bytes were its body. Holds the response half. */
static inline __attribute__((always_inline)) void finish_first(struct tb_core *core, struct tb_conn *c, uint64_t end_ns,
                                                               uint64_t tx_body)
{
    uint64_t start_ns = c->first.start_ns, node = route_and_target(&c->first) - 1;
    uint64_t base = tb_load_acquire(&core->cell_base);
    uint32_t cell = tb_histogram_place(&core->sets[TB_CELL_SET(base)].histogram, end_ns - start_ns);
    uint64_t *block, key = tb_cell_key(base, tb_load_relaxed(&core->shard), node, c->first.method, c->response.extra);
    struct tb_record *record;

    if (TB_UNLIKELY(node >= TB_ROUTE_NODES) || TB_UNLIKELY(tb_load_relaxed(&c->rx_body) != c->rx_counted) ||
        TB_UNLIKELY(!tb_cell_find(core, key | cell / TB_BLOCK_CELLS, &record, &block))) {
        c->tx_body = tx_body;
        finish_unknown_cell(core, c, end_ns);
        return;
    }
    release_plain(core, &c->first);
    tb_add_relaxed(&block[cell % TB_BLOCK_CELLS], 1);
    tb_add_relaxed(&record->sum_ns, end_ns - start_ns);
    tb_add_relaxed(&record->first_byte_ns, c->first_ns - start_ns);
    tb_add_relaxed(&record->tx_bytes, tx_body);
    c->tx_body = 0;
    tb_store_relaxed(&c->response_flags, RESPONSE_ANSWERED);
    tb_queue_pop_first(c);
}

/* Holds the request half. */
static inline bool plain_request(struct tb_core *core, struct tb_conn *c, const uint8_t *p, size_t len)
{
    uint16_t pushed = c->queue.pushed;

    /* acquire: pairs with the release of tb_queue_pop_first(); the entry is free */
    if (TB_UNLIKELY(pushed != tb_load_acquire(&c->queue.popped)) || TB_UNLIKELY(c->queue.head) ||
        TB_UNLIKELY(c->request.phase != TB_PHASE_START) || TB_UNLIKELY(!c->request.is_next) ||
        TB_UNLIKELY(tb_load_relaxed(&c->response_flags) & ODD_RESPONSE_FLAGS))
        return false;
    size_t path_len = tb_plain_get_selected(p, len);
    struct tb_route_head *head = tb_load_acquire(&core->kept_head);
    if (TB_UNLIKELY(!path_len) || TB_UNLIKELY(!head))
        return false;
    uint32_t route = tb_route_cached(core, tb_route_path_hash(core, head, tb_bytes(p + 4, path_len)));
    if (TB_UNLIKELY(!route))
        return false;

    uint64_t start_ns = core->env.monotonic_ns();
    struct tb_owner *owner = tb_load_acquire(&core->owner);
    uint32_t slot = (uint32_t)(owner - core->owners);
    if (TB_UNLIKELY(!owner) || TB_UNLIKELY(start_ns < 256))
        return false;
    struct tb_inflight *entry = same_entry(core, c, start_ns, slot);
    if (TB_UNLIKELY(!entry))
        return false;
    tb_add_relaxed(&owner->in_flight, 1);
    entry->route = route;
    entry->method = TB_METHOD_GET;
    tb_store_relaxed(&c->queue.overflow, 0);
    tb_store_relaxed(&c->queue.inline_seq, pushed);
    c->first.start_ns = start_ns;
    c->first.route = route;
    c->first.target = 0;
    c->first.method = TB_METHOD_GET;
    c->first.flags = 0;
    tb_store_release(&c->queue.pushed, (uint16_t)(pushed + 1));
    return true;
}

/* Both in one word: a request that rules look into, or a pipelined one, is not answered here. */
static inline uint16_t method_and_flags(const struct tb_pending *p)
{
    typedef uint16_t __attribute__((may_alias)) word;
    _Static_assert(offsetof(struct tb_pending, flags) == offsetof(struct tb_pending, method) + 1 &&
                       offsetof(struct tb_pending, method) % 2 == 0,
                   "one word, the method low");
    return *(const word *)(const void *)&p->method;
}

/* Holds the response half. */
static inline bool plain_response(struct tb_core *core, struct tb_conn *c, const uint8_t *p, size_t len)
{
    struct tb_message *m = &c->response;

    if (TB_UNLIKELY(len < TB_PLAIN_BYTES) || TB_UNLIKELY(m->phase != TB_PHASE_START) ||
        TB_UNLIKELY(!tb_queue_is_first(c)) || TB_UNLIKELY(method_and_flags(&c->first) != TB_METHOD_GET))
        return false;
    struct tb_plain_response r = tb_plain_response_selected(p, len);
    uint64_t sent = len - (r.head & 0xffffffffffff);
    if (TB_UNLIKELY(!r.head) || TB_UNLIKELY(sent > r.length))
        return false;
    uint64_t now_ns = core->env.monotonic_ns();
    if (TB_UNLIKELY(c->first.start_ns - 1 >= now_ns)) /* either is 0, or time went back */
        return false;
    c->first_ns = now_ns;
    m->extra = (uint16_t)(r.head >> 48);
    m->is_next = 1;
    if (sent != r.length) {
        m->number = r.length - sent;
        m->phase = TB_PHASE_LENGTH;
        c->tx_body = sent;
        tb_store_relaxed(&c->response_flags, RESPONSE_CURRENT | RESPONSE_PLAIN);
    } else {
        finish_first(core, c, now_ns, sent);
    }
    return true;
}

/* Bytes of the body of such a response; its request is c->first and timed. Holds the response half. */
static inline bool plain_body(struct tb_core *core, struct tb_conn *c, size_t len)
{
    struct tb_message *m = &c->response;

    if (TB_UNLIKELY(len != m->number)) {
        if (len > m->number)
            return false;
        c->tx_body += len;
        m->number -= len;
        return true;
    }
    uint64_t now_ns = core->env.monotonic_ns();
    if (TB_UNLIKELY(now_ns < c->first_ns))
        return false;
    m->phase = TB_PHASE_START;
    finish_first(core, c, now_ns, c->tx_body + len);
    return true;
}

/* A server's connection, and not switched off. A role is only decided when there is a region: its rules are there. */
static inline bool is_ours(const struct tb_core *core, const struct tb_conn *c)
{
    return TB_LIKELY(tb_load_relaxed(&c->role) == TB_ROLE_SERVER) && TB_LIKELY(!tb_load_relaxed(&core->rules->off));
}

/* Who was turned away at this half meanwhile has given the connection up, and left what is open in it to us. */
static inline void leave_half(struct tb_core *core, struct tb_conn *c, bool is_request)
{
    if (TB_UNLIKELY(tb_load_relaxed(&c->role) != TB_ROLE_SERVER)) {
        struct call call = {.core = core, .c = c};
        tb_exchange_after_giving_up(&call, is_request);
    }
    drop_flag(is_request ? &c->request_busy : &c->response_busy);
}

bool tb_exchange_rx(struct tb_core *core, struct tb_conn *c, const uint8_t *p, size_t len)
{
    if (TB_UNLIKELY(len < TB_PLAIN_BYTES) || TB_UNLIKELY(tb_load_relaxed(&c->role) != TB_ROLE_SERVER) ||
        TB_UNLIKELY(!tb_rules_are_seen(core)) || TB_UNLIKELY(!take_flag(&c->request_busy)))
        return false;
    bool is_done = plain_request(core, c, p, len);
    leave_half(core, c, true);
    return is_done;
}

bool tb_exchange_tx(struct tb_core *core, struct tb_conn *c, const uint8_t *p, size_t len)
{
    uint8_t flags = tb_load_relaxed(&c->response_flags);

    if (flags & RESPONSE_PLAIN)
        return tb_exchange_tx_length(core, c, len);
    if (TB_UNLIKELY(flags & ODD_RESPONSE_FLAGS) || TB_UNLIKELY(!is_ours(core, c)) ||
        TB_UNLIKELY(!take_flag(&c->response_busy)))
        return false;
    bool is_done = c->response_flags == flags && plain_response(core, c, p, len);
    leave_half(core, c, false);
    return is_done;
}

bool tb_exchange_tx_length(struct tb_core *core, struct tb_conn *c, size_t len)
{
    if (TB_UNLIKELY(!is_ours(core, c)) || TB_UNLIKELY(!take_flag(&c->response_busy)))
        return false;
    bool is_done = (c->response_flags & RESPONSE_PLAIN) && plain_body(core, c, len);
    leave_half(core, c, false);
    return is_done;
}
