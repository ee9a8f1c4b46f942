/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pushing without a receiver: what an exposition becomes by rules, differences through restarts of totals, limits of
 * requests, and the state's file cut at every byte. Truths are added up here, or read out of the JSON by jansson.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exporter/config.h"
#include "exporter/credentials.h"
#include "exporter/log.h"
#include "exporter/push_kind.h"
#include "exporter/push_state.h"

#define SECOND UINT64_C(1000000000)
#define NOW (UINT64_C(1795000000) * SECOND)

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    memcpy(dir, "/tmp/tb-push-XXXXXX", sizeof "/tmp/tb-push-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static char *in_dir(const char *name)
{
    return tb_format("%s/%s", dir, name);
}

static int remove_dir(void **state)
{
    (void)state;
    static const char *const names[] = {"push-a", "push-a.new", "push-cut", "push-cut.new", "c.yml"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = in_dir(names[i]);
        (void)unlink(path);
        free(path);
    }
    return rmdir(dir);
}

/* The first output of a configuration; the configuration is the caller's to free. */
static struct tb_config *read_config(const char *output, const struct tb_push_output_config **ret)
{
    char *path = in_dir("c.yml"), *errors = NULL;
    FILE *f = fopen(path, "w");
    fprintf(f, "push: {outputs: [%s]}\n", output);
    fclose(f);
    struct tb_config *c = tb_config_load(path, &errors);
    if (errors)
        print_message("%s", errors);
    assert_non_null(c);
    free(path);
    *ret = c->push->outputs;
    return c;
}

static const struct tb_metric counter = {"orders_total", "", "Orders.", TB_METRIC_COUNTER, 0};
static const struct tb_metric gauge = {"queue", "", "Queue.", TB_METRIC_GAUGE, 0};
static const struct tb_metric histogram = {"took_seconds", "seconds", "Times.", TB_METRIC_HISTOGRAM, 9};

static void expose_one(struct tb_exposition *x, const struct tb_metric *m, const char *labels, uint64_t value,
                       uint64_t created_ns)
{
    tb_expose_family(x, m);
    tb_expose_value(x, tb_labels(labels), value, created_ns);
}

/* The value of the one point there is, after @value was taken as a total that began then. */
static uint64_t taken(struct tb_push_state *s, const struct tb_push_output_config *c, uint64_t value,
                      uint64_t created_ns, uint64_t time_ns)
{
    struct tb_exposition x = {0};
    struct tb_points points = {.time_ns = time_ns};
    struct tb_push_requests none = {0};
    expose_one(&x, &counter, "service=\"a\"", value, created_ns);
    tb_points_make(c, &x, s, &points);
    assert_int_equal(points.count, 1);
    uint64_t grown = points.items[0]->value;
    assert_int_equal(tb_push_state_commit(s, time_ns, &none), 0);
    tb_points_free(&points);
    tb_exposition_free(&x);
    return grown;
}

static void differences_through_restarts_of_totals(void **state)
{
    (void)state;
    const struct tb_push_output_config *o;
    struct tb_config *c = read_config("{type: cloudwatch, namespace: n, metrics: [orders_total]}", &o);
    struct tb_push_state *s;
    assert_int_equal(tb_push_state_open(dir, "a", true, NOW, &s), 0);
    assert_int_equal(taken(s, o, 100, NOW - 60 * SECOND, NOW), 0); /* counted before there was an output */
    assert_int_equal(taken(s, o, 107, NOW - 60 * SECOND, NOW + 1), 7);
    assert_int_equal(taken(s, o, 107, NOW - 60 * SECOND, NOW + 2), 0);
    assert_int_equal(taken(s, o, 5, NOW + SECOND, NOW + 3 * SECOND), 5);         /* began anew */
    assert_int_equal(taken(s, o, 3, NOW + SECOND, NOW + 4 * SECOND), 3);         /* fell, without saying so */
    assert_int_equal(taken(s, o, 900, NOW + 9 * SECOND, NOW + 9 * SECOND), 900); /* higher, but another total */
    tb_push_state_close(s);
    assert_int_equal(tb_push_state_open(dir, "a", true, NOW + 99 * SECOND, &s), 0);
    assert_int_equal(taken(s, o, 1000, NOW + 9 * SECOND, NOW + 99 * SECOND), 100); /* over a restart */
    tb_push_state_close(s);
    tb_config_free(c);
}

static void a_series_that_came_while_nobody_looked_counts_whole(void **state)
{
    (void)state;
    const struct tb_push_output_config *o;
    struct tb_config *c = read_config("{type: cloudwatch, namespace: n, metrics: [orders_total]}", &o);
    struct tb_push_state *s;
    assert_int_equal(tb_push_state_open(dir, "a", false, NOW, &s), 0);
    assert_int_equal(taken(s, o, 4, NOW + 1, NOW + 10 * SECOND), 4);
    tb_push_state_close(s);
    assert_int_equal(tb_push_state_open(dir, "a", false, NOW, &s), 0);
    assert_int_equal(taken(s, o, 4, NOW - 1, NOW + 10 * SECOND), 0); /* it was there already */
    tb_push_state_close(s);
    assert_int_equal(tb_push_state_open(dir, "a", false, NOW, &s), 0);
    tb_push_state_set_born(s, 0); /* from the beginning */
    assert_int_equal(taken(s, o, 4, NOW - 500 * SECOND, NOW), 4);
    tb_push_state_close(s);
    tb_config_free(c);
}

static void series_meet_in_points_as_the_rules_say(void **state)
{
    (void)state;
    const struct tb_push_output_config *o;
    struct tb_config *c =
        read_config("{type: cloudwatch, namespace: n, constants: {Env: p}, metrics: ["
                    "{metric: orders_total, where: {status: '2*'}, dimensions: [[], [Env, {S: service}]]}, "
                    "{metric: queue, gauges: max, dimensions: [[]]}, "
                    "{metric: queue, name: Least, gauges: min, dimensions: [[]]}]}",
                    &o);
    static const struct {
        const char *labels;
        uint64_t value;
    } orders[] = {{"service=\"a\",status=\"200\"", 3},
                  {"service=\"a\",status=\"201\"", 4},
                  {"service=\"b\\\"\\\\\\n\",status=\"200\"", 5},
                  {"service=\"a\",status=\"500\"", 100}};
    struct tb_exposition x = {0};
    struct tb_points p = {0};
    tb_expose_family(&x, &counter);
    for (size_t i = 0; i < 4; i++)
        tb_expose_value(&x, tb_labels(orders[i].labels), orders[i].value, 1);
    tb_expose_family(&x, &gauge);
    tb_expose_value(&x, tb_labels("service=\"a\""), 7, 0);
    tb_expose_value(&x, tb_labels("service=\"b\""), 2, 0);
    tb_points_make(o, &x, NULL, &p);
    assert_int_equal(p.count, 5);
    assert_int_equal(p.items[0]->value, 12);
    assert_int_equal(p.items[0]->label_count, 0);
    assert_int_equal(p.items[1]->value, 7);
    assert_string_equal(p.items[1]->labels[0].value, "p");
    assert_string_equal(p.items[1]->labels[1].name, "S");
    assert_int_equal(p.items[2]->value, 5);
    assert_string_equal(p.items[2]->labels[1].value, "b\"\\\n");
    assert_int_equal(p.items[3]->value, 7);
    assert_int_equal(p.items[4]->value, 2);
    tb_points_free(&p);
    tb_exposition_free(&x);
    tb_config_free(c);
}

/* @count series of a counter with 30 labels, and a histogram with @cells cells. */
/* Receivers refuse a request that has a label twice. */
static void a_constant_stands_for_the_label_of_its_name(void **state)
{
    (void)state;
    static const char *const outputs[] = {
        "{type: remote_write, endpoint: 'http://h', constants: {zone: c, job: j}, metrics: [orders_total]}",
        "{type: remote_write, endpoint: 'http://h', constants: {zone: c, job: j}, labels: [zone], "
        "metrics: [orders_total]}"};
    for (size_t i = 0; i < 2; i++) {
        const struct tb_push_output_config *o;
        struct tb_config *c = read_config(outputs[i], &o);
        struct tb_exposition x = {0};
        struct tb_points p = {0};
        expose_one(&x, &counter, "zone=\"own\"", 3, 1);
        tb_points_make(o, &x, NULL, &p);
        assert_int_equal(p.count, 1);
        assert_int_equal(p.items[0]->label_count, 2);
        for (size_t k = 0; k < 2; k++) {
            const char *name = p.items[0]->labels[k].name, *value = p.items[0]->labels[k].value;
            assert_string_equal(value, strcmp(name, "zone") == 0 ? "c" : "j");
        }
        assert_string_not_equal(p.items[0]->labels[0].name, p.items[0]->labels[1].name);
        tb_points_free(&p);
        tb_exposition_free(&x);
        tb_config_free(c);
    }
}

static void expose_many(struct tb_exposition *x, unsigned count, unsigned cells)
{
    static struct tb_exposed_cell list[TB_EXPOSED_CELLS_MAX];
    static const uint64_t bounds[] = {SECOND}, buckets[] = {1, 2};
    char labels[40 * 40];
    tb_expose_family(x, &counter);
    for (unsigned i = 0; i < count; i++) {
        size_t at = 0;
        for (unsigned k = 0; k < 30; k++)
            at += (size_t)snprintf(labels + at, sizeof labels - at, "%sl%u=\"value %u of %u\"", k ? "," : "", k, k, i);
        tb_expose_value(x, tb_labels(labels), i + 1, 1);
    }
    struct tb_exposed_histogram h = {.bounds = bounds,
                                     .bound_count = 1,
                                     .buckets = buckets,
                                     .sum = 77 * SECOND,
                                     .is_native = true,
                                     .zero_count = 1,
                                     .cells = list,
                                     .cell_count = cells};
    for (unsigned i = 0; i < cells; i++)
        list[i] = (struct tb_exposed_cell){(int32_t)i - 150, i + 1};
    tb_expose_family(x, &histogram);
    tb_expose_histogram(x, tb_labels(""), &h);
}

static void requests_keep_the_limits_of_cloudwatch(void **state)
{
    (void)state;
    char sets[1200] = "";
    for (unsigned k = 0; k < 30; k++)
        snprintf(sets + strlen(sets), sizeof sets - strlen(sets), "%sl%u", k ? "," : "", k);
    char *text = tb_format("{type: cloudwatch, namespace: n, dimensions: [[%s]], metrics: ['*']}", sets);
    const struct tb_push_output_config *o;
    struct tb_config *c = read_config(text, &o);
    struct tb_exposition x = {0};
    struct tb_points p = {.time_ns = NOW};
    struct tb_push_requests r = {0};
    size_t metrics = 0, counted = 0;
    double sum = 0, values = 0;
    expose_many(&x, 2500, 200);
    tb_points_make(o, &x, NULL, &p);
    o->kind->encode(o, &p, &r);
    for (size_t i = 0; i < r.count; i++) {
        json_t *body = json_loadb(r.items[i].body, r.items[i].len, 0, NULL),
               *list = json_object_get(body, "MetricData");
        assert_true(r.items[i].len <= 1000000 && json_array_size(list) <= 1000 && json_array_size(list) > 0);
        assert_int_equal(json_array_size(list), r.items[i].points);
        for (size_t k = 0; k < json_array_size(list); k++) {
            const json_t *m = json_array_get(list, k), *v = json_object_get(m, "Values"),
                         *n = json_object_get(m, "Counts");
            assert_true(json_array_size(json_object_get(m, "Dimensions")) <= 30 && json_array_size(v) <= 150);
            assert_int_equal(json_array_size(v), json_array_size(n));
            sum += v ? 0 : json_number_value(json_object_get(m, "Value"));
            for (size_t j = 0; v && j < json_array_size(v); j++) {
                counted += (size_t)json_integer_value(json_array_get(n, j));
                values += json_number_value(json_array_get(v, j)) * json_number_value(json_array_get(n, j));
            }
            metrics++;
        }
        json_decref(body);
        free(r.items[i].body);
    }
    assert_int_equal(metrics, 2500 + 2);
    assert_true(r.count >= 3 && sum == 2500 * 2501 / 2 && counted == 200 * 201 / 2 + 1);
    assert_true(values > 0);
    free(r.items);
    free(text);
    tb_points_free(&p);
    tb_exposition_free(&x);
    tb_config_free(c);
}

/* Whatever the sum is, values lie within their cells and add up to it, as far as the cells allow. */
static void values_add_up_to_the_sum(void **state)
{
    (void)state;
    const struct tb_push_output_config *o;
    struct tb_config *c =
        read_config("{type: cloudwatch, namespace: n, dimensions: [[]], metrics: [took_seconds]}", &o);
    struct tb_exposed_cell cells[] = {{-8, 10}, {0, 5}, {3, 1}}; /* up to 0.5, 1 and 1.297 */
    static const uint64_t no_bounds[1], buckets[] = {16};
    for (uint64_t sum = 4300000000; sum < 11000000000; sum += 100000000) {
        struct tb_exposition x = {0};
        struct tb_points p = {.time_ns = NOW};
        struct tb_push_requests r = {0};
        struct tb_exposed_histogram h = {
            .bounds = no_bounds, .buckets = buckets, .sum = sum, .is_native = true, .cells = cells, .cell_count = 3};
        tb_expose_family(&x, &histogram);
        tb_expose_histogram(&x, tb_labels(""), &h);
        tb_points_make(o, &x, NULL, &p);
        o->kind->encode(o, &p, &r);
        json_t *body = json_loadb(r.items[0].body, r.items[0].len, 0, NULL);
        const json_t *m = json_array_get(json_object_get(body, "MetricData"), 0), *v = json_object_get(m, "Values");
        double total = 0, low = 0, high = 0;
        for (size_t i = 0; i < 3; i++) {
            double value = json_number_value(json_array_get(v, i)), most = exp2(cells[i].index / 8.0);
            total += value * (double)cells[i].count;
            low += most / exp2(1 / 8.0) * (double)cells[i].count;
            high += most * (double)cells[i].count;
            assert_true(value >= most / exp2(1 / 8.0) * 0.999999 && (i == 2 || value <= most * 1.000001));
        }
        double expected = fmax((double)sum / 1e9, low);
        assert_true(fabs(total - expected) < 1e-6 * expected && high > low);
        json_decref(body);
        free(r.items[0].body);
        free(r.items);
        tb_points_free(&p);
        tb_exposition_free(&x);
    }
    tb_config_free(c);
}

/* --- the state's file ------------------------------------------------------------------------------------------------
 */

static void commit_text(struct tb_push_state *s, uint64_t time_ns, const char *data, const char *body)
{
    struct tb_push_request one = {.points = 1, .body = (char *)(uintptr_t)body, .len = strlen(body)};
    struct tb_push_requests r = {.items = &one, .count = 1};
    tb_push_state_take(s, "key", 3, data, strlen(data));
    assert_int_equal(tb_push_state_commit(s, time_ns, &r), 0);
}

/* What a state says: number of requests, and what was taken. */
static void describe(struct tb_push_state *s, char *to, size_t space)
{
    bool is_started;
    size_t len;
    const char *data = tb_push_state_find(s, "key", 3, &len);
    const struct tb_push_request *head = tb_push_state_head(s, &is_started);
    snprintf(to, space, "%zu %.*s %.*s%s", tb_push_state_requests(s), (int)len, data ? data : "",
             head ? (int)head->len : 0, head ? head->body : "", is_started ? " started" : "");
}

static void write_file(const char *name, const char *text, size_t len)
{
    char *path = in_dir(name);
    FILE *f = fopen(path, "w");
    assert_int_equal(fwrite(text, 1, len, f), len);
    fclose(f);
    free(path);
}

/* The states that a life goes through, one for each commit. Then: any beginning of the file is one of them, in order.
 */
static void a_file_cut_anywhere_is_one_of_its_states(void **state)
{
    (void)state;
    static const char *const states[] = {"0  ",          "1 one first",          "2 two first", "2 two first started",
                                         "1 two second", "1 two second started", "0 two "};
    struct tb_push_state *s;
    char now[80];
    size_t len = 0, at = 0, seen = 0;
    assert_int_equal(tb_push_state_open(dir, "a", true, NOW, &s), 0);
    commit_text(s, NOW, "one", "first");
    commit_text(s, NOW + 1, "two", "second");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tb_push_state_begin(s), 0);
        assert_int_equal(tb_push_state_done(s), 0);
    }
    tb_push_state_close(s);
    char *path = in_dir("push-a"), *whole = tb_read_whole(path, 1 << 20, &len);
    for (size_t cut = 0; cut <= len; cut++) {
        write_file("push-cut", whole, cut);
        assert_int_equal(tb_push_state_open(dir, "cut", true, NOW, &s), 0);
        describe(s, now, sizeof now);
        if (strcmp(now, states[at]) != 0) {
            assert_true(at + 1 < sizeof states / sizeof *states);
            assert_string_equal(now, states[++at]);
            seen++;
        }
        if (cut % 16 == 0) { /* it goes on from there */
            commit_text(s, NOW + 2, "new", "more");
            tb_push_state_close(s);
            assert_int_equal(tb_push_state_open(dir, "cut", true, NOW, &s), 0);
            size_t data_len;
            assert_memory_equal(tb_push_state_find(s, "key", 3, &data_len), "new", 3);
        }
        tb_push_state_close(s);
    }
    assert_int_equal(seen, 6);
    for (size_t i = 0; i < len; i++) { /* a bit that fell over ends the file there */
        whole[i] = (char)(whole[i] ^ 1 << i % 8);
        write_file("push-cut", whole, len);
        assert_int_equal(tb_push_state_open(dir, "cut", true, NOW, &s), 0);
        describe(s, now, sizeof now);
        size_t k = 0;
        while (k < sizeof states / sizeof *states && strcmp(now, states[k]) != 0)
            k++;
        assert_true(k < sizeof states / sizeof *states);
        tb_push_state_close(s);
        whole[i] = (char)(whole[i] ^ 1 << i % 8);
    }
    free(whole);
    free(path);
}

