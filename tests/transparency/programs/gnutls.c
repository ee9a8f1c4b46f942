/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that calls GnuTLS: both ends of a connection in one process, over descriptors and over memory that takes
 * nothing at the first try. Shown are results and errno. "told PATH" is as in openssl.c, whose companion this is.
 */
#include <gnutls/gnutls.h>
#include <poll.h>

#include "tp.h"

static int pair[2];
#define SERVED pair[0]
#define CLIENT pair[1]

static gnutls_anon_server_credentials_t server_cred;
static gnutls_anon_client_credentials_t client_cred;
static gnutls_session_t server, client;
static char buf[20000];

/* Memory between the ends. */
struct way {
    char bytes[60000];
    size_t from, to;
    bool is_stubborn, was_tried; /* a send is refused once before it is taken */
};
static struct way to_server, to_client;

static ssize_t push(gnutls_transport_ptr_t ends, const void *data, size_t len)
{
    struct way *w = ((struct way **)ends)[1];
    if (w->is_stubborn && !w->was_tried) {
        w->was_tried = true;
        errno = EAGAIN;
        return -1;
    }
    w->was_tried = false;
    MUST(len <= sizeof(w->bytes) - w->to);
    memcpy(w->bytes + w->to, data, len);
    w->to += len;
    return (ssize_t)len;
}

static ssize_t pull(gnutls_transport_ptr_t ends, void *data, size_t len)
{
    struct way *w = ((struct way **)ends)[0];
    size_t there = w->to - w->from;
    if (!there) {
        errno = EAGAIN;
        return -1;
    }
    len = len < there ? len : there;
    memcpy(data, w->bytes + w->from, len);
    w->from += len;
    if (w->from == w->to)
        w->from = w->to = 0;
    return (ssize_t)len;
}

static int is_ready(gnutls_transport_ptr_t ends, unsigned ms)
{
    const struct way *w = ((struct way **)ends)[0];
    (void)ms;
    return w->to > w->from;
}

static void sessions(void)
{
    static const char priority[] = "NORMAL:-VERS-ALL:+VERS-TLS1.2:+ANON-ECDH:+ANON-DH";
    signal(SIGPIPE, SIG_IGN);
    MUST(!gnutls_anon_allocate_server_credentials(&server_cred));
    MUST(!gnutls_anon_allocate_client_credentials(&client_cred));
    SHOW(gnutls_init(&server, GNUTLS_SERVER | GNUTLS_NONBLOCK));
    SHOW(gnutls_init(&client, GNUTLS_CLIENT | GNUTLS_NONBLOCK));
    MUST(!gnutls_priority_set_direct(server, priority, NULL) && !gnutls_priority_set_direct(client, priority, NULL));
    MUST(!gnutls_credentials_set(server, GNUTLS_CRD_ANON, server_cred));
    MUST(!gnutls_credentials_set(client, GNUTLS_CRD_ANON, client_cred));
}

static void over_memory(void)
{
    static struct way *server_ends[2] = {&to_server, &to_client}, *client_ends[2] = {&to_client, &to_server};
    gnutls_transport_set_ptr(server, server_ends);
    gnutls_transport_set_ptr(client, client_ends);
    gnutls_session_t both[2] = {server, client};
    for (int i = 0; i < 2; i++) {
        gnutls_transport_set_push_function(both[i], push);
        gnutls_transport_set_pull_function(both[i], pull);
        gnutls_transport_set_pull_timeout_function(both[i], is_ready);
    }
}

static void over_sockets(void)
{
    tp_pair(pair);
    MUST(!fcntl(SERVED, F_SETFL, O_NONBLOCK) && !fcntl(CLIENT, F_SETFL, O_NONBLOCK));
    gnutls_transport_set_int(server, SERVED);
    gnutls_transport_set_int2(client, CLIENT, CLIENT);
}

static void wait_for(gnutls_session_t s)
{
    struct pollfd p = {s == server ? SERVED : CLIENT, POLLIN, 0};
    if (p.fd > 0)
        MUST(poll(&p, 1, 10000) == 1);
}

/* Something has come for one that is not done; memory is never waited for. */
static void wait_for_either(const int done[2])
{
    struct pollfd p[2] = {{done[0] ? SERVED : -1, POLLIN, 0}, {done[1] ? CLIENT : -1, POLLIN, 0}};
    if (SERVED > 0 && (done[0] || done[1]))
        MUST(poll(p, 2, 10000) > 0);
}

