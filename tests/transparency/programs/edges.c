/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The edges of calls: nothing there yet, bad pointers, vectors of odd lengths, flags, partial results, lengths past
 * 2 GiB, SIGPIPE, and descriptors that are no sockets.
 */
#include <netinet/tcp.h>
#include <poll.h>
#include <pty.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/un.h>

#include "tp.h"

static int pair[2];
#define SERVED pair[0]
#define CLIENT pair[1]
static char buf[8192];

static unsigned digest(const char *at, size_t len)
{
    unsigned sum = 5381;
    while (len--)
        sum = sum * 33 + (uint8_t)*at++;
    return sum;
}

static void wait_readable(int fd)
{
    struct pollfd p = {fd, POLLIN, 0};
    MUST(poll(&p, 1, 10000) == 1);
}

/* The peer's reset, or the answer that nobody is there, has come. */
static void wait_broken(int fd)
{
    struct pollfd p = {fd, 0, 0};
    MUST(poll(&p, 1, 10000) == 1);
}

/* What is written to a terminal comes out of its other end in pieces, as the kernel's worker gets to it. */
static ssize_t read_all(int fd, size_t len)
{
    size_t got = 0;
    while (got < len) {
        ssize_t n = read(fd, buf + got, sizeof(buf) - got);
        if (n <= 0)
            return n;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

static void ask(void)
{
    MUST(send(CLIENT, TP_REQUEST, TP_LEN(TP_REQUEST), 0) > 0);
    wait_readable(SERVED);
}

static void nothing_there(void)
{
    struct iovec iov = {buf, 64};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    struct mmsghdr mm = {.msg_hdr = m};
    tp_pair(pair);
    int listener = tp_listener();
    MUST(!fcntl(SERVED, F_SETFL, O_NONBLOCK) && !fcntl(listener, F_SETFL, O_NONBLOCK));
    for (int round = 0; round < 2; round++) { /* fresh, then after an exchange */
        SHOW(read(SERVED, buf, 64));
        SHOW(readv(SERVED, &iov, 1));
        SHOW(preadv2(SERVED, &iov, 1, -1, 0));
        SHOW(recv(SERVED, buf, 64, 0));
        SHOW(recv(CLIENT, buf, 64, MSG_DONTWAIT));
        SHOW(recvfrom(SERVED, buf, 64, MSG_PEEK, NULL, NULL));
        SHOW(recvmsg(SERVED, &m, 0));
        SHOW(recvmmsg(SERVED, &mm, 1, 0, NULL));
        SHOW(recvmmsg(CLIENT, &mm, 1, MSG_DONTWAIT, &(struct timespec){0, 1}));
        SHOW(splice(SERVED, NULL, 1, NULL, 10, SPLICE_F_NONBLOCK));
        SHOW(accept(listener, NULL, NULL));
        SHOW(accept4(listener, NULL, NULL, SOCK_NONBLOCK));
        ask();
        SHOW(read(SERVED, buf, sizeof(buf)));
        SHOW(write(SERVED, TP_RESPONSE, TP_LEN(TP_RESPONSE)));
        wait_readable(CLIENT);
        SHOW(recv(CLIENT, buf, sizeof(buf), 0));
    }
}

/* Fills until nothing more fits; how much that is depends on the kernel only where it is printed. */
static void full(void)
{
    static char much[1 << 20];
    struct iovec iov[2] = {{much, 100000}, {much, sizeof(much)}};
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
    int ends[2];
    memset(much, 'x', sizeof(much));
    tp_exchange((tp_pair(pair), pair));
    MUST(!socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    MUST(!fcntl(ends[0], F_SETFL, O_NONBLOCK) && !fcntl(SERVED, F_SETFL, O_NONBLOCK));
    SHOW(write(ends[0], much, sizeof(much)));
    SHOW(write(ends[0], much, sizeof(much)));
    SHOW(send(ends[0], much, 1, MSG_NOSIGNAL));
    SHOW(writev(ends[0], iov, 2));
    SHOW(sendmsg(ends[0], &m, MSG_DONTWAIT));
    memcpy(much, "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", 46);
    ask();
    MUST(read(SERVED, buf, sizeof(buf)) == TP_LEN(TP_REQUEST));
    ssize_t sent;
    unsigned sum = 0, got = 0;
    size_t total = 0, back = 0;
    for (int i = 0; i < 200; i++) {
        errno = 77;
        sent = i % 3 == 0 ? writev(SERVED, iov, 2) : i % 3 == 1 ? sendmsg(SERVED, &m, 0) : write(SERVED, much, 777);
        if (sent < 0)
            break;
        total += (size_t)sent;
    }
    say("full: %zd, errno %d\n", sent, errno);
    MUST(!shutdown(SERVED, SHUT_WR));
    while ((sent = recv(CLIENT, much, sizeof(much), 0)) > 0)
        back += (size_t)sent, got += (unsigned)much[0];
    (void)sum, (void)got;
    say("all that was taken came: %d\n", back == total);
}

static void bad_pointers(void)
{
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(page != MAP_FAILED && !mprotect(page + 4096, 4096, PROT_NONE));
    char *edge = page + 4096 - 10; /* ten good bytes, then none */
    struct iovec to_bad[3] = {{buf, 5}, {TP_BAD, 100}, {buf + 5, 100}}, over[2] = {{edge, 100}, {buf, 100}};
    struct iovec from_bad[2] = {{(void *)(uintptr_t) "HTTP/1.1 2", 10}, {TP_BAD, 100}};
    struct msghdr m = {.msg_iov = to_bad, .msg_iovlen = 3}, mf = {.msg_iov = from_bad, .msg_iovlen = 2};
    struct mmsghdr mm[2] = {{.msg_hdr = {.msg_iov = over, .msg_iovlen = 2}},
                            {.msg_hdr = {.msg_iov = TP_BAD, .msg_iovlen = 2}}};
    int listener = tp_listener();
    tp_pair(pair);
    tp_exchange(pair);
    ask();
    SHOW(read(SERVED, TP_BAD, 10));
    SHOW(recv(SERVED, TP_BAD, 10, 0));
    SHOW(recv(SERVED, TP_BAD, 10, MSG_PEEK));
    SHOW(readv(SERVED, TP_BAD, 1));
    SHOW(recvmsg(SERVED, TP_BAD, 0));
    SHOW(recvmmsg(SERVED, TP_BAD, 1, 0, NULL));
    SHOW(readv(SERVED, to_bad, 3));
    SHOW(recvmsg(SERVED, &m, MSG_DONTWAIT));
    SHOW(read(SERVED, edge, 100));
    SHOW(recv(SERVED, buf, sizeof(buf), MSG_DONTWAIT));
    ask();
    SHOW(recvmmsg(SERVED, mm, 2, MSG_DONTWAIT, NULL));
    SHOW(recv(SERVED, buf, sizeof(buf), MSG_DONTWAIT));
    ask();
    SHOW(recvfrom(SERVED, buf, 10, MSG_DONTWAIT, TP_BAD, TP_BAD));
    SHOW(recv(SERVED, buf, sizeof(buf), MSG_DONTWAIT));
    memcpy(edge, "HTTP/1.1 2", 10);
    SHOW(write(SERVED, TP_BAD, 10));
    SHOW(send(SERVED, TP_BAD, 10, 0));
    SHOW(write(SERVED, edge, 100));
    SHOW(writev(SERVED, TP_BAD, 1));
    SHOW(writev(SERVED, from_bad, 2));
    SHOW(writev(SERVED, over, 2));
    SHOW(sendmsg(SERVED, TP_BAD, 0));
    SHOW(sendmsg(SERVED, &mf, 0));
    SHOW(sendmmsg(SERVED, TP_BAD, 1, 0));
    mm[1].msg_hdr.msg_iov = from_bad;
    SHOW(sendmmsg(SERVED, mm, 2, 0));
    SHOW(sendto(SERVED, buf, 1, 0, TP_BAD, 16));
    SHOW(sendfile(SERVED, 0, TP_BAD, 10));
    SHOW(splice(0, TP_BAD, SERVED, NULL, 10, 0));
    SHOW(connect(CLIENT, TP_BAD, 16));
    ask();
    SHOW(syscall(SYS_read, SERVED, TP_BAD, 5));
    CLIENT = tp_connect(listener);
    SHOW(accept(listener, TP_BAD, TP_BAD));
    CLIENT = tp_connect(listener);
    SHOW(accept4(listener, TP_BAD, &(socklen_t){16}, 0));
    CLIENT = tp_connect(listener);
    SHOW(accept4(listener, (struct sockaddr *)buf, &(socklen_t){-1}, 0));
    tp_say_fds("what is open");
}

static void vectors(void)
{
    static struct iovec many[1100];
    struct msghdr m = {.msg_iov = many};
    for (int i = 0; i < 1100; i++)
        many[i] = (struct iovec){buf + i, i % 7 ? 1 : 0};
    tp_pair(pair);
    tp_exchange(pair);
    ask();
    SHOW(readv(SERVED, many, 0));
    SHOW(readv(SERVED, NULL, 0));
    SHOW(readv(SERVED, many, -1));
    SHOW(readv(SERVED, many, 1025));
    SHOW(readv(SERVED, many, INT32_MAX));
    SHOW(readv(SERVED, many, 1)); /* one entry of length 0 */
    SHOW(readv(SERVED, many, 20));
    SHOW(readv(SERVED, many + 20, 1024));
    say("%u\n", digest(buf, 100));
    ask();
    m.msg_iovlen = 1025;
    SHOW(recvmsg(SERVED, &m, 0));
    m.msg_iovlen = 0;
    SHOW(recvmsg(SERVED, &m, 0));
    m.msg_iovlen = 1024;
    SHOW(recvmsg(SERVED, &m, 0));
    const char *text = TP_RESPONSE;
    for (size_t i = 0; i < 1100; i++)
        many[i] =
            (struct iovec){(void *)(uintptr_t)(i < TP_LEN(TP_RESPONSE) ? text + i : NULL), i < TP_LEN(TP_RESPONSE)};
    SHOW(writev(SERVED, many, 0));
    SHOW(writev(SERVED, many, -5));
    SHOW(writev(SERVED, many, 1025));
    SHOW(writev(SERVED, many + 1000, 5)); /* nothing in them */
    SHOW(writev(SERVED, many, 10));
    m.msg_iov = many + 10;
    m.msg_iovlen = 1025;
    SHOW(sendmsg(SERVED, &m, 0));
    m.msg_iovlen = 1024;
    SHOW(sendmsg(SERVED, &m, 0));
    many[0].iov_base = buf;
    many[0].iov_len = (size_t)1 << 63;
    SHOW(writev(SERVED, many, 1));
    SHOW(readv(SERVED, many, 1));
    many[0].iov_len = many[1].iov_len = SIZE_MAX / 4;
    SHOW(writev(SERVED, many, 3));
    SHOW(recv(CLIENT, buf, TP_LEN(TP_RESPONSE), MSG_WAITALL)); /* it was sent in two parts */
    SHOW(recv(CLIENT, buf, sizeof(buf), MSG_DONTWAIT));
    say("%u\n", digest(buf, 40));
}

static void empty(void)
{
    struct sockaddr_in none = {.sin_family = AF_UNSPEC};
    tp_pair(pair);
    for (int round = 0; round < 2; round++) {
        SHOW(write(SERVED, NULL, 0));
        SHOW(write(SERVED, TP_BAD, 0));
        SHOW(send(SERVED, NULL, 0, 0));
        SHOW(recv(SERVED, NULL, 0, MSG_DONTWAIT));
        SHOW(sendto(SERVED, NULL, 0, 0, NULL, 0));
        ask();
        SHOW(read(SERVED, NULL, 0));
        SHOW(recv(SERVED, NULL, 0, 0));
        SHOW(recv(SERVED, buf, 0, MSG_PEEK));
        SHOW(recvfrom(SERVED, buf, 3, 0, NULL, NULL));
        SHOW(read(SERVED, buf, sizeof(buf)));
        SHOW(write(SERVED, TP_RESPONSE, TP_LEN(TP_RESPONSE)));
        wait_readable(CLIENT);
        SHOW(read(CLIENT, buf, sizeof(buf)));
    }
    SHOW(read(0, NULL, 0));
    SHOW(read(-1, NULL, 0));
    SHOW(sendfile(SERVED, -1, NULL, 0));
    SHOW(splice(-1, NULL, -1, NULL, 0, 0));
    SHOW(connect(SERVED, NULL, 0));
    SHOW(connect(CLIENT, (struct sockaddr *)&none, sizeof(none)));
    SHOW(recv(CLIENT, buf, 10, MSG_DONTWAIT));
    close(SERVED);
    SHOW(recv(CLIENT, buf, 10, MSG_DONTWAIT));
}

static void show_got(const char *what, ssize_t got)
{
    int error = errno;
    say("%s: %zd, errno %d, %u\n", what, got, error,
        got > 0 ? digest(buf, (size_t)got < sizeof(buf) ? (size_t)got : 0) : 0);
}
#define GOT(call)                                                                                                      \
    do {                                                                                                               \
        errno = 77;                                                                                                    \
        memset(buf, 0, sizeof(buf));                                                                                   \
        show_got(#call, call);                                                                                         \
    } while (0)

static void flags(void)
{
    char control[128];
    struct iovec iov = {buf, 12};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    tp_pair(pair);
    tp_exchange(pair);
    ask();
    GOT(recv(SERVED, buf, 30, MSG_PEEK));
    GOT(recv(SERVED, buf, 30, MSG_PEEK | MSG_TRUNC));
    GOT(recvmsg(SERVED, &m, MSG_PEEK));
    GOT(recv(SERVED, buf, 4, MSG_WAITALL));
    GOT(recvmsg(SERVED, &m, MSG_CMSG_CLOEXEC | MSG_NOSIGNAL));
    say("flags %x, control %zu\n", (unsigned)m.msg_flags, m.msg_controllen);
    GOT(recv(SERVED, buf, sizeof(buf), MSG_DONTWAIT | MSG_NOSIGNAL));
    GOT(recv(SERVED, buf, sizeof(buf), MSG_ERRQUEUE | MSG_DONTWAIT));
    GOT(recv(SERVED, buf, sizeof(buf), MSG_OOB | MSG_DONTWAIT));
    GOT(recv(SERVED, buf, sizeof(buf), 0x10000000 | MSG_DONTWAIT));
    GOT(send(SERVED, TP_RESPONSE, 20, MSG_MORE | MSG_NOSIGNAL));
    GOT(send(SERVED, TP_RESPONSE + 20, TP_LEN(TP_RESPONSE) - 20, MSG_DONTWAIT | MSG_EOR));
    GOT(recv(CLIENT, buf, TP_LEN(TP_RESPONSE), MSG_WAITALL));
    GOT(send(CLIENT, "!", 1, tp_is_awake ? MSG_OOB : 0));
    ask();
    GOT(recv(SERVED, buf, 1, tp_is_awake ? MSG_OOB : 0));
    GOT(recv(SERVED, buf, 1000, MSG_TRUNC | MSG_DONTWAIT)); /* TCP throws the bytes away */
    GOT(send(SERVED, TP_RESPONSE, TP_LEN(TP_RESPONSE), MSG_ZEROCOPY));
    wait_readable(CLIENT);
    GOT(recv(CLIENT, buf, sizeof(buf), 0));
}

static void accept_flags(void)
{
    int listener = tp_listener();
    static const int all[] = {0, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_CLOEXEC | SOCK_NONBLOCK, 1, SOCK_CLOEXEC | 1};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        int c = tp_connect(listener);
        struct sockaddr_storage from;
        socklen_t len = 5;
        memset(&from, 0x55, sizeof(from));
        errno = 77;
        int fd = accept4(listener, i % 2 ? (struct sockaddr *)&from : NULL, i % 2 ? &len : NULL, all[i]);
        say("flags %x: %d, errno %d, FD %d, FL %d, length %u, beyond %02x\n", (unsigned)all[i], fd, errno,
            fcntl(fd, F_GETFD), fcntl(fd, F_GETFL), len, ((uint8_t *)&from)[6]);
        if (fd < 0)
            fd = accept(listener, NULL, NULL);
        tp_exchange((int[2]){fd, c});
        close(fd);
        close(c);
    }
    MUST(!fcntl(listener, F_SETFL, O_NONBLOCK) && !fcntl(listener, F_SETFD, FD_CLOEXEC));
    int c = tp_connect(listener);
    wait_readable(listener);
    int fd = accept(listener, NULL, NULL); /* nothing is inherited from the listener */
    say("FD %d, FL %d\n", fcntl(fd, F_GETFD), fcntl(fd, F_GETFL));
    tp_exchange((int[2]){fd, c});
    static const int types[] = {SOCK_STREAM | SOCK_CLOEXEC, SOCK_STREAM | SOCK_NONBLOCK, SOCK_DGRAM | SOCK_CLOEXEC};
    for (size_t i = 0; i < 3; i++) {
        fd = socket(AF_INET, types[i], 0);
        say("socket %d: FD %d, FL %d\n", fd, fcntl(fd, F_GETFD), fcntl(fd, F_GETFL));
    }
    fd = dup3(fd, 77, O_CLOEXEC);
    say("dup3 %d: FD %d; F_DUPFD_CLOEXEC: FD %d\n", fd, fcntl(fd, F_GETFD),
        fcntl(fcntl(fd, F_DUPFD_CLOEXEC, 0), F_GETFD));
}

static volatile sig_atomic_t pipes;
static void on_pipe(int number)
{
    pipes += number == SIGPIPE;
}

static ssize_t broken(int how, int fd)
{
    struct iovec iov = {buf, 5};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    struct mmsghdr mm = {.msg_hdr = m};
    off_t at = 0;
    int ends[2];
    switch (how) {
    case 0:
        return write(fd, buf, 5);
    case 1:
        return send(fd, buf, 5, 0);
    case 2:
        return sendmsg(fd, &m, 0);
    case 3:
        return writev(fd, &iov, 1);
    case 4:
        return sendmmsg(fd, &mm, 1, 0);
    case 5:
        return sendfile(fd, fileno(tmpfile()), &at, 5);
    case 6:
        MUST(!pipe(ends) && write(ends[1], buf, 5) == 5);
        return splice(ends[0], NULL, fd, NULL, 5, 0);
    case 7:
        return send(fd, buf, 5, MSG_NOSIGNAL);
    default:
        return syscall(SYS_write, fd, buf, 5);
    }
}

/* Death by SIGPIPE, EPIPE when it is ignored, and the handler, for each way of writing. */
static void broken_pipe(void)
{
    tp_pair(pair);
    tp_exchange(pair);
    MUST(!shutdown(SERVED, SHUT_WR));
    for (int how = 0; how < 9; how++) {
        pid_t child = fork();
        if (child == 0) {
            broken(how, SERVED);
            _exit(how == 7 ? errno : 0);
        }
        tp_reap("by default", child);
        signal(SIGPIPE, SIG_IGN);
        SHOW(broken(how, SERVED));
        signal(SIGPIPE, on_pipe);
        SHOW(broken(how, SERVED));
        say("handled %d\n", (int)pipes);
        signal(SIGPIPE, SIG_DFL);
    }
    signal(SIGPIPE, SIG_IGN);
    int ends[2];
    MUST(!pipe(ends));
    close(ends[0]);
    SHOW(write(ends[1], buf, 5));
    struct sigaction act;
    sigaction(SIGPIPE, NULL, &act);
    say("ignored: %d\n", act.sa_handler == SIG_IGN);
}

static void large(void)
{
    size_t len = (size_t)3 << 30;
    char *much = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    MUST(much != MAP_FAILED);
    struct iovec iov[2] = {{much, len}, {much, len}};
    int null = open("/dev/null", O_RDWR);
    int file = memfd_create("sparse", 0), out = memfd_create("out", 0);
    off_t at = 0;
    MUST(!ftruncate(file, (off_t)len));
    tp_pair(pair);
    tp_exchange(pair);
    SHOW(write(null, much, len));
    SHOW(writev(null, iov, 2));
    SHOW(syscall(SYS_write, null, much, len));
    SHOW(read(null, much, SIZE_MAX));
    SHOW(read(null, much, len));
    SHOW(lseek(file, (off_t)len - 5, SEEK_SET));
    SHOW(read(file, buf, len));
    at = (off_t)len - 7;
    SHOW(sendfile(out, file, &at, len));
    say("offset %lld\n", (long long)at);
    SHOW(send(SERVED, much, SIZE_MAX, MSG_DONTWAIT) > 0);
    SHOW(recv(SERVED, buf, SIZE_MAX, MSG_DONTWAIT));
    ask();
    SHOW(recv(SERVED, buf, (size_t)1 << 32, 0) > 0);
}

static void no_sockets(void)
{
    int ends[2], master, slave, fd;
    struct itimerspec soon = {.it_value = {0, 1}};
    sigset_t set;
    tp_pair(pair);
    tp_exchange(pair);
    MUST(!pipe2(ends, O_NONBLOCK) && !openpty(&master, &slave, NULL, NULL, NULL));
    GOT(write(ends[1], TP_REQUEST, TP_LEN(TP_REQUEST)));
    GOT(read(ends[0], buf, 10));
    GOT(read(ends[0], buf, sizeof(buf)));
    GOT(read(ends[0], buf, sizeof(buf)));
    GOT(recv(ends[0], buf, 1, 0));
    GOT(send(ends[1], buf, 1, 0));
    GOT(write(ends[0], buf, 1));
    GOT(write(slave, TP_RESPONSE, TP_LEN(TP_RESPONSE)));
    GOT(read_all(master, TP_LEN(TP_RESPONSE) + 3)); /* the terminal puts a CR before each of three LF */
    GOT(write(master, "line\nrest", 9));
    GOT(read(slave, buf, sizeof(buf)));
    fd = eventfd(3, EFD_NONBLOCK);
    GOT(read(fd, buf, 7));
    GOT(read(fd, buf, 8));
    GOT(read(fd, buf, 8));
    GOT(write(fd, "\1\0\0\0\0\0\0\0", 8));
    fd = timerfd_create(CLOCK_MONOTONIC, 0);
    MUST(!timerfd_settime(fd, 0, &soon, NULL));
    GOT(read(fd, buf, 8));
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fd = signalfd(-1, &set, SFD_NONBLOCK);
    SHOW(read(fd, buf, sizeof(buf)));
    raise(SIGUSR1);
    SHOW(read(fd, buf, sizeof(buf)));
    fd = inotify_init1(IN_NONBLOCK);
    SHOW(read(fd, buf, sizeof(buf)));
    fd = epoll_create1(0);
    GOT(read(fd, buf, sizeof(buf)));
    GOT(write(fd, buf, 1));
    fd = open("/", O_RDONLY);
    GOT(read(fd, buf, 10));
    fd = open("/dev/null", O_PATH);
    GOT(read(fd, buf, 10));
    GOT(write(fd, buf, 10));
    SHOW(dup(fd) >= 0);
    SHOW(close(fd));
    fd = open("/dev/null", O_WRONLY);
    GOT(read(fd, buf, 10));
    GOT(write(fd, "HTTP/1.1 200 OK\r\n\r\n", 19));
    SHOW(listen(fd, 1));
    SHOW(shutdown(fd, SHUT_RDWR));
}

static void moved_by_the_kernel(void)
{
    int ends[2], other[2], file = fileno(tmpfile()), copy = fileno(tmpfile());
    off64_t at = 3;
    MUST(!pipe(ends) && !pipe(other));
    tp_pair(pair);
    tp_exchange(pair);
    MUST(write(file, TP_RESPONSE, TP_LEN(TP_RESPONSE)) > 0);
    ask();
    SHOW(splice(SERVED, NULL, ends[1], NULL, 100, 0));
    SHOW(tee(ends[0], other[1], 5, 0));
    GOT(read(other[0], buf, 10));
    GOT(read(ends[0], buf, sizeof(buf)));
    struct iovec iov = {(void *)(uintptr_t)TP_RESPONSE, 10};
    SHOW(vmsplice(ends[1], &iov, 1, 0));
    SHOW(splice(ends[0], NULL, SERVED, NULL, 10, SPLICE_F_MORE));
    at = 10;
    SHOW(sendfile(SERVED, file, &at, 1000));
    say("offset %lld\n", (long long)at);
    SHOW(recv(CLIENT, buf, TP_LEN(TP_RESPONSE), MSG_WAITALL));
    say("%u\n", digest(buf, TP_LEN(TP_RESPONSE)));
    at = 3;
    SHOW(copy_file_range(file, &at, copy, NULL, 20, 0));
    SHOW(copy_file_range(file, &at, SERVED, NULL, 20, 0));
    SHOW(splice(file, NULL, SERVED, NULL, 5, 0));
    SHOW(tee(SERVED, other[1], 5, 0));
    SHOW(sendfile(SERVED, SERVED, NULL, 5));
}

static void halves(void)
{
    tp_pair(pair);
    tp_exchange(pair);
    signal(SIGPIPE, SIG_IGN);
    ask();
    SHOW(shutdown(CLIENT, SHUT_WR));
    GOT(read(SERVED, buf, sizeof(buf)));
    GOT(read(SERVED, buf, sizeof(buf)));
    GOT(write(SERVED, TP_RESPONSE, TP_LEN(TP_RESPONSE)));
    SHOW(shutdown(SERVED, SHUT_RD));
    GOT(read(SERVED, buf, sizeof(buf)));
    GOT(write(SERVED, "x", 1));
    SHOW(shutdown(SERVED, SHUT_WR));
    GOT(write(SERVED, "x", 1));
    GOT(recv(CLIENT, buf, TP_LEN(TP_RESPONSE) + 1, MSG_WAITALL));
    GOT(recv(CLIENT, buf, 10, 0));
    SHOW(shutdown(CLIENT, SHUT_RDWR));
    SHOW(shutdown(CLIENT, SHUT_RDWR));
    SHOW(shutdown(SERVED, 3));
    SHOW(close(SERVED));
    SHOW(shutdown(SERVED, SHUT_RD));
    int fresh = socket(AF_INET, SOCK_STREAM, 0);
    SHOW(shutdown(fresh, SHUT_WR));
    SHOW(recv(fresh, buf, 1, 0));
    SHOW(send(fresh, buf, 1, 0));
}

static void connecting(void)
{
    int listener = tp_listener(), dead = socket(AF_INET, SOCK_STREAM, 0), yes = 1, error = 0;
    struct sockaddr_in a, gone = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "nowhere"};
    socklen_t len = sizeof(a);
    MUST(!getsockname(listener, (struct sockaddr *)&a, &len));
    MUST(!bind(dead, (struct sockaddr *)&gone, len)); /* nobody listens there, and nobody else can take it */
    MUST(!getsockname(dead, (struct sockaddr *)&gone, &len));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    SHOW(connect(fd, (struct sockaddr *)&gone, sizeof(gone)));
    SHOW(connect(fd, (struct sockaddr *)&a, 3));
    SHOW(connect(fd, (struct sockaddr *)&un, sizeof(un)));
    SHOW(connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&un, sizeof(un)));
    SHOW(connect(fd, (struct sockaddr *)&a, sizeof(a)));
    SHOW(connect(fd, (struct sockaddr *)&a, sizeof(a)));
    int slow = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    SHOW(connect(slow, (struct sockaddr *)&a, sizeof(a)));
    struct pollfd p = {slow, POLLOUT, 0};
    MUST(poll(&p, 1, 10000) == 1);
    SHOW(getsockopt(slow, SOL_SOCKET, SO_ERROR, &error, &len));
    say("error %d\n", error);
    SHOW(listen(fd, 5));
    SHOW(listen(slow, -1));
    SHOW(setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes)));
    int one = socket(AF_INET, SOCK_STREAM, 0), two = socket(AF_INET, SOCK_STREAM, 0);
    a.sin_port = 0;
    setsockopt(one, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes));
    SHOW(bind(one, (struct sockaddr *)&a, sizeof(a)));
    SHOW(listen(one, 5));
    MUST(!getsockname(one, (struct sockaddr *)&a, &(socklen_t){sizeof(a)}));
    SHOW(bind(two, (struct sockaddr *)&a, sizeof(a)));
    SHOW(setsockopt(two, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes)));
    SHOW(bind(two, (struct sockaddr *)&a, sizeof(a)));
    SHOW(listen(two, 5));
    pair[1] = tp_connect(two);
    struct pollfd both[2] = {{one, POLLIN, 0}, {two, POLLIN, 0}}; /* the kernel chooses */
    MUST(poll(both, 2, 10000) == 1);
    pair[0] = accept(both[0].revents ? one : two, NULL, NULL);
    tp_exchange(pair);
    tp_say_fds("open");
}

