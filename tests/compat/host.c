/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that load objects in odd ways.
 *
 * host serve WHO HOW MODULE   a serial HTTP server. WHO says for accept, read, write and close whether the program
 * ('h') or a module ('m') makes the call; HOW says how the module is loaded: deepbind, local, global, dlmopen. Prints
 * its port, serves until it is killed. host late HOW OBJECT        loads OBJECT late, moves HTTP over a pair of sockets
 * before, between and after dlopen and dlclose, 50 times; prints "fine". host symbols NAME...        prints which of
 * the names a program finds by dlsym(RTLD_DEFAULT).
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "module.h"

#define FLAGS(how) (!strcmp(how, "global") ? RTLD_NOW | RTLD_GLOBAL : RTLD_NOW | RTLD_LOCAL)

static void *load(const char *how, const char *path)
{
    void *handle = NULL;
#ifdef __GLIBC__
    if (!strcmp(how, "dlmopen"))
        handle = dlmopen(LM_ID_NEWLM, path, RTLD_NOW);
    else if (!strcmp(how, "deepbind"))
        handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    else
#endif
        handle = dlopen(path, FLAGS(how));
    if (!handle) {
        fprintf(stderr, "host: %s\n", dlerror());
        exit(2);
    }
    return handle;
}

static const struct calls own = {accept, recv, send, close};

static unsigned close_flags;

static ssize_t send_after_close(int fd, const void *buf, size_t len, int flags)
{
    if (syscall(436 /* close_range */, fd, fd + 1000, close_flags) == 0)
        exit(3);
    return send(fd, buf, len, flags);
}

static void serve(const char *who, const struct calls *module)
{
    struct calls use = {
        who[0] == 'm' ? module->accept_ : own.accept_,
        who[1] == 'm' ? module->recv_ : own.recv_,
        who[2] == 'm' ? module->send_ : own.send_,
        who[3] == 'm' ? module->close_ : own.close_,
    };
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&a, len) || listen(listener, 64) ||
        getsockname(listener, (struct sockaddr *)&a, &len))
        exit(2);
    printf("%d\n", ntohs(a.sin_port));
    fflush(stdout);
    for (;;) {
        static char buffer[8192];
        size_t have = 0;
        int fd = use.accept_(listener, NULL, NULL);
        for (ssize_t n; fd >= 0 && (n = use.recv_(fd, buffer + have, sizeof(buffer) - have, 0)) > 0;) {
            char *end;
            have += (size_t)n;
            while ((end = memmem(buffer, have, "\r\n\r\n", 4))) {
                have -= (size_t)(end + 4 - buffer);
                memmove(buffer, end + 4, have);
                if (use.send_(fd, answer, sizeof(answer) - 1, 0) < 0)
                    have = 0;
            }
        }
        use.close_(fd);
    }
}

/* One request and its response, both ends in this process. */
static void exchange(void)
{
    static const char request[] = "GET /late HTTP/1.1\r\nHost: x\r\n\r\n", answer[] = "HTTP/1.1 204 No\r\n\r\n";
    char buffer[256];
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || write(pair[0], request, sizeof(request) - 1) < 0 ||
        read(pair[1], buffer, sizeof(buffer)) != sizeof(request) - 1 ||
        send(pair[1], answer, sizeof(answer) - 1, 0) < 0 ||
        recv(pair[0], buffer, sizeof(buffer), 0) != sizeof(answer) - 1 || close(pair[0]) || close(pair[1])) {
        perror("host: exchange");
        exit(1);
    }
}

static int late(const char *how, const char *path)
{
    const int times = strcmp(how, "dlmopen") ? 50 : 5; /* a namespace stays: there are 16 in a process */
    int waker = socket(AF_INET, SOCK_STREAM, 0);       /* a program that shows no socket is not looked at */
    close(waker);
    exchange();
    for (int i = 0; i < times; i++) {
        void *handle = load(how, path);
        ssize_t (*its_write)(int, const void *, size_t) = (ssize_t(*)(int, const void *, size_t))dlsym(handle, "write");
        exchange();
        if (its_write && its_write(-1, "", 1) != -1)
            return 1;
        if (dlclose(handle))
            return 1;
        exchange();
    }
    printf("fine\n");
    return 0;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc == 5 && !strcmp(argv[1], "serve") && strlen(argv[2]) == 4) {
        const struct calls *module = dlsym(load(argv[3], argv[4]), "module_calls");
        if (module)
            serve(argv[2], module);
        return 2;
    }
    if (argc == 3 && !strcmp(argv[1], "close")) {
        struct calls closing = own;
        closing.send_ = send_after_close;
        close_flags = (unsigned)strtoul(argv[2], NULL, 10);
        serve("hhmh", &closing);
    }
    if (argc == 4 && !strcmp(argv[1], "late"))
        return late(argv[2], argv[3]);
    if (argc > 2 && !strcmp(argv[1], "symbols")) {
        for (int i = 2; i < argc; i++)
            if (dlsym(RTLD_DEFAULT, argv[i]))
                printf("%s\n", argv[i]);
        return 0;
    }
    fprintf(stderr, "usage: host serve WHO HOW MODULE | close FLAGS | late HOW OBJECT | symbols NAME...\n");
    return 2;
}
