/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gathering what rules look for while an exchange passes (exchange_caught.h): taking a capture when a request line may
 * be a rule's, feeding it heads and bodies, giving it back when the exchange is over.
 */
#include "exchange_caught.h"
#include "custom_hot.h"
#include "exchange_impl.h"
#include "rules.h"

#define PROBES 8u /* places where a capture may lie */

/* How a body is read: its first byte decides. */
enum { BODY_NEW, BODY_JSON, BODY_FORM, BODY_DONE };

#define RESPONSE_PLACES (1u << TB_CUSTOM_RESPONSE_HEADER | 1u << TB_CUSTOM_RESPONSE_JSON)

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

/* @size a constant: a row of stores. */
static inline __attribute__((always_inline)) void zero_words(void *to, size_t size)
{
#pragma GCC unroll 16
    for (size_t i = 0; i < size / 8; i++)
        __builtin_memset((uint8_t *)to + i * 8, 0, 8);
}

/* The start of a reader, which begins with what it found: all but the texts and the hash, which are not read before
 * they are set. */
#define RESET(reader)                                                                                                  \
    do {                                                                                                               \
        _Static_assert((sizeof *(reader) - sizeof(struct tb_picks)) % 8 == 0, "words");                                \
        zero_words(reader, offsetof(struct tb_picks, hash));                                                           \
        zero_words((uint8_t *)(reader) + sizeof(struct tb_picks), sizeof *(reader) - sizeof(struct tb_picks));         \
    } while (0)

/* Those readers that have something to look for; the others are never asked. */
static void reset_readers(struct tb_capture *cap)
{
    if (tb_capture_asks(cap, TB_CUSTOM_REQUEST_HEADER))
        RESET(&cap->request_head);
    if (tb_capture_asks(cap, TB_CUSTOM_RESPONSE_HEADER))
        RESET(&cap->response_head);
    if (tb_capture_asks(cap, TB_CUSTOM_QUERY))
        RESET(&cap->query);
    if (tb_capture_asks(cap, TB_CUSTOM_REQUEST_JSON))
        RESET(&cap->request_json);
    if (tb_capture_asks(cap, TB_CUSTOM_RESPONSE_JSON))
        RESET(&cap->response_json);
    if (tb_capture_asks(cap, TB_CUSTOM_REQUEST_FORM))
        RESET(&cap->request_form);
}

/* The rules that may be about it, now that so much is known, and what they look for. */
static void set_rules(struct tb_capture *cap, const struct tb_custom *c, uint32_t rules)
{
    uint16_t places = 0;
    cap->rules = rules;
    for (; rules; rules &= rules - 1)
        places |= c->places[__builtin_ctz(rules)];
    cap->places = places;
}

/* One for this request, at its start but for rules and readers; its flag is held. NULL: none is free. */
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
            cap->generation = (uint32_t)(tb_load_acquire(&core->rules_word) >> 32);
            cap->fork_generation = life;
            cap->request = cap->response = (struct tb_looked){0};
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

/* The query of a target that lies whole in memory: what is behind the path up to the blank. Always before @end: the
 * memory is the program's, which may be writing to it by now. */
static struct tb_bytes query_of(const struct tb_start_line *line, const uint8_t *end)
{
    const uint8_t *p = line->path.ptr + line->path.len;
    while (p < end && *p != '?' && *p != ' ' && *p != '#' && *p != '\n')
        p++; /* a path that was longer than is looked at */
    if (p >= end || *p != '?')
        return tb_bytes(p, 0);
    const uint8_t *start = ++p;
    while (p < end && *p != ' ' && *p != '#' && *p != '\n')
        p++;
    return tb_bytes(start, (size_t)(p - start));
}

/* A capture for a request that @rules look into where its path is theirs, its flag held; @end as in
 * tb_exchange_caught_line. NULL: they do not, or none is free. */
