/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hot path: bytes crossed a connection, and everything is ordinary. Included once per instruction set, so that the
 * compiler sees the way from the range of bytes to the observation as one piece; TB_HOT_IO names the function,
 * TB_HOT_AVX2 says which set. Whatever is not ordinary leaves through a call to exchange.c, exchange_request.c or
 * exchange_response.c.
 */
#include "exchange_impl.h"
#include "http1_whole.h"
#include "rules.h"

static inline void request_bytes(struct call *call, struct tb_bytes b)
{
    struct tb_conn *c = call->c;
    struct tb_start_line line;

    while (b.len) {
        if (TB_LIKELY(c->request.phase == TB_PHASE_START && b.ptr) &&
            !(tb_load_relaxed(&c->response_flags) & RESPONSE_TUNNEL) && whole_request(&c->request, &b, &line)) {
            request_starts(call);
            c->route = route_of(call->core, &line);
            request_head(call);
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
        if (m->phase == TB_PHASE_LENGTH && !(c->response_flags & RESPONSE_STREAM)) {
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
                   whole_response(m, &b)) {
            c->first_ns = now(call);
            response_head(call);
        } else if (!tb_exchange_response_step(call, &b)) {
            return;
        }
    }
}

/* ---- the most common exchange: GET without a body on a kept connection, answered with a length ---- */

#define HOT_RESPONSE_FLAGS ((uint8_t) ~(RESPONSE_ANSWERED | RESPONSE_CURRENT))

/* The whole range is one such request, and nothing else waits. False: nothing was done. Holds the request half. */
static inline bool hot_request(struct tb_core *core, struct tb_conn *c, const uint8_t *p, size_t len)
{
    const uint8_t *end = p + len;
    struct tb_queue *q = &c->queue;
    uint16_t pushed = q->pushed, last = c->first.inflight;
    struct tb_owner *owner = tb_load_acquire(&core->owner);

    if (TB_UNLIKELY(load32(p) != WORD_GET || p[4] != '/' || pushed != tb_load_acquire(&q->popped) || q->head || !last ||
                    !owner || !c->request.is_next || (tb_load_relaxed(&c->response_flags) & HOT_RESPONSE_FLAGS)))
        return false;
    const uint8_t *path = p + 4, *cut = path_end(path, end), *blank = cut;
    while (TB_UNLIKELY(blank < end && *blank != ' '))
        blank++;
    if (TB_UNLIKELY(end - blank < 12 || load64(blank + 1) != WORD_HTTP11 || blank[9] != '\r' || blank[10] != '\n' ||
                    cut - path > (ptrdiff_t)TB_PATH_MAX || walk_bodiless(blank + 10, end) != end))
        return false;

    struct tb_inflight *entry = &core->inflight[last - 1];
    uint32_t slot = (uint32_t)(owner - core->owners);
    uint64_t none = 0, start_ns = core->env.monotonic_ns();
    if (TB_UNLIKELY(!start_ns || entry->owner != slot ||
                    !tb_cas_acq_rel(&entry->start_ns, &none, tb_inflight_word(start_ns, slot))))
        return false;
    tb_add_relaxed(&owner->in_flight, 1);
    uint32_t route = tb_route_begin(core, TB_METHOD_GET, tb_bytes(path, (size_t)(cut - path)), false);
    entry->thread = (uint64_t)(uintptr_t)__builtin_thread_pointer();
    entry->route = route;
    entry->method = TB_METHOD_GET;
    entry->flags = 0;
    q->overflow = 0;
    tb_store_relaxed(&q->inline_seq, pushed);
    c->first = (struct tb_pending){.start_ns = start_ns,
                                   .route = route,
                                   .inflight = last,
                                   .owner = (uint16_t)(slot + 1),
                                   .method = TB_METHOD_GET,
                                   .fork_generation = (uint8_t)core->fork_generation};
    tb_store_release(&q->pushed, (uint16_t)(pushed + 1));
    return true;
}

/* The exchange of c->first is over. Holds the response half. */
static inline void hot_finish(struct tb_core *core, struct tb_conn *c, uint64_t end_ns)
{
    uint64_t start_ns = c->first.start_ns, rx_body = tb_load_relaxed(&c->rx_body);
    struct tb_observation o = {.duration_ns = end_ns - start_ns,
                               .first_byte_ns = c->first_ns - start_ns,
                               .rx_bytes = rx_body - c->rx_counted,
                               .tx_bytes = c->tx_body,
                               .is_timed = true};
    struct tb_series_key key = {.family = TB_FAMILY_REQUESTS,
                                .role = TB_ROLE_SERVER,
                                .method = c->first.method,
                                .status = c->response.extra,
                                .route = tb_route_end(core, c->first.route, c->first.method, c->response.extra),
                                .target = 0};

    c->rx_counted = rx_body;
    c->tx_body = 0;
    tb_store_relaxed(&c->response_flags, RESPONSE_ANSWERED);
    release_in_flight(core, &c->first);
    tb_series_observe(core, &key, &o);
    tb_queue_pop_first(c);
}

/* The range begins with such a response's head. False: nothing was done. Holds the response half. */
static inline bool hot_response(struct tb_core *core, struct tb_conn *c, const uint8_t *p, size_t len)
{
    const uint8_t *end = p + len;
    struct tb_message *m = &c->response;
    uint64_t length;

    if (TB_UNLIKELY(load64(p) != WORD_HTTP11 || p[8] != ' ' || p[12] != ' ' || !tb_queue_is_first(c) ||
                    c->first.method == TB_METHOD_HEAD || c->first.method == TB_METHOD_CONNECT || !c->first.start_ns))
        return false;
    uint32_t digits = load32(p + 9) & 0xffffff;
    if (TB_UNLIKELY(((digits + 0x464646) | (digits - 0x303030)) & 0x808080))
        return false;
    digits -= 0x303030;
    uint32_t status = (digits & 0xff) * 100 + (digits >> 8 & 0xff) * 10 + (digits >> 16);
    const uint8_t *behind = walk_with_length(p + 12, end, &length);
    if (TB_UNLIKELY(!behind || status < 200 || status == 204 || status == 304 || (uint64_t)(end - behind) > length))
        return false;
    uint64_t now_ns = core->env.monotonic_ns();
    if (TB_UNLIKELY(now_ns < c->first.start_ns))
        return false;
    c->first_ns = now_ns;
    c->tx_body = (uint64_t)(end - behind);
    m->extra = (uint16_t)status;
    m->number = length - c->tx_body;
    m->is_next = 1;
    if (m->number) {
        m->phase = TB_PHASE_LENGTH;
        set_flags(c, RESPONSE_CURRENT);
    } else {
        hot_finish(core, c, now_ns);
    }
    return true;
}

/* Bytes of such a response's body. False: nothing was done. Holds the response half. */
static inline bool hot_body(struct tb_core *core, struct tb_conn *c, size_t len)
{
    struct tb_message *m = &c->response;

    if (TB_UNLIKELY(len > m->number))
        return false;
    if (len == m->number) {
        uint64_t now_ns = core->env.monotonic_ns();
        if (TB_UNLIKELY(now_ns < c->first_ns || !tb_queue_is_first(c) || !c->first.start_ns ||
                        c->first_ns < c->first.start_ns))
            return false;
        c->tx_body += len;
        m->phase = TB_PHASE_START;
        hot_finish(core, c, now_ns);
    } else {
        c->tx_body += len;
        m->number -= len;
    }
    return true;
}

static inline bool hot_io(struct tb_core *core, struct tb_conn *c, enum tb_direction direction, const uint8_t *p,
                          size_t len)
{
    uint8_t *flag = direction == TB_RECEIVED ? &c->request_busy : &c->response_busy;
    bool is_done = false;

    if (TB_UNLIKELY(!take_flag(flag)))
        return false; /* the general way says so */
    if (direction == TB_RECEIVED) {
        if (c->request.phase == TB_PHASE_START && len > STEP && p)
            is_done = hot_request(core, c, p, len);
    } else if (TB_LIKELY(!(c->response_flags & HOT_RESPONSE_FLAGS))) {
        if (c->response.phase == TB_PHASE_LENGTH)
            is_done = hot_body(core, c, len);
        else if (c->response.phase == TB_PHASE_START && len > STEP && p)
            is_done = hot_response(core, c, p, len);
    }
    drop_flag(flag);
    return is_done;
}

/* ---- everything ---- */

static __attribute__((noinline)) void general_io(struct tb_core *core, struct tb_conn *c, uint8_t role,
                                                 enum tb_direction direction, const struct tb_bytes *ranges,
                                                 size_t count, size_t total)
{
    struct call call = {.core = core, .c = c};
    bool is_request = (role == TB_ROLE_SERVER) == (direction == TB_RECEIVED);
    uint8_t *flag = is_request ? &c->request_busy : &c->response_busy;

    if (TB_UNLIKELY(!take_flag(flag))) {
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
}

void TB_HOT_IO(struct tb_core *core, struct tb_conn *c, enum tb_direction direction, const struct tb_bytes *ranges,
               size_t count, size_t total)
{
    uint8_t role = tb_load_relaxed(&c->role);

    if (TB_UNLIKELY((uint8_t)(role - 1) > 1 || tb_rules_is_off(core))) {
        struct tb_bytes first = {NULL, 0};
        if (count)
            first = tb_bytes(ranges->ptr, ranges->len < total ? ranges->len : total);
        role = tb_exchange_role(core, c, direction, first);
        if (role == TB_ROLE_UNKNOWN)
            return;
    }
    if (TB_LIKELY(role == TB_ROLE_SERVER && count == 1 && total && total <= ranges->len) &&
        hot_io(core, c, direction, ranges->ptr, total))
        return;
    general_io(core, c, role, direction, ranges, count, total);
}
