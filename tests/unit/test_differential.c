/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same streams in different pieces must count the same. Kept connections with random requests and responses
 * (ordinary ones, and such as try the parsers) are fed whole, so that the hot path sees them, and cut at random places
 * or byte by byte, so that the general one does; what is handed to series.c is compared, with every instruction set.
 * Each range lies in memory of its own size, so that AddressSanitizer sees a step too far.
 *
 * LDFLAGS: -Wl,--wrap=tb_series_observe,--wrap=tb_route_begin,--wrap=tb_route_end
 * LDFLAGS: -Wl,--wrap=tb_owner_claim,--wrap=tb_inflight_claim
 * LDFLAGS: -Wl,--wrap=tb_dependency_asked,--wrap=tb_dependency_answered,--wrap=tb_dependency_failed
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conn.h"
#include "exchange.h"
#include "methods.h"
#include "queue.h"
#include "region.h"
#include "route.h"
#include "route_cache.h"
#include "series.h"

#include "lone_core.h"

#define STREAMS 6000
#define EVENTS_MAX 24
#define EVENT_BYTES 8192
#define LOG_BYTES 16384
#define ROUTES 512

struct event {
    enum tb_direction direction;
    bool is_length; /* bytes that only the kernel saw */
    size_t len;
    uint8_t bytes[EVENT_BYTES];
};

static struct event events[EVENTS_MAX];
static size_t events_used;

static char routes[ROUTES][48];
static uint32_t routes_used;
static char counted[LOG_BYTES];
static size_t counted_len;

static uint64_t state;

static uint32_t random_below(uint32_t n)
{
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 33) % n;
}

#define PICK(array) array[random_below(sizeof(array) / sizeof(array[0]))]

uint32_t __wrap_tb_route_begin(struct tb_core *, uint8_t, struct tb_bytes, bool);
void __wrap_tb_series_observe(struct tb_core *, const struct tb_series_key *, const struct tb_observation *);

uint32_t __wrap_tb_route_begin(struct tb_core *k, uint8_t method, struct tb_bytes path, bool is_cut)
{
    uint32_t hash = 0;
    (void)method;
    for (size_t i = 0; i < path.len; i++)
        hash = hash * 31 + path.ptr[i];
    assert_true(++routes_used < ROUTES);
    snprintf(routes[routes_used], sizeof(routes[0]), "%.*s(%zu,%08x)%s", (int)(path.len > 12 ? 12 : path.len),
             (const char *)path.ptr, path.len, hash, is_cut ? "!" : "");
    if (!is_cut) { /* known from now on, which opens the shortest way */
        uint64_t h = tb_route_path_hash(k, &route_head, path);
        *tb_route_cache_slot(k, h) = (h & ~UINT64_C(0xffff)) | (routes_used - 1);
    }
    return routes_used;
}

void __wrap_tb_series_observe(struct tb_core *k, const struct tb_series_key *key, const struct tb_observation *o)
{
    const char *route = "_unmatched";
    (void)k;
    if (key->route == TB_STR_OTHER || key->route == LONE_LABEL)
        route = "_other";
    else if (key->route > LONE_LABEL)
        route = routes[key->route - LONE_LABEL];
    counted_len += (size_t)snprintf(
        counted + counted_len, LOG_BYTES - counted_len, "%u.%u %s %s %u in %llu ns, first %llu, rx %llu, tx %llu%s%s\n",
        key->family, key->role, tb_method_name(key->method), route, key->status, (unsigned long long)o->duration_ns,
        (unsigned long long)o->first_byte_ns, (unsigned long long)o->rx_bytes, (unsigned long long)o->tx_bytes,
        o->is_timed ? "" : " untimed", o->is_incomplete ? " incomplete" : "");
    assert_true(counted_len < LOG_BYTES);
}

static void fresh(void)
{
    lone_core_reset();
    routes_used = 0;
    counted_len = 0;
    counted[0] = 0;
}

/* ---- streams ---- */

static struct event *new_event(enum tb_direction direction)
{
    assert_true(events_used < EVENTS_MAX);
    struct event *e = &events[events_used++];
    e->direction = direction;
    e->is_length = false;
    e->len = 0;
    return e;
}

static void append(struct event *e, const char *text)
{
    size_t n = strlen(text);
    assert_true(e->len + n <= EVENT_BYTES);
    memcpy(e->bytes + e->len, text, n);
    e->len += n;
}

