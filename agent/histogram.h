/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cells of the one-array histogram: the range of durations cut at the union of a bound set's classic bounds and the
 * base-2 exponential bounds of schema 3 (floor(1e9 * 2^(i/8)) ns). Any classic or exponential bucket is a sum of whole
 * cells. All bounds are inclusive upper bounds (le). Pure; any context.
 */
#ifndef TB_HISTOGRAM_H
#define TB_HISTOGRAM_H

#include "bytes.h"
#include "layout.h"

/* Octave 0: d <= 2^-20 s (the zero bucket); 1..37: 2^(o-21) < d <= 2^(o-20) s; 38: above 2^17 s. */
#define TB_OCTAVES 39u
#define TB_BOUNDS_MAX 40u
#define TB_BOUND_SETS 1u /* sets that this version knows: 0, the default (bounds.def) */
#define TB_CLASSIC_PER_OCTAVE 2u
_Static_assert(8u + TB_CLASSIC_PER_OCTAVE <= TB_BLOCK_CELLS, "a block holds the cells of an octave");

#define TB_EXPONENTIAL_BOUNDS 297u /* 2^-20 s .. 2^17 s in steps of 2^(1/8) */
#define TB_ZERO_BOUND_NS UINT64_C(953)
#define TB_LAST_BOUND_NS UINT64_C(131072000000000)

struct tb_cell_at {
    uint8_t octave;
    uint8_t cell; /* index inside the octave's block, < TB_BLOCK_CELLS */
};

/* floor(1e9 * 2^((i - 160)/8)). */
extern const uint64_t tb_histogram_exponential_ns[TB_EXPONENTIAL_BOUNDS];
/* By the 5 bits below a number's highest: a step into the table above, see tb_histogram_cell. */
extern const uint8_t tb_histogram_step[32];
/* The classic bounds of each octave that are no exponential bound too, each inverted (~ns); 0 = none. */
extern const uint64_t tb_histogram_classic[TB_BOUND_SETS][TB_OCTAVES][TB_CLASSIC_PER_OCTAVE];

/*
 * tb_histogram_cell - where a duration is counted. @bound_set must be a known set. No division, exact at every bound.
 *
 * The highest set bit and the 5 bits below give the number of exponential bounds below the duration or one less (bounds
 * are 9 % apart, a 5-bit step at most 3.2 %); one comparison settles it. A cell's number in its octave is the
 * number of the octave's bounds, of both kinds and in any order, below the duration.
 */
static inline struct tb_cell_at tb_histogram_cell(uint8_t bound_set, uint64_t duration_ns)
{
    uint64_t n = duration_ns - 1; /* bound < duration is bound <= n */
    if (TB_UNLIKELY(n - TB_ZERO_BOUND_NS > TB_LAST_BOUND_NS - 1 - TB_ZERO_BOUND_NS))
        return (struct tb_cell_at){duration_ns > TB_LAST_BOUND_NS ? TB_OCTAVES - 1 : 0, 0};
    uint32_t top = 63u ^ (uint32_t)__builtin_clzll(n); /* 9..46 */
    uint32_t below = top * 8 + tb_histogram_step[(n >> (top - 5)) - 32] - 79;
    below += n >= tb_histogram_exponential_ns[below]; /* exponential bounds below the duration: 1..296 */
    uint32_t octave = (below + 7) / 8;
    const uint64_t *classic = tb_histogram_classic[bound_set][octave];
    uint32_t cell = ((below + 7) & 7u) + (~n <= classic[0]) + (~n <= classic[1]);
    return (struct tb_cell_at){(uint8_t)octave, (uint8_t)cell};
}

/* tb_histogram_bounds - the classic bounds of a set in ns, ascending, without +Inf. Returns their number (0: unknown
 * set). */
size_t tb_histogram_bounds(uint8_t bound_set, const uint64_t **ret_bounds_ns);

/* tb_histogram_cell_bound - inclusive upper bound in ns of a cell; UINT64_MAX for the last. 0 when the cell does not
 * exist in that octave. */
uint64_t tb_histogram_cell_bound(uint8_t bound_set, uint32_t octave, uint32_t cell);

/*
 * tb_histogram_exponential_index - schema-3 bucket index (2^(i/8) s is its upper bound) of an existing cell, for native
 * histograms. Octave 0 is the zero bucket (-160); the last octave gives 137, whatever lies above 2^17 s.
 */
int tb_histogram_exponential_index(uint32_t octave, uint32_t cell, uint8_t bound_set);

#endif
