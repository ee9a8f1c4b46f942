/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program under measurement: COUNT reads of one byte from a file or from a socket that does not speak HTTP, in a
 * process that listens (the agent is awake), or from a file in one that never touched a socket (asleep).
 * Usage: plain_calls file|socket|asleep COUNT
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT_MAX 100000

static int listen_on_loopback(struct sockaddr_in *ret_address)
{
    socklen_t len = sizeof *ret_address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(ret_address, 0, sizeof *ret_address);
    ret_address->sin_family = AF_INET;
    ret_address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)ret_address, len) || listen(fd, 1) ||
        getsockname(fd, (struct sockaddr *)ret_address, &len))
        return -1;
    return fd;
}

/* A connected socket with @count bytes to read, none of them HTTP. */
static int noise_socket(int listener, const struct sockaddr_in *address, size_t count)
{
    static char noise[COUNT_MAX];
    memset(noise, 0x80, sizeof noise);
    int from = socket(AF_INET, SOCK_STREAM, 0);
    if (from < 0 || connect(from, (const struct sockaddr *)address, sizeof *address))
        return -1;
    int to = accept(listener, NULL, NULL);
    if (to < 0 || send(from, noise, count, 0) != (ssize_t)count)
        return -1;
    return to;
}

int main(int argc, char **argv)
{
    int count = argc == 3 ? (int)strtol(argv[2], NULL, 10) : 0;
    if (count <= 0 || count > COUNT_MAX) {
        fprintf(stderr, "usage: %s file|socket|asleep COUNT\n", argv[0]);
        return 2;
    }
    struct sockaddr_in address;
    int listener = -1;
    if (strcmp(argv[1], "asleep") != 0 && (listener = listen_on_loopback(&address)) < 0)
        return 1;
    int fd =
        strcmp(argv[1], "socket") == 0 ? noise_socket(listener, &address, (size_t)count) : open("/dev/zero", O_RDONLY);
    if (fd < 0)
        return 1;
    char byte;
    for (int i = 0; i < count; i++)
        if (read(fd, &byte, 1) != 1)
            return 1;
    return 0;
}
