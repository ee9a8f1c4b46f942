/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a request path to a route. A path is walked down the learner's tree: known literals are followed
 * (route_known.c), everything else is judged to be a literal or a value (route_walk.c). A route that the tree does not
 * have, or that never answered, is a trial until its status is known: a 404 leaves no trace, anything else puts it into
 * the tree. Entry points: tb_route_begin, tb_route_end; routes as text are in route_label.c.
 *
 * Fork story: the learner is shared; the cache of whole paths in struct tb_core is private, copied, and stays right.
 */
#include "route.h"
#include "region.h"
#include "route_cache.h"
#include "route_known.h"
#include "route_label.h"
#include "route_rules.h"
#include "route_shape.h"
#include "route_walk.h"
#include "series.h"

/* --- what is learned -------------------------------------------------------------------------------------------------
 */

static void note_values(struct tb_core *core, const struct tb_route_walk *w)
{
    for (uint32_t i = 0; i < w->known; i++) {
        const struct tb_route_choice *c = &w->choices[i];
        if (c->step.kind == TB_KIND_LITERAL)
            continue;
        uint32_t word = c->step.is_word ? tb_route_choice_word(w, i) : 0;
        if (c->step.is_word)
            tb_learn_note_value(core, c->node, word);
        if (i + 1 < w->known && c[1].step.kind == TB_KIND_LITERAL)
            tb_learn_note_via(tb_learn_node(core, c[1].node), word);
    }
}

/* A step that comes into the tree. */
static void note_step(struct tb_core *core, const struct tb_route_trial *t, uint32_t i, uint32_t node)
{
    bool literal = t->steps[i].kind == TB_KIND_LITERAL;
    if (literal)
        tb_word_note(core, t->words[i], TB_WORD_LITERAL);
    else if (t->steps[i].is_word)
        tb_learn_note_value(core, node, t->words[i]);
    if (!i && !t->base)
        return;
    uint8_t kind = i ? t->steps[i - 1].kind : tb_learn_node(core, t->base)->kind;
    uint32_t before = i ? t->words[i - 1] : t->before;
    if (kind == TB_KIND_LITERAL)
        tb_word_note(core, before, literal ? TB_WORD_BEFORE_LITERAL : TB_WORD_BEFORE_VALUE);
    else if (literal)
        tb_learn_note_via(tb_learn_node(core, node), !i || t->steps[i - 1].is_word ? before : 0);
}

static void fill_trial(const struct tb_route_walk *w, struct tb_route_trial *t)
{
    uint32_t last = w->known ? w->known - 1 : 0;
    const struct tb_route_step *step = &w->choices[last].step;
    t->base = (uint16_t)(w->known ? w->choices[last].node : 0);
    t->before = w->known && (step->is_word || step->kind == TB_KIND_LITERAL) ? tb_route_choice_word(w, last) : 0;
    t->result = 0;
    t->other = 0;
    t->count = 0;
    uint32_t len = 0;
    for (uint32_t i = w->known; i < w->count; i++) {
        struct tb_bytes text = tb_route_choice_text(w, i);
        if (text.len > sizeof t->text - len)
            break;
        tb_copy(t->text + len, text.ptr, text.len);
        len += (uint32_t)text.len;
        t->words[t->count] = tb_route_choice_word(w, i);
        t->steps[t->count++] = w->choices[i].step;
    }
}

/* A new literal that was a value so far, in this place: what is remembered of its paths is outdated. */
static void note_promotion(struct tb_core *core, uint32_t node, uint32_t word)
{
    const struct tb_route_node *n = tb_learn_node(core, node);
    uint32_t values = tb_load_acquire(&tb_learn_node(core, n->parent)->values);
    if (!values || tb_load_relaxed(&n->visits) || !tb_load_relaxed(&tb_learn_node(core, values)->words) ||
        !tb_word_get(core, word).value)
        return;
    tb_add_relaxed(&tb_learn_head(core)->epoch, 1);
    tb_count(core, TB_COUNTER_ROUTE_CHANGES);
}

static bool routes_are_full(struct tb_core *core)
{
    return tb_load_relaxed(&tb_learn_head(core)->routes) >= tb_route_limit(core, TB_ROUTE_LIMIT);
}

