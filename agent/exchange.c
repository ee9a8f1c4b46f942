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
#include "exchange_impl.h"
#include "rules.h"

tb_exchange_io_fn *tb_exchange_io_selected = tb_exchange_io_base;

/* While no rule looks into exchanges, and while some does. */
static tb_exchange_io_fn *not_looking = tb_exchange_io_base, *looking = tb_exchange_io_looking;
static bool is_looked_into;

void tb_exchange_look(bool is_looking)
{
    tb_store_relaxed(&is_looked_into, is_looking);
    tb_store_release(&tb_exchange_io_selected, tb_load_relaxed(is_looking ? &looking : &not_looking));
}

static void select_functions(tb_exchange_io_fn *io, tb_plain_get_fn *get, tb_plain_response_fn *response)
{
    tb_store_relaxed(&not_looking, io);
    tb_store_relaxed(&looking, tb_exchange_io_looking);
    tb_exchange_look(tb_load_relaxed(&is_looked_into));
    tb_store_release(&tb_plain_get_selected, get);
    tb_store_release(&tb_plain_response_selected, response);
}

void tb_exchange_select(enum tb_simd simd)
{
    tb_http1_select(simd);
#ifdef TB_SCAN_X86
    if (simd == TB_SIMD_AVX2) {
        select_functions(tb_exchange_io_avx2, tb_plain_get_avx2, tb_plain_response_avx2);
        tb_store_relaxed(&looking, tb_exchange_io_looking_avx2);
        tb_exchange_look(tb_load_relaxed(&is_looked_into));
        return;
    }
#endif
    if (simd == TB_SIMD_PORTABLE)
        select_functions(tb_exchange_io_portable, tb_plain_get_portable, tb_plain_response_portable);
    else
        select_functions(tb_exchange_io_base, tb_plain_get_base, tb_plain_response_base);
}

bool tb_exchange_is_inherited(const struct tb_core *core, uint16_t generation)
{
    return (uint16_t)(core->fork_generation - generation) > core->fork_generation - core->birth_generation;
}

/*
 * Leaves an exchange that was open at forks. The entry's flags count who has left: the children add 1 each, and the
 * process that forked them brings the count to TB_INFLIGHT_LEFT less the children that remain. So it is reached by
 * whoever is last. A child that ends without leaving (killed) makes that nobody is.
 */
static bool leave(uint8_t *flags, bool is_inherited, uint16_t forks)
{
    uint8_t seen = tb_load_relaxed(flags), next;

    if (!is_inherited && forks >= TB_INFLIGHT_CHILDREN_MAX)
        return true;
    do {
        if (is_inherited && seen == TB_INFLIGHT_CHILDREN_MAX)
            return false;
        next = (uint8_t)(seen + (is_inherited ? 1 : TB_INFLIGHT_LEFT - forks));
    } while (!tb_cas_acq_rel(flags, &seen, next));
    return next == TB_INFLIGHT_LEFT;
}

/* A call that will get no answer. */
static void lose_call(struct call *call, const struct tb_pending *p, enum tb_call_error why)
{
    if (tb_route_end(call->core, p->route, p->method, 0) != TB_STR_IGNORED && p->target && !tb_runtime_is(p->target))
        tb_dependency_failed(call->core, p->target, why);
}

/* All that wait on a client's connection. Needs the response half. */
static void lose_calls(struct call *call, enum tb_call_error why)
{
    struct tb_pending p;
    while (tb_queue_peek(call->core, call->c, &p)) {
        tb_queue_pop(call->core, call->c);
        if (!tb_exchange_is_others(call->core, &p))
            lose_call(call, &p, why);
    }
}

static void abort_pending(struct call *call, const struct tb_pending *p, enum tb_abort reason)
{
    struct tb_observation o = {0};
    release_in_flight(call->core, p);
    observe(call, TB_FAMILY_ABORTED, (uint16_t)reason, tb_route_end(call->core, p->route, p->method, 0), p, &o);
}

uint8_t tb_exchange_role_of_made(enum tb_direction direction, struct tb_bytes first)
{
    bool is_response = first.len && first.ptr[0] == 'H' && (first.len == 1 || first.ptr[1] == 'T');
    if (direction == TB_RECEIVED)
        return is_response ? TB_ROLE_CLIENT : TB_ROLE_SERVER;
    return is_response && first.len > 1 ? TB_ROLE_SERVER : TB_ROLE_CLIENT; /* "H" may be a HEAD's */
}

/* The side whose first bytes are a request is the client; a server may only speak first to refuse. */
static uint8_t decide_role(struct tb_conn *c, enum tb_direction direction, struct tb_bytes first)
{
    uint8_t role = TB_ROLE_SERVER, unknown = TB_ROLE_UNKNOWN;

    if (direction == TB_SENT && !(first.ptr && first.len >= 2 && first.ptr[0] == 'H' && first.ptr[1] == 'T'))
        role = TB_ROLE_CLIENT;
    return tb_cas_acq_rel(&c->role, &unknown, role) ? role : unknown;
}

