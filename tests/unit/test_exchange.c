/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pairing and counting on one connection, against vectors.h. What the exchange hands to route.c and series.c is
 * recorded here instead, so that thousands of cuts run quickly; the whole core together is tested with real servers.
 *
 * LDFLAGS: -Wl,--wrap=tb_series_observe,--wrap=tb_route_begin,--wrap=tb_route_end
 * LDFLAGS: -Wl,--wrap=tb_owner_claim,--wrap=tb_inflight_claim
 * LDFLAGS: -Wl,--wrap=tb_dependency_asked,--wrap=tb_dependency_answered,--wrap=tb_dependency_failed
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "conn.h"
#include "exchange.h"
#include "methods.h"
#include "queue.h"
#include "region.h"
#include "route.h"
#include "series.h"
#include "vectors.h"

#include "lone_core.h"

static char routes[70000][24];
static uint32_t routes_used;
static char lines[70000][64];
static size_t lines_used;
static struct tb_observation last_observation;

uint32_t __wrap_tb_route_begin(struct tb_core *, uint8_t, struct tb_bytes, bool);
void __wrap_tb_series_observe(struct tb_core *, const struct tb_series_key *, const struct tb_observation *);

uint32_t __wrap_tb_route_begin(struct tb_core *k, uint8_t method, struct tb_bytes path, bool is_cut)
{
    (void)k;
    (void)method;
    char *r = routes[++routes_used];
    snprintf(r, sizeof(routes[0]), "%.*s%s", (int)(path.len > 16 ? 16 : path.len), (const char *)path.ptr,
             is_cut ? "!" : "");
    return routes_used;
}

void __wrap_tb_series_observe(struct tb_core *k, const struct tb_series_key *key, const struct tb_observation *o)
{
    static const char *const reasons[] = {"?", "client_closed", "server_closed", "incomplete_request",
                                          "never_answered"};
    const char *route = "_unmatched";
    char *line = lines[lines_used++];
    char client[90] = "";

    if (key->role == TB_ROLE_CLIENT)
        snprintf(client, sizeof client, "client%s%s ", key->target < LONE_TARGETS && key->target ? " of " : "",
                 key->target < LONE_TARGETS ? lone_targets[key->target] : "");

    (void)k;
    if (key->route == TB_STR_OTHER || key->route == LONE_LABEL)
        route = "_other";
    else if (key->route > LONE_LABEL)
        route = routes[key->route - LONE_LABEL];
    last_observation = *o;
    if (key->family == TB_FAMILY_STREAM)
        snprintf(line, sizeof(lines[0]), "%sstream %u\n", client, key->status);
    else if (key->family == TB_FAMILY_ABORTED)
        snprintf(line, sizeof(lines[0]), "%sabort %s %s %s\n", client, tb_method_name(key->method), route,
                 reasons[key->status]);
    else
        snprintf(line, sizeof(lines[0]), "%s%s %s %u%s\n", client, tb_method_name(key->method), route, key->status,
                 o->is_incomplete ? " incomplete" : "");
}

