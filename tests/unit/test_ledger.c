/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folding exactly once: a folder is killed between any two of its steps, programs come and go, and every reader, new or
 * old, sees at every moment exactly what was counted. The truth is a plain table beside it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/resource.h>

#include "agent/bound_sets.h"
#include "exporting.h"

#define ROUTES 6u
#define SERVICES 2u
static const char *const service_names[SERVICES] = {"shop", "blog"};

struct fixture {
    struct place place;
    uint64_t truth[SERVICES][ROUTES];
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    make_place(&f->place);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    tb_ledger_step = NULL;
    remove_place(&f->place);
    free(f);
    return 0;
}

static uint64_t count_of(struct tb_snapshot *s, const char *service, const char *route)
{
    for (size_t i = 0; i < s->series_count; i++)
        if (strcmp(s->series[i]->service->name, service) == 0 && strcmp(s->series[i]->key.route, route) == 0)
            return s->series[i]->count;
    return 0;
}

static uint64_t collect_count(struct exporter *e, const char *service, const char *route)
{
    assert_int_equal(tb_collect(e->collector), 0);
    return count_of(tb_collector_snapshot(e->collector), service, route);
}

static void assert_truth(const struct fixture *f, struct exporter *e)
{
    assert_int_equal(tb_collect(e->collector), 0);
    for (size_t s = 0; s < SERVICES; s++) {
        for (unsigned r = 0; r < ROUTES; r++) {
            char route[16];
            snprintf(route, sizeof route, "/r%u", r);
            assert_int_equal(count_of(tb_collector_snapshot(e->collector), service_names[s], route), f->truth[s][r]);
        }
    }
    assert_int_equal(tb_collector_stats(e->collector)->service_restarts, 0);
    assert_int_equal(tb_collector_stats(e->collector)->lost_regions, 0);
}

/* A reader that has never seen anything before. */
static void assert_truth_anew(const struct fixture *f)
{
    struct exporter reader = exporter_open(&f->place, false);
    assert_truth(f, &reader);
    exporter_close(&reader);
}

static void observe(struct fixture *f, struct tb_core *core, unsigned service, unsigned route, unsigned times)
{
    char text[16];
    snprintf(text, sizeof text, "/r%u", route);
    maker_get(core, text, 200, times);
    f->truth[service][route] += times;
}

/* --- a folder that dies ----------------------------------------------------------------------------------------------
 */

static bool fold(struct exporter *e, const char *service)
{
    (void)service;
    collect_and_fold(e);
    return true;
}

/* Runs a folder that is killed at step @steps. Returns whether it came to its end before. */
static bool fold_and_die(const struct fixture *f, int steps)
{
    return work_and_die(&f->place, steps, fold, NULL);
}

static void a_folder_may_die_at_every_step(void **state)
{
    struct fixture *f = *state;
    struct exporter old = exporter_open(&f->place, false);
    int step = 0;
    for (bool is_done = false; !is_done; step++) {
        for (unsigned s = 0; s < SERVICES; s++) {
            struct tb_core *core = maker_start(f->place.regions, service_names[s]);
            observe(f, core, s, (unsigned)step % ROUTES, 1 + (unsigned)step % 7);
            tb_count(core, TB_COUNTER_CONN_SEEN);
            maker_kill(core);
        }
        assert_truth(f, &old);
        is_done = fold_and_die(f, step);
        assert_truth(f, &old);
        assert_truth_anew(f);
    }
    assert_true(step > 20); /* the steps are there */
    assert_true(fold_and_die(f, -1));
    assert_truth(f, &old);
    struct exporter last = exporter_open(&f->place, true);
    assert_truth(f, &last);
    struct tb_snapshot *s = tb_collector_snapshot(last.collector);
    for (size_t i = 0; i < s->service_count; i++)
        assert_int_equal(s->services[i]->counters[TB_COUNTER_CONN_SEEN], step);
    exporter_close(&last);
    exporter_close(&old);
}

