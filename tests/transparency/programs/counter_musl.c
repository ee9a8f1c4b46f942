/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that is started without the right to read the time stamp counter, which is inherited. glibc's own loader
 * reads it and dies; musl's does not, so that this is a program of musl.
 */
#include <sys/prctl.h>

#include "tp.h"

static void serve(void)
{
    int own[2];
    tp_tcp_pair(own);
    for (int i = 0; i < 20; i++)
        tp_exchange(own);
    int state = 0;
    SHOW(prctl(PR_GET_TSC, &state));
    say("state %d\n", state);
}

static void off_over_exec(void)
{
    char path[4096];
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
    MUST(len > 0);
    path[len] = 0;
    pid_t child = fork();
    if (child == 0) {
        SHOW(prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0));
        execl(path, path, "serve", "asleep", (char *)NULL);
    }
    tp_reap("child", child);
}

TP_MAIN({"off_over_exec", off_over_exec, ""}, {"serve", serve, ""})
