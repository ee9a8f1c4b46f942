/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bounds of the one-array histogram as constants, and what readers ask about cells. The hot half, from a duration
 * to its cell, is inline in histogram.h.
 *
 * All constants are made by the compiler from bounds.def and eight numbers: floor(1e9 * 2^(r/8) * 2^33). Shifting one
 * right by s gives floor(1e9 * 2^(r/8) * 2^(33-s)), exactly: the floor of a floor loses nothing.
 */
#include "histogram.h"

#define R0 UINT64_C(8589934592000000000)
#define R1 UINT64_C(9367390095664785123)
#define R2 UINT64_C(10215211334214395865)
#define R3 UINT64_C(11139766950770582417)
#define R4 UINT64_C(12148001999904198769)
#define R5 UINT64_C(13247490117328543392)
#define R6 UINT64_C(14446490411353358019)
#define R7 UINT64_C(15754009503455335899)

/* The 8 bounds from 2^(q-20) s up. */
#define Q1(q)                                                                                                          \
    R0 >> (53 - (q)), R1 >> (53 - (q)), R2 >> (53 - (q)), R3 >> (53 - (q)), R4 >> (53 - (q)), R5 >> (53 - (q)),        \
        R6 >> (53 - (q)), R7 >> (53 - (q))
#define Q4(q) Q1(q), Q1((q) + 1), Q1((q) + 2), Q1((q) + 3)

const uint64_t tb_histogram_exponential_ns[TB_EXPONENTIAL_BOUNDS] = {
    Q4(0), Q4(4), Q4(8), Q4(12), Q4(16), Q4(20), Q4(24), Q4(28), Q4(32), Q1(36), R0 >> (53 - 37)};
_Static_assert(R0 >> 53 == TB_ZERO_BOUND_NS && R0 >> (53 - 37) == TB_LAST_BOUND_NS, "bounds");

/* floor(8 * log2(1 + i/32) + 80 - 79.1788...): 79.1788 is 8 * log2(1e9) - 160. */
const uint8_t tb_histogram_step[32] = {0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 5, 5,
                                       5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7, 7, 8, 8, 8, 8};

/* The octave of a bound, as a constant: how many powers of two of a second, from 2^-20, are below it. */
#define A1(ns, q) ((ns) > (R0 >> (53 - (q))))
#define A4(ns, q) (A1(ns, q) + A1(ns, (q) + 1) + A1(ns, (q) + 2) + A1(ns, (q) + 3))
#define OCTAVE(ns)                                                                                                     \
    (A4(ns, 0) + A4(ns, 4) + A4(ns, 8) + A4(ns, 12) + A4(ns, 16) + A4(ns, 20) + A4(ns, 24) + A4(ns, 28) + A4(ns, 32) + \
     A1(ns, 36) + A1(ns, 37))
/* Of the default set only whole powers of two of a second coincide with an exponential bound (the test looks at all).
 */
#define COINCIDES(ns) ((ns) == R0 >> (53 - OCTAVE(ns)))

const uint64_t tb_histogram_classic[TB_BOUND_SETS][TB_OCTAVES][TB_CLASSIC_PER_OCTAVE] = {{
#define BOUND(ns) [OCTAVE(UINT64_C(ns))] = {COINCIDES(UINT64_C(ns)) ? 0 : ~UINT64_C(ns)},
#include "bounds.def"
#undef BOUND
}};

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

/* How many of an octave's classic bounds of its own are below @ns. */
static uint32_t classic_below(uint8_t bound_set, uint32_t octave, uint64_t ns)
{
    uint32_t below = 0;
    for (uint32_t i = 0; i < TB_CLASSIC_PER_OCTAVE; i++) {
        uint64_t inverted = tb_histogram_classic[bound_set][octave][i];
        below += inverted != 0 && ~inverted < ns;
    }
    return below;
}

uint64_t tb_histogram_cell_bound(uint8_t bound_set, uint32_t octave, uint32_t cell)
{
    if (bound_set >= TB_BOUND_SETS || octave >= TB_OCTAVES || cell >= TB_BLOCK_CELLS)
        return 0;
    if (octave == 0 || octave == TB_OCTAVES - 1)
        return cell ? 0 : octave ? UINT64_MAX : TB_ZERO_BOUND_NS;
    const uint64_t *exponential = &tb_histogram_exponential_ns[(octave - 1) * 8 + 1];
    for (uint32_t i = 0; i < 8; i++)
        if (i + classic_below(bound_set, octave, exponential[i]) == cell)
            return exponential[i];
    for (uint32_t i = 0; i < TB_CLASSIC_PER_OCTAVE; i++) {
        uint64_t inverted = tb_histogram_classic[bound_set][octave][i];
        uint32_t below = classic_below(bound_set, octave, ~inverted);
        for (uint32_t k = 0; k < 8; k++)
            below += exponential[k] < ~inverted;
        if (inverted != 0 && below == cell)
            return ~inverted;
    }
    return 0;
}

int tb_histogram_exponential_index(uint32_t octave, uint32_t cell, uint8_t bound_set)
{
    if (octave == 0 || octave >= TB_OCTAVES)
        return -160;
    if (octave == TB_OCTAVES - 1)
        return 137;
    uint64_t bound = tb_histogram_cell_bound(bound_set, octave, cell);
    uint32_t i = 0; /* the octave's first exponential bound that is not below the cell's */
    while (i < 7 && tb_histogram_exponential_ns[(octave - 1) * 8 + 1 + i] < bound)
        i++;
    return (int)((octave - 1) * 8 + 1 + i) - 160;
}
