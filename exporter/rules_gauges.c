/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading gauges (rules_gauges.h). In the snapshot their value is total.rx_bytes and its time total.first_byte_ns; what
 * else a series has stays 0, so that nothing takes them for totals that must not fall. Hostile input.
 */
#include "rules_gauges.h"

#include <math.h>
#include <stdlib.h>

#include "agent/region.h"
#include "agent/series_read.h"
#include "buffer.h"
#include "distinct_count.h"
#include "rules_ext.h"

/* A sketch of a shard; NULL: there is none. */
static const struct tb_distinct *sketch_at(const struct tb_region_copy *copy, uint64_t at)
{
    size_t len = 0;
    const uint8_t *cells = tb_region_copy_section(copy, TB_SEC_CELLS, 0, &len);
    if (!cells || !at || at % TB_CHUNK_BYTES || at > len || len - at < sizeof(struct tb_distinct))
        return NULL;
    return (const struct tb_distinct *)(const void *)(cells + at);
}

/* Slices since a cell was chosen, as far as a tag tells. */
static unsigned age_of(uint8_t tag, uint8_t now)
{
    return tag ? (now + TB_DISTINCT_TAGS - tag) % TB_DISTINCT_TAGS : TB_DISTINCT_TAGS;
}

/* One sketch of those of all shards: of two cells, the one that was chosen later. */
static void put_together(struct tb_distinct *to, const struct tb_distinct *from, uint8_t now)
{
    for (size_t row = 0; row < TB_DISTINCT_ROWS; row++)
        for (size_t i = 0; i < TB_DISTINCT_CELLS; i++)
            if (age_of(from->cells[row][i], now) < age_of(to->cells[row][i], now))
                to->cells[row][i] = from->cells[row][i];
}

static uint64_t count_distinct(const struct tb_region_copy *copy, uint64_t words[TB_SHARDS][TB_BLOCK_CELLS],
                               uint64_t now_ns, uint32_t *left)
{
    struct tb_distinct *all = tb_alloc(sizeof *all);
    uint64_t slice_ns = 0;
    for (unsigned i = 0; i < TB_SHARDS; i++) {
        const struct tb_distinct *sketch = sketch_at(copy, words[i][TB_GAUGE_SKETCH]);
        uint64_t slice = words[i][TB_GAUGE_WINDOW] / TB_SKETCH_SLICES;
        if (!sketch || !sketch->slice || !slice || (slice_ns && slice != slice_ns) || !*left)
            continue; /* none, empty, or of a window that was replaced */
        --*left;
        slice_ns = slice;
        all->slice = sketch->slice > all->slice ? sketch->slice : all->slice;
        put_together(all, sketch, tb_distinct_tag(now_ns / slice));
    }
    double count = slice_ns ? tb_distinct_count(all, now_ns / slice_ns, TB_SKETCH_SLICES) : 0;
    free(all);
    return count > 0 ? (uint64_t)llround(count) : 0;
}

/* Requests of living processes that are in flight, by the gauges that count them. */
static uint16_t *count_open(const struct tb_region_copy *copy, const uint64_t *alive)
{
    size_t len = 0;
    const struct tb_inflight *table = tb_region_copy_section(copy, TB_SEC_INFLIGHT, 0, &len);
    uint16_t *open = tb_alloc((TB_LEN_STRINGS >> 3) * sizeof *open);
    for (size_t i = 0; alive && table && i < TB_SHARDS * TB_INFLIGHT_PER_SHARD && i < len / sizeof *table; i++) {
        uint32_t owner = TB_INFLIGHT_OWNER(table[i].start_ns);
        if (!table[i].start_ns || !(alive[owner / 64] >> owner % 64 & 1))
            continue;
        for (size_t k = 0; k < TB_CUSTOM_IN_FLIGHTS; k++)
            if (table[i].gauges[k] && table[i].gauges[k] < TB_LEN_STRINGS >> 3)
                open[table[i].gauges[k]]++; /* at most 4 times 4,096 */
    }
    return open;
}

/* What living processes have; values of former owners of their slots do not count. */
static void read_own(struct tb_snapshot *s, const struct tb_region_copy *copy, uint32_t number,
                     struct tb_snap_series *(*look_up)(void *to, const struct tb_series_key *key), void *to,
                     const uint64_t *alive)
{
    uint64_t words[TB_OWNERS][2];
    struct tb_series_key key;
    size_t len = 0;
    const struct tb_owner *owners = tb_region_copy_section(copy, TB_SEC_OWNERS, 0, &len);
    if (!alive || tb_series_own_gauges(copy->base, copy->len, tb_region_copy_header(copy), number, &key, words) != 0)
        return;
    struct tb_snap_series *e = look_up(to, &key);
    if (!e)
        return;
    tb_snapshot_refresh(e);
    double sum = tb_bits_real(e->total.rx_bytes);
    for (size_t i = 0; owners && i < TB_OWNERS && i < len / sizeof *owners; i++) {
        double value = tb_bits_real(words[i][0]);
        if (!(alive[i / 64] >> i % 64 & 1) || words[i][1] != owners[i].start_ns || !isfinite(value))
            continue;
        sum += value;
        e->total.first_byte_ns = s->now_ns;
    }
    e->total.rx_bytes = tb_real_bits(sum);
}

void tb_gauge_read(struct tb_snapshot *s, const struct tb_region_copy *copy, uint32_t number,
                   struct tb_snap_series *(*look_up)(void *to, const struct tb_series_key *key), void *to,
                   struct tb_gauges *gauges)
{
    uint64_t words[TB_SHARDS][TB_BLOCK_CELLS];
    struct tb_series_key key;
    if (tb_series_words(copy->base, copy->len, tb_region_copy_header(copy), number, &key, words) != 0) {
        read_own(s, copy, number, look_up, to, gauges->alive);
        return;
    }
    struct tb_snap_series *e = look_up(to, &key);
    if (!e)
        return;
    tb_snapshot_refresh(e);
    if (key.family == TB_FAMILY_RULE_DISTINCT) {
        e->total.rx_bytes += count_distinct(copy, words, s->now_ns, &gauges->sketches_left);
        e->total.first_byte_ns = s->now_ns;
        return;
    }
    if (*e->key.ext == TB_EXT_IN_FLIGHT) {
        if (!gauges->open)
            gauges->open = count_open(copy, gauges->alive);
        e->total.rx_bytes += key.ext < TB_LEN_STRINGS ? gauges->open[key.ext >> 3] : 0;
        e->total.first_byte_ns = s->now_ns;
        return;
    }
    const bool is_real = tb_ext_shape(e->key.ext) == TB_EXT_LAST;
    for (unsigned i = 0; i < TB_SHARDS; i++) {
        uint64_t at = words[i][TB_GAUGE_AT], value = words[i][TB_GAUGE_VALUE];
        bool is_good = is_real ? isfinite(tb_bits_real(value)) : value <= INT64_MAX;
        if (at > e->total.first_byte_ns && at <= s->now_ns && is_good) {
            e->total.rx_bytes = value;
            e->total.first_byte_ns = at;
        }
    }
}
