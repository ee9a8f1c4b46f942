/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Region files that stay open between collections: read as they are, let go when they are removed, replaced or cut,
 * never locked, and given back when descriptors run short; and processes that are remembered as well.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "agent/series_read.h"
#include "collecting.h"
#include "exporter/boot.h"
#include "exporter/processes.h"
#include "exporter/region_copy.h"

/* Descriptors of this process whose file's name begins with @name, as the kernel says it. */
static unsigned open_files(const char *name)
{
    unsigned count = 0;
    DIR *d = opendir("/proc/self/fd");
    for (struct dirent *e; (e = readdir(d));) {
        char to[PATH_MAX] = "";
        count += readlinkat(dirfd(d), e->d_name, to, sizeof to - 1) > 0 && strncmp(to, name, strlen(name)) == 0;
    }
    closedir(d);
    return count;
}

/* Lines of this process's mappings that name @name. */
static unsigned mappings(const char *name)
{
    unsigned count = 0;
    char line[PATH_MAX + 100];
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps))
        count += strstr(line, name) != NULL;
    fclose(maps);
    return count;
}

static void a_region_that_stays_open_is_read_as_it_is(void **state)
{
    struct fixture *f = *state;
    struct tb_core *core = maker_start(f->dir, "shop");
    uint64_t all = 0;
    maker_get(core, "/r0", 200, 3);
    assert_int_equal(count_of(collect(f), "shop", TB_METHOD_GET, "/r0", 200), 3);
    assert_int_equal(open_files(f->dir), 1);
    for (unsigned i = 1; i < 300; i++) { /* new pages: of series, cells and strings */
        char route[32];
        snprintf(route, sizeof route, "/r%u", i);
        maker_get(core, route, 200, i);
        all += i;
        assert_int_equal(count_of(collect(f), "shop", TB_METHOD_GET, route, 200), i);
    }
    assert_int_equal(service_of(collect(f), "shop")->requests, all + 3);
    assert_int_equal(tb_collector_stats(f->collector)->service_restarts, 0);
    maker_kill(core);
    struct tb_snapshot *s = collect(f);
    assert_false(s->regions[0].is_live); /* the open file holds no lock */
    assert_int_equal(service_of(s, "shop")->processes, 0);
    assert_int_equal(service_of(s, "shop")->requests, all + 3);
    core = maker_start(f->dir, "shop"); /* adopts it: it could not, if it were locked */
    s = collect(f);
    assert_int_equal(s->region_count, 1);
    assert_true(s->regions[0].is_live);
    maker_kill(core);
}

