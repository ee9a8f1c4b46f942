/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The features of a segment in its place: its words against a list of words that APIs use, what stands before
 * and after it, and what this service has shown so far (siblings, the placeholder beside it, the use of the same word
 * elsewhere, the style of its literals). Entry point: tb_route_features.
 */
#include "route_features.h"
#include "route_words.h"

#define SIBLINGS_MAX 12u

/* --- words -----------------------------------------------------------------------------------------------------------
 */

/* What the list says of a word: 0..7 each. */
struct lexeme {
    uint8_t whole, part, follow;
};

static struct lexeme lookup(struct tb_bytes word)
{
    uint8_t low[40];
    if (word.len > sizeof low || word.len < 1)
        return (struct lexeme){0};
    for (size_t i = 0; i < word.len; i++)
        low[i] = tb_lower(word.ptr[i]);
    uint32_t h = tb_segment_hash(tb_bytes(low, word.len));
    for (uint32_t i = h; words[i & (TB_WORDS - 1)]; i++) {
        uint32_t e = words[i & (TB_WORDS - 1)];
        if (e >> 9 == h >> 9)
            return (struct lexeme){(uint8_t)(e >> 6 & 7), (uint8_t)(e >> 3 & 7), (uint8_t)(e & 7)};
    }
    return (struct lexeme){0};
}

bool tb_route_is_common(struct tb_bytes segment)
{
    return lookup(segment).whole > 0;
}

static bool is_letter(uint8_t c)
{
    return (uint8_t)((c | 0x20) - 'a') < 26;
}

static bool is_upper(uint8_t c)
{
    return (uint8_t)(c - 'A') < 26;
}

/* The next word of a compound (letters only; camelCase is cut). Returns false at the end. */
static bool next_word(struct tb_bytes t, size_t *at, struct tb_bytes *ret)
{
    size_t i = *at;
    while (i < t.len && !is_letter(t.ptr[i]))
        i++;
    size_t from = i;
    while (i < t.len && is_letter(t.ptr[i])) {
        bool upper = is_upper(t.ptr[i]);
        bool next_lower = i + 1 < t.len && is_letter(t.ptr[i + 1]) && !is_upper(t.ptr[i + 1]);
        if (i > from && upper && (!is_upper(t.ptr[i - 1]) || next_lower))
            break;
        i++;
    }
    *at = i;
    *ret = tb_bytes(t.ptr + from, i - from);
    return i > from;
}

/* Everything that is known of a segment without its place. */
struct look {
    struct lexeme whole;
    uint8_t min, max, last, parts, unknown, follow;
};

static struct look look_at(struct tb_bytes t)
{
    struct look k = {.whole = lookup(t), .min = 7};
    struct tb_bytes word;
    size_t at = 0;
    while (k.parts < TB_SEGMENT_PARTS && next_word(t, &at, &word)) {
        struct lexeme x = word.len == t.len ? k.whole : lookup(word);
        k.parts++;
        k.unknown = (uint8_t)(k.unknown + (x.part == 0 && word.len > 1));
        k.min = x.part < k.min ? x.part : k.min;
        k.max = x.part > k.max ? x.part : k.max;
        k.last = x.part;
        k.follow = x.follow;
    }
    if (!k.parts)
        k.min = 0;
    if (k.whole.follow)
        k.follow = k.whole.follow;
    return k;
}

static uint8_t clip(uint32_t n, uint32_t max)
{
    return (uint8_t)(n > max ? max : n);
}

static bool is_plural(struct tb_bytes t)
{
    return t.len > 3 && (t.ptr[t.len - 1] | 0x20) == 's' && (t.ptr[t.len - 2] | 0x20) != 's';
}

