/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Prometheus text format, 0.0.4 and 1.0.0 (they differ in names in quotes, which an exposition for 0.0.4 has not).
 * Numbers are integers or exact decimals, so nothing here depends on locale or floating point. What OpenMetrics has
 * alike is in render_lines.c.
 */
#include "render_text.h"

static void put_family(struct tb_encoder *e, struct tb_buffer *out)
{
    const struct tb_metric *m = &e->reader.metric;
    const size_t name_len = strlen(m->name);
    tb_text_comment(out, "# HELP ", &e->reader, name_len);
    for (const char *p = m->help; *p; p++)
        tb_put(out, *p == '\n' ? "\\n" : *p == '\\' ? "\\\\" : p, *p == '\n' || *p == '\\' ? 2 : 1);
    tb_text_comment(out, "\n# TYPE ", &e->reader, name_len);
    tb_puts(out, tb_text_type(m->type));
    tb_puts(out, "\n");
}

static void make_bounds(struct tb_encoder *e)
{
    tb_text_bounds(e, ",le=\"", "\"} ");
}

static void put_value(struct tb_encoder *e, struct tb_buffer *out)
{
    const struct tb_reader *r = &e->reader;
    tb_text_name(out, r, strlen(r->metric.name), "");
    tb_text_number(out, r->value, r->metric.decimals);
    tb_put(out, "\n", 1);
}

static void put_histogram(struct tb_encoder *e, struct tb_buffer *out)
{
    tb_text_histogram(e, out, false);
}

const struct tb_encoding tb_encoding_text = {
    .family = put_family,
    .bounds = make_bounds,
    .value = put_value,
    .summary = tb_text_summary,
    .histogram = put_histogram,
};
