/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `exporter` and `run` of config.yml: the flags of these programs without their dashes, from agent/options.def, so that
 * a new flag is a new key. Checked as flags are.
 */
#include "config_yaml.h"

struct option_reader {
    struct tb_config *config;
    enum tb_option id;
};

static void option_value(struct tb_yaml *y, yaml_node_t *value, void *to)
{
    struct option_reader *o = to;
    const struct tb_option_row *row = tb_option_row(o->id);
    const char *text = tb_yaml_text(y, value, row->flag + 2), *why = text ? tb_option_complaint(row, text) : NULL;
    if (why)
        tb_yaml_error(y, value, "%s: \"%s\" %s", row->flag + 2, text, why);
    else if (text)
        tb_text_list_add(&o->config->options[o->id], text);
}

/* Flags of a program without their dashes; not those that only make sense on a command line. */
static bool is_file_option(enum tb_option id, enum tb_side side)
{
    const struct tb_option_row *row = tb_option_row(id);
    return row->sides & side && row->flag[0] && id != TB_OPTION_CONFIG_FILE && id != TB_OPTION_CONFIG &&
           id != TB_OPTION_ONCE && id != TB_OPTION_PUSH_ONCE && id != TB_OPTION_PUSH_DRY_RUN &&
           id != TB_OPTION_CHECK_CONFIG && id != TB_OPTION_LIB && id != TB_OPTION_INCLUDE && id != TB_OPTION_EXCLUDE;
}

void tb_config_read_options(struct tb_yaml *y, yaml_node_t *node, struct tb_config *c, enum tb_side side,
                            const char *what)
{
    yaml_node_t *key, *value;
    size_t at = 0;
    if (tb_yaml_is_none(node))
        return;
    if (node->type != YAML_MAPPING_NODE) {
        tb_yaml_error(y, node, "%s: it is no mapping: write flags without their dashes, with values", what);
        return;
    }
    while (tb_yaml_pair(y, node, &at, &key, &value)) {
        struct option_reader o = {c, 0};
        const char *name = (const char *)key->data.scalar.value;
        while (o.id < TB_OPTION_COUNT &&
               (!is_file_option(o.id, side) || strcmp(tb_option_row(o.id)->flag + 2, name) != 0))
            o.id++;
        if (o.id == TB_OPTION_COUNT)
            tb_yaml_error(y, key, "%s: unknown key of %s: write a flag without its dashes, see docs/configuration.md",
                          name, what);
        else if (tb_option_is_list(tb_option_row(o.id)))
            tb_yaml_each(y, value, option_value, &o);
        else
            option_value(y, value, &o);
    }
}

void tb_config_to_limits(const struct tb_config *c, struct tb_options *o)
{
    static const enum tb_option limits[] = {TB_OPTION_MAX_SAMPLES, TB_OPTION_MAX_SERIES, TB_OPTION_MAX_SERVICE_SERIES,
                                            TB_OPTION_IDLE_AFTER};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        tb_options_file(o, limits[i], c->options[limits[i]].items, c->options[limits[i]].count);
}

void tb_config_to_options(const struct tb_config *c, enum tb_side side, struct tb_options *o)
{
    for (int id = 0; id < TB_OPTION_COUNT; id++)
        if (c->options[id].count && is_file_option((enum tb_option)id, side))
            tb_options_file(o, (enum tb_option)id, c->options[id].items, c->options[id].count);
}
