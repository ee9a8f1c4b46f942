/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many keep-alive clients in one process, for `make bench` (scale): `clients PORT CONNECTIONS` connects to 127.0.0.1
 * and obeys lines of its standard input: `N` sends N requests for /small on every connection, by turns, each after the
 * answers to the turn before. Prints the number of whole answers after connecting (0) and after each line. Every answer
 * must be a 200 with five bytes of body. Ends with its input.
 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char request[] = "GET /small HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n\r\n";

/* From an address of its own for each thousand: the kernel finds a free port faster. */
static int connect_to(unsigned short port, unsigned number)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + number / 1000)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) ||
        bind(fd, (struct sockaddr *)&from, sizeof(from)) || connect(fd, (struct sockaddr *)&a, sizeof(a)))
        err(1, "connect");
    return fd;
}

/* Receives one answer of the small server; it comes in one piece or a few. */
static void answer(int fd)
{
    char buf[512];
    size_t have = 0;
    for (;;) {
        ssize_t n = recv(fd, buf + have, sizeof(buf) - 1 - have, 0);
        if (n <= 0)
            err(1, "answer");
        have += (size_t)n;
        buf[have] = '\0';
        const char *end = strstr(buf, "\r\n\r\n");
        if (end && buf + have >= end + 4 + 5)
            break;
    }
    if (strncmp(buf, "HTTP/1.1 200", 12))
        errx(1, "not a 200: %.40s", buf);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        errx(2, "usage: clients PORT CONNECTIONS");
    unsigned short port = (unsigned short)strtoul(argv[1], NULL, 10);
    unsigned count = (unsigned)strtoul(argv[2], NULL, 10);
    int *fds = calloc(count ? count : 1, sizeof(*fds));
    if (!fds)
        err(1, "memory");
    for (unsigned i = 0; i < count; i++)
        fds[i] = connect_to(port, i);
    unsigned long answers = 0;
    printf("%lu\n", answers);
    fflush(stdout);
    char line[32];
    while (fgets(line, sizeof(line), stdin)) {
        for (unsigned long turns = strtoul(line, NULL, 10); turns > 0; turns--) {
            for (unsigned i = 0; i < count; i++)
                if (send(fds[i], request, sizeof(request) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(request) - 1)
                    err(1, "send");
            for (unsigned i = 0; i < count; i++, answers++)
                answer(fds[i]);
        }
        printf("%lu\n", answers);
        fflush(stdout);
    }
    free(fds);
    return 0;
}
