/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL: wrappers that call the library they belong to and say what happened (tls.h). Each library that is loaded has
 * a copy of them, since nothing in a call tells which of two it means.
 *
 * What a call returned decides; when it failed, functions that only look tell a call to be made again from the end of
 * the connection. SSL_get_error is none of these: it makes an error queue for the thread. The host's errno and error
 * queue are as the real call left them.
 */
#include <stddef.h>
#include <sys/types.h>

typedef struct ssl_st SSL;
typedef struct bio_st BIO;

/* ssl.h and bio.h */
enum {
    WANT_NOTHING = 1,
    WANT_WRITING = 2,
    WANT_READING = 3,
    SHUTDOWN_RECEIVED = 2,
    SHOULD_RETRY = 8,
    EARLY_DATA_SUCCESS = 1
};

#define TB_TLS_ROWS "tls_openssl.def"
#define TB_TLS_LIBRARY openssl
#include "tls_library.h"

static void ask(const struct tb_tls_library *library, const void *session, struct tb_tls_about *ret)
{
    const struct functions *f = functions_of(library);
    const unsigned char *name = NULL;
    unsigned len = 0;
    if (f->SSL_is_server)
        ret->role = f->SSL_is_server(session) ? TB_ROLE_SERVER : TB_ROLE_CLIENT;
    if (f->SSL_get0_alpn_selected)
        f->SSL_get0_alpn_selected(session, &name, &len);
    ret->is_http2 = len == 2 && name[0] == 'h' && name[1] == '2';
}

/* ---- failed calls ---- */

/*
 * A call returned without success: is the connection of no use any more? It is when a transfer was under way and is not
 * to be tried again; anything else (a certificate to look up, a session that never began) says nothing.
 */
static bool is_gone(const struct functions *f, const SSL *s)
{
    int want = f->SSL_want ? f->SSL_want(s) : 0;
    const BIO *bio = NULL;
    if (want == WANT_READING && f->SSL_get_rbio)
        bio = f->SSL_get_rbio(s);
    else if (want == WANT_WRITING && f->SSL_get_wbio)
        bio = f->SSL_get_wbio(s);
    return bio && f->BIO_test_flags && !f->BIO_test_flags(bio, SHOULD_RETRY);
}

static __attribute__((noinline)) void failed(const struct openssl *o, const SSL *s)
{
    const struct functions *f = &o->real;
    if (!tb_tls_settled(s))
        return;
    if ((f->SSL_get_shutdown && f->SSL_get_shutdown(s) & SHUTDOWN_RECEIVED) || is_gone(f, s))
        tb_tls_ended(at(o, s));
}

/* ---- bytes ---- */

static inline void received(const struct openssl *o, const SSL *s, const void *buf, bool is_ok, size_t got)
{
    if (!tb_is_awake())
        return;
    if (TB_LIKELY(is_ok && got))
        tb_tls_received(at(o, s), buf, got);
    else if (!is_ok)
        failed(o, s);
}

static inline void sent(const struct openssl *o, const SSL *s, const void *buf, bool is_ok, size_t put)
{
    if (!tb_is_awake())
        return;
    if (TB_LIKELY(is_ok && put))
        tb_tls_sent(at(o, s), buf, put);
    else if (!is_ok)
        failed(o, s);
}

static inline int on_SSL_read(const struct openssl *o, SSL *s, void *buf, int len)
{
    int ret = o->real.SSL_read(s, buf, len);
    received(o, s, buf, ret > 0, (size_t)ret);
    return ret;
}

static inline int on_SSL_read_ex(const struct openssl *o, SSL *s, void *buf, size_t len, size_t *got)
{
    int ret = o->real.SSL_read_ex(s, buf, len, got);
    received(o, s, buf, ret > 0, ret > 0 ? *got : 0);
    return ret;
}

static inline int on_SSL_read_early_data(const struct openssl *o, SSL *s, void *buf, size_t len, size_t *got)
{
    if (tb_is_awake())
        tb_tls_shaking(at(o, s)); /* it begins the handshake */
    int ret = o->real.SSL_read_early_data(s, buf, len, got);
    if (ret == EARLY_DATA_SUCCESS)
        received(o, s, buf, true, *got);
    return ret;
}

static inline int on_SSL_write(const struct openssl *o, SSL *s, const void *buf, int len)
{
    int ret = o->real.SSL_write(s, buf, len);
    sent(o, s, buf, ret > 0, (size_t)ret);
    return ret;
}

