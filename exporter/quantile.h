/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Distributions of durations on one grid, and their quantiles. The grid is that of the base-2 exponential buckets of
 * schema 3 (agent/histogram.h): every cell of every bound set lies inside of one of its buckets, so that series with
 * different classic bounds add up exactly. Pure: no I/O, no clock. One thread at a time (a table is made at first use).
 */
#ifndef TB_QUANTILE_H
#define TB_QUANTILE_H

#include "snapshot.h"

/* 0: up to 2^-20 s; 1..296: a factor of 2^(1/8) each; the last: above 2^17 s. */
#define TB_GRID_BUCKETS (TB_EXPONENTIAL_BOUNDS + 1u)

struct tb_distribution {
    uint64_t counts[TB_GRID_BUCKETS];
};

/* tb_grid_upper_ns - inclusive upper bound of a bucket; UINT64_MAX for the last. */
uint64_t tb_grid_upper_ns(unsigned bucket);

void tb_distribution_add_values(struct tb_distribution *d, const struct tb_snap_values *v, uint16_t bound_set);
void tb_distribution_add(struct tb_distribution *d, const struct tb_distribution *more);
uint64_t tb_distribution_count(const struct tb_distribution *d);

/*
 * tb_distribution_quantile_ns - the duration that a share @q (0..1) of all does not exceed; NAN when there are none.
 * The bucket is the one that holds rank ceil(q * count), so it is the true quantile's; inside of it durations are taken
 * to lie evenly on a logarithmic scale (in the first bucket on a linear one, from 0), as Prometheus does for native
 * histograms. So the answer is off by less than a bucket's width, a factor of 2^(1/8) = 1.09. In the last bucket it is
 * that bucket's lower bound.
 */
double tb_distribution_quantile_ns(const struct tb_distribution *d, double q);

#endif
