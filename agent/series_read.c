/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums a series out of a copy of a region. The bytes may be anything: each offset is checked before it is followed,
 * each chain ends after a fixed number of steps, and sums simply wrap.
 */
#include "series_read.h"
#include "region.h"

#include <errno.h>

/* More of a record's chain than this is a loop: 3 + 15 each hold all octaves. */
#define MORE_MAX ((TB_OCTAVES - 3 + 14) / 15)

struct cells {
    const uint8_t *at;
    uint64_t len;
};

/* @bytes at @offset of the arenas, or NULL. */
static const void *object_at(const struct cells *c, uint64_t offset, size_t bytes)
{
    if (offset == 0 || offset >= c->len || c->len - offset < bytes)
        return NULL;
    return c->at + offset;
}

/* What is done with the blocks of a chain. */
struct blocks {
    struct cells cells;
    uint32_t shard;
    uint32_t max;                      /* numbers from here on make no sense */
    struct tb_series_sum *sum;         /* their cells are added */
    struct tb_exemplars *exemplars;    /* or they are kept, and this is set */
    uint64_t (*words)[TB_BLOCK_CELLS]; /* or this */
    uint64_t (*gauges)[2];             /* or this: of each owner */
};

static void take_block(struct blocks *b, uint32_t number, const uint64_t *block)
{
    if (b->exemplars)
        __builtin_memcpy(&b->exemplars->of[number][b->shard * 2], block, TB_BLOCK_CELLS * 8);
    if (b->words)
        __builtin_memcpy(b->words[b->shard], block, TB_BLOCK_CELLS * 8);
    for (uint32_t i = 0; b->gauges && i < TB_OWN_GAUGE_OWNERS; i++)
        __builtin_memcpy(b->gauges[(number * TB_OWN_GAUGE_OWNERS + i) * TB_SHARDS + b->shard], block + i * 2, 16);
    if (!b->sum)
        return;
    for (size_t k = 0; k < TB_BLOCK_CELLS; k++) {
        b->sum->cells[number][k] += block[k];
        b->sum->count += block[k];
    }
    b->sum->octaves |= UINT64_C(1) << number;
}

/* The blocks that @count entries name. */
static int take_blocks(struct blocks *b, const uint32_t *entries, size_t count)
{
    for (size_t i = 0; i < count && entries[i]; i++) {
        uint32_t number = TB_BLOCK_OCTAVE(entries[i]);
        const uint64_t *block = object_at(&b->cells, TB_BLOCK_OFFSET(entries[i]), TB_BLOCK_CELLS * 8);
        if (!block || number >= b->max)
            return -EINVAL;
        take_block(b, number, block);
    }
    return 0;
}

static int take_record(struct blocks *b, uint32_t offset8)
{
    const struct tb_record *r = object_at(&b->cells, (uint64_t)offset8 * 8, sizeof(*r));
    if (!r)
        return -EINVAL;
    if (b->sum) {
        b->sum->sum_ns += r->sum_ns;
        b->sum->first_byte_ns += r->first_byte_ns;
        b->sum->rx_bytes += r->rx_bytes;
        b->sum->tx_bytes += r->tx_bytes;
        b->sum->incomplete += r->incomplete;
        b->sum->untimed += r->untimed;
        b->sum->count += r->untimed;
    }
    int error = take_blocks(b, r->blocks, sizeof(r->blocks) / 4);
    uint32_t next = r->more;
    for (unsigned steps = 0; next && !error; steps++) {
        const struct tb_record_more *more = object_at(&b->cells, (uint64_t)next * 8, sizeof(*more));
        if (!more || steps == MORE_MAX)
            return -EINVAL;
        error = take_blocks(b, more->blocks, sizeof(more->blocks) / 4);
        next = more->more;
    }
    return error;
}

/* All shards of a published slot, which is set when @ret is; *b says what is wanted of them. */
static int take_slot(const uint8_t *base, size_t len, const struct tb_region_header *header, uint32_t slot,
                     struct blocks *b, const struct tb_series **ret)
{
    uint64_t offset, bytes, cells_offset;
    if (tb_region_section(header, TB_SEC_SERIES, &offset, &bytes) || slot >= bytes / sizeof(struct tb_series) ||
        offset + bytes > len)
        return -ENOENT;
    if (tb_region_section(header, TB_SEC_CELLS, &cells_offset, &b->cells.len) || cells_offset + b->cells.len > len)
        return -EINVAL;
    b->cells.at = base + cells_offset;
    const struct tb_series *s = (const struct tb_series *)(const void *)(base + offset) + slot;
    bool has_words = s->key.family == TB_FAMILY_RULE_GAUGE || s->key.family == TB_FAMILY_RULE_DISTINCT;
    if (s->state != TB_SLOT_PUBLISHED || (s->key.family == TB_FAMILY_EXEMPLARS) != (b->exemplars != NULL) ||
        has_words != (b->words != NULL) || (s->key.family == TB_FAMILY_OWN_GAUGE) != (b->gauges != NULL))
        return -ENOENT;
    for (b->shard = 0; b->shard < TB_SHARDS; b->shard++)
        if (s->records[b->shard] && take_record(b, s->records[b->shard]))
            return -EINVAL;
    *ret = s;
    return 0;
}

