/* SPDX-License-Identifier: Apache-2.0 */
/*
 * region.c, region_memory.c, region_file.c: regions are made, adopted and refused as told, leave nothing behind when
 * they fail, and never cost the host a signal. Cases that need a mount are skipped where the kernel does not let us.
 */
#include "support.h"

#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statfs.h>

static int open_service(struct tb_core *core, const char *dir, const char *service, enum tb_inert *ret_why)
{
    struct tb_identity id = support_identity(service);
    return tb_region_open(core, dir, &id, ret_why);
}

static void observe(struct tb_core *core, uint16_t status, unsigned times)
{
    struct tb_series_key key = {.family = TB_FAMILY_REQUESTS,
                                .role = TB_ROLE_SERVER,
                                .method = TB_METHOD_GET,
                                .status = status,
                                .route = tb_string_intern(core, tb_bytes_str("/a"))};
    struct tb_observation o = {.duration_ns = 1000000, .is_timed = true};
    while (times--)
        tb_series_observe(core, &key, &o);
}

/* The only file of a directory, opened; or its path. */
static char *only_file(const char *dir)
{
    static char path[300];
    DIR *d = opendir(dir);
    path[0] = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.')
            snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
    if (d)
        closedir(d);
    return path;
}

static struct tb_region_header *map_header(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *at = mmap(NULL, TB_REGION_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return at == MAP_FAILED ? NULL : at;
}

/* Is some process alive that holds the region? */
static bool is_held(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    bool is_free = flock(fd, LOCK_EX | LOCK_NB) == 0;
    if (is_free)
        flock(fd, LOCK_UN);
    close(fd);
    return !is_free;
}

/* ---- made ---- */

static void a_new_region_is_small_locked_and_holds_no_descriptor(void **state)
{
    (void)state;
    char *dir = support_dir();
    struct tb_core *core = support_core();
    enum tb_inert why;
    unsigned fds = support_count_fds();
    mode_t mask = umask(0777);
    assert_int_equal(open_service(core, dir, "shop", &why), 0);
    umask(mask);
    assert_int_equal(support_count_fds(), fds);
    assert_int_equal(support_count_files(dir), 1);
    struct stat st;
    assert_int_equal(stat(only_file(dir), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
    assert_int_equal(st.st_size, TB_REGION_BYTES);
    print_message("a region just opened: %ld bytes of tmpfs\n", (long)st.st_blocks * 512);
    assert_true(st.st_blocks * 512 <= 64 << 10);
    assert_int_equal(tb_region_validate(core->header, TB_REGION_BYTES), 0);
    assert_int_equal(core->header->state, TB_REGION_LIVE);
    assert_int_equal(core->header->uid, geteuid());
    assert_int_equal(core->header->pid, getpid());
    assert_string_equal(core->header->service, "shop");
    assert_true(core->header->region_id != 0 && core->header->created_ns != 0);
    assert_non_null(core->owner);
    assert_true(is_held(only_file(dir)));
    observe(core, 200, 3);
    assert_int_equal(support_total(core, NULL, NULL).count, 3);
    support_drop(core);
    assert_false(is_held(only_file(dir)));
    support_remove_dir(dir);
}

static void texts_are_cut_to_their_fields(void **state)
{
    (void)state;
    char *dir = support_dir(), text[3000];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = 0;
    struct tb_identity id = {.service = text, .program = text, .labels = text, .host = text, .version = text};
    for (int i = 0; i < 2; i++) { /* made, then adopted */
        struct tb_core *core = support_core();
        enum tb_inert why;
        assert_int_equal(tb_region_open(core, dir, &id, &why), 0);
        assert_int_equal(tb_region_validate(core->header, TB_REGION_BYTES), 0);
        assert_int_equal(strlen(core->header->service), sizeof(core->header->service) - 1);
        assert_int_equal(strlen(core->header->labels), sizeof(core->header->labels) - 1);
        support_drop(core);
    }
    assert_int_equal(support_count_files(dir), 1);
    support_remove_dir(dir);
}

static void an_unfit_directory_is_refused(void **state)
{
    (void)state;
    char *dir = support_dir(), path[100];
    struct tb_core *core = support_core();
    enum tb_inert why = TB_INERT_NOT;
    snprintf(path, sizeof(path), "%s/missing", dir);
    assert_int_equal(open_service(core, path, "shop", &why), -ENOENT);
    assert_int_equal(why, TB_INERT_NO_DIRECTORY);
    snprintf(path, sizeof(path), "%s/link", dir);
    assert_int_equal(symlink(dir, path), 0);
    assert_true(open_service(core, path, "shop", &why) < 0);
    assert_int_equal(why, TB_INERT_BAD_DIRECTORY);
    unlink(path);
    snprintf(path, sizeof(path), "%s/file", dir);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_true(open_service(core, path, "shop", &why) < 0);
    assert_int_equal(why, TB_INERT_BAD_DIRECTORY);
    unlink(path);
    chmod(dir, 0777);
    assert_int_equal(open_service(core, dir, "shop", &why), -EPERM);
    assert_int_equal(why, TB_INERT_BAD_DIRECTORY);
    assert_int_equal(support_count_files(dir), 0);
    assert_null(core->base);
    if (geteuid() == 0) {
        chmod(dir, 0700);
        assert_int_equal(chown(dir, 12345, 12345), 0);
        assert_int_equal(open_service(core, dir, "shop", &why), -EPERM);
        assert_int_equal(why, TB_INERT_BAD_DIRECTORY);
        assert_int_equal(chown(dir, 0, 0), 0);
    }
    chmod(dir, 03773); /* the shared directory: others may create, not list */
    assert_int_equal(open_service(core, dir, "shop", &why), 0);
    support_drop(core);
    support_remove_dir(dir);
}

static void a_disk_is_refused_unless_forced(void **state)
{
    (void)state;
    char dir[] = "/tmp/tb-unit-XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct statfs fs;
    assert_int_equal(statfs(dir, &fs), 0);
    if (fs.f_type == 0x01021994) {
        rmdir(dir);
        skip();
    }
    struct tb_core *core = support_core();
    struct tb_identity id = support_identity("shop");
    enum tb_inert why;
    assert_int_equal(tb_region_open(core, dir, &id, &why), -ENOTSUP);
    assert_int_equal(why, TB_INERT_NOT_TMPFS);
    assert_int_equal(support_count_files(dir), 0);
    id.allow_disk = 1;
    int r = tb_region_open(core, dir, &id, &why);
    assert_true(r == 0 || why == TB_INERT_LOCK_LOST); /* overlayfs even when forced */
    support_drop(core);
    support_remove_dir(strdup(dir));
}

/* ---- limits ---- */

static void open_under_file_limit(void *arg)
{
    struct rlimit limit = {.rlim_cur = 100000, .rlim_max = RLIM_INFINITY};
    MUST(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    struct tb_core *core = support_core();
    enum tb_inert why;
    MUST(open_service(core, arg, "shop", &why) == -EFBIG && why == TB_INERT_LIMIT);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they take the address space */
static void open_under_space_limit(void *arg)
{
    struct rlimit limit = {.rlim_cur = 4 << 20, .rlim_max = RLIM_INFINITY};
    struct tb_core *core = support_core();
    MUST(setrlimit(RLIMIT_AS, &limit) == 0);
    enum tb_inert why;
    MUST(open_service(core, arg, "shop", &why) == -EFBIG && why == TB_INERT_LIMIT);
}
#endif

static void limits_are_looked_at_first(void **state)
{
    (void)state;
    char *dir = support_dir();
    assert_int_equal(support_child(open_under_file_limit, dir), 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_int_equal(support_child(open_under_space_limit, dir), 0);
#endif
    assert_int_equal(support_count_files(dir), 0);
    support_remove_dir(dir);
}

static int fail_at, calls;
static long failing_nr;
static long failing_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
    static const long errors[] = {-ENOSYS, -EMFILE, -ENOSPC, -EACCES, -EIO};
    /* what must not fail is not made to: close and munmap cannot, unlink is the cleaning itself */
    if (nr != SYS_close && nr != SYS_munmap && nr != SYS_unlinkat && ++calls == fail_at) {
        failing_nr = nr;
        return nr == SYS_futex ? -EFAULT : errors[fail_at % 5];
    }
    return support_syscall(nr, a, b, c, d, e, f);
}

static unsigned count_maps(void)
{
    FILE *f = fopen("/proc/self/maps", "re");
    char line[600];
    unsigned count = 0;
    while (f && fgets(line, sizeof(line), f))
        count += strstr(line, "tb-unit") != NULL;
    if (f)
        fclose(f);
    return count;
}

/* Each system call fails once, when a region is made and when one is adopted. */
static void a_failing_call_leaves_nothing_behind(void **state)
{
    (void)state;
    for (int is_adopted = 0; is_adopted < 2; is_adopted++) {
        int outcomes[2] = {0, 0};
        for (fail_at = 1; fail_at < 100; fail_at++) {
            char *dir = support_dir();
            struct tb_core *core = support_core();
            enum tb_inert why = TB_INERT_NOT;
            if (is_adopted) {
                assert_int_equal(open_service(core, dir, "shop", &why), 0);
                support_drop(core);
                core = support_core();
            }
            core->env.syscall = failing_syscall;
            unsigned fds = support_count_fds(), files = support_count_files(dir);
            calls = 0;
            int r = open_service(core, dir, "shop", &why);
            outcomes[r == 0]++;
            assert_int_equal(support_count_fds(), fds);
            assert_int_equal(count_maps(), r == 0);
            if (r) {
                assert_true(why != TB_INERT_NOT);
                assert_null(core->base);
                if (support_count_files(dir) != files)
                    fail_msg("call %d (number %ld) left a file", fail_at, failing_nr);
            }
            support_drop(core);
            support_remove_dir(dir);
            if (calls < fail_at)
                break;
        }
        print_message("%d calls; failing one of them: %d times inert, %d times open\n", fail_at - 1, outcomes[0],
                      outcomes[1]);
        assert_true(fail_at < 60 && outcomes[0] > 0 && outcomes[1] > 0);
    }
}

/* ---- adopted ---- */

struct opener {
    const char *dir;
    int ready, go; /* pipe ends */
};

static void open_observe_and_die(void *arg)
{
    struct tb_core *core = support_core();
    enum tb_inert why;
    MUST(open_service(core, arg, "shop", &why) == 0);
    observe(core, 200, 5);
    tb_add_relaxed(&core->owner->in_flight, 3);
    MUST(tb_inflight_claim(core, 123456, 1, 0, 1) != 0);
    raise(SIGKILL);
}

static void a_dead_region_is_adopted_with_its_counts(void **state)
{
    (void)state;
    char *dir = support_dir();
    assert_int_equal(support_child(open_observe_and_die, dir), -SIGKILL);
    assert_int_equal(support_count_files(dir), 1);
    struct tb_core *core = support_core();
    enum tb_inert why;
    assert_int_equal(open_service(core, dir, "shop", &why), 0);
    assert_int_equal(support_count_files(dir), 1);
    assert_int_equal(support_total(core, NULL, NULL).count, 5);
    observe(core, 200, 2);
    assert_int_equal(support_total(core, NULL, NULL).count, 7);
    assert_int_equal(core->header->pid, getpid());
    assert_int_equal(core->owner_slot, 0);
    assert_int_equal(core->owner->in_flight, 0);
    assert_int_equal(core->owners[1].pid, 0);
    for (unsigned i = 0; i < TB_INFLIGHT_PER_PAGE; i++)
        assert_int_equal(core->inflight[i].start_ns, 0);
    assert_true(is_held(only_file(dir)));
    support_drop(core);
    support_remove_dir(dir);
}

static void a_live_or_foreign_or_folding_region_is_not_adopted(void **state)
{
    (void)state;
    char *dir = support_dir();
    struct tb_core *first = support_core(), *second = support_core(), *other = support_core();
    enum tb_inert why;
    assert_int_equal(open_service(first, dir, "shop", &why), 0);
    char path[300];
    snprintf(path, sizeof(path), "%s", only_file(dir));
    assert_int_equal(open_service(second, dir, "shop", &why), 0);
    assert_int_equal(support_count_files(dir), 2);
    assert_int_equal(open_service(other, dir, "bakery", &why), 0);
    assert_int_equal(support_count_files(dir), 3);
    assert_true(first->header->region_id != second->header->region_id);
    observe(first, 200, 1);
    support_drop(first);
    support_drop(other);

    struct tb_region_header *header = map_header(path);
    header->state = TB_REGION_FOLDING;
    struct tb_core *third = support_core();
    assert_int_equal(open_service(third, dir, "shop", &why), 0);
    assert_int_equal(support_count_files(dir), 4);
    assert_int_equal(header->state, TB_REGION_FOLDING);
    support_drop(third);

    header->state = TB_REGION_LIVE;
    header->layout_version = TB_LAYOUT_VERSION + 1;
    third = support_core();
    assert_int_equal(open_service(third, dir, "shop", &why), 0); /* the one that was third before */
    assert_int_equal(support_count_files(dir), 4);
    assert_int_equal(support_total(third, NULL, NULL).count, 0);
    support_drop(third);

    header->layout_version = TB_LAYOUT_VERSION;
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 12345, 12345), 0);
        third = support_core();
        assert_int_equal(open_service(third, dir, "shop", &why), 0);
        assert_int_equal(support_total(third, NULL, NULL).count, 0);
        support_drop(third);
        assert_int_equal(chown(path, 0, 0), 0);
    }
    third = support_core();
    assert_int_equal(open_service(third, dir, "shop", &why), 0);
    assert_int_equal(support_total(third, NULL, NULL).count, 1);
    munmap(header, TB_REGION_BYTES);
    support_drop(third);
    support_drop(second);
    support_remove_dir(dir);
}

static void a_free_region_starts_again_from_nothing(void **state)
{
    (void)state;
    char *dir = support_dir();
    assert_int_equal(support_child(open_observe_and_die, dir), -SIGKILL);
    struct tb_region_header *header = map_header(only_file(dir));
    int fd = open(only_file(dir), O_RDWR);
    /* as a folder does: the counted sections become holes */
    int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    assert_int_equal(fallocate(fd, mode, TB_OFF_COUNTERS, TB_OFF_RULES - TB_OFF_COUNTERS), 0);
    assert_int_equal(fallocate(fd, mode, TB_OFF_INDEX, TB_LEN_INDEX), 0);
    assert_int_equal(fallocate(fd, mode, TB_OFF_SERIES, TB_LEN_SERIES), 0);
    assert_int_equal(fallocate(fd, mode, TB_OFF_CELLS, TB_LEN_CELLS), 0);
    header->generation++;
    header->state = TB_REGION_FREE;
    uint64_t created_ns = header->created_ns;
    close(fd);
    munmap(header, TB_REGION_BYTES);
    struct tb_core *core = support_core();
    enum tb_inert why;
    assert_int_equal(open_service(core, dir, "shop", &why), 0);
    assert_int_equal(support_count_files(dir), 1);
    assert_int_equal(core->header->state, TB_REGION_LIVE);
    assert_int_equal(core->header->generation, 2);
    assert_true(core->header->created_ns > created_ns);
    assert_int_equal(support_total(core, NULL, NULL).count, 0);
    observe(core, 200, 4);
    assert_int_equal(support_total(core, NULL, NULL).count, 4);
    support_drop(core);
    support_remove_dir(dir);
}

static void garbage_under_our_name_is_left_alone(void **state)
{
    (void)state;
    char *dir = support_dir(), path[300], target[300];
    struct tb_core *core = support_core();
    enum tb_inert why;
    assert_int_equal(open_service(core, dir, "shop", &why), 0);
    snprintf(path, sizeof(path), "%s", only_file(dir));
    support_drop(core);
    uint64_t random = 3;
    for (int round = 0; round < 40; round++) {
        /* round 0: all zeroes; then garbage in the header; then a short file; then a link */
        unlink(path);
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_int_equal(ftruncate(fd, round == 38 ? 100 : TB_REGION_BYTES), 0);
        for (int i = 0; round && i < 60; i++) {
            uint64_t word = support_random(&random);
            assert_int_equal(pwrite(fd, &word, 8, (off_t)(random % 2200)), 8);
        }
        if (round == 39) {
            snprintf(target, sizeof(target), "%s/.target", dir);
            assert_int_equal(rename(path, target), 0);
            assert_int_equal(symlink(target, path), 0);
        }
        close(fd);
        core = support_core();
        assert_int_equal(open_service(core, dir, "shop", &why), 0);
        observe(core, 200, 1);
        assert_int_equal(support_total(core, NULL, NULL).count, round + 1); /* number 1, adopted again and again */
        support_drop(core);
    }
    support_remove_dir(dir);
}

#define RACERS 20

static void race(void *arg)
{
    struct opener *o = arg;
    char c;
    struct tb_core *core = support_core();
    enum tb_inert why;
    MUST(read(o->go, &c, 1) == 0); /* all at once when the parent closes it */
    MUST(open_service(core, o->dir, "shop", &why) == 0);
    observe(core, 200, 1);
    MUST(write(o->ready, "x", 1) == 1);
    for (;;)
        pause();
}

static unsigned sum_of_files(const char *dir, unsigned *ret_files)
{
    unsigned total = 0;
    *ret_files = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[300];
        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        if (e->d_name[0] == '.')
            continue;
        struct tb_core core = {0};
        core.header = map_header(path);
        core.base = (uint8_t *)core.header;
        assert_int_equal(tb_region_validate(core.header, TB_REGION_BYTES), 0);
        assert_int_equal(core.header->state, TB_REGION_LIVE);
        total += (unsigned)support_total(&core, NULL, NULL).count;
        munmap(core.base, TB_REGION_BYTES);
        ++*ret_files;
    }
    closedir(d);
    return total;
}

static void racing_openers_lose_nothing(void **state)
{
    (void)state;
    char *dir = support_dir();
    unsigned files = 0;
    for (unsigned round = 1; round <= 4; round++) {
        int go[2], ready[2];
        pid_t pids[RACERS];
        assert_int_equal(pipe(go) | pipe(ready), 0);
        struct opener o = {.dir = dir, .ready = ready[1], .go = go[0]};
        for (int i = 0; i < RACERS; i++) {
            pids[i] = support_fork();
            if (pids[i] == 0) {
                close(go[1]);
                race(&o);
            }
        }
        close(go[0]);
        close(go[1]);
        close(ready[1]);
        char c;
        for (int i = 0; i < RACERS; i++)
            assert_int_equal(read(ready[0], &c, 1), 1);
        for (int i = 0; i < RACERS; i++)
            kill(pids[i], SIGKILL);
        for (int i = 0; i < RACERS; i++)
            waitpid(pids[i], NULL, 0);
        close(ready[0]);
        assert_int_equal(sum_of_files(dir, &files), round * RACERS);
    }
    print_message("4 rounds of %d openers: %u files\n", RACERS, files);
    assert_true(files >= RACERS && files <= 2 * RACERS);
    assert_int_equal(support_count_files(dir), files); /* no temporary file is left */
    support_remove_dir(dir);
}

/* Openers are killed at any moment; whatever is left under a final name is whole, and the next one works. */
static void openers_may_be_killed_at_any_moment(void **state)
{
    (void)state;
    char *dir = support_dir();
    uint64_t random = (uint64_t)getpid();
    for (int i = 0; i < 300; i++) {
        pid_t pid = support_fork();
        if (pid == 0) {
            struct tb_core *core = support_core();
            enum tb_inert why;
            (void)open_service(core, dir, "shop", &why);
            for (;;)
                pause();
        }
        for (uint64_t spin = support_random(&random) % 200000; spin; spin--)
            __asm__ volatile("");
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    unsigned files;
    (void)sum_of_files(dir, &files);
    assert_true(files <= 1);
    struct tb_core *core = support_core();
    enum tb_inert why;
    assert_int_equal(open_service(core, dir, "shop", &why), 0);
    support_drop(core);
    support_remove_dir(dir);
}

/* ---- pages ---- */

static unsigned futex_calls;
static long counting_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
    futex_calls += nr == SYS_futex;
    return support_syscall(nr, a, b, c, d, e, f);
}

static long no_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
    (void)nr, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f;
    return -ENOSYS;
}

