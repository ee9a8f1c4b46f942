/* SPDX-License-Identifier: Apache-2.0 */
/* A learner in plain memory, for the benches of routes. */
#ifndef TB_BENCH_LINES_H
#define TB_BENCH_LINES_H

#include <stdlib.h>
#include <string.h>
#include "region.h"
#include "route.h"
#include "route_learner.h"

struct lines {
    struct tb_core *core;
    void *base;
};

static long lines_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
    (void)nr, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f;
    return 0; /* every page is there */
}

static uint64_t lines_clock(void)
{
    return 0;
}

/* Empty it: the next request is the first of its service. */
static inline bool lines_fresh(struct lines *l)
{
    memset(l->core, 0, sizeof *l->core);
    memset(l->base, 0, TB_REGION_BYTES);
    l->core->env = (struct tb_env){lines_syscall, lines_clock, TB_PAGE, 1};
    tb_region_format(l->base, &(struct tb_identity){.service = "lines"}, 1, 1);
    return tb_region_bind(l->core, l->base, TB_REGION_BYTES) == 0;
}

static inline void lines_close(struct lines *l)
{
    free(l->core);
    free(l->base);
}

static inline bool lines_open(struct lines *l)
{
    l->core = malloc(sizeof *l->core);
    l->base = aligned_alloc(TB_PAGE, TB_REGION_BYTES);
    if (l->core && l->base && lines_fresh(l))
        return true;
    lines_close(l);
    return false;
}

#endif
