/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pairs the requests and responses of one connection and counts each exchange when its response is complete
 * (exchange.h).
 *
 * The life of an exchange: request_bytes() reads a head, asks route.c for its route and queues it; response_bytes()
 * reads the response head, takes the oldest queued request, skips the body by the framing that both decide, and
 * finish() adds one observation to the region. Closing counts what was left open.
 *
 * Threads: the direction that carries requests touches only fields of the request half of struct tb_conn, the other
 * only those of the response half; each is guarded by a try-flag that is never waited for. Fork story: connections are
 * private memory; a queued request remembers in which life of the process it was queued.
 */
#include "exchange.h"
#include "conn.h"
#include "queue.h"
#include "region.h"
#include "route.h"
#include "rules.h"
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

static uint64_t now(struct call *call)
{
    if (!call->has_now) {
        call->now_ns = call->core->env.monotonic_ns();
        call->has_now = true;
    }
    return call->now_ns;
}

static bool take_flag(uint8_t *flag)
{
    return tb_swap_acquire(flag, 1) == 0;
}

static void drop_flag(uint8_t *flag)
{
    tb_store_release(flag, 0);
}

/* Nothing more will be counted on this connection; that it was HTTP is lost and said. Called with one of the halves
 * held. */
static void give_up(struct call *call, enum tb_counter why)
{
    if (tb_swap_acquire(&call->c->role, ROLE_GIVEN_UP) != ROLE_GIVEN_UP)
        tb_count(call->core, why);
}

/* The same for a connection that never was HTTP: nothing is lost. */
static void ignore(struct call *call)
{
    tb_store_release(&call->c->role, ROLE_GIVEN_UP);
}

static bool is_given_up(const struct tb_conn *c)
{
    return tb_load_relaxed(&c->role) == ROLE_GIVEN_UP;
}

/* ---- counting ---- */

static void release_in_flight(struct tb_core *core, const struct tb_pending *p)
{
    if (p->owner)
        tb_add_relaxed(&core->owners[p->owner - 1].in_flight, -1);
    if (p->inflight)
        tb_store_release(&core->inflight[p->inflight - 1].start_ns, 0);
}

/* Across a fork, was the request's entry marked by the other side as closed unanswered? Marks it otherwise. */
static bool was_handed_over(struct tb_core *core, const struct tb_pending *p)
{
    if (!p->inflight)
        return true;
    struct tb_inflight *slot = &core->inflight[p->inflight - 1];
    if (tb_load_acquire(&slot->start_ns) != tb_inflight_word(p->start_ns, p->owner - 1u))
        return false; /* the other side finished it; the slot is somebody else's by now */
    return tb_fetch_or_relaxed(&slot->flags, TB_INFLIGHT_HANDED) & TB_INFLIGHT_HANDED;
}

static void observe(struct call *call, uint8_t family, uint16_t status, uint32_t route, const struct tb_pending *p,
                    struct tb_observation *o)
{
    struct tb_series_key key = {.family = family,
                                .role =
                                    tb_load_relaxed(&call->c->role) == TB_ROLE_CLIENT ? TB_ROLE_CLIENT : TB_ROLE_SERVER,
                                .method = p->method,
                                .status = status,
                                .route = route,
                                .target = p->target};
    tb_series_observe(call->core, &key, o);
}

/* One exchange is over: @status was sent. */
static void finish(struct call *call, const struct tb_pending *p, uint16_t status, bool is_known, bool is_incomplete)
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
    c->response_flags |= RESPONSE_ANSWERED;
    release_in_flight(call->core, p);
    observe(call, TB_FAMILY_REQUESTS, status,
            is_known ? tb_route_end(call->core, p->route, p->method, status) : TB_STR_UNMATCHED, p, &o);
}

static void finish_unknown(struct call *call, uint16_t status, bool is_incomplete)
{
    struct tb_pending nothing = {.method = TB_METHOD_OTHER};
    finish(call, &nothing, status, false, is_incomplete);
}