static uint8_t consonants(struct tb_bytes t)
{
    unsigned run = 0, longest = 0;
    for (size_t i = 0; i < t.len; i++) {
        uint8_t c = tb_lower(t.ptr[i]);
        bool vowel = c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u' || c == 'y';
        run = is_letter(c) && !vowel ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    return clip(longest, 12);
}

/* --- style -----------------------------------------------------------------------------------------------------------
 */

static uint32_t style_of(struct tb_bytes t)
{
    uint32_t bits = 1u << TB_STYLE_ALL;
    for (size_t i = 0; i < t.len; i++) {
        uint8_t c = t.ptr[i];
        if (c == '-')
            bits |= 1u << TB_STYLE_DASH;
        else if (c == '_')
            bits |= 1u << TB_STYLE_UNDERSCORE;
        else if (c == '.')
            bits |= 1u << TB_STYLE_DOT;
        else if (is_upper(c))
            bits |= 1u << (i && is_letter(t.ptr[i - 1]) && !is_upper(t.ptr[i - 1]) ? TB_STYLE_CAMEL : TB_STYLE_UPPER);
    }
    return bits;
}

void tb_route_style_note(struct tb_core *core, struct tb_bytes literal)
{
    struct tb_route_head *head = tb_learn_head(core);
    uint32_t bits = style_of(literal);
    for (unsigned i = 0; i <= TB_STYLE_DOT; i++)
        if (bits >> i & 1)
            tb_add_relaxed(&head->styles[i], 1);
}

static uint8_t style_share(const struct tb_route_head *head, enum tb_route_style style)
{
    uint32_t all = tb_load_relaxed(&head->styles[TB_STYLE_ALL]);
    return clip(tb_load_relaxed(&head->styles[style]) * 16u / (all + 4u), 16);
}

/* --- the groups of features ------------------------------------------------------------------------------------------
 */

static void of_itself(const struct tb_segment *s, uint8_t *f)
{
    struct look k = look_at(s->text);
    uint32_t style = style_of(s->text);
    f[TB_F_WHOLE] = k.whole.whole;
    f[TB_F_PART_MIN] = k.min;
    f[TB_F_PART_MAX] = k.max;
    f[TB_F_PART_LAST] = k.last;
    f[TB_F_PARTS] = k.parts;
    f[TB_F_UNKNOWN] = k.unknown;
    f[TB_F_FOLLOW] = k.follow;
    f[TB_F_LENGTH] = clip((uint32_t)s->text.len, 40);
    f[TB_F_DIGITS] = clip(s->digits, 12);
    f[TB_F_UPPERS] = clip(s->uppers, 12);
    f[TB_F_UPPER_FIRST] = s->text.len && is_upper(s->text.ptr[0]);
    f[TB_F_CAMEL] = style >> TB_STYLE_CAMEL & 1;
    uint32_t others = 0;
    for (size_t i = 0; i < s->text.len; i++) {
        uint8_t c = s->text.ptr[i];
        f[TB_F_DASHES] = (uint8_t)(f[TB_F_DASHES] + (c == '-'));
        f[TB_F_UNDERSCORES] = (uint8_t)(f[TB_F_UNDERSCORES] + (c == '_'));
        f[TB_F_DOTS] = (uint8_t)(f[TB_F_DOTS] + (c == '.'));
        others += !is_letter(c) && (uint8_t)(c - '0') > 9 && c != '-' && c != '_' && c != '.';
    }
    f[TB_F_OTHER_MARKS] = clip(others, 8);
    f[TB_F_MARK_FIRST] = s->text.len && !is_letter(s->text.ptr[0]) && (uint8_t)(s->text.ptr[0] - '0') > 9;
    f[TB_F_SUFFIX] = s->suffix > 0;
    f[TB_F_VERSION] = s->is_version;
    f[TB_F_PLURAL] = is_plural(s->text);
    f[TB_F_VOWELS] = consonants(s->text);
}

/* 0 none, 1 a literal, 2 a version, 3.. the placeholder's kind */
static uint8_t kind_before(const struct tb_route_place *p, uint32_t back)
{
    if (p->at < back)
        return 0;
    uint8_t kind = p->kinds[p->at - back];
    return kind == TB_KIND_LITERAL ? (p->path->segments[p->at - back].is_version ? 2 : 1) : (uint8_t)(2 + kind);
}

static void of_neighbours(const struct tb_route_place *p, uint8_t *f)
{
    const struct tb_route_path *path = p->path;
    f[TB_F_DEPTH] = clip(p->at, 12);
    f[TB_F_LEFT] = clip(path->count - p->at - 1, 12);
    f[TB_F_PARENT] = kind_before(p, 1);
    f[TB_F_GRAND] = kind_before(p, 2);
    if (f[TB_F_PARENT] == 1) {
        struct tb_bytes t = path->segments[p->at - 1].text;
        struct look k = look_at(t);
        f[TB_F_PARENT_FOLLOW] = k.follow;
        f[TB_F_PARENT_WHOLE] = k.whole.whole;
        f[TB_F_PARENT_PART] = k.last;
        f[TB_F_PARENT_PLURAL] = is_plural(t);
    }
    if (f[TB_F_GRAND] == 1)
        f[TB_F_GRAND_FOLLOW] = look_at(path->segments[p->at - 2].text).follow;
    f[TB_F_NEXT] = path->has_rest ? 4 : 0;
    if (p->at + 1 < path->count) {
        const struct tb_segment *n = &path->segments[p->at + 1];
        struct look k = look_at(n->text);
        f[TB_F_NEXT] = n->is_version ? 3 : n->is_value ? 2 : 1;
        f[TB_F_NEXT_WHOLE] = k.whole.whole;
        f[TB_F_NEXT_PART] = k.min;
        f[TB_F_NEXT_UNKNOWN] = k.unknown;
        f[TB_F_NEXT_FOLLOW] = k.follow;
    }
    if (p->at + 2 < path->count) {
        const struct tb_segment *n = &path->segments[p->at + 2];
        struct look k = look_at(n->text);
        f[TB_F_NEXT_TWO] = n->is_version ? 3 : n->is_value ? 2 : 1;
        f[TB_F_TWO_WHOLE] = k.whole.whole;
        f[TB_F_TWO_PART] = k.min;
    }
}

static void of_words(const struct tb_route_place *p, uint8_t *f)
{
    struct tb_route_word w = tb_word_get(p->core, p->path->segments[p->at].hash);
    f[TB_F_WORD_LITERAL] = clip(w.literal, 8);
    f[TB_F_WORD_VALUE] = clip(w.value, 24);
    f[TB_F_WORD_BEFORE_VALUE] = clip(w.before_value, 8);
    f[TB_F_WORD_BEFORE_LITERAL] = clip(w.before_literal, 8);
    if (p->at && p->kinds[p->at - 1] == TB_KIND_LITERAL) {
        w = tb_word_get(p->core, p->path->segments[p->at - 1].hash);
        f[TB_F_PARENT_BEFORE_VALUE] = clip(w.before_value, 16);
        f[TB_F_PARENT_BEFORE_LITERAL] = clip(w.before_literal, 16);
    }
    if (p->at + 1 < p->path->count) {
        w = tb_word_get(p->core, p->path->segments[p->at + 1].hash);
        f[TB_F_NEXT_LITERAL] = clip(w.literal, 8);
        f[TB_F_NEXT_VALUE] = clip(w.value, 8);
    }
}

/* How alike are the subtrees of a literal and of the placeholder beside it? Looks at the newest children. */
static void of_self(const struct tb_route_place *p, uint32_t values, uint8_t *f)
{
    const struct tb_route_node *s = tb_learn_node(p->core, p->self);
    f[TB_F_SELF_VISITS] = tb_load_relaxed(&s->visits);
    f[TB_F_SELF_CHILDREN] = clip(tb_load_relaxed(&s->literals), 20);
    f[TB_F_SELF_SCORE] = (uint8_t)(s->score < 0 ? 0 : s->score / 16);
    f[TB_F_SELF_VALUES] = tb_load_acquire(&s->values) != 0;
    uint32_t at = tb_load_acquire(&s->child);
    for (unsigned i = 0; at && i < SIBLINGS_MAX; i++) {
        const struct tb_route_node *c = tb_learn_node(p->core, at);
        if (c->kind == TB_KIND_LITERAL) {
            bool shared = values && tb_learn_child(p->core, values, c->kind, c->hash, tb_learn_text(p->core, c));
            uint8_t *n = &f[shared ? TB_F_SELF_SHARED : TB_F_SELF_ALONE];
            *n = (uint8_t)(*n + 1);
        }
        at = tb_load_acquire(&c->next);
    }
}

/* The literal that follows segment @at below @node, 0 = none. */
static uint32_t next_below(struct tb_core *core, const struct tb_route_path *path, uint32_t at, uint32_t node)
{
    if (at + 1 >= path->count || path->segments[at + 1].is_value)
        return 0;
    const struct tb_segment *next = &path->segments[at + 1];
    return tb_learn_child(core, node, TB_KIND_LITERAL, next->hash, next->text);
}

uint8_t tb_route_only_this_leads(struct tb_core *core, const struct tb_route_path *path, uint32_t at, uint32_t values)
{
    uint32_t next = next_below(core, path, at, values);
    if (!next)
        return 0;
    const struct tb_route_node *n = tb_learn_node(core, next);
    return tb_load_relaxed(&n->via) == tb_learn_via(path->segments[at].hash) ? tb_load_relaxed(&n->visits) : 0;
}

/* How the placeholder's children are reached: by all its values, or each by one that may be a literal after all? */
static void of_values(const struct tb_route_place *p, uint32_t values, uint8_t *f)
{
    uint32_t next = next_below(p->core, p->path, p->at, values);
    if (next)
        f[TB_F_ONLY] = 1;
    uint8_t visits = tb_route_only_this_leads(p->core, p->path, p->at, values);
    if (visits)
        f[TB_F_ONLY] = (uint8_t)(2 + clip(visits, 12));
    uint32_t at = tb_load_acquire(&tb_learn_node(p->core, values)->child);
    for (unsigned i = 0; at && i < SIBLINGS_MAX; i++) {
        const struct tb_route_node *c = tb_learn_node(p->core, at);
        uint16_t via = c->kind == TB_KIND_LITERAL ? tb_load_relaxed(&c->via) : TB_VIA_UNKNOWN;
        if (via == TB_VIA_SEVERAL)
            f[TB_F_VALUES_SHARED]++;
        else if (via != TB_VIA_UNKNOWN && tb_load_relaxed(&c->visits) > 2)
            f[TB_F_VALUES_ALONE]++;
        at = tb_load_acquire(&c->next);
    }
}

/* Is a compound, and begins like @like: the first four bytes. */
static void note_sibling(struct tb_bytes sibling, struct tb_bytes like, uint8_t *f)
{
    bool compound = false;
    for (size_t i = 1; i < sibling.len; i++)
        compound = compound || sibling.ptr[i] == '-' || sibling.ptr[i] == '_' ||
                   (is_upper(sibling.ptr[i]) && !is_upper(sibling.ptr[i - 1]));
    f[TB_F_SIB_COMPOUND] = (uint8_t)(f[TB_F_SIB_COMPOUND] + compound);
    if (sibling.len >= 4 && like.len >= 4 && tb_same(sibling.ptr, like.ptr, 4))
        f[TB_F_SIB_HEAD]++;
}

/* Does what follows this segment exist below @node? 0 no, 1 cannot tell, 2 yes. */
static uint8_t fits_below(const struct tb_route_place *p, uint32_t node)
{
    const struct tb_route_node *n = tb_learn_node(p->core, node);
    if (p->at + 1 >= p->path->count)
        return tb_load_relaxed(&n->flags) & TB_NODE_ANSWERED ? 2 : 0;
    const struct tb_segment *next = &p->path->segments[p->at + 1];
    if (!next->is_value && tb_learn_child(p->core, node, TB_KIND_LITERAL, next->hash, next->text))
        return 2;
    return tb_load_acquire(&n->values) ? (next->is_value ? 2 : 1) : 0;
}

static void of_tree(const struct tb_route_place *p, uint8_t *f)
{
    if (p->detached)
        return;
    const struct tb_route_node *n = tb_learn_node(p->core, p->node);
    f[TB_F_IN_TREE] = 1;
    f[TB_F_NODE_VISITS] = tb_load_relaxed(&n->visits);
    f[TB_F_SIBLINGS] = clip(tb_load_relaxed(&n->literals), 100);
    uint32_t values = tb_load_acquire(&n->values);
    if (values) {
        const struct tb_route_node *v = tb_learn_node(p->core, values);
        f[TB_F_VALUES] = (uint8_t)(1 + tb_load_relaxed(&v->visits));
        f[TB_F_VALUES_KIND] = v->kind;
        f[TB_F_VALUES_WORDS] = clip(tb_load_relaxed(&v->words), 60);
        f[TB_F_VALUES_AGAIN] = clip(tb_load_relaxed(&v->again), 120);
        f[TB_F_VALUES_FIT] = fits_below(p, values);
        f[TB_F_VALUES_CHILDREN] = clip(tb_load_relaxed(&v->literals), 20);
        of_values(p, values, f);
    }
    if (p->self) {
        of_self(p, values, f);
        f[TB_F_SELF_FIT] = fits_below(p, p->self);
    }
    uint32_t at = tb_load_acquire(&n->child);
    for (unsigned i = 0; at && i < SIBLINGS_MAX; i++) {
        const struct tb_route_node *s = tb_learn_node(p->core, at);
        if (s->kind == TB_KIND_LITERAL && at != p->self && !(tb_load_relaxed(&s->flags) & TB_NODE_MERGED)) {
            uint8_t fit = fits_below(p, at);
            f[TB_F_UNSURE] = (uint8_t)(f[TB_F_UNSURE] + (s->score < 48));
            note_sibling(tb_learn_text(p->core, s), p->path->segments[p->at].text, f);
            f[TB_F_SINGLES] = (uint8_t)(f[TB_F_SINGLES] + (tb_load_relaxed(&s->visits) <= 1));
            if (p->at + 1 < p->path->count)
                f[TB_F_SAME_NEXT] = (uint8_t)(f[TB_F_SAME_NEXT] + (fit == 2));
            else
                f[TB_F_SAME_END] = (uint8_t)(f[TB_F_SAME_END] + (fit == 2));
        }
        at = tb_load_acquire(&s->next);
    }
}

void tb_route_features(const struct tb_route_place *place, uint8_t ret[TB_F_COUNT])
{
    const struct tb_route_head *head = tb_learn_head(place->core);
    tb_zero(ret, TB_F_COUNT);
    of_itself(&place->path->segments[place->at], ret);
    of_neighbours(place, ret);
    of_words(place, ret);
    of_tree(place, ret);
    uint32_t nodes = tb_load_relaxed(&head->nodes);
    while (nodes >>= 1)
        ret[TB_F_AGE]++;
    ret[TB_F_STYLE_DASH] = style_share(head, TB_STYLE_DASH);
    ret[TB_F_STYLE_UNDERSCORE] = style_share(head, TB_STYLE_UNDERSCORE);
    ret[TB_F_STYLE_CAMEL] = style_share(head, TB_STYLE_CAMEL);
    ret[TB_F_STYLE_UPPER] = style_share(head, TB_STYLE_UPPER);
    ret[TB_F_STYLE_DOT] = style_share(head, TB_STYLE_DOT);
}
