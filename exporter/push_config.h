/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `push` of config.yml: which families go where, under which names and with which labels (docs/push.md). Read by
 * config_push.c, complete and right once it is read; whoever pushes takes it over.
 */
#ifndef TB_PUSH_CONFIG_H
#define TB_PUSH_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TB_PUSH_OUTPUTS_MAX 16u
#define TB_PUSH_DIMENSIONS_MAX 30u /* of a set; CloudWatch takes no more */

struct tb_push_kind; /* push_kind.h */

/* Settings of an output that are a text. Which of them a kind has is in its table. */
enum tb_push_text {
    TB_PUSH_ENDPOINT,
    TB_PUSH_REGION,
    TB_PUSH_PROFILE,
    TB_PUSH_NAMESPACE,
    TB_PUSH_TO,
    TB_PUSH_LOG_GROUP,
    TB_PUSH_CA_FILE,
    TB_PUSH_TEXTS
};

struct tb_push_pair {
    char *name, *value; /* owned */
};

struct tb_push_pairs {
    struct tb_push_pair *items; /* owned */
    size_t count, space;
};

/* Names that a point has, and the label (or constant) that each has its value from. */
struct tb_push_set {
    struct tb_push_pairs dimensions; /* name: as it is sent, value: the label */
};

enum tb_push_gauges { TB_PUSH_SUM, TB_PUSH_MAX, TB_PUSH_MIN }; /* what becomes of gauges that meet in one point */

struct tb_push_rule {
    char *metric;                /* glob of families, as they are served */
    char *name;                  /* NULL: the output's own way of naming */
    char *unit;                  /* NULL: that of the family */
    struct tb_push_pairs where;  /* label, glob: all must match */
    struct tb_push_set *sets;    /* each makes a point of its own */
    size_t set_count, set_space; /* 0: those of the output */
    bool has_sets;
    enum tb_push_gauges gauges;
    uint32_t line, column;
};

/* Histograms with exact exponential cells, or with explicit bounds; by default OTLP has the former, remote write the
 * latter. */
enum tb_push_histograms { TB_PUSH_HISTOGRAMS_DEFAULT, TB_PUSH_HISTOGRAMS_EXPONENTIAL, TB_PUSH_HISTOGRAMS_CLASSIC };

enum tb_push_start { TB_PUSH_START_DEFAULT, TB_PUSH_START_NOW, TB_PUSH_START_BEGINNING };

struct tb_push_output_config {
    char *name;
    const struct tb_push_kind *kind;
    char *texts[TB_PUSH_TEXTS]; /* NULL: not given */
    struct tb_push_pairs headers, constants, resource;
    struct tb_push_rule *rules;
    size_t rule_count, rule_space;
    struct tb_push_set *sets; /* of rules that have none */
    size_t set_count, set_space;
    bool has_sets;
    bool is_delta;        /* OTLP: what came since the push before, not totals */
    bool drops_uncertain; /* what may have arrived is not sent again */
    bool has_no_gzip;
    enum tb_push_histograms histograms;
    enum tb_push_start start;
    uint32_t resolution; /* seconds; CloudWatch */
    uint32_t version;    /* of the protocol; remote write: 1 or 2 */
    uint64_t timeout_ns, max_file_bytes, queue_bytes;
    uint32_t keep_files;
    uint32_t line, column;
};

struct tb_push_config {
    uint64_t interval_ns;
    uint64_t hash; /* of the lines that it was written in */
    double price;  /* of a metric and month, for the dry run */
    struct tb_push_output_config *outputs;
    size_t count, space;
};

/* tb_push_config_free - @c may be NULL. */
void tb_push_config_free(struct tb_push_config *c);

#endif
