/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gauges of requests in flight: by what heads say, through every way that a request ends, with processes that die and
 * rules that change meanwhile. What is expected is what the test has open at that moment.
 */
#include "custom_support.h"

#include "region.h"

static const char *const RULES =
    "rules:\n"
    "  - metric: open_orders\n"
    "    type: gauge\n"
    "    value: in_flight\n"
    "    match: {method: POST, route: /orders}\n"
    "  - metric: open_requests\n"
    "    type: gauge\n"
    "    value: in_flight\n"
    "    match: {not: {route: /plain}}\n"
    "    labels: {tenant: {request_header: X-Tenant, max: 2}, method: method, route: route}\n";

/* -1: there is no such gauge. */
static int64_t gauge(struct tb_core *core, const char *ext)
{
    struct view v = {0};
    int64_t value = -1;
    look(&v, core);
    for (size_t i = 0; i < v.s->series_count; i++) {
        const struct tb_snap_series *e = v.s->series[i];
        if (e->key.family == TB_FAMILY_RULE_GAUGE && strcmp(e->key.ext, ext) == 0 && e->total.first_byte_ns)
            value = (int64_t)e->total.rx_bytes;
    }
    drop(&v);
    return value;
}

static void request(struct tb_core *core, struct tb_conn *c, const char *method, const char *path, const char *fields)
{
    char text[600];
    snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: h\r\nUser-Agent: a test of gauges, of bytes\r\n%s\r\n", method,
             path, fields);
    send(core, c, TB_RECEIVED, text);
}

static void answer(struct tb_core *core, struct tb_conn *c)
{
    send(core, c, TB_SENT, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok");
}

/* Routes are learned, so that they have their names when requests begin. */
static struct tb_core *taught_core(const char *rules)
{
    struct tb_core *core = new_core(rules);
    static const char *const paths[] = {"/orders", "/plain", "/x"};
    struct tb_conn c;
    tb_conn_open(&c);
    for (size_t i = 0; i < 3; i++)
        exchange(core, &c, i ? "GET" : "POST", paths[i], 200, "", MS);
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
    return core;
}

/* Free entries are in no gauge. */
static void check_free_entries(const struct tb_core *core)
{
    static const uint16_t none[4];
    for (size_t i = 0; i < TB_SHARDS * TB_INFLIGHT_PER_SHARD; i++)
        if (!core->inflight[i].start_ns)
            assert_memory_equal(core->inflight[i].gauges, none, sizeof none);
}

static void open_requests_are_counted_by_what_their_heads_say(void **state)
{
    (void)state;
    struct tb_core *core = taught_core(RULES);
    struct tb_conn c[6];
    static const char *const tenants[] = {"X-Tenant: a\r\n", "X-Tenant: b\r\n", "X-Tenant: c\r\n", ""};
    for (size_t i = 0; i < 6; i++)
        tb_conn_open(&c[i]);
    for (size_t i = 0; i < 4; i++)
        request(core, &c[i], "GET", "/x", tenants[i]);
    request(core, &c[4], "POST", "/orders", "X-Tenant: a\r\n");
    request(core, &c[5], "GET", "/plain", "X-Tenant: a\r\n");
    assert_int_equal(gauge(core, "iopen_orders{}"), 1);
    assert_int_equal(gauge(core, "iopen_requests{method=\"GET\",route=\"/x\",tenant=\"a\"}"), 1);
    assert_int_equal(gauge(core, "iopen_requests{method=\"GET\",route=\"/x\",tenant=\"_other\"}"), 1);
    assert_int_equal(gauge(core, "iopen_requests{method=\"GET\",route=\"/x\",tenant=\"\"}"), 1);
    assert_int_equal(gauge(core, "iopen_requests{method=\"POST\",route=\"/orders\",tenant=\"a\"}"), 1);
    assert_int_equal(gauge(core, "iopen_requests{method=\"GET\",route=\"/plain\",tenant=\"a\"}"), -1);
    for (size_t i = 0; i < 6; i++)
        answer(core, &c[i]);
    assert_int_equal(gauge(core, "iopen_orders{}"), 0);
    assert_int_equal(gauge(core, "iopen_requests{method=\"GET\",route=\"/x\",tenant=\"a\"}"), 0);
    check_free_entries(core);
    for (size_t i = 0; i < 6; i++) { /* the same entries once more, for what no gauge is about */
        request(core, &c[i], "GET", "/plain", "");
        assert_int_equal(gauge(core, "iopen_orders{}"), 0);
        tb_exchange_close(core, &c[i], TB_CLOSE_LOCAL);
    }
    check_free_entries(core);
    support_drop(core);
}

/* Heads in pieces, pipelines, connections that close unanswered or in a body, and what is given up. */
static void a_request_leaves_whichever_way_it_ends(void **state)
{
    (void)state;
    struct tb_core *core = taught_core(RULES);
    struct tb_conn c;
    tb_conn_open(&c);
    send(core, &c, TB_RECEIVED, "POST /orders HTTP/1.1\r\nHo");
    assert_int_equal(gauge(core, "iopen_orders{}"), 0);
    send(core, &c, TB_RECEIVED, "st: h\r\nX-Tenant: a\r\nContent-Length: 9\r\n\r\n123");
    assert_int_equal(gauge(core, "iopen_orders{}"), 1);
    assert_int_equal(gauge(core, "iopen_requests{method=\"POST\",route=\"/orders\",tenant=\"a\"}"), 1);
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL); /* in its body */
    assert_int_equal(gauge(core, "iopen_orders{}"), 0);

    tb_conn_open(&c);
    for (int i = 0; i < 5; i++)
        request(core, &c, "POST", "/orders", "Content-Length: 0\r\n");
    assert_int_equal(gauge(core, "iopen_orders{}"), 5);
    answer(core, &c);
    answer(core, &c);
    assert_int_equal(gauge(core, "iopen_orders{}"), 3);
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
    assert_int_equal(gauge(core, "iopen_orders{}"), 0);

    tb_conn_open(&c);
    request(core, &c, "POST", "/orders", "Content-Length: 0\r\n");
    send(core, &c, TB_SENT, "this is no response, and so the connection is given up");
    assert_int_equal(gauge(core, "iopen_orders{}"), 0);
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL);

    tb_conn_open(&c);
    request(core, &c, "POST", "/orders", "");
    core->env.pid++; /* as at exit: the process's slot goes with all that it had open */
    tb_owner_release(core);
    assert_int_equal(gauge(core, "iopen_orders{}"), 0);
    check_free_entries(core);
    tb_exchange_close(core, &c, TB_CLOSE_FORGET);
    support_drop(core);
}

