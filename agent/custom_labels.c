/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of custom series: a metric and its labels as text, interned once and found again by a hash of what the
 * labels' values were (custom.h). A value is a label's only when its list admits it and its cap has room; every other
 * one is the label's `other`, so nothing that a client sends decides how many series there are.
 *
 * Threads: an entry of the table is one word, whole or not there. Fork story: private, copied, and right in a child.
 */
#include "custom.h"
#include "methods.h"
#include "region.h"
#include "route_segment.h"
#include "rules.h"

#define TEXTS_LIMIT (TB_LEN_STRINGS / 2) /* of the string table: the rest is for routes */

/* The text of a label's value. False: it cannot be told, and why. */
static bool value_of(struct tb_core *core, const struct tb_custom *c, const struct tb_custom_label *l,
                     const struct tb_custom_exchange *x, char room[4], struct tb_bytes *ret, uint8_t *ret_why)
{
    uint32_t status = x->key->status;
    uint8_t why = 0;
    switch (l->source) {
    case TB_CUSTOM_METHOD:
        *ret = tb_bytes_str(tb_method_name(x->key->method));
        return true;
    case TB_CUSTOM_ROUTE:
        *ret = tb_string_get(core->strings, TB_LEN_STRINGS, x->key->route);
        return true;
    case TB_CUSTOM_TARGET:
        *ret = tb_string_get(core->strings, TB_LEN_STRINGS, x->key->target);
        return true;
    case TB_CUSTOM_STATUS:
    case TB_CUSTOM_STATUS_CLASS:
        room[0] = (char)('0' + status / 100 % 10);
        room[1] = (char)(l->source == TB_CUSTOM_STATUS ? '0' + status / 10 % 10 : 'x');
        room[2] = (char)(l->source == TB_CUSTOM_STATUS ? '0' + status % 10 : 'x');
        *ret = tb_bytes(room, 3);
        return true;
    case TB_CUSTOM_PRESENCE:
        *ret = tb_bytes_str(tb_custom_value(c, x->caught, l->field, ret, &why) || why ? "yes" : "no");
        return true;
    default:
        if (tb_custom_value(c, x->caught, l->field, ret, &why) ||
            (l->fallback != TB_CUSTOM_NO_FIELD && tb_custom_value(c, x->caught, l->fallback, ret, &why)) || !why)
            return true;
        *ret_why = why;
        return false;
    }
}

static uint64_t mix(uint64_t h, uint64_t word)
{
    h = (h ^ word) * TB_SEGMENT_MIX;
    return h ^ h >> 32;
}

static uint64_t mix_text(uint64_t h, struct tb_bytes text)
{
    for (; text.len >= 8; text.ptr += 8, text.len -= 8)
        h = mix(h, tb_load_8(text.ptr));
    return mix(h, tb_load_few(text.ptr, text.len) | (uint64_t)text.len << 56);
}

/* ---- admission ---- */

/* Is @value among the first @max values of the label in the table that all processes share? It is entered when there is
 * room. */
static bool is_admitted(struct tb_core *core, const struct tb_custom_label *l, struct tb_bytes value)
{
    uint64_t *words = (uint64_t *)(void *)((uint8_t *)core->rules + TB_RULES_ADMITTED);
    uint64_t label = (uint64_t)(l->id | 1u) << 48, word = label | mix_text(core->header->region_id, value) >> 16;
    uint32_t before = 0;
    if (!tb_region_reserve(core, TB_OFF_RULES + TB_RULES_ADMITTED, TB_CUSTOM_ADMITTED * 8))
        return false;
    for (uint32_t i = 0; i < TB_CUSTOM_ADMITTED && before < l->max; i++) {
        uint64_t seen = tb_load_relaxed(&words[i]);
        if (!seen && tb_cas_relaxed(&words[i], &seen, word))
            return true; /* fewer than max before it */
        if (seen == word)
            return true;
        before += seen >> 48 == label >> 48;
    }
    return false;
}