/* The response at hand is over, at its body's end or cut short. */
static void finish_current(struct call *call, bool is_incomplete)
{
    struct tb_conn *c = call->c;
    struct tb_pending p;
    uint8_t flags = c->response_flags;

    c->response_flags &= (uint8_t) ~(RESPONSE_CURRENT | RESPONSE_NO_REQUEST);
    if (flags & RESPONSE_NO_REQUEST) {
        finish_unknown(call, c->response.extra, is_incomplete);
    } else if (tb_queue_peek(call->core, c, &p)) {
        c->response_flags &= (uint8_t)~RESPONSE_EARLY;
        tb_queue_pop(call->core, c);
        finish(call, &p, c->response.extra, true, is_incomplete);
    } else { /* early: kept until its request comes */
        c->response_flags |= RESPONSE_WAITS;
    }
}

static void finish_stream(struct call *call)
{
    struct tb_conn *c = call->c;
    struct tb_pending nothing = {.method = TB_METHOD_OTHER};
    uint64_t end_ns = c->first_ns ? now(call) : 0;
    struct tb_observation o = {.is_timed = c->first_ns && end_ns, .tx_bytes = c->tx_body};

    o.duration_ns = end_ns > c->first_ns ? end_ns - c->first_ns : 0;
    c->response_flags &= (uint8_t)~RESPONSE_STREAM;
    c->tx_body = 0;
    observe(call, TB_FAMILY_STREAM, c->response.extra, 0, &nothing, &o);
}

static void abort_pending(struct call *call, const struct tb_pending *p, enum tb_abort reason)
{
    struct tb_observation o = {0};
    release_in_flight(call->core, p);
    observe(call, TB_FAMILY_ABORTED, (uint16_t)reason, tb_route_end(call->core, p->route, p->method, 0), p, &o);
}

/* ---- the request half ---- */

/* A first request: the connection is an HTTP connection. */
static void count_connection(struct call *call)
{
    struct tb_conn *c = call->c;

    if (c->request_flags & REQUEST_COUNTED)
        return;
    c->request_flags |= REQUEST_COUNTED;
    tb_count(call->core, TB_COUNTER_CONN_SEEN);
}

static void note_in_flight(struct call *call, struct tb_pending *p)
{
    struct tb_core *core = call->core;

    if (TB_UNLIKELY(!tb_load_relaxed(&core->owner)) && !tb_owner_claim(core))
        return;
    /* Once, and the slot's number from it: another thread may be exiting (NULL) or claiming (owner_slot not yet set). */
    struct tb_owner *owner = tb_load_acquire(&core->owner);
    if (TB_UNLIKELY(!owner))
        return;
    tb_add_relaxed(&owner->in_flight, 1);
    p->owner = (uint16_t)(owner - core->owners + 1);
    if (p->start_ns)
        p->inflight = tb_inflight_claim(core, p->start_ns, (uint32_t)((uintptr_t)call->c / sizeof(struct tb_conn)),
                                        p->route, p->method);
}

/* A response came before its request: does it wait, or is it still being sent? Needs the response half. */
static void meet_early_response(struct call *call)
{
    struct tb_conn *c = call->c;
    struct tb_pending p;

    if (!take_flag(&c->response_busy)) {
        give_up(call, TB_COUNTER_GIVEUP_RACE);
        return;
    }
    if ((c->response_flags & RESPONSE_WAITS) && tb_queue_peek(call->core, c, &p)) {
        c->response_flags &= (uint8_t) ~(RESPONSE_WAITS | RESPONSE_EARLY);
        tb_queue_pop(call->core, c);
        finish(call, &p, c->response.extra, true, false);
    }
    drop_flag(&c->response_busy);
}

