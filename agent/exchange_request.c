/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The request half of a connection: bytes that carry requests become queued requests. Touches only fields of that half;
 * the response half is entered (by its try-flag) in one case, a response that came before its request.
 */
#include "exchange_impl.h"
#include "host.h"
#include "rules.h"

#define BAD_CALLS_MAX 100u /* bounded by the 8 bits that count them */

/* One more in the process's gauge of open connections, which goes with its owner slot. */
static bool add_open(struct tb_core *core)
{
    struct tb_owner *owner = tb_owner_claim(core) ? tb_load_acquire(&core->owner) : NULL;
    if (owner)
        tb_add_relaxed(&owner->connections, 1);
    return owner != NULL;
}

/* A first request: the connection is an HTTP connection. */
void tb_exchange_count_connection(struct call *call)
{
    struct tb_conn *c = call->c;

    c->request_flags |= REQUEST_COUNTED;
    tb_count(call->core, TB_COUNTER_CONN_SEEN);
    if (tb_load_relaxed(&c->role) != TB_ROLE_SERVER)
        return;
    tb_count(call->core, TB_COUNTER_CONN_ACCEPTED);
    if (add_open(call->core))
        c->request_flags |= REQUEST_OPEN;
}

/* A child that goes on with a connection of its parent's has it open too, once, whichever half says so. */
void tb_exchange_note_generation(struct call *call)
{
    struct tb_conn *c = call->c;
    uint16_t before = tb_load_relaxed(&c->fork_generation), current = (uint16_t)call->core->fork_generation;

    if (before == current || !tb_cas_relaxed(&c->fork_generation, &before, current))
        return;
    if (c->request_flags & REQUEST_OPEN && tb_exchange_is_inherited(call->core, before))
        (void)add_open(call->core);
}

/* A server's response came before its request: does it wait, or is it still being sent? Needs the response half. */
static void meet_early_response(struct call *call)
{
    struct tb_conn *c = call->c;

    if (!take_flag(&c->response_busy)) {
        give_up(call, TB_COUNTER_GIVEUP_RACE);
        return;
    }
    if (c->response_flags & RESPONSE_WAITS)
        tb_exchange_meet(call);
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
    if (!tb_exchange_is_client(c) && tb_load_relaxed(&c->response_flags) & (RESPONSE_EARLY | RESPONSE_WAITS))
        meet_early_response(call); /* a client's: tb_exchange_left */
}

/* ---- heads, where the rules want more of them ---- */

/* The target of the key: whom a client asks; of what is asked of this process, the host where the rules want it. */
static uint32_t target_of(struct call *call, const struct tb_start_line *line, struct tb_host *host)
{
    const struct tb_rules_view *v = tb_load_acquire(&call->core->rules_view);
    bool is_client = tb_load_relaxed(&call->c->role) == TB_ROLE_CLIENT;
    if (TB_UNLIKELY(is_client && call->core->invoked.api_len) && line->path.len) {
        uint32_t runtime = tb_invocation_asked(call->core, call->c, tb_host_authority(host), path_of(line), now(call));
        if (runtime)
            return runtime;
    }
    if (call->c->route == TB_ROUTE_IGNORED)
        return 0;
    if (is_client)
        return tb_dependency_asked(call->core, call->c, host);
    return v && (v->flags & TB_RULES_HOST_LABEL) ? tb_host_label(call->core, tb_host_text(host)) : 0;
}

/* What the request line says of the host. */
static void host_of_line(struct call *call, struct tb_host *host, uint8_t method, struct tb_bytes target)
{
    if (method == TB_METHOD_CONNECT && tb_load_relaxed(&call->c->role) == TB_ROLE_CLIENT)
        tb_host_connect(host, target);
    else
        tb_host_target(host, target);
}

