/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of series that differ in their bound set only. Used by snapshot.c alone. */
#ifndef TB_SNAPSHOT_GROUPS_H
#define TB_SNAPSHOT_GROUPS_H

#include "snapshot.h"

/* tb_series_sort - family, role, service, method, route, target, status, ext, bound set; finds the groups. */
void tb_series_sort(struct tb_snapshot *s);

/* tb_groups_choose - which of each group is to be shown, from chosen_ns and count. A histogram that was shown before
 * another and is again begins at 0. Returns whether one did. */
bool tb_groups_choose(struct tb_snapshot *s);

/* tb_groups_add_up - what the whole groups have counted, into the one that is shown. */
void tb_groups_add_up(struct tb_snapshot *s);

#endif
