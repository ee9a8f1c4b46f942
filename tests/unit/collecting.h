/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of collecting: a region directory, a collector on it, and what its snapshot says. Everything static;
 * include once per test program, after <cmocka.h>.
 */
#ifndef TB_TESTS_COLLECTING_H
#define TB_TESTS_COLLECTING_H

#include "exporter/collect.h"
#include "maker.h"

struct fixture {
    char *dir;
    const char *dirs[1];
    struct tb_collector *collector;
};

static inline int set_up_with(void **state, bool keeps_open)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->dir = maker_dir();
    f->dirs[0] = f->dir;
    struct tb_collect_options options = {.dirs = f->dirs, .dir_count = 1, .keeps_open = keeps_open};
    *state = f;
    return tb_collector_new(&options, &f->collector);
}

static inline int set_up(void **state)
{
    return set_up_with(state, false);
}

/* With files that stay open from one collection to the next. */
static inline int set_up_open(void **state)
{
    return set_up_with(state, true);
}

static inline int tear_down(void **state)
{
    struct fixture *f = *state;
    tb_collector_free(f->collector);
    maker_remove(f->dir);
    free(f);
    return 0;
}

static inline struct tb_snapshot *collect(struct fixture *f)
{
    assert_int_equal(tb_collect(f->collector), 0);
    return tb_collector_snapshot(f->collector);
}

/* Count of a series, 0 when there is none. */
static inline uint64_t count_of(struct tb_snapshot *s, const char *service, uint8_t method, const char *route,
                                uint16_t status)
{
    for (size_t i = 0; i < s->series_count; i++) {
        struct tb_snap_series *e = s->series[i];
        if (strcmp(e->service->name, service) == 0 && e->key.method == method && strcmp(e->key.route, route) == 0 &&
            e->key.status == status && e->key.family == TB_FAMILY_REQUESTS)
            return e->count;
    }
    return 0;
}

static inline struct tb_snap_service *service_of(struct tb_snapshot *s, const char *name)
{
    for (size_t i = 0; i < s->service_count; i++)
        if (strcmp(s->services[i]->name, name) == 0)
            return s->services[i];
    fail_msg("no service %s", name);
    return NULL;
}

#endif
