/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What rules ask for beside counts and durations of the default bounds: bytes go through a whole core, the region is
 * read as an exporter reads it, and each bucket is compared with a tally kept here.
 */
#include "rules_support.h"

#include <pthread.h>

#include "conn.h"
#include "exchange.h"
#include "exemplar.h"
#include "measures.h"
#include "trace.h"

#include "exporter/region_read.h"

#define SECOND UINT64_C(1000000000)
#define EPOCH_NS (UINT64_C(1700000000) * SECOND) /* CLOCK_REALTIME when the test's clock is 0 */

static uint64_t clock_ns;

static uint64_t read_clock(void)
{
    return clock_ns;
}

static struct tb_core *new_core(void)
{
    struct tb_core *core = support_bound_core();
    clock_ns = SECOND;
    core->env.monotonic_ns = read_clock;
    core->realtime_offset_ns = EPOCH_NS;
    return core;
}

/* ---- bytes ---- */

static void send(struct tb_core *core, struct tb_conn *c, enum tb_direction d, const char *bytes, size_t len)
{
    struct tb_bytes one = {(const uint8_t *)bytes, len};
    tb_exchange_io(core, c, d, &one, 1, len);
}

/* A request with a body and other headers, its answer @after_ns later with a body; the first byte halfway. */
static void exchange(struct tb_core *core, struct tb_conn *c, const char *path, const char *headers,
                     size_t request_body, size_t response_body, uint64_t after_ns)
{
    static char body[200000];
    char head[1000];
    int n = snprintf(head, sizeof head,
                     "POST %s HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nUser-Agent: test\r\n%sContent-Length: %zu\r\n\r\n",
                     path, headers, request_body);
    send(core, c, TB_RECEIVED, head, (size_t)n);
    if (request_body)
        send(core, c, TB_RECEIVED, body, request_body);
    clock_ns += after_ns / 2;
    n = snprintf(head, sizeof head,
                 "HTTP/1.1 200 OK\r\nServer: s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n",
                 response_body);
    if (!response_body) /* all at once: the first byte is the last */
        clock_ns += after_ns - after_ns / 2;
    send(core, c, TB_SENT, head, (size_t)n);
    clock_ns += response_body ? after_ns - after_ns / 2 : 0;
    if (response_body)
        send(core, c, TB_SENT, body, response_body);
    clock_ns += 1000;
}

/* A kept GET, as the shortest way takes it. */
static void get(struct tb_core *core, struct tb_conn *c, const char *path, uint64_t after_ns)
{
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nServer: s\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\n0123456789";
    char head[1000];
    int n = snprintf(head, sizeof head,
                     "GET %s HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nUser-Agent: test of measures\r\n\r\n", path);
    send(core, c, TB_RECEIVED, head, (size_t)n);
    clock_ns += after_ns;
    send(core, c, TB_SENT, answer, sizeof answer - 1);
    clock_ns += 1000;
}

/* ---- the region as an exporter has it ---- */

struct view {
    struct tb_snapshot *s;
    struct tb_slot_cache cache;
};

static void look(struct view *v, struct tb_core *core)
{
    struct tb_region_copy copy = {.base = core->base, .len = TB_REGION_BYTES};
    uint32_t skipped = 0;
    if (!v->s)
        v->s = tb_snapshot_new();
    tb_snapshot_begin(v->s, EPOCH_NS + clock_ns);
    struct tb_snap_service *service = tb_snapshot_service(v->s, "test", 4);
    tb_region_read_series(v->s, service, &copy, &v->cache, TB_READ_TOTAL, NULL, &skipped);
    assert_int_equal(tb_snapshot_finish(v->s), 0);
    assert_int_equal(skipped, 0);
}

static void drop(struct view *v)
{
    tb_slot_cache_free(&v->cache);
    tb_snapshot_free(v->s);
}

/* What is shown of a family and route; NULL: nothing. */
static const struct tb_snap_series *shown(const struct view *v, uint8_t family, const char *route)
{
    const struct tb_snap_series *found = NULL;
    for (size_t i = 0; i < v->s->series_count; i++) {
        const struct tb_snap_series *e = v->s->series[i];
        if (e->key.family != family || strcmp(e->key.route, route) != 0 || !tb_snapshot_is_shown(e))
            continue;
        assert_null(found); /* one, whatever the bounds were before */
        found = e;
    }
    return found;
}

