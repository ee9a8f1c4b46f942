/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gathering what rules look for while an exchange passes (exchange_caught.h): taking a capture when a request line may
 * be a rule's, feeding it heads and bodies, giving it back when the exchange is over.
 */
#include "exchange_caught.h"
#include "exchange_impl.h"
#include "rules.h"

#define PROBES 8u /* places where a capture may lie */

/* How a body is read. */
enum { BODY_SKIPPED, BODY_JSON, BODY_FORM, BODY_DONE };

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

/* One for this request, zeroed but for key and flag; its flag is held. NULL: none is free. */
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
            tb_zero(&cap->generation, sizeof *cap - offsetof(struct tb_capture, generation));
            cap->request_busy = 1;
            cap->fork_generation = life;
            return cap;
        }
        drop_flag(&cap->request_busy);
    }
    return NULL;
}

/* The request half may be inside: then it stays until the connection is closed. */
static void give_back(struct tb_capture *cap)
{
    if (!take_flag(&cap->request_busy))
        return;
    tb_store_release(&cap->key, 0);
    drop_flag(&cap->request_busy);
}

void tb_exchange_caught_forget(struct tb_core *core, const struct tb_conn *c)
{
    if (!tb_load_relaxed(&core->captures_used))
        return;
    for (uint32_t i = 0; i < TB_CAPTURES; i++) {
        struct tb_capture *cap = (struct tb_capture *)(void *)core->captures[i];
        if (tb_load_relaxed(&cap->key) >> 16 == (uint64_t)(uintptr_t)c)
            give_back(cap);
    }
}

/* The rules in force, if they look for anything. */
static const struct tb_custom *custom_of(const struct tb_core *core)
{
    const struct tb_rules_view *view = tb_load_acquire(&core->rules_view);
    return view && view->custom.captures ? &view->custom : NULL;
}

/* ---- requests ---- */

void tb_exchange_caught_line(struct call *call, const struct tb_start_line *line, struct tb_bytes query)
{
    struct tb_core *core = call->core;
    const struct tb_custom *c = custom_of(core);
    uint8_t role = tb_load_relaxed(&call->c->role) % 3u;
    uint32_t rules = c ? c->captures & c->roles[role] & c->methods[line->method % 64] : 0;
    rules = rules && line->path.len ? rules & tb_custom_of_path(c, path_of(line)) : 0;
    if (!rules)
        return;
    struct tb_capture *cap = claim(core, call->c, call->c->queue.pushed);
    if (!cap)
        return;
    tb_store_relaxed(&core->captures_used, 1);
    cap->generation = (uint32_t)(tb_load_acquire(&core->rules_word) >> 32);
    cap->rules = rules;
    if (c->set[TB_CUSTOM_QUERY].count) {
        tb_form_feed(&cap->query, &c->set[TB_CUSTOM_QUERY], query);
        tb_form_end(&cap->query, &c->set[TB_CUSTOM_QUERY]);
    }
    drop_flag(&cap->request_busy);
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
    struct tb_capture *cap = c ? hold(call->core, call->c, call->c->queue.pushed) : NULL;
    if (!cap)
        return;
    (void)tb_header_feed(&cap->request_head, &c->set[TB_CUSTOM_REQUEST_HEADER], in);
    drop_flag(&cap->request_busy);
}

static bool has_any(struct tb_bytes text, const char *word)
{
    size_t len = tb_strnlen(word, 64);
    for (size_t i = 0; i + len <= text.len; i++) {
        size_t k = 0;
        while (k < len && tb_lower(text.ptr[i + k]) == (uint8_t)word[k])
            k++;
        if (k == len)
            return true;
    }
    return false;
}

