/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libmicrohttpd glue. The library parses and frames; here are the pages, the refusals that it leaves to its user (two
 * ways of framing one body, methods), and deadlines: its own time-out counts idle time only, so that a client that
 * sends or takes a byte now and then would be kept for ever.
 */
#include "http.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "boot.h"
#include "log.h"
#include "render.h"

#define CONNECTIONS_MAX 512u
#define SCRAPES_MAX 40u /* answers under way at once; each holds its text until it is sent */
#define SECOND_NS UINT64_C(1000000000)
#define HEADER_NS (60 * SECOND_NS)      /* from connecting, or from the request line, to the end of the head */
#define RESPONSE_NS (60 * SECOND_NS)    /* from the head to the response's last byte */
#define KEEP_ALIVE_NS (600 * SECOND_NS) /* from a response to the next request line */

struct connection {
    struct tb_http *http;
    struct connection *next, *prev;
    MHD_socket fd;
    uint64_t deadline_ns; /* CLOCK_MONOTONIC */
    bool is_scrape;       /* holds a scrape's text */
};

struct tb_http {
    struct tb_http_options options;
    char *landing_page;
    struct MHD_Daemon *daemon;
    uint16_t port;
    struct connection *connections;
    unsigned scrapes; /* under way */
    uint64_t swept_ns;
};

static uint64_t now_ns(void)
{
    return tb_clock_ns(CLOCK_MONOTONIC);
}

/* --- answers ---------------------------------------------------------------------------------------------------------
 */

static enum MHD_Result queue(struct MHD_Connection *mhd, unsigned code, const char *type, const char *extra_name,
                             const char *extra_value, struct MHD_Response *response)
{
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (extra_name)
        MHD_add_response_header(response, extra_name, extra_value);
    enum MHD_Result r = MHD_queue_response(mhd, code, response);
    MHD_destroy_response(response);
    return r;
}

static enum MHD_Result answer_text(struct MHD_Connection *mhd, unsigned code, const char *text, const char *extra_name,
                                   const char *extra_value)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
    return queue(mhd, code, "text/plain; charset=utf-8", extra_name, extra_value, response);
}

static enum MHD_Result answer_scrape(struct tb_http *h, struct connection *c, struct MHD_Connection *mhd)
{
    struct tb_buffer out = {0};
    unsigned code = MHD_HTTP_OK;
    enum MHD_Result r;
    if (h->scrapes >= SCRAPES_MAX) {
        code = MHD_HTTP_SERVICE_UNAVAILABLE;
        r = answer_text(mhd, code, "too many scrapes at once\n", "Retry-After", "1");
    } else if (h->options.scrape(h->options.arg, &out) < 0) {
        code = MHD_HTTP_INTERNAL_SERVER_ERROR;
        tb_buffer_free(&out);
        r = answer_text(mhd, code, "the regions could not be read; see the exporter's log\n", NULL, NULL);
    } else {
        struct MHD_Response *response = MHD_create_response_from_buffer(out.len, out.data, MHD_RESPMEM_MUST_FREE);
        if (!response)
            tb_buffer_free(&out);
        else if (c && !c->is_scrape) {
            c->is_scrape = true;
            h->scrapes++;
        }
        r = queue(mhd, code, tb_encoding_text.content_type, NULL, NULL, response);
    }
    h->options.scraped(h->options.arg, code);
    return r;
}

static char *make_landing_page(const char *telemetry_path)
{
    struct tb_buffer b = {0};
    tb_puts(
        &b,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Tickbird exporter</title></head>\n"
        "<body>\n<h1>Tickbird exporter</h1>\n<p>HTTP metrics of unmodified servers. Version " TB_VERSION
        ".</p>\n<ul>\n<li><a href=\"");
    for (const char *p = telemetry_path; *p; p++) {
        const char *entity = *p == '&' ? "&amp;" : *p == '<' ? "&lt;" : *p == '"' ? "&quot;" : NULL;
        if (entity)
            tb_puts(&b, entity);
        else
            tb_put(&b, p, 1);
    }
    tb_puts(&b, "\">Metrics</a></li>\n<li><a href=\"/-/healthy\">Health</a></li>\n"
                "<li><a href=\"/-/ready\">Readiness</a></li>\n</ul>\n</body>\n</html>\n");
    tb_put(&b, "", 1);
    return b.data;
}

static enum MHD_Result answer_landing(struct tb_http *h, struct MHD_Connection *mhd)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(h->landing_page), h->landing_page, MHD_RESPMEM_PERSISTENT);
    return queue(mhd, MHD_HTTP_OK, "text/html; charset=utf-8", "Content-Security-Policy", "default-src 'none'",
                 response);
}

/* --- requests --------------------------------------------------------------------------------------------------------
 */

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

