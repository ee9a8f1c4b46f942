/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the routes of a running service came to be, for `tickbird routes`: from its rules in force (the region's rules
 * area), else from what the label says.
 */
#ifndef TB_ROUTE_ORIGIN_H
#define TB_ROUTE_ORIGIN_H

#include <stddef.h>

#include "exporter/config.h"
#include "exporter/snapshot.h"

#define TB_ORIGIN_MAX 512u

/* The rules of one service; begun empty, filled by tb_origins_of, and by nobody else. */
struct tb_origins {
    const char *service;            /* borrowed */
    const struct tb_config *config; /* NULL, or the file that may be the one in force; borrowed */
    struct tb_origin_set *sets;
    size_t count, space;
};

/* tb_origins_of - the rules in force in the regions of @service; what was read before is freed. Rules that cannot be
 * read count as none. */
void tb_origins_of(struct tb_origins *o, const struct tb_snapshot *s, const char *service);
void tb_origins_free(struct tb_origins *o);

/*
 * tb_origin - one of `pattern line N`, `pattern line N of FILE` (the set in force is the one of that file), `openapi`,
 * `pattern of before` (declared once, no more), `path`, `literal`, `typed` (every value told by its form), `learned`
 * (a word was judged a value), `_unmatched`, `_other`, `_none`. Returns @ret or static text.
 */
const char *tb_origin(const struct tb_origins *o, const char *route, char ret[TB_ORIGIN_MAX]);

#endif
