/* SPDX-License-Identifier: Apache-2.0 */
/* Routes as text; tb_route_text and tb_route_line are in route.h. */
#ifndef TB_ROUTE_LABEL_H
#define TB_ROUTE_LABEL_H

#include "route_learner.h"

/*
 * tb_route_label - the route of a node: placeholders with a colon, a literal that begins like one escaped, "/" for the
 * root. Writes at most @len bytes to @ret (no NUL); returns its length. Context: any.
 */
size_t tb_route_label(struct tb_core *core, uint32_t node, char *ret, size_t len);

#endif
