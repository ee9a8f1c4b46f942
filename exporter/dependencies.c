/* SPDX-License-Identifier: Apache-2.0 */
/* Adds up what services call (dependencies.h). Series lie in another order than targets, so those are looked up. */
#include "dependencies.h"

#include <stdlib.h>

#include "buffer.h"
#include "quantile.h"

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

uint64_t tb_dependency_unanswered(const struct tb_dependency *d)
{
    uint64_t count = 0;
    for (unsigned why = TB_CALL_REFUSED; why <= TB_CALL_PROTOCOL; why++)
        count += d->unanswered[why];
    return count;
}

const char *tb_dependency_state(const struct tb_dependency *d)
{
    if (!d->answered_ns && !d->failed_ns)
        return "unknown";
    return tb_dependency_is_up(d->answered_ns, d->failed_ns) ? "up" : "down";
}

size_t tb_dependencies(const struct tb_snapshot *s, struct tb_dependency **ret)
{
    struct tb_distribution took = {0}; /* of the target at hand */
    struct tb_snap_series **series = tb_alloc((s->series_count + 1) * sizeof(struct tb_snap_series *));
    size_t count = 0, used = 0;
    for (size_t i = 0; i < s->series_count; i++)
        if (s->series[i]->key.role == TB_ROLE_CLIENT && tb_snapshot_is_shown(s->series[i]))
            series[used++] = s->series[i];
    qsort(series, used, sizeof *series, by_target);
    *ret = tb_alloc((used + 1) * sizeof **ret);
    for (size_t i = 0; i < used; i++) {
        if (!i || by_target(&series[i - 1], &series[i]) != 0) {
            (*ret)[count++] = (struct tb_dependency){.service = series[i]->service, .target = series[i]->key.target};
            memset(&took, 0, sizeof took);
        }
        add(&(*ret)[count - 1], series[i]);
        if (series[i]->key.family == TB_FAMILY_REQUESTS)
            tb_distribution_add_values(&took, &series[i]->total, series[i]->key.bound_set);
        if (i + 1 == used || by_target(&series[i], &series[i + 1]) != 0)
            (*ret)[count - 1].p95_ns = tb_distribution_quantile_ns(&took, 0.95);
    }
    free(series);
    return count;
}

/* --- the last minute -------------------------------------------------------------------------------------------------
 */

static int compare_to_series(const void *series, const void *dependency)
{
    const struct tb_snap_series *e = series;
    const struct tb_dependency *d = dependency;
    int order = strcmp(e->service->name, d->service->name);
    return order ? order : strcmp(e->key.target, d->target);
}

double tb_dependencies_window(struct tb_dependency *list, size_t count, const struct tb_snapshot *s,
                              const struct tb_history *h, uint64_t now_ns)
{
    struct tb_distribution *took = tb_alloc((count + 1) * sizeof *took);
    struct tb_history_walk *walk = tb_history_walk_begin(h, s, now_ns);
    struct tb_increase increase;
    double seconds;
    const size_t from = tb_history_window(walk, now_ns, &seconds), end = tb_history_intervals(walk);
    for (size_t i = 0; i < s->series_count && from < end; i++) {
        const struct tb_snap_series *e = s->series[i];
        const bool is_answered = e->key.family == TB_FAMILY_REQUESTS;
        if (e->key.role != TB_ROLE_CLIENT || (!is_answered && e->key.family != TB_FAMILY_CALL_ERRORS))
            continue;
        struct tb_dependency *d = bsearch(e, list, count, sizeof *list, compare_to_series);
        for (size_t k = from; d && k < end; k++) {
            if (!tb_history_increase(walk, k, e, &increase))
                continue;
            d->window.calls += tb_increase_count(&increase);
            d->window.failed += !is_answered || e->key.status >= 500 ? tb_increase_count(&increase) : 0;
            if (is_answered)
                tb_distribution_add_increase(&took[d - list], &increase);
        }
    }
    for (size_t i = 0; i < count; i++)
        list[i].window.p95_ns = tb_distribution_quantile_ns(&took[i], 0.95);
    tb_history_walk_end(walk);
    free(took);
    return seconds;
}