/* ---- a tally ---- */

struct tally {
    uint64_t buckets[TB_BOUNDS_MAX + 1], count, sum;
};

static void tally(struct tally *t, const uint64_t *bounds, size_t count, uint64_t value)
{
    size_t i = 0;
    while (i < count && value > bounds[i])
        i++;
    t->buckets[i]++;
    t->count++;
    t->sum += value;
}

static void check(const struct view *v, uint8_t family, const char *route, const struct tally *t,
                  const uint64_t *bounds, size_t count)
{
    const struct tb_snap_series *e = shown(v, family, route);
    uint64_t buckets[TB_BOUNDS_MAX + 1];
    assert_non_null(e);
    assert_int_equal(tb_bounds_of(e->key.bound_set)->count, count);
    assert_memory_equal(tb_bounds_values(e->key.bound_set), bounds, count * sizeof *bounds);
    assert_int_equal(tb_values_classic(&e->total, e->key.bound_set, buckets), count + 1);
    for (size_t i = 0; i <= count; i++)
        assert_int_equal(buckets[i], t->buckets[i]);
    assert_int_equal(tb_values_sum(&e->total, e->key.bound_set), t->sum);
}

#define CHECK(v, family, route, t, bounds) check(v, family, route, t, bounds, sizeof(bounds) / sizeof *(bounds))

/* ---- tests ---- */

