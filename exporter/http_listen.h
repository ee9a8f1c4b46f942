/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets to serve on: opened by address, or handed over by systemd. Opened before rights are given up. */
#ifndef TB_HTTP_LISTEN_H
#define TB_HTTP_LISTEN_H

#include <stddef.h>
#include <stdint.h>

struct tb_listeners {
    int *fds; /* owned until tb_http_start took them; listening, non-blocking, closed at exec */
    size_t count, space;
};

/*
 * tb_listeners_open - listen on each of @addresses: HOST:PORT, :PORT or [IPV6]:PORT. An empty host is every address,
 * IPv6 and IPv4; a name is every address that it has.
 * @ret        appended to; to be closed with tb_listeners_close in any case
 * @ret_error  on failure `what: why: what to do`, the caller's to free
 * Returns 0 or -errno.
 */
int tb_listeners_open(const char *const *addresses, size_t count, struct tb_listeners *ret, char **ret_error);

/*
 * tb_listeners_inherit - the sockets of LISTEN_FDS (sd_listen_fds(3)); the variables are removed. Each must be a
 * listening stream socket. Returns and errors as tb_listeners_open.
 */
int tb_listeners_inherit(struct tb_listeners *ret, char **ret_error);

void tb_listeners_close(struct tb_listeners *l);

/* tb_listener_name - the address of a listening socket as text, the caller's to free. */
char *tb_listener_name(int fd);

/* tb_listener_port - 0 when it has none. */
uint16_t tb_listener_port(int fd);

#endif
