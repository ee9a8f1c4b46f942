/* SPDX-License-Identifier: Apache-2.0 */
/* Series: find or claim a key's slot, add one observation, intern strings. Hot path; lock-free; crash-safe at any
 * instruction. */
#ifndef TB_SERIES_H
#define TB_SERIES_H

#include "core.h"

struct tb_observation {
    uint64_t duration_ns;
    uint64_t first_byte_ns;
    uint64_t rx_bytes;
    uint64_t tx_bytes;
    bool is_timed;
    bool is_incomplete;
};

/*
 * tb_series_observe - count one exchange under @key (role, family, ... as in layout.h; unused fields are 0). Its bound
 * set is one that is ready in core->sets.
 *
 * When the table is full, or a page is refused, the exchange is counted on the reserved series (_OTHER, _other, same
 * family, role and status), then untimed, and only when not even its record has memory as lost (counted). Never blocks.
 * Context: any thread, signal handlers.
 */
void tb_series_observe(struct tb_core *core, const struct tb_series_key *key, const struct tb_observation *o);

/*
 * tb_series_add - the same for what is recorded beside exchanges: one value, in @cell (tb_histogram_place) of the key's
 * bound set, @amount added to the sum. Nothing when there is no memory.
 */
void tb_series_add(struct tb_core *core, const struct tb_series_key *key, uint32_t cell, uint64_t amount);

/* tb_series_note - the same for what has no duration by nature: one more, at @realtime_ns (CLOCK_REALTIME, 0 =
 * unknown), which the series keeps as chosen_ns. */
void tb_series_note(struct tb_core *core, const struct tb_series_key *key, uint64_t realtime_ns);

/* tb_series_is_known - is there a series of this key? Makes nothing. */
bool tb_series_is_known(const struct tb_core *core, const struct tb_series_key *key);

/* tb_series_make_record - what this process's shard counts under the key, made when new. It stays where it is as long
 * as the process has its region. NULL: none can be had. tb_series_add_to - tb_series_add for one that is known. False:
 * no memory. */
struct tb_record *tb_series_make_record(struct tb_core *core, const struct tb_series_key *key);
bool tb_series_add_to(struct tb_core *core, struct tb_record *record, uint32_t cell, uint64_t amount);

/* tb_series_block - block @number (below 64) of the key's series in this process's shard, made when new: 8 words in one
 * cache line. NULL: none can be had. */
uint64_t *tb_series_block(struct tb_core *core, const struct tb_series_key *key, uint32_t number);

/* tb_series_now - CLOCK_REALTIME in ns without a system call, since none may be allowed any more; without a clock, when
 * the region was adopted. */
uint64_t tb_series_now(const struct tb_core *core);

/* tb_series_choose - the key's bound set is in force since core->chosen_ns. tb_series_choose_now - from now on. Nothing
 * when there is no such series. */
void tb_series_choose(struct tb_core *core, const struct tb_series_key *key);
void tb_series_choose_now(struct tb_core *core, const struct tb_series_key *key);

/* tb_series_record - the record of this process's shard where tb_series_observe would count under @key. NULL when it
 * does not exist yet. It stays where it is as long as the process has its region. */
struct tb_record *tb_series_record(struct tb_core *core, const struct tb_series_key *key);

/*
 * tb_series_places - that record and the block for @cell (tb_histogram_place) where
 * tb_series_observe would count an exchange under @key. False when something of it does not exist yet. For the table of
 * cell_cache.h.
 */
bool tb_series_places(struct tb_core *core, const struct tb_series_key *key, uint32_t cell,
                      struct tb_record **ret_record, uint64_t **ret_block);

/*
 * tb_string_intern - reference of @text in the region's string table, appended when new.
 * Returns 0 when it is full, longer than TB_STRING_MAX, or a page is refused. @text must be valid UTF-8.
 */
uint32_t tb_string_intern(struct tb_core *core, struct tb_bytes text);

/* tb_string_find - the reference of @text if it is in the table, else 0. */
uint32_t tb_string_find(struct tb_core *core, struct tb_bytes text);

/*
 * tb_string_admit - the reference of @text, which is new to at most @max of them: @admitted counts those, for all
 * processes of the region. TB_STR_OTHER, counted as @overflow, for any further one or where tb_string_intern has none.
 */
uint32_t tb_string_admit(struct tb_core *core, struct tb_bytes text, uint32_t *admitted, uint32_t max,
                         enum tb_counter overflow);

/* tb_string_get - the bytes of a reference, validated against the section (readers may pass garbage). Empty when not
 * valid. */
struct tb_bytes tb_string_get(const uint8_t *strings, size_t strings_len, uint32_t ref);

/* tb_series_hash - of a key; part of layout v1 (the index is shared). */
uint32_t tb_series_hash(const struct tb_series_key *key);

#endif
