/* SPDX-License-Identifier: Apache-2.0 */
/*
 * distinct.c, distinct_count.c and siphash.h. The truth is a count that the test keeps itself; hashes of SipHash-1-3
 * are those that CPython 3.11, which hashes bytes with it, gives with a key of zeros (PYTHONHASHSEED=0).
 */
#include "support.h"

#include <math.h>

#include "agent/distinct.h"
#include "agent/siphash.h"
#include "exporter/distinct_count.h"

static struct tb_distinct sketch;

static uint64_t hash_of(uint64_t seed, uint64_t value)
{
    struct tb_siphash s;
    tb_siphash_begin(&s, (const uint64_t[]){seed, ~seed});
    tb_siphash_add(&s, tb_bytes(&value, sizeof(value)));
    return tb_siphash_end(&s);
}

static void add_values(uint64_t seed, uint64_t from, uint64_t count, uint64_t slice, uint32_t window)
{
    for (uint64_t i = from; i < from + count; i++)
        tb_distinct_add(&sketch, slice, window, hash_of(seed, i));
}

static void siphash_gives_known_answers(void **state)
{
    static const struct {
        const char *text;
        uint64_t hash;
    } known[] = {
        {"a", UINT64_C(0x407448d2b89b1813)},
        {"session", UINT64_C(0x55427e926be628d4)},
        {"12345678", UINT64_C(0x3489982430560a87)},
        {"a longer session identifier, of 40 bytes", UINT64_C(0xfa4778e562149afe)},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        struct tb_bytes text = tb_bytes_str(known[i].text);
        for (size_t cut = 0; cut <= text.len; cut++) {
            struct tb_siphash s;
            tb_siphash_begin(&s, (const uint64_t[]){0, 0});
            tb_siphash_add(&s, tb_bytes(text.ptr, cut));
            tb_siphash_add(&s, tb_bytes(text.ptr + cut, text.len - cut));
            assert_int_equal(tb_siphash_end(&s), known[i].hash);
        }
    }
}

/* Of @count values, over @seeds keys: the largest and the root mean square of relative errors. */
static void errors(uint64_t count, uint64_t seeds, double *ret_largest, double *ret_rms)
{
    double squares = 0, largest = 0;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        memset(&sketch, 0, sizeof(sketch));
        add_values(seed, 0, count, 7, 4);
        add_values(seed, 0, count / 2, 8, 4); /* seen again: still the same values */
        double error = fabs(tb_distinct_count(&sketch, 8, 4) / (double)count - 1);
        squares += error * error;
        largest = error > largest ? error : largest;
    }
    *ret_largest = largest;
    *ret_rms = sqrt(squares / (double)seeds);
}

static void a_hundred_thousand_values_are_counted_within_two_percent(void **state)
{
    double largest, rms;
    (void)state;
    errors(100000, 60, &largest, &rms);
    print_message("# 100000 values: root mean square %.2f %%, largest of 60 %.2f %%\n", 100 * rms, 100 * largest);
    assert_true(rms < 0.009 && largest < 0.02);
}

static void few_values_are_counted_exactly_and_many_are_not_lost(void **state)
{
    static const uint64_t counts[] = {0, 1, 2, 10, 100, 1000, 10000, 1000000};
    (void)state;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        memset(&sketch, 0, sizeof(sketch));
        add_values(99, 0, counts[i], 7, 4);
        double found = tb_distinct_count(&sketch, 7, 4), n = (double)counts[i];
        assert_true(fabs(found - n) <= (counts[i] <= 10 ? 0.1 : n * 0.05));
    }
}

static void a_value_is_counted_for_a_window_and_not_a_slice_longer(void **state)
{
    (void)state;
    for (uint32_t window = 1; window <= TB_DISTINCT_WINDOW; window++) {
        memset(&sketch, 0, sizeof(sketch));
        add_values(5, 0, 1000, 1000, window);
        for (uint64_t slice = 1000; slice < 1000 + window; slice++)
            assert_true(tb_distinct_count(&sketch, slice, window) > 900);
        for (uint64_t slice = 1000 + window; slice < 1600; slice++)
            assert_true(tb_distinct_count(&sketch, slice, window) == 0);
    }
}

