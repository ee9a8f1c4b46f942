/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading rules of custom metrics into private memory, and evaluating them at the end of an exchange (custom.h). What
 * most exchanges get is three words and'ed together: the rules by method, by class of status and by role; then the
 * rules by route, remembered for each route.
 *
 * Threads: rules that are replaced while a thread reads them give numbers of either, all within their arrays.
 * Fork story: private, copied, and right in a child, since it is about the region.
 */
#include "custom.h"
#include "bound_sets.h"
#include "rules.h"

/* ---- reading ---- */

/* @count elements of @size bytes from *@at on, into @to, which has room for @max. */
static bool take(const uint8_t *section, uint32_t *at, uint32_t end, void *to, uint32_t count, uint32_t max,
                 uint32_t size)
{
    if (count > max || (end - *at) / size < count)
        return false;
    __builtin_memcpy(to, section + *at, (size_t)count * size);
    *at += count * size;
    return true;
}

static bool is_inside(uint32_t first, uint32_t count, uint32_t all)
{
    return first <= all && count <= all - first;
}

static bool is_text(const struct tb_custom *c, uint32_t texts, uint32_t offset)
{
    return offset < texts && c->text[offset] < texts - offset;
}

static bool are_texts(const struct tb_custom *c, uint32_t texts, uint32_t offset, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!is_text(c, texts, offset))
            return false;
        offset += 1u + c->text[offset];
    }
    return true;
}

static bool is_field(const struct tb_custom *c, uint8_t source, uint8_t field)
{
    return (source != TB_CUSTOM_FIELD && source != TB_CUSTOM_PRESENCE) || field < c->fields;
}

static bool is_rule(const struct tb_custom *c, const struct tb_custom_head *h, const struct tb_custom_rule *r)
{
    return r->kind >= TB_CUSTOM_COUNTER && r->kind < TB_CUSTOM_KINDS && r->value < TB_CUSTOM_VALUES &&
           r->unit < TB_UNITS && r->scale >= -9 && r->scale <= 9 && is_text(c, h->texts, r->metric) &&
           c->text[r->metric] >= 2 && is_inside(r->labels, r->label_count, h->labels) &&
           is_inside(r->matches, r->match_count, h->matches) && is_inside(r->bounds, r->bound_count, h->bounds) &&
           r->bound_count <= TB_BOUNDS_MAX && (r->kind != TB_CUSTOM_HISTOGRAM || r->bound_count) &&
           (r->value != TB_CUSTOM_NUMBER || r->field < c->fields);
}

static bool is_label(const struct tb_custom *c, const struct tb_custom_head *h, const struct tb_custom_label *l)
{
    return l->source && l->source < TB_CUSTOM_SOURCES && l->source != TB_CUSTOM_PATH &&
           is_field(c, l->source, l->field) && (l->fallback == TB_CUSTOM_NO_FIELD || l->fallback < c->fields) &&
           is_text(c, h->texts, l->name) && is_text(c, h->texts, l->other) &&
           are_texts(c, h->texts, l->allow, l->allow_count);
}

static bool is_match(const struct tb_custom *c, const struct tb_custom_head *h, const struct tb_custom_match *m)
{
    return m->source && m->source < TB_CUSTOM_SOURCES && is_field(c, m->source, m->field) &&
           are_texts(c, h->texts, m->globs, m->count);
}

static bool are_sound(const struct tb_custom *c, const struct tb_custom_head *h)
{
    for (uint32_t i = 0; i < h->rules; i++)
        if (!is_rule(c, h, &c->rule[i]))
            return false;
    for (uint32_t i = 0; i < h->fields; i++)
        if (!c->field[i].place || c->field[i].place >= TB_CUSTOM_PLACES || !is_text(c, h->texts, c->field[i].name))
            return false;
    for (uint32_t i = 0; i < h->labels; i++)
        if (!is_label(c, h, &c->label[i]))
            return false;
    for (uint32_t i = 0; i < h->matches; i++)
        if (!is_match(c, h, &c->match[i]))
            return false;
    return true;
}

static uint32_t bit_of(uint8_t field)
{
    return field < TB_CUSTOM_FIELDS ? 1u << field : 0;
}

