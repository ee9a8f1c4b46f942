/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a plain word in a path a literal of the API or somebody's name? A sum of small decision trees over the features of
 * route_features.h, in whole numbers. The table is trained offline on public API descriptions (docs/routes.md).
 * Entry point: tb_route_judge.
 */
#include "route_model.h"
#include "route_model_table.h"

int tb_route_judge(const struct tb_route_place *place)
{
    uint8_t f[TB_F_COUNT];
    tb_route_features(place, f);
    int sum = 0;
    for (unsigned i = 0; i < sizeof model_roots / sizeof *model_roots; i++) {
        int at = model_roots[i];
        while (at >= 0)
            at = f[model_nodes[at].feature] <= model_nodes[at].limit ? model_nodes[at].below : model_nodes[at].above;
        sum += model_leaves[-at - 1];
    }
    return sum / 4;
}
