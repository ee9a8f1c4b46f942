/* SPDX-License-Identifier: Apache-2.0 */
/* series.c and series_read.c: what is observed is read back exactly, whatever runs out. */
#include "support.h"

#include <pthread.h>

static struct tb_series_key key_of(struct tb_core *core, const char *route, uint16_t status)
{
    return (struct tb_series_key){.family = TB_FAMILY_REQUESTS,
                                  .role = TB_ROLE_SERVER,
                                  .method = TB_METHOD_GET,
                                  .status = status,
                                  .route = tb_string_intern(core, tb_bytes_str(route))};
}

static bool is_same_key(const struct tb_series_key *key, const void *arg)
{
    return memcmp(key, arg, sizeof(*key)) == 0;
}

static bool is_overflow(const struct tb_series_key *key, const void *arg)
{
    (void)arg;
    return key->method == 0 && key->route == TB_STR_OTHER;
}

static uint64_t count_of(struct tb_core *core, enum tb_counter what)
{
    return support_counter(core, what);
}

static void an_observation_is_read_back(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    struct tb_series_key key = key_of(core, "/a", 200);
    struct tb_observation o = {
        .duration_ns = 1500000, .first_byte_ns = 1000000, .rx_bytes = 10, .tx_bytes = 1024, .is_timed = true};
    tb_series_observe(core, &key, &o);
    tb_series_observe(core, &key, &o);
    o.is_incomplete = true;
    tb_series_observe(core, &key, &o);
    struct tb_series_sum sum = support_total(core, is_same_key, &key);
    assert_int_equal(sum.count, 3);
    assert_int_equal(sum.untimed, 0);
    assert_int_equal(sum.incomplete, 1);
    assert_int_equal(sum.sum_ns, 4500000);
    assert_int_equal(sum.first_byte_ns, 3000000);
    assert_int_equal(sum.rx_bytes, 30);
    assert_int_equal(sum.tx_bytes, 3072);
    assert_true(sum.created_ns != 0);
    uint32_t cell = tb_histogram_place(&core->sets[0].histogram, 1500000);
    assert_int_equal(sum.cells[cell / TB_BLOCK_CELLS][cell % TB_BLOCK_CELLS], 3);
    assert_int_equal(count_of(core, TB_COUNTER_UNTIMED), 0);
    support_drop(core);
}

static void every_octave_can_be_counted(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    struct tb_series_key key = key_of(core, "/a", 200);
    uint64_t n = 0, sum_ns = 0;
    for (int round = 0; round < 3; round++)
        for (uint32_t i = 0; i < 311; i++, n++) {
            struct tb_observation o = {.duration_ns = core->sets[0].histogram.bounds_ns[i], .is_timed = true};
            if (i == 310)
                o.duration_ns = UINT64_C(1) << 48;
            sum_ns += o.duration_ns;
            tb_series_observe(core, &key, &o);
        }
    struct tb_series_sum sum = support_total(core, is_same_key, &key);
    assert_int_equal(sum.count, n);
    assert_int_equal(sum.sum_ns, sum_ns);
    for (uint32_t i = 0; i < 311; i++)
        assert_int_equal(sum.cells[i / TB_BLOCK_CELLS][i % TB_BLOCK_CELLS], 3);
    support_drop(core);
}

static void untimed_exchanges_count(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    struct tb_series_key key = key_of(core, "/a", 200), aborted = key;
    aborted.family = TB_FAMILY_ABORTED;
    aborted.status = TB_ABORT_CLIENT_CLOSED;
    struct tb_observation o = {.duration_ns = 12345, .rx_bytes = 5, .tx_bytes = 7};
    tb_series_observe(core, &key, &o);
    tb_series_observe(core, &aborted, &o);
    struct tb_series_sum sum = support_total(core, is_same_key, &key);
    assert_int_equal(sum.count, 1);
    assert_int_equal(sum.untimed, 1);
    assert_int_equal(sum.sum_ns, 0);
    assert_int_equal(sum.rx_bytes + sum.tx_bytes, 12);
    assert_int_equal(support_total(core, is_same_key, &aborted).count, 1);
    assert_int_equal(count_of(core, TB_COUNTER_UNTIMED), 1); /* an abort has no duration by nature */
    support_drop(core);
}