/* The head of a request is complete: queue it, choose its body. */
static void request_head_done(struct call *call)
{
    struct tb_conn *c = call->c;
    struct tb_message *m = &c->request;
    bool is_ambiguous = m->flags & TB_MSG_AMBIGUOUS, is_kept;
    struct tb_pending p = {.start_ns = c->start_ns,
                           .route = c->route,
                           .method = m->method,
                           .fork_generation = (uint8_t)call->core->fork_generation};

    count_connection(call);
    if (!tb_queue_is_empty(c))
        p.flags |= PENDING_PIPELINED;
    if (tb_load_relaxed(&c->role) == TB_ROLE_SERVER)
        note_in_flight(call, &p);
    bool is_queued = tb_queue_push(call->core, c, &p, &is_kept);
    if (!is_queued || !is_kept)
        release_in_flight(call->core, &p);
    if (!is_queued) {
        give_up(call, TB_COUNTER_GIVEUP_QUEUE);
        return;
    }
    tb_http1_request_body(m);
    if (is_ambiguous) {
        /* this request is one for every reader; where the next begins is not */
        m->phase = TB_PHASE_STOPPED;
        tb_count(call->core, TB_COUNTER_GIVEUP_FRAMING);
    }
    if (TB_UNLIKELY(tb_load_relaxed(&c->response_flags) & (RESPONSE_EARLY | RESPONSE_WAITS)))
        meet_early_response(call);
}

static enum tb_parse request_line(struct call *call, struct tb_bytes *b)
{
    struct tb_conn *c = call->c;
    struct tb_message *m = &c->request;
    struct tb_start_line line;

    if (m->phase < TB_PHASE_METHOD) {
        c->start_ns = now(call);
        c->fork_generation = (uint8_t)call->core->fork_generation;
    }
    enum tb_parse r = tb_http1_request_line(m, b, &line);
    if (TB_UNLIKELY(r == TB_PARSE_PARTIAL)) {
        /* not in the middle of a path whose first part is lost already */
        if (!c->path_block && (m->phase < TB_PHASE_TARGET || m->extra == 0))
            c->path_block = tb_path_take(call->core);
        uint8_t *block = c->path_block ? call->core->path_blocks[c->path_block - 1] : NULL;
        r = tb_http1_request_line_cut(m, b, block, &line);
    }
    if (r == TB_PARSE_OK) {
        if (TB_UNLIKELY(line.is_http2)) {
            c->request_flags |= REQUEST_HTTP2;
            m->phase = TB_PHASE_STOPPED;
            r = TB_PARSE_BAD;
        } else if (TB_UNLIKELY(line.path.len == 0 && line.is_cut)) {
            c->route = TB_ROUTE_OTHER;
        } else {
            /* a CONNECT target is an address, never a route */
            struct tb_bytes path =
                line.method == TB_METHOD_CONNECT ? tb_bytes_str("*") : tb_http1_target_path(line.path);
            c->route = tb_route_begin(call->core, line.method, path, line.is_cut);
        }
    }
    if (TB_UNLIKELY(r != TB_PARSE_PARTIAL && c->path_block)) {
        tb_path_free(call->core, c->path_block);
        c->path_block = 0;
    }
    return r;
}

/* Bytes that are no request, at a place where one must start. */
static void request_bad(struct call *call, const uint8_t *first)
{
    struct tb_conn *c = call->c;

    c->request_flags |= REQUEST_BAD;
    if (!(c->request_flags & REQUEST_COUNTED) && first && *first == 0x16)
        c->request_flags |= REQUEST_IS_TLS;
    /* a client that does not speak HTTP: the other side will not either */
    if (tb_load_relaxed(&c->role) != TB_ROLE_CLIENT)
        return;
    if (c->request_flags & REQUEST_COUNTED)
        give_up(call, TB_COUNTER_GIVEUP_NOT_HTTP);
    else
        ignore(call);
}

