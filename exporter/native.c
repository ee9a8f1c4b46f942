/* SPDX-License-Identifier: Apache-2.0 */
/* Native histograms out of cells (native.h). */
#include "native.h"

size_t tb_native_cells(const struct tb_snap_values *v, uint16_t bound_set, struct tb_exposed_cell *ret,
                       uint64_t *ret_zero)
{
    const struct tb_cell_place *places = tb_bounds_cells(bound_set);
    int lowest = tb_histogram_zero_index(tb_bounds_of(bound_set)->unit);
    uint64_t zero = 0;
    size_t count = 0;
    for (const struct tb_snap_block *b = v->blocks; b != tb_blocks_end(v) && b->octave < TB_OCTAVES; b++) {
        for (size_t i = 0; i < TB_BLOCK_CELLS; i++) {
            int at = lowest + places[b->octave * TB_BLOCK_CELLS + i].grid;
            if (!b->cells[i])
                continue;
            if (at == lowest)
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
