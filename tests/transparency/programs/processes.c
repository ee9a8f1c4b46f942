/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes: children of vfork, which run in the memory of their parent, posix_spawn, raw clones of all kinds, what
 * survives an exec, tables of descriptors shared between processes, and descriptors handed over.
 */
#include <linux/sched.h>
#include <sched.h>
#include <spawn.h>

#include "tp.h"

static int pair[2];

/* The child closes, moves and opens what it wants, then becomes another program or ends; the parent has it all still.
 */
static void vfork_children(void)
{
    static char *const args[] = {"sh", "-c", "echo from a child; ls /proc/self/fd | wc -l", NULL}, *const none[] = {
                                                                                                       NULL};
    int more = dup(1);
    tp_pair(pair);
    tp_exchange(pair);
    for (int how = 0; how < 5; how++) {
        volatile int seen = 0;
        errno = 77;
        pid_t child = vfork();
        if (child == 0) {
            seen = how + 1;
            if (how < 4) {
                close(pair[0]);
                close(pair[1]);
                dup2(1, pair[0]);
                dup2(more, 0);
                close(more);
            }
            if (how == 0)
                execve("/bin/sh", args, none);
            if (how == 1)
                execve("/nowhere", args, none);
            if (how == 2)
                closefrom(2);
            if (how == 3)
                close_range(3, 2000, CLOSE_RANGE_UNSHARE);
            _exit(how + 10);
        }
        int error = errno;
        tp_reap("vfork", child);
        say("errno %d, the child wrote %d\n", error, seen);
        tp_say_fds("open");
        tp_exchange(pair);
    }
    tp_serve(3);
}

static void spawned(void)
{
    extern char **environ;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t set;
    pid_t child;
    char *args[] = {"sh", "-c", "ls /proc/self/fd; grep -E 'Sig(Blk|Ign)' /proc/self/status; exit 3", NULL};
    tp_pair(pair);
    tp_exchange(pair);
    MUST(!posix_spawn_file_actions_init(&actions) && !posix_spawnattr_init(&attr));
    MUST(!posix_spawn_file_actions_addclose(&actions, pair[0]) &&
         !posix_spawn_file_actions_adddup2(&actions, pair[1], 20));
    MUST(!posix_spawn_file_actions_addopen(&actions, 21, "/dev/null", O_RDONLY, 0));
    sigfillset(&set);
    MUST(!posix_spawnattr_setsigdefault(&attr, &set));
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    MUST(!posix_spawnattr_setsigmask(&attr, &set));
    MUST(!posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK));
    MUST(!posix_spawn(&child, "/bin/sh", &actions, &attr, args, environ));
    tp_reap("spawned", child);
    MUST(!posix_spawnp(&child, "sh", NULL, NULL, args, environ));
    tp_reap("spawned", child);
    SHOW(posix_spawn(&child, "/nowhere", &actions, NULL, args, environ));
    tp_exchange(pair);
    SHOW(system("exit 5"));
    char line[64] = "";
    FILE *f = popen("echo popen", "r");
    MUST(f && fgets(line, sizeof(line), f));
    say("%s", line);
    SHOW(pclose(f));
    tp_exchange(pair);
    tp_say_fds("open");
}

static int in_clone(void *arg)
{
    int how = *(int *)arg;
    if (how & 1)
        close(pair[1]);
    if (how & 2)
        tp_exchange((int[2]){pair[0], 30});
    _exit(40 + how);
}