/* How a body is to be read that has these headers. */
static uint8_t body_of(const struct tb_custom *c, uint8_t set, const struct tb_picks *picks, uint8_t *ret_why)
{
    struct tb_bytes coding = tb_custom_pick(picks, c->coding_at[set]), type = tb_custom_pick(picks, c->type_at[set]);
    if (coding.len && !has_any(coding, "identity")) {
        *ret_why = TB_CUSTOM_WHY_COMPRESSED;
        return BODY_SKIPPED;
    }
    if (has_any(type, "json"))
        return BODY_JSON;
    if (has_any(type, "application/x-www-form-urlencoded"))
        return BODY_FORM;
    *ret_why = TB_CUSTOM_WHY_TYPE;
    return BODY_SKIPPED;
}

bool tb_exchange_caught_head(struct call *call, uint32_t route)
{
    const struct tb_custom *c = custom_of(call->core);
    struct tb_capture *cap = c ? hold(call->core, call->c, call->c->queue.pushed) : NULL;
    if (!cap)
        return false;
    cap->rules &= tb_custom_of_handle(call->core, c, route);
    if (!cap->rules) {
        tb_store_release(&cap->key, 0);
        drop_flag(&cap->request_busy);
        return false;
    }
    if (c->set[TB_CUSTOM_REQUEST_JSON].count || c->set[TB_CUSTOM_REQUEST_FORM].count)
        cap->request_body_is = body_of(c, TB_CUSTOM_REQUEST_HEADER, &cap->request_head.picks, &cap->request_why);
    drop_flag(&cap->request_busy);
    return true;
}

/* More of a body, which is read as @is says. Returns how its rest is read. */
static uint8_t feed_body(uint8_t is, struct tb_json_pick *json, const struct tb_pick_set *paths,
                         struct tb_form_pick *form, const struct tb_pick_set *names, struct tb_bytes in, uint32_t *seen,
                         uint8_t *why)
{
    if (is != BODY_JSON && is != BODY_FORM)
        return is;
    if (!in.ptr) {
        *why = TB_CUSTOM_WHY_UNSEEN;
        return BODY_DONE;
    }
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
    return tb_load_relaxed(&call->core->captures_used) && current(call, &c);
}

void tb_exchange_caught_response_head(struct call *call, struct tb_bytes in, uint16_t status)
{
    const struct tb_custom *c;
    struct tb_capture *cap = current(call, &c);
    if (!cap)
        return;
    (void)tb_header_feed(&cap->response_head, &c->set[TB_CUSTOM_RESPONSE_HEADER], in);
    if (status && status < 200)
        tb_zero(&cap->response_head, sizeof cap->response_head); /* not the answer yet */
    else if (status && c->set[TB_CUSTOM_RESPONSE_JSON].count)
        cap->response_body_is = body_of(c, TB_CUSTOM_RESPONSE_HEADER, &cap->response_head.picks, &cap->response_why);
}

void tb_exchange_caught_response_body(struct call *call, struct tb_bytes in)
{
    const struct tb_custom *c;
    struct tb_capture *cap = current(call, &c);
    if (cap)
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
    *ret = (struct tb_caught){.rules = cap->rules};
    ret->picks[TB_CUSTOM_REQUEST_HEADER] = &cap->request_head.picks;
    ret->picks[TB_CUSTOM_RESPONSE_HEADER] = &cap->response_head.picks;
    ret->picks[TB_CUSTOM_QUERY] = &cap->query.picks;
    ret->picks[TB_CUSTOM_REQUEST_JSON] = &cap->request_json.picks;
    ret->picks[TB_CUSTOM_REQUEST_FORM] = &cap->request_form.picks;
    ret->picks[TB_CUSTOM_RESPONSE_JSON] = &cap->response_json.picks;
    ret->why[TB_CUSTOM_REQUEST_JSON] = ret->why[TB_CUSTOM_REQUEST_FORM] = cap->request_why;
    ret->why[TB_CUSTOM_RESPONSE_JSON] = cap->response_why;
    return cap;
}

void tb_exchange_caught_free(struct tb_capture *cap)
{
    tb_store_release(&cap->key, 0);
    drop_flag(&cap->request_busy);
}
