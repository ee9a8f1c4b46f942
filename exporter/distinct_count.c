/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The estimate (distinct_count.h). With n values, a cell of row r stays empty with probability exp(-n p_r / m), where
 * p_r is the row's share of the values and m its cells. The number that makes the observed cells most likely is where
 * the derivative of the logarithm of that likelihood is 0; it only falls, so halving an interval finds it.
 */
#include "distinct_count.h"

#include <math.h>

/* More than this many values leave no cell of the last row old, and nothing to tell them by. */
#define MOST (TB_DISTINCT_CELLS * 8.0 * (1u << (TB_DISTINCT_ROWS - 1)))

static double share_of(uint32_t row)
{
    uint32_t bits = row + 1 < TB_DISTINCT_ROWS ? row + 1 : row;
    return 1.0 / (double)(1u << bits);
}

/* The derivative by the number of values at @n, up to a positive factor. */
static double slope(const uint32_t *young, double n)
{
    double sum = 0;
    for (uint32_t row = 0; row < TB_DISTINCT_ROWS; row++) {
        double p = share_of(row), x = n * p / TB_DISTINCT_CELLS;
        sum += p * (young[row] / expm1(x) - (TB_DISTINCT_CELLS - young[row]));
    }
    return sum;
}

double tb_distinct_count(const struct tb_distinct *d, uint64_t slice, uint32_t window)
{
    uint64_t last = tb_load_relaxed(&d->slice);
    uint32_t young[TB_DISTINCT_ROWS] = {0}, all = 0;

    /* nothing in the window: bytes from before may look young by now */
    if (last == 0 || (slice >= last && slice + 1 - last >= window))
        return 0;
    if (last == slice + 2) /* a writer was here after the caller's look at the clock */
        slice++;
    uint8_t now = tb_distinct_tag(slice);
    for (uint32_t row = 0; row < TB_DISTINCT_ROWS; row++) {
        for (uint32_t i = 0; i < TB_DISTINCT_CELLS; i++)
            young[row] += tb_distinct_is_young(tb_load_relaxed(&d->cells[row][i]), now, window);
        all += young[row];
    }
    if (all == 0)
        return 0;
    double low = 0.5, high = MOST;
    for (int i = 0; i < 60; i++) {
        double middle = (low + high) / 2;
        if (slope(young, middle) > 0)
            low = middle;
        else
            high = middle;
    }
    return low;
}
