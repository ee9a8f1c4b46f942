/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that listen on TCP and do not record: silence that must not be taken for no traffic. */
#ifndef TB_LISTENERS_H
#define TB_LISTENERS_H

#include "finding.h"

struct tb_listener {
    char name[32];
    char exe[PATH_MAX];
    char why[512];
    pid_t pids[8]; /* the first of those with the same program and reason */
    size_t pid_count;
};

struct tb_listeners {
    struct tb_listener *found; /* the caller's to free */
    size_t count, space;
    size_t hidden; /* processes that this user may not look into */
};

/*
 * tb_listeners_find - every process of this pid namespace that listens on TCP, in whatever network namespace, and does
 * not record. Programs of Tickbird itself are left out. @object may be NULL: when none is installed here.
 */
void tb_listeners_find(const struct tb_object *object, struct tb_listeners *ret_listeners);

#endif
