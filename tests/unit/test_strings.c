/* SPDX-License-Identifier: Apache-2.0 */
/* strings.c: interned strings are found again, bounded, and safe to read by any reference. */
#include "support.h"

#include <pthread.h>

static void the_same_text_has_one_reference(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    uint32_t a = tb_string_intern(core, tb_bytes_str("/users/:id")), b = tb_string_intern(core, tb_bytes_str("/users"));
    assert_true(a != 0 && b != 0 && a != b);
    assert_int_equal(tb_string_intern(core, tb_bytes_str("/users/:id")), a);
    struct tb_bytes text = tb_string_get(core->strings, TB_LEN_STRINGS, a);
    assert_int_equal(text.len, 10);
    assert_memory_equal(text.ptr, "/users/:id", 11);
    support_drop(core);
}

static void fixed_references_hold_their_texts(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    assert_string_equal((const char *)tb_string_get(core->strings, TB_LEN_STRINGS, TB_STR_OTHER).ptr, "_other");
    assert_string_equal((const char *)tb_string_get(core->strings, TB_LEN_STRINGS, TB_STR_UNMATCHED).ptr, "_unmatched");
    support_drop(core);
}

static void the_longest_text_fits_and_no_longer_one(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    char text[TB_STRING_MAX + 1];
    memset(text, 'x', sizeof(text));
    uint32_t ref = tb_string_intern(core, tb_bytes(text, TB_STRING_MAX));
    assert_int_equal(tb_string_get(core->strings, TB_LEN_STRINGS, ref).len, TB_STRING_MAX);
    assert_int_equal(tb_string_intern(core, tb_bytes(text, TB_STRING_MAX + 1)), 0);
    assert_int_equal(tb_string_intern(core, tb_bytes(NULL, 3)), 0);
    support_drop(core);
}

static void a_full_table_refuses_and_keeps_what_it_has(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    char text[100];
    unsigned kept = 0;
    uint32_t first = tb_string_intern(core, tb_bytes_str("/first")), ref;
    do {
        memset(text, 'a', sizeof(text));
        snprintf(text, sizeof(text), "/route/%u", kept);
        ref = tb_string_intern(core, tb_bytes(text, sizeof(text)));
        kept += ref != 0;
    } while (ref);
    assert_true(kept > 1400);
    assert_int_equal(tb_string_intern(core, tb_bytes_str("/first")), first);
    const struct tb_strings_head *head = (const struct tb_strings_head *)(const void *)core->strings;
    assert_true(head->used <= TB_LEN_STRINGS);
    support_drop(core);
}

static void any_reference_may_be_asked_for(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    uint32_t ref = tb_string_intern(core, tb_bytes_str("/a"));
    /* the copy ends right behind the allocation: a step too far is seen by the sanitizer, or faults */
    size_t len = TB_STR_FREE + 64;
    uint8_t *copy = malloc(len);
    memcpy(copy, core->strings, len);
    assert_int_equal(tb_string_get(copy, len, ref).len, 2);
    for (uint32_t r = 0; r < len + 100; r++)
        (void)tb_string_get(copy, len, r);
    uint64_t random = 42;
    for (int round = 0; round < 2000; round++) {
        for (size_t i = TB_STR_FIRST; i < len; i++)
            copy[i] = (uint8_t)(support_random(&random) % 4);
        for (uint32_t r = TB_STR_FIRST; r < len; r += 8) {
            struct tb_bytes text = tb_string_get(copy, len, r);
            assert_true(!text.ptr || text.ptr + text.len < copy + len);
        }
    }
    assert_null(tb_string_get(copy, len, UINT32_MAX).ptr);
    free(copy);
    support_drop(core);
}

#define THREADS 4
#define TEXTS 100

struct shared {
    struct tb_core *core;
    pthread_barrier_t *start;
    uint32_t refs[TEXTS];
};

static void *intern_all(void *arg)
{
    struct shared *s = arg;
    for (unsigned i = 0; i < TEXTS; i++) {
        char text[200];
        int len = snprintf(text, sizeof(text), "/r/%u/%0150u", i, i);
        if (i % 10 == 0)
            pthread_barrier_wait(s->start);
        s->refs[i] = tb_string_intern(s->core, tb_bytes(text, (size_t)len));
    }
    return NULL;
}

static void threads_agree_on_references(void **state)
{
    (void)state;
    for (int round = 0; round < 100; round++) {
        struct tb_core *core = support_bound_core();
        static struct shared shared[THREADS];
        pthread_t threads[THREADS];
        pthread_barrier_t start;
        pthread_barrier_init(&start, NULL, THREADS);
        for (int t = 0; t < THREADS; t++) {
            shared[t].core = core;
            shared[t].start = &start;
            assert_int_equal(pthread_create(&threads[t], NULL, intern_all, &shared[t]), 0);
        }
        for (int t = 0; t < THREADS; t++)
            pthread_join(threads[t], NULL);
        pthread_barrier_destroy(&start);
        for (unsigned i = 0; i < TEXTS; i++)
            for (int t = 0; t < THREADS; t++) {
                assert_true(shared[t].refs[i] != 0);
                assert_int_equal(shared[t].refs[i], shared[0].refs[i]);
            }
        support_drop(core);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_text_has_one_reference),
        cmocka_unit_test(fixed_references_hold_their_texts),
        cmocka_unit_test(the_longest_text_fits_and_no_longer_one),
        cmocka_unit_test(a_full_table_refuses_and_keeps_what_it_has),
        cmocka_unit_test(any_reference_may_be_asked_for),
        cmocka_unit_test(threads_agree_on_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
