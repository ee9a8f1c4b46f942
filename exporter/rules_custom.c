/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiles the metrics of `rules` (agent/custom_format.h). Fields are shared by all rules that name the same place;
 * texts stand once each, but for globs, which lie one behind the other. Entry point: tb_custom_compile.
 */
#include "rules_config.h"

#include <stdlib.h>

#include "agent/custom.h"
#include "agent/route_segment.h"

struct compiler {
    struct tb_custom_head head;
    struct tb_buffer rules, fields, labels, matches, bounds, texts;
    unsigned sketches, in_flights;
    const char *why; /* NULL: it fits so far */
};

static uint16_t put_bytes(struct compiler *c, const char *text, size_t len)
{
    uint16_t at = (uint16_t)c->texts.len;
    char head = (char)(uint8_t)len;
    tb_put(&c->texts, &head, 1);
    tb_put(&c->texts, text, len);
    if (c->texts.len > TB_CUSTOM_TEXTS)
        c->why = "the rules' names, values and paths take more than 6 KiB: shorten some";
    return at;
}

/* Bytes that may stand somewhere already. */
static uint16_t bytes_of(struct compiler *c, const char *text, size_t len)
{
    for (size_t at = 0; at < c->texts.len; at += (uint8_t)c->texts.data[at] + 1u)
        if ((uint8_t)c->texts.data[at] == len && memcmp(c->texts.data + at + 1, text, len) == 0)
            return (uint16_t)at;
    return put_bytes(c, text, len);
}

static uint16_t text_of(struct compiler *c, const char *text)
{
    return bytes_of(c, text, strlen(text));
}

static uint16_t texts_of(struct compiler *c, const struct tb_text_list *list)
{
    uint16_t first = 0;
    for (size_t i = 0; i < list->count; i++) {
        uint16_t at =
            list->count == 1 ? text_of(c, list->items[i]) : put_bytes(c, list->items[i], strlen(list->items[i]));
        first = i ? first : at;
    }
    if (list->count > 255)
        c->why = "a list has more than 255 entries: join some with a *";
    return first;
}

static uint8_t field_of(struct compiler *c, const struct tb_place_config *place, bool is_hashed)
{
    struct tb_custom_field f = {.place = place->place, .is_hashed = is_hashed};
    if (!place->place)
        return TB_CUSTOM_NO_FIELD;
    f.name = bytes_of(c, place->name, place->len);
    for (uint32_t i = 0; i < c->head.fields; i++)
        if (memcmp(c->fields.data + i * sizeof f, &f, sizeof f) == 0)
            return (uint8_t)i;
    if (c->head.fields == TB_CUSTOM_FIELDS) {
        c->why = "more than 32 headers, parameters, cookies and fields are looked for: leave some out";
        return 0;
    }
    tb_put(&c->fields, (const char *)&f, sizeof f);
    return c->head.fields++;
}

static void put_label(struct compiler *c, const struct tb_custom_rule_config *r, const struct tb_custom_label_config *l)
{
    char *id = tb_format("%s %s", r->metric, l->name);
    struct tb_custom_label is = {.id = tb_segment_hash(tb_bytes(id, strlen(id))),
                                 .name = text_of(c, l->name),
                                 .other = text_of(c, l->other),
                                 .allow = texts_of(c, &l->allow),
                                 .max = (uint16_t)l->max,
                                 .allow_count = (uint8_t)l->allow.count,
                                 .source = l->source,
                                 .field = field_of(c, &l->field, false),
                                 .fallback = field_of(c, &l->fallback, false)};
    free(id);
    if (c->head.labels == TB_CUSTOM_LABELS) {
        c->why = "the rules have more than 128 labels: leave some out";
        return;
    }
    c->head.labels++;
    tb_put(&c->labels, (const char *)&is, sizeof is);
}

static void put_match(struct compiler *c, const struct tb_custom_match_config *m)
{
    struct tb_custom_match is = {.globs = texts_of(c, &m->globs),
                                 .count = (uint8_t)m->globs.count,
                                 .source = m->source,
                                 .field = field_of(c, &m->field, false),
                                 .is_not = m->is_not};
    if (c->head.matches == TB_CUSTOM_MATCHES) {
        c->why = "the rules have more than 128 conditions: leave some out";
        return;
    }
    c->head.matches++;
    tb_put(&c->matches, (const char *)&is, sizeof is);
}