/* Put a trial's steps into the tree. Returns the node, or 0 when there is no room (the root needs none). */
static uint32_t grow(struct tb_core *core, const struct tb_route_trial *t, bool *ret_full)
{
    uint32_t node = t->base, at = 0;
    for (uint32_t i = 0; i < t->count && i < TB_ROUTE_DEPTH; i++) {
        const struct tb_route_step *step = &t->steps[i];
        size_t len = tb_load_relaxed(&step->text_len); /* once: the file has other writers */
        if (len > sizeof t->text - at)
            break;
        uint32_t next = 0;
        if (step->kind != TB_KIND_LITERAL && !len)
            next = tb_load_acquire(&tb_learn_node(core, node)->values);
        if (step->kind == TB_KIND_WHOLE && routes_are_full(core))
            next = 0; /* a path for each request: what has no label needs no node */
        else if (!next || step->kind == TB_KIND_REST)
            next = tb_learn_add(core, node, step, tb_bytes(t->text + at, len));
        if (!next) {
            *ret_full = true;
            return 0;
        }
        node = next;
        if (step->kind == TB_KIND_LITERAL)
            note_promotion(core, node, t->words[i]);
        note_step(core, t, i, node);
        if (step->kind == TB_KIND_LITERAL)
            tb_route_style_note(core, tb_bytes(t->text + at, len));
        at += (uint32_t)len;
        tb_learn_visit(tb_learn_node(core, node));
    }
    return node;
}

/* The string reference of a node's label; made at its first answer. */
static uint32_t label_of(struct tb_core *core, uint32_t node)
{
    struct tb_route_node *n = tb_learn_node(core, node);
    uint32_t label = tb_load_acquire(&n->label), before = label;
    bool has_room = (tb_load_relaxed(&n->flags) & TB_NODE_RULE) || !routes_are_full(core);
    if (label && (label != TB_STR_OTHER || !has_room)) /* a cap may have been raised */
        return label;
    char text[TB_ROUTE_LABEL_MAX + 16];
    size_t len = tb_route_label(core, node, text, sizeof text);
    label = TB_STR_OTHER;
    if (has_room) {
        label = tb_string_intern(core, tb_bytes(text, len));
        label = label ? label : TB_STR_OTHER;
    }
    if (!tb_cas_acq_rel(&n->label, &before, label))
        return before;
    if (label != TB_STR_OTHER)
        tb_add_relaxed(&tb_learn_head(core)->routes, 1);
    return label;
}

/* --- entry points ----------------------------------------------------------------------------------------------------
 */

/*
 * More requests to unknown routes are under way than there are trials (thousands of connections at once): the route
 * goes into the tree now, unanswered, while there is plenty of room.
 */
static __attribute__((noinline, cold)) uint32_t begin_untried(struct tb_core *core, const struct tb_route_walk *w)
{
    struct tb_route_trial t;
    bool full = tb_load_relaxed(&tb_learn_head(core)->nodes) > TB_ROUTE_NODES / 4 * 3;
    fill_trial(w, &t);
    uint32_t node = full ? 0 : grow(core, &t, &full);
    if (full) {
        tb_count(core, TB_COUNTER_ROUTES_OVERFLOW);
        return TB_ROUTE_OTHER;
    }
    return node + 1;
}

/*
 * The whole way: split, judge, learn. @hash is that of the whole path, 0 = it is not remembered. One that has a shape
 * is not before it is settled: its next request shall count, too.
 */
static __attribute__((noinline)) uint32_t begin_slow(struct tb_core *core, struct tb_bytes path, bool is_cut,
                                                     uint64_t hash, uint64_t shape)
{
    struct tb_route_walk w;
    tb_route_walk_path(core, path, is_cut, &w);
    if (w.known == w.count) {
        uint32_t node = w.count ? w.choices[w.count - 1].node : 0;
        if (tb_load_relaxed(&tb_learn_node(core, node)->flags) & TB_NODE_ANSWERED) {
            bool is_settled = true;
            for (uint32_t i = 0; i < w.count; i++)
                is_settled = tb_learn_visit(tb_learn_node(core, w.choices[i].node)) && is_settled;
            note_values(core, &w);
            if (hash && (is_settled || !shape))
                tb_route_remember(core, shape ? shape : hash, path, node);
            return node + 1;
        }
    }
    uint32_t handle = TB_ROUTE_OTHER;
    struct tb_route_trial *t = tb_trial_claim(core, &handle);
    if (!t)
        return begin_untried(core, &w);
    fill_trial(&w, t);
    return handle;
}

