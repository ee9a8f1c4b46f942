/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents of emf.c to where they are collected: standard output, a file that is rotated, or an agent's UDP or TCP
 * port. None of them answers: a document is accepted once the kernel has all of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "push_transport.h"

struct emf {
    const struct tb_push_output_config *config;
    const char *to; /* the configuration's */
    int socket;     /* -1: none yet */
};

static void *emf_open(const struct tb_push_output_config *c, const struct tb_push_stop *stop)
{
    struct emf *e = tb_alloc(sizeof *e);
    (void)stop; /* nothing here takes longer than the time limit */
    *e = (struct emf){.config = c, .to = c->texts[TB_PUSH_TO], .socket = -1};
    signal(SIGPIPE, SIG_IGN);
    return e;
}

static void disconnect(struct emf *e)
{
    if (e->socket >= 0)
        close(e->socket);
    e->socket = -1;
}

static void emf_close(void *state)
{
    struct emf *e = state;
    disconnect(e);
    free(e);
}

static void settle(struct tb_push_verdict *ret, enum tb_push_outcome outcome, const char *what, const char *why)
{
    ret->outcome = outcome;
    snprintf(ret->why, sizeof ret->why, "%.120s: %.60s", what, why);
}

/* --- files -----------------------------------------------------------------------------------------------------------
 */

/* FILE.1 becomes FILE.2 and so on; FILE becomes FILE.1. The last goes. */
static void rotate(const struct emf *e)
{
    for (uint32_t i = e->config->keep_files; i > 0; i--) {
        char *to = tb_format("%s.%u", e->to, i),
             *from = i > 1 ? tb_format("%s.%u", e->to, i - 1) : tb_format("%s", e->to);
        (void)rename(from, to); /* a missing one is none */
        free(from);
        free(to);
    }
}

/* All of it or nothing: what was begun on a full disk is taken back. */
static int append(const char *path, const struct tb_push_request *r)
{
    struct stat st;
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0)
        return -errno;
    int error = fstat(fd, &st) < 0 ? -errno : tb_write_all(fd, r->body, r->len);
    if (error && ftruncate(fd, st.st_size) < 0)
        error = -EIO;
    if (!error && fdatasync(fd) < 0 && errno != EINVAL)
        error = -errno;
    close(fd);
    return error;
}

static void to_file(const struct emf *e, const struct tb_push_request *r, struct tb_push_verdict *ret)
{
    struct stat st;
    if (stat(e->to, &st) == 0 && st.st_size && (uint64_t)st.st_size + r->len > e->config->max_file_bytes)
        rotate(e);
    int error = append(e->to, r);
    if (error)
        settle(ret, TB_PUSH_AGAIN, e->to, strerror(-error));
    else
        ret->outcome = TB_PUSH_ACCEPTED;
}

static void to_stdout(const struct tb_push_request *r, struct tb_push_verdict *ret)
{
    int error = tb_write_all(STDOUT_FILENO, r->body, r->len);
    if (error)
        settle(ret, TB_PUSH_UNCERTAIN, "standard output", strerror(-error));
    else
        ret->outcome = TB_PUSH_ACCEPTED;
}

/* --- agents ----------------------------------------------------------------------------------------------------------
 */

static void limit_time(int fd, uint64_t ns)
{
    struct timeval limit = {(time_t)(ns / 1000000000), (suseconds_t)(ns % 1000000000 / 1000)};
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit); /* connecting is limited by it too */
}

/* Sets e->socket. Returns NULL, or why not. */
static const char *connect_to(struct emf *e)
{
    const char *colon = strrchr(e->to, ':'), *from = e->to + strlen("udp://");
    const size_t len = (size_t)(colon - from);
    const bool is_bracketed = len > 2 && from[0] == '[' && from[len - 1] == ']';
    char *host = is_bracketed ? tb_strndup(from + 1, len - 2) : tb_strndup(from, len);
    struct addrinfo hints = {.ai_socktype = e->to[0] == 'u' ? SOCK_DGRAM : SOCK_STREAM}, *found = NULL;
    int error = getaddrinfo(host, colon + 1, &hints, &found);
    const char *why = error ? gai_strerror(error) : "no address";
    for (struct addrinfo *a = found; a && e->socket < 0; a = a->ai_next) {
        e->socket = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (e->socket < 0)
            continue;
        limit_time(e->socket, e->config->timeout_ns);
        if (connect(e->socket, a->ai_addr, a->ai_addrlen) < 0) {
            why = strerror(errno);
            disconnect(e);
        }
    }
    if (found)
        freeaddrinfo(found);
    free(host);
    return e->socket < 0 ? why : NULL;
}

/* Line by line: each is a datagram. */
static int send_lines(const struct emf *e, const struct tb_push_request *r, size_t *ret_sent)
{
    for (const char *at = r->body, *end = r->body + r->len; at < end; *ret_sent = (size_t)(at - r->body)) {
        size_t len = (size_t)((const char *)memchr(at, '\n', (size_t)(end - at)) + 1 - at);
        for (size_t done = 0; done < len;) {
            ssize_t n = send(e->socket, at + done, len - done, MSG_NOSIGNAL);
            if (n < 0 && errno != EINTR)
                return -errno;
            done += n > 0 ? (size_t)n : 0;
            *ret_sent = (size_t)(at - r->body) + done;
        }
        at += len;
    }
    return 0;
}

static void to_agent(struct emf *e, const struct tb_push_request *r, struct tb_push_verdict *ret)
{
    size_t sent = 0;
    const char *why = e->socket < 0 ? connect_to(e) : NULL;
    int error = why ? 0 : send_lines(e, r, &sent);
    ret->outcome = TB_PUSH_ACCEPTED;
    if (error)
        why = strerror(-error);
    if (why)
        settle(ret, error == -EMSGSIZE ? TB_PUSH_REFUSED : sent ? TB_PUSH_UNCERTAIN : TB_PUSH_AGAIN, e->to, why);
    if (error)
        disconnect(e);
}

static void emf_send(void *state, const struct tb_push_request *r, struct tb_push_verdict *ret)
{
    struct emf *e = state;
    if (*e->to == '/')
        to_file(e, r, ret);
    else if (strcmp(e->to, "stdout") == 0)
        to_stdout(r, ret);
    else
        to_agent(e, r, ret);
}

const struct tb_push_transport tb_push_emf_transport = {
    .type = "emf",
    .open = emf_open,
    .send = emf_send,
    .close = emf_close,
};
