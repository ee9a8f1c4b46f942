/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Points as an ExportMetricsServiceRequest of OTLP (field numbers: opentelemetry/proto/metrics/v1/metrics.proto).
 * Histograms are exponential, of scale 3: the exact cells. A service is a resource. Sending is push_post.c.
 */
#include <stdlib.h>

#include "protobuf_write.h"
#include "push_kind.h"

#define POINTS_MAX 5000u /* of a request */
enum { DELTA = 1, CUMULATIVE = 2 };

struct request {
    const struct tb_push_output_config *config;
    uint64_t from_ns, time_ns;
    bool is_delta;
    struct tb_buffer resources;      /* finished ones: the body */
    struct tb_buffer metrics, point; /* of the resource; of the metric */
    struct tb_buffer part, inner;    /* being made */
};

static const char *label_of(const struct tb_point *p, const char *name)
{
    for (uint32_t i = 0; i < p->label_count; i++)
        if (strcmp(p->labels[i].name, name) == 0)
            return p->labels[i].value;
    return NULL;
}

/* Whose resource a point belongs to. */
static const char *service_of(const struct tb_point *p)
{
    const char *service = label_of(p, "service");
    return service ? service : "tickbird-exporter";
}

/* A KeyValue with a text, as @field of @b. */
static void put_attribute(struct request *r, struct tb_buffer *b, unsigned field, const char *name, const char *value)
{
    struct tb_buffer any = {0};
    tb_protobuf_text(&any, 1, value);
    tb_protobuf_text(&r->inner, 1, name);
    tb_protobuf_message(&r->inner, 2, &any);
    tb_protobuf_message(b, field, &r->inner);
    tb_buffer_free(&any);
}

static void put_attributes(struct request *r, const struct tb_point *p, unsigned field)
{
    for (uint32_t i = 0; i < p->label_count; i++)
        if (strcmp(p->labels[i].name, "service") != 0)
            put_attribute(r, &r->part, field, p->labels[i].name, p->labels[i].value);
}

static void put_times(struct request *r, const struct tb_point *p)
{
    uint64_t start = r->is_delta ? r->from_ns : p->created_ns;
    if (start && start <= r->time_ns && p->type != TB_METRIC_GAUGE)
        tb_protobuf_fixed(&r->part, 2, start);
    tb_protobuf_fixed(&r->part, 3, r->time_ns);
}

/* --- data points: each into r->part, then into r->point --------------------------------------------------------------
 */

static void put_number_point(struct request *r, const struct tb_point *p)
{
    put_attributes(r, p, 7);
    put_times(r, p);
    if (p->decimals)
        tb_protobuf_real(&r->part, 4, tb_point_real(p, p->value));
    else
        tb_protobuf_fixed(&r->part, 6, p->value);
}

/* Explicit bounds; without any where series differ in theirs, and for summaries: count and sum are all that is known.
 */
static void put_classic_point(struct request *r, const struct tb_point *p)
{
    put_attributes(r, p, 9);
    put_times(r, p);
    tb_protobuf_fixed(&r->part, 4, p->value);
    tb_protobuf_real(&r->part, 5, tb_point_real(p, p->sum));
    if (!p->has_buckets)
        return;
    tb_protobuf_bytes(&r->part, 6, (const char *)p->buckets, (p->bound_count + 1) * sizeof *p->buckets);
    for (uint32_t i = 0; i < p->bound_count; i++) {
        double bound = tb_point_real(p, p->bounds[i]);
        tb_put(&r->inner, (const char *)&bound, sizeof bound);
    }
    tb_protobuf_message(&r->part, 7, &r->inner);
}

