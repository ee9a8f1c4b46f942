/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading series from a copy of a region. Pure, and safe on any bytes: every offset is checked against the copy, every
 * chain has a limit. For the exporter, the command, tests and fuzzers; nothing here writes a region.
 *
 * The copy may have been taken while writers went on: copy upwards (series before cells), word by word with 64-bit
 * loads. Then each cell is a value it really had, and none is lower than in an earlier copy of the same life.
 */
#ifndef TB_SERIES_READ_H
#define TB_SERIES_READ_H

#include "histogram.h"
#include "layout.h"

/* What a series slot has counted, all shards together. count is derived from the cells, so they cannot disagree. */
struct tb_series_sum {
    uint64_t cells[TB_OCTAVES][TB_BLOCK_CELLS];
    uint64_t octaves;       /* a bit for each that a block was found for: only there cells may be other than 0 */
    uint64_t count;         /* untimed + all cells */
    uint64_t untimed;       /* counted without a duration */
    uint64_t incomplete;    /* cut short, in count too */
    uint64_t sum_ns;        /* of the timed ones */
    uint64_t first_byte_ns; /* of the timed ones */
    uint64_t rx_bytes;
    uint64_t tx_bytes;
    uint64_t created_ns; /* CLOCK_REALTIME of the slot's publication */
    uint64_t chosen_ns;  /* as in struct tb_series */
};

/* The exemplars of a slot, by bucket: two of each shard, as they lie there (exemplar.h). */
struct tb_exemplars {
    struct tb_exemplar of[TB_BOUNDS_MAX + 1][TB_SHARDS * 2];
};

/* tb_series_slots - how many slots, from 0, are worth reading. @header validated by tb_region_validate. */
uint32_t tb_series_slots(const struct tb_region_header *header);

/*
 * tb_series_read - the key and the sums of one slot.
 *
 * @base    a copy of the region file, @len bytes; 8-byte aligned
 * @header  its header, validated by tb_region_validate against @len; may lie in @base
 *
 * Returns 0; -ENOENT when the slot was never published or has counted nothing; -EINVAL when its chain contradicts
 * itself (then *@ret_sum is 0: a damaged slot gives no number rather than a wrong one). Several slots may hold
 * one key: sum them. The key's string references are checked by tb_string_get, its bound_set by tb_histogram_builtin
 * and tb_bound_sets_entry. A slot of TB_FAMILY_EXEMPLARS, _RULE_GAUGE, _RULE_DISTINCT or _OWN_GAUGE has no sums:
 * -ENOENT.
 */
int tb_series_read(const uint8_t *base, size_t len, const struct tb_region_header *header, uint32_t slot,
                   struct tb_series_key *ret_key, struct tb_series_sum *ret_sum);

/* tb_series_exemplars - the same for a slot of TB_FAMILY_EXEMPLARS; -ENOENT: it is another's. */
int tb_series_exemplars(const uint8_t *base, size_t len, const struct tb_region_header *header, uint32_t slot,
                        struct tb_series_key *ret_key, struct tb_exemplars *ret);

/* tb_series_words - the words (layout.h, enum tb_gauge_words) of a slot of TB_FAMILY_RULE_GAUGE or _DISTINCT, of each
 * shard; -ENOENT: it is another's. */
int tb_series_words(const uint8_t *base, size_t len, const struct tb_region_header *header, uint32_t slot,
                    struct tb_series_key *ret_key, uint64_t ret[TB_SHARDS][TB_BLOCK_CELLS]);

/* tb_series_own_gauges - the same for a slot of TB_FAMILY_OWN_GAUGE: of each owner slot the bits of its value and the
 * start_ns of the owner whose it is. */
int tb_series_own_gauges(const uint8_t *base, size_t len, const struct tb_region_header *header, uint32_t slot,
                         struct tb_series_key *ret_key, uint64_t ret[TB_OWNERS][2]);

/* tb_series_sum_add - adds @from to @to: sums wrap, created_ns becomes the older non-zero one. */
void tb_series_sum_add(struct tb_series_sum *to, const struct tb_series_sum *from);

/* tb_counter_total - one counter of counters.def (enum tb_counter) from a copied section of @len bytes, all shards. */
uint64_t tb_counter_total(const uint64_t *counters, size_t len, uint32_t which);

#endif
