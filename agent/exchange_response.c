/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The response half of a connection: bytes that carry responses are paired with the queued requests, and each exchange
 * is counted when its response is complete. Touches only fields of that half; the request half is entered (by its
 * try-flag) when a response answers something that is no whole request.
 */
#include "exchange_impl.h"

static void finish_stream(struct call *call)
{
    struct tb_conn *c = call->c;
    struct tb_pending nothing = {.method = TB_METHOD_OTHER};
    uint64_t end_ns = c->first_ns ? now(call) : 0;
    struct tb_observation o = {.is_timed = c->first_ns && end_ns, .tx_bytes = c->tx_body};

    o.duration_ns = end_ns > c->first_ns ? end_ns - c->first_ns : 0;
    clear_flags(c, RESPONSE_STREAM);
    c->tx_body = 0;
    observe(call, TB_FAMILY_STREAM, c->response.extra, 0, &nothing, &o);
}

/*
 * A response head is complete and no whole request waits. It answers a request whose head is still being received, or
 * bytes that are no request, or a request that this process has not read yet; a client has sent it, and notes it in a
 * moment.
 */
static void match_without_request(struct call *call)
{
    struct tb_conn *c = call->c;
    struct tb_message *m = &c->request;

    if (tb_exchange_is_client(c)) { /* behind a request without an end none will be noted */
        set_flags(c, tb_load_relaxed(&m->phase) == TB_PHASE_STOPPED ? RESPONSE_NO_REQUEST : RESPONSE_EARLY);
        return;
    }
    if (!take_flag(&c->request_busy)) {
        give_up(call, TB_COUNTER_GIVEUP_RACE);
        return;
    }
    if (!tb_queue_is_empty(c)) {
        ; /* it came in this moment */
    } else if (m->phase >= TB_PHASE_HEADERS && m->phase < TB_PHASE_LENGTH) {
        /* refused before its head was whole (too large, too slow): the request line is known */
        tb_exchange_request_head(call);
        m->phase = TB_PHASE_STOPPED;
    } else if (m->phase == TB_PHASE_STOPPED || m->phase >= TB_PHASE_METHOD) {
        m->phase = TB_PHASE_STOPPED;
        set_flags(c, RESPONSE_NO_REQUEST);
    } else {
        set_flags(c, RESPONSE_EARLY);
    }
    drop_flag(&c->request_busy);
}

/* The head of a final response to a request of @method is complete: decide the body, and count at once what has no
 * end. */
static void choose_body(struct call *call, uint8_t method)
{
    struct tb_conn *c = call->c;
    struct tb_message *m = &c->response;
    uint8_t flags = m->flags;

    tb_http1_response_body(m, method, m->extra);
    if (flags & TB_MSG_AMBIGUOUS) {
        finish_current(call, false);
        give_up(call, TB_COUNTER_GIVEUP_FRAMING);
    } else if (m->phase == TB_PHASE_TUNNEL) {
        tb_count(call->core, TB_COUNTER_TUNNEL_OPENED);
        finish_current(call, false);
        set_flags(c, RESPONSE_TUNNEL | RESPONSE_STREAM);
    } else if (m->phase == TB_PHASE_START) {
        finish_current(call, false);
    } else if (flags & TB_MSG_IS_STREAM) {
        finish_current(call, false);
        set_flags(c, RESPONSE_STREAM);
    }
}

/* A whole response that waits. One whose request is noted after its end ended when it was seen to. */
static void finish_waiting(struct call *call, const struct tb_pending *p)
{
    struct tb_conn *c = call->c;
    struct call seen = {.core = call->core, .c = c, .now_ns = c->response.number};

    seen.has_now = !is_body_phase(c->response.phase); /* of a stream that goes on it is not known */
    clear_flags(c, RESPONSE_WAITS | RESPONSE_EARLY);
    tb_queue_pop(call->core, c);
    finish(&seen, p, c->response.extra, true, false);
}

void tb_exchange_meet(struct call *call)
{
    struct tb_conn *c = call->c;
    struct tb_pending p;

    if (!tb_queue_peek(call->core, c, &p))
        return;
    if (c->response_flags & RESPONSE_WAITS) {
        finish_waiting(call, &p);
        return;
    }
    clear_flags(c, RESPONSE_EARLY);
    if ((p.method == TB_METHOD_HEAD || p.method == TB_METHOD_CONNECT) && !c->tx_body)
        choose_body(call, p.method); /* the body that it was expected to have does not come */
}

/* A response head is complete. */
void tb_exchange_response_odd(struct call *call)
{
    struct tb_conn *c = call->c;
    struct tb_message *m = &c->response;
    struct tb_pending p = {.method = TB_METHOD_OTHER};
    uint16_t status = m->extra;

    if (status < 200 && status != 101) {
        m->phase = TB_PHASE_START;
        return;
    }
    if (!tb_queue_peek(call->core, c, &p)) {
        match_without_request(call);
        if (is_given_up(c))
            return;
        if (!(c->response_flags & (RESPONSE_NO_REQUEST | RESPONSE_EARLY)) && !tb_queue_peek(call->core, c, &p))
            set_flags(c, RESPONSE_NO_REQUEST);
    }
    set_flags(c, RESPONSE_CURRENT);
    tb_exchange_note_generation(call);
    choose_body(call, p.method);
}

