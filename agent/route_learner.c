/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The learner's shared memory: finding and adding nodes of the route tree, the table of words, and trials.
 * It knows nothing of what makes a segment a literal or a value (route_model.c), nor of requests (route.c).
 *
 * Fork story: everything here is in the shared region; a child goes on where its parent was.
 */
#include "route_learner.h"
#include "region.h"

#define PROBES 8u /* slots looked at in each part of the index */
#define SETS 4u   /* words looked at in each part of the word table */

enum { PART_INDEX_0, PART_INDEX_1, PART_INDEX_2, PART_WORDS_0, PART_WORDS_1, PARTS };

static const struct {
    uint32_t offset, count, bytes;
} parts[PARTS] = {
    {TB_LEARN_INDEX_0, TB_LEARN_INDEX_0_COUNT, 2}, {TB_LEARN_INDEX_1, TB_LEARN_INDEX_1_COUNT, 2},
    {TB_LEARN_INDEX_2, TB_LEARN_INDEX_2_COUNT, 2}, {TB_LEARN_WORDS_0, TB_LEARN_WORDS_0_COUNT, 8},
    {TB_LEARN_WORDS_1, TB_LEARN_WORDS_1_COUNT, 8},
};

static bool reserve(struct tb_core *core, uint32_t offset, uint32_t len)
{
    return tb_region_reserve(core, (uint64_t)(core->learner - core->base) + offset, len);
}

bool tb_learn_ready(struct tb_core *core)
{
    if (!core->learner || !reserve(core, 0, TB_PAGE))
        return false;
    struct tb_route_head *head = tb_learn_head(core);
    if (TB_LIKELY(tb_load_acquire(&head->format) == TB_ROUTE_FORMAT))
        return true;
    if (tb_load_relaxed(&head->format) != 0 || !reserve(core, TB_PAGE, TB_PAGE) ||
        !reserve(core, TB_LEARN_NODES, TB_PAGE))
        return false;
    tb_fetch_or_relaxed(&head->levels, 1u << PART_INDEX_0 | 1u << PART_WORDS_0);
    /* release: pairs with the acquire above; the pages have memory before anyone reads them. */
    tb_store_release(&head->format, TB_ROUTE_FORMAT);
    return true;
}

/* Has this part memory? With @grow it is given some. Reading a hole of a full tmpfs would be fatal. */
static bool part_ready(struct tb_core *core, unsigned part, bool grow)
{
    struct tb_route_head *head = tb_learn_head(core);
    if (tb_load_acquire(&head->levels) >> part & 1)
        return true;
    if (!grow || !reserve(core, parts[part].offset, parts[part].count * parts[part].bytes))
        return false;
    tb_fetch_or_acquire(&head->levels, 1u << part);
    return true;
}

static uint32_t mix(uint32_t a, uint32_t b)
{
    uint64_t x = ((uint64_t)a << 32 | b) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(x >> 32) ^ (uint32_t)x;
}

struct tb_bytes tb_learn_text(struct tb_core *core, const struct tb_route_node *node)
{
    /* once each: the file's other writers may change them between the look and the use */
    uint32_t text = tb_load_relaxed(&node->text), len = tb_load_relaxed(&node->text_len);
    if (text >= TB_ROUTE_TEXT || len > TB_ROUTE_TEXT - text)
        return tb_bytes(core->learner, 0);
    return tb_bytes(core->learner + TB_LEARN_TEXT + text, len);
}

static bool is_child(struct tb_core *core, const struct tb_route_node *n, uint32_t parent, uint8_t kind, uint32_t hash,
                     struct tb_bytes text)
{
    if (n->hash != hash || n->parent != parent || n->kind != kind || n->text_len != text.len)
        return false;
    struct tb_bytes own = tb_learn_text(core, n);
    return own.len == text.len && tb_same(own.ptr, text.ptr, text.len);
}

uint32_t tb_learn_child(struct tb_core *core, uint32_t parent, uint8_t kind, uint32_t hash, struct tb_bytes text)
{
    uint32_t key = mix(hash ^ kind, parent);
    for (unsigned part = PART_INDEX_0; part <= PART_INDEX_2 && part_ready(core, part, false); part++) {
        uint16_t *slots = (uint16_t *)(core->learner + parts[part].offset);
        for (uint32_t i = 0; i < PROBES; i++) {
            /* acquire: pairs with the swap in publish(). */
            uint16_t at = tb_load_acquire(&slots[(key + i) & (parts[part].count - 1)]);
            if (!at)
                return 0;
            if (is_child(core, tb_learn_node(core, at), parent, kind, hash, text))
                return at;
        }
    }
    return 0;
}

