/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bound sets of all regions and the ledger, under numbers of this process's own: regions number theirs each for
 * itself. A set is its unit and its bounds, so two regions that have the same are added up. Number 0 and 1 are the
 * defaults (enum tb_bound_set).
 *
 * Sets are added by the collecting thread and stay; what is here of one may be read by any thread.
 */
#ifndef TB_BOUNDS_H
#define TB_BOUNDS_H

#include "agent/histogram.h"

#define TB_BOUND_SETS_MAX 1024u /* more are refused */

/* Where a cell lies: above @lower, up to @upper (ticks), in a classic bucket, and in an exponential one (schema 3). */
struct tb_cell_place {
    uint64_t lower, upper;
    uint16_t grid; /* its number from the lowest one up; 0 is the zero bucket */
    uint8_t bucket;
};

/* tb_bounds_intern - the number of a set, made when new; -1: it makes no sense, or there are too many. */
int tb_bounds_intern(const struct tb_bounds *bounds);

/* tb_bounds_find - the number of a set, -1: it is not known. */
int tb_bounds_find(const struct tb_bounds *bounds);

/* tb_bounds_of - a set's unit and classic bounds; @bound_set is known. */
const struct tb_bounds *tb_bounds_of(uint16_t bound_set);

/* tb_bounds_values - the classic bounds of a known set in ns or bytes. The array is always the same. */
const uint64_t *tb_bounds_values(uint16_t bound_set);

/* tb_bounds_cells - all cells of a known set, TB_OCTAVES * TB_BLOCK_CELLS of them, ascending. One that does not exist
 * counts nothing in a sound region; a hostile one's lies above every bound. */
const struct tb_cell_place *tb_bounds_cells(uint16_t bound_set);

#endif
