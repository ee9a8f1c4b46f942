/* SPDX-License-Identifier: Apache-2.0 */
/* Distributions on the exponential grid: sums over cells, and quantiles with interpolation (quantile.h). */
#include "quantile.h"

#include <math.h>

/* The bounds are asked of bound set 0, as any set has them all. */
uint64_t tb_grid_upper_ns(unsigned bucket)
{
    static uint64_t uppers[TB_GRID_BUCKETS];
    if (!uppers[0]) {
        const struct tb_cell_place *places = tb_bounds_cells(0);
        for (uint32_t i = 0; i < TB_OCTAVES * TB_BLOCK_CELLS; i++)
            if (places[i].upper > uppers[places[i].grid])
                uppers[places[i].grid] = places[i].upper;
    }
    return bucket < TB_GRID_BUCKETS ? uppers[bucket] : UINT64_MAX;
}

void tb_distribution_add_values(struct tb_distribution *d, const struct tb_snap_values *v, uint16_t bound_set)
{
    const struct tb_cell_place *places = tb_bounds_cells(bound_set);
    for (const struct tb_snap_block *b = v->blocks; b != tb_blocks_end(v) && b->octave < TB_OCTAVES; b++)
        for (size_t i = 0; i < TB_BLOCK_CELLS; i++)
            d->counts[places[b->octave * TB_BLOCK_CELLS + i].grid] += b->cells[i];
}

void tb_distribution_add(struct tb_distribution *d, const struct tb_distribution *more)
{
    for (size_t i = 0; i < TB_GRID_BUCKETS; i++)
        d->counts[i] += more->counts[i];
}

uint64_t tb_distribution_count(const struct tb_distribution *d)
{
    uint64_t count = 0;
    for (size_t i = 0; i < TB_GRID_BUCKETS; i++)
        count += d->counts[i];
    return count;
}

/* @share (0..1] of the way through a bucket. */
static double inside_ns(unsigned bucket, double share)
{
    if (bucket == 0)
        return (double)tb_grid_upper_ns(0) * share;
    double lower = (double)tb_grid_upper_ns(bucket - 1);
    if (bucket == TB_GRID_BUCKETS - 1)
        return lower;
    return lower * pow((double)tb_grid_upper_ns(bucket) / lower, share);
}

double tb_distribution_quantile_ns(const struct tb_distribution *d, double q)
{
    uint64_t count = tb_distribution_count(d), before = 0;
    if (!count)
        return NAN;
    double rank = q * (double)count, whole = round(rank);
    if (fabs(rank - whole) < 1e-9 * whole) /* 0.07 * 100 is 7, not a hair more */
        rank = whole;
    for (unsigned i = 0; i < TB_GRID_BUCKETS; i++) {
        uint64_t here = d->counts[i];
        if (here && (double)(before + here) >= rank) {
            double share = (rank - (double)before) / (double)here;
            return inside_ns(i, share < 0 ? 0 : share);
        }
        before += here;
    }
    return inside_ns(TB_GRID_BUCKETS - 1, 1); /* only by the rounding of huge counts */
}
