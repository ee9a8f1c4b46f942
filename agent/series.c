/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Series: one exchange is added here. tb_series_observe holds the path of a known key, a few dozen instructions without
 * a call; whatever else may be needed (first use of the region, a new key, a new record or block, an untimed or
 * incomplete exchange, no memory) is observe_slow().
 *
 * Crash-safety: an object (slot, record, block) is complete before the compare-and-swap that makes it reachable, and
 * nothing that is reachable is ever taken back. A writer killed in between leaks the object. Losing such a race gives
 * the object back if nobody has taken one since. Objects come from pages that were reserved before, and fresh pages are
 * zero, so a reachable object never raises SIGBUS and needs no clearing.
 *
 * Fork story: nothing here is private but core->ready_index, which tb_core_forked() clears.
 */
#include "series.h"
#include "histogram.h"
#include "region.h"
#include "syscalls.h"

#define INDEX_PROBES 128u /* at most half of the index is used; a key whose places are all taken overflows */
#define INDEX_SHIFT 19u   /* the top 13 bits of a hash choose its first place */
_Static_assert(1u << (32 - INDEX_SHIFT) == TB_INDEX_SLOTS, "the index is addressed by the top bits");
_Static_assert((TB_SERIES_MAX & (TB_SERIES_MAX - 1)) == 0, "slot numbers are masked, never trusted");
#define ALLOC_TRIES 64u

/*
 * Slots from 0 up. Exact keys stop at the region's limit; _OTHER/_other with its status stops before the last slots,
 * which are for whole classes of statuses, so that a server of 900 statuses cannot make the sum inexact.
 */
#define OVERFLOW_LIMIT (TB_SERIES_MAX - 72u)
_Static_assert(TB_SERIES_LIMIT < OVERFLOW_LIMIT, "slots are reserved for overflow");

typedef uint64_t __attribute__((may_alias, aligned(4))) key_word;

struct key_words {
    uint64_t a, b, c;
};

static inline struct key_words words_of(const struct tb_series_key *key)
{
    const key_word *w = (const key_word *)(const void *)key;
    return (struct key_words){w[0], w[1], w[2]};
}

static inline bool is_key(const struct tb_series *s, struct key_words k)
{
    struct key_words w = words_of(&s->key);
    if (TB_UNLIKELY(w.a != k.a))
        return false;
    if (TB_UNLIKELY(w.b != k.b))
        return false;
    return w.c == k.c;
}

/* The rotation lays the route over bits that the first word leaves free: one multiplication is enough. */
static inline uint32_t hash_of(struct key_words k)
{
    uint64_t hash = (k.a ^ (k.b << 43 | k.b >> 21) ^ k.c) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(hash >> 32);
}

uint32_t tb_series_hash(const struct tb_series_key *key)
{
    return hash_of(words_of(key));
}

/* ---- objects in the arenas ---- */

/* Every object is one cache line, and chunks are whole lines. */
_Static_assert(sizeof(struct tb_record) == 64 && sizeof(struct tb_record_more) == 64 && TB_BLOCK_CELLS * 8 == 64, "");

/* A fresh chunk for @shard, @bytes of it taken at once. Returns the offset, 0 when there is none, 1 to try again. */
static uint32_t open_chunk(struct tb_core *core, uint32_t shard, uint32_t at, uint32_t bytes)
{
    struct tb_region_header *header = core->header;
    uint32_t used = tb_load_relaxed(&header->cells_used), start;
    do {
        start = used < TB_CHUNK_BYTES ? TB_CHUNK_BYTES : (used + TB_CHUNK_BYTES - 1) & ~(TB_CHUNK_BYTES - 1);
        if (used > TB_LEN_CELLS || start > TB_LEN_CELLS - TB_CHUNK_BYTES ||
            !tb_region_reserve(core, TB_OFF_CELLS + start, TB_CHUNK_BYTES))
            return 0;
    } while (!tb_cas_relaxed(&header->cells_used, &used, start + TB_CHUNK_BYTES));
    if (tb_cas_acq_rel(&header->arena_at[shard], &at, start + bytes))
        return start;
    uint32_t top = start + TB_CHUNK_BYTES; /* another writer of the shard was faster: give the chunk back */
    (void)tb_cas_relaxed(&header->cells_used, &top, start);
    return 1;
}