static void sizes_are_those_of_each_request(void **state)
{
    (void)state;
    static const uint64_t size_bounds[] = {100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
    static const uint64_t own_bounds[] = {1, 5, 1024};
    static const size_t sizes[] = {0, 1, 2, 5, 6, 99, 100, 101, 1000, 1001, 1024, 1025, 99999, 100000, 100001};
    struct tb_core *core = new_core();
    struct tb_conn c;
    struct view v = {0};
    struct tally requests = {0}, responses = {0};
    tb_conn_open(&c);
    rules_use(core, "metrics:\n  request_size: true\n  response_size: {bounds: [1, 5, 1024]}\n", "test");
    for (size_t i = 0; i < 15; i++)
        for (size_t k = 0; k < 15; k++) {
            exchange(core, &c, "/up", "", sizes[i], sizes[k], 1000000);
            tally(&requests, size_bounds, 7, sizes[i]);
            tally(&responses, own_bounds, 3, sizes[k]);
        }
    look(&v, core);
    CHECK(&v, TB_FAMILY_REQUEST_SIZE, "/up", &requests, size_bounds);
    CHECK(&v, TB_FAMILY_RESPONSE_SIZE, "/up", &responses, own_bounds);
    assert_int_equal(shown(&v, TB_FAMILY_REQUESTS, "/up")->whole.count, 225);
    assert_null(shown(&v, TB_FAMILY_FIRST_BYTE, "/up"));
    drop(&v);
    support_drop(core);
}

/* Bodies that arrive before their answers, in one piece, chunked; and an answer before its request's body is whole. */
static void bodies_in_a_pipeline_are_told_apart(void **state)
{
    (void)state;
    static const char three[] =
        "POST /p HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nUser-Agent: some test\r\nContent-Length: 7\r\n\r\n1234567"
        "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nTrailer: "
        "1\r\n\r\n"
        "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 300\r\n\r\n";
    static const char ok[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
    static const uint64_t size_bounds[] = {3, 4, 6, 7, 50, 299};
    struct tb_core *core = new_core();
    struct tb_conn c;
    struct view v = {0};
    struct tally requests = {0}, responses = {0};
    char rest[300] = {0};
    tb_conn_open(&c);
    rules_use(
        core,
        "metrics: {request_size: {bounds: [3, 4, 6, 7, 50, 299]}, response_size: {bounds: [3, 4, 6, 7, 50, 299]}}\n",
        "test");
    send(core, &c, TB_RECEIVED, three, sizeof three - 1);
    send(core, &c, TB_RECEIVED, rest, 50);
    for (int i = 0; i < 3; i++)
        send(core, &c, TB_SENT, ok, sizeof ok - 1);
    send(core, &c, TB_RECEIVED, rest, 250); /* belongs to the third, which is counted with what had come */
    exchange(core, &c, "/p", "", 4, 0, 1000);
    const uint64_t want[] = {7, 4, 50, 4}, answers[] = {2, 2, 2, 0};
    for (int i = 0; i < 4; i++) {
        tally(&requests, size_bounds, 6, want[i]);
        tally(&responses, size_bounds, 6, answers[i]);
    }
    look(&v, core);
    CHECK(&v, TB_FAMILY_REQUEST_SIZE, "/p", &requests, size_bounds);
    CHECK(&v, TB_FAMILY_RESPONSE_SIZE, "/p", &responses, size_bounds);
    drop(&v);
    support_drop(core);
}

static void a_stream_has_no_size(void **state)
{
    (void)state;
    static const char stream[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n";
    struct tb_core *core = new_core();
    struct tb_conn c;
    struct view v = {0};
    tb_conn_open(&c);
    rules_use(core, "metrics: {request_size: on, response_size: on}\n", "test");
    send(core, &c, TB_RECEIVED, "GET /s HTTP/1.1\r\nHost: h\r\n\r\n", 28);
    send(core, &c, TB_SENT, stream, sizeof stream - 1);
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
    look(&v, core);
    assert_non_null(shown(&v, TB_FAMILY_REQUEST_SIZE, "/s"));
    assert_null(shown(&v, TB_FAMILY_RESPONSE_SIZE, "/s"));
    drop(&v);
    support_drop(core);
}

/* Some bounds of other sets, and just beside them. */
static const uint64_t moments[] = {1,         5000000,    5000001,    99999999,   100000000,  100000001,  200000000,
                                   200000001, 1999999999, 2000000000, 2000000001, 3500000000, 3500000001, 90000000000};
#define MOMENTS (sizeof moments / sizeof *moments)

static void bounds_are_the_services_and_the_routes(void **state)
{
    (void)state;
    static const uint64_t all[] = {5000000, 100000000, 2000000000}, own[] = {200000000, 3500000000};
    struct tb_core *core = new_core();
    struct tb_conn c;
    struct view v = {0};
    struct tally common = {0}, reports = {0}, first = {0};
    tb_conn_open(&c);
    rules_use(core,
              "metrics: {duration: {bounds: [0.005, .1, 2.0]}, first_byte: on}\n"
              "routes:\n  patterns:\n    - {path: '/reports/:id', bounds: [0.2, 3.5]}\n    - '/other/:id'\n",
              "test");
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < MOMENTS; i++) {
            exchange(core, &c, round & 1 ? "/reports/7" : "/reports/8", "", 0, 10, moments[i]);
            tally(&reports, own, 2, moments[i]);
            tally(&first, own, 2, moments[i] / 2);
            get(core, &c, "/other/1", moments[i]);
            get(core, &c, "/other/2", moments[i]);
            tally(&common, all, 3, moments[i]);
            tally(&common, all, 3, moments[i]);
        }
    look(&v, core);
    CHECK(&v, TB_FAMILY_REQUESTS, "/reports/:id", &reports, own);
    CHECK(&v, TB_FAMILY_FIRST_BYTE, "/reports/:id", &first, own);
    CHECK(&v, TB_FAMILY_REQUESTS, "/other/:id", &common, all);
    drop(&v);
    support_drop(core);
}

/* The shortest way, with cells that were found under other rules. */
static void other_bounds_are_new_cells_and_counters_go_on(void **state)
{
    (void)state;
    static const uint64_t a[] = {5000000, 2000000000}, b[] = {100000000};
    struct tb_core *core = new_core();
    struct tb_conn c;
    struct view v = {0};
    struct tally first = {0}, second = {0}, third = {0}, fourth = {0}, ordinary = {0};
    uint64_t count = 0;
    const struct tb_bounds *usual = tb_bounds_of(TB_SET_DURATION);
    tb_conn_open(&c);
    for (int phase = 0; phase < 5; phase++) {
        static const char *const rules[] = {
            "{}\n", "metrics: {duration: {bounds: [0.005, 2]}}\n", "metrics: {duration: {bounds: [0.1]}}\n",
            "metrics: {duration: {bounds: [0.005, 2]}}\n", "routes: {route: inferred}\n"};
        struct tally *tallies[] = {&ordinary, &first, &second, &third, &fourth};
        const uint64_t *bounds[] = {usual->at_most, a, b, a, usual->at_most};
        const size_t counts[] = {usual->count, 2, 1, 2, usual->count};
        clock_ns += SECOND;
        rules_use(core, rules[phase], "test");
        for (int round = 0; round < 3; round++) {
            for (size_t i = 0; i < MOMENTS; i++, count++) {
                get(core, &c, "/k", moments[i]);
                tally(tallies[phase], bounds[phase], counts[phase], moments[i]);
            }
            /* the first look after bounds came back begins anew */
            if (phase >= 3 && round == 0)
                memset(tallies[phase], 0, sizeof *tallies[phase]);
            look(&v, core);
            const struct tb_snap_series *e = shown(&v, TB_FAMILY_REQUESTS, "/k");
            assert_int_equal(e->whole.count, count);
            assert_int_equal(e->whole.timed, count);
            check(&v, TB_FAMILY_REQUESTS, "/k", tallies[phase], bounds[phase], counts[phase]);
        }
    }
    drop(&v);
    support_drop(core);
}

static void sets_are_few(void **state)
{
    (void)state;
    struct tb_core *core = new_core();
    for (unsigned i = 0; i < 2 * TB_SETS; i++) {
        char rules[100];
        snprintf(rules, sizeof rules, "metrics: {duration: {bounds: [%u]}}\n", 10 + i);
        rules_use(core, rules, "test");
        uint64_t refused = support_counter(core, TB_COUNTER_BOUND_SETS_REFUSED);
        assert_int_equal(refused, i < TB_SETS - TB_SET_FIRST ? 0 : i + 1 - (TB_SETS - TB_SET_FIRST));
        assert_int_equal(core->rules_view->set_of[0], refused ? TB_SET_DURATION : TB_SET_FIRST + i);
    }
    /* one that is known needs no place */
    rules_use(core, "metrics: {duration: {bounds: [10]}}\n", "test");
    assert_int_equal(core->rules_view->set_of[0], TB_SET_FIRST);
    /* another process of the service calls it the same */
    struct tb_core *other = support_core();
    assert_int_equal(tb_region_bind(other, core->base, TB_REGION_BYTES), 0);
    tb_rules_adopt(other);
    assert_int_equal(other->rules_view->set_of[0], TB_SET_FIRST);
    free(other);
    support_drop(core);
}

/* ---- exemplars ---- */

static const struct {
    const char *headers;
    uint64_t id[2];
} traces[] = {
    {"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
     {0x0af7651916cd43ddu, 0x8448eb211c80319cu}},
    {"TraceParent:00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03  \r\n",
     {0x0af7651916cd43ddu, 0x8448eb211c80319cu}},
    {"traceparent: cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what\r\n",
     {0x0af7651916cd43ddu, 0x8448eb211c80319cu}},
    {"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\r\n", {0, 0}}, /* not sampled */
    {"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what\r\n", {0, 0}},
    {"traceparent: ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n", {0, 0}},
    {"traceparent: 00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01\r\n", {0, 0}},
    {"traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01\r\n", {0, 0}},
    {"traceparent: 00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01\r\n", {0, 0}},
    {"traceparent: 00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01\r\n", {0, 0}},
    {"traceparent: 00-0af7651916cd43dd8448eb211c80319cd-b7ad6b7169203331-01\r\n", {0, 0}},
    {"traceparent: 00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01\r\n", {0, 0}},
    {"traceparent: \r\n", {0, 0}},
    {"traceparents: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n", {0, 0}},
    {"X-traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n", {0, 0}},
    {"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
     "traceparent: 00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
     {0, 0}},
    {"b3: 80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1\r\n", {0x80f198ee56343ba8u, 0x64fe8b2a57d3eff7u}},
    {"B3: 64fe8b2a57d3eff7-e457b5a2e4d86bd1-d-05e3ac9a4f6e3b90\r\n", {0, 0x64fe8b2a57d3eff7u}},
    {"b3: 80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1\r\n", {0x80f198ee56343ba8u, 0x64fe8b2a57d3eff7u}},
    {"b3: 80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-0\r\n", {0, 0}},
    {"b3: 80f198ee56343ba864fe8b2a57d3eff7\r\n", {0, 0}},
    {"b3: 80f198ee56343ba864fe8b2a57d3ef-e457b5a2e4d86bd1-1\r\n", {0, 0}},
    {"b3: 0\r\n", {0, 0}},
    {"X-B3-TraceId: 463ac35c9f6413ad48485a3953bb6124\r\nX-B3-Sampled: 1\r\n",
     {0x463ac35c9f6413adu, 0x48485a3953bb6124u}},
    {"X-B3-Sampled: 0\r\nX-B3-TraceId: 463ac35c9f6413ad48485a3953bb6124\r\n", {0, 0}},
    {"X-B3-TraceId: 463ac35c9f6413ad48485a3953bb6124\r\nX-B3-Sampled: 0\r\n", {0, 0}},
    {"X-B3-TraceId: 48485a3953bb6124\r\n", {0, 0x48485a3953bb6124u}},
    {"X-B3-TraceId: 48485a3953bb6124 x\r\n", {0, 0}},
    {"X-B3-TraceId: 48485a3953bb6124\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
     {0x0af7651916cd43ddu, 0x8448eb211c80319cu}},
    {"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nb3: 0\r\nX-B3-Sampled: 0\r\n",
     {0x0af7651916cd43ddu, 0x8448eb211c80319cu}},
    {"Accept: b3: x\r\n\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n", {0, 0}},
    {"", {0, 0}},
};
#define TRACES (sizeof traces / sizeof *traces)

static void traces_are_read_however_they_are_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < TRACES; i++) {
        char head[400];
        size_t len = (size_t)snprintf(head, sizeof head, "Host: h\r\n%sX: y\r\n\r\n", traces[i].headers);
        for (size_t step = 1; step <= len; step++) {
            struct tb_trace t = {0};
            uint64_t id[2];
            for (size_t at = 0; at < len; at += step) {
                size_t n = len - at < step ? len - at : step;
                char *exact = malloc(n);
                memcpy(exact, head + at, n);
                tb_trace_feed(&t, tb_bytes(exact, n));
                free(exact);
            }
            tb_trace_id(&t, id);
            if (id[0] != traces[i].id[0] || id[1] != traces[i].id[1])
                fail_msg("trace %zu in steps of %zu: %016lx%016lx", i, step, (unsigned long)id[0],
                         (unsigned long)id[1]);
        }
    }
}

