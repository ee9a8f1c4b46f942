/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenMetrics 1.0: the text format with families named without _total, units, whole numbers of `le` with a point,
 * exemplars and an end. `_created` samples are series of their own for servers that do not know them: only where
 * wanted.
 */
#include "render_text.h"

static void put_family(struct tb_encoder *e, struct tb_buffer *out)
{
    tb_text_metadata(out, &e->reader, tb_text_base_len(&e->reader.metric));
}

static void make_bounds(struct tb_encoder *e)
{
    tb_text_bounds(e, ",le=\"", "\"} ");
}

static void put_created(struct tb_encoder *e, struct tb_buffer *out)
{
    const struct tb_reader *r = &e->reader;
    if (!e->has_created_lines || !r->created_ns)
        return;
    tb_text_name(out, r, tb_text_base_len(&r->metric), "_created");
    tb_text_time(out, r->created_ns);
    tb_put(out, "\n", 1);
}

static void put_value(struct tb_encoder *e, struct tb_buffer *out)
{
    const struct tb_reader *r = &e->reader;
    tb_text_name(out, r, tb_text_base_len(&r->metric), r->metric.type == TB_METRIC_COUNTER ? "_total" : "");
    tb_text_number(out, r->value, r->metric.decimals);
    tb_put(out, "\n", 1);
    put_created(e, out);
}

static void put_summary(struct tb_encoder *e, struct tb_buffer *out)
{
    tb_text_summary(e, out);
    put_created(e, out);
}

static void put_histogram(struct tb_encoder *e, struct tb_buffer *out)
{
    tb_text_histogram(e, out, true);
    put_created(e, out);
}

const struct tb_encoding tb_encoding_openmetrics = {
    .has_point = true,
    .family = put_family,
    .bounds = make_bounds,
    .value = put_value,
    .summary = put_summary,
    .histogram = put_histogram,
    .end = tb_text_end,
};
