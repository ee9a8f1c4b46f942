/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Region and series against a naive model, with writers killed at any moment: each writer notes in memory of its own
 * what it has finished; a region may hold that, and at most one exchange more per killed writer, each under the right
 * key and in the right cell; no total ever falls. Once with kill -9 at random times, once by single steps at every kind
 * of instruction of a first observation.
 *
 * TB_TEST_SEED sets the seed, which is printed.
 */
#include "support.h"

#include <sched.h>
#include <sys/ptrace.h>

#define KEYS 300
#define WRITERS 6
#define STEPS 250000L /* instructions that are stepped through in all */
#define LIVES 120     /* writers that are started and killed in all */

/* Shared with one life of a writer; only that writer writes it. */
struct tally {
    uint64_t done[KEYS];
    uint32_t current; /* key + 1 that is being observed */
};

static uint64_t seed(void)
{
    static uint64_t value;
    const char *text = getenv("TB_TEST_SEED");
    if (!value) {
        value = text ? strtoull(text, NULL, 0) : support_monotonic_ns() | 1;
        print_message("TB_TEST_SEED=%llu\n", (unsigned long long)value);
    }
    return value;
}

/* The two durations that a key is ever observed with. */
static uint64_t duration_of(unsigned key, bool is_second)
{
    return UINT64_C(1000) * (key + 1) * (is_second ? 1000 : 1);
}

static struct tb_series_key key_of(struct tb_core *core, unsigned number)
{
    char route[20];
    int len = snprintf(route, sizeof(route), "/k/%u", number);
    return (struct tb_series_key){.family = TB_FAMILY_REQUESTS,
                                  .role = TB_ROLE_SERVER,
                                  .method = TB_METHOD_GET,
                                  .status = (uint16_t)(200 + number % 2),
                                  .route = tb_string_intern(core, tb_bytes(route, (size_t)len))};
}

static void write_for_ever(struct tb_core *core, struct tally *tally, uint64_t random)
{
    if (nice(19) == -1)
        errno = 0; /* only lets the one that kills them have its turn */
    tb_core_forked(core, (uint32_t)getpid());
    for (;;) {
        unsigned number = (unsigned)(support_random(&random) % KEYS);
        bool is_second = support_random(&random) >> 40 & 1;
        struct tb_observation o = {.duration_ns = duration_of(number, is_second), .is_timed = true, .tx_bytes = 1};
        struct tb_series_key key = key_of(core, number);
        uint16_t entry = 0;
        if (tb_owner_claim(core)) {
            tb_add_relaxed(&core->owner->in_flight, 1);
            entry = tb_inflight_claim(core, support_monotonic_ns(), number, 0, 1);
        }
        __atomic_store_n(&tally->current, number + 1, __ATOMIC_SEQ_CST);
        tb_series_observe(core, &key, &o);
        __atomic_store_n(&tally->done[number], tally->done[number] + 1, __ATOMIC_SEQ_CST);
        __atomic_store_n(&tally->current, 0, __ATOMIC_SEQ_CST);
        tb_inflight_release(core, entry);
        tb_add_relaxed(&core->owner->in_flight, -1);
    }
}

struct totals {
    uint64_t keys[KEYS];
    uint64_t other;
    unsigned slots; /* that hold something */
};

/* Reads the region as it is; checks every cell against the durations that its key may have. */
static void read_totals(const struct tb_core *core, struct totals *ret)
{
    static struct tb_series_sum sum;
    memset(ret, 0, sizeof(*ret));
    for (uint32_t slot = 0; slot < tb_series_slots(core->header); slot++) {
        struct tb_series_key key;
        unsigned number;
        int r = tb_series_read(core->base, TB_REGION_BYTES, core->header, slot, &key, &sum);
        assert_true(r == 0 || r == -ENOENT);
        if (r)
            continue;
        ret->slots++;
        struct tb_bytes route = tb_string_get(core->strings, TB_LEN_STRINGS, key.route);
        assert_non_null(route.ptr);
        assert_int_equal(sum.untimed, 0);
        if (sscanf((const char *)route.ptr, "/k/%u", &number) != 1) {
            assert_int_equal(key.route, TB_STR_OTHER);
            ret->other += sum.count;
            continue;
        }
        assert_true(number < KEYS && key.status == 200 + number % 2);
        uint32_t a = tb_histogram_place(&core->sets[0].histogram, duration_of(number, false));
        uint32_t b = tb_histogram_place(&core->sets[0].histogram, duration_of(number, true));
        assert_int_equal(sum.count, sum.cells[a / 8][a % 8] + (a == b ? 0 : sum.cells[b / 8][b % 8]));
        ret->keys[number] += sum.count;
    }
}

