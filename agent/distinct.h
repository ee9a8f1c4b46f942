/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many different values there were in a sliding window, in shared memory, without the values: a sketch of 64 KiB
 * and a line. Writers give a keyed hash (siphash.h; the key is random, one for each region, and never leaves it).
 *
 * A hash chooses a row, by its leading zeros, and a cell in it. Row r is chosen by every 2^(r+1)th value, the last by
 * the rest. A cell keeps the slice of time in which it was last chosen, as a byte. Which cells are younger than the
 * window tells the reader how many values there were, by maximum likelihood over the rows (exporter/distinct_count.h).
 *
 * Writers are many and may be killed anywhere: each stores one byte. A byte would mean another slice after 255 of them,
 * so whoever begins a slice empties the old cells of a 64th of the sketch for each slice since the last value, all
 * cells when no value came for a window. Who is killed while it does that leaves cells to the next round; values that
 * others add while all is emptied may be lost. Standard error 0.7 % at 100,000 values, below that less.
 */
#ifndef TB_DISTINCT_H
#define TB_DISTINCT_H

#include "atomics.h"
#include "bytes.h"

#define TB_DISTINCT_ROWS 8u
#define TB_DISTINCT_CELLS 8192u  /* of a row */
#define TB_DISTINCT_WINDOW 60u   /* slices of a window, at most, the one that goes on included */
#define TB_DISTINCT_TAGS 255u    /* slices that a byte tells apart; 0 = never */
#define TB_DISTINCT_PORTIONS 64u /* parts that are looked through for old cells, one a slice */

/* In shared memory; zero is empty. Hostile to whoever reads it: any bytes give some number. */
struct tb_distinct {
    uint64_t slice; /* the last that a value was seen in, + 1; 0 = none */
    uint64_t reserved[7];
    uint8_t cells[TB_DISTINCT_ROWS][TB_DISTINCT_CELLS];
};
_Static_assert(sizeof(struct tb_distinct) == 64 + 65536, "a sketch's memory is stated");

/*
 * tb_distinct_add - a value was seen.
 *
 * @slice   number of the slice of time, by one clock for all writers and readers (time divided by the slice's length)
 * @window  slices of the window, 1 to TB_DISTINCT_WINDOW; the same for all
 * @hash    of the value, 64 bits that are all random
 *
 * Context: any, any number of writers at once; relaxed atomics, no lock. About 30 instructions; the first value of a
 * slice some thousand more.
 */
void tb_distinct_add(struct tb_distinct *d, uint64_t slice, uint32_t window, uint64_t hash);

/* tb_distinct_tag - the byte that stands for a slice. */
static inline uint8_t tb_distinct_tag(uint64_t slice)
{
    return (uint8_t)(slice % TB_DISTINCT_TAGS + 1);
}

/* tb_distinct_is_young - was the cell @tag chosen in the @window slices that end with the one of @now? */
static inline bool tb_distinct_is_young(uint8_t tag, uint8_t now, uint32_t window)
{
    uint32_t age = (uint32_t)now + TB_DISTINCT_TAGS - tag;
    return tag && (age >= TB_DISTINCT_TAGS ? age - TB_DISTINCT_TAGS : age) < window;
}

#endif
