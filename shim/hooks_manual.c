/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wrappers that a row of hooks.def cannot express, each with its reason: variadic functions (the arguments must be
 * passed on by number), and syscall(), whose meaning is its first argument. Entry points: the wrappers themselves.
 */
#include "hooks.h"

#include <alloca.h>
#include <errno.h>
#include <stdarg.h>

#include "calls.h"
#include "events.h"
#include "process.h"
#include "raw.h"
#include "resolve.h"

#define PR_SET_SECCOMP_ 22
#define PR_SET_TSC_ 26
#define SECCOMP_SET_MODE_FILTER_ 1u

#define WRAPPER(type, name, params)                                                                                    \
    TB_EXPORT type hook_##name params __asm__(#name);                                                                  \
    type hook_##name params

/* ---- fcntl: one optional argument, an int or a pointer; both travel in one register ---- */

int tb_raw_fcntl(int fd, int command, ...)
{
    va_list list;
    va_start(list, command);
    void *arg = va_arg(list, void *);
    va_end(list);
    return (int)tb_raw_result(TB_RAW3(SYS_fcntl, fd, command, arg));
}

#define FCNTL(name)                                                                                                    \
    WRAPPER(int, name, (int fd, int command, ...))                                                                     \
    {                                                                                                                  \
        va_list list;                                                                                                  \
        va_start(list, command);                                                                                       \
        void *arg = va_arg(list, void *);                                                                              \
        va_end(list);                                                                                                  \
        int ret = tb_real.name(fd, command, arg);                                                                      \
        if (TB_UNLIKELY(command == F_DUPFD || command == F_DUPFD_CLOEXEC) && tb_load_relaxed(&tb_awake))               \
            tb_on_dup(fd, ret);                                                                                        \
        return ret;                                                                                                    \
    }
FCNTL(fcntl)
FCNTL(fcntl64)
FCNTL(__fcntl)

/* ---- execl and its kin: libc's own calls execve inside, past every hook ---- */

#define EXECL_ARGS(list, first, argv)                                                                                  \
    va_list list;                                                                                                      \
    size_t count = 1;                                                                                                  \
    va_start(list, first);                                                                                             \
    while (first && va_arg(list, char *))                                                                              \
        count++;                                                                                                       \
    va_end(list);                                                                                                      \
    char **argv = alloca((count + 1) * sizeof(char *));                                                                \
    va_start(list, first);                                                                                             \
    argv[0] = (char *)(uintptr_t)(first);                                                                              \
    for (size_t i = 1; first && i <= count; i++)                                                                       \
    argv[i] = va_arg(list, char *)

WRAPPER(int, execl, (const char *path, const char *arg, ...))
{
    EXECL_ARGS(list, arg, argv);
    va_end(list);
    if (tb_load_relaxed(&tb_awake))
        tb_process_before_exec();
    return tb_real.execv(path, argv);
}

WRAPPER(int, execlp, (const char *file, const char *arg, ...))
{
    EXECL_ARGS(list, arg, argv);
    va_end(list);
    if (tb_load_relaxed(&tb_awake))
        tb_process_before_exec();
    return tb_real.execvp(file, argv);
}

WRAPPER(int, execle, (const char *path, const char *arg, ...))
{
    EXECL_ARGS(list, arg, argv);
    char **envp = va_arg(list, char **);
    va_end(list);
    if (tb_load_relaxed(&tb_awake))
        tb_process_before_exec();
    return tb_real.execve(path, argv, envp);
}

/* ---- prctl: up to four arguments ---- */

int tb_raw_prctl(int option, ...)
{
    va_list list;
    va_start(list, option);
    unsigned long a = va_arg(list, unsigned long), b = va_arg(list, unsigned long), c = va_arg(list, unsigned long),
                  d = va_arg(list, unsigned long);
    va_end(list);
    return (int)tb_raw_result(TB_RAW5(SYS_prctl, option, a, b, c, d));
}

static void before_prctl(int option, unsigned long a)
{
    if (option == PR_SET_SECCOMP_)
        tb_process_before_filter();
    else if (option == PR_SET_TSC_ && a == 2 /* PR_TSC_SIGSEGV */)
        tb_process_clock_off();
}

static void after_prctl(int option, long ret)
{
    if (!ret && option == PR_SET_SECCOMP_)
        tb_process_filtered();
}

