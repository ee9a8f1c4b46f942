/* SPDX-License-Identifier: Apache-2.0 */
/* Adds up what services call (dependencies.h). */
#include "dependencies.h"

#include <stdlib.h>

#include "buffer.h"

static int by_target(const void *left, const void *right)
{
    const struct tb_snap_series *a = *(struct tb_snap_series *const *)left, *b = *(struct tb_snap_series *const *)right;
    int order = strcmp(a->service->name, b->service->name);
    return order ? order : strcmp(a->key.target, b->key.target);
}

static void add(struct tb_dependency *d, const struct tb_snap_series *e)
{
    switch (e->key.family) {
    case TB_FAMILY_REQUESTS:
        d->answered += e->whole.count;
        d->server_errors += e->key.status >= 500 ? e->whole.count : 0;
        d->timed += tb_values_timed(&e->total);
        d->sum_ns += e->total.sum_ns;
        break;
    case TB_FAMILY_CALL_ERRORS:
        d->unanswered[e->key.status] += e->whole.count;
        break;
    case TB_FAMILY_CALL_RESULT:
        *(e->key.status == TB_CALL_ANSWERED ? &d->answered_ns : &d->failed_ns) = e->chosen_ns;
        break;
    default:
        break;
    }
}

size_t tb_dependencies(const struct tb_snapshot *s, struct tb_dependency **ret)
{
    struct tb_snap_series **series = tb_alloc((s->series_count + 1) * sizeof(struct tb_snap_series *));
    size_t count = 0, used = 0;
    for (size_t i = 0; i < s->series_count; i++)
        if (s->series[i]->key.role == TB_ROLE_CLIENT && tb_snapshot_is_shown(s->series[i]))
            series[used++] = s->series[i];
    qsort(series, used, sizeof *series, by_target);
    *ret = tb_alloc((used + 1) * sizeof **ret);
    for (size_t i = 0; i < used; i++) {
        if (!i || by_target(&series[i - 1], &series[i]) != 0)
            (*ret)[count++] = (struct tb_dependency){.service = series[i]->service, .target = series[i]->key.target};
        add(&(*ret)[count - 1], series[i]);
    }
    free(series);
    return count;
}
