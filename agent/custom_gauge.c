/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Custom metrics that are no sums: the last number of a field, how many different values it had in a window
 * (distinct.h), and how many requests are in flight. The first two lie in block 0 of their series' records (layout.h,
 * enum tb_gauge_words), one for each shard: the reader takes the latest number, and puts sketches together. The last is
 * what the entries of the in-flight table say, so it dies with its process as they do.
 *
 * Crash-safety: a sketch is whole pages of zeroes before the compare-and-swap that makes it reachable; whoever is
 * killed before leaks them. A gauge's number comes before its time; between the two it has an older one's.
 */
#include "custom.h"
#include "distinct.h"
#include "region.h"

#define SKETCH_BYTES ((sizeof(struct tb_distinct) + TB_CHUNK_BYTES - 1) / TB_CHUNK_BYTES * TB_CHUNK_BYTES)
_Static_assert(TB_SKETCH_SLICES <= TB_DISTINCT_WINDOW, "slices of a window");

void tb_custom_set_gauge(struct tb_core *core, const struct tb_series_key *key, int64_t nano)
{
    uint64_t *words = tb_series_block(core, key, 0);
    if (!words) {
        tb_count(core, TB_COUNTER_CUSTOM_LOST);
        return;
    }
    tb_store_relaxed(&words[TB_GAUGE_VALUE], (uint64_t)nano);
    tb_store_release(&words[TB_GAUGE_AT], tb_series_now(core));
}

/* ---- requests in flight ---- */

/* The gauge of @rule that counts the request: the reference of its name, which has a series. 0: none can be had. */
static uint32_t open_gauge(struct tb_core *core, const struct tb_custom *c, uint32_t rule,
                           const struct tb_custom_exchange *x, uint8_t *ret_why)
{
    struct tb_series_key key = {.family = TB_FAMILY_RULE_GAUGE, .role = TB_ROLE_SERVER};
    key.ext = tb_custom_series(core, c, rule, x, ret_why);
    if (key.ext && tb_series_block(core, &key, 0)) /* that it is 0 later is to be seen */
        return key.ext;
    tb_count(core, TB_COUNTER_CUSTOM_LOST);
    return 0;
}

bool tb_custom_open(struct tb_core *core, uint32_t rules, const struct tb_custom_exchange *x, struct tb_inflight *entry)
{
    const struct tb_rules_view *view = tb_load_acquire(&core->rules_view);
    uint32_t used = 0;
    for (; view && rules && used < TB_CUSTOM_IN_FLIGHTS; rules &= rules - 1) {
        const struct tb_custom *c = &view->custom;
        uint32_t rule = (uint32_t)__builtin_ctz(rules), gauge = 0;
        uint8_t why = 0;
        if (tb_custom_is_about_all(core, c, &c->rule[rule], x, &why))
            gauge = open_gauge(core, c, rule, x, &why);
        if (gauge)
            tb_store_relaxed(&entry->gauges[used++], (uint16_t)(gauge >> 3));
        if (why)
            tb_custom_unreadable(core, c, rule, why);
    }
    return used != 0;
}

/* ---- different values ---- */

/* Pages for a sketch: their offset in the cells, 0 = none. */
static uint64_t take_pages(struct tb_core *core)
{
    uint32_t *top = &core->header->cells_used, used = tb_load_relaxed(top), start;
    do {
        start = used < TB_CHUNK_BYTES ? TB_CHUNK_BYTES : (used + TB_CHUNK_BYTES - 1) & ~(TB_CHUNK_BYTES - 1);
        /* the upper half of the arenas is for what is counted */
        if (used > TB_LEN_CELLS / 2 || start + SKETCH_BYTES > TB_LEN_CELLS / 2 ||
            !tb_region_reserve(core, TB_OFF_CELLS + start, SKETCH_BYTES))
            return 0;
    } while (!tb_cas_relaxed(top, &used, start + (uint32_t)SKETCH_BYTES));
    return start;
}

static struct tb_distinct *sketch_of(struct tb_core *core, uint64_t *words)
{
    uint64_t at = tb_load_acquire(&words[TB_GAUGE_SKETCH]), fresh;
    if (!at && (fresh = take_pages(core)) && tb_cas_acq_rel(&words[TB_GAUGE_SKETCH], &at, fresh))
        at = fresh;
    if (at % TB_CHUNK_BYTES || at < TB_CHUNK_BYTES || at > TB_LEN_CELLS - SKETCH_BYTES) /* none, or tampered with */
        return NULL;
    return (struct tb_distinct *)(void *)(core->cells + at);
}

void tb_custom_add_distinct(struct tb_core *core, const struct tb_series_key *key, uint64_t window_ns, uint64_t hash)
{
    uint64_t *words = tb_series_block(core, key, 0), slice_ns = window_ns / TB_SKETCH_SLICES;
    struct tb_distinct *sketch = words ? sketch_of(core, words) : NULL;
    if (!sketch || !slice_ns) {
        tb_count(core, TB_COUNTER_CUSTOM_LOST);
        return;
    }
    tb_store_relaxed(&words[TB_GAUGE_WINDOW], window_ns);
    tb_distinct_add(sketch, tb_series_now(core) / slice_ns, TB_SKETCH_SLICES, hash);
}
