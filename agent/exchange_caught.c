/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gathering what rules look for while an exchange passes (exchange_caught.h): taking a capture when a request line may
 * be a rule's, feeding it heads and bodies, giving it back when the exchange is over.
 */
#include "exchange_caught.h"
#include "exchange_impl.h"
#include "rules.h"

#define PROBES 8u /* places where a capture may lie */

/* How a body is read: its first byte decides. */
enum { BODY_NEW, BODY_JSON, BODY_FORM, BODY_DONE };

/* ---- captures ---- */

static uint64_t key_of(const struct tb_conn *c, uint16_t number)
{
    return (uint64_t)(uintptr_t)c << 16 | number;
}

static struct tb_capture *capture_at(struct tb_core *core, uint64_t key, uint32_t probe)
{
    uint64_t place = ((key * UINT64_C(0x9fb21c651e98df25) >> 40) + probe) % TB_CAPTURES;
    return (struct tb_capture *)(void *)core->captures[place];
}

static struct tb_capture *find(struct tb_core *core, const struct tb_conn *c, uint16_t number)
{
    uint64_t key = key_of(c, number);
    for (uint32_t i = 0; i < PROBES; i++) {
        struct tb_capture *cap = capture_at(core, key, i);
        if (tb_load_acquire(&cap->key) == key)
            return cap;
    }
    return NULL;
}

/* The start of a reader, whose first part is what it found: all but the texts, which are not read before they are set.
 */
static void reset(void *reader, size_t size)
{
    tb_zero(reader, offsetof(struct tb_picks, text));
    tb_zero((uint8_t *)reader + sizeof(struct tb_picks), size - sizeof(struct tb_picks));
}

/* Does some rule of the capture look for something in @place? */
static bool asks(const struct tb_custom *c, const struct tb_capture *cap, enum tb_custom_place place)
{
    return (cap->rules & c->places[place]) != 0;
}

/* Those readers that have something to look for; the others are never asked. */
static void reset_all(struct tb_capture *cap, const struct tb_custom *c)
{
    if (asks(c, cap, TB_CUSTOM_REQUEST_HEADER))
        reset(&cap->request_head, sizeof cap->request_head);
    if (asks(c, cap, TB_CUSTOM_RESPONSE_HEADER))
        reset(&cap->response_head, sizeof cap->response_head);
    if (asks(c, cap, TB_CUSTOM_QUERY))
        reset(&cap->query, sizeof cap->query);
    if (asks(c, cap, TB_CUSTOM_REQUEST_JSON))
        reset(&cap->request_json, sizeof cap->request_json);
    if (asks(c, cap, TB_CUSTOM_RESPONSE_JSON))
        reset(&cap->response_json, sizeof cap->response_json);
    if (asks(c, cap, TB_CUSTOM_REQUEST_FORM))
        reset(&cap->request_form, sizeof cap->request_form);
}

/* One for this request, zeroed but for key, flag and readers; its flag is held. NULL: none is free. */
static struct tb_capture *claim(struct tb_core *core, const struct tb_conn *c, uint16_t number)
{
    uint64_t key = key_of(c, number);
    uint16_t life = (uint16_t)core->fork_generation;
    for (uint32_t i = 0; i < 2 * PROBES; i++) {
        struct tb_capture *cap = capture_at(core, key, i % PROBES);
        uint64_t seen = tb_load_acquire(&cap->key);
        bool is_left = i >= PROBES && cap->fork_generation != life; /* of a connection from before a fork */
        if ((seen && !is_left) || !take_flag(&cap->request_busy))
            continue;
        if (tb_cas_acq_rel(&cap->key, &seen, key)) {
            tb_add_relaxed(&core->captures_used, !is_left);
            tb_zero(&cap->generation,
                    offsetof(struct tb_capture, request_head) - offsetof(struct tb_capture, generation));
            cap->request_busy = 1;
            cap->fork_generation = life;
            return cap;
        }
        drop_flag(&cap->request_busy);
    }
    return NULL;
}

