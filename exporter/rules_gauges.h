/* SPDX-License-Identifier: Apache-2.0 */
/* Gauges of custom metrics: the last number, and how many different values there were, from copies of regions. */
#ifndef TB_RULES_GAUGES_H
#define TB_RULES_GAUGES_H

#include "agent/distinct.h"
#include "region_copy.h"
#include "snapshot.h"

/* Sketches read of one region: an agent has no room for more, and one that is named again and again costs as often. */
#define TB_GAUGE_SKETCHES (TB_LEN_CELLS / (uint32_t)sizeof(struct tb_distinct))

/* One reading of one region. */
struct tb_gauges {
    uint32_t sketches_left; /* TB_GAUGE_SKETCHES at first, counted down */
    const uint64_t *alive;  /* a bit for each owner slot whose process lives; NULL: none does */
    uint16_t *open;         /* requests in flight by their gauges' names; NULL: not yet counted. Owned */
};

/*
 * tb_gauge_read - adds what slot @number of the copy says, if it is one of them and makes sense: the latest number of
 * all shards and regions, the sum of the estimates, of the requests in flight and of what processes have of all
 * regions.
 *
 * @look_up  the series of a key; NULL: it makes no sense
 */
void tb_gauge_read(struct tb_snapshot *s, const struct tb_region_copy *copy, uint32_t number,
                   struct tb_snap_series *(*look_up)(void *to, const struct tb_series_key *key), void *to,
                   struct tb_gauges *gauges);

/* tb_gauge_is - is it of a family that is no sum? Its numbers rise and fall, and are in no ledger. */
static inline bool tb_gauge_is(const struct tb_snap_key *key)
{
    return key->family == TB_FAMILY_RULE_GAUGE || key->family == TB_FAMILY_RULE_DISTINCT ||
           key->family == TB_FAMILY_OWN_GAUGE;
}

#endif
