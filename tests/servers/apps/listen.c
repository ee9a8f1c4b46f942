/* SPDX-License-Identifier: Apache-2.0 */
/* Listens on TCP and waits: `listen ADDRESS PORT`. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((unsigned short)strtoul(argc > 2 ? argv[2] : "0", NULL, 10))};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (argc < 3 || inet_pton(AF_INET, argv[1], &a.sin_addr) != 1 || bind(listener, (struct sockaddr *)&a, sizeof(a)) ||
        listen(listener, 64))
        return 2;
    for (;;)
        pause();
}