struct writer {
    pid_t pid;
    struct tally *tally;
};

static void start_writer(struct writer *w, struct tb_core *core, struct tally *tally, uint64_t random)
{
    w->tally = tally;
    w->pid = support_fork();
    assert_true(w->pid >= 0);
    if (w->pid == 0)
        write_for_ever(core, tally, random | 1);
}

/* A check while writers run: what was done before the reading is in it, and nothing has fallen. */
static void check_live(const struct tb_core *core, const struct tally *tallies, unsigned lives, struct totals *before)
{
    static uint64_t done[KEYS];
    static struct totals now;
    memset(done, 0, sizeof(done));
    for (unsigned life = 0; life < lives; life++)
        for (unsigned k = 0; k < KEYS; k++)
            done[k] += __atomic_load_n(&tallies[life].done[k], __ATOMIC_SEQ_CST);
    read_totals(core, &now);
    assert_true(now.other >= before->other);
    for (unsigned k = 0; k < KEYS; k++)
        assert_true(now.keys[k] >= before->keys[k] && (core->header->series_limit < KEYS || now.keys[k] >= done[k]));
    *before = now;
}

/* At the end: each key has what was done, and at most what was being done by those who were killed. */
static void check_end(const struct tb_core *core, const struct tally *tallies)
{
    static struct totals now;
    uint64_t all_done = 0, all_current = 0, all_now = 0;
    read_totals(core, &now);
    for (unsigned k = 0; k < KEYS; k++) {
        uint64_t done = 0, current = 0;
        for (unsigned life = 0; life < LIVES; life++) {
            done += tallies[life].done[k];
            current += tallies[life].current == k + 1;
        }
        all_done += done;
        all_current += current;
        all_now += now.keys[k];
        if (core->header->series_limit >= KEYS)
            assert_true(now.keys[k] >= done && now.keys[k] <= done + current);
    }
    all_now += now.other;
    assert_true(all_now >= all_done && all_now <= all_done + all_current);
    assert_int_equal(support_counter(core, TB_COUNTER_LOST), 0);
    print_message("%llu done, %llu counted, %llu cut off at most; %u slots of %u hold %d keys; %u KiB of cells\n",
                  (unsigned long long)all_done, (unsigned long long)all_now, (unsigned long long)all_current, now.slots,
                  core->header->series_used, KEYS, core->header->cells_used >> 10);
    assert_true(core->header->series_used <= KEYS + LIVES / 4);
}