/* 5,000 keys into a table of 4,000: what does not fit is counted on the reserved series, by status. */
static void overflow_keeps_the_sum_exact(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    struct tb_observation o = {.duration_ns = 1000000, .is_timed = true};
    uint64_t n = 0;
    for (int round = 0; round < 2; round++)
        for (unsigned i = 0; i < 5000; i++, n++) {
            struct tb_series_key key = {.family = TB_FAMILY_REQUESTS,
                                        .role = TB_ROLE_SERVER,
                                        .method = TB_METHOD_GET,
                                        .status = (uint16_t)(200 + i % 3),
                                        .route = TB_STR_FREE + i * 8};
            tb_series_observe(core, &key, &o);
        }
    struct tb_series_sum all = support_total(core, NULL, NULL), overflow = support_total(core, is_overflow, NULL);
    assert_int_equal(all.count, n);
    assert_int_equal(all.untimed, 0);
    assert_true(overflow.count >= 2000 && overflow.count < 2200); /* a few lose their place in the index */
    assert_int_equal(count_of(core, TB_COUNTER_SERIES_OVERFLOW), overflow.count);
    assert_int_equal(count_of(core, TB_COUNTER_LOST), 0);
    assert_true(core->header->series_used <= TB_SERIES_MAX);
    support_drop(core);
}

/* More statuses on a full table than there are reserved slots: classes of statuses still take them all. */
static void overflow_of_overflow_keeps_the_sum_exact(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    core->header->series_limit = 10;
    struct tb_observation o = {.duration_ns = 1000000, .is_timed = true};
    uint64_t n = 0;
    for (uint32_t route = 0; route < 30; route++)
        for (unsigned status = 100; status < 1000; status++)
            for (uint8_t role = TB_ROLE_SERVER; role <= TB_ROLE_CLIENT; role++)
                for (uint8_t family = TB_FAMILY_REQUESTS; family <= TB_FAMILY_STREAM; family++, n++) {
                    struct tb_series_key key = {.family = family,
                                                .role = role,
                                                .method = TB_METHOD_GET,
                                                .status = (uint16_t)status,
                                                .route = TB_STR_FREE + route * 8,
                                                .target = role == TB_ROLE_CLIENT ? TB_STR_FREE : 0};
                    if (family == TB_FAMILY_ABORTED)
                        key.status = (uint16_t)(1 + status % 4);
                    tb_series_observe(core, &key, &o);
                }
    assert_int_equal(support_total(core, NULL, NULL).count, n);
    assert_int_equal(count_of(core, TB_COUNTER_LOST), 0);
    assert_true(core->header->series_used <= TB_SERIES_MAX);
    support_drop(core);
}

/* What is recorded beside exchanges takes none of the slots that are reserved for them, and has no more to say then. */
static void sizes_do_not_take_the_place_of_requests(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    core->header->series_limit = 10;
    struct tb_observation o = {.duration_ns = 1000000, .is_timed = true};
    uint64_t n = 0;
    for (int is_request = 0; is_request < 2; is_request++)
        for (unsigned status = 100; status < 1000; status++)
            for (uint8_t role = TB_ROLE_SERVER; role <= TB_ROLE_CLIENT; role++)
                for (uint8_t set = 0; set < 3; set++) {
                    struct tb_series_key key = {.role = role,
                                                .method = TB_METHOD_GET,
                                                .bound_set = set,
                                                .status = (uint16_t)status,
                                                .route = TB_STR_FREE,
                                                .target = status % 2 ? TB_STR_FREE : 0};
                    for (key.family = TB_FAMILY_REQUEST_SIZE; key.family < TB_FAMILY_EXEMPLARS; key.family++)
                        tb_series_add(core, &key, 0, 1);
                    key.family = TB_FAMILY_REQUESTS;
                    key.bound_set = 0;
                    if (is_request && set == 0) {
                        tb_series_observe(core, &key, &o);
                        n++;
                    }
                }
    uint64_t counted = 0;
    for (uint32_t slot = 1; slot < tb_series_slots(core->header); slot++) {
        struct tb_series_key key;
        struct tb_series_sum sum;
        if (!tb_series_read(core->base, TB_REGION_BYTES, core->header, slot, &key, &sum))
            counted += key.family == TB_FAMILY_REQUESTS ? sum.count : 0;
    }
    assert_int_equal(counted, n);
    assert_int_equal(count_of(core, TB_COUNTER_LOST), 0);
    support_drop(core);
}

