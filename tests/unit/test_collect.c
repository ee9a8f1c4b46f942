/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regions as the exporter sees them: counted exactly, alive or dead, merged per service; never falling; and files that
 * are no regions, or were, or change while they are read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "collecting.h"
#include "exporter/boot.h"
#include "exporter/health.h"
#include "rendered.h"

static void a_live_region_is_counted(void **state)
{
    struct fixture *f = *state;
    struct tb_core *core = maker_start(f->dir, "shop");
    maker_get(core, "/a", 200, 3);
    maker_get(core, "/b", 500, 2);
    tb_count(core, TB_COUNTER_CONN_SEEN);
    struct tb_snapshot *s = collect(f);
    assert_int_equal(count_of(s, "shop", TB_METHOD_GET, "/a", 200), 3);
    assert_int_equal(count_of(s, "shop", TB_METHOD_GET, "/b", 500), 2);
    struct tb_snap_service *e = service_of(s, "shop");
    assert_int_equal(e->requests, 5);
    assert_int_equal(e->processes, 1);
    assert_int_equal(e->counters[TB_COUNTER_CONN_SEEN], 1);
    assert_string_equal(e->agent_versions[0], "9.8.7");
    assert_int_equal(s->region_count, 1);
    assert_true(s->regions[0].is_live);
    assert_int_equal(s->regions[0].pids[0], getpid());
    maker_get(core, "/a", 200, 4);
    assert_int_equal(count_of(collect(f), "shop", TB_METHOD_GET, "/a", 200), 7);
    maker_kill(core);
}

static void versions_are_labels_that_differ(void **state)
{
    struct fixture *f = *state;
    static const char *const versions[] = {"1.0", "\x80", "\x81", "1.0", "a\"b", "2", "3", "4", "5", "6", "7"};
    struct tb_core *cores[sizeof versions / sizeof *versions];
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        cores[i] = maker_start(f->dir, "shop");
        memset(cores[i]->header->agent_version, 0, sizeof cores[i]->header->agent_version);
        memcpy(cores[i]->header->agent_version, versions[i], strlen(versions[i]));
    }
    struct tb_health_regions h = tb_health_count_regions(collect(f));
    uint64_t sum = 0;
    for (size_t i = 0; i < TB_HEALTH_VERSIONS; i++) {
        sum += h.versions[i].count;
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(h.versions[i].name, h.versions[k].name);
    }
    assert_int_equal(sum, sizeof versions / sizeof *versions);
    assert_string_equal(h.versions[TB_HEALTH_VERSIONS - 1].name, "_other");
    const struct tb_snap_service *e = service_of(tb_collector_snapshot(f->collector), "shop");
    for (size_t i = 1; i < 4; i++)
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(e->agent_versions[i], e->agent_versions[k]);
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++)
        maker_kill(cores[i]);
}

/* A version that is called as the row of all that are too many. */
static void a_version_called_other_is_no_second_row(void **state)
{
    struct fixture *f = *state;
    struct tb_core *cores[TB_HEALTH_VERSIONS + 3];
    const size_t count = sizeof cores / sizeof *cores;
    for (size_t i = 0; i < count; i++) {
        cores[i] = maker_start(f->dir, "shop");
        snprintf(cores[i]->header->agent_version, sizeof cores[i]->header->agent_version, i ? "%zu" : "_other", i);
    }
    struct tb_health_regions h = tb_health_count_regions(collect(f));
    uint64_t sum = 0, other = 0;
    for (size_t i = 0; i < TB_HEALTH_VERSIONS && h.versions[i].count; i++) {
        sum += h.versions[i].count;
        other += strcmp(h.versions[i].name, "_other") == 0;
    }
    assert_int_equal(sum, count);
    assert_int_equal(other, 1);
    for (size_t i = 0; i < count; i++)
        maker_kill(cores[i]);
}

