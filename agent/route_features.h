/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of one segment in its place, as small integers: the input of the model. The order is that of the
 * model's table (route_model.def): append only, or train anew.
 */
#ifndef TB_ROUTE_FEATURES_H
#define TB_ROUTE_FEATURES_H

#include "route_path.h"

/* FEATURE(id): each one byte. */
#define TB_ROUTE_FEATURES(FEATURE)                                                                                     \
    FEATURE(WHOLE)    /* how common the whole segment is in APIs, 0..7 (route_words.h) */                              \
    FEATURE(PART_MIN) /* the rarest and the commonest of its words, 0..7 */                                            \
    FEATURE(PART_MAX)                                                                                                  \
    FEATURE(PART_LAST)                                                                                                 \
    FEATURE(PARTS)   /* words */                                                                                       \
    FEATURE(UNKNOWN) /* words that no API in the list has */                                                           \
    FEATURE(LENGTH)                                                                                                    \
    FEATURE(DIGITS)                                                                                                    \
    FEATURE(UPPERS)                                                                                                    \
    FEATURE(UPPER_FIRST)                                                                                               \
    FEATURE(CAMEL)                                                                                                     \
    FEATURE(DASHES)                                                                                                    \
    FEATURE(UNDERSCORES)                                                                                               \
    FEATURE(DOTS)                                                                                                      \
    FEATURE(OTHER_MARKS)                                                                                               \
    FEATURE(MARK_FIRST)                                                                                                \
    FEATURE(SUFFIX)                                                                                                    \
    FEATURE(VERSION)                                                                                                   \
    FEATURE(PLURAL)                                                                                                    \
    FEATURE(FOLLOW) /* of itself: how often a value follows it in APIs, 0 = unknown, 1..7 */                           \
    FEATURE(DEPTH)                                                                                                     \
    FEATURE(LEFT)   /* segments after it */                                                                            \
    FEATURE(PARENT) /* kind, with versions apart */                                                                    \
    FEATURE(PARENT_FOLLOW)                                                                                             \
    FEATURE(PARENT_WHOLE)                                                                                              \
    FEATURE(PARENT_PART)                                                                                               \
    FEATURE(PARENT_PLURAL)                                                                                             \
    FEATURE(GRAND)                                                                                                     \
    FEATURE(GRAND_FOLLOW)                                                                                              \
    FEATURE(NEXT) /* 0 end, 1 word, 2 value by form, 3 version, 4 rest */                                              \
    FEATURE(NEXT_WHOLE)                                                                                                \
    FEATURE(NEXT_PART)                                                                                                 \
    FEATURE(NEXT_FOLLOW)                                                                                               \
    FEATURE(NEXT_TWO)                                                                                                  \
    FEATURE(WORD_LITERAL) /* in this service: times made a literal, judged a value, followed by one */                 \
    FEATURE(WORD_VALUE)                                                                                                \
    FEATURE(PARENT_BEFORE_VALUE)                                                                                       \
    FEATURE(PARENT_BEFORE_LITERAL)                                                                                     \
    FEATURE(NEXT_LITERAL)                                                                                              \
    FEATURE(NEXT_VALUE)                                                                                                \
    FEATURE(WORD_BEFORE_VALUE)                                                                                         \
    FEATURE(WORD_BEFORE_LITERAL)                                                                                       \
    FEATURE(IN_TREE) /* the parent is in the tree; the next ones are 0 otherwise */                                    \
    FEATURE(NODE_VISITS)                                                                                               \
    FEATURE(SIBLINGS) /* literal children of the parent */                                                             \
    FEATURE(SINGLES)  /* of the newest 12 siblings: seen once, with the same next, ended like this one */              \
    FEATURE(SAME_NEXT)                                                                                                 \
    FEATURE(SAME_END)                                                                                                  \
    FEATURE(VALUES)     /* visits of the parent's placeholder child + 1, 0 = none */                                   \
    FEATURE(VALUES_FIT) /* what follows fits below that: 0 no, 1 not known, 2 yes */                                   \
    FEATURE(VALUES_CHILDREN)                                                                                           \
    FEATURE(STYLE_DASH) /* this service's literals with such a mark, in sixteenths */                                  \
    FEATURE(STYLE_UNDERSCORE)                                                                                          \
    FEATURE(STYLE_CAMEL)                                                                                               \
    FEATURE(STYLE_UPPER)                                                                                               \
    FEATURE(STYLE_DOT)                                                                                                 \
    FEATURE(VOWELS) /* longest run of consonants */                                                                    \
    FEATURE(NEXT_UNKNOWN)                                                                                              \
    FEATURE(TWO_WHOLE) /* the segment after the next */                                                                \
    FEATURE(TWO_PART)                                                                                                  \
    FEATURE(AGE)         /* nodes in the tree, log2 */                                                                 \
    FEATURE(UNSURE)      /* of the newest siblings: made literals with little margin */                                \
    FEATURE(SELF_VISITS) /* it is a literal of the tree already: its visits, 0 = it is not */                          \
    FEATURE(SELF_CHILDREN)                                                                                             \
    FEATURE(SELF_FIT)                                                                                                  \
    FEATURE(SELF_SCORE)  /* the margin it was made with, 0 low .. 7 high */                                            \
    FEATURE(SELF_SHARED) /* of its newest children: those that the placeholder beside it has too, or has not */        \
    FEATURE(SELF_ALONE)                                                                                                \
    FEATURE(SELF_VALUES)  /* it has a placeholder child */                                                             \
    FEATURE(VALUES_KIND)  /* of the placeholder beside it: enum tb_route_kind */                                       \
    FEATURE(VALUES_WORDS) /* how many of its values were words, new ones and others */                                 \
    FEATURE(VALUES_AGAIN)                                                                                              \
    FEATURE(ONLY)          /* what follows, below that placeholder: 0 not there, 1 several values have led there */    \
    FEATURE(VALUES_SHARED) /* .. 2 + visits: only this word has. Of its newest children: led to by several, by one */  \
    FEATURE(VALUES_ALONE)                                                                                              \
    FEATURE(SIB_HEAD) /* of the newest 12 siblings: that begin like this one, that are compounds */                    \
    FEATURE(SIB_COMPOUND)

