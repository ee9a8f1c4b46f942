/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics of the user's own: bytes go through a whole core under rules of a configuration, the region is read as an
 * exporter reads it, and every series is compared with what was sent.
 */
#include "rules_support.h"

#include "conn.h"
#include "custom.h"
#include "exchange.h"

#include "exporter/region_read.h"
#include "exporter/rules_config.h"
#include "exporter/rules_ext.h"

#define SECOND UINT64_C(1000000000)
#define MS (SECOND / 1000)

static uint64_t clock_ns;

static uint64_t read_clock(void)
{
    return clock_ns;
}

static struct tb_core *new_core(const char *rules)
{
    struct tb_core *core = support_bound_core();
    clock_ns = SECOND;
    core->env.monotonic_ns = read_clock;
    core->realtime_offset_ns = UINT64_C(1700000000) * SECOND;
    if (rules)
        rules_use(core, rules, "shop");
    return core;
}

static void send(struct tb_core *core, struct tb_conn *c, enum tb_direction d, const char *bytes)
{
    struct tb_bytes one = {(const uint8_t *)bytes, strlen(bytes)};
    tb_exchange_io(core, c, d, &one, 1, one.len);
}

/* One request with its answer @after_ns later. */
static void exchange(struct tb_core *core, struct tb_conn *c, const char *method, const char *path, unsigned status,
                     const char *body, uint64_t after_ns)
{
    char text[1000];
    snprintf(text, sizeof text,
             "%s %s HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nUser-Agent: a test of rules, of bytes\r\n\r\n", method, path);
    send(core, c, TB_RECEIVED, text);
    clock_ns += after_ns;
    snprintf(text, sizeof text,
             "HTTP/1.1 %u Any\r\nServer: s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s", status,
             strlen(body), body);
    send(core, c, TB_SENT, text);
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
    v->s = tb_snapshot_new();
    tb_snapshot_begin(v->s, UINT64_C(1700000000) * SECOND + clock_ns);
    tb_region_read_series(v->s, tb_snapshot_service(v->s, "shop", 4), &copy, &v->cache, TB_READ_TOTAL, &skipped);
    assert_int_equal(tb_snapshot_finish(v->s), 0);
    assert_int_equal(skipped, 0);
}

static void drop(struct view *v)
{
    tb_slot_cache_free(&v->cache);
    tb_snapshot_free(v->s);
}

static const struct tb_snap_series *find(const struct view *v, const char *ext)
{
    for (size_t i = 0; i < v->s->series_count; i++)
        if (v->s->series[i]->key.family == TB_FAMILY_RULE && strcmp(v->s->series[i]->key.ext, ext) == 0)
            return v->s->series[i];
    return NULL;
}

static uint64_t count(struct tb_core *core, const char *ext)
{
    struct view v = {0};
    look(&v, core);
    const struct tb_snap_series *e = find(&v, ext);
    uint64_t n = e ? e->count : 0;
    drop(&v);
    return n;
}

static size_t count_series(struct tb_core *core)
{
    struct view v = {0};
    size_t n = 0;
    look(&v, core);
    for (size_t i = 0; i < v.s->series_count; i++)
        n += v.s->series[i]->key.family == TB_FAMILY_RULE;
    drop(&v);
    return n;
}

/* ---- matching ---- */

