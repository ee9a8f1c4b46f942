/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bound sets in a region: the table of those that the rules asked for (layout.h), and what a process needs to find
 * cells of each. A set is found by its contents, so that all processes of a service give it one number, and is never
 * changed or taken back while the region has series: other bounds are another set.
 */
#ifndef TB_BOUND_SETS_H
#define TB_BOUND_SETS_H

#include "core.h"

/*
 * tb_bound_set_get - the number of the set with these bounds, entered in the table when new, fit to be used in
 * core->sets. Returns the unit's default set when the bounds cannot be used, the table is full or has no memory
 * (counted). Takes some 100,000 instructions for a set that is new to the process. Context: as tb_rules_adopt.
 */
uint8_t tb_bound_set_get(struct tb_core *core, const struct tb_bounds *bounds);

/*
 * tb_bound_sets_entry - the bounds of entry @number (enum tb_bound_set) of a copied rules section of @len bytes; it is
 * 8-byte aligned. False: there is none. What is found may make no sense: tb_histogram_cells.
 */
bool tb_bound_sets_entry(const void *section, size_t len, uint32_t number, struct tb_bounds *ret);

/* tb_bound_sets_reset - no series has a set any more, and nobody uses the region mapped at @base: numbers may mean
 * others. False: its page has no memory. */
bool tb_bound_sets_reset(const struct tb_core *core, uint8_t *base);

/* tb_bound_sets_init - the default sets; when a core gets a region. */
void tb_bound_sets_init(struct tb_core *core);

#endif
