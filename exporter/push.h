/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pushing: the outputs of a configuration together. Snapshots are made by the exporter's own thread (push_exporter.c),
 * one for all outputs; the rest happens in each output's (push_output.h).
 */
#ifndef TB_PUSH_H
#define TB_PUSH_H

#include "exposition.h"
#include "push_config.h"
#include "push_output.h"

struct tb_push;

/*
 * tb_push_new - takes over @c, also when it fails.
 * @dir        where the outputs keep their state
 * @is_once    without threads, for one push
 * @ret_error  on failure `what: why: what to do`, the caller's to free
 * Returns NULL when some output's state cannot be had.
 */
struct tb_push *tb_push_new(struct tb_push_config *c, const char *dir, bool is_once, char **ret_error);
void tb_push_free(struct tb_push *p); /* NULL does nothing */

const struct tb_push_config *tb_push_config(const struct tb_push *p);

/* tb_push_give - a snapshot for every output; what is in @x is copied. */
void tb_push_give(struct tb_push *p, const struct tb_exposition *x, uint64_t time_ns);

/* tb_push_once - the snapshot and all that waits, in this thread. What did not arrive is logged. Returns whether every
 * output has accepted everything. */
bool tb_push_once(struct tb_push *p, const struct tb_exposition *x, uint64_t time_ns);

/* tb_push_finish - the same in a hurry: the threads are gone then, each request is tried once, and none is waited for
 * beyond @deadline_ns (CLOCK_MONOTONIC). May be called again. */
void tb_push_finish(struct tb_push *p, const struct tb_exposition *x, uint64_t time_ns, uint64_t deadline_ns);

/* tb_push_dry_run - what would be sent, on standard output. @dir: where states are looked for, NULL: nowhere. */
void tb_push_dry_run(const struct tb_push_config *c, const struct tb_exposition *x, const char *dir, uint64_t time_ns);

/* tb_push_expose - tickbird_exporter_push_*. @p may be NULL. */
void tb_push_expose(struct tb_exposition *x, struct tb_push *p, const struct tb_metric *metrics);

#endif
