/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules in force: validated once per generation into a view, private to the process, and asked by route.c for every
 * path that is not in its cache. Entry points: tb_rules_adopt, tb_rules_ask.
 *
 * Threads: there are two views; the one that is not in use is filled and then published. A thread that still reads the
 * older one while it is filled again reads numbers of either, and each access is checked by itself.
 * Fork story: views are private and copied; they stay right, since they are about the region.
 */
#include "rules.h"
#include "custom.h"
#include "exchange.h"
#include "measures.h"
#include "region.h"
#include "route_rules.h"

#define TRIES_BEFORE_TAKING_OVER 100000u /* whoever adopted was interrupted for good */

/* Bytes of the rules section that may be looked at. */
static const uint8_t *bytes_at(const uint8_t *section, uint64_t offset, uint64_t len)
{
    return offset + len <= sizeof(struct tb_rules_head) + 2ull * TB_RULES_BUFFER ? section + offset : NULL;
}

/* @size bytes of an element, zeros where there is none. */
static const uint8_t *element(const uint8_t *section, const struct tb_rules_view *v, enum tb_rules_section part,
                              uint32_t number, uint32_t size)
{
    static const uint8_t none[16];
    uint32_t at = tb_load_relaxed(&v->at), offset = tb_load_relaxed(&v->parts[part].offset);
    if (number >= tb_load_relaxed(&v->parts[part].length))
        return none;
    const uint8_t *p = bytes_at(section, (uint64_t)at + offset + (uint64_t)number * size, size);
    return p ? p : none;
}

struct tb_rules_node tb_rules_node(const uint8_t *section, const struct tb_rules_view *v, uint32_t number)
{
    struct tb_rules_node n;
    __builtin_memcpy(&n, element(section, v, TB_RULES_NODES, number, sizeof n), sizeof n);
    return n;
}

struct tb_rules_edge tb_rules_edge(const uint8_t *section, const struct tb_rules_view *v, uint32_t number)
{
    struct tb_rules_edge e;
    __builtin_memcpy(&e, element(section, v, TB_RULES_EDGES, number, sizeof e), sizeof e);
    return e;
}

struct tb_rules_entry tb_rules_entry(const uint8_t *section, const struct tb_rules_view *v, uint32_t number)
{
    struct tb_rules_entry e;
    __builtin_memcpy(&e, element(section, v, TB_RULES_ENTRIES, number, sizeof e), sizeof e);
    return e;
}

struct tb_rules_bounds tb_rules_bounds(const uint8_t *section, const struct tb_rules_view *v, uint32_t number)
{
    struct tb_rules_bounds b;
    __builtin_memcpy(&b, element(section, v, TB_RULES_BOUNDS, number, sizeof b), sizeof b);
    return b;
}

struct tb_rules_target tb_rules_target(const uint8_t *section, const struct tb_rules_view *v, uint32_t number)
{
    struct tb_rules_target t;
    __builtin_memcpy(&t, element(section, v, TB_RULES_TARGETS, number, sizeof t), sizeof t);
    return t;
}

uint32_t tb_rules_limit(const uint8_t *section, const struct tb_rules_view *v, enum tb_rules_limit which)
{
    uint32_t limit;
    __builtin_memcpy(&limit, element(section, v, TB_RULES_LIMITS, which, sizeof limit), sizeof limit);
    return limit;
}

uint64_t tb_rules_at_most(const uint8_t *section, const struct tb_rules_view *v, uint32_t number)
{
    uint64_t ticks;
    __builtin_memcpy(&ticks, element(section, v, TB_RULES_AT_MOST, number, sizeof ticks), sizeof ticks);
    return ticks;
}

struct tb_bytes tb_rules_text(const uint8_t *section, const struct tb_rules_view *v, uint32_t offset)
{
    uint32_t at = tb_load_relaxed(&v->at) + tb_load_relaxed(&v->parts[TB_RULES_TEXTS].offset);
    uint32_t space = tb_load_relaxed(&v->parts[TB_RULES_TEXTS].length);
    const uint8_t *p = offset < space ? bytes_at(section, (uint64_t)at + offset, 1) : NULL;
    uint8_t len = p ? tb_load_relaxed(p) : 0; /* once: another process may change it */
    if (!len || len >= space - offset || !bytes_at(section, (uint64_t)at + offset + 1, len))
        return tb_bytes(section, 0);
    return tb_bytes(p + 1, len);
}

