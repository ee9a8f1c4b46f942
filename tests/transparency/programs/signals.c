/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals: calls that are interrupted or restarted, handlers that do socket I/O themselves, jumps out of handlers,
 * contexts and stacks of other kinds, masks and dispositions, stopped and continued processes.
 */
#include <setjmp.h>
#include <sys/auxv.h>
#include <sys/sendfile.h>
#include <sys/time.h>
#include <sys/un.h>
#include <ucontext.h>

#include "tp.h"

static int pair[2], inner[2], ends[2];
static char buf[4096];
static volatile sig_atomic_t ticks;

static void tick(int number)
{
    ticks += number == SIGALRM;
}

/* A signal every millisecond until stopped, so that one arrives inside a call that blocks. */
static void every_ms(void (*handler)(int), int flags, int ms)
{
    struct sigaction act = {.sa_handler = handler, .sa_flags = flags};
    struct itimerval often = {{0, ms * 1000}, {0, ms * 1000}};
    MUST(!sigaction(SIGALRM, &act, NULL) && !setitimer(ITIMER_REAL, &often, NULL));
}

static void quiet(void)
{
    MUST(!setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL));
}

static void fill(int fd)
{
    MUST(!fcntl(fd, F_SETFL, O_NONBLOCK));
    while (write(fd, buf, sizeof(buf)) > 0)
        ;
    while (write(fd, buf, 1) > 0)
        ;
    MUST(!fcntl(fd, F_SETFL, 0));
}

static void interrupted(void)
{
    struct iovec iov = {buf, 64};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    struct mmsghdr mm = {.msg_hdr = m};
    struct flock lock = {.l_type = F_WRLCK};
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int listener = tp_listener(), full[2], file = fileno(tmpfile()), busy = socket(AF_UNIX, SOCK_STREAM, 0);
    tp_pair(pair);
    tp_exchange(pair);
    MUST(!pipe(ends) && !socketpair(AF_UNIX, SOCK_STREAM, 0, full) && write(file, buf, 100) == 100);
    fill(full[0]);
    MUST(!bind(busy, (struct sockaddr *)&a, sizeof(sa_family_t)) && !listen(busy, 0));
    socklen_t len = sizeof(a);
    MUST(!getsockname(busy, (struct sockaddr *)&a, &len));
    MUST(!connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&a, len));
    pid_t child = fork();
    if (child == 0) {
        MUST(!fcntl(file, F_SETLK, &lock) && write(ends[1], "x", 1) == 1);
        pause();
    }
    MUST(read(ends[0], buf, 1) == 1);
    every_ms(tick, 0, 1);
    SHOW(read(pair[0], buf, 64));
    SHOW(readv(pair[0], &iov, 1));
    SHOW(preadv2(pair[0], &iov, 1, -1, 0));
    SHOW(recv(pair[0], buf, 64, 0));
    SHOW(recv(pair[0], buf, 64, MSG_WAITALL));
    SHOW(recvfrom(pair[0], buf, 64, 0, NULL, NULL));
    SHOW(recvmsg(pair[0], &m, 0));
    SHOW(recvmmsg(pair[0], &mm, 1, 0, NULL));
    SHOW(accept(listener, NULL, NULL));
    SHOW(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
    SHOW(connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&a, len));
    SHOW(write(full[0], buf, 64));
    SHOW(send(full[0], buf, 64, 0));
    SHOW(writev(full[0], &iov, 1));
    SHOW(sendmsg(full[0], &m, 0));
    SHOW(sendmmsg(full[0], &mm, 1, 0));
    SHOW(sendfile(full[0], file, &(off_t){0}, 10));
    SHOW(splice(ends[0], NULL, full[0], NULL, 10, 0));
    SHOW(fcntl(file, F_SETLKW, &lock));
    SHOW(syscall(SYS_read, pair[0], buf, 64));
    quiet();
    kill(child, SIGKILL);
    tp_reap("locker", child);
    say("ticks: %d\n", ticks > 0);
}

/* The third signal brings what the call waits for: with SA_RESTART it is restarted twice and then succeeds. */
static volatile sig_atomic_t until;
static void third(int number)
{
    (void)number;
    if (--until == 0 && write(pair[1], TP_REQUEST, TP_LEN(TP_REQUEST)) < 0)
        _exit(98);
}

