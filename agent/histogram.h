/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cells of the one-array histogram: the range of values cut at the union of a bound set's classic bounds and 297 base-2
 * exponential bounds of schema 3. Any classic or exponential bucket is a sum of whole cells. All bounds are inclusive
 * upper bounds (le).
 *
 * Values are whole numbers of a unit's ticks: durations of nanoseconds, with the exponential bounds 2^-20 s .. 2^17 s,
 * rounded down; sizes of 1/2048 byte, with 2^-1 .. 2^36 bytes, so that no bytes and one byte are two cells and whole
 * bytes are compared exactly.
 *
 * Cells are numbered from 0 (up to the lowest exponential bound, the zero bucket) in ascending order; the last holds
 * what is above the highest. Eight of them make a block of the region, a cache line of counters that spans about an
 * octave: cell n is cell n % 8 of octave n / 8.
 */
#ifndef TB_HISTOGRAM_H
#define TB_HISTOGRAM_H

#include "bytes.h"
#include "layout.h"

#define TB_EXPONENTIAL_BOUNDS 297u
#define TB_CELLS_MAX (TB_EXPONENTIAL_BOUNDS + TB_BOUNDS_MAX + 1u)
#define TB_OCTAVES ((TB_CELLS_MAX + TB_BLOCK_CELLS - 1u) / TB_BLOCK_CELLS)
_Static_assert(TB_BLOCK_CELLS == 8u && TB_OCTAVES <= 64u, "TB_BLOCK keeps the octave in 6 bits");
#define TB_ZERO_BOUND_NS UINT64_C(953) /* the lowest exponential bound of any unit is at least this */

/* The classic bounds of a set: ascending, each once, without +Inf. */
struct tb_bounds {
    uint8_t unit;            /* enum tb_unit */
    uint8_t count;           /* 1 to TB_BOUNDS_MAX */
    const uint64_t *at_most; /* ticks; borrowed */
};

#define TB_BYTE_TICKS 2048u
/* tb_byte_ticks - a number of bytes as a value; what is too large for that is the largest. */
static inline uint64_t tb_byte_ticks(uint64_t bytes)
{
    return bytes < UINT64_MAX / TB_BYTE_TICKS ? bytes * TB_BYTE_TICKS : UINT64_MAX - 1;
}

/* A bound set made fit for the hot path. Owned by the core of a process; constant once built. */
struct tb_histogram {
    uint64_t bounds_ns[TB_CELLS_MAX + 2]; /* of each cell, in ticks; UINT64_MAX from the last cell on */
    /* By the highest set bit (from 9) and the 5 bits below it of a number: how many bounds are at most the lowest such
     * number. */
    uint16_t start[(64 - 9) * 32];
};

/*
 * tb_histogram_build - Returns false when the bounds are none, too many or not ascending, the unit is unknown, or three
 * of the classic and exponential bounds lie within one step of start[] (3.2 %); then *ret is not usable.
 */
bool tb_histogram_build(const struct tb_bounds *bounds, struct tb_histogram *ret);

/* tb_histogram_place - the number of a value's cell. No division, no loop, exact at every bound. */
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

/* tb_histogram_builtin - the classic bounds of a set that every version knows (enum tb_bound_set). False: unknown. */
bool tb_histogram_builtin(uint32_t bound_set, struct tb_bounds *ret);

/* tb_histogram_cells - the inclusive upper bounds of all cells in ticks, UINT64_MAX for the last. @ret has TB_CELLS_MAX
 * entries. Returns their number; 0: the bounds make no sense. */
size_t tb_histogram_cells(const struct tb_bounds *bounds, uint64_t *ret);

/*
 * tb_histogram_exponential_index - schema-3 bucket index (2^(i/8) seconds or bytes is its upper bound) of a cell, for
 * native histograms. The lowest, tb_histogram_zero_index, is the zero bucket; 297 above it is whatever lies above all.
 */
int tb_histogram_exponential_index(uint8_t unit, uint64_t cell_bound);
int tb_histogram_zero_index(uint8_t unit);

#endif
