/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GnuTLS: wrappers that call the library they belong to and say what happened (tls.h, tls_openssl.c).
 *
 * A call to send that returns "again" has taken its bytes all the same, a record's worth, and the call that completes
 * it may name none: so they count when they are taken, and the completion does not. Corked sessions say "sent" at once.
 */
#include <stddef.h>
#include <sys/types.h>

/* gnutls.h */
enum { ERROR_AGAIN = -28, ERROR_INTERRUPTED = -52, FLAG_SERVER = 1, FLAG_CLIENT = 2 };
struct datum {
    unsigned char *data;
    unsigned size;
};

#define TB_TLS_ROWS "tls_gnutls.def"
#define TB_TLS_LIBRARY gnutls
#include "tls_library.h"

/* No function tells a server from a client: that is noted when the session is made. */
static void ask(const struct tb_tls_library *library, const void *session, struct tb_tls_about *ret)
{
    const struct functions *f = functions_of(library);
    const struct tb_stream *s = tb_tls_find(session);
    uint32_t flags = s ? tb_load_relaxed(&s->flags) : 0;
    struct datum name = {NULL, 0};
    if (flags & (TB_TLS_IS_SERVER | TB_TLS_IS_CLIENT))
        ret->role = flags & TB_TLS_IS_SERVER ? TB_ROLE_SERVER : TB_ROLE_CLIENT;
    if (f->gnutls_alpn_get_selected_protocol && f->gnutls_alpn_get_selected_protocol((void *)session, &name) == 0)
        ret->is_http2 = name.size == 2 && name.data[0] == 'h' && name.data[1] == '2';
}

static inline bool is_fatal(const struct gnutls *g, ssize_t ret)
{
    return ret < 0 && g->real.gnutls_error_is_fatal && g->real.gnutls_error_is_fatal((int)ret);
}

/* ---- received ---- */

static inline ssize_t received(const struct gnutls *g, void *s, const void *buf, size_t len, ssize_t ret)
{
    if (!tb_is_awake())
        return ret;
    if (TB_LIKELY(ret > 0))
        tb_tls_received(at(g, s), buf, (size_t)ret);
    else if ((ret == 0 && len) || is_fatal(g, ret))
        tb_tls_ended(at(g, s));
    return ret;
}

static inline ssize_t on_gnutls_record_recv(const struct gnutls *g, void *s, void *buf, size_t len)
{
    return received(g, s, buf, len, g->real.gnutls_record_recv(s, buf, len));
}

static inline ssize_t on_gnutls_record_recv_seq(const struct gnutls *g, void *s, void *buf, size_t len,
                                                unsigned char *seq)
{
    return received(g, s, buf, len, g->real.gnutls_record_recv_seq(s, buf, len, seq));
}

static inline ssize_t on_gnutls_record_recv_packet(const struct gnutls *g, void *s, void **packet)
{
    struct datum data = {NULL, 0};
    ssize_t ret = g->real.gnutls_record_recv_packet(s, packet);
    if (ret > 0 && g->real.gnutls_packet_get)
        g->real.gnutls_packet_get(*packet, &data, NULL);
    received(g, s, data.data, 1, ret);
    return ret;
}

/* Before the session can be read: an empty answer is no end. */
static inline ssize_t on_gnutls_record_recv_early_data(const struct gnutls *g, void *s, void *buf, size_t len)
{
    return received(g, s, buf, 0, g->real.gnutls_record_recv_early_data(s, buf, len));
}

/* ---- sent ---- */

/* Were these the bytes of a call before, which counted then? */
static bool was_pending(const void *s)
{
    struct tb_stream *stream = tb_tls_find(s);
    return stream && tb_load_relaxed(&stream->flags) & TB_TLS_PENDING &&
           tb_fetch_and_relaxed(&stream->flags, ~(uint32_t)TB_TLS_PENDING) & TB_TLS_PENDING;
}

static void taken(const struct gnutls *g, void *s, const void *buf, size_t len)
{
    struct tb_stream *stream = tb_tls_find(s);
    size_t most = g->real.gnutls_record_get_max_size ? g->real.gnutls_record_get_max_size(s) : 0;
    if (!stream || !buf || !len || tb_fetch_or_relaxed(&stream->flags, TB_TLS_PENDING) & TB_TLS_PENDING)
        return;
    tb_tls_sent(at(g, s), buf, most && most < len ? most : len);
}