static struct tb_capture *open_capture(struct call *call, const struct tb_custom *c, uint32_t rules,
                                       const struct tb_start_line *line, const uint8_t *end)
{
    struct tb_core *core = call->core;
    if (!line->path.len)
        rules = 0;
    else if (rules & c->paths)
        rules = tb_custom_of_path(c, rules, path_of(line));
    struct tb_capture *cap = rules ? claim(core, call->c, call->c->queue.pushed) : NULL;
    if (TB_UNLIKELY(!cap)) {
        for (; rules; rules &= rules - 1)
            tb_custom_unreadable(core, c, (uint32_t)__builtin_ctz(rules), TB_CUSTOM_WHY_NO_MEMORY);
        return NULL;
    }
    set_rules(cap, c, rules);
    reset_readers(cap);
    if (tb_capture_asks(cap, TB_CUSTOM_QUERY)) {
        tb_form_feed(&cap->query, &c->set[TB_CUSTOM_QUERY], end ? query_of(line, end) : line->query);
        tb_form_end(&cap->query, &c->set[TB_CUSTOM_QUERY]);
    }
    return cap;
}

/* Its head is over. Returns the flags of the request that waits. */
static uint8_t flags_of(struct tb_capture *cap)
{
    if (!(cap->places & (1u << TB_CUSTOM_REQUEST_JSON | 1u << TB_CUSTOM_REQUEST_FORM)))
        cap->request.is = BODY_DONE;
    return PENDING_CAUGHT | (cap->places & RESPONSE_PLACES ? PENDING_CAUGHT_RESPONSE : 0);
}

void tb_exchange_caught_line(struct call *call, const struct tb_start_line *line, const uint8_t *end)
{
    const struct tb_rules_view *view = tb_load_acquire(&call->core->rules_view);
    const struct tb_custom *c = view ? &view->custom : NULL;
    uint8_t role = tb_load_relaxed(&call->c->role);
    uint32_t rules = c ? c->captures & c->roles[role % 4] & c->methods[line->method % 64] : 0;
    struct tb_capture *cap = rules ? open_capture(call, c, rules, line, end) : NULL;
    if (cap)
        drop_flag(&cap->request_busy);
}

/* What follows the request line. */
static struct tb_bytes fields_of(struct tb_bytes head)
{
    size_t i = 0;
    while (i < head.len && head.ptr[i] != '\n')
        i++;
    i += i < head.len;
    return tb_bytes(head.ptr + i, head.len - i);
}