#define TRACE_LINE "traceparent: 00-%032x-b7ad6b7169203331-01\r\n"

static void traced(struct tb_core *core, struct tb_conn *c, unsigned trace, uint64_t after_ns)
{
    char headers[100];
    snprintf(headers, sizeof headers, TRACE_LINE, trace);
    exchange(core, c, "/t", trace ? headers : "", 0, 10, after_ns);
}

static void the_slowest_of_each_bucket_stands(void **state)
{
    (void)state;
    static const struct {
        unsigned trace;
        uint64_t after_ns;
    } requests[] = {{1, 3000000},  {2, 4000000},  {3, 3500000},   {0, 4900000},
                    {4, 40000000}, {5, 30000000}, {6, 2000000001}};
    /* the default bounds: 2.5 to 5 ms, 25 to 50 ms, 1 to 2.5 s */
    static const struct {
        uint32_t bucket;
        unsigned trace;
        uint64_t value_ns;
    } want[] = {{5, 2, 4000000}, {8, 4, 40000000}, {13, 6, 2000000001}};
    struct tb_core *core = new_core();
    struct tb_conn c;
    struct view v = {0};
    tb_conn_open(&c);
    rules_use(core, "metrics: {exemplars: on}\n", "test");
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        traced(core, &c, requests[i].trace, requests[i].after_ns);
    look(&v, core);
    const struct tb_snap_series *e = shown(&v, TB_FAMILY_REQUESTS, "/t");
    assert_non_null(e->exemplars);
    for (uint32_t bucket = 0, i = 0; bucket <= 16; bucket++) {
        const struct tb_snap_exemplar *x = &e->exemplars[bucket];
        if (i == 3 || want[i].bucket != bucket) {
            assert_int_equal(x->time_ms, 0);
            continue;
        }
        assert_int_equal(x->trace[0], 0);
        assert_int_equal(x->trace[1], want[i].trace);
        assert_int_equal(x->value_ns, want[i].value_ns);
        i++;
    }
    /* what came since is preferred to what was slower before */
    clock_ns += SECOND;
    traced(core, &c, 7, 4500000);
    look(&v, core);
    assert_int_equal(shown(&v, TB_FAMILY_REQUESTS, "/t")->exemplars[5].trace[1], 7);
    /* a new window: slower ones of the one before do not stand in the way */
    clock_ns += TB_EXEMPLAR_WINDOW_MS * UINT64_C(1000000);
    traced(core, &c, 8, 2600000);
    look(&v, core);
    assert_int_equal(shown(&v, TB_FAMILY_REQUESTS, "/t")->exemplars[5].trace[1], 8);
    /* and after two of them all are gone */
    clock_ns += 2 * TB_EXEMPLAR_WINDOW_MS * UINT64_C(1000000) + SECOND;
    look(&v, core);
    assert_null(shown(&v, TB_FAMILY_REQUESTS, "/t")->exemplars);
    drop(&v);
    support_drop(core);
}