/* @bytes (a multiple of 8) of zeroes from the shard's arena: their offset, or 0. */
static uint32_t take_object(struct tb_core *core, uint32_t bytes)
{
    uint32_t shard = tb_load_relaxed(&core->shard) % TB_SHARDS, *arena = &core->header->arena_at[shard];
    uint32_t at = tb_load_relaxed(arena);
    for (uint32_t i = 0; i < ALLOC_TRIES; i++) {
        uint32_t inside = at % TB_CHUNK_BYTES;
        if (inside && inside % 8 == 0 && at < TB_LEN_CELLS && bytes <= TB_CHUNK_BYTES - inside) {
            if (tb_cas_acq_rel(arena, &at, at + bytes))
                return at;
            continue;
        }
        uint32_t start = open_chunk(core, shard, at, bytes);
        if (start != 1)
            return start;
        at = tb_load_relaxed(arena);
    }
    return 0;
}

/* Gives back what take_object() gave if it is still the last (not the first of a chunk: that would lose the chunk). */
static void give_back_object(struct tb_core *core, uint32_t offset, uint32_t bytes)
{
    uint32_t top = offset + bytes;
    if (offset % TB_CHUNK_BYTES)
        (void)tb_cas_acq_rel(&core->header->arena_at[tb_load_relaxed(&core->shard) % TB_SHARDS], &top, offset);
}

/* Offsets (all / 8) come from shared memory: 0 (none) and anything outside of the arenas is refused. */
static inline bool is_inside(uint32_t offset8, uint32_t bytes)
{
    return offset8 - 1 < (TB_LEN_CELLS - bytes) / 8;
}

static inline uint64_t *object_at(const struct tb_core *core, uint32_t offset8)
{
    return (uint64_t *)(void *)core->cells + offset8;
}

/* Sets *@link to a new object's offset / 8 unless it is set; the value then in force, or 0 when there is no memory. */
static uint32_t link_object(struct tb_core *core, uint32_t *link, uint32_t bytes)
{
    uint32_t linked = tb_load_acquire(link);
    if (linked)
        return linked;
    uint32_t fresh = take_object(core, bytes);
    if (!fresh)
        return 0;
    if (tb_cas_acq_rel(link, &linked, fresh / 8))
        return fresh / 8;
    give_back_object(core, fresh, bytes);
    return linked;
}

/* The record of this shard; without memory for one, another shard's: shared cache lines, but the right series. */
static struct tb_record *record_of(struct tb_core *core, struct tb_series *s)
{
    uint32_t at = link_object(core, &s->records[tb_load_relaxed(&core->shard) % TB_SHARDS], sizeof(struct tb_record));
    for (uint32_t i = 0; i < TB_SHARDS && !is_inside(at, sizeof(struct tb_record)); i++)
        at = tb_load_acquire(&s->records[i]);
    if (!is_inside(at, sizeof(struct tb_record)))
        return NULL;
    return (struct tb_record *)(void *)object_at(core, at);
}

/* Looks for @octave in @count entries, adding its block at the first free one. *ret_block stays NULL without memory or
 * when the entries hold other octaves. Returns false when looking further makes sense. */
static bool find_block(struct tb_core *core, uint32_t *entries, size_t count, uint32_t octave, uint64_t **ret_block)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t entry = tb_load_acquire(&entries[i]);
        if (entry == 0) {
            uint32_t fresh = take_object(core, TB_BLOCK_CELLS * 8);
            if (!fresh)
                return true;
            if (tb_cas_acq_rel(&entries[i], &entry, TB_BLOCK(octave, fresh)))
                entry = TB_BLOCK(octave, fresh);
            else
                give_back_object(core, fresh, TB_BLOCK_CELLS * 8);
        }
        if (TB_BLOCK_OCTAVE(entry) != octave)
            continue;
        if (is_inside(TB_BLOCK_OFFSET(entry) / 8, TB_BLOCK_CELLS * 8))
            *ret_block = object_at(core, TB_BLOCK_OFFSET(entry) / 8);
        return true;
    }
    return false;
}

