/* SPDX-License-Identifier: Apache-2.0 */
/* The bound sets that this process knows (bounds.h). A set's memory is made once and never moves. */
#include "bounds.h"

#include <stdlib.h>
#include <string.h>

#include "buffer.h"

#define CELLS (TB_OCTAVES * TB_BLOCK_CELLS)

struct known {
    struct tb_bounds bounds;
    uint64_t at_most[TB_BOUNDS_MAX];
    uint64_t values[TB_BOUNDS_MAX];
    struct tb_cell_place cells[CELLS];
};
static struct known *sets[TB_BOUND_SETS_MAX];
static size_t set_count;

static struct known *make(const struct tb_bounds *b)
{
    uint64_t upper[TB_CELLS_MAX], lower = 0;
    size_t count = tb_histogram_cells(b, upper);
    if (!count)
        return NULL;
    struct known *k = tb_alloc(sizeof *k);
    memcpy(k->at_most, b->at_most, b->count * sizeof *b->at_most);
    k->bounds = (struct tb_bounds){b->unit, b->count, k->at_most};
    for (size_t i = 0; i < b->count; i++)
        k->values[i] = b->unit == TB_UNIT_BYTES ? b->at_most[i] / TB_BYTE_TICKS : b->at_most[i];
    uint8_t bucket = 0;
    for (size_t i = 0; i < CELLS; i++) {
        bool exists = i < count;
        while (exists && bucket < b->count && upper[i] > b->at_most[bucket])
            bucket++;
        int index = tb_histogram_exponential_index(b->unit, exists ? upper[i] : UINT64_MAX);
        uint16_t grid = (uint16_t)(index - tb_histogram_zero_index(b->unit));
        k->cells[i] = (struct tb_cell_place){
            .lower = lower, .upper = exists ? upper[i] : lower, .grid = grid, .bucket = exists ? bucket : b->count};
        lower = k->cells[i].upper;
    }
    return k;
}

static bool are_same(const struct tb_bounds *a, const struct tb_bounds *b)
{
    return a->unit == b->unit && a->count == b->count &&
           memcmp(a->at_most, b->at_most, a->count * sizeof *a->at_most) == 0;
}

static int find(const struct tb_bounds *bounds)
{
    for (size_t i = 0; i < set_count; i++)
        if (are_same(&sets[i]->bounds, bounds))
            return (int)i;
    return -1;
}

static int intern(const struct tb_bounds *bounds)
{
    int number = find(bounds);
    if (number >= 0)
        return number;
    struct known *k = set_count < TB_BOUND_SETS_MAX ? make(bounds) : NULL;
    if (!k)
        return -1;
    sets[set_count] = k;
    return (int)set_count++;
}

/* The defaults have the numbers that they have everywhere. */
static void begin(void)
{
    struct tb_bounds b;
    for (uint32_t i = 0; set_count < TB_SET_FIRST && tb_histogram_builtin(i, &b); i++)
        (void)intern(&b);
}

int tb_bounds_find(const struct tb_bounds *bounds)
{
    begin();
    return find(bounds);
}

int tb_bounds_intern(const struct tb_bounds *bounds)
{
    begin();
    return intern(bounds);
}

const struct tb_bounds *tb_bounds_of(uint16_t bound_set)
{
    begin();
    return &sets[bound_set]->bounds;
}

const uint64_t *tb_bounds_values(uint16_t bound_set)
{
    begin();
    return sets[bound_set]->values;
}

const struct tb_cell_place *tb_bounds_cells(uint16_t bound_set)
{
    begin();
    return sets[bound_set]->cells;
}