/* Bytes cross unseen: the stream will not be understood from its middle, also when it is switched on again. */
static void switched_off(struct call *call, struct tb_bytes first)
{
    if (tb_load_relaxed(&call->c->role) != TB_ROLE_UNKNOWN || tb_exchange_looks_http(first))
        give_up(call, TB_COUNTER_GIVEUP_OFF);
    else
        ignore(call);
}

/* An open exchange ends unseen, unless another process has the connection too. */
static void closed_while_off(struct call *call, enum tb_close_how how)
{
    if (how == TB_CLOSE_LOCAL && tb_exchange_is_open(call->c) &&
        !tb_exchange_is_inherited(call->core, call->c->fork_generation))
        give_up(call, TB_COUNTER_GIVEUP_OFF);
}

bool tb_exchange_is_others(struct tb_core *core, const struct tb_pending *p)
{
    uint16_t forks = (uint16_t)(core->fork_generation - p->fork_generation);
    bool is_inherited = tb_exchange_is_inherited(core, p->fork_generation);

    if (!forks || !p->inflight)
        return is_inherited;
    struct tb_inflight *entry = &core->inflight[p->inflight - 1];
    if (tb_load_acquire(&entry->start_ns) != tb_inflight_word(p->start_ns, p->owner - 1u))
        return true; /* another finished it; the entry is somebody else's by now */
    return !leave(&entry->flags, is_inherited, forks);
}

/* After giving up: neither the connection is open nor the waiting requests are in flight as far as we can tell. Needs
 * both halves. */
static void drain(struct call *call)
{
    struct tb_conn *c = call->c;
    struct tb_owner *owner = tb_load_acquire(&call->core->owner);
    struct tb_pending p;

    while (tb_queue_peek(call->core, c, &p)) {
        tb_queue_pop(call->core, c);
        if (tb_exchange_is_others(call->core, &p))
            continue;
        release_in_flight(call->core, &p);
        (void)tb_route_end(call->core, p.route, p.method, 0); /* an open handle holds one of the learner's few places */
    }
    tb_exchange_caught_forget(call->core, c);
    if (c->request_flags & REQUEST_OPEN && owner && !tb_exchange_is_inherited(call->core, c->fork_generation))
        tb_add_relaxed(&owner->connections, -1);
    c->request_flags &= (uint8_t)~REQUEST_OPEN;
}

void tb_exchange_after_giving_up(struct call *call, bool is_request)
{
    uint8_t *other_flag = is_request ? &call->c->response_busy : &call->c->request_busy;

    if (!take_flag(other_flag))
        return; /* the other half is inside; close will drain */
    drain(call);
    drop_flag(other_flag);
}

/* Everything but an ordinary connection in its middle: the role, or 0 when there is nothing to do. */
uint8_t tb_exchange_role(struct tb_core *core, struct tb_conn *c, enum tb_direction direction, struct tb_bytes first)
{
    struct call call = {.core = core, .c = c};
    uint8_t role = tb_load_relaxed(&c->role);

    if (role == ROLE_GIVEN_UP || !core->base)
        return TB_ROLE_UNKNOWN;
    if (tb_rules_is_off(core)) {
        switched_off(&call, first);
        return TB_ROLE_UNKNOWN;
    }
    if (core->rules && !tb_rules_are_seen(core))
        tb_rules_adopt(core);
    if (role == TB_ROLE_UNKNOWN && first.len)
        role = decide_role(c, direction, first);
    return role;
}

/* The calling half was taken by another thread, or by this one below a signal handler. */
void tb_exchange_race(struct call *call)
{
    give_up(call, TB_COUNTER_GIVEUP_RACE);
}

/* No part of an answer has come to what waits. */
static bool is_unanswered(const struct tb_conn *c)
{
    return c->response.phase < TB_PHASE_HEADERS &&
           !(c->response_flags & (RESPONSE_CURRENT | RESPONSE_STREAM | RESPONSE_WAITS));
}

/* Receiving is over: what waits for an answer, and has not got one, will get none. Needs the response half. */
static void lose_unanswered(struct call *call, enum tb_call_error why)
{
    if (call->c->response_flags & RESPONSE_WAITS)
        tb_exchange_meet(call); /* its request may have come in this moment */
    if (is_unanswered(call->c))
        lose_calls(call, why);
}

/* The peer will send no more. */
void tb_exchange_ended(struct call *call, bool is_request)
{
    if (is_request) {
        call->c->request_flags |= REQUEST_ENDED;
        return;
    }
    tb_exchange_response_ended(call);
    lose_unanswered(call, TB_CALL_CLOSED);
}