/* Its flag is held. */
static void give_back(struct tb_core *core, struct tb_capture *cap)
{
    tb_store_release(&cap->key, 0);
    tb_add_relaxed(&core->captures_used, -1u);
    drop_flag(&cap->request_busy);
}

void tb_exchange_caught_forget(struct tb_core *core, const struct tb_conn *c)
{
    if (!tb_load_relaxed(&core->captures_used))
        return;
    for (uint32_t i = 0; i < TB_CAPTURES; i++) {
        struct tb_capture *cap = (struct tb_capture *)(void *)core->captures[i];
        if (tb_load_relaxed(&cap->key) >> 16 == (uint64_t)(uintptr_t)c && take_flag(&cap->request_busy))
            give_back(core, cap);
    }
}

/* The rules in force, if they look into some exchange at this time. */
static const struct tb_custom *custom_of(const struct tb_core *core)
{
    if (TB_LIKELY(!tb_load_relaxed(&core->captures_used)))
        return NULL;
    const struct tb_rules_view *view = tb_load_acquire(&core->rules_view);
    return view ? &view->custom : NULL;
}

/* ---- requests ---- */

/* Rules that may be about a request: by role, method and path; by route where it is known. */
static uint32_t rules_of(struct call *call, const struct tb_custom *c, const struct tb_start_line *line, uint32_t route)
{
    uint32_t rules = c->captures & c->roles[tb_load_relaxed(&call->c->role) % 3u] & c->methods[line->method % 64];
    if (!rules || !line->path.len)
        return 0;
    if (route != TB_ROUTE_UNKNOWN)
        rules &= tb_custom_of_handle(call->core, c, route);
    return rules & c->paths ? tb_custom_of_path(c, rules, path_of(line)) : rules;
}

bool tb_exchange_caught_line(struct call *call, const struct tb_start_line *line, struct tb_bytes query, uint32_t route)
{
    struct tb_core *core = call->core;
    const struct tb_rules_view *view = tb_load_acquire(&core->rules_view);
    const struct tb_custom *c = view ? &view->custom : NULL;
    uint32_t rules = c ? rules_of(call, c, line, route) : 0;
    if (TB_LIKELY(!rules))
        return false;
    struct tb_capture *cap = claim(core, call->c, call->c->queue.pushed);
    if (!cap) {
        for (; rules; rules &= rules - 1)
            tb_custom_unreadable(core, c, (uint32_t)__builtin_ctz(rules), TB_CUSTOM_WHY_NO_MEMORY);
        return false;
    }
    cap->generation = (uint32_t)(tb_load_acquire(&core->rules_word) >> 32);
    cap->rules = rules;
    reset_all(cap, c);
    if (asks(c, cap, TB_CUSTOM_QUERY)) {
        tb_form_feed(&cap->query, &c->set[TB_CUSTOM_QUERY], query);
        tb_form_end(&cap->query, &c->set[TB_CUSTOM_QUERY]);
    }
    drop_flag(&cap->request_busy);
    return true;
}

/* The capture of request @number, its flag held; NULL: there is none, or its rules are not in force any more. */
static struct tb_capture *hold(struct tb_core *core, const struct tb_conn *conn, uint16_t number)
{
    struct tb_capture *cap = find(core, conn, number);
    if (!cap || !take_flag(&cap->request_busy))
        return NULL;
    if (tb_load_acquire(&cap->key) == key_of(conn, number) &&
        cap->generation == (uint32_t)(tb_load_acquire(&core->rules_word) >> 32))
        return cap;
    drop_flag(&cap->request_busy);
    return NULL;
}

void tb_exchange_caught_fields(struct call *call, struct tb_bytes in)
{
    const struct tb_custom *c = custom_of(call->core);
    bool is_needed = c && c->set[TB_CUSTOM_REQUEST_HEADER].count;
    struct tb_capture *cap = is_needed ? hold(call->core, call->c, call->c->queue.pushed) : NULL;
    if (!cap)
        return;
    if (asks(c, cap, TB_CUSTOM_REQUEST_HEADER))
        (void)tb_header_feed(&cap->request_head, &c->set[TB_CUSTOM_REQUEST_HEADER], in);
    drop_flag(&cap->request_busy);
}