static uint32_t random_next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Programs live and die, folders are killed at random, readers old and new agree with the table at every point. */
static void the_totals_are_exact_whoever_dies_when(void **state)
{
    struct fixture *f = *state;
    struct exporter old = exporter_open(&f->place, false);
    struct tb_core *alive[4] = {0};
    unsigned of_service[4] = {0};
    uint32_t seed = (uint32_t)time(NULL);
    printf("# seed %u\n", seed);
    for (unsigned round = 0; round < 300; round++) {
        unsigned i = random_next(&seed) % 4;
        if (alive[i] && random_next(&seed) % 2) {
            maker_kill(alive[i]);
            alive[i] = NULL;
        } else if (!alive[i]) {
            of_service[i] = random_next(&seed) % SERVICES;
            alive[i] = maker_start(f->place.regions, service_names[of_service[i]]);
        }
        for (i = 0; i < 4; i++)
            if (alive[i])
                observe(f, alive[i], of_service[i], random_next(&seed) % ROUTES, random_next(&seed) % 20);
        fold_and_die(f, (int)(random_next(&seed) % 60));
        if (round % 3 == 0)
            assert_truth(f, &old);
        assert_truth_anew(f);
    }
    for (unsigned i = 0; i < 4; i++)
        if (alive[i])
            maker_kill(alive[i]);
    while (!fold_and_die(f, -1))
        ;
    assert_truth(f, &old);
    exporter_close(&old);
}

static struct fixture *folded_meanwhile;

static void fold_meanwhile(const char *step)
{
    if (strcmp(step, "region-read") != 0 || steps_left-- != 0)
        return;
    tb_ledger_step = NULL;
    assert_true(fold_and_die(folded_meanwhile, -1));
}

/* All dead regions move into the ledger while a reader is half through them. */
static void a_reader_whose_regions_are_folded_meanwhile_reads_again(void **state)
{
    struct fixture *f = *state;
    struct exporter old = exporter_open(&f->place, false);
    struct tb_core *cores[3];
    folded_meanwhile = f;
    for (int k = 0; k < 3; k++) {
        for (unsigned i = 0; i < 3; i++)
            cores[i] = maker_start(f->place.regions, "shop");
        for (unsigned i = 0; i < 3; i++) {
            observe(f, cores[i], 0, i, 10);
            maker_kill(cores[i]);
        }
        assert_truth(f, &old);
        steps_left = k;
        tb_ledger_step = fold_meanwhile;
        assert_truth(f, &old);
        assert_null(tb_ledger_step); /* it did happen */
    }
    exporter_close(&old);
}

/* --- what folding leaves ---------------------------------------------------------------------------------------------
 */

static void an_emptied_region_is_adopted_and_keeps_what_it_learned(void **state)
{
    struct fixture *f = *state;
    struct tb_core *core = maker_start(f->place.regions, "shop");
    observe(f, core, 0, 1, 100);
    uint64_t id = core->header->region_id, generation = core->header->generation;
    assert_true(tb_region_reserve(core, TB_OFF_LEARNER, 8));
    memcpy(core->learner, "learned", 8);
    maker_kill(core);
    struct exporter e = exporter_open(&f->place, true);
    assert_int_equal(collect_and_fold(&e), 1);
    assert_truth(f, &e);
    char *path = maker_only_file(f->place.regions);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_blocks * 512 <= 64 << 10); /* header, strings, learner, rules */
    core = maker_start(f->place.regions, "shop");
    assert_int_equal(core->header->region_id, id);
    assert_int_equal(core->header->generation, generation + 1);
    assert_string_equal((const char *)core->learner, "learned");
    assert_truth(f, &e);
    observe(f, core, 0, 1, 11);
    observe(f, core, 0, 2, 5);
    assert_truth(f, &e);
    assert_truth_anew(f);
    maker_kill(core);
    assert_int_equal(collect_and_fold(&e), 1);
    assert_truth(f, &e);
    free(path);
    exporter_close(&e);
}

