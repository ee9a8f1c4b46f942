/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS of one web configuration: certificate, key, client CA, versions, suites; everything that a handshake needs, so
 * that a new configuration is a new one of these and connections go on with the one they began with. By GnuTLS. One
 * thread.
 */
#ifndef TB_WEB_TLS_H
#define TB_WEB_TLS_H

#include <gnutls/gnutls.h>

#include "web_config.h"

struct tb_web_tls;

/*
 * tb_web_tls_new - reads the files, checks that they belong together and that nothing is offered that the lists leave
 * out.
 * @errors  appended to
 * Returns NULL when there was one. One reference is the caller's.
 */
struct tb_web_tls *tb_web_tls_new(const struct tb_web_config *c, struct tb_config_errors *errors);
struct tb_web_tls *tb_web_tls_ref(struct tb_web_tls *t);
void tb_web_tls_unref(struct tb_web_tls *t); /* NULL: nothing */

/* tb_web_tls_apply - a session that has not begun: it shakes hands as @t says. @t stays until the session is over. Sets
 * the session's pointer. Returns a GnuTLS code. */
int tb_web_tls_apply(struct tb_web_tls *t, gnutls_session_t session);

/* tb_web_tls_look - what its files look like now (file_look.h), mixed into @h. */
uint64_t tb_web_tls_look(const struct tb_web_config *c, uint64_t h);

#endif