WRAPPER(int, prctl, (int option, ...))
{
    va_list list;
    va_start(list, option);
    unsigned long a = va_arg(list, unsigned long), b = va_arg(list, unsigned long), c = va_arg(list, unsigned long),
                  d = va_arg(list, unsigned long);
    va_end(list);
    before_prctl(option, a);
    int ret = tb_real.prctl(option, a, b, c, d);
    after_prctl(option, ret);
    return ret;
}

/* ---- getaddrinfo: its results are no errno, and no system call can stand in for it ---- */

int tb_raw_getaddrinfo(const char *restrict node, const char *restrict service, const struct addrinfo *restrict hints,
                       struct addrinfo **restrict list)
{
    __typeof__(&getaddrinfo) late = (__typeof__(&getaddrinfo))tb_late("getaddrinfo");
    return late ? late(node, service, hints, list) : EAI_FAIL;
}

WRAPPER(int, getaddrinfo,
        (const char *restrict node, const char *restrict service, const struct addrinfo *restrict hints,
         struct addrinfo **restrict list))
{
    int ret = tb_real.getaddrinfo(node, service, hints, list);
    tb_calls_resolved(node, service, hints, ret ? NULL : *list, ret);
    return ret;
}

/* ---- execl's stand-ins: only reached through tb_real, which the wrappers above do not ---- */

int tb_raw_execl(const char *path, const char *arg, ...)
{
    (void)path, (void)arg;
    return (int)tb_raw_result(-ENOSYS);
}

/* ---- syscall(): whatever else can be reached by a function can be reached by number ---- */

struct args {
    long a, b, c, d, e, f;
};

#define ARG_FD(x) ((int)args->x)
#define ARG_PTR(x) ((void *)args->x)
#define ARG_LEN(x) ((size_t)args->x)

/* The descriptor whose bytes the call moves, or -1. */
static int io_fd(long number, const struct args *args)
{
    switch (number) {
    case SYS_read:
    case SYS_readv:
    case SYS_preadv2:
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_recvmmsg:
    case SYS_write:
    case SYS_writev:
    case SYS_pwritev2:
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_sendmmsg:
    case SYS_sendfile:
    case SYS_splice:
        return ARG_FD(a);
    default:
        return -1;
    }
}

static void before_syscall(long number, const struct args *args)
{
    uint64_t word;
    switch (number) {
    case SYS_close:
        word = tb_fd_word(ARG_FD(a));
        if (word)
            tb_on_close(ARG_FD(a), word);
        break;
    case SYS_close_range:
        tb_on_close_range((unsigned)args->a, (unsigned)args->b, (unsigned)args->c);
        break;
    case SYS_execve:
    case SYS_execveat:
        tb_process_before_exec();
        break;
    case SYS_exit_group:
        tb_process_before_exit();
        break;
    default:
        break;
    }
}

static void after_io(long number, const struct args *args, uint64_t word, uint64_t out_word, long ret)
{
    int fd = ARG_FD(a);
    struct tb_at at = {fd, tb_fd_slot(fd), word};
    switch (number) {
    case SYS_read:
        tb_on_rx(at, ARG_PTR(b), ret, ARG_LEN(c), 0);
        break;
    case SYS_recvfrom:
        tb_on_rx(at, ARG_PTR(b), ret, ARG_LEN(c), (int)args->d);
        break;
    case SYS_readv:
    case SYS_preadv2:
        tb_on_rxv(at, ARG_PTR(b), ARG_LEN(c), ret);
        break;
    case SYS_recvmsg:
        tb_on_rxmsg(fd, word, ARG_PTR(b), ret, (int)args->c);
        break;
    case SYS_recvmmsg:
        tb_on_rxmmsg(fd, word, ARG_PTR(b), ret, (int)args->d);
        break;
    case SYS_write:
        tb_on_tx(at, ARG_PTR(b), ret, 0);
        break;
    case SYS_sendto:
        tb_on_tx(at, ARG_PTR(b), ret, (int)args->d);
        break;
    case SYS_writev:
    case SYS_pwritev2:
        tb_on_txv(at, ARG_PTR(b), ARG_LEN(c), ret);
        break;
    case SYS_sendmsg:
        tb_on_txmsg(fd, word, ARG_PTR(b), ret, (int)args->c);
        break;
    case SYS_sendmmsg:
        tb_on_txmmsg(fd, word, ARG_PTR(b), ret, (int)args->d);
        break;
    case SYS_sendfile:
        tb_on_tx_length(at, ret);
        break;
    case SYS_splice:
        tb_on_splice(fd, word, ARG_FD(c), out_word, ret, ARG_LEN(e));
        break;
    default:
        break;
    }
}