/* Whatever two writers leave, or a damaged file: a mixed entry is none. */
static void a_torn_exemplar_is_none(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (int i = 0; i < 3000; i++) {
        struct tb_exemplar a = {support_random(&seed), {support_random(&seed), support_random(&seed)}, 0}, b = a;
        a.value = support_random(&seed) << 16;
        a.value |= tb_exemplar_check(&a);
        assert_true(tb_exemplar_is_whole(&a));
        b = a;
        b.at ^= UINT64_C(1) << (seed % 64);
        assert_false(tb_exemplar_is_whole(&b));
        b = a;
        b.trace[i & 1] ^= UINT64_C(1) << (seed % 64);
        assert_false(tb_exemplar_is_whole(&b));
        b = a;
        b.value ^= UINT64_C(1) << (seed % 64);
        assert_false(tb_exemplar_is_whole(&b));
    }
}

struct writer {
    pthread_t thread;
    struct tb_core *core;
    struct tb_series_key key;
    uint64_t number;
    uint32_t *running;
};

static void *note_many(void *arg)
{
    struct writer *w = arg;
    uint64_t seed = w->number + 1;
    for (int i = 0; i < 200000; i++) {
        uint64_t ns = 25000001 + support_random(&seed) % 24000000;
        tb_exemplar_note(w->core, &w->key, ns, (uint64_t[2]){ns, w->number + 1});
    }
    tb_add_relaxed(w->running, -1u);
    return NULL;
}