static void pages_are_asked_for_once(void **state)
{
    (void)state;
    char *dir = support_dir();
    struct tb_core *core = support_core();
    enum tb_inert why;
    core->env.syscall = counting_syscall;
    assert_int_equal(open_service(core, dir, "shop", &why), 0);
    futex_calls = 0;
    assert_true(tb_region_reserve(core, TB_OFF_LEARNER + 5000, 9000));
    assert_int_equal(futex_calls, 3);
    assert_true(tb_region_reserve(core, TB_OFF_LEARNER + 5000, 9000));
    assert_true(tb_region_reserve(core, TB_OFF_LEARNER + 4096, 1));
    assert_int_equal(futex_calls, 3);
    assert_false(tb_region_reserve_slow(core, TB_REGION_BYTES - 10, 11));
    assert_false(tb_region_reserve_slow(core, UINT64_MAX - 10, 11));
    core->env.page_size = 65536; /* a larger machine page is reserved whole */
    assert_true(tb_region_reserve(core, TB_OFF_LEARNER + 100000, 1));
    assert_int_equal(futex_calls, 4);
    assert_true(tb_region_reserve(core, (TB_OFF_LEARNER + 100000) & ~65535u, 65536));
    assert_int_equal(futex_calls, 4);
    support_drop(core);
    support_remove_dir(dir);
}