/* TLS is answered: by a library that is followed, or else nobody sees what is in it. */
static void give_up_tls(struct call *call)
{
    bool is_followed = tb_load_relaxed(&call->core->is_tls_followed) != 0;
    give_up(call, is_followed ? TB_COUNTER_TLS_SOCKETS : TB_COUNTER_GIVEUP_TLS);
    if (!is_followed)
        tb_core_unobservable(call->core, TB_UNOBSERVABLE_BUILT_TLS | call->core->tls_unobservable);
}

/* The first bytes of a response are none. */
static void response_bad(struct call *call)
{
    struct tb_conn *c = call->c;

    if (c->request_flags & REQUEST_HTTP2)
        give_up(call, TB_COUNTER_GIVEUP_HTTP2);
    else if (c->request_flags & REQUEST_IS_TLS)
        give_up_tls(call);
    else if (c->request_flags & REQUEST_COUNTED) {
        if (tb_exchange_is_client(c))
            tb_exchange_broken(call);
        give_up(call, TB_COUNTER_GIVEUP_NOT_HTTP);
    } else
        ignore(call);
}

void tb_exchange_response_body(struct call *call, struct tb_bytes *b)
{
    struct tb_conn *c = call->c;
    struct tb_message *m = &c->response;
    bool is_caught = tb_load_relaxed(&call->core->wants_head) & TB_HEAD_CUSTOM && tb_exchange_is_caught(call);
    enum tb_parse r = is_caught ? tb_exchange_caught_body(call, m, b, &c->tx_body, tb_exchange_caught_response_body)
                                : tb_http1_body(m, b, &c->tx_body);

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

/* Whatever is not a whole ordinary head and not a body. Returns false when the range is used up or nothing more is
 * wanted. */
bool tb_exchange_response_step(struct call *call, struct tb_bytes *b)
{
    struct tb_conn *c = call->c;
    struct tb_message *m = &c->response;
    struct tb_start_line line;

    if (TB_UNLIKELY(!b->ptr)) {
        give_up(call, TB_COUNTER_GIVEUP_MISSED);
        return false;
    }
    if (m->phase < TB_PHASE_HEADERS) {
        if (m->phase == TB_PHASE_START) {
            if (c->response_flags & RESPONSE_WAITS)
                tb_exchange_meet(call); /* its request may have come in this moment */
            if (c->response_flags & RESPONSE_WAITS) {
                /* the one before answers no request that we will ever see */
                clear_flags(c, RESPONSE_WAITS | RESPONSE_EARLY);
                finish_unknown(call, m->extra, false);
                if (tb_exchange_is_client(c)) { /* else the requests to come would get each other's answers */
                    give_up(call, TB_COUNTER_GIVEUP_RACE);
                    return false;
                }
            }
            c->first_ns = now(call);
        }
        enum tb_parse r = tb_http1_status_line(m, b, &line);
        if (r == TB_PARSE_BAD)
            response_bad(call);
        if (r != TB_PARSE_OK)
            return false;
    }
    const uint8_t *fields = b->ptr;
    enum tb_parse r = tb_http1_headers(m, false, b);
    if (tb_load_relaxed(&call->core->wants_head) & TB_HEAD_CUSTOM)
        tb_exchange_caught_response_head(call, tb_bytes(fields, (size_t)(b->ptr - fields)),
                                         r == TB_PARSE_OK ? m->extra : 0);
    if (r != TB_PARSE_OK)
        return false;
    tb_exchange_response_odd(call);
    return true;
}

/* No more response bytes will come: a body that ends with the connection is complete. */
void tb_exchange_response_ended(struct call *call)
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

/* The response that is not over when the connection ends. */
void tb_exchange_response_close(struct call *call)
{
    struct tb_conn *c = call->c;
    struct tb_message *m = &c->response;
    struct tb_pending p;

    if (c->response_flags & (RESPONSE_WAITS | RESPONSE_STREAM | RESPONSE_NO_REQUEST) &&
        tb_exchange_is_inherited(call->core, c->fork_generation))
        return; /* the process that began it ends it */
    if (c->response_flags & (RESPONSE_EARLY | RESPONSE_WAITS) && tb_exchange_is_client(c)) {
        if (c->request.phase >= TB_PHASE_HEADERS && c->request.phase < TB_PHASE_LENGTH)
            tb_exchange_request_head(call); /* refused before its head was whole: the request line is known */
        tb_exchange_meet(call);
    }
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
        if (!tb_queue_peek(call->core, c, &p)) {
            if (tb_exchange_is_inherited(call->core, c->fork_generation))
                return;
            set_flags(c, RESPONSE_NO_REQUEST);
        }
        set_flags(c, RESPONSE_CURRENT);
    }
    if (!(c->response_flags & RESPONSE_CURRENT))
        return;
    if (c->response_flags & RESPONSE_EARLY)
        set_flags(c, RESPONSE_NO_REQUEST);
    if (!(c->response_flags & RESPONSE_NO_REQUEST) && tb_queue_peek(call->core, c, &p) &&
        tb_exchange_is_others(call->core, &p)) {
        tb_queue_pop(call->core, c);
        return;
    }
    finish_current(call, m->phase != TB_PHASE_CLOSE);
}
