/* SPDX-License-Identifier: Apache-2.0 */
/*
 * invocation.c: a function's talk with the Runtime API through real connections, cut at every byte: what it took, what
 * failed, and that none of it is a call to another server. The clock is a variable.
 */
#include "custom_support.h"

#include "invocation.h"

#define API "127.0.0.1:9001"
#define VERSION "/2018-06-01/runtime/"

static struct tb_core *function_core(const char *rules, const char *concurrency)
{
    struct tb_core *core = new_core(rules);
    tb_invocation_start(core, tb_bytes_str(API), tb_bytes_str(concurrency));
    return core;
}

static void request(struct tb_core *core, struct tb_conn *c, const char *method, const char *path, const char *body)
{
    char text[1000];
    snprintf(text, sizeof text, "%s " VERSION "%s HTTP/1.1\r\nHost: " API "\r\nContent-Length: %zu\r\n\r\n%s", method,
             path, strlen(body), body);
    send(core, c, TB_SENT, text);
}

static void answer(struct tb_core *core, struct tb_conn *c, unsigned status, const char *body)
{
    char text[1000];
    snprintf(text, sizeof text, "HTTP/1.1 %u Any\r\nContent-Length: %zu\r\n\r\n%s", status, strlen(body), body);
    send(core, c, TB_RECEIVED, text);
}

/* The runtime asks, waits for an hour, and gets an event. */
static void next(struct tb_core *core, struct tb_conn *c)
{
    request(core, c, "GET", "invocation/next", "");
    clock_ns += 3600 * SECOND;
    answer(core, c, 200, "{\"a\": 1}");
}

static void post(struct tb_core *core, struct tb_conn *c, const char *what, unsigned status)
{
    request(core, c, "POST", what, "{\"ok\": true}");
    clock_ns += 5 * SECOND; /* the Runtime API takes its time: not the function's */
    answer(core, c, status, "{}");
}

/* What there is of a family, of any status if @status is 0. */
static struct tb_snap_values total(struct tb_core *core, enum tb_family family, unsigned status, uint64_t *ret_count)
{
    struct view v = {0};
    struct tb_snap_values values = {0};
    *ret_count = 0;
    look(&v, core);
    for (size_t i = 0; i < v.s->series_count; i++) {
        const struct tb_snap_series *e = v.s->series[i];
        if (e->key.family != family || (status && e->key.status != status))
            continue;
        assert_int_equal(e->key.role, TB_ROLE_SERVER);
        *ret_count += e->whole.count;
        values.sum_ns += e->total.sum_ns;
        values.untimed += e->total.untimed;
    }
    drop(&v);
    return values;
}

static uint64_t ended(struct tb_core *core)
{
    uint64_t n;
    (void)total(core, TB_FAMILY_INVOCATION, 0, &n);
    return n;
}

static uint64_t failed(struct tb_core *core, unsigned why)
{
    uint64_t n;
    (void)total(core, TB_FAMILY_INVOCATION_ERRORS, why, &n);
    return n;
}

/* Nothing but invocations and what rules count. */
static void assert_no_calls(struct tb_core *core)
{
    struct view v = {0};
    look(&v, core);
    for (size_t i = 0; i < v.s->series_count; i++)
        if (v.s->series[i]->key.role == TB_ROLE_CLIENT)
            fail_msg("family %u", v.s->series[i]->key.family);
    drop(&v);
}

static void an_invocation_is_timed_from_event_to_outcome(void **state)
{
    (void)state;
    struct tb_core *core = function_core(NULL, "");
    struct tb_conn c;
    uint64_t n;
    tb_conn_open(&c);
    for (unsigned i = 1; i <= 3; i++) {
        next(core, &c);
        assert_int_equal(core->header->runtime_asked, i);
        assert_int_equal(core->header->runtime_begun, i);
        clock_ns += i * 10 * MS;
        post(core, &c, "invocation/8476a536-e9f4-11e8-9739-2dfe598c3fcd/response", 202);
    }
    request(core, &c, "GET", "invocation/next", ""); /* frozen here, and then the end */
    struct tb_snap_values v = total(core, TB_FAMILY_INVOCATION, 0, &n);
    assert_int_equal(n, 3);
    assert_int_equal(v.untimed, 0);
    assert_int_equal(v.sum_ns, 60 * MS);
    assert_int_equal(failed(core, 0), 0);
    assert_int_equal(core->header->runtime_asked, 4);
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
    assert_no_calls(core);
    support_drop(core);
}

