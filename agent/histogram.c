/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bounds of the one-array histogram, the table that a process builds from them once (the hot path reads it in
 * tb_histogram_place, histogram.h), and what readers ask about cells.
 */
#include "histogram.h"

/* floor(1e9 * 2^(r/8) * 2^33). Shifting one right by s gives floor(1e9 * 2^(r/8) * 2^(33-s)): the floor of a floor is
 * exact. */
static const uint64_t eighths[8] = {UINT64_C(8589934592000000000),  UINT64_C(9367390095664785123),
                                    UINT64_C(10215211334214395865), UINT64_C(11139766950770582417),
                                    UINT64_C(12148001999904198769), UINT64_C(13247490117328543392),
                                    UINT64_C(14446490411353358019), UINT64_C(15754009503455335899)};

/* Exponential bound number @i from 0, 2^-20 s, to TB_EXPONENTIAL_BOUNDS - 1, 2^17 s. */
static uint64_t exponential_ns(uint32_t i)
{
    return eighths[i % 8] >> (53 - i / 8);
}

static const uint64_t default_bounds_ns[] = {
#define BOUND(ns) UINT64_C(ns),
#include "bounds.def"
#undef BOUND
};
_Static_assert(sizeof(default_bounds_ns) / 8 <= TB_BOUNDS_MAX, "bounds.def");

size_t tb_histogram_bounds(uint8_t bound_set, const uint64_t **ret_bounds_ns)
{
    if (bound_set >= TB_BOUND_SETS)
        return 0;
    *ret_bounds_ns = default_bounds_ns;
    return sizeof(default_bounds_ns) / sizeof(default_bounds_ns[0]);
}

/* Walks the union of both kinds of bounds in ascending order. */
struct walk {
    const uint64_t *classic;
    size_t classic_count, classic_at;
    uint32_t exponential_at;
};

static bool walk_start(struct walk *w, uint8_t bound_set)
{
    *w = (struct walk){0};
    w->classic_count = tb_histogram_bounds(bound_set, &w->classic);
    return w->classic_count != 0;
}

/* The next bound, UINT64_MAX behind the last. A classic bound that is also exponential, or is below or above all of
 * those, makes no cell of its own. */
static uint64_t walk_next(struct walk *w)
{
    if (w->exponential_at == TB_EXPONENTIAL_BOUNDS)
        return UINT64_MAX;
    uint64_t exponential = exponential_ns(w->exponential_at);
    if (w->classic_at < w->classic_count && w->classic[w->classic_at] <= exponential) {
        uint64_t classic = w->classic[w->classic_at++];
        if (classic < exponential && w->exponential_at > 0)
            return classic;
        return walk_next(w); /* each call passes one of at most TB_BOUNDS_MAX */
    }
    w->exponential_at++;
    return exponential;
}

bool tb_histogram_build(uint8_t bound_set, struct tb_histogram *ret)
{
    struct walk w;
    if (!walk_start(&w, bound_set))
        return false;
    for (size_t i = 0; i < sizeof(ret->bounds_ns) / sizeof(ret->bounds_ns[0]); i++)
        ret->bounds_ns[i] = walk_next(&w);
    uint32_t cell = 0;
    for (uint32_t i = 0; i < sizeof(ret->start) / sizeof(ret->start[0]); i++) {
        uint64_t lowest = (uint64_t)(32 + i % 32) << (9 + i / 32 - 5);
        uint32_t before = cell;
        while (ret->bounds_ns[cell] <= lowest)
            cell++;
        ret->start[i] = (uint16_t)cell;
        /* bounds inside of the step before, or at the lowest number of this one */
        if (cell - before > 2 + (uint32_t)(cell > 0 && ret->bounds_ns[cell - 1] == lowest))
            return false;
    }
    return true;
}

uint64_t tb_histogram_cell_bound(uint8_t bound_set, uint32_t octave, uint32_t cell)
{
    struct walk w;
    if (octave >= TB_OCTAVES || cell >= TB_BLOCK_CELLS || !walk_start(&w, bound_set))
        return 0;
    uint64_t bound = 0;
    for (uint32_t i = 0; i <= octave * TB_BLOCK_CELLS + cell; i++) {
        if (bound == UINT64_MAX)
            return 0;
        bound = walk_next(&w);
    }
    return bound;
}

int tb_histogram_exponential_index(uint32_t octave, uint32_t cell, uint8_t bound_set)
{
    uint64_t bound = tb_histogram_cell_bound(bound_set, octave, cell);
    uint32_t i = 0; /* the first exponential bound that is not below the cell's */
    while (i < TB_EXPONENTIAL_BOUNDS && exponential_ns(i) < bound)
        i++;
    return (int)i - 160;
}
