/* SPDX-License-Identifier: Apache-2.0 */
/* Reads `inlets` of config.yml (inlet_config.h). */
#include "config_yaml.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const char *const types[TB_INLET_TYPES] = {[TB_INLET_TEXTFILE] = "textfile"};

struct inlet_reader {
    struct tb_inlet_config *to;
    yaml_node_t *folder; /* where it was given; NULL: it was not */
    bool has_type;
};

void tb_inlet_config_free(struct tb_inlet_config *c)
{
    free(c->name);
    free(c->folder);
}

void tb_inlet_list_free(struct tb_inlet_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        tb_inlet_config_free(&l->items[i]);
    free(l->items);
    *l = (struct tb_inlet_list){0};
}

static void inlet_type(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct inlet_reader *r = to;
    const char *text = tb_yaml_text(y, value, "type");
    for (size_t i = 0; text && i < COUNT(types); i++)
        if (strcmp(types[i], text) == 0) {
            r->to->type = (enum tb_inlet_type)i;
            r->has_type = true;
            return;
        }
    if (text)
        tb_yaml_error(y, value, "type: \"%s\" is no kind of inlet: write textfile", text);
}

static void inlet_name(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";
    struct tb_inlet_config *c = ((struct inlet_reader *)to)->to;
    c->name = tb_yaml_copy(y, value, "name");
    if (c->name && (!*c->name || strspn(c->name, letters) != strlen(c->name) || strlen(c->name) > 64))
        tb_yaml_error(y, value, "name: \"%s\" is no name: up to 64 of a-z, 0-9, - and _", c->name);
}

static void inlet_folder(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct inlet_reader *r = to;
    const char *text = tb_yaml_text(y, value, "folder");
    r->folder = value;
    if (text)
        r->to->folder = tb_yaml_beside(y, text);
}

static void finish(struct tb_yaml *y, yaml_node_t *value, const struct inlet_reader *r, const struct tb_inlet_list *l)
{
    struct tb_inlet_config *c = r->to;
    if (!c->name)
        c->name = tb_strndup(types[c->type], strlen(types[c->type]));
    if (!c->folder)
        tb_yaml_error(y, value, "folder: an inlet of type textfile needs it: write folder: PATH");
    for (size_t i = 0; i + 1 < l->count; i++)
        if (l->items[i].name && strcmp(l->items[i].name, c->name) == 0)
            tb_yaml_error(y, value, "inlets: two are called \"%s\": give one a name of its own", c->name);
}

static void read_inlet(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    static const struct tb_yaml_key keys[] = {{"type", inlet_type}, {"name", inlet_name}, {"folder", inlet_folder}};
    struct tb_inlet_list *l = to;
    const unsigned before = y->errors->count;
    if (l->count == TB_INLETS_MAX) {
        tb_yaml_error(y, value, "inlets: more than %u: leave some out", TB_INLETS_MAX);
        return;
    }
    l->items = tb_grow(l->items, l->count, &l->space, sizeof *l->items);
    struct inlet_reader r = {.to = &l->items[l->count++]};
    *r.to = (struct tb_inlet_config){.hash = tb_yaml_hash(y, value)};
    tb_yaml_mapping(y, value, "inlets", keys, COUNT(keys), &r);
    if (!r.has_type && y->errors->count == before)
        tb_yaml_error(y, value, "inlets: an entry has no type: write type: textfile");
    else if (y->errors->count == before)
        finish(y, value, &r, l);
}

void tb_config_read_inlets(struct tb_yaml *y, yaml_node_t *value, struct tb_config *c)
{
    tb_yaml_each(y, value, read_inlet, &c->inlets);
}
