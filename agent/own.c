/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handles of a process and what is added through them (own.h). A handle is found by the reference of its series'
 * name; two that are made of one name at once are both right.
 *
 * Crash-safety: as of all series; a gauge's words are found anew under a try-flag whose holder nobody waits for for
 * long.
 */
#include "own.h"
#include "bound_sets.h"
#include "region.h"
#include "rules.h"
#include "series.h"

#define PROBES 64u
#define NANO 1e9
#define WAIT_STEPS 1000u                 /* while another thread finds a gauge's words, after a fork */
#define TEXTS_LIMIT (TB_LEN_STRINGS / 2) /* of the string table: the rest is for routes */

typedef uint64_t __attribute__((may_alias)) bits;

/* ---- names ---- */

/* A metric of the process: references of its name and help, its kind. */
static uint64_t word_of(uint32_t name, uint32_t help, enum tb_own_kind kind)
{
    return (uint64_t)name << 40 | (uint64_t)help << 16 | (uint64_t)kind << 8 | 1;
}
_Static_assert(TB_LEN_STRINGS <= 1u << 24, "a reference takes 24 bits");

/* Enters a metric, once. False: its name has another kind, or there is no room; counted. *ret_help: of the first. */
static bool enter_name(struct tb_core *core, const struct tb_own_metric *m, uint32_t *ret_help)
{
    struct tb_bytes help = tb_own_help(m->help);
    uint32_t name = tb_string_intern(core, tb_bytes(m->name, tb_strnlen(m->name, TB_OWN_NAME_MAX)));
    if (!name) {
        tb_count(core, TB_COUNTER_API_NO_MEMORY);
        return false;
    }
    for (uint32_t i = 0; i < TB_OWN_NAMES; i++) {
        uint64_t *place = &core->own_names[i], seen = tb_load_acquire(place);
        if (!seen) {
            uint64_t fresh = word_of(name, help.len ? tb_string_intern(core, help) : 0, m->kind);
            if (tb_cas_acq_rel(place, &seen, fresh))
                seen = fresh;
        }
        if (seen >> 40 != name)
            continue;
        *ret_help = (uint32_t)(seen >> 16) & 0xffffff;
        if ((seen >> 8 & 0xff) == (uint64_t)m->kind)
            return true;
        tb_count(core, TB_COUNTER_API_TYPE);
        return false;
    }
    tb_count(core, TB_COUNTER_API_FULL);
    return false;
}

static bool has_room(const struct tb_core *core)
{
    const struct tb_strings_head *strings = (const struct tb_strings_head *)(const void *)core->strings;
    return tb_load_relaxed(&strings->used) < TEXTS_LIMIT;
}

/* The reference of the series' name, perhaps with `_other` in every label. 0: it is none, or there is no room;
 * counted. */
static uint32_t name_of(struct tb_core *core, const struct tb_own_metric *m)
{
    char text[TB_STRING_MAX];
    uint32_t *admitted = &core->rules->own_series, ref = TB_STR_OTHER;
    size_t len = tb_own_text(core, m, false, text);
    if (!len)
        return 0;
    if (!tb_region_reserve(core, TB_OFF_RULES, sizeof *core->rules))
        ref = 0;
    else if (has_room(core) || tb_string_find(core, tb_bytes(text, len)))
        ref = tb_string_admit(core, tb_bytes(text, len), admitted, TB_OWN_SERIES, TB_COUNTER_API_OTHER);
    if (ref == TB_STR_OTHER) {
        len = tb_own_text(core, m, true, text);
        ref = len ? tb_string_intern(core, tb_bytes(text, len)) : 0;
    }
    if (!ref)
        tb_count(core, TB_COUNTER_API_NO_MEMORY);
    return ref;
}

/* ---- handles ---- */

static struct tb_own *place_of(struct tb_core *core, uint32_t ext, uint32_t probe)
{
    return &core->own[((ext >> 3) * 0x9e3779b1u / (UINT32_MAX / TB_OWN_METRICS + 1) + probe) % TB_OWN_METRICS];
}

static struct tb_own *find(struct tb_core *core, uint32_t ext)
{
    for (uint32_t i = 0; i < PROBES; i++) {
        struct tb_own *own = place_of(core, ext, i);
        uint32_t state = tb_load_acquire(&own->state);
        if (state == TB_SLOT_EMPTY)
            return NULL;
        if (state == TB_SLOT_PUBLISHED && own->ext == ext)
            return own;
    }
    return NULL;
}

/* A place for a handle that nobody else has; NULL: there is none. */
static struct tb_own *claim(struct tb_core *core, uint32_t ext)
{
    for (uint32_t i = 0; i < PROBES; i++) {
        struct tb_own *own = place_of(core, ext, i);
        uint32_t state = TB_SLOT_EMPTY;
        if (tb_load_relaxed(&own->state) == TB_SLOT_EMPTY && tb_cas_acq_rel(&own->state, &state, TB_SLOT_CLAIMED))
            return own;
    }
    return NULL;
}

