/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the exchange share: exchange.c (entry points, closing), exchange_request.c, exchange_response.c.
 * Private to them. */
#ifndef TB_EXCHANGE_IMPL_H
#define TB_EXCHANGE_IMPL_H

#include "conn.h"
#include "custom_hot.h"
#include "dependency.h"
#include "exchange.h"
#include "measures.h"
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
    REQUEST_HTTP2 = 16,
    REQUEST_OPEN = 32,  /* it is in the gauge of open connections, of the process that counted it */
    REQUEST_BROKEN = 64 /* a client could send no more */
};

/* response_flags */
enum {
    RESPONSE_CURRENT = 1,    /* a final response head is complete, its body is not; the oldest entry is its request */
    RESPONSE_NO_REQUEST = 2, /* ... but it answers bytes that are no request */
    RESPONSE_EARLY = 4,      /* ... or its request was not seen yet */
    RESPONSE_WAITS = 8,      /* a whole early response is kept */
    RESPONSE_STREAM = 16,    /* the exchange is counted already; the body is a stream without end */
    RESPONSE_TUNNEL = 32,    /* no longer HTTP, in both directions */
    RESPONSE_ANSWERED = 64,  /* at least one exchange was finished on this connection */
    RESPONSE_PLAIN = 128 /* with CURRENT: begun in exchange_kept.c; phase LENGTH, c->first is its request, both timed */
};

/* pending.flags */
enum {
    PENDING_PIPELINED = 1,
    PENDING_CAUGHT = 2,          /* rules look into it (exchange_caught.h) */
    PENDING_CAUGHT_RESPONSE = 4, /* into its response, too */
    PENDING_GAUGED = 8,          /* its entry is counted in gauges of rules */
    PENDING_ASKED = 16           /* not queued yet: rules are asked once it is in flight (tb_exchange_caught_head) */
};

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

/* response_flags: the response half writes, the request half looks. */
static inline void set_flags(struct tb_conn *c, uint8_t flags)
{
    tb_store_relaxed(&c->response_flags, (uint8_t)(c->response_flags | flags));
}

