/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Points as documents of the CloudWatch embedded metric format: one line of JSON each, which CloudWatch Logs makes
 * metrics of. A document has one set of dimensions and keeps the limits: 100 metrics, 100 values of each, 256 KB. A
 * histogram is its values, repeated as often as they were counted, over as many documents as that takes.
 * Sending is emf_send.c.
 */
#include <stdlib.h>

#include "cloudwatch_metric.h"

#define METRICS_MAX 100u
#define VALUES_MAX 100u
#define DOCUMENT_MAX 60000u /* a datagram has room for little more */
#define REQUEST_MAX ((size_t)256 << 10)

/* What is left of a point to be written. */
struct rest {
    const struct tb_point *point;
    struct tb_cloudwatch_metric metric;
    struct tb_cloudwatch_value *values; /* owned; NULL: one value, the point's */
    size_t count, at;
};

struct writer {
    const struct tb_push_output_config *config;
    struct tb_push_requests *requests;
    struct tb_buffer body, members, list; /* of the request; of the document: values, and the list of metrics */
    const struct rest *in_document[METRICS_MAX];
    size_t metrics;
    uint32_t points; /* in the request */
    uint64_t time_ms;
};

/* --- one document ----------------------------------------------------------------------------------------------------
 */

static void finish_request(struct writer *w)
{
    if (w->body.len)
        tb_push_add_request(w->requests, &w->body, w->points);
    w->points = 0;
}

static uint32_t dimension_count(const struct tb_point *p)
{
    return p->label_count < TB_PUSH_DIMENSIONS_MAX ? p->label_count : TB_PUSH_DIMENSIONS_MAX;
}

static void put_dimension_names(struct tb_buffer *b, const struct tb_point *p)
{
    for (uint32_t i = 0; i < dimension_count(p); i++) {
        tb_puts(b, i ? ",\"" : "\"");
        tb_cloudwatch_put_dimension_name(b, p->labels[i].name);
        tb_puts(b, "\"");
    }
}

static void put_dimensions(struct tb_buffer *b, const struct tb_point *p)
{
    for (uint32_t i = 0; i < dimension_count(p); i++) {
        tb_puts(b, ",\"");
        tb_cloudwatch_put_dimension_name(b, p->labels[i].name);
        tb_puts(b, "\":\"");
        tb_cloudwatch_put_text(b, p->labels[i].value, TB_CLOUDWATCH_VALUE_MAX);
        tb_puts(b, "\"");
    }
}

/* The metrics that were put into members and list, with the dimensions of @p, as a line. */
static void finish_document(struct writer *w, const struct tb_point *p)
{
    const char *group = w->config->texts[TB_PUSH_LOG_GROUP];
    struct tb_buffer *b = &w->body;
    if (!w->metrics)
        return;
    tb_puts(b, "{\"_aws\":{\"Timestamp\":");
    tb_put_u64(b, w->time_ms);
    if (group) {
        tb_puts(b, ",\"LogGroupName\":\"");
        tb_cloudwatch_put_text(b, group, 512);
        tb_puts(b, "\"");
    }
    tb_puts(b, ",\"CloudWatchMetrics\":[{\"Namespace\":\"");
    tb_cloudwatch_put_text(b, w->config->texts[TB_PUSH_NAMESPACE], TB_CLOUDWATCH_NAME_MAX);
    tb_puts(b, "\",\"Dimensions\":[[");
    put_dimension_names(b, p);
    tb_puts(b, "]],\"Metrics\":[");
    tb_put(b, w->list.data, w->list.len);
    tb_puts(b, "]}]}");
    put_dimensions(b, p);
    tb_put(b, w->members.data, w->members.len);
    tb_puts(b, "}\n");
    w->points += (uint32_t)w->metrics;
    w->metrics = w->list.len = w->members.len = 0;
    if (b->len > REQUEST_MAX)
        finish_request(w);
}

/* --- values ----------------------------------------------------------------------------------------------------------
 */

/* Up to 100 values; each is taken off its count. */
static void put_values(struct tb_buffer *b, struct rest *r)
{
    unsigned left = VALUES_MAX;
    tb_puts(b, "[");
    while (left && r->at < r->count) {
        if (left < VALUES_MAX)
            tb_puts(b, ",");
        tb_cloudwatch_put_number(b, r->values[r->at].value * r->metric.scale);
        r->at += --r->values[r->at].count == 0;
        left--;
    }
    tb_puts(b, "]");
}

static void put_metric(struct writer *w, struct rest *r)
{
    tb_puts(&w->members, ",\"");
    tb_cloudwatch_put_text(&w->members, r->metric.name, TB_CLOUDWATCH_NAME_MAX);
    tb_puts(&w->members, "\":");
    if (r->values) {
        put_values(&w->members, r);
    } else {
        tb_cloudwatch_put_number(&w->members, tb_point_real(r->point, r->point->value) * r->metric.scale);
        r->at = r->count;
    }
    tb_puts(&w->list, w->metrics ? ",{\"Name\":\"" : "{\"Name\":\"");
    tb_cloudwatch_put_text(&w->list, r->metric.name, TB_CLOUDWATCH_NAME_MAX);
    tb_puts(&w->list, "\",\"Unit\":\"");
    tb_puts(&w->list, r->metric.unit);
    tb_puts(&w->list, w->config->resolution == 1 ? "\",\"StorageResolution\":1}" : "\"}");
    w->in_document[w->metrics++] = r;
}

