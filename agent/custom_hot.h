/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What rules of custom metrics ask of every exchange, at its head and at its end: which rules may be about it. Words
 * are and'ed, a bit for each rule: by method, role and class of status; then by route, remembered for each route in
 * core->custom_routes. All else is in custom.h.
 *
 * Threads: rules that are replaced while a thread reads them give numbers of either, all within their arrays.
 */
#ifndef TB_CUSTOM_HOT_H
#define TB_CUSTOM_HOT_H

#include "custom.h"
#include "route_learner.h"

/* A word of core->custom_routes has the rules in its lower half and this in the upper one: a label's reference, a
 * multiple of 8, above the low bits of the rules' generation. */
static inline uint32_t tb_custom_route_tag(const struct tb_custom *c, uint32_t label)
{
    _Static_assert(TB_LEN_STRINGS <= 1u << 19 && TB_STR_FIRST > 0, "no reference is cut, none is 0 as free words are");
    return label << 13 | (uint16_t)tb_load_acquire(&c->generation);
}

static inline uint64_t *tb_custom_route_place(struct tb_core *core, uint32_t label)
{
    return &core->custom_routes[(label >> 3) % TB_CUSTOM_ROUTES];
}

/* tb_custom_of_route - of all rules, those whose conditions on the route hold (a string reference). */
static inline uint32_t tb_custom_of_route(struct tb_core *core, const struct tb_custom *c, uint32_t label)
{
    uint64_t entry = tb_load_relaxed(tb_custom_route_place(core, label));
    if (TB_LIKELY(entry >> 32 == tb_custom_route_tag(c, label)))
        return (uint32_t)entry;
    return tb_custom_ask_route(core, c, label);
}

/* tb_custom_label_of - the label that a route has already (a handle of route.h); 0: it has none yet. */
static inline uint32_t tb_custom_label_of(struct tb_core *core, uint32_t handle)
{
    return (int32_t)handle > 0 ? tb_load_acquire(&tb_learn_node(core, handle - 1)->label) : 0;
}

/* tb_custom_of_handle - the same as the route looks now (a handle of route.h). */
static inline uint32_t tb_custom_of_handle(struct tb_core *core, const struct tb_custom *c, uint32_t handle)
{
    uint32_t label = tb_custom_label_of(core, handle);
    return TB_LIKELY(label) ? tb_custom_of_route(core, c, label) : tb_custom_ask_handle(core, c, handle);
}

/* tb_custom_asked - rules that look into requests of this route (a handle), or count them in flight; those among them
 * that ask for the path if it is theirs. */
static inline uint32_t tb_custom_asked(struct tb_core *core, const struct tb_custom *c, uint8_t role, uint8_t method,
                                       uint32_t handle)
{
    uint32_t rules = c->at_head & c->roles[role % 4] & c->methods[method % 64];
    return rules ? rules & tb_custom_of_handle(core, c, handle) : 0;
}

/* tb_custom_about - rules that count exchanges of this key, whatever their fields are. */
static inline uint32_t tb_custom_about(struct tb_core *core, const struct tb_custom *c, uint8_t role, uint8_t method,
                                       uint16_t status, uint32_t route)
{
    uint32_t class = status / 100u;
    uint32_t rules = c->methods[method % 64] & c->roles[role % 4] & c->classes[class < 6 ? class : 0];
    return rules ? rules & tb_custom_of_route(core, c, route) : 0;
}

/* tb_custom_counts - does some rule count exchanges of this key of which nothing was looked for? With
 * TB_MEASURE_CUSTOM only. */
static inline bool tb_custom_counts(struct tb_core *core, uint8_t role, uint8_t method, uint16_t status, uint32_t route)
{
    const struct tb_rules_view *view = tb_load_acquire(&core->rules_view);
    return view && tb_custom_about(core, &view->custom, role, method, status, route) & ~view->custom.captures;
}

#endif