/* The cells of a record's octave, made when new. NULL without memory. */
static uint64_t *block_of(struct tb_core *core, struct tb_record *r, uint32_t octave)
{
    uint64_t *block = NULL;
    uint32_t *entries = r->blocks, *more = &r->more;
    size_t count = sizeof(r->blocks) / sizeof(r->blocks[0]);
    for (uint32_t step = 0; step < TB_OCTAVES && !find_block(core, entries, count, octave, &block); step++) {
        uint32_t at = link_object(core, more, sizeof(struct tb_record_more));
        if (!is_inside(at, sizeof(struct tb_record_more)))
            return NULL;
        struct tb_record_more *next = (struct tb_record_more *)(void *)object_at(core, at);
        entries = next->blocks;
        count = sizeof(next->blocks) / sizeof(next->blocks[0]);
        more = &next->more;
    }
    return block;
}

/* ---- slots ---- */

uint64_t tb_series_now(const struct tb_core *core)
{
    uint64_t monotonic_ns = tb_monotonic_ns(core);
    if (!monotonic_ns || !core->realtime_offset_ns)
        return core->header->adopted_ns;
    return core->realtime_offset_ns + monotonic_ns;
}

/* Fills and publishes a slot up to @limit; it is in no index yet. Returns its number, or 0. */
static uint32_t make_slot(struct tb_core *core, struct key_words k, uint32_t hash, uint32_t limit)
{
    uint32_t *used = &core->header->series_used, first = tb_load_relaxed(used), slot;
    do {
        slot = first ? first : 1; /* slot 0 stays empty: 0 in the index leads there */
        if (slot > limit || slot >= TB_SERIES_MAX ||
            !tb_region_reserve(core, TB_OFF_SERIES + slot * sizeof(struct tb_series), sizeof(struct tb_series)))
            return 0;
    } while (!tb_cas_acq_rel(used, &first, slot + 1));
    struct tb_series *s = &core->series[slot];
    tb_store_release(&s->state, TB_SLOT_CLAIMED);
    key_word *w = (key_word *)(void *)&s->key;
    w[0] = k.a;
    w[1] = k.b;
    w[2] = k.c;
    s->hash = hash;
    s->created_ns = tb_series_now(core);
    /* release: a reader that sees PUBLISHED sees the key; writers get here through the index, set later still */
    tb_store_release(&s->state, TB_SLOT_PUBLISHED);
    return slot;
}

static void unmake_slot(struct tb_core *core, uint32_t slot)
{
    uint32_t top = slot + 1;
    tb_store_release(&core->series[slot].state, TB_SLOT_EMPTY);
    (void)tb_cas_acq_rel(&core->header->series_used, &top, slot);
}

/* The series of a key, made when new and up to slot @limit. NULL when it cannot be. */
static struct tb_series *find_or_make(struct tb_core *core, struct key_words k, uint32_t limit)
{
    uint32_t hash = hash_of(k), made = 0;
    struct tb_series *found = NULL;
    for (uint32_t i = 0; i < INDEX_PROBES && !found; i++) {
        uint16_t *place = &core->index[((hash >> INDEX_SHIFT) + i) % TB_INDEX_SLOTS];
        uint16_t entry = tb_load_acquire(place);
        if (entry == 0) {
            if (!made)
                made = make_slot(core, k, hash, limit);
            if (!made)
                return NULL;
            if (tb_cas_acq_rel(place, &entry, (uint16_t)made))
                return &core->series[made];
        }
        struct tb_series *s = &core->series[entry % TB_SERIES_MAX];
        if (is_key(s, k))
            found = s;
    }
    if (made)
        unmake_slot(core, made);
    return found;
}

/* The reserved series that takes an exchange whose own cannot be had. What is recorded beside exchanges gets none of
 * the last slots. */
static struct tb_series *overflow_series(struct tb_core *core, struct tb_series_key key)
{
    key.method = 0;
    key.route = key.route ? TB_STR_OTHER : 0;
    if (key.family != TB_FAMILY_RULE) {
        key.target = key.target ? TB_STR_OTHER : 0;
        key.ext = 0;
    }
    struct tb_series *s = find_or_make(core, words_of(&key), OVERFLOW_LIMIT);
    if (s || key.family > TB_FAMILY_RULE)
        return s;
    if (key.family == TB_FAMILY_ABORTED)
        return find_or_make(core, words_of(&key), TB_SERIES_MAX);
    key.status = (uint16_t)(key.status / 100 * 100);
    return find_or_make(core, words_of(&key), TB_SERIES_MAX);
}