static void append_some(struct event *e, char c, size_t n)
{
    assert_true(e->len + n <= EVENT_BYTES);
    memset(e->bytes + e->len, c, n);
    e->len += n;
}

/* An end of line: nearly always CR LF. */
static const char *eol(void)
{
    return random_below(40) ? "\r\n" : "\n";
}

static const char *const plain_headers[] = {
    "Host: example.org",
    "Connection: keep-alive",
    "Accept: */*",
    "Cookie: a=b; c=d",
    "User-Agent: a client with a rather long name/1.0 (it goes on)",
    "Server: one",
    "Date: Thu, 01 Jan 1970 00:00:00 GMT",
    "Content-Type: text/html",
    "Content-Type: application/json; charset=utf-8",
    "Cache-Control: no-cache",
    "TE: trailers",
    "ETag: \"0\"",
    "X: ",
    "Content-Encoding: gzip",
    "Content-Lengthy: 1",
    "Transfer-Encodings: chunked",
};
static const char *const odd_headers[] = {
    "Content-Length: 5",
    "content-length:5",
    "CONTENT-LENGTH:  0  ",
    "Content-Length: 00005",
    "Content-Length : 5",
    "Content-Length: 5\r\n 1",
    "Content-Length: 5\r\n\tx",
    "Content-Length: 5, 5",
    "Content-Length: -5",
    "Content-Length:",
    "Content-Length: ",
    "Content-Length: 5\r",
    "Content-Length: 99999999999999999",
    "Content-Length: 999999999999999999",
    "Content-Length: 9999999999999999999999",
    "Content\rLength: 5",
    "Content-Type: text/event-stream",
    "Content-Type: Text/Event-Stream;x",
    "Content-Type:text/event-streams",
    "Content-Type: multipart/x-mixed-replace; boundary=x",
    "Content-Type: multipart/form-data; boundary=x",
    "Content-Type:  text/event-stream",
    "Transfer-Encoding: chunked",
    "transfer-encoding:gzip,chunked",
    "Transfer-Encoding: chunked, gzip",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding: identity",
    "X-Folded: a\r\n b\r\n  c",
    "\rX: carriage",
    " starts with a blank",
    "\x80\xff: high",
    "no colon at all",
    "c",
    "t",
    "Content-",
    "Transfer",
    "content-length",
    "Content-Type",
};

static void append_headers(struct event *e, const char *framing)
{
    uint32_t n = random_below(8), at = random_below(n + 1);
    for (uint32_t i = 0; i <= n; i++) {
        if (i == at && framing) {
            append(e, framing);
            append(e, eol());
        }
        if (i == n)
            break;
        append(e, random_below(25) ? PICK(plain_headers) : PICK(odd_headers));
        append(e, eol());
    }
    append(e, eol());
}

static void append_body(struct event *e, bool is_chunked, size_t len)
{
    char size[32];
    if (!is_chunked) {
        append_some(e, "xG\nH"[random_below(4)], len);
        return;
    }
    for (size_t left = len; left;) {
        size_t n = 1 + random_below((uint32_t)left);
        snprintf(size, sizeof(size), random_below(2) ? "%zx\r\n" : "%04zX;a=b\r\n", n);
        append(e, size);
        append_some(e, 'c', n);
        append(e, "\r\n");
        left -= n;
    }
    append(e, random_below(4) ? "0\r\n\r\n" : "000\r\nTrailer: x\r\n\r\n");
}

static void append_target(struct event *e)
{
    static const char *const odd[] = {
        "*",    "http://h.example/abs?x", "http://h.example", "/a b", "/a\tb",    "/a#f?q", "?", "//",     "/x\r\nX:",
        "/x\n", "example.org:443",        "/?a=/b c",         "/\rx", "/?\r\nX:", "/a?b#c", "",  " /blank"};
    if (random_below(12) == 0) {
        append(e, PICK(odd));
        return;
    }
    append(e, "/");
    append_some(e, 'p', random_below(30) ? random_below(random_below(2) ? 3 : 60) : 1000 + random_below(60));
    if (random_below(3) == 0) {
        append(e, "?");
        append_some(e, 'q', random_below(60));
    }
}

