/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history.h: each interval holds exactly what was counted in it, compared with a model that keeps plain copies; new
 * series, restarts and other snapshots; memory stays below its bounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "exporter/buffer.h"
#include "exporter/history.h"

#define SECOND UINT64_C(1000000000)

static struct tb_snap_series *series(struct tb_snapshot *s, const char *service, const char *route, uint16_t status)
{
    struct tb_snap_key key = {TB_FAMILY_REQUESTS, TB_ROLE_SERVER, TB_METHOD_GET, 0, status, route, "", ""};
    return tb_snapshot_series(s, tb_snapshot_service(s, service, strlen(service)), &key);
}

static void count_in(struct tb_snap_series *e, uint64_t ns, uint64_t times)
{
    *tb_values_cell(&e->base, 0, ns) += times;
    e->base.sum_ns += ns * times;
}

static void collect(struct tb_snapshot *s)
{
    tb_snapshot_begin(s, UINT64_C(1700000000000000000));
    tb_snapshot_finish(s);
}

/* What all series counted in the interval that ends at @end_ns, -1 when there is no such interval. */
static int64_t counted_until(const struct tb_history *h, struct tb_snapshot *s, uint64_t now_ns, uint64_t end_ns)
{
    struct tb_history_walk *w = tb_history_walk_begin(h, s, now_ns);
    struct tb_increase i;
    int64_t sum = -1;
    for (size_t k = 0; k < tb_history_intervals(w); k++) {
        uint64_t from, to;
        tb_history_interval(w, k, &from, &to);
        assert_true(from < to);
        if (to != end_ns)
            continue;
        sum = 0;
        for (size_t e = 0; e < s->series_count; e++)
            if (tb_history_increase(w, k, s->series[e], &i))
                sum += (int64_t)tb_increase_count(&i);
    }
    tb_history_walk_end(w);
    return sum;
}

static void what_was_there_before_the_first_point_is_no_increase(void **state)
{
    (void)state;
    struct tb_snapshot *s = tb_snapshot_new();
    struct tb_history *h = tb_history_new();
    count_in(series(s, "shop", "/", 200), 1000000, 1000);
    collect(s);
    tb_history_note(h, s, 100 * SECOND);
    assert_int_equal(counted_until(h, s, 100 * SECOND, 100 * SECOND), -1);
    assert_int_equal(counted_until(h, s, 101 * SECOND, 101 * SECOND), 0);
    count_in(series(s, "shop", "/", 200), 1000000, 7);
    collect(s);
    assert_int_equal(counted_until(h, s, 102 * SECOND, 102 * SECOND), 7);
    tb_history_note(h, s, 103 * SECOND); /* too early for a point */
    assert_int_equal(counted_until(h, s, 103 * SECOND, 103 * SECOND), 7);
    tb_history_note(h, s, 105 * SECOND);
    assert_int_equal(counted_until(h, s, 106 * SECOND, 105 * SECOND), 7);
    assert_int_equal(counted_until(h, s, 106 * SECOND, 106 * SECOND), 0);
    tb_history_free(h);
    tb_snapshot_free(s);
}

static void a_series_that_is_new_or_began_again_counts_from_0(void **state)
{
    (void)state;
    struct tb_snapshot *s = tb_snapshot_new();
    struct tb_history *h = tb_history_new();
    struct tb_snap_series *old = series(s, "shop", "/m", 200);
    count_in(old, 1000000, 100);
    collect(s);
    tb_history_note(h, s, 10 * SECOND);
    count_in(series(s, "shop", "/a", 200), 1000000, 3); /* sorts before, */
    count_in(series(s, "shop", "/z", 200), 1000000, 4); /* and behind */
    collect(s);
    tb_history_note(h, s, 20 * SECOND);
    assert_int_equal(counted_until(h, s, 20 * SECOND, 20 * SECOND), 7);
    tb_values_zero(&old->base);
    count_in(old, 2000000, 5);
    collect(s); /* it fell: its service starts at 0 */
    assert_int_equal(old->count, 0);
    count_in(old, 2000000, 6);
    collect(s);
    tb_history_note(h, s, 30 * SECOND);
    assert_int_equal(counted_until(h, s, 30 * SECOND, 30 * SECOND), 6);
    tb_history_free(h);
    tb_snapshot_free(s);
}

static void another_snapshot_begins_another_history(void **state)
{
    (void)state;
    struct tb_snapshot *a = tb_snapshot_new(), *b = tb_snapshot_new();
    struct tb_history *h = tb_history_new();
    count_in(series(a, "shop", "/", 200), 1000000, 3);
    count_in(series(b, "shop", "/", 200), 1000000, 8);
    collect(a);
    collect(b);
    tb_history_note(h, a, 10 * SECOND);
    tb_history_note(h, a, 20 * SECOND);
    assert_int_equal(counted_until(h, b, 21 * SECOND, 21 * SECOND), -1);
    tb_history_note(h, b, 30 * SECOND);
    assert_int_equal(counted_until(h, b, 31 * SECOND, 31 * SECOND), 0);
    tb_history_free(h);
    tb_snapshot_free(a);
    tb_snapshot_free(b);
}

static void nothing_is_kept_while_nobody_looks(void **state)
{
    (void)state;
    struct tb_snapshot *s = tb_snapshot_new();
    struct tb_history *h = tb_history_new();
    count_in(series(s, "shop", "/", 200), 1000000, 3);
    collect(s);
    tb_history_tend(h, s, 5 * SECOND);
    assert_int_equal(tb_history_bytes(h), 0);
    tb_history_note(h, s, 10 * SECOND);
    tb_history_tend(h, s, 300 * SECOND);
    assert_true(tb_history_bytes(h) > 0);
    tb_history_tend(h, s, 311 * SECOND);
    assert_int_equal(tb_history_bytes(h), 0);
    tb_history_free(h);
    tb_snapshot_free(s);
}