static void put_rule(struct compiler *c, const struct tb_custom_rule_config *r)
{
    char *metric = tb_format("%c%s", tb_custom_shape(r), r->metric);
    struct tb_custom_rule is = {
        .methods = r->methods,
        .metric = text_of(c, metric),
        .kind = r->kind,
        .roles = r->roles,
        .value = r->value,
        .field = field_of(c, &r->field, r->kind == TB_CUSTOM_DISTINCT),
        .scale = (int8_t)r->scale,
        .unit = r->bounds.unit,
        .bounds = (uint16_t)(r->kind == TB_CUSTOM_DISTINCT ? r->window_s : c->bounds.len / sizeof(uint64_t)),
        .bound_count = r->bounds.count,
        .labels = c->head.labels,
        .label_count = (uint8_t)r->label_count,
        .matches = c->head.matches,
        .match_count = (uint8_t)r->match_count};
    free(metric);
    memcpy(is.statuses, r->statuses, sizeof is.statuses);
    for (size_t i = 0; i < r->label_count && !c->why; i++)
        put_label(c, r, &r->labels[i]);
    for (size_t i = 0; i < r->match_count && !c->why; i++)
        put_match(c, &r->matches[i]);
    tb_put(&c->bounds, (const char *)r->bounds.at_most, r->bounds.count * sizeof *r->bounds.at_most);
    if (c->bounds.len / sizeof(uint64_t) > TB_CUSTOM_BOUNDS)
        c->why = "the rules have more than 256 bounds: leave some out";
    if (r->kind == TB_CUSTOM_DISTINCT && ++c->sketches > TB_CUSTOM_SKETCHES)
        c->why = "a service has more than 2 rules of type distinct, which take 272 KiB each: leave some out";
    if (r->value == TB_CUSTOM_IN_FLIGHT && ++c->in_flights > TB_CUSTOM_IN_FLIGHTS)
        c->why = "a service has more than 4 gauges of requests in flight: leave some out";
    if (c->head.rules == TB_CUSTOM_RULES)
        c->why = "a service has more than 32 rules: leave some out";
    if (c->why)
        return;
    c->head.rules++;
    tb_put(&c->rules, (const char *)&is, sizeof is);
}

static void put_list(struct compiler *c, const struct tb_custom_config *list,
                     const struct tb_custom_rule_config **ret_at)
{
    for (size_t i = 0; i < list->rule_count && !c->why; i++) {
        *ret_at = &list->rules[i];
        put_rule(c, &list->rules[i]);
    }
}

/* As the core will read it: what it refuses is too much in one place. */
static bool can_be_read(const struct tb_buffer *out, size_t start)
{
    struct tb_rules_view *view = tb_alloc(sizeof *view);
    view->parts[TB_RULES_CUSTOM] = (struct tb_rules_part){0, (uint32_t)(out->len - start)};
    bool is_good = tb_custom_read((const uint8_t *)out->data + start, view);
    free(view);
    return is_good;
}

const char *tb_custom_compile(const struct tb_custom_config *own, const struct tb_custom_config *common,
                              struct tb_buffer *out, const struct tb_custom_rule_config **ret_at)
{
    struct compiler c = {.head = {.version = TB_CUSTOM_VERSION}};
    const size_t start = out->len;
    struct tb_buffer *parts[] = {&c.rules, &c.fields, &c.labels, &c.matches, &c.bounds, &c.texts};
    put_bytes(&c, "", 0);
    put_list(&c, own, ret_at);
    put_list(&c, common, ret_at);
    c.head.bounds = (uint16_t)(c.bounds.len / sizeof(uint64_t));
    c.head.texts = (uint16_t)c.texts.len;
    if (c.head.rules && !c.why)
        tb_put(out, (const char *)&c.head, sizeof c.head);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (c.head.rules && !c.why)
            tb_put(out, parts[i]->data, parts[i]->len);
        tb_buffer_free(parts[i]);
    }
    if (c.head.rules && !c.why && !can_be_read(out, start))
        c.why = "more than 8 names of one place, or too long ones, are looked for: 6 headers where bodies are read, 8 "
                "parameters, 8 paths: leave some out";
    return c.why;
}

bool tb_custom_has_paths(const struct tb_custom_config *c)
{
    for (size_t i = 0; i < c->rule_count; i++)
        for (size_t k = 0; k < c->rules[i].match_count; k++)
            if (c->rules[i].matches[k].source == TB_CUSTOM_PATH)
                return true;
    return false;
}
