/* SPDX-License-Identifier: Apache-2.0 */
/* The ways of moving bytes that servers use, one table row each. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "server.h"

#ifdef __GLIBC__
extern ssize_t __read_chk(int fd, void *buf, size_t len, size_t buf_len);
extern ssize_t __recv_chk(int fd, void *buf, size_t len, size_t buf_len, int flags);
extern ssize_t __recvfrom_chk(int fd, void *buf, size_t len, size_t buf_len, int flags, struct sockaddr *from,
                              socklen_t *from_len);
#endif

static int wait_for(int fd, short events)
{
    if (errno != EAGAIN)
        return -1;
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, 10000) == 1 ? 0 : -1;
}

/* Repeats @call, which sends from @buf at @done, until all is sent. */
#define SEND_LOOP(fd, buf, len, call)                                                                                  \
    for (size_t done = 0; done < (len);) {                                                                             \
        ssize_t n = (call);                                                                                            \
        if (n > 0)                                                                                                     \
            done += (size_t)n;                                                                                         \
        else if (wait_for(fd, POLLOUT))                                                                                \
            return -1;                                                                                                 \
    }                                                                                                                  \
    (void)(buf)

int send_all(int fd, const char *buf, size_t len)
{
    SEND_LOOP(fd, buf, len, write(fd, buf + done, len - done));
    return 0;
}

static ssize_t read_read(int fd, void *buf, size_t len)
{
    return read(fd, buf, len);
}

static int write_twice(int fd, const char *head, size_t head_len, const char *body, size_t body_len)
{
    return send_all(fd, head, head_len) || send_all(fd, body, body_len) ? -1 : 0;
}

static ssize_t read_vector(int fd, void *buf, size_t len)
{
    struct iovec iov[3] = {{buf, 1}, {NULL, 0}, {(char *)buf + 1, len - 1}};
    return readv(fd, iov, 3);
}

static int write_vector(int fd, const char *head, size_t head_len, const char *body, size_t body_len)
{
    struct iovec iov[2] = {{(void *)(uintptr_t)head, head_len}, {(void *)(uintptr_t)body, body_len}};
    ssize_t n;
    while ((n = writev(fd, iov, 2)) < 0)
        if (wait_for(fd, POLLOUT))
            return -1;
    size_t sent = (size_t)n;
    if (sent < head_len)
        return send_all(fd, head + sent, head_len - sent) || send_all(fd, body, body_len) ? -1 : 0;
    return send_all(fd, body + (sent - head_len), body_len - (sent - head_len));
}

static ssize_t peek_recv(int fd, void *buf, size_t len)
{
    if (recv(fd, buf, len, MSG_PEEK) < 0)
        return -1;
    return recv(fd, buf, len, 0);
}

static int send_more(int fd, const char *head, size_t head_len, const char *body, size_t body_len)
{
    SEND_LOOP(fd, head, head_len, send(fd, head + done, head_len - done, body_len ? MSG_MORE : 0));
    SEND_LOOP(fd, body, body_len, send(fd, body + done, body_len - done, MSG_NOSIGNAL));
    return 0;
}

static ssize_t receive_from(int fd, void *buf, size_t len)
{
    struct sockaddr_storage from;
    socklen_t from_len = sizeof(from);
    return recvfrom(fd, buf, len, 0, (struct sockaddr *)&from, &from_len);
}

static int send_to(int fd, const char *head, size_t head_len, const char *body, size_t body_len)
{
    SEND_LOOP(fd, head, head_len, sendto(fd, head + done, head_len - done, 0, NULL, 0));
    SEND_LOOP(fd, body, body_len, sendto(fd, body + done, body_len - done, 0, NULL, 0));
    return 0;
}

static ssize_t receive_msg(int fd, void *buf, size_t len)
{
    struct iovec iov[2] = {{buf, len / 2}, {(char *)buf + len / 2, len - len / 2}};
    char control[256];
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2, .msg_control = control, .msg_controllen = sizeof(control)};
    return recvmsg(fd, &m, 0);
}

static int send_msg(int fd, const char *head, size_t head_len, const char *body, size_t body_len)
{
    struct iovec iov[2] = {{(void *)(uintptr_t)head, head_len}, {(void *)(uintptr_t)body, body_len}};
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
    ssize_t n;
    while ((n = sendmsg(fd, &m, 0)) < 0)
        if (wait_for(fd, POLLOUT))
            return -1;
    size_t sent = (size_t)n;
    if (sent < head_len)
        return send_all(fd, head + sent, head_len - sent) || send_all(fd, body, body_len) ? -1 : 0;
    return send_all(fd, body + (sent - head_len), body_len - (sent - head_len));
}

static ssize_t receive_mmsg(int fd, void *buf, size_t len)
{
    struct iovec iov = {buf, len};
    struct mmsghdr m = {.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}};
    int n = recvmmsg(fd, &m, 1, 0, NULL);
    return n < 0 ? n : (ssize_t)m.msg_len;
}

static int send_mmsg(int fd, const char *head, size_t head_len, const char *body, size_t body_len)
{
    if (body_len > 4096)
        return write_twice(fd, head, head_len, body, body_len);
    struct iovec iov[2] = {{(void *)(uintptr_t)head, head_len}, {(void *)(uintptr_t)body, body_len}};
    struct mmsghdr m[2] = {{.msg_hdr = {.msg_iov = &iov[0], .msg_iovlen = 1}},
                           {.msg_hdr = {.msg_iov = &iov[1], .msg_iovlen = 1}}};
    for (unsigned done = 0, count = body_len ? 2 : 1; done < count;) {
        int n = sendmmsg(fd, m + done, count - done, 0);
        if (n > 0)
            done += (unsigned)n;
        else if (wait_for(fd, POLLOUT))
            return -1;
    }
    return 0;
}

