/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects that do to a program what ours must never do, one for each HARM_..., to show that the comparison notices.
 * They are made wrong on purpose, in the ways in which such objects have been wrong. HARM_nothing wraps the same calls
 * and does no harm: it must not be reported.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define REAL(name)                                                                                                     \
    static __typeof__(&name) real;                                                                                     \
    if (!real)                                                                                                         \
    real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#if defined(HARM_errno_zeroed)
#define AFTER errno = 0
#elif defined(HARM_errno_left_on_success)
#define AFTER                                                                                                          \
    if (ret >= 0)                                                                                                      \
    errno = EAGAIN
#elif defined(HARM_failure_hidden)
#define AFTER                                                                                                          \
    if (ret < 0 && errno == EFAULT)                                                                                    \
    ret = 0
#elif defined(HARM_message_looked_at) /* of a header that the kernel refused */
#define AFTER_MSG                                                                                                      \
    if (*(void *const *)msg == (void *)1)                                                                              \
    abort()
#elif defined(HARM_lock_around_calls)
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
#define BEFORE pthread_mutex_lock(&lock)
#define AFTER pthread_mutex_unlock(&lock)
#elif defined(HARM_system_call_added)
#define BEFORE syscall(SYS_getppid)
#elif defined(HARM_much_stack)
#define BEFORE                                                                                                         \
    char much[65536];                                                                                                  \
    memset(much, 1, sizeof(much));                                                                                     \
    __asm__ volatile("" : : "r"(much) : "memory")
#elif defined(HARM_counter_read) /* the time stamp counter, which a program may have forbidden */
#define BEFORE __builtin_ia32_rdtsc()
#endif
#ifndef BEFORE
#define BEFORE
#endif
#ifndef AFTER
#define AFTER
#endif
#ifndef AFTER_MSG
#define AFTER_MSG AFTER
#endif

#ifdef HARM_cancellation_lost
#define CALL_READ syscall(SYS_read, fd, buf, len)
#else
#define CALL_READ real(fd, buf, len)
#endif

EXPORT ssize_t read(int fd, void *buf, size_t len)
{
    REAL(read);
    BEFORE;
    ssize_t ret = CALL_READ;
#ifdef HARM_eintr_retried
    while (ret < 0 && errno == EINTR)
        ret = real(fd, buf, len);
#endif
    AFTER;
    return ret;
}

EXPORT ssize_t recv(int fd, void *buf, size_t len, int flags)
{
    REAL(recv);
    BEFORE;
#ifdef HARM_flags_dropped
    flags &= ~MSG_PEEK;
#endif
    ssize_t ret = real(fd, buf, len, flags);
    AFTER;
    return ret;
}

EXPORT ssize_t write(int fd, const void *buf, size_t len)
{
    REAL(write);
    BEFORE;
#ifdef HARM_short_writes
    if (len > 1000)
        len = 1000;
#endif
    ssize_t ret = real(fd, buf, len);
    AFTER;
    return ret;
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
    REAL(recvmsg);
    BEFORE;
    ssize_t ret = real(fd, msg, flags);
    AFTER_MSG;
    return ret;
}

EXPORT int accept4(int fd, struct sockaddr *restrict from, socklen_t *restrict len, int flags)
{
    REAL(accept4);
#ifdef HARM_accept_flags_dropped
    flags &= ~(SOCK_CLOEXEC | SOCK_NONBLOCK);
#endif
    return real(fd, from, len, flags);
}

EXPORT int close(int fd)
{
    REAL(close);
#ifdef HARM_close_guarded
    if (fd == 20) /* "ours" */
        return 0;
#endif
    return real(fd);
}

#ifdef HARM_fd_kept_on_listen
EXPORT int listen(int fd, int backlog)
{
    REAL(listen);
    int ret = real(fd, backlog);
    (void)!open("/dev/null", O_RDONLY | O_CLOEXEC);
    return ret;
}
#endif

#ifdef HARM_vfork_wrapped
EXPORT pid_t vfork(void)
{
    static pid_t (*real)(void);
    if (!real)
        real = (pid_t(*)(void))dlsym(RTLD_NEXT, "vfork");
    pid_t ret = real();
    __asm__ volatile("" : : : "memory"); /* keeps this frame, which the child then destroys */
    return ret;
}
#endif

static void *sleeper(void *arg)
{
    for (;;)
        pause();
    return arg;
}

static void handler(int number)
{
    (void)number;
}

static __attribute__((constructor)) void start(void)
{
    (void)sleeper, (void)handler;
#if defined(HARM_fd_kept)
    (void)!open("/dev/null", O_RDONLY | O_CLOEXEC);
#elif defined(HARM_sigpipe_ignored)
    signal(SIGPIPE, SIG_IGN);
#elif defined(HARM_handler_installed)
    signal(SIGUSR1, handler);
#elif defined(HARM_signal_blocked)
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
#elif defined(HARM_variable_removed)
    unsetenv("LD_PRELOAD");
#elif defined(HARM_variable_added)
    setenv("TICKBIRD_READY", "1", 1);
#elif defined(HARM_memory_mapped)
    mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
#elif defined(HARM_thread_started)
    pthread_t thread;
    pthread_create(&thread, NULL, sleeper, NULL);
#elif defined(HARM_output_on_stderr)
    fprintf(stderr, "preloaded\n");
#elif defined(HARM_limit_raised)
    struct rlimit r;
    getrlimit(RLIMIT_NOFILE, &r);
    r.rlim_cur = r.rlim_max - 1;
    setrlimit(RLIMIT_NOFILE, &r);
#elif defined(HARM_core_prevented)
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#elif defined(HARM_child_left)
    if (fork() == 0)
        _exit(0);
#elif defined(HARM_errno_at_start)
    errno = ENOENT;
#endif
}
