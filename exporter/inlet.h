/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inlets: metrics that others measured and that stand in a scrape beside those of the traffic (docs/inlets.md). One
 * entry for each of `inlets` in the configuration; those whose lines have not changed go on over a reload.
 *
 * The exporter's own thread.
 */
#ifndef TB_INLET_H
#define TB_INLET_H

#include <poll.h>

#include "inlet_config.h"
#include "inlet_set.h"

struct tb_inlets;

struct tb_inlets *tb_inlets_new(void);
void tb_inlets_free(struct tb_inlets *i); /* NULL does nothing */

/* tb_inlets_use - takes the entries of @list over; those of before that are not among them end. */
void tb_inlets_use(struct tb_inlets *i, struct tb_inlet_list *list);

/* tb_inlets_fork - what has to be started while the process may still start something: who runs commands. */
void tb_inlets_fork(struct tb_inlets *i);

/* tb_inlets_start - those that ask begin to. To be called once, when the process has given up its rights: a thread
 * would keep them. tb_inlets_settle - waits until each of them was read once, for no longer than their time limits. */
void tb_inlets_start(struct tb_inlets *i);
void tb_inlets_settle(struct tb_inlets *i);

/* tb_inlets_read - what came since. To be called before a scrape. @names: of what else stands in it. */
void tb_inlets_read(struct tb_inlets *i, const struct tb_names *names);

/* tb_inlets_poll - what to wait for, at most TB_INLETS_MAX; returns how many. tb_inlets_take - what has come, as much
 * as is bounded work. For who serves. */
size_t tb_inlets_poll(struct tb_inlets *i, struct pollfd *ret);
void tb_inlets_take(struct tb_inlets *i);

/* tb_inlets_expose - append their families, and tickbird_exporter_inlet_*. Nothing without inlets. @s as in families.h.
 */
void tb_inlets_expose(struct tb_exposition *x, const struct tb_inlets *i, const struct tb_snapshot *s,
                      const struct tb_metric *metrics);

/* What an inlet counts about itself. */
struct tb_inlet_stats {
    uint64_t accepted; /* lines */
    uint64_t refused[TB_INLET_REASONS];
    uint64_t success_ns; /* CLOCK_REALTIME of when all was well last; 0 = never */
    /* of those that ask: */
    bool is_up;           /* the last read succeeded */
    uint64_t duration_ns; /* of the last read; 0 = none yet */
};

#endif