static void a_removed_region_is_let_go_at_once(void **state)
{
    struct fixture *f = *state;
    struct tb_core *core = maker_start(f->dir, "shop");
    maker_get(core, "/a", 200, 3);
    maker_kill(core);
    assert_int_equal(collect(f)->region_count, 1);
    assert_int_equal(open_files(f->dir), 1);
    assert_int_equal(mappings(f->dir), 1);
    char *path = maker_only_file(f->dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(collect(f)->region_count, 0);
    assert_int_equal(open_files(f->dir), 0);
    assert_int_equal(mappings(f->dir), 0);
    free(path);
}

/* Another file under the name: by rename, and by removing one and making the other. */
static void a_replaced_region_is_the_new_one(void **state)
{
    struct fixture *f = *state;
    for (int by_rename = 0; by_rename < 2; by_rename++) {
        struct tb_core *core = maker_start(f->dir, "shop");
        maker_get(core, "/a", 200, 3);
        maker_kill(core);
        assert_int_equal(collect(f)->regions[0].requests, 3);
        char *path = maker_only_file(f->dir), aside[PATH_MAX];
        snprintf(aside, sizeof aside, "%s/aside", f->dir);
        assert_int_equal(rename(path, aside), 0);
        core = maker_start(f->dir, "shop");
        maker_get(core, "/b", 200, 5);
        maker_kill(core);
        if (by_rename) { /* back over it */
            assert_int_equal(collect(f)->region_count, 1);
            assert_int_equal(rename(aside, path), 0);
        } else {
            assert_int_equal(unlink(aside), 0);
        }
        struct tb_snapshot *s = collect(f);
        assert_int_equal(s->region_count, 1);
        assert_int_equal(s->regions[0].requests, by_rename ? 3 : 5);
        assert_int_equal(open_files(f->dir), 1);
        assert_int_equal(unlink(path), 0);
        free(path);
        collect(f);
    }
}

static void an_open_region_that_is_cut_or_closed_to_us_says_so(void **state)
{
    struct fixture *f = *state;
    struct tb_core *core = maker_start(f->dir, "shop");
    maker_get(core, "/a", 200, 3);
    maker_kill(core);
    char *path = maker_only_file(f->dir);
    static char whole[TB_REGION_BYTES];
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, whole, sizeof whole, 0), sizeof whole);
    assert_int_equal(collect(f)->regions[0].unreadable, TB_READABLE);
    static const off_t sizes[] = {0, TB_PAGE, TB_REGION_BYTES - TB_PAGE};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(ftruncate(fd, sizes[i]), 0);
        assert_int_equal(collect(f)->regions[0].unreadable, TB_UNREADABLE_TRUNCATED);
        assert_int_equal(open_files(f->dir), 1); /* ours here */
        assert_int_equal(pwrite(fd, whole, sizeof whole, 0), sizeof whole);
        struct tb_snapshot *s = collect(f);
        assert_int_equal(s->regions[0].unreadable, TB_READABLE);
        assert_int_equal(s->regions[0].requests, 3);
    }
    close(fd);
    assert_int_equal(truncate(path, (off_t)64 << 20), 0);
    assert_int_equal(collect(f)->regions[0].unreadable, TB_UNREADABLE_TOO_LARGE);
    free(path);
}

/* Holes in the middle and pages elsewhere, so that the file holds as much as before: numbers as the file has them. */
static void an_emptied_and_adopted_region_starts_at_nothing(void **state)
{
    struct fixture *f = *state;
    struct tb_core *core = maker_start(f->dir, "shop");
    maker_get(core, "/a", 200, 3);
    maker_kill(core);
    char *path = maker_only_file(f->dir);
    assert_int_equal(collect(f)->regions[0].requests, 3);
    int fd = open(path, O_RDWR);
    struct stat before, after;
    assert_int_equal(fstat(fd, &before), 0);
    uint64_t generation;
    off_t at = offsetof(struct tb_region_header, generation);
    assert_int_equal(pread(fd, &generation, 8, at), 8);
    generation++;
    static char page[TB_PAGE];
    assert_int_equal(pread(fd, page, sizeof page, TB_OFF_SERIES), sizeof page);
    assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, TB_OFF_SERIES, TB_PAGE), 0);
    assert_int_equal(collect(f)->regions[0].unreadable, TB_READABLE);
    assert_int_equal(collect(f)->regions[0].requests, 0);
    assert_int_equal(pwrite(fd, &generation, 8, at), 8);
    assert_int_equal(pwrite(fd, page, sizeof page, TB_OFF_SERIES), sizeof page);
    assert_int_equal(fstat(fd, &after), 0);
    assert_int_equal(after.st_blocks, before.st_blocks);
    assert_int_equal(collect(f)->regions[0].requests, 3);
    close(fd);
    free(path);
}