/* The value as it is shown. */
static struct tb_bytes shown_of(struct tb_core *core, const struct tb_custom *c, const struct tb_custom_label *l,
                                const struct tb_custom_exchange *x, char room[4])
{
    uint32_t steps = TB_RULES_GLOB_STEPS;
    struct tb_bytes value;
    uint8_t why;
    if (!value_of(core, c, l, x, room, &value, &why) ||
        (l->allow_count && !tb_custom_fits(c, l->allow, l->allow_count, value, &steps)) ||
        (l->max && value.len && !is_admitted(core, l, value)))
        return tb_custom_text(c, l->other);
    return value;
}

/* ---- the text ---- */

struct writer {
    uint8_t text[TB_STRING_MAX];
    size_t len;
    bool is_over; /* it did not fit */
};

static void put(struct writer *w, struct tb_bytes text)
{
    if (text.len > sizeof w->text - w->len) {
        w->is_over = true;
        return;
    }
    tb_copy(w->text + w->len, text.ptr, text.len);
    w->len += text.len;
}

/* Between the quotes of a label (Prometheus' text format): no value has control characters. */
static void put_escaped(struct writer *w, struct tb_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\\' || text.ptr[i] == '"')
            put(w, tb_bytes("\\", 1));
        put(w, tb_bytes(text.ptr + i, 1));
    }
}

/* `metric{label="value",...}`. @x NULL: every value is the label's other. */
static void compose(struct tb_core *core, const struct tb_custom *c, uint32_t rule, const struct tb_custom_exchange *x,
                    struct writer *w)
{
    const struct tb_custom_rule *r = &c->rule[rule];
    w->len = 0;
    w->is_over = false;
    put(w, tb_custom_text(c, r->metric));
    put(w, tb_bytes("{", 1));
    for (uint32_t i = 0; i < r->label_count; i++) {
        const struct tb_custom_label *l = &c->label[(r->labels + i) % TB_CUSTOM_LABELS];
        char room[4];
        put(w, tb_bytes(",", i != 0));
        put(w, tb_custom_text(c, l->name));
        put(w, tb_bytes("=\"", 2));
        put_escaped(w, x ? shown_of(core, c, l, x, room) : tb_custom_text(c, l->other));
        put(w, tb_bytes("\"", 1));
    }
    put(w, tb_bytes("}", 1));
}

/* Room for one more series, and its text, beside routes and theirs? */
static bool has_room(const struct tb_core *core)
{
    const struct tb_strings_head *strings = (const struct tb_strings_head *)(const void *)core->strings;
    return tb_load_relaxed(&strings->used) < TEXTS_LIMIT &&
           tb_load_relaxed(&core->header->series_used) < TB_SERIES_LIMIT / 4 * 3;
}

static uint32_t name_of(struct tb_core *core, const struct tb_custom *c, uint32_t rule,
                        const struct tb_custom_exchange *x)
{
    struct writer w;
    compose(core, c, rule, x, &w);
    uint32_t ref = w.is_over ? 0 : tb_string_find(core, tb_bytes(w.text, w.len));
    if (!ref && !w.is_over && has_room(core))
        ref = tb_string_intern(core, tb_bytes(w.text, w.len));
    if (ref)
        return ref;
    compose(core, c, rule, NULL, &w);
    return w.is_over ? 0 : tb_string_intern(core, tb_bytes(w.text, w.len));
}

/* ---- what is remembered ---- */

/*
 * A word of core->custom_series: the upper 48 bits are those of a hash of the labels' values, which the generation of
 * the rules that are asked and the shard are in; below is the place of the series, in one of two ways, whichever is in
 * the hash as well: a thread that was overtaken by new rules takes neither for the other.
 */
enum place {
    NAME,  /* the number of the reference that names it */
    RECORD /* of counters: their record, in units of 64 bytes of the cells: nothing is looked for on the way there */
};
#define PLACE_MASK UINT64_C(0xffff)
#define RECORD_UNIT 64u
_Static_assert(sizeof(struct tb_record) == RECORD_UNIT && TB_LEN_CELLS / RECORD_UNIT <= PLACE_MASK + 1, "a place");
_Static_assert(TB_LEN_STRINGS >> 3 <= PLACE_MASK, "a reference's number");

