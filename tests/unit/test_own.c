/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics of a program's own (own.h): what is counted is what was said, whatever else is passed is refused and counted,
 * and an exporter shows what it can trust. Compared with sums that the test keeps itself.
 */
#include "custom_support.h"

#include <math.h>

#include "agent/own.h"
#include "exporter/families.h"
#include "exporter/render.h"

static struct tb_own *get(struct tb_core *core, enum tb_own_kind kind, const char *name, const char *label,
                          const char *value)
{
    const struct tb_own_label one = {label, value};
    return tb_own_get(
        core,
        &(struct tb_own_metric){
            .kind = kind, .name = name, .help = "As the program says.", .labels = &one, .label_count = label != NULL});
}

static const struct tb_snap_series *series(const struct view *v, const char *ext)
{
    for (size_t i = 0; i < v->s->series_count; i++)
        if (strcmp(v->s->series[i]->key.ext, ext) == 0)
            return v->s->series[i];
    return NULL;
}

static void what_is_said_is_counted(void **state)
{
    (void)state;
    struct tb_core *core = new_core(NULL);
    struct view v = {0};
    struct tb_own *orders = get(core, TB_OWN_COUNTER, "orders_total", "kind", "a \"b\" \\ \xc3\xa9");
    struct tb_own *waited = get(core, TB_OWN_SUM, "waited_seconds_total", NULL, NULL);
    assert_non_null(orders);
    assert_ptr_equal(get(core, TB_OWN_COUNTER, "orders_total", "kind", "a \"b\" \\ \xc3\xa9"), orders);
    assert_ptr_not_equal(get(core, TB_OWN_COUNTER, "orders_total", "kind", "c"), orders);
    for (unsigned i = 0; i < 1000; i++) {
        tb_own_count(core, orders, i);
        tb_own_sum(core, waited, 0.001);
    }
    look(&v, core);
    assert_int_equal(series(&v, "Corders_total{kind=\"a \\\"b\\\" \\\\ \xc3\xa9\"}")->count, 499500);
    assert_int_equal(series(&v, "Swaited_seconds_total{}")->total.rx_bytes, SECOND);
    assert_string_equal(series(&v, "Swaited_seconds_total{}")->help, "As the program says.");
    assert_null(series(&v, "Corders_total{kind=\"c\"}"));
    drop(&v);
    support_drop(core);
}

static void a_histogram_has_its_own_bounds(void **state)
{
    (void)state;
    struct tb_core *core = new_core(NULL);
    static const double bounds[] = {0.1, 0.5, 2}, large[] = {10, 1e6};
    struct tb_own_metric m = {.kind = TB_OWN_HISTOGRAM, .name = "took_seconds", .bounds = bounds, .bound_count = 3};
    struct tb_own_metric l = {.kind = TB_OWN_HISTOGRAM, .name = "rows", .bounds = large, .bound_count = 2};
    struct tb_own *took = tb_own_get(core, &m), *rows = tb_own_get(core, &l);
    static const double values[] = {0, 0.05, 0.1, 0.100001, 0.5, 1.9, 2, 2.1, 1e6};
    struct view v = {0};
    uint64_t buckets[TB_BOUNDS_MAX + 1];
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        tb_own_observe(core, took, values[i]);
        tb_own_observe(core, rows, values[i] * 10);
    }
    look(&v, core);
    const struct tb_snap_series *e = series(&v, "Htook_seconds{}");
    assert_int_equal(tb_values_classic(&e->total, e->key.bound_set, buckets), 4);
    assert_int_equal(buckets[0], 3);
    assert_int_equal(buckets[1], 2);
    assert_int_equal(buckets[2], 2);
    assert_int_equal(buckets[3], 2);
    e = series(&v, "Hrows{}");
    assert_int_equal(tb_values_classic(&e->total, e->key.bound_set, buckets), 3);
    assert_int_equal(buckets[0], 5); /* 0 0.5 1 1.00001 5 */
    assert_int_equal(buckets[1], 3);
    assert_int_equal(buckets[2], 1);
    drop(&v);
    support_drop(core);
}

