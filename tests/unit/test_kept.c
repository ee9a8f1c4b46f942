/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kept connections, whose second and later exchanges may take the shortest way (exchange_kept.c): random streams go
 * through two whole cores, once in ranges as a server hands them over, once cut in two ranges a call, which only the
 * general parsers read; now and then the rules change. Everything counted must be equal: series, cells, sums, counters,
 * gauges. Each range lies next to an unreadable page.
 */
#include "rules_support.h"

#include "conn.h"
#include "exchange.h"
#include "route_learner.h"

#define STREAMS 4000
#define CONNECTIONS 3
#define BYTES_MAX 4096

static uint64_t seed, now_ns, hot;
static uint8_t *guard_end;

static uint64_t read_clock(void)
{
    return now_ns;
}

static uint32_t below(uint32_t n)
{
    return (uint32_t)(support_random(&seed) >> 20) % n;
}

struct text {
    char bytes[BYTES_MAX];
    size_t len;
};

static void put(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->bytes + t->len, sizeof(t->bytes) - t->len, format, args);
    va_end(args);
    assert_true(n >= 0 && (size_t)n < sizeof(t->bytes) - t->len);
    t->len += (size_t)n;
}

#define PICK(list) (list)[below(sizeof(list) / sizeof((list)[0]))]

/* Most headers are ordinary, the others nearly mean something. */
static void put_header(struct text *t)
{
    static const char *const ordinary[] = {"Host: h.example\r\n",
                                           "User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n",
                                           "Accept: */*\r\n",
                                           "Connection: keep-alive\r\n",
                                           "Cookie: a=b; c=d\r\n",
                                           "TE: trailers\r\n",
                                           "Server: s/1.0\r\n",
                                           "Date: Sun, 22 Nov 2026 13:47:12 GMT\r\n",
                                           "Content-Type: text/html\r\n",
                                           "ETag: \"65a7-400\"\r\n",
                                           "Accept-Ranges: bytes\r\n",
                                           "Last-Modified: Sun, 22 Nov 2026 13:00:00 GMT\r\n",
                                           "Transparent: 1\r\n",
                                           "C: 1\r\n",
                                           "t: 1\r\n",
                                           "Jar: 1\r\n",
                                           "4: 1\r\n"};
    static const char *const odd[] = {"Content-Length: 3\r\n",
                                      "Content-Length: 0\r\n",
                                      "content-length: 12\r\n",
                                      "Content-Length:7\r\n",
                                      "Content-Length : 7\r\n",
                                      "Content-Length: 5 \r\n",
                                      "Content-Length: 5\r\n 6\r\n",
                                      "Content-Length: 5\r\n\t6\r\n",
                                      "Content-Length: +5\r\n",
                                      "Content-Length: 5, 5\r\n",
                                      "Content-Length: 5a\r\n",
                                      "Content-Length: \r\n",
                                      "Content-Length: 99999999\r\n",
                                      "Content-Length: 1234567\r\n",
                                      "Content-Length: 00000012\r\n",
                                      "Content-Length: 18446744073709551617\r\n",
                                      "Content-Lengthy: 5\r\n",
                                      "Content-Length\r\n",
                                      "Content\rLength: 5\r\n",
                                      "X-Content-Length: 5\r\n",
                                      " Content-Length: 5\r\n",
                                      "Content-Length: 2\n",
                                      "Transfer-Encoding: chunked\r\n",
                                      "transfer-encoding: gzip\r\n",
                                      "Transfer-Encoding\r\n",
                                      "Content-Type: text/event-stream\r\n",
                                      "content-type:text/event-stream\r\n",
                                      "Content-Type:  multipart/x-mixed-replace; boundary=b\r\n",
                                      "Content-Type: multipart/x-mixed-replace\r\n",
                                      "Content-Type: TEXT/EVENT-STREAM\r\n",
                                      "Content-Type: x\r\n text/event-stream\r\n",
                                      "Content-Type: \r\n text/event-stream\r\n",
                                      "Content-Encoding: gzip\r\n",
                                      "Content-\r\n",
                                      "Content\r\n",
                                      "Bare: line feed\n",
                                      "\rContent-Length: 5\r\n",
                                      "Nul: \r\n",
                                      "X: \r\r\n",
                                      "Upgrade: x\r\n"};
    if (below(50))
        put(t, "%s", PICK(ordinary));
    else
        put(t, "%s", PICK(odd));
}

