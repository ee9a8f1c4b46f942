/* SPDX-License-Identifier: Apache-2.0 */
/* Native histograms out of cells (native.h). */
#include "native.h"

/* Of tb_histogram_exponential_index. */
#define ZERO (-160) /* the zero bucket */
#define ABOVE 137   /* above every bound */

/* The index of every cell of a bound set, octave by octave. */
static const int16_t *indices(uint8_t bound_set)
{
    static int16_t *made[256];
    if (made[bound_set])
        return made[bound_set];
    int16_t *table = tb_alloc(TB_OCTAVES * TB_BLOCK_CELLS * sizeof *table);
    for (uint32_t i = 0; i < TB_OCTAVES * TB_BLOCK_CELLS; i++)
        table[i] = !tb_histogram_cell_bound(bound_set, i / TB_BLOCK_CELLS, i % TB_BLOCK_CELLS)
                       ? ABOVE /* does not exist: counts nothing in a sound region, see tb_values_classic */
                       : (int16_t)tb_histogram_exponential_index(i / TB_BLOCK_CELLS, i % TB_BLOCK_CELLS, bound_set);
    made[bound_set] = table;
    return table;
}

size_t tb_native_cells(const struct tb_snap_values *v, uint8_t bound_set, struct tb_exposed_cell *ret,
                       uint64_t *ret_zero)
{
    const int16_t *index = indices(bound_set);
    uint64_t zero = 0;
    size_t count = 0;
    for (const struct tb_snap_block *b = v->blocks; b && b->octave < TB_OCTAVES; b = b->next) {
        for (size_t i = 0; i < TB_BLOCK_CELLS; i++) {
            int16_t at = index[b->octave * TB_BLOCK_CELLS + i];
            if (!b->cells[i])
                continue;
            if (at == ZERO)
                zero += b->cells[i];
            else if (count && ret[count - 1].index == at)
                ret[count - 1].count += b->cells[i];
            else if (count < TB_EXPOSED_CELLS_MAX)
                ret[count++] = (struct tb_exposed_cell){at, b->cells[i]};
        }
    }
    *ret_zero = zero;
    return count;
}
