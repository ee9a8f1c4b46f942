/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System call filters: strict mode, filters that the program installs, before or after it has served, and filters that
 * were there before it (children install them and become this program again). And programs that forbid themselves the
 * time stamp counter. What the program itself calls is permitted; whatever else is called kills, or fails.
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <time.h>

#include "tp.h"

static int pair[2];

/* @listed numbers get one answer, all others another. */
static void filter(const int *numbers, size_t count, unsigned listed, unsigned others, bool by_syscall)
{
    struct sock_filter code[80];
    size_t n = 0;
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < count; i++) {
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)numbers[i], 0, 1);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, listed);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, others);
    struct sock_fprog program = {(unsigned short)n, code};
    MUST(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    if (by_syscall)
        MUST(!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
    else
        MUST(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0));
}
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* All that an exchange takes, and the way out. */
static const int exchange_calls[] = {SYS_read,       SYS_write, SYS_sendto,      SYS_recvfrom,
                                     SYS_exit_group, SYS_exit,  SYS_rt_sigreturn};

static void strict(void)
{
    tp_pair(pair);
    tp_exchange(pair);
    pid_t child = fork();
    if (child == 0) {
        char buf[256];
        MUST(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0));
        for (int i = 0; i < 50; i++) {
            MUST(write(pair[1], TP_REQUEST, TP_LEN(TP_REQUEST)) == TP_LEN(TP_REQUEST));
            MUST(read(pair[0], buf, sizeof(buf)) == TP_LEN(TP_REQUEST));
            MUST(write(pair[0], TP_RESPONSE, TP_LEN(TP_RESPONSE)) == TP_LEN(TP_RESPONSE));
            MUST(read(pair[1], buf, sizeof(buf)) == TP_LEN(TP_RESPONSE));
        }
        tp_put("served\n");
        tp_raw3(SYS_exit, 5, 0, 0);
    }
    tp_reap("strict", child);
    child = fork();
    if (child == 0) {
        MUST(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0));
        close(pair[0]); /* which strict mode forbids */
    }
    tp_reap("strict, close", child);
}