static int compare_lines(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* No sample is there twice: whatever stands in a region, a server must be able to read the rest. */
static void assert_samples_differ(const struct tb_snapshot *s)
{
    struct tb_buffer out = {0};
    char *lines[8192], *save = NULL;
    size_t count = 0;
    rendered(s, &out);
    char *text = tb_buffer_text(&out);
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (*line == '#')
            continue;
        *strrchr(line, ' ') = 0;
        assert_true(count < sizeof lines / sizeof *lines);
        lines[count++] = line;
    }
    qsort(lines, count, sizeof *lines, compare_lines);
    for (size_t i = 1; i < count; i++)
        assert_string_not_equal(lines[i - 1], lines[i]);
    free(text);
}

static void what_no_label_tells_apart_is_one_sample(void **state)
{
    struct fixture *f = *state;
    struct tb_core *core = maker_start(f->dir, "shop");
    struct tb_series_key key = maker_key(core, TB_METHOD_GET, "/a", 200);
    maker_observe(core, &key, 3000000, 3);
    key.ext = tb_string_intern(core, tb_bytes_str("more")); /* no family that is served has it */
    maker_observe(core, &key, 3000000, 4);
    core->owner->unobservable = UINT64_MAX; /* reasons that only a newer version knows */
    struct tb_snapshot *s = collect(f);
    assert_int_equal(count_of(s, "shop", TB_METHOD_GET, "/a", 200), 7);
    assert_samples_differ(s);
    maker_kill(core);
}

static void a_dead_region_still_counts(void **state)
{
    struct fixture *f = *state;
    struct tb_core *core = maker_start(f->dir, "shop");
    maker_get(core, "/a", 200, 3);
    maker_kill(core);
    struct tb_snapshot *s = collect(f);
    assert_int_equal(count_of(s, "shop", TB_METHOD_GET, "/a", 200), 3);
    assert_false(s->regions[0].is_live);
    assert_int_equal(service_of(s, "shop")->processes, 0);
}

static void regions_of_one_service_are_added(void **state)
{
    struct fixture *f = *state;
    struct tb_core *a = maker_start(f->dir, "shop"), *b = maker_start(f->dir, "shop"), *c = maker_start(f->dir, "blog");
    maker_get(a, "/a", 200, 3);
    maker_get(b, "/b", 200, 1);
    maker_get(b, "/a", 200, 4);
    maker_get(c, "/a", 200, 5);
    struct tb_snapshot *s = collect(f);
    assert_int_equal(s->region_count, 3);
    assert_int_equal(count_of(s, "shop", TB_METHOD_GET, "/a", 200), 7);
    assert_int_equal(count_of(s, "shop", TB_METHOD_GET, "/b", 200), 1);
    assert_int_equal(count_of(s, "blog", TB_METHOD_GET, "/a", 200), 5);
    maker_kill(a);
    maker_kill(b);
    maker_kill(c);
}

static void durations_lie_in_their_buckets(void **state)
{
    struct fixture *f = *state;
    struct tb_core *core = maker_start(f->dir, "shop");
    struct tb_series_key key = maker_key(core, TB_METHOD_POST, "/x", 201);
    const uint64_t *bounds;
    size_t count = tb_bounds_of(0)->count;
    bounds = tb_bounds_of(0)->at_most;
    for (size_t i = 0; i < count; i++) {
        maker_observe(core, &key, bounds[i], 1);     /* le is inclusive */
        maker_observe(core, &key, bounds[i] + 1, 2); /* the next bucket */
    }
    struct tb_snapshot *s = collect(f);
    uint64_t buckets[TB_BOUNDS_MAX + 1];
    assert_int_equal(tb_values_classic(&s->series[0]->total, 0, buckets), count + 1);
    assert_int_equal(buckets[0], 1);
    for (size_t i = 1; i < count; i++)
        assert_int_equal(buckets[i], 3);
    assert_int_equal(buckets[count], 2);
    assert_int_equal(s->series[0]->count, 3 * count);
    assert_int_equal(tb_values_sum(&s->series[0]->total, 0), s->series[0]->total.sum_ns);
    maker_kill(core);
}