enum tb_route_feature {
#define FEATURE(id) TB_F_##id,
    TB_ROUTE_FEATURES(FEATURE)
#undef FEATURE
        TB_F_COUNT
};

/* Where a segment stands while a path is walked. */
struct tb_route_place {
    struct tb_core *core;
    const struct tb_route_path *path;
    uint32_t at;                   /* index of the segment in path */
    uint32_t node;                 /* the deepest node of what precedes it */
    uint32_t self;                 /* the literal child of @node that it is already, 0 = none */
    bool detached;                 /* its parent is not in the tree */
    uint8_t kinds[TB_ROUTE_DEPTH]; /* of the segments before this one */
};

/* tb_route_features - look at segment @place->at. Bounded: at most 12 siblings, 6 words a segment. */
void tb_route_features(const struct tb_route_place *place, uint8_t ret[TB_F_COUNT]);

/*
 * tb_route_only_this_leads - what follows segment @at exists as a literal below the placeholder @values, and so far
 * only this word has led there: its visits, 0 = no.
 */
uint8_t tb_route_only_this_leads(struct tb_core *core, const struct tb_route_path *path, uint32_t at, uint32_t values);

/* tb_route_is_common - the list of API words has this whole segment. */
bool tb_route_is_common(struct tb_bytes segment);

/* The styles of literals that are counted in the learner's head. */
enum tb_route_style { TB_STYLE_ALL, TB_STYLE_DASH, TB_STYLE_UNDERSCORE, TB_STYLE_CAMEL, TB_STYLE_UPPER, TB_STYLE_DOT };

/* tb_route_style_note - a literal has been added to the tree. */
void tb_route_style_note(struct tb_core *core, struct tb_bytes literal);

#endif