static struct tb_series_key key_of(const struct tb_own *own, uint8_t family)
{
    return (struct tb_series_key){
        .family = family, .role = TB_ROLE_SERVER, .bound_set = own->bound_set, .target = own->help, .ext = own->ext};
}

static uint8_t family_of(enum tb_own_kind kind)
{
    return kind == TB_OWN_GAUGE ? TB_FAMILY_OWN_GAUGE : kind == TB_OWN_LAST ? TB_FAMILY_RULE_GAUGE : TB_FAMILY_RULE;
}

/* The words of this process in the series of a gauge, 0 when they were another's. False: no memory. */
static bool find_words(struct tb_core *core, struct tb_own *own)
{
    struct tb_owner *owner = tb_owner_claim(core) ? tb_load_acquire(&core->owner) : NULL;
    if (!owner)
        return false;
    struct tb_series_key key = key_of(own, TB_FAMILY_OWN_GAUGE);
    uint32_t number = (uint32_t)(owner - core->owners) / TB_SHARDS;
    uint64_t *block = tb_series_block(core, &key, number / TB_OWN_GAUGE_OWNERS),
             life = tb_load_relaxed(&owner->start_ns);
    if (!block)
        return false;
    uint64_t *words = block + number % TB_OWN_GAUGE_OWNERS * 2;
    if (tb_load_relaxed(&words[1]) != life) {
        tb_store_relaxed(&words[0], 0);
        tb_store_release(&words[1], life);
    }
    tb_store_relaxed(&own->words, words);
    tb_store_release(&own->owner, owner);
    return true;
}

/* What the series counts in. False: no memory. */
static bool connect(struct tb_core *core, struct tb_own *own, enum tb_own_kind kind)
{
    struct tb_series_key key = key_of(own, family_of(kind));
    if (kind == TB_OWN_GAUGE)
        return find_words(core, own);
    if (kind == TB_OWN_LAST)
        return (own->words = tb_series_block(core, &key, 0)) != NULL;
    own->record = tb_series_make_record(core, &key);
    if (!own->record)
        return false;
    own->words = kind == TB_OWN_COUNTER ? &own->record->untimed : &own->record->rx_bytes;
    if (kind == TB_OWN_HISTOGRAM)
        tb_series_choose_now(core, &key);
    return true;
}

/* Bounds as a histogram has them: in seconds up to 131,072, or whole ones. False: they are none. */
static bool read_bounds(struct tb_core *core, const struct tb_own_metric *m, uint8_t *ret)
{
    uint64_t at_most[TB_BOUNDS_MAX];
    struct tb_bounds bounds = {TB_UNIT_SECONDS, (uint8_t)m->bound_count, at_most};
    if (!m->bound_count) {
        *ret = TB_SET_DURATION;
        return true;
    }
    if (m->bound_count > TB_BOUNDS_MAX || !m->bounds)
        return false;
    double most = m->bounds[m->bound_count - 1], before = 0;
    bounds.unit = most > 131072 ? TB_UNIT_BYTES : TB_UNIT_SECONDS;
    for (size_t i = 0; i < m->bound_count; i++) {
        double bound = m->bounds[i];
        if (!(bound > before && bound <= 68719476736.0))
            return false;
        at_most[i] = bounds.unit == TB_UNIT_BYTES ? tb_byte_ticks((uint64_t)bound) : (uint64_t)(bound * NANO + 0.5);
        before = bound;
    }
    *ret = tb_bound_set_get(core, &bounds);
    return core->sets[*ret].unit == bounds.unit && core->sets[*ret].count == bounds.count &&
           tb_equal(core->sets[*ret].at_most, at_most, bounds.count * sizeof *at_most);
}

struct tb_own *tb_own_get(struct tb_core *core, const struct tb_own_metric *metric)
{
    uint8_t set = 0;
    uint32_t ext = name_of(core, metric), help = 0;
    struct tb_own *own = ext ? find(core, ext) : NULL;
    if (!ext || own)
        return own;
    if (!enter_name(core, metric, &help))
        return NULL;
    if (metric->kind == TB_OWN_HISTOGRAM && !read_bounds(core, metric, &set)) {
        tb_count(core, TB_COUNTER_API_BOUNDS);
        return NULL;
    }
    own = claim(core, ext);
    if (!own) {
        tb_count(core, TB_COUNTER_API_FULL);
        return NULL;
    }
    own->ext = ext;
    own->help = help;
    own->bound_set = set;
    if (!connect(core, own, metric->kind)) {
        tb_count(core, TB_COUNTER_API_NO_MEMORY);
        tb_store_release(&own->state, TB_SLOT_EMPTY);
        return NULL;
    }
    tb_store_release(&own->kind, (uint8_t)metric->kind);
    tb_store_release(&own->state, TB_SLOT_PUBLISHED);
    return own;
}

