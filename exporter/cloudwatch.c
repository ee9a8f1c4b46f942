/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Points as PutMetricData of CloudWatch, in AWS JSON 1.0. A request keeps its limits: 1,000 metrics, 1 MB, 150 values
 * of a metric, 30 dimensions, ASCII. Sending is cloudwatch_send.c.
 */
#include <stdlib.h>

#include "cloudwatch_metric.h"

#define METRICS_MAX 1000u
#define BYTES_MAX 1000000u /* before compression */
#define VALUES_MAX 150u
#define TWO_WEEKS_NS (UINT64_C(14) * 24 * 3600 * 1000000000)

/* A request being filled. */
struct request {
    const struct tb_push_output_config *config;
    struct tb_push_requests *all;
    struct tb_buffer body;
    uint32_t metrics;
    uint64_t time_ns;
};

static void finish_request(struct request *r)
{
    if (!r->metrics)
        return;
    tb_puts(&r->body, "]}");
    tb_push_add_request(r->all, &r->body, r->metrics);
    r->metrics = 0;
}

static void add_metric(struct request *r, const struct tb_buffer *metric)
{
    if (r->metrics == METRICS_MAX || (r->metrics && r->body.len + metric->len + 3 > BYTES_MAX))
        finish_request(r);
    if (!r->metrics) {
        tb_puts(&r->body, "{\"Namespace\":\"");
        tb_cloudwatch_put_text(&r->body, r->config->texts[TB_PUSH_NAMESPACE], TB_CLOUDWATCH_NAME_MAX);
        tb_puts(&r->body, "\",\"MetricData\":[");
    }
    tb_puts(&r->body, r->metrics ? "," : "");
    tb_put(&r->body, metric->data, metric->len);
    r->metrics++;
}

static void put_dimensions(struct tb_buffer *b, const struct tb_point *p)
{
    uint32_t count = p->label_count < TB_PUSH_DIMENSIONS_MAX ? p->label_count : TB_PUSH_DIMENSIONS_MAX;
    tb_puts(b, count ? ",\"Dimensions\":[" : "");
    for (uint32_t i = 0; i < count; i++) {
        tb_puts(b, i ? ",{\"Name\":\"" : "{\"Name\":\"");
        tb_cloudwatch_put_dimension_name(b, p->labels[i].name);
        tb_puts(b, "\",\"Value\":\"");
        tb_cloudwatch_put_text(b, p->labels[i].value, TB_CLOUDWATCH_VALUE_MAX);
        tb_puts(b, "\"}");
    }
    tb_puts(b, count ? "]" : "");
}

/* All of a metric but its value. */
static void begin_metric(struct tb_buffer *b, const struct request *r, const struct tb_point *p,
                         const struct tb_cloudwatch_metric *m)
{
    b->len = 0;
    tb_puts(b, "{\"MetricName\":\"");
    tb_cloudwatch_put_text(b, m->name, TB_CLOUDWATCH_NAME_MAX);
    tb_puts(b, "\"");
    put_dimensions(b, p);
    tb_puts(b, ",\"Timestamp\":");
    tb_put_decimal(b, r->time_ns / 1000000, 3);
    tb_puts(b, ",\"Unit\":\"");
    tb_puts(b, m->unit);
    tb_puts(b, r->config->resolution == 1 ? "\",\"StorageResolution\":1" : "\"");
}

/* Values with counts, 150 at a time: several metrics of one time and name are added there. */
static void add_histogram(struct request *r, struct tb_buffer *b, const struct tb_point *p,
                          const struct tb_cloudwatch_metric *m)
{
    struct tb_cloudwatch_value *values = tb_alloc((p->cell_count + 1) * sizeof *values);
    size_t count = tb_cloudwatch_values(p, values);
    for (size_t from = 0; from < count; from += VALUES_MAX) {
        size_t to = from + VALUES_MAX < count ? from + VALUES_MAX : count;
        begin_metric(b, r, p, m);
        for (size_t i = from; i < to; i++) {
            tb_puts(b, i == from ? ",\"Values\":[" : ",");
            tb_cloudwatch_put_number(b, values[i].value * m->scale);
        }
        for (size_t i = from; i < to; i++) {
            tb_puts(b, i == from ? "],\"Counts\":[" : ",");
            tb_put_u64(b, values[i].count);
        }
        tb_puts(b, "]}");
        add_metric(r, b);
    }
    free(values);
}

/* A summary has no more than a count and a sum: as many times its mean. */
static void add_summary(struct request *r, struct tb_buffer *b, const struct tb_point *p,
                        const struct tb_cloudwatch_metric *m)
{
    if (!p->value)
        return;
    begin_metric(b, r, p, m);
    tb_puts(b, ",\"Values\":[");
    tb_cloudwatch_put_number(b, tb_point_real(p, p->sum) / (double)p->value * m->scale);
    tb_puts(b, "],\"Counts\":[");
    tb_put_u64(b, p->value);
    tb_puts(b, "]}");
    add_metric(r, b);
}

static void add_point(struct request *r, struct tb_buffer *b, const struct tb_point *p)
{
    struct tb_cloudwatch_metric m;
    tb_cloudwatch_metric(p, &m);
    if (p->type == TB_METRIC_HISTOGRAM) {
        add_histogram(r, b, p, &m);
    } else if (p->type == TB_METRIC_SUMMARY) {
        add_summary(r, b, p, &m);
    } else {
        begin_metric(b, r, p, &m);
        tb_puts(b, ",\"Value\":");
        tb_cloudwatch_put_number(b, tb_point_real(p, p->value) * m.scale);
        tb_puts(b, "}");
        add_metric(r, b);
    }
}

static void encode(const struct tb_push_output_config *c, const struct tb_points *points, struct tb_push_requests *ret)
{
    struct request r = {.config = c, .all = ret, .time_ns = points->time_ns};
    struct tb_buffer metric = {0};
    for (size_t i = 0; i < points->count; i++)
        add_point(&r, &metric, points->items[i]);
    finish_request(&r);
    tb_buffer_free(&metric);
}

const struct tb_push_kind tb_push_cloudwatch = {
    .type = "cloudwatch",
    .keys = TB_PUSH_HAS(TB_PUSH_ENDPOINT) | TB_PUSH_HAS(TB_PUSH_REGION) | TB_PUSH_HAS(TB_PUSH_PROFILE) |
            TB_PUSH_HAS(TB_PUSH_NAMESPACE) | TB_PUSH_HAS(TB_PUSH_CA_FILE) | TB_PUSH_HAS(TB_PUSH_KEY_UNCERTAIN) |
            TB_PUSH_HAS(TB_PUSH_KEY_GZIP) | TB_PUSH_HAS(TB_PUSH_KEY_RESOLUTION) | TB_PUSH_HAS(TB_PUSH_KEY_TIMEOUT) |
            TB_PUSH_HAS(TB_PUSH_KEY_START),
    .required = TB_PUSH_HAS(TB_PUSH_NAMESPACE),
    .is_text = true,
    .has_price = true,
    .max_age_ns = TWO_WEEKS_NS - UINT64_C(600) * 1000000000, /* a margin for clocks that differ */
    .check = tb_cloudwatch_check,
    .encode = encode,
};
