/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small HTTP server whose processes do what cannot be observed: `told MODEL` listens on a free loopback port, prints
 * it and serves one request a connection.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#endif

static void serve(int fd)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    char request[4096];
    ssize_t got;
    size_t have = 0;
    while ((got = read(fd, request + have, sizeof(request) - 1 - have)) > 0) {
        have += (size_t)got;
        request[have] = 0;
        if (!strstr(request, "\r\n\r\n"))
            continue;
        if (write(fd, answer, sizeof(answer) - 1) < 0)
            break;
        have = 0;
    }
    close(fd);
}

static void allow_all(void)
{
    struct sock_filter allow = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
    struct sock_fprog program = {1, &allow};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        _exit(3);
}

/* A child in the parent's memory locks itself in, as programs do before they execute another. */
static void filter_in_vfork(int listener)
{
    for (;;) {
        int fd = accept(listener, NULL, NULL), status;
        pid_t child = vfork();
        if (child == 0) {
            allow_all();
            _exit(0);
        }
        if (waitpid(child, &status, 0) != child || status)
            exit(3);
        serve(fd);
    }
}

/* The child's first call that matters is on a connection that it inherited. */
static void ring_before_fork(int listener)
{
    char parameters[256] = {0};
    if (syscall(SYS_io_uring_setup, 4, parameters) < 0)
        puts("no ring");
    fflush(stdout);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        char byte;
        recv(fd, &byte, 1, MSG_PEEK);
        if (read(fd, &byte, 1) == 1 && fork() == 0) {
            serve(fd);
            pause();
        }
        close(fd);
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2 || bind(listener, (struct sockaddr *)&a, len) || listen(listener, 64) ||
        getsockname(listener, (struct sockaddr *)&a, &len))
        return 2;
    printf("%d\n", ntohs(a.sin_port));
    fflush(stdout);
    if (!strcmp(argv[1], "filter-in-vfork"))
        filter_in_vfork(listener);
    if (!strcmp(argv[1], "ring-before-fork"))
        ring_before_fork(listener);
    return 2;
}
