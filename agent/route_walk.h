/* SPDX-License-Identifier: Apache-2.0 */
/* A path walked down the learner's tree: what each of its segments is taken for. Only reads, but for merging literals.
 */
#ifndef TB_ROUTE_WALK_H
#define TB_ROUTE_WALK_H

#include "route_features.h"

/* What a segment is taken for: a node that exists, or a step that is not in the tree yet. */
struct tb_route_choice {
    uint32_t node;
    struct tb_route_step step;
    struct tb_bytes text; /* literal, or a placeholder's suffix */
    uint32_t word;        /* hash of the segment, for the table of words; 0 = none */
    bool is_word;         /* judged by the model, not by its form */
};

struct tb_route_walk {
    struct tb_route_place place;
    struct tb_route_path path;
    struct tb_route_choice choices[TB_ROUTE_DEPTH];
    uint32_t count;
    uint32_t known; /* choices that are nodes */
    size_t label_len;
};

/*
 * tb_route_walk_path - decide every segment of @path. About 2 KiB on the caller's stack. Context: any thread, signal
 * handlers; no lock.
 */
void tb_route_walk_path(struct tb_core *core, struct tb_bytes path, bool is_cut, struct tb_route_walk *w);

/* tb_route_place_of_words - the placeholder of @node if it takes @text as one more value without judgement, else 0. */
uint32_t tb_route_place_of_words(struct tb_core *core, uint32_t node, uint32_t hash, struct tb_bytes text);

#endif
