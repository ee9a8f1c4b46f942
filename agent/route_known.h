/* SPDX-License-Identifier: Apache-2.0 */
/* The short way of a path whose every segment is known; the long one is route_walk.h. */
#ifndef TB_ROUTE_KNOWN_H
#define TB_ROUTE_KNOWN_H

#include "route_learner.h"

/*
 * tb_route_walk_known - follow literals that have proved themselves, numbers through the placeholder of their place,
 * and words where those are values. @path begins with a slash.
 *
 * Returns the node, or UINT32_MAX when anything else comes (then the path is split, scanned and judged). Needs no
 * normalisation: a segment that does would not be found. Context: any thread, signal handlers.
 */
uint32_t tb_route_walk_known(struct tb_core *core, struct tb_bytes path);

#endif
