/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forget.c: a service goes whole or not at all, whenever the one who forgets it is killed, and the totals of the others
 * are what they were. The truth is what was observed into the regions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "exporter/forget.h"
#include "exporting.h"

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    make_place(p);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    tb_ledger_step = NULL;
    remove_place(p);
    free(p);
    return 0;
}

/* A program of @service that answered @times and is dead. */
static void live_and_die(const struct place *p, const char *service, unsigned times)
{
    struct tb_core *core = maker_start(p->regions, service);
    maker_get(core, "/a", 200, times);
    maker_kill(core);
}

static uint64_t total(struct exporter *e, const char *service)
{
    uint64_t count = 0;
    assert_int_equal(tb_collect(e->collector), 0);
    struct tb_snapshot *s = tb_collector_snapshot(e->collector);
    for (size_t i = 0; i < s->series_count; i++)
        if (strcmp(s->series[i]->service->name, service) == 0)
            count += s->series[i]->count;
    return count;
}

/* As a reader sees it that has never seen anything before. */
static uint64_t total_anew(const struct place *p, const char *service)
{
    struct exporter reader = exporter_open(p, false);
    uint64_t count = total(&reader, service);
    exporter_close(&reader);
    return count;
}

static void fold_all(const struct place *p)
{
    struct exporter e = exporter_open(p, true);
    assert_true(collect_and_fold(&e) >= 0);
    exporter_close(&e);
}

static bool forget(struct exporter *e, const char *service)
{
    return tb_forget(e->collector, service) == 0;
}

static void die_at_every_step(const struct place *p, bool is_folded)
{
    uint64_t shop = 0, blog = 0;
    unsigned gone = 0, whole = 0;
    int step = 0;
    blog = total_anew(p, "blog");
    for (bool is_done = false; !is_done; step++) {
        live_and_die(p, "shop", 3);
        live_and_die(p, "blog", 2);
        shop += 3;
        blog += 2;
        if (is_folded)
            fold_all(p);
        is_done = work_and_die(p, step, forget, "shop");
        uint64_t now = total_anew(p, "shop");
        assert_true(now == shop || now == 0);
        assert_true(!is_done || now == 0);
        gone += now == 0;
        whole += now != 0;
        shop = now;
        assert_int_equal(total_anew(p, "blog"), blog);
        fold_all(p); /* finishes what was left half done; nothing comes back */
        assert_int_equal(total_anew(p, "shop"), shop);
        assert_int_equal(total_anew(p, "blog"), blog);
    }
    print_message("%d steps: %u times whole, %u times gone\n", step, whole, gone);
    assert_true(whole > 3 && gone > 1); /* the steps are there */
}

static void whoever_forgets_may_die_at_every_step(void **state)
{
    die_at_every_step(*state, false);
    die_at_every_step(*state, true);
}

static void a_forgotten_service_begins_at_0(void **state)
{
    const struct place *p = *state;
    live_and_die(p, "shop", 3);
    live_and_die(p, "blog", 2);
    struct exporter e = exporter_open(p, true);
    assert_int_equal(total(&e, "shop"), 3);
    assert_int_equal(tb_forget(e.collector, "shop"), 0);
    assert_int_equal(tb_forget(e.collector, "shop"), -ENOENT);
    assert_int_equal(total(&e, "shop"), 0);
    assert_int_equal(total(&e, "blog"), 2);
    live_and_die(p, "shop", 4);
    live_and_die(p, "blog", 1);
    assert_int_equal(total(&e, "shop"), 4);
    assert_int_equal(total(&e, "blog"), 3);
    assert_int_equal(tb_collector_stats(e.collector)->service_restarts, 0);
    assert_int_equal(tb_collector_stats(e.collector)->lost_regions, 0);
    exporter_close(&e);
    assert_int_equal(total_anew(p, "shop"), 4);
}

static void what_lives_or_is_not_ours_is_refused(void **state)
{
    const struct place *p = *state;
    struct tb_core *core = maker_start(p->regions, "shop");
    maker_get(core, "/a", 200, 5);
    struct exporter e = exporter_open(p, true), second = exporter_open(p, true);
    assert_int_equal(tb_forget(e.collector, "shop"), -EBUSY);
    assert_int_equal(tb_forget(e.collector, "nobody"), -ENOENT);
    assert_int_equal(tb_forget(second.collector, "shop"), -EROFS);
    assert_int_equal(total(&e, "shop"), 5);
    maker_kill(core);
    assert_int_equal(tb_forget(second.collector, "shop"), -EROFS);
    exporter_close(&second);
    exporter_close(&e);
    assert_int_equal(total_anew(p, "shop"), 5);
}

static void a_request_is_obeyed_once(void **state)
{
    const struct place *p = *state;
    live_and_die(p, "shop", 3);
    struct exporter e = exporter_open(p, true);
    assert_int_equal(total(&e, "shop"), 3);
    assert_int_equal(tb_forget_request(p->storage, "shop"), 0);
    assert_int_equal(tb_forget_request(p->storage, "nobody"), 0);
    assert_true(tb_forget_is_asked(p->storage, "shop"));
    assert_int_equal(tb_forget_obey(e.collector), 1);
    assert_false(tb_forget_is_asked(p->storage, "shop") || tb_forget_is_asked(p->storage, "nobody"));
    live_and_die(p, "shop", 2);
    assert_int_equal(tb_forget_obey(e.collector), 0);
    assert_int_equal(total(&e, "shop"), 2);
    exporter_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(whoever_forgets_may_die_at_every_step),
        TEST(a_forgotten_service_begins_at_0),
        TEST(what_lives_or_is_not_ours_is_refused),
        TEST(a_request_is_obeyed_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