static void restarted(void)
{
    struct iovec iov = {buf, sizeof(buf)};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    tp_pair(pair);
    tp_exchange(pair);
    for (int way = 0; way < 5; way++) {
        until = 3;
        every_ms(third, SA_RESTART, 2);
        errno = 77;
        ssize_t got = way == 0   ? read(pair[0], buf, sizeof(buf))
                      : way == 1 ? recv(pair[0], buf, sizeof(buf), 0)
                      : way == 2 ? readv(pair[0], &iov, 1)
                      : way == 3 ? recvmsg(pair[0], &m, 0)
                                 : syscall(SYS_read, pair[0], buf, sizeof(buf));
        int error = errno;
        quiet();
        say("%d: %zd, errno %d\n", way, got, error);
        MUST(write(pair[0], TP_RESPONSE, TP_LEN(TP_RESPONSE)) > 0 && recv(pair[1], buf, sizeof(buf), 0) > 0);
    }
}

/* A handler that serves connections of its own while the main flow is anywhere inside an exchange. */
static volatile sig_atomic_t served;
static void serve_inside(int number)
{
    int kept = errno;
    (void)number;
    tp_exchange(inner);
    served++;
    errno = kept;
}

static void handler_exchanges(void)
{
    tp_pair(pair);
    tp_pair(inner);
    tp_exchange(pair);
    every_ms(serve_inside, SA_RESTART, 1);
    int bad = 0;
    for (int i = 0; i < 1000000 && served < 150; i++) {
        errno = 77;
        tp_exchange(pair);
        bad += errno != 77;
    }
    quiet();
    say("served %d, errno changed %d\n", served >= 150, bad);
    tp_say_fds("open");
}

/* The same connection as the main flow's: bytes come as the kernel had them. */
static void write_inside(int number)
{
    int kept = errno;
    (void)number;
    served += send(pair[1], "y", 1, MSG_NOSIGNAL) == 1;
    errno = kept;
}

static void handler_on_the_same_connection(void)
{
    tp_pair(pair);
    tp_exchange(pair);
    every_ms(write_inside, SA_RESTART, 1);
    long inserted = 0;
    for (int i = 0; i < 1000000 && served < 100; i++) {
        MUST(write(pair[1], TP_REQUEST, TP_LEN(TP_REQUEST)) == TP_LEN(TP_REQUEST));
        for (size_t got = 0; got < TP_LEN(TP_REQUEST);) {
            ssize_t n = recv(pair[0], buf, sizeof(buf), 0);
            MUST(n > 0);
            for (ssize_t j = 0; j < n; j++)
                if (buf[j] == 'y')
                    inserted++;
                else
                    MUST(buf[j] == TP_REQUEST[got++]);
        }
    }
    quiet();
    shutdown(pair[1], SHUT_WR);
    while (recv(pair[0], buf, 1, 0) == 1)
        inserted++;
    say("all came: %d\n", inserted == served);
}

static sigjmp_buf back;
static volatile sig_atomic_t jumps, may_jump;
static void jump(int number)
{
    (void)number;
    if (may_jump) {
        jumps++;
        siglongjmp(back, 1);
    }
}

/* Jumps out of blocked reads, and out of the middle of calls that do not block. */
static void jumped_out(void)
{
    tp_pair(pair);
    tp_exchange(pair);
    every_ms(jump, 0, 1);
    while (jumps < 100) {
        if (!sigsetjmp(back, 1)) {
            may_jump = 1;
            if (jumps % 2)
                (void)read(pair[0], buf, sizeof(buf));
            else
                for (;;)
                    (void)recv(pair[0], buf, 10, MSG_DONTWAIT), (void)write(1, NULL, 0);
        }
        may_jump = 0;
    }
    int more[2];
    for (jumps = 0; jumps < 100;) { /* exchanges broken off at any place; the next one is on a new connection */
        quiet();
        tp_pair(more);
        every_ms(jump, 0, 1);
        if (!sigsetjmp(back, 1)) {
            may_jump = 1;
            for (;;) {
                (void)send(more[1], TP_REQUEST, TP_LEN(TP_REQUEST), 0);
                (void)recv(more[0], buf, TP_LEN(TP_REQUEST), MSG_WAITALL);
                (void)write(more[0], TP_RESPONSE, TP_LEN(TP_RESPONSE));
                (void)recv(more[1], buf, TP_LEN(TP_RESPONSE), MSG_WAITALL);
            }
        }
        may_jump = 0;
        close(more[0]);
        close(more[1]);
    }
    quiet();
    tp_exchange(pair);
    say("jumped %d\n", jumps >= 100);
    tp_say_fds("open");
}

