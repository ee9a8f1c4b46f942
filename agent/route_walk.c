/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk of a path down the learner's tree. Known literals are followed; a segment whose form leaves no doubt is a
 * value or a version (route_segment.c); a few rules hold for the start and the end of a path; everything else is judged
 * in its place (route_model.c). Entry point: tb_route_walk_path.
 */
#include "route_walk.h"
#include "route_model.h"

static size_t segment_len(uint8_t kind, struct tb_bytes text)
{
    size_t name = kind == TB_KIND_LITERAL ? (text.len && text.ptr[0] == ':' ? 2 : 0)
                                          : tb_strnlen(tb_segment_placeholder(kind), 8);
    return 1 + name + text.len;
}

static void choose_value(struct tb_route_walk *w, const struct tb_segment *s, struct tb_route_choice *c)
{
    struct tb_core *core = w->place.core;
    bool is_last = w->place.at + 1 == w->path.count && !w->path.has_rest;
    uint8_t kind = s->kind ? s->kind : TB_KIND_NAME;
    struct tb_bytes suffix = tb_bytes(s->text.ptr, 0);
    uint32_t values = w->place.detached ? 0 : tb_load_acquire(&tb_learn_node(core, w->place.node)->values);
    if (is_last && s->suffix && !(values && kind == TB_KIND_FILE)) {
        suffix = tb_bytes(s->text.ptr + s->text.len - s->suffix, s->suffix);
        kind = kind == TB_KIND_FILE ? TB_KIND_FILE : TB_KIND_ID;
    }
    c->step = (struct tb_route_step){.kind = kind, .text_len = (uint8_t)suffix.len, .is_word = !s->is_value};
    if (suffix.len) { /* one placeholder of a place for each extension */
        c->step.hash = tb_segment_hash(suffix);
        c->node = w->place.detached ? 0 : tb_learn_child(core, w->place.node, kind, c->step.hash, suffix);
        uint8_t other = kind == TB_KIND_FILE ? TB_KIND_ID : TB_KIND_FILE;
        if (!c->node && !w->place.detached)
            c->node = tb_learn_child(core, w->place.node, other, c->step.hash, suffix);
        if (c->node)
            c->step.kind = tb_learn_node(core, c->node)->kind;
    } else if (values) { /* one placeholder stands for all values of a place, named by the first */
        c->node = values;
        c->step.kind = tb_learn_node(core, values)->kind;
    } else {
        c->step.hash = kind;
        c->node = 0;
    }
}

#define PLAIN_FILES 32u /* literal siblings up to which a new plain file name is one more */

/*
 * index.html, style.css: a short lower-case name with a file's extension at the end of a path. Lists of words do not
 * tell file names apart, so the first ones of a directory are literals, and the many are not.
 */
static bool is_plain_file(const struct tb_route_walk *w, const struct tb_segment *s)
{
    bool is_last = w->place.at + 1 == w->path.count && !w->path.has_rest;
    if (!s->suffix || !is_last || s->lowers + 1u != s->text.len || s->lowers > 20)
        return false;
    if (w->place.detached)
        return w->place.at == 0 || w->place.kinds[w->place.at - 1] == TB_KIND_LITERAL;
    const struct tb_route_node *n = tb_learn_node(w->place.core, w->place.node);
    return !tb_load_acquire(&n->values) && tb_load_relaxed(&n->literals) < PLAIN_FILES;
}

#define ROOT_LITERALS 96u /* siblings up to which a plain word at the start of a path is one more literal */

/* The first segment names a part of the site far more often than a customer: few words do not make a placeholder. */
static bool is_root_word(const struct tb_route_walk *w, const struct tb_segment *s)
{
    if (w->place.at || s->is_value || s->digits > 2 || s->uppers > 1 || s->marks > 2 || s->text.len > 16)
        return false;
    const struct tb_route_node *root = tb_learn_node(w->place.core, 0);
    uint32_t values = tb_load_acquire(&root->values);
    return tb_load_relaxed(&root->literals) < ROOT_LITERALS &&
           (!values || !tb_load_relaxed(&tb_learn_node(w->place.core, values)->words));
}

