/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which rules are about an exchange, beyond what custom_hot.h asks of every one, and what they count at its end
 * (custom.h).
 *
 * Threads: rules that are replaced while a thread reads them give numbers of either, all within their arrays.
 * Fork story: private, copied, and right in a child, since it is about the region.
 */
#include "custom_hot.h"
#include "decimal.h"
#include "exchange_caught.h"
#include "route.h"
#include "rules.h"

/* ---- which rules ---- */

static bool holds(const struct tb_custom *c, const struct tb_custom_match *m, struct tb_bytes text, uint32_t *steps)
{
    return tb_custom_fits(c, m->globs, m->count, text, steps) != (m->is_not != 0);
}

static const struct tb_custom_match *match_of(const struct tb_custom *c, const struct tb_custom_rule *r, uint32_t i)
{
    return &c->match[(r->matches + i) % TB_CUSTOM_MATCHES];
}

/* Do the matches of @source that rule @r has hold for @text? */
static bool hold_of(const struct tb_custom *c, const struct tb_custom_rule *r, uint8_t source, struct tb_bytes text,
                    uint32_t *steps)
{
    for (uint32_t i = 0; i < r->match_count; i++) {
        const struct tb_custom_match *m = match_of(c, r, i);
        if (m->source == source && !holds(c, m, text, steps))
            return false;
    }
    return true;
}

/* All rules whose conditions on the route hold for @route. */
static uint32_t of_route(const struct tb_custom *c, struct tb_bytes route, uint32_t *steps)
{
    uint32_t rules = 0;
    for (uint32_t i = 0; i < c->rules && i < TB_CUSTOM_RULES; i++)
        rules |= hold_of(c, &c->rule[i], TB_CUSTOM_ROUTE, route, steps) ? 1u << i : 0;
    return rules;
}

uint32_t tb_custom_ask_route(struct tb_core *core, const struct tb_custom *c, uint32_t label)
{
    uint32_t tag = tb_custom_route_tag(c, label), steps = TB_RULES_GLOB_STEPS;
    uint32_t rules = of_route(c, tb_string_get(core->strings, TB_LEN_STRINGS, label), &steps);
    tb_fence_acquire(); /* after all that was read of the rules */
    if (steps && tb_custom_route_tag(c, label) == tag)
        tb_store_relaxed(tb_custom_route_place(core, label), (uint64_t)tag << 32 | rules);
    return rules;
}

uint32_t tb_custom_of_path(const struct tb_custom *c, uint32_t rules, struct tb_bytes path)
{
    uint32_t steps = TB_RULES_GLOB_STEPS;
    for (uint32_t left = rules & c->paths; left; left &= left - 1) {
        uint32_t rule = (uint32_t)__builtin_ctz(left);
        if (!hold_of(c, &c->rule[rule], TB_CUSTOM_PATH, path, &steps))
            rules &= ~(1u << rule);
    }
    return rules;
}

uint32_t tb_custom_ask_handle(struct tb_core *core, const struct tb_custom *c, uint32_t handle)
{
    char text[TB_RULES_LABEL_MAX + 16];
    uint32_t steps = TB_RULES_GLOB_STEPS;
    return of_route(c, tb_bytes(text, tb_route_text(core, handle, text, sizeof text)), &steps);
}

bool tb_custom_looks(struct tb_core *core, struct tb_bytes path, uint32_t node)
{
    const struct tb_rules_view *view = tb_load_acquire(&core->rules_view);
    if (!view || view->custom.is_for_any)
        return false;
    return tb_custom_of_path(&view->custom,
                             tb_custom_asked(core, &view->custom, TB_ROLE_SERVER, TB_METHOD_GET, node + 1), path) != 0;
}

static bool has_status(const struct tb_custom_rule *r, uint16_t status)
{
    bool has_range = false;
    for (uint32_t i = 0; i < TB_CUSTOM_STATUSES; i++) {
        if (r->statuses[i][0] && status >= r->statuses[i][0] && status <= r->statuses[i][1])
            return true;
        has_range |= r->statuses[i][0] != 0;
    }
    return !has_range;
}

/* A field's condition. One that cannot be told does not hold, and says why. */
static bool field_holds(const struct tb_custom *c, const struct tb_custom_match *m, const struct tb_custom_exchange *x,
                        uint32_t *steps, uint8_t *ret_why)
{
    struct tb_bytes text;
    uint8_t why;
    if (tb_custom_value(c, x->caught, m->field, &text, &why))
        return holds(c, m, text, steps);
    if (!why || why == TB_CUSTOM_WHY_MISSING)
        return m->is_not; /* what is not there is not that */
    *ret_why = why;
    return false;
}

/* What only the end of the exchange tells: the status itself, the target, then fields. (Paths were asked at the head.)
 */
bool tb_custom_is_about_all(struct tb_core *core, const struct tb_custom *c, const struct tb_custom_rule *r,
                            const struct tb_custom_exchange *x, uint8_t *ret_why)
{
    uint32_t steps = TB_RULES_GLOB_STEPS;
    if (!has_status(r, x->key->status) ||
        !hold_of(c, r, TB_CUSTOM_TARGET, tb_string_get(core->strings, TB_LEN_STRINGS, x->key->target), &steps))
        return false;
    for (uint32_t i = 0; i < r->match_count; i++) {
        const struct tb_custom_match *m = match_of(c, r, i);
        if (m->source == TB_CUSTOM_FIELD && !field_holds(c, m, x, &steps, ret_why))
            return false;
    }
    return true;
}

