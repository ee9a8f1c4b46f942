/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads: cancellation in every call that can block, smallest stacks, many short lives, forks in the middle of other
 * threads' work, and all ways in which a process with threads ends.
 */
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/sendfile.h>
#include <sys/un.h>

#include "tp.h"

static int pair[2], full[2], ends[2], listener, file, busy;
static struct sockaddr_un busy_address;
static socklen_t busy_len = sizeof(busy_address);
static char buf[1 << 16];

/* ---- cancellation ---- */

static volatile int blocked_tid, cleaned;

static void clean(void *arg)
{
    (void)arg;
    cleaned++;
}

static void block_in(int how)
{
    struct iovec iov = {buf, 64};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    struct mmsghdr mm = {.msg_hdr = m};
    struct flock lock = {.l_type = F_WRLCK};
    switch (how) {
    case 0:
        (void)read(pair[0], buf, 64);
        break;
    case 1:
        (void)readv(pair[0], &iov, 1);
        break;
    case 2:
        (void)preadv2(pair[0], &iov, 1, -1, 0);
        break;
    case 3:
        (void)recv(pair[0], buf, 64, 0);
        break;
    case 4:
        (void)recvfrom(pair[0], buf, 64, MSG_WAITALL, NULL, NULL);
        break;
    case 5:
        (void)recvmsg(pair[0], &m, 0);
        break;
    case 6:
        (void)recvmmsg(pair[0], &mm, 1, 0, NULL);
        break;
    case 7:
        (void)accept(listener, NULL, NULL);
        break;
    case 8:
        (void)accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        break;
    case 9:
        (void)connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&busy_address, busy_len);
        break;
    case 10:
        (void)write(full[0], buf, 64);
        break;
    case 11:
        (void)writev(full[0], &iov, 1);
        break;
    case 12:
        (void)send(full[0], buf, 64, 0);
        break;
    case 13:
        (void)sendto(full[0], buf, 64, 0, NULL, 0);
        break;
    case 14:
        (void)sendmsg(full[0], &m, 0);
        break;
    case 15:
        (void)sendmmsg(full[0], &mm, 1, 0);
        break;
    case 16:
        (void)splice(ends[0], NULL, full[0], NULL, 10, 0);
        break;
    case 17:
        (void)fcntl(file, F_SETLKW, &lock);
        break;
    case 18:
        (void)pwritev2(full[0], &iov, 1, -1, 0);
        break;
    default:
        (void)syscall(SYS_read, pair[0], buf, 64); /* no cancellation point: it waits until it is fed */
    }
}
#define WAYS 20

static int how_now, type_now;
static void *blocked(void *arg)
{
    pthread_setcanceltype(type_now, NULL);
    pthread_cleanup_push(clean, NULL);
    pthread_cleanup_push(clean, NULL);
    blocked_tid = (int)syscall(SYS_gettid);
    block_in(how_now);
    pthread_testcancel();
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    return arg;
}

/* Until the kernel says that the thread sleeps; a call that failed at once would never get there. */
static void wait_asleep(int tid)
{
    char path[64], text[256];
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
    for (int i = 0; i < 30000; i++) { /* half a minute at least */
        int fd = open(path, O_RDONLY);
        if (fd < 0) /* its call has failed, and it is gone */
            return;
        ssize_t n = read(fd, text, sizeof(text) - 1);
        close(fd);
        text[n > 0 ? n : 0] = 0;
        char *state = strrchr(text, ')');
        if (state && state[2] == 'S')
            return;
        poll(NULL, 0, 1);
    }
    MUST(!"the thread sleeps");
}

static void block_everything(void)
{
    tp_pair(pair);
    tp_exchange(pair);
    listener = tp_listener();
    file = fileno(tmpfile());
    busy = socket(AF_UNIX, SOCK_STREAM, 0);
    busy_address.sun_family = AF_UNIX;
    MUST(!bind(busy, (struct sockaddr *)&busy_address, sizeof(sa_family_t)) && !listen(busy, 0));
    MUST(!getsockname(busy, (struct sockaddr *)&busy_address, &busy_len));
    MUST(!connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&busy_address, busy_len));
    MUST(!socketpair(AF_UNIX, SOCK_STREAM, 0, full) && !pipe(ends));
    MUST(!fcntl(full[0], F_SETFL, O_NONBLOCK));
    while (write(full[0], buf, sizeof(buf)) > 0 || write(full[0], buf, 1) > 0)
        ;
    MUST(!fcntl(full[0], F_SETFL, 0));
    pid_t locker = fork();
    if (locker == 0) {
        struct flock lock = {.l_type = F_WRLCK};
        MUST(!fcntl(file, F_SETLK, &lock) && write(ends[1], "x", 1) == 1);
        for (;;)
            pause();
    }
    MUST(read(ends[0], buf, 1) == 1);
    cleaned = locker;
}