/* Whatever is read while four threads write belongs together: the first half of a trace is its duration. */
static void exemplars_of_many_threads_are_whole(void **state)
{
    (void)state;
    struct tb_core *core = new_core();
    struct writer w[4];
    uint32_t running = 4;
    assert_true(tb_owner_claim(core));
    for (unsigned i = 0; i < 4; i++) {
        w[i] = (struct writer){.core = core, .number = i, .running = &running};
        w[i].key = (struct tb_series_key){.family = TB_FAMILY_REQUESTS,
                                          .role = TB_ROLE_SERVER,
                                          .method = 1,
                                          .status = 200,
                                          .route = tb_string_intern(core, tb_bytes_str("/x"))};
        assert_int_equal(pthread_create(&w[i].thread, NULL, note_many, &w[i]), 0);
    }
    unsigned found = 0;
    for (bool is_last = false; !is_last;) {
        is_last = tb_load_relaxed(&running) == 0;
        static struct tb_exemplars all;
        struct tb_series_key key;
        for (uint32_t slot = 1; slot < tb_series_slots(core->header); slot++)
            if (tb_series_exemplars(core->base, TB_REGION_BYTES, core->header, slot, &key, &all) == 0)
                for (uint32_t k = 0; k < 2 * TB_SHARDS; k++)
                    if (tb_exemplar_is_whole(&all.of[8][k])) {
                        found++;
                        assert_int_equal(all.of[8][k].trace[0], TB_EXEMPLAR_VALUE_NS(all.of[8][k].value));
                        assert_in_range(all.of[8][k].trace[1], 1, 4);
                    }
    }
    for (unsigned i = 0; i < 4; i++)
        pthread_join(w[i].thread, NULL);
    assert_true(found > 0);
    support_drop(core);
}

