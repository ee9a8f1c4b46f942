/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of HTML (html.h). Drawings have a scale of their own: x is seconds, or a share of 100; CSS gives the size. */
#include "html.h"

#include <math.h>
#include <stdio.h>

#define INTERVAL_LEAST_S 2.0
#define DASH "\xe2\x80\x93"

void tb_html_text(struct tb_buffer *b, const char *text)
{
    for (const char *p = text; *p; p++) {
        switch (*p) {
        case '&':
            tb_puts(b, "&amp;");
            break;
        case '<':
            tb_puts(b, "&lt;");
            break;
        case '>':
            tb_puts(b, "&gt;");
            break;
        case '"':
            tb_puts(b, "&quot;");
            break;
        case '\'':
            tb_puts(b, "&#39;");
            break;
        default:
            tb_put(b, p, 1);
        }
    }
}

void tb_html_argument(struct tb_buffer *b, const char *text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                        c == '_' || c == '.' || c == '~';
        char encoded[3] = {'%', digits[c >> 4], digits[c & 15]};
        tb_put(b, is_plain ? p : encoded, is_plain ? 1 : 3);
    }
}

/* --- figures ---------------------------------------------------------------------------------------------------------
 */

void tb_html_count(struct tb_buffer *b, uint64_t n)
{
    char digits[24], grouped[32];
    size_t len = (size_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)n), to = 0;
    for (size_t i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            grouped[to++] = ',';
        grouped[to++] = digits[i];
    }
    tb_put(b, grouped, to);
}

/* @value with @decimals of them; no locale: the exporter sets none. */
static void put_decimals(struct tb_buffer *b, double value, int decimals)
{
    char text[64];
    int len = snprintf(text, sizeof text, "%.*f", decimals, value);
    tb_put(b, text, (size_t)len);
}

/* Three digits. */
static void put_three(struct tb_buffer *b, double value)
{
    if (value < 999.5)
        put_decimals(b, value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
    else
        tb_html_count(b, (uint64_t)llround(value));
}

void tb_html_rate(struct tb_buffer *b, double per_second)
{
    if (isnan(per_second))
        tb_puts(b, DASH);
    else if (per_second <= 0)
        tb_puts(b, "0");
    else if (per_second < 0.01)
        tb_puts(b, "&lt;0.01");
    else
        put_three(b, per_second);
}

void tb_html_duration(struct tb_buffer *b, double ns)
{
    static const struct {
        double from_ns, unit_ns;
        const char *unit;
    } units[] = {{999.5e9, 60e9, " min"}, {999.5e6, 1e9, " s"}, {999.5e3, 1e6, " ms"}, {999.5, 1e3, " \xc2\xb5s"}};
    if (isnan(ns)) {
        tb_puts(b, DASH);
        return;
    }
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (ns < units[i].from_ns)
            continue;
        put_three(b, ns / units[i].unit_ns);
        tb_puts(b, units[i].unit);
        return;
    }
    put_decimals(b, ns, 0);
    tb_puts(b, " ns");
}

void tb_html_percent(struct tb_buffer *b, double ratio)
{
    if (isnan(ratio))
        tb_puts(b, DASH);
    else if (ratio <= 0)
        tb_puts(b, "0 %");
    else if (ratio < 0.001)
        tb_puts(b, "&lt;0.1 %");
    else {
        put_decimals(b, ratio * 100, 1);
        tb_puts(b, " %");
    }
}

/* --- drawings --------------------------------------------------------------------------------------------------------
 */

static void put_point(struct tb_buffer *b, char command, double x, double y)
{
    tb_put(b, &command, 1);
    put_decimals(b, x, 1);
    tb_puts(b, " ");
    put_decimals(b, y, 1);
}

/* The last interval has just begun when it is that short: its rate would only be noise. */
static bool is_drawn(const struct tb_overview *v, size_t i)
{
    return v->ends[i] - v->ends[i + 1] >= INTERVAL_LEAST_S;
}

static double spark_value(const struct tb_overview *v, const struct tb_overview_moment *moments, size_t i,
                          enum tb_spark of)
{
    if (!is_drawn(v, i))
        return NAN;
    return of == TB_SPARK_P95 ? moments[i].p95_ns : (double)moments[i].requests / (v->ends[i] - v->ends[i + 1]);
}

/* Steps: a value holds for its interval. A gap where there is none. */
void tb_html_spark(struct tb_buffer *b, const struct tb_overview *v, const struct tb_overview_moment *moments,
                   enum tb_spark of)
{
    double max = 0;
    bool is_area = of == TB_SPARK_REQUESTS, is_drawing = false;
    if (!v->interval_count || !moments)
        return;
    for (size_t i = 0; i < v->interval_count; i++)
        max = fmax(max, spark_value(v, moments, i, of)); /* ignores NAN */
    tb_puts(
        b,
        "<svg class=\"spark\" viewBox=\"0 0 100 20\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><path class=\"");
    tb_puts(b, is_area ? "area\" d=\"M0 20" : "line\" d=\"");
    for (size_t i = 0; max > 0 && i < v->interval_count; i++) {
        double value = spark_value(v, moments, i, of);
        double from = 100 * (1 - v->ends[i] / v->ends[0]), to = 100 * (1 - v->ends[i + 1] / v->ends[0]);
        if (isnan(value)) {
            is_drawing = false;
            continue;
        }
        double y = 19 - 18 * value / max;
        put_point(b, is_drawing || is_area ? 'L' : 'M', from, y);
        put_point(b, 'L', to, y);
        is_drawing = true;
    }
    tb_puts(b, is_area ? "L100 20\"/></svg>" : "\"/></svg>");
}

