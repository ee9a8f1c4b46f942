/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of the text formats (render_text.h). Histograms are nearly all of a scrape: a line begins with the same bytes
 * as the one above it, so it is a copy of those, a prepared `le` and a number; there is one check for room a histogram.
 */
#include "render_text.h"

void tb_text_name(struct tb_buffer *out, const struct tb_reader *r, size_t name_len, const char *suffix)
{
    const size_t suffix_len = strlen(suffix);
    char *to = tb_buffer_room(out, name_len + suffix_len + r->labels.len + 6);
    to = r->is_quoted ? mempcpy(to, "{\"", 2) : to;
    to = mempcpy(to, r->metric.name, name_len);
    to = mempcpy(to, suffix, suffix_len);
    to = r->is_quoted ? mempcpy(to, "\"", 1) : to;
    if (r->labels.len) {
        *to++ = r->is_quoted ? ',' : '{';
        to = mempcpy(to, r->labels.text, r->labels.len);
    }
    if (r->labels.len || r->is_quoted)
        *to++ = '}';
    *to++ = ' ';
    out->len = (size_t)(to - out->data);
}

const char *tb_text_type(enum tb_metric_type type)
{
    static const char *const types[] = {"counter", "gauge", "summary", "histogram"};
    return types[type];
}

size_t tb_text_base_len(const struct tb_metric *m)
{
    size_t len = strlen(m->name), tail = sizeof "_total" - 1;
    bool is_total = m->type == TB_METRIC_COUNTER && len > tail && strcmp(m->name + len - tail, "_total") == 0;
    return is_total ? len - tail : len;
}

/* A name that does not end with its unit would make the whole exposition wrong. */
static bool has_unit(const struct tb_metric *m)
{
    size_t base = tb_text_base_len(m), unit = strlen(m->unit);
    return unit && unit < base && m->name[base - unit - 1] == '_' && memcmp(m->name + base - unit, m->unit, unit) == 0;
}

void tb_text_comment(struct tb_buffer *out, const char *what, const struct tb_reader *r, size_t name_len)
{
    tb_puts(out, what);
    tb_puts(out, r->is_quoted ? "\"" : "");
    tb_put(out, r->metric.name, name_len);
    tb_puts(out, r->is_quoted ? "\" " : " ");
}

void tb_text_metadata(struct tb_buffer *out, const struct tb_reader *r, size_t name_len)
{
    const struct tb_metric *m = &r->metric;
    tb_text_comment(out, "# HELP ", r, name_len);
    tb_put_escaped(out, m->help, strlen(m->help));
    tb_text_comment(out, "\n# TYPE ", r, name_len);
    tb_puts(out, tb_text_type(m->type));
    tb_put(out, "\n", 1);
    if (!has_unit(m))
        return;
    tb_text_comment(out, "# UNIT ", r, name_len);
    tb_puts(out, m->unit);
    tb_put(out, "\n", 1);
}

static void put_real_bound(struct tb_buffer *out, double bound, bool has_point)
{
    const size_t start = out->len;
    tb_put_real(out, bound);
    if (has_point && !memchr(out->data + start, '.', out->len - start) &&
        !memchr(out->data + start, 'e', out->len - start))
        tb_put(out, ".0", 2);
}

void tb_text_bound(struct tb_buffer *out, uint64_t bound, unsigned decimals, bool has_point)
{
    if (decimals == TB_METRIC_REAL) {
        put_real_bound(out, tb_bits_real(bound), has_point);
        return;
    }
    char digits[TB_U64_MAX];
    size_t len = (size_t)(tb_write_u64(digits, bound) - digits);
    if (bound && len + 4 <= decimals) { /* below 0.0001 */
        unsigned exponent = decimals + 1 - (unsigned)len;
        while (digits[len - 1] == '0')
            len--;
        tb_put(out, digits, 1);
        if (len > 1)
            tb_put(out, ".", 1);
        tb_put(out, digits + 1, len - 1);
        tb_put(out, exponent < 10 ? "e-0" : "e-", exponent < 10 ? 3 : 2);
        tb_put_u64(out, exponent);
        return;
    }
    size_t start = out->len;
    tb_put_decimal(out, bound, decimals);
    if (has_point && !memchr(out->data + start, '.', out->len - start))
        tb_put(out, ".0", 2);
}

