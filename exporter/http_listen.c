/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and taking over listening sockets (http_listen.h). Blocks only where a name has to be looked up. */
#include "http_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "buffer.h"

#define BACKLOG 511
#define FIRST_INHERITED 3 /* sd_listen_fds(3): SD_LISTEN_FDS_START */
#define INHERITED_MAX 64u

static void add(struct tb_listeners *l, int fd)
{
    l->fds = tb_grow(l->fds, l->count, &l->space, sizeof *l->fds);
    l->fds[l->count++] = fd;
}

/* Descriptor or -errno. */
static int listen_on(int family, const struct sockaddr *address, socklen_t len, bool is_v6_only)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1, v6_only = is_v6_only;
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only);
    if (bind(fd, address, len) < 0 || listen(fd, BACKLOG) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

static int listen_everywhere(uint16_t port)
{
    struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_ANY_INIT};
    struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = listen_on(AF_INET6, (const struct sockaddr *)&any6, sizeof any6, false);
    if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL) /* no IPv6 here */
        fd = listen_on(AF_INET, (const struct sockaddr *)&any4, sizeof any4, false);
    return fd;
}

static bool parse_port(const char *text, uint16_t *ret)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || n > UINT16_MAX)
        return false;
    *ret = (uint16_t)n;
    return true;
}

/* All addresses of a name; those that cannot be listened on (a family that is not configured) count only if none can.
 */
static int listen_by_name(const char *address, const char *host, const char *port, struct tb_listeners *l,
                          char **ret_error)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found = NULL;
    int why = getaddrinfo(host, port, &hints, &found), error = -EADDRNOTAVAIL;
    size_t before = l->count;
    if (why) {
        *ret_error =
            tb_format("--web.listen-address %s: %s: name an address of this machine", address, gai_strerror(why));
        return -EADDRNOTAVAIL;
    }
    for (struct addrinfo *a = found; a; a = a->ai_next) {
        int fd = listen_on(a->ai_family, a->ai_addr, a->ai_addrlen, true);
        if (fd >= 0)
            add(l, fd);
        else
            error = fd;
        if (fd == -EADDRINUSE)
            break;
    }
    freeaddrinfo(found);
    return l->count == before || error == -EADDRINUSE ? error : 0;
}

static int open_one(const char *address, struct tb_listeners *l, char **ret_error)
{
    const char *colon = strrchr(address, ':');
    uint16_t port;
    if (address[0] == '/' || strncmp(address, "unix:", 5) == 0) {
        *ret_error = tb_format("--web.listen-address: \"%s\": sockets of this kind are made by systemd: give "
                               "--web.systemd-socket, and the path as ListenStream= of the socket unit",
                               address);
        return -EINVAL;
    }
    if (!colon || !parse_port(colon + 1, &port)) {
        *ret_error =
            tb_format("--web.listen-address: \"%s\" has no port: give HOST:PORT, :PORT or [IPV6]:PORT", address);
        return -EINVAL;
    }
    int r;
    size_t len = (size_t)(colon - address);
    if (len == 0) {
        r = listen_everywhere(port);
        if (r >= 0)
            add(l, r);
    } else {
        bool is_bracketed = len > 2 && address[0] == '[' && address[len - 1] == ']';
        char *host = is_bracketed ? tb_strndup(address + 1, len - 2) : tb_strndup(address, len);
        r = listen_by_name(address, host, colon + 1, l, ret_error);
        free(host);
    }
    if (r < 0 && !*ret_error)
        *ret_error = tb_format("--web.listen-address %s: %s: %s", address, strerror(-r),
                               r == -EADDRINUSE ? "stop what listens there, or choose another port"
                               : r == -EACCES   ? "choose a port above 1023, or start with the right to bind it"
                                                : "name an address of this machine");
    return r < 0 ? r : 0;
}

int tb_listeners_open(const char *const *addresses, size_t count, struct tb_listeners *ret, char **ret_error)
{
    int r = 0;
    *ret_error = NULL;
    for (size_t i = 0; !r && i < count; i++)
        r = open_one(addresses[i], ret, ret_error);
    return r;
}

/* Is @fd a stream socket that listens? */
static bool is_listener(int fd)
{
    int type = 0, listens = 0;
    socklen_t len = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM)
        return false;
    len = sizeof listens;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens;
}

int tb_listeners_inherit(struct tb_listeners *ret, char **ret_error)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    unsigned long count = fds ? strtoul(fds, NULL, 10) : 0;
    bool is_ours = pid && strtoul(pid, NULL, 10) == (unsigned long)getpid();
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (!is_ours || !count || count > INHERITED_MAX) {
        *ret_error =
            tb_format("--web.systemd-socket: no sockets were handed over (LISTEN_FDS): start it by its .socket "
                      "unit, or give --web.listen-address");
        return -ENOENT;
    }
    for (int fd = FIRST_INHERITED; fd < FIRST_INHERITED + (int)count; fd++) {
        if (!is_listener(fd)) {
            *ret_error = tb_format("--web.systemd-socket: descriptor %d is no listening stream socket: write "
                                   "ListenStream= and Accept=no in the .socket unit",
                                   fd);
            return -ENOTSOCK;
        }
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        add(ret, fd);
    }
    return 0;
}

void tb_listeners_close(struct tb_listeners *l)
{
    for (size_t i = 0; i < l->count; i++)
        close(l->fds[i]);
    free(l->fds);
    *l = (struct tb_listeners){0};
}

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
    struct sockaddr_storage space;
};

static bool get_address(int fd, union address *ret)
{
    socklen_t len = sizeof *ret;
    *ret = (union address){.space = {0}};
    return getsockname(fd, &ret->any, &len) == 0;
}

uint16_t tb_listener_port(int fd)
{
    union address a;
    if (!get_address(fd, &a))
        return 0;
    return a.any.sa_family == AF_INET6 ? ntohs(a.v6.sin6_port) : a.any.sa_family == AF_INET ? ntohs(a.v4.sin_port) : 0;
}

char *tb_listener_name(int fd)
{
    char host[INET6_ADDRSTRLEN] = "?";
    union address a;
    if (!get_address(fd, &a))
        return tb_format("?");
    if (a.any.sa_family == AF_UNIX)
        return tb_format("unix:%.*s", (int)sizeof a.local.sun_path - 1,
                         a.local.sun_path[0] ? a.local.sun_path : a.local.sun_path + 1);
    if (a.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a.v6.sin6_addr, host, sizeof host);
        return tb_format("[%s]:%u", host, ntohs(a.v6.sin6_port));
    }
    inet_ntop(AF_INET, &a.v4.sin_addr, host, sizeof host);
    return tb_format("%s:%u", host, ntohs(a.v4.sin_port));
}
