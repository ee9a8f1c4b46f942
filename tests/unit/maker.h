/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regions for tests of the exporter's side: made, written and left by the real agent core, in a private directory of
 * shared memory. Everything static; include once per test program, after <cmocka.h>.
 */
#ifndef TB_TEST_MAKER_H
#define TB_TEST_MAKER_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "agent/core.h"
#include "agent/region.h"
#include "agent/series.h"

static inline long maker_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
    long r = syscall(nr, a, b, c, d, e, f);
    return r < 0 ? -errno : r;
}

static inline uint64_t maker_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A new directory in shared memory; the caller's to remove with maker_remove. */
static inline char *maker_dir(void)
{
    char name[] = "/dev/shm/tb-test-XXXXXX";
    assert_non_null(mkdtemp(name));
    return strdup(name);
}

static inline void maker_remove(char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.' || strlen(e->d_name) > 2)
            unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    rmdir(dir);
    free(dir);
}

/* A program that records: adopts or makes a region in @dir. */
static inline struct tb_core *maker_start(const char *dir, const char *service)
{
    struct tb_core *core = calloc(1, sizeof *core);
    struct tb_identity id = {
        .service = service, .program = "/usr/sbin/tested", .labels = "", .host = "h", .version = "9.8.7"};
    enum tb_inert why;
    assert_non_null(core);
    core->env = (struct tb_env){maker_syscall, maker_clock, (uint64_t)sysconf(_SC_PAGESIZE), (uint32_t)getpid()};
    assert_int_equal(tb_region_open(core, dir, &id, &why), 0);
    assert_true(tb_owner_claim(core));
    return core;
}

/* The program is gone, as by kill -9: nothing is cleaned up, the kernel drops the lock with the mapping. */
static inline void maker_kill(struct tb_core *core)
{
    munmap(core->base, TB_REGION_BYTES);
    free(core);
}

static inline struct tb_series_key maker_key(struct tb_core *core, uint8_t method, const char *route, uint16_t status)
{
    struct tb_series_key key = {
        .family = TB_FAMILY_REQUESTS, .role = TB_ROLE_SERVER, .method = method, .status = status};
    key.route = tb_string_intern(core, tb_bytes_str(route));
    assert_int_not_equal(key.route, 0);
    return key;
}

/* @times exchanges of @duration_ns each. */
static inline void maker_observe(struct tb_core *core, const struct tb_series_key *key, uint64_t duration_ns,
                                 unsigned times)
{
    struct tb_observation o = {.duration_ns = duration_ns, .first_byte_ns = duration_ns / 2, .is_timed = true};
    while (times--)
        tb_series_observe(core, key, &o);
}

static inline void maker_get(struct tb_core *core, const char *route, uint16_t status, unsigned times)
{
    struct tb_series_key key = maker_key(core, TB_METHOD_GET, route, status);
    maker_observe(core, &key, 3000000, times);
}

/* The only region file of a directory; the caller's to free. */
static inline char *maker_only_file(const char *dir)
{
    char *found = NULL;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        assert_null(found);
        assert_true(asprintf(&found, "%s/%s", dir, e->d_name) > 0);
    }
    closedir(d);
    assert_non_null(found);
    return found;
}

#endif
