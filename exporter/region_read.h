/* SPDX-License-Identifier: Apache-2.0 */
/* One region's copy -> numbers in the snapshot. Between collect.c (which files) and agent/series_read.h (which bytes).
 */
#ifndef TB_REGION_READ_H
#define TB_REGION_READ_H

#include "processes.h"
#include "region_copy.h"
#include "snapshot.h"

/*
 * Which snapshot series each slot of a region belongs to, remembered between collections: a published slot never
 * changes its key, so that a known slot costs no string and no hash. One per region file and life.
 */
struct tb_slot_cache {
    uint64_t region_id, generation;
    uint32_t count;
    struct tb_slot {
        struct tb_series_key key;
        struct tb_snap_series *series; /* NULL = not looked up, or senseless */
    } * slots;                         /* owned */
};

void tb_slot_cache_free(struct tb_slot_cache *cache);

/* What tb_region_read_series adds to. */
enum tb_read_into {
    TB_READ_TOTAL, /* what is served */
    TB_READ_BASE   /* the ledger's part */
};

/*
 * tb_region_read_series - add every series of the copy to its entry in @s.
 * @cache        of this region; reset when its life has changed
 * @alive        of struct tb_snap_region; NULL: nobody lives
 * @ret_skipped  slots whose key or chain makes no sense
 * Returns the exchanges added under TB_FAMILY_REQUESTS and the server role.
 */
uint64_t tb_region_read_series(struct tb_snapshot *s, struct tb_snap_service *service,
                               const struct tb_region_copy *copy, struct tb_slot_cache *cache, enum tb_read_into into,
                               const uint64_t *alive, uint32_t *ret_skipped);

/* tb_region_read_counters - counters.def of the copy; 0 for what its section does not hold. */
void tb_region_read_counters(const struct tb_region_copy *copy, uint64_t ret[TB_COUNTER_COUNT]);

/* tb_region_read_identity - header fields into @r (not the service). */
void tb_region_read_identity(const struct tb_region_copy *copy, struct tb_snap_region *r);

/*
 * tb_region_read_owners - who lives, what is in flight and since when. r->is_live says whether anybody does.
 * @processes    remembered between collections; NULL = none
 * @pidns_inode  of this process, 0 = unknown: then owners are believed as long as the region lives
 * @now_ns       CLOCK_MONOTONIC
 */
void tb_region_read_owners(const struct tb_region_copy *copy, struct tb_processes *processes, uint64_t pidns_inode,
                           uint64_t now_ns, struct tb_snap_region *r);

/* Length of a header's text field, which need not be terminated. */
size_t tb_field_len(const char *field, size_t space);

#endif