static void reserving_changes_no_live_counter(void **state)
{
    (void)state;
    char *dir = support_dir();
    struct tb_core *core = support_core();
    enum tb_inert why;
    assert_int_equal(open_service(core, dir, "shop", &why), 0);
    uint64_t *words = (uint64_t *)(void *)(core->base + TB_OFF_LEARNER); /* the counter, its model, the end */
    assert_true(tb_region_reserve(core, TB_OFF_LEARNER, 1));
    pid_t pid = support_fork();
    if (pid == 0) {
        while (!tb_load_relaxed(&words[2])) {
            tb_add_relaxed(&words[0], 1);
            tb_store_relaxed(&words[1], words[1] + 1);
        }
        _exit(0);
    }
    /* until both had their turn: the first word is the one that the reservation touches */
    for (unsigned round = 0; round < 5000 || tb_load_relaxed(&words[0]) < 1000; round++) {
        memset(core->reserved_pages, 0, sizeof(core->reserved_pages));
        assert_true(tb_region_reserve(core, TB_OFF_LEARNER, 1));
        if (round % 64 == 0)
            sched_yield();
    }
    int status = -1;
    tb_store_relaxed(&words[2], 1);
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(words[0], words[1]);
    support_drop(core);
    support_remove_dir(dir);
}

