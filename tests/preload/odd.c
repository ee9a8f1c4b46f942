/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that look at what a preload could change: `odd WHAT` prints what it sees, which must be the same with and
 * without the object. Every one of them first shows sockets, so that the agent is awake, and prints only what cannot
 * differ by chance.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static int listener = -1, client = -1, served = -1;

/* One exchange with itself: sockets, a region, a connection. */
static void wake(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    char buf[256];
    listener = socket(AF_INET, SOCK_STREAM, 0);
    client = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&a, len) || listen(listener, 8) ||
        getsockname(listener, (struct sockaddr *)&a, &len) || connect(client, (struct sockaddr *)&a, len))
        exit(2);
    served = accept(listener, NULL, NULL);
    static const char request[] = "GET /odd HTTP/1.1\r\nHost: x\r\n\r\n";
    static const char response[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    if (write(client, request, sizeof(request) - 1) != sizeof(request) - 1 || read(served, buf, sizeof(buf)) <= 0 ||
        write(served, response, sizeof(response) - 1) != sizeof(response) - 1 || read(client, buf, sizeof(buf)) <= 0)
        exit(2);
}

#define SHOW(call)                                                                                                     \
    do {                                                                                                               \
        errno = 77;                                                                                                    \
        long shown = (long)(call);                                                                                     \
        printf("%s = %ld, errno %d\n", #call, shown, errno);                                                           \
    } while (0)

static void show_errno(void)
{
    char buf[64];
    struct iovec iov = {buf, sizeof(buf)};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    struct mmsghdr mm = {.msg_hdr = m};
    int none = open("/dev/null", O_RDWR);
    fcntl(served, F_SETFL, O_NONBLOCK);
    SHOW(read(served, buf, 64));
    SHOW(recv(served, buf, 64, 0));
    SHOW(readv(served, &iov, 1));
    SHOW(recvmsg(served, &m, 0));
    SHOW(recvmmsg(served, &mm, 1, 0, NULL));
    SHOW(recvfrom(served, buf, 64, 0, NULL, NULL));
    SHOW(read(none, buf, 64));
    SHOW(write(none, "HTTP/1.1 200 OK\r\n", 17));
    SHOW(read(-1, buf, 1));
    SHOW(read(1 << 21, buf, 1));
    SHOW(write(1 << 20, buf, 1));
    SHOW(close(-1));
    SHOW(close((1 << 20) - 1));
    SHOW(send(none, buf, 1, 0));
    SHOW(sendmsg(none, &m, 0));
    SHOW(sendmmsg(none, &mm, 1, 0));
    SHOW(sendfile(served, -1, NULL, 5));
    SHOW(splice(none, NULL, none, NULL, 5, 0));
    SHOW(preadv2(none, &iov, 1, -1, 0x40000000));
    SHOW(accept(none, NULL, NULL));
    SHOW(accept4(listener, NULL, NULL, 0x7fff0000));
    SHOW(listen(none, 1));
    SHOW(connect(none, (struct sockaddr *)buf, 0));
    SHOW(socket(-1, 0, 0));
    SHOW(dup(-1));
    SHOW(dup2(-1, 5));
    SHOW(dup3(1, 1, 0));
    SHOW(fcntl(-1, F_GETFL));
    SHOW(fcntl(none, F_DUPFD, -1));
    SHOW(shutdown(none, SHUT_RD));
    SHOW(shutdown(listener, 9));
    SHOW(close_range(5, 3, 0));
    SHOW(prctl(-1, 0, 0, 0, 0));
    SHOW(syscall(-1));
    SHOW(syscall(SYS_read, -1, buf, 1));
    SHOW(syscall(SYS_close, -1));
    SHOW(execve("/nowhere", (char *[]){NULL}, (char *[]){NULL}));
    SHOW(execl("/nowhere", "x", (char *)NULL));
    SHOW(execlp("nowhere-at-all", "x", (char *)NULL));
    SHOW(execle("/nowhere", "x", (char *)NULL, environ));
    SHOW(execvp("", (char *[]){"x", NULL}));
    SHOW(fexecve(-1, (char *[]){"x", NULL}, environ));
    SHOW(write(client, "x", 1));
    SHOW(read(served, buf, 1));
    signal(SIGPIPE, SIG_IGN);
    close(client);
    SHOW(write(served, "x", 1));
    SHOW(recv(served, buf, 1, MSG_WAITALL));
}

static void show_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    for (struct dirent *e; (e = readdir(dir));) {
        char target[256] = "";
        if (e->d_name[0] == '.')
            continue;
        ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1);
        printf("fd %s %.6s\n", e->d_name, n > 0 ? target : "?");
    }
    closedir(dir);
    printf("lowest %d\n", dup(1));
    for (char **e = environ; *e; e++)
        if (strncmp(*e, "LD_PRELOAD", 10))
            printf("%s\n", *e);
}

