/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which bounds and which further measurements a service's rules ask for. Bounds of a pattern become bounds of the route
 * that it makes, by the route's text: so they hold whichever way a request came to it.
 */
#include "rules_measures.h"

#include <stdlib.h>

#include "rules_pattern.h"

void tb_measures_free(struct tb_measures_out *out)
{
    tb_buffer_free(&out->bounds);
    tb_buffer_free(&out->at_most);
    for (size_t i = 0; i < out->routes.count; i++)
        free(out->routes.items[i]);
    free(out->routes.items);
}

static void add_bounds(struct tb_measures_out *out, const struct tb_bounds_config *b, enum tb_rules_measure measure,
                       const char *route)
{
    struct tb_rules_bounds is = {
        .measure = (uint8_t)measure, .count = b->count, .first = (uint16_t)(out->at_most.len / sizeof(uint64_t))};
    tb_put(&out->bounds, (const char *)&is, sizeof is);
    tb_put(&out->at_most, (const char *)b->at_most, b->count * sizeof *b->at_most);
    tb_text_list_add(&out->routes, route);
}

/* The text of the route that a pattern makes; a literal of the path stands for itself. */
static char *route_of(const struct tb_pattern *p)
{
    struct tb_pattern_parts parts;
    struct tb_buffer b = {0};
    if (p->label)
        return tb_strndup(p->label, strlen(p->label));
    if (tb_pattern_parse(p->path, &parts))
        return NULL; /* told by the compiler of patterns */
    for (uint32_t i = 0; i < parts.count; i++) {
        tb_puts(&b, "/");
        tb_puts(&b, parts.parts[i].kind == TB_PART_LITERAL ? parts.parts[i].text : parts.parts[i].label);
    }
    if (parts.is_wild)
        tb_puts(&b, "/:rest");
    else if (!parts.count)
        tb_puts(&b, "/");
    tb_put(&b, "", 1);
    return b.data;
}

static void add_patterns(struct tb_measures_out *out, const struct tb_route_config *r)
{
    for (size_t i = 0; i < r->pattern_count; i++) {
        char *route = r->patterns[i].bounds ? route_of(&r->patterns[i]) : NULL;
        if (route)
            add_bounds(out, r->patterns[i].bounds, TB_RULES_OF_DURATION, route);
        free(route);
    }
}

static bool is_on(struct tb_switch_config own, struct tb_switch_config common)
{
    return own.is_given ? own.is_on : common.is_on;
}

static const struct tb_bounds_config *first_given(const struct tb_bounds_config *own,
                                                  const struct tb_bounds_config *common)
{
    return own->count ? own : common;
}

/* How many different lists of bounds there are; a region has room for few (agent/bound_sets.h). */
static size_t count_sets(const struct tb_measures_out *out)
{
    const struct tb_rules_bounds *b = (const struct tb_rules_bounds *)(const void *)out->bounds.data;
    const uint64_t *at_most = (const uint64_t *)(const void *)out->at_most.data;
    size_t count = 0;
    for (size_t i = 0; i < out->routes.count; i++) {
        bool is_new = true;
        for (size_t k = 0; k < i; k++)
            is_new &= b[i].count != b[k].count || (b[i].measure == 0) != (b[k].measure == 0) ||
                      memcmp(at_most + b[i].first, at_most + b[k].first, b[i].count * sizeof *at_most) != 0;
        count += is_new;
    }
    return count;
}

const char *tb_measures_compile(const struct tb_metrics_config *own, const struct tb_metrics_config *common,
                                const struct tb_route_config *own_routes, const struct tb_route_config *common_routes,
                                struct tb_measures_out *out)
{
    out->flags = (is_on(own->request_size, common->request_size) ? TB_RULES_REQUEST_SIZE : 0) |
                 (is_on(own->response_size, common->response_size) ? TB_RULES_RESPONSE_SIZE : 0) |
                 (is_on(own->first_byte, common->first_byte) ? TB_RULES_FIRST_BYTE : 0) |
                 (is_on(own->exemplars, common->exemplars) ? TB_RULES_EXEMPLARS : 0);
    const struct tb_bounds_config *duration = first_given(&own->duration, &common->duration),
                                  *request = first_given(&own->request_bounds, &common->request_bounds),
                                  *response = first_given(&own->response_bounds, &common->response_bounds);
    if (duration->count)
        add_bounds(out, duration, TB_RULES_OF_DURATION, "");
    if (request->count)
        add_bounds(out, request, TB_RULES_OF_REQUEST_SIZE, "");
    if (response->count)
        add_bounds(out, response, TB_RULES_OF_RESPONSE_SIZE, "");
    add_patterns(out, own_routes);
    add_patterns(out, common_routes);
    if (out->routes.count > TB_RULES_BOUNDS_COUNT)
        return "more than 29 patterns have bounds: give some to the service as a whole";
    if (count_sets(out) > TB_SETS - TB_SET_FIRST)
        return "more than 14 different lists of bounds: let some be the same";
    return NULL;
}