static void without_system_calls_known_series_go_on(void **state)
{
    (void)state;
    char *dir = support_dir();
    struct tb_core *core = support_core();
    enum tb_inert why;
    assert_int_equal(open_service(core, dir, "shop", &why), 0);
    observe(core, 200, 1);
    core->env.syscall = no_syscall;
    observe(core, 200, 1000);
    for (uint16_t status = 100; status < 900; status++)
        observe(core, status, 1);
    uint64_t count = support_total(core, NULL, NULL).count, lost = support_counter(core, TB_COUNTER_LOST);
    assert_int_equal(count + lost, 1801);
    assert_true(count >= 1002);
    support_drop(core);
    support_remove_dir(dir);
}

/* Two workers of different shards, 120 series each, durations over a few octaves: what a busy service looks like. */
static void an_active_series_costs_at_most_a_kibibyte(void **state)
{
    (void)state;
    char *dir = support_dir();
    struct tb_core *core = support_core();
    struct stat before, after;
    enum tb_inert why;
    uint64_t random = 11;
    assert_int_equal(open_service(core, dir, "shop", &why), 0);
    assert_int_equal(stat(only_file(dir), &before), 0);
    for (int worker = 0; worker < 2; worker++) {
        tb_core_forked(core, (uint32_t)getpid());
        for (int i = 0; i < 40000; i++) {
            char route[40];
            /* few routes get most of the traffic, few statuses most of each route's */
            unsigned number = (unsigned)(support_random(&random) % 40 * (random >> 20 & 1023) >> 10);
            int len = snprintf(route, sizeof(route), "/api/v1/resource%u/:id", number);
            struct tb_series_key key = {.family = TB_FAMILY_REQUESTS,
                                        .role = TB_ROLE_SERVER,
                                        .method = (uint8_t)(random >> 32 & 7 ? TB_METHOD_GET : TB_METHOD_POST),
                                        .status = random >> 40 & 15 ? 200 : 404,
                                        .route = tb_string_intern(core, tb_bytes(route, (size_t)len))};
            /* 1 ms, times 2^-2 .. 2^2 by route, times up to 2, one in 64 ten times slower */
            struct tb_observation o = {.duration_ns = (UINT64_C(250000) << number % 5) + (random >> 45 & 0xfffff),
                                       .is_timed = true};
            if ((random >> 50 & 63) == 0)
                o.duration_ns *= 10;
            tb_series_observe(core, &key, &o);
        }
    }
    assert_int_equal(stat(only_file(dir), &after), 0);
    unsigned slots = 0;
    for (uint32_t slot = 0; slot < tb_series_slots(core->header); slot++) {
        struct tb_series_key key;
        struct tb_series_sum sum;
        slots += tb_series_read(core->base, TB_REGION_BYTES, core->header, slot, &key, &sum) == 0;
    }
    long bytes = (long)(after.st_blocks - before.st_blocks) * 512;
    print_message("%u series in two shards: %ld bytes each\n", slots, bytes / slots);
    assert_int_equal(support_total(core, NULL, NULL).count, 80000);
    assert_true(slots > 100 && bytes / slots <= 1024);
    support_drop(core);
    support_remove_dir(dir);
}

