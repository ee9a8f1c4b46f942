/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a plain word in a path a literal of the API or somebody's name? Entry point: tb_route_judge.
 */
#include "route_model.h"

int tb_route_judge(const struct tb_route_place *place)
{
    const struct tb_segment *s = &place->path->segments[place->at];
    if (s->is_version)
        return 64;
    if (s->digits > 2 || (s->digits && s->text.len > 12 && s->marks))
        return -16;
    return 32 - (int)s->marks * 4;
}
