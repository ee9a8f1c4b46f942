/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that calls OpenSSL: both ends of a connection in one process, over descriptors and over memory. Shown are
 * results, errno, what SSL_get_error makes of them and the error queue. A line "told PATH" says that the client end has
 * received the whole response to a GET of PATH: tests/preload/tls.py compares those with what was counted.
 *
 * Built a second time, with -DMODULE, as a module that calls another copy of the library (harness.py).
 */
#include <dlfcn.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>

#include "tp.h"

static int pair[2];
#define SERVED pair[0]
#define CLIENT pair[1]

static SSL_CTX *server_ctx, *client_ctx;
static SSL_SESSION *kept; /* the last session that a server gave out */
static char buf[20000];

/* Shows the call and everything around it. The error queue stays as it is: the next call finds it so. */
#define TLS(ssl, call)                                                                                                 \
    do {                                                                                                               \
        errno = 77;                                                                                                    \
        long shown_ = (long)(call);                                                                                    \
        int errno_ = errno;                                                                                            \
        say("%s = %ld, errno %d, error %d, want %d, shutdown %d, queue %lx %lx\n", #call, shown_, errno_,              \
            SSL_get_error(ssl, (int)shown_), SSL_want(ssl), SSL_get_shutdown(ssl), ERR_peek_error(),                   \
            ERR_peek_last_error());                                                                                    \
    } while (0)

static int keep_session(SSL *s, SSL_SESSION *session)
{
    (void)s;
    SSL_SESSION_free(kept);
    kept = session;
    return 1;
}

static void self_signed(SSL_CTX *ctx)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    MUST(key && x && X509_set_version(x, 2) && ASN1_INTEGER_set(X509_get_serialNumber(x), 1));
    MUST(X509_gmtime_adj(X509_getm_notBefore(x), -3600) && X509_gmtime_adj(X509_getm_notAfter(x), 3600));
    X509_NAME *name = X509_get_subject_name(x);
    MUST(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0));
    MUST(X509_set_issuer_name(x, name) && X509_set_pubkey(x, key) && X509_sign(x, key, EVP_sha256()));
    MUST(SSL_CTX_use_certificate(ctx, x) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1);
    X509_free(x);
    EVP_PKEY_free(key);
}

