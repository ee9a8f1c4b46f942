/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP side with real sockets on loopback, clients and server in one thread: pages, refusals, kept connections, and
 * the deadlines under a clock that the test moves.
 *
 * LDFLAGS: -Wl,--wrap=tb_clock_ns
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "exporter/boot.h"
#include "exporter/http_pages.h"

static uint64_t clock_ns;

uint64_t __wrap_tb_clock_ns(int clock_id);
uint64_t __wrap_tb_clock_ns(int clock_id)
{
    (void)clock_id;
    return clock_ns;
}

static struct tb_http *http;
static struct tb_pages *pages;
static uint16_t port;
static size_t scrape_len;
static int scrape_error;
static bool ready;
static unsigned last_code, scrapes;
static struct tb_filter asked; /* of the last scrape; only the counts outlive it */
static uint64_t scrape_ns;     /* that one takes */

/* One sample whose label makes the text scrape_len bytes long. */
static int scrape(void *arg, const struct tb_scrape_ask *ask, struct tb_exposition *ret)
{
    static const struct tb_metric m = {"m", "", "h", TB_METRIC_GAUGE, 0};
    const size_t rest = sizeof "# HELP m h\n# TYPE m gauge\nm{} 1\n" - 1, len = scrape_len - rest;
    (void)arg;
    asked = *ask->filter;
    clock_ns += scrape_ns;
    if (scrape_error)
        return scrape_error;
    char *labels = tb_alloc(len);
    memset(labels, 'x', len);
    memcpy(labels, "a=\"", 3);
    labels[len - 1] = '"';
    tb_expose_family(ret, &m);
    tb_expose_value(ret, (struct tb_labels){.text = labels, .len = len}, 1, 0);
    free(labels);
    return 0;
}

static void scraped(void *arg, unsigned code)
{
    (void)arg;
    last_code = code;
    scrapes++;
}

static bool is_ready(void *arg)
{
    (void)arg;
    return ready;
}

static struct tb_snapshot *snapshot;
static struct tb_history *history;
static int look_error;

static int look(void *arg, struct tb_look *ret)
{
    (void)arg;
    *ret = (struct tb_look){.snapshot = snapshot, .history = history, .now_ns = clock_ns, .ledger = "none"};
    return look_error;
}

static bool may_reload;
static unsigned reloads;

static bool reload(void *arg)
{
    (void)arg;
    reloads++;
    return may_reload;
}

static int set_up(void **state)
{
    (void)state;
    char *error = NULL;
    clock_ns = 1000000000000;
    scrape_len = 100;
    scrape_ns = 0;
    scrape_error = 0;
    ready = true;
    look_error = 0;
    snapshot = tb_snapshot_new();
    history = tb_history_new();
    scrapes = reloads = 0;
    may_reload = true;
    asked = (struct tb_filter){0};
    struct tb_pages_options ours = {.telemetry_path = "/metrics",
                                    .scrape = scrape,
                                    .scraped = scraped,
                                    .is_ready = is_ready,
                                    .reload = reload,
                                    .look = look};
    struct tb_http_options o = {.connections_max = 128, .scrapes_max = 40};
    struct tb_listeners listeners = {0};
    pages = tb_pages_new(&ours, &o);
    if (tb_listeners_open((const char *const[]){"127.0.0.1:0"}, 1, &listeners, &error) < 0)
        return -1;
    port = tb_listener_port(listeners.fds[0]);
    return tb_http_start(&o, &listeners, &http, &error);
}

static int tear_down(void **state)
{
    (void)state;
    tb_http_stop(http);
    tb_pages_free(pages);
    tb_history_free(history);
    tb_snapshot_free(snapshot);
    return 0;
}

static uint64_t refused(enum tb_refused why)
{
    return tb_http_guard(http)->refused[why];
}

/* --- a client --------------------------------------------------------------------------------------------------------
 */

