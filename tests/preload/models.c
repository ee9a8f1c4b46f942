/* SPDX-License-Identifier: Apache-2.0 */
/* Who serves: the ways in which servers give connections to threads and processes, and odd things that they do
 * meanwhile. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <unistd.h>

#include "server.h"

static void serve_and_close(int fd, const struct way *way)
{
    struct conn c;
    start_conn(&c, fd, fd, way);
    serve(&c);
    close(fd);
}

static void single(int listener, const struct way *way)
{
    for (;;)
        serve_and_close(accept_one(listener), way);
}

static void prefork(int listener, const struct way *way)
{
    const char *workers = getenv("WORKERS");
    for (int i = 0; i < (workers ? (int)strtol(workers, NULL, 10) : 4); i++)
        if (fork() == 0)
            single(listener, way);
    while (wait(NULL) > 0 || errno == EINTR)
        ;
}

/* The parent accepts and closes, a child for each connection serves and ends without closing. */
static void fork_each(int listener, const struct way *way)
{
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int fd = accept_one(listener);
        if (fork() == 0) {
            struct conn c;
            start_conn(&c, fd, fd, way);
            serve(&c);
            _exit(0);
        }
        close(fd);
    }
}

/* A fork that no hook sees: the system call made without libc. */
static long raw_syscall(long nr, long a, long b)
{
    long ret;
#if defined(__x86_64__)
    __asm__ volatile("mov $0, %%r10; mov $0, %%r8; syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(0)
                     : "rcx", "r11", "r10", "r8", "memory");
#else
    register long x8 __asm__("x8") = nr;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = 0;
    register long x3 __asm__("x3") = 0;
    register long x4 __asm__("x4") = 0;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    ret = x0;
#endif
    return ret;
}

static void fork_unseen(int listener, const struct way *way)
{
    for (int i = 0; i < 3; i++)
        if (raw_syscall(SYS_clone, SIGCHLD, 0) == 0)
            single(listener, way);
    while (wait(NULL) > 0 || errno == EINTR)
        ;
}

/* The parent reads the request, a child answers it. */
static void fork_handed(int listener, const struct way *way)
{
    static char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    for (;;) {
        int fd = accept_one(listener);
        char buf[HEAD_MAX];
        while (way->receive(fd, buf, sizeof(buf)) > 0) {
            pid_t child = fork();
            if (child == 0) {
                way->send_response(fd, head, sizeof(head) - 1, "xxxxx", 5);
                close(fd);
                _exit(0);
            }
            waitpid(child, NULL, 0);
            break;
        }
        close(fd);
    }
}

/* While an exchange is open several children run programs, as for CGI; then it is answered, or not. */
static void fork_programs(int listener, const struct way *way)
{
    static char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    for (;;) {
        int fd = accept_one(listener);
        char buf[HEAD_MAX];
        while (way->receive(fd, buf, sizeof(buf)) > 0) {
            for (int i = 0; i < 3; i++) {
                pid_t child = fork();
                if (child == 0) {
                    if (i == 1)
                        fcntl(fd, F_SETFD, FD_CLOEXEC);
                    if (i < 2)
                        execl("/bin/true", "true", (char *)NULL);
                    _exit(0);
                }
                waitpid(child, NULL, 0);
            }
            if (strncmp(buf, "GET /large", 10) == 0)
                break;
            way->send_response(fd, head, sizeof(head) - 1, "xxxxx", 5);
        }
        close(fd);
    }
}

struct job {
    int fd;
    const struct way *way;
};

static void *thread_main(void *arg)
{
    struct job *job = arg;
    struct conn *c = malloc(sizeof(*c));
    start_conn(c, job->fd, job->fd, job->way);
    serve(c);
    close(job->fd);
    free(c);
    free(job);
    return NULL;
}

static void thread_each(int listener, const struct way *way, size_t stack)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    if (stack)
        pthread_attr_setstacksize(&attr, stack);
    for (;;) {
        struct job *job = malloc(sizeof(*job));
        *job = (struct job){accept_one(listener), way};
        pthread_t t;
        while (pthread_create(&t, &attr, thread_main, job))
            usleep(1000);
    }
}