/* The program locks itself in, in both ways, and goes on with new routes and new statuses. */
static void own_filter(void)
{
    static const char *const requests[] = {"GET /a/b/c HTTP/1.1\r\n\r\n",
                                           "POST /x HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
                                           "DELETE /users/77 HTTP/1.1\r\nHost: y\r\n\r\n"};
    static const char answer[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    char buf[512];
    for (int way = 0; way < 2; way++) {
        tp_pair(pair);
        tp_exchange(pair);
        pid_t child = fork();
        if (child == 0) {
            filter(exchange_calls, COUNT(exchange_calls), SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS, way);
            for (int i = 0; i < 300; i++) {
                size_t len = strlen(requests[i % 3]);
                MUST(send(pair[1], requests[i % 3], len, 0) == (ssize_t)len);
                MUST(read(pair[0], buf, sizeof(buf)) == (ssize_t)len);
                MUST(write(pair[0], answer, TP_LEN(answer)) == TP_LEN(answer));
                MUST(recv(pair[1], buf, sizeof(buf), 0) == TP_LEN(answer));
            }
            _exit(3);
        }
        tp_reap("filtered", child);
        child = fork();
        if (child == 0) {
            filter(exchange_calls, COUNT(exchange_calls), SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS, way);
            close(pair[0]);
        }
        tp_reap("filtered, close", child);
        child = fork();
        if (child == 0) {
            filter(exchange_calls, COUNT(exchange_calls), SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO | 99, way);
            SHOW(close(pair[0]));
            SHOW(socket(AF_INET, SOCK_STREAM, 0));
            SHOW(dup(1));
            SHOW(accept(5, NULL, NULL));
            SHOW(fork());
            SHOW(execl("/bin/true", "true", (char *)NULL));
            tp_exchange(pair);
        }
        if (child == 0)
            _exit(0);
        tp_reap("errors", child);
    }
}

/* A stream for a descriptor of which nothing is known. */
static void own_filter_stream(void)
{
    static const int calls[] = {SYS_read,  SYS_write, SYS_sendto, SYS_recvfrom,    SYS_exit_group,
                                SYS_fcntl, SYS_brk,   SYS_mmap,   SYS_rt_sigreturn};
    int ends[2];
    MUST(!pipe(ends));
    tp_pair(pair);
    tp_exchange(pair);
    pid_t child = fork();
    if (child == 0) {
        filter(calls, COUNT(calls), SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS, false);
        MUST(fdopen(ends[1], "w"));
        MUST(fdopen(pair[0], "w"));
        tp_put("streams\n");
        _exit(0);
    }
    tp_reap("filtered, streams", child);
}

/* Locked in before it ever served: sockets, listen, accept. */
static void own_filter_first(void)
{
    static const int serve_calls[] = {SYS_read,        SYS_write, SYS_sendto, SYS_recvfrom, SYS_exit_group,
                                      SYS_socket,      SYS_bind,  SYS_listen, SYS_accept,   SYS_connect,
                                      SYS_getsockname, SYS_close, SYS_exit};
    for (int way = 0; way < 2; way++) {
        pid_t child = fork();
        if (child == 0) {
            filter(serve_calls, COUNT(serve_calls), SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS, way);
            tp_serve(50);
            _exit(4);
        }
        tp_reap("filtered first", child);
    }
}

static const char *self(void)
{
    static char path[4096];
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
    MUST(len > 0);
    path[len] = 0;
    return path;
}

static void run_again(const char *path, const char *name)
{
    execl(path, path, name, "asleep", (char *)NULL);
    _exit(97);
}

/*
 * Every call that a program like this does not make by itself, forbidden one at a time on pain of death, from before
 * its start. clone, wait4 and rt_sigprocmask are left out: what fork() needs is assumed to be permitted.
 */
static void each_call_kills(void)
{
    static const int others[] = {
        SYS_getpid,     SYS_getppid, SYS_geteuid,     SYS_kill,      SYS_madvise,    SYS_prctl,       SYS_clock_gettime,
        SYS_futex,      SYS_munlock, SYS_getrandom,   SYS_uname,     SYS_statfs,     SYS_fstatfs,     SYS_fstat,
        SYS_readlinkat, SYS_mkdirat, SYS_fchmodat,    SYS_fchmod,    SYS_flock,      SYS_ftruncate,   SYS_fallocate,
        SYS_renameat2,  SYS_linkat,  SYS_unlinkat,    SYS_fcntl,     SYS_getsockopt, SYS_open,        SYS_stat,
        SYS_getcwd,     SYS_gettid,  SYS_sched_yield, SYS_setrlimit, SYS_getrlimit,  SYS_sigaltstack, SYS_ioctl};
    static const unsigned answers[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP,
                                       SECCOMP_RET_ERRNO | 1, SECCOMP_RET_ERRNO | 38};
    const char *path = self();
    for (size_t i = 0; i < COUNT(others); i++)
        for (size_t a = 0; a < COUNT(answers); a += i % 8 ? 2 : 1) {
            pid_t child = fork();
            if (child == 0) {
                filter(&others[i], 1, answers[a], SECCOMP_RET_ALLOW, false);
                run_again(path, "serve_only");
            }
            int status = -1;
            MUST(waitpid(child, &status, 0) == child);
            say("call %d, answer %x: status %x\n", others[i], answers[a], (unsigned)status);
        }
}

static void serve_only(void)
{
    tp_serve(20);
    tp_say_fds("open");
    int status;
    SHOW(waitpid(-1, &status, WNOHANG | __WALL));
}

static void shows_a_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    say("socket %d, dup2 %d, close %d\n", fd, dup2(fd, 9), close(fd));
}