/* Put a filled node into the index. Returns it, or the equal node that another writer published first; 0 = full. */
static uint32_t publish(struct tb_core *core, uint32_t node)
{
    struct tb_route_node *n = tb_learn_node(core, node);
    struct tb_bytes text = tb_learn_text(core, n);
    uint32_t key = mix(n->hash ^ n->kind, n->parent);
    for (unsigned part = PART_INDEX_0; part <= PART_INDEX_2 && part_ready(core, part, true); part++) {
        uint16_t *slots = (uint16_t *)(core->learner + parts[part].offset);
        for (uint32_t i = 0; i < PROBES; i++) {
            uint16_t *slot = &slots[(key + i) & (parts[part].count - 1)];
            uint16_t at = 0;
            if (tb_cas_acq_rel(slot, &at, (uint16_t)node))
                return node;
            if (is_child(core, tb_learn_node(core, at), n->parent, n->kind, n->hash, text))
                return at;
        }
    }
    return 0;
}

/* Bytes of the text arena for a copy of @text; UINT32_MAX when it is full. */
static uint32_t keep_text(struct tb_core *core, struct tb_bytes text)
{
    if (!text.len)
        return 0;
    struct tb_route_head *head = tb_learn_head(core);
    if (tb_load_relaxed(&head->text) > TB_ROUTE_TEXT - TB_ROUTE_LABEL_MAX)
        return UINT32_MAX;
    uint32_t at = tb_fetch_add_relaxed(&head->text, (uint32_t)text.len);
    if (at > TB_ROUTE_TEXT - text.len || !reserve(core, TB_LEARN_TEXT + at, (uint32_t)text.len))
        return UINT32_MAX;
    tb_copy(core->learner + TB_LEARN_TEXT + at, text.ptr, text.len);
    return at;
}

/* Chain a published node to its parent; a writer killed before this leaves it findable but not listed. */
static void chain(struct tb_core *core, uint32_t node)
{
    struct tb_route_node *n = tb_learn_node(core, node), *p = tb_learn_node(core, n->parent);
    uint16_t first = tb_load_acquire(&p->child);
    do {
        tb_store_relaxed(&n->next, first);
    } while (!tb_cas_acq_rel(&p->child, &first, (uint16_t)node));
    if (n->kind == TB_KIND_LITERAL) {
        tb_add_relaxed(&p->literals, 1);
    } else if (!n->text_len && n->kind != TB_KIND_REST) {
        uint16_t none = 0;
        (void)tb_cas_acq_rel(&p->values, &none, (uint16_t)node);
    }
}

uint32_t tb_learn_add(struct tb_core *core, uint32_t parent, const struct tb_route_step *step, struct tb_bytes text)
{
    uint32_t at = tb_learn_child(core, parent, step->kind, step->hash, text);
    if (at)
        return at;
    struct tb_route_head *head = tb_learn_head(core);
    if (tb_load_relaxed(&head->nodes) >= TB_ROUTE_NODES - 1)
        return 0;
    uint32_t copy = keep_text(core, text);
    if (copy == UINT32_MAX)
        return 0;
    uint32_t node = tb_fetch_add_relaxed(&head->nodes, 1) + 1;
    if (node >= TB_ROUTE_NODES || !reserve(core, TB_LEARN_NODES + node * 32u, 32u))
        return 0;
    struct tb_route_node *n = tb_learn_node(core, node);
    n->hash = step->hash;
    n->text = copy;
    n->text_len = (uint8_t)text.len;
    n->parent = (uint16_t)parent;
    n->kind = step->kind;
    n->score = step->score;
    n->depth = (uint8_t)(tb_learn_node(core, parent)->depth + 1);
    at = publish(core, node);
    if (at == node && step->kind != TB_KIND_WHOLE)
        chain(core, node);
    return at;
}

/* The slot of a word in one part, or the one to replace when @claim (free, else the least used). */
static uint64_t *word_slot(struct tb_core *core, unsigned part, uint32_t hash, bool claim)
{
    uint64_t *words = (uint64_t *)(core->learner + parts[part].offset);
    uint64_t *best = NULL;
    unsigned best_uses = ~0u;
    for (uint32_t i = 0; i < SETS; i++) {
        uint64_t *slot = &words[(hash + i) & (parts[part].count - 1)];
        uint64_t word = tb_load_relaxed(slot);
        if ((uint32_t)word == hash)
            return slot;
        unsigned uses = word ? 1 + (unsigned)(word >> 32 & 255) * 4 + (unsigned)(word >> 48 & 255) : 0;
        if (uses < best_uses) {
            best_uses = uses;
            best = slot;
        }
    }
    return claim && (best_uses == 0 || part == PART_WORDS_1) ? best : NULL;
}

struct tb_route_word tb_word_get(struct tb_core *core, uint32_t hash)
{
    for (unsigned part = PART_WORDS_0; part <= PART_WORDS_1 && part_ready(core, part, false); part++) {
        uint64_t *slot = word_slot(core, part, hash, false);
        union {
            uint64_t bits;
            struct tb_route_word word;
        } u = {.bits = slot ? tb_load_relaxed(slot) : 0};
        if (slot && u.word.hash == hash)
            return u.word;
    }
    return (struct tb_route_word){0};
}

