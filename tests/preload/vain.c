/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that carries TLS which no library in it made: 200 connections to itself that begin as TLS does.
 */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    char buf[16];
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, len) || listen(listener, 8) ||
        getsockname(listener, (struct sockaddr *)&address, &len))
        return 2;
    for (int i = 0; i < 200; i++) {
        int client = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(client, (struct sockaddr *)&address, len) || write(client, "\x16\x03\x01\x00\x05hello", 10) != 10)
            return 3;
        int served = accept(listener, NULL, NULL);
        if (read(served, buf, sizeof buf) != 10)
            return 4;
        close(served);
        close(client);
    }
    return 0;
}
