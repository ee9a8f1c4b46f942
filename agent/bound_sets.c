/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of bound sets of a region, and each process's own tables built from it. An entry is complete before it is
 * published, by compare-and-swap of its state; a writer killed in between leaves an entry that nobody uses. Two
 * processes that add the same bounds at once may make two entries of them, which only costs a number.
 *
 * Threads: a process's tables are built before anybody is told their number, and stay. Two threads that build one write
 * the same. Fork story: private and copied; numbers mean the same in the child.
 */
#include "bound_sets.h"
#include "region.h"
#include "region_private.h"

#define ENTRIES (TB_SETS - TB_SET_FIRST)

static bool are_equal(const struct tb_bounds_entry *e, const struct tb_bounds *b)
{
    if (e->unit != b->unit || e->count != b->count)
        return false;
    for (uint32_t i = 0; i < b->count; i++)
        if (tb_load_relaxed(&e->at_most[i]) != b->at_most[i])
            return false;
    return true;
}

static uint8_t builtin_of(const struct tb_bounds *bounds)
{
    return bounds->unit == TB_UNIT_BYTES ? TB_SET_SIZE : TB_SET_DURATION;
}

/* Makes core->sets[@set] fit for use. False: the bounds make no sense. */
static bool build(struct tb_core *core, uint8_t set, const struct tb_bounds *bounds)
{
    struct tb_set *s = &core->sets[set];
    if (tb_load_acquire(&core->sets_ready) >> set & 1)
        return true;
    if (!tb_histogram_build(bounds, &s->histogram))
        return false;
    for (uint32_t i = 0; i < bounds->count; i++)
        s->at_most[i] = bounds->at_most[i];
    s->unit = bounds->unit;
    s->count = bounds->count;
    tb_fetch_or_release(&core->sets_ready, 1u << set);
    return true;
}

void tb_bound_sets_init(struct tb_core *core)
{
    struct tb_bounds bounds;
    core->sets_ready = 0;
    for (uint32_t set = 0; tb_histogram_builtin(set, &bounds); set++)
        (void)build(core, (uint8_t)set, &bounds); /* they can be built: unit test */
}

bool tb_bound_sets_reset(const struct tb_core *core, uint8_t *base)
{
    struct tb_rules_head *rules = (struct tb_rules_head *)(void *)(base + TB_OFF_RULES);
    uint64_t first = TB_OFF_RULES + TB_RULES_BOUND_SETS, end = first + ENTRIES * sizeof(struct tb_bounds_entry);
    if (!rules->bound_sets)
        return true;
    for (uint64_t page = first / TB_PAGE * TB_PAGE; page < end; page += TB_PAGE)
        if (!tb_region_populate(core, base, page))
            return false;
    tb_zero(base + first, end - first);
    rules->bound_sets = 0;
    return true;
}

/* The entry with these bounds, made when there is none. Returns its place, or ENTRIES. */
static uint32_t find_or_add(struct tb_core *core, const struct tb_bounds *bounds)
{
    uint8_t *section = (uint8_t *)core->rules;
    struct tb_bounds_entry *entries = (struct tb_bounds_entry *)(void *)(section + TB_RULES_BOUND_SETS);
    if (!tb_region_reserve(core, TB_OFF_RULES + TB_RULES_BOUND_SETS, ENTRIES * sizeof(*entries)))
        return ENTRIES;
    for (uint32_t i = 0; i < ENTRIES; i++) {
        uint32_t state = tb_load_acquire(&entries[i].state);
        if (state == TB_SLOT_EMPTY && tb_cas_acq_rel(&entries[i].state, &state, TB_SLOT_CLAIMED)) {
            entries[i].unit = bounds->unit;
            entries[i].count = bounds->count;
            for (uint32_t k = 0; k < bounds->count; k++)
                tb_store_relaxed(&entries[i].at_most[k], bounds->at_most[k]);
            tb_store_relaxed(&core->rules->bound_sets, 1);
            tb_store_release(&entries[i].state, TB_SLOT_PUBLISHED);
            return i;
        }
        if (state == TB_SLOT_PUBLISHED && are_equal(&entries[i], bounds))
            return i;
    }
    return ENTRIES;
}

uint8_t tb_bound_set_get(struct tb_core *core, const struct tb_bounds *bounds)
{
    uint8_t builtin = builtin_of(bounds);
    struct tb_bounds known = {
        .unit = core->sets[builtin].unit, .count = core->sets[builtin].count, .at_most = core->sets[builtin].at_most};
    if (known.unit == bounds->unit && known.count == bounds->count &&
        tb_equal(known.at_most, bounds->at_most, bounds->count * sizeof(uint64_t)))
        return builtin;
    uint32_t place = bounds->count <= TB_BOUNDS_MAX ? find_or_add(core, bounds) : ENTRIES;
    if (place < ENTRIES && build(core, (uint8_t)(TB_SET_FIRST + place), bounds))
        return (uint8_t)(TB_SET_FIRST + place);
    tb_count(core, TB_COUNTER_BOUND_SETS_REFUSED);
    return builtin;
}

bool tb_bound_sets_entry(const void *section, size_t len, uint32_t number, struct tb_bounds *ret)
{
    const struct tb_bounds_entry *entries =
        (const struct tb_bounds_entry *)(const void *)((const uint8_t *)section + TB_RULES_BOUND_SETS);
    uint32_t i = number - TB_SET_FIRST;
    if (number < TB_SET_FIRST || i >= ENTRIES || len < TB_RULES_BOUND_SETS + (i + 1) * sizeof(*entries) ||
        entries[i].state != TB_SLOT_PUBLISHED)
        return false;
    *ret = (struct tb_bounds){entries[i].unit, entries[i].count, entries[i].at_most};
    return true;
}