static void threads(int listener, const struct way *way)
{
    thread_each(listener, way, 0);
}

static void small_stacks(int listener, const struct way *way)
{
    thread_each(listener, way, 16384);
}

static void event_loop(int listener, const struct way *way)
{
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[64];
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &event);
    fcntl(listener, F_SETFL, O_NONBLOCK);
    for (;;) {
        int n = epoll_wait(ep, events, 64, -1);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (!c) {
                int fd;
                while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
                    c = malloc(sizeof(*c));
                    start_conn(c, fd, fd, way);
                    event = (struct epoll_event){.events = EPOLLIN, .data.ptr = c};
                    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event);
                }
            } else if (!serve_once(c)) {
                close(c->in);
                free(c);
            }
        }
    }
}

/* As a super-server does, without exec: request on fd 0, answer on fd 1. */
static void dup_standard(int listener, const struct way *way)
{
    for (;;) {
        int fd = accept_one(listener);
        if (fd != 0)
            dup2(fd, 0);
        dup3(0, 1, 0);
        if (fd > 1)
            close(fd);
        struct conn c;
        start_conn(&c, 0, 1, way);
        serve(&c);
        close(0);
        close(1);
    }
}

static void dup_fcntl(int listener, const struct way *way)
{
    for (;;) {
        int fd = accept_one(listener), in = dup(fd), out = fcntl(fd, F_DUPFD_CLOEXEC, 40);
        close(fd);
        struct conn c;
        start_conn(&c, in, out, way);
        serve(&c);
        close(in);
        close(out);
    }
}

/* A super-server: a new program for each connection, which inherits it as fd 0 and 1. */
static void exec_each(int listener, const struct way *way)
{
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int fd = accept_one(listener);
        if (fork() == 0) {
            dup2(fd, 0);
            dup2(fd, 1);
            close(fd);
            execl("/proc/self/exe", "server", way->name, "stdio", (char *)NULL);
            _exit(127);
        }
        close(fd);
    }
}

static void serve_and_close_unseen(int fd, const struct way *way)
{
    struct conn c;
    start_conn(&c, fd, fd, way);
    serve(&c);
    raw_syscall(SYS_close, fd, 0);
}

/* One process accepts and hands connections to two workers through Unix sockets. */
static void pass(int listener, const struct way *way, void (*serve_one)(int fd, const struct way *way))
{
    int pairs[2][2];
    for (int i = 0; i < 2; i++) {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]))
            exit(2);
        if (fork() == 0) {
            for (;;) {
                char byte, control[CMSG_SPACE(sizeof(int))];
                struct iovec iov = {&byte, 1};
                struct msghdr m = {
                    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
                if (recvmsg(pairs[i][1], &m, 0) <= 0)
                    _exit(0);
                int fd;
                memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
                serve_one(fd, way);
            }
        }
    }
    for (unsigned turn = 0;; turn++) {
        int fd = accept_one(listener);
        char byte = 'f';
        union {
            char bytes[CMSG_SPACE(sizeof(int))];
            struct cmsghdr head;
        } control = {.head = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
        struct iovec iov = {&byte, 1};
        struct msghdr m = {
            .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control)};
        memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
        sendmsg(pairs[turn % 2][0], &m, 0);
        close(fd);
    }
}

static void pass_fds(int listener, const struct way *way)
{
    pass(listener, way, serve_and_close);
}

static void pass_unseen(int listener, const struct way *way)
{
    pass(listener, way, serve_and_close_unseen);
}

/* Numbers are reused without a close that a hook could see. */
static void unseen_close(int listener, const struct way *way)
{
    for (;;)
        serve_and_close_unseen(accept_one(listener), way);
}

static void close_by_syscall(int listener, const struct way *way)
{
    for (;;) {
        int fd = (int)syscall(SYS_accept4, listener, NULL, NULL, 0);
        struct conn c;
        start_conn(&c, fd, fd, way);
        serve(&c);
        syscall(SYS_close, fd);
    }
}

