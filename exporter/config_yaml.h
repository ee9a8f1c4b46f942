/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML with places: a document as libyaml has it, and the questions that a schema asks of it. Every complaint says
 * file, line and column. Bounded: the file's size, its nesting, and how much is looked at, so that aliases
 * of aliases end in an error instead of eating the machine.
 */
#ifndef TB_CONFIG_YAML_H
#define TB_CONFIG_YAML_H

#include <yaml.h>

#include "config.h"

#define TB_CONFIG_BYTES_MAX ((size_t)1 << 20)
#define TB_YAML_VISITS_MAX 50000u
#define TB_YAML_DEPTH_MAX 100u /* libyaml's time grows with the square of it */

struct tb_yaml {
    const char *file;
    char *text; /* owned */
    yaml_document_t document;
    bool has_document;
    unsigned visits;
    struct tb_config_errors *errors;
};

/* tb_yaml_depth - how deep a document is behind @event, which came at @depth. */
static inline unsigned tb_yaml_depth(unsigned depth, const yaml_event_t *event)
{
    if (event->type == YAML_MAPPING_START_EVENT || event->type == YAML_SEQUENCE_START_EVENT)
        return depth + 1;
    return depth - (event->type == YAML_MAPPING_END_EVENT || event->type == YAML_SEQUENCE_END_EVENT);
}

/* tb_yaml_open - read @file. NULL root: it is empty. False: told. To be closed in any case. */
bool tb_yaml_open(struct tb_yaml *y, const char *file, struct tb_config_errors *errors);
yaml_node_t *tb_yaml_root(struct tb_yaml *y);
void tb_yaml_close(struct tb_yaml *y);

/* tb_yaml_error - `what: why: what to do` at a node. */
void tb_yaml_error(struct tb_yaml *y, const yaml_node_t *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* One key of a mapping. @read gets the value and the mapping's @to. */
struct tb_yaml_key {
    const char *name;
    void (*read)(struct tb_yaml *y, yaml_node_t *value, void *to);
};

/* A table of struct tb_yaml_key and its length. */
#define TB_YAML_KEYS(table) (table), sizeof(table) / sizeof *(table)

/* tb_yaml_mapping - each key once, none unknown. @what names the mapping in messages. */
void tb_yaml_mapping(struct tb_yaml *y, yaml_node_t *node, const char *what, const struct tb_yaml_key *keys,
                     size_t count, void *to);

/* tb_yaml_each - each element of a sequence; a single value counts as a sequence of one. Nothing for no value. */
void tb_yaml_each(struct tb_yaml *y, yaml_node_t *node, void (*read)(struct tb_yaml *y, yaml_node_t *value, void *to),
                  void *to);

/* tb_yaml_pair - the next key and value of a mapping whose keys are not fixed. Start with *at 0. False: no more. */
bool tb_yaml_pair(struct tb_yaml *y, yaml_node_t *node, size_t *at, yaml_node_t **ret_key, yaml_node_t **ret_value);

bool tb_yaml_is_none(const yaml_node_t *node); /* nothing, ~ or null */
/* tb_yaml_text - a scalar without NULs and line ends; NULL and told when it is not one. */
const char *tb_yaml_text(struct tb_yaml *y, yaml_node_t *node, const char *what);
/* tb_yaml_lines - the same, line ends allowed. */
const char *tb_yaml_lines(struct tb_yaml *y, yaml_node_t *node, const char *what);
/* tb_yaml_hash - of the lines that @node lies on: what they say goes on when another part of the file has changed. */
uint64_t tb_yaml_hash(const struct tb_yaml *y, const yaml_node_t *node);
/* tb_yaml_copy - tb_yaml_text, the caller's to free. */
char *tb_yaml_copy(struct tb_yaml *y, yaml_node_t *node, const char *what);
/* tb_yaml_duration - one of at least @least_ns; false when it is none, told. */
bool tb_yaml_duration(struct tb_yaml *y, yaml_node_t *node, const char *what, uint64_t least_ns, uint64_t *ret);
/* tb_yaml_beside - the path that a name in the file means: from the file's folder on. The caller's to free. */
char *tb_yaml_beside(const struct tb_yaml *y, const char *name);
bool tb_yaml_number(struct tb_yaml *y, yaml_node_t *node, const char *what, uint32_t min, uint32_t max, uint32_t *ret);
bool tb_yaml_switch(struct tb_yaml *y, yaml_node_t *node, const char *what, bool *ret);

/* tb_config_read_options - config_options.c: the mapping of @side's flags. */
void tb_config_read_options(struct tb_yaml *y, yaml_node_t *node, struct tb_config *c, enum tb_side side,
                            const char *what);

/* tb_config_read_probes - config_probes.c: @key is `probes` or `probe_agents` of a `routes` in @file. */
void tb_config_read_probes(struct tb_yaml *y, yaml_node_t *value, const char *key, const char *file,
                           struct tb_route_config *to);

/* tb_config_read_names - config_names.c: `metrics`. */
void tb_config_read_names(struct tb_yaml *y, yaml_node_t *node, struct tb_config *c);

/* tb_config_read_inlets - config_inlets.c: `inlets`. */
void tb_config_read_inlets(struct tb_yaml *y, yaml_node_t *value, struct tb_config *c);

/* tb_config_read_push - config_push.c: `push`. */
void tb_config_read_push(struct tb_yaml *y, yaml_node_t *node, struct tb_config *c);

static inline size_t tb_yaml_line(const yaml_node_t *n)
{
    return n->start_mark.line + 1;
}
static inline size_t tb_yaml_column(const yaml_node_t *n)
{
    return n->start_mark.column + 1;
}

#endif
