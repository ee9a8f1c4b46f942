/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libmicrohttpd glue (http.h). The library parses and frames; here connections are accepted from any number of sockets,
 * what it leaves to its user is refused (two ways of framing one body, methods), and requests go to their page.
 *
 * Facts of the library that shape this (0.9.75): an answer queued in the handler's first call closes the connection,
 * one in a later call keeps it; its time-out counts idle time only.
 */
#include "http.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/abstract.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"

#define ACCEPTED_AT_ONCE 16 /* of one socket, before the others and those connected have their turn */
#define GOING_MAX 64u       /* connections shut down that the library has not closed yet */
#define POOL_BYTES 65536u   /* the library's memory for a connection; half of it is a chunk of a stream */
#define UNLIMITED 4000u     /* connections, when there is no limit: what the limit of open files allows anyway */

struct tb_http {
    struct tb_http_options options;
    struct tb_listeners listeners;
    struct MHD_Daemon *daemon;
    struct tb_guard guard;
    int epoll_fd; /* the listeners and the library's own */
    int spare_fd; /* given up for a moment to turn clients away when descriptors run out */
};

/* --- answers ---------------------------------------------------------------------------------------------------------
 */

static void queue(struct tb_http_request *r, unsigned code, const char *type, struct MHD_Response *response,
                  const char *const *headers)
{
    r->code = code;
    r->result = MHD_NO;
    if (!response)
        return;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    for (; headers && headers[0]; headers += 2)
        MHD_add_response_header(response, headers[0], headers[1]);
    const struct tb_web_config *web = r->web ? tb_web_config(r->web) : NULL;
    for (size_t i = 0; web && i < web->header_count; i++) /* a page's own are stricter */
        if (!MHD_get_response_header(response, web->headers[i].name))
            MHD_add_response_header(response, web->headers[i].name, web->headers[i].value);
    r->result = MHD_queue_response(r->mhd, code, response);
    MHD_destroy_response(response);
}

void tb_http_answer_static(struct tb_http_request *r, unsigned code, const char *type, const char *body, size_t len,
                           const char *const *headers)
{
    queue(r, code, type, MHD_create_response_from_buffer(len, (void *)(uintptr_t)body, MHD_RESPMEM_PERSISTENT),
          headers);
}

void tb_http_answer_text(struct tb_http_request *r, unsigned code, const char *text, const char *const *headers)
{
    queue(r, code, "text/plain; charset=utf-8",
          MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY), headers);
}

void tb_http_answer_buffer(struct tb_http_request *r, unsigned code, const char *type, struct tb_buffer *body,
                           const char *const *headers)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(body->len, body->data, MHD_RESPMEM_MUST_FREE);
    if (!response)
        tb_buffer_free(body);
    *body = (struct tb_buffer){0};
    queue(r, code, type, response, headers);
}

struct stream {
    size_t (*read)(void *arg, char *to, size_t space);
    void (*done)(void *arg);
    void *arg;
};

static ssize_t read_stream(void *arg, uint64_t at, char *to, size_t space)
{
    struct stream *s = arg;
    (void)at;
    size_t len = s->read(s->arg, to, space);
    return len ? (ssize_t)len : (ssize_t)MHD_CONTENT_READER_END_OF_STREAM;
}

static void free_stream(void *arg)
{
    struct stream *s = arg;
    s->done(s->arg);
    free(s);
}

void tb_http_answer_stream(struct tb_http_request *r, unsigned code, const char *type,
                           size_t (*read)(void *arg, char *to, size_t space), void (*done)(void *arg), void *arg,
                           const char *const *headers)
{
    struct stream *s = tb_alloc(sizeof *s);
    *s = (struct stream){read, done, arg};
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, POOL_BYTES / 2, read_stream, s, free_stream);
    if (!response)
        free_stream(s);
    queue(r, code, type, response, headers);
}

/* --- requests --------------------------------------------------------------------------------------------------------
 */

const char *tb_http_header(const struct tb_http_request *r, const char *name)
{
    return MHD_lookup_connection_value(r->mhd, MHD_HEADER_KIND, name);
}

struct arguments {
    const char *name;
    const char **values;
    size_t count, max;
    bool are_too_many;
};

static enum MHD_Result look_at_argument(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct arguments *a = arg;
    (void)kind;
    if (strcmp(name, a->name) != 0)
        return MHD_YES;
    if (a->count < a->max)
        a->values[a->count++] = value ? value : "";
    else
        a->are_too_many = true;
    return MHD_YES;
}

