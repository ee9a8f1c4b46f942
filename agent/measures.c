/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking up what rules ask to be recorded, and recording it (measures.h).
 *
 * Threads: numbers of bound sets never change their meaning, so a thread that still goes by older rules counts rightly
 * under the older set. Fork story: all of it is about the region and stays right in a child.
 */
#include "measures.h"
#include "bound_sets.h"
#include "cell_cache.h"
#include "custom.h"
#include "exemplar.h"
#include "rules.h"

#define MEASURE_FLAGS (TB_RULES_REQUEST_SIZE | TB_RULES_RESPONSE_SIZE | TB_RULES_FIRST_BYTE | TB_RULES_EXEMPLARS)
_Static_assert(TB_MEASURE_REQUEST_SIZE == TB_RULES_REQUEST_SIZE && TB_MEASURE_RESPONSE_SIZE == TB_RULES_RESPONSE_SIZE &&
                   TB_MEASURE_FIRST_BYTE == TB_RULES_FIRST_BYTE && TB_MEASURE_EXEMPLARS == TB_RULES_EXEMPLARS,
               "flags of rules are flags here");
/* What an entry of cell_cache.h has no place for. */
#define NOT_IN_CELLS MEASURE_FLAGS

/* One entry of TB_RULES_BOUNDS: its set. */
static uint8_t set_of_entry(struct tb_core *core, const struct tb_rules_view *view, const struct tb_rules_bounds *e)
{
    const uint8_t *section = (const uint8_t *)core->rules;
    uint64_t at_most[TB_BOUNDS_MAX];
    struct tb_bounds bounds = {.unit = e->measure == TB_RULES_OF_DURATION ? TB_UNIT_SECONDS : TB_UNIT_BYTES,
                               .at_most = at_most};
    bounds.count = e->count < TB_BOUNDS_MAX ? e->count : TB_BOUNDS_MAX;
    for (uint32_t i = 0; i < bounds.count; i++)
        at_most[i] = tb_rules_at_most(section, view, e->first + i); /* 0 past the end: not ascending */
    return tb_bound_set_get(core, &bounds);
}

void tb_measures_read(struct tb_core *core, struct tb_rules_view *view)
{
    uint32_t count = view->parts[TB_RULES_BOUNDS].length, used = 0;
    view->set_of[TB_RULES_OF_DURATION] = TB_SET_DURATION;
    view->set_of[TB_RULES_OF_REQUEST_SIZE] = view->set_of[TB_RULES_OF_RESPONSE_SIZE] = TB_SET_SIZE;
    for (uint32_t i = 0; i < count && i < TB_RULES_BOUNDS_COUNT; i++) {
        struct tb_rules_bounds e = tb_rules_bounds((const uint8_t *)core->rules, view, i);
        if (e.measure > TB_RULES_OF_RESPONSE_SIZE)
            continue; /* of a later version */
        uint8_t set = set_of_entry(core, view, &e);
        if (!e.route) {
            view->set_of[e.measure] = set;
        } else if (e.measure == TB_RULES_OF_DURATION) {
            view->bounds[used].route = e.route;
            view->bounds[used++].set = set;
        }
    }
    tb_store_relaxed(&view->bound_count, (uint8_t)used);
}

void tb_measures_use(struct tb_core *core, const struct tb_rules_view *view, uint32_t generation)
{
    uint32_t measures = view ? tb_load_relaxed(&view->flags) & MEASURE_FLAGS : 0;
    uint8_t set = view ? tb_load_relaxed(&view->set_of[TB_RULES_OF_DURATION]) : TB_SET_DURATION;
    uint32_t epoch = measures & NOT_IN_CELLS ? 0 : 1 + generation % TB_CELL_EPOCHS;
    if (view && tb_load_relaxed(&view->bound_count))
        measures |= TB_MEASURE_ROUTES;
    if (view && tb_load_relaxed(&view->custom.rules))
        measures |= TB_MEASURE_CUSTOM;
    if (tb_load_relaxed(&core->rules->bound_sets))
        measures |= TB_MEASURE_SETS;
    if (measures & TB_MEASURE_SETS)
        tb_store_relaxed(&core->chosen_ns, tb_series_now(core));
    tb_store_relaxed(&core->measures, measures);
    tb_store_release(&core->cell_base, tb_cell_base(set, epoch));
    for (size_t i = 0; i < TB_CELL_CACHE; i++)
        tb_store_relaxed(&core->cell_cache[i], 0);
}