static void put_request(struct text *t)
{
    static const char *const paths[] = {"/",
                                        "/a",
                                        "/index.html",
                                        "/users/12",
                                        "/users/13",
                                        "/static/app.css",
                                        "/a/rather/long/path/that/goes/on/for/more/than/one/step"};
    static const char *const tails[] = {"?q=1", "#f", "?", "?a=b%20c&d=a+rather+long+query+that+goes+on", "", " "};
    static const char *const odd[] = {"POST /p HTTP/1.1", "HEAD /h HTTP/1.1",        "GET /o HTTP/1.0",
                                      "GET / HTTP/1.1 ",  "get /l HTTP/1.1",         "GET http://h/x HTTP/1.1",
                                      "GET * HTTP/1.1",   "GET /two words HTTP/1.1", "OPTIONS * HTTP/1.1"};
    if (below(40))
        put(t, "GET %s%s HTTP/1.1", PICK(paths), below(4) ? "" : PICK(tails));
    else
        put(t, "%s", PICK(odd));
    put(t, "\r\n");
    for (uint32_t n = below(9); n; n--)
        put_header(t);
    put(t, below(100) ? "\r\n" : "\n");
    if (!below(50)) /* what may be a body, or the next one of a pipeline */
        put(t, "%s", below(2) ? "abc" : "GET /next HTTP/1.1\r\n\r\n");
}

static void put_response(struct text *t, uint32_t *ret_body)
{
    static const char *const lines[] = {"HTTP/1.1 204 No Content",
                                        "HTTP/1.1 304 Not Modified",
                                        "HTTP/1.1 100 Continue",
                                        "HTTP/1.0 200 OK",
                                        "HTTP/1.1 200",
                                        "HTTP/1.1 099 x",
                                        "HTTP/1.1 2x0 OK",
                                        "HTTP/1.1 200  OK",
                                        "HTTP/1.1 101 Switching"};
    static const int statuses[] = {200, 200, 200, 200, 201, 301, 404, 404, 500, 503, 999};
    uint32_t body = below(3) ? below(30) : below(2000000);
    if (below(40))
        put(t, "HTTP/1.1 %d Text\r\n", PICK(statuses));
    else
        put(t, "%s\r\n", PICK(lines));
    uint32_t before = below(8), after = below(8);
    for (uint32_t n = 0; n < before; n++)
        put_header(t);
    if (below(50))
        put(t, "%s: %u\r\n", below(4) ? "Content-Length" : "content-length", body);
    for (uint32_t n = 0; n < after; n++)
        put_header(t);
    put(t, below(100) ? "\r\n" : "\n");
    *ret_body = body;
}

struct side {
    struct tb_core *core;
    struct tb_conn conns[CONNECTIONS];
    bool is_cut;
};

static void cross(struct side *s, uint32_t conn, enum tb_direction d, const uint8_t *p, size_t len)
{
    struct tb_conn *c = &s->conns[conn];
    struct tb_bytes ranges[2] = {{p, len}, {NULL, 0}};
    if (p) {
        memcpy(guard_end - len, p, len);
        ranges[0].ptr = guard_end - len;
    }
    if (s->is_cut && len > 1) {
        uint32_t at = 1 + below((uint32_t)(len > 500 && below(2) ? 500 : len) - 1);
        ranges[0].len = at;
        ranges[1] = tb_bytes(p ? ranges[0].ptr + at : NULL, len - at);
        tb_exchange_io_selected(s->core, c, d, ranges, 2, len);
        return;
    }
    bool is_done = false;
    if (!s->is_cut && d == TB_RECEIVED)
        is_done = tb_exchange_rx(s->core, c, ranges[0].ptr, len);
    else if (!s->is_cut)
        is_done = p ? tb_exchange_tx(s->core, c, ranges[0].ptr, len) : tb_exchange_tx_length(s->core, c, len);
    hot += is_done;
    if (!is_done)
        tb_exchange_io_selected(s->core, c, d, ranges, 1, len);
}