static uint32_t route_at(struct call *call, const struct tb_start_line *line, struct tb_host *host, bool is_probe)
{
    bool is_host_asked = tb_load_relaxed(&call->core->wants_head) & TB_HEAD_HOST;
    struct tb_start_line of_probe;
    /* what this process asks of others is no probe of it */
    if (is_probe && tb_load_relaxed(&call->c->role) != TB_ROLE_CLIENT) {
        of_probe = (struct tb_start_line){.path = tb_bytes_str(TB_PROBE_PATH), .method = line->method};
        line = &of_probe;
    }
    if (!is_host_asked || !line->path.len)
        return route_of(call->core, line);
    return tb_route_begin_at(call->core, line->method, tb_host_text(host), path_of(line), line->is_cut);
}

void tb_exchange_wanted_head(struct call *call, const struct tb_start_line *line, struct tb_bytes head)
{
    uint8_t wants = wanted_of_head(call), flags = 0;
    struct tb_trace reader = {0};
    struct tb_probe probe = {0};
    struct tb_host host = {0};
    uint64_t trace[2] = {0, 0};
    uint32_t target = 0;

    if (wants & TB_HEAD_TRACE) {
        tb_trace_feed(&reader, head);
        tb_trace_id(&reader, trace);
    }
    if (wants & TB_HEAD_PROBE)
        tb_probe_feed(&probe, head);
    if (wants & TB_HEAD_HOST) {
        host_of_line(call, &host, line->method, line->path);
        tb_host_feed(&host, head);
    }
    call->c->route = route_at(call, line, &host, probe.is_probe);
    if (wants & TB_HEAD_HOST)
        target = target_of(call, line, &host);
    uint32_t rules = wants & TB_HEAD_CUSTOM ? rules_asked(call, tb_load_relaxed(&call->c->role), line) : 0;
    if (rules)
        flags = tb_exchange_caught_whole(call, line, head, rules);
    request_head(call, target, trace, flags);
}

static struct tb_host_block *host_block(struct call *call)
{
    return (struct tb_host_block *)(void *)call->core->path_blocks[call->c->path_block - 1];
}

/* A request line is complete, its header section is not: the route waits for it. False: no block is left. */
static bool wait_for_head(struct call *call, const struct tb_start_line *line)
{
    struct tb_conn *c = call->c;

    if (!c->path_block && !(c->path_block = tb_path_take(call->core)))
        return false;
    struct tb_host_block *w = host_block(call);
    size_t len = line->path.len < TB_HOST_PATH_MAX ? line->path.len : TB_HOST_PATH_MAX;
    bool is_cut = line->is_cut || len < line->path.len;
    tb_copy(w->path, line->path.ptr, len); /* it may lie there already: the line came in pieces */
    w->path_len = (uint16_t)len;
    w->is_cut = is_cut;
    w->method = line->method;
    tb_zero(&w->host, sizeof(w->host));
    tb_zero(&w->trace, sizeof(w->trace));
    tb_zero(&w->probe, sizeof(w->probe));
    host_of_line(call, &w->host, w->method, tb_bytes(w->path, len));
    c->route = TB_ROUTE_OTHER;
    return true;
}

/* More of a header section of which something is wanted; what lies behind its end is never asked for. */
static void feed_wanted(struct call *call, struct tb_bytes b)
{
    struct tb_host_block *w = host_block(call);
    uint8_t wants = tb_load_relaxed(&call->core->wants_head);
    tb_host_feed(&w->host, b);
    if (wants & TB_HEAD_TRACE)
        tb_trace_feed(&w->trace, b);
    if (wants & TB_HEAD_PROBE)
        tb_probe_feed(&w->probe, b);
}

