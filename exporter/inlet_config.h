/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `inlets` of config.yml: where metrics come from that no traffic tells (docs/inlets.md). Read by config_inlets.c and,
 * for those that ask others, config_pull.c; right once it is read; tb_inlets_use takes the entries over.
 */
#ifndef TB_INLET_CONFIG_H
#define TB_INLET_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "agent/layout.h"
#include "metrics.h"

#define TB_INLETS_MAX 32u
#define TB_PULL_METRICS_MAX 100u /* of an inlet */
#define TB_PULL_LABELS_MAX 16u   /* of a metric */

enum tb_inlet_type {
    TB_INLET_TEXTFILE,
    TB_INLET_STATSD,
    TB_INLET_JSON,
    TB_INLET_REDIS,
    TB_INLET_COMMAND,
    TB_INLET_TYPES
};

/* A way into a JSON text, compiled (json_path.h). */
struct tb_pull_path {
    uint8_t *steps; /* owned */
    size_t len;     /* 0 = the value itself */
};

struct tb_pull_label {
    char *name;  /* owned */
    char *value; /* owned; NULL: it is found in the answer */
    bool is_key; /* the name, or the number, of the element */
    struct tb_pull_path path;
};

/* One metric of an inlet that asks. */
struct tb_pull_metric {
    char *name, *help; /* owned; without help: NULL */
    enum tb_metric_type type;
    double scale;
    bool has_each; /* one sample for each element there */
    bool has_path;
    struct tb_pull_path each, path;
    struct tb_pull_label *labels; /* owned */
    size_t label_count, label_space;
    char **command; /* owned; of Redis: its words */
    size_t word_count, word_space;
    uint32_t line, column;
};

/* A text that is not to stand in the configuration, or one that may. At most one is given; owned. */
struct tb_pull_secret {
    char *text, *file, *variable;
};

struct tb_pull_header {
    char *name; /* owned */
    struct tb_pull_secret value;
};

/* What the output of a command is. */
enum tb_pull_format { TB_PULL_NUMBER, TB_PULL_TEXT, TB_PULL_JSON };

/* What inlets have that ask: URLs, Redis servers, commands. */
struct tb_pull_config {
    enum tb_inlet_type type;
    char *name; /* owned */
    uint64_t interval_ns, timeout_ns;
    uint64_t stale_ns;                        /* what is older is not shown; 0: not given */
    char *url, *unix_socket, *user, *ca_file; /* owned; NULL: not given */
    struct tb_pull_secret password;
    uint32_t database;
    enum tb_pull_format format;
    char **command; /* owned: a program with its path, and its arguments */
    size_t word_count, word_space;
    bool is_insecure;               /* whoever answers is believed */
    struct tb_pull_header *headers; /* owned */
    size_t header_count, header_space;
    struct tb_pull_metric *metrics; /* owned */
    size_t metric_count, metric_space;
};

struct tb_pull_config *tb_pull_config_new(void);    /* with the defaults */
void tb_pull_config_free(struct tb_pull_config *c); /* NULL does nothing */

struct tb_inlet_config {
    enum tb_inlet_type type;
    char *name;                   /* owned; a-z, 0-9, - and _ */
    char *folder;                 /* owned; of text files */
    char *listen;                 /* owned; of StatsD: as tb_inlet_address takes it */
    double bounds[TB_BOUNDS_MAX]; /* of its histograms, ascending */
    size_t bound_count;
    struct tb_pull_config *pull; /* owned; of those that ask, else NULL */
    uint64_t hash;               /* of its lines in the file */
};

struct tb_inlet_list {
    struct tb_inlet_config *items; /* owned */
    size_t count, space;
};

void tb_inlet_config_free(struct tb_inlet_config *c); /* what is in it */
void tb_inlet_list_free(struct tb_inlet_list *l);

/* tb_inlet_type_name - the word of `type`. */
const char *tb_inlet_type_name(enum tb_inlet_type type);

#endif