static void a_torn_sum_is_moved_to_what_the_buckets_allow(void **state)
{
    (void)state;
    struct tb_snap_values v = {0};
    const uint64_t *bounds;
    bounds = tb_bounds_of(0)->at_most;
    *tb_values_cell(&v, 0, 3000000) = 10;
    uint64_t low = tb_values_sum(&v, 0); /* no sum yet at all */
    assert_true(low >= 10 * bounds[4] && low <= 30000000);
    v.sum_ns = UINT64_C(1) << 60;
    assert_true(tb_values_sum(&v, 0) >= 30000000 && tb_values_sum(&v, 0) <= 10 * bounds[5]);
    v.sum_ns = 30000000;
    assert_int_equal(tb_values_sum(&v, 0), 30000000);
    tb_values_free(&v);
}

static void in_flight_dies_with_its_process(void **state)
{
    struct fixture *f = *state;
    struct tb_core *core = maker_start(f->dir, "shop");
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    tb_add_relaxed(&core->owner->in_flight, 1);
    assert_int_not_equal(tb_inflight_claim(core, maker_clock() - 5000000000u, 1, 0, 1), 0);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        tb_core_forked(core, (uint32_t)getpid());
        bool is_claimed = tb_owner_claim(core);
        tb_add_relaxed(&core->owner->in_flight, 2);
        bool is_noted = tb_inflight_claim(core, maker_clock() - 60000000000u, 2, 0, 1) != 0;
        if (write(ready[1], is_claimed && is_noted ? "y" : "n", 1) != 1)
            _exit(1);
        pause();
        _exit(0);
    }
    char answer = 0;
    assert_int_equal(read(ready[0], &answer, 1), 1);
    assert_int_equal(answer, 'y');
    struct tb_snap_service *e = service_of(collect(f), "shop");
    assert_int_equal(e->in_flight, 3);
    assert_int_equal(e->processes, 2);
    assert_true(e->oldest_ns >= 60000000000u && e->oldest_ns < 70000000000u);
    kill(child, SIGKILL);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    e = service_of(collect(f), "shop"); /* a zombie answers nothing either */
    assert_int_equal(e->in_flight, 1);
    assert_int_equal(e->processes, 1);
    assert_true(e->oldest_ns >= 5000000000u && e->oldest_ns < 15000000000u);
    waitpid(child, NULL, 0);
    assert_int_equal(service_of(collect(f), "shop")->in_flight, 1);
    maker_kill(core);
    e = service_of(collect(f), "shop");
    assert_int_equal(e->in_flight, 0);
    assert_int_equal(e->oldest_ns, 0);
    close(ready[0]);
    close(ready[1]);
}

/* The total of a service whose region vanished restarts at 0; what its other regions hold does not show as a rise. */
static void a_lost_region_restarts_its_service(void **state)
{
    struct fixture *f = *state;
    struct tb_core *a = maker_start(f->dir, "shop");
    maker_get(a, "/a", 200, 30);
    char *path = maker_only_file(f->dir);
    struct tb_core *b = maker_start(f->dir, "shop"), *c = maker_start(f->dir, "blog");
    maker_get(b, "/a", 200, 100);
    maker_get(c, "/a", 200, 7);
    assert_int_equal(count_of(collect(f), "shop", TB_METHOD_GET, "/a", 200), 130);
    uint64_t created_ns = service_of(collect(f), "shop")->created_ns;
    assert_int_equal(unlink(path), 0);
    struct tb_snapshot *s = collect(f);
    assert_int_equal(count_of(s, "shop", TB_METHOD_GET, "/a", 200), 0);
    assert_int_equal(count_of(s, "blog", TB_METHOD_GET, "/a", 200), 7);
    assert_true(service_of(s, "shop")->created_ns > created_ns);
    assert_int_equal(tb_collector_stats(f->collector)->lost_regions, 1);
    assert_int_equal(tb_collector_stats(f->collector)->service_restarts, 1);
    maker_get(b, "/a", 200, 5);
    assert_int_equal(count_of(collect(f), "shop", TB_METHOD_GET, "/a", 200), 5);
    assert_int_equal(tb_collector_stats(f->collector)->service_restarts, 1);
    free(path);
    maker_kill(a);
    maker_kill(b);
    maker_kill(c);
}

