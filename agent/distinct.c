/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a sketch of different values (distinct.h). Fork and crash story: all state is in shared memory, one byte a
 * value; who dies while it empties old cells leaves them to the next round, which comes before their bytes mean another
 * slice.
 */
#include "distinct.h"

#define PORTION (sizeof(((struct tb_distinct *)0)->cells) / TB_DISTINCT_PORTIONS)
_Static_assert(TB_DISTINCT_WINDOW + 2 * TB_DISTINCT_PORTIONS + TB_DISTINCT_WINDOW < TB_DISTINCT_TAGS,
               "an old cell is looked at twice before its byte seems young again");

/* The bytes of @word that are still young. */
static uint64_t young_bytes(uint64_t word, uint8_t now, uint32_t window)
{
    uint64_t kept = 0;
    for (unsigned shift = 0; shift < 64; shift += 8) {
        uint8_t tag = (uint8_t)(word >> shift);
        if (tb_distinct_is_young(tag, now, window))
            kept |= (uint64_t)tag << shift;
    }
    return kept;
}

/* Empties the old cells of one portion. A cell that is chosen meanwhile makes the swap fail and stays. */
static void sweep(struct tb_distinct *d, uint64_t portion, uint8_t now, uint32_t window)
{
    uint64_t *word = (uint64_t *)(void *)(&d->cells[0][0] + portion * PORTION);
    for (size_t i = 0; i < PORTION / 8; i++, word++) {
        uint64_t was = tb_load_relaxed(word), kept = was ? young_bytes(was, now, window) : 0;
        if (kept != was)
            (void)tb_cas_relaxed(word, &was, kept);
    }
}

/* No value came for a window: every cell is old, whatever its byte seems to mean. */
static void empty(struct tb_distinct *d)
{
    uint64_t *word = (uint64_t *)(void *)d->cells;
    for (size_t i = 0; i < sizeof(d->cells) / 8; i++, word++)
        if (tb_load_relaxed(word))
            tb_store_relaxed(word, 0);
}

/* A slice begins: the first to say so empties old cells. */
static __attribute__((noinline)) void begin_slice(struct tb_distinct *d, uint64_t slice, uint64_t last, uint32_t window)
{
    uint64_t passed = slice + 1 - last;

    if (slice + 1 < last || !tb_cas_relaxed(&d->slice, &last, slice + 1) || last == 0)
        return;
    if (passed >= window) {
        empty(d);
        return;
    }
    for (uint64_t i = 0; i < passed; i++)
        sweep(d, (slice - i) % TB_DISTINCT_PORTIONS, tb_distinct_tag(slice), window);
}

void tb_distinct_add(struct tb_distinct *d, uint64_t slice, uint32_t window, uint64_t hash)
{
    uint64_t last = tb_load_relaxed(&d->slice);
    if (TB_UNLIKELY(last != slice + 1))
        begin_slice(d, slice, last, window);
    /* the highest bits choose the row, the lowest the cell; the bit that is set bounds the row */
    uint32_t row = (uint32_t)__builtin_clzll(hash | UINT64_C(1) << (64 - TB_DISTINCT_ROWS));
    uint8_t *cell = &d->cells[row][hash % TB_DISTINCT_CELLS], tag = tb_distinct_tag(slice);
    if (tb_load_relaxed(cell) != tag)
        tb_store_relaxed(cell, tag);
}
