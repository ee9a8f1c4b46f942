/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answers N: a server on a free port of the loopback that answers N requests, and a client in a child that sends
 * them; prints how many answers the client got. Small enough for a root file system with nothing but a C library.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char request[] = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
static const char response[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/* Reads @len bytes and compares them. */
static int expect(int fd, const char *text, size_t len)
{
    char got[128];
    for (size_t have = 0; have < len;) {
        ssize_t n = read(fd, got + have, len - have);
        if (n <= 0)
            return -1;
        have += (size_t)n;
    }
    return memcmp(got, text, len);
}

static int client(struct sockaddr_in *to, int count)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), answers = 0;
    if (connect(fd, (struct sockaddr *)to, sizeof(*to)) != 0)
        return 1;
    for (int i = 0; i < count; i++) {
        if (write(fd, request, sizeof(request) - 1) < 0 || expect(fd, response, sizeof(response) - 1) != 0)
            break;
        answers++;
    }
    printf("%d\n", answers);
    return fflush(stdout) != 0;
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1, status = 1;
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(own);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&own, len) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&own, &len) != 0)
        return 1;
    if (fork() == 0)
        _exit(client(&own, count));
    int fd = accept(listener, NULL, NULL);
    for (int i = 0; i < count && expect(fd, request, sizeof(request) - 1) == 0; i++)
        if (write(fd, response, sizeof(response) - 1) < 0)
            return 1;
    close(fd);
    wait(&status);
    return status != 0;
}
