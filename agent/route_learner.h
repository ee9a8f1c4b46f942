/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the learner keeps in its section of the region: a tree of segments, the words it has seen, and trials (requests
 * to routes that have not yet answered). Format version 1. Zeroed memory is a valid, empty learner.
 *
 * Lock-free and crash-safe: things are filled before they are published by one compare-and-swap; a writer killed
 * in between leaks one node, some text or one trial, all bounded. Nodes are never freed or moved, so a node number
 * stays valid for the life of the region. Values of parameters are kept as 32-bit hashes at most, never as text.
 */
#ifndef TB_ROUTE_LEARNER_H
#define TB_ROUTE_LEARNER_H

#include "core.h"
#include "route_segment.h"

#define TB_ROUTE_FORMAT 1u
#define TB_ROUTE_DEPTH 20u         /* segments; what follows is :rest */
#define TB_ROUTE_LABEL_MAX 200u    /* bytes of a label; what follows is :rest */
#define TB_ROUTE_LIMIT 1000u       /* routes with a series of their own, per service */
#define TB_ROUTE_NODES 8192u       /* node 0 is the root */
#define TB_ROUTE_TEXT (176u << 10) /* bytes of literals */
#define TB_ROUTE_TRIALS 256u
#define TB_ROUTE_STEAL 65536u /* a trial this many claims old belongs to a dead request */

/* A segment in the tree. Written before publication, but for the fields noted as shared. */
struct tb_route_node {
    uint32_t hash;  /* of the literal's text, or of the placeholder's form and suffix */
    uint32_t text;  /* offset in the text arena: the literal, or the suffix of a placeholder */
    uint32_t label; /* shared: string reference once the route has a series, TB_STR_OTHER past the cap, 0 = none */
    uint16_t parent;
    uint16_t child;    /* shared: newest child */
    uint16_t next;     /* the child of the same parent made before this one */
    uint16_t values;   /* shared: its placeholder child without a suffix, 0 = none */
    uint16_t literals; /* shared: number of literal children */
    uint8_t text_len;
    uint8_t kind;   /* enum tb_route_kind */
    uint8_t flags;  /* shared: TB_NODE_* */
    uint8_t visits; /* shared: saturates at TB_NODE_VISITS */
    int8_t score;   /* how sure a literal was when made: the model's margin, clipped */
    uint8_t depth;
    uint8_t words; /* shared, of a placeholder: words taken as values for the first time; saturates */
    uint8_t again; /* shared, of a placeholder: words that had been seen before; saturates */
    /* shared. A literal below a placeholder: TB_VIA_*, or 16 bits of the one value that led here. A placeholder: a bit
     * for each word it has taken, chosen by the word's hash. */
    uint16_t via;
};
TB_SIZE(struct tb_route_node, 32);
#define TB_VIA_UNKNOWN 0u
#define TB_VIA_SEVERAL 1u
#define TB_NODE_ANSWERED 1u /* a request ended here with another status than 404 */
#define TB_NODE_MERGED 2u   /* turned out to be a value: lookups pass it over */
#define TB_NODE_REVIVED 4u  /* had been merged, and is a literal again: the last word on it */
#define TB_NODE_RULE 8u     /* declared by the user: has a label whatever the cap */
#define TB_KIND_WHOLE 64u   /* node kind: its text is the whole label; findable below the root, listed nowhere */
#define TB_NODE_VISITS 60u
#define TB_NODE_WORDS 250u

/* What this service has used a word for, wherever it stood. One 64-bit word: a compare-and-swap replaces it whole. */
struct tb_route_word {
    uint32_t hash;          /* 0 = free */
    uint8_t literal;        /* times that a new literal had this text */
    uint8_t value;          /* times that it was judged a value */
    uint8_t before_value;   /* times that a value followed it */
    uint8_t before_literal; /* times that a literal followed it */
};
TB_SIZE(struct tb_route_word, 8);

