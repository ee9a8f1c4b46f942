/* SPDX-License-Identifier: Apache-2.0 */
/* A module whose calls go where the loader binds them: to the preloaded hooks, or past them (host.c). */
#include "module.h"

#include <unistd.h>

static int accept_here(int fd, struct sockaddr *from, socklen_t *from_len)
{
    return accept(fd, from, from_len);
}

static ssize_t recv_here(int fd, void *buf, size_t len, int flags)
{
    return recv(fd, buf, len, flags);
}

static ssize_t send_here(int fd, const void *buf, size_t len, int flags)
{
    return send(fd, buf, len, flags);
}

static int close_here(int fd)
{
    return close(fd);
}

const struct calls module_calls = {accept_here, recv_here, send_here, close_here};
