/* SPDX-License-Identifier: Apache-2.0 */
/* A library whose constructor does I/O, forks and runs a program: before or after ours, it must all work. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static __attribute__((constructor)) void early(void)
{
    int pair[2], status = -1;
    char buf[8] = "";
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || send(pair[0], "abc", 3, 0) != 3 || read(pair[1], buf, 8) != 3 ||
        memcmp(buf, "abc", 3))
        return;
    errno = 0;
    if (read(-1, buf, 1) != -1 || errno != EBADF || close(-1) != -1 || errno != EBADF)
        return;
    pid_t child = fork();
    if (child == 0) {
        char *none[] = {NULL}; /* without the preload, or this would never end */
        execle("/bin/true", "true", (char *)NULL, none);
        _exit(9);
    }
    if (waitpid(child, &status, 0) != child || status)
        return;
    close(pair[0]);
    close(pair[1]);
    if (write(1, "early: ok\n", 10) != 10)
        return;
}