/* A snapshot of series that are what they were, each of one letter, in a file that is written anew. */
static void see_again(const char *keys, uint64_t time_ns)
{
    struct tb_push_requests none = {0};
    struct tb_push_state *s;
    size_t len;
    assert_int_equal(tb_push_state_open(dir, "a", true, NOW, &s), 0);
    for (const char *key = keys; *key; key++)
        if (!tb_push_state_find(s, key, 1, &len))
            tb_push_state_take(s, key, 1, "data", 4);
    assert_int_equal(tb_push_state_commit(s, time_ns, &none), 0);
    tb_push_state_close(s);
}

static bool is_remembered(const char *key)
{
    struct tb_push_state *s;
    size_t len;
    assert_int_equal(tb_push_state_open(dir, "a", false, NOW, &s), 0);
    bool is_there = tb_push_state_find(s, key, 1, &len);
    tb_push_state_close(s);
    return is_there;
}

/* Forgotten is only what is gone for long: not what lives and stands still, nor what a clock that was set back shows as
 * of the future. */
static void series_are_forgotten_a_month_after_their_end(void **state)
{
    const uint64_t day = 24 * 3600 * SECOND;
    (void)state;
    see_again("ab", NOW);
    see_again("ac", NOW - day);
    see_again("ac", NOW - day + 1);
    assert_true(is_remembered("b"));
    for (unsigned days = 1; days < 40; days++)
        see_again("a", NOW + days * day);
    assert_true(is_remembered("a"));
    assert_false(is_remembered("b"));
    assert_false(is_remembered("c"));
}