static void what_is_not_right_is_refused(void **state)
{
    (void)state;
    struct tb_core *core = new_core(NULL);
    static const char *const names[] = {"",       "1a_total",         "a b_total",       "a-b_total", "a\xc3\xa9_total",
                                        "orders", "tickbird_x_total", "process_x_total", "_total"};
    static const char *const labels[] = {"", "le", "quantile", "service", "__x", "a:b", "a-b", "1"};
    static const double falling[] = {1, 1}, none[] = {NAN}, negative[] = {-1, 1};
    char longest[300];
    unsigned n = 0;
    memset(longest, 'a', sizeof longest - 1);
    memcpy(longest + 293, "_total", sizeof "_total");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++, n++)
        assert_null(get(core, TB_OWN_COUNTER, names[i], NULL, NULL));
    assert_null(get(core, TB_OWN_COUNTER, longest, NULL, NULL));
    assert_null(get(core, TB_OWN_COUNTER, NULL, NULL, NULL));
    assert_null(get(core, TB_OWN_GAUGE, "a_total", NULL, NULL));
    assert_null(get(core, TB_OWN_GAUGE, "a_count", NULL, NULL));
    assert_int_equal(support_counter(core, TB_COUNTER_API_NAME), n + 4);
    for (size_t i = n = 0; i < sizeof labels / sizeof *labels; i++, n++)
        assert_null(get(core, TB_OWN_COUNTER, "a_total", labels[i], "x"));
    const struct tb_own_label twice[] = {{"a", "1"}, {"b", "2"}, {"a", "3"}};
    assert_null(tb_own_get(
        core, &(struct tb_own_metric){.kind = TB_OWN_COUNTER, .name = "a_total", .labels = twice, .label_count = 3}));
    assert_null(tb_own_get(core, &(struct tb_own_metric){.kind = TB_OWN_COUNTER, .name = "a_total", .label_count = 1}));
    assert_null(tb_own_get(
        core,
        &(struct tb_own_metric){.kind = TB_OWN_COUNTER, .name = "a_total", .labels = twice, .label_count = SIZE_MAX}));
    assert_int_equal(support_counter(core, TB_COUNTER_API_LABEL), n + 3);
    assert_non_null(get(core, TB_OWN_GAUGE, "queue", NULL, NULL));
    assert_null(get(core, TB_OWN_LAST, "queue", NULL, NULL));
    assert_int_equal(support_counter(core, TB_COUNTER_API_TYPE), 1);
    const double *const bad[] = {falling, none, negative, NULL};
    static const size_t counts[] = {2, 1, 2, 3};
    for (size_t i = 0; i < 4; i++)
        assert_null(
            tb_own_get(core, &(struct tb_own_metric){
                                 .kind = TB_OWN_HISTOGRAM, .name = "h", .bounds = bad[i], .bound_count = counts[i]}));
    assert_int_equal(support_counter(core, TB_COUNTER_API_BOUNDS), 4);
    support_drop(core);
}

static void values_and_handles_may_be_anything(void **state)
{
    (void)state;
    struct tb_core *core = new_core(NULL);
    struct tb_own *counter = get(core, TB_OWN_COUNTER, "a_total", NULL, NULL);
    struct tb_own *sum = get(core, TB_OWN_SUM, "b_total", NULL, NULL),
                  *gauge = get(core, TB_OWN_GAUGE, "c", NULL, NULL);
    struct tb_own *h = get(core, TB_OWN_HISTOGRAM, "d", NULL, NULL), *last = get(core, TB_OWN_LAST, "e", NULL, NULL);
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    char elsewhere[64];
    for (size_t i = 0; i < 3; i++) {
        tb_own_sum(core, sum, bad[i]);
        tb_own_observe(core, h, bad[i]);
        tb_own_set(core, gauge, bad[i]);
        tb_own_change(core, gauge, bad[i]);
        tb_own_last(core, last, bad[i]);
    }
    tb_own_sum(core, sum, -1e-3);
    tb_own_sum(core, sum, 1e10);
    assert_int_equal(support_counter(core, TB_COUNTER_API_VALUE), 17);
    tb_own_count(core, sum, 1);
    tb_own_set(core, counter, 1);
    tb_own_count(core, counter + 1, 1);
    tb_own_count(core, (struct tb_own *)(void *)((char *)counter + 1), 1);
    struct tb_own *volatile strangers[] = {(struct tb_own *)(void *)elsewhere, (struct tb_own *)(uintptr_t)1};
    tb_own_count(core, strangers[0], 1);
    tb_own_count(core, strangers[1], 1);
    assert_int_equal(support_counter(core, TB_COUNTER_API_HANDLE), 6);
    tb_own_count(core, counter, 3);
    core->rules->off = 1;
    tb_own_count(core, counter, 3);
    tb_own_set(core, gauge, 3);
    core->rules->off = 0;
    struct view v = {0};
    look(&v, core);
    assert_int_equal(series(&v, "Ca_total{}")->count, 3);
    assert_true(tb_bits_real(series(&v, "Vc{}")->total.rx_bytes) == 0);
    assert_null(series(&v, "Sb_total{}"));
    drop(&v);
    support_drop(core);
}

/* A value that cannot be shown is `_other`, and so is a series past the cap; the sum over all stays exact. */
static void too_many_series_are_other(void **state)
{
    (void)state;
    struct tb_core *core = new_core(NULL);
    char value[200];
    uint64_t sum = 0, most = 0;
    struct view v = {0};
    memset(value, 'v', sizeof value);
    value[TB_OWN_VALUE_MAX + 1] = 0;
    struct tb_own *other = get(core, TB_OWN_COUNTER, "a_total", "x", value);
    assert_ptr_equal(get(core, TB_OWN_COUNTER, "a_total", "x", "\xff"), other);
    assert_ptr_equal(get(core, TB_OWN_COUNTER, "a_total", "x", "a\nb"), other);
    for (unsigned i = 0; i < 1500; i++) {
        snprintf(value, sizeof value, "%u", i);
        struct tb_own *own = get(core, TB_OWN_COUNTER, "a_total", "x", value);
        tb_own_count(core, own, i);
        most += own == other ? i : 0;
        sum += own ? i : 0;
    }
    assert_int_equal(sum, 1499 * 1500 / 2);
    assert_true(support_counter(core, TB_COUNTER_API_OTHER) >= 500);
    look(&v, core);
    assert_int_equal(series(&v, "Ca_total{x=\"_other\"}")->count, most);
    for (size_t i = 0; i < v.s->series_count; i++)
        sum -= v.s->series[i]->count;
    assert_int_equal(sum, 0);
    drop(&v);
    support_drop(core);
}

