/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the sketches of agent/distinct.h: how many different values there were. */
#ifndef TB_DISTINCT_COUNT_H
#define TB_DISTINCT_COUNT_H

#include "agent/distinct.h"

/*
 * tb_distinct_count - an estimate of the different values in the @window slices that end with @slice.
 *
 * @d  a copy, or live memory: each cell is read once. Any bytes give some number, at most about 8 million
 *
 * Pure; about 0.1 ms.
 */
double tb_distinct_count(const struct tb_distinct *d, uint64_t slice, uint32_t window);

#endif