static void datagrams(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, from;
    socklen_t len = sizeof(a);
    int one = socket(AF_INET, SOCK_DGRAM, 0), two = socket(AF_INET, SOCK_DGRAM, 0), seq[2];
    MUST(!bind(one, (struct sockaddr *)&a, len) && !getsockname(one, (struct sockaddr *)&a, &len));
    SHOW(sendto(two, TP_REQUEST, TP_LEN(TP_REQUEST), 0, (struct sockaddr *)&a, sizeof(a)));
    GOT(recvfrom(one, buf, 5, MSG_TRUNC, (struct sockaddr *)&from, &len));
    SHOW(sendto(two, TP_REQUEST, TP_LEN(TP_REQUEST), 0, (struct sockaddr *)&a, sizeof(a)));
    SHOW(sendto(two, "", 0, 0, (struct sockaddr *)&a, sizeof(a)));
    GOT(read(one, buf, sizeof(buf)));
    GOT(read(one, buf, sizeof(buf)));
    SHOW(connect(two, (struct sockaddr *)&a, sizeof(a)));
    struct iovec iov = {(void *)(uintptr_t) "HTTP/1.1 200 OK\r\n\r\n", 19},
                 into[3] = {{buf, 5}, {buf + 5, 50}, {buf + 100, 50}};
    struct mmsghdr mm[3] = {{.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}},
                            {.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}},
                            {.msg_hdr = {.msg_iov = TP_BAD, .msg_iovlen = 1}}};
    SHOW(sendmmsg(two, mm, 3, 0));
    for (int i = 0; i < 3; i++)
        mm[i].msg_hdr.msg_iov = &into[i];
    SHOW(recvmmsg(one, mm, 2, 0, NULL)); /* the second may come later than the first */
    say("%u %u, flags %x %x\n", mm[0].msg_len, mm[1].msg_len, (unsigned)mm[0].msg_hdr.msg_flags,
        (unsigned)mm[1].msg_hdr.msg_flags);
    SHOW(send(two, "x", 1, 0));
    SHOW(recvmmsg(one, mm, 3, MSG_WAITFORONE, NULL));
    close(one);
    SHOW(send(two, "x", 1, 0));
    wait_broken(two);
    SHOW(send(two, "x", 1, 0));
    MUST(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, seq));
    SHOW(write(seq[0], TP_REQUEST, TP_LEN(TP_REQUEST)));
    GOT(recv(seq[1], buf, 6, 0));
    SHOW(write(seq[0], TP_REQUEST, TP_LEN(TP_REQUEST)));
    GOT(read(seq[1], buf, sizeof(buf)));
}

TP_MAIN({"nothing_there", nothing_there, ""}, {"full", full, ""}, {"bad_pointers", bad_pointers, ""},
        {"vectors", vectors, ""}, {"empty", empty, ""}, {"flags", flags, ""}, {"accept_flags", accept_flags, ""},
        {"broken_pipe", broken_pipe, ""}, {"large", large, ""}, {"no_sockets", no_sockets, ""},
        {"moved_by_the_kernel", moved_by_the_kernel, ""}, {"halves", halves, ""}, {"connecting", connecting, ""},
        {"datagrams", datagrams, ""})