/* Each process has its own share, which goes with it; what it left in its slot is nobody's. */
static void a_gauge_is_the_sum_of_living_processes(void **state)
{
    (void)state;
    struct tb_core *core = new_core(NULL);
    struct view v = {0};
    struct tb_own *jobs = get(core, TB_OWN_GAUGE, "jobs", NULL, NULL), *at = get(core, TB_OWN_LAST, "at", NULL, NULL);
    tb_own_change(core, jobs, 5);
    tb_own_change(core, jobs, -1.5);
    tb_own_last(core, at, -40.25);
    look(&v, core);
    assert_true(tb_bits_real(series(&v, "Vjobs{}")->total.rx_bytes) == 3.5);
    assert_true(tb_bits_real(series(&v, "Lat{}")->total.rx_bytes) == -40.25);
    drop(&v);
    uint32_t parent = core->owner_slot;
    jobs->moving = core->fork_generation + 1; /* a thread was inside that the child has not */
    tb_core_forked(core, core->env.pid + 1);  /* the child claims a slot of its own at its first use */
    tb_own_change(core, jobs, 2);
    assert_int_not_equal(core->owner_slot, parent);
    look(&v, core);
    assert_true(tb_bits_real(series(&v, "Vjobs{}")->total.rx_bytes) == 5.5);
    drop(&v);
    alive[parent / 64] &= ~(UINT64_C(1) << parent % 64); /* killed */
    look(&v, core);
    assert_true(tb_bits_real(series(&v, "Vjobs{}")->total.rx_bytes) == 2);
    drop(&v);
    memset(alive, 0xff, sizeof alive);
    core->owners[parent].start_ns += 1000; /* its slot is another's by now */
    look(&v, core);
    assert_true(tb_bits_real(series(&v, "Vjobs{}")->total.rx_bytes) == 2);
    drop(&v);
    support_drop(core);
}

/* ---- as it is shown ---- */

static const char *const TAKEN_RULES = "rules: [{metric: ruled_total, match: {route: /x}}]\n";

static struct tb_buffer shown(struct tb_core *core, const char *config)
{
    struct view v = {0};
    struct tb_exposition x = {0};
    struct tb_buffer text = {0};
    struct tb_config *c = config ? rules_config(config) : NULL;
    const struct tb_names *names = c ? &c->names : tb_names_default();
    struct tb_expose_options options = {
        .metrics = names->metrics, .custom = names->custom, .custom_count = names->custom_count};
    look(&v, core);
    tb_expose_custom(&x, v.s, &options);
    tb_render(&tb_encoding_text, &x, &text);
    tb_put(&text, "", 1);
    tb_exposition_free(&x);
    drop(&v);
    tb_config_free(c);
    return text;
}

static void names_of_others_are_not_shown_but_told(void **state)
{
    (void)state;
    struct tb_core *core = new_core(NULL);
    tb_own_count(core, get(core, TB_OWN_COUNTER, "http_requests_total", NULL, NULL), 1);
    tb_own_count(core, get(core, TB_OWN_COUNTER, "ruled_total", NULL, NULL), 1);
    tb_own_count(core, get(core, TB_OWN_COUNTER, "mine_total", NULL, NULL), 7);
    struct tb_buffer text = shown(core, TAKEN_RULES);
    assert_non_null(
        strstr(text.data,
               "# HELP mine_total As the program says.\n# TYPE mine_total counter\nmine_total{service=\"shop\"} 7\n"));
    assert_non_null(strstr(text.data, "tickbird_exporter_own_metrics_hidden{metric=\"http_requests_total\"} 1\n"));
    assert_non_null(strstr(text.data, "tickbird_exporter_own_metrics_hidden{metric=\"ruled_total\"} 1\n"));
    assert_null(strstr(text.data, "\nruled_total"));
    tb_buffer_free(&text);
    support_drop(core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_said_is_counted),
        cmocka_unit_test(a_histogram_has_its_own_bounds),
        cmocka_unit_test(what_is_not_right_is_refused),
        cmocka_unit_test(values_and_handles_may_be_anything),
        cmocka_unit_test(too_many_series_are_other),
        cmocka_unit_test(a_gauge_is_the_sum_of_living_processes),
        cmocka_unit_test(names_of_others_are_not_shown_but_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