/* Fields that a rule needs. */
static uint32_t needs_of(const struct tb_custom *c, const struct tb_custom_rule *r)
{
    uint32_t needs = r->value == TB_CUSTOM_NUMBER ? bit_of(r->field) : 0;
    for (uint32_t i = 0; i < r->label_count; i++) {
        const struct tb_custom_label *l = &c->label[r->labels + i];
        if (l->source == TB_CUSTOM_FIELD || l->source == TB_CUSTOM_PRESENCE)
            needs |= bit_of(l->field) | bit_of(l->fallback);
    }
    for (uint32_t i = 0; i < r->match_count; i++) {
        const struct tb_custom_match *m = &c->match[r->matches + i];
        if (m->source == TB_CUSTOM_FIELD)
            needs |= bit_of(m->field);
    }
    return needs;
}

static bool has_path(const struct tb_custom *c, const struct tb_custom_rule *r)
{
    for (uint32_t i = 0; i < r->match_count; i++)
        if (c->match[r->matches + i].source == TB_CUSTOM_PATH)
            return true;
    return false;
}

/* Is some status of this class in the rule's ranges? */
static bool is_about_class(const struct tb_custom_rule *r, uint32_t class)
{
    bool has_range = false;
    for (uint32_t i = 0; i < TB_CUSTOM_STATUSES; i++) {
        uint32_t first = r->statuses[i][0], last = r->statuses[i][1];
        has_range |= first != 0;
        if (first && first <= class * 100 + 99 && last >= class * 100)
            return true;
    }
    return !has_range;
}

/* The words that are asked first. */
static void index_rules(struct tb_custom *c)
{
    for (uint32_t i = 0; i < c->rules; i++) {
        const struct tb_custom_rule *r = &c->rule[i];
        uint32_t bit = 1u << i;
        for (uint32_t m = 0; m < 64; m++)
            c->methods[m] |= !r->methods || r->methods >> m & 1 ? bit : 0;
        for (uint32_t class = 0; class < 6; class ++)
            c->classes[class] |= is_about_class(r, class) ? bit : 0;
        for (uint32_t role = 0; role < 3; role++)
            c->roles[role] |= !r->roles || r->roles >> role & 1 ? bit : 0;
        c->needs[i] = needs_of(c, r);
        if (c->needs[i] || has_path(c, r))
            c->captures |= bit;
    }
}

bool tb_custom_read(const uint8_t *section, struct tb_rules_view *view)
{
    struct tb_custom *c = &view->custom;
    const struct tb_rules_part part = view->parts[TB_RULES_CUSTOM];
    struct tb_custom_head h;
    uint32_t at = view->at + part.offset, end = at + part.length;
    tb_zero(c, sizeof *c);
    if (!part.length)
        return true;
    if (!take(section, &at, end, &h, 1, 1, sizeof h) || h.version != TB_CUSTOM_VERSION)
        return false;
    c->fields = h.fields;
    if (!take(section, &at, end, c->rule, h.rules, TB_CUSTOM_RULES, sizeof *c->rule) ||
        !take(section, &at, end, c->field, h.fields, TB_CUSTOM_FIELDS, sizeof *c->field) ||
        !take(section, &at, end, c->label, h.labels, TB_CUSTOM_LABELS, sizeof *c->label) ||
        !take(section, &at, end, c->match, h.matches, TB_CUSTOM_MATCHES, sizeof *c->match) ||
        !take(section, &at, end, c->at_most, h.bounds, TB_CUSTOM_BOUNDS, sizeof *c->at_most) ||
        !take(section, &at, end, c->text, h.texts, TB_CUSTOM_TEXTS, 1) || !are_sound(c, &h))
        return false;
    c->rules = h.rules;
    index_rules(c);
    return true;
}

void tb_custom_sets(struct tb_core *core, struct tb_rules_view *view)
{
    struct tb_custom *c = &view->custom;
    for (uint32_t i = 0; i < c->rules && i < TB_CUSTOM_RULES; i++) {
        const struct tb_custom_rule *r = &c->rule[i];
        struct tb_bounds bounds = {r->unit, r->bound_count, c->at_most + r->bounds % TB_CUSTOM_BOUNDS};
        c->sets[i] = r->bound_count ? tb_bound_set_get(core, &bounds) : 0;
    }
}

/* ---- private memory ---- */

