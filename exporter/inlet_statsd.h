/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An inlet for StatsD and DogStatsD: datagrams on a Unix or loopback UDP socket, added up as they come. Counters,
 * gauges, histograms with the configured bounds, numbers of different values by the minute. What came is kept until the
 * exporter ends.
 */
#ifndef TB_INLET_STATSD_H
#define TB_INLET_STATSD_H

#include "inlet.h"

struct tb_statsd;

/* tb_statsd_new - @c is borrowed; no socket yet. @set and @stats are where all goes. */
struct tb_statsd *tb_statsd_new(const struct tb_inlet_config *c, struct tb_inlet_set *set,
                                struct tb_inlet_stats *stats);
void tb_statsd_free(struct tb_statsd *s); /* NULL does nothing */

/* tb_statsd_fd - the socket, opened when it is not; -1: it cannot be had now, which the log says once. */
int tb_statsd_fd(struct tb_statsd *s);

/* tb_statsd_take - of the datagrams that wait, some @most bytes. Returns whether families or labels became more. */
bool tb_statsd_take(struct tb_statsd *s, size_t most);

/* tb_statsd_add - one datagram of @len bytes, which is overwritten; there is room for a NUL behind it. Returns as
 * above. */
bool tb_statsd_add(struct tb_statsd *s, char *datagram, size_t len);

/* tb_statsd_tick - moves windows of different values on. @now_ns: CLOCK_MONOTONIC */
void tb_statsd_tick(struct tb_statsd *s, uint64_t now_ns);

#endif
