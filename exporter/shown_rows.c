/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic of rows of sums (shown_rows.h), whose series may have bounds that differ. */
#include "shown_rows.h"

#include <stdlib.h>
#include <string.h>

#include "users.h"

/* The set of the bounds that two sets of a user have in common; -1: there is none. */
static int common_set(struct tb_snap_user *user, uint16_t a, uint16_t b)
{
    const struct tb_bounds *left = tb_bounds_of(a), *right = tb_bounds_of(b);
    uint64_t at_most[TB_BOUNDS_MAX];
    struct tb_bounds common = {.unit = left->unit, .at_most = at_most};
    for (size_t i = 0, k = 0; i < left->count && k < right->count;) {
        if (left->at_most[i] == right->at_most[k])
            at_most[common.count++] = left->at_most[i];
        bool is_below = left->at_most[i] <= right->at_most[k];
        k += right->at_most[k] <= left->at_most[i];
        i += is_below;
    }
    return left->unit == right->unit && common.count ? tb_user_bound_set(user, &common) : -1;
}

/* Cells of one set into those of another, all of whose bounds the first one has: none is cut. */
static void add_cells(struct tb_snap_values *to, uint16_t to_set, const struct tb_snap_values *from, uint16_t from_set)
{
    for (const struct tb_snap_block *b = from->blocks; b != tb_blocks_end(from); b++)
        for (size_t i = 0; i < TB_BLOCK_CELLS; i++)
            if (b->cells[i])
                *tb_values_cell(to, to_set, tb_cell_bound(from_set, (uint32_t)b->octave, i)) += b->cells[i];
}

static void recut(struct tb_snap_values *v, uint16_t from_set, uint16_t to_set)
{
    struct tb_snap_values before = {.blocks = v->blocks, .block_count = v->block_count};
    v->blocks = NULL;
    v->block_count = 0;
    add_cells(v, to_set, &before, from_set);
    tb_values_free(&before);
}

/* A row has the bounds that all in it have in common. False: there are none in common with @set. */
static bool fit(struct tb_snap_series *row, uint16_t set)
{
    const uint16_t before = row->key.bound_set;
    int common = before == set ? set : common_set(row->service->user, before, set);
    if (common >= 0 && common != before) {
        recut(&row->base, before, (uint16_t)common);
        recut(&row->total, before, (uint16_t)common);
        row->key.bound_set = (uint16_t)common;
    }
    return common >= 0;
}

/* What a series and those that differ from it in their bound set only have counted, into a row. Durations under bounds
 * of which the row has none are counted there, but have no place in its histogram. */
void tb_row_add(struct tb_snap_series *row, const struct tb_snap_series *e)
{
    uint64_t untimed = e->whole.count - e->whole.timed, retired = e->whole.timed;
    uint64_t incomplete = e->whole.incomplete, first_byte_ns = e->whole.first_byte_ns;
    if (fit(row, e->key.bound_set)) {
        struct tb_snap_values but_cells = e->total;
        but_cells.block_count = 0;
        tb_values_add(&row->total, row->key.bound_set == e->key.bound_set ? &e->total : &but_cells);
        if (row->key.bound_set != e->key.bound_set)
            add_cells(&row->total, row->key.bound_set, &e->total, e->key.bound_set);
        retired -= e->count - e->total.untimed;
        untimed -= e->total.untimed;
        incomplete -= e->total.incomplete;
        first_byte_ns -= e->total.first_byte_ns;
    }
    row->total.untimed += untimed;
    row->total.retired += retired;
    row->total.incomplete += incomplete;
    row->total.first_byte_ns += first_byte_ns;
    if (e->chosen_ns > row->chosen_ns)
        row->chosen_ns = e->chosen_ns;
}

void tb_row_begin(struct tb_snap_series *row)
{
    tb_values_zero(&row->total);
    tb_values_add(&row->total, &row->base);
}

void tb_row_finish(struct tb_snap_series *row, uint64_t now_ns)
{
    row->count = tb_values_count(&row->total);
    /* It falls when a histogram of it has begun anew, and when fewer series are in it than before. */
    if (tb_has_fallen(row->count, row->served_count) || tb_has_fallen(row->total.sum_ns, row->served_sum_ns)) {
        tb_values_subtract(&row->base, &row->total);
        tb_values_zero(&row->total);
        row->count = 0;
        row->created_ns = now_ns;
    }
    row->served_count = row->count;
    row->served_sum_ns = row->total.sum_ns;
    row->is_served = true;
    tb_series_whole(row);
}

/* --- rows that are shown no more -------------------------------------------------------------------------------------
 */

static void free_row(struct tb_snap_series *row)
{
    tb_values_free(&row->base);
    tb_values_free(&row->total);
    free((void *)(uintptr_t)row->key.route);
    free((void *)(uintptr_t)row->key.target);
    free(row->labels);
    free(row->pairs);
    free(row);
}

static void take_out(struct tb_rows_ended *ended, size_t i)
{
    free_row(ended->rows[i]);
    ended->count--;
    memmove(&ended->rows[i], &ended->rows[i + 1], (ended->count - i) * sizeof(struct tb_snap_series *));
}

void tb_rows_end(struct tb_rows_ended *ended, struct tb_snap_series *row)
{
    if (ended->count == TB_ROWS_ENDED)
        take_out(ended, 0);
    ended->rows[ended->count++] = row;
}

void tb_rows_resume(struct tb_rows_ended *ended, struct tb_snap_series *row)
{
    for (size_t i = ended->count; i-- > 0;) {
        struct tb_snap_series *e = ended->rows[i];
        if (e->key.family != row->key.family || e->key.role != row->key.role || strcmp(e->labels, row->labels) != 0)
            continue;
        row->base = e->base;
        e->base = (struct tb_snap_values){0};
        row->key.bound_set = e->key.bound_set;
        row->served_count = e->served_count;
        row->served_sum_ns = e->served_sum_ns;
        row->created_ns = e->created_ns;
        row->is_served = e->is_served;
        take_out(ended, i);
        return;
    }
}

void tb_rows_free(struct tb_rows_ended *ended)
{
    while (ended->count)
        free_row(ended->rows[--ended->count]);
}
