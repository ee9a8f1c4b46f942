/* SPDX-License-Identifier: Apache-2.0 */
/* One region file: its checked header, its on/off word and what its processes say of themselves. Sums over series are
 * the collector's business. */
#ifndef TB_REGION_HEAD_H
#define TB_REGION_HEAD_H

#include "agent/region.h"

struct tb_region_head {
    struct tb_region_header header; /* validated; its strings are terminated */
    uint32_t off;                   /* the on/off word: not 0 = switched off */
    uint64_t unobservable;          /* what its processes do that the agent cannot follow (agent/unobservable.def) */
};

/*
 * tb_region_head_read - what struct tb_region_head has of the region at @path (no symbolic link). Trusts nothing in the
 * file; reads with pread, so that a file cut meanwhile is an error and not a signal. Returns 0 or -errno: -EPROTO (not
 * a region), -EPROTONOSUPPORT (a newer layout), -EINVAL (contradicts itself).
 */
int tb_region_head_read(const char *path, struct tb_region_head *ret_head);

/*
 * tb_region_switch - set the on/off word. The programs see it at their next call. Returns 0 or -errno; -EACCES
 * when this user is neither the owner nor in group tickbird.
 */
int tb_region_switch(const char *path, bool is_off);

/* tb_region_why - a failure in words. */
const char *tb_region_why(int error);

#endif