static void requests_are_matched_by_method_route_and_status(void **state)
{
    (void)state;
    struct tb_core *core = new_core("rules:\n"
                                    "  - metric: orders_created_total\n"
                                    "    match: {method: POST, route: /orders, status: [201, 4xx]}\n"
                                    "    labels: {status: status, method: method}\n"
                                    "  - metric: shop_requests_total\n"
                                    "    match: {not: {route: [/health, /orders]}}\n"
                                    "    labels: {class: status_class, route: route}\n");
    struct tb_conn c;
    tb_conn_open(&c);
    for (unsigned i = 0; i < 7; i++)
        exchange(core, &c, "POST", "/orders", 201, "", MS);
    exchange(core, &c, "POST", "/orders", 200, "", MS);
    exchange(core, &c, "POST", "/orders", 422, "", MS);
    exchange(core, &c, "PUT", "/orders", 201, "", MS);
    for (unsigned i = 0; i < 30; i++)
        exchange(core, &c, "GET", i % 3 ? "/cart" : "/health", i == 7 ? 503 : 200, "0123456789", MS);
    assert_int_equal(count(core, "corders_created_total{method=\"POST\",status=\"201\"}"), 7);
    assert_int_equal(count(core, "corders_created_total{method=\"POST\",status=\"422\"}"), 1);
    assert_int_equal(count(core, "cshop_requests_total{class=\"2xx\",route=\"/cart\"}"), 19);
    assert_int_equal(count(core, "cshop_requests_total{class=\"5xx\",route=\"/cart\"}"), 1);
    assert_int_equal(count_series(core), 4);
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
    support_drop(core);
}

static void a_histogram_has_its_own_bounds(void **state)
{
    (void)state;
    static const unsigned ms[] = {50, 100, 101, 600, 1999, 2000, 4999, 20000};
    static const uint64_t want[] = {2, 1, 1, 2, 1, 0, 1};
    struct tb_core *core = new_core("rules:\n"
                                    "  - metric: checkout_duration_seconds\n"
                                    "    type: histogram\n"
                                    "    match: {route: /checkout}\n"
                                    "    bounds: [0.1, 0.5, 1, 2, 5, 10]\n");
    struct view v = {0};
    struct tb_conn c;
    uint64_t buckets[TB_BOUNDS_MAX + 1], sum = 0;
    tb_conn_open(&c);
    for (size_t i = 0; i < sizeof ms / sizeof *ms; i++) {
        exchange(core, &c, "GET", "/checkout", 200, "x", ms[i] * MS);
        sum += ms[i] * MS;
    }
    look(&v, core);
    const struct tb_snap_series *e = find(&v, "hcheckout_duration_seconds{}");
    assert_non_null(e);
    assert_int_equal(tb_values_classic(&e->total, e->key.bound_set, buckets), 7);
    assert_memory_equal(buckets, want, sizeof want);
    assert_int_equal(e->total.sum_ns, sum);
    drop(&v);
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
    support_drop(core);
}

static void sizes_and_durations_are_added_up(void **state)
{
    (void)state;
    struct tb_core *core =
        new_core("rules:\n"
                 "  - {metric: sent_bytes_total, value: response_size, match: {route: /a}}\n"
                 "  - {metric: busy_seconds_total, value: duration}\n"
                 "  - {metric: answer_bytes, type: histogram, value: response_size, bounds: [5, 100]}\n");
    struct view v = {0};
    struct tb_conn c;
    uint64_t buckets[TB_BOUNDS_MAX + 1];
    tb_conn_open(&c);
    exchange(core, &c, "GET", "/a", 200, "12345", 2 * MS);
    exchange(core, &c, "GET", "/a", 200, "123456", 3 * MS);
    exchange(core, &c, "GET", "/b", 200, "123", 4 * MS);
    look(&v, core);
    assert_int_equal(find(&v, "bsent_bytes_total{}")->total.rx_bytes, 11);
    assert_int_equal(find(&v, "sbusy_seconds_total{}")->total.rx_bytes, 9 * MS);
    const struct tb_snap_series *e = find(&v, "hanswer_bytes{}");
    assert_int_equal(tb_values_classic(&e->total, e->key.bound_set, buckets), 3);
    assert_int_equal(buckets[0], 2);
    assert_int_equal(buckets[1], 1);
    assert_int_equal(e->total.sum_ns, 14);
    drop(&v);
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
    support_drop(core);
}