static void points_older_than_five_minutes_go(void **state)
{
    (void)state;
    struct tb_snapshot *s = tb_snapshot_new();
    struct tb_history *h = tb_history_new();
    uint64_t from, to;
    for (uint64_t second = 1; second < 2000; second++) {
        collect(s);
        tb_history_note(h, s, second * SECOND);
    }
    struct tb_history_walk *w = tb_history_walk_begin(h, s, 2000 * SECOND);
    assert_in_range(tb_history_intervals(w), 60, TB_HISTORY_POINTS);
    tb_history_interval(w, 0, &from, &to);
    assert_in_range(from, 1690 * SECOND, 1700 * SECOND);
    tb_history_walk_end(w);
    tb_history_free(h);
    tb_snapshot_free(s);
}

#define MODEL_SERIES 60
#define MODEL_POINTS 40

/* [point][series][bucket]: totals */
static uint64_t model[MODEL_POINTS + 1][MODEL_SERIES][TB_GRID_BUCKETS];

static void compare_with_model(const struct tb_history *h, struct tb_snapshot *s, struct tb_snap_series *const *made,
                               int points, uint64_t now_ns, size_t step)
{
    struct tb_history_walk *w = tb_history_walk_begin(h, s, now_ns);
    assert_int_equal(tb_history_intervals(w), points);
    static struct tb_increase increase;
    for (size_t e = 0; e < s->series_count; e += step) { /* leaving series out is allowed */
        int number = 0;
        while (made[number] != s->series[e])
            number++;
        for (int k = 0; k < points; k++) {
            struct tb_distribution d = {0};
            if (tb_history_increase(w, (size_t)k, s->series[e], &increase))
                tb_distribution_add_increase(&d, &increase);
            for (size_t b = 0; b < TB_GRID_BUCKETS; b++)
                assert_int_equal(d.counts[b], model[k + 1][number][b] - model[k][number][b]);
        }
    }
    tb_history_walk_end(w);
}

static void every_interval_equals_a_model(void **state)
{
    (void)state;
    struct tb_snapshot *s = tb_snapshot_new();
    struct tb_history *h = tb_history_new();
    struct tb_snap_series *made[MODEL_SERIES] = {0};
    const struct tb_cell_place *cells = tb_bounds_cells(TB_SET_DURATION);
    srand(11);
    for (int point = 0; point <= MODEL_POINTS; point++) {
        if (point)
            memcpy(model[point], model[point - 1], sizeof model[0]);
        for (int i = rand() % 100; i > 0; i--) {
            int number = rand() % MODEL_SERIES;
            char route[32];
            snprintf(route, sizeof route, "/%d", number * 7919 % MODEL_SERIES);
            made[number] = series(s, number % 3 ? "shop" : "api", route, number % 2 ? 200 : 503);
            uint32_t cell = (uint32_t)rand() % 312;
            uint64_t times = rand() % 4 ? (uint64_t)rand() % 300 : (uint64_t)rand() << 20;
            tb_values_block(&made[number]->base, cell / 8)[cell % 8] += times;
            model[point][number][cells[cell].grid] += times;
        }
        collect(s);
        if (point < MODEL_POINTS)
            tb_history_note(h, s, (uint64_t)(point + 1) * 5 * SECOND);
    }
    compare_with_model(h, s, made, MODEL_POINTS, (MODEL_POINTS + 1) * 5 * SECOND, 1);
    compare_with_model(h, s, made, MODEL_POINTS, (MODEL_POINTS + 1) * 5 * SECOND, 3);
    tb_history_free(h);
    tb_snapshot_free(s);
}

static void memory_has_a_bound(void **state)
{
    (void)state;
    struct tb_snapshot *s = tb_snapshot_new();
    struct tb_history *h = tb_history_new();
    static struct tb_snap_series *made[6000];
    for (size_t i = 0; i < 6000; i++) {
        char route[32];
        snprintf(route, sizeof route, "/%05zu", i);
        made[i] = series(s, "shop", route, 200);
    }
    for (uint64_t round = 1; round < 5; round++) {
        for (size_t i = 0; i < 6000; i++)
            for (uint32_t octave = 0; octave < TB_OCTAVES - 1; octave++)
                for (size_t cell = 0; cell < TB_BLOCK_CELLS; cell++)
                    tb_values_block(&made[i]->base, octave)[cell] += (UINT64_C(1) << 40) + i;
        collect(s);
        tb_history_note(h, s, round * 10 * SECOND);
        assert_true(tb_history_bytes(h) <= TB_HISTORY_BASE_MAX + TB_HISTORY_BYTES_MAX + (1u << 14));
        assert_in_range(tb_history_left_out(h), 1000, 5000);
    }
    assert_true(tb_history_bytes(h) > TB_HISTORY_BYTES_MAX);
    /* what has no history must not count its whole past when the next point comes */
    struct tb_history_walk *w = tb_history_walk_begin(h, s, 41 * SECOND);
    static struct tb_increase increase;
    for (size_t k = 0; k < tb_history_intervals(w); k++)
        assert_false(tb_history_increase(w, k, made[5999], &increase));
    tb_history_walk_end(w);
    tb_history_free(h);
    tb_snapshot_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_there_before_the_first_point_is_no_increase),
        cmocka_unit_test(a_series_that_is_new_or_began_again_counts_from_0),
        cmocka_unit_test(another_snapshot_begins_another_history),
        cmocka_unit_test(nothing_is_kept_while_nobody_looks),
        cmocka_unit_test(points_older_than_five_minutes_go),
        cmocka_unit_test(every_interval_equals_a_model),
        cmocka_unit_test(memory_has_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