/* ---- observing ---- */

/* The index is usable by this process: it has an owner slot, which chooses the shard, and the index and series slot 0
 * have memory. */
static bool get_ready(struct tb_core *core)
{
    if (tb_load_acquire(&core->ready_index))
        return true;
    if (!tb_owner_claim(core) || !tb_region_reserve(core, TB_OFF_INDEX, TB_LEN_INDEX) ||
        !tb_region_reserve(core, TB_OFF_SERIES, TB_PAGE))
        return false;
    struct tb_owner *owner = tb_load_acquire(&core->owner);
    uint32_t shard = owner ? (uint32_t)(owner - core->owners) % TB_SHARDS : 0;
    tb_store_relaxed(&core->record_link, (uint32_t)(offsetof(struct tb_series, records) + shard * 4));
    tb_store_release(&core->ready_index, core->index);
    return true;
}

/* Adds a timed, complete exchange to known cells. */
static inline void add_timed(struct tb_record *r, uint64_t *cell, const struct tb_observation *o)
{
    tb_add_relaxed(cell, 1);
    tb_add_relaxed(&r->sum_ns, o->duration_ns);
    tb_add_relaxed(&r->first_byte_ns, o->first_byte_ns);
    tb_add_relaxed(&r->rx_bytes, o->rx_bytes);
    tb_add_relaxed(&r->tx_bytes, o->tx_bytes);
}

static bool has_duration(uint8_t family)
{
    return family != TB_FAMILY_ABORTED && family != TB_FAMILY_RULE && family != TB_FAMILY_UNREADABLE;
}

static void add(struct tb_core *core, struct tb_record *r, const struct tb_series_key *key,
                const struct tb_observation *o)
{
    uint64_t *block = NULL;
    if (o->is_timed) {
        uint32_t cell = tb_histogram_place(&core->sets[key->bound_set % TB_SETS].histogram, o->duration_ns);
        block = block_of(core, r, cell / TB_BLOCK_CELLS);
        if (block)
            block += cell % TB_BLOCK_CELLS;
    }
    if (block) {
        add_timed(r, block, o);
    } else {
        tb_add_relaxed(&r->untimed, 1);
        tb_add_relaxed(&r->rx_bytes, o->rx_bytes);
        tb_add_relaxed(&r->tx_bytes, o->tx_bytes);
        if (has_duration(key->family))
            tb_count(core, TB_COUNTER_UNTIMED);
    }
    if (o->is_incomplete)
        tb_add_relaxed(&r->incomplete, 1);
}

/* How many slots a family may use. What is recorded beside the requests themselves leaves them a quarter. */
static uint32_t limit_of(const struct tb_core *core, uint8_t family)
{
    const struct tb_rules_view *rules = tb_load_acquire(&core->rules_view);
    uint32_t limit = tb_load_relaxed(&core->header->series_limit);
    if (rules && rules->max_series)
        limit = rules->max_series;
    limit = limit < TB_SERIES_LIMIT ? limit : TB_SERIES_LIMIT;
    return family > TB_FAMILY_RULE ? limit / 4 * 3 : limit;
}

/* Past a cap it is that of the reserved series, where the family has one. */
struct tb_record *tb_series_make_record(struct tb_core *core, const struct tb_series_key *key)
{
    if (!core->base || !get_ready(core))
        return NULL;
    struct tb_series *s = find_or_make(core, words_of(key), limit_of(core, key->family));
    struct tb_record *r = s ? record_of(core, s) : NULL;
    if (r || key->family == TB_FAMILY_EXEMPLARS || key->family == TB_FAMILY_OWN_GAUGE)
        return r;
    s = overflow_series(core, *key);
    r = s ? record_of(core, s) : NULL;
    if (r && key->family <= TB_FAMILY_RULE)
        tb_count(core, TB_COUNTER_SERIES_OVERFLOW);
    return r;
}