/* A child in the same memory, with the table of descriptors shared or its own. */
static void clones(void)
{
    static char stack[65536] __attribute__((aligned(16)));
    static const int flags[] = {0,
                                CLONE_VM,
                                CLONE_FILES,
                                CLONE_VM | CLONE_FILES,
                                CLONE_VM | CLONE_VFORK,
                                CLONE_VM | CLONE_VFORK | CLONE_FILES,
                                CLONE_FS,
                                CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND};
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        for (int how = 0; how < 4; how++) {
            tp_pair(pair);
            tp_exchange(pair);
            MUST(dup2(pair[1], 30) == 30);
            pid_t child = clone(in_clone, stack + sizeof(stack), flags[i] | SIGCHLD, &how);
            say("clone %x, %d: ", (unsigned)flags[i], how);
            tp_reap("child", child);
            say("other end: %d\n", fcntl(pair[1], F_GETFD));
            tp_exchange((int[2]){pair[0], 30});
            close(pair[0]);
            close(pair[1]);
            close(30);
        }
    struct clone_args args = {.exit_signal = SIGCHLD};
    tp_pair(pair);
    for (int i = 0; i < 3; i++) {
        long child = i == 0   ? syscall(SYS_clone3, &args, sizeof(args))
                     : i == 1 ? syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)
                              : syscall(SYS_fork);
        if (child == 0) {
            tp_exchange(pair);
            tp_serve(3);
            _exit(i);
        }
        tp_reap("by number", (pid_t)child);
        tp_exchange(pair);
    }
    tp_say_fds("open");
}

static void daemons(void)
{
    int ends[2];
    char got[100];
    MUST(!pipe(ends));
    tp_pair(pair);
    tp_exchange(pair);
    pid_t child = fork();
    if (child == 0) {
        MUST(!daemon(1, 1));
        tp_exchange(pair);
        tp_serve(2);
        MUST(write(ends[1], "daemon served", 13) == 13);
        _exit(0);
    }
    tp_reap("child", child);
    close(ends[1]);
    ssize_t n = read(ends[0], got, sizeof(got));
    say("%.*s\n", (int)n, got);
    MUST(read(ends[0], got, sizeof(got)) == 0);
}

static void exec_keeps(void)
{
    static char *const args[] = {
        "sh", "-c", "ls /proc/self/fd | tr '\\n' ' '; grep -E 'Sig[BIC]|Pnd|Threads|NoNew' /proc/self/status", NULL};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGHUP, SIG_IGN);
    tp_pair(pair);
    tp_exchange(pair);
    fcntl(pair[1], F_SETFD, FD_CLOEXEC);
    raise(SIGUSR1);
    SHOW(execv("/nowhere", args));
    tp_exchange(pair);
    execv("/bin/sh", args);
}

/* A descriptor sent to another process, which serves it; and one sent to oneself. */
static void handed_over(void)
{
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int) * 2)];
    } control;
    char byte = 'x';
    struct iovec iov = {&byte, 1};
    int channel[2], said[2]; /* said: the sender has printed its line */
    MUST(!socketpair(AF_UNIX, SOCK_STREAM, 0, channel) && !pipe(said));
    tp_pair(pair);
    tp_exchange(pair);
    for (int round = 0; round < 2; round++) {
        pid_t child = round ? 0 : fork();
        struct msghdr m = {
            .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
        if (child || round) {
            memset(&control, 0, sizeof(control));
            control.head = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
            memcpy(CMSG_DATA(&control.head), &pair[0], sizeof(int));
            m.msg_controllen = CMSG_SPACE(sizeof(int));
            SHOW(sendmsg(channel[0], &m, 0));
            MUST(write(said[1], "x", 1) == 1);
        }
        if (!child) {
            int got = -1;
            m.msg_controllen = sizeof(control);
            ssize_t n = recvmsg(channel[1], &m, MSG_CMSG_CLOEXEC);
            char told;
            MUST(read(said[0], &told, 1) == 1);
            memcpy(&got, CMSG_DATA(&control.head), sizeof(int));
            say("received %zd, fd %d, FD %d, flags %x, control %zu\n", n, got, fcntl(got, F_GETFD),
                (unsigned)m.msg_flags, m.msg_controllen);
            tp_exchange((int[2]){got, pair[1]});
            m.msg_controllen = 0;
            if (!round)
                _exit(3);
        } else {
            tp_reap("receiver", child);
        }
    }
    tp_exchange(pair);
    tp_say_fds("open");
}

TP_MAIN({"vfork_children", vfork_children, ""}, {"spawned", spawned, ""}, {"clones", clones, ""},
        {"daemons", daemons, ""}, {"exec_keeps", exec_keeps, ""}, {"handed_over", handed_over, ""})