bool tb_http_arguments(const struct tb_http_request *r, const char *name, const char **ret, size_t max,
                       size_t *ret_count)
{
    struct arguments a = {name, ret, 0, max, false};
    MHD_get_connection_values(r->mhd, MHD_GET_ARGUMENT_KIND, look_at_argument, &a);
    *ret_count = a.count;
    return !a.are_too_many;
}

struct framing {
    unsigned lengths, encodings;
    bool has_body, differ;
    const char *length;
};

static enum MHD_Result look_at_header(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct framing *f = arg;
    (void)kind;
    if (!value)
        return MHD_YES;
    if (strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0)
        f->encodings++;
    if (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0) {
        f->differ |= f->length && strcmp(f->length, value) != 0;
        f->has_body |= strcmp(value, "0") != 0;
        f->length = value;
        f->lengths++;
    }
    return MHD_YES;
}

static const struct tb_http_page *find_page(const struct tb_http *h, const char *path)
{
    for (size_t i = 0; i < h->options.page_count; i++)
        if (strcmp(h->options.pages[i].path, path) == 0)
            return &h->options.pages[i];
    return NULL;
}

static bool is_any(const char *method, const char *a, const char *b)
{
    return strcmp(method, a) == 0 || strcmp(method, b) == 0;
}

/*
 * What is refused as soon as the head is known: in the handler's first call, so that the connection ends. Right for all
 * of these, since what follows on it cannot be trusted or is not wanted. True: an answer was queued.
 */
static bool refuse(struct tb_http_request *r, const struct tb_http_page *page, const char *method)
{
    static const char *const close_it[] = {"Connection", "close", NULL};
    static const char *const to_read[] = {MHD_HTTP_HEADER_ALLOW, "GET, HEAD", NULL};
    static const char *const to_write[] = {MHD_HTTP_HEADER_ALLOW, "POST, PUT", NULL};
    enum tb_http_methods allowed = page ? page->methods : TB_HTTP_READ;
    enum tb_http_methods asked = is_any(method, MHD_HTTP_METHOD_GET, MHD_HTTP_METHOD_HEAD)   ? TB_HTTP_READ
                                 : is_any(method, MHD_HTTP_METHOD_POST, MHD_HTTP_METHOD_PUT) ? TB_HTTP_WRITE
                                                                                             : 0;
    struct framing f = {0};
    MHD_get_connection_values(r->mhd, MHD_HEADER_KIND, look_at_header, &f);
    if ((f.lengths && f.encodings) || f.differ) {
        r->guard->refused[TB_REFUSED_FRAMING]++;
        tb_http_answer_text(r, MHD_HTTP_BAD_REQUEST, "the length of the request is ambiguous\n", close_it);
    } else if (asked != allowed) {
        r->guard->refused[TB_REFUSED_METHOD]++;
        tb_http_answer_text(r, MHD_HTTP_METHOD_NOT_ALLOWED,
                            allowed == TB_HTTP_READ ? "only GET and HEAD\n" : "only POST and PUT\n",
                            allowed == TB_HTTP_READ ? to_read : to_write);
    } else if (f.has_body || f.encodings) {
        r->guard->refused[TB_REFUSED_BODY]++;
        /* 413: not every release of libmicrohttpd has the same name for it. */
        tb_http_answer_text(r, 413, "no request body is expected\n", close_it);
    }
    return r->code;
}

/*
 * What the web configuration asks of a request, in the handler's second call: the connection is kept. True: an answer
 * was queued.
 */
