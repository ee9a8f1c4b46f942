/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cells of the one-array histogram: the range of durations cut at the union of a bound set's classic bounds and the
 * base-2 exponential bounds of schema 3 (floor(1e9 * 2^(i/8)) ns). Any classic or exponential bucket is a sum of whole
 * cells. All bounds are inclusive upper bounds (le).
 */
#ifndef TB_HISTOGRAM_H
#define TB_HISTOGRAM_H

#include "bytes.h"
#include "layout.h"

#define TB_OCTAVES                                                                                                     \
    39u /* octave 0: d <= 2^-20 s (the zero bucket), 1..37: 2^(o-21) < d <= 2^(o-20) s, 38: above 2^17 s */
#define TB_BOUNDS_MAX 40u

struct tb_cell_at {
    uint8_t octave;
    uint8_t cell; /* index inside the octave's block, < TB_BLOCK_CELLS */
};

/* tb_histogram_cell - where a duration is counted. @bound_set must be a known set (0 = default). Pure. */
struct tb_cell_at tb_histogram_cell(uint8_t bound_set, uint64_t duration_ns);

/* tb_histogram_bounds - the classic bounds of a set in ns, ascending, without +Inf. Returns their number (0: unknown
 * set). */
size_t tb_histogram_bounds(uint8_t bound_set, const uint64_t **ret_bounds_ns);

/* tb_histogram_cell_bound - inclusive upper bound in ns of a cell; UINT64_MAX for the last. 0 when the cell does not
 * exist in that octave. */
uint64_t tb_histogram_cell_bound(uint8_t bound_set, uint32_t octave, uint32_t cell);

/* tb_histogram_exponential_index - schema-3 bucket index (2^(i/8) s is its upper bound) of an existing cell: native
 * histograms. */
int tb_histogram_exponential_index(uint32_t octave, uint32_t cell, uint8_t bound_set);

#endif