/* ---- values ---- */

void tb_own_refuse(struct tb_core *core, enum tb_counter why)
{
    tb_count(core, why);
}

/* A number as it is counted, to the nearest. False: it is none that can be, and counted. */
static inline bool read_value(struct tb_core *core, double value, double scale, uint64_t *ret)
{
    double scaled = value * scale;
    if (TB_UNLIKELY(!(scaled >= 0 && scaled < TB_OWN_MOST))) { /* not a number either */
        tb_own_refuse(core, TB_COUNTER_API_VALUE);
        return false;
    }
    *ret = (uint64_t)(int64_t)(scaled + 0.5);
    return true;
}

void tb_own_sum(struct tb_core *core, struct tb_own *own, double by)
{
    uint64_t nano;
    if (!tb_own_may_add(core, own, TB_OWN_SUM) || !read_value(core, by, NANO, &nano))
        return;
    tb_add_relaxed(own->words, nano);
    tb_add_relaxed(&own->record->untimed, 1); /* it has counted something */
}

void tb_own_observe(struct tb_core *core, struct tb_own *own, double value)
{
    if (!tb_own_may_add(core, own, TB_OWN_HISTOGRAM))
        return;
    const struct tb_set *set = &core->sets[own->bound_set % TB_SETS];
    bool is_whole = set->unit == TB_UNIT_BYTES;
    uint64_t amount;
    if (!read_value(core, value, is_whole ? 1 : NANO, &amount))
        return;
    uint64_t ticks = is_whole ? tb_byte_ticks(amount) : amount;
    if (!tb_series_add_to(core, own->record, tb_histogram_place(&set->histogram, ticks), amount))
        tb_own_refuse(core, TB_COUNTER_API_NO_MEMORY);
}

/* Neither infinite nor not a number. */
static inline bool is_finite(double value)
{
    return value - value == 0;
}

static inline uint64_t bits_of(double value)
{
    return *(const bits *)&value;
}

static inline double real_of(uint64_t word)
{
    double value;
    __builtin_memcpy(&value, &word, sizeof value);
    return value;
}

/* Are the words this process's, in this life of it? */
static inline bool is_own(struct tb_core *core, const struct tb_own *own)
{
    const struct tb_owner *owner = tb_load_acquire(&core->owner);
    return owner && tb_load_acquire(&own->owner) == owner &&
           tb_load_relaxed(&tb_load_relaxed(&own->words)[1]) == tb_load_relaxed(&owner->start_ns);
}

/* After a fork, or an exec that failed: the words of the life that has begun. False, and counted: there are none. */
static __attribute__((noinline)) bool move(struct tb_core *core, struct tb_own *own)
{
    uint32_t mine = core->fork_generation + 1;
    for (uint32_t i = 0; i < WAIT_STEPS && !is_own(core, own); i++) {
        uint32_t seen = tb_load_relaxed(&own->moving);
        /* a thread of the parent's is not here to end what it began */
        if (seen == mine || !tb_cas_acq_rel(&own->moving, &seen, mine))
            continue;
        bool is_found = is_own(core, own) || find_words(core, own);
        tb_store_release(&own->moving, 0);
        if (!is_found)
            break;
    }
    if (is_own(core, own))
        return true;
    tb_own_refuse(core, TB_COUNTER_API_NO_MEMORY);
    return false;
}

/* The value of this process's gauge; NULL: nothing is to be done. */
static inline uint64_t *value_of(struct tb_core *core, struct tb_own *own, double value)
{
    if (!tb_own_may_add(core, own, TB_OWN_GAUGE))
        return NULL;
    if (TB_UNLIKELY(!is_finite(value))) {
        tb_own_refuse(core, TB_COUNTER_API_VALUE);
        return NULL;
    }
    return TB_LIKELY(is_own(core, own)) || move(core, own) ? tb_load_relaxed(&own->words) : NULL;
}

void tb_own_set(struct tb_core *core, struct tb_own *own, double value)
{
    uint64_t *word = value_of(core, own, value);
    if (word)
        tb_store_relaxed(word, bits_of(value));
}

void tb_own_change(struct tb_core *core, struct tb_own *own, double by)
{
    uint64_t *word = value_of(core, own, by), seen = word ? tb_load_relaxed(word) : 0;
    while (word && !tb_cas_relaxed(word, &seen, bits_of(real_of(seen) + by)))
        ;
}

void tb_own_last(struct tb_core *core, struct tb_own *own, double value)
{
    if (!tb_own_may_add(core, own, TB_OWN_LAST))
        return;
    if (!is_finite(value)) {
        tb_own_refuse(core, TB_COUNTER_API_VALUE);
        return;
    }
    tb_store_relaxed(&own->words[TB_GAUGE_VALUE], bits_of(value));
    tb_store_release(&own->words[TB_GAUGE_AT], tb_series_now(core));
}