static void contexts(int version)
{
    signal(SIGPIPE, SIG_IGN);
    server_ctx = SSL_CTX_new(TLS_server_method());
    client_ctx = SSL_CTX_new(TLS_client_method());
    MUST(server_ctx && client_ctx);
    self_signed(server_ctx);
    SSL_CTX_set_min_proto_version(client_ctx, version);
    SSL_CTX_set_max_proto_version(client_ctx, version);
    SSL_CTX_set_max_early_data(server_ctx, 16384);
    SSL_CTX_set_session_cache_mode(client_ctx, SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(client_ctx, keep_session);
}

/* Ends over a pair of sockets; nothing blocks. */
static void over_sockets(SSL **server, SSL **client)
{
    tp_pair(pair);
    MUST(!fcntl(SERVED, F_SETFL, O_NONBLOCK) && !fcntl(CLIENT, F_SETFL, O_NONBLOCK));
    *server = SSL_new(server_ctx);
    *client = SSL_new(client_ctx);
    TLS(*server, SSL_set_fd(*server, SERVED));
    TLS(*client, SSL_set_rfd(*client, CLIENT));
    TLS(*client, SSL_set_wfd(*client, CLIENT));
    SSL_set_accept_state(*server);
    SSL_set_connect_state(*client);
}

static void over_memory(SSL **server, SSL **client)
{
    BIO *one, *two;
    MUST(BIO_new_bio_pair(&one, 60000, &two, 60000));
    *server = SSL_new(server_ctx);
    *client = SSL_new(client_ctx);
    SSL_set_bio(*server, one, one);
    SSL_set_bio(*client, two, two);
    SSL_set_accept_state(*server);
    SSL_set_connect_state(*client);
}

/* What the peer has sent is there: a descriptor that has one is waited for. */
static void wait_for(SSL *s)
{
    struct pollfd p = {SSL_get_fd(s), POLLIN, 0};
    if (p.fd >= 0)
        MUST(poll(&p, 1, 10000) == 1);
}

static void handshake(SSL *server, SSL *client)
{
    int done[2] = {0, 0};
    for (int i = 0; i < 10 && !(done[0] == 1 && done[1] == 1); i++) {
        if (done[1] != 1)
            done[1] = SSL_do_handshake(client);
        say("client's handshake: %d, want %d\n", done[1], SSL_want(client));
        if (done[0] == 1)
            continue;
        wait_for(server);
        if (done[0] != 1)
            done[0] = SSL_do_handshake(server);
        say("server's handshake: %d, want %d\n", done[0], SSL_want(server));
        if (done[1] != 1)
            wait_for(client);
    }
    MUST(done[0] == 1 && done[1] == 1);
}

/* The whole response; what else comes (tickets) may come in reads of its own. */
static void receive(SSL *client, const char *path)
{
    int got = 0;
    for (int i = 0; i < 1000 && got < (int)TP_LEN(TP_RESPONSE); i++) {
        wait_for(client);
        int ret = SSL_read(client, buf, sizeof(buf));
        got += ret > 0 ? ret : 0;
        MUST(ret > 0 || SSL_want_read(client));
    }
    say("client received %d bytes, told %s\n", got, path);
}

/* One exchange by the functions that programs use most. */
static void exchange(SSL *server, SSL *client, const char *path)
{
    char request[200];
    int len = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
    TLS(client, SSL_write(client, request, len));
    wait_for(server);
    TLS(server, SSL_read(server, buf, sizeof(buf)));
    TLS(server, SSL_write(server, TP_RESPONSE, TP_LEN(TP_RESPONSE)));
    receive(client, path);
}

/* The same by the others, byte by byte. */
static void exchange_ex(SSL *server, SSL *client, const char *path)
{
    char request[200];
    size_t len = (size_t)snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path), part = 0;
    for (size_t i = 0; i < len; i++) {
        MUST(SSL_write_ex(client, request + i, 1, &part) == 1 && part == 1);
        wait_for(server);
        MUST(SSL_peek(server, buf, 100) == 1 && SSL_peek_ex(server, buf, 100, &part) == 1);
        MUST(SSL_read_ex(server, buf, i % 2 ? 1 : 100, &part) == 1 && part == 1);
    }
    TLS(server, SSL_read_ex(server, buf, 100, &part));
    for (size_t i = 0; i < TP_LEN(TP_RESPONSE); i++) {
        MUST(SSL_write_ex(server, TP_RESPONSE + i, 1, &part) == 1);
        wait_for(client);
        MUST(SSL_read_ex(client, buf, 100, &part) == 1 && part == 1);
    }
    TLS(client, SSL_read_ex(client, buf, 100, &part));
    say("client received it, told %s\n", path);
}

static void end(SSL *server, SSL *client)
{
    SSL_free(server);
    SSL_free(client);
    close(SERVED);
    close(CLIENT);
    tp_say_fds("open");
}

static void all_calls(SSL *server, SSL *client)
{
    TLS(server, SSL_read(server, buf, 10));          /* before there is anything */
    ERR_put_error(ERR_LIB_USER, 0, 42, __FILE__, 1); /* somebody else's: stays in the queue */
    exchange(server, client, "/first");
    exchange_ex(server, client, "/second");
    TLS(server, SSL_read(server, buf, 10));
    TLS(server, SSL_read(server, buf, 0));
    TLS(server, SSL_write(server, buf, 0));
    TLS(server, SSL_read(server, buf, -1));
    TLS(server, SSL_write(server, buf, -1));
    TLS(server, SSL_sendfile(server, 0, 0, 10, 0));
    exchange(server, client, "/third");
    ERR_clear_error();
}

static void both_close(SSL *server, SSL *client)
{
    TLS(client, SSL_shutdown(client));
    wait_for(server);
    TLS(server, SSL_read(server, buf, 10));
    TLS(server, SSL_shutdown(server));
    TLS(server, SSL_write(server, "x", 1));
    wait_for(client);
    TLS(client, SSL_shutdown(client));
    TLS(client, SSL_read(client, buf, 10));
}

