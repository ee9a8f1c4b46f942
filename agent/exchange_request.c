/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The request half of a connection: bytes that carry requests become queued requests. Touches only fields of that half;
 * the response half is entered (by its try-flag) in one case, a response that came before its request.
 */
#include "exchange_impl.h"

/* A first request: the connection is an HTTP connection. */
static __attribute__((noinline)) void count_connection(struct call *call)
{
    struct tb_conn *c = call->c;

    c->request_flags |= REQUEST_COUNTED;
    tb_count(call->core, TB_COUNTER_CONN_SEEN);
}

static void note_in_flight(struct call *call, struct tb_pending *p)
{
    struct tb_core *core = call->core;

    if (TB_UNLIKELY(!tb_load_relaxed(&core->owner)) && !tb_owner_claim(core))
        return;
    /* Once, and the slot's number from it: another thread may be exiting (NULL) or claiming (owner_slot not yet set).
     */
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

    if (!take_flag(&c->response_busy)) {
        give_up(call, TB_COUNTER_GIVEUP_RACE);
        return;
    }
    if (c->response_flags & RESPONSE_WAITS)
        tb_exchange_finish_waiting(call);
    drop_flag(&c->response_busy);
}

/* What is rare at the end of a head. */
static __attribute__((noinline)) void request_head_odd(struct call *call, bool is_queued, bool is_kept,
                                                       const struct tb_pending *p)
{
    struct tb_conn *c = call->c;

    if (!is_queued || !is_kept)
        release_in_flight(call->core, p);
    if (!is_queued) {
        give_up(call, TB_COUNTER_GIVEUP_QUEUE);
        return;
    }
    if (c->request.flags & TB_MSG_AMBIGUOUS) {
        /* this request is one for every reader; where the next begins is not */
        c->request.phase = TB_PHASE_STOPPED;
        tb_count(call->core, TB_COUNTER_GIVEUP_FRAMING);
    }
    if (tb_load_relaxed(&c->response_flags) & (RESPONSE_EARLY | RESPONSE_WAITS))
        meet_early_response(call);
}

/* The head of a request is complete: queue it, choose its body. */
void tb_exchange_request_head(struct call *call)
{
    struct tb_conn *c = call->c;
    struct tb_message *m = &c->request;
    bool is_kept, is_queued;
    struct tb_pending p = {.start_ns = c->start_ns,
                           .route = c->route,
                           .method = m->method,
                           .fork_generation = (uint8_t)call->core->fork_generation};

    if (TB_UNLIKELY(!(c->request_flags & REQUEST_COUNTED)))
        count_connection(call);
    if (TB_UNLIKELY(!tb_queue_is_empty(c)))
        p.flags |= PENDING_PIPELINED;
    if (TB_LIKELY(tb_load_relaxed(&c->role) == TB_ROLE_SERVER))
        note_in_flight(call, &p);
    is_queued = tb_queue_push(call->core, c, &p, &is_kept);
    if (TB_UNLIKELY(m->flags & (TB_MSG_HAS_LENGTH | TB_MSG_IS_CHUNKED)))
        tb_http1_request_body(m);
    else
        m->phase = TB_PHASE_START;
    if (TB_UNLIKELY(!is_queued || !is_kept || (m->flags & TB_MSG_AMBIGUOUS) ||
                    (tb_load_relaxed(&c->response_flags) & (RESPONSE_EARLY | RESPONSE_WAITS))))
        request_head_odd(call, is_queued, is_kept, &p);
}

static uint32_t route_of(struct tb_core *core, const struct tb_start_line *line)
{
    struct tb_bytes path = line->path;

    if (TB_UNLIKELY(path.len == 0))
        return TB_ROUTE_OTHER; /* lost: no block was left to keep it */
    if (TB_UNLIKELY(*path.ptr != '/'))
        /* a CONNECT target is an address, never a route */
        path = line->method == TB_METHOD_CONNECT ? tb_bytes_str("*") : tb_http1_target_path(path);
    return tb_route_begin(core, line->method, path, line->is_cut);
}

static void request_starts(struct call *call)
{
    call->c->start_ns = now(call);
    call->c->fork_generation = (uint8_t)call->core->fork_generation;
}

static enum tb_parse request_line(struct call *call, struct tb_bytes *b)
{
    struct tb_conn *c = call->c;
    struct tb_message *m = &c->request;
    struct tb_start_line line;

    if (m->phase < TB_PHASE_METHOD)
        request_starts(call);
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
        } else {
            c->route = route_of(call->core, &line);
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

/* Whatever is not a whole ordinary head. Returns false when the range is used up or nothing more is wanted. */
static __attribute__((noinline)) bool request_step(struct call *call, struct tb_bytes *b)
{
    struct tb_conn *c = call->c;
    struct tb_message *m = &c->request;

    if (m->phase == TB_PHASE_STOPPED || (tb_load_relaxed(&c->response_flags) & RESPONSE_TUNNEL))
        return false;
    if (m->phase >= TB_PHASE_LENGTH) {
        uint64_t body = 0;
        enum tb_parse r = tb_http1_body(m, b, &body);
        tb_store_relaxed(&c->rx_body, c->rx_body + body);
        if (r == TB_PARSE_BAD) {
            m->phase = TB_PHASE_STOPPED;
            tb_count(call->core, b->ptr ? TB_COUNTER_GIVEUP_FRAMING : TB_COUNTER_GIVEUP_MISSED);
            return false;
        }
        return true;
    }
    if (TB_UNLIKELY(!b->ptr)) {
        m->phase = TB_PHASE_STOPPED;
        give_up(call, TB_COUNTER_GIVEUP_MISSED);
        return false;
    }
    if (m->phase < TB_PHASE_HEADERS) {
        const uint8_t *first = m->phase == TB_PHASE_START ? b->ptr : NULL;
        enum tb_parse r = request_line(call, b);
        if (r == TB_PARSE_BAD)
            request_bad(call, first);
        if (r != TB_PARSE_OK)
            return false;
    }
    if (tb_http1_headers(m, true, b) != TB_PARSE_OK)
        return false;
    tb_exchange_request_head(call);
    return true;
}

void tb_exchange_request_bytes(struct call *call, struct tb_bytes b)
{
    struct tb_conn *c = call->c;
    struct tb_start_line line;

    while (b.len) {
        if (TB_LIKELY(c->request.phase == TB_PHASE_START && b.ptr) &&
            !(tb_load_relaxed(&c->response_flags) & RESPONSE_TUNNEL) &&
            tb_http1_whole_request(&c->request, &b, &line)) {
            request_starts(call);
            c->route = route_of(call->core, &line);
            tb_exchange_request_head(call);
        } else if (!request_step(call, &b)) {
            return;
        }
    }
}
