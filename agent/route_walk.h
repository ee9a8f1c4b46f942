/* SPDX-License-Identifier: Apache-2.0 */
/* A path walked down the learner's tree: what each of its segments is taken for. Only reads, but for merging literals.
 */
#ifndef TB_ROUTE_WALK_H
#define TB_ROUTE_WALK_H

#include "route_features.h"

/* What a segment is taken for: a node that exists, or (node 0) a step that is not in the tree yet. step.is_word: judged
 * by the model, not by its form. */
struct tb_route_choice {
    uint32_t node;
    struct tb_route_step step;
};

struct tb_route_walk {
    struct tb_route_place place;
    struct tb_route_path path;
    struct tb_route_choice choices[TB_ROUTE_DEPTH];
    uint32_t count;
    uint32_t known; /* choices that are nodes */
    size_t label_len;
};

/* tb_route_choice_text - the literal, or a placeholder's suffix (may be empty); borrowed as the path is. */
static inline struct tb_bytes tb_route_choice_text(const struct tb_route_walk *w, uint32_t i)
{
    size_t len = w->choices[i].step.text_len;
    if (w->choices[i].step.kind == TB_KIND_REST) /* may have no segment */
        return tb_bytes(w->path.decoded, 0);
    struct tb_bytes segment = w->path.segments[i].text;
    return tb_bytes(segment.ptr + segment.len - len, len);
}

/* tb_route_choice_word - hash of the segment, for the table of words; 0 = none. */
static inline uint32_t tb_route_choice_word(const struct tb_route_walk *w, uint32_t i)
{
    return w->choices[i].step.kind == TB_KIND_REST ? 0 : w->path.segments[i].hash;
}

/*
 * tb_route_walk_path - decide every segment of @path. *w is 1.3 KiB on the caller's stack. Context: any thread, signal
 * handlers; no lock.
 */
void tb_route_walk_path(struct tb_core *core, struct tb_bytes path, bool is_cut, struct tb_route_walk *w);

/* tb_route_place_of_words - the placeholder of @node if it takes @text as one more value without judgement, else 0. */
uint32_t tb_route_place_of_words(struct tb_core *core, uint32_t node, uint32_t hash, struct tb_bytes text);

#endif
