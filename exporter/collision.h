/* SPDX-License-Identifier: Apache-2.0 */
/* Different programs that count under one name: their durations and totals are one, which is seldom meant. */
#ifndef TB_COLLISION_H
#define TB_COLLISION_H

#include "snapshot.h"

/*
 * tb_collision_count - how many different command lines run now under the name of @service; 0 and 1 are no collision. A
 * process counts as its parent when that is of the service too: workers are often started with other arguments. Reads
 * /proc for this. Of each other pid namespace the process with the lowest number counts alone.
 */
size_t tb_collision_count(const struct tb_snapshot *s, const struct tb_snap_service *service);

#endif
