/* SPDX-License-Identifier: Apache-2.0 */
/* What is owned by the settings of pushing (push_config.h). */
#include "push_config.h"

#include <stdlib.h>

static void free_pairs(struct tb_push_pairs *p)
{
    for (size_t i = 0; i < p->count; i++) {
        free(p->items[i].name);
        free(p->items[i].value);
    }
    free(p->items);
}

static void free_sets(struct tb_push_set *sets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free_pairs(&sets[i].dimensions);
    free(sets);
}

static void free_output(struct tb_push_output_config *o)
{
    for (size_t i = 0; i < o->rule_count; i++) {
        free(o->rules[i].metric);
        free(o->rules[i].name);
        free(o->rules[i].unit);
        free_pairs(&o->rules[i].where);
        free_sets(o->rules[i].sets, o->rules[i].set_count);
    }
    for (size_t i = 0; i < TB_PUSH_TEXTS; i++)
        free(o->texts[i]);
    free(o->rules);
    free(o->name);
    free_pairs(&o->headers);
    free_pairs(&o->constants);
    free_pairs(&o->resource);
    free_sets(o->sets, o->set_count);
}

void tb_push_config_free(struct tb_push_config *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->count; i++)
        free_output(&c->outputs[i]);
    free(c->outputs);
    free(c);
}