/* ---- mounts ---- */

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool is_written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return is_written;
}

/* A mount namespace of our own, with a user namespace where we are not root. */
static bool own_mounts(void)
{
    char uid_map[40], gid_map[40];
    snprintf(uid_map, sizeof(uid_map), "0 %u 1", geteuid());
    snprintf(gid_map, sizeof(gid_map), "0 %u 1", getegid());
    if (unshare(CLONE_NEWNS) != 0 &&
        (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0 || !write_text("/proc/self/uid_map", uid_map) ||
         !write_text("/proc/self/setgroups", "deny") || !write_text("/proc/self/gid_map", gid_map)))
        return false;
    return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static void open_in_tiny_tmpfs(void *arg)
{
    if (!own_mounts() || mount("none", arg, "tmpfs", 0, "size=12k,mode=700") != 0)
        _exit(SUPPORT_SKIPPED);
    struct tb_core *core = support_core();
    enum tb_inert why;
    unsigned fds = support_count_fds();
    MUST(open_service(core, arg, "shop", &why) == -ENOSPC);
    MUST(why == TB_INERT_FULL);
    MUST(support_count_fds() == fds && support_count_files(arg) == 0);
}

static void record_in_full_tmpfs(void *arg)
{
    if (!own_mounts() || mount("none", arg, "tmpfs", 0, "size=96k,mode=700") != 0)
        _exit(SUPPORT_SKIPPED);
    struct tb_core *core = support_core();
    enum tb_inert why;
    core->env.syscall = counting_syscall;
    MUST(open_service(core, arg, "shop", &why) == 0);
    uint64_t n = 0, random = 5;
    futex_calls = 0;
    for (int i = 0; i < 30000; i++, n++) {
        char route[30];
        int len = snprintf(route, sizeof(route), "/r/%d", (int)(support_random(&random) % 500));
        struct tb_series_key key = {.family = TB_FAMILY_REQUESTS,
                                    .role = TB_ROLE_SERVER,
                                    .method = TB_METHOD_GET,
                                    .status = (uint16_t)(200 + random % 5),
                                    .route = tb_string_intern(core, tb_bytes(route, (size_t)len))};
        struct tb_observation o = {.duration_ns = random >> (20 + random % 30), .is_timed = true};
        tb_series_observe(core, &key, &o);
        uint16_t entry = tb_inflight_claim(core, 1000000 + n, (uint32_t)random, 0, 1);
        tb_inflight_release(core, entry);
    }
    struct tb_series_sum sum = support_total(core, NULL, NULL);
    uint64_t lost = support_counter(core, TB_COUNTER_LOST);
    fprintf(stderr, "full tmpfs: %lu counted, %lu of them untimed, %lu lost, %lu refused pages, %u page calls\n",
            (unsigned long)sum.count, (unsigned long)sum.untimed, (unsigned long)lost,
            (unsigned long)support_counter(core, TB_COUNTER_NO_PAGE), futex_calls);
    MUST(sum.count + lost == n);
    MUST(support_counter(core, TB_COUNTER_NO_PAGE) > 0);
    MUST(sum.untimed == support_counter(core, TB_COUNTER_UNTIMED));
    MUST(futex_calls < 1500); /* not one per request */
    /* a second program finds no room, and adopts later without harm */
    struct tb_core *second = support_core();
    MUST(open_service(second, arg, "shop", &why) == -ENOSPC && why == TB_INERT_FULL);
    munmap(core->base, TB_REGION_BYTES);
    MUST(open_service(second, arg, "shop", &why) == 0);
    MUST(support_total(second, NULL, NULL).count == sum.count);
}

/* Is a lock that was taken on @dir gone once its descriptor is closed, though the mapping is not? */
static bool loses_locks(const char *dir)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/probe", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    MUST(fd >= 0 && ftruncate(fd, 4096) == 0 && flock(fd, LOCK_SH) == 0);
    void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    MUST(at != MAP_FAILED);
    close(fd);
    bool is_lost = !is_held(path);
    munmap(at, 4096);
    unlink(path);
    return is_lost;
}

