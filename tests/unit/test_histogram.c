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

/* The octave and cell by counting bounds one by one. */
static struct tb_cell_at naive_cell(uint64_t ns)
{
    const uint64_t *classic;
    size_t count = tb_histogram_bounds(0, &classic);
    uint64_t low = 0;
    for (uint8_t octave = 0; octave < TB_OCTAVES - 1; octave++) {
        uint64_t high = exponential_bound(octave * 8 - 160);
        if (ns > high) {
            low = high;
            continue;
        }
        uint8_t cell = 0;
        for (int i = octave * 8 - 7 - 160; octave && i <= octave * 8 - 160; i++)
            cell = (uint8_t)(cell + (ns > exponential_bound(i)));
        for (size_t k = 0; octave && k < count; k++) {
            bool is_own = classic[k] > low && classic[k] < high;
            for (int i = octave * 8 - 7 - 160; i <= octave * 8 - 160; i++)
                is_own = is_own && classic[k] != exponential_bound(i);
            cell = (uint8_t)(cell + (is_own && ns > classic[k]));
        }
        return (struct tb_cell_at){octave, cell};
    }
    return (struct tb_cell_at){TB_OCTAVES - 1, 0};
}

static void check(uint64_t ns)
{
    struct tb_cell_at want = naive_cell(ns), got = tb_histogram_cell(0, ns);
    if (want.octave != got.octave || want.cell != got.cell)
        fail_msg("%llu ns: octave %u cell %u, expected %u %u", (unsigned long long)ns, got.octave, got.cell,
                 want.octave, want.cell);
}

static void exponential_bounds_are_exact(void **state)
{
    (void)state;
    for (int i = -160; i <= 136; i++)
        assert_int_equal(tb_histogram_exponential_ns[i + 160], exponential_bound(i));
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
    unsigned cells = 0;
    for (uint32_t octave = 0; octave < TB_OCTAVES; octave++) {
        for (uint32_t cell = 0; cell < TB_BLOCK_CELLS; cell++) {
            uint64_t bound = tb_histogram_cell_bound(0, octave, cell);
            if (!bound)
                continue;
            cells++;
            assert_true(bound > previous);
            struct tb_cell_at low = tb_histogram_cell(0, previous + 1), high = tb_histogram_cell(0, bound);
            assert_int_equal(low.octave * 100 + low.cell, octave * 100 + cell);
            assert_int_equal(high.octave * 100 + high.cell, octave * 100 + cell);
            previous = bound;
        }
    }
    assert_true(previous == UINT64_MAX);
    /* 297 exponential bounds, 13 classic ones that are not among them (0.25 s, 0.5 s and 1 s are), and the last cell. */
    assert_int_equal(cells, 297 + 13 + 1);
    assert_int_equal(tb_histogram_cell_bound(0, 3, 9), 0);
    assert_int_equal(tb_histogram_cell_bound(0, 39, 0), 0);
    assert_int_equal(tb_histogram_cell_bound(9, 3, 0), 0);
    assert_int_equal(tb_histogram_cell_bound(0, 3, 10), 0);
}

static void classic_bounds_are_cell_bounds(void **state)
{
    (void)state;
    const uint64_t *classic;
    size_t count = tb_histogram_bounds(0, &classic);
    for (size_t k = 0; k < count; k++) {
        struct tb_cell_at at = tb_histogram_cell(0, classic[k]);
        assert_int_equal(tb_histogram_cell_bound(0, at.octave, at.cell), classic[k]);
    }
    const uint64_t *untouched = NULL;
    assert_int_equal(tb_histogram_bounds(TB_BOUND_SETS, &untouched), 0);
    assert_null(untouched);
}

static void exponential_index_covers_each_cell(void **state)
{
    (void)state;
    for (uint32_t octave = 1; octave < TB_OCTAVES - 1; octave++)
        for (uint32_t cell = 0; cell < TB_BLOCK_CELLS; cell++) {
            uint64_t bound = tb_histogram_cell_bound(0, octave, cell);
            if (!bound)
                continue;
            int i = tb_histogram_exponential_index(octave, cell, 0);
            assert_true(bound <= exponential_bound(i) && bound > exponential_bound(i - 1));
        }
    assert_int_equal(tb_histogram_exponential_index(0, 0, 0), -160);
    assert_int_equal(tb_histogram_exponential_index(TB_OCTAVES - 1, 0, 0), 137);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exponential_bounds_are_exact),   cmocka_unit_test(every_bound_is_inclusive),
        cmocka_unit_test(any_duration_has_its_cell),      cmocka_unit_test(cell_bounds_are_what_cells_hold),
        cmocka_unit_test(classic_bounds_are_cell_bounds), cmocka_unit_test(exponential_index_covers_each_cell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
