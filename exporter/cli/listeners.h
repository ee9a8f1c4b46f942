/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that listen on TCP, and which of them do not record: silence that must not be taken for no traffic. */
#ifndef TB_LISTENERS_H
#define TB_LISTENERS_H

#include "finding.h"

struct tb_listener {
    char name[32];
    char exe[PATH_MAX];
    struct tb_finding finding;
    const char *reason; /* as the label of tickbird_unobservable (unobserved.def); NULL: it records */
    char todo[256];     /* finding.todo, kept */
    pid_t pids[8];      /* the first of those with the same program and finding */
    size_t pid_count;
};

struct tb_listeners {
    struct tb_listener *found; /* the caller's to free */
    size_t count, space;
    size_t hidden;   /* listening sockets of processes that this user may not look into */
    bool is_partial; /* the time was up before all processes had been looked at */
};

/*
 * tb_listeners_find - every process of this pid namespace that listens on TCP, in whatever network namespace. Programs
 * of Tickbird itself are left out. @object may be NULL: when none is installed here.
 */
void tb_listeners_find(const struct tb_object *object, struct tb_listeners *ret_listeners);

/* tb_listener_pids - "12 13 +4". Returns @buffer. */
#define TB_LISTENER_PIDS_TEXT 160u
const char *tb_listener_pids(const struct tb_listener *listener, char buffer[TB_LISTENER_PIDS_TEXT]);

#endif
