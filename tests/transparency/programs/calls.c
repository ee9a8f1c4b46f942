/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every interposed function called once with success and once in vain: result and errno. Each line begins with
 * `NAME ok` or `NAME fails`; run.py compares these names with shim/hooks.def, so that a new hook needs a line here.
 * Functions that cannot fail (or cannot return) have `NAME never fails`.
 */
#include "../../../shim/hooks.h"
#include <sys/resource.h>

#include "tp.h"

static int listener, client, served, file, null, ends[2];
static char buf[512];
static struct iovec iov = {buf, sizeof(buf)};
static struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
static struct mmsghdr mmsg = {.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}};

#define CALL(name, kind, call)                                                                                         \
    do {                                                                                                               \
        errno = 77;                                                                                                    \
        long ret_ = (long)(call);                                                                                      \
        int errno_ = errno;                                                                                            \
        say("%s %s: %s = %ld, errno %d\n", #name, kind, #call, ret_, errno_);                                          \
    } while (0)
#define OK(name, ...) CALL(name, "ok", name(__VA_ARGS__))
#define FAILS(name, ...) CALL(name, "fails", name(__VA_ARGS__))
#define NEVER_FAILS(name) say("%s never fails\n", #name)

static void set_up(void)
{
    int pair[2];
    listener = tp_listener();
    if (tp_is_awake) {
        client = tp_connect(listener);
        served = accept(listener, NULL, NULL);
    } else {
        tp_pair(pair);
        served = pair[0];
        client = pair[1];
    }
    FILE *f = tmpfile();
    MUST(f && served >= 0);
    file = fileno(f);
    MUST(write(file, TP_RESPONSE, TP_LEN(TP_RESPONSE)) > 0 && lseek(file, 0, SEEK_SET) == 0);
    null = open("/dev/null", O_RDWR);
    MUST(!pipe(ends));
}

static void ask(void)
{
    MUST(send(client, TP_REQUEST, TP_LEN(TP_REQUEST), 0) > 0);
}

static void answer(void)
{
    MUST(write(served, TP_RESPONSE, TP_LEN(TP_RESPONSE)) > 0 && read(client, buf, sizeof(buf)) > 0);
}

static void hear(void)
{
    ask();
    MUST(read(served, buf, sizeof(buf)) > 0);
    memcpy(buf, TP_RESPONSE, TP_LEN(TP_RESPONSE));
    iov.iov_len = TP_LEN(TP_RESPONSE);
}

static void drain(void)
{
    MUST(recv(client, buf, sizeof(buf), 0) > 0);
    iov.iov_len = sizeof(buf);
}

#define RECEIVES(name, ...)                                                                                            \
    do {                                                                                                               \
        ask();                                                                                                         \
        OK(name, served, __VA_ARGS__);                                                                                 \
        answer();                                                                                                      \
        FAILS(name, -1, __VA_ARGS__);                                                                                  \
        FAILS(name, 19999, __VA_ARGS__);                                                                               \
        FAILS(name, INT32_MAX, __VA_ARGS__);                                                                           \
    } while (0)
#define SENDS(name, ...)                                                                                               \
    do {                                                                                                               \
        hear();                                                                                                        \
        OK(name, served, __VA_ARGS__);                                                                                 \
        drain();                                                                                                       \
        FAILS(name, -1, __VA_ARGS__);                                                                                  \
        FAILS(name, 19999, __VA_ARGS__);                                                                               \
    } while (0)

static void receiving(void)
{
    set_up();
    RECEIVES(read, buf, sizeof(buf));
    RECEIVES(__read, buf, sizeof(buf));
    RECEIVES(__read_chk, buf, sizeof(buf), sizeof(buf));
    RECEIVES(readv, &iov, 1);
    RECEIVES(preadv2, &iov, 1, -1, 0);
    RECEIVES(preadv64v2, &iov, 1, -1, 0);
    RECEIVES(recv, buf, sizeof(buf), 0);
    RECEIVES(__recv_chk, buf, sizeof(buf), sizeof(buf), 0);
    RECEIVES(recvfrom, buf, sizeof(buf), 0, NULL, NULL);
    RECEIVES(__recvfrom_chk, buf, sizeof(buf), sizeof(buf), 0, NULL, NULL);
    RECEIVES(recvmsg, &msg, 0);
    RECEIVES(recvmmsg, &mmsg, 1, 0, NULL);
    say("msg_len %u, msg_flags %d, controllen %zu\n", mmsg.msg_len, msg.msg_flags, msg.msg_controllen);
}

static void sending(void)
{
    set_up();
    SENDS(write, buf, TP_LEN(TP_RESPONSE));
    SENDS(__write, buf, TP_LEN(TP_RESPONSE));
    SENDS(writev, &iov, 1);
    SENDS(pwritev2, &iov, 1, -1, 0);
    SENDS(pwritev64v2, &iov, 1, -1, 0);
    SENDS(send, buf, TP_LEN(TP_RESPONSE), 0);
    SENDS(__send, buf, TP_LEN(TP_RESPONSE), 0);
    SENDS(sendto, buf, TP_LEN(TP_RESPONSE), 0, NULL, 0);
    SENDS(sendmsg, &msg, 0);
    SENDS(sendmmsg, &mmsg, 1, 0);
    off_t at = 0;
    SENDS(sendfile, file, &at, TP_LEN(TP_RESPONSE));
    off64_t at64 = 0;
    SENDS(sendfile64, file, &at64, TP_LEN(TP_RESPONSE));
    say("offsets %lld %lld\n", (long long)at, (long long)at64);
    hear();
    MUST(write(ends[1], TP_RESPONSE, TP_LEN(TP_RESPONSE)) > 0);
    OK(splice, ends[0], NULL, served, NULL, TP_LEN(TP_RESPONSE), 0);
    drain();
    FAILS(splice, null, NULL, null, NULL, 5, 0);
    FAILS(splice, -1, NULL, served, NULL, 5, 0);
}

static void births_and_ends(void)
{
    set_up();
    struct sockaddr_in a;
    socklen_t len = sizeof(a);
    MUST(!getsockname(listener, (struct sockaddr *)&a, &len));
    int c1 = socket(AF_INET, SOCK_STREAM, 0), c2 = socket(AF_INET, SOCK_STREAM, 0);
    OK(connect, c1, (struct sockaddr *)&a, len);
    OK(__connect, c2, (struct sockaddr *)&a, len);
    FAILS(connect, null, (struct sockaddr *)&a, len);
    FAILS(connect, c1, (struct sockaddr *)&a, len);
    FAILS(__connect, -1, (struct sockaddr *)&a, len);
    int error;
    socklen_t error_len = sizeof(error);
    OK(getsockopt, c1, SOL_SOCKET, SO_ERROR, &error, &error_len);
    OK(getsockopt, c1, SOL_SOCKET, SO_TYPE, &error, &error_len);
    socklen_t no_len = 0;
    OK(getsockopt, c1, SOL_SOCKET, SO_ERROR, NULL, &no_len);
    FAILS(getsockopt, null, SOL_SOCKET, SO_ERROR, &error, &error_len);
    FAILS(getsockopt, c1, SOL_SOCKET, SO_ERROR, NULL, &error_len);
    FAILS(getsockopt, -1, SOL_SOCKET, SO_ERROR, &error, &error_len);
    struct addrinfo *list = NULL;
    OK(getaddrinfo, "127.0.0.1", "80", NULL, &list);
    freeaddrinfo(list);
    FAILS(getaddrinfo, "127.0.0.1", "no-such-service", NULL, &list);
    FAILS(getaddrinfo, NULL, NULL, NULL, &list);
    OK(accept, listener, NULL, NULL);
    OK(accept4, listener, NULL, NULL, SOCK_CLOEXEC);
    FAILS(accept, null, NULL, NULL);
    FAILS(accept4, listener, NULL, NULL, 0x7fff0000);
    OK(socket, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    OK(socket, AF_UNIX, SOCK_DGRAM, 0);
    FAILS(socket, -1, 0, 0);
    FAILS(socket, AF_INET, SOCK_STREAM, 77);
    OK(listen, listener, 5);
    FAILS(listen, null, 5);
    OK(dup, served);
    FAILS(dup, -1);
    OK(dup2, served, 40);
    OK(dup2, served, served);
    FAILS(dup2, served, -1);
    OK(__dup2, served, 41);
    FAILS(__dup2, -1, 41);
    OK(dup3, served, 42, O_CLOEXEC);
    FAILS(dup3, 1, 1, 0);
    OK(fcntl, served, F_DUPFD, 50);
    OK(fcntl, served, F_DUPFD_CLOEXEC, 50);
    OK(fcntl, served, F_GETFL);
    FAILS(fcntl, served, F_DUPFD, -1);
    OK(fcntl64, served, F_DUPFD, 60);
    FAILS(fcntl64, -1, F_GETFL);
    OK(__fcntl, served, F_SETFD, FD_CLOEXEC);
    FAILS(__fcntl, -1, F_GETFL);
    FILE *stream; /* an address, which is not shown */
    CALL(fdopen, "ok", (stream = fdopen(dup(served), "r+")) != NULL);
    CALL(fclose, "ok", fclose(stream));
    FAILS(fdopen, -1, "r");
    FAILS(fdopen, served, "?");
    tp_say_fds("before");
    OK(close, 40);
    FAILS(close, 40);
    FAILS(close, -1);
    OK(__close, 41);
    FAILS(__close, 41);
    OK(close_range, 42, 55, 0);
    FAILS(close_range, 5, 3, 0);
    FAILS(close_range, 5, 6, 64);
    OK(shutdown, served, SHUT_WR);
    FAILS(shutdown, null, SHUT_RD);
    FAILS(shutdown, listener, 9);
    errno = 77;
    closefrom(40);
    say("closefrom ok: errno %d\n", errno);
    NEVER_FAILS(closefrom);
    tp_say_fds("after");
}

/* fork fails when the user may have no process; the child that becomes that user reports by its exit code. */
#define FORK(name)                                                                                                     \
    do {                                                                                                               \
        errno = 77;                                                                                                    \
        pid_t child_ = name();                                                                                         \
        if (child_ == 0)                                                                                               \
            _exit(errno == 77 ? 5 : 6);                                                                                \
        say("%s ok: errno %d\n", #name, errno);                                                                        \
        tp_reap(#name, child_);                                                                                        \
        child_ = fork();                                                                                               \
        if (child_ == 0) {                                                                                             \
            struct rlimit none_ = {0, 0};                                                                              \
            MUST(!setrlimit(RLIMIT_NPROC, &none_) && !setuid(54321));                                                  \
            FORK_FAILS(name);                                                                                          \
            _exit(0);                                                                                                  \
        }                                                                                                              \
        tp_reap(#name " of a user without processes", child_);                                                         \
    } while (0)
#define FORK_FAILS(name)                                                                                               \
    errno = 77;                                                                                                        \
    pid_t none = name();                                                                                               \
    if (none == 0)                                                                                                     \
        _exit(7);                                                                                                      \
    say("%s fails: %d, errno %d\n", #name, none, errno)

/* In a child, which becomes /bin/echo. */
#define EXEC(name, ...)                                                                                                \
    do {                                                                                                               \
        pid_t child_ = fork();                                                                                         \
        if (child_ == 0) {                                                                                             \
            name(__VA_ARGS__);                                                                                         \
            _exit(3);                                                                                                  \
        }                                                                                                              \
        tp_reap(#name " ok", child_);                                                                                  \
    } while (0)

#define LEAVES(name)                                                                                                   \
    do {                                                                                                               \
        pid_t child_ = fork();                                                                                         \
        if (child_ == 0)                                                                                               \
            name(42);                                                                                                  \
        tp_reap(#name " ok", child_);                                                                                  \
        NEVER_FAILS(name);                                                                                             \
    } while (0)

static void processes(void)
{
    static char *const args[] = {"echo", "an", "argument", NULL}, *const env[] = {"A=1", NULL};
    set_up();
    FORK(fork);
    FORK(__fork);
    FORK(_Fork);
    EXEC(execve, "/bin/echo", args, env);
    EXEC(execveat, AT_FDCWD, "/bin/echo", args, env, 0);
    int echo = open("/bin/echo", O_RDONLY | O_CLOEXEC);
    EXEC(fexecve, echo, args, env);
    EXEC(execv, "/bin/echo", args);
    EXEC(execvp, "echo", args);
    EXEC(execvpe, "echo", args, env);
    EXEC(execl, "/bin/echo", "echo", "1", "2", "3", "4", "5", "6", "7", "8", "9", (char *)NULL);
    EXEC(execle, "/usr/bin/env", "env", (char *)NULL, env);
    EXEC(execlp, "echo", "echo", "a", "b", "c", "d", "e", "f", "g", "h", (char *)NULL);
    FAILS(execve, "/nowhere", args, env);
    FAILS(execve, "/dev/null", args, env);
    FAILS(execve, TP_BAD, args, env);
    FAILS(execve, "/bin/echo", TP_BAD, env);
    FAILS(execveat, -1, "echo", args, env, 0);
    FAILS(fexecve, -1, args, env);
    FAILS(execv, "/", args);
    FAILS(execvp, "", args);
    FAILS(execvp, "nowhere-at-all", args);
    FAILS(execvpe, "nowhere-at-all", args, env);
    FAILS(execl, "/nowhere", "x", (char *)NULL);
    FAILS(execle, "/nowhere", "x", (char *)NULL, env);
    FAILS(execlp, "nowhere-at-all", "x", (char *)NULL);
    LEAVES(_exit);
    LEAVES(_Exit);
    LEAVES(quick_exit);
    OK(prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
    FAILS(prctl, -1, 0, 0, 0, 0);
    OK(syscall, SYS_read, null, buf, 1);
    OK(syscall, SYS_write, null, buf, 1);
    FAILS(syscall, SYS_read, -1, buf, 1);
    FAILS(syscall, -1);
    /* what failed has changed nothing */
    ask();
    OK(read, served, buf, sizeof(buf));
    answer();
}

TP_MAIN({"receiving", receiving, ""}, {"sending", sending, ""}, {"births_and_ends", births_and_ends, ""},
        {"processes", processes, "root"})
