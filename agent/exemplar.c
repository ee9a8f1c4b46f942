/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Noting exemplars. Two words decide who may write: `at`, changed by compare-and-swap, and `value`, which is only
 * looked at. Whoever changed `at` stores the rest. Two who do so one right after the other, or one who is killed or
 * stopped in between, leave an entry whose check is wrong; readers take it for none, and it stands until a slower
 * request or the next window.
 */
#include "exemplar.h"
#include "series.h"

#define TRIES 4u

static uint64_t window_of(uint64_t ms)
{
    return ms / TB_EXEMPLAR_WINDOW_MS;
}

static uint32_t bucket_of(const struct tb_set *set, uint64_t duration_ns)
{
    uint32_t bucket = 0;
    while (bucket < set->count && bucket < TB_BOUNDS_MAX && duration_ns > set->at_most[bucket])
        bucket++;
    return bucket;
}

void tb_exemplar_note(struct tb_core *core, const struct tb_series_key *key, uint64_t duration_ns,
                      const uint64_t trace[2])
{
    struct tb_series_key k = *key;
    k.family = TB_FAMILY_EXEMPLARS;
    uint64_t now_ms = tb_series_now(core) / 1000000, *block;
    block = tb_series_block(core, &k, bucket_of(&core->sets[k.bound_set % TB_SETS], duration_ns));
    if (!block)
        return;
    struct tb_exemplar *e = (struct tb_exemplar *)(void *)block + window_of(now_ms) % 2;
    struct tb_exemplar new = {.trace = {trace[0], trace[1]},
                              .value = (duration_ns >> 48 ? UINT64_MAX >> 16 : duration_ns) << 16};
    uint64_t at = tb_load_relaxed(&e->at);
    for (uint32_t i = 0; i < TRIES; i++) {
        bool is_of_now = window_of(TB_EXEMPLAR_TIME_MS(at)) == window_of(now_ms);
        if (is_of_now && tb_load_relaxed(&e->value) >> 16 >= duration_ns)
            return;
        new.at = now_ms << 20 | ((at + 1) & 0xfffff);
        if (!tb_cas_acq_rel(&e->at, &at, new.at))
            continue;
        new.value |= tb_exemplar_check(&new);
        tb_store_relaxed(&e->trace[0], new.trace[0]);
        tb_store_relaxed(&e->trace[1], new.trace[1]);
        tb_store_release(&e->value, new.value);
        return;
    }
}
