/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program under measurement: COUNT calls of a server, one after the other on one connection, each a send and as many
 * recv as its answer takes. Usage: client_calls ADDRESS PORT COUNT
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Reads one answer, whose head announces the body. */
static int read_answer(int fd)
{
    char buf[8192];
    size_t have = 0;
    for (;;) {
        ssize_t got = recv(fd, buf + have, sizeof buf - 1 - have, 0);
        if (got <= 0)
            return 0;
        have += (size_t)got;
        buf[have] = 0;
        const char *end = strstr(buf, "\r\n\r\n"), *length = strstr(buf, "Content-Length: ");
        if (end && length && have == (size_t)(end + 4 - buf) + strtoul(length + 16, NULL, 10))
            return 1;
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    char request[300];
    long count = argc == 4 ? strtol(argv[3], NULL, 10) : 0;
    if (count <= 0 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
        fprintf(stderr, "usage: %s ADDRESS PORT COUNT\n", argv[0]);
        return 2;
    }
    to.sin_port = htons((uint16_t)strtol(argv[2], NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to)) {
        perror("connect");
        return 1;
    }
    int len = snprintf(request, sizeof request,
                       "GET /page HTTP/1.1\r\nHost: %s:%s\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n"
                       "Accept-Encoding: identity\r\nConnection: keep-alive\r\n\r\n",
                       argv[1], argv[2]);
    for (long i = 0; i < count; i++)
        if (send(fd, request, (size_t)len, 0) != len || !read_answer(fd)) {
            fprintf(stderr, "client_calls: call %ld failed\n", i);
            return 1;
        }
    close(fd);
    return 0;
}