static void fresh(void)
{
    lone_core_reset();
    lines_used = 0;
    routes_used = 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static const char *counted(void)
{
    static char text[70000];
    text[0] = 0;
    qsort(lines, lines_used, sizeof(lines[0]), by_text);
    for (size_t i = 0, at = 0; i < lines_used && at < sizeof(text) - 100; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s", lines[i]);
    strncat(text, lone_failed, sizeof(text) - strlen(text) - 1);
    return text;
}

/* How a step's bytes are handed over. */
enum way { WHOLE, EACH_BYTE, CUT_AT, TWO_RANGES, GUARDED };

static uint8_t *guard_end; /* the byte behind this address's last is not readable */

static void feed(struct tb_conn *c, enum tb_direction d, const uint8_t *p, size_t n, enum way way, size_t at)
{
    struct tb_bytes one[2] = {{p, n}, {NULL, 0}};

    if (way == EACH_BYTE) {
        for (size_t i = 0; i < n; i++) {
            one[0] = tb_bytes(p + i, 1);
            tb_exchange_io(&core, c, d, one, 1, 1);
        }
    } else if ((way == CUT_AT || way == TWO_RANGES) && at > 0 && at < n) {
        one[0].len = at;
        one[1] = tb_bytes(p + at, n - at);
        if (way == TWO_RANGES) {
            tb_exchange_io(&core, c, d, one, 2, n);
        } else {
            tb_exchange_io(&core, c, d, one, 1, at);
            tb_exchange_io(&core, c, d, one + 1, 1, n - at);
        }
    } else if (way == GUARDED) {
        memcpy(guard_end - n, p, n);
        one[0].ptr = guard_end - n;
        tb_exchange_io(&core, c, d, one, 1, n);
    } else {
        tb_exchange_io(&core, c, d, one, 1, n);
    }
}

static const char *run(const struct vector *v, enum way way, size_t at)
{
    struct tb_conn c;

    fresh();
    tb_conn_open(&c);
    for (size_t i = 0; i < sizeof(v->steps) / sizeof(v->steps[0]) && v->steps[i]; i++) {
        const char *s = v->steps[i];
        clock_ns += 1000;
        switch (s[0]) {
        case '>':
        case '<':
            feed(&c, s[0] == '>' ? TB_RECEIVED : TB_SENT, (const uint8_t *)s + 1, strlen(s + 1), way, at);
            break;
        case 'z':
        case 'y': {
            struct tb_bytes lengths = {NULL, (size_t)strtoull(s + 1, NULL, 10)};
            tb_exchange_io(&core, &c, s[0] == 'z' ? TB_SENT : TB_RECEIVED, &lengths, 1, lengths.len);
            break;
        }
        case 'E':
            tb_exchange_io(&core, &c, TB_RECEIVED, NULL, 0, 0);
            break;
        case 'S':
            tb_exchange_shutdown(&core, &c, TB_SENT);
            break;
        default:
            assert_true(tb_exchange_close(&core, &c, TB_CLOSE_LOCAL));
        }
    }
    const char *left = lone_core_left();
    return left ? left : counted();
}

#define EACH(v) for (const struct vector *v = vectors; v < vectors + sizeof(vectors) / sizeof(vectors[0]); v++)

static void check(const struct vector *v, enum way way, size_t at)
{
    /* A first byte "H" sent before anything was received is taken for a client's HEAD (docs/limits.md). */
    if (strncmp(v->steps[0], "<HTTP", 5) == 0 && (way == EACH_BYTE || at == 1))
        return;
    const char *got = run(v, way, at);
    if (strcmp(got, v->expect))
        fail_msg("%s, way %d, cut at %zu: counted\n%sinstead of\n%s", v->name, way, at, got, v->expect);
}

static void every_vector_whole(void **state)
{
    (void)state;
    EACH(v) check(v, WHOLE, 0);
}

static void every_vector_byte_by_byte(void **state)
{
    (void)state;
    EACH(v) check(v, EACH_BYTE, 0);
}

static size_t longest(const struct vector *v)
{
    size_t n = 0;
    for (size_t i = 0; i < sizeof(v->steps) / sizeof(v->steps[0]) && v->steps[i]; i++)
        if (strlen(v->steps[i]) > n)
            n = strlen(v->steps[i]);
    return n;
}

static void every_vector_cut_everywhere(void **state)
{
    (void)state;
    for (enum tb_simd simd = TB_SIMD_PORTABLE; simd <= tb_scan_best(); simd++) {
        tb_exchange_select(simd);
        EACH(v) for (size_t at = 0; at < longest(v); at++)
        {
            check(v, CUT_AT, at);
            check(v, TWO_RANGES, at);
        }
    }
}

static void every_vector_beside_an_unreadable_page(void **state)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_true(p != MAP_FAILED && mprotect(p + page, page, PROT_NONE) == 0);
    guard_end = p + page;
    for (enum tb_simd simd = TB_SIMD_PORTABLE; simd <= tb_scan_best(); simd++) {
        tb_exchange_select(simd);
        EACH(v) check(v, GUARDED, 0);
    }
    munmap(p, 2 * page);
}

static void io(struct tb_conn *c, enum tb_direction d, const void *p, size_t n)
{
    struct tb_bytes b = {p, n};
    tb_exchange_io(&core, c, d, &b, 1, n);
}

#define RECEIVE(c, text) io(c, TB_RECEIVED, text, sizeof(text) - 1)
#define SEND(c, text) io(c, TB_SENT, text, sizeof(text) - 1)

static void proxy_v2_head_is_skipped_at_any_cut(void **state)
{
    static const char stream[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"
                                 "\x7f\0\0\1\x7f\0\0\1\x12\x34\x56\x78"
                                 "GET /p HTTP/1.1\r\n\r\n";
    size_t n = sizeof(stream) - 1;

    (void)state;
    for (size_t at = 0; at <= n; at++) {
        struct tb_conn c;
        fresh();
        tb_conn_open(&c);
        io(&c, TB_RECEIVED, stream, at);
        io(&c, TB_RECEIVED, stream + at, n - at);
        SEND(&c, OK_EMPTY);
        tb_exchange_close(&core, &c, TB_CLOSE_LOCAL);
        assert_string_equal(counted(), "GET /p 200\n");
    }
}

static void durations_run_from_first_byte_in_to_last_byte_out(void **state)
{
    struct tb_conn c;

    (void)state;
    fresh();
    tb_conn_open(&c);
    clock_ns = 100;
    RECEIVE(&c, "GET");
    clock_ns = 200;
    RECEIVE(&c, " / HTTP/1.1\r\n\r\n");
    clock_ns = 1000;
    SEND(&c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
    clock_ns = 5000;
    SEND(&c, "abcd");
    assert_int_equal(last_observation.duration_ns, 4900);
    assert_int_equal(last_observation.first_byte_ns, 900);
    assert_int_equal(last_observation.tx_bytes, 4);
    /* the next one on the connection, its body counted */
    clock_ns = 10000;
    RECEIVE(&c, "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc");
    clock_ns = 10070;
    SEND(&c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(last_observation.duration_ns, 70);
    assert_int_equal(last_observation.rx_bytes, 3);
    assert_int_equal(last_observation.tx_bytes, 0);
}

static void a_blank_line_after_a_body_does_not_start_the_next_request(void **state)
{
    struct tb_conn c;

    (void)state;
    fresh();
    tb_conn_open(&c);
    RECEIVE(&c, "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx\r\n");
    SEND(&c, OK_EMPTY);
    clock_ns = 50000;
    RECEIVE(&c, "GET / HTTP/1.1\r\n\r\n");
    clock_ns = 50040;
    SEND(&c, OK_EMPTY);
    assert_int_equal(last_observation.duration_ns, 40);
}

static void clock_is_read_twice_or_three_times(void **state)
{
    struct tb_conn c;

    (void)state;
    fresh();
    tb_conn_open(&c);
    RECEIVE(&c, "GET / HTTP/1.1\r\n\r\n");
    SEND(&c, OK_EMPTY);
    assert_int_equal(clock_reads, 2);
    RECEIVE(&c, "GET / HTTP/1.1\r\n\r\n");
    SEND(&c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
    SEND(&c, "a");
    SEND(&c, "b");
    assert_int_equal(clock_reads, 5);
}

static void no_clock_counts_untimed(void **state)
{
    struct tb_conn c;

    (void)state;
    fresh();
    clock_ns = 0;
    tb_conn_open(&c);
    RECEIVE(&c, "GET / HTTP/1.1\r\n\r\n");
    SEND(&c, OK_EMPTY);
    assert_false(last_observation.is_timed);
    assert_string_equal(counted(), "GET / 200\n");
    assert_int_equal(owner->in_flight, 0);
}

static void long_pipelines_are_all_counted(void **state)
{
    struct tb_conn c;

    (void)state;
    fresh();
    tb_conn_open(&c);
    /* deeper than the pool (128 blocks of 21), answered in between, several times round */
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < 4000; i++)
            RECEIVE(&c, "GET /x HTTP/1.1\r\n\r\n");
        assert_int_equal(owner->in_flight, round == 0 ? 1 + 128 * TB_QUEUE_PER_BLOCK : owner->in_flight);
        lines_used = 0;
        routes_used = 0;
        for (int i = 0; i < 4000; i++)
            SEND(&c, OK_EMPTY);
        assert_int_equal(lines_used, 4000);
        assert_int_equal(owner->in_flight, 0);
    }
    for (int i = 0; i < 200; i++)
        RECEIVE(&c, "HEAD /x HTTP/1.1\r\n\r\nGET /y HTTP/1.1\r\n\r\n");
    lines_used = 0;
    for (int i = 0; i < 200; i++)
        SEND(&c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(lines_used, 400);
    tb_exchange_close(&core, &c, TB_CLOSE_LOCAL);
    assert_int_equal(core.queue_taken[0] | core.queue_taken[1], 0);
}

static void more_than_65536_requests_keep_their_order_in_a_queue_that_never_empties(void **state)
{
    struct tb_conn c;

    (void)state;
    fresh();
    tb_conn_open(&c);
    RECEIVE(&c, "GET /g HTTP/1.1\r\n\r\nHEAD /h HTTP/1.1\r\n\r\n");
    for (int i = 0; i < 100000; i++) {
        SEND(&c, OK_EMPTY);
        RECEIVE(&c, "GET /g HTTP/1.1\r\n\r\n");
        SEND(&c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"); /* the answer to HEAD */
        RECEIVE(&c, "HEAD /h HTTP/1.1\r\n\r\n");
        assert_int_equal(lines_used, 2);
        assert_true(strncmp(lines[0], "GET /g 200", 10) == 0 && strncmp(lines[1], "HEAD /h 200", 11) == 0);
        lines_used = 0;
        if (i % 1000 == 0)
            routes_used = routes_used > 60000 ? 10 : routes_used;
        routes_used %= 60000;
    }
    assert_int_equal(owner->in_flight, 2);
    tb_exchange_close(&core, &c, TB_CLOSE_LOCAL);
}

static void long_paths_are_cut_the_same_way_whole_and_in_pieces(void **state)
{
    (void)state;
    for (size_t extra = 0; extra < 3; extra++) {
        for (int query = 0; query < 2; query++) {
            char request[3000];
            size_t path = TB_PATH_MAX - 1 + extra;
            char fill[TB_PATH_MAX + 8];
            memset(fill, 'p', sizeof(fill));
            int n = snprintf(request, sizeof(request), "GET /%.*s%s HTTP/1.1\r\n\r\n", (int)(path - 1), fill,
                             query ? "?q" : "");
            const char *want = path > TB_PATH_MAX ? "GET /ppppppppppppppp! 200\n" : "GET /ppppppppppppppp 200\n";
            for (size_t at = 0; at < (size_t)n; at += 7) {
                struct tb_conn c;
                fresh();
                tb_conn_open(&c);
                io(&c, TB_RECEIVED, request, at);
                io(&c, TB_RECEIVED, request + at, (size_t)n - at);
                SEND(&c, OK_EMPTY);
                assert_string_equal(counted(), want);
                tb_exchange_close(&core, &c, TB_CLOSE_LOCAL);
            }
        }
    }
}

static void an_empty_path_pool_costs_the_route_not_the_request(void **state)
{
    struct tb_conn c[TB_PATH_BLOCKS + 1];

    (void)state;
    fresh();
    for (size_t i = 0; i <= TB_PATH_BLOCKS; i++) {
        tb_conn_open(&c[i]);
        RECEIVE(&c[i], "GET /pa");
    }
    for (size_t i = 0; i <= TB_PATH_BLOCKS; i++) {
        RECEIVE(&c[i], "th HTTP/1.1\r\n\r\n");
        SEND(&c[i], OK_EMPTY);
        tb_exchange_close(&core, &c[i], TB_CLOSE_LOCAL);
    }
    assert_int_equal(lines_used, TB_PATH_BLOCKS + 1);
    counted();
    assert_string_equal(lines[TB_PATH_BLOCKS], "GET _other 200\n");
    assert_string_equal(lines[0], "GET /path 200\n");
    assert_int_equal(counters[TB_COUNTER_POOL_PATH], 1);
    assert_int_equal(core.path_taken, 0);
}

static void two_threads_on_one_half_give_up_and_say_so(void **state)
{
    struct tb_conn c;

    (void)state;
    fresh();
    tb_conn_open(&c);
    RECEIVE(&c, "GET /1 HTTP/1.1\r\n\r\n");
    c.request_busy = 1; /* another thread is inside */
    RECEIVE(&c, "GET /2 HTTP/1.1\r\n\r\n");
    assert_int_equal(counters[TB_COUNTER_GIVEUP_RACE], 1);
    assert_true(tb_exchange_is_done(&c));
    assert_false(tb_exchange_close(&core, &c, TB_CLOSE_LOCAL));
    c.request_busy = 0;
    assert_true(tb_exchange_close(&core, &c, TB_CLOSE_LOCAL));
    assert_int_equal(owner->in_flight, 0);
    assert_string_equal(counted(), "");
}

#define PIPELINED 20000

static void *receiving_thread(void *conn)
{
    uint32_t random = 7;
    for (int sent = 0; sent < PIPELINED;) {
        static const char request[] =
            "GET /x HTTP/1.1\r\nHost: example.org\r\nUser-Agent: a client of some length/1.0\r\n\r\n"
            "HEAD /y HTTP/1.1\r\n\r\n";
        size_t n = sizeof(request) - 1;
        random = random * 1664525 + 1013904223;
        size_t at = (random >> 16) % n;
        io(conn, TB_RECEIVED, request, at);
        io(conn, TB_RECEIVED, request + at, n - at);
        sent += 2;
        routes_used %= 60000; /* the handles of the recorder run in a ring */
        while (tb_load_acquire(&((struct tb_conn *)conn)->queue.pushed) -
                       tb_load_acquire(&((struct tb_conn *)conn)->queue.popped) >
                   (int)(random >> 24) &&
               !tb_exchange_is_done(conn))
            sched_yield();
    }
    return NULL;
}

static void one_thread_receives_while_another_answers(void **state)
{
    struct tb_conn c;
    pthread_t thread;

    (void)state;
    fresh();
    tb_conn_open(&c);
    io(&c, TB_RECEIVED, "G", 1); /* the role is decided before the threads part, as accept and read do */
    RECEIVE(&c, "ET /first HTTP/1.1\r\n\r\n");
    SEND(&c, OK_EMPTY);
    assert_int_equal(pthread_create(&thread, NULL, receiving_thread, &c), 0);
    for (int answered = 0; answered < PIPELINED; answered++) {
        while (tb_queue_is_empty(&c) && !tb_exchange_is_done(&c))
            sched_yield();
        if (tb_exchange_is_done(&c)) {
            for (int i = 0; i < TB_COUNTER_COUNT; i++)
                if (counters[i])
                    print_error("counter %d: %d\n", i, (int)counters[i]);
            fail_msg("given up after %d answers, queue %u %u inline %u head %u tail %u at %u %u overflow %u", answered,
                     c.queue.pushed, c.queue.popped, c.queue.inline_seq, c.queue.head, c.queue.tail, c.queue.head_at,
                     c.queue.tail_at, c.queue.overflow);
        }
        if (answered % 2)
            SEND(&c,
                 "HTTP/1.1 204 No Content\r\nServer: a server with a long name, so that the head is one step\r\n\r\n");
        else
            SEND(&c, "HTTP/1.1 200 OK\r\nServer: a server with a long name, so that the head is one step\r\n"
                     "Content-Length: 3\r\n\r\nabc");
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(counters[TB_COUNTER_GIVEUP_RACE], 0);
    assert_int_equal(lines_used, PIPELINED + 1);
    for (size_t i = 1; i < lines_used; i++)
        assert_true(strstr(lines[i], i % 2 ? "GET /x 200" : "HEAD /y 204") != NULL);
    assert_int_equal(owner->in_flight, 0);
    tb_exchange_close(&core, &c, TB_CLOSE_LOCAL);
}

/* Of the plaintext of a TLS connection, too. */
static void nothing_of_what_a_stream_carried_stays(void **state)
{
    struct tb_conn c;

    (void)state;
    fresh();
    for (int is_whole = 0; is_whole < 2; is_whole++) {
        tb_conn_open_as(&c, TB_ROLE_SERVER);
        RECEIVE(&c, "POST /planted-pa");
        assert_non_null(memmem(core.path_blocks, sizeof core.path_blocks, "planted", 7));
        RECEIVE(&c, "th HTTP/1.1\r\nHost: planted\r\nContent-Length: 7\r\nX-Key: plan");
        if (is_whole)
            RECEIVE(&c, "ted\r\n\r\nplanted");
        assert_true(tb_exchange_close(&core, &c, TB_CLOSE_LOCAL));
        tb_conn_wipe(&c);
        assert_null(memmem(&core, sizeof core, "plan", 4));
        assert_null(memmem(&c, sizeof c, "plan", 4));
        assert_true(tb_exchange_is_done(&c)); /* for a thread that was overtaken */
    }
}

/* Whose turn it is: the process that was there from the start, after @forks, or the child of one of them. */
static void as_parent(uint32_t forks)
{
    core.birth_generation = 0;
    core.fork_generation = forks;
    core.owner = owner;
}
static void as_child(uint32_t fork)
{
    core.birth_generation = core.fork_generation = fork;
    core.owner = NULL;
}

static void an_exchange_open_at_a_fork_is_counted_by_one_side(void **state)
{
    struct tb_conn parent, child;

    (void)state;
    fresh();
    tb_conn_open(&parent);
    RECEIVE(&parent, "GET /f HTTP/1.1\r\n\r\n");
    child = parent;
    as_parent(1);
    tb_exchange_close(&core, &parent, TB_CLOSE_LOCAL);
    as_child(1);
    assert_int_equal(owner->in_flight, 1);
    assert_string_equal(counted(), "");
    SEND(&child, OK_EMPTY);
    assert_int_equal(owner->in_flight, 0);
    tb_exchange_close(&core, &child, TB_CLOSE_LOCAL);
    assert_string_equal(counted(), "GET /f 200\n");

    /* neither side answers: aborted once */
    fresh();
    tb_conn_open(&parent);
    RECEIVE(&parent, "GET /f HTTP/1.1\r\n\r\n");
    child = parent;
    as_parent(1);
    tb_exchange_close(&core, &parent, TB_CLOSE_LOCAL);
    as_child(1);
    tb_exchange_close(&core, &child, TB_CLOSE_LOCAL);
    assert_string_equal(counted(), "abort GET /f server_closed\n");
    assert_int_equal(owner->in_flight, 0);
}

static void children_that_leave_an_open_exchange_take_nothing_from_its_server(void **state)
{
    struct tb_conn parent, child;

    (void)state;
    for (uint32_t forks = 1; forks <= 300; forks += 13) {
        fresh();
        tb_conn_open(&parent);
        RECEIVE(&parent, "GET /f HTTP/1.1\r\n\r\n");
        for (uint32_t i = 1; i <= forks; i++) {
            child = parent;
            as_child(i);
            tb_exchange_close(&core, &child, TB_CLOSE_LOCAL);
        }
        as_parent(forks);
        assert_int_equal(owner->in_flight, 1);
        SEND(&parent, OK_EMPTY);
        tb_exchange_close(&core, &parent, TB_CLOSE_LOCAL);
        assert_string_equal(counted(), "GET /f 200\n");
        assert_int_equal(owner->in_flight, 0);
    }
}

static void an_exchange_that_no_process_answers_is_aborted_once(void **state)
{
    enum { FORKS = 3 };

    (void)state;
    for (uint32_t turn = 0; turn <= FORKS; turn++) { /* the parent closes after so many children */
        struct tb_conn parent, child;
        fresh();
        tb_conn_open(&parent);
        RECEIVE(&parent, "GET /f HTTP/1.1\r\n\r\n");
        child = parent;
        for (uint32_t i = 0; i <= FORKS; i++) {
            struct tb_conn c = child;
            if (i == turn)
                as_parent(FORKS);
            else
                as_child(i < turn ? i + 1 : i);
            assert_string_equal(counted(), "");
            assert_int_equal(owner->in_flight, 1);
            tb_exchange_close(&core, &c, TB_CLOSE_LOCAL);
        }
        assert_string_equal(counted(), "abort GET /f server_closed\n");
        assert_int_equal(owner->in_flight, 0);
        assert_int_equal(inflight[0].start_ns, 0);
    }
}

static void a_connection_keeps_its_entry_although_others_used_it_in_between(void **state)
{
    struct tb_conn c;

    (void)state;
    fresh();
    tb_conn_open(&c);
    inflight[0].start_ns = tb_inflight_word(1000, 9);
    RECEIVE(&c, "GET /a HTTP/1.1\r\n\r\n");
    SEND(&c, OK_EMPTY);
    inflight[0].start_ns = 0; /* the first free one again */
    inflight[1].owner = 9;    /* used by another process, and left */
    RECEIVE(&c, "GET /b HTTP/1.1\r\n\r\n");
    assert_int_equal(inflight[0].start_ns, 0);
    assert_int_equal(inflight[1].start_ns, tb_inflight_word(clock_ns, LONE_SLOT));
    assert_int_equal(inflight[1].owner, LONE_SLOT);
    SEND(&c, OK_EMPTY);
    inflight[1].start_ns = tb_inflight_word(1000, 9); /* used by another process now */
    RECEIVE(&c, "GET /c HTTP/1.1\r\n\r\n");
    assert_int_equal(inflight[0].start_ns, tb_inflight_word(clock_ns, LONE_SLOT));
    assert_int_equal(inflight[1].start_ns, tb_inflight_word(1000, 9));
    tb_exchange_close(&core, &c, TB_CLOSE_LOCAL);
    assert_int_equal(inflight[0].start_ns, 0);
}

static void children_do_not_end_streams_and_outgoing_requests_of_their_parent(void **state)
{
    struct tb_conn stream, client, bad, copy;

    (void)state;
    fresh();
    tb_conn_open(&stream);
    tb_conn_open(&client);
    tb_conn_open(&bad);
    RECEIVE(&stream, "GET /ws HTTP/1.1\r\n\r\n");
    SEND(&stream, "HTTP/1.1 101 Switching Protocols\r\n\r\n");
    SEND(&client, "GET /out HTTP/1.1\r\n\r\n");
    RECEIVE(&bad, "what is this\r\n");
    SEND(&bad, "HTTP/1.1 400 Bad\r\nContent-Length: 5\r\n\r\n");
    for (uint32_t i = 1; i <= 2; i++) {
        as_child(i);
        copy = stream;
        tb_exchange_close(&core, &copy, TB_CLOSE_LOCAL);
        copy = client;
        tb_exchange_close(&core, &copy, TB_CLOSE_LOCAL);
        copy = bad;
        tb_exchange_close(&core, &copy, TB_CLOSE_LOCAL);
    }
    as_parent(2);
    RECEIVE(&client, OK_EMPTY);
    SEND(&bad, "sorry");
    assert_string_equal(counted(), "GET /ws 101\n_OTHER _unmatched 400\nclient GET /out 200\n");
    tb_exchange_close(&core, &client, TB_CLOSE_LOCAL);
    tb_exchange_close(&core, &bad, TB_CLOSE_LOCAL);
    tb_exchange_close(&core, &stream, TB_CLOSE_LOCAL);
    assert_string_equal(counted(), "GET /ws 101\n_OTHER _unmatched 400\nclient GET /out 200\nstream 101\n");
}

/* ---- answers that a client sees before their requests are noted ---- */

#define NOT_FOUND "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"

static void fresh_client(struct tb_conn *c)
{
    fresh();
    tb_conn_open_as(c, TB_ROLE_CLIENT);
}

/* The request is noted, but its thread could not look after the answer: the reader was inside. */
static void send_beside_the_reader(struct tb_conn *c, const char *text)
{
    c->response_busy = 1;
    io(c, TB_SENT, text, strlen(text));
    c->response_busy = 0;
}

static void an_early_answer_is_not_lost_at_the_end(void **state)
{
    struct tb_conn c;

    (void)state;
    fresh_client(&c);
    RECEIVE(&c, OK_EMPTY);
    send_beside_the_reader(&c, "GET /x HTTP/1.1\r\n\r\n");
    tb_exchange_io(&core, &c, TB_RECEIVED, NULL, 0, 0);
    assert_string_equal(counted(), "client GET /x 200\n");
    tb_exchange_close(&core, &c, TB_CLOSE_LOCAL);

    fresh_client(&c);
    RECEIVE(&c, OK_EMPTY);
    send_beside_the_reader(&c, "GET /x HTTP/1.1\r\n\r\n");
    tb_exchange_failed(&core, &c, TB_RECEIVED, TB_CALL_RESET);
    tb_exchange_close(&core, &c, TB_CLOSE_LOCAL);
    assert_string_equal(counted(), "client GET /x 200\n");
}

static void the_end_beside_a_thread_that_meets_the_answer_is_no_race(void **state)
{
    struct tb_conn c;

    (void)state;
    fresh_client(&c);
    SEND(&c, "GET /x HTTP/1.1\r\n\r\n");
    c.response_busy = 1;
    tb_exchange_io(&core, &c, TB_RECEIVED, NULL, 0, 0);
    assert_true(tb_exchange_is_awaited(&c)); /* the other thread is inside */
    c.response_busy = 0;
    RECEIVE(&c, OK_EMPTY);
    tb_exchange_close(&core, &c, TB_CLOSE_LOCAL);
    assert_string_equal(counted(), "client GET /x 200\n");
    assert_int_equal(counters[TB_COUNTER_GIVEUP_RACE], 0);
}

static void early_answers_are_never_paired_with_others_requests(void **state)
{
    struct tb_conn c;

    (void)state;
    fresh_client(&c);
    RECEIVE(&c, OK_EMPTY);
    send_beside_the_reader(&c, "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n");
    RECEIVE(&c, NOT_FOUND);
    assert_string_equal(counted(), "client GET /a 200\nclient GET /b 404\n");
    tb_exchange_close(&core, &c, TB_CLOSE_LOCAL);

    fresh_client(&c);
    RECEIVE(&c, OK_EMPTY NOT_FOUND);
    SEND(&c, "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n");
    assert_true(tb_exchange_is_done(&c));
    assert_int_equal(counters[TB_COUNTER_GIVEUP_RACE], 1);
    tb_exchange_close(&core, &c, TB_CLOSE_LOCAL);
    assert_string_equal(counted(), "client _OTHER _unmatched 200\n");
}

static void a_request_noted_while_its_answer_comes_leaves_the_reader_alone(void **state)
{
    struct tb_conn c;

    (void)state;
    fresh_client(&c);
    clock_ns = 1000;
    RECEIVE(&c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab");
    clock_ns = 2000;
    uint64_t before = clock_reads;
    SEND(&c, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(clock_reads, before + 1);
    assert_true(c.response_flags & 4); /* RESPONSE_EARLY: who reads the body finds the request at its end */
    clock_ns = 3000;
    RECEIVE(&c, "cd");
    assert_string_equal(counted(), "client of h GET /x 200\n");
    assert_false(last_observation.is_timed); /* when it began is not known */
    clock_ns = 4000;
    SEND(&c, "GET /y HTTP/1.1\r\nHost: h\r\n\r\n");
    clock_ns = 5000;
    RECEIVE(&c, OK_EMPTY);
    assert_true(last_observation.is_timed);
    assert_int_equal(last_observation.duration_ns, 1000);
    tb_exchange_close(&core, &c, TB_CLOSE_LOCAL);
}

static void a_tunnel_that_opens_early_has_its_request(void **state)
{
    struct tb_conn c;

    (void)state;
    fresh_client(&c);
    RECEIVE(&c, "HTTP/1.1 101 Switching Protocols\r\n\r\n");
    SEND(&c, "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n");
    SEND(&c, "GET /in HTTP/1.1\r\n\r\n"); /* bytes of the tunnel */
    tb_exchange_close(&core, &c, TB_CLOSE_LOCAL);
    assert_string_equal(counted(), "client GET /ws 101\nclient stream 101\n");
}

static void an_answer_behind_a_request_without_an_end_waits_for_none(void **state)
{
    struct tb_conn c;

    (void)state;
    fresh_client(&c);
    SEND(&c, "POST /x HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
    RECEIVE(&c, OK_EMPTY NOT_FOUND);
    assert_string_equal(counted(), "client POST /x 200\nclient _OTHER _unmatched 404\n");
    tb_exchange_close(&core, &c, TB_CLOSE_LOCAL);
}

static void part_of_an_early_answer_is_its_parents(void **state)
{
    struct tb_conn c;

    (void)state;
    fresh_client(&c);
    RECEIVE(&c, "HTTP/1.1 200 OK\r\nContent-");
    as_child(1);
    tb_exchange_close(&core, &c, TB_CLOSE_LOCAL);
    assert_string_equal(counted(), "");
}

static void giving_up_in_a_child_leaves_the_parents_exchange_alone(void **state)
{
    struct tb_conn parent, child;

    (void)state;
    fresh();
    tb_conn_open(&parent);
    RECEIVE(&parent, "GET /f HTTP/1.1\r\n\r\n");
    child = parent;
    as_child(1);
    SEND(&child, "\1\2\3");
    assert_true(tb_exchange_is_done(&child));
    tb_exchange_close(&core, &child, TB_CLOSE_LOCAL);
    as_parent(1);
    assert_int_equal(owner->in_flight, 1);
    SEND(&parent, OK_EMPTY);
    assert_int_equal(owner->in_flight, 0);
    assert_string_equal(counted(), "GET /f 200\n");
    tb_exchange_close(&core, &parent, TB_CLOSE_LOCAL);
}

static void a_half_that_a_thread_of_the_parent_held_is_no_race_of_the_child(void **state)
{
    struct tb_conn parent, child;

    (void)state;
    fresh();
    tb_conn_open(&parent);
    RECEIVE(&parent, "GET /f HTTP/1.1\r\n\r\n");
    child = parent;
    child.request_busy = 1; /* copied while another thread was inside, which is not in the child */
    as_child(1);
    assert_false(tb_exchange_close(&core, &child, TB_CLOSE_LOCAL));
    assert_int_equal(counters[TB_COUNTER_GIVEUP_RACE], 0);
    as_parent(1);
    SEND(&parent, OK_EMPTY);
    tb_exchange_close(&core, &parent, TB_CLOSE_LOCAL);
    assert_string_equal(counted(), "GET /f 200\n");
}

/* The gauge of open connections: who goes on with one after a fork has it open too, whichever half says so first. */
static void a_connection_is_open_in_each_process_that_goes_on_with_it(void **state)
{
    struct tb_conn parent, child;

    (void)state;
    for (int first = 0; first < 3; first++) {
        fresh();
        tb_conn_open(&parent);
        RECEIVE(&parent, "GET /a HTTP/1.1\r\n\r\n");
        child = parent;
        assert_int_equal(owner->connections, 1);
        as_child(1);
        core.owner = owner; /* one slot for both here */
        if (first == 0)
            SEND(&child, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
        else if (first == 1)
            SEND(&child, OK_EMPTY);
        RECEIVE(&child, "GET /b HTTP/1.1\r\n\r\n");
        SEND(&child, OK_EMPTY);
        assert_int_equal(owner->connections, 2);
        tb_exchange_close(&core, &child, TB_CLOSE_LOCAL);
        assert_int_equal(owner->connections, 1);
        as_parent(1);
        tb_exchange_close(&core, &parent, TB_CLOSE_LOCAL);
        assert_int_equal(owner->connections, 0);
    }
}

static struct tb_conn *closed_inside;

/* Another thread, in the middle of a call of this one. */
static uint64_t close_and_read_clock(void)
{
    struct tb_conn *c = closed_inside;

    closed_inside = NULL;
    if (c)
        assert_false(tb_exchange_close(&core, c, TB_CLOSE_LOCAL));
    return clock_ns;
}

static void what_is_closed_while_a_thread_is_inside_leaves_the_gauges(void **state)
{
    struct tb_conn c;

    (void)state;
    for (int is_response = 0; is_response < 2; is_response++) {
        fresh();
        tb_conn_open(&c);
        RECEIVE(&c, "GET /a HTTP/1.1\r\n\r\n");
        if (!is_response)
            SEND(&c, OK_EMPTY);
        core.env.monotonic_ns = close_and_read_clock;
        closed_inside = &c;
        if (is_response)
            SEND(&c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
        else
            RECEIVE(&c, "GET /b HTTP/1.1\r\n\r\n");
        assert_null(closed_inside);
        assert_int_equal(counters[TB_COUNTER_GIVEUP_RACE], 1);
        assert_int_equal(owner->in_flight, 0);
        assert_int_equal(owner->connections, 0);
    }
}

static void what_lives_on_elsewhere_is_no_abort(void **state)
{
    struct tb_conn c;

    (void)state;
    fresh();
    tb_conn_open(&c);
    RECEIVE(&c, "GET /passed HTTP/1.1\r\n\r\n");
    tb_exchange_close(&core, &c, TB_CLOSE_FORGET);
    fresh();
    tb_conn_open(&c);
    RECEIVE(&c, "GET /passed HTTP/1.1\r\nHo");
    tb_exchange_close(&core, &c, TB_CLOSE_FORGET);
    assert_string_equal(counted(), "");
    assert_int_equal(owner->in_flight, 0);
}

static void switched_off_counts_nothing_and_never_resumes_in_the_middle(void **state)
{
    struct tb_conn c, d;

    (void)state;
    fresh();
    tb_conn_open(&c);
    tb_conn_open(&d);
    RECEIVE(&c, "GET /1 HTTP/1.1\r\n\r\n");
    rules.off = 1;
    SEND(&c, OK_EMPTY);
    rules.off = 0;
    RECEIVE(&c, "GET /2 HTTP/1.1\r\n\r\n");
    SEND(&c, OK_EMPTY);
    tb_exchange_close(&core, &c, TB_CLOSE_LOCAL);
    assert_int_equal(counters[TB_COUNTER_GIVEUP_OFF], 1);
    assert_int_equal(owner->in_flight, 0);
    RECEIVE(&d, "GET /3 HTTP/1.1\r\n\r\n");
    SEND(&d, OK_EMPTY);
    assert_string_equal(counted(), "GET /3 200\n");
}

static void what_ends_or_begins_while_switched_off_is_given_up(void **state)
{
    struct tb_conn open, idle, born;

    (void)state;
    fresh();
    tb_conn_open(&open);
    tb_conn_open(&idle);
    tb_conn_open(&born);
    RECEIVE(&open, "GET /1 HTTP/1.1\r\n\r\n");
    RECEIVE(&idle, "GET /2 HTTP/1.1\r\n\r\n");
    SEND(&idle, OK_EMPTY);
    rules.off = 1;
    tb_exchange_shutdown(&core, &open, TB_SENT);
    tb_exchange_close(&core, &open, TB_CLOSE_LOCAL);
    tb_exchange_close(&core, &idle, TB_CLOSE_LOCAL); /* nothing was open on it */
    assert_int_equal(counters[TB_COUNTER_GIVEUP_OFF], 1);
    RECEIVE(&born, "GET /3 HTTP/1.1\r\n\r\n");
    SEND(&born, OK_EMPTY);
    assert_int_equal(counters[TB_COUNTER_GIVEUP_OFF], 2);
    rules.off = 0;
    RECEIVE(&born, "GET /4 HTTP/1.1\r\n\r\n");
    SEND(&born, OK_EMPTY);
    tb_exchange_close(&core, &born, TB_CLOSE_LOCAL);
    assert_string_equal(counted(), "GET /2 200\n");
    assert_int_equal(owner->in_flight, 0);
}

static void only_http_looks_like_http(void **state)
{
    static const struct {
        const char *text;
        bool is_http;
    } cases[] = {{"GET / HTTP/1.1\r\n", true},
                 {"G", true},
                 {"POST", true},
                 {"HTTP/1.1 200 OK", true},
                 {"PROXY TCP4 1", true},
                 {"HEAD ", true},
                 {"12345", false},
                 {"get / ", false},
                 {"{\"a\":1}", false},
                 {"\x16\x03", false},
                 {"Hello world", false},
                 {"ABCDEFGHIJKLMNOPQRSTUVWXYZ", false},
                 {"", false},
                 {"HTTQ/1", false},
                 {"\r\n\r\n", true},
                 {"\r\nGET ", true},
                 {"\n\n\n\n\n\n", false},
                 {"\nabc", false}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (tb_exchange_looks_http(tb_bytes(cases[i].text, strlen(cases[i].text))) != cases[i].is_http)
            fail_msg("%s", cases[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_vector_whole),
        cmocka_unit_test(every_vector_byte_by_byte),
        cmocka_unit_test(every_vector_cut_everywhere),
        cmocka_unit_test(every_vector_beside_an_unreadable_page),
        cmocka_unit_test(proxy_v2_head_is_skipped_at_any_cut),
        cmocka_unit_test(durations_run_from_first_byte_in_to_last_byte_out),
        cmocka_unit_test(a_blank_line_after_a_body_does_not_start_the_next_request),
        cmocka_unit_test(clock_is_read_twice_or_three_times),
        cmocka_unit_test(no_clock_counts_untimed),
        cmocka_unit_test(long_pipelines_are_all_counted),
        cmocka_unit_test(more_than_65536_requests_keep_their_order_in_a_queue_that_never_empties),
        cmocka_unit_test(long_paths_are_cut_the_same_way_whole_and_in_pieces),
        cmocka_unit_test(an_empty_path_pool_costs_the_route_not_the_request),
        cmocka_unit_test(two_threads_on_one_half_give_up_and_say_so),
        cmocka_unit_test(one_thread_receives_while_another_answers),
        cmocka_unit_test(nothing_of_what_a_stream_carried_stays),
        cmocka_unit_test(an_exchange_open_at_a_fork_is_counted_by_one_side),
        cmocka_unit_test(children_that_leave_an_open_exchange_take_nothing_from_its_server),
        cmocka_unit_test(an_exchange_that_no_process_answers_is_aborted_once),
        cmocka_unit_test(a_connection_keeps_its_entry_although_others_used_it_in_between),
        cmocka_unit_test(children_do_not_end_streams_and_outgoing_requests_of_their_parent),
        cmocka_unit_test(giving_up_in_a_child_leaves_the_parents_exchange_alone),
        cmocka_unit_test(a_half_that_a_thread_of_the_parent_held_is_no_race_of_the_child),
        cmocka_unit_test(a_connection_is_open_in_each_process_that_goes_on_with_it),
        cmocka_unit_test(what_is_closed_while_a_thread_is_inside_leaves_the_gauges),
        cmocka_unit_test(what_lives_on_elsewhere_is_no_abort),
        cmocka_unit_test(switched_off_counts_nothing_and_never_resumes_in_the_middle),
        cmocka_unit_test(what_ends_or_begins_while_switched_off_is_given_up),
        cmocka_unit_test(an_early_answer_is_not_lost_at_the_end),
        cmocka_unit_test(the_end_beside_a_thread_that_meets_the_answer_is_no_race),
        cmocka_unit_test(early_answers_are_never_paired_with_others_requests),
        cmocka_unit_test(a_request_noted_while_its_answer_comes_leaves_the_reader_alone),
        cmocka_unit_test(a_tunnel_that_opens_early_has_its_request),
        cmocka_unit_test(an_answer_behind_a_request_without_an_end_waits_for_none),
        cmocka_unit_test(part_of_an_early_answer_is_its_parents),
        cmocka_unit_test(only_http_looks_like_http),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
