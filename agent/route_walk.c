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

#define EXTENSIONS_MAX 6u /* placeholders with an extension that one place has; further ones share one without */

/* Placeholders with an extension below @node, of its newest children. */
static uint32_t count_extensions(struct tb_core *core, uint32_t node)
{
    uint32_t count = 0, at = tb_load_acquire(&tb_learn_node(core, node)->child);
    for (unsigned i = 0; at && i < 4 * EXTENSIONS_MAX; i++) {
        const struct tb_route_node *n = tb_learn_node(core, at);
        count += n->kind != TB_KIND_LITERAL && n->text_len;
        at = tb_load_acquire(&n->next);
    }
    return count;
}

/* The placeholder of files that end like @s; 0 = none. */
static uint32_t place_of_files(const struct tb_route_walk *w, struct tb_bytes suffix)
{
    struct tb_core *core = w->place.core;
    uint32_t hash = tb_segment_hash(suffix);
    uint32_t node = tb_learn_child(core, w->place.node, TB_KIND_FILE, hash, suffix);
    return node ? node : tb_learn_child(core, w->place.node, TB_KIND_ID, hash, suffix);
}

static bool is_last(const struct tb_route_walk *w)
{
    return w->place.at + 1 == w->path.count && !w->path.has_rest;
}

static struct tb_bytes suffix_of(const struct tb_segment *s)
{
    return tb_bytes(s->text.ptr + s->text.len - s->suffix, s->suffix);
}

/* The placeholder that takes @s when it is a value; 0 = there is none yet. */
static uint32_t place_of(const struct tb_route_walk *w, const struct tb_segment *s)
{
    if (w->place.detached)
        return 0;
    uint32_t values = tb_load_acquire(&tb_learn_node(w->place.core, w->place.node)->values);
    uint32_t files = is_last(w) && s->suffix ? place_of_files(w, suffix_of(s)) : 0;
    return files ? files : values && (!s->suffix || !is_last(w) || s->kind == TB_KIND_FILE) ? values : 0;
}

#define FEW_WORDS 6u      /* bits of a placeholder's sketch */
#define FEW_WORDS_EACH 8u /* requests for each */

/*
 * A placeholder that has taken the same few words again and again: these are no values. A value is one of many, and
 * seldom seen twice.
 */
static bool takes_few_words(struct tb_core *core, uint32_t values)
{
    const struct tb_route_node *n = tb_learn_node(core, values);
    unsigned bits = 0; /* __builtin_popcount would be a call into a library */
    for (unsigned via = tb_load_relaxed(&n->via); via; via &= via - 1)
        bits++;
    unsigned seen = (unsigned)tb_load_relaxed(&n->words) + tb_load_relaxed(&n->again);
    return values && bits && bits <= FEW_WORDS && tb_load_relaxed(&n->words) <= FEW_WORDS &&
           seen >= bits * FEW_WORDS_EACH;
}

/* /~alice/: the site of a user of the machine. */
static bool is_home(const struct tb_route_walk *w, const struct tb_segment *s)
{
    return !w->place.at && s->text.len > 1 && s->text.ptr[0] == '~';
}

/* Its form leaves open what it is. */
static bool is_word(const struct tb_route_walk *w, const struct tb_segment *s)
{
    return !s->is_value && !is_home(w, s);
}

static void choose_value(struct tb_route_walk *w, const struct tb_segment *s, struct tb_route_choice *c)
{
    struct tb_core *core = w->place.core;
    uint8_t kind = s->kind ? s->kind : TB_KIND_NAME, suffix = 0;
    c->step.is_word = is_word(w, s);
    c->node = place_of(w, s);
    if (c->node) { /* one placeholder stands for all values of a place, named by the first */
        const struct tb_route_node *n = tb_learn_node(core, c->node);
        c->step.hash = n->hash;
        c->step.kind = n->kind;
        c->step.text_len = n->text_len ? s->suffix : 0;
        return;
    }
    if (is_last(w) && s->suffix) { /* one placeholder of a place for each extension */
        kind = kind == TB_KIND_FILE ? TB_KIND_FILE : TB_KIND_ID;
        if (w->place.detached || count_extensions(core, w->place.node) < EXTENSIONS_MAX)
            suffix = s->suffix;
    }
    c->step.hash = suffix ? tb_segment_hash(suffix_of(s)) : kind;
    c->step.kind = kind;
    c->step.text_len = suffix;
}

#define PLAIN_FILES 12u /* literal siblings up to which a new plain file name is one more */

/*
 * index.html, style.css: a short lower-case name with a file's extension at the end of a path. Lists of words do not
 * tell file names apart, so the first ones of a directory are literals, and the many are not.
 */
static bool is_plain_file(const struct tb_route_walk *w, const struct tb_segment *s)
{
    if (!s->suffix || !is_last(w) || s->lowers + 1u != s->text.len || s->lowers > 20)
        return false;
    if (w->place.detached)
        return w->place.at == 0 || w->place.kinds[w->place.at - 1] == TB_KIND_LITERAL;
    const struct tb_route_node *n = tb_learn_node(w->place.core, w->place.node);
    return !place_of(w, s) && !tb_load_acquire(&n->values) && tb_load_relaxed(&n->literals) < PLAIN_FILES;
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

/* The segment is one of the few words of its placeholder, and has been it often. */
static bool is_repeated(const struct tb_route_walk *w)
{
    const struct tb_segment *s = &w->path.segments[w->place.at];
    return takes_few_words(w->place.core, place_of(w, s)) &&
           tb_word_get(w->place.core, s->hash).value >= FEW_WORDS_EACH / 2;
}

/*
 * A word that was given up, while a part of the tree is reached through nothing but it: judged anew, once.
 */
static bool revive(struct tb_route_walk *w, struct tb_route_node *n)
{
    struct tb_core *core = w->place.core;
    uint32_t values = tb_load_acquire(&tb_learn_node(core, w->place.node)->values);
    bool alone = values && tb_route_only_this_leads(core, &w->path, w->place.at, values) >= TB_ROUTE_ALONE;
    if (!is_repeated(w) && (!alone || tb_route_judge(&w->place) < TB_ROUTE_MERGE))
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
    if (is_root_word(w, &w->path.segments[w->place.at]) || is_repeated(w))
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
    if (is_word_place(w, s))
        return -1;
    int score = tb_route_judge(&w->place);
    return score <= 0 && is_repeated(w) ? 1 : score;
}

/* Decide one segment. */
static void choose(struct tb_route_walk *w, const struct tb_segment *s, struct tb_route_choice *c)
{
    struct tb_core *core = w->place.core;
    *c = (struct tb_route_choice){0};
    if (is_word(w, s) || is_leading_version(w, s)) {
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
