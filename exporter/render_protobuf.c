/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Prometheus protobuf format: messages io.prometheus.client.MetricFamily, each behind its length (field numbers:
 * io/prometheus/client/metrics.proto of client_model 0.6). A message is written from its end to its beginning, so that
 * the length of what it holds is known when its head is written. A family's length stands before its first sample: the
 * lengths of its samples are added up first, so that they need not be held.
 */
#include "render.h"
#include "varint.h"

enum { VARINT = 0, FIXED64 = 1, BYTES = 2 }; /* wire types */

#define FIELD_MAX (2 * TB_VARINT_MAX) /* a number with its tag, or the head of a message */

/* --- backwards -------------------------------------------------------------------------------------------------------
 */

static char *varint(char *end, uint64_t n)
{
    char *start = end - tb_varint_len(n);
    tb_varint_write(start, n);
    return start;
}

static char *tag(char *end, unsigned field, unsigned type)
{
    return varint(end, field << 3 | type);
}

static char *number(char *end, unsigned field, uint64_t n)
{
    return tag(varint(end, n), field, VARINT);
}

static char *real(char *end, unsigned field, double value)
{
    end -= sizeof value;
    memcpy(end, &value, sizeof value); /* little endian, as every machine that this runs on */
    return tag(end, field, FIXED64);
}

static char *text(char *end, unsigned field, const char *from, size_t len)
{
    end -= len;
    memcpy(end, from, len);
    return tag(varint(end, len), field, BYTES);
}

/* The head of a message whose fields lie from @start to @end. */
static char *message(char *start, const char *end, unsigned field)
{
    return tag(varint(start, (uint64_t)(end - start)), field, BYTES);
}

/* --- parts of a metric -----------------------------------------------------------------------------------------------
 */

/* An integer times 10^-decimals, rounded once. */
static double real_value(uint64_t n, unsigned decimals)
{
    static const long double powers[] = {1, 1e1L, 1e2L, 1e3L, 1e4L, 1e5L, 1e6L, 1e7L, 1e8L, 1e9L};
    if (decimals == TB_METRIC_REAL)
        return tb_bits_real(n);
    return (double)((long double)n / powers[decimals]);
}

static char *timestamp(char *end, unsigned field, uint64_t ns)
{
    char *at = number(end, 2, ns % 1000000000u);
    return message(number(at, 1, ns / 1000000000u), end, field);
}

static char *created(char *end, unsigned field, uint64_t ns)
{
    return ns ? timestamp(end, field, ns) : end;
}

static char *labels(char *end, struct tb_labels pairs)
{
    end -= pairs.len;
    if (pairs.len)
        memcpy(end, pairs.text, pairs.len);
    return end;
}

static char *exemplar(char *end, unsigned field, const struct tb_exposed_exemplar *x, unsigned decimals)
{
    char *at = created(end, 3, x->time_ns);
    at = real(at, 2, real_value(x->value, decimals));
    return message(labels(at, x->labels), end, field);
}

static char *native(char *end, const struct tb_exposed_histogram *h)
{
    char *at = end;
    uint64_t before;
    for (size_t i = h->cell_count; i > 0; i--) { /* positive_delta: against the bucket before, zigzag */
        before = i > 1 ? h->cells[i - 2].count : 0;
        int64_t delta = (int64_t)(h->cells[i - 1].count - before);
        at = varint(at, (uint64_t)delta << 1 ^ (uint64_t)(delta >> 63));
    }
    if (h->cell_count)
        at = message(at, end, 13);
    /* positive_span: runs of neighbouring buckets, from the last */
    for (size_t to = h->cell_count; to > 0;) {
        size_t from = to - 1;
        while (from > 0 && h->cells[from - 1].index + 1 == h->cells[from].index)
            from--;
        int32_t offset = h->cells[from].index - (from ? h->cells[from - 1].index + 1 : 0);
        end = at;
        at = number(at, 2, to - from);
        at = number(at, 1, (uint32_t)offset << 1 ^ (uint32_t)(offset >> 31));
        at = message(at, end, 12);
        to = from;
    }
    at = number(at, 7, h->zero_count);
    at = real(at, 6, TB_ZERO_THRESHOLD);
    return number(at, 5, 3 << 1); /* schema, zigzag */
}

static char *histogram(char *end, const struct tb_encoder *e)
{
    const struct tb_reader *r = &e->reader;
    const struct tb_exposed_histogram *h = &r->histogram;
    const struct tb_exposed_exemplar *x = h->exemplars + h->exemplar_count;
    uint64_t count = r->value;
    char *at = created(end, 15, h->created_ns);
    if (h->is_native)
        at = native(at, h);
    for (size_t i = h->bound_count + 1; i > 0; i--) {
        char *bucket_end = at;
        if (x > h->exemplars && x[-1].bucket == i - 1)
            at = exemplar(at, 3, --x, r->metric.decimals);
        at -= e->le[i - 1].len;
        memcpy(at, e->le[i - 1].text, 9);
        at = number(at, 1, count);
        at = message(at, bucket_end, 3);
        count -= h->buckets[i - 1];
    }
    at = real(at, 2, real_value(h->sum, r->metric.decimals));
    return number(at, 1, r->value);
}

/* --- records ---------------------------------------------------------------------------------------------------------
 */

/* The value of a metric: the field of its type, but for the labels. */
static char *value(char *end, const struct tb_encoder *e)
{
    const struct tb_reader *r = &e->reader;
    double single = real_value(r->value, r->metric.decimals);
    switch (r->metric.type) {
    case TB_METRIC_GAUGE:
        return message(real(end, 1, single), end, 2);
    case TB_METRIC_COUNTER:
        return message(real(created(end, 3, r->created_ns), 1, single), end, 3);
    case TB_METRIC_SUMMARY: {
        char *at = created(end, 4, r->created_ns);
        at = real(at, 2, real_value(r->sum, r->metric.decimals));
        return message(number(at, 1, r->value), end, 4);
    }
    case TB_METRIC_HISTOGRAM:
        return message(histogram(end, e), end, 7);
    }
    return end;
}

