/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small HTTP server whose every byte goes through io_uring: `uring ADDRESS PORT`. One request a connection, one
 * connection at a time.
 */
#include <arpa/inet.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct io_uring ring;

static int finish(struct io_uring_sqe *sqe)
{
    struct io_uring_cqe *cqe;
    (void)sqe;
    if (io_uring_submit(&ring) < 0 || io_uring_wait_cqe(&ring, &cqe) < 0)
        exit(2);
    int result = cqe->res;
    io_uring_cqe_seen(&ring, cqe);
    return result;
}

#define CALL(prepare, ...)                                                                                             \
    ({                                                                                                                 \
        struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);                                                            \
        prepare(sqe, __VA_ARGS__);                                                                                     \
        finish(sqe);                                                                                                   \
    })

int main(int argc, char **argv)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nring\n";
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)strtoul(argc > 2 ? argv[2] : "0", NULL, 10))};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (argc < 3 || inet_pton(AF_INET, argv[1], &a.sin_addr) != 1 || bind(listener, (struct sockaddr *)&a, sizeof(a)) ||
        listen(listener, 64) || io_uring_queue_init(8, &ring, 0) < 0)
        return 2;
    for (;;) {
        char request[4096];
        int fd = CALL(io_uring_prep_accept, listener, NULL, NULL, 0), got = 0, part;
        if (fd < 0)
            continue;
        while (got < (int)sizeof(request) - 1 &&
               (part = CALL(io_uring_prep_recv, fd, request + got, sizeof(request) - 1 - (size_t)got, 0)) > 0) {
            got += part;
            request[got] = 0;
            if (strstr(request, "\r\n\r\n")) {
                CALL(io_uring_prep_send, fd, answer, sizeof(answer) - 1, 0);
                break;
            }
        }
        CALL(io_uring_prep_close, fd);
    }
}
