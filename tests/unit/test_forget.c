/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forget.c: a service goes whole or not at all, whenever the one who forgets it is killed, and the totals of the others
 * are what they were. The truth is what was observed into the regions.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <sys/prctl.h>
#include <sys/wait.h>

#include "exporter/collect.h"
#include "exporter/fold.h"
#include "exporter/forget.h"
#include "exporter/ledger.h"
#include "maker.h"

struct place {
    char *regions, *storage;
    const char *dirs[1];
};

struct exporter {
    struct tb_ledger *ledger;
    struct tb_collector *collector;
};

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    p->regions = maker_dir();
    p->storage = maker_dir();
    p->dirs[0] = p->regions;
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    tb_ledger_step = NULL;
    maker_remove(p->regions);
    maker_remove(p->storage);
    free(p);
    return 0;
}

static struct exporter open_exporter(const struct place *p, bool may_write)
{
    struct exporter e = {0};
    assert_int_equal(tb_ledger_open(p->storage, may_write, &e.ledger), 0);
    struct tb_collect_options options = {.dirs = p->dirs, .dir_count = 1, .ledger = e.ledger};
    assert_int_equal(tb_collector_new(&options, &e.collector), 0);
    return e;
}

static void close_exporter(struct exporter *e)
{
    tb_collector_free(e->collector);
    tb_ledger_close(e->ledger);
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
    struct exporter reader = open_exporter(p, false);
    uint64_t count = total(&reader, service);
    close_exporter(&reader);
    return count;
}

static void fold_all(const struct place *p)
{
    const struct tb_fold_options at_once = {0};
    struct exporter e = open_exporter(p, true);
    assert_int_equal(tb_collect(e.collector), 0);
    assert_true(tb_fold(e.collector, &at_once) >= 0);
    close_exporter(&e);
}

static int steps_left;

static void die_at_step(const char *step)
{
    if (strcmp(step, "region-read") != 0 && steps_left-- == 0)
        kill(getpid(), SIGKILL);
}

/* Returns whether the child came to its end. */
static bool forget_and_die(const struct place *p, const char *service, int steps)
{
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct exporter e = open_exporter(p, true);
        steps_left = steps;
        tb_ledger_step = die_at_step;
        _exit(tb_forget(e.collector, service) != 0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGKILL);
    return WIFEXITED(status);
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
        is_done = forget_and_die(p, "shop", step);
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
    struct exporter e = open_exporter(p, true);
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
    close_exporter(&e);
    assert_int_equal(total_anew(p, "shop"), 4);
}

static void what_lives_or_is_not_ours_is_refused(void **state)
{
    const struct place *p = *state;
    struct tb_core *core = maker_start(p->regions, "shop");
    maker_get(core, "/a", 200, 5);
    struct exporter e = open_exporter(p, true), second = open_exporter(p, true);
    assert_int_equal(tb_forget(e.collector, "shop"), -EBUSY);
    assert_int_equal(tb_forget(e.collector, "nobody"), -ENOENT);
    assert_int_equal(tb_forget(second.collector, "shop"), -EROFS);
    assert_int_equal(total(&e, "shop"), 5);
    maker_kill(core);
    assert_int_equal(tb_forget(second.collector, "shop"), -EROFS);
    close_exporter(&second);
    close_exporter(&e);
    assert_int_equal(total_anew(p, "shop"), 5);
}

static void a_request_is_obeyed_once(void **state)
{
    const struct place *p = *state;
    live_and_die(p, "shop", 3);
    struct exporter e = open_exporter(p, true);
    assert_int_equal(total(&e, "shop"), 3);
    assert_int_equal(tb_forget_request(p->storage, "shop"), 0);
    assert_int_equal(tb_forget_request(p->storage, "nobody"), 0);
    assert_true(tb_forget_is_asked(p->storage, "shop"));
    assert_int_equal(tb_forget_obey(e.collector), 1);
    assert_false(tb_forget_is_asked(p->storage, "shop") || tb_forget_is_asked(p->storage, "nobody"));
    live_and_die(p, "shop", 2);
    assert_int_equal(tb_forget_obey(e.collector), 0);
    assert_int_equal(total(&e, "shop"), 2);
    close_exporter(&e);
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