/*
 * Does a compressed body begin so? With a byte that no text begins with (RFC 1952; what brotli mostly begins with), or
 * with a letter before one that no text has there: RFC 8878, and RFC 1950, but for its "x^", which may be a form.
 */
static bool is_compressed(struct tb_bytes in)
{
    uint8_t first = in.ptr[0], second = in.len > 1 ? in.ptr[1] : ' ';
    return first < ' ' || first >= 0x7f || (first == '(' && second == 0xb5) ||
           (first == 'x' && (second == 0x01 || second == 0x9c || second == 0xda));
}

/*
 * How a body is to be read that begins with @in: JSON where it begins as that does and a value of it is asked for,
 * else a form where that is. The bytes tell more than Content-Type, which lies about JSON as often as it is left out.
 */
static uint8_t body_of(const struct tb_pick_set *paths, const struct tb_pick_set *names, struct tb_bytes in,
                       uint8_t *ret_why)
{
    size_t i = 0;
    while (i < in.len && (in.ptr[i] == ' ' || in.ptr[i] == '\t' || in.ptr[i] == '\r' || in.ptr[i] == '\n'))
        i++;
    if (i == in.len)
        return BODY_NEW;
    bool is_json = in.ptr[i] == '{' || in.ptr[i] == '[';
    if (is_json && paths->count)
        return BODY_JSON;
    if (is_compressed(tb_bytes(in.ptr + i, in.len - i)))
        *ret_why = TB_CUSTOM_WHY_COMPRESSED;
    else if (names && names->count && !is_json)
        return BODY_FORM;
    else
        *ret_why = TB_CUSTOM_WHY_TYPE;
    return BODY_DONE;
}

static uint32_t rules_of_responses(const struct tb_custom *c)
{
    return c->places[TB_CUSTOM_RESPONSE_HEADER] | c->places[TB_CUSTOM_RESPONSE_JSON];
}

/* What was found, where the rules ask for it; valid until the capture is freed. */
static struct tb_caught caught_of(const struct tb_capture *cap, const struct tb_custom *c)
{
    const struct tb_picks *picks[TB_CUSTOM_PLACES] = {[TB_CUSTOM_REQUEST_HEADER] = &cap->request_head.picks,
                                                      [TB_CUSTOM_RESPONSE_HEADER] = &cap->response_head.picks,
                                                      [TB_CUSTOM_QUERY] = &cap->query.picks,
                                                      [TB_CUSTOM_REQUEST_JSON] = &cap->request_json.picks,
                                                      [TB_CUSTOM_REQUEST_FORM] = &cap->request_form.picks,
                                                      [TB_CUSTOM_RESPONSE_JSON] = &cap->response_json.picks};
    struct tb_caught caught = {.rules = cap->rules};
    for (uint32_t i = 0; i < TB_CUSTOM_PLACES; i++)
        caught.picks[i] = asks(c, cap, (enum tb_custom_place)i) ? picks[i] : NULL;
    caught.why[TB_CUSTOM_REQUEST_JSON] = caught.why[TB_CUSTOM_REQUEST_FORM] = cap->request_why;
    caught.why[TB_CUSTOM_RESPONSE_JSON] = cap->response_why;
    return caught;
}

/* A request that is in flight as @p is counted in the gauges of those of @rules that are about it. @cap: NULL, or what
 * was found in its head. */
static bool enter_gauges(struct call *call, const struct tb_custom *c, const struct tb_capture *cap, uint32_t rules,
                         const struct tb_pending *p)
{
    uint32_t route = tb_route_label_of(call->core, p->route); /* one that was never answered is none yet */
    struct tb_series_key key = series_key(call, TB_FAMILY_REQUESTS, 0, route ? route : TB_STR_OTHER, p);
    struct tb_caught caught;
    if (cap)
        caught = caught_of(cap, c);
    return tb_custom_open(call->core, rules, &(struct tb_custom_exchange){.key = &key, .caught = cap ? &caught : NULL},
                          &call->core->inflight[p->inflight - 1]);
}