static void check_nothing_in_flight(struct tb_core *core)
{
    /* the slots of the dead are cleaned by whoever claims next, at most 64 at a time */
    pid_t pid = support_fork();
    if (pid == 0) {
        tb_core_forked(core, (uint32_t)getpid());
        MUST(tb_owner_claim(core));
        tb_owner_release(core);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    for (uint32_t i = 0; i < TB_OWNERS; i++)
        assert_true(core->owners[i].in_flight == 0 &&
                    (core->owners[i].pid == 0 || core->owners[i].pid == (uint32_t)getpid()));
    for (uint32_t i = 0; i < TB_SHARDS * TB_INFLIGHT_PER_SHARD; i++)
        assert_int_equal(core->inflight[i].start_ns, 0);
}

static void run_lives(uint32_t series_limit)
{
    char *dir = support_dir();
    struct tb_core *core = support_core();
    struct tb_identity id = support_identity("model");
    id.series_limit = series_limit;
    enum tb_inert why;
    uint64_t random = seed();
    assert_int_equal(tb_region_open(core, dir, &id, &why), 0);
    size_t bytes = LIVES * sizeof(struct tally);
    struct tally *tallies = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(tallies != MAP_FAILED);
    static struct totals before;
    memset(&before, 0, sizeof(before));
    struct writer writers[WRITERS] = {{0, NULL}};
    for (unsigned life = 0; life < LIVES; life++) {
        struct writer *w = &writers[support_random(&random) % WRITERS];
        if (w->pid) {
            kill(w->pid, SIGKILL);
            waitpid(w->pid, NULL, 0);
        }
        start_writer(w, core, &tallies[life], support_random(&random));
        for (uint64_t spin = support_random(&random) % 8; spin; spin--)
            sched_yield();
        if (life % 16 == 0)
            check_live(core, tallies, life + 1, &before);
    }
    for (int i = 0; i < WRITERS; i++)
        if (writers[i].pid) {
            kill(writers[i].pid, SIGKILL);
            waitpid(writers[i].pid, NULL, 0);
        }
    check_end(core, tallies);
    check_nothing_in_flight(core);
    munmap(tallies, bytes);
    support_drop(core);
    support_remove_dir(dir);
}

static void killed_writers_lose_at_most_their_last_exchange(void **state)
{
    (void)state;
    run_lives(0);
}

static void killed_writers_keep_an_overflowing_table_exact(void **state)
{
    (void)state;
    run_lives(100);
}

/* ---- killed at a given instruction ---- */

/* A first exchange of a new process under a new key: owner slot, string, series, record, block, in-flight entry. */
static void first_exchange(struct tb_core *core, unsigned number)
{
    tb_core_forked(core, (uint32_t)getpid());
    struct tb_series_key key = key_of(core, number % KEYS);
    key.ext = 1 + number;
    if (!tb_owner_claim(core))
        _exit(1);
    uint16_t entry = tb_inflight_claim(core, 1000000, number, 0, 1);
    struct tb_observation o = {.duration_ns = duration_of(number % KEYS, false), .is_timed = true};
    tb_series_observe(core, &key, &o);
    tb_inflight_release(core, entry);
    tb_owner_release(core);
}

/* Runs it for @steps instructions and kills it. Returns how many were run; fewer when it ended. */
static long step_and_kill(struct tb_core *core, unsigned number, long steps)
{
    pid_t pid = support_fork();
    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(SUPPORT_SKIPPED);
        raise(SIGSTOP);
        first_exchange(core, number);
        _exit(0);
    }
    int status;
    long done = 0;
    waitpid(pid, &status, 0);
    if (WIFEXITED(status))
        return -1;
    for (; done < steps; done++) {
        if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0)
            break;
        waitpid(pid, &status, 0);
        if (!WIFSTOPPED(status))
            return done;
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return done;
}

static void first_exchange_to_its_end(struct tb_core *core, unsigned number)
{
    pid_t pid = support_fork();
    int status = -1;
    if (pid == 0) {
        first_exchange(core, number);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
}

static bool is_ext(const struct tb_series_key *key, const void *arg)
{
    return key->ext == *(const uint32_t *)arg;
}

static void killed_at_any_instruction_a_region_stays_whole(void **state)
{
    (void)state;
    char *dir = support_dir();
    struct tb_core *core = support_core();
    struct tb_identity id = support_identity("model");
    enum tb_inert why;
    assert_int_equal(tb_region_open(core, dir, &id, &why), 0);
    long length = step_and_kill(core, 0, 1000000);
    if (length <= 0) {
        support_drop(core);
        support_remove_dir(dir);
        skip();
    }
    uint64_t random = seed(), counted = support_total(core, NULL, NULL).count;
    assert_int_equal(counted, 1);
    unsigned kept = 0, rounds = 0;
    long budget = STEPS;
    for (unsigned i = 1; i <= 16 || budget > 0; i++, rounds++) {
        long steps = (long)(support_random(&random) % (uint64_t)length);
        budget -= step_and_kill(core, i, steps);
        uint32_t ext = 1 + i;
        uint64_t now = support_total(core, is_ext, &ext).count;
        assert_true(now <= 1);
        kept += now == 1;
        counted += now;
        assert_int_equal(support_total(core, NULL, NULL).count, counted);
        if (i % 8 == 0) { /* the same key again, by a process that lives */
            first_exchange_to_its_end(core, i);
            counted++;
            assert_int_equal(support_total(core, is_ext, &ext).count, now + 1);
            assert_int_equal(support_total(core, NULL, NULL).count, counted);
        }
    }
    print_message("%ld instructions long; killed %u times inside, counted %u of them\n", length, rounds, kept);
    assert_true(kept < rounds && (kept > 0 || rounds < 50));
    assert_true(core->header->series_used <= rounds + 2);
    check_nothing_in_flight(core);
    support_drop(core);
    support_remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_writers_lose_at_most_their_last_exchange),
        cmocka_unit_test(killed_writers_keep_an_overflowing_table_exact),
        cmocka_unit_test(killed_at_any_instruction_a_region_stays_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