bool tb_rules_read(const uint8_t *section, uint32_t at, uint32_t len, struct tb_rules_view *ret)
{
    static const uint8_t sizes[TB_RULES_SECTIONS] = {
        [TB_RULES_NODES] = sizeof(struct tb_rules_node),     [TB_RULES_EDGES] = sizeof(struct tb_rules_edge),
        [TB_RULES_ENTRIES] = sizeof(struct tb_rules_entry),  [TB_RULES_HOSTS] = sizeof(uint16_t),
        [TB_RULES_BOUNDS] = sizeof(struct tb_rules_bounds),  [TB_RULES_AT_MOST] = sizeof(uint64_t),
        [TB_RULES_TARGETS] = sizeof(struct tb_rules_target), [TB_RULES_LIMITS] = sizeof(uint32_t)};
    struct tb_rules_set set = {0};
    if (len < TB_RULES_HEAD_MIN || len > TB_RULES_BUFFER || len % 8 || !bytes_at(section, at, len))
        return false;
    __builtin_memcpy(&set, section + at, len < sizeof set ? len : sizeof set);
    if (set.parts[TB_RULES_NODES].offset < sizeof set) /* an older exporter's */
        tb_zero(set.parts + TB_RULES_SECTIONS_FIRST, sizeof set.parts - TB_RULES_SECTIONS_FIRST * sizeof *set.parts);
    if (set.magic != TB_RULES_MAGIC || set.version != TB_RULES_VERSION || set.length != len ||
        set.route > TB_RULES_NONE ||
        set.checksum != tb_rules_checksum(section + at + TB_RULES_CHECKED, len - TB_RULES_CHECKED))
        return false;
    for (uint32_t i = 0; i < TB_RULES_SECTIONS; i++) {
        struct tb_rules_part p = set.parts[i];
        uint32_t size = sizes[i] ? sizes[i] : 1;
        if (p.offset > len || p.length > len - p.offset || p.length % size)
            return false;
        p.length /= size;
        tb_store_relaxed(&ret->parts[i].offset, p.offset);
        tb_store_relaxed(&ret->parts[i].length, p.length);
    }
    if (ret->parts[TB_RULES_ENTRIES].length > TB_RULES_ENTRIES_MAX)
        return false;
    tb_store_relaxed(&ret->checksum, set.checksum);
    tb_store_relaxed(&ret->at, at);
    tb_store_relaxed(&ret->flags, set.flags);
    tb_store_relaxed(&ret->route, set.route);
    ret->max_routes = set.max_routes;
    ret->max_series = set.max_series;
    ret->max_hosts = set.max_hosts;
    tb_store_relaxed(&ret->none, 0);
    for (uint32_t i = 0; i < TB_RULES_ENTRIES_MAX; i++)
        tb_store_relaxed(&ret->made[i], 0);
    return tb_custom_read(section, ret);
}

bool tb_rules_are_whole(const struct tb_core *core, const struct tb_rules_view *view)
{
    const uint8_t *p = bytes_at((const uint8_t *)core->rules, tb_load_relaxed(&view->at), sizeof(struct tb_rules_set));
    tb_fence_acquire(); /* after everything that was read of the set */
    return p && tb_load_relaxed(&((const struct tb_rules_set *)(const void *)p)->checksum) ==
                    tb_load_relaxed(&view->checksum);
}

/* Private caches of routes speak of the rules in force: their seed changes with the generation. */
static void use(struct tb_core *core, struct tb_rules_view *view, uint32_t generation)
{
    tb_store_release(&core->rules_view, view);
    tb_store_release(&core->rules_word, (uint64_t)generation << 32); /* the view first: tb_rules_ask */
    tb_measures_use(core, view, generation);
    tb_route_reseed(core);
    tb_exchange_look(view && tb_load_relaxed(&view->custom.at_head));
}

void tb_rules_adopt(struct tb_core *core)
{
    uint32_t others = tb_fetch_add_relaxed(&core->rules_adopting, 1);
    if (others && others < TRIES_BEFORE_TAKING_OVER)
        return;
    /* acquire: pairs with the writer, who raises the generation after the buffer is complete */
    uint32_t generation = tb_load_acquire(&core->rules->generation);
    uint32_t active = tb_load_relaxed(&core->rules->active) & 1, len = tb_load_relaxed(&core->rules->length[active]);
    uint32_t at = (uint32_t)sizeof(struct tb_rules_head) + active * TB_RULES_BUFFER;
    struct tb_rules_view *now = core->rules_view, *next = &core->rules_views[now == &core->rules_views[0]];
    if (generation != (uint32_t)(core->rules_word >> 32)) {
        if (len == 0) {
            use(core, NULL, generation);
        } else if (len <= TB_RULES_BUFFER && tb_region_reserve(core, TB_OFF_RULES + at, len) &&
                   tb_rules_read((const uint8_t *)core->rules, at, len, next)) {
            tb_measures_read(core, next);
            tb_custom_sets(core, next, generation);
            use(core, next, generation);
        } else {
            tb_count(core, TB_COUNTER_RULES_REFUSED);
            use(core, now, generation);
        }
    }
    tb_store_release(&core->rules_adopting, 0);
}

