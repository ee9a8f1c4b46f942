/* SPDX-License-Identifier: Apache-2.0 */
/* The servers that services call, as `tickbird status` shows them: totals, since a command has no history. */
#ifndef TB_CALLED_H
#define TB_CALLED_H

#include "output.h"
#include "view.h"

/* tb_called_print - a table of those of the services that @view wants; nothing when there are none. */
void tb_called_print(const struct tb_view *view);

/* tb_called_json - the same as member `dependencies`. */
void tb_called_json(struct tb_json *json, const struct tb_view *view);

#endif