static __attribute__((noinline, cold)) void observe_slow(struct tb_core *core, const struct tb_series_key *key,
                                                         const struct tb_observation *o)
{
    struct tb_record *r = tb_series_make_record(core, key);
    if (r)
        add(core, r, key, o);
    else if (core->base)
        tb_count(core, TB_COUNTER_LOST);
}

bool tb_series_add_to(struct tb_core *core, struct tb_record *record, uint32_t cell, uint64_t amount)
{
    uint64_t *block = block_of(core, record, cell / TB_BLOCK_CELLS);
    if (!block)
        return false;
    tb_add_relaxed(&block[cell % TB_BLOCK_CELLS], 1);
    tb_add_relaxed(&record->sum_ns, amount);
    return true;
}

void tb_series_add(struct tb_core *core, const struct tb_series_key *key, uint32_t cell, uint64_t amount)
{
    struct tb_record *r = tb_series_make_record(core, key);
    if (r)
        (void)tb_series_add_to(core, r, cell, amount);
}

uint64_t *tb_series_block(struct tb_core *core, const struct tb_series_key *key, uint32_t number)
{
    struct tb_record *r = tb_series_make_record(core, key);
    return r ? block_of(core, r, number) : NULL;
}

/* The series of a key if there is one. */
static struct tb_series *known_series(const struct tb_core *core, struct key_words k)
{
    const uint16_t *index = tb_load_acquire(&core->ready_index);
    uint32_t first = hash_of(k) >> INDEX_SHIFT;
    for (uint32_t i = 0; index && i < INDEX_PROBES; i++) {
        uint16_t entry = tb_load_acquire(&index[(first + i) % TB_INDEX_SLOTS]);
        struct tb_series *s = &core->series[entry % TB_SERIES_MAX];
        if (!entry)
            return NULL;
        if (is_key(s, k))
            return s;
    }
    return NULL;
}

/* Two at once: one of two moments that hardly differ stays. */
static void choose(struct tb_core *core, const struct tb_series_key *key, uint64_t chosen_ns)
{
    struct tb_series *s = known_series(core, words_of(key));
    if (s && tb_load_relaxed(&s->chosen_ns) < chosen_ns)
        tb_store_relaxed(&s->chosen_ns, chosen_ns);
}

void tb_series_choose(struct tb_core *core, const struct tb_series_key *key)
{
    choose(core, key, tb_load_relaxed(&core->chosen_ns));
}

void tb_series_choose_now(struct tb_core *core, const struct tb_series_key *key)
{
    choose(core, key, tb_series_now(core));
}

void tb_series_note(struct tb_core *core, const struct tb_series_key *key, uint64_t realtime_ns)
{
    struct tb_record *r = tb_series_make_record(core, key);
    if (!r)
        return;
    tb_add_relaxed(&r->untimed, 1);
    choose(core, key, realtime_ns);
}

bool tb_series_is_known(const struct tb_core *core, const struct tb_series_key *key)
{
    return known_series(core, words_of(key)) != NULL;
}

/* An entry of blocks[] that holds @octave_bits: the block's offset / 8. Anything else is no place in the arenas. */
static inline bool is_block(uint32_t entry, uint32_t octave_bits, uint32_t *ret_at)
{
    *ret_at = entry ^ octave_bits;
    return is_inside(*ret_at, TB_BLOCK_CELLS * 8);
}

/* The octave is not among the record's first blocks: look further, or make it. */
static __attribute__((noinline)) void observe_more(struct tb_core *core, struct tb_record *r, uint32_t cell,
                                                   const struct tb_series_key *key, const struct tb_observation *o)
{
    uint32_t octave_bits = TB_BLOCK(cell / TB_BLOCK_CELLS, 0), block, next = tb_load_acquire(&r->more);
    for (uint32_t step = 0; step < TB_OCTAVES && is_inside(next, sizeof(struct tb_record_more)); step++) {
        struct tb_record_more *more = (struct tb_record_more *)(void *)object_at(core, next);
        for (size_t i = 0; i < sizeof(more->blocks) / sizeof(more->blocks[0]); i++)
            if (is_block(tb_load_acquire(&more->blocks[i]), octave_bits, &block)) {
                add_timed(r, object_at(core, block) + cell % TB_BLOCK_CELLS, o);
                return;
            }
        next = tb_load_acquire(&more->more);
    }
    add(core, r, key, o);
}

