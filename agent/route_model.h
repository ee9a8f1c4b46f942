/* SPDX-License-Identifier: Apache-2.0 */
/* Literal or value? The judgement of one segment in its place. */
#ifndef TB_ROUTE_MODEL_H
#define TB_ROUTE_MODEL_H

#include "route_path.h"

/* Where a segment stands while a path is walked. */
struct tb_route_place {
    struct tb_core *core;
    const struct tb_route_path *path;
    uint32_t at;   /* index of the segment in path */
    uint32_t node; /* the parent's node, or 0 with @detached when the parent is not in the tree */
    bool detached;
    uint8_t parent_kind;           /* enum tb_route_kind of the parent segment */
    uint8_t kinds[TB_ROUTE_DEPTH]; /* of the segments before this one */
};

/* tb_route_judge - how sure: > 0 a literal, <= 0 a value. Only for segments whose form leaves it open. */
int tb_route_judge(const struct tb_route_place *place);

#endif