static int dial(int receive_buffer)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (receive_buffer)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Lets the server work until it has nothing to do for a moment. */
static void pump(void)
{
    struct pollfd p = {.fd = tb_http_fd(http), .events = POLLIN};
    do {
        tb_http_run(http);
    } while (poll(&p, 1, 20) > 0);
}

/* What the kernel brings late on a busy machine takes more than a moment: ten seconds at most. */
#define PUMP_UNTIL(condition)                                                                                          \
    for (int pumped_ = 0; pump(), !(condition) && pumped_ < 500; pumped_++)                                            \
    continue

/* Reads until @enough bytes are there or the connection ends. Returns the length; @ret_closed says which. */
static size_t receive(int fd, char *to, size_t space, size_t enough, bool *ret_closed)
{
    size_t len = 0;
    *ret_closed = false;
    for (int idle = 0; len < enough && idle < 200;) {
        tb_http_run(http);
        ssize_t n = recv(fd, to + len, space - 1 - len, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno == ECONNRESET)) {
            *ret_closed = true;
            break;
        }
        struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = tb_http_fd(http), .events = POLLIN}};
        if (n < 0)
            idle += poll(p, 2, 10) == 0;
        else
            len += (size_t)n;
    }
    to[len] = 0;
    return len;
}

struct answer {
    unsigned code;
    char text[32768]; /* head and body */
    const char *body;
    bool is_closed;
};