/* Our cell i ends at 2^(i/8), bucket i of OTLP at 2^((i+1)/8). Cells without counts between others are there as 0. */
static void put_buckets(struct request *r, const struct tb_point *p)
{
    struct tb_buffer counts = {0};
    if (!p->cell_count)
        return;
    int32_t at = p->cells[0].index;
    for (uint32_t i = 0; i < p->cell_count; i++, at++) {
        for (; at < p->cells[i].index; at++)
            tb_protobuf_varint(&counts, 0);
        tb_protobuf_varint(&counts, p->cells[i].count);
    }
    tb_protobuf_zigzag(&r->inner, 1, p->cells[0].index - 1);
    tb_protobuf_message(&r->inner, 2, &counts);
    tb_protobuf_message(&r->part, 8, &r->inner);
    tb_buffer_free(&counts);
}

/* Cells are cut in seconds, whatever unit the family is served in. */
static double base_unit(const struct tb_point *p)
{
    return p->decimals == 6 ? 1e-3 : 1;
}

static void put_exponential_point(struct request *r, const struct tb_point *p)
{
    put_attributes(r, p, 1);
    put_times(r, p);
    tb_protobuf_fixed(&r->part, 4, p->value);
    tb_protobuf_real(&r->part, 5, tb_point_real(p, p->sum) * base_unit(p));
    tb_protobuf_zigzag(&r->part, 6, 3);
    tb_protobuf_fixed(&r->part, 7, p->zero_count);
    put_buckets(r, p);
    tb_protobuf_real(&r->part, 14, tb_point_zero_bound(p) * base_unit(p));
}

/* --- metrics ---------------------------------------------------------------------------------------------------------
 */

static bool is_exponential(const struct request *r, const struct tb_point *p)
{
    return p->type == TB_METRIC_HISTOGRAM && r->config->histograms != TB_PUSH_HISTOGRAMS_CLASSIC;
}

/* As the Unified Code for Units of Measure has it. */
static const char *unit_of(const struct request *r, const struct tb_point *p)
{
    if (p->rule->unit)
        return p->rule->unit;
    bool is_ms = strcmp(p->unit, "milliseconds") == 0 || strcmp(p->unit, "ms") == 0;
    return strcmp(p->unit, "seconds") == 0 ? "s"
           : is_ms && is_exponential(r, p) ? "s"
           : is_ms                         ? "ms"
           : strcmp(p->unit, "bytes") == 0 ? "By"
                                           : "";
}

/* The metric that the data points in r->point are of, which all are like @p. */
static void finish_metric(struct request *r, const struct tb_point *p)
{
    struct tb_buffer metric = {0};
    const unsigned field = p->type == TB_METRIC_GAUGE     ? 5
                           : p->type == TB_METRIC_COUNTER ? 7
                           : is_exponential(r, p)         ? 10
                                                          : 9;
    if (p->type != TB_METRIC_GAUGE)
        tb_protobuf_number(&r->point, 2, r->is_delta ? DELTA : CUMULATIVE);
    if (p->type == TB_METRIC_COUNTER)
        tb_protobuf_number(&r->point, 3, true); /* monotonic */
    tb_protobuf_text(&metric, 1, p->rule->name ? p->rule->name : p->family);
    tb_protobuf_text(&metric, 2, p->help);
    tb_protobuf_text(&metric, 3, unit_of(r, p));
    tb_protobuf_message(&metric, field, &r->point);
    tb_protobuf_message(&r->metrics, 2, &metric);
    tb_buffer_free(&metric);
}

/* The resource of a service, with the metrics in r->metrics. */
static void finish_resource(struct request *r, const char *service)
{
    const struct tb_push_pairs *more = &r->config->resource;
    struct tb_buffer resource = {0}, scope = {0}, all = {0};
    put_attribute(r, &resource, 1, "service.name", service);
    for (size_t i = 0; i < more->count; i++)
        if (strcmp(more->items[i].name, "service.name") != 0)
            put_attribute(r, &resource, 1, more->items[i].name, more->items[i].value);
    tb_protobuf_text(&scope, 1, "tickbird");
    tb_protobuf_text(&scope, 2, TB_VERSION);
    tb_protobuf_message(&all, 1, &scope);
    tb_put(&all, r->metrics.data, r->metrics.len);
    r->metrics.len = 0;
    tb_protobuf_message(&scope, 1, &resource);
    tb_protobuf_message(&scope, 2, &all);
    tb_protobuf_message(&r->resources, 1, &scope);
    tb_buffer_free(&resource);
    tb_buffer_free(&scope);
    tb_buffer_free(&all);
}

