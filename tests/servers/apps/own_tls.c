/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTPS server and its clients in one process, for a build that links OpenSSL into the executable. Arguments: how it
 * reads and writes (plain: SSL_read and SSL_write, ex: their _ex forms, early: the first request of each resumed
 * session as early data), connections, requests of each, certificate, key. When all were answered it prints `done` with
 * their number and waits to be ended.
 */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum how { PLAIN, EX, EARLY };

static enum how how;
static int connections, requests;
static struct sockaddr_in address;
static SSL_CTX *server_ctx, *client_ctx;
static unsigned long answered;

static void fail(const char *what)
{
    perror(what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

/* Both return the number of bytes, 0 or less at the end. */
static int take(SSL *s, char *buf, int len)
{
    size_t got = 0;
    if (how == PLAIN)
        return SSL_read(s, buf, len);
    return SSL_read_ex(s, buf, (size_t)len, &got) ? (int)got : 0;
}

static int give(SSL *s, const char *buf, int len)
{
    size_t put = 0;
    if (how == PLAIN)
        return SSL_write(s, buf, len);
    return SSL_write_ex(s, buf, (size_t)len, &put) ? (int)put : 0;
}

/* ---- the server ---- */

/* Answers the requests in @buf; what is left of it is the beginning of another. */
static size_t answer(SSL *s, char *buf, size_t len)
{
    char *end;
    buf[len] = 0;
    while ((end = strstr(buf, "\r\n\r\n"))) {
        static const char found[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        static const char missing[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone";
        bool is_found = !strncmp(buf, "GET /found ", 11);
        if (give(s, is_found ? found : missing, (int)(is_found ? sizeof(found) : sizeof(missing)) - 1) <= 0)
            fail("give");
        len -= (size_t)(end + 4 - buf);
        memmove(buf, end + 4, len + 1);
    }
    return len;
}

static size_t take_early(SSL *s, char *buf, size_t size)
{
    size_t len = 0;
    for (;;) {
        size_t got = 0;
        int ret = SSL_read_early_data(s, buf + len, size - len, &got);
        if (ret == SSL_READ_EARLY_DATA_ERROR)
            fail("early data");
        len += got;
        if (ret == SSL_READ_EARLY_DATA_FINISH)
            return len;
    }
}

static void *serve(void *arg)
{
    char buf[8192];
    size_t len = 0;
    SSL *s = arg;
    if (how == EARLY)
        len = answer(s, buf, take_early(s, buf, sizeof(buf) - 1));
    if (SSL_accept(s) != 1)
        fail("accept");
    for (int got; (got = take(s, buf + len, (int)(sizeof(buf) - 1 - len))) > 0;)
        len = answer(s, buf, len + (size_t)got);
    SSL_shutdown(s);
    close(SSL_get_fd(s));
    SSL_free(s);
    return NULL;
}

static void *accept_all(void *arg)
{
    int listener = *(int *)arg;
    for (;;) {
        pthread_t thread;
        int fd = accept(listener, NULL, NULL);
        SSL *s = SSL_new(server_ctx);
        if (fd < 0 || !s || !SSL_set_fd(s, fd) || pthread_create(&thread, NULL, serve, s))
            fail("accept");
        pthread_detach(thread);
    }
}

/* ---- the clients ---- */

static _Thread_local SSL_SESSION *session; /* of the connection before */

static int keep_session(SSL *s, SSL_SESSION *new)
{
    (void)s;
    SSL_SESSION_free(session);
    session = new;
    return 1;
}

static SSL *reach(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    SSL *s = SSL_new(client_ctx);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) || !s || !SSL_set_fd(s, fd))
        fail("connect");
    SSL_set_connect_state(s);
    if (session && !SSL_set_session(s, session))
        fail("session");
    return s;
}

static void leave(SSL *s)
{
    char byte;
    SSL_shutdown(s);
    while (take(s, &byte, 1) > 0) /* the server's last word, and the ticket before it */
        ;
    close(SSL_get_fd(s));
    SSL_free(s);
}

static void expect(SSL *s, const char *wanted)
{
    char buf[512];
    size_t len = 0;
    while (len < strlen(wanted)) {
        int got = take(s, buf + len, (int)(sizeof(buf) - 1 - len));
        if (got <= 0)
            fail("no answer");
        len += (size_t)got;
    }
    buf[len] = 0;
    if (strcmp(buf, wanted))
        fail(buf);
    __atomic_fetch_add(&answered, 1, __ATOMIC_RELAXED);
}

static void ask(SSL *s, int number, bool is_early)
{
    const char *head =
        number % 5 ? "GET /found HTTP/1.1\r\nHost: here\r\n\r\n" : "GET /lost HTTP/1.1\r\nHost: here\r\n\r\n";
    size_t put = 0;
    if (is_early ? SSL_write_early_data(s, head, strlen(head), &put) != 1 : give(s, head, (int)strlen(head)) <= 0)
        fail("ask");
    if (is_early && SSL_connect(s) != 1)
        fail("connect");
    expect(s, number % 5 ? "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
                         : "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone");
    if (is_early && SSL_get_early_data_status(s) != SSL_EARLY_DATA_ACCEPTED)
        fail("the early data was refused");
}

static void *ask_all(void *arg)
{
    (void)arg;
    for (int first = 0; first < requests; first += how == EARLY ? 10 : requests) {
        int last = how == EARLY && first + 10 < requests ? first + 10 : requests;
        SSL *s = reach();
        for (int i = first; i < last; i++)
            ask(s, i, session && i == first);
        leave(s);
    }
    SSL_SESSION_free(session);
    return NULL;
}

/* ---- both ---- */

static void set_up(const char *cert, const char *key)
{
    server_ctx = SSL_CTX_new(TLS_server_method());
    client_ctx = SSL_CTX_new(TLS_client_method());
    if (!server_ctx || !client_ctx || SSL_CTX_use_certificate_chain_file(server_ctx, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(server_ctx, key, SSL_FILETYPE_PEM) != 1)
        fail("set up");
    if (how == EARLY) {
        SSL_CTX_set_max_early_data(server_ctx, 4096);
        SSL_CTX_set_session_cache_mode(client_ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(client_ctx, keep_session);
    }
}

int main(int argc, char **argv)
{
    pthread_t acceptor, clients[64];
    socklen_t len = sizeof(address);
    if (argc != 6)
        return 2;
    how = !strcmp(argv[1], "plain") ? PLAIN : !strcmp(argv[1], "ex") ? EX : EARLY;
    connections = (int)strtol(argv[2], NULL, 10);
    requests = (int)strtol(argv[3], NULL, 10);
    set_up(argv[4], argv[5]);
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (connections > 64 || bind(listener, (struct sockaddr *)&address, len) || listen(listener, 64) ||
        getsockname(listener, (struct sockaddr *)&address, &len) ||
        pthread_create(&acceptor, NULL, accept_all, &listener))
        fail("listen");
    for (int i = 0; i < connections; i++)
        if (pthread_create(&clients[i], NULL, ask_all, NULL))
            fail("thread");
    for (int i = 0; i < connections; i++)
        pthread_join(clients[i], NULL);
    printf("done %lu\n", answered);
    fflush(stdout);
    for (;;)
        pause();
}