static void a_region_that_comes_back_restarts_its_service_too(void **state)
{
    struct fixture *f = *state;
    struct tb_core *a = maker_start(f->dir, "shop");
    maker_get(a, "/a", 200, 30);
    char *path = maker_only_file(f->dir), *away = NULL;
    assert_true(asprintf(&away, "%s/.away", f->dir) > 0);
    assert_int_equal(count_of(collect(f), "shop", TB_METHOD_GET, "/a", 200), 30);
    assert_int_equal(rename(path, away), 0);
    assert_int_equal(count_of(collect(f), "shop", TB_METHOD_GET, "/a", 200), 0);
    assert_int_equal(rename(away, path), 0);
    assert_int_equal(count_of(collect(f), "shop", TB_METHOD_GET, "/a", 200), 0);
    maker_get(a, "/a", 200, 2);
    assert_int_equal(count_of(collect(f), "shop", TB_METHOD_GET, "/a", 200), 2);
    free(path);
    free(away);
    maker_kill(a);
}

static void a_region_that_falls_restarts_its_service(void **state)
{
    struct fixture *f = *state;
    struct tb_core *a = maker_start(f->dir, "shop");
    maker_get(a, "/a", 200, 30);
    assert_int_equal(count_of(collect(f), "shop", TB_METHOD_GET, "/a", 200), 30);
    for (size_t i = 0; i < TB_LEN_CELLS / 8; i++) { /* its owner writes nonsense */
        uint64_t *cell = (uint64_t *)(void *)(a->cells + i * 8);
        if (i >= TB_PAGE / 8 && i < 2 * TB_PAGE / 8 && *cell == 30)
            *cell = 20;
    }
    assert_int_equal(count_of(collect(f), "shop", TB_METHOD_GET, "/a", 200), 0);
    maker_get(a, "/a", 200, 1);
    assert_int_equal(count_of(collect(f), "shop", TB_METHOD_GET, "/a", 200), 1);
    maker_kill(a);
}

/* --- what is no region -----------------------------------------------------------------------------------------------
 */

static void write_named(const struct fixture *f, const char *name, const void *bytes, size_t len)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", f->dir, name) > 0);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    close(fd);
    free(path);
}

static enum tb_unreadable why_not(struct fixture *f)
{
    struct tb_snapshot *s = collect(f);
    assert_int_equal(s->region_count, 1);
    return s->regions[0].unreadable;
}

static void files_that_are_no_regions_are_told_apart(void **state)
{
    struct fixture *f = *state;
    static char bytes[3 * TB_PAGE];
    struct tb_region_header *h = (struct tb_region_header *)(void *)bytes;
    write_named(f, "tb1-0-x-0", "short", 5);
    assert_int_equal(why_not(f), TB_UNREADABLE_TRUNCATED);
    write_named(f, "tb1-0-x-0", bytes, sizeof bytes);
    assert_int_equal(why_not(f), TB_UNREADABLE_FORMAT);
    h->magic = TB_LAYOUT_MAGIC;
    h->layout_version = TB_LAYOUT_VERSION + 1;
    write_named(f, "tb1-0-x-0", bytes, sizeof bytes);
    assert_int_equal(why_not(f), TB_UNREADABLE_NEWER);
    assert_int_equal(tb_collector_snapshot(f->collector)->regions[0].layout_version, TB_LAYOUT_VERSION + 1);
    h->layout_version = TB_LAYOUT_VERSION;
    h->file_size = sizeof bytes;
    write_named(f, "tb1-0-x-0", bytes, sizeof bytes);
    assert_int_equal(why_not(f), TB_UNREADABLE_INVALID);
    h->file_size = TB_REGION_BYTES;
    write_named(f, "tb1-0-x-0", bytes, sizeof bytes);
    assert_int_equal(why_not(f), TB_UNREADABLE_TRUNCATED);
}