/* A set that is in use is written over (after one that was refused): no bounds that half of it names. */
static void bounds_of_a_set_that_is_written_over_are_not_remembered(void **state)
{
    (void)state;
    struct tb_core *core = new_core();
    rules_use(core, "routes: {patterns: [{path: /a, bounds: [0.3]}]}\n", "test");
    uint32_t a = tb_string_intern(core, tb_bytes_str("/a"));
    struct tb_rules_view *v = core->rules_view;
    uint8_t *section = (uint8_t *)core->rules, *checksum = section + v->at + offsetof(struct tb_rules_set, checksum),
            *text = (uint8_t *)(uintptr_t)tb_rules_text(section, v, v->bounds[0].route).ptr, right[sizeof(uint64_t)];
    memcpy(right, checksum, sizeof right);
    memset(checksum, 0, sizeof right);
    *text = 'b';
    assert_int_equal(tb_measures_set(core, a), TB_SET_DURATION);
    *text = '/';
    memcpy(checksum, right, sizeof right);
    assert_int_equal(tb_measures_set(core, a), TB_SET_FIRST);
    memset(checksum, 0, sizeof right);
    *text = 'b';
    assert_int_equal(tb_measures_set(core, a), TB_SET_FIRST); /* what is known stays */
    support_drop(core);
}

/* Programs that no rules ask for other bounds have no memory for them. */
static void sets_that_are_not_used_take_no_memory(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), len = (sizeof(struct tb_core) + page - 1) / page * page;
    struct tb_core *core = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *base = mmap(NULL, TB_REGION_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct tb_identity id = support_identity("test");
    unsigned char is_there[sizeof(struct tb_core) / 1024];
    assert_true(core != MAP_FAILED && base != MAP_FAILED);
    tb_region_format(base, &id, 1, 1);
    assert_int_equal(tb_region_bind(core, base, TB_REGION_BYTES), 0);
    assert_int_equal(mincore(core, len, is_there), 0);
    size_t first = offsetof(struct tb_core, sets) + TB_SET_FIRST * sizeof(struct tb_set);
    for (size_t at = first / page + 1; at < (offsetof(struct tb_core, sets) + sizeof core->sets) / page; at++)
        assert_false(is_there[at] & 1);
    assert_int_equal(core->sets_ready, 3);
    munmap(core, len);
    munmap(base, TB_REGION_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_those_of_each_request),
        cmocka_unit_test(bodies_in_a_pipeline_are_told_apart),
        cmocka_unit_test(a_stream_has_no_size),
        cmocka_unit_test(bounds_are_the_services_and_the_routes),
        cmocka_unit_test(other_bounds_are_new_cells_and_counters_go_on),
        cmocka_unit_test(sets_are_few),
        cmocka_unit_test(bounds_of_a_set_that_is_written_over_are_not_remembered),
        cmocka_unit_test(sets_that_are_not_used_take_no_memory),
        cmocka_unit_test(traces_are_read_however_they_are_cut),
        cmocka_unit_test(the_slowest_of_each_bucket_stands),
        cmocka_unit_test(a_torn_exemplar_is_none),
        cmocka_unit_test(exemplars_of_many_threads_are_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