/* Returns the method, which shapes the answer. */
static const char *append_request(struct event *e)
{
    static const char *const methods[] = {"GET", "GET", "GET",     "GET",  "GET",   "HEAD", "POST",
                                          "PUT", "get", "OPTIONS", "BREW", "PATCH", "G\rT", "CONNECT"};
    static const char *const versions[] = {"HTTP/1.0", "HTTP/1.1 ", "HTTP/2.0", "HTTP/1.x", "HTTP/1.1\r", "http/1.1"};
    const char *method = random_below(3) ? "GET" : PICK(methods);
    char framing[64];
    size_t len = random_below(300);
    bool is_chunked = random_below(2), has_body = method[0] == 'P' && random_below(8);

    if (random_below(30) == 0)
        append(e, eol());
    append(e, method);
    append(e, " ");
    append_target(e);
    append(e, " ");
    append(e, random_below(20) ? "HTTP/1.1" : PICK(versions));
    append(e, eol());
    if (is_chunked)
        snprintf(framing, sizeof(framing), "Transfer-Encoding: chunked");
    else
        snprintf(framing, sizeof(framing), "%s%zu", random_below(2) ? "Content-Length: " : "content-length:", len);
    append_headers(e, has_body ? framing : NULL);
    if (has_body)
        append_body(e, is_chunked, len);
    return method;
}

static void append_response(struct event *e, const char *method)
{
    static const char *const starts[] = {"HTTP/1.1 204 No Content", "HTTP/1.1 304 Not Modified",
                                         "HTTP/1.1 500 Error",      "HTTP/1.1 404 Not Found",
                                         "HTTP/1.0 200 OK",         "HTTP/1.1 200",
                                         "HTTP/1.1 302 Found",      "HTTP/1.1 999 ",
                                         "HTTP/1.1 200\tOK",        "HTTP/1.1  200 OK",
                                         "HTTP/1.1 099 x",          "HTTP/1.1 2000 x",
                                         "HTTP/1.1 101 Switching",  "HTTP/1.1 201 Created\r"};
    const char *start = random_below(4) ? "HTTP/1.1 200 OK" : PICK(starts);
    char framing[64];
    size_t len = random_below(4) ? random_below(500) : 0;
    bool is_chunked = random_below(4) == 0;
    bool has_body = strcmp(method, "HEAD") != 0 && !strstr(start, "204") && !strstr(start, "304");

    for (uint32_t interim = random_below(12) == 0; interim; interim--) {
        append(e, random_below(2) ? "HTTP/1.1 100 Continue" : "HTTP/1.1 103 Early Hints");
        append(e, eol());
        append_headers(e, NULL);
    }
    append(e, start);
    append(e, eol());
    if (is_chunked)
        snprintf(framing, sizeof(framing), "Transfer-Encoding: chunked");
    else
        snprintf(framing, sizeof(framing), "%s%zu", random_below(4) ? "Content-Length: " : "content-length:", len);
    append_headers(e, random_below(30) ? framing : NULL);
    if (!has_body)
        return;
    if (!is_chunked && random_below(6) == 0) { /* the head, then the body in one or two more calls */
        size_t first = random_below((uint32_t)len + 1);
        struct event *body = new_event(TB_SENT);
        append_body(body, false, first);
        body->is_length = random_below(2);
        body = new_event(TB_SENT);
        append_body(body, false, len - first);
        body->is_length = random_below(2);
        return;
    }
    append_body(e, is_chunked, len);
}

/* One byte changed, doubled or dropped. */
static void damage(struct event *e)
{
    static const char bytes[] = "\r\n :0aHT\t?#\x80\0";
    if (e->len < 2 || e->is_length)
        return;
    size_t at = random_below((uint32_t)e->len);
    switch (random_below(3)) {
    case 0:
        e->bytes[at] = (uint8_t)bytes[random_below(sizeof(bytes) - 1)];
        break;
    case 1:
        memmove(e->bytes + at, e->bytes + at + 1, e->len - at - 1);
        e->len--;
        break;
    default:
        if (e->len < EVENT_BYTES) {
            memmove(e->bytes + at + 1, e->bytes + at, e->len - at);
            e->len++;
        }
    }
}

static void make_stream(uint64_t seed)
{
    state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    events_used = 0;
    for (uint32_t exchanges = 1 + random_below(4); exchanges; exchanges--) {
        const char *methods[3];
        uint32_t pipelined = random_below(8) ? 1 : 3;
        struct event *e = new_event(TB_RECEIVED);
        for (uint32_t i = 0; i < pipelined; i++)
            methods[i] = append_request(e);
        struct event *answer = new_event(TB_SENT);
        for (uint32_t i = 0; i < pipelined; i++) {
            append_response(answer, methods[i]);
            if (answer != &events[events_used - 1] && events_used < EVENTS_MAX && i + 1 < pipelined)
                answer = new_event(TB_SENT);
        }
        if (events_used > EVENTS_MAX - 12)
            break;
    }
    if (random_below(5) == 0)
        damage(&events[random_below((uint32_t)events_used)]);
}

