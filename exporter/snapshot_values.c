/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic of what series have counted: cells in blocks by octave, sums beside them, and the classic buckets that the
 * cells add up to. Numbers are modulo 2^64 (snapshot.h). */
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "snapshot.h"

size_t tb_values_find(struct tb_snap_values *v, size_t from, uint32_t octave)
{
    size_t at = from;
    while (at < v->block_count && v->blocks[at].octave < octave)
        at++;
    if (at < v->block_count && v->blocks[at].octave == octave)
        return at;
    v->blocks = tb_realloc(v->blocks, (v->block_count + 1) * sizeof *v->blocks);
    memmove(&v->blocks[at + 1], &v->blocks[at], (v->block_count++ - at) * sizeof *v->blocks);
    v->blocks[at] = (struct tb_snap_block){.octave = octave};
    return at;
}

uint64_t *tb_values_block(struct tb_snap_values *v, uint32_t octave)
{
    size_t at = tb_values_find(v, 0, octave); /* first: it may move the blocks */
    return v->blocks[at].cells;
}

void tb_values_add(struct tb_snap_values *to, const struct tb_snap_values *from)
{
    to->sum_ns += from->sum_ns;
    to->first_byte_ns += from->first_byte_ns;
    to->rx_bytes += from->rx_bytes;
    to->tx_bytes += from->tx_bytes;
    to->incomplete += from->incomplete;
    to->untimed += from->untimed;
    to->retired += from->retired;
    for (const struct tb_snap_block *b = from->blocks; b != tb_blocks_end(from); b++) {
        uint64_t *cells = tb_values_block(to, (uint32_t)b->octave);
        for (size_t i = 0; i < TB_BLOCK_CELLS; i++)
            cells[i] += b->cells[i];
    }
}

void tb_values_subtract(struct tb_snap_values *to, const struct tb_snap_values *from)
{
    to->sum_ns -= from->sum_ns;
    to->first_byte_ns -= from->first_byte_ns;
    to->rx_bytes -= from->rx_bytes;
    to->tx_bytes -= from->tx_bytes;
    to->incomplete -= from->incomplete;
    to->untimed -= from->untimed;
    to->retired -= from->retired;
    for (const struct tb_snap_block *b = from->blocks; b != tb_blocks_end(from); b++) {
        uint64_t *cells = tb_values_block(to, (uint32_t)b->octave);
        for (size_t i = 0; i < TB_BLOCK_CELLS; i++)
            cells[i] -= b->cells[i];
    }
}

void tb_values_zero(struct tb_snap_values *v)
{
    *v = (struct tb_snap_values){.blocks = v->blocks, .block_count = v->block_count};
    for (size_t i = 0; i < v->block_count; i++)
        memset(v->blocks[i].cells, 0, sizeof v->blocks[i].cells);
}

void tb_values_free(struct tb_snap_values *v)
{
    free(v->blocks);
    *v = (struct tb_snap_values){0};
}

uint64_t tb_values_timed(const struct tb_snap_values *v)
{
    uint64_t n = 0;
    for (const struct tb_snap_block *b = v->blocks; b != tb_blocks_end(v); b++)
        for (size_t i = 0; i < TB_BLOCK_CELLS; i++)
            n += b->cells[i];
    return n;
}

uint64_t tb_values_count(const struct tb_snap_values *v)
{
    return v->untimed + v->retired + tb_values_timed(v);
}

size_t tb_values_classic(const struct tb_snap_values *v, uint16_t bound_set, uint64_t *ret)
{
    size_t count = tb_bounds_of(bound_set)->count;
    const struct tb_cell_place *places = tb_bounds_cells(bound_set);
    memset(ret, 0, (count + 1) * sizeof *ret);
    for (const struct tb_snap_block *b = v->blocks; b != tb_blocks_end(v) && b->octave < TB_OCTAVES; b++)
        for (size_t i = 0; i < TB_BLOCK_CELLS; i++)
            ret[places[b->octave * TB_BLOCK_CELLS + i].bucket] += b->cells[i];
    return count + 1;
}

uint64_t tb_cell_bound(uint16_t bound_set, uint32_t octave, size_t cell)
{
    return octave < TB_OCTAVES ? tb_bounds_cells(bound_set)[octave * TB_BLOCK_CELLS + cell].upper : UINT64_MAX;
}

uint64_t *tb_values_cell(struct tb_snap_values *v, uint16_t bound_set, uint64_t upper)
{
    const struct tb_cell_place *places = tb_bounds_cells(bound_set);
    uint32_t low = 0, high = TB_OCTAVES * TB_BLOCK_CELLS - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (places[middle].upper < upper)
            low = middle + 1;
        else
            high = middle;
    }
    return &tb_values_block(v, low / TB_BLOCK_CELLS)[low % TB_BLOCK_CELLS];
}

uint64_t tb_values_sum(const struct tb_snap_values *v, uint16_t bound_set)
{
    const struct tb_cell_place *places = tb_bounds_cells(bound_set);
    unsigned __int128 low = 0, high = 0;
    uint32_t ticks = tb_bounds_of(bound_set)->unit == TB_UNIT_BYTES ? TB_BYTE_TICKS : 1; /* of one of the sum */
    for (const struct tb_snap_block *b = v->blocks; b != tb_blocks_end(v) && b->octave < TB_OCTAVES; b++) {
        for (size_t i = 0; i < TB_BLOCK_CELLS; i++) {
            const struct tb_cell_place *p = &places[b->octave * TB_BLOCK_CELLS + i];
            if (!b->cells[i])
                continue;
            low += (unsigned __int128)b->cells[i] * (ticks == 1 ? p->lower : p->lower / ticks);
            high += (unsigned __int128)b->cells[i] * (ticks == 1 ? p->upper : p->upper / ticks);
        }
    }
    if (v->sum_ns < low)
        return low > UINT64_MAX ? UINT64_MAX : (uint64_t)low;
    return v->sum_ns > high ? (uint64_t)high : v->sum_ns;
}