static void links_pipes_and_other_names_are_not_followed(void **state)
{
    struct fixture *f = *state;
    char *path = NULL;
    write_named(f, ".tb1-being-made", "x", 1);
    write_named(f, "README", "x", 1);
    assert_true(asprintf(&path, "%s/tb1-0-x-0", f->dir) > 0);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(why_not(f), TB_UNREADABLE_FORMAT);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(why_not(f), TB_UNREADABLE_FORMAT);
    assert_int_equal(unlink(path), 0);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(ftruncate(fd, (off_t)1 << 40), 0);
    close(fd);
    assert_int_equal(why_not(f), TB_UNREADABLE_TOO_LARGE);
    free(path);
}

static void a_missing_directory_holds_nothing(void **state)
{
    struct fixture *f = *state;
    rmdir(f->dir);
    assert_int_equal(collect(f)->region_count, 0);
    mkdir(f->dir, 0700);
}

static void running_out_of_descriptors_is_no_loss(void **state)
{
    struct fixture *f = *state;
    struct tb_core *core = maker_start(f->dir, "shop");
    maker_get(core, "/a", 200, 30);
    assert_int_equal(count_of(collect(f), "shop", TB_METHOD_GET, "/a", 200), 30);
    struct rlimit limit, before;
    int taken[64], count = 0;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit = before;
    limit.rlim_cur = 64;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    while (count < 64 && (taken[count] = dup(0)) >= 0)
        count++;
    assert_true(count >= 3 && count < 64);
    for (int left = 0; left < 3; left++) { /* at every point where a descriptor is needed */
        int r = tb_collect(f->collector);
        assert_true(r == 0 || r == -EMFILE);
        assert_int_equal(r == 0, left >= 2);
        close(taken[--count]);
    }
    while (count)
        close(taken[--count]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(count_of(collect(f), "shop", TB_METHOD_GET, "/a", 200), 30);
    assert_int_equal(tb_collector_stats(f->collector)->lost_regions, 0);
    maker_kill(core);
}

static void a_deadline_ends_a_collection_and_the_next_is_whole(void **state)
{
    struct fixture *f = *state;
    struct tb_core *core = maker_start(f->dir, "shop");
    maker_get(core, "/a", 200, 30);
    assert_int_equal(count_of(collect(f), "shop", TB_METHOD_GET, "/a", 200), 30);
    assert_int_equal(tb_collect_until(f->collector, 1), -ETIME);
    assert_int_equal(tb_collect_until(f->collector, tb_clock_ns(CLOCK_MONOTONIC) + UINT64_C(3600000000000)), 0);
    assert_int_equal(count_of(tb_collector_snapshot(f->collector), "shop", TB_METHOD_GET, "/a", 200), 30);
    assert_int_equal(tb_collect_until(f->collector, 1), -ETIME);
    assert_int_equal(count_of(collect(f), "shop", TB_METHOD_GET, "/a", 200), 30);
    assert_int_equal(tb_collector_stats(f->collector)->lost_regions, 0);
    assert_int_equal(tb_collector_stats(f->collector)->service_restarts, 0);
    maker_kill(core);
}

/* A file that its owner cuts and grows all the time: each collection gives something or says truncated, none dies. */
static void a_region_cut_while_it_is_read_raises_no_signal(void **state)
{
    struct fixture *f = *state;
    struct tb_core *core = maker_start(f->dir, "shop");
    for (unsigned i = 0; i < 200; i++) {
        char route[32];
        snprintf(route, sizeof route, "/r%u", i);
        maker_get(core, route, 200, 1);
    }
    char *path = maker_only_file(f->dir);
    static char whole[TB_REGION_BYTES];
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, whole, sizeof whole, 0), sizeof whole);
    maker_kill(core);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            if (ftruncate(fd, TB_PAGE) < 0 || pwrite(fd, whole, sizeof whole, 0) < 0)
                _exit(1);
        }
    }
    unsigned cut = 0;
    for (unsigned i = 0; i < 3000; i++) {
        struct tb_snapshot *s = collect(f);
        cut += s->region_count == 1 && s->regions[0].unreadable == TB_UNREADABLE_TRUNCATED;
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_int_not_equal(cut, 0);
    close(fd);
    free(path);
}

