/* SPDX-License-Identifier: Apache-2.0 */
/* Distributions on the exponential grid: sums over cells, and quantiles with interpolation (quantile.h). */
#include "quantile.h"

#include <math.h>

#include "buffer.h"

/* The bounds are asked of bound set 0, as any set has them all. */
uint64_t tb_grid_upper_ns(unsigned bucket)
{
    static uint64_t uppers[TB_GRID_BUCKETS];
    if (!uppers[0]) {
        const uint16_t *buckets = tb_grid_buckets(0);
        for (uint32_t i = 0; i < TB_OCTAVES * TB_BLOCK_CELLS; i++) {
            uint64_t upper = tb_cell_bound(0, i / TB_BLOCK_CELLS, i % TB_BLOCK_CELLS);
            if (upper > uppers[buckets[i]])
                uppers[buckets[i]] = upper;
        }
    }
    return bucket < TB_GRID_BUCKETS ? uppers[bucket] : UINT64_MAX;
}

const uint16_t *tb_grid_buckets(uint8_t bound_set)
{
    static uint16_t *made[256];
    if (made[bound_set])
        return made[bound_set];
    uint16_t *buckets = tb_alloc(TB_OCTAVES * TB_BLOCK_CELLS * sizeof *buckets);
    for (uint32_t i = 0; i < TB_OCTAVES * TB_BLOCK_CELLS; i++) {
        /* A cell that does not exist counts nothing in a sound region; a hostile one's is above every bound. */
        bool exists = tb_histogram_cell_bound(bound_set, i / TB_BLOCK_CELLS, i % TB_BLOCK_CELLS) != 0;
        int index = exists ? tb_histogram_exponential_index(i / TB_BLOCK_CELLS, i % TB_BLOCK_CELLS, bound_set) : 137;
        buckets[i] = (uint16_t)(index + 160);
    }
    made[bound_set] = buckets;
    return buckets;
}

void tb_distribution_add_values(struct tb_distribution *d, const struct tb_snap_values *v, uint8_t bound_set)
{
    const uint16_t *buckets = tb_grid_buckets(bound_set);
    for (const struct tb_snap_block *b = v->blocks; b && b->octave < TB_OCTAVES; b = b->next)
        for (size_t i = 0; i < TB_BLOCK_CELLS; i++)
            d->counts[buckets[b->octave * TB_BLOCK_CELLS + i]] += b->cells[i];
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
