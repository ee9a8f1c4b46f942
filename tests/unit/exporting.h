/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of what the exporter keeps: directories for regions and for the ledger, exporters on them, and exporters
 * that are killed between any two steps. Everything static; include once per test program, after <cmocka.h>.
 */
#ifndef TB_TESTS_EXPORTING_H
#define TB_TESTS_EXPORTING_H

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "exporter/collect.h"
#include "exporter/fold.h"
#include "exporter/ledger.h"
#include "maker.h"

struct place {
    char *regions, *storage;
    const char *dirs[1]; /* regions, as collectors want it */
};

/* Two new directories; remove_place() them. */
static inline void make_place(struct place *p)
{
    p->regions = maker_dir();
    p->storage = maker_dir();
    p->dirs[0] = p->regions;
}

static inline void remove_place(struct place *p)
{
    maker_remove(p->regions);
    maker_remove(p->storage);
}

struct exporter {
    struct tb_ledger *ledger;
    struct tb_collector *collector;
};

/* @p must stay where it is until exporter_close. */
static struct exporter exporter_open(const struct place *p, bool may_write)
{
    struct exporter e = {0};
    assert_int_equal(tb_ledger_open(p->storage, may_write, &e.ledger), 0);
    struct tb_collect_options options = {.dirs = p->dirs, .dir_count = 1, .ledger = e.ledger, .keeps_open = true};
    assert_int_equal(tb_collector_new(&options, &e.collector), 0);
    return e;
}

static void exporter_close(struct exporter *e)
{
    tb_collector_free(e->collector);
    tb_ledger_close(e->ledger);
}

static const struct tb_fold_options at_once = {.fold_after_ns = 0, .unlink_after_ns = 0};

/* Returns what tb_fold does. */
static inline int collect_and_fold(struct exporter *e)
{
    assert_int_equal(tb_collect(e->collector), 0);
    return tb_fold(e->collector, &at_once);
}

static int steps_left;

/* For tb_ledger_step. */
static inline void die_at_step(const char *step)
{
    if (strcmp(step, "region-read") != 0 && steps_left-- == 0)
        kill(getpid(), SIGKILL);
}

/*
 * An exporter of its own process, which does @work on @service and is killed at step @steps (-1: never). Returns
 * whether it came to its end before; then @work must have returned true.
 */
static inline bool work_and_die(const struct place *p, int steps, bool (*work)(struct exporter *, const char *),
                                const char *service)
{
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct exporter e = exporter_open(p, true);
        steps_left = steps;
        tb_ledger_step = die_at_step;
        _exit(!work(&e, service));
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGKILL);
    return WIFEXITED(status);
}

#endif
