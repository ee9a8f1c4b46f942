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

/* Adds the blocks that @count entries name. */
static int add_blocks(const struct cells *c, const uint32_t *entries, size_t count, struct tb_series_sum *sum)
{
    for (size_t i = 0; i < count && entries[i]; i++) {
        uint32_t octave = TB_BLOCK_OCTAVE(entries[i]);
        const uint64_t *block = object_at(c, TB_BLOCK_OFFSET(entries[i]), TB_BLOCK_CELLS * 8);
        if (!block || octave >= TB_OCTAVES)
            return -EINVAL;
        for (size_t k = 0; k < TB_BLOCK_CELLS; k++) {
            sum->cells[octave][k] += block[k];
            sum->count += block[k];
        }
    }
    return 0;
}

static int add_record(const struct cells *c, uint32_t offset8, struct tb_series_sum *sum)
{
    const struct tb_record *r = object_at(c, (uint64_t)offset8 * 8, sizeof(*r));
    if (!r)
        return -EINVAL;
    sum->sum_ns += r->sum_ns;
    sum->first_byte_ns += r->first_byte_ns;
    sum->rx_bytes += r->rx_bytes;
    sum->tx_bytes += r->tx_bytes;
    sum->incomplete += r->incomplete;
    sum->untimed += r->untimed;
    sum->count += r->untimed;
    int error = add_blocks(c, r->blocks, sizeof(r->blocks) / 4, sum);
    uint32_t next = r->more;
    for (unsigned steps = 0; next && !error; steps++) {
        const struct tb_record_more *more = object_at(c, (uint64_t)next * 8, sizeof(*more));
        if (!more || steps == MORE_MAX)
            return -EINVAL;
        error = add_blocks(c, more->blocks, sizeof(more->blocks) / 4, sum);
        next = more->more;
    }
    return error;
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
    uint64_t offset, bytes, cells_offset;
    struct cells c;
    if (tb_region_section(header, TB_SEC_SERIES, &offset, &bytes) || slot >= bytes / sizeof(struct tb_series) ||
        offset + bytes > len)
        return -ENOENT;
    if (tb_region_section(header, TB_SEC_CELLS, &cells_offset, &c.len) || cells_offset + c.len > len)
        return -EINVAL;
    c.at = base + cells_offset;
    const struct tb_series *s = (const struct tb_series *)(const void *)(base + offset) + slot;
    if (s->state != TB_SLOT_PUBLISHED)
        return -ENOENT;

    struct tb_series_sum sum;
    tb_zero(&sum, sizeof(sum));
    for (uint32_t shard = 0; shard < TB_SHARDS; shard++)
        if (s->records[shard] && add_record(&c, s->records[shard], &sum))
            return -EINVAL;
    if (sum.count == 0)
        return -ENOENT;
    sum.created_ns = s->created_ns;
    *ret_key = s->key;
    *ret_sum = sum;
    return 0;
}

void tb_series_sum_add(struct tb_series_sum *to, const struct tb_series_sum *from)
{
    for (size_t octave = 0; octave < TB_OCTAVES; octave++)
        for (size_t k = 0; k < TB_BLOCK_CELLS; k++)
            to->cells[octave][k] += from->cells[octave][k];
    to->count += from->count;
    to->untimed += from->untimed;
    to->incomplete += from->incomplete;
    to->sum_ns += from->sum_ns;
    to->first_byte_ns += from->first_byte_ns;
    to->rx_bytes += from->rx_bytes;
    to->tx_bytes += from->tx_bytes;
    if (from->created_ns && (!to->created_ns || from->created_ns < to->created_ns))
        to->created_ns = from->created_ns;
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
