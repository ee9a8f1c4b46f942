/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the rules want of an exchange beside its count and duration (measures.h). What is known when its head is
 * complete waits in core->opened, under the number of its entry in the in-flight table: that entry is this process's
 * until the exchange ends. A request without an entry has no trace, and its size is what came since the one before.
 */
#include "exchange_impl.h"

#define NOTED (TB_HEAD_SIZE | TB_HEAD_TRACE) /* what a note is for */

/* The note on a request, if it is still about it. */
static const struct tb_opened *opened_of(const struct tb_core *core, const struct tb_pending *p)
{
    bool is_noted = p->inflight && tb_load_relaxed(&core->wants_head) & NOTED;
    const struct tb_opened *o = is_noted ? &core->opened[p->inflight - 1] : NULL;
    return o && tb_load_acquire(&o->start_ns) == p->start_ns ? o : NULL;
}

void tb_exchange_note_opened(struct call *call, struct tb_pending *p, const uint64_t trace[2])
{
    uint8_t wants = tb_load_relaxed(&call->core->wants_head);
    if (!p->inflight || !(wants & NOTED))
        return;
    struct tb_opened *o = &call->core->opened[p->inflight - 1];
    o->rx_body = call->c->rx_body;
    o->trace[0] = trace[0];
    o->trace[1] = trace[1];
    tb_store_release(&o->start_ns, p->start_ns);
}

/* The body of @p's request ends where the next head on its connection was, if there is one. */
static uint64_t request_bytes(struct call *call, const struct tb_pending *p, const struct tb_opened *o)
{
    struct tb_pending next;
    bool is_queued = tb_queue_is_first(call->c) && call->c->first.inflight == p->inflight; /* not taken out yet */
    uint64_t end = tb_load_relaxed(&call->c->rx_body);
    if (is_queued ? tb_queue_peek_second(call->core, call->c, &next) : tb_queue_peek(call->core, call->c, &next)) {
        const struct tb_opened *n = opened_of(call->core, &next);
        end = n ? n->rx_body : end;
    }
    return end - o->rx_body;
}

/* A stream counts when its head is complete: its size is not known then. */
static bool is_endless(const struct tb_message *m)
{
    return m->phase == TB_PHASE_TUNNEL || (m->flags & TB_MSG_IS_STREAM && m->phase != TB_PHASE_START);
}

/* @is_hidden: custom metrics alone are about it. */
static void measure(struct call *call, const struct tb_pending *p, uint16_t status, uint32_t route,
                    const struct tb_observation *o, bool is_hidden)
{
    struct tb_measured m = {.request_bytes = o->rx_bytes,
                            .response_bytes = o->tx_bytes,
                            .is_endless = is_endless(&call->c->response),
                            .is_hidden = is_hidden};
    const struct tb_opened *opened = opened_of(call->core, p);
    if (opened) {
        m.request_bytes = request_bytes(call, p, opened);
        m.trace[0] = opened->trace[0];
        m.trace[1] = opened->trace[1];
    }
    struct tb_capture *cap = p->flags & PENDING_CAUGHT ? tb_exchange_caught_end(call, p) : NULL;
    m.caught = cap;
    release_in_flight(call->core, p);
    observe_with(call, TB_FAMILY_REQUESTS, status, route, p, o, &m);
    if (cap)
        tb_exchange_caught_free(call->core, cap);
}

void tb_exchange_observe_measured(struct call *call, const struct tb_pending *p, uint16_t status, uint32_t route,
                                  const struct tb_observation *o)
{
    measure(call, p, status, route, o, false);
}

void tb_exchange_observe_runtime(struct call *call, const struct tb_pending *p, uint16_t status, uint32_t route,
                                 const struct tb_observation *o)
{
    struct tb_pending other = *p;
    other.target = TB_STR_OTHER;
    if (!o->is_incomplete)
        tb_invocation_answered(call->core, (enum tb_runtime_call)p->target, status, now(call));
    if (tb_load_relaxed(&call->core->measures) & TB_MEASURE_CUSTOM)
        measure(call, &other, status, route, o, true);
}
