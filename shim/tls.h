/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What TLS libraries do, told to the core: plaintext received and sent, sessions born and ended, handshakes. Called by
 * the wrappers of each library (tls_openssl.c, tls_gnutls.c) with the result of the real call; nothing here changes
 * errno, a library's error queue or a session, blocks, or allocates from the host.
 *
 * A session's address is the identity of its stream; the descriptor below it, if there is one, carries ciphertext and
 * counts nothing. Context: any thread, signal handlers. Fork story: private, copied, as with descriptors.
 */
#ifndef TB_TLS_H
#define TB_TLS_H

#include "../agent/stream_table.h"
#include "fdtable.h"
#include "process.h"

#pragma GCC visibility push(hidden)

/* What a library is asked about a session when its first bytes are seen. */
struct tb_tls_about {
    enum tb_role role;
    bool is_http2; /* agreed in the handshake (ALPN) */
};

/* One loaded library, as its wrappers know it. */
struct tb_tls_library {
    void (*ask)(const struct tb_tls_library *library, const void *session, struct tb_tls_about *ret);
};

/* A session, as a wrapper knows it. */
struct tb_tls_at {
    const struct tb_tls_library *library;
    const void *session;
};

/* A handshake is over; later ones of the same session are not told. */
struct tb_tls_handshake {
    enum tb_role role;
    bool is_done; /* false: it failed */
    int fd;       /* -1: unknown */
    const void *session;
    uint64_t duration_ns; /* from the first call; 0: unknown */
};

/* Bits of tb_stream.flags */
enum {
    TB_TLS_LOOKS = 15,      /* calls of a session of unseen birth that were not HTTP */
    TB_TLS_SEEN = 16,       /* its handshake was seen: its first bytes are the first */
    TB_TLS_SHAKEN = 32,     /* its handshake was told */
    TB_TLS_PENDING = 64,    /* bytes that were counted already are yet to be reported as sent (GnuTLS) */
    TB_TLS_ON_FD = 128,     /* its descriptor was settled when it was named */
    TB_TLS_IS_SERVER = 256, /* known where the library does not tell it */
    TB_TLS_IS_CLIENT = 512,
    TB_TLS_REFERENCE = 1024 /* one more holder; counts upwards from here */
};

extern struct tb_stream_table tb_tls_streams;

/* Plaintext crossed in whatever situation; @len 0 with TB_RECEIVED: the peer will send no more. */
void tb_tls_io(struct tb_tls_at at, enum tb_direction direction, const void *buf, size_t len);

static inline struct tb_stream *tb_tls_find(const void *session)
{
    return tb_stream_find(&tb_tls_streams, (uintptr_t)session);
}

/* The common case, inline as its twins in events.h: a session that is known, in a process that did not just fork. */
static inline struct tb_conn *tb_tls_settled(const void *session)
{
    const struct tb_stream *s = tb_tls_find(session);
    uint64_t word = TB_LIKELY(s != NULL) ? tb_load_acquire(&s->word) : 0;
    bool is_settled = TB_LIKELY(tb_fd_state(word) == TB_FD_CONN) && TB_LIKELY(tb_load_relaxed(tb_fork_word) != 0);
    return is_settled ? tb_fd_conn(word) : NULL;
}

/* tb_tls_received, _sent - @len bytes of plaintext, not 0, were handed to the program, or by it. */
static inline void tb_tls_received(struct tb_tls_at at, const void *buf, size_t len)
{
    struct tb_conn *conn = tb_tls_settled(at.session);
    if (!conn || !tb_exchange_rx(&tb_core, conn, buf, len))
        tb_tls_io(at, TB_RECEIVED, buf, len);
}

static inline void tb_tls_sent(struct tb_tls_at at, const void *buf, size_t len)
{
    struct tb_conn *conn = tb_tls_settled(at.session);
    if (!conn || !tb_exchange_tx(&tb_core, conn, buf, len))
        tb_tls_io(at, TB_SENT, buf, len);
}

/* tb_tls_ended - the peer will send no more: it said so, or its connection is gone. */
void tb_tls_ended(struct tb_tls_at at);
/* tb_tls_shut - this side will send no more (close_notify). */
void tb_tls_shut(struct tb_tls_at at);
/* tb_tls_born - a new session has this address: whatever stood there is over, seen or not. */
void tb_tls_born(const void *session);
/* tb_tls_note - @flags (TB_TLS_IS_) are set for the session. */
void tb_tls_note(const void *session, uint32_t flags);
/* tb_tls_held - one more holder: so many more tb_tls_freed do not end it. */
void tb_tls_held(const void *session);
/* tb_tls_freed - before the real call: afterwards the address may be another thread's. */
void tb_tls_freed(const void *session);
/* tb_tls_cleared - the session stays and will carry another connection. */
void tb_tls_cleared(const void *session);
/* tb_tls_on_fd - the session's bytes go through @fd: those are ciphertext. */
void tb_tls_on_fd(const void *session, int fd);

/* tb_tls_shaking - before a call that may be a handshake's first; tb_tls_shaken - after its last. */
void tb_tls_shaking(struct tb_tls_at at);
void tb_tls_shaken(struct tb_tls_at at, bool is_done);

/* tb_tls_handshake - a handshake is over, told once for each session. */
void tb_tls_handshake(const struct tb_tls_handshake *h);

/* tb_tls_close_all - every session ends for this process: at exit, and at exec, which none survives. */
void tb_tls_close_all(void);

#pragma GCC visibility pop
#endif