void tb_word_note(struct tb_core *core, uint32_t hash, enum tb_word_use use)
{
    uint64_t *slot = NULL;
    for (unsigned part = PART_WORDS_0; part <= PART_WORDS_1 && !slot && part_ready(core, part, false); part++)
        slot = word_slot(core, part, hash, false);
    for (unsigned part = PART_WORDS_0; part <= PART_WORDS_1 && !slot && part_ready(core, part, true); part++)
        slot = word_slot(core, part, hash, true);
    if (!slot)
        return;
    union {
        uint64_t bits;
        struct {
            uint32_t hash;
            uint8_t uses[4];
        } w;
    } u;
    uint64_t old = tb_load_relaxed(slot);
    u.bits = old;
    if (u.w.hash != hash) {
        u.bits = 0;
        u.w.hash = hash;
    }
    if (u.w.uses[use] == 255)
        return;
    u.w.uses[use]++;
    (void)tb_cas_relaxed(slot, &old, u.bits); /* lost to another writer: harmless */
}

void tb_learn_note_value(struct tb_core *core, uint32_t values, uint32_t word)
{
    struct tb_route_node *n = tb_learn_node(core, values);
    if (tb_load_relaxed(&n->words) == TB_NODE_WORDS)
        return; /* it is known well enough: busy places are only read */
    uint8_t *count = tb_word_get(core, word).value ? &n->again : &n->words;
    uint8_t so_far = tb_load_relaxed(count);
    if (so_far < TB_NODE_WORDS)
        tb_store_relaxed(count, (uint8_t)(so_far + 1));
    tb_word_note(core, word, TB_WORD_VALUE);
    uint16_t bit = (uint16_t)(1u << (word >> 28)), sketch = tb_load_relaxed(&n->via);
    if (!(sketch & bit))
        tb_store_relaxed(&n->via, (uint16_t)(sketch | bit));
}

#define TRIAL_BYTES ((uint32_t)sizeof(struct tb_route_trial))

static struct tb_route_trial *trial_at(struct tb_core *core, uint32_t slot)
{
    return slot < TB_LEARN_TRIALS_0_COUNT
               ? (struct tb_route_trial *)(core->learner + TB_LEARN_TRIALS_0) + slot
               : (struct tb_route_trial *)(core->learner + TB_LEARN_TRIALS_1) + (slot - TB_LEARN_TRIALS_0_COUNT);
}

#define TRIAL_BITS 22u
#define TRIAL_MASK ((1u << TRIAL_BITS) - 1)

/* Is the request of a trial in use so old that it must be dead? One with a later number is younger: it was faster. */
static bool is_dead(uint32_t number, uint32_t stamp)
{
    uint32_t age = (number - (stamp >> 1)) & TRIAL_MASK;
    return age >= TB_ROUTE_STEAL && age <= TRIAL_MASK / 2;
}

struct tb_route_trial *tb_trial_claim(struct tb_core *core, uint32_t *ret_handle)
{
    struct tb_route_head *head = tb_learn_head(core);
    uint32_t number = tb_fetch_add_relaxed(&head->trials, 1) & TRIAL_MASK;
    for (uint32_t slot = 0; slot < TB_ROUTE_TRIALS; slot++) {
        if (slot >= TB_LEARN_TRIALS_0_COUNT &&
            !reserve(core, TB_LEARN_TRIALS_1 + (slot - TB_LEARN_TRIALS_0_COUNT) * TRIAL_BYTES, TRIAL_BYTES))
            return NULL;
        struct tb_route_trial *t = trial_at(core, slot);
        uint32_t stamp = tb_load_relaxed(&t->stamp);
        if (stamp & 1 && !is_dead(number, stamp))
            continue;
        if (tb_cas_acq_rel(&t->stamp, &stamp, number << 1 | 1)) {
            *ret_handle = TB_TRIAL_HANDLE | slot << TRIAL_BITS | number;
            return t;
        }
    }
    return NULL;
}

struct tb_route_trial *tb_trial_find(struct tb_core *core, uint32_t handle, bool *ret_decided)
{
    uint32_t slot = handle >> TRIAL_BITS & (TB_ROUTE_TRIALS - 1);
    if (slot >= TB_LEARN_TRIALS_0_COUNT &&
        !reserve(core, TB_LEARN_TRIALS_1 + (slot - TB_LEARN_TRIALS_0_COUNT) * TRIAL_BYTES, TRIAL_BYTES))
        return NULL;
    struct tb_route_trial *t = trial_at(core, slot);
    uint32_t stamp = tb_load_acquire(&t->stamp);
    if (stamp >> 1 != (handle & TRIAL_MASK))
        return NULL;
    *ret_decided = !(stamp & 1);
    return t;
}

void tb_trial_decide(struct tb_core *core, uint32_t handle, uint32_t node, bool other)
{
    bool decided = false;
    struct tb_route_trial *t = tb_trial_find(core, handle, &decided);
    if (!t || decided)
        return;
    t->result = (uint16_t)node;
    t->other = other;
    tb_zero(t->text, sizeof t->text); /* words of a path that led nowhere are not kept */
    uint32_t stamp = (handle & TRIAL_MASK) << 1 | 1;
    /* release: the result is read by whoever ends the same exchange again. */
    (void)tb_cas_acq_rel(&t->stamp, &stamp, stamp & ~1u);
}