/* One request on a connection of its own; everything until the server closes or says no more. */
static struct answer ask(const char *request)
{
    struct answer a = {0};
    int fd = dial(0);
    say(fd, request);
    receive(fd, a.text, sizeof a.text, sizeof a.text - 1, &a.is_closed);
    close(fd);
    sscanf(a.text, "HTTP/1.%*d %u", &a.code);
    a.body = strstr(a.text, "\r\n\r\n");
    a.body = a.body ? a.body + 4 : "";
    return a;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

static void pages_are_where_they_are_expected(void **state)
{
    (void)state;
    struct answer a = ask(GET("/metrics"));
    assert_int_equal(a.code, 200);
    assert_non_null(strstr(a.text, "Content-Type: text/plain; version=0.0.4; charset=utf-8; escaping=underscores\r\n"));
    assert_int_equal(strlen(a.body), 100);
    assert_int_equal(last_code, 200);
    a = ask(GET("/metrics?x=y"));
    assert_int_equal(a.code, 200);
    a = ask(GET("/"));
    assert_int_equal(a.code, 200);
    assert_non_null(strstr(a.text, "Content-Type: text/html; charset=utf-8\r\n"));
    assert_non_null(strstr(a.text, "Content-Security-Policy: default-src 'none'; script-src 'self'; "));
    assert_non_null(strstr(a.body, "href=\"metrics\""));
    assert_int_equal(ask(GET("/-/healthy")).code, 200);
    assert_int_equal(ask(GET("/-/ready")).code, 200);
    ready = false;
    assert_int_equal(ask(GET("/-/ready")).code, 503);
    assert_int_equal(ask(GET("/metrics/")).code, 404);
    assert_int_equal(ask(GET("/nope")).code, 404);
    assert_int_equal(scrapes, 2);
}

static void the_api_takes_arguments_and_says_what_is_wrong(void **state)
{
    (void)state;
    struct answer a = ask(GET("/api/v1/overview?service=a%20b&sort=p95&limit=3&unknown=1"));
    assert_int_equal(a.code, 200);
    assert_non_null(strstr(a.text, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(a.text, "Cache-Control: no-store\r\n"));
    assert_non_null(strstr(a.body, "\"sort\":\"p95\""));
    assert_int_equal(ask(GET("/api/v1/routes?sort=speed")).code, 400);
    assert_int_equal(ask(GET("/api/v1/routes?limit=1001")).code, 400);
    assert_int_equal(ask(GET("/api/v1/routes?limit=-1")).code, 400);
    assert_int_equal(ask(GET("/api/v1/routes?limit=")).code, 200);
    a = ask(GET("/api/v1/routes?search=a&search=b"));
    assert_int_equal(a.code, 400);
    assert_non_null(strstr(a.body, "{\"error\":\"an argument is given twice\"}"));
    assert_int_equal(ask(GET("/api/v1/")).code, 404);
    assert_int_equal(ask("POST /api/v1/status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").code, 405);
    look_error = -EMFILE;
    assert_int_equal(ask(GET("/api/v1/status")).code, 500);
    assert_int_equal(ask(GET("/")).code, 500);
    assert_int_equal(ask(GET("/-/page.js")).code, 200);
    assert_int_equal(ask(GET("/-/docs/api.md")).code, 200);
    assert_int_equal(scrapes, 0); /* none of these is one */
}

static void head_is_get_without_a_body(void **state)
{
    (void)state;
    struct answer a = ask("HEAD /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_int_equal(a.code, 200);
    assert_non_null(strstr(a.text, "Content-Length: 100\r\n"));
    assert_string_equal(a.body, "");
}

static void a_failed_scrape_is_a_500(void **state)
{
    (void)state;
    scrape_error = -EMFILE;
    assert_int_equal(ask(GET("/metrics")).code, 500);
    assert_int_equal(last_code, 500);
}

static void many_scrapes_share_one_connection(void **state)
{
    (void)state;
    int fd = dial(0);
    for (unsigned i = 0; i < 50; i++) {
        char text[1024];
        bool is_closed;
        say(fd, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
        size_t len = receive(fd, text, sizeof text, 100, &is_closed);
        while (!is_closed && len && (!strstr(text, "\r\n\r\n") || strlen(strstr(text, "\r\n\r\n")) < 104))
            len += receive(fd, text + len, sizeof text - len, 1, &is_closed);
        assert_false(is_closed);
        assert_memory_equal(text, "HTTP/1.1 200", 12);
    }
    close(fd);
    assert_int_equal(scrapes, 50);
}

static void other_methods_are_refused_with_what_is_allowed(void **state)
{
    (void)state;
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        char request[200];
        snprintf(request, sizeof request, "%s /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", methods[i]);
        struct answer a = ask(request);
        assert_int_equal(a.code, 405);
        assert_non_null(strstr(a.text, "Allow: GET, HEAD\r\n"));
    }
    struct answer a = ask("POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\nabc");
    assert_int_equal(a.code, 405);
    assert_true(a.is_closed);
    assert_int_equal(scrapes, 0);
}

static void ambiguous_lengths_are_refused_and_the_connection_ends(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "POST /metrics HTTP/1.1\r\nHost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct answer a = ask(requests[i]);
        assert_int_equal(a.code, 400);
        assert_true(a.is_closed);
    }
    struct answer a = ask("GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_int_equal(a.code, 413);
    assert_true(a.is_closed);
    assert_int_equal(scrapes, 0);
}

static void old_and_broken_clients(void **state)
{
    (void)state;
    assert_int_equal(ask("GET /metrics HTTP/1.0\r\n\r\n").code, 200);
    assert_int_equal(ask("GET /metrics HTTP/1.1\r\n\r\n").code, 400); /* no Host */
    struct answer a = ask("\x16\x03\x01\x02\x01\x01\xfc\r\n\r\n");
    assert_true(a.code == 0 || a.code >= 400);
    assert_true(a.is_closed);
}

/* --- deadlines and limits --------------------------------------------------------------------------------------------
 */

/* After what is on its way: the kernel goes on sending what it was given. */
static bool is_closed(int fd)
{
    char text[65536];
    for (;;) {
        ssize_t n = recv(fd, text, sizeof text, MSG_DONTWAIT);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return true;
        if (n < 0 && poll(&p, 1, 20) == 0)
            return false;
    }
}

static bool gets_closed(int fd)
{
    PUMP_UNTIL(is_closed(fd));
    return is_closed(fd);
}

static void slow_heads_end_at_a_deadline(void **state)
{
    (void)state;
    const uint64_t second = 1000000000;
    int silent = dial(0), slow = dial(0), idle = dial(0);
    say(idle, "GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n");
    say(slow, "GET /metrics HTTP/1.1\r\nX: ");
    PUMP_UNTIL(tb_http_guard(http)->connections == 3);
    for (unsigned i = 0; i < 9; i++) { /* a byte now and then is not idle for the library */
        clock_ns += second;
        say(slow, "y");
        pump();
        assert_false(is_closed(slow) || is_closed(silent) || is_closed(idle));
    }
    clock_ns += 2 * second;
    assert_true(gets_closed(slow));
    assert_true(gets_closed(silent));
    assert_false(is_closed(idle)); /* answered once: it may wait for its next scrape */
    say(idle, "GET /metrics HTTP/1.1\r\nX: ");
    pump();
    clock_ns += 12 * second;
    assert_true(gets_closed(idle));
    assert_int_equal(refused(TB_REFUSED_SLOW_REQUEST), 3);
    close(silent);
    close(slow);
    close(idle);
}

/* Asks for a scrape and takes nothing of it. */
static int ask_and_wait(const char *headers)
{
    unsigned before = scrapes;
    int fd = dial(4096);
    say(fd, "GET /metrics HTTP/1.1\r\nHost: a\r\n");
    say(fd, headers);
    say(fd, "\r\n");
    PUMP_UNTIL(scrapes > before);
    return fd;
}

static void scrapes_beyond_the_limit_get_a_503(void **state)
{
    (void)state;
    int fds[40];
    scrape_len = 3 << 20;
    for (unsigned i = 0; i < 40; i++)
        fds[i] = ask_and_wait("");
    assert_int_equal(scrapes, 40);
    assert_int_equal(last_code, 200);
    clock_ns += UINT64_C(9000000000); /* none of them is slow yet */
    struct answer a = ask(GET("/metrics"));
    assert_int_equal(a.code, 503);
    assert_non_null(strstr(a.text, "Retry-After: 1\r\n"));
    assert_int_equal(last_code, 503);
    assert_int_equal(refused(TB_REFUSED_SCRAPES), 1);
    assert_int_equal(ask(GET("/-/healthy")).code, 200);
    for (unsigned i = 0; i < 40; i++) /* a client that leaves gives its place back */
        close(fds[i]);
    PUMP_UNTIL(tb_http_guard(http)->scrapes == 0);
    scrape_len = 100;
    assert_int_equal(ask(GET("/metrics")).code, 200);
}

static void the_slowest_reader_goes_when_its_place_is_needed(void **state)
{
    (void)state;
    int fds[40];
    scrape_len = 3 << 20;
    for (unsigned i = 0; i < 40; i++) {
        fds[i] = ask_and_wait("");
        clock_ns += 1000000;
    }
    clock_ns += UINT64_C(11000000000);
    scrape_len = 100;
    assert_int_equal(ask(GET("/metrics")).code, 200);
    assert_int_equal(refused(TB_REFUSED_SLOW_READER), 1);
    assert_true(gets_closed(fds[0]));
    assert_false(is_closed(fds[1]));
    clock_ns += UINT64_C(62000000000);
    assert_true(gets_closed(fds[39]));
    for (unsigned i = 0; i < 40; i++)
        close(fds[i]);
    assert_int_equal(refused(TB_REFUSED_SLOW_READER), 40);
    assert_int_equal(tb_http_guard(http)->scrapes, 0);
    assert_int_equal(tb_http_guard(http)->held, 0);
}

static void unsent_scrapes_hold_a_bounded_amount_of_memory(void **state)
{
    (void)state;
    int fds[4];
    scrape_len = TB_HELD_BYTES_MAX / 4 + 1; /* three fit */
    for (unsigned i = 0; i < 3; i++)
        fds[i] = ask_and_wait("");
    assert_int_equal(last_code, 200);
    assert_int_equal(ask(GET("/metrics")).code, 503);
    clock_ns += UINT64_C(11000000000);
    fds[3] = ask_and_wait("");
    assert_int_equal(last_code, 200);
    assert_true(tb_http_guard(http)->held <= TB_HELD_BYTES_MAX);
    assert_int_equal(refused(TB_REFUSED_SLOW_READER), 1);
    assert_int_equal(tb_http_guard(http)->scrapes, 3);
    for (unsigned i = 0; i < 4; i++)
        close(fds[i]);
}

static void a_scrape_is_in_time_or_refused(void **state)
{
    (void)state;
    const char *header = "X-Prometheus-Scrape-Timeout-Seconds: 0.5\r\n",
               *nonsense[] = {"0", "-1", "nan", "1e99", "x", ""};
    scrape_ns = 400000000;
    close(ask_and_wait(header));
    assert_int_equal(last_code, 200);
    scrape_ns = 600000000;
    struct answer a = ask(
        "GET /metrics HTTP/1.1\r\nHost: a\r\nX-Prometheus-Scrape-Timeout-Seconds: 0.5\r\nConnection: close\r\n\r\n");
    assert_int_equal(a.code, 503);
    assert_int_equal(refused(TB_REFUSED_TOO_LATE), 1);
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        char request[200];
        snprintf(request, sizeof request,
                 "GET /metrics HTTP/1.1\r\nHost: a\r\nX-Prometheus-Scrape-Timeout-Seconds: %s\r\nConnection: "
                 "close\r\n\r\n",
                 nonsense[i]);
        assert_int_equal(ask(request).code, 200);
    }
    scrape_ns = 0;
    scrape_len = 3 << 20;
    int slow = ask_and_wait("X-Prometheus-Scrape-Timeout-Seconds: 5\r\n");
    clock_ns += UINT64_C(7000000000); /* whoever gave up after 5 s does not read any more */
    assert_true(gets_closed(slow));
    close(slow);
}

static void a_full_house_closes_who_idles_longest(void **state)
{
    (void)state;
    int fds[128];
    for (unsigned i = 0; i < 128; i++) {
        clock_ns += 1000000;
        fds[i] = dial(0);
        PUMP_UNTIL(tb_http_guard(http)->connections == i + 1);
    }
    /* the oldest one has been answered: it is worth more than those that never asked */
    say(fds[0], "GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n");
    pump();
    assert_int_equal(tb_http_guard(http)->connections, 128);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(ask(GET("/metrics")).code, 200);
    assert_false(is_closed(fds[0]));
    assert_true(gets_closed(fds[1]));
    assert_false(is_closed(fds[127]));
    assert_int_equal(tb_http_guard(http)->connections,
                     127); /* each of the three took the place of the one before, or left it */
    assert_true(refused(TB_REFUSED_CONNECTIONS) >= 1);
    for (unsigned i = 0; i < 128; i++)
        close(fds[i]);
}

static void filters_are_passed_on_within_bounds(void **state)
{
    (void)state;
    char request[2000] = "GET /metrics?";
    assert_int_equal(ask(GET("/metrics?name[]=a&service[]=x&name%5B%5D=b&other[]=1&name=c")).code, 200);
    assert_int_equal(asked.name_count, 2);
    assert_int_equal(asked.service_count, 1);
    assert_int_equal(ask(GET("/metrics")).code, 200);
    assert_int_equal(asked.name_count + asked.service_count, 0);
    for (unsigned i = 0; i <= TB_FILTER_MAX; i++)
        strncat(request, "name[]=a&", sizeof request - strlen(request) - 1);
    strncat(request, " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", sizeof request - strlen(request) - 1);
    assert_int_equal(ask(request).code, 400);
    assert_int_equal(scrapes, 3);
}

static void a_reload_is_asked_for_by_post(void **state)
{
    (void)state;
    static const char post[] = "POST /-/reload HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_int_equal(ask(post).code, 200);
    may_reload = false;
    assert_int_equal(ask(post).code, 500);
    assert_int_equal(reloads, 2);
    struct answer a = ask(GET("/-/reload"));
    assert_int_equal(a.code, 405);
    assert_non_null(strstr(a.text, "Allow: POST, PUT\r\n"));
    assert_int_equal(reloads, 2);
}

static int open_listener(const char *address, struct tb_listeners *ret, char **ret_error)
{
    *ret = (struct tb_listeners){0};
    int r = tb_listeners_open(&address, 1, ret, ret_error);
    return r;
}

static void a_port_in_use_is_told_in_one_line(void **state)
{
    (void)state;
    char *error = NULL, address[32], expected[200];
    struct tb_listeners second;
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    assert_int_equal(open_listener(address, &second, &error), -EADDRINUSE);
    snprintf(expected, sizeof expected,
             "--web.listen-address %s: Address already in use: stop what listens there, or choose another port",
             address);
    assert_string_equal(error, expected);
    free(error);
    tb_listeners_close(&second);
    static const char *const bad[] = {"127.0.0.1:", "127.0.0.1:70000", "127.0.0.1:http", "no such host:80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_true(open_listener(bad[i], &second, &error) < 0);
        assert_non_null(error);
        free(error);
        tb_listeners_close(&second);
    }
}

static bool is_reachable(int family, uint16_t to_port)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } to = {.v6 = {.sin6_family = AF_INET6, .sin6_port = htons(to_port), .sin6_addr = IN6ADDR_LOOPBACK_INIT}};
    if (family == AF_INET)
        to.v4 = (struct sockaddr_in){
            .sin_family = AF_INET, .sin_port = htons(to_port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(family, SOCK_STREAM, 0);
    bool is_good = fd >= 0 && connect(fd, &to.any, family == AF_INET ? sizeof to.v4 : sizeof to.v6) == 0;
    is_good |= family == AF_INET6 && (fd < 0 || errno == EADDRNOTAVAIL || errno == ENETUNREACH); /* no IPv6 here */
    if (fd >= 0)
        close(fd);
    return is_good;
}

static void an_empty_host_serves_both_families(void **state)
{
    (void)state;
    struct tb_listeners both;
    char *error = NULL;
    assert_int_equal(open_listener(":0", &both, &error), 0);
    assert_int_equal(both.count, 1);
    assert_true(is_reachable(AF_INET, tb_listener_port(both.fds[0])));
    assert_true(is_reachable(AF_INET6, tb_listener_port(both.fds[0])));
    tb_listeners_close(&both);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(pages_are_where_they_are_expected),
        TEST(the_api_takes_arguments_and_says_what_is_wrong),
        TEST(head_is_get_without_a_body),
        TEST(a_failed_scrape_is_a_500),
        TEST(many_scrapes_share_one_connection),
        TEST(other_methods_are_refused_with_what_is_allowed),
        TEST(ambiguous_lengths_are_refused_and_the_connection_ends),
        TEST(old_and_broken_clients),
        TEST(slow_heads_end_at_a_deadline),
        TEST(scrapes_beyond_the_limit_get_a_503),
        TEST(the_slowest_reader_goes_when_its_place_is_needed),
        TEST(unsent_scrapes_hold_a_bounded_amount_of_memory),
        TEST(a_scrape_is_in_time_or_refused),
        TEST(a_full_house_closes_who_idles_longest),
        TEST(filters_are_passed_on_within_bounds),
        TEST(a_reload_is_asked_for_by_post),
        TEST(a_port_in_use_is_told_in_one_line),
        TEST(an_empty_host_serves_both_families),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