static void open_on_overlay(void *arg)
{
    char path[4][100], options[400];
    if (!own_mounts() || mount("none", arg, "tmpfs", 0, "size=16m,mode=700") != 0)
        _exit(SUPPORT_SKIPPED);
    static const char *const names[] = {"lower", "upper", "work", "merged"};
    for (int i = 0; i < 4; i++) {
        snprintf(path[i], sizeof(path[i]), "%s/%s", (char *)arg, names[i]);
        MUST(mkdir(path[i], 0700) == 0);
    }
    snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s", path[0], path[1], path[2]);
    if (mount("none", path[3], "overlay", 0, options) != 0)
        _exit(SUPPORT_SKIPPED);
    struct tb_core *core = support_core();
    struct tb_identity id = support_identity("shop");
    enum tb_inert why;
    MUST(tb_region_open(core, path[3], &id, &why) < 0 && why == TB_INERT_NOT_TMPFS);
    id.allow_disk = 1;
    int r = tb_region_open(core, path[3], &id, &why);
    MUST(loses_locks(path[3]) ? r < 0 && why == TB_INERT_LOCK_LOST : r == 0);
    fprintf(stderr, "overlayfs, forced: %s\n", r == 0 ? "keeps the lock" : "loses the lock, refused");
    MUST(support_count_files(path[3]) == (r == 0));
}