static bool turn_down(struct tb_http_request *r)
{
    static const char *const ask[] = {MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Basic realm=\"tickbird\", charset=\"UTF-8\"",
                                      NULL};
    static const char *const later[] = {MHD_HTTP_HEADER_RETRY_AFTER, "1", NULL};
    char *password = NULL, *user = NULL;
    enum tb_web_answer answer;
    if (!r->web)
        return false;
    tb_web_again(r->web, false);
    if (!tb_web_may_ask(r->web)) {
        r->guard->refused[TB_REFUSED_RATE]++;
        tb_http_answer_text(r, MHD_HTTP_TOO_MANY_REQUESTS, "too many requests\n", later);
        return true;
    }
    if (tb_web_config(r->web)->user_count)
        user = MHD_basic_auth_get_username_password(r->mhd, &password);
    const union MHD_ConnectionInfo *client = MHD_get_connection_info(r->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    answer = tb_web_may_enter(r->web, client ? client->client_addr : NULL, user, password);
    if (answer == TB_WEB_NO) {
        r->guard->refused[TB_REFUSED_AUTHENTICATION]++;
        tb_http_answer_text(r, MHD_HTTP_UNAUTHORIZED, "a user and a password are needed\n", ask);
    } else if (answer == TB_WEB_LATER) {
        r->guard->refused[TB_REFUSED_HASHING]++;
        tb_http_answer_text(r, MHD_HTTP_TOO_MANY_REQUESTS, "too many new passwords at once\n", later);
    }
    MHD_free(user);
    MHD_free(password);
    return answer != TB_WEB_YES;
}

static struct tb_client *client_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info->socket_context;
}

static enum MHD_Result handle(void *arg, struct MHD_Connection *mhd, const char *url, const char *method,
                              const char *version, const char *body, size_t *body_len, void **request)
{
    struct tb_http *h = arg;
    struct tb_http_request r = {.http = h,
                                .mhd = mhd,
                                .guard = &h->guard,
                                .web = h->options.web,
                                .client = client_of(mhd),
                                .path = url,
                                .arg = h->options.arg};
    const struct tb_http_page *page = find_page(h, url);
    (void)version, (void)body;
    if (!*request) {
        *request = h;
        tb_guard_asked(r.client);
        return refuse(&r, page, method) ? r.result : MHD_YES;
    }
    if (*body_len) {
        *body_len = 0;
        return MHD_YES;
    }
    if (turn_down(&r))
        return r.result;
    if (page)
        page->answer(&r);
    else
        tb_http_answer_text(&r, MHD_HTTP_NOT_FOUND, "not found\n", NULL);
    return r.result;
}

static void on_completed(void *arg, struct MHD_Connection *mhd, void **request, enum MHD_RequestTerminationCode how)
{
    struct tb_http *h = arg;
    (void)how;
    *request = NULL;
    tb_guard_finish(&h->guard, client_of(mhd));
}

/* The request line is complete: a kept connection has begun its next request. Returns what *request starts as. */
static void *on_request_line(void *arg, const char *uri, struct MHD_Connection *mhd)
{
    (void)arg, (void)uri;
    tb_guard_line(client_of(mhd));
    return NULL;
}

/* --- connections -----------------------------------------------------------------------------------------------------
 */

static void on_connected(struct tb_http *h, struct MHD_Connection *mhd, void **context)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct tb_client *c = tb_guard_add(&h->guard, info->connect_fd);
    struct tb_web_tls *tls = h->options.web ? tb_web_tls(h->options.web) : NULL;
    *context = c;
    if (!tls)
        return;
    /* Whatever the library gave the session: this decides, so that a reload counts for the next connection. */
    info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    c->tls = tb_web_tls_ref(tls);
    if (!info || tb_web_tls_apply(tls, info->tls_session) != 0)
        shutdown(c->fd, SHUT_RDWR);
}

static void on_connection(void *arg, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct tb_http *h = arg;
    struct tb_client *c = *context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        on_connected(h, mhd, context);
        return;
    }
    h->guard.refused[TB_REFUSED_HANDSHAKE] += c->tls && !c->has_asked && !c->is_going;
    tb_web_tls_unref(c->tls); /* the session is gone already */
    tb_guard_remove(&h->guard, c);
    *context = NULL;
}

/* Never called: on_connected replaces the credentials that would ask. */
static int no_certificate(gnutls_session_t session, const struct gnutls_cert_retr_st *info, gnutls_pcert_st **chain,
                          unsigned *chain_len, gnutls_ocsp_data_st **ocsp, unsigned *ocsp_len, gnutls_privkey_t *key,
                          unsigned *flags)
{
    (void)session, (void)info, (void)chain, (void)chain_len, (void)ocsp, (void)ocsp_len, (void)key, (void)flags;
    return -1;
}

/* Out of descriptors: with none to spare the client would stay in the queue, and wake us again and again. */
static void turn_away(struct tb_http *h, int listener)
{
    close(h->spare_fd);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        close(fd);
    h->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    h->guard.refused[TB_REFUSED_CONNECTIONS]++;
}