/* Values come and go, with pauses of all lengths; no old one is ever taken for one of the window. */
static void old_values_never_come_back(void **state)
{
    uint64_t random = 88172645463325252u, slice = 1000, next = 0;
    (void)state;
    for (uint64_t pause = 0; pause < 1200; pause++) {
        uint32_t window = 12;
        memset(&sketch, 0, sizeof(sketch));
        add_values(6, next, 3000, slice, window);
        slice += pause;
        /* a few values on the way, now and then, or none */
        for (uint64_t i = 0; i < pause % 40; i++)
            slice += support_random(&random) % 3, add_values(6, 0, 1, slice, window);
        slice += window;
        add_values(6, 1, 1, slice, window);
        double found = tb_distinct_count(&sketch, slice, window);
        assert_true(found > 0.9 && found < 2.1);
    }
}

static void a_window_slides(void **state)
{
    const uint32_t window = 6;
    (void)state;
    memset(&sketch, 0, sizeof(sketch));
    /* 500 new values in each slice */
    for (uint64_t slice = 0; slice < 700; slice++) {
        add_values(8, slice * 500, 500, slice, window);
        double expected = 500.0 * (double)(slice + 1 < window ? slice + 1 : window);
        assert_true(fabs(tb_distinct_count(&sketch, slice, window) / expected - 1) < 0.06);
    }
}

static void any_bytes_give_a_number(void **state)
{
    uint64_t random = 42;
    (void)state;
    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < sizeof(sketch) / 8; i++)
            ((uint64_t *)(void *)&sketch)[i] = support_random(&random);
        sketch.slice = round % 3 ? support_random(&random) : UINT64_MAX - (uint64_t)(round % 2);
        uint64_t slice = round % 2 ? sketch.slice - 1 : support_random(&random);
        double found = tb_distinct_count(&sketch, slice, 1 + (uint32_t)round);
        assert_true(found >= 0 && found < 1e7);
        tb_distinct_add(&sketch, slice, 1 + (uint32_t)round, support_random(&random));
    }
    memset(&sketch, 0xff, sizeof(sketch));
    assert_true(tb_distinct_count(&sketch, UINT64_MAX, 60) < 1e7);
}

#define WRITERS 3
#define EACH 20000

/* Processes that share a sketch; one of them is killed while it writes. */
static void many_writers_and_one_that_is_killed(void **state)
{
    struct tb_distinct *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t writers[WRITERS];
    (void)state;
    assert_true(shared != MAP_FAILED);
    for (uint64_t w = 0; w < WRITERS; w++) {
        writers[w] = support_fork();
        if (writers[w] == 0) {
            for (uint64_t i = 0; i < EACH; i++)
                tb_distinct_add(shared, 100 + i / 2000, 20, hash_of(3, w * EACH + i));
            _exit(0);
        }
    }
    pid_t victim = support_fork();
    if (victim == 0) {
        for (uint64_t i = 0;; i++) /* the same values as the first, over and over */
            tb_distinct_add(shared, 100 + i / 2000 % 10, 20, hash_of(3, i % EACH));
    }
    for (int w = 0; w < WRITERS; w++) {
        int status = -1;
        assert_int_equal(waitpid(writers[w], &status, 0), writers[w]);
        assert_int_equal(status, 0);
    }
    kill(victim, SIGKILL);
    assert_int_equal(waitpid(victim, NULL, 0), victim);
    double found = tb_distinct_count(shared, 109, 20);
    assert_true(fabs(found / (WRITERS * EACH) - 1) < 0.03);
    munmap(shared, sizeof(*shared));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_gives_known_answers),
        cmocka_unit_test(a_hundred_thousand_values_are_counted_within_two_percent),
        cmocka_unit_test(few_values_are_counted_exactly_and_many_are_not_lost),
        cmocka_unit_test(a_value_is_counted_for_a_window_and_not_a_slice_longer),
        cmocka_unit_test(old_values_never_come_back),
        cmocka_unit_test(a_window_slides),
        cmocka_unit_test(any_bytes_give_a_number),
        cmocka_unit_test(many_writers_and_one_that_is_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