static void both(struct side *sides, uint32_t conn, enum tb_direction d, const void *p, size_t len)
{
    now_ns += 1000 + (below(4) ? below(1000000) : below(2000000000));
    if (len) {
        cross(&sides[0], conn, d, p, len);
        cross(&sides[1], conn, d, p, len);
    }
}

/* One exchange: the request in one call, the response's head with or without its body, which may follow as lengths. */
static void exchange(struct side *sides, uint32_t conn, struct text *log)
{
    struct text request = {.len = 0}, response = {.len = 0};
    uint32_t body;
    put_request(&request);
    put_response(&response, &body);
    log->len = 0;
    put(log, "%.*s|%.*s|%u", (int)(request.len > 1000 ? 1000 : request.len), request.bytes,
        (int)(response.len > 1500 ? 1500 : response.len), response.bytes, body);
    both(sides, conn, TB_RECEIVED, request.bytes, request.len);
    if (body < 100 && below(2)) {
        while (body--)
            put(&response, "%c", 'a' + (char)below(26));
        both(sides, conn, TB_SENT, response.bytes, response.len);
        return;
    }
    both(sides, conn, TB_SENT, response.bytes, response.len);
    uint32_t first = below(2) ? body : below(body + 1);
    both(sides, conn, TB_SENT, NULL, first);
    both(sides, conn, TB_SENT, NULL, body - first);
}

static void check_equal(const struct side *sides, const char *log)
{
    static struct tb_series_sum a, b;
    const struct tb_core *one = sides[0].core, *other = sides[1].core;
    bool same = tb_series_slots(one->header) == tb_series_slots(other->header) &&
                !memcmp(one->counters, other->counters, TB_COUNTER_COUNT * sizeof(uint64_t)) &&
                one->owner->in_flight == other->owner->in_flight;
    for (uint32_t slot = 0; same && slot < tb_series_slots(one->header); slot++) {
        struct tb_series_key k, l;
        int r = tb_series_read(one->base, TB_REGION_BYTES, one->header, slot, &k, &a);
        int q = tb_series_read(other->base, TB_REGION_BYTES, other->header, slot, &l, &b);
        a.created_ns = b.created_ns = 0;
        same = r == q && (r || (!memcmp(&k, &l, sizeof(k)) && !memcmp(&a, &b, sizeof(a))));
    }
    if (!same)
        fail_msg("seed %llu: the two ways counted differently after\n%s", (unsigned long long)seed, log);
}

/* Other bounds, for all routes or some; more to be recorded; nothing. */
static void change_rules(struct side *sides)
{
    static const char *const rules[] = {"{}\n",
                                        "metrics: {duration: {bounds: [0.0001, 0.0005, 0.9, 1.3]}}\n",
                                        "metrics: {duration: {bounds: [0.0002]}}\n",
                                        "routes: {patterns: [{path: '/users/:id', bounds: [0.3]}, '/a']}\n",
                                        "metrics: {first_byte: on, response_size: on}\n",
                                        "metrics: {request_size: on, exemplars: on}\n"};
    const char *text = PICK(rules);
    for (int k = 0; k < 2; k++)
        rules_use(sides[k].core, text, "test");
}

static void open_side(struct side *s, bool is_cut)
{
    s->core = support_bound_core();
    s->core->env.monotonic_ns = read_clock;
    s->is_cut = is_cut;
    assert_true(tb_owner_claim(s->core));
    for (int i = 0; i < CONNECTIONS; i++)
        tb_conn_open(&s->conns[i]);
}

