/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small HTTP/1.1 server for the preload tests: `server WAY MODEL [FAMILY]` listens on a free loopback port (or an
 * abstract Unix address), prints it, and serves until it is killed. Paths: /small /large /empty   200 with a body of 5,
 * 200,000 and 0 bytes      /missing 404   /broken 500 /stream           200, body ended by close /exit      a body
 * ended by the process's end /die                   closes without an answer                       /half      closes in
 * the middle of the body
 */
#include "server.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

const char *exit_how = "_exit";
char **server_argv;

#define LARGE 200000
static char body[LARGE];

static void leave_process(void)
{
    if (!strcmp(exit_how, "exit"))
        exit(0);
    if (!strcmp(exit_how, "_Exit"))
        _Exit(0);
    if (!strcmp(exit_how, "quick_exit"))
        quick_exit(0);
    if (!strcmp(exit_how, "exit_group"))
        syscall(SYS_exit_group, 0);
    _exit(0);
}

/* Answers one request; 0 = close the connection. */
static int answer(struct conn *c, const char *method, const char *path)
{
    char head[256];
    int status = 200;
    size_t len = 5;
    if (!strcmp(path, "/large"))
        len = LARGE;
    else if (!strcmp(path, "/empty"))
        len = 0;
    else if (!strcmp(path, "/missing"))
        status = 404;
    else if (!strcmp(path, "/broken"))
        status = 500;
    else if (!strcmp(path, "/slow")) {
        struct pollfd p = {.fd = c->in, .events = POLLRDHUP};
        poll(&p, 1, 10000);
    } else if (!strcmp(path, "/die"))
        return 0;
    else if (!strcmp(path, "/half")) {
        int n = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
        c->way->send_response(c->out, head, (size_t)n, body, 50);
        return 0;
    } else if (!strcmp(path, "/stream") || !strcmp(path, "/exit")) {
        int n = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        c->way->send_response(c->out, head, (size_t)n, body, 1000);
        if (!strcmp(path, "/exit"))
            leave_process();
        return 0;
    }
    int n = snprintf(head, sizeof(head), "HTTP/1.1 %d Whatever\r\nServer: test\r\nContent-Length: %zu\r\n\r\n", status,
                     len);
    if (!strcmp(method, "HEAD"))
        len = 0;
    return c->way->send_response(c->out, head, (size_t)n, body, len) == 0;
}

/* Takes one whole request out of the buffer: 1 = answered, 0 = over, -1 = not whole yet. */
static int answer_next(struct conn *c)
{
    char *end = memmem(c->buf, c->have, "\r\n\r\n", 4), method[16], path[1024];
    if (!end)
        return c->have == sizeof(c->buf) ? 0 : -1;
    size_t head_len = (size_t)(end - c->buf) + 4, length = 0;
    *end = 0;
    if (sscanf(c->buf, "%15s %1023s", method, path) != 2)
        return 0;
    const char *field = strcasestr(c->buf, "content-length:");
    if (field)
        length = strtoul(field + 15, NULL, 10);
    *end = '\r';
    if (c->have - head_len < length) {
        size_t left = length - (c->have - head_len);
        c->have = head_len;
        /* the rest of the body: thrown away by the kernel where the way allows it */
        while (left) {
            static _Thread_local char sink[4096];
            size_t part = left < sizeof(sink) ? left : sizeof(sink);
            ssize_t n =
                !strcmp(c->way->name, "recv") ? recv(c->in, sink, part, MSG_TRUNC) : c->way->receive(c->in, sink, part);
            if (n <= 0)
                return 0;
            left -= (size_t)n;
        }
        length = 0;
    }
    c->have -= head_len + length;
    memmove(c->buf, c->buf + head_len + length, c->have);
    return answer(c, method, path);
}

int serve_once(struct conn *c)
{
    ssize_t n = c->way->receive(c->in, c->buf + c->have, sizeof(c->buf) - c->have);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 1;
    if (n <= 0)
        return 0;
    c->have += (size_t)n;
    int r;
    while ((r = answer_next(c)) > 0)
        ;
    return r < 0;
}

void serve(struct conn *c)
{
    while (serve_once(c))
        ;
}

void start_conn(struct conn *c, int in, int out, const struct way *way)
{
    c->in = in;
    c->out = out;
    c->way = way;
    c->have = 0;
}

int accept_one(int listener)
{
    int fd;
    while ((fd = accept(listener, NULL, NULL)) < 0 && (errno == EINTR || errno == ECONNABORTED))
        ;
    return fd;
}

static int listen_on(const char *family)
{
    struct sockaddr_storage a = {0};
    socklen_t len = sizeof(struct sockaddr_in);
    int on = 1;
    if (!strcmp(family, "unix")) {
        struct sockaddr_un *u = (struct sockaddr_un *)&a;
        u->sun_family = AF_UNIX;
        len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
                          (size_t)snprintf(u->sun_path + 1, sizeof(u->sun_path) - 1, "tb-%d", getpid()));
    } else if (!strcmp(family, "inet6") || !strcmp(family, "mapped")) {
        struct sockaddr_in6 *i = (struct sockaddr_in6 *)&a;
        i->sin6_family = AF_INET6;
        i->sin6_addr = !strcmp(family, "mapped") ? in6addr_any : in6addr_loopback;
        len = sizeof(*i);
    } else {
        struct sockaddr_in *i = (struct sockaddr_in *)&a;
        i->sin_family = AF_INET;
        i->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }
    int fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) || bind(fd, (struct sockaddr *)&a, len) ||
        listen(fd, 4096) || getsockname(fd, (struct sockaddr *)&a, &len)) {
        perror("listen");
        exit(2);
    }
    if (a.ss_family == AF_UNIX)
        printf("@tb-%d\n", getpid());
    else
        printf("%d\n", ntohs(a.ss_family == AF_INET ? ((struct sockaddr_in *)&a)->sin_port
                                                    : ((struct sockaddr_in6 *)&a)->sin6_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    server_argv = argv;
    memset(body, 'x', sizeof(body));
    signal(SIGPIPE, SIG_IGN);
    const struct way *way = argc > 2 ? find_way(argv[1]) : NULL;
    if (!way) {
        fprintf(stderr, "usage: server WAY MODEL [FAMILY [EXIT]]\n");
        return 2;
    }
    if (argc > 4)
        exit_how = argv[4];
    if (!strcmp(argv[2], "stdio")) { /* started for one connection, on fd 0 and 1 */
        struct conn c;
        start_conn(&c, 0, 1, way);
        serve(&c);
        return 0;
    }
    for (const struct model *m = models; m->name; m++)
        if (!strcmp(m->name, argv[2])) {
            int listener = !strcmp(m->name, "inherited") ? 3 : listen_on(argc > 3 ? argv[3] : "inet");
            m->run(listener, way);
            return 1;
        }
    fprintf(stderr, "server: no model %s\n", argv[2]);
    return 2;
}