static inline void clear_flags(struct tb_conn *c, uint8_t flags)
{
    tb_store_relaxed(&c->response_flags, (uint8_t)(c->response_flags & ~flags));
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

extern tb_plain_get_fn *tb_plain_get_selected;
extern tb_plain_response_fn *tb_plain_response_selected;

/* exchange.c, for the hot path. */
uint8_t tb_exchange_role(struct tb_core *core, struct tb_conn *c, enum tb_direction direction, struct tb_bytes first);
void tb_exchange_race(struct call *call);
void tb_exchange_ended(struct call *call, bool is_request);
/* A half of a client's connection was left (its flag dropped). */
void tb_exchange_left(struct call *call, bool is_request);
/* What a client received is no response: what waits for one will get none. Needs the response half. */
void tb_exchange_broken(struct call *call);
void tb_exchange_after_giving_up(struct call *call, bool is_request);

/* The request half (held). */
/* A request head is complete, or as complete as it will get: queue it, choose its body. */
void tb_exchange_request_head(struct call *call);

/* The response half (held): no more bytes; close. */
void tb_exchange_response_ended(struct call *call);
void tb_exchange_response_close(struct call *call);
/* A response came before its request, which is queued now: count it if it was whole, else choose its body. */
void tb_exchange_meet(struct call *call);

/* exchange_caught.c: a request with PENDING_GAUGED is no longer in flight. */
void tb_exchange_leave_gauges(struct tb_core *core, const struct tb_pending *p);

/* The waiting request is no longer in flight; it has no PENDING_GAUGED. */
static inline void release_plain(struct tb_core *core, const struct tb_pending *p)
{
    if (TB_LIKELY(p->owner))
        tb_add_relaxed(&core->owners[p->owner - 1].in_flight, -1);
    tb_inflight_release(core, p->inflight);
}

/* The same for any. */
static inline void release_in_flight(struct tb_core *core, const struct tb_pending *p)
{
    if (TB_UNLIKELY(p->flags & PENDING_GAUGED))
        tb_exchange_leave_gauges(core, p);
    release_plain(core, p);
}

/* The key of an exchange under the connection's role. */
static inline struct tb_series_key series_key(const struct call *call, uint8_t family, uint16_t status, uint32_t route,
                                              const struct tb_pending *p)
{
    bool is_client = tb_load_relaxed(&call->c->role) == TB_ROLE_CLIENT;
    return (struct tb_series_key){.family = family,
                                  .role = is_client ? TB_ROLE_CLIENT : TB_ROLE_SERVER,
                                  .method = p->method,
                                  .status = status,
                                  .route = route,
                                  .target = p->target};
}

/* One observation; @m: and what is measured beside it. */
static inline void observe_with(struct call *call, uint8_t family, uint16_t status, uint32_t route,
                                const struct tb_pending *p, const struct tb_observation *o, const struct tb_measured *m)
{
    struct tb_series_key key = series_key(call, family, status, route, p);
    if (TB_UNLIKELY(key.role == TB_ROLE_CLIENT) && !key.target)
        key.target = TB_STR_OTHER; /* of bytes that are no request */
    if (TB_UNLIKELY(route == TB_STR_IGNORED))
        tb_count(call->core, TB_COUNTER_IGNORED);
    else if (TB_UNLIKELY(m))
        tb_measures_observe(call->core, &key, o, m);
    else
        tb_series_observe(call->core, &key, o);
}

static inline void observe(struct call *call, uint8_t family, uint16_t status, uint32_t route,
                           const struct tb_pending *p, const struct tb_observation *o)
{
    observe_with(call, family, status, route, p, o, NULL);
}

/* The same at the end of an exchange where the rules want more than a count and a duration. Releases @p. */
void tb_exchange_observe_measured(struct call *call, const struct tb_pending *p, uint16_t status, uint32_t route,
                                  const struct tb_observation *o);

/* The same where the other side is the Runtime API: no call of the program's, but rules may be about it. */
void tb_exchange_observe_runtime(struct call *call, const struct tb_pending *p, uint16_t status, uint32_t route,
                                 const struct tb_observation *o);

/* Did a rule of custom metrics look into an exchange, or does one count its like? */
static inline bool is_custom(const struct call *call, const struct tb_pending *p, uint16_t status, uint32_t route)
{
    uint8_t role = tb_load_relaxed(&call->c->role);
    return p->flags & PENDING_CAUGHT || tb_custom_counts(call->core, role, p->method, status, route);
}

/* One exchange is over: @status was sent. Returns the route of the key that it was counted under. */
static inline uint32_t finish(struct call *call, const struct tb_pending *p, uint16_t status, bool is_known,
                              bool is_incomplete)
{
    struct tb_conn *c = call->c;
    uint64_t rx_body = tb_load_relaxed(&c->rx_body), end_ns = p->start_ns ? now(call) : 0;
    struct tb_observation o = {.rx_bytes = rx_body - c->rx_counted,
                               .tx_bytes = c->tx_body,
                               .is_timed = p->start_ns && end_ns,
                               .is_incomplete = is_incomplete};

    if (o.is_timed) {
        o.duration_ns = end_ns > p->start_ns ? end_ns - p->start_ns : 0;
        o.first_byte_ns = c->first_ns > p->start_ns ? c->first_ns - p->start_ns : 0;
    }
    c->rx_counted = rx_body;
    c->tx_body = 0;
    set_flags(c, RESPONSE_ANSWERED);
    uint32_t route = is_known ? tb_route_end(call->core, p->route, p->method, status) : TB_STR_UNMATCHED;
    if (TB_UNLIKELY(tb_load_relaxed(&c->role) == TB_ROLE_CLIENT) && p->target) {
        if (c->first_ns < p->start_ns) /* answered before it was noted: when it began is not known */
            o.is_timed = false;
        if (tb_runtime_is(p->target)) {
            tb_exchange_observe_runtime(call, p, status, route, &o);
            return route;
        }
        if (route != TB_STR_IGNORED)
            tb_dependency_answered(call->core, p->target, status, now(call));
    }
    uint32_t measures = tb_load_relaxed(&call->core->measures);
    if (TB_UNLIKELY(measures) && (measures != TB_MEASURE_CUSTOM || is_custom(call, p, status, route))) {
        tb_exchange_observe_measured(call, p, status, route, &o);
        return route;
    }
    release_in_flight(call->core, p);
    observe(call, TB_FAMILY_REQUESTS, status, route, p, &o);
    return route;
}

static inline void finish_unknown(struct call *call, uint16_t status, bool is_incomplete)
{
    struct tb_pending nothing = {.method = TB_METHOD_OTHER};
    finish(call, &nothing, status, false, is_incomplete);
}

/* More of a body is expected: tb_message.number is in use. */
static inline bool is_body_phase(uint8_t phase)
{
    return phase >= TB_PHASE_LENGTH && phase < TB_PHASE_STOPPED;
}

/* The response at hand is over, at its body's end or cut short. */
static inline void finish_current(struct call *call, bool is_incomplete)
{
    struct tb_conn *c = call->c;
    struct tb_pending p;
    uint8_t flags = c->response_flags;

    clear_flags(c, RESPONSE_CURRENT | RESPONSE_NO_REQUEST | RESPONSE_PLAIN);
    if (TB_UNLIKELY(flags & RESPONSE_NO_REQUEST)) {
        finish_unknown(call, c->response.extra, is_incomplete);
    } else if (TB_LIKELY(tb_queue_is_first(c))) {
        clear_flags(c, RESPONSE_EARLY);
        finish(call, &c->first, c->response.extra, true, is_incomplete);
        tb_queue_pop_first(c); /* only now: until then nobody writes the entry */
    } else if (tb_queue_peek(call->core, c, &p)) {
        clear_flags(c, RESPONSE_EARLY);
        tb_queue_pop(call->core, c);
        finish(call, &p, c->response.extra, true, is_incomplete);
    } else { /* early: kept until its request comes, with the time of its end */
        if (!is_body_phase(c->response.phase))
            c->response.number = now(call);
        set_flags(c, RESPONSE_WAITS);
    }
}

/*
 * This process leaves an exchange unanswered: is it another's to count, or counted already? Across a fork the last
 * of those that hold it counts it. Call it once for each exchange and process.
 */
bool tb_exchange_is_others(struct tb_core *core, const struct tb_pending *p);
/* Did this begin, in @generation, in a process that this one was forked from? */
bool tb_exchange_is_inherited(const struct tb_core *core, uint16_t generation);

/* TB_HEAD_: what is looked at in the heads of this connection. A client's tell whom they are for. */
static inline uint8_t wanted_of_head(const struct call *call)
{
    uint8_t wants = tb_load_relaxed(&call->core->wants_head);
    return TB_UNLIKELY(tb_load_relaxed(&call->c->role) == TB_ROLE_CLIENT) ? wants | TB_HEAD_HOST : wants;
}

/* A whole head of which more is wanted (wanted_of_head). */
void tb_exchange_wanted_head(struct call *call, const struct tb_start_line *line, struct tb_bytes head);
/* A head in pieces of which more was wanted is over, whole or not: its route is decided now, if it waited for the host.
 * Returns the target of the key. @ret_trace: what it said of a trace. */
uint32_t tb_exchange_wanted_done(struct call *call, uint64_t ret_trace[2]);
/* A request is to be queued: notes what tb_exchange_observe_measured will ask for, and that it does in @p. */
void tb_exchange_note_opened(struct call *call, struct tb_pending *p, const uint64_t trace[2]);

/*
 * exchange_caught.c, with TB_HEAD_CUSTOM only. The request half: its line is read (nothing is queued yet), more of its
 * header section, its head is over and it is in flight as @p (PENDING_CAUGHT, and _RESPONSE: what is looked into, and
 * _GAUGED), more of its body.
 */
/* @end: up to there the line lies whole in memory; NULL: line->query is its query. */
void tb_exchange_caught_line(struct call *call, const struct tb_start_line *line, const uint8_t *end);
/* All of a head at once, into which @rules (tb_custom_asked; not 0) may look. Returns as tb_exchange_caught_head, or
 * PENDING_ASKED. */
uint8_t tb_exchange_caught_whole(struct call *call, const struct tb_start_line *line, struct tb_bytes head,
                                 uint32_t rules);
void tb_exchange_caught_fields(struct call *call, struct tb_bytes in);
uint8_t tb_exchange_caught_head(struct call *call, const struct tb_pending *p);
void tb_exchange_caught_request_body(struct call *call, struct tb_bytes in);
/* The response half: is the response at hand looked into? More of its header section (@status: it is over), its body.
 */
bool tb_exchange_is_caught(struct call *call);
void tb_exchange_caught_response_head(struct call *call, struct tb_bytes in, uint16_t status);
void tb_exchange_caught_response_body(struct call *call, struct tb_bytes in);
/* tb_http1_body, whose content goes to @sink as well. */
enum tb_parse tb_exchange_caught_body(struct call *call, struct tb_message *m, struct tb_bytes *in, uint64_t *ret_body,
                                      void (*sink)(struct call *call, struct tb_bytes in));
/* The exchange of @p, with PENDING_CAUGHT, is over: what was found, valid until the capture is freed. NULL: nothing. */
struct tb_capture *tb_exchange_caught_end(struct call *call, const struct tb_pending *p);
void tb_exchange_caught_free(struct tb_core *core, struct tb_capture *cap);
/* A connection is closed or given up: its captures are free. Both halves are held. */
void tb_exchange_caught_forget(struct tb_core *core, const struct tb_conn *c);

/* The rare ends of a request head; a connection's first request. */
void tb_exchange_request_odd(struct call *call, bool is_queued, bool is_kept, const struct tb_pending *p);
void tb_exchange_count_connection(struct call *call);
/* Either half: in which life of the process the connection was last alive. */
void tb_exchange_note_generation(struct call *call);
/* Bytes that are no whole ordinary head. False: the range is used up, or nothing more is wanted. */
bool tb_exchange_request_step(struct call *call, struct tb_bytes *b);
bool tb_exchange_response_step(struct call *call, struct tb_bytes *b);
/* Whatever is rare when a response head is complete. */
void tb_exchange_response_odd(struct call *call);
/* A body byte range that is not simply skipped. */
void tb_exchange_response_body(struct call *call, struct tb_bytes *b);

/*
 * Claims the entry of this connection's request before for one that starts now; NULL when there was none or it is
 * taken. That request was this owner's in this life, so the page has memory and cleaners know of it; whose the entry
 * was since does not matter. The caller fills in route and method.
 */
static inline struct tb_inflight *same_entry(struct tb_core *core, const struct tb_conn *c, uint64_t start_ns,
                                             uint32_t slot)
{
    uint16_t last = c->first.inflight;
    uint64_t none = 0;

    if (TB_UNLIKELY(!last) || TB_UNLIKELY(c->first.owner != slot + 1) ||
        TB_UNLIKELY(c->first.fork_generation != (uint16_t)core->fork_generation))
        return NULL;
    struct tb_inflight *entry = &core->inflight[last - 1];
    if (TB_UNLIKELY(!tb_cas_acq_rel(&entry->start_ns, &none, tb_inflight_word(start_ns, slot))))
        return NULL;
    entry->thread = tb_thread_pointer();
    entry->owner = (uint16_t)slot;
    entry->flags = 0;
    return entry;
}

/* The request is in flight from now on: the gauge, and its start for the oldest one. */
static inline void note_in_flight(struct call *call, struct tb_pending *p)
{
    struct tb_core *core = call->core;

    if (TB_UNLIKELY(!tb_load_relaxed(&core->owner)) && !tb_owner_claim(core))
        return;
    /* Once, and the slot's number from it: another thread may be exiting (NULL) or claiming (owner_slot not yet set).
     */
    struct tb_owner *owner = tb_load_acquire(&core->owner);
    if (TB_UNLIKELY(!owner))
        return;
    uint32_t slot = (uint32_t)(owner - core->owners);
    tb_add_relaxed(&owner->in_flight, 1);
    p->owner = (uint16_t)(slot + 1);
    if (TB_UNLIKELY(!p->start_ns))
        return;
    struct tb_inflight *entry = same_entry(core, call->c, p->start_ns, slot);
    if (TB_LIKELY(entry)) {
        entry->route = p->route;
        entry->method = p->method;
        p->inflight = call->c->first.inflight;
        return;
    }
    p->inflight = tb_inflight_claim(core, p->start_ns, (uint32_t)((uintptr_t)call->c / sizeof(struct tb_conn)),
                                    p->route, p->method);
}

static inline struct tb_bytes path_of(const struct tb_start_line *line)
{
    if (TB_LIKELY(*line->path.ptr == '/'))
        return line->path;
    /* a CONNECT target is an address, never a route */
    return line->method == TB_METHOD_CONNECT ? tb_bytes_str("*") : tb_http1_target_path(line->path);
}

static inline uint32_t route_of(struct tb_core *core, const struct tb_start_line *line)
{
    if (TB_UNLIKELY(line->path.len == 0))
        return TB_ROUTE_OTHER; /* lost: no block was left to keep it */
    return tb_route_begin(core, line->method, path_of(line), line->is_cut);
}

/* Rules that may look into a request whose route is known. */
static inline uint32_t rules_asked(const struct call *call, uint8_t role, const struct tb_start_line *line)
{
    const struct tb_rules_view *view = tb_load_acquire(&call->core->rules_view);
    return view ? tb_custom_asked(call->core, &view->custom, role, line->method, call->c->route) : 0;
}

static inline void request_starts(struct call *call)
{
    call->c->start_ns = now(call);
    if (TB_UNLIKELY(call->c->fork_generation != (uint16_t)call->core->fork_generation))
        tb_exchange_note_generation(call);
}

/* The head of a request is complete: queue it, choose its body. @trace: NULL unless more is wanted of heads. @flags:
 * what is known of them. */
static inline void request_head(struct call *call, uint32_t target, const uint64_t *trace, uint8_t flags)
{
    struct tb_conn *c = call->c;
    struct tb_message *m = &c->request;
    bool is_kept = true, is_queued;
    struct tb_pending p = {.start_ns = c->start_ns,
                           .route = c->route,
                           .target = target,
                           .method = m->method,
                           .flags = flags,
                           .fork_generation = (uint16_t)call->core->fork_generation};

    if (TB_UNLIKELY(!(c->request_flags & REQUEST_COUNTED)))
        tb_exchange_count_connection(call);
    if (TB_UNLIKELY(!tb_queue_is_empty(c)))
        p.flags |= PENDING_PIPELINED;
    if (TB_LIKELY(tb_load_relaxed(&c->role) == TB_ROLE_SERVER) && TB_LIKELY(p.route != TB_ROUTE_IGNORED))
        note_in_flight(call, &p);
    if (TB_UNLIKELY(flags & PENDING_ASKED))
        p.flags = (uint8_t)((p.flags & ~PENDING_ASKED) | tb_exchange_caught_head(call, &p));
    if (trace)
        tb_exchange_note_opened(call, &p, trace);
    is_queued = tb_queue_push_first(c, &p) || tb_queue_push(call->core, c, &p, &is_kept);
    if (TB_UNLIKELY(m->flags & (TB_MSG_HAS_LENGTH | TB_MSG_IS_CHUNKED)))
        tb_http1_request_body(m);
    else
        m->phase = TB_PHASE_START;
    if (TB_UNLIKELY(!is_queued || !is_kept || (m->flags & TB_MSG_AMBIGUOUS) ||
                    (tb_load_relaxed(&c->response_flags) & (RESPONSE_EARLY | RESPONSE_WAITS))))
        tb_exchange_request_odd(call, is_queued, is_kept, &p);
}

#endif