/* A message may come in as many parts as were sent. */
static void handshake(void)
{
    int done[2] = {-1, -1};
    for (int i = 0; i < 100 && (done[0] || done[1]); i++) {
        if (done[1])
            done[1] = gnutls_handshake(client);
        if (done[0])
            done[0] = gnutls_handshake(server);
        wait_for_either(done);
    }
    say("server's handshake: %d, client's: %d\n", done[0], done[1]);
    MUST(!done[0] && !done[1]);
}

/* @server has read a request, @client gets its response. */
static void received(const char *path)
{
    wait_for(client);
    SHOW(gnutls_record_recv(client, buf, sizeof(buf)));
    say("client received it, told %s\n", path);
}

static const char *request(const char *path)
{
    static char text[200];
    snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
    return text;
}

static void exchange(const char *path)
{
    const char *text = request(path);
    SHOW(gnutls_record_send(client, text, strlen(text)));
    wait_for(server);
    SHOW(gnutls_record_recv(server, buf, sizeof(buf)));
    SHOW(gnutls_record_send(server, TP_RESPONSE, TP_LEN(TP_RESPONSE)));
    received(path);
}

/* The other calls. */
static void exchange_by_others(const char *path)
{
    unsigned char seq[8];
    gnutls_packet_t packet;
    gnutls_datum_t data;
    const char *text = request(path);
    gnutls_record_cork(client);
    SHOW(gnutls_record_send(client, text, 10));
    SHOW(gnutls_record_send2(client, text + 10, strlen(text + 10), 0, 0));
    SHOW(gnutls_record_uncork(client, 0));
    wait_for(server);
    SHOW(gnutls_record_recv_seq(server, buf, 5, seq));
    SHOW(gnutls_record_recv(server, buf, sizeof(buf)));
    SHOW(gnutls_record_send(server, TP_RESPONSE, TP_LEN(TP_RESPONSE)));
    wait_for(client);
    SHOW(gnutls_record_recv_packet(client, &packet));
    gnutls_packet_get(packet, &data, NULL);
    say("%u bytes\n", data.size);
    gnutls_packet_deinit(packet);
    say("client received it, told %s\n", path);
}

static void end(void)
{
    SHOW(gnutls_bye(client, GNUTLS_SHUT_WR));
    wait_for(server);
    SHOW(gnutls_record_recv(server, buf, 10));
    SHOW(gnutls_bye(server, GNUTLS_SHUT_WR));
    SHOW(gnutls_record_send(server, "x", 1));
    gnutls_deinit(server);
    gnutls_deinit(client);
}

static void sockets(void)
{
    sessions();
    over_sockets();
    handshake();
    SHOW(gnutls_record_recv(server, buf, 10));
    exchange("/first");
    exchange_by_others("/second");
    SHOW(gnutls_record_send(server, NULL, 0));
    SHOW(gnutls_record_recv(server, buf, 10));
    exchange("/third");
    end();
    tp_say_fds("open");
}

/* Each send is taken by the library and not by the transport, and completed by a call that names its bytes, or none. */
static void stubborn(void)
{
    const char *text = request("/first");
    sessions();
    over_memory();
    handshake();
    to_server.is_stubborn = to_client.is_stubborn = true;
    for (int i = 0; i < 3; i++) {
        SHOW(gnutls_record_send(client, text, strlen(text)));
        SHOW(gnutls_record_send(client, i % 2 ? text : NULL, i % 2 ? strlen(text) : 0));
        SHOW(gnutls_record_recv(server, buf, sizeof(buf)));
        SHOW(gnutls_record_send(server, TP_RESPONSE, TP_LEN(TP_RESPONSE)));
        SHOW(gnutls_record_send(server, i % 2 ? NULL : TP_RESPONSE, i % 2 ? 0 : TP_LEN(TP_RESPONSE)));
        received("/first");
    }
    to_server.is_stubborn = to_client.is_stubborn = false;
    exchange("/second");
    end();
}

/* The peer goes without a word. */
static void unclean(void)
{
    sessions();
    over_sockets();
    handshake();
    exchange("/first");
    close(CLIENT);
    wait_for(server);
    SHOW(gnutls_record_recv(server, buf, 10));
    SHOW(gnutls_record_recv(server, buf, 10));
    gnutls_deinit(server);
    gnutls_deinit(client);
}

static void refused(void)
{
    sessions();
    over_sockets();
    MUST(!gnutls_priority_set_direct(client, "NORMAL:-VERS-ALL:+VERS-TLS1.3", NULL));
    SHOW(gnutls_handshake(client));
    wait_for(server);
    SHOW(gnutls_handshake(server));
    gnutls_deinit(server);
    gnutls_deinit(client);
}

TP_MAIN({"sockets", sockets, ""}, {"stubborn", stubborn, ""}, {"unclean", unclean, ""}, {"refused", refused, ""})