static void in_mount_namespace(void (*body)(void *))
{
    char *dir = support_dir();
    int r = support_child(body, dir);
    support_remove_dir(dir);
    if (r == SUPPORT_SKIPPED)
        skip();
    assert_int_equal(r, 0);
}

static void a_full_tmpfs_makes_inert_without_a_trace(void **state)
{
    (void)state;
    in_mount_namespace(open_in_tiny_tmpfs);
}

static void a_tmpfs_that_fills_up_raises_no_signal(void **state)
{
    (void)state;
    in_mount_namespace(record_in_full_tmpfs);
}

static void a_file_system_that_loses_locks_is_refused(void **state)
{
    (void)state;
    in_mount_namespace(open_on_overlay);
}

/* ---- validation ---- */

static void contradicting_headers_are_refused(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    static struct tb_region_header good, h;
    memcpy(&good, core->header, sizeof(good));
    assert_int_equal(tb_region_validate(&good, TB_REGION_BYTES), 0);
#define REFUSED(error, change)                                                                                         \
    do {                                                                                                               \
        h = good;                                                                                                      \
        change;                                                                                                        \
        assert_int_equal(tb_region_validate(&h, TB_REGION_BYTES), -(error));                                           \
    } while (0)
    REFUSED(EPROTO, h.magic++);
    REFUSED(EPROTONOSUPPORT, h.layout_version = 2);
    REFUSED(EINVAL, h.layout_version = 0);
    REFUSED(EINVAL, h.header_size++);
    REFUSED(EINVAL, h.header_size = TB_HEADER_SIZE_MIN - 1);
    REFUSED(EINVAL, h.file_size--);
    REFUSED(EINVAL, h.state = 4);
    REFUSED(EINVAL, h.section_count = TB_SECTIONS_MAX + 1);
    REFUSED(EINVAL, h.section_count = 3);
    REFUSED(EINVAL, h.series_used = TB_SERIES_MAX + 1);
    REFUSED(EINVAL, h.cells_used = TB_LEN_CELLS + 1);
    REFUSED(EINVAL, h.sections[0].offset = 100);
    REFUSED(EINVAL, h.sections[0].offset = 0);
    REFUSED(EINVAL, h.sections[0].offset = UINT64_MAX & ~UINT64_C(4095));
    REFUSED(EINVAL, h.sections[0].reserved = UINT64_MAX);
    REFUSED(EINVAL, h.sections[1].offset = h.sections[0].offset);
    REFUSED(EINVAL, (h.sections[6].reserved = 64, h.series_used = 2));
    REFUSED(EINVAL, memset(h.service, 'x', sizeof(h.service)));
    h = good;
    h.sections[h.section_count++] = (struct tb_section){99, 7, TB_OFF_CELLS + TB_LEN_CELLS, 0}; /* unknown: skipped */
    assert_int_equal(tb_region_validate(&h, TB_REGION_BYTES), 0);
    assert_int_equal(tb_region_validate(&good, 100), -EPROTO);
    uint64_t offset = 5, len = 6;
    assert_int_equal(tb_region_section(&good, TB_SEC_LEARNER, &offset, &len), 0);
    assert_int_equal(offset, TB_OFF_LEARNER);
    assert_int_equal(tb_region_section(&good, 77, &offset, &len), -ENOENT);
    support_drop(core);
}

