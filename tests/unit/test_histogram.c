/* SPDX-License-Identifier: Apache-2.0 */
/*
 * histogram.h: every bound exact, cells are the union of classic and exponential bounds, and any bucket is a sum of
 * whole cells. The oracle is a naive search over bounds computed with long doubles.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "histogram.h"

static uint64_t exponential_bound(int i)
{
    return (uint64_t)floorl(1e9L * exp2l((long double)i / 8));
}

static struct tb_histogram table;

/* The union of both kinds of bounds, in any order, each once. */
static uint64_t all_bounds[400];
static size_t all_count;

static void collect_bounds(void)
{
    const uint64_t *classic;
    size_t count = tb_histogram_bounds(0, &classic);
    for (int i = -160; i <= 136; i++)
        all_bounds[all_count++] = exponential_bound(i);
    for (size_t k = 0; k < count; k++) {
        bool is_own = true;
        for (size_t i = 0; i < 297; i++)
            is_own = is_own && classic[k] != all_bounds[i];
        if (is_own)
            all_bounds[all_count++] = classic[k];
    }
}

/* The cell by counting bounds one by one. */
static uint32_t naive_cell(uint64_t ns)
{
    uint32_t cell = 0;
    for (size_t i = 0; i < all_count; i++)
        cell += ns > all_bounds[i];
    return cell;
}

static void check(uint64_t ns)
{
    uint32_t want = naive_cell(ns), got = tb_histogram_place(&table, ns);
    if (want != got)
        fail_msg("%llu ns: cell %u, expected %u", (unsigned long long)ns, got, want);
}

static void exponential_bounds_are_exact(void **state)
{
    (void)state;
    for (int i = -160; i <= 136; i++)
        assert_int_equal(table.bounds_ns[naive_cell(exponential_bound(i))], exponential_bound(i));
}

static void every_bound_is_inclusive(void **state)
{
    (void)state;
    const uint64_t *classic;
    size_t count = tb_histogram_bounds(0, &classic);
    assert_int_equal(count, 16);
    for (int i = -160; i <= 136; i++)
        for (int d = -2; d <= 2; d++)
            check(exponential_bound(i) + (uint64_t)(int64_t)d);
    for (size_t k = 0; k < count; k++)
        for (int d = -2; d <= 2; d++)
            check(classic[k] + (uint64_t)(int64_t)d);
}

static void any_duration_has_its_cell(void **state)
{
    (void)state;
    for (uint64_t ns = 0; ns < 70000; ns++)
        check(ns);
    for (unsigned bit = 0; bit < 64; bit++)
        for (int d = -3; d <= 3; d++)
            check((UINT64_C(1) << bit) + (uint64_t)(int64_t)d);
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < 100000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        check(x >> (x % 61));
    }
    check(0);
    check(UINT64_MAX);
}

static void cell_bounds_are_what_cells_hold(void **state)
{
    (void)state;
    uint64_t previous = 0;
    uint32_t cells = 0;
    for (uint32_t octave = 0; octave < TB_OCTAVES; octave++) {
        for (uint32_t cell = 0; cell < TB_BLOCK_CELLS; cell++) {
            uint64_t bound = tb_histogram_cell_bound(0, octave, cell);
            if (!bound)
                continue;
            assert_int_equal(cells, octave * TB_BLOCK_CELLS + cell);
            assert_true(bound > previous);
            assert_int_equal(bound, table.bounds_ns[cells]);
            assert_int_equal(tb_histogram_place(&table, previous + 1), cells);
            assert_int_equal(tb_histogram_place(&table, bound), cells);
            previous = bound;
            cells++;
        }
    }
    assert_true(previous == UINT64_MAX);
    /* 297 exponential bounds, 13 classic ones that are not among them (0.25 s, 0.5 s and 1 s are), and the last cell.
     */
    assert_int_equal(cells, 297 + 13 + 1);
    assert_int_equal(tb_histogram_cell_bound(0, TB_OCTAVES, 0), 0);
    assert_int_equal(tb_histogram_cell_bound(9, 3, 0), 0);
    assert_int_equal(tb_histogram_cell_bound(0, 3, TB_BLOCK_CELLS), 0);
}

static void classic_bounds_are_cell_bounds(void **state)
{
    (void)state;
    const uint64_t *classic;
    size_t count = tb_histogram_bounds(0, &classic);
    for (size_t k = 0; k < count; k++)
        assert_int_equal(table.bounds_ns[tb_histogram_place(&table, classic[k])], classic[k]);
    const uint64_t *untouched = NULL;
    assert_int_equal(tb_histogram_bounds(TB_BOUND_SETS, &untouched), 0);
    assert_null(untouched);
    assert_false(tb_histogram_build(TB_BOUND_SETS, &table));
}

static void exponential_index_covers_each_cell(void **state)
{
    (void)state;
    for (uint32_t n = 1; n < 310; n++) {
        uint64_t bound = tb_histogram_cell_bound(0, n / 8, n % 8);
        int i = tb_histogram_exponential_index(n / 8, n % 8, 0);
        assert_true(bound <= exponential_bound(i) && bound > exponential_bound(i - 1));
    }
    assert_int_equal(tb_histogram_exponential_index(0, 0, 0), -160);
    assert_int_equal(tb_histogram_exponential_index(310 / 8, 310 % 8, 0), 137);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exponential_bounds_are_exact),   cmocka_unit_test(every_bound_is_inclusive),
        cmocka_unit_test(any_duration_has_its_cell),      cmocka_unit_test(cell_bounds_are_what_cells_hold),
        cmocka_unit_test(classic_bounds_are_cell_bounds), cmocka_unit_test(exponential_index_covers_each_cell),
    };
    if (!tb_histogram_build(0, &table))
        return 1;
    collect_bounds();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
