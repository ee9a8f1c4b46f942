/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenMetrics 2.0: families keep their whole name, a summary or histogram is one line with all its parts, and when it
 * began at 0 stands behind it (st@).
 */
#include "render_text.h"

static void put_family(struct tb_encoder *e, struct tb_buffer *out)
{
    tb_text_metadata(out, &e->reader, strlen(e->reader.metric.name));
}

static void make_bounds(struct tb_encoder *e)
{
    tb_text_bounds(e, "", ":");
}

static void put_start(struct tb_encoder *e, struct tb_buffer *out)
{
    if (!e->reader.created_ns)
        return;
    tb_put(out, " st@", 4);
    tb_text_time(out, e->reader.created_ns);
}

static void put_value(struct tb_encoder *e, struct tb_buffer *out)
{
    const struct tb_reader *r = &e->reader;
    tb_text_name(out, r, strlen(r->metric.name), "");
    tb_text_number(out, r->value, r->metric.decimals);
    put_start(e, out);
    tb_put(out, "\n", 1);
}

static void put_count_and_sum(struct tb_encoder *e, struct tb_buffer *out, uint64_t sum)
{
    const struct tb_reader *r = &e->reader;
    tb_text_name(out, r, strlen(r->metric.name), "");
    tb_puts(out, "{count:");
    tb_put_u64(out, r->value);
    tb_puts(out, ",sum:");
    tb_text_number(out, sum, r->metric.decimals);
}

static void put_summary(struct tb_encoder *e, struct tb_buffer *out)
{
    put_count_and_sum(e, out, e->reader.sum);
    tb_puts(out, ",quantile:[]}");
    put_start(e, out);
    tb_put(out, "\n", 1);
}

/* Spans are runs of neighbouring buckets: distance from the end of the run before, and length. */
static void put_spans(struct tb_buffer *out, const struct tb_exposed_cell *cells, size_t count)
{
    int32_t next = 0;
    for (size_t i = 0, run; i < count; i += run) {
        int32_t offset = cells[i].index - next;
        run = tb_exposed_run(cells + i, count - i);
        tb_puts(out, i ? "," : "");
        tb_puts(out, offset < 0 ? "-" : "");
        tb_put_u64(out, offset < 0 ? (uint64_t)-offset : (uint64_t)offset);
        tb_puts(out, ":");
        tb_put_u64(out, run);
        next = cells[i].index + (int32_t)run;
    }
}

static void put_native(struct tb_buffer *out, const struct tb_exposed_histogram *h)
{
    tb_puts(out, ",schema:3,zero_threshold:" TB_ZERO_THRESHOLD_TEXT ",zero_count:");
    tb_put_u64(out, h->zero_count);
    tb_puts(out, ",positive_spans:[");
    put_spans(out, h->cells, h->cell_count);
    tb_puts(out, "],positive_buckets:[");
    for (size_t i = 0; i < h->cell_count; i++) {
        tb_puts(out, i ? "," : "");
        tb_put_u64(out, h->cells[i].count);
    }
    tb_puts(out, "]");
}

static void put_histogram(struct tb_encoder *e, struct tb_buffer *out)
{
    const struct tb_reader *r = &e->reader;
    const struct tb_exposed_histogram *h = &r->histogram;
    uint64_t count = 0;
    put_count_and_sum(e, out, h->sum);
    if (h->is_native)
        put_native(out, h);
    tb_puts(out, ",bucket:[");
    char *to = tb_buffer_room(out, (h->bound_count + 1) * (sizeof e->le[0].text + TB_U64_MAX + 1));
    for (size_t i = 0; i <= h->bound_count; i++) {
        memcpy(to, e->le[i].text, sizeof e->le[i].text); /* a fixed length: a few moves */
        to = tb_write_u64(to + e->le[i].len, count += h->buckets[i]);
        *to++ = i < h->bound_count ? ',' : ']';
    }
    out->len = (size_t)(to - out->data);
    tb_put(out, "}", 1);
    put_start(e, out);
    for (size_t i = 0; i < h->exemplar_count; i++)
        if (h->exemplars[i].time_ns) /* the format wants a time */
            tb_text_exemplar(out, &r->metric, &h->exemplars[i]);
    tb_put(out, "\n", 1);
}

const struct tb_encoding tb_encoding_openmetrics2 = {
    .has_point = true,
    .has_native = true,
    .family = put_family,
    .bounds = make_bounds,
    .value = put_value,
    .summary = put_summary,
    .histogram = put_histogram,
    .end = tb_text_end,
};
