/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What came since a series was last taken. A series whose total began at 0 again gives all of its total; one that
 * nothing is known of, all or nothing, by whether it began before the push did. One thread.
 */
#ifndef TB_PUSH_DELTA_H
#define TB_PUSH_DELTA_H

#include "exposition.h"

struct tb_push_state;
struct tb_delta;

/* One sample: totals, or once taken what they grew by. Arrays are borrowed. */
struct tb_sample {
    uint64_t value, sum, created_ns, zero_count;
    struct tb_exposed_cell *cells;
    const uint64_t *bounds, *buckets; /* NULL: a sample that grew has none */
    uint32_t cell_count, bound_count;
    const struct tb_exposed_exemplar *exemplars;
    uint32_t exemplar_count;
};

struct tb_delta *tb_delta_new(struct tb_push_state *state);
void tb_delta_free(struct tb_delta *d); /* NULL does nothing */

/* tb_delta_take - the totals of @s are noted in the state, and @s becomes what they grew by. Its cells are valid until
 * the next call. */
void tb_delta_take(struct tb_delta *d, const char *family, struct tb_labels labels, struct tb_sample *s);

#endif
