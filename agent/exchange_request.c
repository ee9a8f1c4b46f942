/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The request half of a connection: bytes that carry requests become queued requests. Touches only fields of that half;
 * the response half is entered (by its try-flag) in one case, a response that came before its request.
 */
#include "exchange_impl.h"

#define BAD_CALLS_MAX 100u /* bounded by the 8 bits that count them */

/* A first request: the connection is an HTTP connection. */
void tb_exchange_count_connection(struct call *call)
{
    struct tb_conn *c = call->c;

    c->request_flags |= REQUEST_COUNTED;
    tb_count(call->core, TB_COUNTER_CONN_SEEN);
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
void tb_exchange_request_odd(struct call *call, bool is_queued, bool is_kept, const struct tb_pending *p)
{
    struct tb_conn *c = call->c;

    if (!is_queued || !is_kept) {
        release_in_flight(call->core, p);
        (void)tb_route_end(call->core, p->route, p->method, 0);
    }
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

void tb_exchange_request_head(struct call *call)
{
    request_head(call);
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
    c->request.pos = 0; /* counts calls from now on */
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

/*
 * More bytes on a connection whose first ones were no request: an answer to them would be counted, but after so many
 * calls without one it is another protocol, and its descriptor is to cost nothing.
 */
static void more_of_the_same(struct call *call)
{
    struct tb_conn *c = call->c;

    if ((c->request_flags & (REQUEST_BAD | REQUEST_COUNTED)) == REQUEST_BAD &&
        !(tb_load_relaxed(&c->response_flags) & RESPONSE_CURRENT) && ++c->request.pos == BAD_CALLS_MAX)
        ignore(call);
}

/* Whatever is not a whole ordinary head. Returns false when the range is used up or nothing more is wanted. */
bool tb_exchange_request_step(struct call *call, struct tb_bytes *b)
{
    struct tb_conn *c = call->c;
    struct tb_message *m = &c->request;

    if (m->phase == TB_PHASE_STOPPED || (tb_load_relaxed(&c->response_flags) & RESPONSE_TUNNEL)) {
        more_of_the_same(call);
        return false;
    }
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
