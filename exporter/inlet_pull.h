/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inlets that ask: each reads its source (inlet_source.h) at its interval. One thread has all of them and never waits
 * for one; whoever scrapes takes what was read last, and waits for nothing. Functions here are the exporter's own
 * thread's.
 */
#ifndef TB_INLET_PULL_H
#define TB_INLET_PULL_H

#include "inlet.h"

struct tb_puller; /* the thread */
struct tb_pull;   /* one inlet */

struct tb_puller *tb_puller_new(void);
/* tb_puller_free - ends the thread and whatever was added. NULL does nothing. */
void tb_puller_free(struct tb_puller *p);

/* tb_puller_add - takes @c over. It is read once there is a thread. */
struct tb_pull *tb_puller_add(struct tb_puller *p, struct tb_pull_config *c);
/* tb_puller_remove - it is not to be used any more; what it has running ends. NULL does nothing. */
void tb_puller_remove(struct tb_pull *j);

/* tb_puller_fork - the process that starts commands, if any were added: later ones are not run. Before there is a
 * thread.
 */
void tb_puller_fork(struct tb_puller *p);
/* tb_puller_start - from now on, at once, in a thread. Called again, it does nothing. */
void tb_puller_start(struct tb_puller *p);
/* tb_puller_settle - waits until each was read, for no longer than their time limits. */
void tb_puller_settle(struct tb_puller *p);

/* tb_pull_take - puts what was read since into @set, and takes out of it what has become too old. Returns whether @set
 * was made anew. */
bool tb_pull_take(struct tb_pull *j, struct tb_inlet_set *set, struct tb_inlet_stats *stats);

#endif