static void cancelled(void)
{
    block_everything();
    pid_t locker = cleaned;
    for (type_now = PTHREAD_CANCEL_DEFERRED; type_now <= PTHREAD_CANCEL_ASYNCHRONOUS; type_now++)
        for (how_now = 0; how_now < WAYS; how_now++) {
            pthread_t thread;
            void *result = NULL;
            cleaned = blocked_tid = 0;
            MUST(!pthread_create(&thread, NULL, blocked, NULL));
            while (!blocked_tid)
                sched_yield();
            wait_asleep(blocked_tid);
            MUST(!pthread_cancel(thread));
            if (how_now == WAYS - 1 && type_now == PTHREAD_CANCEL_DEFERRED)
                MUST(write(pair[1], "fed", 3) == 3);
            MUST(!pthread_join(thread, &result));
            say("type %d, way %d: cancelled %d, cleaned %d\n", type_now, how_now, result == PTHREAD_CANCELED, cleaned);
        }
    kill(locker, SIGKILL);
    tp_exchange(pair);
}

/* Pending before the call: a call with data waiting is still a cancellation point; disabled, it is none. */
static void *pending(void *arg)
{
    int old;
    pthread_cleanup_push(clean, NULL);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    MUST(!pthread_cancel(pthread_self()));
    tp_exchange(pair);
    say("disabled: served\n");
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
    if (how_now == 0)
        (void)write(pair[1], "y", 1);
    else if (how_now == 1)
        (void)recv(pair[0], buf, 1, MSG_DONTWAIT);
    else if (how_now == 2)
        (void)close(dup(0));
    else
        (void)dup(0), (void)socket(AF_INET, SOCK_STREAM, 0), (void)shutdown(-1, 0); /* no points: */
    pthread_cleanup_pop(0);
    return arg;
}

static void cancelled_before(void)
{
    tp_pair(pair);
    tp_exchange(pair);
    for (how_now = 0; how_now < 4; how_now++) {
        pthread_t thread;
        void *result;
        cleaned = 0;
        MUST(!pthread_create(&thread, NULL, pending, NULL) && !pthread_join(thread, &result));
        say("way %d: cancelled %d, cleaned %d\n", how_now, result == PTHREAD_CANCELED, cleaned);
        say("left in the socket: %zd\n", recv(pair[0], buf, 10, MSG_DONTWAIT));
    }
    tp_say_fds("open");
}

/* ---- stacks and many threads ---- */

static void *life(void *arg)
{
    tp_serve((int)(intptr_t)arg);
    return arg;
}

static void smallest_stacks(void)
{
    pthread_attr_t attr;
    MUST(!pthread_attr_init(&attr));
    SHOW(pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN - 1));
    SHOW(pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN));
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        MUST(!pthread_create(&thread, &attr, life, (void *)20) && !pthread_join(thread, NULL));
    }
    tp_say_fds("open");
}

static void *short_life(void *arg)
{
    int *own = arg;
    tp_exchange(own);
    return NULL;
}

static void ten_thousand(void)
{
    static int pairs[10][2];
    for (int i = 0; i < 10; i++)
        tp_tcp_pair(pairs[i]);
    for (int round = 0; round < 1000; round++) {
        pthread_t threads[10];
        for (int i = 0; i < 10; i++)
            MUST(!pthread_create(&threads[i], NULL, short_life, pairs[i]));
        for (int i = 0; i < 10; i++)
            MUST(!pthread_join(threads[i], NULL));
    }
    say("all lived\n");
    tp_say_fds("open");
}

/* ---- forks in the middle ---- */

static volatile int is_over;
static void *busy_thread(void *arg)
{
    int own[2];
    tp_tcp_pair(own);
    for (long i = 0; !is_over; i++)
        tp_exchange(own);
    return arg;
}

static char order[64];
static int childs_pair[2]; /* of children alone: over one pair, parent and child would read each other's requests */
static void before_fork(void)
{
    strncat(order, "p", 2);
    tp_exchange(pair);
}
static void in_parent(void)
{
    strncat(order, "P", 2);
    tp_exchange(pair);
}
static void in_child(void)
{
    strncat(order, "C", 2);
    tp_exchange(childs_pair);
}