/* What the loader and a small program call, and not one more; on pain of death. */
static const int plain_calls[] = {
    SYS_execve,    SYS_brk,       SYS_arch_prctl, SYS_set_tid_address, SYS_set_robust_list,
    SYS_rseq,      SYS_access,    SYS_openat,     SYS_newfstatat,      SYS_mmap,
    SYS_close,     SYS_read,      SYS_pread64,    SYS_mprotect,        SYS_munmap,
    SYS_prlimit64, SYS_getrandom, SYS_write,      SYS_exit_group,      SYS_socket,
    SYS_dup2};

static void exact_allow_list(void)
{
    const char *path = self();
    pid_t child = fork();
    if (child == 0) {
        filter(plain_calls, COUNT(plain_calls), SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS, false);
        run_again(path, "shows_a_socket");
    }
    tp_reap("shows a socket", child);
}

/* The same with what a server calls, and what fork() needs. */
static void server_allow_list(void)
{
    int calls[COUNT(plain_calls) + 12];
    static const int more[] = {SYS_bind,   SYS_listen, SYS_accept, SYS_connect, SYS_getsockname,    SYS_recvfrom,
                               SYS_sendto, SYS_fcntl,  SYS_clone,  SYS_wait4,   SYS_rt_sigprocmask, SYS_exit};
    const char *path = self();
    memcpy(calls, plain_calls, sizeof(plain_calls));
    memcpy(calls + COUNT(plain_calls), more, sizeof(more));
    static const unsigned answers[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO | 1,
                                       SECCOMP_RET_ERRNO | 38};
    for (size_t a = 0; a < COUNT(answers); a++) {
        pid_t child = fork();
        if (child == 0) {
            filter(calls, COUNT(calls), SECCOMP_RET_ALLOW, answers[a], false);
            run_again(path, "serve_only");
        }
        tp_reap("serves", child);
    }
}

/* ---- the time stamp counter ---- */

static void no_counter(void)
{
    tp_pair(pair);
    tp_exchange(pair);
    SHOW(prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0));
    for (int i = 0; i < 10; i++)
        tp_exchange(pair);
    tp_serve(5);
    pid_t child = fork();
    if (child == 0) {
        tp_exchange(pair);
        tp_serve(3);
        _exit(0);
    }
    tp_reap("child", child);
    SHOW(prctl(PR_SET_TSC, PR_TSC_ENABLE, 0, 0, 0));
    tp_serve(3);
}

static void no_counter_by_number(void)
{
    SHOW(syscall(SYS_prctl, PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0));
    tp_serve(5);
    SHOW(syscall(SYS_prctl, PR_SET_TSC, PR_TSC_ENABLE, 0, 0, 0));
    tp_serve(5);
}

static pthread_barrier_t barrier;
static void *without_counter(void *arg)
{
    SHOW(prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0));
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier); /* main has set and enabled its own meanwhile */
    tp_serve(10);
    return arg;
}

static void no_counter_in_one_thread(void)
{
    pthread_t thread;
    MUST(!pthread_barrier_init(&barrier, NULL, 2) && !pthread_create(&thread, NULL, without_counter, NULL));
    pthread_barrier_wait(&barrier);
    tp_serve(3);
    SHOW(prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0));
    SHOW(prctl(PR_SET_TSC, PR_TSC_ENABLE, 0, 0, 0));
    tp_serve(3);
    pthread_barrier_wait(&barrier);
    MUST(!pthread_join(thread, NULL));
    int state = 0;
    SHOW(prctl(PR_GET_TSC, &state));
    say("state %d\n", state);
}

TP_MAIN({"strict", strict, ""}, {"own_filter", own_filter, ""}, {"own_filter_stream", own_filter_stream, ""},
        {"own_filter_first", own_filter_first, ""}, {"each_call_kills", each_call_kills, "only-asleep"},
        {"serve_only", serve_only, ""}, {"shows_a_socket", shows_a_socket, ""},
        {"exact_allow_list", exact_allow_list, ""}, {"server_allow_list", server_allow_list, ""},
        {"no_counter", no_counter, ""}, {"no_counter_by_number", no_counter_by_number, ""},
        {"no_counter_in_one_thread", no_counter_in_one_thread, ""})