/*
 * Is there an early answer to be looked after by whoever leaves a half? One whose body is on the way finds its request
 * by itself, at its end; the thread that sent the request stays out of that half then, which the reader needs again at
 * any moment. But to a HEAD or a CONNECT no body comes.
 */
static bool is_early(const struct tb_conn *c, bool is_request)
{
    uint8_t flags = tb_load_relaxed(&c->response_flags), method = c->request.method;
    if (is_request && !(flags & RESPONSE_WAITS) && method != TB_METHOD_HEAD && method != TB_METHOD_CONNECT)
        return false;
    return flags & (RESPONSE_EARLY | RESPONSE_WAITS);
}

/*
 * A client may write in one thread and read in another, so that its answer is seen before the request is noted: it is
 * kept, and whoever leaves a half afterwards brings the two together. Neither waits for the other: one that finds the
 * response half taken leaves it to who is inside, who comes here later.
 */
void tb_exchange_left(struct call *call, bool is_request)
{
    struct tb_conn *c = call->c;

    if (!is_request && !is_early(c, false))
        return;
    for (;;) {           /* each turn ends an early answer's wait */
        tb_fence_full(); /* what was queued, or kept, is seen by the other one */
        if (!is_early(c, is_request) || tb_queue_is_empty(c) || !take_flag(&c->response_busy))
            return;
        tb_exchange_meet(call);
        drop_flag(&c->response_busy);
    }
}

void tb_exchange_early(struct tb_core *core, struct tb_conn *c, const struct tb_bytes *ranges, size_t count,
                       size_t total)
{
    struct call call = {.core = core, .c = c};

    if (!take_flag(&c->response_busy)) {
        if (total)
            tb_exchange_race(&call);
        return;
    }
    if (!total)
        tb_exchange_ended(&call, false);
    for (; count && total; ranges++, count--) {
        struct tb_bytes b = {ranges->ptr, ranges->len < total ? ranges->len : total};
        bool is_more = true;
        total -= b.len;
        while (b.len && is_more && !is_given_up(c))
            if (c->response.phase < TB_PHASE_LENGTH)
                is_more = tb_exchange_response_step(&call, &b);
            else
                tb_exchange_response_body(&call, &b);
    }
    drop_flag(&c->response_busy);
    tb_exchange_left(&call, false);
}

bool tb_exchange_is_awaited(const struct tb_conn *c)
{
    bool has_answer = tb_load_relaxed(&c->response_flags) & (RESPONSE_EARLY | RESPONSE_WAITS) ||
                      (c->response.phase != TB_PHASE_START && c->response.phase < TB_PHASE_LENGTH);
    return tb_exchange_is_client(c) && ((has_answer && c->request.phase == TB_PHASE_START && tb_queue_is_empty(c)) ||
                                        tb_load_acquire(&c->request_busy) || tb_load_acquire(&c->response_busy));
}

void tb_exchange_broken(struct call *call)
{
    lose_calls(call, TB_CALL_PROTOCOL);
}

void tb_exchange_failed(struct tb_core *core, struct tb_conn *c, enum tb_direction direction, enum tb_call_error why)
{
    struct call call = {.core = core, .c = c};
    uint8_t *flag = direction == TB_SENT ? &c->request_busy : &c->response_busy;

    if (!core->base || tb_rules_is_off(core) || !take_flag(flag))
        return;
    if (direction == TB_SENT) /* what the server said before it left may still be read */
        c->request_flags |= REQUEST_BROKEN;
    else
        lose_unanswered(&call, why);
    drop_flag(flag);
}

void tb_conn_open(struct tb_conn *c)
{
    tb_zero(c, sizeof(*c));
}

void tb_conn_open_as(struct tb_conn *c, uint8_t role)
{
    tb_conn_open(c);
    c->role = role;
}

void tb_exchange_shutdown(struct tb_core *core, struct tb_conn *c, enum tb_direction direction)
{
    struct call call = {.core = core, .c = c};
    uint8_t role = tb_load_relaxed(&c->role);

    /* only the end of what this process sends is certain: a response */
    if (!core->base || role != TB_ROLE_SERVER || direction != TB_SENT || tb_rules_is_off(core))
        return;
    if (!take_flag(&c->response_busy)) {
        give_up(&call, TB_COUNTER_GIVEUP_RACE);
        return;
    }
    tb_exchange_response_ended(&call);
    drop_flag(&c->response_busy);
}

static bool head_is_cut(const struct tb_message *m)
{
    return m->phase >= TB_PHASE_METHOD && m->phase <= TB_PHASE_HEADER_CR;
}

