/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regions of several users in one directory: nobody counts under another's name, a name goes to whom it belongs, the
 * ledger remembers that, and what one user may cost is bounded. Files change owner here as only root can make them do;
 * the agent's side as real users is tests/chaos/test_users.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>

#include "exporter/buffer.h"
#include "exporter/users.h"
#include "exporting.h"
#include "rendered.h"

#define ALICE 4001u
#define BOB 4002u
#define DAEMON 401u

static char *dir;
static const char *dirs[1];
static struct tb_collector *collector;

static int set_up(void **state)
{
    (void)state;
    struct tb_collect_options options = {.dirs = dirs, .dir_count = 1};
    dir = maker_dir();
    dirs[0] = dir;
    return tb_collector_new(&options, &collector);
}

static int tear_down(void **state)
{
    (void)state;
    tb_collector_free(collector);
    maker_remove(dir);
    return 0;
}

static void need_root(void)
{
    if (geteuid() != 0)
        skip();
}

static struct tb_snapshot *collect(void)
{
    assert_int_equal(tb_collect(collector), 0);
    return tb_collector_snapshot(collector);
}

/* A program of @uid: its region as that user's agent would have left it. */
static struct tb_core *start_as(uint32_t uid, const char *service)
{
    char from[512], to[512];
    static unsigned number;
    struct tb_core *core = maker_start(dir, service);
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d));) {
        struct stat st;
        if (strncmp(e->d_name, "tb1-0-", 6) != 0 || fstatat(dirfd(d), e->d_name, &st, 0) < 0 || st.st_uid != 0)
            continue;
        snprintf(from, sizeof from, "%s/%.200s", dir, e->d_name);
        snprintf(to, sizeof to, "%s/tb1-%u-%u", dir, uid, ++number);
        assert_int_equal(rename(from, to), 0);
        assert_int_equal(chown(to, uid, uid), 0);
    }
    closedir(d);
    return core;
}

static uint64_t requests(struct tb_snapshot *s, const char *service)
{
    const struct tb_snap_service *e = tb_snapshot_find_service(s, service, strlen(service));
    return e ? e->requests : UINT64_MAX;
}

static uint32_t apart(struct tb_snapshot *s, const char *service)
{
    return tb_snapshot_find_service(s, service, strlen(service))->apart;
}

static void a_second_user_counts_apart(void **state)
{
    (void)state;
    need_root();
    struct tb_core *a = start_as(ALICE, "shop");
    maker_get(a, "/a", 200, 3);
    assert_int_equal(requests(collect(), "shop"), 3);
    struct tb_core *b = start_as(BOB, "shop");
    maker_get(b, "/a", 200, 1000);
    struct tb_snapshot *s = collect();
    assert_int_equal(requests(s, "shop"), 3);
    assert_int_equal(requests(s, "shop@4002"), 1000);
    assert_int_equal(apart(s, "shop"), 1);
    struct tb_buffer text = {0};
    rendered(s, &text);
    tb_put(&text, "", 1);
    assert_non_null(strstr(text.data, "\ntickbird_regions_set_apart{service=\"shop\"} 1\n"));
    assert_non_null(strstr(text.data, "\nhttp_requests_total{service=\"shop@4002\",method=\"GET\""));
    tb_buffer_free(&text);
    maker_get(a, "/a", 200, 1);
    maker_kill(b);
    s = collect();
    assert_int_equal(requests(s, "shop"), 4);
    assert_int_equal(requests(s, "shop@4002"), 1000);
    maker_kill(a);
}

static void another_users_region_that_goes_restarts_nobody(void **state)
{
    (void)state;
    need_root();
    struct tb_core *a = start_as(ALICE, "shop"), *b;
    maker_get(a, "/a", 200, 3);
    collect();
    b = start_as(BOB, "shop");
    maker_get(b, "/a", 200, 5);
    struct tb_snapshot *s = collect();
    for (size_t i = 0; i < s->region_count; i++)
        if (s->regions[i].file_uid == BOB)
            assert_int_equal(unlink(s->regions[i].path), 0);
    s = collect();
    assert_int_equal(requests(s, "shop"), 3);
    assert_int_equal(requests(s, "shop@4002"), 0);
    assert_int_equal(tb_collector_stats(collector)->service_restarts, 1);
    maker_kill(a);
    maker_kill(b);
}

