/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What CloudWatch calls things, as both of its ways in have it: names, units, dimensions, the values of a histogram.
 * Pure.
 */
#ifndef TB_CLOUDWATCH_METRIC_H
#define TB_CLOUDWATCH_METRIC_H

#include "push_kind.h"

#define TB_CLOUDWATCH_NAME_MAX 255u
#define TB_CLOUDWATCH_VALUE_MAX 1024u

/* A name and unit, and what values are multiplied with to be in it. */
struct tb_cloudwatch_metric {
    char name[TB_CLOUDWATCH_NAME_MAX + 1];
    const char *unit;
    double scale;
};

/* tb_cloudwatch_metric - of a point: as its rule says, else from the family: orders_created_total is OrdersCreated,
 * http_request_duration_seconds is HttpRequestDuration in Seconds. */
void tb_cloudwatch_metric(const struct tb_point *p, struct tb_cloudwatch_metric *ret);

/* tb_cloudwatch_dimension_name - @name, or where the rule gave a label alone that in CamelCase. */
void tb_cloudwatch_put_dimension_name(struct tb_buffer *b, const char *name);

/* tb_cloudwatch_put_text - as the inside of a JSON string: ASCII alone is taken, so other bytes become %XX; at most
 * @max bytes; a blank text is "-". Returns whether it was cut. */
bool tb_cloudwatch_put_text(struct tb_buffer *b, const char *text, size_t max);

/* tb_cloudwatch_put_number - a finite double so that it reads back the same. */
void tb_cloudwatch_put_number(struct tb_buffer *b, double n);

/* One value that stands for all of a cell. */
struct tb_cloudwatch_value {
    double value;
    uint64_t count;
};

/*
 * tb_cloudwatch_values - a histogram's cells as values: each lies within its cell, and their sum is the histogram's.
 * @ret  room for p->cell_count + 1
 * Returns their number.
 */
size_t tb_cloudwatch_values(const struct tb_point *p, struct tb_cloudwatch_value *ret);

/* tb_cloudwatch_check - `what: why: what to do` of the settings that both ways in have; NULL: nothing is wrong. */
char *tb_cloudwatch_check(const struct tb_push_output_config *c);

#endif
