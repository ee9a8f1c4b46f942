/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of StatsD inlets (inlet_socket.h). */
#include "inlet_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "http_listen.h"
#include "log.h"

#define RECEIVE_BYTES (4 << 20) /* asked for; the system may give less */

static socklen_t unix_address(const char *path, struct sockaddr_storage *ret)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    const size_t len = strlen(path);
    if (*path != '/' || len >= sizeof a.sun_path)
        return 0;
    memcpy(a.sun_path, path, len);
    memcpy(ret, &a, sizeof a);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
}

socklen_t tb_inlet_address(const char *text, struct sockaddr_storage *ret)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    char host[64], *end;
    const char *colon = strrchr(text, ':');
    memset(ret, 0, sizeof *ret);
    if (strncmp(text, "unix:", 5) == 0)
        return unix_address(text + 5, ret);
    if (!colon || colon[1] < '0' || colon[1] > '9' || (size_t)(colon - text) >= sizeof host)
        return 0;
    unsigned long port = strtoul(colon + 1, &end, 10);
    size_t len = (size_t)(colon - text);
    const bool is_v6 = len > 2 && *text == '[' && text[len - 1] == ']';
    memcpy(host, text + is_v6, len - 2 * is_v6);
    host[len - 2 * is_v6] = 0;
    if (*end || port > 65535)
        return 0;
    v4.sin_port = v6.sin6_port = htons((uint16_t)port);
    if (is_v6 && inet_pton(AF_INET6, host, &v6.sin6_addr) == 1 && IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr)) {
        memcpy(ret, &v6, sizeof v6);
        return sizeof v6;
    }
    if (!is_v6 && inet_pton(AF_INET, host, &v4.sin_addr) == 1 && ntohl(v4.sin_addr.s_addr) >> 24 == 127) {
        memcpy(ret, &v4, sizeof v4);
        return sizeof v4;
    }
    return 0;
}

/* Is a socket left of an exporter that has ended? */
static void remove_stale(const struct sockaddr_storage *a, socklen_t len)
{
    const struct sockaddr_un *name = (const struct sockaddr_un *)a;
    struct stat st;
    if (lstat(name->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)a, len) < 0 && errno == ECONNREFUSED)
        unlink(name->sun_path);
    close(fd);
}

static int bind_it(int fd, const struct sockaddr_storage *a, socklen_t len)
{
    const int bytes = RECEIVE_BYTES;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    if (a->ss_family == AF_UNIX)
        remove_stale(a, len);
    if (bind(fd, (const struct sockaddr *)a, len) < 0)
        return -1;
    return a->ss_family == AF_UNIX ? chmod(((const struct sockaddr_un *)a)->sun_path, 0622) : 0;
}

int tb_inlet_socket_open(const struct tb_inlet_config *c, bool is_told)
{
    struct sockaddr_storage a;
    char port[8] = "";
    socklen_t len = tb_inlet_address(c->listen, &a);
    int fd = socket(a.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind_it(fd, &a, len) < 0) {
        if (is_told)
            tb_log(TB_LOG_ERROR, "inlet has no socket: it is tried again", "inlet", c->name, "address", c->listen,
                   "error", strerror(errno), NULL);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    if (a.ss_family != AF_UNIX)
        snprintf(port, sizeof port, "%u", tb_listener_port(fd));
    tb_log(TB_LOG_INFO, "inlet listens", "inlet", c->name, "address", c->listen, "port", port, NULL);
    return fd;
}

void tb_inlet_socket_close(int fd, const struct tb_inlet_config *c)
{
    close(fd);
    if (strncmp(c->listen, "unix:", 5) == 0)
        unlink(c->listen + 5);
}