/* A segment of a trial that is not in the tree yet. */
struct tb_route_step {
    uint32_t hash;
    uint8_t kind;
    uint8_t text_len; /* literal text, or suffix, in the trial's text */
    int8_t score;
    uint8_t is_word; /* of a value: told by the model, not by its form */
};

/* A request to a route that the tree does not have, or that never answered. */
struct tb_route_trial {
    uint32_t stamp;  /* 0 = never used; else its claim number * 2 + 1 while in use, + 0 when decided */
    uint16_t base;   /* deepest node of the path that exists */
    uint16_t result; /* the node it became, 0 = none (then _unmatched) */
    uint16_t count;  /* steps used */
    uint16_t other;  /* decided, but there was no room */
    uint32_t before; /* hash of the literal or word that led to base, 0 = a value by form */
    struct tb_route_step steps[TB_ROUTE_DEPTH];
    uint32_t words[TB_ROUTE_DEPTH]; /* hashes of the steps' segments */
    uint8_t text[TB_ROUTE_LABEL_MAX + 8];
};
TB_SIZE(struct tb_route_trial, 464);

struct tb_route_head {
    uint32_t format;    /* 0 = not yet used */
    uint32_t epoch;     /* raised when a literal becomes a value: cached paths are looked up again */
    uint32_t nodes;     /* handed out, without the root; may run past the end */
    uint32_t text;      /* bytes handed out; may run past the end */
    uint32_t routes;    /* labels given out */
    uint32_t trials;    /* claim numbers */
    uint32_t levels;    /* bit per part of the index and of the word table that has memory */
    uint32_t styles[6]; /* of literals in the tree (route_features.h) */
    uint32_t reserved[3];
};
TB_SIZE(struct tb_route_head, 64);

/*
 * The section. What a small service needs lies in the first three pages; everything else is touched only when these
 * are full. The index and the words are tables of growing size, looked up one after the other.
 */
#define TB_LEARN_TRIALS_0 64u /* the rest of page 0 */
#define TB_LEARN_TRIALS_0_COUNT 8u
#define TB_LEARN_INDEX_0 4096u /* uint16_t[512] */
#define TB_LEARN_INDEX_0_COUNT 512u
#define TB_LEARN_WORDS_0 (4096u + 1024u) /* struct tb_route_word[128] */
#define TB_LEARN_WORDS_0_COUNT 128u
#define TB_LEARN_TEXT (4096u + 2048u)
#define TB_LEARN_NODES (192u << 10)
#define TB_LEARN_INDEX_1 (TB_LEARN_NODES + TB_ROUTE_NODES * 32u)
#define TB_LEARN_INDEX_1_COUNT 2048u
#define TB_LEARN_INDEX_2 (TB_LEARN_INDEX_1 + TB_LEARN_INDEX_1_COUNT * 2u)
#define TB_LEARN_INDEX_2_COUNT 16384u
#define TB_LEARN_WORDS_1 (TB_LEARN_INDEX_2 + TB_LEARN_INDEX_2_COUNT * 2u)
#define TB_LEARN_WORDS_1_COUNT 4096u
#define TB_LEARN_TRIALS_1 (TB_LEARN_WORDS_1 + TB_LEARN_WORDS_1_COUNT * 8u)
#define TB_LEARN_BYTES (TB_LEARN_TRIALS_1 + (TB_ROUTE_TRIALS - TB_LEARN_TRIALS_0_COUNT) * sizeof(struct tb_route_trial))
_Static_assert(TB_LEARN_TRIALS_0 + TB_LEARN_TRIALS_0_COUNT * sizeof(struct tb_route_trial) <= 4096u, "page 0");
_Static_assert(TB_LEARN_TEXT + TB_ROUTE_TEXT <= TB_LEARN_NODES, "text");
_Static_assert(TB_LEARN_NODES % TB_PAGE == 0 && TB_LEARN_INDEX_1 % TB_PAGE == 0 && TB_LEARN_INDEX_2 % TB_PAGE == 0,
               "pages");
