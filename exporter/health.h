/* SPDX-License-Identifier: Apache-2.0 */
/* What a snapshot says of regions and of programs that cannot be observed, for every output. Pure. */
#ifndef TB_HEALTH_H
#define TB_HEALTH_H

#include "snapshot.h"

enum tb_region_health { TB_REGIONS_LIVE, TB_REGIONS_DEAD, TB_REGIONS_FOLDING, TB_REGIONS_FREE, TB_REGIONS_STATES };

/* tb_region_health_name - "live", ...: the label of tickbird_regions. */
const char *tb_region_health_name(enum tb_region_health state);

#define TB_HEALTH_VERSIONS 8u /* of agents; beyond, the last is `_other` */

struct tb_health_regions {
    uint64_t by_state[TB_REGIONS_STATES];
    uint64_t unreadable[TB_UNREADABLE_COUNT]; /* files and directories */
    uint64_t skipped_series;
    struct {
        const char *name; /* the snapshot's */
        uint64_t count;
    } versions[TB_HEALTH_VERSIONS]; /* of regions with processes; ends with a count of 0 */
    uint64_t directories_off;       /* in which everything is switched off */
};
struct tb_health_regions tb_health_count_regions(const struct tb_snapshot *s);

/* A service that is not, or not wholly, observed. Strings are the snapshot's or static. */
struct tb_health_unobservable {
    const char *service;
    const char *label; /* `service="..."`, escaped */
    const char *reason;
    const char *help; /* a sentence */
};

/* tb_unobservable_help - what a bit of tb_owner.unobservable means: a sentence. */
const char *tb_unobservable_help(unsigned bit);

/*
 * tb_health_unobservable - what processes say of themselves, then what was found from outside; a reason that both give,
 * once. The list is the caller's to free. Returns its length.
 */
size_t tb_health_unobservable(const struct tb_snapshot *s, struct tb_health_unobservable **ret);

#endif