struct tb_bytes tb_custom_text(const struct tb_custom *c, uint32_t offset)
{
    const uint8_t *p = &c->text[offset < TB_CUSTOM_TEXTS ? offset : TB_CUSTOM_TEXTS];
    return tb_bytes(p + 1, *p);
}

bool tb_custom_fits(const struct tb_custom *c, uint32_t offset, uint32_t count, struct tb_bytes text, uint32_t *steps)
{
    for (uint32_t i = 0; i < count; i++) {
        struct tb_bytes glob = tb_custom_text(c, offset);
        if (tb_glob_within(glob, text, steps))
            return true;
        offset += 1 + (uint32_t)glob.len;
    }
    return false;
}

struct tb_bytes tb_custom_caught(const struct tb_caught *caught, uint32_t field)
{
    if (!caught || field >= TB_CUSTOM_FIELDS || !(caught->has >> field & 1))
        return tb_bytes("", 0);
    return tb_bytes(caught->text + caught->at[field] % (TB_CAUGHT_TEXT - TB_CUSTOM_VALUE_MAX),
                    caught->len[field] % (TB_CUSTOM_VALUE_MAX + 1));
}

/* ---- which rules ---- */

static bool holds(const struct tb_custom *c, const struct tb_custom_match *m, struct tb_bytes text, uint32_t *steps)
{
    return tb_custom_fits(c, m->globs, m->count, text, steps) != (m->is_not != 0);
}

static const struct tb_custom_match *match_of(const struct tb_custom *c, const struct tb_custom_rule *r, uint32_t i)
{
    return &c->match[(r->matches + i) % TB_CUSTOM_MATCHES];
}

/* Do the matches of @source that rule @r has hold for @text? */
static bool hold_of(const struct tb_custom *c, const struct tb_custom_rule *r, uint8_t source, struct tb_bytes text,
                    uint32_t *steps)
{
    for (uint32_t i = 0; i < r->match_count; i++) {
        const struct tb_custom_match *m = match_of(c, r, i);
        if (m->source == source && !holds(c, m, text, steps))
            return false;
    }
    return true;
}

/* Rules by route, remembered: a word is the reference's number, the generation's low bits, the rules. */
static uint32_t about_route(struct tb_core *core, const struct tb_custom *c, uint32_t route)
{
    uint64_t generation = tb_load_acquire(&core->rules_word) >> 32;
    uint64_t known = (uint64_t)((route >> 3) << 16 | (generation & 0xffff)) << 32;
    uint64_t *place = &core->custom_routes[(route >> 3) % TB_CUSTOM_ROUTES], entry = tb_load_relaxed(place);
    uint32_t rules = 0, steps = TB_RULES_GLOB_STEPS;
    _Static_assert(TB_LEN_STRINGS >> 3 < 1u << 16, "a reference's number");
    if (TB_LIKELY((entry ^ known) <= UINT32_MAX && entry))
        return (uint32_t)entry;
    struct tb_bytes label = tb_string_get(core->strings, TB_LEN_STRINGS, route);
    for (uint32_t i = 0; i < c->rules && i < TB_CUSTOM_RULES; i++)
        rules |= hold_of(c, &c->rule[i], TB_CUSTOM_ROUTE, label, &steps) ? 1u << i : 0;
    if (steps && tb_load_acquire(&core->rules_word) >> 32 == generation)
        tb_store_relaxed(place, known | rules);
    return rules;
}

uint32_t tb_custom_is_about(struct tb_core *core, const struct tb_custom *c, const struct tb_series_key *key)
{
    uint32_t class = key->status / 100u;
    uint32_t rules = c->methods[key->method % 64] & c->roles[key->role % 3] & c->classes[class < 6 ? class : 0];
    return TB_LIKELY(!rules) ? 0 : rules & about_route(core, c, key->route);
}

bool tb_custom_counts(struct tb_core *core, const struct tb_series_key *key)
{
    const struct tb_rules_view *view = tb_load_acquire(&core->rules_view);
    return view && tb_custom_is_about(core, &view->custom, key) & ~view->custom.captures;
}

static bool has_status(const struct tb_custom_rule *r, uint16_t status)
{
    bool has_range = false;
    for (uint32_t i = 0; i < TB_CUSTOM_STATUSES; i++) {
        if (r->statuses[i][0] && status >= r->statuses[i][0] && status <= r->statuses[i][1])
            return true;
        has_range |= r->statuses[i][0] != 0;
    }
    return !has_range;
}