static void short_and_general_way_count_the_same(void **state)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *p = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    static struct side sides[2];
    static struct text log;

    (void)state;
    assert_true(p != MAP_FAILED && mprotect(p + 2 * page, page, PROT_NONE) == 0);
    guard_end = p + 2 * page;
    for (enum tb_simd simd = TB_SIMD_PORTABLE; simd <= tb_scan_best(); simd++) {
        tb_exchange_select(simd);
        open_side(&sides[0], false);
        open_side(&sides[1], true);
        hot = 0;
        for (uint32_t i = 0; i < STREAMS; i++) {
            if (i > STREAMS / 2 && !below(100))
                change_rules(sides);
            exchange(sides, below(CONNECTIONS), &log);
            uint32_t conn = below(CONNECTIONS);
            bool is_stuck = tb_exchange_is_open(&sides[0].conns[conn]) || tb_exchange_is_done(&sides[0].conns[conn]);
            if (!below(is_stuck ? 2 : 40)) {
                for (int k = 0; k < 2; k++) {
                    tb_exchange_close(sides[k].core, &sides[k].conns[conn], TB_CLOSE_LOCAL);
                    tb_conn_open(&sides[k].conns[conn]);
                }
            }
            if (i % 50 == 0 || i < 500)
                check_equal(sides, log.bytes);
        }
        check_equal(sides, log.bytes);
        print_message("%llu of %d calls took the shortest way\n", (unsigned long long)hot, STREAMS * 3);
        assert_true(hot > STREAMS / 2);
        support_drop(sides[0].core);
        support_drop(sides[1].core);
    }
    munmap(p, 3 * page);
}

static void another_protocol_is_left_alone_in_the_end(void **state)
{
    static const uint8_t noise[] = {0x80, 0x81, 0x82};
    static struct side side;
    struct tb_bytes range = {noise, sizeof(noise)};

    (void)state;
    open_side(&side, false);
    uint32_t calls = 0;
    for (; calls < 1000 && !tb_exchange_is_done(&side.conns[0]); calls++)
        tb_exchange_io(side.core, &side.conns[0], TB_RECEIVED, &range, 1, sizeof(noise));
    assert_in_range(calls, 50, 200); /* an answer may take a while */
    assert_true(tb_exchange_close(side.core, &side.conns[0], TB_CLOSE_LOCAL));
    assert_int_equal(support_total(side.core, NULL, NULL).count, 0);
    support_drop(side.core);
}

/* Call @k of 3 of an exchange on the first connection: head in, head out, body out. True: it took the short way. */
static bool kept_step(struct side *s, int k)
{
    static const char get[] = "GET /hello HTTP/1.1\r\nHost: h.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux)\r\n\r\n";
    static const char ok[] = "HTTP/1.1 200 OK\r\nServer: s\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n"
                             "Date: Sun, 22 Nov 2026 13:47:12 GMT\r\n\r\n";
    const struct tb_bytes calls[] = {
        {(const uint8_t *)get, sizeof(get) - 1}, {(const uint8_t *)ok, sizeof(ok) - 1}, {NULL, 2}};
    struct tb_conn *c = &s->conns[0];
    bool is_short = k == 0   ? tb_exchange_rx(s->core, c, calls[k].ptr, calls[k].len)
                    : k == 1 ? tb_exchange_tx(s->core, c, calls[k].ptr, calls[k].len)
                             : tb_exchange_tx_length(s->core, c, calls[k].len);
    if (!is_short)
        tb_exchange_io_selected(s->core, c, k ? TB_SENT : TB_RECEIVED, &calls[k], 1, calls[k].len);
    return is_short;
}

/* Requests to a route past the cap are counted once each, whichever way they take. */
static void a_request_past_the_cap_of_routes_is_counted_once(void **state)
{
    static struct side side;
    (void)state;
    open_side(&side, false);
    struct tb_core *core = side.core;
    rules_use(core, "routes: {max_routes: 1}\n", "test");
    assert_string_equal(rules_ask(core, TB_METHOD_GET, "", "/first", 200), "/first");
    for (int i = 0; i < 20; i++)
        for (int k = 0; k < 3; k++)
            (void)kept_step(&side, k);
    assert_int_equal(support_total(core, NULL, NULL).count, 20);
    assert_int_equal(core->counters[TB_COUNTER_ROUTES_OVERFLOW], 20);
    support_drop(core);
}