static void a_region_with_a_process_is_not_folded(void **state)
{
    struct fixture *f = *state;
    struct tb_core *core = maker_start(f->place.regions, "shop");
    observe(f, core, 0, 1, 100);
    struct exporter e = exporter_open(&f->place, true);
    assert_int_equal(collect_and_fold(&e), 0);
    assert_int_equal(core->header->state, TB_REGION_LIVE);
    /* Dead when it was looked at, adopted since. */
    maker_kill(core);
    assert_int_equal(tb_collect(e.collector), 0);
    core = maker_start(f->place.regions, "shop");
    assert_int_equal(tb_fold(e.collector, &at_once), 0);
    observe(f, core, 0, 1, 1);
    assert_truth(f, &e);
    /* Dead, but not for long enough. */
    maker_kill(core);
    assert_int_equal(tb_collect(e.collector), 0);
    assert_int_equal(tb_fold(e.collector, &(struct tb_fold_options){.fold_after_ns = UINT64_C(3600000000000)}), 0);
    assert_truth(f, &e);
    exporter_close(&e);
}

static void a_long_unused_file_is_removed_and_its_totals_stay(void **state)
{
    struct fixture *f = *state;
    struct tb_core *core = maker_start(f->place.regions, "shop");
    observe(f, core, 0, 1, 100);
    maker_kill(core);
    struct exporter e = exporter_open(&f->place, true);
    assert_int_equal(collect_and_fold(&e), 1);
    assert_int_equal(tb_collect(e.collector), 0);
    tb_fold(e.collector, &(struct tb_fold_options){.unlink_after_ns = 1});
    assert_truth(f, &e);
    assert_int_equal(tb_collector_snapshot(e.collector)->region_count, 0);
    assert_int_equal(tb_collector_stats(e.collector)->unlinked_regions, 1);
    exporter_close(&e);
    assert_truth_anew(f);
}

static void durations_survive_the_ledger(void **state)
{
    struct fixture *f = *state;
    struct tb_core *core = maker_start(f->place.regions, "shop");
    struct tb_series_key key = maker_key(core, TB_METHOD_GET, "/d", 200);
    uint64_t before[TB_BOUNDS_MAX + 1], after[TB_BOUNDS_MAX + 1], ns = 100;
    for (unsigned i = 0; i < 60; i++, ns += ns / 2)
        maker_observe(core, &key, ns, i + 1);
    struct exporter e = exporter_open(&f->place, true);
    assert_int_equal(tb_collect(e.collector), 0);
    const struct tb_snap_series *s = tb_collector_snapshot(e.collector)->series[0];
    size_t count = tb_values_classic(&s->total, 0, before);
    uint64_t sum_ns = s->total.sum_ns, first_byte_ns = s->total.first_byte_ns;
    maker_kill(core);
    assert_int_equal(collect_and_fold(&e), 1);
    exporter_close(&e);
    e = exporter_open(&f->place, false);
    assert_int_equal(tb_collect(e.collector), 0);
    s = tb_collector_snapshot(e.collector)->series[0];
    assert_int_equal(tb_values_classic(&s->total, 0, after), count);
    assert_memory_equal(before, after, count * sizeof *before);
    assert_int_equal(s->total.sum_ns, sum_ns);
    assert_int_equal(s->total.first_byte_ns, first_byte_ns);
    exporter_close(&e);
}

/* What is shown of a family; there is one series of it. */
static const struct tb_snap_series *shown(struct exporter *e, uint8_t family)
{
    const struct tb_snapshot *s = tb_collector_snapshot(e->collector);
    for (size_t i = 0; i < s->series_count; i++)
        if (s->series[i]->key.family == family && tb_snapshot_is_shown(s->series[i]))
            return s->series[i];
    fail_msg("nothing of family %u", family);
    return NULL;
}

