/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folding: the totals of dead regions move into the ledger, exactly once, and the emptied files wait for the next
 * program of their service.
 */
#ifndef TB_FOLD_H
#define TB_FOLD_H

#include "collect.h"

struct tb_snap_service;

struct tb_fold_options {
    const struct tb_snap_service *only; /* NULL = all */
    uint64_t fold_after_ns;             /* without a process for this long */
    uint64_t unlink_after_ns;           /* emptied and unused for this long; 0 = never */
};

/*
 * tb_fold - fold what has been dead long enough as of the last tb_collect, finish what another folder left half done,
 * remove files long unused. Does nothing unless the ledger's lock is held here.
 *
 * Returns the number of regions folded or finished, or -errno of the ledger: then nothing was emptied.
 */
int tb_fold(struct tb_collector *c, const struct tb_fold_options *options);

#endif
