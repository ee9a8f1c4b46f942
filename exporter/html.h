/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pieces of HTML: escaped text, figures as people read them, small drawings (SVG). page.js has the same forms
 * (exporter/page/), so that a figure looks the same before and after it is brought up to date. Pure; figures do not
 * depend on the locale.
 */
#ifndef TB_HTML_H
#define TB_HTML_H

#include "buffer.h"
#include "overview.h"

/* tb_html_text - for content and for attributes in quotes. @text is valid UTF-8. */
void tb_html_text(struct tb_buffer *b, const char *text);
/* tb_html_argument - a value in the query of an address: percent-encoded, so that it needs no escaping. */
void tb_html_argument(struct tb_buffer *b, const char *text);

void tb_html_count(struct tb_buffer *b, uint64_t n);       /* 1,234,567 */
void tb_html_rate(struct tb_buffer *b, double per_second); /* 0.25, 12.5, 1,234; NAN: a dash */
void tb_html_duration(struct tb_buffer *b, double ns);     /* 1.50 ms, 12.5 s; NAN: a dash */
void tb_html_percent(struct tb_buffer *b, double ratio);   /* 2.5 %; NAN: a dash */

/* What a spark line is of. */
enum tb_spark { TB_SPARK_REQUESTS /* per second */, TB_SPARK_P95 };

/* tb_html_spark - one drawing of the view's intervals; nothing when it has none. @moments may be NULL. */
void tb_html_spark(struct tb_buffer *b, const struct tb_overview *v, const struct tb_overview_moment *moments,
                   enum tb_spark of);

/* tb_html_heat - the heat map with its labels and the line of the p95; a sentence when there is nothing to draw. */
void tb_html_heat(struct tb_buffer *b, const struct tb_overview *v);

#endif