/* The first listen, during which a region is made, is left by a jump; at any place. */
static void jumped_out_of_the_first_listen(void)
{
    for (int round = 0; round < 300; round++) {
        pid_t child = fork();
        if (child == 0) {
            int listener = socket(AF_INET, SOCK_STREAM, 0);
            struct sigaction act = {.sa_handler = jump};
            struct itimerval once = {{0, 0}, {0, 1 + round * 2}};
            MUST(!sigaction(SIGALRM, &act, NULL));
            if (!sigsetjmp(back, 1)) {
                may_jump = 1;
                setitimer(ITIMER_REAL, &once, NULL);
                listen(listener, 5);
                for (;;)
                    pause();
            }
            int fd = (int)tp_raw3(SYS_dup, 1, 0, 0);
            _exit(fd == listener + 1 ? 0 : 1 + fd);
        }
        int status;
        MUST(waitpid(child, &status, 0) == child);
        if (status)
            say("round %d: a descriptor is left: %d\n", round, WEXITSTATUS(status) - 1);
    }
    say("done\n");
}

static ucontext_t main_context, other_context;
static volatile sig_atomic_t swaps, is_in_other;
static void swap(int number)
{
    (void)number;
    if (!is_in_other)
        return;
    is_in_other = 0;
    swaps++;
    swapcontext(&other_context, &main_context);
    is_in_other = 1;
}

static void exchanges_for_ever(void)
{
    is_in_other = 1;
    for (;;)
        tp_exchange(inner);
}

/* A coroutine that is left by a handler in the middle of its exchanges, and resumed; its stack is 16 KiB. */
static void swapped_out(void)
{
    static char stack[16384] __attribute__((aligned(16)));
    tp_pair(pair);
    tp_pair(inner);
    MUST(!getcontext(&other_context));
    other_context.uc_stack.ss_sp = stack;
    other_context.uc_stack.ss_size = sizeof(stack);
    makecontext(&other_context, exchanges_for_ever, 0);
    every_ms(swap, SA_RESTART, 1);
    for (int i = 0; i < 50; i++) {
        MUST(!swapcontext(&main_context, &other_context));
        tp_exchange(pair);
    }
    quiet();
    say("swapped %d times\n", (int)swaps);
}

static void whole_life(void)
{
    int own[2];
    tp_pair(own);
    for (int i = 0; i < 20; i++)
        tp_exchange(own);
    close(own[0]);
    close(own[1]);
    served++;
}