static void request_bytes(struct call *call, struct tb_bytes b)
{
    struct tb_conn *c = call->c;
    struct tb_message *m = &c->request;

    while (b.len) {
        if (m->phase == TB_PHASE_STOPPED || (tb_load_relaxed(&c->response_flags) & RESPONSE_TUNNEL))
            return;
        if (m->phase >= TB_PHASE_LENGTH) {
            uint64_t body = 0;
            enum tb_parse r = tb_http1_body(m, &b, &body);
            tb_store_relaxed(&c->rx_body, c->rx_body + body);
            if (r == TB_PARSE_BAD) {
                m->phase = TB_PHASE_STOPPED;
                tb_count(call->core, b.ptr ? TB_COUNTER_GIVEUP_FRAMING : TB_COUNTER_GIVEUP_MISSED);
                return;
            }
            continue;
        }
        if (TB_UNLIKELY(!b.ptr)) {
            m->phase = TB_PHASE_STOPPED;
            give_up(call, TB_COUNTER_GIVEUP_MISSED);
            return;
        }
        if (m->phase < TB_PHASE_HEADERS) {
            const uint8_t *first = m->phase == TB_PHASE_START ? b.ptr : NULL;
            enum tb_parse r = request_line(call, &b);
            if (r == TB_PARSE_BAD)
                request_bad(call, first);
            if (r != TB_PARSE_OK)
                return;
            /* what follows may be cut off right here */
            if (b.len == 0)
                return;
        }
        if (tb_http1_headers(m, true, &b) != TB_PARSE_OK)
            return;
        request_head_done(call);
    }
}

/* ---- the response half ---- */

/*
 * A response head is complete and no whole request waits. It answers a request whose head is still being received, or
 * bytes that are no request, or a request that this process has not read yet.
 */
static void match_without_request(struct call *call)
{
    struct tb_conn *c = call->c;
    struct tb_message *m = &c->request;

    if (!take_flag(&c->request_busy)) {
        give_up(call, TB_COUNTER_GIVEUP_RACE);
        return;
    }
    if (!tb_queue_is_empty(c)) {
        ; /* it came in this moment */
    } else if (m->phase >= TB_PHASE_HEADERS && m->phase < TB_PHASE_LENGTH) {
        /* refused before its head was whole (too large, too slow): the request line is known */
        request_head_done(call);
        m->phase = TB_PHASE_STOPPED;
    } else if (m->phase == TB_PHASE_STOPPED || m->phase >= TB_PHASE_METHOD) {
        m->phase = TB_PHASE_STOPPED;
        c->response_flags |= RESPONSE_NO_REQUEST;
    } else {
        c->response_flags |= RESPONSE_EARLY;
    }
    drop_flag(&c->request_busy);
}

/* A final response head is complete: decide the body, and count at once what has no end. */
static void response_head_done(struct call *call)
{
    struct tb_conn *c = call->c;
    struct tb_message *m = &c->response;
    struct tb_pending p = {.method = TB_METHOD_OTHER};
    uint16_t status = m->extra;
    uint8_t flags = m->flags;

    if (status < 200 && status != 101) {
        m->phase = TB_PHASE_START;
        return;
    }
    if (!tb_queue_peek(call->core, c, &p)) {
        match_without_request(call);
        if (is_given_up(c))
            return;
        if (!(c->response_flags & (RESPONSE_NO_REQUEST | RESPONSE_EARLY)) && !tb_queue_peek(call->core, c, &p))
            c->response_flags |= RESPONSE_NO_REQUEST;
    }
    c->response_flags |= RESPONSE_CURRENT;
    tb_http1_response_body(m, p.method, status);
    if (flags & TB_MSG_AMBIGUOUS) {
        finish_current(call, false);
        give_up(call, TB_COUNTER_GIVEUP_FRAMING);
    } else if (m->phase == TB_PHASE_TUNNEL) {
        tb_count(call->core, TB_COUNTER_TUNNEL_OPENED);
        finish_current(call, false);
        c->response_flags |= RESPONSE_TUNNEL | RESPONSE_STREAM;
    } else if (m->phase == TB_PHASE_START) {
        finish_current(call, false);
    } else if (flags & TB_MSG_IS_STREAM) {
        finish_current(call, false);
        c->response_flags |= RESPONSE_STREAM;
    }
}

/* The first bytes of a response are none. */
static void response_bad(struct call *call)
{
    struct tb_conn *c = call->c;

    if (c->request_flags & REQUEST_HTTP2)
        give_up(call, TB_COUNTER_GIVEUP_HTTP2);
    else if (c->request_flags & REQUEST_IS_TLS)
        give_up(call, TB_COUNTER_GIVEUP_TLS);
    else if (c->request_flags & REQUEST_COUNTED)
        give_up(call, TB_COUNTER_GIVEUP_NOT_HTTP);
    else
        ignore(call);
}