/*
 * A word that was given up, while a part of the tree is reached through nothing but it: judged anew, once.
 */
static bool revive(struct tb_route_walk *w, struct tb_route_node *n)
{
    struct tb_core *core = w->place.core;
    uint32_t values = tb_load_acquire(&tb_learn_node(core, w->place.node)->values);
    if (!values || tb_route_only_this_leads(core, &w->path, w->place.at, values) < TB_ROUTE_ALONE ||
        tb_route_judge(&w->place) < TB_ROUTE_MERGE)
        return false;
    if (!(tb_fetch_or_relaxed(&n->flags, TB_NODE_REVIVED) & TB_NODE_REVIVED)) {
        tb_fetch_and_relaxed(&n->flags, (uint8_t)~TB_NODE_MERGED);
        tb_add_relaxed(&tb_learn_head(core)->epoch, 1);
        tb_count(core, TB_COUNTER_ROUTE_CHANGES);
    }
    return true;
}

/*
 * A literal of the tree that has not proved itself is judged again each time it is met, with what has been learned
 * since. When it turns out to be a value, it is merged: passed over from now on; its series stay as they are.
 */
static bool keep_literal(struct tb_route_walk *w, uint32_t node)
{
    struct tb_core *core = w->place.core;
    struct tb_route_node *n = tb_learn_node(core, node);
    uint8_t flags = tb_load_relaxed(&n->flags);
    if (flags & TB_NODE_MERGED)
        return !(flags & TB_NODE_REVIVED) && revive(w, n);
    if (tb_load_relaxed(&n->visits) >= TB_NODE_VISITS || w->path.segments[w->place.at].is_version ||
        w->path.segments[w->place.at].is_value || is_plain_file(w, &w->path.segments[w->place.at]))
        return true;
    if (is_root_word(w, &w->path.segments[w->place.at]))
        return true;
    w->place.self = node;
    int score = tb_route_judge(&w->place);
    w->place.self = 0;
    if (score > -TB_ROUTE_MERGE)
        return true;
    if (!(tb_fetch_or_relaxed(&n->flags, TB_NODE_MERGED) & TB_NODE_MERGED)) {
        tb_add_relaxed(&tb_learn_head(core)->epoch, 1);
        tb_count(core, TB_COUNTER_ROUTE_CHANGES);
    }
    return false;
}

/* A version near the start of a path, with literals before it and something after it, needs no judgement. */
static bool is_api_version(const struct tb_route_walk *w, const struct tb_segment *s)
{
    if (!s->is_version || w->place.at > 3 || w->place.at + 1 == w->path.count)
        return false;
    for (uint32_t i = 0; i < w->place.at; i++)
        if (w->place.kinds[i] != TB_KIND_LITERAL)
            return false;
    return true;
}

/* /1/boards, /2010-04-01/Accounts: a digit or a date that stands first, before a word, is a version. */
static bool is_leading_version(const struct tb_route_walk *w, const struct tb_segment *s)
{
    if (w->place.at || w->path.count < 2 || w->path.segments[1].is_value)
        return false;
    bool form = (s->kind == TB_KIND_ID && s->text.len == 1) || (s->kind == TB_KIND_DATE && s->text.len == 10);
    struct tb_core *core = w->place.core;
    return form && (!tb_load_acquire(&tb_learn_node(core, 0)->values) ||
                    tb_learn_child(core, 0, TB_KIND_LITERAL, s->hash, s->text));
}

#define WORD_PLACE 30u /* new words that a placeholder must have taken */

/*
 * A place that has taken so many different words as values that one more, which no list and no other place knows as
 * a literal, needs no judgement. It keeps busy places cheap. Returns the placeholder, or 0.
 */
