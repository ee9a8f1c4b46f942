/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading rules of custom metrics into private memory (custom_format.h): everything is checked here once, so that
 * evaluating them need not. Hostile input.
 */
#include "bound_sets.h"
#include "custom.h"
#include "header_pick.h"
#include "json_pick.h"

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

/* Is it a gauge of requests in flight? */
static bool is_open(const struct tb_custom_rule *r)
{
    return r->kind == TB_CUSTOM_GAUGE && r->value == TB_CUSTOM_IN_FLIGHT;
}

static bool is_rule(const struct tb_custom *c, const struct tb_custom_head *h, const struct tb_custom_rule *r)
{
    return r->kind >= TB_CUSTOM_COUNTER && r->kind < TB_CUSTOM_KINDS && r->value < TB_CUSTOM_VALUES &&
           r->unit < TB_UNITS && r->scale >= -9 && r->scale <= 9 && is_text(c, h->texts, r->metric) &&
           c->text[r->metric] >= 2 && is_inside(r->labels, r->label_count, h->labels) &&
           is_inside(r->matches, r->match_count, h->matches) &&
           (r->kind == TB_CUSTOM_DISTINCT || is_inside(r->bounds, r->bound_count, h->bounds)) &&
           r->bound_count <= TB_BOUNDS_MAX && (r->kind != TB_CUSTOM_HISTOGRAM || r->bound_count) &&
           (r->value != TB_CUSTOM_NUMBER || r->field < c->fields) &&
           (r->kind < TB_CUSTOM_GAUGE || ((r->value == TB_CUSTOM_NUMBER || is_open(r)) && !r->bound_count)) &&
           (r->value != TB_CUSTOM_IN_FLIGHT || is_open(r));
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
    uint32_t open = 0;
    for (uint32_t i = 0; i < h->rules; i++) {
        if (!is_rule(c, h, &c->rule[i]))
            return false;
        open += is_open(&c->rule[i]);
    }
    if (open > TB_CUSTOM_IN_FLIGHTS)
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

static bool has_match(const struct tb_custom *c, const struct tb_custom_rule *r, uint8_t source)
{
    for (uint32_t i = 0; i < r->match_count; i++)
        if (c->match[r->matches + i].source == source)
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

/* The number of a header in @set, added when it is new; 0xff: there is no room, or it is none. */
static uint8_t add_header(struct tb_pick_set *set, struct tb_bytes name, bool is_hashed)
{
    for (uint8_t i = 0; i < set->count; i++)
        if (set->len[i] == name.len && tb_equal(set->bytes + set->at[i], name.ptr, name.len) &&
            (set->hashed >> i & 1) == is_hashed)
            return i;
    return tb_header_set_add(set, name, is_hashed) ? (uint8_t)(set->count - 1) : TB_CUSTOM_NO_FIELD;
}

static bool add_field(struct tb_custom *c, uint32_t field)
{
    uint8_t place = tb_custom_set_of(c->field[field].place % TB_CUSTOM_PLACES);
    struct tb_pick_set *set = &c->set[place];
    struct tb_bytes name = tb_custom_text(c, c->field[field].name);
    bool is_hashed = c->field[field].is_hashed != 0;
    c->pick[field] = set->count;
    if (place == TB_CUSTOM_REQUEST_JSON || place == TB_CUSTOM_RESPONSE_JSON)
        return tb_json_set_add(set, name, is_hashed);
    if (place == TB_CUSTOM_QUERY || place == TB_CUSTOM_REQUEST_FORM)
        return tb_pick_set_add(set, name, is_hashed);
    c->pick[field] = add_header(set, name, is_hashed);
    return c->pick[field] != TB_CUSTOM_NO_FIELD;
}

static bool make_sets(struct tb_custom *c)
{
    for (uint32_t i = 0; i < c->fields && i < TB_CUSTOM_FIELDS; i++)
        if (!add_field(c, i))
            return false;
    return true;
}

/* Bits by tb_custom_set_of. */
static uint16_t places_of(const struct tb_custom *c, const struct tb_custom_rule *r)
{
    uint16_t places = 0;
    for (uint32_t left = needs_of(c, r); left; left &= left - 1) {
        uint32_t field = (uint32_t)__builtin_ctz(left);
        places |= (uint16_t)(1u << tb_custom_set_of(c->field[field % TB_CUSTOM_FIELDS].place % TB_CUSTOM_PLACES));
    }
    return places;
}

/* Does the class of the status not tell whether the rule's ranges hold it? */
static bool has_partial_range(const struct tb_custom_rule *r)
{
    for (uint32_t i = 0; i < TB_CUSTOM_STATUSES; i++)
        if (r->statuses[i][0] && (r->statuses[i][0] % 100 != 0 || r->statuses[i][1] % 100 != 99))
            return true;
    return false;
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
            c->classes[class] |= is_about_class(r, class) && !is_open(r) ? bit : 0;
        for (uint32_t role = 0; role < 3; role++)
            c->roles[role] |= !r->roles || r->roles >> role & 1 ? bit : 0;
        c->places[i] = places_of(c, r);
        c->has_size |= r->value == TB_CUSTOM_REQUEST_SIZE;
        c->in_flight |= is_open(r) ? bit : 0;
        if (has_partial_range(r) || has_match(c, r, TB_CUSTOM_TARGET) || has_match(c, r, TB_CUSTOM_FIELD))
            c->at_end |= bit;
        c->captures |= c->places[i] || has_match(c, r, TB_CUSTOM_PATH) ? bit : 0;
        c->paths |= has_match(c, r, TB_CUSTOM_PATH) ? bit : 0;
        c->at_head = c->captures | c->in_flight;
        c->is_for_any |= c->at_head & c->methods[TB_METHOD_GET] & c->roles[TB_ROLE_SERVER] & bit &&
                         !has_match(c, r, TB_CUSTOM_PATH) && !has_match(c, r, TB_CUSTOM_ROUTE);
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
        !take(section, &at, end, c->text, h.texts, TB_CUSTOM_TEXTS, 1) || !are_sound(c, &h) || !make_sets(c))
        return false;
    c->rules = h.rules;
    index_rules(c);
    return true;
}

void tb_custom_sets(struct tb_core *core, struct tb_rules_view *view, uint32_t generation)
{
    struct tb_custom *c = &view->custom;
    for (uint32_t i = 0; i < TB_CUSTOM_PLACES; i++) { /* the same in all processes of the region, and in no other */
        c->set[i].key[0] = core->header->region_id * UINT64_C(0x9fb21c651e98df25);
        c->set[i].key[1] = core->header->region_id ^ UINT64_C(0x6c62272e07bb0142);
    }
    for (uint32_t i = 0; i < c->rules && i < TB_CUSTOM_RULES; i++) {
        const struct tb_custom_rule *r = &c->rule[i];
        struct tb_bounds bounds = {r->unit, r->bound_count, c->at_most + r->bounds % TB_CUSTOM_BOUNDS};
        c->sets[i] = r->bound_count ? tb_bound_set_get(core, &bounds) : 0;
    }
    tb_store_release(&c->generation, generation);
}