/* Upper bound of a metric's length. */
static size_t metric_max(const struct tb_reader *r)
{
    const struct tb_exposed_histogram *h = &r->histogram;
    size_t len = r->labels.len + 16 * FIELD_MAX;
    if (r->metric.type != TB_METRIC_HISTOGRAM)
        return len;
    len += (h->bound_count + 1) * 3 * FIELD_MAX;
    if (h->is_native)
        len += h->cell_count * (TB_VARINT_MAX + 3 * FIELD_MAX);
    for (size_t i = 0; i < h->exemplar_count; i++)
        len += h->exemplars[i].labels.len + 6 * FIELD_MAX;
    return len;
}

static void put_metric(struct tb_encoder *e, struct tb_buffer *out)
{
    size_t max = metric_max(&e->reader);
    char *start = tb_buffer_room(out, max), *end = start + max;
    char *at = labels(value(end, e), e->reader.labels);
    at = message(at, end, 4);
    memmove(start, at, (size_t)(end - at));
    out->len += (size_t)(end - at);
}

/* `upper_bound` of every bucket, as it stands in the message. */
static void make_bounds(struct tb_encoder *e)
{
    for (size_t i = 0; i <= e->reader.bound_count; i++) {
        struct tb_piece *le = &e->le[i];
        le->len = 1 + sizeof(double);
        real(le->text + le->len, 2,
             i < e->reader.bound_count ? real_value(e->reader.bounds[i], e->reader.metric.decimals) : __builtin_inf());
    }
}

/* --- lengths, without encoding -------------------------------------------------------------------------------------
 */

enum { REAL_LEN = 1 + sizeof(double) };

static size_t message_len(size_t len)
{
    return 1 + tb_varint_len(len) + len;
}

static size_t number_len(uint64_t n)
{
    return 1 + tb_varint_len(n);
}

static size_t created_len(uint64_t ns)
{
    return ns ? message_len(number_len(ns / 1000000000u) + number_len(ns % 1000000000u)) : 0;
}

static size_t histogram_len(const struct tb_reader *r)
{
    const struct tb_exposed_histogram *h = &r->histogram;
    const struct tb_exposed_exemplar *x = h->exemplars, *last = x + h->exemplar_count;
    size_t len = number_len(r->value) + REAL_LEN + created_len(h->created_ns);
    uint64_t count = 0;
    for (size_t i = 0; i <= h->bound_count; i++) {
        size_t bucket = number_len(count += h->buckets[i]) + REAL_LEN;
        if (x < last && x->bucket == i) {
            bucket += message_len(x->labels.len + REAL_LEN + created_len(x->time_ns));
            x++;
        }
        len += message_len(bucket);
    }
    return len;
}

static size_t metric_len(struct tb_encoder *e, struct tb_buffer *scratch)
{
    const struct tb_reader *r = &e->reader;
    const size_t before = scratch->len;
    size_t len = 0;
    switch (r->metric.type) {
    case TB_METRIC_GAUGE:
        len = REAL_LEN;
        break;
    case TB_METRIC_COUNTER:
        len = REAL_LEN + created_len(r->created_ns);
        break;
    case TB_METRIC_SUMMARY:
        len = number_len(r->value) + REAL_LEN + created_len(r->created_ns);
        break;
    case TB_METRIC_HISTOGRAM:
        if (r->histogram.is_native) { /* seldom wanted: not worth rules of its own */
            put_metric(e, scratch);
            len = scratch->len - before;
            scratch->len = before;
            return len;
        }
        len = histogram_len(r);
        break;
    }
    return message_len(r->labels.len + message_len(len));
}

/* Bytes of all samples of the family that was just read. */
static size_t samples_len(struct tb_encoder *e, struct tb_buffer *scratch)
{
    const unsigned char *back = e->reader.at;
    size_t sum = 0;
    while (e->reader.at < e->reader.end && !tb_reader_at_family(&e->reader)) {
        if (tb_reader_next(&e->reader) == TB_EXPOSED_BOUNDS)
            make_bounds(e);
        else
            sum += metric_len(e, scratch);
    }
    e->reader.at = back;
    return sum;
}

/* A family without samples is left out, as every library does. */
static void put_family(struct tb_encoder *e, struct tb_buffer *out)
{
    static const uint8_t types[] = {0, 1, 2, 4}; /* counter, gauge, summary, histogram */
    const struct tb_metric *m = &e->reader.metric;
    const size_t name = strlen(m->name), help = strlen(m->help), unit = strlen(m->unit);
    const size_t samples = samples_len(e, out), max = name + help + unit + 5 * FIELD_MAX;
    if (!samples)
        return;
    char *start = tb_buffer_room(out, max), *end = start + max, *at = end;
    if (unit)
        at = text(at, 5, m->unit, unit);
    at = number(at, 3, types[m->type]);
    at = text(at, 2, m->help, help);
    at = text(at, 1, m->name, name);
    at = varint(at, (uint64_t)(end - at) + samples);
    memmove(start, at, (size_t)(end - at));
    out->len += (size_t)(end - at);
}

const struct tb_encoding tb_encoding_protobuf = {
    .has_native = true,
    .has_pairs = true,
    .family = put_family,
    .bounds = make_bounds,
    .value = put_metric,
    .summary = put_metric,
    .histogram = put_metric,
};
