/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `inlets` of config.yml: where metrics come from that no traffic tells (docs/inlets.md). Read by config_inlets.c,
 * right once it is read; tb_inlets_use takes the entries over.
 */
#ifndef TB_INLET_CONFIG_H
#define TB_INLET_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "agent/layout.h"

#define TB_INLETS_MAX 32u

enum tb_inlet_type { TB_INLET_TEXTFILE, TB_INLET_STATSD, TB_INLET_TYPES };

struct tb_inlet_config {
    enum tb_inlet_type type;
    char *name;                   /* owned; a-z, 0-9, - and _ */
    char *folder;                 /* owned; of text files */
    char *listen;                 /* owned; of StatsD: as tb_inlet_address takes it */
    double bounds[TB_BOUNDS_MAX]; /* of its histograms, ascending */
    size_t bound_count;
    uint64_t hash; /* of its lines in the file */
};

struct tb_inlet_list {
    struct tb_inlet_config *items; /* owned */
    size_t count, space;
};

void tb_inlet_config_free(struct tb_inlet_config *c); /* what is in it */
void tb_inlet_list_free(struct tb_inlet_list *l);

#endif
