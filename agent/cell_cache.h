/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an ordinary exchange is counted: the record and the block of cells of (route, method, status, octave), found
 * in one look instead of by way of label, key, index, series, record and block. A direct-mapped table in struct
 * tb_core.
 *
 * Right because nothing it stands for ever changes while a process has its region: a node's label is set once, a
 * series' key and records are, a record's blocks are, and objects are never taken back. Only what series.c found
 * there, inside the arenas, comes into the table. The shard is part of the key: a forked child that belongs to another
 * one finds nothing of its parent's.
 *
 * An entry is one 64-bit word, whole or not there for any number of threads: 34 bits of the key, 15 bits each for
 * the places of record and block in units of 64 bytes. The ten bits of the key that it lacks follow from where it
 * stands. 0 = free (no key has status 0).
 *
 * A key begins with core->cell_base: the bound set that is in force where no route has its own (whose table the octave
 * was found in), and three bits that the rules' generation chose, so that what was found under other rules is not found
 * again. Where more is to be recorded than the entry's two places those bits are 0, which no entry has.
 */
#ifndef TB_CELL_CACHE_H
#define TB_CELL_CACHE_H

#include "core.h"
#include "route_learner.h"

#define TB_CELL_UNIT 64u
_Static_assert(sizeof(struct tb_record) == TB_CELL_UNIT && TB_BLOCK_CELLS * 8 == TB_CELL_UNIT, "objects are one unit");
_Static_assert(TB_LEN_CELLS / TB_CELL_UNIT <= 1u << 15, "a place is 15 bits");
_Static_assert(TB_METHOD_COUNT <= 64 && TB_SHARDS <= 4 && TB_ROUTE_NODES <= 1u << 13 && TB_SETS <= 16,
               "the key's fields");
_Static_assert(TB_CELL_CACHE == 1024, "a place is ten bits of the key");

#define TB_CELL_EPOCHS 7u /* of rules; 0 is none */
#define TB_CELL_EPOCH(base) ((base) >> 37 & 7)
#define TB_CELL_SET(base) ((base) >> 40)

/* tb_cell_base - @epoch at most TB_CELL_EPOCHS. */
static inline uint64_t tb_cell_base(uint32_t set, uint32_t epoch)
{
    return (uint64_t)set << 40 | (uint64_t)epoch << 37;
}

/* tb_cell_key - without the octave, which is the lowest six bits. @node below TB_ROUTE_NODES, @status below 1024. */
static inline uint64_t tb_cell_key(uint64_t base, uint32_t shard, uint64_t node, uint32_t method, uint32_t status)
{
    return base | node << 24 | (uint64_t)(method << 18 | status << 8 | shard << 6);
}

static inline uint64_t *tb_cell_entry(struct tb_core *core, uint64_t key)
{
    /* the route's low bits and the status's middle ones spread over the table; the octave's low bits stay apart */
    return &core->cell_cache[(key ^ key >> 11 ^ key >> 24) & (TB_CELL_CACHE - 1)];
}

/* tb_cell_find - true: the places of the record and the block. */
static inline bool tb_cell_find(struct tb_core *core, uint64_t key, struct tb_record **ret_record, uint64_t **ret_block)
{
    uint64_t entry = tb_load_acquire(tb_cell_entry(core, key));
    if (TB_UNLIKELY(entry >> 30 != key >> 10))
        return false;
    *ret_record = (struct tb_record *)(void *)(core->cells + (entry >> 9 & 0x1fffc0));
    *ret_block = (uint64_t *)(void *)(core->cells + (entry << 6 & 0x1fffc0));
    return true;
}

/* tb_cell_keep - not when the rules changed since @key was made. */
static inline void tb_cell_keep(struct tb_core *core, uint64_t key, const struct tb_record *record,
                                const uint64_t *block)
{
    size_t r = (size_t)((const uint8_t *)record - core->cells), b = (size_t)((const uint8_t *)block - core->cells);
    if ((r | b) % TB_CELL_UNIT || !TB_CELL_EPOCH(key)) /* the former only when the file was tampered with */
        return;
    uint64_t entry = key >> 10 << 30 | r / TB_CELL_UNIT << 15 | b / TB_CELL_UNIT, *place = tb_cell_entry(core, key);
    tb_store_release(place, entry);
    if (TB_UNLIKELY((tb_load_acquire(&core->cell_base) ^ key) >> 37))
        (void)tb_cas_relaxed(place, &entry, 0);
}

#endif