/*
 * What is refused as soon as the head is known. Queued in the handler's first call, which makes the library close the
 * connection: right for all of these, since what follows on it cannot be trusted or is not wanted.
 * Returns true when an answer was queued, with its result.
 */
static bool refuse(struct MHD_Connection *mhd, const char *method, enum MHD_Result *ret)
{
    struct framing f = {0};
    MHD_get_connection_values(mhd, MHD_HEADER_KIND, look_at_header, &f);
    if ((f.lengths && f.encodings) || f.differ)
        *ret =
            answer_text(mhd, MHD_HTTP_BAD_REQUEST, "the length of the request is ambiguous\n", "Connection", "close");
    else if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        *ret = answer_text(mhd, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n", MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    else if (f.has_body || f.encodings)
        *ret = answer_text(mhd, MHD_HTTP_CONTENT_TOO_LARGE, "no request body is expected\n", "Connection", "close");
    else
        return false;
    return true;
}

static struct connection *connection_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static enum MHD_Result route(struct tb_http *h, struct MHD_Connection *mhd, const char *url)
{
    if (strcmp(url, h->options.telemetry_path) == 0)
        return answer_scrape(h, connection_of(mhd), mhd);
    if (strcmp(url, "/") == 0)
        return answer_landing(h, mhd);
    if (strcmp(url, "/-/healthy") == 0)
        return answer_text(mhd, MHD_HTTP_OK, "Tickbird exporter is healthy.\n", NULL, NULL);
    if (strcmp(url, "/-/ready") == 0)
        return h->options.is_ready(h->options.arg)
                   ? answer_text(mhd, MHD_HTTP_OK, "Tickbird exporter is ready.\n", NULL, NULL)
                   : answer_text(mhd, MHD_HTTP_SERVICE_UNAVAILABLE, "Tickbird exporter is not ready.\n", NULL, NULL);
    return answer_text(mhd, MHD_HTTP_NOT_FOUND, "not found\n", NULL, NULL);
}

static enum MHD_Result handle(void *arg, struct MHD_Connection *mhd, const char *url, const char *method,
                              const char *version, const char *body, size_t *body_len, void **request)
{
    struct tb_http *h = arg;
    enum MHD_Result r;
    (void)version, (void)body;
    if (!*request) {
        struct connection *c = connection_of(mhd);
        if (c)
            c->deadline_ns = now_ns() + RESPONSE_NS;
        *request = h;
        /* The library keeps a connection only when the answer is queued in a later call. */
        return refuse(mhd, method, &r) ? r : MHD_YES;
    }
    if (*body_len) {
        *body_len = 0;
        return MHD_YES;
    }
    return route(h, mhd, url);
}

static void on_completed(void *arg, struct MHD_Connection *mhd, void **request, enum MHD_RequestTerminationCode how)
{
    struct tb_http *h = arg;
    struct connection *c = connection_of(mhd);
    (void)how;
    *request = NULL;
    if (!c)
        return;
    c->deadline_ns = now_ns() + KEEP_ALIVE_NS;
    if (c->is_scrape)
        h->scrapes--;
    c->is_scrape = false;
}

/* The request line is complete: a kept connection has begun its next request. Returns what *request starts as. */
static void *on_request_line(void *arg, const char *uri, struct MHD_Connection *mhd)
{
    struct connection *c = connection_of(mhd);
    (void)arg, (void)uri;
    if (c && c->deadline_ns > now_ns() + HEADER_NS)
        c->deadline_ns = now_ns() + HEADER_NS;
    return NULL;
}

static void on_connection(void *arg, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct tb_http *h = arg;
    struct connection *c = *context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        c = tb_alloc(sizeof *c);
        c->http = h;
        c->fd = info ? info->connect_fd : MHD_INVALID_SOCKET;
        c->deadline_ns = now_ns() + HEADER_NS;
        c->next = h->connections;
        if (c->next)
            c->next->prev = c;
        h->connections = c;
        *context = c;
    } else if (c) {
        if (c->is_scrape)
            h->scrapes--;
        if (c->prev)
            c->prev->next = c->next;
        else
            h->connections = c->next;
        if (c->next)
            c->next->prev = c->prev;
        free(c);
        *context = NULL;
    }
}

/* Closing belongs to the library: a socket shut down looks to it like a client that left. */
static void sweep(struct tb_http *h)
{
    uint64_t now = now_ns();
    if (now - h->swept_ns < SECOND_NS)
        return;
    h->swept_ns = now;
    for (struct connection *c = h->connections; c; c = c->next)
        if (c->fd != MHD_INVALID_SOCKET && now > c->deadline_ns)
            shutdown(c->fd, SHUT_RDWR);
}

/* --- listening -------------------------------------------------------------------------------------------------------
 */

static int listen_on(int family, const struct sockaddr *address, socklen_t len)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1, off = 0;
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, address, len) < 0 || listen(fd, 128) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

