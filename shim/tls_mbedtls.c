/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mbed TLS: wrappers that call the library they belong to and say what happened (tls.h, tls_openssl.c). A call to send
 * that is to be made again is made with the same bytes, and returns their number then. Nothing tells a server's context
 * from a client's: the first bytes do.
 */

/* mbedtls/ssl.h: not the end, call again (want read, want write, in progress, ticket received) */
enum { WANT_READ = -0x6900, WANT_WRITE = -0x6880, ASYNC = -0x6500, CRYPTO = -0x7000, TICKET = -0x7b00 };

#define TB_TLS_ROWS "tls_mbedtls.def"
#define TB_TLS_LIBRARY mbedtls
#include "tls_library.h"

static void ask(const struct tb_tls_library *library, const void *session, struct tb_tls_about *ret)
{
    const struct functions *f = functions_of(library);
    const char *name = f->mbedtls_ssl_get_alpn_protocol ? f->mbedtls_ssl_get_alpn_protocol(session) : NULL;
    ret->is_http2 = name && name[0] == 'h' && name[1] == '2' && !name[2];
}

static inline bool is_fatal(int ret)
{
    return ret < 0 && ret != WANT_READ && ret != WANT_WRITE && ret != ASYNC && ret != CRYPTO && ret != TICKET;
}

static inline int on_mbedtls_ssl_read(const struct mbedtls *m, void *s, unsigned char *buf, size_t len)
{
    int ret = m->real.mbedtls_ssl_read(s, buf, len);
    if (!tb_is_awake())
        return ret;
    if (TB_LIKELY(ret > 0))
        tb_tls_received(at(m, s), buf, (size_t)ret);
    else if ((ret == 0 && len) || is_fatal(ret))
        tb_tls_ended(at(m, s));
    return ret;
}

static inline int on_mbedtls_ssl_write(const struct mbedtls *m, void *s, const unsigned char *buf, size_t len)
{
    int ret = m->real.mbedtls_ssl_write(s, buf, len);
    if (!tb_is_awake())
        return ret;
    if (TB_LIKELY(ret > 0))
        tb_tls_sent(at(m, s), buf, (size_t)ret);
    else if (is_fatal(ret))
        tb_tls_ended(at(m, s));
    return ret;
}

static inline int on_mbedtls_ssl_handshake(const struct mbedtls *m, void *s)
{
    if (!tb_is_awake())
        return m->real.mbedtls_ssl_handshake(s);
    tb_tls_shaking(at(m, s));
    int ret = m->real.mbedtls_ssl_handshake(s);
    if (ret == 0 || is_fatal(ret))
        tb_tls_shaken(at(m, s), ret == 0);
    return ret;
}

static inline void on_mbedtls_ssl_init(const struct mbedtls *m, void *s)
{
    if (tb_is_awake())
        tb_tls_born(s);
    m->real.mbedtls_ssl_init(s);
}

static inline void on_mbedtls_ssl_free(const struct mbedtls *m, void *s)
{
    if (tb_is_awake())
        tb_tls_freed(s);
    m->real.mbedtls_ssl_free(s);
}

static inline int on_mbedtls_ssl_session_reset(const struct mbedtls *m, void *s)
{
    if (tb_is_awake())
        tb_tls_cleared(s);
    return m->real.mbedtls_ssl_session_reset(s);
}

static inline int on_mbedtls_ssl_close_notify(const struct mbedtls *m, void *s)
{
    int ret = m->real.mbedtls_ssl_close_notify(s);
    if (tb_is_awake())
        tb_tls_shut(at(m, s));
    return ret;
}

#define TB_TLS_FAMILY tb_mbedtls
#define TB_TLS_PREFIX 'm'
#include "tls_copies.h"
