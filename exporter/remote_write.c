/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Points as requests of Prometheus remote write: version 1.0 (field numbers: prompb/remote.proto and types.proto), and
 * where the settings say so version 2.0 (remote_write2.c). The series are those of a scrape: a histogram is its classic
 * buckets, sum and count; or, where it is asked for and can be, a native one. Sending is push_post.c.
 */
#include <stdlib.h>

#include "names.h"
#include "protobuf_write.h"
#include "push_kind.h"
#include "remote_write2.h"

#define SERIES_MAX 5000u /* of a request */
#define LABELS_MAX 98u

struct request {
    struct tb_push_requests *all;
    struct tb_write2 *two; /* NULL: version 1, whose are the buffers */
    bool has_native;
    struct tb_buffer body, series, part;
    const struct tb_point *noted; /* the family whose metadata was written last */
    uint32_t count;
    uint64_t time_ms;
};

static void finish_request(struct request *r)
{
    if (r->count)
        tb_push_add_request(r->all, r->two ? tb_write2_body(r->two) : &r->body, r->count);
    if (r->count && r->two)
        tb_write2_restart(r->two);
    r->count = 0;
    r->noted = NULL;
}

static void put_label(struct request *r, const struct tb_point_label *l)
{
    tb_protobuf_text(&r->part, 1, l->name);
    tb_protobuf_text(&r->part, 2, l->value);
    tb_protobuf_message(&r->series, 1, &r->part);
}

static int compare_labels(const void *left, const void *right)
{
    return strcmp(((const struct tb_point_label *)left)->name, ((const struct tb_point_label *)right)->name);
}

static void put_series_1(struct request *r, const struct tb_write_series *s)
{
    for (size_t i = 0; i < s->label_count; i++)
        put_label(r, &s->labels[i]);
    tb_protobuf_real(&r->part, 1, s->value);
    tb_protobuf_number(&r->part, 2, s->time_ms);
    tb_protobuf_message(&r->series, 2, &r->part);
    tb_protobuf_message(&r->body, 1, &r->series);
}

/* One series with one sample, @s but for labels and time. @le NULL: it has no such label. */
static void put_series(struct request *r, const char *suffix, const char *le, struct tb_write_series s)
{
    const struct tb_point *p = s.point;
    struct tb_point_label labels[LABELS_MAX];
    char *name = tb_format("%s%s", p->rule->name ? p->rule->name : p->family, suffix);
    size_t count = 0;
    labels[count++] = (struct tb_point_label){"__name__", name};
    if (le)
        labels[count++] = (struct tb_point_label){"le", le};
    for (uint32_t i = 0; i < p->label_count && count < LABELS_MAX; i++)
        if (*p->labels[i].value) /* an empty label is none */
            labels[count++] = p->labels[i];
    qsort(labels, count, sizeof *labels, compare_labels);
    s.labels = labels;
    s.label_count = count;
    s.time_ms = r->time_ms;
    if (r->two)
        tb_write2_add(r->two, &s);
    else
        put_series_1(r, &s);
    r->count++;
    free(name);
}

static void put_value(struct request *r, const struct tb_point *p, const char *suffix, double value)
{
    put_series(r, suffix, NULL, (struct tb_write_series){.point = p, .value = value});
}

static void put_histogram(struct request *r, const struct tb_point *p)
{
    uint64_t count = 0;
    for (uint32_t i = 0; p->has_buckets && i <= p->bound_count; i++) {
        struct tb_buffer text = {0};
        count += p->buckets[i];
        if (i < p->bound_count)
            tb_put_decimal(&text, p->bounds[i], p->decimals);
        else
            tb_puts(&text, "+Inf");
        char *le = tb_buffer_text(&text);
        put_series(r, "_bucket", le,
                   (struct tb_write_series){.point = p, .value = (double)count, .is_bucket = true, .bucket = i});
        free(le);
    }
}

static void put_metadata(struct request *r, const struct tb_point *p)
{
    static const uint8_t types[] = {1, 2, 5, 3}; /* counter, gauge, summary, histogram */
    if (r->noted && r->noted->rule == p->rule && r->noted->family == p->family)
        return;
    r->noted = p;
    tb_protobuf_number(&r->part, 1, types[p->type]);
    tb_protobuf_text(&r->part, 2, p->rule->name ? p->rule->name : p->family);
    tb_protobuf_text(&r->part, 4, p->help);
    tb_protobuf_text(&r->part, 5, p->unit);
    tb_protobuf_message(&r->body, 3, &r->part);
}

static void put_point(struct request *r, const struct tb_point *p)
{
    if (!r->two) /* whose series have it each */
        put_metadata(r, p);
    if (p->type == TB_METRIC_COUNTER || p->type == TB_METRIC_GAUGE) {
        put_value(r, p, "", tb_point_real(p, p->value));
        return;
    }
    if (r->has_native && tb_write2_is_native(p)) {
        put_series(r, "", NULL, (struct tb_write_series){.point = p, .is_native = true});
        return;
    }
    put_histogram(r, p);
    put_value(r, p, "_sum", tb_point_real(p, p->sum));
    put_value(r, p, "_count", (double)p->value);
}

static void encode(const struct tb_push_output_config *c, const struct tb_points *points, struct tb_push_requests *ret)
{
    struct request r = {.all = ret,
                        .two = c->version == 2 ? tb_write2_new() : NULL,
                        .has_native = c->histograms == TB_PUSH_HISTOGRAMS_EXPONENTIAL,
                        .time_ms = points->time_ns / 1000000};
    for (size_t i = 0; i < points->count; i++) {
        put_point(&r, points->items[i]);
        if (r.count >= SERIES_MAX || (r.two && tb_write2_is_full(r.two)))
            finish_request(&r);
    }
    finish_request(&r);
    tb_write2_free(r.two);
    tb_buffer_free(&r.series);
    tb_buffer_free(&r.part);
}

/* A receiver refuses the whole request for one name that is none. */
static char *check(const struct tb_push_output_config *c)
{
    for (size_t i = 0; i < c->constants.count; i++) {
        const char *name = c->constants.items[i].name, *wrong = tb_label_name_complaint(name, false);
        if (wrong)
            return tb_format("constants: \"%s\": %s", name, wrong);
    }
    if (c->histograms == TB_PUSH_HISTOGRAMS_EXPONENTIAL && c->version != 2)
        return tb_format("histograms: version 1 has no exponential ones: write version: 2");
    return NULL;
}

const struct tb_push_kind tb_push_remote_write = {
    .type = "remote_write",
    .keys = TB_PUSH_HAS(TB_PUSH_ENDPOINT) | TB_PUSH_HAS(TB_PUSH_CA_FILE) | TB_PUSH_HAS(TB_PUSH_KEY_HEADERS) |
            TB_PUSH_HAS(TB_PUSH_KEY_TIMEOUT) | TB_PUSH_HAS(TB_PUSH_KEY_VERSION) | TB_PUSH_HAS(TB_PUSH_KEY_HISTOGRAMS),
    .required = TB_PUSH_HAS(TB_PUSH_ENDPOINT),
    .has_label_names = true,
    .is_cumulative = true,
    .check = check,
    .encode = encode,
};