static void close_by_range(int listener, const struct way *way)
{
    for (unsigned turn = 0;; turn++) {
        int fd = accept_one(listener), high = fcntl(fd, F_DUPFD, 100);
        close(fd);
        struct conn c;
        start_conn(&c, high, high, way);
        serve(&c);
#ifdef __GLIBC__
        if (turn % 2) {
            closefrom(50);
            continue;
        }
#endif
        syscall(SYS_close_range, 50, 200, 0);
    }
}

/* While an exchange is open, a vfork child closes every descriptor, rearranges the standard ones, and runs a program or
 * fails to. */
static void vfork_children(int listener, const struct way *way)
{
    for (unsigned turn = 0;; turn++) {
        int fd = accept_one(listener);
        struct conn c;
        start_conn(&c, fd, fd, way);
        c.have = 0;
        for (;;) {
            ssize_t n = way->receive(fd, c.buf, sizeof(c.buf));
            if (n <= 0)
                break;
            pid_t child = vfork();
            if (child == 0) {
                dup2(fd, 1);
                dup2(fd, 0);
                if (turn % 3)
                    dup2(2, fd);
                else
                    close(fd);
                if (turn % 2)
                    syscall(SYS_close_range, 3, ~0u, 0);
                if (turn % 2)
                    execl("/bin/true", "true", (char *)NULL);
                else
                    execl("/nowhere", "nowhere", (char *)NULL);
                _exit(127);
            }
            int status;
            waitpid(child, &status, 0);
            static char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
            if (way->send_response(fd, head, sizeof(head) - 1, "xxxxx", 5))
                break;
        }
        close(fd);
    }
}

/* exec fails while an exchange is open: the process goes on as before. */
static void failed_exec(int listener, const struct way *way)
{
    static char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    char *argv[] = {"nowhere", NULL};
    for (;;) {
        int fd = accept_one(listener);
        char buf[HEAD_MAX];
        while (way->receive(fd, buf, sizeof(buf)) > 0) {
            if (way->send_response(fd, head, sizeof(head) - 1, "xxxxx", 5))
                break;
            errno = 0;
            if (execv("/nowhere/at/all", argv) != -1 || errno != ENOENT)
                _exit(3);
        }
        close(fd);
    }
}

static sigjmp_buf jump;
static volatile sig_atomic_t may_jump;

static void on_alarm(int signo)
{
    int saved = errno;
    char byte, text[17];
    /* I/O in a handler, in the middle of anything */
    if (read(-1, &byte, 1) != -1 || errno != EBADF)
        _exit(4);
    static int pipes[2];
    if (!pipes[1] && pipe(pipes))
        _exit(4);
    if (write(pipes[1], "HTTP/1.1 200 OK\r\n", 17) != 17 || read(pipes[0], text, 17) != 17)
        _exit(4);
    errno = saved;
    (void)signo;
    if (may_jump)
        siglongjmp(jump, 1);
}

