/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of streams that have no descriptor: an entry stays where it is, keys of all kinds find theirs and no
 * other's, also while threads enter and remove at the same time, and past its bound there is no entry.
 */
#include <pthread.h>
#include <stdlib.h>

#include "agent/stream_table.h"
#include "support.h"

#define THREADS 4u
#define ROUNDS 3000u
#define HELD 64u /* keys that a thread has entered at a time */

static struct tb_stream_bucket first[TB_STREAM_FIRST];
static struct tb_stream_table table = {.levels = {first}};
static bool has_memory = true;
static unsigned maps;

static void *map(void **at, size_t len)
{
    void *mine = has_memory ? calloc(1, len) : NULL, *found = NULL;
    if (!mine)
        return NULL;
    __atomic_fetch_add(&maps, 1, __ATOMIC_RELAXED);
    if (tb_cas_acq_rel(at, &found, mine))
        return mine;
    free(mine);
    return found;
}

static void count_one(struct tb_stream *s, void *arg)
{
    (void)s;
    ++*(size_t *)arg;
}

static size_t entries(void)
{
    size_t count = 0;
    tb_stream_each(&table, count_one, &count);
    return count;
}

/* Addresses as a heap gives them: multiples of 16, not far from each other. */
static uint64_t key_of(uint64_t number)
{
    return UINT64_C(0x55a000000000) + number * 16;
}

static void an_entry_is_found_until_it_is_removed(void **state)
{
    (void)state;
    assert_null(tb_stream_find(&table, key_of(1)));
    struct tb_stream *s = tb_stream_enter(&table, key_of(1), map);
    assert_non_null(s);
    assert_int_equal(s->word, 0);
    s->word = 7;
    s->flags = 9;
    assert_ptr_equal(tb_stream_enter(&table, key_of(1), map), s);
    assert_ptr_equal(tb_stream_find(&table, key_of(1)), s);
    assert_null(tb_stream_find(&table, key_of(2)));
    assert_true(tb_stream_remove(&table, key_of(1)));
    assert_false(tb_stream_remove(&table, key_of(1)));
    assert_null(tb_stream_find(&table, key_of(1)));
    s = tb_stream_enter(&table, key_of(1), map);
    assert_int_equal(s->word | s->flags, 0); /* nothing of the one before */
    assert_true(tb_stream_remove(&table, key_of(1)));
    assert_int_equal(entries(), 0);
}

static void entries_stay_where_they_are_while_it_grows(void **state)
{
    enum { COUNT = 60000 };
    struct tb_stream **at = malloc(COUNT * sizeof(struct tb_stream *));
    (void)state;
    for (uint64_t i = 0; i < COUNT; i++) {
        at[i] = tb_stream_enter(&table, key_of(i), map);
        assert_non_null(at[i]);
        at[i]->word = i;
    }
    assert_int_equal(entries(), COUNT);
    assert_int_equal(maps, TB_STREAM_LEVELS - 1);
    for (uint64_t i = 0; i < COUNT; i++) {
        assert_ptr_equal(tb_stream_find(&table, key_of(i)), at[i]);
        assert_int_equal(at[i]->word, i);
        assert_true(tb_stream_remove(&table, key_of(i)));
    }
    assert_int_equal(entries(), 0);
    free(at);
}

static void past_its_bound_there_is_no_entry(void **state)
{
    size_t entered = 0, most = 0;
    (void)state;
    for (unsigned n = 0; n < TB_STREAM_LEVELS; n++)
        most += (size_t)TB_STREAM_WAYS << tb_stream_bits(n);
    while (entered <= most && tb_stream_enter(&table, key_of(entered), map))
        entered++;
    assert_in_range(entered, most / 2, most); /* one bucket is full before all are */
    for (size_t i = 0; i < entered; i++)
        assert_true(tb_stream_remove(&table, key_of(i)));
}

static void without_memory_the_first_level_goes_on(void **state)
{
    static struct tb_stream_bucket buckets[TB_STREAM_FIRST];
    struct tb_stream_table small = {.levels = {buckets}};
    size_t entered = 0;
    (void)state;
    has_memory = false;
    while (tb_stream_enter(&small, key_of(entered), map))
        entered++;
    assert_in_range(entered, TB_STREAM_FIRST, TB_STREAM_FIRST * TB_STREAM_WAYS);
    assert_non_null(tb_stream_find(&small, key_of(0)));
    has_memory = true;
    assert_non_null(tb_stream_enter(&small, key_of(entered), map));
    free(small.levels[1]);
}

/* Each thread's keys are its own, as sessions are; their buckets are shared by all. */
static void *come_and_go(void *arg)
{
    unsigned thread = (unsigned)(uintptr_t)arg, seed = thread;
    uint64_t held[HELD] = {0};
    for (unsigned i = 0; i < ROUNDS * HELD; i++) {
        unsigned at = (unsigned)rand_r(&seed) % HELD;
        if (held[at]) {
            struct tb_stream *s = tb_stream_find(&table, held[at]);
            if (!s || s->word != held[at] || s->flags != thread)
                return "an entry is not what its owner left";
            if (!tb_stream_remove(&table, held[at]) || tb_stream_find(&table, held[at]))
                return "an entry stays";
            held[at] = 0;
        } else {
            held[at] = key_of(((uint64_t)rand_r(&seed) % 5000 * HELD + at) * THREADS + thread);
            struct tb_stream *s = tb_stream_enter(&table, held[at], map);
            if (!s || s->word || s->flags)
                return "a new entry is not empty";
            s->word = held[at];
            s->flags = thread;
        }
    }
    for (unsigned at = 0; at < HELD; at++)
        if (held[at] && !tb_stream_remove(&table, held[at]))
            return "an entry is missing at the end";
    return NULL;
}

static void threads_keep_their_own(void **state)
{
    pthread_t threads[THREADS];
    (void)state;
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, (void *)(uintptr_t)(i + 1)), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        void *wrong = NULL;
        pthread_join(threads[i], &wrong);
        if (wrong)
            fail_msg("%s", (const char *)wrong);
    }
    assert_int_equal(entries(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_is_found_until_it_is_removed),
        cmocka_unit_test(entries_stay_where_they_are_while_it_grows),
        cmocka_unit_test(past_its_bound_there_is_no_entry),
        cmocka_unit_test(without_memory_the_first_level_goes_on),
        cmocka_unit_test(threads_keep_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
