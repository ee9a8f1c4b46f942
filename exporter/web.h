/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The web configuration in force: looked at again with each connection and each request, and read again when its file,
 * or one that it names, has changed. A file that is wrong changes nothing: what was in force stays, and a metric and
 * the log say so. One thread.
 */
#ifndef TB_WEB_H
#define TB_WEB_H

#include "web_auth.h"
#include "web_config.h"
#include "web_tls.h"

struct tb_web;

/* tb_web_new - the first reading. NULL with lines of errors, the caller's to free. */
struct tb_web *tb_web_new(const char *path, char **ret_errors);
void tb_web_free(struct tb_web *w);

/* tb_web_again - read it again if it has changed, or if @is_asked. Returns false when it was read and is wrong. */
bool tb_web_again(struct tb_web *w, bool is_asked);

/* tb_web_tls - what the next connection shakes hands with; NULL: plain HTTP. That is never changed by a reload.
 * Borrowed. */
struct tb_web_tls *tb_web_tls(const struct tb_web *w);

const struct tb_web_config *tb_web_config(const struct tb_web *w);

/* tb_web_may_ask - takes one request off the rate limit; false: there is none left. */
bool tb_web_may_ask(struct tb_web *w);

/* tb_web_may_enter - see tb_web_auth_check; YES when there are no users. A user who is not let in is in the log, once
 * in ten seconds at most, with how many there were. */
enum tb_web_answer tb_web_may_enter(struct tb_web *w, const struct sockaddr *from, const char *user,
                                    const char *password);

struct tb_web_stats {
    bool is_successful;  /* the last reading */
    uint64_t success_ns; /* CLOCK_REALTIME of the last good one */
};
const struct tb_web_stats *tb_web_stats(const struct tb_web *w);

#endif