/* What only the end of the exchange tells: the status itself, the target, fields. (Paths were asked at the head.) */
static bool is_about(struct tb_core *core, const struct tb_custom *c, const struct tb_custom_rule *r,
                     const struct tb_custom_exchange *x)
{
    uint32_t steps = TB_RULES_GLOB_STEPS;
    if (!has_status(r, x->key->status))
        return false;
    for (uint32_t i = 0; i < r->match_count; i++) {
        const struct tb_custom_match *m = match_of(c, r, i);
        struct tb_bytes text;
        if (m->source == TB_CUSTOM_TARGET)
            text = tb_string_get(core->strings, TB_LEN_STRINGS, x->key->target);
        else if (m->source == TB_CUSTOM_FIELD && x->caught && x->caught->has >> (m->field % TB_CUSTOM_FIELDS) & 1)
            text = tb_custom_caught(x->caught, m->field);
        else if (m->source == TB_CUSTOM_FIELD && m->is_not)
            continue; /* it is not there, so it is not that */
        else if (m->source == TB_CUSTOM_FIELD)
            return false;
        else
            continue;
        if (!holds(c, m, text, &steps))
            return false;
    }
    return true;
}

/* ---- what is counted ---- */

/* The value of an exchange in 10^-9 (bytes: whole). False: it has none. */
static bool value_of(const struct tb_custom_rule *r, const struct tb_custom_exchange *x, int64_t *ret)
{
    bool is_bytes = r->unit == TB_UNIT_BYTES;
    uint64_t size = r->value == TB_CUSTOM_REQUEST_SIZE ? x->m->request_bytes : x->m->response_bytes;
    switch (r->value) {
    case TB_CUSTOM_DURATION:
        *ret = (int64_t)x->o->duration_ns;
        return x->o->is_timed;
    case TB_CUSTOM_FIRST_BYTE:
        *ret = (int64_t)x->o->first_byte_ns;
        return x->o->is_timed;
    case TB_CUSTOM_NUMBER:
        if (!tb_custom_number(tb_custom_caught(x->caught, r->field), r->scale - (is_bytes ? 9 : 0), ret))
            return false;
        return *ret >= 0;
    case TB_CUSTOM_ONE:
        *ret = 0;
        return true;
    default:
        *ret = (int64_t)size;
        return !x->m->is_endless || r->value == TB_CUSTOM_REQUEST_SIZE;
    }
}

static void count_rule(struct tb_core *core, const struct tb_custom *c, uint32_t rule,
                       const struct tb_custom_exchange *x)
{
    const struct tb_custom_rule *r = &c->rule[rule];
    int64_t value;
    if (!value_of(r, x, &value))
        return;
    struct tb_series_key key = {.family = TB_FAMILY_RULE, .role = TB_ROLE_SERVER};
    key.ext = tb_custom_series(core, c, rule, x);
    if (!key.ext) {
        tb_count(core, TB_COUNTER_CUSTOM_LOST);
    } else if (r->kind == TB_CUSTOM_HISTOGRAM) {
        key.bound_set = c->sets[rule] % TB_SETS;
        uint64_t ticks = r->unit == TB_UNIT_BYTES ? tb_byte_ticks((uint64_t)value) : (uint64_t)value;
        tb_series_add(core, &key, tb_histogram_place(&core->sets[key.bound_set].histogram, ticks), (uint64_t)value);
        if (tb_load_relaxed(&core->measures) & TB_MEASURE_SETS)
            tb_series_choose(core, &key);
    } else {
        struct tb_observation one = {.rx_bytes = (uint64_t)value}; /* untimed; a sum goes with it */
        tb_series_observe(core, &key, &one);
    }
}

void tb_custom_observe(struct tb_core *core, const struct tb_custom_exchange *x)
{
    const struct tb_rules_view *view = tb_load_acquire(&core->rules_view);
    if (!view)
        return;
    const struct tb_custom *c = &view->custom;
    uint32_t rules = tb_custom_is_about(core, c, x->key) & (~c->captures | (x->caught ? x->caught->rules : 0));
    for (; rules; rules &= rules - 1) {
        uint32_t rule = (uint32_t)__builtin_ctz(rules);
        if (is_about(core, c, &c->rule[rule], x))
            count_rule(core, c, rule, x);
    }
}
