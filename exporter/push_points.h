/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Points: what an output is given, made from an exposition by its rules. Series that agree in rule, name and labels are
 * one point; counters and histograms are added, gauges as the rule says. Where an output takes what came since the push
 * before, each series is compared with what was taken of it last.
 *
 * Pure but for what it notes in the state; one thread.
 */
#ifndef TB_PUSH_POINTS_H
#define TB_PUSH_POINTS_H

#include "exposition.h"
#include "push_config.h"

struct tb_push_state;

struct tb_point_label {
    const char *name, *value; /* terminated, valid UTF-8 */
};

/* A request of which the trace is known, in one of the classic buckets. */
struct tb_point_exemplar {
    const char *trace_id;
    uint64_t value, time_ns; /* as a sum of the point; CLOCK_REALTIME, 0 = unknown */
    uint32_t bucket;
};

/* Borrowed texts are the points' own, or the rules'. */
struct tb_point {
    const struct tb_push_rule *rule;
    const char *family, *unit, *help; /* as served: unit "seconds", "bytes" or other, "" = none */
    enum tb_metric_type type;         /* a summary is one of count and sum */
    uint8_t decimals;                 /* value (not the count of a histogram), sum and bounds are times 10^-decimals */
    struct tb_point_label *labels;    /* in the order of the set, constants behind them */
    uint32_t label_count;
    uint64_t value; /* or the count of a histogram or summary */
    uint64_t sum;
    uint64_t created_ns; /* totals: since when; 0 = unknown */
    /* a histogram */
    struct tb_exposed_cell *cells; /* ascending, counts above 0 */
    uint32_t cell_count;
    uint64_t zero_count;
    uint64_t *bounds, *buckets; /* bounds of the first series; buckets are empty where series differ in them */
    uint32_t bound_count;
    bool has_buckets;
    struct tb_point_exemplar *exemplars; /* of all its series, the first so many */
    uint32_t exemplar_count;
    struct tb_point *next; /* of the table that they are found in */
    uint64_t hash;
};

struct tb_points {
    struct tb_point **items; /* in the order in which they came up */
    size_t count, space;
    uint64_t from_ns, time_ns; /* CLOCK_REALTIME: what came between them; from_ns 0 = unknown */
    struct tb_point **table;   /* by hash */
    size_t table_size;
    struct tb_point_chunk *memory;
};

/*
 * tb_points_make - every sample of @x that a rule of @c wants.
 * @x      with native histograms
 * @state  what was taken before, and takes note (tb_push_state_take); NULL: points are totals
 * @ret    empty; to be freed with tb_points_free in any case
 */
void tb_points_make(const struct tb_push_output_config *c, const struct tb_exposition *x, struct tb_push_state *state,
                    struct tb_points *ret);
void tb_points_free(struct tb_points *p);

/* tb_push_wants_family - does any rule name it? */
bool tb_push_wants_family(const struct tb_push_output_config *c, const char *family);

/* tb_point_real - an integer of the point's, times 10^-decimals. */
double tb_point_real(const struct tb_point *p, uint64_t n);

/* tb_point_cell_bounds - between which values (of the unit) a cell lies. */
void tb_point_cell_bounds(const struct tb_point *p, int32_t index, double *ret_above, double *ret_most);

/* tb_point_zero_bound - up to which value the zero bucket reaches. */
double tb_point_zero_bound(const struct tb_point *p);

#endif