/* ---- what is counted ---- */

/* A number of a field. False: there is none, and why. */
static bool number_of(const struct tb_custom *c, const struct tb_custom_rule *r, const struct tb_custom_exchange *x,
                      int64_t *ret, uint8_t *ret_why)
{
    struct tb_decimal d;
    struct tb_bytes text;
    int scale = r->scale + (r->unit == TB_UNIT_BYTES ? 0 : 9);
    if (!tb_custom_value(c, x->caught, r->field, &text, ret_why))
        return false;
    if (tb_decimal_read(text, &d) && tb_decimal_scaled(d, scale, ret) && *ret >= 0)
        return true;
    *ret_why = TB_CUSTOM_WHY_TYPE;
    return false;
}

/* The value of an exchange in 10^-9 (bytes: whole). False: it has none. */
static bool value_of(const struct tb_custom *c, const struct tb_custom_rule *r, const struct tb_custom_exchange *x,
                     int64_t *ret, uint8_t *ret_why)
{
    uint64_t size = r->value == TB_CUSTOM_REQUEST_SIZE ? x->m->request_bytes : x->m->response_bytes;
    switch (r->value) {
    case TB_CUSTOM_DURATION:
        *ret = (int64_t)x->o->duration_ns;
        return x->o->is_timed;
    case TB_CUSTOM_FIRST_BYTE:
        *ret = (int64_t)x->o->first_byte_ns;
        return x->o->is_timed;
    case TB_CUSTOM_NUMBER:
        return number_of(c, r, x, ret, ret_why);
    default:
        *ret = (int64_t)size;
        return !x->m->is_endless || r->value == TB_CUSTOM_REQUEST_SIZE;
    }
}

/* A number or a value that is no sum. */
static void set_rule(struct tb_core *core, const struct tb_custom *c, uint32_t rule, const struct tb_custom_exchange *x,
                     uint8_t *ret_why)
{
    const struct tb_custom_rule *r = &c->rule[rule];
    struct tb_series_key key = {.family = TB_FAMILY_RULE_GAUGE, .role = TB_ROLE_SERVER};
    uint64_t hash = 0;
    int64_t nano = 0;
    bool is_distinct = r->kind == TB_CUSTOM_DISTINCT;
    if (is_distinct ? !tb_custom_hash(c, x->caught, r->field, &hash, ret_why) : !number_of(c, r, x, &nano, ret_why))
        return;
    if (!(key.ext = tb_custom_series(core, c, rule, x, ret_why))) {
        tb_count(core, TB_COUNTER_CUSTOM_LOST);
        return;
    }
    if (!is_distinct) {
        tb_custom_set_gauge(core, &key, nano);
        return;
    }
    key.family = TB_FAMILY_RULE_DISTINCT;
    tb_custom_add_distinct(core, &key, r->bounds * UINT64_C(1000000000), hash);
}

static void add_to_histogram(struct tb_core *core, const struct tb_custom *c, uint32_t rule,
                             const struct tb_custom_exchange *x, uint64_t value, uint8_t *ret_why)
{
    struct tb_series_key key = {.family = TB_FAMILY_RULE, .role = TB_ROLE_SERVER};
    key.ext = tb_custom_series(core, c, rule, x, ret_why);
    if (!key.ext) {
        tb_count(core, TB_COUNTER_CUSTOM_LOST);
        return;
    }
    key.bound_set = c->sets[rule] % TB_SETS;
    uint64_t ticks = c->rule[rule].unit == TB_UNIT_BYTES ? tb_byte_ticks(value) : value;
    tb_series_add(core, &key, tb_histogram_place(&core->sets[key.bound_set].histogram, ticks), value);
    if (tb_load_relaxed(&core->measures) & TB_MEASURE_SETS)
        tb_series_choose(core, &key);
}

static void count_rule(struct tb_core *core, const struct tb_custom *c, uint32_t rule,
                       const struct tb_custom_exchange *x, uint8_t *ret_why)
{
    const struct tb_custom_rule *r = &c->rule[rule];
    int64_t value = 0;
    if (r->value != TB_CUSTOM_ONE && !value_of(c, r, x, &value, ret_why))
        return;
    if (r->kind == TB_CUSTOM_HISTOGRAM)
        add_to_histogram(core, c, rule, x, (uint64_t)value, ret_why);
    else
        tb_custom_count(core, c, rule, x, (uint64_t)value, ret_why);
}

void tb_custom_observe(struct tb_core *core, const struct tb_custom_exchange *x)
{
    const struct tb_rules_view *view = tb_load_acquire(&core->rules_view);
    if (!view)
        return;
    const struct tb_custom *c = &view->custom;
    uint32_t rules = tb_custom_about(core, c, x->key->role, x->key->method, x->key->status, x->key->route) &
                     (~c->captures | (x->caught ? x->caught->rules : 0));
    for (; rules; rules &= rules - 1) {
        uint32_t rule = (uint32_t)__builtin_ctz(rules);
        uint8_t why = 0;
        if (!(c->at_end >> rule & 1) || tb_custom_is_about_all(core, c, &c->rule[rule], x, &why))
            (c->rule[rule].kind >= TB_CUSTOM_GAUGE ? set_rule : count_rule)(core, c, rule, x, &why);
        if (TB_UNLIKELY(why))
            tb_custom_unreadable(core, c, rule, why);
    }
}
