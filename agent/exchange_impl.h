/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the exchange share: exchange.c (entry points, closing), exchange_request.c, exchange_response.c.
 * Private to them. */
#ifndef TB_EXCHANGE_IMPL_H
#define TB_EXCHANGE_IMPL_H

#include "conn.h"
#include "exchange.h"
#include "queue.h"
#include "region.h"
#include "route.h"
#include "series.h"

#define ROLE_GIVEN_UP 3 /* conn->role: nothing more is looked at */

/* request_flags */
enum {
    REQUEST_COUNTED = 1, /* the connection was counted as an HTTP connection */
    REQUEST_ENDED = 2,   /* the sender closed its side */
    REQUEST_IS_TLS = 4,  /* the first bytes were a TLS record */
    REQUEST_BAD = 8,     /* bytes that are no request: whatever is answered counts as _OTHER */
    REQUEST_HTTP2 = 16
};

/* response_flags */
enum {
    RESPONSE_CURRENT = 1,    /* a final response head is complete, its body is not; the oldest entry is its request */
    RESPONSE_NO_REQUEST = 2, /* ... but it answers bytes that are no request */
    RESPONSE_EARLY = 4,      /* ... or its request was not seen yet */
    RESPONSE_WAITS = 8,      /* a whole early response is kept */
    RESPONSE_STREAM = 16,    /* the exchange is counted already; the body is a stream without end */
    RESPONSE_TUNNEL = 32,    /* no longer HTTP, in both directions */
    RESPONSE_ANSWERED = 64   /* at least one exchange was finished on this connection */
};

/* pending.flags */
enum { PENDING_PIPELINED = 1 };

/* One hooked call: the clock is read at most once, and only when something needs it. */
struct call {
    struct tb_core *core;
    struct tb_conn *c;
    uint64_t now_ns;
    bool has_now;
};

static inline uint64_t now(struct call *call)
{
    if (!call->has_now) {
        call->now_ns = call->core->env.monotonic_ns();
        call->has_now = true;
    }
    return call->now_ns;
}

static inline bool take_flag(uint8_t *flag)
{
    return tb_swap_acquire(flag, 1) == 0;
}

static inline void drop_flag(uint8_t *flag)
{
    tb_store_release(flag, 0);
}

/* Nothing more will be counted on this connection; that it was HTTP is lost and said. Called with one of the halves
 * held. */
static inline void give_up(struct call *call, enum tb_counter why)
{
    if (tb_swap_acquire(&call->c->role, ROLE_GIVEN_UP) != ROLE_GIVEN_UP)
        tb_count(call->core, why);
}

/* The same for a connection that never was HTTP: nothing is lost. */
static inline void ignore(struct call *call)
{
    tb_store_release(&call->c->role, ROLE_GIVEN_UP);
}

static inline bool is_given_up(const struct tb_conn *c)
{
    return tb_load_relaxed(&c->role) == ROLE_GIVEN_UP;
}

/* The request half (held): bytes of requests. */
void tb_exchange_request_bytes(struct call *call, struct tb_bytes b);
/* A request head is complete, or as complete as it will get: queue it, choose its body. */
void tb_exchange_request_head(struct call *call);

/* The response half (held): bytes of responses; no more of them; close. */
void tb_exchange_response_bytes(struct call *call, struct tb_bytes b);
void tb_exchange_response_ended(struct call *call);
void tb_exchange_response_close(struct call *call);
/* A response that waited for this request: count it. */
void tb_exchange_finish_waiting(struct call *call);

/* One observation under the connection's role. */
void tb_exchange_observe(struct call *call, uint8_t family, uint16_t status, uint32_t route, const struct tb_pending *p,
                         const struct tb_observation *o);
/* The waiting request is no longer in flight. */
static inline void release_in_flight(struct tb_core *core, const struct tb_pending *p)
{
    if (TB_LIKELY(p->owner))
        tb_add_relaxed(&core->owners[p->owner - 1].in_flight, -1);
    tb_inflight_release(core, p->inflight);
}

/* Does another process hold the exchange since a fork? The first of the two to close it unanswered leaves it to the
 * other. */
bool tb_exchange_is_others(struct tb_core *core, const struct tb_pending *p);

#endif
