/* SPDX-License-Identifier: Apache-2.0 */
/* Routes that the user declared (rules.h), as the learner has them. Used by route.c and rules.c. */
#ifndef TB_ROUTE_RULES_H
#define TB_ROUTE_RULES_H

#include "route.h"

/*
 * tb_route_ruled - what the rules in force make of a path that is not in the cache.
 *
 * @hash   of the path, 0 = not to be kept; becomes 0 when the answer depends on more than the path
 * @shape  of its shape, 0 = it has none, or the rules tell paths of one shape apart
 *
 * Returns true with a handle, or false: the route is to be inferred.
 */
bool tb_route_ruled(struct tb_core *core, uint8_t method, struct tb_bytes host, struct tb_bytes path, bool is_cut,
                    uint64_t *hash, uint64_t shape, uint32_t *ret_handle);

/* tb_route_declare - the node of a declared route, made when new; 0 = no room. */
uint32_t tb_route_declare(struct tb_core *core, struct tb_bytes label);

/* tb_route_remember - tb_route_cache_keep, unless rules look into requests for @path: those are to take the long way.
 */
void tb_route_remember(struct tb_core *core, uint64_t hash, struct tb_bytes path, uint32_t node);

/* tb_route_keep_head - @head for the short way, unless more is wanted of every request's head. */
struct tb_route_head;
void tb_route_keep_head(struct tb_core *core, struct tb_route_head *head);

/* tb_route_reseed - the rules or the learner changed: what caches know is of before. */
void tb_route_reseed(struct tb_core *core);

/* tb_route_limit - routes with a series of their own. */
static inline uint32_t tb_route_limit(const struct tb_core *core, uint32_t usual)
{
    const struct tb_rules_view *v = tb_load_acquire(&core->rules_view);
    return v && v->max_routes ? v->max_routes : usual;
}

#endif