static void failures_have_reasons_and_count_once(void **state)
{
    (void)state;
    struct tb_core *core = function_core(NULL, "1");
    struct tb_conn c;
    tb_conn_open(&c);
    post(core, &c, "init/error", 202);
    assert_int_equal(ended(core), 0);
    next(core, &c);
    post(core, &c, "invocation/1/error", 202);
    next(core, &c);
    post(core, &c, "invocation/2/response", 413);
    post(core, &c, "invocation/2/error", 202); /* what runtimes do then */
    next(core, &c);
    next(core, &c); /* the one before never ended */
    post(core, &c, "invocation/4/response", 202);
    post(core, &c, "invocation/4/response", 202); /* nothing is open */
    assert_int_equal(ended(core), 4);
    assert_int_equal(failed(core, TB_INVOCATION_INIT), 1);
    assert_int_equal(failed(core, TB_INVOCATION_FUNCTION), 1);
    assert_int_equal(failed(core, TB_INVOCATION_REFUSED), 1);
    assert_int_equal(failed(core, TB_INVOCATION_UNFINISHED), 1);
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
    assert_no_calls(core);
    support_drop(core);
}

static void a_streamed_response_ends_with_its_last_chunk(void **state)
{
    (void)state;
    struct tb_core *core = function_core(NULL, "");
    struct tb_conn c;
    uint64_t n;
    tb_conn_open(&c);
    next(core, &c);
    clock_ns += 7 * MS;
    send(core, &c, TB_SENT,
         "POST " VERSION "invocation/1/response HTTP/1.1\r\nHost: " API "\r\nTransfer-Encoding: chunked\r\n"
         "Lambda-Runtime-Function-Response-Mode: streaming\r\nTrailer: Lambda-Runtime-Function-Error-Type\r\n\r\n");
    clock_ns += 20 * MS;
    send(core, &c, TB_SENT, "5\r\nhello\r\n");
    clock_ns += 30 * MS;
    send(core, &c, TB_SENT, "0\r\n\r\n");
    clock_ns += SECOND;
    answer(core, &c, 202, "");
    struct tb_snap_values v = total(core, TB_FAMILY_INVOCATION, 0, &n);
    assert_int_equal(n, 1);
    assert_int_equal(v.sum_ns, 57 * MS);
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
    support_drop(core);
}

static void a_shell_has_a_process_for_each_request(void **state)
{
    (void)state;
    struct tb_core *first = function_core(NULL, ""), *second = support_core();
    struct tb_conn c;
    uint64_t n;
    second->env.monotonic_ns = read_clock;
    assert_int_equal(tb_region_bind(second, first->base, TB_REGION_BYTES), 0);
    tb_invocation_start(second, tb_bytes_str(API), tb_bytes_str(""));
    tb_conn_open(&c);
    next(first, &c);
    tb_exchange_close(first, &c, TB_CLOSE_LOCAL);
    clock_ns += 40 * MS;
    tb_conn_open(&c);
    post(second, &c, "invocation/1/response", 202);
    tb_exchange_close(second, &c, TB_CLOSE_LOCAL);
    struct tb_snap_values v = total(second, TB_FAMILY_INVOCATION, 0, &n);
    assert_int_equal(n, 1);
    assert_int_equal(v.sum_ns, 40 * MS);
    free(first);
    support_drop(second);
}

static void several_at_a_time_are_counted_untimed(void **state)
{
    (void)state;
    struct tb_core *core = function_core(NULL, "2");
    struct tb_conn a, b;
    uint64_t n;
    tb_conn_open(&a);
    tb_conn_open(&b);
    next(core, &a);
    next(core, &b);
    post(core, &a, "invocation/1/response", 202);
    post(core, &b, "invocation/2/error", 202);
    struct tb_snap_values v = total(core, TB_FAMILY_INVOCATION, 0, &n);
    assert_int_equal(n, 2);
    assert_int_equal(v.untimed, 2);
    assert_int_equal(failed(core, 0), 1);
    tb_exchange_close(core, &a, TB_CLOSE_LOCAL);
    tb_exchange_close(core, &b, TB_CLOSE_LOCAL);
    support_drop(core);
}

static void rules_are_about_the_response(void **state)
{
    (void)state;
    struct tb_core *core = function_core("rules:\n"
                                         "  - metric: items_processed_total\n"
                                         "    match: {role: client, path: /*/runtime/invocation/*/response}\n"
                                         "    value: {request_json: itemsProcessed}\n"
                                         "  - {metric: calls_total, match: {role: client}}\n",
                                         "");
    struct tb_conn c;
    struct view v = {0};
    tb_conn_open(&c);
    for (unsigned i = 0; i < 3; i++) {
        next(core, &c);
        request(core, &c, "POST", "invocation/1/response", "{\"x\": [1], \"itemsProcessed\": 14}");
        answer(core, &c, 202, "");
    }
    look(&v, core);
    const struct tb_snap_series *e = find(&v, "sitems_processed_total{}");
    assert_non_null(e);
    assert_int_equal(e->total.rx_bytes, 3 * 14 * SECOND);
    drop(&v);
    assert_int_equal(count(core, "ccalls_total{}"), 6);
    assert_no_calls(core);
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
    support_drop(core);
}