uint8_t tb_exchange_caught_whole(struct call *call, const struct tb_start_line *line, struct tb_bytes head,
                                 uint32_t rules)
{
    const struct tb_rules_view *view = tb_load_acquire(&call->core->rules_view);
    const struct tb_custom *c = &view->custom; /* whoever found rules saw one */
    struct tb_capture *cap = open_capture(call, c, rules & c->captures, line, head.ptr + head.len);
    uint8_t flags = 0;
    if (cap && tb_capture_asks(cap, TB_CUSTOM_REQUEST_HEADER))
        (void)tb_header_feed(&cap->request_head, &c->set[TB_CUSTOM_REQUEST_HEADER], fields_of(head));
    if (rules & c->in_flight)
        flags = PENDING_ASKED;
    else if (cap)
        flags = flags_of(cap);
    if (cap)
        drop_flag(&cap->request_busy);
    return flags;
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
    if (tb_capture_asks(cap, TB_CUSTOM_REQUEST_HEADER))
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

/* A request that is in flight as @p is counted in the gauges of those of @rules that are about it. @cap: NULL, or what
 * was found in its head. */
static bool enter_gauges(struct call *call, const struct tb_capture *cap, uint32_t rules, const struct tb_pending *p)
{
    uint32_t route = tb_custom_label_of(call->core, p->route); /* one that was never answered is none yet */
    struct tb_series_key key = series_key(call, TB_FAMILY_REQUESTS, 0, route ? route : TB_STR_OTHER, p);
    return tb_custom_open(call->core, rules, &(struct tb_custom_exchange){.key = &key, .caught = cap},
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
    uint8_t role = tb_load_relaxed(&call->c->role);
    if (cap)
        set_rules(cap, c, cap->rules & about);
    open &= about & c->roles[role % 4] & c->methods[p->method % 64] & (~c->captures | (cap ? cap->rules : 0));
    if (open && enter_gauges(call, cap, open, p))
        flags |= PENDING_GAUGED;
    if (!cap)
        return flags;
    set_rules(cap, c, cap->rules & ~c->in_flight);
    if (!cap->rules) {
        give_back(call->core, cap);
        return flags;
    }
    flags |= flags_of(cap);
    drop_flag(&cap->request_busy);
    return flags;
}

/* Where values of a body are looked for, and which. */
struct readers {
    struct tb_json_pick *json;
    const struct tb_pick_set *paths;
    struct tb_form_pick *form; /* NULL: no forms */
    const struct tb_pick_set *names;
};

/* More of a body. */
static inline void feed_body(struct tb_looked *l, const struct readers *r, struct tb_bytes in)
{
    if (l->is == BODY_DONE)
        return;
    if (TB_UNLIKELY(!in.ptr)) {
        l->why = TB_CUSTOM_WHY_UNSEEN;
        l->is = BODY_DONE;
        return;
    }
    if (l->is == BODY_NEW && (l->is = body_of(r->paths, r->names, in, &l->why)) != BODY_JSON && l->is != BODY_FORM)
        return;
    bool is_too_long = in.len > TB_LOOK_BYTES - l->seen;
    if (TB_UNLIKELY(is_too_long))
        in.len = TB_LOOK_BYTES - l->seen;
    l->seen += (uint32_t)in.len;
    enum tb_parse parsed = TB_PARSE_PARTIAL;
    if (l->is == BODY_JSON)
        parsed = tb_json_feed(r->json, r->paths, in);
    else if (r->form)
        parsed = tb_form_feed(r->form, r->names, in);
    if (parsed == TB_PARSE_PARTIAL && !is_too_long)
        return;
    l->is = BODY_DONE;
    l->why = parsed == TB_PARSE_BAD ? TB_CUSTOM_WHY_MALFORMED : parsed == TB_PARSE_OK ? 0 : TB_CUSTOM_WHY_TOO_LONG;
}

void tb_exchange_caught_request_body(struct call *call, struct tb_bytes in)
{
    const struct tb_custom *c = custom_of(call->core);
    struct tb_capture *cap = c ? hold(call->core, call->c, (uint16_t)(call->c->queue.pushed - 1)) : NULL;
    if (!cap)
        return;
    struct readers r = {&cap->request_json, &c->set[TB_CUSTOM_REQUEST_JSON], &cap->request_form,
                        &c->set[TB_CUSTOM_REQUEST_FORM]};
    feed_body(&cap->request, &r, in);
    drop_flag(&cap->request_busy);
}

enum tb_parse tb_exchange_caught_body(struct call *call, struct tb_message *m, struct tb_bytes *in, uint64_t *ret_body,
                                      void (*sink)(struct call *call, struct tb_bytes in))
{
    enum tb_parse r = TB_PARSE_PARTIAL;
    if (TB_LIKELY(m->phase == TB_PHASE_LENGTH && in->len <= m->number)) { /* nothing else follows */
        sink(call, *in);
        return tb_http1_body(m, in, ret_body);
    }
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
    return cap && cap->places & RESPONSE_PLACES;
}

void tb_exchange_caught_response_head(struct call *call, struct tb_bytes in, uint16_t status)
{
    const struct tb_custom *c;
    struct tb_capture *cap = current(call, &c);
    if (!cap || !tb_capture_asks(cap, TB_CUSTOM_RESPONSE_HEADER))
        return;
    (void)tb_header_feed(&cap->response_head, &c->set[TB_CUSTOM_RESPONSE_HEADER], in);
    if (status && status < 200)
        RESET(&cap->response_head); /* not the answer yet */
}

void tb_exchange_caught_response_body(struct call *call, struct tb_bytes in)
{
    const struct tb_custom *c;
    struct tb_capture *cap = current(call, &c);
    if (!cap || !tb_capture_asks(cap, TB_CUSTOM_RESPONSE_JSON))
        return;
    struct readers r = {.json = &cap->response_json, .paths = &c->set[TB_CUSTOM_RESPONSE_JSON]};
    feed_body(&cap->response, &r, in);
}

/* ---- the end ---- */

struct tb_capture *tb_exchange_caught_end(struct call *call, const struct tb_pending *p)
{
    struct tb_conn *conn = call->c;
    bool is_queued = tb_queue_is_first(conn) && conn->first.start_ns == p->start_ns; /* not taken out yet */
    const struct tb_custom *c = custom_of(call->core);
    uint16_t number = (uint16_t)(conn->queue.popped - !is_queued);
    struct tb_capture *cap = c ? hold(call->core, conn, number) : NULL;
    if (!cap)
        return NULL;
    if (cap->request.is == BODY_FORM)
        tb_form_end(&cap->request_form, &c->set[TB_CUSTOM_REQUEST_FORM]);
    return cap;
}

void tb_exchange_caught_free(struct tb_core *core, struct tb_capture *cap)
{
    give_back(core, cap);
}