/* The first of the routes' own sets that @route has. */
static uint8_t look_for_set(struct tb_core *core, const struct tb_rules_view *view, uint32_t route)
{
    const uint8_t *section = (const uint8_t *)core->rules;
    struct tb_bytes label = tb_string_get(core->strings, TB_LEN_STRINGS, route);
    uint32_t steps = TB_RULES_GLOB_STEPS, count = tb_load_relaxed(&view->bound_count);
    for (uint32_t i = 0; i < count && i < TB_RULES_BOUNDS_COUNT; i++)
        if (tb_glob_within(tb_rules_text(section, view, view->bounds[i].route), label, &steps))
            return view->bounds[i].set % TB_SETS;
    return view->set_of[TB_RULES_OF_DURATION] % TB_SETS;
}

uint8_t tb_measures_set(struct tb_core *core, uint32_t route)
{
    uint32_t generation = (uint32_t)(tb_load_acquire(&core->rules_word) >> 32);
    const struct tb_rules_view *view = tb_load_acquire(&core->rules_view);
    /* a word each: route, low bits of the generation, set + 1 */
    uint64_t known = (uint64_t)route << 32 | (uint64_t)(generation & 0xffffff) << 8;
    uint64_t *place = &core->route_sets[(route >> 3) % TB_ROUTE_SETS], entry = tb_load_relaxed(place);
    if (!view)
        return TB_SET_DURATION;
    if (TB_LIKELY((entry ^ known) < 256 && (entry & 0xff)))
        return (uint8_t)((entry & 0xff) - 1) % TB_SETS;
    uint8_t set = look_for_set(core, view, route);
    /* the set of rules may have been replaced, and its buffer written anew, while it was read */
    if (!tb_rules_are_whole(core, view))
        return tb_load_relaxed(&view->set_of[TB_RULES_OF_DURATION]) % TB_SETS;
    if (tb_load_acquire(&core->rules->generation) == generation)
        tb_store_relaxed(place, known | (uint64_t)(set + 1u));
    return set;
}

/* One more value beside the exchange itself. */
static void add_value(struct tb_core *core, struct tb_series_key key, enum tb_family family, uint8_t set,
                      uint64_t value, uint64_t amount)
{
    key.family = (uint8_t)family;
    key.bound_set = set % TB_SETS;
    tb_series_add(core, &key, tb_histogram_place(&core->sets[key.bound_set].histogram, value), amount);
    if (tb_load_relaxed(&core->measures) & TB_MEASURE_SETS)
        tb_series_choose(core, &key);
}

void tb_measures_took(struct tb_core *core, struct tb_series_key key, uint64_t duration_ns)
{
    const struct tb_rules_view *v = tb_load_acquire(&core->rules_view);
    uint8_t set = v ? v->set_of[TB_RULES_OF_DURATION] : TB_SET_DURATION;
    add_value(core, key, (enum tb_family)key.family, set, duration_ns, duration_ns);
}

void tb_measures_observe(struct tb_core *core, const struct tb_series_key *key, const struct tb_observation *o,
                         const struct tb_measured *m)
{
    uint32_t measures = tb_load_relaxed(&core->measures);
    const struct tb_rules_view *view = tb_load_acquire(&core->rules_view);
    struct tb_series_key k = *key;
    uint8_t request_set = TB_SET_SIZE, response_set = TB_SET_SIZE;
    if (m->is_hidden)
        measures &= TB_MEASURE_CUSTOM;
    if (view) {
        k.bound_set = view->set_of[TB_RULES_OF_DURATION] % TB_SETS;
        request_set = view->set_of[TB_RULES_OF_REQUEST_SIZE];
        response_set = view->set_of[TB_RULES_OF_RESPONSE_SIZE];
    }
    if (measures & TB_MEASURE_ROUTES)
        k.bound_set = tb_measures_set(core, key->route);
    if (!m->is_hidden)
        tb_series_observe(core, &k, o);
    if (measures & TB_MEASURE_SETS)
        tb_series_choose(core, &k);
    if (measures & TB_MEASURE_REQUEST_SIZE)
        add_value(core, k, TB_FAMILY_REQUEST_SIZE, request_set, tb_byte_ticks(m->request_bytes), m->request_bytes);
    if (measures & TB_MEASURE_RESPONSE_SIZE && !m->is_endless)
        add_value(core, k, TB_FAMILY_RESPONSE_SIZE, response_set, tb_byte_ticks(m->response_bytes), m->response_bytes);
    if (measures & TB_MEASURE_FIRST_BYTE && o->is_timed)
        add_value(core, k, TB_FAMILY_FIRST_BYTE, k.bound_set, o->first_byte_ns, o->first_byte_ns);
    if (measures & TB_MEASURE_EXEMPLARS && o->is_timed && (m->trace[0] | m->trace[1]))
        tb_exemplar_note(core, &k, o->duration_ns, m->trace);
    if (measures & TB_MEASURE_CUSTOM)
        tb_custom_observe(core, &(struct tb_custom_exchange){&k, o, m, m->caught});
}