static void sockets(void)
{
    SSL *server, *client;
    contexts(TLS1_3_VERSION);
    over_sockets(&server, &client);
    handshake(server, client);
    all_calls(server, client);
    both_close(server, client);
    end(server, client);
}

static void memory(void)
{
    SSL *server, *client;
    contexts(TLS1_2_VERSION);
    over_memory(&server, &client);
    handshake(server, client);
    all_calls(server, client);
    both_close(server, client);
    SSL_free(server);
    SSL_free(client);
}

/* The connection is gone without a word, in all directions. */
static void unclean(void)
{
    SSL *server, *client;
    contexts(TLS1_3_VERSION);
    over_sockets(&server, &client);
    handshake(server, client);
    exchange(server, client, "/first");
    shutdown(CLIENT, SHUT_WR);
    wait_for(server);
    TLS(server, SSL_read(server, buf, 10));
    TLS(server, SSL_read(server, buf, 10));
    TLS(server, SSL_write(server, "x", 1));
    TLS(server, SSL_shutdown(server));
    end(server, client);
    over_sockets(&server, &client);
    handshake(server, client);
    exchange(server, client, "/second");
    close(CLIENT);
    TLS(server, SSL_write(server, TP_RESPONSE, 10)); /* may be taken */
    end(server, client);
}

/* A session that carries several connections, and is renegotiated. */
static void again(void)
{
    SSL *server, *client;
    contexts(TLS1_2_VERSION);
    SSL_CTX_clear_options(server_ctx, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_options(server_ctx, SSL_OP_ALLOW_CLIENT_RENEGOTIATION);
    over_sockets(&server, &client);
    handshake(server, client);
    exchange(server, client, "/first");
    TLS(client, SSL_renegotiate(client));
    TLS(client, SSL_do_handshake(client));
    for (int i = 0; i < 6; i++) { /* each side reads what the other has said */
        wait_for(i % 2 ? client : server);
        TLS(i % 2 ? client : server, SSL_read(i % 2 ? client : server, buf, 10));
        if (i % 2 && !SSL_renegotiate_pending(client))
            break;
    }
    exchange(server, client, "/second");
    both_close(server, client);
    close(SERVED);
    close(CLIENT);
    TLS(server, SSL_clear(server));
    TLS(client, SSL_clear(client));
    tp_pair(pair);
    MUST(!fcntl(SERVED, F_SETFL, O_NONBLOCK) && !fcntl(CLIENT, F_SETFL, O_NONBLOCK));
    TLS(server, SSL_set_fd(server, SERVED));
    TLS(client, SSL_set_fd(client, CLIENT));
    handshake(server, client);
    exchange(server, client, "/third");
    end(server, client);
}

/* 0-RTT: the request goes with the first message, and is answered before the handshake is over. */
static void early(void)
{
    static const char request[] = "GET /early HTTP/1.1\r\nHost: x\r\n\r\n";
    SSL *server, *client;
    size_t put = 0, got = 0;
    contexts(TLS1_3_VERSION);
    over_sockets(&server, &client);
    handshake(server, client);
    exchange(server, client, "/first"); /* the client reads its tickets */
    both_close(server, client);         /* else they are no good */
    end(server, client);
    MUST(kept);
    over_sockets(&server, &client);
    TLS(client, SSL_set_session(client, kept));
    TLS(client, SSL_write_early_data(client, request, sizeof(request) - 1, &put));
    wait_for(server);
    TLS(server, SSL_read_early_data(server, buf, sizeof(buf), &got));
    TLS(server, SSL_write_early_data(server, TP_RESPONSE, TP_LEN(TP_RESPONSE), &put));
    say("%zu and %zu bytes\n", got, put);
    wait_for(client);
    handshake(server, client);
    TLS(client, SSL_get_early_data_status(client));
    receive(client, "/early");
    exchange(server, client, "/third");
    end(server, client);
}

static void *free_it(void *s)
{
    SSL_free(s);
    return NULL;
}

/* More holders than one, and the last is another thread. */
static void holders(void)
{
    SSL *server, *client;
    pthread_t thread;
    contexts(TLS1_3_VERSION);
    over_sockets(&server, &client);
    handshake(server, client);
    TLS(server, SSL_up_ref(server));
    TLS(client, SSL_write(client, TP_REQUEST, TP_LEN(TP_REQUEST)));
    wait_for(server);
    TLS(server, SSL_read(server, buf, sizeof(buf)));
    MUST(!pthread_create(&thread, NULL, free_it, server) && !pthread_join(thread, NULL));
    TLS(server, SSL_write(server, TP_RESPONSE, TP_LEN(TP_RESPONSE)));
    receive(client, "/transparent");
    exchange(server, client, "/second");
    MUST(!pthread_create(&thread, NULL, free_it, server) && !pthread_join(thread, NULL));
    SSL_free(client);
    close(SERVED);
    close(CLIENT);
}

/* The child goes on with what the parent has begun. */
static void forked(void)
{
    SSL *server, *client;
    int len = (int)TP_LEN(TP_REQUEST);
    contexts(TLS1_3_VERSION);
    over_sockets(&server, &client);
    handshake(server, client);
    exchange(server, client, "/first");
    TLS(client, SSL_write(client, TP_REQUEST, len));
    wait_for(server);
    TLS(server, SSL_read(server, buf, sizeof(buf)));
    pid_t child = fork();
    if (!child) {
        TLS(server, SSL_write(server, TP_RESPONSE, TP_LEN(TP_RESPONSE)));
        exit(0);
    }
    tp_reap("child", child);
    SSL_free(server);
    receive(client, "/transparent");
    SSL_free(client);
}

/* No handshake at all. */
static void refused(void)
{
    SSL *server, *client;
    contexts(TLS1_3_VERSION);
    SSL_CTX_set_max_proto_version(server_ctx, TLS1_2_VERSION);
    over_sockets(&server, &client);
    TLS(client, SSL_connect(client));
    wait_for(server);
    TLS(server, SSL_accept(server));
    wait_for(client);
    TLS(client, SSL_connect(client));
    TLS(client, SSL_connect(client));
    ERR_clear_error();
    TLS(server, SSL_read(server, buf, 10));
    end(server, client);
}

#ifdef MODULE
void module_exchange(void);
void module_exchange(void)
{
    tp_is_awake = true;
    sockets();
}
#else
static void (*module_there(void **ret_module, int flags))(void)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/openssl-module.so", getenv("TP_BIN"));
    *ret_module = dlopen(path, RTLD_NOW | RTLD_LOCAL | flags);
    MUST(*ret_module);
    void (*exchange_there)(void) = (void (*)(void))dlsym(*ret_module, "module_exchange");
    MUST(exchange_there);
    return exchange_there;
}

