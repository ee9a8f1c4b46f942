/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What families and labels are called: a preset, and what the configuration changes in it. A table of names is complete
 * and right once it is made; who exposes takes it as it is.
 *
 * One thread while it is made, any number afterwards.
 */
#ifndef TB_NAMES_H
#define TB_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "escape.h"
#include "metrics.h"

enum tb_label_id {
#define LABEL(id, key, otel, prom_client) TB_LABEL_##id,
#include "labels.def"
    TB_LABEL_COUNT
};

enum tb_preset { TB_PRESET_CLASSIC, TB_PRESET_OTEL, TB_PRESET_PROM_CLIENT, TB_PRESET_COUNT };
enum tb_names_unit { TB_NAMES_SECONDS, TB_NAMES_MILLISECONDS, TB_NAMES_UNITS }; /* of durations of HTTP */

/* Labels that tickbird_region_info, and series by program, can have (instances.h). */
enum tb_instance_label {
#define INSTANCE(id, key) TB_INSTANCE_##id,
#include "instances.def"
#undef INSTANCE
    TB_INSTANCE_COUNT
};

#define TB_NAME_MAX 200u       /* bytes of a metric's or a label's name */
#define TB_CONSTANT_LABELS 32u /* at most */

struct tb_names {
    bool is_given; /* in a configuration */
    enum tb_preset preset;
    struct tb_metric metrics[TB_FAMILIES];
    const char *labels[TB_LABEL_COUNT]; /* as text of labels has them (exposition.h); NULL: left out */
    bool has_quotes;                    /* some label, a constant one or another, stands in quotes */
    const char *constant;               /* on every sample, as text of labels (exposition.h); "" = none */
    unsigned instances;                 /* a bit for each enum tb_instance_label that is wanted */
    unsigned split_by;                  /* the same, on series (split.h) */
    struct tb_metric *custom;           /* owned: the metrics of `rules` (rules_names.c) */
    size_t custom_count, custom_space;
    char **texts; /* owned: names that are not static */
    size_t text_count, text_space;
};

/* tb_names_default - the preset classic, in force without a configuration. Static; one thread. */
const struct tb_names *tb_names_default(void);

const char *tb_preset_name(enum tb_preset preset);
const char *tb_names_unit_name(enum tb_names_unit unit);

/* tb_label_key, tb_instance_key - a label's name in the configuration. */
const char *tb_label_key(enum tb_label_id label);
const char *tb_instance_key(enum tb_instance_label label);

/* tb_names_make - the names of a preset, in its unit. To be freed; the pointers in it live as long. */
void tb_names_make(struct tb_names *ret, enum tb_preset preset);
void tb_names_free(struct tb_names *names);

/* tb_names_keep - takes over @text, which lives as long as the names. */
const char *tb_names_keep(struct tb_names *names, char *text);

/* tb_names_has_unit - can this family be in seconds or milliseconds? */
bool tb_names_has_unit(size_t family);

/* tb_names_unit - the unit of a family that has one. */
enum tb_names_unit tb_names_unit(const struct tb_names *names, size_t family);

/* tb_names_set_unit - of a family that has one; the end of its name changes with it. */
void tb_names_set_unit(struct tb_names *names, size_t family, enum tb_names_unit unit);

/* tb_names_rename - @name lives as long as the names. Where it ends with a unit, the family takes it. */
void tb_names_rename(struct tb_names *names, size_t family, const char *name);

/* What speaks against a name, as `why: what to do`; NULL when nothing does. */
const char *tb_metric_name_complaint(const char *name, enum tb_metric_type type);
const char *tb_label_name_complaint(const char *name, bool may_be_quoted);

/* tb_names_label - @name as text of labels has it, in quotes if it is no identifier. Lives as long as @names. */
const char *tb_names_label(struct tb_names *names, const char *name);

/* tb_label_is_fixed - does this exporter itself write a label of that name, besides those of enum tb_label_id? */
bool tb_label_is_fixed(const char *name);

/* tb_labels_meet - can both labels be on one sample? */
bool tb_labels_meet(enum tb_label_id a, enum tb_label_id b);

/* tb_names_collide - would samples of these two families have one name, in any format? */
bool tb_names_collide(const struct tb_metric *a, const struct tb_metric *b);

#endif
