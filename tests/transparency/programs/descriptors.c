/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of descriptors: always the lowest, up to the hard limit, in every way that makes or ends one; standard
 * descriptors that are closed; streams of stdio on sockets.
 */
#include <poll.h>
#include <sys/resource.h>

#include "tp.h"

static int pair[2];

static void lowest_first(void)
{
    int listener = tp_listener();
    tp_say_fds("at first");
    for (int round = 0; round < 50; round++) {
        int a = tp_connect(listener), b = accept(listener, NULL, NULL), c = dup(a), d = fcntl(a, F_DUPFD, 0),
            e = socket(AF_UNIX, SOCK_STREAM, 0), f = open("/dev/null", O_RDONLY), g = fcntl(a, F_DUPFD_CLOEXEC, 100);
        if (round % 7 == 0)
            say("%d %d %d %d %d %d %d\n", a, b, c, d, e, f, g);
        tp_exchange((int[2]){b, round % 3 ? a : d});
        close(round % 2 ? a : g);
        close(c);
        close(d);
        if (round % 5 == 0)
            tp_say_fds("between");
        close(round % 2 ? g : a);
        close(e);
        close(f);
        close(b);
    }
    tp_say_fds("at last");
}

static void closed_at_first(void)
{
    for (int which = 0; which < 2; which++) {
        pid_t child = fork();
        if (child == 0) {
            tp_raw3(SYS_close, 0, 0, 0);
            if (which)
                tp_raw3(SYS_close, 2, 0, 0);
            int own[2];
            tp_tcp_pair(own);
            tp_exchange(own);
            tp_say_fds("open");
            say("numbers %d %d, next %d\n", own[0], own[1], open("/dev/null", O_RDONLY));
            char path[4096];
            ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
            path[len] = 0;
            execl(path, path, "lowest_first", "asleep", (char *)NULL);
        }
        tp_reap("child", child);
    }
}

static void to_the_hard_limit(void)
{
    struct rlimit r;
    MUST(!getrlimit(RLIMIT_NOFILE, &r));
    if (r.rlim_max > 1 << 20) /* a table of descriptors for more takes gigabytes */
        r.rlim_max = 1 << 20;
    r.rlim_cur = r.rlim_max;
    MUST(!setrlimit(RLIMIT_NOFILE, &r));
    int last = (int)r.rlim_max - 1;
    tp_pair(pair);
    tp_exchange(pair);
    for (int base = 1000; base < last; base *= 2) {
        int a = fcntl(pair[0], F_DUPFD, base), b = dup2(pair[1], base + 500 > last ? last : base + 500);
        tp_exchange((int[2]){a, b});
        tp_exchange((int[2]){pair[0], b});
        say("%d %d\n", a, b);
        if (base % 3)
            close(a);
    }
    SHOW(dup2(pair[0], last) == last);
    SHOW(dup2(pair[0], last + 1));
    SHOW(fcntl(pair[0], F_DUPFD, last + 1));
    tp_exchange((int[2]){last, pair[1]});
    SHOW(close_range(1000, ~0u, 0));
    tp_exchange(pair);
    tp_say_fds("open");
}

static void closed_in_bulk(void)
{
    int own[10][2];
    for (int i = 0; i < 10; i++) {
        tp_pair(own[i]);
        tp_exchange(own[i]);
    }
    int middle = own[5][0] < own[5][1] ? own[5][0] : own[5][1];
    SHOW(close_range((unsigned)middle, (unsigned)middle + 1, CLOSE_RANGE_CLOEXEC));
    tp_exchange(own[5]);
    tp_say_fds("marked");
    SHOW(close_range((unsigned)middle + 4, ~0u, CLOSE_RANGE_UNSHARE));
    tp_say_fds("cut");
    tp_exchange(own[0]);
    SHOW(close_range(7, 3, 0));
    SHOW(close_range(3, 9, 0x10));
    closefrom(middle);
    tp_say_fds("cut again");
    tp_exchange(own[1]);
    tp_pair(own[9]);
    tp_exchange(own[9]);
    closefrom(-5);
    say("never shown\n");
}

/* stdio on a connection: what comes, what goes, and what of it is left when the process ends. */
static void streams(void)
{
    char line[200];
    for (int how = 0; how < 6; how++) {
        tp_pair(pair);
        pid_t child = fork();
        if (child == 0) {
            FILE *in = fdopen(dup(pair[0]), "r"), *out = how % 2 ? fdopen(pair[0], "w") : NULL;
            if (how % 2 == 0) {
                MUST(dup2(pair[0], 1) == 1);
                out = stdout;
            }
            close(pair[1]);
            for (int i = 0; i < 3; i++) {
                while (fgets(line, sizeof(line), in) && line[0] != '\r')
                    ;
                errno = 77;
                int n = fprintf(out, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n%05d", i);
                if (i < 2)
                    n += 1000 * fflush(out);
                MUST(n == 43 && errno == 77);
            }
            if (how < 2)
                exit(fclose(in));
            if (how < 4)
                exit(0);
            _exit(0); /* loses what is not written out */
        }
        close(pair[0]);
        for (int i = 0; i < 3; i++)
            MUST(send(pair[1], TP_REQUEST, TP_LEN(TP_REQUEST), 0) > 0);
        size_t total = 0;
        for (ssize_t n; (n = recv(pair[1], line, sizeof(line), 0)) > 0;)
            total += (size_t)n;
        say("%d: %zu bytes, errno %d, ", how, total, errno);
        tp_reap("child", child);
        close(pair[1]);
    }
    tp_pair(pair);
    FILE *f = fdopen(pair[0], "r+");
    setvbuf(f, NULL, _IONBF, 0);
    SHOW(fputs("unbuffered", f));
    SHOW(fileno(f) == pair[0]);
    SHOW(recv(pair[1], line, 10, MSG_WAITALL));
    close(pair[1]);
    SHOW(fgetc(f));
    SHOW(feof(f));
    signal(SIGPIPE, SIG_IGN);
    SHOW(fputs("x", f));
    struct pollfd broken = {pair[0], 0, 0};
    MUST(poll(&broken, 1, 10000) == 1); /* the peer's reset has come */
    SHOW(fputs("x", f));
    SHOW(fclose(f));
    SHOW(fcntl(pair[0], F_GETFD));
    tp_say_fds("open");
}

TP_MAIN({"lowest_first", lowest_first, ""}, {"closed_at_first", closed_at_first, ""},
        {"to_the_hard_limit", to_the_hard_limit, ""}, {"closed_in_bulk", closed_in_bulk, ""}, {"streams", streams, ""})
