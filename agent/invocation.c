/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recognises the requests of a function to the Runtime API of AWS Lambda, and counts its invocations (invocation.h).
 *
 * Threads: what lasts is one word in the region that is swapped, so an invocation ends once whoever posts what. Of two
 * posts at a time in one process one may be timed by the other's last bytes; there the environment says `concurrent`.
 */
#include "invocation.h"
#include "core.h"
#include "host.h"
#include "measures.h"
#include "series.h"

#define UNTIMED 1u /* header.invocation_ns where no clock could be read */

void tb_invocation_start(struct tb_core *core, struct tb_bytes api, struct tb_bytes concurrency)
{
    struct tb_host host = {0};
    tb_host_connect(&host, api);
    struct tb_bytes authority = tb_host_authority(&host);
    if (authority.len > sizeof core->invoked.api)
        return;
    tb_copy(core->invoked.api, authority.ptr, authority.len);
    core->invoked.is_concurrent = concurrency.len && !(concurrency.len == 1 && concurrency.ptr[0] == '1');
    core->invoked.api_len = (uint32_t)authority.len;
}

/* ---- which request ---- */

/* Takes @text off the beginning of @path. */
static bool takes(struct tb_bytes *path, const char *text)
{
    struct tb_bytes t = tb_bytes_str(text);
    if (path->len < t.len || !tb_equal(path->ptr, t.ptr, t.len))
        return false;
    *path = tb_bytes(path->ptr + t.len, path->len - t.len);
    return true;
}

/* Takes a slash and a segment that is not empty. */
static bool takes_segment(struct tb_bytes *path)
{
    size_t len = 1;
    while (len < path->len && path->ptr[len] != '/')
        len++;
    if (path->len < 2 || path->ptr[0] != '/' || len == 1)
        return false;
    *path = tb_bytes(path->ptr + len, path->len - len);
    return true;
}

static bool is_all(struct tb_bytes path, const char *text)
{
    return takes(&path, text) && !path.len;
}

enum tb_runtime_call tb_invocation_call(const struct tb_core *core, struct tb_bytes authority, struct tb_bytes path)
{
    const struct tb_invoked *i = &core->invoked;
    if (!i->api_len || authority.len != i->api_len || !tb_equal(authority.ptr, i->api, i->api_len))
        return TB_RUNTIME_NONE;
    if (!takes_segment(&path) || !takes(&path, "/runtime")) /* the version comes first: 2018-06-01 */
        return TB_RUNTIME_OTHER;
    if (is_all(path, "/invocation/next"))
        return TB_RUNTIME_NEXT;
    if (is_all(path, "/init/error"))
        return TB_RUNTIME_INIT_ERROR;
    if (!takes(&path, "/invocation") || !takes_segment(&path))
        return TB_RUNTIME_OTHER;
    if (is_all(path, "/response"))
        return TB_RUNTIME_RESPONSE;
    return is_all(path, "/error") ? TB_RUNTIME_ERROR : TB_RUNTIME_OTHER;
}

/* ---- what it means ---- */

static void count_error(struct tb_core *core, enum tb_invocation_error why)
{
    struct tb_series_key key = {.family = TB_FAMILY_INVOCATION_ERRORS, .role = TB_ROLE_SERVER, .status = (uint16_t)why};
    tb_series_note(core, &key, 0);
}

/* An invocation has ended, @why 0: well. @duration_ns 0: nobody knows how long it took. */
static void count(struct tb_core *core, enum tb_invocation_error why, uint64_t duration_ns)
{
    struct tb_series_key key = {.family = TB_FAMILY_INVOCATION, .role = TB_ROLE_SERVER};
    if (duration_ns)
        tb_measures_took(core, key, duration_ns);
    else
        tb_series_note(core, &key, 0);
    if (why)
        count_error(core, why);
}

static void begin(struct tb_core *core, uint64_t now_ns)
{
    if (!core->invoked.is_concurrent && tb_swap_acq_rel(&core->header->invocation_ns, now_ns ? now_ns : UNTIMED))
        count(core, TB_INVOCATION_UNFINISHED, 0);
    (void)tb_fetch_add_acq_rel(&core->header->runtime_begun, 1);
}

static void end(struct tb_core *core, enum tb_invocation_error why)
{
    uint64_t end_ns = tb_load_relaxed(&core->invoked.sent_ns);
    tb_store_relaxed(&core->invoked.conn, (const struct tb_conn *)0);
    if (core->invoked.is_concurrent) {
        if (why != TB_INVOCATION_REFUSED) /* an error follows */
            count(core, why, 0);
        return;
    }
    uint64_t start_ns = tb_swap_acq_rel(&core->header->invocation_ns, 0);
    if (start_ns) /* else it has ended before: an error that follows a response which was refused */
        count(core, why, start_ns != UNTIMED && end_ns > start_ns ? end_ns - start_ns : 0);
}

enum tb_runtime_call tb_invocation_asked(struct tb_core *core, const struct tb_conn *c, struct tb_bytes authority,
                                         struct tb_bytes path, uint64_t now_ns)
{
    enum tb_runtime_call call = tb_invocation_call(core, authority, path);
    if (call == TB_RUNTIME_NEXT) {
        /* release: whoever sees that it asks again sees all that was counted before */
        (void)tb_fetch_add_acq_rel(&core->header->runtime_asked, 1);
    } else if (call == TB_RUNTIME_RESPONSE || call == TB_RUNTIME_ERROR) {
        tb_store_relaxed(&core->invoked.conn, c);
        tb_invocation_sent(core, now_ns);
    }
    return call;
}

void tb_invocation_sent(struct tb_core *core, uint64_t now_ns)
{
    tb_store_relaxed(&core->invoked.sent_ns, now_ns);
}

void tb_invocation_answered(struct tb_core *core, enum tb_runtime_call call, uint16_t status, uint64_t now_ns)
{
    bool is_taken = status >= 200 && status < 300;
    if (call == TB_RUNTIME_NEXT && is_taken)
        begin(core, now_ns);
    else if (call == TB_RUNTIME_RESPONSE)
        end(core, is_taken ? 0 : TB_INVOCATION_REFUSED);
    else if (call == TB_RUNTIME_ERROR)
        end(core, TB_INVOCATION_FUNCTION);
    else if (call == TB_RUNTIME_INIT_ERROR)
        count_error(core, TB_INVOCATION_INIT);
}