static uint32_t random_next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Random damage anywhere in a real region: read or refused, and the sums stay what the slots say; never a crash. */
static void damaged_regions_are_read_or_refused(void **state)
{
    struct fixture *f = *state;
    struct tb_core *core = maker_start(f->dir, "shop");
    for (unsigned i = 0; i < 50; i++) {
        char route[32];
        snprintf(route, sizeof route, "/r%u", i);
        maker_get(core, route, 200, 1 + i);
    }
    char *path = maker_only_file(f->dir);
    static char whole[TB_REGION_BYTES];
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, whole, sizeof whole, 0), sizeof whole);
    maker_kill(core);
    static const struct {
        uint32_t from, len;
    } parts[] = {
        {0, 2300}, {TB_OFF_STRINGS, 20000}, {TB_OFF_SERIES, 4096}, {TB_OFF_CELLS, 16384}, {TB_OFF_OWNERS, 4096}};
    uint32_t seed = (uint32_t)time(NULL);
    printf("# seed %u\n", seed);
    for (unsigned round = 0; round < 1500; round++) {
        unsigned part = round % 5;
        for (unsigned hits = 1 + random_next(&seed) % 8; hits; hits--) {
            uint64_t bytes = random_next(&seed) % 3 ? random_next(&seed) : UINT64_MAX;
            size_t len = 1u << random_next(&seed) % 4;
            off_t at = (off_t)parts[part].from + random_next(&seed) % parts[part].len;
            assert_int_equal(pwrite(fd, &bytes, len, at), len);
        }
        assert_samples_differ(collect(f));
        if (round % 10 == 9)
            assert_int_equal(pwrite(fd, whole, sizeof whole, 0), sizeof whole);
    }
    close(fd);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_live_region_is_counted),
        TEST(a_dead_region_still_counts),
        TEST(versions_are_labels_that_differ),
        TEST(a_version_called_other_is_no_second_row),
        TEST(what_no_label_tells_apart_is_one_sample),
        TEST(regions_of_one_service_are_added),
        TEST(durations_lie_in_their_buckets),
        TEST(a_torn_sum_is_moved_to_what_the_buckets_allow),
        TEST(in_flight_dies_with_its_process),
        TEST(a_lost_region_restarts_its_service),
        TEST(a_region_that_comes_back_restarts_its_service_too),
        TEST(a_region_that_falls_restarts_its_service),
        TEST(files_that_are_no_regions_are_told_apart),
        TEST(links_pipes_and_other_names_are_not_followed),
        TEST(a_missing_directory_holds_nothing),
        TEST(running_out_of_descriptors_is_no_loss),
        TEST(a_deadline_ends_a_collection_and_the_next_is_whole),
        TEST(a_region_cut_while_it_is_read_raises_no_signal),
        TEST(damaged_regions_are_read_or_refused),
#define OPEN(name) cmocka_unit_test_setup_teardown(name, set_up_open, tear_down)
        OPEN(a_region_cut_while_it_is_read_raises_no_signal),
        OPEN(damaged_regions_are_read_or_refused),
        OPEN(a_lost_region_restarts_its_service),
        OPEN(in_flight_dies_with_its_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