/* More than there are captures: a header is looked for while the head is read, and no longer. */
static void many_may_be_open_at_one_time(void **state)
{
    (void)state;
    enum { MANY = TB_CAPTURES * 5 };
    struct tb_core *core = taught_core(RULES);
    static struct tb_conn c[MANY];
    for (size_t i = 0; i < MANY; i++) {
        tb_conn_open(&c[i]);
        request(core, &c[i], "GET", "/x", "X-Tenant: a\r\n");
    }
    assert_int_equal(gauge(core, "iopen_requests{method=\"GET\",route=\"/x\",tenant=\"a\"}"), MANY);
    assert_int_equal(unreadable(core, "open_requests", 0), 0);
    for (size_t i = 0; i < MANY; i++)
        tb_exchange_close(core, &c[i], TB_CLOSE_LOCAL);
    assert_int_equal(gauge(core, "iopen_requests{method=\"GET\",route=\"/x\",tenant=\"a\"}"), 0);
    support_drop(core);
}

static void rules_change_while_requests_are_open(void **state)
{
    (void)state;
    struct tb_core *core = taught_core(RULES);
    struct tb_conn before, after;
    tb_conn_open(&before);
    tb_conn_open(&after);
    request(core, &before, "POST", "/orders", "");
    rules_use(core, "rules: [{metric: open_posts, type: gauge, value: in_flight, match: {method: POST}}]\n", "shop");
    request(core, &after, "POST", "/orders", "");
    assert_int_equal(gauge(core, "iopen_orders{}"), 1);
    assert_int_equal(gauge(core, "iopen_posts{}"), 1);
    answer(core, &before);
    assert_int_equal(gauge(core, "iopen_orders{}"), 0);
    assert_int_equal(gauge(core, "iopen_posts{}"), 1);
    rules_use(core, "routes: {max_routes: 100}\n", "shop"); /* none any more */
    answer(core, &after);
    assert_int_equal(gauge(core, "iopen_posts{}"), 0);
    check_free_entries(core);
    tb_exchange_close(core, &before, TB_CLOSE_LOCAL);
    tb_exchange_close(core, &after, TB_CLOSE_LOCAL);
    support_drop(core);
}

/* Other requests go the shortest way, as without rules. */
static void what_no_gauge_is_about_keeps_the_short_way(void **state)
{
    (void)state;
    struct tb_core *core = taught_core(RULES);
    struct tb_conn c;
    size_t known = 0;
    tb_conn_open(&c);
    for (unsigned i = 0; i < 4; i++)
        exchange(core, &c, "GET", "/plain", 200, "0123456789", MS);
    for (size_t i = 0; i < TB_CELL_CACHE; i++)
        known += core->cell_cache[i] != 0;
    assert_true(known > 0);
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
    support_drop(core);
}

/* Entries of dead processes, and numbers that no string has, count nothing; nothing is read past the table. */
static void hostile_entries_are_harmless(void **state)
{
    (void)state;
    struct tb_core *core = taught_core(RULES);
    struct tb_conn c;
    tb_conn_open(&c);
    request(core, &c, "POST", "/orders", "");
    memset(alive, 0, sizeof alive);
    assert_int_equal(gauge(core, "iopen_orders{}"), 0);
    alive[core->owner_slot / 64] = UINT64_C(1) << core->owner_slot % 64;
    for (size_t i = 0; i < TB_SHARDS * TB_INFLIGHT_PER_SHARD; i++) {
        struct tb_inflight *entry = &core->inflight[i];
        if (!entry->start_ns)
            memset(entry->gauges, 0xff, sizeof entry->gauges), entry->start_ns = tb_inflight_word(clock_ns, 1);
    }
    assert_int_equal(gauge(core, "iopen_orders{}"), 1);
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
    support_drop(core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_requests_are_counted_by_what_their_heads_say),
        cmocka_unit_test(a_request_leaves_whichever_way_it_ends),
        cmocka_unit_test(many_may_be_open_at_one_time),
        cmocka_unit_test(rules_change_while_requests_are_open),
        cmocka_unit_test(what_no_gauge_is_about_keeps_the_short_way),
        cmocka_unit_test(hostile_entries_are_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