static void forks_in_the_middle(void)
{
    pthread_t threads[4];
    tp_pair(pair);
    tp_exchange(pair);
    for (int i = 0; i < 4; i++)
        MUST(!pthread_create(&threads[i], NULL, busy_thread, NULL));
    for (int i = 0; i < 40; i++) {
        pid_t child = fork();
        if (child == 0) {
            tp_serve(3);
            _exit(i);
        }
        int status;
        MUST(waitpid(child, &status, 0) == child);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != i)
            say("child %d: status %x\n", i, (unsigned)status);
    }
    is_over = 1;
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    say("done\n");
}

static void fork_handlers(void)
{
    tp_pair(pair);
    tp_pair(childs_pair);
    tp_exchange(pair);
    MUST(!pthread_atfork(before_fork, in_parent, in_child));
    for (int i = 0; i < 3; i++) {
        order[0] = 0;
        pid_t child = fork();
        if (child == 0) {
            say("child %s\n", order);
            _exit(0);
        }
        tp_reap(order, child);
    }
}

/* ---- ends ---- */

static void at_end(void)
{
    tp_exchange(pair);
    tp_put("at exit\n");
}
static void at_quick_end(void)
{
    tp_exchange(pair);
    tp_put("at quick exit\n");
}
static __attribute__((destructor)) void at_unload(void)
{
    if (!pair[0]) /* only the list was wanted */
        return;
    tp_exchange(pair);
    tp_put("destructor\n");
}

static void *reader(void *arg)
{
    int own[2];
    tp_tcp_pair(own);
    tp_exchange(own);
    sem_post(arg);
    (void)read(own[0], buf, 10);
    return NULL;
}
static void *leaver(void *arg)
{
    exit((int)(intptr_t)arg);
}

static void leave(int how)
{
    pthread_t thread;
    sem_t ready;
    sem_init(&ready, 0, 0);
    atexit(at_end);
    at_quick_exit(at_quick_end);
    MUST(!pthread_create(&thread, NULL, reader, &ready));
    sem_wait(&ready);
    printf("buffered");
    switch (how) {
    case 0:
        exit(3);
    case 1:
        _exit(4);
    case 2:
        quick_exit(5);
    case 3:
        abort();
    case 4:
        MUST(!pthread_create(&thread, NULL, leaver, (void *)7));
        pthread_join(thread, NULL);
        break;
    case 5:
        MUST(!pthread_create(&thread, NULL, leaver, (void *)8));
        pthread_exit(NULL);
    case 6:
        syscall(SYS_exit_group, 9);
        break;
    case 7:
        _Exit(10);
    case 8:
        raise(SIGTERM);
        break;
    default:
        *(volatile int *)TP_BAD = 1;
    }
}

static void all_ends(void)
{
    tp_pair(pair);
    tp_exchange(pair);
    for (int how = 0; how < 10; how++) {
        pid_t child = fork();
        if (child == 0)
            leave(how);
        int status;
        MUST(waitpid(child, &status, 0) == child);
        say("\n%d: ", how);
        tp_say_status("", status);
    }
    unlink("core");
}

/* One thread waits in a call while another closes or replaces the descriptor. */
static long waiter_got, waiter_errno;
static void *waiter(void *arg)
{
    blocked_tid = (int)syscall(SYS_gettid);
    errno = 77;
    waiter_got = recv(pair[0], buf, 100, 0);
    waiter_errno = errno;
    return arg;
}

static void closed_under_a_reader(void)
{
    for (int how = 0; how < 3; how++) {
        pthread_t thread;
        int other[2];
        tp_pair(pair);
        tp_exchange(pair);
        tp_pair(other);
        blocked_tid = 0;
        MUST(!pthread_create(&thread, NULL, waiter, NULL));
        while (!blocked_tid)
            sched_yield();
        wait_asleep(blocked_tid);
        if (how == 0)
            SHOW(shutdown(pair[0], SHUT_RD));
        else if (how == 1)
            SHOW(close(pair[0]));
        else
            SHOW(dup2(other[0], pair[0]) == pair[0]);
        if (how) /* it still waits for the old socket */
            SHOW(send(pair[1], "late", 4, MSG_NOSIGNAL));
        MUST(!pthread_join(thread, NULL));
        say("waiter: %ld, errno %ld\n", waiter_got, waiter_errno);
        if (how == 2)
            tp_exchange((int[2]){pair[0], other[1]});
    }
    pair[0] = 0; /* no use to the destructor */
}

TP_MAIN({"cancelled", cancelled, ""}, {"cancelled_before", cancelled_before, ""},
        {"smallest_stacks", smallest_stacks, ""}, {"ten_thousand", ten_thousand, "only-asleep"},
        {"forks_in_the_middle", forks_in_the_middle, ""}, {"fork_handlers", fork_handlers, ""},
        {"all_ends", all_ends, ""}, {"closed_under_a_reader", closed_under_a_reader, ""})