/* A region whose programs changed their bounds, and came back to the first: folded, and read by exporters that come
 * later, it says what it said before. */
static void bound_sets_survive_the_ledger(void **state)
{
    struct fixture *f = *state;
    static const uint64_t first[] = {2000000, 5000000}, sizes[] = {100 * TB_BYTE_TICKS};
    const struct tb_bounds own = {TB_UNIT_SECONDS, 2, first}, own_sizes = {TB_UNIT_BYTES, 1, sizes};
    struct tb_core *core = maker_start(f->place.regions, "shop");
    struct tb_series_key key = maker_key(core, TB_METHOD_GET, "/d", 200), size = key;
    uint64_t buckets[TB_BOUNDS_MAX + 1];
    struct exporter e = exporter_open(&f->place, true);
    size.family = TB_FAMILY_REQUEST_SIZE;
    size.bound_set = tb_bound_set_get(core, &own_sizes);
    tb_series_add(core, &size, tb_histogram_place(&core->sets[size.bound_set].histogram, tb_byte_ticks(100)), 100);
    for (unsigned phase = 0; phase < 3; phase++) {
        key.bound_set = phase % 2 ? TB_SET_DURATION : tb_bound_set_get(core, &own);
        core->chosen_ns = tb_series_now(core);
        maker_observe(core, &key, 5000000, 10);
        tb_series_choose(core, &key);
        assert_int_equal(tb_collect(e.collector), 0);
    }
    maker_observe(core, &key, 5000001, 7);
    for (unsigned look = 0; look < 4; look++) {
        assert_int_equal(tb_collect(e.collector), 0);
        const struct tb_snap_series *s = shown(&e, TB_FAMILY_REQUESTS);
        assert_int_equal(s->whole.count, 37);
        assert_int_equal(s->whole.timed, 37);
        assert_int_equal(tb_values_classic(&s->total, s->key.bound_set, buckets), 3);
        assert_int_equal(buckets[0] + buckets[1], 0); /* begun anew when these bounds came back */
        assert_int_equal(buckets[2], 7);
        assert_int_equal(tb_values_sum(&s->total, s->key.bound_set), 7 * 5000001);
        s = shown(&e, TB_FAMILY_REQUEST_SIZE);
        assert_int_equal(tb_values_sum(&s->total, s->key.bound_set), 100);
        assert_int_equal(tb_values_classic(&s->total, s->key.bound_set, buckets), 2);
        assert_int_equal(buckets[0], 1);
        if (look == 1) {
            maker_kill(core);
            assert_int_equal(collect_and_fold(&e), 1);
        }
        if (look) { /* another one, that knows the ledger only */
            exporter_close(&e);
            e = exporter_open(&f->place, look == 1);
        }
    }
    exporter_close(&e);
}

/* --- losses the process itself has not seen --------------------------------------------------------------------------
 */

static void a_region_lost_while_no_exporter_ran_restarts_its_service(void **state)
{
    struct fixture *f = *state;
    struct tb_core *a = maker_start(f->place.regions, "shop"), *b = maker_start(f->place.regions, "blog");
    maker_get(a, "/a", 200, 40);
    maker_get(b, "/a", 200, 9);
    maker_kill(b);
    struct exporter e = exporter_open(&f->place, true);
    assert_int_equal(collect_and_fold(&e), 1);
    exporter_close(&e);
    maker_kill(a);
    a = maker_start(f->place.regions, "shop");
    maker_get(a, "/a", 200, 60);
    DIR *d = opendir(f->place.regions);
    for (struct dirent *entry; (entry = readdir(d));) { /* as if the machine had been started anew */
        if (entry->d_name[0] != '.')
            assert_int_equal(unlinkat(dirfd(d), entry->d_name, 0), 0);
    }
    closedir(d);
    struct tb_core *c = maker_start(f->place.regions, "shop");
    maker_get(c, "/a", 200, 3);
    e = exporter_open(&f->place, true);
    assert_int_equal(collect_count(&e, "shop", "/a"), 0);
    assert_int_equal(collect_count(&e, "blog", "/a"), 9);
    maker_get(c, "/a", 200, 4);
    assert_int_equal(collect_count(&e, "shop", "/a"), 4);
    exporter_close(&e);
    e = exporter_open(&f->place, true); /* and the next exporter goes on from there */
    assert_int_equal(collect_count(&e, "shop", "/a"), 4);
    maker_kill(c);
    assert_int_equal(collect_and_fold(&e), 1);
    assert_int_equal(collect_count(&e, "shop", "/a"), 4);
    exporter_close(&e);
    maker_kill(a);
}

