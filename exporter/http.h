/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP side: connections, requests, and answers by pages (http_pages.h has those of the exporter). Limits and
 * deadlines are http_guard.h. One thread: the caller waits on tb_http_fd and calls tb_http_run; pages answer inside
 * that call.
 */
#ifndef TB_HTTP_H
#define TB_HTTP_H

#include <microhttpd.h>

#include "buffer.h"
#include "http_guard.h"
#include "http_listen.h"
#include "web.h"

struct tb_http;

/* One request while its page answers it. A page calls exactly one tb_http_answer_*. */
struct tb_http_request {
    struct tb_http *http;
    struct MHD_Connection *mhd;
    struct tb_guard *guard;
    struct tb_client *client;
    struct tb_web *web; /* NULL = no web configuration */
    const char *path;
    void *arg;              /* of the options */
    unsigned code;          /* answered; 0 = not yet */
    enum MHD_Result result; /* of queueing it */
};

enum tb_http_methods { TB_HTTP_READ = 1 /* GET, HEAD */, TB_HTTP_WRITE = 2 /* POST, PUT */ };

struct tb_http_page {
    const char *path; /* exactly; decoded, without its query */
    enum tb_http_methods methods;
    void (*answer)(struct tb_http_request *r);
};

struct tb_http_options {
    const struct tb_http_page *pages; /* borrowed for the server's life, with their paths */
    size_t page_count;
    void *arg;
    unsigned connections_max, scrapes_max; /* 0 = no limit */
    struct tb_web *web;                    /* borrowed for the server's life; NULL = no web configuration */
};

/*
 * tb_http_start - serve on @listeners.
 * @listeners  emptied: taken over, unless it fails
 * @ret_error  on failure `what: why: what to do`, the caller's to free
 * Returns 0 or -errno.
 */
int tb_http_start(const struct tb_http_options *options, struct tb_listeners *listeners, struct tb_http **ret,
                  char **ret_error);
void tb_http_stop(struct tb_http *h);

int tb_http_fd(const struct tb_http *h); /* readable (epoll) when there is something to do */
/* tb_http_timeout_ms - how long to wait at most before tb_http_run; -1 = until tb_http_fd is readable. */
int tb_http_timeout_ms(const struct tb_http *h);
void tb_http_run(struct tb_http *h);

const struct tb_guard *tb_http_guard(const struct tb_http *h);

/* tb_http_header - the first value of a request header; NULL when it has none. Valid while the page answers. */
const char *tb_http_header(const struct tb_http_request *r, const char *name);

/* tb_http_arguments - append every value of the query's argument @name, in order, to @ret. Borrowed as above. Returns
 * false when there are more than @max. */
bool tb_http_arguments(const struct tb_http_request *r, const char *name, const char **ret, size_t max,
                       size_t *ret_count);

/* Answers. @headers: name, value, name, value, NULL; may be NULL. */
void tb_http_answer_text(struct tb_http_request *r, unsigned code, const char *text, const char *const *headers);
/* tb_http_answer_static - @body lives as long as the server. */
void tb_http_answer_static(struct tb_http_request *r, unsigned code, const char *type, const char *body, size_t len,
                           const char *const *headers);
/*
 * tb_http_answer_stream - a body that is made while it is sent, of a length not known yet (chunked).
 * @read  the next bytes, up to @space of them, to @to; returns their number, 0 at the end
 * @done  called once when nothing more is read, whether sent or given up; also when this fails
 */
void tb_http_answer_stream(struct tb_http_request *r, unsigned code, const char *type,
                           size_t (*read)(void *arg, char *to, size_t space), void (*done)(void *arg), void *arg,
                           const char *const *headers);
/* tb_http_answer_buffer - takes @body's memory; freed when it is sent. */
void tb_http_answer_buffer(struct tb_http_request *r, unsigned code, const char *type, struct tb_buffer *body,
                           const char *const *headers);

#endif
