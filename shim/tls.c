/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions of TLS libraries (tls.h): which stream of plaintext belongs to which address, and what becomes of it. The
 * words of the table are those of descriptors (fdtable.h): unknown, ignored, or a connection's address; there is no
 * state "born", for what is asked when a stream begins is asked of the library, not of the kernel.
 */
#include "tls.h"
#include "calls.h"

#include "events.h"
#include "tls_slots.h"

/* Calls of a session of unseen birth that were not HTTP, after which it is ignored. At most TB_TLS_LOOKS. */
#define LOOKS_MAX 8u

static struct tb_stream_bucket first_level[TB_STREAM_FIRST];
struct tb_stream_table tb_tls_streams = {.levels = {first_level}};

/* ---- identities ---- */

static struct tb_stream *enter(const void *session)
{
    struct tb_stream *s = session ? tb_tls_find(session) : NULL;
    if (s || !session) /* mbed TLS refuses those itself */
        return s;
    tb_tls_covered();
    return tb_stream_enter(&tb_tls_streams, (uintptr_t)session, tb_map_once);
}

/*
 * Ends what stands at @s, if anything. Of the plaintext, pieces of a cut head may lie in the connection's memory: it is
 * wiped but for the role and the try-flags, which tell a thread that was overtaken that there is nothing here.
 */
static void end_stream(struct tb_stream *s)
{
    uint64_t word = tb_swap_acq_rel(&s->word, 0);
    if (tb_fd_state(word) != TB_FD_CONN)
        return;
    struct tb_conn *conn = tb_fd_conn(word);
    if (!tb_exchange_close(&tb_core, conn, TB_CLOSE_LOCAL))
        return; /* a thread is inside it, and its memory is given up */
    tb_conn_wipe(conn);
    tb_conn_free(conn);
}

static void ignore(struct tb_stream *s)
{
    end_stream(s);
    tb_store_release(&s->word, TB_FD_IGNORED);
}

/* First bytes of a stream. Returns its connection, or NULL when there is nothing to do. */
static struct tb_conn *begin(struct tb_tls_at at, struct tb_stream *s, struct tb_bytes first)
{
    struct tb_tls_about about = {TB_ROLE_UNKNOWN, false};
    bool is_http = tb_exchange_looks_http(first);
    uint64_t none = 0;

    at.library->ask(at.library, at.session, &about);
    if (about.is_http2 && tb_process_region(false)) {
        tb_count(&tb_core, TB_COUNTER_GIVEUP_HTTP2);
        tb_store_release(&s->word, TB_FD_IGNORED);
        return NULL;
    }
    if (!is_http && !(about.role == TB_ROLE_SERVER && tb_load_relaxed(&s->flags) & TB_TLS_SEEN)) {
        bool is_last = about.role == TB_ROLE_CLIENT && tb_load_relaxed(&s->flags) & TB_TLS_SEEN;
        if (is_last || (tb_fetch_add_relaxed(&s->flags, 1) & TB_TLS_LOOKS) >= LOOKS_MAX - 1)
            tb_store_release(&s->word, TB_FD_IGNORED);
        return NULL;
    }
    struct tb_conn *conn = tb_process_region(false) ? tb_conn_alloc() : NULL;
    if (!conn) {
        tb_count(&tb_core, TB_COUNTER_GIVEUP_NO_STATE);
        tb_store_release(&s->word, TB_FD_IGNORED);
        return NULL;
    }
    tb_process_owner();
    tb_conn_open_as(conn, (uint8_t)about.role);
    if (!tb_cas_acq_rel(&s->word, &none, TB_FD_CONN | (uintptr_t)conn)) {
        tb_conn_free(conn); /* another thread was faster */
        return tb_fd_state(none) == TB_FD_CONN ? tb_fd_conn(none) : NULL;
    }
    tb_count(&tb_core, TB_COUNTER_TLS_STREAMS);
    return conn;
}

/* ---- bytes ---- */

void tb_tls_io(struct tb_tls_at at, enum tb_direction direction, const void *buf, size_t len)
{
    struct tb_bytes range = {buf, len};
    struct tb_stream *s = enter(at.session);
    if (!s) {
        if (tb_exchange_looks_http(range))
            tb_count(&tb_core, TB_COUNTER_GIVEUP_NO_STATE);
        return;
    }
    uint64_t word = tb_load_acquire(&s->word);
    if (tb_fd_state(word) == TB_FD_IGNORED)
        return;
    tb_process_check_fork();
    struct tb_conn *conn = tb_fd_state(word) == TB_FD_CONN ? tb_fd_conn(word) : NULL;
    if (!conn && len)
        conn = begin(at, s, range);
    if (!conn)
        return;
    tb_exchange_io(&tb_core, conn, direction, &range, 1, len);
    if (TB_UNLIKELY(tb_exchange_is_done(conn)))
        ignore(s);
}

void tb_tls_ended(struct tb_tls_at at)
{
    const struct tb_stream *s = tb_tls_find(at.session);
    if (s && tb_fd_state(tb_load_acquire(&s->word)) == TB_FD_CONN)
        tb_tls_io(at, TB_RECEIVED, NULL, 0);
}