/* ---- feeding ---- */

enum way { WHOLE, EACH_BYTE, RANDOM_CALLS, RANDOM_RANGES };

#define RANGES_MAX 12

/* @p in @count ranges, each in memory of its own, some of them empty. */
static void feed_ranges(struct tb_conn *c, const struct event *e, const uint8_t *p, size_t n, size_t count)
{
    struct tb_bytes ranges[RANGES_MAX];
    void *memory[RANGES_MAX];
    size_t left = n;

    for (size_t i = 0; i < count; i++) {
        size_t len = i + 1 == count ? left : random_below((uint32_t)left + 1);
        if (i + 1 < count && random_below(3) == 0)
            len = 0;
        memory[i] = e->is_length ? NULL : malloc(len ? len : 1);
        if (memory[i])
            memcpy(memory[i], p, len);
        ranges[i] = tb_bytes(memory[i], len);
        p += len;
        left -= len;
    }
    tb_exchange_io(&core, c, e->direction, ranges, count, n);
    /* The one rule that counts calls: what is no HTTP is ignored after a hundred of them (docs/limits.md). */
    if (c->request.phase == TB_PHASE_STOPPED)
        c->request.pos = 0;
    for (size_t i = 0; i < count; i++)
        free(memory[i]);
}

static void feed(struct tb_conn *c, const struct event *e, enum way way)
{
    for (size_t at = 0; at < e->len;) {
        size_t n = e->len - at;
        if (way == EACH_BYTE)
            n = 1;
        else if (way == RANDOM_CALLS)
            n = 1 + random_below((uint32_t)(random_below(2) ? n : n < 20 ? n : 20));
        feed_ranges(c, e, e->bytes + at, n, way == RANDOM_RANGES ? 1 + random_below(RANGES_MAX) : 1);
        at += n;
    }
}

static const char *count_stream(enum way way)
{
    struct tb_conn c;

    fresh();
    tb_conn_open(&c);
    for (size_t i = 0; i < events_used; i++) {
        clock_ns += 1000;
        feed(&c, &events[i], way);
    }
    clock_ns += 1000;
    assert_true(tb_exchange_close(&core, &c, TB_CLOSE_LOCAL));
    for (int i = 0; i < TB_COUNTER_COUNT; i++)
        if (counters[i])
            counted_len += (size_t)snprintf(counted + counted_len, LOG_BYTES - counted_len, "counter %d: %u\n", i,
                                            (unsigned)counters[i]);
    assert_null(lone_core_left());
    return counted;
}

static void print_stream(void)
{
    for (size_t i = 0; i < events_used; i++) {
        print_error("%s %zu%s\n", events[i].direction == TB_RECEIVED ? "received" : "sent", events[i].len,
                    events[i].is_length ? " (length)" : "");
        for (size_t k = 0; k < events[i].len && !events[i].is_length; k++) {
            uint8_t b = events[i].bytes[k];
            print_error(b == '\n' ? "\\n\n" : b >= ' ' && b < 127 ? "%c" : "\\x%02x", b);
        }
        print_error("\n");
    }
}

static void the_same_stream_counts_the_same_in_any_pieces(void **test_state)
{
    static char want[LOG_BYTES];
    uint64_t counted_streams = 0;

    (void)test_state;
    for (uint64_t seed = 1; seed <= STREAMS; seed++) {
        make_stream(seed);
        tb_exchange_select(TB_SIMD_PORTABLE);
        memcpy(want, count_stream(EACH_BYTE), LOG_BYTES);
        counted_streams += want[0] != 0;
        for (enum tb_simd simd = TB_SIMD_PORTABLE; simd <= tb_scan_best(); simd++) {
            tb_exchange_select(simd);
            for (enum way way = WHOLE; way <= RANDOM_RANGES; way++) {
                if (way == EACH_BYTE || strcmp(count_stream(way), want) == 0)
                    continue;
                print_stream();
                fail_msg("stream %llu, way %d, instruction set %d: counted\n%sinstead of (byte by byte)\n%s",
                         (unsigned long long)seed, way, simd, counted, want);
            }
        }
    }
    assert_true(counted_streams > STREAMS / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_stream_counts_the_same_in_any_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
