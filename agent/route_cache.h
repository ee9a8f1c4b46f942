/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole paths whose route this process knows: a direct-mapped table in struct tb_core, looked up without a call. An
 * entry is the upper 48 bits of a path's hash and the route's node (16 bits, below TB_ROUTE_NODES); 0 = free. The hash
 * is seeded by the region's identity, the generation of the rules and the learner's epoch, so an outdated entry is
 * never found.
 *
 * One 64-bit word each, relaxed: whole or not there, for any number of threads. route.c fills it.
 */
#ifndef TB_ROUTE_CACHE_H
#define TB_ROUTE_CACHE_H

#include "route_learner.h"

#define TB_ROUTE_CACHE_SHIFT 54u /* the upper bits are those of the whole product */
_Static_assert(TB_ROUTE_CACHE == 1u << (64 - TB_ROUTE_CACHE_SHIFT), "the table's index");

static inline uint32_t tb_load_4(const uint8_t *p)
{
    uint32_t v;
    __builtin_memcpy(&v, p, sizeof(v));
    return v;
}

/* One word more: for any word a permutation of @h, and the other way round. */
static inline uint64_t tb_route_mix(uint64_t h, uint64_t word)
{
    h = (h ^ word) * TB_SEGMENT_MIX;
    return h >> 32 | h << 32;
}

/* The last word: its upper bits, which depend on all, stay where they are. */
static inline uint64_t tb_route_mix_last(uint64_t h, uint64_t word)
{
    return (h ^ word) * TB_SEGMENT_MIX;
}

/* tb_route_path_hash - @head is core->route_head, not NULL. */
static inline uint64_t tb_route_path_hash(const struct tb_core *core, const struct tb_route_head *head,
                                          struct tb_bytes path)
{
    /* acquire: pairs with tb_route_reseed() */
    uint64_t h = tb_load_acquire(&core->route_seed) ^ tb_load_relaxed(&head->epoch) ^ (path.len * TB_SEGMENT_MIX);
    const uint8_t *p = path.ptr, *end = p + path.len;
    if (TB_LIKELY(path.len >= 8)) {
        for (; p < end - 8; p += 8)
            h = tb_route_mix(h, tb_load_8(p));
        return tb_route_mix_last(h, tb_load_8(end - 8)); /* may overlap */
    } else {
        /* all bytes of 4 to 7, or of up to 3, some of them twice */
        uint64_t tail = 0;
        if (path.len >= 4)
            tail = (uint64_t)tb_load_4(p) << 32 | tb_load_4(end - 4);
        else if (path.len)
            tail = (uint64_t)p[0] << 16 | (uint64_t)p[path.len / 2] << 8 | end[-1];
        return tb_route_mix_last(tb_route_mix(h, tail), path.len);
    }
}

static inline uint64_t *tb_route_cache_slot(struct tb_core *core, uint64_t hash)
{
    return &core->route_cache[hash >> TB_ROUTE_CACHE_SHIFT];
}

static inline void tb_route_cache_keep(struct tb_core *core, uint64_t hash, uint32_t node)
{
    tb_store_relaxed(tb_route_cache_slot(core, hash), (hash & ~UINT64_C(0xffff)) | node);
}

/* tb_route_cached - the handle of a hash, or 0 (TB_ROUTE_OTHER) when it is not in the table. */
static inline uint32_t tb_route_cached(struct tb_core *core, uint64_t hash)
{
    uint64_t differs = tb_load_relaxed(tb_route_cache_slot(core, hash)) ^ (hash & ~UINT64_C(0xffff));
    return TB_LIKELY(differs < TB_ROUTE_NODES) ? (uint32_t)differs + 1 : 0;
}

#endif