static int listen_everywhere(uint16_t port)
{
    struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_ANY_INIT};
    struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = listen_on(AF_INET6, (const struct sockaddr *)&any6, sizeof any6);
    if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL) /* no IPv6 here */
        fd = listen_on(AF_INET, (const struct sockaddr *)&any4, sizeof any4);
    return fd;
}

static bool parse_port(const char *text, uint16_t *ret)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || n > UINT16_MAX)
        return false;
    *ret = (uint16_t)n;
    return true;
}

/* Descriptor or -errno; *ret_error is set then. */
static int open_listener(const char *address, char **ret_error)
{
    const char *colon = strrchr(address, ':');
    uint16_t port;
    if (!colon || !parse_port(colon + 1, &port)) {
        *ret_error =
            tb_format("--web.listen-address: \"%s\" has no port: give HOST:PORT, :PORT or [IPV6]:PORT", address);
        return -EINVAL;
    }
    int fd = -EADDRNOTAVAIL;
    size_t len = (size_t)(colon - address);
    if (len == 0) {
        fd = listen_everywhere(port);
    } else {
        bool is_bracketed = len > 2 && address[0] == '[' && address[len - 1] == ']';
        char *host = is_bracketed ? tb_strndup(address + 1, len - 2) : tb_strndup(address, len);
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found = NULL;
        int why = getaddrinfo(host, colon + 1, &hints, &found);
        free(host);
        if (why) {
            *ret_error =
                tb_format("--web.listen-address %s: %s: name an address of this machine", address, gai_strerror(why));
            return -EADDRNOTAVAIL;
        }
        for (struct addrinfo *a = found; a && fd < 0; a = a->ai_next)
            fd = listen_on(a->ai_family, a->ai_addr, a->ai_addrlen);
        freeaddrinfo(found);
    }
    if (fd < 0)
        *ret_error = tb_format("--web.listen-address %s: %s: %s", address, strerror(-fd),
                               fd == -EADDRINUSE ? "stop what listens there, or choose another port"
                               : fd == -EACCES   ? "choose a port above 1023, or start with the right to bind it"
                                                 : "name an address of this machine");
    return fd;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    uint16_t port = 0;
    if (getsockname(fd, (struct sockaddr *)&address, &len) < 0)
        return 0;
    if (address.ss_family == AF_INET6)
        port = ((struct sockaddr_in6 *)&address)->sin6_port;
    else if (address.ss_family == AF_INET)
        port = ((struct sockaddr_in *)&address)->sin_port;
    return ntohs(port);
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

int tb_http_start(const struct tb_http_options *options, struct tb_http **ret, char **ret_error)
{
    int fd = open_listener(options->address, ret_error);
    if (fd < 0)
        return fd;
    struct tb_http *h = tb_alloc(sizeof *h);
    h->options = *options;
    h->options.telemetry_path = tb_strndup(options->telemetry_path, strlen(options->telemetry_path));
    h->options.address = NULL;
    h->landing_page = make_landing_page(options->telemetry_path);
    h->port = port_of(fd);
    h->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, handle, h,
                                 MHD_OPTION_EXTERNAL_LOGGER, on_library_message, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
                                 MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
                                 MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(KEEP_ALIVE_NS / SECOND_NS),
                                 MHD_OPTION_NOTIFY_COMPLETED, on_completed, h, MHD_OPTION_URI_LOG_CALLBACK,
                                 on_request_line, h, MHD_OPTION_NOTIFY_CONNECTION, on_connection, h, MHD_OPTION_END);
    if (!h->daemon) {
        *ret_error = tb_format("http: the library did not start: raise the limit of open files");
        close(fd);
        tb_http_stop(h);
        return -EIO;
    }
    *ret = h;
    return 0;
}

void tb_http_stop(struct tb_http *h)
{
    if (!h)
        return;
    if (h->daemon)
        MHD_stop_daemon(h->daemon);
    free((void *)(uintptr_t)h->options.telemetry_path);
    free(h->landing_page);
    free(h);
}

uint16_t tb_http_port(const struct tb_http *h)
{
    return h->port;
}

int tb_http_fd(const struct tb_http *h)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    return info ? info->epoll_fd : -1;
}

int tb_http_timeout_ms(const struct tb_http *h)
{
    MHD_UNSIGNED_LONG_LONG ms;
    bool has_timeout = MHD_get_timeout(h->daemon, &ms) == MHD_YES;
    if (!h->connections)
        return has_timeout && ms < 60000 ? (int)ms : -1;
    return has_timeout && ms < 1000 ? (int)ms : 1000; /* deadlines are looked at once a second */
}

void tb_http_run(struct tb_http *h)
{
    sweep(h);
    MHD_run(h->daemon);
}