static void accept_from(struct tb_http *h, int listener)
{
    if (h->options.web)
        tb_web_again(h->options.web, false);
    for (int i = 0; i < ACCEPTED_AT_ONCE; i++) {
        struct sockaddr_storage from = {0};
        socklen_t len = sizeof from;
        int fd = accept4(listener, (struct sockaddr *)&from, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS))
            turn_away(h, listener);
        if (fd < 0 && errno != ECONNABORTED && errno != EINTR)
            return;
        if (fd < 0)
            continue;
        if (!tb_guard_admit(&h->guard))
            close(fd);
        else if (MHD_add_connection(h->daemon, fd, (struct sockaddr *)&from, len) != MHD_YES) /* closed it */
            h->guard.refused[TB_REFUSED_CONNECTIONS]++;
    }
}

static void on_library_message(void *arg, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
static void on_library_message(void *arg, const char *format, va_list args)
{
    char text[512];
    (void)arg;
    vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = 0;
    tb_log(TB_LOG_DEBUG, "http library", "message", text, NULL);
}

static bool watch(struct tb_http *h, int fd, uint64_t number)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = number};
    return epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool start_daemon(struct tb_http *h)
{
    unsigned limit = (h->options.connections_max ? h->options.connections_max : UNLIMITED) + GOING_MAX;
    bool has_tls = h->options.web && tb_web_tls(h->options.web);
    unsigned flags = MHD_USE_EPOLL | MHD_USE_ERROR_LOG | MHD_USE_NO_LISTEN_SOCKET | (has_tls ? MHD_USE_TLS : 0u);
    struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_CERT_CALLBACK2, 0, (void *)no_certificate},
                                   {MHD_OPTION_END, 0, NULL}};
    h->daemon =
        MHD_start_daemon(flags, 0, NULL, NULL, handle, h, MHD_OPTION_EXTERNAL_LOGGER, on_library_message, NULL,
                         MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES,
                         MHD_OPTION_CONNECTION_LIMIT, limit, MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
                         MHD_OPTION_URI_LOG_CALLBACK, on_request_line, h, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
                         h, MHD_OPTION_ARRAY, has_tls ? tls : tls + 1, MHD_OPTION_END);
    if (!h->daemon)
        return false;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    return info && watch(h, info->epoll_fd, h->listeners.count);
}

int tb_http_start(const struct tb_http_options *options, struct tb_listeners *listeners, struct tb_http **ret,
                  char **ret_error)
{
    struct tb_http *h = tb_alloc(sizeof *h);
    h->options = *options;
    h->guard.connections_max = options->connections_max;
    h->guard.scrapes_max = options->scrapes_max;
    h->listeners = *listeners;
    h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    h->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    bool is_good = h->epoll_fd >= 0 && start_daemon(h);
    for (size_t i = 0; is_good && i < h->listeners.count; i++)
        is_good = watch(h, h->listeners.fds[i], i);
    if (!is_good) {
        *ret_error = tb_format("http: the library did not start: raise the limit of open files");
        h->listeners = (struct tb_listeners){0};
        tb_http_stop(h);
        return -EIO;
    }
    *listeners = (struct tb_listeners){0};
    *ret = h;
    return 0;
}

void tb_http_stop(struct tb_http *h)
{
    if (!h)
        return;
    if (h->daemon)
        MHD_stop_daemon(h->daemon);
    tb_listeners_close(&h->listeners);
    if (h->epoll_fd >= 0)
        close(h->epoll_fd);
    if (h->spare_fd >= 0)
        close(h->spare_fd);
    free(h);
}

int tb_http_fd(const struct tb_http *h)
{
    return h->epoll_fd;
}

const struct tb_guard *tb_http_guard(const struct tb_http *h)
{
    return &h->guard;
}

int tb_http_timeout_ms(const struct tb_http *h)
{
    MHD_UNSIGNED_LONG_LONG ms;
    bool has_work = MHD_get_timeout(h->daemon, &ms) == MHD_YES && ms == 0;
    return has_work ? 0 : h->guard.clients ? 1000 : -1; /* deadlines are looked at once a second */
}

void tb_http_run(struct tb_http *h)
{
    struct epoll_event events[16];
    tb_guard_sweep(&h->guard);
    int count = epoll_wait(h->epoll_fd, events, 16, 0);
    for (int i = 0; i < count; i++)
        if (events[i].data.u64 < h->listeners.count)
            accept_from(h, h->listeners.fds[events[i].data.u64]);
    MHD_run(h->daemon);
}