static inline ssize_t sent(const struct gnutls *g, void *s, const void *buf, size_t len, ssize_t ret)
{
    if (!tb_is_awake())
        return ret;
    if (TB_LIKELY(ret > 0)) {
        if (TB_LIKELY(!was_pending(s)))
            tb_tls_sent(at(g, s), buf, (size_t)ret);
    } else if (ret == ERROR_AGAIN || ret == ERROR_INTERRUPTED) {
        taken(g, s, buf, len);
    } else if (is_fatal(g, ret)) {
        tb_tls_ended(at(g, s));
    }
    return ret;
}

static inline ssize_t on_gnutls_record_send(const struct gnutls *g, void *s, const void *buf, size_t len)
{
    return sent(g, s, buf, len, g->real.gnutls_record_send(s, buf, len));
}

static inline ssize_t on_gnutls_record_send2(const struct gnutls *g, void *s, const void *buf, size_t len, size_t pad,
                                             unsigned flags)
{
    return sent(g, s, buf, len, g->real.gnutls_record_send2(s, buf, len, pad, flags));
}

/* Calls itself "again" as often as it needs; what it returned then was not taken. */
static inline ssize_t on_gnutls_record_send_range(const struct gnutls *g, void *s, const void *buf, size_t len,
                                                  const void *range)
{
    return sent(g, s, buf, 0, g->real.gnutls_record_send_range(s, buf, len, range));
}

static inline ssize_t on_gnutls_record_send_early_data(const struct gnutls *g, void *s, const void *buf, size_t len)
{
    ssize_t ret = g->real.gnutls_record_send_early_data(s, buf, len);
    if (ret == 0 && len && tb_is_awake()) /* it keeps all of them for the handshake */
        tb_tls_sent(at(g, s), buf, len);
    return ret;
}

static inline ssize_t on_gnutls_record_send_file(const struct gnutls *g, void *s, int fd, off_t *offset, size_t len)
{
    ssize_t ret = g->real.gnutls_record_send_file(s, fd, offset, len);
    if (tb_is_awake() && ret > 0)
        tb_tls_io(at(g, s), TB_SENT, NULL, (size_t)ret);
    return ret;
}

/* ---- handshakes, births and ends ---- */

static inline int on_gnutls_handshake(const struct gnutls *g, void *s)
{
    if (!tb_is_awake())
        return g->real.gnutls_handshake(s);
    tb_tls_shaking(at(g, s));
    int ret = g->real.gnutls_handshake(s);
    if (ret == 0 || is_fatal(g, ret))
        tb_tls_shaken(at(g, s), ret == 0);
    return ret;
}

static inline int on_gnutls_init(const struct gnutls *g, void **s, unsigned flags)
{
    int ret = g->real.gnutls_init(s, flags);
    if (tb_is_awake() && ret == 0) {
        tb_tls_born(*s);
        tb_tls_note(*s, flags & FLAG_SERVER ? TB_TLS_IS_SERVER : flags & FLAG_CLIENT ? TB_TLS_IS_CLIENT : 0);
    }
    return ret;
}

static inline void on_gnutls_deinit(const struct gnutls *g, void *s)
{
    if (tb_is_awake())
        tb_tls_freed(s);
    g->real.gnutls_deinit(s);
}

static inline int on_gnutls_bye(const struct gnutls *g, void *s, int how)
{
    int ret = g->real.gnutls_bye(s, how);
    if (tb_is_awake())
        tb_tls_shut(at(g, s));
    return ret;
}

static inline void on_gnutls_transport_set_int2(const struct gnutls *g, void *s, int from, int to)
{
    g->real.gnutls_transport_set_int2(s, from, to);
    if (tb_is_awake())
        tb_tls_on_fd(s, to);
    if (tb_is_awake() && from != to)
        tb_tls_on_fd(s, from);
}

#define TB_TLS_FAMILY tb_gnutls
#define TB_TLS_PREFIX 'g'
#include "tls_copies.h"