uint32_t tb_exchange_wanted_done(struct call *call, uint64_t ret_trace[2])
{
    struct tb_conn *c = call->c;

    ret_trace[0] = ret_trace[1] = 0;
    if (TB_LIKELY(!c->path_block) || c->request.phase < TB_PHASE_HEADERS)
        return 0;
    struct tb_host_block *w = host_block(call);
    struct tb_start_line line = {.path = tb_bytes(w->path, w->path_len), .method = w->method, .is_cut = w->is_cut != 0};
    c->route = route_at(call, &line, &w->host, w->probe.is_probe);
    uint32_t label = target_of(call, &line, &w->host);
    tb_trace_id(&w->trace, ret_trace);
    tb_path_free(call->core, c->path_block);
    c->path_block = 0;
    return label;
}

void tb_exchange_request_head(struct call *call)
{
    uint64_t trace[2];
    uint32_t target = tb_exchange_wanted_done(call, trace);
    uint8_t wants = tb_load_relaxed(&call->core->wants_head);
    request_head(call, target, wants ? trace : NULL, wants & TB_HEAD_CUSTOM ? PENDING_ASKED : 0);
}

static enum tb_parse request_line(struct call *call, struct tb_bytes *b)
{
    struct tb_conn *c = call->c;
    struct tb_message *m = &c->request;
    struct tb_start_line line = {.query = tb_bytes(NULL, 0)};

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
    bool is_waiting = false;
    if (r == TB_PARSE_OK) {
        if (TB_UNLIKELY(line.is_http2)) {
            c->request_flags |= REQUEST_HTTP2;
            m->phase = TB_PHASE_STOPPED;
            r = TB_PARSE_BAD;
        } else {
            if (wanted_of_head(call) & TB_HEAD_CUSTOM)
                tb_exchange_caught_line(call, &line, line.query.ptr || !line.path.len ? NULL : b->ptr);
            is_waiting =
                wanted_of_head(call) & (TB_HEAD_HOST | TB_HEAD_TRACE | TB_HEAD_PROBE) && wait_for_head(call, &line);
            if (!is_waiting)
                c->route = route_of(call->core, &line);
        }
    }
    if (TB_UNLIKELY(r != TB_PARSE_PARTIAL && c->path_block && !is_waiting)) {
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
    tb_exchange_left(call, true); /* an answer to what came before it */
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

/* Body bytes of a request, a piece of them: content goes to the rules that ask for it. */
static enum tb_parse look_into_body(struct call *call, struct tb_bytes *b, uint64_t *body)
{
    if (TB_LIKELY(!tb_load_relaxed(&call->core->captures_used)))
        return tb_http1_body(&call->c->request, b, body);
    return tb_exchange_caught_body(call, &call->c->request, b, body, tb_exchange_caught_request_body);
}

/* Whatever is not a whole ordinary head. Returns false when the range is used up or nothing more is wanted. */
bool tb_exchange_request_step(struct call *call, struct tb_bytes *b)
{
    struct tb_conn *c = call->c;
    struct tb_message *m = &c->request;

    /* a tunnel's request may be noted after it is open */
    bool is_tunnel = (tb_load_relaxed(&c->response_flags) & (RESPONSE_TUNNEL | RESPONSE_WAITS)) == RESPONSE_TUNNEL;
    if (m->phase == TB_PHASE_STOPPED || is_tunnel) {
        more_of_the_same(call);
        return false;
    }
    if (m->phase >= TB_PHASE_LENGTH) {
        uint64_t body = 0;
        enum tb_parse r = look_into_body(call, b, &body);
        tb_store_relaxed(&c->rx_body, c->rx_body + body);
        if (TB_UNLIKELY(tb_load_relaxed(&call->core->invoked.conn) == c))
            tb_invocation_sent(call->core, now(call));
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
    if (TB_UNLIKELY(c->path_block))
        feed_wanted(call, *b);
    const uint8_t *fields = b->ptr;
    enum tb_parse r = tb_http1_headers(m, true, b);
    if (wanted_of_head(call) & TB_HEAD_CUSTOM)
        tb_exchange_caught_fields(call, tb_bytes(fields, (size_t)(b->ptr - fields)));
    if (r != TB_PARSE_OK)
        return false;
    tb_exchange_request_head(call);
    return true;
}
