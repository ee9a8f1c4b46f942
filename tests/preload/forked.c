/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A child of a program whose other thread is inside dl_iterate_phdr, and so holds a lock of the loader that nobody in
 * the child will ever give back. It listens, which must not wait for that lock.
 * Usage: forked asleep|awake|number|raw|raw-asleep
 */
#include <arpa/inet.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECONDS 60

static int entered[2], never[2];
static char stack[256 << 10];

static int stay(struct dl_phdr_info *info, size_t size, void *arg)
{
    char byte;
    (void)info, (void)size, (void)arg;
    return write(entered[1], "x", 1) == 1 && read(never[0], &byte, 1) == 1;
}

static void *hold_lock(void *arg)
{
    dl_iterate_phdr(stay, NULL);
    return arg;
}

static int serve(void *arg)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    (void)arg;
    alarm(SECONDS);
    return listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 8);
}

int main(int argc, char **argv)
{
    const char *how = argc == 2 ? argv[1] : "";
    const int is_awake = !strcmp(how, "awake") || !strcmp(how, "raw");
    pthread_t thread;
    char byte;
    int status;
    if (pipe(entered) || pipe(never) || (is_awake && serve(NULL)))
        return 2;
    alarm(2 * SECONDS);
    if (pthread_create(&thread, NULL, hold_lock, NULL) || read(entered[0], &byte, 1) != 1)
        return 2;
    pid_t child = !strncmp(how, "raw", 3)  ? clone(serve, stack + sizeof stack, SIGCHLD, NULL)
                  : !strcmp(how, "number") ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)
                                           : fork();
    if (child == 0)
        _exit(serve(NULL));
    if (child < 0 || waitpid(child, &status, 0) != child)
        return 2;
    if (!WIFEXITED(status) || WEXITSTATUS(status)) {
        printf("status %x\n", (unsigned)status);
        return 1;
    }
    puts("done");
    return 0;
}
