/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP side: what is served where, deadlines and limits. One thread: the caller waits on tb_http_fd and calls
 * tb_http_run; scrapes are rendered inside that call.
 */
#ifndef TB_HTTP_H
#define TB_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"

struct tb_http;

struct tb_http_options {
    const char *address;        /* HOST:PORT, :PORT or [IPV6]:PORT; an empty host is every address, IPv6 and IPv4 */
    const char *telemetry_path; /* begins with '/' */
    /*
     * Renders a scrape into @out. Returns 0, or -errno: the client gets 500.
     */
    int (*scrape)(void *arg, struct tb_buffer *out);
    /* Told after each scrape with the status that it got. */
    void (*scraped)(void *arg, unsigned code);
    bool (*is_ready)(void *arg);
    void *arg;
};

/*
 * tb_http_start - listen and be ready to serve.
 * @options    copied; its strings too
 * @ret_error  on failure `what: why: what to do`, the caller's to free
 * Returns 0 or -errno.
 */
int tb_http_start(const struct tb_http_options *options, struct tb_http **ret, char **ret_error);
void tb_http_stop(struct tb_http *h);

uint16_t tb_http_port(const struct tb_http *h);
int tb_http_fd(const struct tb_http *h); /* readable (epoll) when there is something to do */
/* tb_http_timeout_ms - how long to wait at most before tb_http_run; -1 = until tb_http_fd is readable. */
int tb_http_timeout_ms(const struct tb_http *h);
void tb_http_run(struct tb_http *h);

#endif
