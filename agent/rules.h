/* SPDX-License-Identifier: Apache-2.0 */
/* The rules area of a region as the core reads it. Hostile input: written by whoever may write the file. */
#ifndef TB_RULES_H
#define TB_RULES_H

#include "core.h"

/* tb_rules_is_off - the kill switch: true = the agent does nothing. One load of the region. Context: any. */
static inline bool tb_rules_is_off(const struct tb_core *core)
{
    const struct tb_rules_head *rules = core->rules;
    return rules && tb_load_relaxed(&rules->off) != 0;
}

#endif