/* What lies behind what was handed out costs a scrape of many small regions more than the rest: it is not copied. */
static void only_what_was_handed_out_is_copied(void **state)
{
    struct fixture *f = *state;
    struct tb_core *core = maker_start(f->dir, "shop");
    struct tb_region_copy copy = {0};
    uint32_t version;
    maker_get(core, "/a", 200, 3);
    uint32_t texts = ((struct tb_strings_head *)(void *)core->strings)->used, shard = 0;
    while (!core->header->arena_at[shard])
        shard++;
    const size_t places[] = {TB_OFF_COUNTERS + TB_COUNTER_COUNT * 8u, TB_OFF_STRINGS + ((texts + 7) & ~7u),
                             TB_OFF_SERIES + core->header->series_used * sizeof(struct tb_series),
                             TB_OFF_CELLS + core->header->arena_at[shard]};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        assert_int_not_equal(places[i] % TB_PAGE, 0); /* within a page that is there */
        core->base[places[i]] = 1;
    }
    char *path = maker_only_file(f->dir);
    int fd = open(path, O_RDONLY);
    assert_int_equal(tb_region_copy_take(&copy, fd, &version), TB_READABLE);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        assert_int_equal(copy.base[places[i]], 0);
    close(fd);
    tb_region_copy_free(&copy);
    assert_int_equal(count_of(collect(f), "shop", TB_METHOD_GET, "/a", 200), 3);
    free(path);
    maker_kill(core);
}

/* The pages that a first series takes beside those of every region. */
static const struct {
    uint64_t offset, len;
} of_a_first_series[] = {
    {TB_OFF_INDEX, TB_LEN_INDEX}, {TB_OFF_SERIES, TB_PAGE}, {TB_OFF_CELLS + TB_CHUNK_BYTES, TB_CHUNK_BYTES}};
#define FIRST_SERIES_PARTS (sizeof of_a_first_series / sizeof *of_a_first_series)

/* The file holds a page before anything of it is handed out: a collection in between sees as many pages as the next. */
static void what_is_handed_out_of_a_page_that_was_there_is_read(void **state)
{
    struct fixture *f = *state;
    struct tb_core *core = maker_start(f->dir, "shop");
    struct tb_series_key key = maker_key(core, TB_METHOD_GET, "/", 200);
    for (size_t i = 0; i < FIRST_SERIES_PARTS; i++)
        assert_true(tb_region_reserve(core, of_a_first_series[i].offset, of_a_first_series[i].len));
    collect(f);
    maker_observe(core, &key, 3000000, 3);
    assert_int_equal(count_of(collect(f), "shop", TB_METHOD_GET, "/", 200), 3);
    maker_kill(core);
}

/* Nor does it say that it has a page at the moment at which it counts it; and on kernels whose clock of files is coarse
 * its time may stay the same. */
static void a_page_that_is_counted_before_it_is_told_is_read(void **state)
{
    struct fixture *f = *state;
    struct tb_core *core = maker_start(f->dir, "shop");
    struct tb_series_key key = maker_key(core, TB_METHOD_GET, "/", 200), read_key;
    char *path = maker_only_file(f->dir);
    struct tb_region_view view = {.fd = open(path, O_RDWR)};
    struct tb_region_copy copy = {0};
    struct tb_series_sum sum;
    struct stat before, after;
    uint32_t version;
    for (size_t i = 0; i < FIRST_SERIES_PARTS; i++) {
        off_t offset = (off_t)of_a_first_series[i].offset;
        assert_int_equal(fallocate(view.fd, FALLOC_FL_KEEP_SIZE, offset, (off_t)of_a_first_series[i].len), 0);
        assert_int_not_equal(lseek(view.fd, offset, SEEK_DATA), offset);
    }
    assert_int_equal(fstat(view.fd, &before), 0);
    assert_int_equal(tb_region_copy_view(&copy, &view, &before, &version), TB_READABLE);
    maker_observe(core, &key, 3000000, 3);
    assert_int_equal(fstat(view.fd, &after), 0);
    assert_int_equal(before.st_blocks, after.st_blocks);
    assert_int_equal(tb_region_copy_view(&copy, &view, &after, &version), TB_READABLE);
    assert_int_equal(tb_series_read(copy.base, copy.len, tb_region_copy_header(&copy), 1, &read_key, &sum), 0);
    assert_int_equal(sum.count, 3);
    tb_region_view_close(&view);
    tb_region_copy_free(&copy);
    free(path);
    maker_kill(core);
}