static void on_small_stacks(void)
{
    enum { COUNT = 20 };
    static ucontext_t context[COUNT];
    for (volatile int i = 0; i < COUNT; i++) {
        char *stack = mmap(NULL, 4096 + 16384, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        MUST(stack != MAP_FAILED && !mprotect(stack + 4096, 16384, PROT_READ | PROT_WRITE));
        MUST(!getcontext(&context[i]));
        context[i].uc_stack.ss_sp = stack + 4096;
        context[i].uc_stack.ss_size = 16384;
        context[i].uc_link = &main_context;
        makecontext(&context[i], whole_life, 0);
        MUST(!swapcontext(&main_context, &context[i]));
    }
    say("served %d\n", (int)served);
}

/* A handler on a small alternate stack: the kernel's frame, and 4 KiB for the program, the agent's calls among it. */
static void on_alternate(int number)
{
    (void)number;
    (void)send(pair[1], TP_REQUEST, TP_LEN(TP_REQUEST), 0);
    (void)read(pair[0], buf, sizeof(buf));
    (void)write(pair[0], TP_RESPONSE, TP_LEN(TP_RESPONSE));
    (void)recv(pair[1], buf, sizeof(buf), 0);
    served++;
}

static void first_listen_on_alternate(int number)
{
    (void)number;
    MUST(!listen(inner[0], 5));
    served++;
}

static void on_alternate_stacks(void)
{
    /* the signal frame grows with the machine's registers (AT_MINSIGSTKSZ); the constant does not */
    unsigned long frame = getauxval(51 /* AT_MINSIGSTKSZ */);
    size_t size = ((frame ? frame : 2048) + 4096 + 15) & ~15ul;
    char *area = mmap(NULL, 16384, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(area != MAP_FAILED && !mprotect(area + 4096, 12288, PROT_READ | PROT_WRITE));
    memset(area + 4096, 0x5a, 4096);
    size_t pages = (size + 4095) & ~4095ul;
    MUST(!mprotect(area + 4096, 12288 - pages, PROT_NONE));
    stack_t stack = {.ss_sp = area + 16384 - pages, .ss_size = size};
    stack.ss_sp = area + 16384 - pages; /* grows down to the unreadable pages */
    struct sigaction act = {.sa_handler = first_listen_on_alternate, .sa_flags = SA_ONSTACK};
    MUST(!sigaltstack(&stack, NULL) && !sigaction(SIGUSR1, &act, NULL));
    act.sa_handler = on_alternate;
    MUST(!sigaction(SIGUSR2, &act, NULL));
    inner[0] = socket(AF_INET, SOCK_STREAM, 0);
    tp_pair(pair);
    raise(SIGUSR1);
    for (int i = 0; i < 20; i++)
        raise(SIGUSR2);
    say("served %d\n", (int)served);
}

static void masks_and_dispositions(void)
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    sigaddset(&mask, SIGRTMIN + 3);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    signal(SIGHUP, SIG_IGN);
    tp_pair(pair);
    tp_exchange(pair);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    tp_reap("child", child);
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int i = 1; i <= 64; i++) {
        struct { /* the kernel's own, to see libc's as well */
            void *handler;
            unsigned long flags;
            void *restorer;
            unsigned long mask;
        } act = {0};
        long ret = syscall(SYS_rt_sigaction, i, NULL, &act, 8L);
        say("%d: %ld, %s, flags %lx, blocked %d\n", i, ret,
            act.handler == NULL        ? "default"
            : act.handler == (void *)1 ? "ignored"
                                       : "handled",
            act.flags & 0xffffffff, sigismember(&mask, i));
    }
    stack_t stack;
    SHOW(sigaltstack(NULL, &stack));
    say("alternate stack: flags %d\n", stack.ss_flags);
    sigset_t pending;
    sigpending(&pending);
    for (int i = 1; i < 65; i++)
        if (sigismember(&pending, i))
            say("pending %d\n", i);
}

static void stopped_and_continued(void)
{
    tp_pair(pair);
    tp_exchange(pair);
    pid_t child = fork();
    if (child == 0) {
        for (;;) {
            errno = 77;
            ssize_t got = read(pair[0], buf, sizeof(buf));
            if (got <= 0)
                _exit(got == 0 && errno == 77 ? 0 : 1);
            MUST(write(pair[0], TP_RESPONSE, TP_LEN(TP_RESPONSE)) > 0);
        }
    }
    for (int i = 0; i < 20; i++) {
        int status;
        MUST(!kill(child, SIGSTOP) && waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
        MUST(send(pair[1], TP_REQUEST, TP_LEN(TP_REQUEST), 0) > 0);
        MUST(!kill(child, SIGCONT) && waitpid(child, &status, WCONTINUED) == child && WIFCONTINUED(status));
        MUST(recv(pair[1], buf, sizeof(buf), 0) == TP_LEN(TP_RESPONSE));
    }
    shutdown(pair[1], SHUT_WR);
    tp_reap("server", child);
}

TP_MAIN({"interrupted", interrupted, ""}, {"restarted", restarted, ""}, {"handler_exchanges", handler_exchanges, ""},
        {"handler_on_the_same_connection", handler_on_the_same_connection, ""}, {"jumped_out", jumped_out, ""},
        {"jumped_out_of_the_first_listen", jumped_out_of_the_first_listen, "only-asleep"},
        {"swapped_out", swapped_out, ""}, {"on_small_stacks", on_small_stacks, ""},
        {"on_alternate_stacks", on_alternate_stacks, ""}, {"masks_and_dispositions", masks_and_dispositions, ""},
        {"stopped_and_continued", stopped_and_continued, ""})