/* Requests that will never be answered here. */
static void close_requests(struct call *call)
{
    struct tb_conn *c = call->c;
    struct tb_message *m = &c->request;
    struct tb_pending p;
    bool has_ended = c->request_flags & REQUEST_ENDED, is_client = tb_load_relaxed(&c->role) == TB_ROLE_CLIENT;

    while (tb_queue_peek(call->core, c, &p)) {
        tb_queue_pop(call->core, c);
        if (tb_exchange_is_others(call->core, &p))
            continue;
        if (is_client) {
            lose_call(call, &p, c->request_flags & REQUEST_BROKEN ? TB_CALL_RESET : TB_CALL_TIMEOUT);
            continue;
        }
        enum tb_abort reason = has_ended ? TB_ABORT_CLIENT_CLOSED : TB_ABORT_SERVER_CLOSED;
        if (p.flags & PENDING_PIPELINED)
            reason = TB_ABORT_NEVER_ANSWERED;
        else if (tb_queue_is_empty(c) && m->phase >= TB_PHASE_LENGTH && m->phase < TB_PHASE_CLOSE)
            reason = TB_ABORT_INCOMPLETE_REQUEST;
        abort_pending(call, &p, reason);
    }
    if (!is_client && head_is_cut(m) && !tb_exchange_is_inherited(call->core, c->fork_generation)) {
        bool is_known = m->phase >= TB_PHASE_HEADERS;
        uint64_t trace[2];
        (void)tb_exchange_wanted_done(call, trace);
        struct tb_observation o = {0};
        p = (struct tb_pending){.method = is_known ? m->method : TB_METHOD_OTHER};
        observe(call, TB_FAMILY_ABORTED, TB_ABORT_INCOMPLETE_REQUEST,
                is_known ? tb_route_end(call->core, c->route, p.method, 0) : TB_STR_UNMATCHED, &p, &o);
    }
}

/* A thread is inside the connection. In a child of fork it was the parent's, which goes on there: nothing is lost. */
static void close_busy(struct call *call)
{
    if (tb_exchange_is_inherited(call->core, call->c->fork_generation))
        ignore(call);
    else
        give_up(call, TB_COUNTER_GIVEUP_RACE);
}

bool tb_exchange_close(struct tb_core *core, struct tb_conn *c, enum tb_close_how how)
{
    struct call call = {.core = core, .c = c};
    uint8_t role = tb_load_relaxed(&c->role);

    if (TB_UNLIKELY(!take_flag(&c->request_busy))) {
        close_busy(&call);
        return false;
    }
    if (TB_UNLIKELY(!take_flag(&c->response_busy))) {
        drop_flag(&c->request_busy);
        close_busy(&call);
        return false;
    }
    if (core->base && role != TB_ROLE_UNKNOWN) {
        if (tb_rules_is_off(core)) {
            closed_while_off(&call, how);
        } else if (role != ROLE_GIVEN_UP) {
            tb_exchange_response_close(&call);
            if (how == TB_CLOSE_LOCAL)
                close_requests(&call);
        }
        drain(&call);
    }
    if (role == TB_ROLE_CLIENT || role == ROLE_GIVEN_UP)
        tb_attempt_forget(core, c);
    if (c->path_block)
        tb_path_free(core, c->path_block);
    tb_queue_free(core, c);
    ignore(&call);
    return true;
}

/* The role and the try-flags stay: they tell a thread that was overtaken by the close that there is nothing here. */
void tb_conn_wipe(struct tb_conn *c)
{
    const struct tb_conn nothing = {.role = ROLE_GIVEN_UP, .request_busy = 1, .response_busy = 1};
    *c = nothing;
}

bool tb_exchange_is_open(const struct tb_conn *c)
{
    uint8_t role = tb_load_relaxed(&c->role);

    return (role == TB_ROLE_SERVER || role == TB_ROLE_CLIENT) &&
           (!tb_queue_is_empty(c) || head_is_cut(&c->request) || c->response.phase != TB_PHASE_START ||
            (c->response_flags & (RESPONSE_CURRENT | RESPONSE_WAITS | RESPONSE_STREAM)));
}

bool tb_exchange_is_client(const struct tb_conn *c)
{
    return tb_load_relaxed(&c->role) == TB_ROLE_CLIENT;
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
    if ((uint8_t)(in.ptr[0] - 'A') >= 26) {
        if (in.ptr[0] != '\r' && in.ptr[0] != '\n')
            return false;
        if (in.len >= sizeof(proxy2) && tb_equal(in.ptr, proxy2, sizeof(proxy2)))
            return true;
        size_t empty = 0; /* empty lines before a request */
        while (empty < in.len && empty < 5 && (in.ptr[empty] == '\r' || in.ptr[empty] == '\n'))
            empty++;
        in = tb_bytes(in.ptr + empty, in.len - empty);
        if (in.len == 0)
            return empty < 5;
        if ((uint8_t)(in.ptr[0] - 'A') >= 26)
            return false;
    }
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
