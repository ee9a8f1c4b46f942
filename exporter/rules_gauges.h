/* SPDX-License-Identifier: Apache-2.0 */
/* Gauges of custom metrics: the last number, and how many different values there were, from copies of regions. */
#ifndef TB_RULES_GAUGES_H
#define TB_RULES_GAUGES_H

#include "region_copy.h"
#include "snapshot.h"

/*
 * tb_gauge_read - adds what slot @number of the copy says, if it is one of them: the latest number of all shards and
 * regions, the sum of the estimates of all regions.
 *
 * @slot_series  looks its series up; NULL: it makes no sense
 *
 * Returns the series, NULL when the slot is another's or makes no sense.
 */
struct tb_snap_series *tb_gauge_read(struct tb_snapshot *s, const struct tb_region_copy *copy, uint32_t number,
                                     struct tb_snap_series *(*look_up)(void *to, const struct tb_series_key *key),
                                     void *to);

/* tb_gauge_is - is it of a family that is no sum? Its numbers rise and fall, and are in no ledger. */
static inline bool tb_gauge_is(const struct tb_snap_key *key)
{
    return key->family == TB_FAMILY_RULE_GAUGE || key->family == TB_FAMILY_RULE_DISTINCT;
}

#endif