/* A path of which there is more, or too much. */
static uint32_t begin_cut(struct tb_core *core, uint8_t method, struct tb_bytes host, struct tb_bytes path)
{
    uint64_t hash = 0;
    uint32_t handle;
    path.len = path.len > TB_PATH_MAX ? TB_PATH_MAX : path.len;
    if (tb_load_relaxed(&core->rules_view) && tb_route_ruled(core, method, host, path, true, &hash, 0, &handle))
        return handle;
    return begin_slow(core, path, true, 0, 0);
}

/* The hash of a path's shape, 0 = it has none. @known is what tb_route_begin has found: numbers, 0 = it has not looked.
 */
static uint64_t shape_of(struct tb_core *core, const struct tb_route_head *head, struct tb_bytes path, uint64_t known)
{
    uint64_t plain = tb_shape_plain(core, head, path), values;
    if (plain || known || path.len >= TB_SHAPE_MAX)
        return plain ? plain : known;
    struct tb_shape shape = tb_shape_look(path.ptr, path.len);
    return tb_shape_values(&shape, path.len, &values) && values ? tb_shape_hash(core, head, path, &shape, values) : 0;
}

/*
 * A path that the first look did not find. @shape is the hash of its shape, 0 = it is not known. Rules may tell two
 * paths of one shape apart: then shapes are neither remembered nor looked up.
 */
static __attribute__((noinline)) uint32_t begin_unknown(struct tb_core *core, uint8_t method, struct tb_bytes host,
                                                        struct tb_bytes path, uint64_t shape)
{
    const struct tb_route_head *head = tb_learn_head(core);
    if (TB_UNLIKELY(path.len > TB_PATH_MAX))
        return begin_cut(core, method, host, path);
    uint64_t hash = tb_route_path_hash(core, head, path);
    shape = shape_of(core, head, path, shape);
    /* only now: what is kept under a new seed must be what the new rules say, and they come before their seed */
    const struct tb_rules_view *rules = tb_load_acquire(&core->rules_view);
    bool has_shapes = !rules || (tb_load_relaxed(&rules->flags) & TB_RULES_SHAPES);
    shape = has_shapes ? shape : 0;
    uint32_t handle = tb_route_cached(core, hash);
    if (!handle && shape && (handle = tb_route_cached(core, shape)) && path.len >= TB_SHAPE_MAX)
        tb_route_cache_keep(core, hash, handle - 1); /* of a long path, the whole is looked up first */
    if (handle)
        return handle;
    if (TB_UNLIKELY(rules != NULL) && tb_route_ruled(core, method, host, path, false, &hash, shape, &handle))
        return handle;
    shape = hash ? shape : 0; /* what is not the same for all requests is not remembered */
    uint32_t node = path.len && path.ptr[0] == '/' ? tb_route_walk_known(core, path) : UINT32_MAX;
    if (node == UINT32_MAX)
        return begin_slow(core, path, false, hash, shape);
    /* all on the way is settled: another value of the same form would come here too */
    uint64_t key = shape ? shape : hash;
    if (key)
        tb_route_remember(core, key, path, node);
    return node + 1;
}

/* The learner's first pages have memory, once and for all. */
static __attribute__((noinline)) bool get_ready(struct tb_core *core)
{
    if (!tb_learn_ready(core))
        return false;
    tb_route_reseed(core);
    /* release: pairs with the acquires of whoever hashes a path */
    tb_store_release(&core->route_head, tb_learn_head(core));
    tb_route_keep_head(core, tb_learn_head(core));
    return true;
}

static inline struct tb_bytes no_host(struct tb_bytes path)
{
    return tb_bytes(path.ptr, 0);
}