static void response_body(struct call *call, struct tb_bytes *b)
{
    struct tb_conn *c = call->c;
    struct tb_message *m = &c->response;
    enum tb_parse r = tb_http1_body(m, b, &c->tx_body);

    if (TB_LIKELY(r == TB_PARSE_OK)) {
        if (c->response_flags & RESPONSE_STREAM)
            finish_stream(call);
        else
            finish_current(call, false);
    } else if (r == TB_PARSE_BAD) {
        bool is_missed = !b->ptr;
        if (!(c->response_flags & RESPONSE_STREAM))
            finish_current(call, true);
        give_up(call, is_missed ? TB_COUNTER_GIVEUP_MISSED : TB_COUNTER_GIVEUP_FRAMING);
    }
}

static void response_bytes(struct call *call, struct tb_bytes b)
{
    struct tb_conn *c = call->c;
    struct tb_message *m = &c->response;
    struct tb_start_line line;

    while (b.len && !is_given_up(c)) {
        if (m->phase >= TB_PHASE_LENGTH) {
            response_body(call, &b);
            continue;
        }
        if (TB_UNLIKELY(!b.ptr)) {
            give_up(call, TB_COUNTER_GIVEUP_MISSED);
            return;
        }
        if (m->phase < TB_PHASE_HEADERS) {
            if (m->phase == TB_PHASE_START) {
                if (TB_UNLIKELY(c->response_flags & RESPONSE_WAITS)) {
                    /* the one before answers no request that we will ever see */
                    c->response_flags &= (uint8_t) ~(RESPONSE_WAITS | RESPONSE_EARLY);
                    finish_unknown(call, m->extra, false);
                }
                c->first_ns = now(call);
            }
            enum tb_parse r = tb_http1_status_line(m, &b, &line);
            if (r == TB_PARSE_BAD)
                response_bad(call);
            if (r != TB_PARSE_OK || b.len == 0)
                return;
        }
        if (tb_http1_headers(m, false, &b) != TB_PARSE_OK)
            return;
        response_head_done(call);
    }
}

/* No more response bytes will come: a body that ends with the connection is complete. */
static void response_ended(struct call *call)
{
    struct tb_conn *c = call->c;

    if (c->response.phase != TB_PHASE_CLOSE)
        return;
    c->response.phase = TB_PHASE_STOPPED;
    if (c->response_flags & RESPONSE_STREAM)
        finish_stream(call);
    else
        finish_current(call, false);
}

/* ---- entry points ---- */

/* The side whose first bytes are a request is the client; a server may only speak first to refuse. */
static uint8_t decide_role(struct tb_conn *c, enum tb_direction direction, struct tb_bytes first)
{
    uint8_t role = TB_ROLE_SERVER, unknown = TB_ROLE_UNKNOWN;

    if (direction == TB_SENT && !(first.ptr && first.len >= 2 && first.ptr[0] == 'H' && first.ptr[1] == 'T'))
        role = TB_ROLE_CLIENT;
    return tb_cas_acq_rel(&c->role, &unknown, role) ? role : unknown;
}

static void switched_off(struct call *call)
{
    if (tb_load_relaxed(&call->c->role) != TB_ROLE_UNKNOWN)
        give_up(call, TB_COUNTER_GIVEUP_OFF);
    else
        ignore(call); /* begun while it was off: it will not be understood from its middle */
}

/* After giving up: the waiting requests are no longer in flight as far as we can tell. Needs both halves. */
static void drain(struct call *call)
{
    struct tb_conn *c = call->c;
    struct tb_pending p;

    while (tb_queue_peek(call->core, c, &p)) {
        tb_queue_pop(call->core, c);
        release_in_flight(call->core, &p);
    }
}

static void after_giving_up(struct call *call, uint8_t *other_flag)
{
    if (!take_flag(other_flag))
        return; /* the other half is inside; close will drain */
    drain(call);
    drop_flag(other_flag);
}