static int memory_file(const char *body, size_t len)
{
    int file = memfd_create("body", MFD_CLOEXEC);
    if (file >= 0 && (write(file, body, len) != (ssize_t)len || lseek(file, 0, SEEK_SET))) {
        close(file);
        return -1;
    }
    return file;
}

static int send_file(int fd, const char *head, size_t head_len, const char *body, size_t body_len)
{
    int file = memory_file(body, body_len);
    off_t at = 0;
    if (file < 0 || send_all(fd, head, head_len))
        return -1;
    while ((size_t)at < body_len)
        if (sendfile(fd, file, &at, body_len - (size_t)at) <= 0 && wait_for(fd, POLLOUT))
            break;
    close(file);
    return (size_t)at == body_len ? 0 : -1;
}

static int send_file64(int fd, const char *head, size_t head_len, const char *body, size_t body_len)
{
    int file = memory_file(body, body_len);
    off64_t at = 0;
    if (file < 0 || send_all(fd, head, head_len))
        return -1;
    while ((size_t)at < body_len)
        if (sendfile64(fd, file, &at, body_len - (size_t)at) <= 0 && wait_for(fd, POLLOUT))
            break;
    close(file);
    return (size_t)at == body_len ? 0 : -1;
}

static int send_splice(int fd, const char *head, size_t head_len, const char *body, size_t body_len)
{
    int pipes[2];
    if (send_all(fd, head, head_len) || pipe(pipes))
        return -1;
    size_t done = 0;
    while (done < body_len) {
        size_t part = body_len - done < 4096 ? body_len - done : 4096;
        ssize_t n = write(pipes[1], body + done, part);
        if (n <= 0)
            break;
        done += (size_t)n;
        for (ssize_t left = n; left > 0;) {
            ssize_t moved = splice(pipes[0], NULL, fd, NULL, (size_t)left, SPLICE_F_MOVE);
            if (moved > 0)
                left -= moved;
            else if (wait_for(fd, POLLOUT))
                return -1;
        }
    }
    close(pipes[0]);
    close(pipes[1]);
    return done == body_len ? 0 : -1;
}

#ifdef __GLIBC__
static ssize_t read_v2(int fd, void *buf, size_t len)
{
    struct iovec iov = {buf, len};
    return preadv2(fd, &iov, 1, -1, 0);
}

static int write_v2(int fd, const char *head, size_t head_len, const char *body, size_t body_len)
{
    struct iovec iov;
    SEND_LOOP(fd, head, head_len,
              (iov = (struct iovec){(char *)(uintptr_t)head + done, head_len - done}, pwritev2(fd, &iov, 1, -1, 0)));
    SEND_LOOP(fd, body, body_len,
              (iov = (struct iovec){(char *)(uintptr_t)body + done, body_len - done}, pwritev64v2(fd, &iov, 1, -1, 0)));
    return 0;
}

static ssize_t read_checked(int fd, void *buf, size_t len)
{
    static _Thread_local unsigned turn;
    switch (turn++ % 3) {
    case 0:
        return __read_chk(fd, buf, len, len);
    case 1:
        return __recv_chk(fd, buf, len, len, 0);
    default:
        return __recvfrom_chk(fd, buf, len, len, 0, NULL, NULL);
    }
}
#endif

static ssize_t read_syscall(int fd, void *buf, size_t len)
{
    return syscall(SYS_read, fd, buf, len);
}

static int write_syscall(int fd, const char *head, size_t head_len, const char *body, size_t body_len)
{
    SEND_LOOP(fd, head, head_len, syscall(SYS_sendto, fd, head + done, head_len - done, 0, NULL, 0));
    struct iovec iov;
    SEND_LOOP(
        fd, body, body_len,
        (iov = (struct iovec){(char *)(uintptr_t)body + done, body_len - done}, syscall(SYS_writev, fd, &iov, 1)));
    return 0;
}

/* A head in pieces, as servers with small buffers send it. */
static int write_pieces(int fd, const char *head, size_t head_len, const char *body, size_t body_len)
{
    for (size_t i = 0; i < head_len; i += 7)
        if (send_all(fd, head + i, head_len - i < 7 ? head_len - i : 7))
            return -1;
    return send_all(fd, body, body_len);
}

const struct way ways[] = {
    {"read", read_read, write_twice},
    {"readv", read_vector, write_vector},
    {"recv", peek_recv, send_more},
    {"recvfrom", receive_from, send_to},
    {"recvmsg", receive_msg, send_msg},
    {"recvmmsg", receive_mmsg, send_mmsg},
    {"sendfile", read_read, send_file},
    {"sendfile64", read_read, send_file64},
    {"splice", read_read, send_splice},
    {"syscall", read_syscall, write_syscall},
    {"pieces", read_read, write_pieces},
#ifdef __GLIBC__
    {"preadv2", read_v2, write_v2},
    {"checked", read_checked, write_vector},
#endif
    {NULL, NULL, NULL},
};

const struct way *find_way(const char *name)
{
    for (const struct way *w = ways; w->name; w++)
        if (!strcmp(w->name, name))
            return w;
    return NULL;
}
