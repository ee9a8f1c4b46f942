/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regions -> one consistent snapshot. Trusts nothing in a region: each is copied under a guard against SIGBUS, the copy
 * is validated, and what cannot be read is reported in the snapshot.
 *
 * One thread at a time (a handler of SIGBUS is in place while a region is copied). Changes nothing on disk or in a
 * region; folding is fold.h.
 */
#ifndef TB_COLLECT_H
#define TB_COLLECT_H

#include "snapshot.h"

struct tb_ledger;
struct tb_collector;
struct tb_split;

struct tb_collect_options {
    const char *const *dirs; /* borrowed for the collector's life; none = the default ones, looked up each time */
    size_t dir_count;
    struct tb_ledger *ledger; /* borrowed; NULL = regions alone, without what was folded */
    /* Small region files stay open from one collection to the next, up to half of RLIMIT_NOFILE: for who collects
     * often and without end. One that was removed meanwhile holds its memory until the next collection is done. */
    bool keeps_open;
};

int tb_collector_new(const struct tb_collect_options *options, struct tb_collector **ret);
void tb_collector_free(struct tb_collector *c);

/*
 * tb_collect - read every region anew.
 *
 * Returns 0, or -errno when this process itself ran out of something (descriptors, memory): then the snapshot must not
 * be served, since regions that exist would seem gone. A missing directory is no error.
 */
int tb_collect(struct tb_collector *c);

/* tb_collect_until - the same; -ETIME when it is not done at @deadline_ns (CLOCK_MONOTONIC). */
int tb_collect_until(struct tb_collector *c, uint64_t deadline_ns);

/* tb_collector_snapshot - owned by the collector; its numbers change with the next tb_collect. */
struct tb_snapshot *tb_collector_snapshot(struct tb_collector *c);

/* tb_collector_split - the same numbers by program; what they are told apart by is the caller's to choose (split.h). */
struct tb_split *tb_collector_split(struct tb_collector *c);

/* What happened to regions since the collector was made. */
struct tb_collect_stats {
    uint64_t lost_regions;     /* were served, then gone or unreadable */
    uint64_t service_restarts; /* services whose totals therefore began at 0 again */
    uint64_t folded_regions, fold_failures, unlinked_regions;
};
const struct tb_collect_stats *tb_collector_stats(const struct tb_collector *c);

/* tb_collect_default_dirs - /dev/shm/tickbird, the caller's own /dev/shm/tickbird-UID, and as root all of them; those
 * that exist. Returns their number; @ret and its strings are the caller's to free. */
size_t tb_collect_default_dirs(char ***ret);

#endif