/* Of an edge between rows, from below: row 0 begins at edge 0. */
static double edge_ns(const struct tb_overview_heat *h, double row)
{
    double bucket = h->first_bucket + row * h->buckets_per_row;
    return 1e9 * exp2((bucket - 161) / 8); /* upper bound of the bucket below */
}

/* Requests per second in a cell, so that long and short intervals compare. */
static double cell_rate(const struct tb_overview *v, size_t interval, unsigned row)
{
    double seconds = v->ends[interval] - v->ends[interval + 1];
    return is_drawn(v, interval) ? (double)v->heat.counts[interval * v->heat.rows + row] / seconds : 0;
}

/* The smallest and the largest rate that is not 0. */
static void find_rates(const struct tb_overview *v, double *ret_min, double *ret_max)
{
    *ret_min = HUGE_VAL;
    *ret_max = 0;
    for (size_t i = 0; i < v->interval_count; i++) {
        for (unsigned row = 0; row < v->heat.rows; row++) {
            double rate = cell_rate(v, i, row);
            *ret_min = rate > 0 ? fmin(*ret_min, rate) : *ret_min;
            *ret_max = fmax(*ret_max, rate);
        }
    }
}

static void put_cells(struct tb_buffer *b, const struct tb_overview *v)
{
    const struct tb_overview_heat *h = &v->heat;
    double width = 300 / v->ends[0], min, max;
    find_rates(v, &min, &max);
    for (size_t i = 0; i < v->interval_count; i++) {
        for (unsigned row = 0; row < h->rows; row++) {
            double rate = cell_rate(v, i, row);
            if (!(rate > 0))
                continue;
            double share = max > min ? log(rate / min) / log(max / min) : 1;
            char shade = (char)('1' + (int)(share * 6));
            tb_puts(b, "<rect class=\"h");
            tb_put(b, &shade, 1);
            tb_puts(b, "\" x=\"");
            put_decimals(b, 300 - v->ends[i] * width, 1);
            tb_puts(b, "\" y=\"");
            tb_put_u64(b, h->rows - 1 - row);
            tb_puts(b, "\" width=\"");
            put_decimals(b, (v->ends[i] - v->ends[i + 1]) * width + 0.3, 1); /* no gaps by rounding */
            tb_puts(b, "\" height=\"1\"/>");
        }
    }
}

static void put_p95(struct tb_buffer *b, const struct tb_overview *v)
{
    const struct tb_overview_heat *h = &v->heat;
    bool is_drawing = false;
    tb_puts(b, "<path class=\"line\" d=\"");
    for (size_t i = 0; i < v->interval_count; i++) {
        double ns = v->moments[i].p95_ns;
        if (isnan(ns)) {
            is_drawing = false;
            continue;
        }
        double row = 8 * log2(ns / edge_ns(h, 0)) / h->buckets_per_row;
        double y = h->rows - fmin(fmax(row, 0), h->rows);
        put_point(b, is_drawing ? 'L' : 'M', 300 * (1 - v->ends[i] / v->ends[0]), y);
        put_point(b, 'L', 300 * (1 - v->ends[i + 1] / v->ends[0]), y);
        is_drawing = true;
    }
    tb_puts(b, "\"/>");
}

void tb_html_heat(struct tb_buffer *b, const struct tb_overview *v)
{
    const struct tb_overview_heat *h = &v->heat;
    if (!h->rows) {
        tb_puts(b, "<p class=\"quiet\">No request was timed in this time.</p>");
        return;
    }
    tb_puts(b, "<div class=\"map\"><ol aria-hidden=\"true\">");
    for (int i = 4; i >= 0; i--) {
        tb_puts(b, "<li>");
        tb_html_duration(b, edge_ns(h, h->rows * (i / 4.0)));
        tb_puts(b, "</li>");
    }
    tb_puts(b, "</ol><svg viewBox=\"0 0 300 ");
    tb_put_u64(b, h->rows);
    tb_puts(b, "\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Requests by time and duration, from ");
    tb_html_duration(b, edge_ns(h, 0));
    tb_puts(b, " to ");
    tb_html_duration(b, edge_ns(h, h->rows));
    tb_puts(b, "\">");
    put_cells(b, v);
    put_p95(b, v);
    tb_puts(b, "</svg><p><span>");
    tb_html_duration(b, v->ends[0] * 1e9);
    tb_puts(b, " ago</span><span>now</span></p></div>");
}
