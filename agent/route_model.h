/* SPDX-License-Identifier: Apache-2.0 */
/* Literal or value? The judgement of one segment in its place. */
#ifndef TB_ROUTE_MODEL_H
#define TB_ROUTE_MODEL_H

#include "route_features.h"

#define TB_ROUTE_ALONE 4  /* visits of something that only one word leads to, from which on the word is judged anew */
#define TB_ROUTE_MERGE 40 /* a literal of the tree must be this sure a value to be given up */

/* tb_route_judge - how sure: > 0 a literal, <= 0 a value. Only for segments whose form leaves it open. */
int tb_route_judge(const struct tb_route_place *place);

#endif