/* --- the file --------------------------------------------------------------------------------------------------------
 */

static void only_one_exporter_folds(void **state)
{
    struct fixture *f = *state;
    struct tb_core *core = maker_start(f->place.regions, "shop");
    observe(f, core, 0, 1, 100);
    maker_kill(core);
    struct exporter first = exporter_open(&f->place, true), second = exporter_open(&f->place, true);
    assert_true(tb_ledger_is_writer(first.ledger));
    assert_false(tb_ledger_is_writer(second.ledger));
    assert_int_equal(collect_and_fold(&second), 0);
    assert_truth(f, &second);
    assert_int_equal(collect_and_fold(&first), 1);
    assert_truth(f, &first);
    assert_truth(f, &second);
    exporter_close(&first);
    assert_true(tb_ledger_try_lock(second.ledger));
    assert_truth(f, &second);
    core = maker_start(f->place.regions, "shop");
    observe(f, core, 0, 1, 1);
    maker_kill(core);
    assert_int_equal(collect_and_fold(&second), 1);
    assert_truth(f, &second);
    exporter_close(&second);
    assert_truth_anew(f);
}

static void a_ledger_that_cannot_be_written_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct tb_core *core = maker_start(f->place.regions, "shop");
    observe(f, core, 0, 1, 100);
    maker_kill(core);
    struct exporter e = exporter_open(&f->place, true);
    assert_truth(f, &e);
    struct rlimit before, tiny;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tiny = before;
    tiny.rlim_cur = 10;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tiny), 0);
    int r = tb_fold(e.collector, &at_once);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(r, -EFBIG);
    assert_truth(f, &e);
    assert_int_equal(e.ledger->write_failures, 1);
    assert_truth_anew(f);
    core = maker_start(f->place.regions, "shop"); /* it is LIVE again: adopted, not left alone as FOLDING */
    observe(f, core, 0, 1, 1);
    char *path = maker_only_file(f->place.regions);
    free(path);
    maker_kill(core);
    assert_int_equal(collect_and_fold(&e), 1);
    assert_truth(f, &e);
    exporter_close(&e);
}

static int open_ledger_file(const struct fixture *f)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/ledger", f->place.storage) > 0);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    free(path);
    return fd;
}

static void fold_some(struct fixture *f)
{
    struct tb_core *core = maker_start(f->place.regions, "shop");
    observe(f, core, 0, 1, 100);
    maker_kill(core);
    assert_true(fold_and_die(f, -1));
}

static void a_damaged_ledger_is_set_aside(void **state)
{
    struct fixture *f = *state;
    fold_some(f);
    struct stat st;
    int fd = open_ledger_file(f);
    char byte;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(pread(fd, &byte, 1, st.st_size / 2), 1);
    byte = (char)(byte ^ 1);
    assert_int_equal(pwrite(fd, &byte, 1, st.st_size / 2), 1);
    close(fd);
    struct exporter reader = exporter_open(&f->place, false), writer = exporter_open(&f->place, true);
    assert_int_equal(collect_count(&reader, "shop", "/r1"), 0);
    assert_int_equal(collect_count(&writer, "shop", "/r1"), 0);
    assert_int_equal(writer.ledger->corrupt, 1);
    struct tb_core *core = maker_start(f->place.regions, "shop");
    maker_get(core, "/r1", 200, 3);
    assert_int_equal(collect_count(&writer, "shop", "/r1"), 3);
    maker_kill(core);
    assert_int_equal(collect_and_fold(&writer), 1);
    assert_int_equal(collect_count(&writer, "shop", "/r1"), 3);
    assert_int_equal(collect_count(&reader, "shop", "/r1"), 3);
    exporter_close(&reader);
    exporter_close(&writer);
}

