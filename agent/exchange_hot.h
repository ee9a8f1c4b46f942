/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hot path: bytes crossed a connection, and everything is ordinary. Included once per instruction set, so that the
 * compiler sees the way from the range of bytes to the observation as one piece; TB_HOT_IO, TB_PLAIN_GET
 * and TB_PLAIN_RESPONSE name the functions, TB_HOT_AVX2 says which set. Whatever is not ordinary leaves through a call
 * to exchange.c, exchange_request.c or exchange_response.c.
 */
#include "exchange_impl.h"
#if !TB_HOT_CAUGHT
#include "http1_plain.h"
#endif
#include "http1_whole.h"
#include "rules.h"

/* Compiled with TB_HOT_CAUGHT while rules look into heads or bodies: responses that they look into take the slow way.
 */
static inline bool is_looked_into(struct call *call)
{
    if (!TB_HOT_CAUGHT || TB_LIKELY(!tb_load_relaxed(&call->core->captures_used)))
        return false;
    return TB_LIKELY(tb_queue_is_first(call->c)) ? call->c->first.flags & PENDING_CAUGHT_RESPONSE
                                                 : tb_exchange_is_caught(call);
}

static inline void request_bytes(struct call *call, struct tb_bytes b)
{
    struct tb_conn *c = call->c;
    struct tb_start_line line;

    while (b.len) {
        const uint8_t *start = b.ptr;
        uint8_t flags = 0;
        if (TB_LIKELY(c->request.phase == TB_PHASE_START && b.ptr) &&
            !(tb_load_relaxed(&c->response_flags) & RESPONSE_TUNNEL) && whole_request(&c->request, &b, &line)) {
            request_starts(call);
            uint8_t wants = wanted_of_head(call);
            struct tb_bytes head = tb_bytes(start, (size_t)(b.ptr - start));
            if (TB_UNLIKELY(wants & ~(TB_HOT_CAUGHT * TB_HEAD_CUSTOM))) {
                tb_exchange_wanted_head(call, &line, head);
                continue;
            }
            c->route = route_of(call->core, &line);
            /* a client's heads are wanted for more */
            uint32_t rules = TB_HOT_CAUGHT && wants ? rules_asked(call, TB_ROLE_SERVER, &line) : 0;
            if (TB_UNLIKELY(rules))
                flags = tb_exchange_caught_whole(call, &line, head, rules);
            request_head(call, 0, NULL, flags);
        } else if (!tb_exchange_request_step(call, &b)) {
            return;
        }
    }
}

/* A response head is complete: an ordinary one has a length, and its request waits in the connection. */
static inline void response_head(struct call *call)
{
    struct tb_conn *c = call->c;
    struct tb_message *m = &c->response;
    const uint8_t odd = TB_MSG_AMBIGUOUS | TB_MSG_IS_STREAM | TB_MSG_HAS_CODING | TB_MSG_HAS_LENGTH;

    if (TB_UNLIKELY((m->flags & odd) != TB_MSG_HAS_LENGTH || m->extra < 200 || m->extra == 204 || m->extra == 304 ||
                    !tb_queue_is_first(c) || c->first.method == TB_METHOD_HEAD ||
                    c->first.method == TB_METHOD_CONNECT)) {
        tb_exchange_response_odd(call);
        return;
    }
    set_flags(c, RESPONSE_CURRENT);
    if (TB_LIKELY(m->number)) {
        m->phase = TB_PHASE_LENGTH;
    } else {
        m->phase = TB_PHASE_START;
        finish_current(call, false);
    }
}

static inline void response_bytes(struct call *call, struct tb_bytes b)
{
    struct tb_conn *c = call->c;
    struct tb_message *m = &c->response;

    while (b.len && !is_given_up(c)) {
        bool is_slow = is_looked_into(call);
        if (m->phase == TB_PHASE_LENGTH && !(c->response_flags & RESPONSE_STREAM) && !is_slow) {
            uint64_t n = b.len < m->number ? b.len : m->number;
            c->tx_body += n;
            m->number -= n;
            if (m->number)
                return;
            m->phase = TB_PHASE_START;
            finish_current(call, false);
            b.len -= (size_t)n;
            b.ptr = b.ptr ? b.ptr + n : NULL;
        } else if (m->phase > TB_PHASE_LENGTH || m->phase == TB_PHASE_LENGTH) {
            tb_exchange_response_body(call, &b);
        } else if (TB_LIKELY(m->phase == TB_PHASE_START && b.ptr && !(c->response_flags & RESPONSE_WAITS)) &&
                   !is_slow && whole_response(m, &b)) {
            c->first_ns = now(call);
            response_head(call);
        } else if (!tb_exchange_response_step(call, &b)) {
            return;
        }
    }
}

/* ---- everything ---- */

void TB_HOT_IO(struct tb_core *core, struct tb_conn *c, enum tb_direction direction, const struct tb_bytes *ranges,
               size_t count, size_t total)
{
    struct call call = {.core = core, .c = c};
    uint8_t role = tb_load_relaxed(&c->role);

    if (TB_UNLIKELY((uint8_t)(role - 1) > 1 || !tb_rules_are_seen(core))) {
        struct tb_bytes first = {NULL, 0};
        for (; count && !ranges->len; count--)
            ranges++; /* the first byte decides the role */
        if (count)
            first = tb_bytes(ranges->ptr, ranges->len < total ? ranges->len : total);
        role = tb_exchange_role(core, c, direction, first);
        if (role == TB_ROLE_UNKNOWN)
            return;
    }
    bool is_request = (role == TB_ROLE_SERVER) == (direction == TB_RECEIVED);
    uint8_t *flag = is_request ? &c->request_busy : &c->response_busy;
    if (TB_UNLIKELY(!take_flag(flag))) {
        if (total || role != TB_ROLE_CLIENT) /* the end is seen again when it is closed */
            tb_exchange_race(&call);
        return;
    }
    if (TB_UNLIKELY(total == 0))
        tb_exchange_ended(&call, is_request);
    for (; count && total; ranges++, count--) {
        struct tb_bytes b = {ranges->ptr, ranges->len < total ? ranges->len : total};
        total -= b.len;
        if (is_request)
            request_bytes(&call, b);
        else
            response_bytes(&call, b);
    }
    if (TB_UNLIKELY(is_given_up(c)))
        tb_exchange_after_giving_up(&call, is_request);
    drop_flag(flag);
    if (TB_UNLIKELY(role == TB_ROLE_CLIENT))
        tb_exchange_left(&call, is_request);
}
