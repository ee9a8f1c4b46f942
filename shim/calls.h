/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program as a client: what it does to reach other servers, told to the core (agent/attempts.h). Called by the
 * wrappers of connect, getsockopt and getaddrinfo, and by events.c for what happens to descriptors that the program
 * made itself. Nothing here changes errno or a result, or reads memory of the program before the kernel has.
 * Context: any thread, signal handlers, vfork children.
 */
#ifndef TB_CALLS_H
#define TB_CALLS_H

#include <netdb.h>
#include <sys/socket.h>

#include "fdtable.h"
#include "process.h"

#pragma GCC visibility push(hidden)

/* tb_calls_start - before connect(): the time, 0 when none can be had yet. */
uint64_t tb_calls_start(void);
/* tb_calls_connect - after it. */
void tb_calls_connect(int fd, const struct sockaddr *to, socklen_t to_len, int ret, uint64_t start_ns);
/* tb_calls_option - after getsockopt(): SO_ERROR is how programs learn what became of a connect that was pending. */
void tb_calls_option(int fd, int level, int name, const void *value, const socklen_t *len, int ret);
/* tb_calls_failed - a call on @fd, which stands for no connection yet, failed with @error. */
void tb_calls_failed(int fd, uint64_t word, int error);
/* tb_calls_carries - its first bytes crossed: those of @conn, or (NULL) of TLS or of no interest. */
void tb_calls_carries(int fd, uint64_t word, const struct tb_conn *conn, bool is_tls);
/* tb_calls_closed - the identity is over. */
void tb_calls_closed(int fd, uint64_t word);
/* tb_calls_shaken - a TLS handshake over @fd (-1: unknown) ended. */
void tb_calls_shaken(int fd, uint64_t duration_ns, bool is_done);
/* tb_calls_resolved - after getaddrinfo(), with its arguments and result. */
void tb_calls_resolved(const char *node, const char *service, const struct addrinfo *hints, const struct addrinfo *list,
                       int ret);
/* tb_calls_end_all - the process ends. */
void tb_calls_end_all(void);

#pragma GCC visibility pop
#endif
