/* SPDX-License-Identifier: Apache-2.0 */
/* The pieces of the test server: how bytes move (io.c), what is answered (server.c), who serves (models.c). */
#ifndef TEST_SERVER_H
#define TEST_SERVER_H

#include <stddef.h>
#include <sys/types.h>

#define HEAD_MAX 8192

/* One way of moving bytes. send_response writes head then body; returns 0 or -1. */
struct way {
    const char *name;
    ssize_t (*receive)(int fd, void *buf, size_t len);
    int (*send_response)(int fd, const char *head, size_t head_len, const char *body, size_t body_len);
};
extern const struct way ways[];
const struct way *find_way(const char *name);
int send_all(int fd, const char *buf, size_t len);

struct conn {
    int in, out;
    const struct way *way;
    size_t have;
    char buf[HEAD_MAX];
};

/* Receives once and answers every whole request. Returns 1, or 0 when the connection is over. */
int serve_once(struct conn *c);
/* Until the connection is over; closes nothing. */
void serve(struct conn *c);

/* What /exit and /abort do; a model may replace it. */
extern const char *exit_how;

/* One way of giving connections to threads and processes: never returns. */
struct model {
    const char *name;
    void (*run)(int listener, const struct way *way);
};
extern const struct model models[];
extern char **server_argv;

int accept_one(int listener);
void start_conn(struct conn *c, int in, int out, const struct way *way);

#endif
