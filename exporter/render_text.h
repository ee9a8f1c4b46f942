/* SPDX-License-Identifier: Apache-2.0 */
/* What the text formats have alike: sample names, `le` values, the lines of a classic histogram. */
#ifndef TB_RENDER_TEXT_H
#define TB_RENDER_TEXT_H

#include "render.h"

/* tb_text_name - `name` + `suffix`, the labels in braces if there are any, a blank. */
void tb_text_name(struct tb_buffer *out, const char *name, const char *suffix, struct tb_labels labels);

/*
 * tb_text_bounds - make e->le for the bounds that the reader has just read: `,le="0.25"} `.
 * @has_point  whole numbers are written 1.0, as OpenMetrics wants them
 */
void tb_text_bounds(struct tb_encoder *e, bool has_point);

/* tb_text_bound - a bucket's upper bound, in the shortest form that client libraries write: 0.25, 2.5e-05. */
void tb_text_bound(struct tb_buffer *out, uint64_t bound, unsigned decimals, bool has_point);

/* tb_text_time - a time of CLOCK_REALTIME in seconds, to the millisecond: what Prometheus keeps. */
void tb_text_time(struct tb_buffer *out, uint64_t ns);

/* tb_text_exemplar - ` # {trace_id="..."} 0.25 1700000000.125`. */
void tb_text_exemplar(struct tb_buffer *out, const struct tb_metric *m, const struct tb_exposed_exemplar *exemplar);

/* tb_text_histogram - buckets, sum and count. */
void tb_text_histogram(struct tb_encoder *e, struct tb_buffer *out, bool has_exemplars);

#endif