/* The arenas are full: known cells go on, a new octave counts untimed, a new series under overflow or as lost. */
static void full_arenas_lose_nothing_silently(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    struct tb_series_key key = key_of(core, "/a", 200), other = key_of(core, "/b", 200);
    struct tb_observation o = {.duration_ns = 1000000, .is_timed = true};
    tb_series_observe(core, &key, &o);
    core->header->cells_used = TB_LEN_CELLS;
    core->header->arena_at[core->shard] = 0;
    tb_series_observe(core, &key, &o);
    o.duration_ns = 1000000000;
    tb_series_observe(core, &key, &o);
    struct tb_series_sum sum = support_total(core, is_same_key, &key);
    assert_int_equal(sum.count, 3);
    assert_int_equal(sum.untimed, 1);
    tb_series_observe(core, &other, &o);
    assert_int_equal(support_total(core, NULL, NULL).count + count_of(core, TB_COUNTER_LOST), 4);
    assert_int_equal(count_of(core, TB_COUNTER_LOST), 1);
    support_drop(core);
}

static void another_shard_s_record_is_used_before_overflow(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    struct tb_series_key key = key_of(core, "/a", 200);
    struct tb_observation o = {.duration_ns = 1000000, .is_timed = true};
    tb_series_observe(core, &key, &o);
    core->header->cells_used = TB_LEN_CELLS;
    for (int i = 0; i < 4; i++)
        core->header->arena_at[i] = 0;
    tb_core_forked(core, core->env.pid); /* the next slot is of another shard */
    uint32_t before = core->shard;
    tb_series_observe(core, &key, &o);
    assert_true(core->shard != before);
    assert_int_equal(support_total(core, is_same_key, &key).count, 2);
    support_drop(core);
}

static bool overlaps(const bool *lines, uint64_t offset, uint64_t len)
{
    for (uint64_t line = offset / 64; line <= (offset + len - 1) / 64; line++)
        if (lines[line])
            return true;
    return false;
}

static void mark(bool *lines, uint64_t offset, uint64_t len)
{
    for (uint64_t line = offset / 64; line <= (offset + len - 1) / 64; line++)
        lines[line] = true;
}

/* Marks all that a shard writes on the hot path in @mine, and fails when it is in @others. */
static void collect_lines(struct tb_core *core, uint32_t shard, bool *mine, const bool *others)
{
    for (uint32_t slot = 1; slot < core->header->series_used; slot++) {
        uint64_t at = core->series[slot].records[shard] * 8u;
        if (!at)
            continue;
        const struct tb_record *r = (const struct tb_record *)(const void *)(core->cells + at);
        assert_false(overlaps(others, at, sizeof(*r)));
        mark(mine, at, sizeof(*r));
        const uint32_t *entries = r->blocks;
        size_t count = 3;
        for (uint32_t more = r->more;; more = ((const struct tb_record_more *)(const void *)entries)->more) {
            for (size_t i = 0; i < count && entries[i]; i++) {
                assert_false(overlaps(others, TB_BLOCK_OFFSET(entries[i]), TB_BLOCK_CELLS * 8));
                mark(mine, TB_BLOCK_OFFSET(entries[i]), TB_BLOCK_CELLS * 8);
            }
            if (!more)
                break;
            entries = (const uint32_t *)(const void *)(core->cells + more * 8u);
            count = 15;
        }
    }
}