/* An exec that failed: the slot went with what it had counted, the connections stay. */
static void connections_outlive_an_owner_slot(void **state)
{
    static struct side side;

    (void)state;
    for (int goes_on = 0; goes_on < 2; goes_on++) {
        open_side(&side, false);
        struct tb_core *core = side.core;
        for (int i = 0; i < 15; i++)
            (void)kept_step(&side, i % 3);
        assert_int_equal(core->owner->connections, 1);
        tb_owner_release(core);
        assert_true(tb_owner_claim(core));
        assert_int_equal(core->owner->connections, 0);
        for (int i = 0; goes_on && i < 15; i++)
            (void)kept_step(&side, i % 3);
        assert_int_equal(core->owner->connections, goes_on);
        assert_int_equal(core->owner->inflight_pages, goes_on); /* who cleans up knows where to look */
        assert_true(tb_exchange_close(core, &side.conns[0], TB_CLOSE_LOCAL));
        assert_int_equal(core->owner->connections, 0);
        assert_int_equal(core->owner->in_flight, 0);
        assert_int_equal(support_total(core, NULL, NULL).count, goes_on ? 10 : 5);
        support_drop(core);
    }
}

/* On a kept connection that takes the short way: switched off at each of its calls, the exchange is given up. */
static void switched_off_takes_no_short_way(void **state)
{
    static struct side side;

    (void)state;
    for (int off_at = 0; off_at < 3; off_at++) {
        open_side(&side, false);
        struct tb_core *core = side.core;
        struct tb_conn *c = &side.conns[0];
        for (int i = 0; i < 20; i++) {
            for (int k = 0; k < 3; k++) {
                now_ns += 1000;
                if (i == 18 && k == off_at)
                    core->rules->off = 1;
                bool is_short = kept_step(&side, k);
                if (i > 2) /* as soon as route and cell are known */
                    assert_int_equal(is_short, i < 18 || (i == 18 && k < off_at));
            }
            core->rules->off = 0;
        }
        assert_true(tb_exchange_is_done(c) && tb_exchange_close(core, c, TB_CLOSE_FORGET));
        assert_int_equal(support_total(core, NULL, NULL).count, 18);
        assert_int_equal(core->counters[TB_COUNTER_GIVEUP_OFF], 1);
        assert_int_equal(core->owner->in_flight, 0);
        support_drop(core);
    }
}

static struct tb_core *inside;
static struct tb_conn *closed_inside;

/* Another thread, in the middle of a call of this one. */
static uint64_t close_and_read_clock(void)
{
    struct tb_conn *c = closed_inside;

    closed_inside = NULL;
    if (c)
        assert_false(tb_exchange_close(inside, c, TB_CLOSE_LOCAL));
    return ++now_ns;
}

/* Nobody closes it again: whoever is inside takes its request out of the gauges. */
static void what_is_closed_while_a_thread_is_inside_is_not_in_flight_for_ever(void **state)
{
    static struct side side;

    (void)state;
    for (int closed_at = 0; closed_at < 3; closed_at++) {
        open_side(&side, false);
        struct tb_core *core = inside = side.core;
        core->env.monotonic_ns = close_and_read_clock;
        for (int i = 0; i < 20 && !tb_exchange_is_done(&side.conns[0]); i++)
            for (int k = 0; k < 3 && !tb_exchange_is_done(&side.conns[0]); k++) {
                if (i == 18 && k == closed_at)
                    closed_inside = &side.conns[0];
                assert_true(kept_step(&side, k) || i < 3);
            }
        assert_null(closed_inside);
        assert_int_equal(core->counters[TB_COUNTER_GIVEUP_RACE], 1);
        assert_int_equal(core->owner->in_flight, 0);
        assert_int_equal(core->owner->connections, 0);
        for (uint32_t i = 0; i < TB_SHARDS * TB_INFLIGHT_PER_SHARD; i++)
            assert_int_equal(core->inflight[i].start_ns, 0);
        support_drop(core);
    }
}

int main(void)
{
    const char *given = getenv("TB_TEST_SEED");
    seed = given ? strtoull(given, NULL, 10) : support_monotonic_ns();
    print_message("TB_TEST_SEED=%llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_and_general_way_count_the_same),
        cmocka_unit_test(switched_off_takes_no_short_way),
        cmocka_unit_test(what_is_closed_while_a_thread_is_inside_is_not_in_flight_for_ever),
        cmocka_unit_test(a_request_past_the_cap_of_routes_is_counted_once),
        cmocka_unit_test(connections_outlive_an_owner_slot),
        cmocka_unit_test(another_protocol_is_left_alone_in_the_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