/* Calls that matter asleep too: the first sockets, forks, and what takes our system calls away. */
static void after_any(long number, const struct args *args, long ret)
{
    switch (number) {
    case SYS_socket:
        tb_on_socket((int)ret, (int)args->a, (int)args->b);
        break;
    case SYS_accept:
    case SYS_accept4:
        tb_on_accept(ARG_FD(a), (int)ret);
        break;
    case SYS_listen:
        tb_on_listen(ARG_FD(a), (int)ret);
        break;
#ifdef SYS_fork
    case SYS_fork:
#endif
    case SYS_clone:
        /* a thread or a vfork child by number never returns here with 0 in a memory of its own */
        if (number != SYS_clone || !(args->a & CLONE_VM))
            tb_process_after_fork(ret);
        break;
    case SYS_prctl:
        after_prctl((int)args->a, ret);
        break;
#ifdef SYS_seccomp
    case SYS_seccomp:
        if (ret >= 0 && (unsigned long)args->a <= SECCOMP_SET_MODE_FILTER_)
            tb_process_filtered();
        break;
#endif
    case SYS_io_uring_setup:
        if (ret >= 0)
            tb_process_unobservable(TB_UNOBSERVABLE_IO_URING);
        break;
    default:
        break;
    }
}

static void after_awake(long number, const struct args *args, long ret)
{
    switch (number) {
    case SYS_connect:
        tb_on_connect(ARG_FD(a), (int)ret);
        tb_calls_connect(ARG_FD(a), ARG_PTR(b), (socklen_t)args->c, (int)ret, 0);
        break;
    case SYS_getsockopt:
        tb_calls_option(ARG_FD(a), (int)args->b, (int)args->c, ARG_PTR(d), ARG_PTR(e), (int)ret);
        break;
    case SYS_dup:
        tb_on_dup(ARG_FD(a), (int)ret);
        break;
#ifdef SYS_dup2
    case SYS_dup2:
#endif
    case SYS_dup3:
        tb_on_dup(ARG_FD(a), (int)ret);
        break;
    case SYS_fcntl:
        if (args->b == F_DUPFD || args->b == F_DUPFD_CLOEXEC)
            tb_on_dup(ARG_FD(a), (int)ret);
        break;
    case SYS_shutdown:
        tb_on_shutdown(ARG_FD(a), (int)args->b, (int)ret);
        break;
    default:
        break;
    }
}

long tb_raw_syscall(long number, ...)
{
    va_list list;
    va_start(list, number);
    long a = va_arg(list, long), b = va_arg(list, long), c = va_arg(list, long), d = va_arg(list, long),
         e = va_arg(list, long), f = va_arg(list, long);
    va_end(list);
    return tb_raw_result(tb_raw(number, a, b, c, d, e, f));
}

WRAPPER(long, syscall, (long number, ...))
{
    struct args args;
    va_list list;
    va_start(list, number);
    args.a = va_arg(list, long);
    args.b = va_arg(list, long);
    args.c = va_arg(list, long);
    args.d = va_arg(list, long);
    args.e = va_arg(list, long);
    args.f = va_arg(list, long);
    va_end(list);

    uint64_t word = 0, out_word = 0;
    int fd = -1;
    if (tb_load_relaxed(&tb_awake)) {
        fd = io_fd(number, &args);
        word = fd >= 0 ? tb_fd_word(fd) : 0;
        out_word = number == SYS_splice ? tb_fd_word((int)args.c) : 0;
        before_syscall(number, &args);
    }
    if (number == SYS_prctl)
        before_prctl((int)args.a, (unsigned long)args.b);
#ifdef SYS_seccomp
    else if (number == SYS_seccomp && (unsigned long)args.a <= SECCOMP_SET_MODE_FILTER_)
        tb_process_before_filter();
#endif
    long ret = tb_real.syscall(number, args.a, args.b, args.c, args.d, args.e, args.f);
    after_any(number, &args, ret);
    if (tb_load_relaxed(&tb_awake)) {
        if (fd >= 0 && (tb_fd_state(word) != TB_FD_IGNORED || number == SYS_splice))
            after_io(number, &args, word, out_word, ret);
        else if (fd < 0)
            after_awake(number, &args, ret);
    }
    return ret;
}