static uint64_t hash_of(struct tb_core *core, const struct tb_custom *c, uint32_t rule,
                        const struct tb_custom_exchange *x, enum place place, uint8_t *ret_why)
{
    const struct tb_custom_rule *r = &c->rule[rule];
    uint64_t seed = c->set[0].key[0] ^ tb_load_acquire(&c->generation);
    uint64_t h = mix(seed, (rule * 2 + place) << 8 | tb_load_relaxed(&core->shard));
    for (uint32_t i = 0; i < r->label_count; i++) {
        const struct tb_custom_label *l = &c->label[(r->labels + i) % TB_CUSTOM_LABELS];
        struct tb_bytes value;
        char room[4];
        if (l->source == TB_CUSTOM_ROUTE)
            h = mix(h, x->key->route);
        else
            h = value_of(core, c, l, x, room, &value, ret_why) ? mix_text(h, value) : mix(h, 1);
    }
    return mix(h, r->label_count);
}

/* The place that is remembered under @hash; 0: none is. */
static uint32_t find(struct tb_core *core, uint64_t hash)
{
    uint64_t entry = tb_load_acquire(&core->custom_series[hash % TB_CUSTOM_SERIES]);
    return TB_LIKELY((entry ^ hash) <= PLACE_MASK) ? (uint32_t)(entry & PLACE_MASK) : 0;
}

static void keep(struct tb_core *core, uint64_t hash, size_t place)
{
    tb_store_release(&core->custom_series[hash % TB_CUSTOM_SERIES], (hash & ~PLACE_MASK) | (place & PLACE_MASK));
}

uint32_t tb_custom_series(struct tb_core *core, const struct tb_custom *c, uint32_t rule,
                          const struct tb_custom_exchange *x, uint8_t *ret_why)
{
    uint64_t hash = hash_of(core, c, rule, x, NAME, ret_why);
    uint32_t number = find(core, hash);
    if (TB_LIKELY(number))
        return number << 3;
    uint32_t ref = name_of(core, c, rule, x);
    keep(core, hash, ref >> 3);
    return ref;
}

/* A counter's series that is not remembered. */
static void count_slowly(struct tb_core *core, const struct tb_custom *c, uint32_t rule,
                         const struct tb_custom_exchange *x, uint64_t value, uint64_t hash)
{
    struct tb_series_key key = {.family = TB_FAMILY_RULE, .role = TB_ROLE_SERVER, .ext = name_of(core, c, rule, x)};
    struct tb_observation one = {.rx_bytes = value}; /* untimed; a sum goes with it */
    if (!key.ext) {
        tb_count(core, TB_COUNTER_CUSTOM_LOST);
        return;
    }
    tb_series_observe(core, &key, &one);
    const struct tb_record *record = tb_series_record(core, &key);
    size_t at = record ? (size_t)((const uint8_t *)record - core->cells) : 0;
    if (at && at % RECORD_UNIT == 0) /* else the file was tampered with */
        keep(core, hash, at / RECORD_UNIT);
}

void tb_custom_count(struct tb_core *core, const struct tb_custom *c, uint32_t rule, const struct tb_custom_exchange *x,
                     uint64_t value, uint8_t *ret_why)
{
    uint64_t hash = hash_of(core, c, rule, x, RECORD, ret_why);
    uint32_t place = find(core, hash);
    if (TB_UNLIKELY(!place)) {
        count_slowly(core, c, rule, x, value, hash);
        return;
    }
    struct tb_record *record = (struct tb_record *)(void *)(core->cells + (size_t)place * RECORD_UNIT);
    tb_add_relaxed(&record->untimed, 1);
    if (value)
        tb_add_relaxed(&record->rx_bytes, value);
}

void tb_custom_unreadable(struct tb_core *core, const struct tb_custom *c, uint32_t rule, uint8_t why)
{
    struct tb_bytes metric = tb_custom_text(c, c->rule[rule % TB_CUSTOM_RULES].metric);
    struct tb_series_key key = {.family = TB_FAMILY_UNREADABLE, .role = TB_ROLE_SERVER, .status = why};
    struct tb_observation one = {.is_timed = false};
    key.ext = metric.len ? tb_string_intern(core, tb_bytes(metric.ptr + 1, metric.len - 1)) : 0;
    if (key.ext)
        tb_series_observe(core, &key, &one);
    else
        tb_count(core, TB_COUNTER_CUSTOM_LOST);
}