void tb_exchange_leave_gauges(struct tb_core *core, const struct tb_pending *p)
{
    struct tb_inflight *entry = &core->inflight[p->inflight - 1];
    /* after a fork, another may have finished it: the entry is somebody else's by now */
    if (tb_load_acquire(&entry->start_ns) == tb_inflight_word(p->start_ns, p->owner - 1u))
        tb_inflight_leave_gauges(entry);
}

uint8_t tb_exchange_caught_head(struct call *call, const struct tb_pending *p)
{
    const struct tb_rules_view *view = tb_load_acquire(&call->core->rules_view);
    const struct tb_custom *c = view ? &view->custom : NULL;
    bool is_any = tb_load_relaxed(&call->core->captures_used) != 0;
    struct tb_capture *cap = c && is_any ? hold(call->core, call->c, call->c->queue.pushed) : NULL;
    uint32_t open = c && p->inflight ? c->in_flight : 0;
    uint8_t flags = 0;
    if (!cap && !open)
        return 0;
    uint32_t about = tb_custom_of_handle(call->core, c, p->route);
    if (cap)
        cap->rules &= about;
    open &= about & c->roles[tb_load_relaxed(&call->c->role) % 3u] & c->methods[p->method % 64] &
            (~c->captures | (cap ? cap->rules : 0));
    if (open && enter_gauges(call, c, cap, open, p))
        flags |= PENDING_GAUGED;
    if (!cap)
        return flags;
    cap->rules &= ~c->in_flight;
    if (!cap->rules) {
        give_back(call->core, cap);
        return flags;
    }
    if (!asks(c, cap, TB_CUSTOM_REQUEST_JSON) && !asks(c, cap, TB_CUSTOM_REQUEST_FORM))
        cap->request_body_is = BODY_DONE;
    flags |= PENDING_CAUGHT | (cap->rules & rules_of_responses(c) ? PENDING_CAUGHT_RESPONSE : 0);
    drop_flag(&cap->request_busy);
    return flags;
}

/* More of a body, which is read as @is says. Returns how its rest is read. */
static uint8_t feed_body(uint8_t is, struct tb_json_pick *json, const struct tb_pick_set *paths,
                         struct tb_form_pick *form, const struct tb_pick_set *names, struct tb_bytes in, uint32_t *seen,
                         uint8_t *why)
{
    if (is == BODY_DONE)
        return is;
    if (!in.ptr) {
        *why = TB_CUSTOM_WHY_UNSEEN;
        return BODY_DONE;
    }
    if (is == BODY_NEW && (is = body_of(paths, names, in, why)) != BODY_JSON && is != BODY_FORM)
        return is;
    if (in.len > TB_LOOK_BYTES - *seen) {
        in.len = TB_LOOK_BYTES - *seen;
        *why = TB_CUSTOM_WHY_TOO_LONG;
    }
    *seen += (uint32_t)in.len;
    enum tb_parse r = TB_PARSE_PARTIAL;
    if (is == BODY_JSON)
        r = tb_json_feed(json, paths, in);
    else if (form)
        r = tb_form_feed(form, names, in);
    if (r == TB_PARSE_BAD)
        *why = TB_CUSTOM_WHY_MALFORMED;
    else if (r == TB_PARSE_OK)
        *why = 0;
    return r != TB_PARSE_PARTIAL || *why ? BODY_DONE : is;
}

void tb_exchange_caught_request_body(struct call *call, struct tb_bytes in)
{
    const struct tb_custom *c = custom_of(call->core);
    struct tb_capture *cap = c ? hold(call->core, call->c, (uint16_t)(call->c->queue.pushed - 1)) : NULL;
    if (!cap)
        return;
    cap->request_body_is =
        feed_body(cap->request_body_is, &cap->request_json, &c->set[TB_CUSTOM_REQUEST_JSON], &cap->request_form,
                  &c->set[TB_CUSTOM_REQUEST_FORM], in, &cap->request_seen, &cap->request_why);
    drop_flag(&cap->request_busy);
}