static void a_file_is_written_anew_before_it_grows_without_end(void **state)
{
    (void)state;
    struct tb_push_state *s;
    char *body = tb_alloc(20001), *path = in_dir("push-a");
    size_t len = 0;
    memset(body, 'x', 20000);
    assert_int_equal(tb_push_state_open(dir, "a", true, NOW, &s), 0);
    for (unsigned i = 0; i < 200; i++) {
        char data[16];
        snprintf(data, sizeof data, "%u", i);
        commit_text(s, NOW + i, data, body);
        assert_int_equal(tb_push_state_done(s), 0);
    }
    tb_push_state_close(s);
    char *whole = tb_read_whole(path, 1 << 30, &len);
    assert_true(len < 400000);
    free(whole);
    assert_int_equal(tb_push_state_open(dir, "a", true, NOW, &s), 0);
    assert_memory_equal(tb_push_state_find(s, "key", 3, &len), "199", 3);
    assert_int_equal(tb_push_state_requests(s), 0);
    tb_push_state_close(s);
    free(path);
    free(body);
}

/* --- answers ---------------------------------------------------------------------------------------------------------
 */

static void credentials_out_of_answers(void **state)
{
    (void)state;
    struct tb_credentials c;
    static const char *const bad[] = {"",
                                      "{",
                                      "[]",
                                      "null",
                                      "{\"AccessKeyId\":1,\"SecretAccessKey\":2}",
                                      "{\"AccessKeyId\":\"a\"}",
                                      "{\"AccessKeyId\":\"\",\"SecretAccessKey\":\"b\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(tb_credentials_from_json(bad[i], strlen(bad[i]), &c));
        assert_false(tb_credentials_from_sts(bad[i], &c));
    }
    const char *json =
        "{\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"b\",\"Token\":\"t\",\"Expiration\":\"2026-11-22T00:00:00.5Z\"}";
    assert_true(tb_credentials_from_json(json, strlen(json), &c));
    assert_string_equal(c.token, "t");
    assert_int_equal(c.expires_ns, UINT64_C(1795305600) * SECOND);
    tb_credentials_free(&c);
    assert_true(tb_credentials_from_sts("<AccessKeyId>a</AccessKeyId><SecretAccessKey>b</SecretAccessKey>", &c));
    assert_null(c.token);
    assert_int_equal(c.expires_ns, 0);
    tb_credentials_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)
        TEST(differences_through_restarts_of_totals),
        TEST(a_series_that_came_while_nobody_looked_counts_whole),
        TEST(series_meet_in_points_as_the_rules_say),
        TEST(a_constant_stands_for_the_label_of_its_name),
        TEST(requests_keep_the_limits_of_cloudwatch),
        TEST(values_add_up_to_the_sum),
        TEST(a_file_cut_anywhere_is_one_of_its_states),
        TEST(series_are_forgotten_a_month_after_their_end),
        TEST(a_file_is_written_anew_before_it_grows_without_end),
        TEST(credentials_out_of_answers),
    };
    tb_log_setup(TB_LOG_ERROR, TB_LOG_LOGFMT); /* damaged files are told */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
