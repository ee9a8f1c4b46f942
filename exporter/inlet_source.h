/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whom an inlet asks: one file for each kind (inlet_url.c, ...). A source belongs to one inlet and to the one thread of
 * all of them (inlet_pull.c), so nothing here ever waits: a read is begun, and goes on whenever its transfer is over or
 * its descriptor is ready.
 */
#ifndef TB_INLET_SOURCE_H
#define TB_INLET_SOURCE_H

#include <curl/curl.h>

#include "inlet_answer.h"

struct tb_helper; /* inlet_helper.h */

/* One read. Zero-initialised, but for the descriptor, -1. */
struct tb_pull_read {
    CURL *transfer;        /* to be run; the source's. NULL: none */
    struct curl_waitfd fd; /* to wait for; the source's */
    struct tb_pull_answer answer;
};

struct tb_pull_source {
    /* open - @c is borrowed until close, as is @h, which only a command needs and which may be NULL. */
    void *(*open)(const struct tb_pull_config *c, struct tb_helper *h);
    void (*close)(void *source);
    /* begin - false: it is over already, and @r->answer says why. */
    bool (*begin)(void *source, struct tb_pull_read *r);
    /* step - the transfer ended with @result, or, without one, the descriptor is ready. False: the read is over, and
     * @r->answer is filled. */
    bool (*step)(void *source, struct tb_pull_read *r, CURLcode result);
    /* end - lets go of what a read had; the transfer is no longer run. After each begin. */
    void (*end)(void *source);
};

extern const struct tb_pull_source tb_pull_json, tb_pull_redis, tb_pull_command;

#endif
