/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quota of a region directory (agent/place.h, region_file.c): how many files there may be, who gets the last ones,
 * and that programs whose names never come again are counted together and not forgotten.
 */
#include "support.h"

#include "marker.h"
#include "place.h"

#define FILES 6u /* a quota of as many files */

struct kind {
    const char *service;
    bool is_server;
};

static const struct {
    const char *variable, *text;
} defaults[] = {
#define OPTION(id, env, flag, type, text, help, side) {env, text},
#include "options.def"
#undef OPTION
};

static int open_kind(struct tb_core *core, const char *dir, struct kind kind, enum tb_inert *ret_why)
{
    struct tb_identity id = support_identity(kind.service);
    id.quota_mib = FILES * (TB_REGION_BYTES >> 20);
    id.is_server = kind.is_server;
    return tb_region_open(core, dir, &id, ret_why);
}

static void count_one(struct tb_core *core)
{
    struct tb_series_key key = {.family = TB_FAMILY_REQUESTS,
                                .role = TB_ROLE_CLIENT,
                                .method = TB_METHOD_GET,
                                .status = 200,
                                .route = tb_string_intern(core, tb_bytes_str("/a"))};
    struct tb_observation o = {.duration_ns = 1000000, .is_timed = true};
    tb_series_observe(core, &key, &o);
}

static uint64_t files_said(const char *dir)
{
    struct stat st;
    assert_int_equal(stat(dir, &st), 0);
    return tb_place_files((uint64_t)st.st_size);
}

static void a_directory_says_how_many_files_it_has(void **state)
{
    (void)state;
    char *dir = support_dir(), path[100], other[100];
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(files_said(dir), i);
        snprintf(path, sizeof(path), "%s/%s-%u", dir, i % 2 ? "a-name-of-another-length" : "x", i);
        close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    }
    snprintf(other, sizeof(other), "%s/renamed", dir);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(files_said(dir), 40);
    unlink(other);
    assert_int_equal(files_said(dir), 39);
    support_remove_dir(dir);
    assert_int_equal(tb_place_files(0), 0);
    assert_int_equal(tb_place_files(40), 0);
}

static void quotas_are_numbers_of_files(void **state)
{
    (void)state;
    assert_int_equal(tb_place_quota(NULL), TB_PLACE_QUOTA_MIB);
    assert_int_equal(tb_place_quota(""), TB_PLACE_QUOTA_MIB);
    assert_int_equal(tb_place_quota("much"), TB_PLACE_QUOTA_MIB);
    assert_int_equal(tb_place_quota("12 MiB"), TB_PLACE_QUOTA_MIB);
    assert_int_equal(tb_place_quota("123456789"), TB_PLACE_QUOTA_MIB);
    assert_int_equal(tb_place_quota("12"), 12);
    assert_int_equal(tb_place_quota("0"), 0);
    unsigned told = 0;
    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
        if (strcmp(defaults[i].variable, "TICKBIRD_DIR_QUOTA") == 0)
            told = (unsigned)strtoul(defaults[i].text, NULL, 10);
    assert_int_equal(told, TB_PLACE_QUOTA_MIB);
    assert_int_equal(tb_place_files_max(12), 4);
    assert_int_equal(tb_place_files_max(1), 1);
    assert_true(tb_place_files_max(0) == UINT64_MAX);
}

static void servers_may_have_all_of_it(void **state)
{
    (void)state;
    static const char *const names[FILES] = {"a", "b", "c", "d", "e", "f"};
    char *dir = support_dir();
    struct tb_core *cores[FILES], *core = support_core();
    enum tb_inert why = TB_INERT_NOT;
    for (unsigned i = 0; i < FILES; i++) {
        cores[i] = support_core();
        assert_int_equal(open_kind(cores[i], dir, (struct kind){names[i], true}, &why), 0);
        assert_string_equal(cores[i]->header->service, names[i]);
        count_one(cores[i]);
    }
    unsigned fds = support_count_fds();
    assert_int_equal(open_kind(core, dir, (struct kind){"g", true}, &why), -EDQUOT);
    assert_int_equal(why, TB_INERT_QUOTA);
    assert_int_equal(open_kind(core, dir, (struct kind){"g", false}, &why), -EDQUOT);
    assert_int_equal(why, TB_INERT_QUOTA);
    assert_int_equal(support_count_fds(), fds);
    assert_int_equal(support_count_files(dir), FILES);
    assert_null(core->base);
    support_drop(cores[2]); /* who comes back needs no new file */
    assert_int_equal(open_kind(core, dir, (struct kind){names[2], true}, &why), 0);
    assert_int_equal(support_total(core, NULL, NULL).count, 1);
    support_drop(core);
    for (unsigned i = 0; i < FILES; i++)
        if (i != 2)
            support_drop(cores[i]);
    support_remove_dir(dir);
}