/* A server that says so answers nothing any more, also when it goes on reading; a client may wait for its answer. */
void tb_tls_shut(struct tb_tls_at at)
{
    struct tb_stream *s = tb_tls_find(at.session);
    struct tb_tls_about about = {TB_ROLE_UNKNOWN, false};
    uint64_t word = s ? tb_load_acquire(&s->word) : 0;
    if (tb_fd_state(word) != TB_FD_CONN)
        return;
    at.library->ask(at.library, at.session, &about);
    if (about.role != TB_ROLE_SERVER)
        return;
    tb_process_check_fork();
    tb_exchange_shutdown(&tb_core, tb_fd_conn(word), TB_SENT);
    ignore(s);
}

/* ---- births and ends ---- */

static void forget(const void *session)
{
    struct tb_stream *s;
    while ((s = tb_tls_find(session))) {
        tb_process_check_fork();
        end_stream(s);
        tb_stream_remove(&tb_tls_streams, (uintptr_t)session);
    }
}

void tb_tls_born(const void *session)
{
    if (session)
        forget(session);
}

void tb_tls_note(const void *session, uint32_t flags)
{
    struct tb_stream *s = enter(session);
    if (s)
        tb_fetch_or_relaxed(&s->flags, flags);
}

void tb_tls_held(const void *session)
{
    struct tb_stream *s = enter(session);
    if (s)
        tb_add_relaxed(&s->flags, TB_TLS_REFERENCE);
}

void tb_tls_freed(const void *session)
{
    struct tb_stream *s = session ? tb_tls_find(session) : NULL;
    if (!s)
        return;
    uint32_t flags = tb_load_relaxed(&s->flags);
    while (flags >= TB_TLS_REFERENCE)
        if (tb_cas_relaxed(&s->flags, &flags, flags - TB_TLS_REFERENCE))
            return;
    forget(session);
}

void tb_tls_cleared(const void *session)
{
    struct tb_stream *s = session ? tb_tls_find(session) : NULL;
    if (!s)
        return;
    tb_process_check_fork();
    end_stream(s);
    tb_store_relaxed(&s->begun_ns, 0);
    tb_fetch_and_relaxed(&s->flags, ~(uint32_t)(TB_TLS_IS_SERVER - 1));
}

/* A socket that carried nothing yet is done with; one that spoke in clear before (CONNECT, STARTTLS) goes on. */
void tb_tls_on_fd(const void *session, int fd)
{
    struct tb_stream *s = enter(session);
    uint64_t *slot = fd < 0 ? NULL : tb_fd_slot(fd);
    uint64_t word = slot ? tb_load_acquire(slot) : 0;
    if (s)
        tb_store_relaxed(&s->fd, fd < 0 ? 0 : fd + 1);
    if (tb_fd_state(word) != TB_FD_BORN ||
        !tb_cas_acq_rel(slot, &word, (word & (TB_FD_BIRTH_MASK | TB_FD_CLIENT)) | TB_FD_IGNORED))
        return;
    if (s)
        tb_fetch_or_relaxed(&s->flags, TB_TLS_ON_FD);
    if (!(word & TB_FD_CLIENT))
        tb_count(&tb_core, TB_COUNTER_TLS_SOCKETS);
}

/* ---- handshakes ---- */

void tb_tls_shaking(struct tb_tls_at at)
{
    struct tb_stream *s = enter(at.session);
    if (!s || tb_load_relaxed(&s->begun_ns) || tb_load_relaxed(&s->flags) & TB_TLS_SHAKEN)
        return;
    tb_store_relaxed(&s->begun_ns, tb_core.env.monotonic_ns());
    tb_fetch_or_relaxed(&s->flags, TB_TLS_SEEN);
}

void tb_tls_shaken(struct tb_tls_at at, bool is_done)
{
    struct tb_stream *s = tb_tls_find(at.session);
    if (!s || !(tb_load_relaxed(&s->flags) & TB_TLS_SEEN) ||
        tb_fetch_or_relaxed(&s->flags, TB_TLS_SHAKEN) & TB_TLS_SHAKEN)
        return;
    struct tb_tls_about about = {TB_ROLE_UNKNOWN, false};
    at.library->ask(at.library, at.session, &about);
    uint64_t begun_ns = tb_load_relaxed(&s->begun_ns), end_ns = begun_ns ? tb_core.env.monotonic_ns() : 0;
    struct tb_tls_handshake h = {.role = about.role,
                                 .is_done = is_done,
                                 .fd = tb_load_relaxed(&s->fd) - 1,
                                 .session = at.session,
                                 .duration_ns = end_ns > begun_ns ? end_ns - begun_ns : 0};
    tb_tls_handshake(&h);
}

void tb_tls_handshake(const struct tb_tls_handshake *h)
{
    if (!h->is_done)
        tb_count(&tb_core, TB_COUNTER_TLS_FAILED);
    if (h->role == TB_ROLE_CLIENT)
        tb_calls_shaken(h->fd, h->duration_ns, h->is_done);
}

/* ---- the whole table ---- */

static void visit(struct tb_stream *s, void *arg)
{
    (void)arg;
    end_stream(s);
}

void tb_tls_close_all(void)
{
    tb_stream_each(&tb_tls_streams, visit, NULL);
}
