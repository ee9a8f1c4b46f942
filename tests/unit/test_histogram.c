/* SPDX-License-Identifier: Apache-2.0 */
/*
 * histogram.h: every bound exact, cells are the union of classic and exponential bounds, and any bucket is a sum of
 * whole cells. The oracle is a naive search over bounds computed with long doubles. Each test runs over several sets.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "histogram.h"

#define MS UINT64_C(1000000)
#define KB (1000 * (uint64_t)TB_BYTE_TICKS)

/* What users write, and what is hard: bounds next to exponential ones, outside of them, many. */
static const uint64_t otel[] = {5 * MS,   10 * MS,  25 * MS,   50 * MS,   75 * MS,   100 * MS,  250 * MS,
                                500 * MS, 750 * MS, 1000 * MS, 2500 * MS, 5000 * MS, 7500 * MS, 10000 * MS};
static const uint64_t in_ms[] = {MS, 5 * MS, 15 * MS, 50 * MS, 100 * MS, 200 * MS, 500 * MS, 1000 * MS, 2000 * MS};
static const uint64_t near[] = {954, 1041, 1000000001, UINT64_C(131072000000001)};
static const uint64_t one[] = {MS};
static const uint64_t sizes[] = {0,      1 * TB_BYTE_TICKS, 3 * TB_BYTE_TICKS, 100 * TB_BYTE_TICKS,
                                 1 * KB, 64 * KB,           1000000 * KB};
static uint64_t most[TB_BOUNDS_MAX];

static struct {
    const char *name;
    struct tb_bounds bounds;
} sets[] = {
    {"durations", {0, 0, NULL}},
    {"sizes", {0, 0, NULL}},
    {"otel", {TB_UNIT_SECONDS, sizeof otel / 8, otel}},
    {"in_ms", {TB_UNIT_SECONDS, sizeof in_ms / 8, in_ms}},
    {"near", {TB_UNIT_SECONDS, sizeof near / 8, near}},
    {"one", {TB_UNIT_SECONDS, 1, one}},
    {"small sizes", {TB_UNIT_BYTES, sizeof sizes / 8, sizes}},
    {"most", {TB_UNIT_SECONDS, TB_BOUNDS_MAX, most}},
};

static struct tb_histogram table;
static struct tb_bounds set; /* that of the test */

static uint64_t exponential_bound(int i)
{
    if (set.unit == TB_UNIT_BYTES)
        return (uint64_t)floorl(TB_BYTE_TICKS * exp2l((long double)(i - 8) / 8));
    return (uint64_t)floorl(1e9L * exp2l((long double)(i - 160) / 8));
}

/* The union of both kinds of bounds, in any order, each once. */
static uint64_t all_bounds[400];
static size_t all_count;

static int use_set(void **state)
{
    size_t *number = *state;
    set = sets[*number].bounds;
    all_count = 0;
    for (int i = 0; i < 297; i++)
        all_bounds[all_count++] = exponential_bound(i);
    for (size_t k = 0; k < set.count; k++) {
        bool is_own = set.at_most[k] > all_bounds[0] && set.at_most[k] < all_bounds[296];
        for (size_t i = 0; i < 297; i++)
            is_own = is_own && set.at_most[k] != all_bounds[i];
        if (is_own)
            all_bounds[all_count++] = set.at_most[k];
    }
    return tb_histogram_build(&set, &table) ? 0 : -1;
}

/* The cell by counting bounds one by one. */
static uint32_t naive_cell(uint64_t value)
{
    uint32_t cell = 0;
    for (size_t i = 0; i < all_count; i++)
        cell += value > all_bounds[i];
    return cell;
}

static void check(uint64_t value)
{
    uint32_t want = naive_cell(value), got = tb_histogram_place(&table, value);
    if (want != got)
        fail_msg("%llu: cell %u, expected %u", (unsigned long long)value, got, want);
}

static void every_bound_is_inclusive(void **state)
{
    (void)state;
    for (size_t i = 0; i < all_count; i++) {
        assert_int_equal(table.bounds_ns[naive_cell(all_bounds[i])], all_bounds[i]);
        for (int d = -2; d <= 2; d++)
            check(all_bounds[i] + (uint64_t)(int64_t)d);
    }
}

static void any_value_has_its_cell(void **state)
{
    (void)state;
    for (uint64_t value = 0; value < 70000; value++)
        check(value);
    for (unsigned bit = 0; bit < 64; bit++)
        for (int d = -3; d <= 3; d++)
            check((UINT64_C(1) << bit) + (uint64_t)(int64_t)d);
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < 20000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        check(x >> (x % 61));
    }
    check(0);
    check(UINT64_MAX);
}