enum tb_parse tb_exchange_caught_body(struct call *call, struct tb_message *m, struct tb_bytes *in, uint64_t *ret_body,
                                      void (*sink)(struct call *call, struct tb_bytes in))
{
    enum tb_parse r = TB_PARSE_PARTIAL;
    while (in->len && r == TB_PARSE_PARTIAL) {
        bool is_bounded = m->phase == TB_PHASE_LENGTH || m->phase == TB_PHASE_CHUNK_DATA;
        struct tb_bytes piece = *in;
        if (is_bounded && piece.len > m->number)
            piece.len = (size_t)m->number;
        if (is_bounded || m->phase == TB_PHASE_CLOSE)
            sink(call, piece);
        else if (piece.ptr)
            piece.len = 1; /* framing */
        size_t len = piece.len;
        r = tb_http1_body(m, &piece, ret_body);
        len -= piece.len;
        in->len -= len;
        in->ptr = in->ptr ? in->ptr + len : NULL;
    }
    return r;
}

/* ---- responses ---- */

/* The capture of the response at hand; NULL: none. */
static struct tb_capture *current(struct call *call, const struct tb_custom **ret)
{
    struct tb_conn *conn = call->c;
    *ret = custom_of(call->core);
    struct tb_capture *cap = *ret ? find(call->core, conn, conn->queue.popped) : NULL;
    return cap && cap->generation == (uint32_t)(tb_load_acquire(&call->core->rules_word) >> 32) ? cap : NULL;
}

bool tb_exchange_is_caught(struct call *call)
{
    const struct tb_custom *c;
    if (TB_LIKELY(tb_queue_is_first(call->c)))
        return call->c->first.flags & PENDING_CAUGHT_RESPONSE;
    const struct tb_capture *cap = current(call, &c);
    return cap && cap->rules & rules_of_responses(c);
}

void tb_exchange_caught_response_head(struct call *call, struct tb_bytes in, uint16_t status)
{
    const struct tb_custom *c;
    struct tb_capture *cap = current(call, &c);
    if (!cap || !asks(c, cap, TB_CUSTOM_RESPONSE_HEADER))
        return;
    (void)tb_header_feed(&cap->response_head, &c->set[TB_CUSTOM_RESPONSE_HEADER], in);
    if (status && status < 200)
        reset(&cap->response_head, sizeof cap->response_head); /* not the answer yet */
}

void tb_exchange_caught_response_body(struct call *call, struct tb_bytes in)
{
    const struct tb_custom *c;
    struct tb_capture *cap = current(call, &c);
    if (cap && asks(c, cap, TB_CUSTOM_RESPONSE_JSON))
        cap->response_body_is = feed_body(cap->response_body_is, &cap->response_json, &c->set[TB_CUSTOM_RESPONSE_JSON],
                                          NULL, NULL, in, &cap->response_seen, &cap->response_why);
}

/* ---- the end ---- */

struct tb_capture *tb_exchange_caught_end(struct call *call, const struct tb_pending *p, struct tb_caught *ret)
{
    struct tb_conn *conn = call->c;
    bool is_queued = tb_queue_is_first(conn) && conn->first.start_ns == p->start_ns; /* not taken out yet */
    const struct tb_custom *c = custom_of(call->core);
    uint16_t number = (uint16_t)(conn->queue.popped - !is_queued);
    struct tb_capture *cap = c ? hold(call->core, conn, number) : NULL;
    if (!cap)
        return NULL;
    if (cap->request_body_is == BODY_FORM)
        tb_form_end(&cap->request_form, &c->set[TB_CUSTOM_REQUEST_FORM]);
    *ret = caught_of(cap, c);
    return cap;
}

void tb_exchange_caught_free(struct tb_core *core, struct tb_capture *cap)
{
    give_back(core, cap);
}
