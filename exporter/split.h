/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs of one service told apart: where the configuration asks for it (metrics.split_by), series have labels of the
 * program that counted them (pid, unit, container, ...). They are a snapshot of their own, which only a scrape sees:
 * each region counts under its service and its labels, the same as in its file, so that nothing of it need be kept.
 * The snapshot of services, the ledger, the page and the command know nothing of it.
 *
 * A program that takes over the region of one before has its totals, under its own labels. What no program has any more
 * is shown until its region is emptied (fold.h). One thread at a time.
 */
#ifndef TB_SPLIT_H
#define TB_SPLIT_H

#include "region_read.h"

struct tb_split;

/* What is remembered of a region between collections. Zero-initialise. */
struct tb_split_part {
    char *labels;                                      /* owned; NULL = not known yet */
    uint64_t epoch, region_id, generation, adopted_ns; /* that they are of */
    uint64_t snapshot_id;                              /* that the cache is of */
    struct tb_slot_cache cache;
};
void tb_split_part_free(struct tb_split_part *part);

struct tb_split *tb_split_new(void);
void tb_split_free(struct tb_split *split);

/* tb_split_choose - by which labels from now on. @names is borrowed until the next call. */
void tb_split_choose(struct tb_split *split, const struct tb_names *names);

/* A collection: begin, each readable region that is not folded, finish. Nothing happens when no label is chosen. */
void tb_split_begin(struct tb_split *split, uint64_t now_ns);
void tb_split_add(struct tb_split *split, struct tb_split_part *part, const struct tb_region_copy *copy,
                  const struct tb_snap_region *r);
void tb_split_finish(struct tb_split *split);

/* tb_split_snapshot - of the last collection; NULL when no label is chosen. Owned by @split; until the next one. */
struct tb_snapshot *tb_split_snapshot(struct tb_split *split);

#endif