/* The block of an octave if the record has it; makes nothing. */
static uint64_t *known_block(const struct tb_core *core, struct tb_record *r, uint32_t octave)
{
    const uint32_t *entries = r->blocks, *link = &r->more;
    size_t count = sizeof(r->blocks) / sizeof(r->blocks[0]);
    for (uint32_t step = 0; step < TB_OCTAVES; step++) {
        for (size_t i = 0; i < count; i++) {
            uint32_t entry = tb_load_acquire(&entries[i]), at = TB_BLOCK_OFFSET(entry) / 8;
            if (entry && TB_BLOCK_OCTAVE(entry) == octave)
                return is_inside(at, TB_BLOCK_CELLS * 8) ? object_at(core, at) : NULL;
        }
        uint32_t at = tb_load_acquire(link);
        if (!is_inside(at, sizeof(struct tb_record_more)))
            return NULL;
        const struct tb_record_more *next = (const struct tb_record_more *)(void *)object_at(core, at);
        entries = next->blocks;
        count = sizeof(next->blocks) / sizeof(next->blocks[0]);
        link = &next->more;
    }
    return NULL;
}

struct tb_record *tb_series_record(struct tb_core *core, const struct tb_series_key *key)
{
    struct tb_series *s = known_series(core, words_of(key));
    uint32_t at = s ? tb_load_acquire((uint32_t *)(void *)((uint8_t *)s + core->record_link)) : 0;
    return is_inside(at, sizeof(struct tb_record)) ? (struct tb_record *)(void *)object_at(core, at) : NULL;
}

bool tb_series_places(struct tb_core *core, const struct tb_series_key *key, uint32_t cell,
                      struct tb_record **ret_record, uint64_t **ret_block)
{
    struct tb_record *r = tb_series_record(core, key);
    uint64_t *block = r ? known_block(core, r, cell / TB_BLOCK_CELLS) : NULL;
    if (block) {
        *ret_record = r;
        *ret_block = block;
    }
    return block != NULL;
}

void tb_series_observe(struct tb_core *core, const struct tb_series_key *key, const struct tb_observation *o)
{
    typedef uint16_t __attribute__((may_alias, aligned(1))) two_bools;
    _Static_assert(offsetof(struct tb_observation, is_incomplete) == offsetof(struct tb_observation, is_timed) + 1, "");

    /* acquire: pairs with the release in get_ready() */
    const uint16_t *index = tb_load_acquire(&core->ready_index);
    if (TB_UNLIKELY(!index || *(const two_bools *)(const void *)&o->is_timed != 1)) /* timed and not incomplete */
        goto slow;
    struct key_words k = words_of(key);
    struct tb_series *s = &core->series[tb_load_acquire(&index[hash_of(k) >> INDEX_SHIFT]) % TB_SERIES_MAX];
    if (TB_UNLIKELY(!is_key(s, k)))
        goto slow; /* new, or not at its first place: 1 in 80 for 100 series */
    uint32_t at = tb_load_acquire((uint32_t *)(void *)((uint8_t *)s + core->record_link));
    if (TB_UNLIKELY(!is_inside(at, sizeof(struct tb_record))))
        goto slow;
    struct tb_record *r = (struct tb_record *)(void *)object_at(core, at);
    uint32_t cell = tb_histogram_place(&core->sets[key->bound_set % TB_SETS].histogram, o->duration_ns), block;
    uint32_t octave_bits = (cell & ~7u) << 23; /* TB_BLOCK(cell / 8, 0) */
    if (!is_block(tb_load_acquire(&r->blocks[0]), octave_bits, &block) &&
        !is_block(tb_load_acquire(&r->blocks[1]), octave_bits, &block) &&
        !is_block(tb_load_acquire(&r->blocks[2]), octave_bits, &block)) {
        observe_more(core, r, cell, key, o);
        return;
    }
    add_timed(r, object_at(core, block) + cell % TB_BLOCK_CELLS, o);
    return;
slow:
    observe_slow(core, key, o);
}