static void show_signals(void)
{
    sigset_t mask;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int i = 1; i < 65; i++) {
        struct sigaction act;
        if (sigaction(i, NULL, &act) == 0)
            printf("%d %d %d\n", i, act.sa_handler == SIG_DFL, sigismember(&mask, i));
    }
}

/* Room for what the program had room for: the address space limited to a little more than is used. */
static void show_memory(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_AS, &limit);
    printf("%llu\n", (unsigned long long)limit.rlim_cur);
    getrlimit(RLIMIT_NOFILE, &limit);
    printf("%llu\n", (unsigned long long)limit.rlim_cur);
    getrlimit(RLIMIT_FSIZE, &limit);
    printf("%llu\n", (unsigned long long)limit.rlim_cur);
}

/* Many arguments through the variadic exec functions. */
static void exec_args(void)
{
    fflush(stdout);
    for (int which = 0; which < 3; which++) {
        pid_t child = fork();
        if (child == 0) {
            char *env[] = {"ODD=1", NULL};
            if (which == 0)
                execl("/bin/echo", "echo", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", (char *)NULL);
            else if (which == 1)
                execlp("echo", "echo", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", (char *)NULL);
            else
                execle("/usr/bin/env", "env", (char *)NULL, env);
            _exit(9);
        }
        int status;
        waitpid(child, &status, 0);
        printf("status %d\n", status);
        fflush(stdout);
    }
}

static void close_from(void)
{
    int a = dup(1), b = dup(1);
    closefrom(b);
    printf("%d %d\n", fcntl(a, F_GETFD), fcntl(b, F_GETFD));
    close_range((unsigned)a, (unsigned)a, 0);
    printf("%d\n", fcntl(a, F_GETFD));
}

/* syscall() passes six arguments and returns what the kernel says. */
static void raw_arguments(void)
{
    int pipes[2];
    char text[] = "0123456789", got[11] = "";
    if (pipe(pipes))
        exit(2);
    off64_t at = 3;
    FILE *f = tmpfile();
    fputs(text, f);
    fflush(f);
    printf("%ld\n", syscall(SYS_splice, fileno(f), &at, pipes[1], NULL, 5L, 0));
    printf("%zd %s %lld\n", read(pipes[0], got, 10), got, (long long)at);
    void *page = (void *)syscall(SYS_mmap, NULL, 4096L, 3L, 0x22L, -1L, 0L);
    printf("%d\n", page != (void *)-1L);
    printf("%ld\n", syscall(SYS_getpid) - getpid());
}

/* A thousand descriptors opened and closed in many ways end up where they should. */
static void loops(void)
{
    for (int round = 0; round < 200; round++) {
        int pair[2], a = socket(AF_INET, SOCK_STREAM, 0), b = dup(a), c = fcntl(a, F_DUPFD_CLOEXEC, 50);
        socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
        dup2(a, pair[0]);
        if (round == 199)
            printf("%d %d %d %d %d\n", a, b, c, pair[0], pair[1]);
        close(a);
        close(b);
        close(c);
        close(pair[0]);
        close(pair[1]);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } all[] = {
        {"errno", show_errno},    {"fds", show_fds},         {"signals", show_signals},        {"memory", show_memory},
        {"exec-args", exec_args}, {"closefrom", close_from}, {"raw-arguments", raw_arguments}, {"loops", loops}};
    if (argc == 2 && !strcmp(argv[1], "nothing"))
        return 0;
    for (size_t i = 0; argc == 2 && i < sizeof(all) / sizeof(all[0]); i++)
        if (!strcmp(argv[1], all[i].name)) {
            wake();
            all[i].run();
            return 0;
        }
    return 2;
}
