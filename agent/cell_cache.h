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
 * the places of record and block in units of 64 bytes. The three bits of the key that it lacks follow from where it
 * stands. 0 = free (no key has status 0).
 */
#ifndef TB_CELL_CACHE_H
#define TB_CELL_CACHE_H

#include "core.h"
#include "route_learner.h"

#define TB_CELL_UNIT 64u
_Static_assert(sizeof(struct tb_record) == TB_CELL_UNIT && TB_BLOCK_CELLS * 8 == TB_CELL_UNIT, "objects are one unit");
_Static_assert(TB_LEN_CELLS / TB_CELL_UNIT <= 1u << 15, "a place is 15 bits");
_Static_assert(TB_METHOD_COUNT <= 64 && TB_SHARDS <= 4, "the key's fields");

/* tb_cell_key - without the octave, which is the lowest six bits. @node below TB_ROUTE_NODES, @status below 1024. */
static inline uint64_t tb_cell_key(uint32_t shard, uint64_t node, uint32_t method, uint32_t status)
{
    return node << 24 | (uint64_t)(method << 18 | status << 8 | shard << 6);
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
    if (TB_UNLIKELY(entry >> 30 != key >> 3))
        return false;
    *ret_record = (struct tb_record *)(void *)(core->cells + (entry >> 9 & 0x1fffc0));
    *ret_block = (uint64_t *)(void *)(core->cells + (entry << 6 & 0x1fffc0));
    return true;
}

static inline void tb_cell_keep(struct tb_core *core, uint64_t key, const struct tb_record *record,
                                const uint64_t *block)
{
    size_t r = (size_t)((const uint8_t *)record - core->cells), b = (size_t)((const uint8_t *)block - core->cells);
    if ((r | b) % TB_CELL_UNIT == 0) /* always, unless the file was tampered with */
        tb_store_release(tb_cell_entry(core, key), key >> 3 << 30 | r / TB_CELL_UNIT << 15 | b / TB_CELL_UNIT);
}

#endif
