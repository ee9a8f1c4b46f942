/* SPDX-License-Identifier: Apache-2.0 */
/* The part of compiled rules that says what is recorded: from `metrics` and the patterns' `bounds`. */
#ifndef TB_RULES_MEASURES_H
#define TB_RULES_MEASURES_H

#include "agent/rules_format.h"
#include "config.h"

/* Where it goes. */
struct tb_measures_out {
    uint32_t flags;          /* TB_RULES_ of what is on */
    struct tb_buffer bounds; /* struct tb_rules_bounds; the text of a route is to be filled in from routes */
    struct tb_buffer at_most;
    struct tb_text_list routes; /* of each of bounds: glob of routes, "" = all */
};

/* tb_measures_compile - what @own and, where it says nothing, @common say. Returns NULL, or `why: what to do` (static).
 * @out is zero, to be freed with tb_measures_free in either case. */
const char *tb_measures_compile(const struct tb_metrics_config *own, const struct tb_metrics_config *common,
                                const struct tb_route_config *own_routes, const struct tb_route_config *common_routes,
                                struct tb_measures_out *out);
void tb_measures_free(struct tb_measures_out *out);

#endif