uint32_t tb_route_place_of_words(struct tb_core *core, uint32_t node, uint32_t hash, struct tb_bytes text)
{
    uint32_t values = tb_load_acquire(&tb_learn_node(core, node)->values);
    if (!values || tb_load_relaxed(&tb_learn_node(core, values)->words) < WORD_PLACE)
        return 0;
    return tb_word_get(core, hash).literal == 0 && !tb_route_is_common(text) ? values : 0;
}

static bool is_word_place(const struct tb_route_walk *w, const struct tb_segment *s)
{
    struct tb_core *core = w->place.core;
    uint32_t values = w->place.detached ? 0 : tb_route_place_of_words(core, w->place.node, s->hash, s->text);
    return values && tb_route_only_this_leads(core, &w->path, w->place.at, values) < TB_ROUTE_ALONE;
}

/* > 0: a literal. @node is the one of that text, if there is one. */
static int score_of(struct tb_route_walk *w, const struct tb_segment *s, uint32_t node)
{
    if (node)
        return keep_literal(w, node);
    if (s->is_value || is_plain_file(w, s) || is_api_version(w, s) || is_root_word(w, s))
        return 1; /* a value by form that got here leads as a version */
    return is_word_place(w, s) ? -1 : tb_route_judge(&w->place);
}

/* Decide one segment. */
static void choose(struct tb_route_walk *w, const struct tb_segment *s, struct tb_route_choice *c)
{
    struct tb_core *core = w->place.core;
    *c = (struct tb_route_choice){0};
    if (!s->is_value || is_leading_version(w, s)) {
        uint32_t node = w->place.detached ? 0 : tb_learn_child(core, w->place.node, TB_KIND_LITERAL, s->hash, s->text);
        int score = score_of(w, s, node);
        if (score > 0) {
            c->node = node;
            c->step = (struct tb_route_step){.hash = s->hash,
                                             .kind = TB_KIND_LITERAL,
                                             .text_len = (uint8_t)s->text.len,
                                             .score = (int8_t)(score > 127 ? 127 : score),
                                             .is_word = !s->is_value};
            return;
        }
    }
    choose_value(w, s, c);
}

/* One more choice was made, at w->count. */
static void walk_add(struct tb_route_walk *w)
{
    const struct tb_route_choice *c = &w->choices[w->count];
    w->place.kinds[w->count] = c->step.kind;
    w->label_len += segment_len(c->step.kind, tb_route_choice_text(w, w->count));
    w->count++;
    if (!w->place.detached && c->node) {
        w->place.node = c->node;
        w->known = w->count;
    } else {
        w->place.detached = true;
    }
}

static void walk_rest(struct tb_route_walk *w)
{
    struct tb_route_choice *c = &w->choices[w->count];
    *c = (struct tb_route_choice){.step = {.kind = TB_KIND_REST, .hash = TB_KIND_REST}};
    if (!w->place.detached)
        c->node =
            tb_learn_child(w->place.core, w->place.node, TB_KIND_REST, c->step.hash, tb_route_choice_text(w, w->count));
    walk_add(w);
}

void tb_route_walk_path(struct tb_core *core, struct tb_bytes path, bool is_cut, struct tb_route_walk *w)
{
    tb_route_split(path, is_cut, &w->path);
    w->count = w->known = 0;
    w->label_len = 0;
    w->place = (struct tb_route_place){.core = core, .path = &w->path};
    if (path.len == 1 && path.ptr[0] == '*') { /* asterisk-form is one literal */
        w->path.segments[0].is_value = false;
        w->path.segments[0].is_version = true;
    }
    for (uint32_t i = 0; i < w->path.count; i++) {
        struct tb_route_choice *c = &w->choices[i];
        w->place.at = i;
        choose(w, &w->path.segments[i], c);
        if (w->label_len + segment_len(c->step.kind, tb_route_choice_text(w, i)) + 6 > TB_ROUTE_LABEL_MAX) {
            walk_rest(w);
            return;
        }
        walk_add(w);
    }
    if (w->path.has_rest)
        walk_rest(w);
}
