/* SPDX-License-Identifier: Apache-2.0 */
/* The socket of a StatsD inlet: UDP on a loopback address, or a Unix datagram socket that every user may write to. */
#ifndef TB_INLET_SOCKET_H
#define TB_INLET_SOCKET_H

#include <stdbool.h>
#include <sys/socket.h>

#include "inlet_config.h"

/* tb_inlet_address - `127.0.0.1:8125`, `[::1]:8125` or `unix:/path`. Returns the length, 0: it is none of these. */
socklen_t tb_inlet_address(const char *text, struct sockaddr_storage *ret);

/* tb_inlet_socket_open - bound, not blocking; a Unix socket that nobody reads any more is replaced. -1: not now; with
 * @is_told the log says why. */
int tb_inlet_socket_open(const struct tb_inlet_config *c, bool is_told);
/* tb_inlet_socket_close - and removes the name of a Unix socket. */
void tb_inlet_socket_close(int fd, const struct tb_inlet_config *c);

#endif
