/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This process: asleep, awake or inert; its one core; fork, exec and exit.
 *
 * Asleep: no socket was seen yet, hooks pass through after one load. Awake: descriptors are followed. Inert: switched
 * off, set-user-ID, or no region could be had; hooks pass through for good.
 */
#ifndef TB_PROCESS_H
#define TB_PROCESS_H

#pragma GCC visibility push(hidden) /* the core is in this object too */
#include "../agent/core.h"
#include "../agent/region.h"

/* Not 0: awake. The only thing a hook looks at in a program that never serves. */
extern uint32_t tb_awake;
extern struct tb_core tb_core;
/* Points at a word that the kernel wipes in the child of a fork; 1 while this process is the one that set it. */
extern uint32_t *tb_fork_word;

/* tb_process_start - what is done once, at the start: by the constructor, or before it by a library's own that comes
 * here. */
void tb_process_start(void);

/* tb_is_awake - for what is called by other means than a hook. */
static inline bool tb_is_awake(void)
{
    return TB_LIKELY(tb_load_relaxed(&tb_awake) != 0);
}

/* tb_wake - the process shows a socket. Returns false when inert. At most 1 system call, once. */
bool tb_wake_slow(void);
static inline bool tb_wake(void)
{
    return TB_LIKELY(tb_load_relaxed(&tb_awake) != 0) || tb_wake_slow();
}

/* tb_process_region - the region is there, made or adopted now if it was not. Called when the program shows that it
 * serves (@is_server: it listens or accepts), or that it speaks HTTP. */
bool tb_process_region_slow(bool is_server);
static inline bool tb_process_region(bool is_server)
{
    return TB_LIKELY(tb_load_acquire(&tb_core.base) != NULL) || tb_process_region_slow(is_server);
}

/* tb_process_region_comes - there is none yet, and another thread makes it. */
bool tb_process_region_comes(void);

/* tb_is_socket - is descriptor @fd a socket of any kind? One system call. */
bool tb_is_socket(int fd);

/* tb_process_owner - claims this process's owner slot when it has none. Before its first event, and after a fork. */
void tb_process_owner_slow(void);
static inline void tb_process_owner(void)
{
    if (TB_UNLIKELY(!tb_load_acquire(&tb_core.owner)))
        tb_process_owner_slow();
}

/* tb_process_check_fork - notices a fork that no hook saw. Once per event; one load when there was none. */
void tb_process_forked(void);
static inline void tb_process_check_fork(void)
{
    if (TB_UNLIKELY(!tb_load_relaxed(tb_fork_word)))
        tb_process_forked();
}

/* The same before an accept, also where the kernel cannot wipe the word (before Linux 4.14): then it asks for the pid.
 */
void tb_process_check_birth(void);

/*
 * tb_process_is_other - is this a vfork child, which runs in its parent's memory? One raw getpid; false when no system
 * call is allowed.
 */
bool tb_process_is_other(void);

/* tb_process_before_filter, _filtered - around a call that installs a system call filter. The first takes what will be
 * needed. */
void tb_process_before_filter(void);
void tb_process_filtered(void);
/* tb_process_clock - a clock is needed before there is a region. At most one system call. */
void tb_process_clock(void);
/* tb_process_clock_off - a thread forbids itself the time stamp counter (PR_SET_TSC): the vDSO clock would be fatal to
 * it and to those it starts, so that the kernel is asked from now on. */
void tb_process_clock_off(void);

/* tb_process_unobservable - this process does what the agent cannot see; @reason: enum tb_unobservable. */
static inline void tb_process_unobservable(uint64_t reason)
{
    tb_core_unobservable(&tb_core, reason);
}

void tb_process_after_fork(long ret);
void tb_process_before_exec(void);
void tb_process_before_exit(void);

#pragma GCC visibility pop
#endif