/* A login user was first to use a daemon's name. */
static void a_system_user_takes_its_name_over(void **state)
{
    (void)state;
    need_root();
    struct tb_core *forged = start_as(ALICE, "shop");
    maker_get(forged, "/a", 200, 100);
    assert_int_equal(requests(collect(), "shop"), 100);
    struct tb_core *real = start_as(DAEMON, "shop");
    maker_get(real, "/a", 200, 2);
    collect(); /* the name changes hands, */
    collect(); /* and what is Alice's has left */
    maker_get(forged, "/a", 200, 50);
    maker_get(real, "/a", 200, 7);
    struct tb_snapshot *s = collect();
    assert_int_equal(requests(s, "shop"), 7);
    assert_int_equal(requests(s, "shop@4001"), 150);
    /* Root before both, and nobody takes it back. */
    struct tb_core *root = maker_start(dir, "shop");
    maker_get(root, "/a", 200, 1);
    collect();
    collect();
    maker_get(root, "/a", 200, 4);
    maker_get(real, "/a", 200, 1);
    s = collect();
    assert_int_equal(requests(s, "shop"), 4);
    assert_int_equal(requests(s, "shop@401"), 10);
    assert_int_equal(requests(s, "shop@4001"), 150);
    assert_int_equal(apart(s, "shop"), 2);
    maker_kill(forged);
    maker_kill(real);
    maker_kill(root);
}

static void the_name_of_one_kept_apart_cannot_be_taken(void **state)
{
    (void)state;
    need_root();
    struct tb_core *forged = start_as(BOB, "shop@4001");
    maker_get(forged, "/a", 200, 9);
    struct tb_core *own = start_as(ALICE, "shop@4001");
    maker_get(own, "/a", 200, 1);
    struct tb_core *odd = start_as(BOB, "shop@home");
    maker_get(odd, "/a", 200, 2);
    struct tb_snapshot *s = collect();
    assert_int_equal(requests(s, "shop@4001"), 1);
    assert_int_equal(requests(s, "shop@4001@4002"), 9);
    assert_int_equal(requests(s, "shop@home"), 2);
    maker_kill(forged);
    maker_kill(own);
    maker_kill(odd);
}

/* The copy of a region, folded under its owner's own name, is not what the region's life is known by. */
static void a_copy_of_anothers_region_takes_nothing_from_it(void **state)
{
    (void)state;
    need_root();
    struct place place = {dir, maker_dir(), {dir}};
    struct exporter e = exporter_open(&place, true);
    struct tb_core *a = start_as(ALICE, "shop");
    maker_get(a, "/a", 200, 3);
    assert_int_equal(tb_collect(e.collector), 0);
    char path[512];
    snprintf(path, sizeof path, "%s/tb1-4002-copy", dir);
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0660);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, a->base, TB_REGION_BYTES), TB_REGION_BYTES);
    assert_int_equal(fchown(fd, BOB, BOB), 0);
    close(fd);
    assert_int_equal(collect_and_fold(&e), 1);
    assert_int_equal(tb_collect(e.collector), 0);
    assert_int_equal(requests(tb_collector_snapshot(e.collector), "shop"), 3);
    assert_int_equal(requests(tb_collector_snapshot(e.collector), "shop@4002"), 3);
    maker_kill(a);
    exporter_close(&e);
    maker_remove(place.storage);
}

static void nothing_that_drives_a_terminal_gets_out(void **state)
{
    (void)state;
    struct tb_core *core = maker_start(dir, "a\x1b[2J\x07\xc2\x9b\x7f\nb\"\\");
    struct tb_buffer text = {0};
    maker_get(core, "/\x1b]0;t\x07\r", 200, 1);
    rendered(collect(), &text);
    tb_put(&text, "", 1);
    for (const unsigned char *p = (const unsigned char *)text.data; *p; p++)
        assert_false((*p < 0x20 && *p != '\n') || *p == 0x7f || (*p == 0xc2 && p[1] < 0xa0));
    assert_non_null(strstr(text.data, "b\\\"\\\\\",method=\"GET\",route=\"/"));
    tb_buffer_free(&text);
    maker_kill(core);
}

static void the_ledger_knows_whose_a_service_is(void **state)
{
    (void)state;
    need_root();
    struct place place = {dir, maker_dir(), {dir}};
    struct exporter e = exporter_open(&place, true);
    struct tb_core *a = start_as(ALICE, "shop");
    maker_get(a, "/a", 200, 3);
    maker_kill(a);
    assert_int_equal(collect_and_fold(&e), 1);
    exporter_close(&e);

    struct tb_core *b = start_as(BOB, "shop");
    maker_get(b, "/a", 200, 1000);
    e = exporter_open(&place, true);
    assert_int_equal(tb_collect(e.collector), 0);
    assert_int_equal(requests(tb_collector_snapshot(e.collector), "shop"), 3);
    assert_int_equal(requests(tb_collector_snapshot(e.collector), "shop@4002"), 1000);
    maker_kill(b);
    exporter_close(&e);
    maker_remove(place.storage);
}