void tb_text_bounds(struct tb_encoder *e, const char *before, const char *after)
{
    struct tb_buffer b = {0};
    for (size_t i = 0; i <= e->reader.bound_count; i++) {
        struct tb_piece *le = &e->le[i];
        b.len = 0;
        tb_puts(&b, before);
        if (i < e->reader.bound_count)
            tb_text_bound(&b, e->reader.bounds[i], e->reader.metric.decimals, e->encoding->has_point);
        else
            tb_puts(&b, "+Inf");
        tb_puts(&b, after);
        le->len = b.len;
        memcpy(le->text, b.data, b.len); /* a number has 24 bytes at most */
    }
    tb_buffer_free(&b);
}

void tb_text_time(struct tb_buffer *out, uint64_t ns)
{
    tb_put_decimal(out, ns / 1000000, 3);
}

void tb_text_exemplar(struct tb_buffer *out, const struct tb_metric *m, const struct tb_exposed_exemplar *exemplar)
{
    tb_puts(out, " # {");
    tb_put(out, exemplar->labels.text, exemplar->labels.len);
    tb_puts(out, "} ");
    tb_put_decimal(out, exemplar->value, m->decimals);
    if (exemplar->time_ns) {
        tb_put(out, " ", 1);
        tb_text_time(out, exemplar->time_ns);
    }
}

static char *copy(char *to, const char *from, size_t len)
{
    memcpy(to, from, len);
    return to + len;
}

static void put_sum_and_count(struct tb_buffer *out, const struct tb_reader *r, uint64_t sum)
{
    tb_text_name(out, r, strlen(r->metric.name), "_sum");
    tb_text_number(out, sum, r->metric.decimals);
    tb_put(out, "\n", 1);
    tb_text_name(out, r, strlen(r->metric.name), "_count");
    tb_put_u64(out, r->value);
    tb_put(out, "\n", 1);
}

void tb_text_summary(struct tb_encoder *e, struct tb_buffer *out)
{
    put_sum_and_count(out, &e->reader, e->reader.sum);
}

/* The beginning of all bucket lines of a histogram; *@out has room for it. */
static size_t put_prefix(struct tb_buffer *out, const struct tb_reader *r)
{
    char *start = out->data + out->len, *to = start;
    if (r->is_quoted)
        to = copy(to, "{\"", 2);
    to = copy(to, r->metric.name, strlen(r->metric.name));
    to = r->is_quoted ? copy(to, r->labels.len ? "_bucket\"," : "_bucket\"", r->labels.len ? 9 : 8)
                      : copy(to, "_bucket{", 8);
    if (r->labels.len)
        to = copy(to, r->labels.text, r->labels.len);
    return (size_t)(to - start);
}

void tb_text_histogram(struct tb_encoder *e, struct tb_buffer *out, bool has_exemplars)
{
    const struct tb_reader *r = &e->reader;
    const struct tb_exposed_histogram *h = &r->histogram;
    const struct tb_exposed_exemplar *exemplar = h->exemplars, *last = exemplar + h->exemplar_count;
    const size_t comma = !r->labels.len && !r->is_quoted; /* there is nothing that `le` would follow */
    const size_t line_max = strlen(r->metric.name) + 11 + r->labels.len + sizeof e->le[0].text + TB_U64_MAX + 1;
    uint64_t count = 0;
    tb_buffer_room(out, line_max * (h->bound_count + 2));
    const size_t prefix_len = put_prefix(out, r);
    size_t line_at = out->len;
    for (size_t i = 0; i <= h->bound_count; i++) {
        char *to = out->data + line_at + prefix_len;
        memcpy(to, e->le[i].text + comma, sizeof e->le[i].text - 1); /* a fixed length: a few moves */
        to = tb_write_u64(to + e->le[i].len - comma, count += h->buckets[i]);
        out->len = (size_t)(to - out->data);
        if (exemplar < last && exemplar->bucket == i) {
            if (has_exemplars)
                tb_text_exemplar(out, &r->metric, exemplar);
            tb_buffer_room(out, line_max * (h->bound_count + 2 - i));
            exemplar++;
        }
        out->data[out->len++] = '\n';
        if (i < h->bound_count)
            memcpy(out->data + out->len, out->data + line_at, prefix_len); /* of the next line */
        line_at = out->len;
    }
    put_sum_and_count(out, r, h->sum);
}

void tb_text_end(struct tb_encoder *e, struct tb_buffer *out)
{
    (void)e;
    tb_puts(out, "# EOF\n");
}
