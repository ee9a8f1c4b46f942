/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the small programs share. Each is `PROGRAM CASE FLAVOUR`: it runs one case, prints everything that a program can
 * see of it, and is compared byte for byte with a run of its own with the object preloaded. `PROGRAM --list` names the
 * cases. Flavour "awake": an HTTP exchange is made first and connections are TCP; "asleep": they are unnamed pairs.
 * Nothing printed may differ by chance: no pid, address or time.
 */
#ifndef TP_H
#define TP_H

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define TP_REQUEST "GET /transparent HTTP/1.1\r\nHost: x\r\n\r\n"
#define TP_RESPONSE "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define TP_LEN(text) (sizeof(text) - 1)
#define TP_BAD ((void *)8) /* never mapped */

static bool tp_is_awake;
static int tp_errno; /* as main found it */

/* Writes without libc, so that what is printed does not depend on what is tested, also behind filters. */
static inline long tp_raw3(long nr, long a, long b, long c)
{
#if defined(__x86_64__)
    long ret;
    __asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return ret;
#else
    register long x8 __asm__("x8") = nr, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
    return x0;
#endif
}

static inline void tp_put(const char *text)
{
    tp_raw3(SYS_write, 1, (long)text, (long)strlen(text));
}

static __attribute__((format(printf, 1, 2), unused)) void say(const char *format, ...)
{
    char line[1024];
    int kept = errno;
    va_list list;
    va_start(list, format);
    vsnprintf(line, sizeof(line), format, list);
    va_end(list);
    tp_put(line);
    errno = kept;
}

/* A step of the test itself that must succeed. */
#define MUST(claim)                                                                                                    \
    do {                                                                                                               \
        if (!(claim)) {                                                                                                \
            say("%s:%d: cannot: %s: errno %d\n", __FILE__, __LINE__, #claim, errno);                                   \
            _exit(99);                                                                                                 \
        }                                                                                                              \
    } while (0)

/* Prints the result and what became of errno, which was 77. */
#define SHOW(call)                                                                                                     \
    do {                                                                                                               \
        errno = 77;                                                                                                    \
        long shown_ = (long)(call);                                                                                    \
        int errno_ = errno;                                                                                            \
        say("%s = %ld, errno %d\n", #call, shown_, errno_);                                                            \
    } while (0)

static inline int tp_listener(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    MUST(fd >= 0 && !bind(fd, (struct sockaddr *)&a, sizeof(a)) && !listen(fd, 64));
    return fd;
}

static inline int tp_connect(int listener)
{
    struct sockaddr_in a;
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    MUST(fd >= 0 && !getsockname(listener, (struct sockaddr *)&a, &len) && !connect(fd, (struct sockaddr *)&a, len));
    return fd;
}

/* One exchange over a pair {server's end, client's end}. */
static inline void tp_exchange(const int pair[2])
{
    char buf[256];
    MUST(send(pair[1], TP_REQUEST, TP_LEN(TP_REQUEST), 0) == TP_LEN(TP_REQUEST));
    MUST(read(pair[0], buf, sizeof(buf)) == TP_LEN(TP_REQUEST) && !memcmp(buf, TP_REQUEST, TP_LEN(TP_REQUEST)));
    MUST(write(pair[0], TP_RESPONSE, TP_LEN(TP_RESPONSE)) == TP_LEN(TP_RESPONSE));
    MUST(recv(pair[1], buf, sizeof(buf), 0) == TP_LEN(TP_RESPONSE) && !memcmp(buf, TP_RESPONSE, TP_LEN(TP_RESPONSE)));
}

/* {server's end, client's end}. */
static inline void tp_tcp_pair(int pair[2])
{
    int listener = tp_listener();
    pair[1] = tp_connect(listener);
    pair[0] = accept(listener, NULL, NULL);
    MUST(pair[0] >= 0);
    close(listener);
}

/* So many exchanges on a TCP connection of its own. */
static inline void tp_serve(int times)
{
    int own[2];
    tp_tcp_pair(own);
    for (int i = 0; i < times; i++)
        tp_exchange(own);
    close(own[0]);
    close(own[1]);
}

static inline void tp_pair(int pair[2])
{
    if (tp_is_awake)
        tp_tcp_pair(pair);
    else
        MUST(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
}

/* The open descriptors and what kind each is, except the one that looks. */
static inline void tp_say_fds(const char *title)
{
    say("%s:", title);
    for (int fd = 0; fd < 2000; fd++) {
        int flags = (int)tp_raw3(SYS_fcntl, fd, F_GETFD, 0);
        if (flags >= 0)
            say(" %d%s%s", fd, flags & FD_CLOEXEC ? "c" : "",
                tp_raw3(SYS_fcntl, fd, F_GETFL, 0) & O_NONBLOCK ? "n" : "");
    }
    say("\n");
}

static inline void tp_say_status(const char *what, int status)
{
    if (WIFEXITED(status))
        say("%s: exit %d\n", what, WEXITSTATUS(status));
    else if (WIFSIGNALED(status))
        say("%s: signal %d%s\n", what, WTERMSIG(status), WCOREDUMP(status) ? ", core" : "");
    else
        say("%s: status %x\n", what, (unsigned)status);
}

static inline void tp_reap(const char *what, pid_t child)
{
    int status = -1;
    MUST(child > 0 && waitpid(child, &status, 0) == child);
    tp_say_status(what, status);
}

/* needs: words for harness.py, such as "root" or "only-awake". */
struct tp_case {
    const char *name;
    void (*run)(void);
    const char *needs;
};

static inline int tp_main(int argc, char **argv, const struct tp_case *cases, size_t count)
{
    if (argc == 2 && !strcmp(argv[1], "--list")) {
        for (size_t i = 0; i < count; i++)
            printf("%s %s\n", cases[i].name, cases[i].needs ? cases[i].needs : "");
        return 0;
    }
    for (size_t i = 0; argc >= 3 && i < count; i++) {
        if (strcmp(argv[1], cases[i].name))
            continue;
        tp_is_awake = !strcmp(argv[2], "awake");
        if (tp_is_awake)
            tp_serve(1);
        cases[i].run();
        return 0;
    }
    fprintf(stderr, "usage: %s CASE awake|asleep, or --list\n", argv[0]);
    return 2;
}

#define TP_MAIN(...)                                                                                                   \
    int main(int argc, char **argv)                                                                                    \
    {                                                                                                                  \
        static const struct tp_case cases[] = {__VA_ARGS__};                                                           \
        tp_errno = errno;                                                                                              \
        return tp_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));                                           \
    }

#endif