static void storm(int listener, const struct way *way, int is_jumping)
{
    struct sigaction act = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct itimerval timer = {{0, 300}, {0, 300}};
    sigaction(SIGALRM, &act, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    for (;;) {
        int fd = accept_one(listener);
        static struct conn c;
        start_conn(&c, fd, fd, way);
        /* out of the handler, over our frames; only while waiting for the first byte, so that nothing is lost */
        if (is_jumping && sigsetjmp(jump, 1) == 0) {
            may_jump = 1;
            char byte;
            while (recv(fd, &byte, 1, MSG_PEEK) < 0)
                ;
        }
        may_jump = 0;
        serve(&c);
        close(fd);
    }
}

static void handlers(int listener, const struct way *way)
{
    storm(listener, way, 0);
}

static void jumps(int listener, const struct way *way)
{
    storm(listener, way, 1);
}

/* Waits until a thread of this process sleeps in a system call. */
static void wait_until_blocked(pid_t tid)
{
    char path[64], stat[256];
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
    for (int tries = 0; tries < 100000; tries++) {
        FILE *f = fopen(path, "r");
        char *state = f && fgets(stat, sizeof(stat), f) ? strrchr(stat, ')') : NULL;
        if (f)
            fclose(f);
        if (state && state[2] == 'S')
            return;
        sched_yield();
    }
    exit(2);
}

struct reader {
    struct job job;
    pid_t tid;
};

static void *read_once(void *arg)
{
    struct reader *r = arg;
    char buf[HEAD_MAX];
    __atomic_store_n(&r->tid, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
    r->job.way->receive(r->job.fd, buf, sizeof(buf));
    return NULL;
}

/*
 * Another thread closes a connection under a thread that waits in a read on it, and the number is taken by the next
 * connection. What the waiting thread then receives is the old connection's.
 */
static void close_under_reader(int listener, const struct way *way)
{
    for (;;) {
        struct reader r = {.job = {accept_one(listener), way}};
        struct conn c;
        start_conn(&c, r.job.fd, r.job.fd, way);
        serve_once(&c);
        pthread_t reader;
        pid_t tid;
        pthread_create(&reader, NULL, read_once, &r);
        while (!(tid = __atomic_load_n(&r.tid, __ATOMIC_ACQUIRE)))
            sched_yield();
        wait_until_blocked(tid);
        close(r.job.fd);
        int fd = accept_one(listener);
        if (fd != r.job.fd)
            exit(2);
        /* tells the client that it may send on the old connection now */
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        send_all(fd, go_on, sizeof(go_on) - 1);
        pthread_join(reader, NULL);
        serve_and_close(fd, way);
    }
}

/* A request is taken in, then another program takes over the connection in the same process. */
static void exec_self(int listener, const struct way *way)
{
    int fd = accept_one(listener);
    char buf[HEAD_MAX];
    way->receive(fd, buf, sizeof(buf));
    dup2(fd, 0);
    dup2(fd, 1);
    close(fd);
    execl("/proc/self/exe", "server", way->name, "stdio", (char *)NULL);
    exit(2);
}

/* Threads that are cancelled while they wait in a hooked call; the connections are served by others. */
static void *cancelled(void *arg)
{
    int *fd = arg;
    char byte;
    for (;;)
        if (read(*fd, &byte, 1) < 0)
            return NULL;
}

static void cancel(int listener, const struct way *way)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
        exit(2);
    for (;;) {
        int fd = accept_one(listener);
        pthread_t t;
        void *result;
        pthread_create(&t, NULL, cancelled, &pair[0]);
        pthread_cancel(t);
        pthread_join(t, &result);
        if (result != PTHREAD_CANCELED)
            _exit(5);
        serve_and_close(fd, way);
    }
}

/* A system call filter that kills whatever is not needed to serve. */
static void install_filter(void)
{
#define ALLOW(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        ALLOW(SYS_read),
        ALLOW(SYS_write),
        ALLOW(SYS_writev),
        ALLOW(SYS_accept),
        ALLOW(SYS_accept4),
        ALLOW(SYS_close),
        ALLOW(SYS_recvfrom),
        ALLOW(SYS_sendto),
        ALLOW(SYS_recvmsg),
        ALLOW(SYS_sendmsg),
        ALLOW(SYS_exit_group),
        ALLOW(SYS_clone),
        ALLOW(SYS_set_robust_list),
        ALLOW(SYS_rseq),
        ALLOW(SYS_readv),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {sizeof(rules) / sizeof(rules[0]), rules};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        exit(2);
}

/* Installed after the first request, so that both sides of it are seen. */
static void filtered(int listener, const struct way *way)
{
    serve_and_close(accept_one(listener), way);
    install_filter();
    single(listener, way);
}

static void filtered_fork(int listener, const struct way *way)
{
    install_filter();
    for (int i = 0; i < 3; i++)
        if (fork() == 0)
            single(listener, way);
    single(listener, way);
}

/* The C library's own daemon(): its fork is not made through a symbol. */
static void daemonise(int listener, const struct way *way)
{
    if (daemon(1, 1))
        exit(2);
    printf("pid %d\n", getpid());
    fflush(stdout);
    single(listener, way);
}

static void clear_environment(int listener, const struct way *way)
{
    clearenv();
    single(listener, way);
}

static void drop_privileges(int listener, const struct way *way)
{
    for (int i = 0; i < 2; i++)
        if (fork() == 0) {
            if (setgid(65534) || setuid(65534))
                exit(2);
            single(listener, way);
        }
    while (wait(NULL) > 0 || errno == EINTR)
        ;
}

static void change_root(int listener, const struct way *way)
{
    if (chroot("/var/empty") && chroot("/var/tmp"))
        exit(2);
    drop_privileges(listener, way);
}

/* One thread reads requests, another answers them on the same connection, while the first reads on. */
struct line {
    int fd, pipe[2];
    const struct way *way;
};

static void *answer_line(void *arg)
{
    struct line *l = arg;
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    char byte;
    while (read(l->pipe[0], &byte, 1) == 1)
        if (l->way->send_response(l->fd, head, sizeof(head) - 1, "xxxxx", 5))
            break;
    return NULL;
}

static void reader_and_writer(int listener, const struct way *way)
{
    for (;;) {
        struct line l = {.fd = accept_one(listener), .way = way};
        pthread_t writer;
        if (pipe(l.pipe) || pthread_create(&writer, NULL, answer_line, &l))
            exit(2);
        char buf[HEAD_MAX];
        ssize_t n;
        int newlines = 0;
        while ((n = way->receive(l.fd, buf, sizeof(buf))) > 0)
            for (ssize_t i = 0; i < n; i++) {
                newlines = buf[i] == '\n' ? newlines + 1 : buf[i] == '\r' ? newlines : 0;
                if (newlines == 2 && write(l.pipe[1], "r", 1) != 1)
                    exit(2);
            }
        close(l.pipe[1]);
        pthread_join(writer, NULL);
        close(l.pipe[0]);
        close(l.fd);
    }
}

/* Forwards bytes between the client and the server on port BACKEND; both connections are in this process. */
static void proxy(int listener, const struct way *way)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons((uint16_t)strtoul(getenv("BACKEND"), NULL, 10))};
    static char buf[65536];
    for (;;) {
        int ends[2] = {accept_one(listener), socket(AF_INET, SOCK_STREAM, 0)};
        if (connect(ends[1], (struct sockaddr *)&a, sizeof(a)))
            exit(2);
        for (int is_open = 1; is_open;) {
            struct pollfd p[2] = {{.fd = ends[0], .events = POLLIN}, {.fd = ends[1], .events = POLLIN}};
            poll(p, 2, -1);
            for (int i = 0; i < 2 && is_open; i++)
                if (p[i].revents) {
                    ssize_t n = way->receive(ends[i], buf, sizeof(buf));
                    is_open = n > 0 && way->send_response(ends[!i], buf, (size_t)n, "", 0) == 0;
                }
        }
        close(ends[0]);
        close(ends[1]);
    }
}