/* Exchanges that no rule is about go the short way: the same number of cells is found as without rules. */
static void only_what_a_rule_is_about_leaves_the_short_way(void **state)
{
    (void)state;
    struct tb_core *core = new_core("rules: [{metric: seen_total, match: {route: /seen}}]\n");
    struct tb_conn c;
    tb_conn_open(&c);
    for (unsigned i = 0; i < 3; i++)
        exchange(core, &c, "GET", i < 2 ? "/other" : "/seen", 200, "0123456789", MS);
    size_t known = 0;
    for (size_t i = 0; i < TB_CELL_CACHE; i++)
        known += core->cell_cache[i] != 0;
    assert_int_equal(known, 1);
    for (unsigned i = 0; i < 5; i++)
        exchange(core, &c, "GET", "/seen", 200, "0123456789", MS);
    assert_int_equal(count(core, "cseen_total{}"), 6);
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
    support_drop(core);
}

static void rules_are_replaced_while_a_program_runs(void **state)
{
    (void)state;
    struct tb_core *core = new_core("rules: [{metric: a_total, match: {route: /x}}]\n");
    struct tb_conn c;
    tb_conn_open(&c);
    exchange(core, &c, "GET", "/x", 200, "", MS);
    rules_use(core, "rules: [{metric: b_total, match: {route: /x}, labels: {m: method}}]\n", "shop");
    exchange(core, &c, "GET", "/x", 200, "", MS);
    exchange(core, &c, "GET", "/x", 200, "", MS);
    rules_use(core, "routes: {max_routes: 100}\n", "shop");
    exchange(core, &c, "GET", "/x", 200, "", MS);
    assert_int_equal(count(core, "ca_total{}"), 1);
    assert_int_equal(count(core, "cb_total{m=\"GET\"}"), 2);
    tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
    support_drop(core);
}

/* ---- numbers ---- */

static void numbers_are_read_exactly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int scale;
        bool is_number;
        int64_t nano;
    } cases[] = {{"0", 0, true, 0},
                 {"1", 0, true, 1000000000},
                 {"-2.5", 0, true, -2500000000},
                 {"12.345678901999", 0, true, 12345678901},
                 {"1e3", 0, true, 1000000000000},
                 {"1.5E-3", 0, true, 1500000},
                 {"250", -3, true, 250000000},
                 {"7", -9, true, 7},
                 {"0.0000000001", 0, true, 0},
                 {"9223372036", 0, true, 9223372036000000000},
                 {"92233720369", 0, false, 0},
                 {"1e99", 0, false, 0},
                 {"0e99", 0, true, 0},
                 {"1e-99", 0, true, 0},
                 {"", 0, false, 0},
                 {"-", 0, false, 0},
                 {".", 0, false, 0},
                 {"1e", 0, false, 0},
                 {"1x", 0, false, 0},
                 {"1.2.3", 0, false, 0},
                 {"0000000000000000000000000000000000000000000000000001", 0, false, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t nano = -77;
        bool is_number = tb_custom_number(tb_bytes_str(cases[i].text), cases[i].scale, &nano);
        assert_int_equal(is_number, cases[i].is_number);
        assert_int_equal(nano, is_number ? cases[i].nano : -77);
    }
}

/* ---- names in regions ---- */

static void only_sound_names_are_taken(void **state)
{
    (void)state;
    static const char *const good[] = {"ca_total{}", "ca_total{x=\"\"}", "ha{b=\"1\",c=\"\\\\ \\\" }\"}",
                                       "sa_total{a=\"1\"}"};
    static const char *const bad[] = {"",
                                      "c",
                                      "xa_total{}",
                                      "ca{}",
                                      "ha_total{}",
                                      "ha_bucket{}",
                                      "ca_total",
                                      "ca_total{",
                                      "ca_total{}x",
                                      "ca_total{x}",
                                      "ca_total{x=1}",
                                      "ca_total{x=\"1\"",
                                      "ca_total{x=\"1}",
                                      "ca_total{x=\"1\",}",
                                      "ca_total{b=\"1\",a=\"1\"}",
                                      "ca_total{a=\"1\",a=\"1\"}",
                                      "ca_total{le=\"1\"}",
                                      "ca_total{__a=\"1\"}",
                                      "ca_total{a=\"\\n\"}",
                                      "c1_total{}",
                                      "ca_total{,a=\"1\"}",
                                      "ca total{}",
                                      "ca_total{a=\"1\"b=\"1\"}"};
    struct tb_ext ext;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(tb_ext_read(good[i], &ext));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (tb_ext_read(bad[i], &ext))
            fail_msg("%s", bad[i]);
    assert_true(tb_ext_has_label("a=\"x,b=\\\"\",c=\"\"", "c"));
    assert_false(tb_ext_has_label("a=\"x,b=\\\"\",c=\"\"", "b"));
}

