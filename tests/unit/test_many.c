/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two thousand programs that start, count and are killed while the exporter collects and folds: what is served lies
 * between what they had surely counted before and what they may have counted after, never falls, and is exact at the
 * end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "exporting.h"

#define PROGRAMS 2000u
#define AT_ONCE 150u /* alive */
#define REQUESTS 7u  /* of each */

/* In memory that both processes share. */
struct progress {
    uint64_t begun, ended; /* requests: may have been counted; have been counted */
    uint32_t is_done;
};

static void run_programs(const char *dir, struct progress *p)
{
    struct tb_core *alive[AT_ONCE] = {NULL};
    for (unsigned i = 0; i < PROGRAMS + AT_ONCE; i++) {
        struct tb_core **slot = &alive[i % AT_ONCE];
        char name[16];
        if (*slot)
            maker_kill(*slot);
        if (i >= PROGRAMS)
            continue;
        snprintf(name, sizeof name, "s%u", i);
        *slot = maker_start(dir, name);
        tb_store_release(&p->begun, p->begun + REQUESTS);
        maker_get(*slot, i % 2 ? "/a" : "/b", 200, REQUESTS);
        tb_store_release(&p->ended, p->ended + REQUESTS);
    }
    tb_store_release(&p->is_done, 1);
    _exit(0);
}

static uint64_t requests_of(const struct tb_snapshot *s)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < s->series_count; i++)
        sum += s->series[i]->count;
    return sum;
}

static void programs_come_and_go_while_it_collects(void **state)
{
    (void)state;
    struct place place;
    struct progress *p = mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(p, MAP_FAILED);
    make_place(&place);
    struct exporter e = exporter_open(&place, true);
    pid_t child = fork();
    if (!child) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        run_programs(place.regions, p);
    }
    uint64_t before = 0;
    for (bool is_last = false; !is_last;) {
        int status;
        is_last = tb_load_acquire(&p->is_done) || waitpid(child, &status, WNOHANG) == child;
        uint64_t counted = tb_load_acquire(&p->ended);
        assert_int_equal(tb_collect(e.collector), 0);
        uint64_t served = requests_of(tb_collector_snapshot(e.collector));
        if (served < counted || served < before || served > tb_load_acquire(&p->begun))
            fail_msg("%ju served, between %ju and %ju counted, %ju before", (uintmax_t)served, (uintmax_t)counted,
                     (uintmax_t)p->begun, (uintmax_t)before);
        before = served;
        assert_true(tb_fold(e.collector, &at_once) >= 0);
    }
    assert_int_equal(tb_load_acquire(&p->is_done), 1); /* it was not killed */
    assert_int_equal(before, PROGRAMS * REQUESTS);
    const struct tb_collect_stats *stats = tb_collector_stats(e.collector);
    assert_int_equal(stats->lost_regions, 0);
    assert_int_equal(stats->service_restarts, 0);
    exporter_close(&e);
    e = exporter_open(&place, true); /* from the ledger */
    assert_int_equal(tb_collect(e.collector), 0);
    assert_int_equal(requests_of(tb_collector_snapshot(e.collector)), PROGRAMS * REQUESTS);
    exporter_close(&e);
    waitpid(child, NULL, 0);
    munmap(p, sizeof *p);
    remove_place(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(programs_come_and_go_while_it_collects)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
