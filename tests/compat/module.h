/* SPDX-License-Identifier: Apache-2.0 */
/* What a module of host.c exports as `module_calls`: the calls as its own references bind them. */
#ifndef TEST_MODULE_H
#define TEST_MODULE_H

#include <sys/socket.h>
#include <sys/types.h>

struct calls {
    int (*accept_)(int fd, struct sockaddr *from, socklen_t *from_len);
    ssize_t (*recv_)(int fd, void *buf, size_t len, int flags);
    ssize_t (*send_)(int fd, const void *buf, size_t len, int flags);
    int (*close_)(int fd);
};

#endif
