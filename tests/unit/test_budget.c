/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What full services take of tmpfs, as docs/sizing.md says: more routes, statuses and durations than there is room for,
 * in twenty services at once. The truth is what the file system gave away.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "maker.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#define SERVICES 20u
#define DOCKER (INT64_C(64) << 20) /* /dev/shm of a container by default */
#define FULL (INT64_C(3) << 20)

/* Every route, with five statuses each and durations over 24 octaves. */
static void fill(struct tb_core *core)
{
    for (unsigned i = 0; i < 6000; i++) {
        char route[96];
        int len = snprintf(route, sizeof route, "/a/route/that/is/as/long/as/they/are/%u/:id", i % 1200);
        struct tb_series_key key = {.family = TB_FAMILY_REQUESTS,
                                    .role = TB_ROLE_SERVER,
                                    .method = TB_METHOD_GET,
                                    .status = (uint16_t)(200 + i / 1200),
                                    .route = tb_string_intern(core, tb_bytes(route, (size_t)len))};
        for (unsigned octave = 10; octave < 34; octave++)
            maker_observe(core, &key, UINT64_C(1) << octave, 1);
    }
}

static void twenty_full_services_fit_into_64_MiB(void **state)
{
    char *dir = maker_dir();
    int64_t sum = 0, largest = 0;
    unsigned files = 0;
    (void)state;
    for (unsigned i = 0; i < SERVICES; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%u", i);
        struct tb_core *core = maker_start(dir, name);
        fill(core);
        maker_kill(core);
    }
    DIR *list = opendir(dir);
    for (const struct dirent *entry; (entry = readdir(list));) {
        struct stat st;
        if (entry->d_name[0] == '.' || fstatat(dirfd(list), entry->d_name, &st, 0) != 0)
            continue;
        files++;
        sum += (int64_t)st.st_blocks * 512;
        largest = (int64_t)st.st_blocks * 512 > largest ? (int64_t)st.st_blocks * 512 : largest;
    }
    closedir(list);
    print_message("a full service: %lld bytes, %u of them: %lld\n", (long long)largest, files, (long long)sum);
    assert_int_equal(files, SERVICES);
    assert_in_range(largest, FULL / 2, FULL);
    assert_true(sum <= DOCKER);
    maker_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(twenty_full_services_fit_into_64_MiB)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
