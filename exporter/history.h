/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was counted in the last five minutes, interval by interval: the page and the API (overview.h) show rates and
 * quantiles of the last minute, where a scrape shows totals. Fed by collections, at most one point every five seconds.
 *
 * Memory is bounded whatever is collected: the totals at the last point, packed (TB_HISTORY_BASE_MAX; series beyond it
 * have no history), and what each point added, packed (TB_HISTORY_BYTES_MAX; the oldest points give way). A
 * series takes some 5 bytes and 2 for each bucket that it ever used (45 bytes at 20 buckets), and as much for what
 * moved in each point. Nothing is kept while nobody looks (tb_history_tend).
 *
 * Pure: no I/O, no clock. One thread at a time.
 */
#ifndef TB_HISTORY_H
#define TB_HISTORY_H

#include "quantile.h"
#include "snapshot.h"

#define TB_HISTORY_POINTS 62u /* five minutes of them, and the two ends */
#define TB_HISTORY_SPACING_NS                                                                                          \
    UINT64_C(4500000000) /* a bit less than 5 s: a page that asks every 5 s is a bit early at times */
#define TB_HISTORY_SPAN_NS UINT64_C(300000000000)   /* five minutes */
#define TB_HISTORY_FORGET_NS UINT64_C(300000000000) /* without a look */
#define TB_HISTORY_BASE_MAX ((size_t)8 << 20)
#define TB_HISTORY_BYTES_MAX ((size_t)8 << 20)

struct tb_history;

struct tb_history *tb_history_new(void);
void tb_history_free(struct tb_history *h);

/*
 * tb_history_note - a collection for somebody who looks: a point, unless the last one is too young.
 * @s       finished; another snapshot than before (tb_snapshot.id) begins a new history
 * @now_ns  CLOCK_MONOTONIC of the collection
 */
void tb_history_note(struct tb_history *h, const struct tb_snapshot *s, uint64_t now_ns);

/* tb_history_tend - a collection that nobody asked for: a point as above while somebody looked of late, else everything
 * is dropped. */
void tb_history_tend(struct tb_history *h, const struct tb_snapshot *s, uint64_t now_ns);

size_t tb_history_bytes(const struct tb_history *h);    /* of memory that the points and the base take */
size_t tb_history_left_out(const struct tb_history *h); /* series that have no history, for want of memory */

/* What one series counted in an interval. */
struct tb_increase {
    uint64_t untimed;
    uint32_t used;                     /* of the arrays below */
    uint16_t buckets[TB_GRID_BUCKETS]; /* of the grid, ascending */
    uint64_t counts[TB_GRID_BUCKETS];
};
/* tb_increase_count - timed and untimed. */
uint64_t tb_increase_count(const struct tb_increase *i);
void tb_distribution_add_increase(struct tb_distribution *d, const struct tb_increase *i);

/*
 * A walk over all intervals, oldest first, the last of them from the youngest point until now. Ask for the series in
 * the snapshot's order, once each, and for each all the intervals of interest.
 *
 * Between begin and end nothing may be collected or noted. About 100 bytes an interval.
 */
struct tb_history_walk;

/* tb_history_walk_begin - @s as given to tb_history_note, or collected since. Never fails; may have no interval. */
struct tb_history_walk *tb_history_walk_begin(const struct tb_history *h, const struct tb_snapshot *s, uint64_t now_ns);
void tb_history_walk_end(struct tb_history_walk *w);

size_t tb_history_intervals(const struct tb_history_walk *w);
/* tb_history_interval - CLOCK_MONOTONIC; an interval ends where the next one starts. */
void tb_history_interval(const struct tb_history_walk *w, size_t interval, uint64_t *ret_start_ns,
                         uint64_t *ret_end_ns);

/*
 * tb_history_window - the first interval of the last minute, or of what there is; the number of all when that says
 * nothing yet. *ret_seconds: how long it is, 0 then.
 */
size_t tb_history_window(const struct tb_history_walk *w, uint64_t now_ns, double *ret_seconds);

/* tb_history_increase - what @e counted in @interval. False, with *ret untouched, when nothing. */
bool tb_history_increase(struct tb_history_walk *w, size_t interval, const struct tb_snap_series *e,
                         struct tb_increase *ret);

#endif
