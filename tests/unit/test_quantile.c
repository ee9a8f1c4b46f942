/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quantile.h: the quantile of every distribution lies in the bucket of the true one, which is found by sorting the
 * durations (the inverse of the empirical distribution, what numpy calls "inverted_cdf"); known ones are exact; series
 * with any bound set add up. The figures in known_samples_give_known_quantiles were computed with numpy 2.4.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "exporter/quantile.h"

static unsigned bucket_of(double ns)
{
    unsigned i = 0;
    while (i < TB_GRID_BUCKETS - 1 && (double)tb_grid_upper_ns(i) < ns)
        i++;
    return i;
}

static void count_in(struct tb_distribution *d, uint64_t ns, uint64_t times)
{
    struct tb_snap_values v = {0};
    *tb_values_cell(&v, 0, ns) += times;
    tb_distribution_add_values(d, &v, 0);
    tb_values_free(&v);
}

static void the_grid_is_that_of_powers_of_two(void **state)
{
    (void)state;
    for (unsigned i = 0; i + 1 < TB_GRID_BUCKETS; i++)
        assert_true(tb_grid_upper_ns(i) == (uint64_t)floorl(1e9L * exp2l(((long double)i - 160) / 8)));
    assert_true(tb_grid_upper_ns(TB_GRID_BUCKETS - 1) == UINT64_MAX);
    assert_true(tb_grid_upper_ns(TB_GRID_BUCKETS) == UINT64_MAX);
}

static void every_cell_lies_inside_of_its_bucket(void **state)
{
    (void)state;
    const struct tb_cell_place *cells = tb_bounds_cells(TB_SET_DURATION);
    for (uint32_t i = 0; i < TB_OCTAVES * TB_BLOCK_CELLS; i++) {
        assert_true(cells[i].upper <= tb_grid_upper_ns(cells[i].grid));
        assert_true(cells[i].grid == 0 || cells[i].lower >= tb_grid_upper_ns(cells[i].grid - 1u));
    }
    assert_true(cells[TB_OCTAVES * TB_BLOCK_CELLS - 1].upper == UINT64_MAX);
}

/* The same durations, half of them in a set of other bounds: the same distribution. */
static void sets_of_different_bounds_add_up(void **state)
{
    (void)state;
    static const uint64_t bounds[] = {3000000, 77000000, 900000000};
    static const struct tb_bounds others = {TB_UNIT_SECONDS, 3, bounds};
    struct tb_distribution plain = {0}, mixed = {0};
    int other = tb_bounds_intern(&others);
    assert_true(other > 0);
    for (uint64_t ns = 700; ns < UINT64_C(200000000000000); ns += ns / 50 + 1) {
        struct tb_snap_values v = {0};
        uint16_t set = ns % 2 ? (uint16_t)other : 0;
        *tb_values_cell(&v, set, ns) += 1;
        tb_distribution_add_values(&mixed, &v, set);
        tb_values_free(&v);
        count_in(&plain, ns, 1);
    }
    assert_memory_equal(&plain, &mixed, sizeof plain);
}

static void nothing_has_no_quantile(void **state)
{
    (void)state;
    struct tb_distribution d = {0};
    assert_true(isnan(tb_distribution_quantile_ns(&d, 0.5)));
    assert_int_equal(tb_distribution_count(&d), 0);
}

static void inside_of_a_bucket_it_is_exponential(void **state)
{
    (void)state;
    struct tb_distribution d = {0};
    /* one bucket: (2^-3 s, 2^(-3+1/8) s] */
    count_in(&d, 130000000, 100);
    assert_true(fabs(tb_distribution_quantile_ns(&d, 0.5) / (0.125e9 * exp2(0.5 / 8)) - 1) < 1e-8);
    assert_true(fabs(tb_distribution_quantile_ns(&d, 1) / (0.125e9 * exp2(1.0 / 8)) - 1) < 1e-8);
    assert_true(tb_distribution_quantile_ns(&d, 0) == 0.125e9);
}

static void the_ends_of_the_grid(void **state)
{
    (void)state;
    struct tb_distribution zero = {0}, huge = {0};
    count_in(&zero, 1, 4);
    assert_true(tb_distribution_quantile_ns(&zero, 0.5) == 953 * 0.5);
    count_in(&huge, UINT64_MAX, 4);
    assert_true(tb_distribution_quantile_ns(&huge, 0.5) == 131072e9);
}

/* numpy: q(a) = quantile(a, [.5, .95, .99], method="inverted_cdf") */
static void known_samples_give_known_quantiles(void **state)
{
    (void)state;
    static const double shares[] = {0.5, 0.95, 0.99};
    /* a = arange(1, 1001) * 1e6: 1 ms to 1 s */
    static const double even[] = {500e6, 950e6, 990e6};
    /* a = 90 times 2 ms, 9 times 80 ms, once 3 s */
    static const double three[] = {2e6, 80e6, 80e6};
    struct tb_distribution d = {0};
    for (uint64_t i = 1; i <= 1000; i++)
        count_in(&d, i * 1000000, 1);
    for (size_t i = 0; i < 3; i++) {
        double found = tb_distribution_quantile_ns(&d, shares[i]);
        assert_int_equal(bucket_of(found), bucket_of(even[i]));
        assert_true(fabs(found / even[i] - 1) < 0.01); /* evenly spread: interpolation comes near */
    }
    struct tb_distribution e = {0};
    count_in(&e, 2000000, 90);
    count_in(&e, 80000000, 9);
    count_in(&e, 3000000000, 1);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(bucket_of(tb_distribution_quantile_ns(&e, shares[i])), bucket_of(three[i]));
    assert_int_equal(bucket_of(tb_distribution_quantile_ns(&e, 0.995)), bucket_of(3e9));
}

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

static void random_samples_give_the_bucket_of_the_true_quantile(void **state)
{
    (void)state;
    static uint64_t sample[3000];
    srand(20260101);
    for (int round = 0; round < 200; round++) {
        struct tb_distribution d = {0}, half = {0};
        size_t count = 1 + (size_t)rand() % 3000;
        double spread = 1 + rand() % 37; /* octaves; up to the last bucket, which has no end */
        for (size_t i = 0; i < count; i++) {
            sample[i] = (uint64_t)(500 * exp2(spread * rand() / RAND_MAX));
            count_in(i % 2 ? &half : &d, sample[i], 1);
        }
        tb_distribution_add(&d, &half);
        assert_int_equal(tb_distribution_count(&d), count);
        qsort(sample, count, sizeof *sample, compare);
        for (int q = 1; q <= 100; q++) {
            size_t rank = ((size_t)q * count + 99) / 100;
            double found = tb_distribution_quantile_ns(&d, q / 100.0);
            unsigned want = bucket_of((double)sample[rank - 1]);
            /* a rank at a bucket's very end is its upper bound: floating point may put it a hair further */
            assert_true(bucket_of(found) == want || bucket_of(found * (1 - 1e-9)) == want);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_grid_is_that_of_powers_of_two),
        cmocka_unit_test(every_cell_lies_inside_of_its_bucket),
        cmocka_unit_test(sets_of_different_bounds_add_up),
        cmocka_unit_test(nothing_has_no_quantile),
        cmocka_unit_test(inside_of_a_bucket_it_is_exponential),
        cmocka_unit_test(the_ends_of_the_grid),
        cmocka_unit_test(known_samples_give_known_quantiles),
        cmocka_unit_test(random_samples_give_the_bucket_of_the_true_quantile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