static void shards_never_share_a_cache_line(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    uint64_t random = 7;
    static bool lines[TB_SHARDS][TB_LEN_CELLS / 64 + 1], others[TB_LEN_CELLS / 64 + 1];
    for (unsigned i = 0; i < 20000; i++) {
        if (i % 50 == 0)
            tb_core_forked(core, core->env.pid); /* takes turns between shards; slots stay taken */
        if (i % 200 == 0)
            memset(core->owners, 0, TB_LEN_OWNERS);
        struct tb_series_key key = key_of(core, "/a", (uint16_t)(200 + support_random(&random) % 20));
        struct tb_observation o = {.duration_ns = support_random(&random) >> (20 + random % 40), .is_timed = true};
        tb_series_observe(core, &key, &o);
    }
    unsigned used = 0;
    for (uint32_t shard = 0; shard < TB_SHARDS; shard++) {
        collect_lines(core, shard, lines[shard], others);
        for (size_t i = 0; i < sizeof(others); i++) {
            others[i] = others[i] || lines[shard][i];
            used += lines[shard][i];
        }
    }
    assert_true(used > 100);
    for (uint32_t i = 0; i < TB_OWNERS; i++)
        assert_int_equal((uintptr_t)&core->owners[i] % 64, 0);
    support_drop(core);
}

static void a_corrupted_region_is_survived(void **state)
{
    (void)state;
    uint64_t random = 4711;
    for (int round = 0; round < 60; round++) {
        struct tb_core *core = support_bound_core();
        struct tb_series_key key = key_of(core, "/a", 200);
        struct tb_observation o = {.duration_ns = 1000000, .is_timed = true};
        tb_series_observe(core, &key, &o);
        for (int i = 0; i < 4000; i++) {
            /* words of the index, the series table, the arenas in use and the header's counters */
            static const uint32_t areas[][2] = {{TB_OFF_INDEX, TB_LEN_INDEX},
                                                {TB_OFF_SERIES, 8192},
                                                {TB_OFF_CELLS, 16384},
                                                {104, 16},
                                                {2200, 16},
                                                {TB_OFF_STRINGS, TB_STR_FREE + 4096}};
            const uint32_t *area = areas[support_random(&random) % 6];
            uint32_t at = area[0] + (uint32_t)(support_random(&random) % area[1]) / 4 * 4, value;
            value = (uint32_t)(random >> 32) >> (random % 29);
            memcpy(core->base + at, &value, 4);
            o.duration_ns = random >> 20;
            key.status = (uint16_t)(200 + i % 7);
            tb_series_observe(core, &key, &o);
            if (i % 64 == 0) {
                struct tb_series_key k;
                struct tb_series_sum sum;
                (void)tb_string_intern(core, tb_bytes_str("/x"));
                for (uint32_t slot = 0; slot < 200; slot++)
                    (void)tb_series_read(core->base, TB_REGION_BYTES, core->header, slot, &k, &sum);
            }
        }
        support_drop(core);
    }
}