static void few_descriptors_are_shared(void **state)
{
    struct fixture *f = *state;
    struct tb_core *cores[40];
    struct rlimit limit, before;
    for (size_t i = 0; i < 40; i++) {
        char name[16];
        snprintf(name, sizeof name, "shop%zu", i);
        cores[i] = maker_start(f->dir, name);
        maker_get(cores[i], "/a", 200, (unsigned)i + 1);
    }
    assert_int_equal(collect(f)->region_count, 40);
    assert_int_equal(open_files(f->dir), 40);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit = before;
    limit.rlim_cur = 48;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int taken[48], count = 0;
    while (count < 48 && (taken[count] = dup(0)) >= 0)
        count++;
    for (int round = 0; round < 3; round++) { /* nothing is left but what it can give back */
        struct tb_snapshot *s = collect(f);
        assert_int_equal(s->region_count, 40);
        for (size_t i = 0; i < 40; i++) {
            char name[16];
            snprintf(name, sizeof name, "shop%zu", i);
            assert_int_equal(count_of(s, name, TB_METHOD_GET, "/a", 200), i + 1);
        }
        while ((taken[count < 48 ? count : 47] = dup(0)) >= 0)
            count++;
    }
    while (count)
        close(taken[--count]);
    assert_true(open_files(f->dir) <= 20);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(tb_collector_stats(f->collector)->lost_regions, 0);
    for (size_t i = 0; i < 40; i++)
        maker_kill(cores[i]);
}

static pid_t start_waiting(void)
{
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    return child;
}

static void a_known_process_is_alive_until_it_ends(void **state)
{
    (void)state;
    struct tb_processes *p = tb_processes_new(1);
    pid_t one = start_waiting(), other = start_waiting();
    uint64_t now_ns = tb_clock_ns(CLOCK_MONOTONIC);
    for (int i = 0; i < 3; i++) {
        tb_processes_look(p);
        assert_true(tb_processes_is_alive(p, (uint32_t)one, now_ns));
        assert_true(tb_processes_is_alive(p, (uint32_t)other, now_ns)); /* one too many: asked of procfs */
        assert_int_equal(tb_processes_is_alive(p, (uint32_t)one, 0),
                         tb_process_is_alive((uint32_t)one, 0)); /* its number is used again */
        assert_int_equal(p->count, 1);
    }
    kill(one, SIGKILL);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)one, &info, WEXITED | WNOWAIT), 0);
    tb_processes_look(p);
    assert_int_equal(p->count, 0);
    assert_false(tb_processes_is_alive(p, (uint32_t)one, now_ns)); /* a zombie */
    assert_int_equal(p->count, 0);
    waitpid(one, NULL, 0);
    assert_false(tb_processes_is_alive(p, (uint32_t)one, now_ns));
    assert_true(tb_processes_is_alive(p, (uint32_t)other, now_ns));
    assert_int_equal(p->count, 1);
    tb_processes_look(p);
    tb_processes_look(p); /* nobody asked in between */
    assert_int_equal(p->count, 0);
    assert_false(tb_processes_is_alive(p, 0, now_ns));
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    tb_processes_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define OPEN(name) cmocka_unit_test_setup_teardown(name, set_up_open, tear_down)
        OPEN(a_region_that_stays_open_is_read_as_it_is),
        OPEN(a_removed_region_is_let_go_at_once),
        OPEN(a_replaced_region_is_the_new_one),
        OPEN(an_open_region_that_is_cut_or_closed_to_us_says_so),
        OPEN(an_emptied_and_adopted_region_starts_at_nothing),
        OPEN(only_what_was_handed_out_is_copied),
        OPEN(what_is_handed_out_of_a_page_that_was_there_is_read),
        OPEN(a_page_that_is_counted_before_it_is_told_is_read),
        OPEN(few_descriptors_are_shared),
        cmocka_unit_test(a_known_process_is_alive_until_it_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