/* A path that is cut, or the first one of this process. */
static __attribute__((noinline)) uint32_t begin_odd(struct tb_core *core, uint8_t method, struct tb_bytes host,
                                                    struct tb_bytes path, bool is_cut)
{
    if (!tb_load_acquire(&core->route_head) && !get_ready(core))
        return TB_ROUTE_OTHER;
    return is_cut ? begin_cut(core, method, host, path) : begin_unknown(core, method, host, path, 0);
}

uint32_t tb_route_begin_at(struct tb_core *core, uint8_t method, struct tb_bytes host, struct tb_bytes path,
                           bool is_cut)
{
    return begin_odd(core, method, host, path, is_cut);
}

uint32_t tb_route_begin(struct tb_core *core, uint8_t method, struct tb_bytes path, bool is_cut)
{
    const struct tb_route_head *head = tb_load_acquire(&core->route_head);
    if (TB_UNLIKELY(!head) || TB_UNLIKELY(is_cut))
        return begin_odd(core, method, no_host(path), path, is_cut);
    if (TB_LIKELY(path.len < TB_SHAPE_MAX)) {
        uint64_t values;
        struct tb_shape shape = tb_shape_look(path.ptr, path.len);
        if (TB_UNLIKELY(!tb_shape_values(&shape, path.len, &values)))
            return begin_unknown(core, method, no_host(path), path, 0);
        if (values) {
            uint64_t hash = tb_shape_hash(core, head, path, &shape, values);
            uint32_t handle = tb_route_cached(core, hash);
            return TB_LIKELY(handle) ? handle : begin_unknown(core, method, no_host(path), path, hash);
        }
    }
    uint32_t handle = tb_route_cached(core, tb_route_path_hash(core, head, path));
    return TB_LIKELY(handle) ? handle : begin_unknown(core, method, no_host(path), path, 0);
}

/* The end of a trial: into the tree unless it answered 404 or not at all. */
static __attribute__((noinline)) uint32_t end_trial(struct tb_core *core, uint32_t handle, uint16_t status)
{
    bool decided = false, full = false;
    if (handle == TB_ROUTE_IGNORED)
        return TB_STR_IGNORED;
    struct tb_route_trial *t = tb_trial_find(core, handle, &decided);
    bool unanswered = status == 404 || status == 0;
    if (!t) /* so old that its place was taken */
        return unanswered ? TB_STR_UNMATCHED : TB_STR_OTHER;
    uint32_t node = t->result;
    if (!decided) {
        node = unanswered ? 0 : grow(core, t, &full);
        if (!unanswered && !full) {
            tb_fetch_or_relaxed(&tb_learn_node(core, node)->flags, TB_NODE_ANSWERED);
            node++;
        }
        tb_trial_decide(core, handle, node, full);
    } else {
        full = t->other != 0;
    }
    if (full) {
        tb_count(core, TB_COUNTER_ROUTES_OVERFLOW);
        return TB_STR_OTHER;
    }
    if (!node)
        return TB_STR_UNMATCHED;
    uint32_t label = label_of(core, node - 1);
    if (label == TB_STR_OTHER)
        tb_count(core, TB_COUNTER_ROUTES_OVERFLOW);
    return label;
}

uint32_t tb_route_end(struct tb_core *core, uint32_t handle, uint8_t method, uint16_t status)
{
    (void)method;
    if (TB_UNLIKELY((int32_t)handle <= 0)) /* TB_TRIAL_HANDLE is the sign */
        return handle == TB_ROUTE_OTHER ? TB_STR_OTHER : end_trial(core, handle, status);
    uint32_t label = tb_load_acquire(&tb_learn_node(core, handle - 1)->label);
    if (TB_UNLIKELY(!label)) {
        struct tb_route_node *n = tb_learn_node(core, handle - 1);
        if ((status == 404 || status == 0) && !(tb_load_relaxed(&n->flags) & TB_NODE_ANSWERED))
            return TB_STR_UNMATCHED;
        tb_fetch_or_relaxed(&n->flags, TB_NODE_ANSWERED);
        label = label_of(core, handle - 1);
    }
    if (TB_UNLIKELY(label == TB_STR_OTHER) && (label = label_of(core, handle - 1)) == TB_STR_OTHER)
        tb_count(core, TB_COUNTER_ROUTES_OVERFLOW);
    return label;
}