/*
 * Twice and again in one process: the program's own library, and a module that brings another copy of it by dlopen,
 * calls that copy or the program's, and goes.
 */
static void modules(void)
{
    sockets();
    for (int i = 0; i < 4; i++) {
        void *module; /* without the flag it would call the program's own */
        void (*exchange_there)(void) = module_there(&module, i % 2 ? 0 : RTLD_DEEPBIND);
        exchange_there();
        say("closed: %d\n", dlclose(module));
    }
    sockets();
}

static void *idle(void *arg)
{
    pause();
    return arg;
}

/* A library that came since the last look serves the child of a program that has threads: one that comes in the child,
 * then one that came before. */
static void forked_among_threads(void)
{
    pthread_t thread;
    void *module;
    MUST(!pthread_create(&thread, NULL, idle, NULL));
    pid_t loads = fork();
    if (!loads) {
        module_there(&module, RTLD_DEEPBIND)();
        exit(0);
    }
    tp_reap("loads", loads);
    void (*exchange_there)(void) = module_there(&module, RTLD_DEEPBIND);
    pid_t child = fork();
    if (!child) {
        exchange_there();
        exit(0);
    }
    tp_reap("child", child);
}

TP_MAIN({"modules", modules, ""}, {"forked_among_threads", forked_among_threads, ""}, {"sockets", sockets, ""},
        {"memory", memory, ""}, {"unclean", unclean, ""}, {"again", again, ""}, {"early", early, ""},
        {"holders", holders, ""}, {"forked", forked, ""}, {"refused", refused, ""})
#endif
