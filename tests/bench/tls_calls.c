/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program under measurement: a client's POST whose body goes to its server in COUNT pieces of 100 bytes, in one
 * process that listens. "tls": each piece is a record of OpenSSL, over memory; "plain": a send and a recv.
 * Usage: tls_calls tls|plain COUNT
 */
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE 100

static SSL *server, *client;
static int server_fd, client_fd;
static char buf[4096];

static void must(int is_true, const char *what)
{
    if (!is_true) {
        fprintf(stderr, "tls_calls: %s\n", what);
        exit(1);
    }
}

static void self_signed(SSL_CTX *ctx)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    must(X509_sign(x, key, EVP_sha256()) > 0, "no certificate");
    must(SSL_CTX_use_certificate(ctx, x) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1, "no key");
}

static void connect_tls(void)
{
    SSL_CTX *server_ctx = SSL_CTX_new(TLS_server_method()), *client_ctx = SSL_CTX_new(TLS_client_method());
    BIO *one, *two;
    self_signed(server_ctx);
    BIO_new_bio_pair(&one, 20000, &two, 20000);
    server = SSL_new(server_ctx);
    client = SSL_new(client_ctx);
    SSL_set_bio(server, one, one);
    SSL_set_bio(client, two, two);
    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    for (int i = 0; i < 10 && !(SSL_is_init_finished(server) && SSL_is_init_finished(client)); i++)
        SSL_do_handshake(i % 2 ? server : client);
    must(SSL_is_init_finished(server) && SSL_is_init_finished(client), "no handshake");
}

static void connect_plain(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    must(!bind(listener, (struct sockaddr *)&a, len) && !listen(listener, 1), "cannot listen");
    must(!getsockname(listener, (struct sockaddr *)&a, &len), "no name");
    client_fd = socket(AF_INET, SOCK_STREAM, 0);
    must(!connect(client_fd, (struct sockaddr *)&a, len), "cannot connect");
    server_fd = accept(listener, NULL, NULL);
    must(server_fd >= 0, "cannot accept");
}

static void cross(const char *data, int len)
{
    if (server)
        must(SSL_write(client, data, len) == len && SSL_read(server, buf, sizeof buf) == len, "no record");
    else
        must(send(client_fd, data, (size_t)len, 0) == len && recv(server_fd, buf, sizeof buf, 0) == len, "no bytes");
}

int main(int argc, char **argv)
{
    long count = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    static const char response[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    char head[200], piece[PIECE] = {0};
    if (count <= 0 || count > 100000) {
        fprintf(stderr, "usage: %s tls|plain COUNT\n", argv[0]);
        return 2;
    }
    connect_plain();
    if (!strcmp(argv[1], "tls"))
        connect_tls();
    cross(head,
          snprintf(head, sizeof head, "POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: %ld\r\n\r\n", count * PIECE));
    for (long i = 0; i < count; i++)
        cross(piece, PIECE);
    if (server)
        must(SSL_write(server, response, sizeof response - 1) > 0, "no answer");
    else
        must(send(server_fd, response, sizeof response - 1, 0) > 0, "no answer");
    return 0;
}
