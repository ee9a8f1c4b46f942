/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the region and of series share: a core with real system calls, a directory of its own on tmpfs, and
 * a reader of totals that works on a copy. Everything is static; a test program uses what it needs.
 */
#ifndef TB_TESTS_SUPPORT_H
#define TB_TESTS_SUPPORT_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "region.h"
#include "series.h"
#include "series_read.h"

#define SUPPORT __attribute__((unused)) static

SUPPORT long support_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
    long r = syscall(nr, a, b, c, d, e, f);
    return r == -1 ? -errno : r;
}

SUPPORT uint64_t support_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A core as the host sets it up; free() it. */
SUPPORT struct tb_core *support_core(void)
{
    struct tb_core *core = calloc(1, sizeof(*core));
    if (!core)
        abort();
    core->env.syscall = support_syscall;
    core->env.monotonic_ns = support_monotonic_ns;
    core->env.page_size = (uint64_t)sysconf(_SC_PAGESIZE);
    core->env.pid = (uint32_t)getpid();
    return core;
}

SUPPORT struct tb_identity support_identity(const char *service)
{
    return (struct tb_identity){
        .service = service, .program = "/usr/bin/test", .labels = "a=b", .host = "h", .version = "0.0.0"};
}

/* A core on a region in private memory; support_drop() it. */
SUPPORT struct tb_core *support_bound_core(void)
{
    struct tb_core *core = support_core();
    struct tb_identity id = support_identity("test");
    void *base = mmap(NULL, TB_REGION_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(base != MAP_FAILED);
    tb_region_format(base, &id, 1, 1);
    assert_int_equal(tb_region_bind(core, base, TB_REGION_BYTES), 0);
    return core;
}

SUPPORT void support_drop(struct tb_core *core)
{
    if (core->base)
        munmap(core->base, TB_REGION_BYTES);
    free(core);
}

/* A new directory on tmpfs; support_remove_dir() it. */
SUPPORT char *support_dir(void)
{
    char *dir = strdup("/dev/shm/tb-unit-XXXXXX");
    if (!dir || !mkdtemp(dir))
        abort();
    return dir;
}

SUPPORT unsigned support_count_files(const char *dir)
{
    DIR *d = opendir(dir);
    unsigned count = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    if (d)
        closedir(d);
    return count;
}

SUPPORT void support_remove_dir(char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    rmdir(dir);
    free(dir);
}

SUPPORT unsigned support_count_fds(void)
{
    return support_count_files("/proc/self/fd");
}

SUPPORT uint64_t support_random(uint64_t *state)
{
    *state ^= *state << 13, *state ^= *state >> 7, *state ^= *state << 17;
    return *state;
}

/* In a child process, where cmocka's assertions have nowhere to go. */
#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                            \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

#define SUPPORT_SKIPPED 77

/* fork(), but the child dies with this thread: a failed assertion leaves nobody waiting for ever. */
SUPPORT pid_t support_fork(void)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

/* Runs @body in a child; its exit status, or -signal. */
SUPPORT int support_child(void (*body)(void *), void *arg)
{
    pid_t pid = support_fork();
    if (pid == 0) {
        body(arg);
        _exit(0);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* The sum of all series of a region whose key satisfies @matches (NULL: all). Fails when any slot contradicts itself.
 */
SUPPORT struct tb_series_sum support_total(const struct tb_core *core,
                                           bool (*matches)(const struct tb_series_key *key, const void *arg),
                                           const void *arg)
{
    static struct tb_series_sum total, sum;
    memset(&total, 0, sizeof(total));
    for (uint32_t slot = 0; slot < tb_series_slots(core->header); slot++) {
        struct tb_series_key key;
        int r = tb_series_read(core->base, TB_REGION_BYTES, core->header, slot, &key, &sum);
        assert_true(r == 0 || r == -ENOENT);
        uint64_t cells = 0;
        for (size_t i = 0; r == 0 && i < TB_OCTAVES * TB_BLOCK_CELLS; i++)
            cells += sum.cells[i / TB_BLOCK_CELLS][i % TB_BLOCK_CELLS];
        if (r == 0)
            assert_int_equal(sum.count, cells + sum.untimed);
        if (r == 0 && (!matches || matches(&key, arg)))
            tb_series_sum_add(&total, &sum);
    }
    return total;
}

SUPPORT uint64_t support_counter(const struct tb_core *core, enum tb_counter which)
{
    return tb_counter_total((const uint64_t *)(const void *)(core->base + TB_OFF_COUNTERS), TB_LEN_COUNTERS, which);
}

#endif