/* One byte at a time in both directions, as no runtime does. */
static void cuts_change_nothing(void **state)
{
    (void)state;
    struct tb_core *core = function_core(NULL, "");
    struct tb_conn c;
    uint64_t n;
    const struct {
        enum tb_direction direction;
        const char *bytes;
        uint64_t before_ns;
    } parts[] = {
        {TB_SENT, "GET " VERSION "invocation/next HTTP/1.1\r\nAccept: */*\r\nHost: " API "\r\n\r\n", 0},
        {TB_RECEIVED, "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: 1\r\nContent-Length: 2\r\n\r\n{}", SECOND},
        {TB_SENT, "POST " VERSION "invocation/1/response HTTP/1.1\r\nHost: " API "\r\nContent-Length: 4\r\n\r\nnull",
         9 * MS},
        {TB_RECEIVED, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", SECOND},
    };
    tb_conn_open(&c);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        clock_ns += parts[i].before_ns;
        for (const char *p = parts[i].bytes; *p; p++)
            send(core, &c, parts[i].direction, (const char[2]){*p, 0});
    }
    struct tb_snap_values v = total(core, TB_FAMILY_INVOCATION, 0, &n);
    assert_int_equal(n, 1);
    assert_int_equal(v.sum_ns, 9 * MS);
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
    assert_no_calls(core);
    support_drop(core);
}

static void paths_and_hosts_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *authority, *path;
        enum tb_runtime_call call;
    } cases[] = {
        {API, "/2018-06-01/runtime/invocation/next", TB_RUNTIME_NEXT},
        {API, "/2099-01-01/runtime/invocation/next", TB_RUNTIME_NEXT},
        {API, "/2018-06-01/runtime/invocation/x/response", TB_RUNTIME_RESPONSE},
        {API, "/2018-06-01/runtime/invocation/x/error", TB_RUNTIME_ERROR},
        {API, "/2018-06-01/runtime/init/error", TB_RUNTIME_INIT_ERROR},
        {API, "/2018-06-01/runtime/invocation/next/", TB_RUNTIME_OTHER},
        {API, "/2018-06-01/runtime/invocation//response", TB_RUNTIME_OTHER},
        {API, "/2018-06-01/runtime/invocation/x/y/response", TB_RUNTIME_OTHER},
        {API, "/2018-06-01/runtime/invocation", TB_RUNTIME_OTHER},
        {API, "//runtime/invocation/next", TB_RUNTIME_OTHER},
        {API, "/2020-01-01/extension/event/next", TB_RUNTIME_OTHER},
        {API, "/", TB_RUNTIME_OTHER},
        {API, "", TB_RUNTIME_OTHER},
        {"127.0.0.1:9002", "/2018-06-01/runtime/invocation/next", TB_RUNTIME_NONE},
        {"127.0.0.1", "/2018-06-01/runtime/invocation/next", TB_RUNTIME_NONE},
        {"", "/2018-06-01/runtime/invocation/next", TB_RUNTIME_NONE},
    };
    struct tb_core *core = function_core(NULL, ""), *other = new_core(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tb_bytes authority = tb_bytes_str(cases[i].authority), path = tb_bytes_str(cases[i].path);
        if (tb_invocation_call(core, authority, path) != cases[i].call)
            fail_msg("%s %s", cases[i].authority, cases[i].path);
        for (size_t len = 0; len < path.len; len++) { /* behind its end lies nothing that is looked at */
            char *exact = malloc(len + 1);
            memcpy(exact, path.ptr, len);
            exact[len] = '/';
            (void)tb_invocation_call(core, authority, tb_bytes(exact, len));
            free(exact);
        }
        assert_int_equal(tb_invocation_call(other, authority, path), TB_RUNTIME_NONE); /* no function */
    }
    static const char *const bad[] = {"", ":", "a b", "http://127.0.0.1:9001/",
                                      "0123456789012345678901234567890123456789012345678901234567890123456789:1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tb_invocation_start(other, tb_bytes_str(bad[i]), tb_bytes_str(""));
        assert_int_equal(tb_invocation_call(other, tb_bytes_str(bad[i]), tb_bytes_str("/a/runtime/invocation/next")),
                         TB_RUNTIME_NONE);
    }
    support_drop(core);
    support_drop(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_invocation_is_timed_from_event_to_outcome),
        cmocka_unit_test(failures_have_reasons_and_count_once),
        cmocka_unit_test(a_streamed_response_ends_with_its_last_chunk),
        cmocka_unit_test(a_shell_has_a_process_for_each_request),
        cmocka_unit_test(several_at_a_time_are_counted_untimed),
        cmocka_unit_test(rules_are_about_the_response),
        cmocka_unit_test(cuts_change_nothing),
        cmocka_unit_test(paths_and_hosts_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
