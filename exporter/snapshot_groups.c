/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of series, and groups of them: series that differ in nothing but their bound set lie together and are one
 * to whoever scrapes (snapshot.h). Which of a group is shown is what the programs said last.
 */
#include "snapshot_groups.h"

#include <stdlib.h>
#include <string.h>

int tb_snapshot_compare_labels(const struct tb_snap_series *a, const struct tb_snap_series *b)
{
    int d;
    if ((d = strcmp(a->key.ext, b->key.ext)) != 0)
        return d; /* custom metrics only: each one's series lie together */
    if (a->service != b->service)
        return tb_snapshot_compare_services(a->service, b->service);
    if (a->key.method != b->key.method)
        return a->key.method < b->key.method ? -1 : 1;
    if ((d = strcmp(a->key.route, b->key.route)) != 0)
        return d;
    if ((d = strcmp(a->key.target, b->key.target)) != 0)
        return d;
    return (a->key.status > b->key.status) - (a->key.status < b->key.status);
}

bool tb_snapshot_same_route(const struct tb_snap_series *a, const struct tb_snap_series *b)
{
    return a->key.family == b->key.family && a->key.role == b->key.role && a->service == b->service &&
           a->key.method == b->key.method && strcmp(a->key.route, b->key.route) == 0 &&
           strcmp(a->key.target, b->key.target) == 0;
}

int tb_series_compare(const struct tb_snap_series *a, const struct tb_snap_series *b)
{
    if (a->key.family != b->key.family)
        return a->key.family < b->key.family ? -1 : 1;
    if (a->key.role != b->key.role)
        return a->key.role < b->key.role ? -1 : 1;
    int d = tb_snapshot_compare_labels(a, b);
    return d ? d : (a->key.bound_set > b->key.bound_set) - (a->key.bound_set < b->key.bound_set);
}

int tb_series_compare_entries(const void *left, const void *right)
{
    return tb_series_compare(*(struct tb_snap_series *const *)left, *(struct tb_snap_series *const *)right);
}

void tb_series_sort(struct tb_snapshot *s)
{
    if (s->series_count)
        qsort(s->series, s->series_count, sizeof(struct tb_snap_series *), tb_series_compare_entries);
    for (size_t i = 0; i < s->series_count; i += s->series[i]->group) {
        struct tb_snap_series *first = s->series[i];
        first->group = 1;
        while (i + first->group < s->series_count && s->series[i + first->group]->key.family == first->key.family &&
               tb_snapshot_same_labels(first, s->series[i + first->group]))
            first->group++;
    }
}

/* A histogram whose bounds were replaced and are in force again begins at 0, as that of any other bounds would: what it
 * had counted before is not to look as if it came all at once. The requests stay counted. */
static void retire_cells(struct tb_snap_series *e, uint64_t now_ns)
{
    uint64_t timed = tb_values_timed(&e->total);
    for (size_t k = 0; k < e->total.block_count; k++) {
        struct tb_snap_block *b = &e->total.blocks[k];
        uint64_t *base = tb_values_block(&e->base, (uint32_t)b->octave);
        for (size_t i = 0; i < TB_BLOCK_CELLS; i++)
            base[i] -= b->cells[i];
        memset(b->cells, 0, sizeof b->cells);
    }
    e->base.sum_ns -= e->total.sum_ns;
    e->base.retired += timed;
    e->total.retired += timed;
    e->total.sum_ns = e->served_sum_ns = 0;
    e->created_ns = now_ns;
}

/* The one of a group whose set was chosen last; before any was chosen, the one with most in it. */
static struct tb_snap_series *latest(struct tb_snap_series *const *group, size_t count)
{
    struct tb_snap_series *found = group[0];
    for (size_t i = 1; i < count; i++)
        if (group[i]->chosen_ns > found->chosen_ns ||
            (group[i]->chosen_ns == found->chosen_ns && group[i]->count > found->count))
            found = group[i];
    return found;
}

bool tb_groups_choose(struct tb_snapshot *s)
{
    bool has_changed = false;
    for (size_t i = 0, end; i < s->series_count; i = end) {
        struct tb_snap_series *current, *before = NULL;
        end = i + s->series[i]->group;
        current = latest(s->series + i, end - i);
        for (size_t k = i; k < end; k++) {
            if (s->series[k]->is_current)
                before = s->series[k];
            s->series[k]->is_current = s->series[k] == current;
        }
        if (before && before != current && current->is_served) {
            retire_cells(current, s->now_ns);
            has_changed = true;
        }
    }
    return has_changed;
}

static void add_to_whole(struct tb_snap_series *to, const struct tb_snap_series *e)
{
    to->whole.count += e->count;
    to->whole.timed += e->count - e->total.untimed;
    to->whole.first_byte_ns += e->total.first_byte_ns;
    to->whole.incomplete += e->total.incomplete;
    if (e->created_ns < to->whole.created_ns)
        to->whole.created_ns = e->created_ns;
}

static void begin_whole(struct tb_snap_series *e)
{
    memset(&e->whole, 0, sizeof e->whole);
    e->whole.created_ns = e->created_ns;
}

void tb_series_whole(struct tb_snap_series *e)
{
    begin_whole(e);
    add_to_whole(e, e);
}

void tb_groups_add_up(struct tb_snapshot *s)
{
    for (size_t i = 0, end; i < s->series_count; i = end) {
        struct tb_snap_series *current = s->series[i];
        end = i + s->series[i]->group;
        for (size_t k = i; k < end; k++)
            if (s->series[k]->is_current)
                current = s->series[k];
        begin_whole(current);
        for (size_t k = i; k < end; k++) {
            add_to_whole(current, s->series[k]);
            current->is_served |= s->series[k]->is_served;
        }
    }
}