static void a_looping_chain_is_refused_by_the_reader(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    struct tb_series_key key = key_of(core, "/a", 200), read_key;
    struct tb_observation o = {.is_timed = true};
    for (uint32_t i = 0; i < 310; i += 8) {
        o.duration_ns = core->sets[0].histogram.bounds_ns[i];
        tb_series_observe(core, &key, &o);
    }
    struct tb_series_sum sum = {.count = 77};
    assert_int_equal(tb_series_read(core->base, TB_REGION_BYTES, core->header, 1, &read_key, &sum), 0);
    assert_int_equal(sum.count, 39);
    struct tb_record *r = (struct tb_record *)(void *)(core->cells + core->series[1].records[core->shard] * 8u);
    struct tb_record_more *more = (struct tb_record_more *)(void *)(core->cells + r->more * 8u);
    struct tb_record_more *last = (struct tb_record_more *)(void *)(core->cells + more->more * 8u);
    last->more = r->more;
    sum.count = 77;
    assert_int_equal(tb_series_read(core->base, TB_REGION_BYTES, core->header, 1, &read_key, &sum), -EINVAL);
    assert_int_equal(sum.count, 0);
    last->more = UINT32_MAX;
    assert_int_equal(tb_series_read(core->base, TB_REGION_BYTES, core->header, 1, &read_key, &sum), -EINVAL);
    assert_int_equal(tb_series_read(core->base, TB_REGION_BYTES, core->header, 4095, &read_key, &sum), -ENOENT);
    assert_int_equal(tb_series_read(core->base, TB_REGION_BYTES, core->header, UINT32_MAX, &read_key, &sum), -ENOENT);
    support_drop(core);
}

#define THREADS 4
#define PER_THREAD 20000

static void *observe_many(void *arg)
{
    struct tb_core *core = arg;
    uint64_t random = (uint64_t)(uintptr_t)&random | 1;
    for (int i = 0; i < PER_THREAD; i++) {
        struct tb_series_key key = {.family = TB_FAMILY_REQUESTS,
                                    .role = TB_ROLE_SERVER,
                                    .method = TB_METHOD_GET,
                                    .status = (uint16_t)(200 + support_random(&random) % 100),
                                    .route = TB_STR_FREE};
        struct tb_observation o = {.duration_ns = random >> (random % 50), .is_timed = true};
        tb_series_observe(core, &key, &o);
    }
    return NULL;
}

static void threads_of_one_process_count_exactly(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    pthread_t threads[THREADS];
    for (int t = 0; t < THREADS; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, observe_many, core), 0);
    for (int t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    assert_int_equal(support_total(core, NULL, NULL).count, THREADS * PER_THREAD);
    assert_true(core->header->series_used < 300);
    support_drop(core);
}

static void keys_spread_over_the_index(void **state)
{
    (void)state;
    static uint8_t places[TB_INDEX_SLOTS];
    unsigned collisions = 0, keys = 0;
    for (uint32_t route = 0; route < 100; route++)
        for (uint8_t method = 1; method <= 4; method++)
            for (uint16_t status = 0; status < 5; status++, keys++) {
                struct tb_series_key key = {.family = TB_FAMILY_REQUESTS,
                                            .role = TB_ROLE_SERVER,
                                            .method = method,
                                            .status = (uint16_t)(200 + status * 101),
                                            .route = TB_STR_FREE + route * 24};
                collisions += places[tb_series_hash(&key) >> 19]++ > 0;
            }
    /* 2,000 keys thrown at random into 8,192 places collide 224 times in the mean */
    print_message("%u keys, %u not alone at their place\n", keys, collisions);
    assert_true(collisions < 350);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_observation_is_read_back),
        cmocka_unit_test(every_octave_can_be_counted),
        cmocka_unit_test(untimed_exchanges_count),
        cmocka_unit_test(overflow_keeps_the_sum_exact),
        cmocka_unit_test(overflow_of_overflow_keeps_the_sum_exact),
        cmocka_unit_test(sizes_do_not_take_the_place_of_requests),
        cmocka_unit_test(full_arenas_lose_nothing_silently),
        cmocka_unit_test(another_shard_s_record_is_used_before_overflow),
        cmocka_unit_test(shards_never_share_a_cache_line),
        cmocka_unit_test(a_corrupted_region_is_survived),
        cmocka_unit_test(a_looping_chain_is_refused_by_the_reader),
        cmocka_unit_test(threads_of_one_process_count_exactly),
        cmocka_unit_test(keys_spread_over_the_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