/* Points of one metric of one service come to lie together. */
static int compare_points(const void *left, const void *right)
{
    const struct tb_point *a = *(const struct tb_point *const *)left, *b = *(const struct tb_point *const *)right;
    int order = strcmp(service_of(a), service_of(b));
    if (!order)
        order = a->rule < b->rule ? -1 : a->rule > b->rule;
    return order ? order : strcmp(a->family, b->family);
}

static bool has_nothing(const struct request *r, const struct tb_point *p)
{
    return r->is_delta && !p->value && (p->type == TB_METRIC_HISTOGRAM || p->type == TB_METRIC_SUMMARY);
}

static void put_point(struct request *r, const struct tb_point *p)
{
    if (p->type == TB_METRIC_GAUGE || p->type == TB_METRIC_COUNTER)
        put_number_point(r, p);
    else if (is_exponential(r, p))
        put_exponential_point(r, p);
    else
        put_classic_point(r, p);
    tb_protobuf_message(&r->point, 1, &r->part);
}

static void encode(const struct tb_push_output_config *c, const struct tb_points *points, struct tb_push_requests *ret)
{
    struct request r = {.config = c, .from_ns = points->from_ns, .time_ns = points->time_ns, .is_delta = c->is_delta};
    uint32_t count = 0;
    qsort(points->items, points->count, sizeof *points->items, compare_points);
    for (size_t i = 0; i < points->count; i++) {
        const struct tb_point *p = points->items[i], *next = i + 1 < points->count ? points->items[i + 1] : NULL;
        if (!has_nothing(&r, p)) {
            put_point(&r, p);
            count++;
        }
        bool is_full = count >= POINTS_MAX || !next;
        bool is_last = is_full || strcmp(service_of(p), service_of(next)) != 0;
        if (r.point.len && (is_last || compare_points(&p, &next) != 0))
            finish_metric(&r, p);
        if (r.metrics.len && is_last)
            finish_resource(&r, service_of(p));
        if (is_full && count) {
            tb_push_add_request(ret, &r.resources, count);
            count = 0;
        }
    }
    tb_buffer_free(&r.metrics);
    tb_buffer_free(&r.point);
    tb_buffer_free(&r.part);
    tb_buffer_free(&r.inner);
}

static char *check(const struct tb_push_output_config *c)
{
    if (c->is_delta && c->histograms == TB_PUSH_HISTOGRAMS_CLASSIC)
        return tb_format("histograms: classic ones go as totals only: write temporality: cumulative, or leave it out");
    return NULL;
}

const struct tb_push_kind tb_push_otlp = {
    .type = "otlp",
    .keys = TB_PUSH_HAS(TB_PUSH_ENDPOINT) | TB_PUSH_HAS(TB_PUSH_CA_FILE) | TB_PUSH_HAS(TB_PUSH_KEY_HEADERS) |
            TB_PUSH_HAS(TB_PUSH_KEY_TIMEOUT) | TB_PUSH_HAS(TB_PUSH_KEY_TEMPORALITY) |
            TB_PUSH_HAS(TB_PUSH_KEY_HISTOGRAMS) | TB_PUSH_HAS(TB_PUSH_KEY_RESOURCE) |
            TB_PUSH_HAS(TB_PUSH_KEY_UNCERTAIN) | TB_PUSH_HAS(TB_PUSH_KEY_GZIP) | TB_PUSH_HAS(TB_PUSH_KEY_START),
    .required = TB_PUSH_HAS(TB_PUSH_ENDPOINT),
    .has_label_names = true,
    .is_cumulative = true,
    .check = check,
    .encode = encode,
};