static inline int on_SSL_write_ex(const struct openssl *o, SSL *s, const void *buf, size_t len, size_t *put)
{
    int ret = o->real.SSL_write_ex(s, buf, len, put);
    sent(o, s, buf, ret > 0, ret > 0 ? *put : 0);
    return ret;
}

static inline int on_SSL_write_ex2(const struct openssl *o, SSL *s, const void *buf, size_t len, uint64_t flags,
                                   size_t *put)
{
    int ret = o->real.SSL_write_ex2(s, buf, len, flags, put);
    sent(o, s, buf, ret > 0, ret > 0 ? *put : 0);
    return ret;
}

static inline int on_SSL_write_early_data(const struct openssl *o, SSL *s, const void *buf, size_t len, size_t *put)
{
    if (tb_is_awake())
        tb_tls_shaking(at(o, s));
    int ret = o->real.SSL_write_early_data(s, buf, len, put);
    sent(o, s, buf, ret > 0, ret > 0 ? *put : 0);
    return ret;
}

/* Only the kernel saw them. */
static inline ssize_t on_SSL_sendfile(const struct openssl *o, SSL *s, int fd, off_t offset, size_t len, int flags)
{
    ssize_t ret = o->real.SSL_sendfile(s, fd, offset, len, flags);
    if (tb_is_awake() && ret > 0)
        tb_tls_io(at(o, s), TB_SENT, NULL, (size_t)ret);
    return ret;
}

/* ---- handshakes ---- */

static inline int shake(const struct openssl *o, SSL *s, int (*real)(SSL *s))
{
    if (!tb_is_awake())
        return real(s);
    tb_tls_shaking(at(o, s));
    int ret = real(s);
    if (ret == 1 || (o->real.SSL_want && o->real.SSL_want(s) == WANT_NOTHING) || is_gone(&o->real, s))
        tb_tls_shaken(at(o, s), ret == 1);
    return ret;
}

static inline int on_SSL_do_handshake(const struct openssl *o, SSL *s)
{
    return shake(o, s, o->real.SSL_do_handshake);
}

static inline int on_SSL_accept(const struct openssl *o, SSL *s)
{
    return shake(o, s, o->real.SSL_accept);
}

static inline int on_SSL_connect(const struct openssl *o, SSL *s)
{
    return shake(o, s, o->real.SSL_connect);
}

/* ---- births and ends ---- */

static inline SSL *on_SSL_new(const struct openssl *o, void *ctx)
{
    SSL *s = o->real.SSL_new(ctx);
    if (tb_is_awake())
        tb_tls_born(s);
    return s;
}

static inline void on_SSL_free(const struct openssl *o, SSL *s)
{
    if (tb_is_awake())
        tb_tls_freed(s);
    o->real.SSL_free(s);
}

static inline int on_SSL_up_ref(const struct openssl *o, SSL *s)
{
    int ret = o->real.SSL_up_ref(s);
    if (tb_is_awake() && ret == 1)
        tb_tls_held(s);
    return ret;
}

static inline int on_SSL_clear(const struct openssl *o, SSL *s)
{
    if (tb_is_awake())
        tb_tls_cleared(s);
    return o->real.SSL_clear(s);
}

static inline int on_SSL_shutdown(const struct openssl *o, SSL *s)
{
    int ret = o->real.SSL_shutdown(s);
    if (tb_is_awake()) /* whatever became of the message: nothing can be written behind it */
        tb_tls_shut(at(o, s));
    return ret;
}

static inline int name_fd(const struct openssl *o, SSL *s, int fd, int (*real)(SSL *s, int fd))
{
    int ret = real(s, fd);
    (void)o;
    if (tb_is_awake() && ret == 1)
        tb_tls_on_fd(s, fd);
    return ret;
}

static inline int on_SSL_set_fd(const struct openssl *o, SSL *s, int fd)
{
    return name_fd(o, s, fd, o->real.SSL_set_fd);
}

static inline int on_SSL_set_rfd(const struct openssl *o, SSL *s, int fd)
{
    return name_fd(o, s, fd, o->real.SSL_set_rfd);
}

static inline int on_SSL_set_wfd(const struct openssl *o, SSL *s, int fd)
{
    return name_fd(o, s, fd, o->real.SSL_set_wfd);
}

#define TB_TLS_FAMILY tb_openssl
#define TB_TLS_PREFIX 'S'
#include "tls_copies.h"
