/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics of the user's own: which exchanges rules are about and what they count of them, what regions may call a
 * series, what a configuration may say. Every series is compared with what was sent.
 */
#include "custom_support.h"

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

/* A thread that has the rules before goes on after others have come: what it remembers is not taken for theirs. */
static void new_rules_are_not_mixed_with_those_before(void **state)
{
    static const char before[] = "rules: [{metric: a_seconds, type: histogram, value: duration, match: {route: /y}}]\n";
    static const char after[] = "rules: [{metric: b_total, match: {route: /x}}]\n";
    (void)state;
    for (int is_series = 0; is_series < 2; is_series++) {
        struct tb_core *core = new_core(before);
        const struct tb_custom *old = &core->rules_view->custom;
        struct tb_conn c;
        uint8_t why = 0;
        tb_conn_open(&c);
        exchange(core, &c, "GET", "/x", 200, "", MS);
        rules_use(core, after, "shop");
        struct tb_series_key key = {.route = tb_string_find(core, tb_bytes_str("/x"))};
        assert_true(key.route);
        if (is_series)
            assert_true(tb_custom_series(core, old, 0, &(struct tb_custom_exchange){.key = &key}, &why));
        else
            assert_int_equal(tb_custom_ask_route(core, old, key.route), 0);
        for (unsigned i = 0; i < 3; i++)
            exchange(core, &c, "GET", "/x", 200, "", MS);
        assert_int_equal(count(core, "cb_total{}"), 3);
        tb_exchange_close(core, &c, TB_CLOSE_LOCAL);
        support_drop(core);
    }
}

/* ---- names in regions ---- */

static void only_sound_names_are_taken(void **state)
{
    (void)state;
    static const char *const good[] = {"ca_total{}", "ca_total{x=\"\"}", "ha{b=\"1\",c=\"\\\\ \\\" }\"}",
                                       "sa_total{a=\"1\"}", "c1 a.b\xc3\xa9_total{}"};
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
                                      "ca=b_total{}",
                                      "ca\"b_total{}",
                                      "ca\x01_total{}",
                                      "ca\xff_total{}",
                                      "ga.sum{}",
                                      "ca_total{\"b.c\"=\"1\"}",
                                      "ca_total{,a=\"1\"}",
                                      "ca_total{a=\"1\"b=\"1\"}"};
    struct tb_ext ext;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(tb_ext_read(good[i], &ext));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (tb_ext_read(bad[i], &ext))
            fail_msg("%s", bad[i]);
    assert_true(tb_ext_has_label("a=\"x,b=\\\"\",c=\"\"", "c"));
    assert_false(tb_ext_has_label("a=\"x,b=\\\"\",c=\"\"", "b"));
    assert_true(tb_ext_has_label("\"x.y\"=\"\",c=\"\"", "c"));
    assert_true(tb_ext_has_label("\"x.y\"=\"\",c=\"\"", "x_y"));
    assert_false(tb_ext_has_label("\"x.y\"=\"\",c=\"\"", "x_z"));
    assert_false(tb_ext_has_label("\"x.y=\"\",c=\"\"", "c"));
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
        cmocka_unit_test(new_rules_are_not_mixed_with_those_before),
        cmocka_unit_test(only_sound_names_are_taken),
        cmocka_unit_test(wrong_rules_are_told_with_their_place),
        cmocka_unit_test(too_many_rules_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