_Static_assert(TB_LEARN_BYTES <= TB_LEN_LEARNER, "the learner is bounded");

static inline struct tb_route_head *tb_learn_head(struct tb_core *core)
{
    return (struct tb_route_head *)core->learner;
}

static inline struct tb_route_node *tb_learn_node(struct tb_core *core, uint32_t node)
{
    return (struct tb_route_node *)(core->learner + TB_LEARN_NODES) + (node & (TB_ROUTE_NODES - 1));
}

/* tb_learn_ready - the first pages have memory. Call once per request before anything else. */
bool tb_learn_ready(struct tb_core *core);

/* tb_learn_child - the child of @parent that is (@kind, @hash, @text); 0 = none. Merged ones are found too. */
uint32_t tb_learn_child(struct tb_core *core, uint32_t parent, uint8_t kind, uint32_t hash, struct tb_bytes text);

/*
 * tb_learn_add - find or make a child. @text is copied: a literal's text, or a placeholder's suffix (may be empty).
 * Returns the node, or 0 when the tree is full or a page is refused.
 */
uint32_t tb_learn_add(struct tb_core *core, uint32_t parent, const struct tb_route_step *step, struct tb_bytes text);

/* tb_learn_text - the text of a node, checked against the arena. */
struct tb_bytes tb_learn_text(struct tb_core *core, const struct tb_route_node *node);

/* tb_learn_visit - one more request through this node; a store only while the count is small. True: it is not. */
static inline bool tb_learn_visit(struct tb_route_node *node)
{
    uint8_t n = tb_load_relaxed(&node->visits);
    if (n >= TB_NODE_VISITS)
        return true;
    tb_store_relaxed(&node->visits, (uint8_t)(n + 1)); /* a lost count is harmless */
    return false;
}

/* tb_learn_via - 16 bits of a value's hash, none of the two that mean something else. */
static inline uint16_t tb_learn_via(uint32_t hash)
{
    return (uint16_t)(hash >> 16 | 2);
}

/* tb_learn_note_via - @node was reached through the word @hash that the placeholder above it took; 0 = no word. */
static inline void tb_learn_note_via(struct tb_route_node *node, uint32_t hash)
{
    uint16_t via = tb_load_relaxed(&node->via);
    if (via == TB_VIA_SEVERAL || via == tb_learn_via(hash))
        return;
    tb_store_relaxed(&node->via, via == TB_VIA_UNKNOWN && hash ? tb_learn_via(hash) : (uint16_t)TB_VIA_SEVERAL);
}

enum tb_word_use { TB_WORD_LITERAL, TB_WORD_VALUE, TB_WORD_BEFORE_VALUE, TB_WORD_BEFORE_LITERAL };

/* tb_word_get - what is known of a word; all zero when nothing. tb_word_note - one more use of it. */
struct tb_route_word tb_word_get(struct tb_core *core, uint32_t hash);
void tb_word_note(struct tb_core *core, uint32_t hash, enum tb_word_use use);

/* tb_learn_note_value - the placeholder @values took @word. A count lost between two writers is harmless. */
void tb_learn_note_value(struct tb_core *core, uint32_t values, uint32_t word);

#define TB_TRIAL_HANDLE (1u << 31) /* the bit that tells a trial's handle from a node's */

/*
 * tb_trial_claim - a free trial; *ret_handle names it (TB_TRIAL_HANDLE is set). NULL when all are in use.
 * tb_trial_find - the trial of a handle, in use or decided; NULL when another request has it by now.
 */
struct tb_route_trial *tb_trial_claim(struct tb_core *core, uint32_t *ret_handle);
struct tb_route_trial *tb_trial_find(struct tb_core *core, uint32_t handle, bool *ret_decided);
/* tb_trial_decide - store the outcome; the slot may be claimed by others from now on. */
void tb_trial_decide(struct tb_core *core, uint32_t handle, uint32_t node, bool other);

#endif
