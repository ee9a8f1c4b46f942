/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exporter's HTTP side, with the library, against any bytes of a client, in two parts. Whatever comes: each answer
 * has a head, a scrape is whole or not begun, and nothing stays behind when the client is gone.
 *
 * Input: a byte: bit 0: users are asked for a password, bits 1 to 7: where the rest is cut in two (in 1/128 of it).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "exporter/http_pages.h"
#include "exporter/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* cost 4, so that it takes a millisecond; alice:secret */
static const char users[] =
    "basic_auth_users:\n  alice: $2y$04$4zfarwBHEvikpiimly.8v.f7SFJPVNcnDOnfvwWSc0a18a4mZ7bi.\nhttp_server_config:\n  "
    "headers: {X-Frame-Options: deny}\n";

struct server {
    struct tb_http *http;
    struct sockaddr_un address;
    socklen_t address_len;
};
static struct server servers[2]; /* open, with users */
static struct tb_snapshot *snapshot;
static struct tb_history *history;

static int scrape(void *arg, const struct tb_scrape_ask *ask, struct tb_exposition *ret)
{
    static const struct tb_metric m = {"m", "", "h", TB_METRIC_GAUGE, 0};
    (void)arg, (void)ask;
    tb_expose_single(ret, &m, 1, 0);
    return 0;
}

static void scraped(void *arg, unsigned code)
{
    (void)arg;
    if (code != 200 && code != 400 && code != 503)
        abort();
}

static bool yes(void *arg)
{
    (void)arg;
    return true;
}

static int look(void *arg, struct tb_look *ret)
{
    (void)arg;
    *ret = (struct tb_look){.snapshot = snapshot, .history = history, .now_ns = 1, .ledger = "none"};
    return 0;
}

static struct tb_web *make_web(void)
{
    char path[32], *errors = NULL;
    int fd = memfd_create("web", MFD_CLOEXEC);
    if (fd < 0 || write(fd, users, sizeof users - 1) != (ssize_t)sizeof users - 1)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct tb_web *w = tb_web_new(path, &errors);
    if (!w)
        abort();
    return w;
}

static void start(struct server *s, struct tb_web *web)
{
    static struct tb_response_totals totals;
    struct tb_pages_options pages = {.telemetry_path = "/metrics",
                                     .scrape = scrape,
                                     .scraped = scraped,
                                     .is_ready = yes,
                                     .reload = yes,
                                     .totals = &totals,
                                     .look = look};
    struct tb_http_options options = {.connections_max = 8, .scrapes_max = 4, .web = web};
    struct tb_listeners listeners = {0};
    char *error = NULL;
    s->address = (struct sockaddr_un){.sun_family = AF_UNIX};
    s->address_len = sizeof s->address;
    listeners.fds = tb_grow(NULL, 0, &listeners.space, sizeof *listeners.fds);
    listeners.fds[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    listeners.count = 1;
    /* a name of the kernel's choice */
    if (bind(listeners.fds[0], (struct sockaddr *)&s->address, sizeof(sa_family_t)) < 0 ||
        listen(listeners.fds[0], 8) < 0 ||
        getsockname(listeners.fds[0], (struct sockaddr *)&s->address, &s->address_len) < 0)
        abort();
    tb_pages_new(&pages, &options);
    if (tb_http_start(&options, &listeners, &s->http, &error) < 0)
        abort();
}

/* Lets the server work until it has nothing to do or has closed; what it says is appended to @answer. */
static void turn(const struct server *s, int fd, struct tb_buffer *answer)
{
    for (int idle = 0; idle < 3;) {
        tb_http_run(s->http);
        ssize_t n = recv(fd, tb_buffer_room(answer, 65536), 65536, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return;
        if (n > 0)
            answer->len += (size_t)n;
        idle = n > 0 || tb_http_timeout_ms(s->http) == 0 ? 0 : idle + 1;
    }
}

static void check_answer(const struct tb_buffer *answer)
{
    if (!answer->len)
        return;
    if (answer->len < 13 || memcmp(answer->data, "HTTP/1.", 7) != 0 || answer->data[9] < '1' || answer->data[9] > '5')
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tb_buffer answer = {0};
    if (!servers[0].http) {
        tb_log_setup(TB_LOG_ERROR + 1, TB_LOG_LOGFMT);
        snapshot = tb_snapshot_new();
        history = tb_history_new();
        start(&servers[0], NULL);
        start(&servers[1], make_web());
    }
    if (!size)
        return 0;
    const struct server *s = &servers[data[0] & 1];
    size_t cut = (size - 1) * (data[0] >> 1) / 128;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&s->address, s->address_len) < 0)
        abort();
    /* a part that does not fit into the socket is lost: the server has closed then, or reads too slowly to matter */
    (void)!send(fd, data + 1, cut, MSG_DONTWAIT | MSG_NOSIGNAL);
    turn(s, fd, &answer);
    (void)!send(fd, data + 1 + cut, size - 1 - cut, MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    turn(s, fd, &answer);
    check_answer(&answer);
    close(fd);
    for (int i = 0; i < 100 && tb_http_guard(s->http)->clients; i++)
        tb_http_run(s->http);
    const struct tb_guard *g = tb_http_guard(s->http);
    if (g->clients || g->connections || g->scrapes || g->held)
        abort();
    tb_buffer_free(&answer);
    return 0;
}
