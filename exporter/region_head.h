/* SPDX-License-Identifier: Apache-2.0 */
/* One region file: its checked header, its on/off word and what its processes say of themselves. Sums over series are
 * the collector's business. */
#ifndef TB_REGION_HEAD_H
#define TB_REGION_HEAD_H

#include <string.h>

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

/* tb_region_look - the header, validated, and whether some process has the region mapped. Returns as
 * tb_region_head_read. */
int tb_region_look(const char *path, struct tb_region_header *ret_header, bool *ret_is_live);

/* tb_region_has_owners - has some process the open region mapped? LOCK_EX is granted only when none has, and is given
 * back at once. */
bool tb_region_has_owners(int fd);

/* tb_region_is_name - is it a region's file name? Final names only: tb<layout>-...; one being made has another. */
static inline bool tb_region_is_name(const char *name)
{
    return name[0] == 't' && name[1] == 'b' && name[2] >= '1' && name[2] <= '9' && strchr(name, '-');
}

/* tb_region_why - a failure in words. */
const char *tb_region_why(int error);

#endif
