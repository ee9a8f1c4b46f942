/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cells of the one-array histogram: the range of durations cut at the union of a bound set's classic bounds and the
 * base-2 exponential bounds of schema 3 (floor(1e9 * 2^(i/8)) ns for i = -160..136, so 2^-20 s .. 2^17 s). Any classic
 * or exponential bucket is a sum of whole cells. All bounds are inclusive upper bounds (le).
 *
 * Cells are numbered from 0 (up to 2^-20 s, the zero bucket) in ascending order; the last holds what is above 2^17 s.
 * Eight of them make a block of the region, a cache line of counters that spans about an octave: cell n is cell n % 8
 * of octave n / 8.
 */
#ifndef TB_HISTOGRAM_H
#define TB_HISTOGRAM_H

#include "bytes.h"
#include "layout.h"

#define TB_BOUNDS_MAX 40u
#define TB_BOUND_SETS 1u /* sets that this version knows: 0, the default (bounds.def) */
#define TB_EXPONENTIAL_BOUNDS 297u
#define TB_CELLS_MAX (TB_EXPONENTIAL_BOUNDS + TB_BOUNDS_MAX + 1u)
#define TB_OCTAVES ((TB_CELLS_MAX + TB_BLOCK_CELLS - 1u) / TB_BLOCK_CELLS)
_Static_assert(TB_BLOCK_CELLS == 8u && TB_OCTAVES <= 64u, "TB_BLOCK keeps the octave in 6 bits");
#define TB_ZERO_BOUND_NS UINT64_C(953)

/* A bound set made fit for the hot path. Owned by the core of a process; constant once built. */
struct tb_histogram {
    uint64_t bounds_ns[TB_CELLS_MAX + 2]; /* of each cell; UINT64_MAX from the last cell on */
    /* By the highest set bit (from 9) and the 5 bits below it of a number: how many bounds are at most the lowest such
     * number. */
    uint16_t start[(64 - 9) * 32];
};

/*
 * tb_histogram_build - Returns false when the set is unknown or three of its bounds and the exponential ones lie within
 * one step of start[] (3.2 %); then *ret is not usable.
 */
bool tb_histogram_build(uint8_t bound_set, struct tb_histogram *ret);

/* tb_histogram_place - the number of a duration's cell. No division, no loop, exact at every bound. */
static inline uint32_t tb_histogram_place(const struct tb_histogram *h, uint64_t duration_ns)
{
    if (TB_UNLIKELY(duration_ns <= TB_ZERO_BOUND_NS))
        return 0;
    uint64_t n = duration_ns - 1; /* bound < duration is bound <= n */
    uint32_t top = 63u ^ (uint32_t)__builtin_clzll(n);
    uint64_t cell = h->start[(uint32_t)(n >> (top - 5)) + top * 32 - (9 * 32 + 32)];
    /* At most two bounds are inside of a step. */
    cell += n >= h->bounds_ns[cell];
    cell += n >= h->bounds_ns[cell];
    return (uint32_t)cell;
}

/* tb_histogram_bounds - the classic bounds of a set in ns, ascending, without +Inf. Returns their number (0: unknown
 * set). */
size_t tb_histogram_bounds(uint8_t bound_set, const uint64_t **ret_bounds_ns);

/* tb_histogram_cell_bound - inclusive upper bound in ns of a cell; UINT64_MAX for the last. 0 when the cell does not
 * exist in that octave. */
uint64_t tb_histogram_cell_bound(uint8_t bound_set, uint32_t octave, uint32_t cell);

/*
 * tb_histogram_exponential_index - schema-3 bucket index (2^(i/8) s is its upper bound) of an existing cell, for native
 * histograms. -160 is the zero bucket, 137 whatever lies above 2^17 s.
 */
int tb_histogram_exponential_index(uint32_t octave, uint32_t cell, uint8_t bound_set);

#endif