/* Random changes of a good region: nothing that validates makes the readers step outside of it. */
static void hostile_headers_are_read_safely(void **state)
{
    (void)state;
    struct tb_core *core = support_bound_core();
    observe(core, 200, 3);
    size_t len = TB_REGION_BYTES;
    uint8_t *copy = malloc(len); /* exactly as long as the file: the sanitizer sees a step too far */
    memcpy(copy, core->base, len);
    uint64_t random = 99;
    unsigned valid = 0;
    for (int round = 0; round < 20000; round++) {
        struct tb_region_header *h = (struct tb_region_header *)(void *)copy;
        memcpy(copy, core->base, sizeof(*h));
        for (uint64_t i = support_random(&random) % 3 + 1; i; i--) {
            static const uint64_t values[] = {0,       1, 4096, 8192, TB_REGION_BYTES, UINT64_MAX, UINT64_MAX - 4095,
                                              1u << 31};
            uint64_t at = support_random(&random) % 2 ? 1624 + random / 8 % 72 * 8 : random / 8 % 15 * 8;
            uint64_t value = support_random(&random) % 2 ? values[random / 8 % 8] : random / 8 % 700 * 4096;
            memcpy(copy + at, &value, random % 3 ? 8 : 4);
        }
        if (tb_region_validate(h, len))
            continue;
        valid++;
        struct tb_series_key key;
        struct tb_series_sum sum;
        for (uint32_t slot = 0; slot < 4; slot++)
            (void)tb_series_read(copy, len, h, slot, &key, &sum);
        uint32_t slots = tb_series_slots(h);
        if (slots)
            (void)tb_series_read(copy, len, h, slots - 1, &key, &sum);
    }
    assert_true(valid > 100);
    free(copy);
    support_drop(core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_region_is_small_locked_and_holds_no_descriptor),
        cmocka_unit_test(texts_are_cut_to_their_fields),
        cmocka_unit_test(an_unfit_directory_is_refused),
        cmocka_unit_test(a_disk_is_refused_unless_forced),
        cmocka_unit_test(limits_are_looked_at_first),
        cmocka_unit_test(a_failing_call_leaves_nothing_behind),
        cmocka_unit_test(a_dead_region_is_adopted_with_its_counts),
        cmocka_unit_test(a_live_or_foreign_or_folding_region_is_not_adopted),
        cmocka_unit_test(a_free_region_starts_again_from_nothing),
        cmocka_unit_test(garbage_under_our_name_is_left_alone),
        cmocka_unit_test(racing_openers_lose_nothing),
        cmocka_unit_test(openers_may_be_killed_at_any_moment),
        cmocka_unit_test(pages_are_asked_for_once),
        cmocka_unit_test(reserving_changes_no_live_counter),
        cmocka_unit_test(without_system_calls_known_series_go_on),
        cmocka_unit_test(an_active_series_costs_at_most_a_kibibyte),
        cmocka_unit_test(a_full_tmpfs_makes_inert_without_a_trace),
        cmocka_unit_test(a_tmpfs_that_fills_up_raises_no_signal),
        cmocka_unit_test(a_file_system_that_loses_locks_is_refused),
        cmocka_unit_test(contradicting_headers_are_refused),
        cmocka_unit_test(hostile_headers_are_read_safely),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