/* A thousand names, each of them once, and no exporter: half of the files, and one for all the others. */
static void names_that_never_come_again_are_counted_together(void **state)
{
    (void)state;
    char *dir = support_dir(), name[30];
    uint64_t own = 0, shared = 0, said = 0;
    enum tb_inert why;
    for (unsigned i = 0; i < 1000; i++) {
        struct tb_core *core = support_core();
        snprintf(name, sizeof(name), "script-%u", i);
        assert_int_equal(open_kind(core, dir, (struct kind){name, false}, &why), 0);
        count_one(core);
        if (strcmp(core->header->service, TB_SERVICE_OTHER) == 0) {
            shared = support_total(core, NULL, NULL).count;
            said = support_counter(core, TB_COUNTER_SERVICES_OVERFLOW);
        } else {
            assert_string_equal(core->header->service, name);
            own += support_total(core, NULL, NULL).count;
        }
        support_drop(core);
    }
    assert_int_equal(support_count_files(dir), FILES / 2 + 1);
    assert_int_equal(own, FILES / 2);
    assert_int_equal(shared, 1000 - FILES / 2);
    assert_int_equal(said, shared);
    /* a server still has its own, and so has a program whose name was here before */
    struct tb_core *core = support_core();
    assert_int_equal(open_kind(core, dir, (struct kind){"shop", true}, &why), 0);
    assert_string_equal(core->header->service, "shop");
    support_drop(core);
    core = support_core();
    assert_int_equal(open_kind(core, dir, (struct kind){"script-0", false}, &why), 0);
    assert_string_equal(core->header->service, "script-0");
    assert_int_equal(support_total(core, NULL, NULL).count, 1);
    support_drop(core);
    support_remove_dir(dir);
}

static void programs_that_run_at_once_share_the_name_and_no_file(void **state)
{
    (void)state;
    char *dir = support_dir(), name[30];
    struct tb_core *cores[FILES], *core = support_core();
    enum tb_inert why;
    for (unsigned i = 0; i < FILES; i++) {
        cores[i] = support_core();
        snprintf(name, sizeof(name), "script-%u", i);
        assert_int_equal(open_kind(cores[i], dir, (struct kind){name, false}, &why), 0);
        assert_string_equal(cores[i]->header->service, i < FILES / 2 ? name : TB_SERVICE_OTHER);
    }
    assert_int_equal(support_count_files(dir), FILES);
    assert_int_equal(open_kind(core, dir, (struct kind){"one-more", false}, &why), -EDQUOT);
    assert_int_equal(why, TB_INERT_QUOTA);
    support_drop(core);
    for (unsigned i = 0; i < FILES; i++)
        support_drop(cores[i]);
    support_remove_dir(dir);
}

static void who_is_switched_off_by_name_is_not_counted_under_another(void **state)
{
    (void)state;
    char *dir = support_dir(), path[100], marker[TB_MARKER_NAME_BYTES];
    struct tb_core *core = support_core();
    enum tb_inert why;
    tb_marker_name("secret", marker);
    for (unsigned i = 0; i < FILES / 2; i++) {
        snprintf(path, sizeof(path), "%s/%s%s", dir, i ? "x" : marker, i ? marker + i : "");
        close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    }
    assert_int_equal(open_kind(core, dir, (struct kind){"secret", false}, &why), -EDQUOT);
    assert_int_equal(why, TB_INERT_QUOTA);
    assert_int_equal(support_count_files(dir), FILES / 2);
    assert_int_equal(open_kind(core, dir, (struct kind){"open", false}, &why), 0);
    assert_string_equal(core->header->service, TB_SERVICE_OTHER);
    assert_int_equal(core->rules->off, 0);
    support_drop(core);
    support_remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_says_how_many_files_it_has),
        cmocka_unit_test(quotas_are_numbers_of_files),
        cmocka_unit_test(servers_may_have_all_of_it),
        cmocka_unit_test(names_that_never_come_again_are_counted_together),
        cmocka_unit_test(programs_that_run_at_once_share_the_name_and_no_file),
        cmocka_unit_test(who_is_switched_off_by_name_is_not_counted_under_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