/* Is there no room, or a metric of that name, in the document? */
static bool needs_another(const struct writer *w, const struct rest *r)
{
    bool is_there = w->metrics == METRICS_MAX || w->members.len + w->list.len > DOCUMENT_MAX / 2;
    for (size_t i = 0; !is_there && i < w->metrics; i++)
        is_there = strcmp(w->in_document[i]->metric.name, r->metric.name) == 0;
    return is_there;
}

/* --- points ----------------------------------------------------------------------------------------------------------
 */

static struct rest rest_of(const struct tb_point *p)
{
    struct rest r = {.point = p, .count = 1};
    tb_cloudwatch_metric(p, &r.metric);
    if (p->type == TB_METRIC_HISTOGRAM) {
        r.values = tb_alloc((p->cell_count + 1) * sizeof *r.values);
        r.count = tb_cloudwatch_values(p, r.values);
    } else if (p->type == TB_METRIC_SUMMARY) { /* as many times its mean */
        r.values = tb_alloc(sizeof *r.values);
        r.count = p->value != 0;
        if (p->value)
            *r.values = (struct tb_cloudwatch_value){tb_point_real(p, p->sum) / (double)p->value, p->value};
    }
    return r;
}

/* A dimension and a metric of one name would be one member of the document. */
static bool is_dimension(const struct rest *r)
{
    bool is_one = strcmp(r->metric.name, "_aws") == 0;
    for (uint32_t i = 0; i < r->point->label_count && !is_one; i++) {
        struct tb_buffer name = {0};
        tb_cloudwatch_put_dimension_name(&name, r->point->labels[i].name);
        is_one = name.len == strlen(r->metric.name) && memcmp(name.data, r->metric.name, name.len) == 0;
        tb_buffer_free(&name);
    }
    return is_one;
}

static int compare_labels(const void *left, const void *right)
{
    const struct tb_point *a = *(const struct tb_point *const *)left, *b = *(const struct tb_point *const *)right;
    int order = (a->label_count > b->label_count) - (a->label_count < b->label_count);
    for (uint32_t i = 0; !order && i < a->label_count; i++) {
        order = strcmp(a->labels[i].name, b->labels[i].name);
        if (!order)
            order = strcmp(a->labels[i].value, b->labels[i].value);
    }
    return order;
}

/* All points of one set of dimensions, round after round until each has given all its values. */
static void put_group(struct writer *w, struct tb_point *const *points, size_t count)
{
    struct rest *rests = tb_alloc(count * sizeof *rests);
    bool is_left = true;
    for (size_t i = 0; i < count; i++) {
        rests[i] = rest_of(points[i]);
        if (is_dimension(&rests[i])) {
            rests[i].at = rests[i].count;
            w->requests->left_out++;
        }
    }
    while (is_left) {
        is_left = false;
        for (size_t i = 0; i < count; i++) {
            if (rests[i].at == rests[i].count)
                continue;
            if (needs_another(w, &rests[i]))
                finish_document(w, points[0]);
            put_metric(w, &rests[i]);
            is_left = true;
        }
    }
    finish_document(w, points[0]);
    for (size_t i = 0; i < count; i++)
        free(rests[i].values);
    free(rests);
}

static void encode(const struct tb_push_output_config *c, const struct tb_points *points, struct tb_push_requests *ret)
{
    struct writer w = {.config = c, .requests = ret, .time_ms = points->time_ns / 1000000};
    qsort(points->items, points->count, sizeof *points->items, compare_labels);
    for (size_t from = 0, to; from < points->count; from = to) {
        to = from + 1;
        while (to < points->count && compare_labels(&points->items[from], &points->items[to]) == 0)
            to++;
        put_group(&w, points->items + from, to - from);
    }
    finish_request(&w);
    tb_buffer_free(&w.members);
    tb_buffer_free(&w.list);
}

static char *check(const struct tb_push_output_config *c)
{
    const char *to = c->texts[TB_PUSH_TO];
    bool is_agent = to && (strncmp(to, "udp://", 6) == 0 || strncmp(to, "tcp://", 6) == 0);
    if (is_agent && !c->texts[TB_PUSH_LOG_GROUP])
        return tb_format("log_group: an agent has to know it: write log_group: NAME");
    if (is_agent && !strrchr(to + 6, ':'))
        return tb_format("to: \"%s\" has no port: write one like udp://127.0.0.1:25888", to);
    if (to && !is_agent && strcmp(to, "stdout") != 0 && *to != '/')
        return tb_format("to: \"%s\" is none: write stdout, a file's whole path, udp://HOST:PORT or tcp://HOST:PORT",
                         to);
    return tb_cloudwatch_check(c);
}

const struct tb_push_kind tb_push_emf = {
    .type = "emf",
    .keys = TB_PUSH_HAS(TB_PUSH_NAMESPACE) | TB_PUSH_HAS(TB_PUSH_TO) | TB_PUSH_HAS(TB_PUSH_LOG_GROUP) |
            TB_PUSH_HAS(TB_PUSH_KEY_RESOLUTION) | TB_PUSH_HAS(TB_PUSH_KEY_FILES) | TB_PUSH_HAS(TB_PUSH_KEY_TIMEOUT) |
            TB_PUSH_HAS(TB_PUSH_KEY_UNCERTAIN) | TB_PUSH_HAS(TB_PUSH_KEY_START),
    .required = TB_PUSH_HAS(TB_PUSH_NAMESPACE) | TB_PUSH_HAS(TB_PUSH_TO),
    .is_text = true,
    .has_price = true,
    .check = check,
    .encode = encode,
};