static void cell_bounds_are_what_cells_hold(void **state)
{
    (void)state;
    uint64_t cells[TB_CELLS_MAX], previous = 0;
    size_t count = tb_histogram_cells(&set, cells);
    assert_int_equal(count, all_count + 1);
    for (size_t i = 0; i < count; i++) {
        assert_true(cells[i] > previous);
        assert_int_equal(cells[i], table.bounds_ns[i]);
        assert_int_equal(tb_histogram_place(&table, previous + 1), i);
        assert_int_equal(tb_histogram_place(&table, cells[i]), i);
        previous = cells[i];
    }
    assert_true(previous == UINT64_MAX);
}

static void exponential_index_covers_each_cell(void **state)
{
    (void)state;
    uint64_t cells[TB_CELLS_MAX];
    size_t count = tb_histogram_cells(&set, cells);
    int zero = tb_histogram_zero_index(set.unit);
    for (size_t n = 1; n + 1 < count; n++) {
        int i = tb_histogram_exponential_index(set.unit, cells[n]) - zero;
        assert_true(cells[n] <= exponential_bound(i) && cells[n] > exponential_bound(i - 1));
    }
    assert_int_equal(tb_histogram_exponential_index(set.unit, cells[0]), zero);
    assert_int_equal(tb_histogram_exponential_index(set.unit, cells[count - 1]), zero + 297);
}

/* 297 exponential bounds, 13 classic ones that are not among them (0.25 s, 0.5 s and 1 s are), and the last cell. */
static void the_default_has_its_cells(void **state)
{
    (void)state;
    uint64_t cells[TB_CELLS_MAX];
    assert_int_equal(sets[0].bounds.count, 16);
    assert_int_equal(tb_histogram_cells(&sets[0].bounds, cells), 297 + 13 + 1);
    assert_int_equal(tb_histogram_zero_index(TB_UNIT_SECONDS), -160);
}

static void no_bytes_and_one_byte_differ(void **state)
{
    (void)state;
    assert_true(tb_histogram_build(&sets[1].bounds, &table));
    assert_int_equal(tb_histogram_place(&table, tb_byte_ticks(0)), 0);
    assert_int_not_equal(tb_histogram_place(&table, tb_byte_ticks(1)), 0);
    assert_int_equal(table.bounds_ns[tb_histogram_place(&table, tb_byte_ticks(100))], tb_byte_ticks(100));
    assert_int_not_equal(tb_histogram_place(&table, tb_byte_ticks(101)),
                         tb_histogram_place(&table, tb_byte_ticks(100)));
    assert_int_equal(table.bounds_ns[tb_histogram_place(&table, tb_byte_ticks(UINT64_MAX))], UINT64_MAX);
}

static void what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    static const uint64_t falling[] = {2 * MS, MS}, same[] = {MS, MS}, close[] = {100 * MS, 100 * MS + 1, 100 * MS + 2};
    uint64_t many[TB_BOUNDS_MAX + 1], cells[TB_CELLS_MAX];
    for (size_t i = 0; i <= TB_BOUNDS_MAX; i++)
        many[i] = (i + 1) * MS;
    const struct tb_bounds wrong[] = {{TB_UNIT_SECONDS, 2, falling},
                                      {TB_UNIT_SECONDS, 2, same},
                                      {TB_UNIT_SECONDS, 0, falling},
                                      {TB_UNIT_SECONDS, TB_BOUNDS_MAX + 1, many},
                                      {TB_UNITS, 1, one}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_false(tb_histogram_build(&wrong[i], &table));
        assert_int_equal(tb_histogram_cells(&wrong[i], cells), 0);
    }
    /* cells could be told, but not be found in two steps */
    assert_false(tb_histogram_build(&(struct tb_bounds){TB_UNIT_SECONDS, 3, close}, &table));
    struct tb_bounds untouched = {9, 9, NULL};
    assert_false(tb_histogram_builtin(TB_SET_FIRST, &untouched));
    assert_int_equal(untouched.count, 9);
}

#define SETS (sizeof sets / sizeof *sets)
static size_t numbers[SETS];

int main(void)
{
    void (*const bodies[])(void **) = {every_bound_is_inclusive, any_value_has_its_cell,
                                       cell_bounds_are_what_cells_hold, exponential_index_covers_each_cell};
    struct CMUnitTest tests[4 * SETS + 3] = {
        cmocka_unit_test(the_default_has_its_cells),
        cmocka_unit_test(no_bytes_and_one_byte_differ),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };
    for (size_t i = 0; i < TB_BOUNDS_MAX; i++)
        most[i] = (uint64_t)(1e5 * pow(1.4, (double)i));
    for (size_t i = 0; i < SETS; i++) {
        numbers[i] = i;
        if (i < TB_SET_FIRST && !tb_histogram_builtin((uint32_t)i, &sets[i].bounds))
            return 1;
        for (size_t k = 0; k < 4; k++)
            tests[3 + i * 4 + k] = (struct CMUnitTest){sets[i].name, bodies[k], use_set, NULL, &numbers[i]};
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