void tb_exchange_io(struct tb_core *core, struct tb_conn *c, enum tb_direction direction, const struct tb_bytes *ranges,
                    size_t count, size_t total)
{
    uint8_t role = tb_load_relaxed(&c->role);
    struct call call = {.core = core, .c = c};

    if (TB_UNLIKELY(role == ROLE_GIVEN_UP || !core->base))
        return;
    if (TB_UNLIKELY(tb_rules_is_off(core))) {
        switched_off(&call);
        return;
    }
    if (TB_UNLIKELY(role == TB_ROLE_UNKNOWN)) {
        if (total == 0 || count == 0)
            return;
        role = decide_role(c, direction, tb_bytes(ranges[0].ptr, ranges[0].len < total ? ranges[0].len : total));
    }
    bool is_request = (role == TB_ROLE_SERVER) == (direction == TB_RECEIVED);
    uint8_t *flag = is_request ? &c->request_busy : &c->response_busy;
    if (TB_UNLIKELY(!take_flag(flag))) {
        give_up(&call, TB_COUNTER_GIVEUP_RACE);
        return;
    }
    if (TB_UNLIKELY(total == 0)) {
        if (is_request)
            c->request_flags |= REQUEST_ENDED;
        else
            response_ended(&call);
    }
    for (size_t i = 0; i < count && total; i++) {
        struct tb_bytes b = ranges[i];
        if (b.len > total)
            b.len = total;
        total -= b.len;
        if (is_request)
            request_bytes(&call, b);
        else
            response_bytes(&call, b);
    }
    if (TB_UNLIKELY(is_given_up(c)))
        after_giving_up(&call, is_request ? &c->response_busy : &c->request_busy);
    drop_flag(flag);
}

void tb_conn_open(struct tb_conn *c)
{
    tb_zero(c, sizeof(*c));
}

void tb_exchange_shutdown(struct tb_core *core, struct tb_conn *c, enum tb_direction direction)
{
    struct call call = {.core = core, .c = c};
    uint8_t role = tb_load_relaxed(&c->role);

    /* only the end of what this process sends is certain: a response */
    if (!core->base || role != TB_ROLE_SERVER || direction != TB_SENT)
        return;
    if (!take_flag(&c->response_busy)) {
        give_up(&call, TB_COUNTER_GIVEUP_RACE);
        return;
    }
    response_ended(&call);
    drop_flag(&c->response_busy);
}

static bool head_is_cut(const struct tb_message *m)
{
    return m->phase >= TB_PHASE_METHOD && m->phase <= TB_PHASE_HEADER_CR;
}

/* Does another process hold the exchange since a fork? The first of the two to close it unanswered leaves it to the
 * other. */
static bool is_others(struct tb_core *core, const struct tb_pending *p)
{
    return p->fork_generation != (uint8_t)core->fork_generation && !was_handed_over(core, p);
}

/* The response that is not over when the connection ends. */
static void close_response(struct call *call)
{
    struct tb_conn *c = call->c;
    struct tb_message *m = &c->response;
    struct tb_pending p;

    if (c->response_flags & RESPONSE_WAITS) {
        finish_unknown(call, m->extra, false);
        return;
    }
    if (c->response_flags & RESPONSE_STREAM) {
        finish_stream(call);
        return;
    }
    bool has_status = m->phase >= TB_PHASE_HEADERS && m->phase <= TB_PHASE_HEADER_CR && m->extra >= 200;
    if (has_status && !(c->response_flags & RESPONSE_CURRENT)) {
        c->response_flags |= RESPONSE_CURRENT;
        if (!tb_queue_peek(call->core, c, &p))
            c->response_flags |= RESPONSE_NO_REQUEST;
    }
    if (!(c->response_flags & RESPONSE_CURRENT))
        return;
    if (c->response_flags & RESPONSE_EARLY)
        c->response_flags |= RESPONSE_NO_REQUEST;
    if (!(c->response_flags & RESPONSE_NO_REQUEST) && tb_queue_peek(call->core, c, &p) && is_others(call->core, &p)) {
        tb_queue_pop(call->core, c);
        return;
    }
    finish_current(call, m->phase != TB_PHASE_CLOSE);
}