/* Two processes run the same listener; the first is told apart by nothing. */
static void inherited(int listener, const struct way *way)
{
    single(listener, way);
}

const struct model models[] = {
    {"single", single},
    {"prefork", prefork},
    {"fork", fork_each},
    {"fork-unseen", fork_unseen},
    {"fork-handed", fork_handed},
    {"fork-programs", fork_programs},
    {"threads", threads},
    {"small-stacks", small_stacks},
    {"epoll", event_loop},
    {"dup", dup_standard},
    {"dup-fcntl", dup_fcntl},
    {"exec", exec_each},
    {"pass", pass_fds},
    {"unseen-close", unseen_close},
    {"syscall-close", close_by_syscall},
    {"close-range", close_by_range},
    {"vfork", vfork_children},
    {"failed-exec", failed_exec},
    {"handlers", handlers},
    {"jumps", jumps},
    {"close-under-reader", close_under_reader},
    {"cancel", cancel},
    {"filtered", filtered},
    {"filtered-fork", filtered_fork},
    {"daemon", daemonise},
    {"clearenv", clear_environment},
    {"inherited", inherited},
    {"pass-unseen", pass_unseen},
    {"exec-self", exec_self},
    {"reader-writer", reader_and_writer},
    {"proxy", proxy},
    {"drop", drop_privileges},
    {"chroot", change_root},
    {NULL, NULL},
};