/* ---- the configuration ---- */

static void wrong_rules_are_told_with_their_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *where, *what;
    } cases[] = {{"rules: [{type: counter}]\n", ":1:9:", "has no metric"},
                 {"rules:\n  - metric: orders\n", ":2:5:", "does not end with _total"},
                 {"rules:\n  - metric: http_requests_total\n", ":2:5:", "of the exporter's own"},
                 {"rules:\n  - metric: tickbird_x_total\n", ":2:5:", "the exporter's own"},
                 {"rules:\n  - metric: a_total\n  - {metric: a, type: histogram}\n", ":3:5:", "samples of that name"},
                 {"rules:\n  - {metric: a_total, help: x}\n  - {metric: a_total, help: y}\n", ":3:5:", "another type"},
                 {"rules:\n  - metric: a_total\n    labels:\n      service: method\n", ":2:5:", "on every sample"},
                 {"rules:\n  - metric: a_total\n    labels:\n      le: method\n", ":4:7:", "label of buckets"},
                 {"rules:\n  - metric: a_total\n    labels:\n      x: colour\n", ":4:10:", "none of method"},
                 {"rules:\n  - metric: a_total\n    labels:\n      x: {max: 3}\n", ":4:7:", "no place"},
                 {"rules:\n  - metric: a_total\n    bounds: [1]\n", ":3:13:", "only a histogram"},
                 {"rules:\n  - metric: a_total\n    scale: 0.5\n", ":3:12:", "no power of ten"},
                 {"rules:\n  - metric: a_total\n    match: {status: 2x}\n", ":3:21:", "no status"},
                 {"rules:\n  - metric: a_total\n    match: {method: get}\n", ":3:21:", "no method"},
                 {"rules:\n  - metric: a_total\n    match: {role: proxy}\n", ":3:19:", "neither server nor client"},
                 {"rules:\n  - metric: a_total\n    color: red\n", ":3:5:", "unknown key"},
                 {"rules: [{metric: a, type: histogram, value: {query: n}}]\n", ":1:9:", "there are none"}};
    char *dir = support_dir();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = rules_file(dir, "config.yml", cases[i].text), *errors = NULL;
        assert_null(tb_config_load(path, &errors));
        if (!strstr(errors, cases[i].where) || !strstr(errors, cases[i].what))
            fail_msg("case %zu: %s", i, errors);
        free(errors);
        free(path);
    }
    support_remove_dir(dir);
}

static void too_many_rules_are_told(void **state)
{
    (void)state;
    struct tb_buffer text = {0};
    char *dir = support_dir(), *errors = NULL;
    tb_puts(&text, "rules:\n");
    for (unsigned i = 0; i <= TB_CUSTOM_RULES; i++) {
        char *line = tb_format("  - metric: m%u_total\n", i);
        tb_puts(&text, line);
        free(line);
    }
    tb_put(&text, "", 1);
    char *path = rules_file(dir, "config.yml", text.data);
    assert_null(tb_config_load(path, &errors));
    assert_non_null(strstr(errors, "config.yml:34:5: rules: a service has more than 32 rules"));
    free(errors);
    free(path);
    tb_buffer_free(&text);
    support_remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_matched_by_method_route_and_status),
        cmocka_unit_test(a_histogram_has_its_own_bounds),
        cmocka_unit_test(sizes_and_durations_are_added_up),
        cmocka_unit_test(only_what_a_rule_is_about_leaves_the_short_way),
        cmocka_unit_test(rules_are_replaced_while_a_program_runs),
        cmocka_unit_test(numbers_are_read_exactly),
        cmocka_unit_test(only_sound_names_are_taken),
        cmocka_unit_test(wrong_rules_are_told_with_their_place),
        cmocka_unit_test(too_many_rules_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
