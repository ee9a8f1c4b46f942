/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bounds of the one-array histogram, the table that a process builds from them once (the hot path reads it in
 * tb_histogram_place, histogram.h), and what readers ask about cells.
 */
#include "histogram.h"

/* By unit, floor(one * 2^(r/8) * 2^k), such that one shifted right by 53 is the lowest exponential bound. The floor of
 * a floor is exact. */
static const uint64_t eighths[TB_UNITS][8] = {
    {/* 1e9 and 2^33 */
     UINT64_C(8589934592000000000), UINT64_C(9367390095664785123), UINT64_C(10215211334214395865),
     UINT64_C(11139766950770582417), UINT64_C(12148001999904198769), UINT64_C(13247490117328543392),
     UINT64_C(14446490411353358019), UINT64_C(15754009503455335899)},
    {/* 1 and 2^63 */
     UINT64_C(9223372036854775808), UINT64_C(10058158527438640870), UINT64_C(10968499650544839023),
     UINT64_C(11961233684655323370), UINT64_C(13043817825332782212), UINT64_C(14224384202002324189),
     UINT64_C(15511800964685064948), UINT64_C(16915738899553466670)},
};

/* Exponential bound number @i from 0, the lowest, to TB_EXPONENTIAL_BOUNDS - 1. */
static uint64_t exponential(uint8_t unit, uint32_t i)
{
    return eighths[unit][i % 8] >> (53 - i / 8);
}

bool tb_histogram_builtin(uint32_t bound_set, struct tb_bounds *ret)
{
    static const uint64_t durations[] = {
#define BOUND(ns) UINT64_C(ns),
#include "bounds.def"
#undef BOUND
    };
    static const uint64_t sizes[] = {
#define BOUND(bytes) UINT64_C(bytes) * TB_BYTE_TICKS,
#include "bounds_size.def"
#undef BOUND
    };
    _Static_assert(sizeof(durations) / 8 <= TB_BOUNDS_MAX && sizeof(sizes) / 8 <= TB_BOUNDS_MAX, "bounds.def");
    if (bound_set == TB_SET_DURATION)
        *ret = (struct tb_bounds){TB_UNIT_SECONDS, sizeof(durations) / 8, durations};
    else if (bound_set == TB_SET_SIZE)
        *ret = (struct tb_bounds){TB_UNIT_BYTES, sizeof(sizes) / 8, sizes};
    else
        return false;
    return true;
}

static bool are_sound(const struct tb_bounds *b)
{
    if (b->unit >= TB_UNITS || !b->count || b->count > TB_BOUNDS_MAX)
        return false;
    for (uint32_t i = 1; i < b->count; i++)
        if (b->at_most[i] <= b->at_most[i - 1])
            return false;
    return true;
}

/* Walks the union of both kinds of bounds in ascending order. */
struct walk {
    struct tb_bounds classic;
    uint32_t classic_at, exponential_at;
};

/* The next bound, UINT64_MAX behind the last. A classic bound that is also exponential, or is below or above all of
 * those, makes no cell of its own. */
static uint64_t walk_next(struct walk *w)
{
    if (w->exponential_at == TB_EXPONENTIAL_BOUNDS)
        return UINT64_MAX;
    uint64_t next = exponential(w->classic.unit, w->exponential_at);
    while (w->classic_at < w->classic.count && w->classic.at_most[w->classic_at] <= next) {
        uint64_t classic = w->classic.at_most[w->classic_at++];
        if (classic < next && w->exponential_at > 0)
            return classic;
    }
    w->exponential_at++;
    return next;
}

bool tb_histogram_build(const struct tb_bounds *bounds, struct tb_histogram *ret)
{
    if (!are_sound(bounds))
        return false;
    struct walk w = {.classic = *bounds};
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

size_t tb_histogram_cells(const struct tb_bounds *bounds, uint64_t *ret)
{
    if (!are_sound(bounds))
        return 0;
    struct walk w = {.classic = *bounds};
    size_t count = 0;
    do
        ret[count] = walk_next(&w);
    while (ret[count++] != UINT64_MAX && count < TB_CELLS_MAX);
    return count;
}

int tb_histogram_zero_index(uint8_t unit)
{
    return unit == TB_UNIT_BYTES ? -8 : -160;
}

int tb_histogram_exponential_index(uint8_t unit, uint64_t cell_bound)
{
    uint32_t i = 0; /* the first exponential bound that is not below the cell's */
    while (i < TB_EXPONENTIAL_BOUNDS && exponential(unit, i) < cell_bound)
        i++;
    return (int)i + tb_histogram_zero_index(unit);
}