static void one_user_fills_only_its_own_quota(void **state)
{
    (void)state;
    need_root();
    struct tb_core *a = start_as(ALICE, "shop");
    maker_get(a, "/a", 200, 3);
    struct tb_core *before = start_as(BOB, "before");
    maker_get(before, "/a", 200, 2);
    collect();
    for (unsigned i = 0; i < TB_QUOTA_REGIONS + 500; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/tb1-4002-junk-%u", dir, i);
        int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, i % 2 ? 0600 : 0);
        assert_true(fd >= 0);
        assert_int_equal(fchown(fd, BOB, BOB), 0);
        close(fd);
    }
    struct tb_core *late = start_as(BOB, "late");
    maker_get(late, "/a", 200, 2);
    struct tb_core *other = start_as(DAEMON, "other");
    maker_get(other, "/a", 200, 4);
    for (unsigned round = 0; round < 2; round++) {
        struct tb_snapshot *s = collect();
        uint32_t left_out = 0, entries = 0;
        for (size_t i = 0; i < s->region_count; i++) {
            left_out += s->regions[i].left_out;
            entries += s->regions[i].file_uid == BOB;
        }
        assert_int_equal(requests(s, "shop"), 3);
        assert_int_equal(requests(s, "other"), 4);
        assert_int_equal(requests(s, "before"), 2); /* known before: stays */
        assert_int_equal(left_out, 502);
        assert_int_equal(entries, TB_QUOTA_REGIONS + 1);
    }
    maker_kill(a);
    maker_kill(before);
    maker_kill(late);
    maker_kill(other);
}

static void series_and_names_of_one_user_are_bounded(void **state)
{
    (void)state;
    struct tb_snapshot *s = tb_snapshot_new();
    struct tb_snap_user *user = tb_snapshot_user(s, ALICE);
    bool is_apart;
    if (tb_user_is_trusted(user))
        skip();
    struct tb_snap_service *e = tb_snapshot_claim(s, "shop", 4, user, &is_apart);
    char route[32];
    struct tb_snap_key key = {TB_FAMILY_REQUESTS, TB_ROLE_SERVER, 1, 0, 200, route, "", ""};
    for (unsigned i = 0; i < TB_QUOTA_SERIES; i++) {
        snprintf(route, sizeof route, "/r%u", i);
        assert_non_null(tb_snapshot_series(s, e, &key));
    }
    snprintf(route, sizeof route, "/one/more");
    assert_null(tb_snapshot_series(s, e, &key));
    snprintf(route, sizeof route, "/r7");
    assert_non_null(tb_snapshot_series(s, e, &key)); /* an old one */
    snprintf(route, sizeof route, "/one/more");
    struct tb_snap_service *bobs = tb_snapshot_claim(s, "blog", 4, tb_snapshot_user(s, BOB), &is_apart);
    assert_non_null(tb_snapshot_series(s, bobs, &key));
    for (unsigned i = 1; i < TB_QUOTA_SERVICES; i++) {
        snprintf(route, sizeof route, "service-%u", i);
        assert_non_null(tb_snapshot_claim(s, route, strlen(route), user, &is_apart));
    }
    assert_null(tb_snapshot_claim(s, "blog", 4, user, &is_apart));
    assert_null(tb_snapshot_claim(s, "one more", 8, user, &is_apart));
    assert_ptr_equal(tb_snapshot_claim(s, "shop", 4, user, &is_apart), e);
    tb_snapshot_free(s);
}

/* However many strangers bring up bounds of their own: this user's are known. */
static void strangers_together_leave_bounds_to_others(void **state)
{
    (void)state;
    struct tb_snapshot *s = tb_snapshot_new();
    uint64_t at_most[] = {0, UINT64_C(5000000000)};
    const struct tb_bounds bounds = {.count = 2, .at_most = at_most};
    unsigned known = 0, refused = 0;
    for (uint32_t uid = 0; uid < 64; uid++)
        for (uint64_t i = 0; i < TB_QUOTA_BOUND_SETS; i++) {
            at_most[0] = 1000000 * (1 + uid * TB_QUOTA_BOUND_SETS + i);
            int number = tb_user_bound_set(tb_snapshot_user(s, 50000 + uid), &bounds);
            known += number >= 0;
            refused += number < 0;
        }
    assert_int_equal(known, TB_QUOTA_ALL_BOUND_SETS);
    assert_true(refused > 0);
    at_most[0] = 4000000001;
    assert_true(tb_user_bound_set(tb_snapshot_user(s, geteuid()), &bounds) >= 0);
    at_most[0] = 4000000003;
    assert_int_equal(tb_user_bound_set(tb_snapshot_user(s, 60000), &bounds), -1);
    tb_snapshot_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_second_user_counts_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_users_region_that_goes_restarts_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_system_user_takes_its_name_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_name_of_one_kept_apart_cannot_be_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_copy_of_anothers_region_takes_nothing_from_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_that_drives_a_terminal_gets_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_ledger_knows_whose_a_service_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_user_fills_only_its_own_quota, set_up, tear_down),
        cmocka_unit_test(series_and_names_of_one_user_are_bounded),
        cmocka_unit_test(strangers_together_leave_bounds_to_others), /* last: what it fills stays full */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
