/* SPDX-License-Identifier: Apache-2.0 */
/* The collector's inside, shared by collect.c and fold.c only. */
#ifndef TB_COLLECTOR_H
#define TB_COLLECTOR_H

#include <sys/types.h>

#include "collect.h"
#include "ledger.h"
#include "region_copy.h"
#include "region_read.h"

/* What is remembered of a region file between collections. */
struct tb_region_file {
    char *path; /* owned */
    dev_t dev;
    ino_t ino;
    bool is_seen; /* in the current collection */
    bool is_readable;
    uint64_t region_id, generation;
    uint32_t state;
    uint64_t idle_since_ns; /* CLOCK_MONOTONIC: without owners, in this state and life, since; 0 = it has owners */
    uint64_t idle_generation;
    uint32_t idle_state;
    struct tb_slot_cache cache;
};

struct tb_collector {
    struct tb_collect_options options;
    struct tb_snapshot *snapshot;
    struct tb_region_copy copy;
    struct tb_region_file **files;
    size_t file_count, file_space, file_hint;
    uint64_t pidns_inode;
    struct tb_ledger *marks;    /* options.ledger, or own_marks when there is none */
    struct tb_ledger own_marks; /* only its marks are used */
    bool has_warned;
    struct tb_collect_stats stats;
};

/* tb_region_file_age - keeps idle_since_ns up to date after @f was looked at. */
void tb_region_file_age(struct tb_region_file *f, bool is_live, uint64_t now_ns);

#endif