uint32_t tb_series_slots(const struct tb_region_header *header)
{
    uint64_t offset, len;
    if (tb_region_section(header, TB_SEC_SERIES, &offset, &len))
        return 0;
    uint64_t room = len / sizeof(struct tb_series);
    return header->series_used < room ? header->series_used : (uint32_t)room;
}

int tb_series_read(const uint8_t *base, size_t len, const struct tb_region_header *header, uint32_t slot,
                   struct tb_series_key *ret_key, struct tb_series_sum *ret_sum)
{
    struct blocks b = {.max = TB_OCTAVES, .sum = ret_sum};
    const struct tb_series *s;
    tb_zero(ret_sum, sizeof(*ret_sum));
    int r = take_slot(base, len, header, slot, &b, &s);
    if (r)
        tb_zero(ret_sum, sizeof(*ret_sum));
    if (r || ret_sum->count == 0)
        return r ? r : -ENOENT;
    ret_sum->created_ns = s->created_ns;
    ret_sum->chosen_ns = s->chosen_ns;
    *ret_key = s->key;
    return 0;
}

int tb_series_exemplars(const uint8_t *base, size_t len, const struct tb_region_header *header, uint32_t slot,
                        struct tb_series_key *ret_key, struct tb_exemplars *ret)
{
    struct blocks b = {.max = TB_BOUNDS_MAX + 1, .exemplars = ret};
    const struct tb_series *s;
    tb_zero(ret, sizeof(*ret));
    int r = take_slot(base, len, header, slot, &b, &s);
    if (!r)
        *ret_key = s->key;
    return r;
}

int tb_series_words(const uint8_t *base, size_t len, const struct tb_region_header *header, uint32_t slot,
                    struct tb_series_key *ret_key, uint64_t ret[TB_SHARDS][TB_BLOCK_CELLS])
{
    struct blocks b = {.max = 1, .words = ret};
    const struct tb_series *s;
    tb_zero(ret, TB_SHARDS * TB_BLOCK_CELLS * sizeof(uint64_t));
    int r = take_slot(base, len, header, slot, &b, &s);
    if (!r)
        *ret_key = s->key;
    return r;
}

int tb_series_own_gauges(const uint8_t *base, size_t len, const struct tb_region_header *header, uint32_t slot,
                         struct tb_series_key *ret_key, uint64_t ret[TB_OWNERS][2])
{
    struct blocks b = {.max = TB_OWN_GAUGE_BLOCKS, .gauges = ret};
    const struct tb_series *s;
    tb_zero(ret, TB_OWNERS * sizeof *ret);
    int r = take_slot(base, len, header, slot, &b, &s);
    if (!r)
        *ret_key = s->key;
    return r;
}

void tb_series_sum_add(struct tb_series_sum *to, const struct tb_series_sum *from)
{
    for (size_t octave = 0; octave < TB_OCTAVES; octave++)
        for (size_t k = 0; k < TB_BLOCK_CELLS; k++)
            to->cells[octave][k] += from->cells[octave][k];
    to->octaves |= from->octaves;
    to->count += from->count;
    to->untimed += from->untimed;
    to->incomplete += from->incomplete;
    to->sum_ns += from->sum_ns;
    to->first_byte_ns += from->first_byte_ns;
    to->rx_bytes += from->rx_bytes;
    to->tx_bytes += from->tx_bytes;
    if (from->created_ns && (!to->created_ns || from->created_ns < to->created_ns))
        to->created_ns = from->created_ns;
    if (from->chosen_ns > to->chosen_ns)
        to->chosen_ns = from->chosen_ns;
}

uint64_t tb_counter_total(const uint64_t *counters, size_t len, uint32_t which)
{
    uint64_t total = 0;
    for (uint32_t shard = 0; which < TB_COUNTERS_MAX && shard < TB_SHARDS; shard++) {
        size_t at = (size_t)shard * TB_COUNTERS_MAX + which;
        if (at < len / sizeof(*counters))
            total += counters[at];
    }
    return total;
}
