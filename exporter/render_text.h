/* SPDX-License-Identifier: Apache-2.0 */
/* What the text formats have alike: sample names, `le` values, the lines of a classic histogram. */
#ifndef TB_RENDER_TEXT_H
#define TB_RENDER_TEXT_H

#include "render.h"

/*
 * tb_text_name - the metric's name, its first @name_len bytes, + `suffix`, the labels in braces if there are any, a
 * blank. A name that is no identifier stands in quotes before the labels.
 */
void tb_text_name(struct tb_buffer *out, const struct tb_reader *r, size_t name_len, const char *suffix);

/* tb_text_comment - @what, the first @name_len bytes of the metric's name, in quotes where it is no identifier, a
 * blank. */
void tb_text_comment(struct tb_buffer *out, const char *what, const struct tb_reader *r, size_t name_len);

/* tb_text_number - a value of a family with so many decimals, or TB_METRIC_REAL. */
static inline void tb_text_number(struct tb_buffer *out, uint64_t n, unsigned decimals)
{
    if (decimals == TB_METRIC_REAL)
        tb_put_real(out, tb_bits_real(n));
    else
        tb_put_decimal(out, n, decimals);
}

/* tb_text_base_len - length of a metric's name, of a counter's without its _total. */
size_t tb_text_base_len(const struct tb_metric *m);

/*
 * tb_text_metadata - HELP, TYPE and UNIT of OpenMetrics.
 * @name_len  of the family's name, which begins the metric's
 */
void tb_text_metadata(struct tb_buffer *out, const struct tb_reader *r, size_t name_len);

/* tb_text_type - the word for a metric's type. */
const char *tb_text_type(enum tb_metric_type type);

/*
 * tb_text_bound - a bucket's upper bound, in the shortest form, as client libraries write it: 0.25, 2.5e-05.
 * @has_point  whole numbers are 1.0, as OpenMetrics wants them
 */
void tb_text_bound(struct tb_buffer *out, uint64_t bound, unsigned decimals, bool has_point);

/* tb_text_bounds - make e->le for the bounds that the reader has just read: each between @before and @after. */
void tb_text_bounds(struct tb_encoder *e, const char *before, const char *after);

/* tb_text_time - a time of CLOCK_REALTIME in seconds, to the millisecond: what Prometheus keeps. */
void tb_text_time(struct tb_buffer *out, uint64_t ns);

/* tb_text_exemplar - ` # {trace_id="..."} 0.25 1700000000.125`. */
void tb_text_exemplar(struct tb_buffer *out, const struct tb_metric *m, const struct tb_exposed_exemplar *exemplar);

/* tb_text_summary - sum and count. */
void tb_text_summary(struct tb_encoder *e, struct tb_buffer *out);

/* tb_text_histogram - buckets, sum and count. e->le holds `,le="..."} `. */
void tb_text_histogram(struct tb_encoder *e, struct tb_buffer *out, bool has_exemplars);

/* tb_text_end - the last line of OpenMetrics. */
void tb_text_end(struct tb_encoder *e, struct tb_buffer *out);

#endif
