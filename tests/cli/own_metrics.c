/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that measures itself in the ways that tickbird.h allows; test_c_api.py builds it and says which. What it
 * counts does not depend on chance.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tickbird.h>

enum { THREADS = 8, ADDS = 100000, CHILDREN = 4, SIGNALS = 2000 };

static tickbird_metric *counter, *sum, *gauge, *histogram;

/* Every thread asks for all of them, at once with the others. */
static void get_all(void)
{
    static const tickbird_label labels[] = {{"b", "2"}, {"a", "1"}};
    static const double bounds[] = {1, 2, 3};
    counter = tickbird_counter("own_things_total", "Things.", labels, 2);
    sum = tickbird_sum("own_seconds_total", NULL, NULL, 0);
    gauge = tickbird_gauge("own_level", "A level.", NULL, 0);
    histogram = tickbird_histogram("own_sizes", NULL, NULL, 0, bounds, 3);
}

static void add_all(unsigned i)
{
    tickbird_counter_add(counter, 1);
    tickbird_sum_add(sum, 0.25);
    tickbird_gauge_add(gauge, i % 2 ? -1 : 1);
    tickbird_histogram_observe(histogram, i % 4);
}

static void *work(void *barrier)
{
    pthread_barrier_wait(barrier);
    get_all();
    for (unsigned i = 0; i < ADDS; i++)
        add_all(i);
    return NULL;
}

static void threads(void)
{
    pthread_t all[THREADS];
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (unsigned i = 0; i < THREADS; i++)
        if (pthread_create(&all[i], NULL, work, &barrier))
            exit(1);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(all[i], NULL);
}

/* Until the end of standard input. */
static void wait_for_end(void)
{
    char byte;
    while (read(0, &byte, 1) > 0)
        ;
}

/* Children with a share of the gauge each; they live until they are killed. */
static void children(void)
{
    get_all();
    tickbird_gauge_set(gauge, 100);
    for (unsigned c = 0; c < CHILDREN; c++) {
        pid_t pid = fork();
        if (pid == 0) {
            for (unsigned i = 0; i < 1000; i++)
                tickbird_counter_add(counter, 1);
            tickbird_gauge_add(gauge, 1 << c);
            printf("%d\n", (int)getpid());
            fflush(stdout);
            for (;;)
                pause();
        }
    }
    wait_for_end();
}

static void on_signal(int number)
{
    (void)number;
    add_all(0);
}

/* A handler that comes in the middle of what it does itself. */
static void signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    pid_t self = getpid(), pid = 0;
    get_all();
    fflush(stdout);
    if ((pid = fork()) == 0) {
        for (unsigned i = 0; i < SIGNALS; i++)
            kill(self, SIGUSR1);
        _exit(0);
    }
    int status;
    while (waitpid(pid, &status, WNOHANG) == 0)
        for (unsigned i = 0; i < 100; i++)
            tickbird_gauge_add(gauge, i % 2 ? -1 : 1);
    tickbird_counter_add(counter, 1);
}

/* What a program may get wrong. */
static void mistakes(void)
{
    static const tickbird_label bad[] = {{"le", "1"}}, hostile[] = {{"x", "\xff\xfe"}};
    char endless[5000];
    memset(endless, 'x', sizeof endless);
    endless[sizeof endless - 1] = 0;
    const tickbird_label lengthy[] = {{"x", endless}};
    errno = EXDEV;
    get_all();
    tickbird_counter_add(tickbird_counter("no name", NULL, NULL, 0), 1);
    tickbird_counter_add(tickbird_counter(endless, endless, NULL, 0), 1);
    tickbird_counter_add(tickbird_counter("own_bad_total", NULL, bad, 1), 1);
    tickbird_counter_add(tickbird_counter("own_bad_total", endless, hostile, 1), 1);
    tickbird_counter_add(tickbird_counter("own_bad_total", NULL, lengthy, 1), 1);
    tickbird_gauge_set(counter, 1);
    tickbird_counter_add((tickbird_metric *)(void *)endless, 1);
    tickbird_sum_add(sum, -1);
    tickbird_counter_add(counter, 7);
    if (errno != EXDEV)
        puts("errno was changed");
}

/* Where any system call but read, write and exit is the end. */
static void strict(void)
{
    if (socket(AF_INET, SOCK_STREAM, 0) < 0 || prctl(PR_SET_SECCOMP, 1 /* SECCOMP_MODE_STRICT */, 0, 0, 0))
        _exit(77);
    get_all();
    add_all(0);
    _exit(write(1, "done\n", 5) == 5 && syscall(SYS_exit, 0));
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    if (strcmp(how, "threads") == 0)
        threads();
    else if (strcmp(how, "children") == 0)
        children();
    else if (strcmp(how, "signals") == 0)
        signals();
    else if (strcmp(how, "mistakes") == 0)
        mistakes();
    else if (strcmp(how, "strict") == 0)
        strict();
    puts("done");
    fflush(stdout);
    if (strcmp(how, "threads") == 0)
        wait_for_end(); /* its gauge is to be seen */
    return 0;
}
