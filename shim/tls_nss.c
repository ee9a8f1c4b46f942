/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NSS: wrappers that call the library they belong to and say what happened (tls.h, tls_openssl.c). A program reads and
 * writes through NSPR, whose functions serve files and sockets too: only a descriptor whose uppermost layer is NSS's is
 * a session. Nothing tells a server's from a client's, nor is asked what was agreed in the handshake: the first bytes
 * do.
 */
#include <stdbool.h>

/* prio.h, prerror.h, prtypes.h */
struct range {
    const char *base;
    int len;
};
enum { MSG_IS_PEEK = 2 };
enum { WOULD_BLOCK = -5998, INTERRUPTED = -5993, IO_TIMEOUT = -5990 };

#include "resolve.h"

#define TB_TLS_ROWS "tls_nss.def"
#define TB_TLS_LIBRARY nss
#include "tls_library.h"

static void ask(const struct tb_tls_library *library, const void *session, struct tb_tls_about *ret)
{
    (void)library, (void)session, (void)ret;
}

/* Kinds of layers have numbers; NSPR takes a lock to tell their names, so each is asked for once. */
#define KINDS 64
static uint64_t kinds_asked, kinds_of_nss;

static bool is_kind_of_nss(const struct nss *n, int kind)
{
    if (kind < 0 || kind >= KINDS)
        return false;
    uint64_t bit = UINT64_C(1) << kind;
    if (!(tb_load_acquire(&kinds_asked) & bit)) {
        const char *name = n->real.PR_GetNameForIdentity(kind);
        if (name && tb_same_text(name, "SSL"))
            tb_fetch_or_relaxed(&kinds_of_nss, bit);
        tb_fetch_or_release(&kinds_asked, bit);
    }
    return tb_load_relaxed(&kinds_of_nss) & bit;
}

static bool is_session(const struct nss *n, void *s)
{
    if (!s || !tb_is_awake())
        return false;
    if (tb_tls_find(s))
        return true;
    bool is_known = n->real.PR_GetLayersIdentity && n->real.PR_GetNameForIdentity;
    return is_known && is_kind_of_nss(n, n->real.PR_GetLayersIdentity(s));
}

static bool is_fatal(const struct nss *n)
{
    int error = n->real.PR_GetError ? n->real.PR_GetError() : WOULD_BLOCK;
    return error != WOULD_BLOCK && error != INTERRUPTED && error != IO_TIMEOUT;
}

static void received(const struct nss *n, void *s, const void *buf, int ret, int len)
{
    if (!is_session(n, s))
        return;
    if (TB_LIKELY(ret > 0))
        tb_tls_received(at(n, s), buf, (size_t)ret);
    else if ((ret == 0 && len > 0) || (ret < 0 && is_fatal(n)))
        tb_tls_ended(at(n, s));
}

static void sent(const struct nss *n, void *s, const void *buf, int ret)
{
    if (!is_session(n, s))
        return;
    if (TB_LIKELY(ret > 0))
        tb_tls_sent(at(n, s), buf, (size_t)ret);
    else if (ret < 0 && is_fatal(n))
        tb_tls_ended(at(n, s));
}

static inline int on_PR_Read(const struct nss *n, void *s, void *buf, int len)
{
    int ret = n->real.PR_Read(s, buf, len);
    received(n, s, buf, ret, len);
    return ret;
}

static inline int on_PR_Write(const struct nss *n, void *s, const void *buf, int len)
{
    int ret = n->real.PR_Write(s, buf, len);
    sent(n, s, buf, ret);
    return ret;
}

static inline int on_PR_Recv(const struct nss *n, void *s, void *buf, int len, int flags, unsigned timeout)
{
    int ret = n->real.PR_Recv(s, buf, len, flags, timeout);
    if (!(flags & MSG_IS_PEEK))
        received(n, s, buf, ret, len);
    return ret;
}

static inline int on_PR_Send(const struct nss *n, void *s, const void *buf, int len, int flags, unsigned timeout)
{
    int ret = n->real.PR_Send(s, buf, len, flags, timeout);
    sent(n, s, buf, ret);
    return ret;
}

static inline int on_PR_Writev(const struct nss *n, void *s, const struct range *ranges, int count, unsigned timeout)
{
    int ret = n->real.PR_Writev(s, ranges, count, timeout);
    if (ret <= 0)
        sent(n, s, NULL, ret);
    for (int i = 0, left = ret; i < count && left > 0; left -= ranges[i++].len)
        sent(n, s, ranges[i].base, ranges[i].len < left ? ranges[i].len : left);
    return ret;
}

static inline int on_PR_Close(const struct nss *n, void *s)
{
    if (tb_is_awake())
        tb_tls_freed(s);
    return n->real.PR_Close(s);
}

#define TB_TLS_FAMILY tb_nss
#define TB_TLS_PREFIX 'P'
#include "tls_copies.h"