/* ---- from an entry to a node of the learner ---- */

/* The label as it is written in the file, with the path's own literals. Returns its length. */
static size_t write_label(const uint8_t *section, const struct tb_rules_view *v, const struct tb_rules_match *m,
                          const struct tb_rules_path *path, char *out)
{
    struct tb_bytes names = tb_rules_text(section, v, m->is.label);
    size_t len = 0, at = 0;
    if (m->is.flags & TB_RULES_WHOLE_LABEL) {
        len = names.len < TB_RULES_LABEL_MAX ? names.len : TB_RULES_LABEL_MAX;
        tb_copy(out, names.ptr, len);
        return len;
    }
    for (uint32_t i = 0; i < m->depth && i < path->count; i++) {
        struct tb_bytes text = path->segments[i];
        bool is_escaped = false;
        if (m->params >> i & 1) {
            size_t from = at;
            while (at < names.len && tb_load_relaxed(&names.ptr[at]) != '/')
                at++;
            text = tb_bytes(names.ptr + from, at - from);
            at += at < names.len;
        } else if (text.len && text.ptr[0] == ':') {
            is_escaped = true; /* it would look like a placeholder */
            text = tb_bytes(text.ptr + 1, text.len - 1);
        }
        if (len + 1 + 3 + text.len > TB_RULES_LABEL_MAX)
            break;
        out[len++] = '/';
        if (is_escaped) {
            tb_copy(out + len, "%3A", 3);
            len += 3;
        }
        tb_copy(out + len, text.ptr, text.len);
        len += text.len;
    }
    if ((m->is_wild || !len) && len + 6 <= TB_RULES_LABEL_MAX) {
        const char *tail = m->is_wild ? "/:rest" : "/";
        tb_copy(out + len, tail, m->is_wild ? 6 : 1);
        len += m->is_wild ? 6 : 1;
    }
    return len;
}

/* The node that was made for an entry under these rules; 0 = none: the view may have served others since. */
static uint32_t made_node(const uint32_t *made, uint32_t generation)
{
    uint32_t known = tb_load_relaxed(made);
    return known >> 16 == (generation & 0xffff) ? known & 0xffff : 0;
}

struct tb_rules_answer tb_rules_ask(struct tb_core *core, uint8_t method, struct tb_bytes host, struct tb_bytes path,
                                    bool is_cut)
{
    static const enum tb_rules_verdict otherwise[] = {TB_RULES_SAY_NOTHING, TB_RULES_SAY_PATH, TB_RULES_SAY_NODE};
    /* before the view: what is found in a later one is not taken for an answer of this generation */
    uint32_t generation = (uint32_t)(tb_load_acquire(&core->rules_word) >> 32);
    struct tb_rules_view *v = tb_load_acquire(&core->rules_view);
    const uint8_t *section = (const uint8_t *)core->rules;
    struct tb_rules_answer answer = {TB_RULES_SAY_NOTHING, 0, false};
    struct tb_rules_path cut;
    struct tb_rules_match m;
    char label[TB_RULES_LABEL_MAX];
    uint32_t *made = NULL;
    size_t len = 0;

    if (!v)
        return answer;
    tb_rules_cut(path, is_cut, &cut);
    bool is_found = tb_rules_match(core, v, method, host, &cut, &m);
    answer.is_for_all = !m.is_conditional;
    if (is_found && (m.is.flags & TB_RULES_DROP)) {
        answer.verdict = TB_RULES_SAY_DROP;
    } else if (is_found) {
        answer.verdict = TB_RULES_SAY_NODE;
        made = &v->made[m.entry % TB_RULES_ENTRIES_MAX];
        if (!(answer.node = made_node(made, generation)))
            len = write_label(section, v, &m, &cut, label);
    } else {
        answer.verdict = otherwise[tb_load_relaxed(&v->route) % 3u];
        if (answer.verdict == TB_RULES_SAY_NODE) {
            made = &v->none;
            tb_copy(label, "_none", len = 5);
            answer.node = made_node(made, generation);
        }
    }
    /* the set may have been replaced, and its buffer written anew, while it was read: better none than a wrong one */
    if (TB_UNLIKELY(!tb_rules_are_whole(core, v)) || tb_load_acquire(&core->rules->generation) != generation)
        return (struct tb_rules_answer){TB_RULES_SAY_NOTHING, 0, false};
    if (answer.verdict == TB_RULES_SAY_NODE && !answer.node) {
        answer.node = tb_route_declare(core, tb_bytes(label, len));
        tb_store_relaxed(made, generation << 16 | answer.node);
    }
    return answer;
}