/* Requests that will never be answered here. */
static void close_requests(struct call *call)
{
    struct tb_conn *c = call->c;
    struct tb_message *m = &c->request;
    struct tb_pending p;
    bool has_ended = c->request_flags & REQUEST_ENDED;

    while (tb_queue_peek(call->core, c, &p)) {
        tb_queue_pop(call->core, c);
        if (is_others(call->core, &p))
            continue;
        enum tb_abort reason = has_ended ? TB_ABORT_CLIENT_CLOSED : TB_ABORT_SERVER_CLOSED;
        if (p.flags & PENDING_PIPELINED)
            reason = TB_ABORT_NEVER_ANSWERED;
        else if (tb_queue_is_empty(c) && m->phase >= TB_PHASE_LENGTH && m->phase < TB_PHASE_CLOSE)
            reason = TB_ABORT_INCOMPLETE_REQUEST;
        abort_pending(call, &p, reason);
    }
    if (head_is_cut(m) && c->fork_generation == (uint8_t)call->core->fork_generation) {
        bool is_known = m->phase >= TB_PHASE_HEADERS;
        struct tb_observation o = {0};
        p = (struct tb_pending){.method = is_known ? m->method : TB_METHOD_OTHER};
        observe(call, TB_FAMILY_ABORTED, TB_ABORT_INCOMPLETE_REQUEST,
                is_known ? tb_route_end(call->core, c->route, p.method, 0) : TB_STR_UNMATCHED, &p, &o);
    }
}

bool tb_exchange_close(struct tb_core *core, struct tb_conn *c, enum tb_close_how how)
{
    struct call call = {.core = core, .c = c};
    uint8_t role = tb_load_relaxed(&c->role);

    (void)how;
    if (TB_UNLIKELY(!take_flag(&c->request_busy))) {
        give_up(&call, TB_COUNTER_GIVEUP_RACE);
        return false;
    }
    if (TB_UNLIKELY(!take_flag(&c->response_busy))) {
        drop_flag(&c->request_busy);
        give_up(&call, TB_COUNTER_GIVEUP_RACE);
        return false;
    }
    if (core->base && role != TB_ROLE_UNKNOWN) {
        if (role != ROLE_GIVEN_UP && !tb_rules_is_off(core)) {
            close_response(&call);
            close_requests(&call);
        }
        drain(&call);
    }
    if (c->path_block)
        tb_path_free(core, c->path_block);
    tb_queue_free(core, c);
    ignore(&call);
    return true;
}

bool tb_exchange_is_open(const struct tb_conn *c)
{
    uint8_t role = tb_load_relaxed(&c->role);

    return (role == TB_ROLE_SERVER || role == TB_ROLE_CLIENT) &&
           (!tb_queue_is_empty(c) || head_is_cut(&c->request) || c->response.phase != TB_PHASE_START ||
            (c->response_flags & (RESPONSE_CURRENT | RESPONSE_WAITS | RESPONSE_STREAM)));
}

bool tb_exchange_is_done(const struct tb_conn *c)
{
    return is_given_up(c);
}

bool tb_exchange_looks_http(struct tb_bytes in)
{
    static const uint8_t proxy2[5] = {13, 10, 13, 10, 0};

    if (in.len == 0 || !in.ptr)
        return false;
    if ((uint8_t)(in.ptr[0] - 'A') >= 26)
        return in.len >= sizeof(proxy2) && tb_equal(in.ptr, proxy2, sizeof(proxy2));
    size_t n = in.len < 20 ? in.len : 20;
    for (size_t i = 1; i < n; i++) {
        uint8_t c = in.ptr[i];
        if (c == ' ') /* a target follows: "/path", "http://", "*", "host:port", or "TCP4" of a PROXY line */
            return i + 1 >= in.len || (in.ptr[i + 1] > ' ' && in.ptr[i + 1] < 127);
        if (c == '/')
            return i == 4 && tb_equal(in.ptr, "HTTP", 4);
        if ((uint8_t)(c - 'A') >= 26 && c != '-' && c != '_')
            return false;
    }
    return in.len < 20;
}