static void every_damage_is_noticed(void **state)
{
    struct fixture *f = *state;
    fold_some(f);
    int fd = open_ledger_file(f);
    static char bytes[65536];
    ssize_t len = pread(fd, bytes, sizeof bytes, 0);
    assert_true(len > 40 && len < (ssize_t)sizeof bytes);
    for (ssize_t at = 0; at < len; at++) {
        char byte = (char)(bytes[at] ^ 0x10);
        if (at >= 12 && at < 24) /* reserved and sequence: no harm in them */
            continue;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        struct exporter e = exporter_open(&f->place, false);
        int r = tb_collect(e.collector);
        assert_true(r == 0 || (r == -EPROTONOSUPPORT && at >= 8 && at < 12));
        assert_int_equal(count_of(tb_collector_snapshot(e.collector), "shop", "/r1"), 0);
        exporter_close(&e);
        assert_int_equal(pwrite(fd, &bytes[at], 1, at), 1);
    }
    for (ssize_t cut = 0; cut < len; cut += 7) {
        assert_int_equal(ftruncate(fd, cut), 0);
        struct exporter e = exporter_open(&f->place, false);
        assert_int_equal(collect_count(&e, "shop", "/r1"), 0);
        exporter_close(&e);
    }
    close(fd);
}

static void a_newer_ledger_is_left_alone(void **state)
{
    struct fixture *f = *state;
    fold_some(f);
    int fd = open_ledger_file(f);
    uint32_t version = 2;
    assert_int_equal(pwrite(fd, &version, sizeof version, 8), sizeof version);
    close(fd);
    struct exporter e = exporter_open(&f->place, true);
    assert_int_equal(tb_collect(e.collector), -EPROTONOSUPPORT);
    assert_int_equal(tb_fold(e.collector, &at_once), 0);
    exporter_close(&e);
    close(open_ledger_file(f));
}

static void a_directory_that_cannot_be_made_is_told(void **state)
{
    struct fixture *f = *state;
    struct tb_ledger *l = NULL;
    char *path = NULL;
    assert_true(asprintf(&path, "%s/file", f->place.storage) > 0);
    close(open(path, O_WRONLY | O_CREAT, 0600));
    assert_int_equal(tb_ledger_open(path, true, &l), -ENOTDIR);
    assert_null(l);
    free(path);
    assert_true(asprintf(&path, "%s/none", f->place.storage) > 0);
    assert_int_equal(tb_ledger_open(path, false, &l), 0); /* nothing folded yet */
    assert_false(tb_ledger_is_writer(l));
    tb_ledger_close(l);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_folder_may_die_at_every_step),
        TEST(the_totals_are_exact_whoever_dies_when),
        TEST(a_reader_whose_regions_are_folded_meanwhile_reads_again),
        TEST(an_emptied_region_is_adopted_and_keeps_what_it_learned),
        TEST(a_region_with_a_process_is_not_folded),
        TEST(a_long_unused_file_is_removed_and_its_totals_stay),
        TEST(durations_survive_the_ledger),
        TEST(bound_sets_survive_the_ledger),
        TEST(a_region_lost_while_no_exporter_ran_restarts_its_service),
        TEST(only_one_exporter_folds),
        TEST(a_ledger_that_cannot_be_written_changes_nothing),
        TEST(a_damaged_ledger_is_set_aside),
        TEST(every_damage_is_noticed),
        TEST(a_newer_ledger_is_left_alone),
        TEST(a_directory_that_cannot_be_made_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
