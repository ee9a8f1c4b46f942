/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of an exposition: a byte of kind, then texts as length and bytes, numbers as varints (7 bits a byte, lowest
 * first, the high bit says that more follow). Only this file knows the form; what is read is what was written here.
 */
#include "exposition.h"

#include <stdlib.h>

#include "label_pairs.h"
#include "varint.h"

void tb_exposition_free(struct tb_exposition *x)
{
    tb_buffer_free(&x->records);
    *x = (struct tb_exposition){0};
}

/* --- writing: into room that is known to be there --------------------------------------------------------------------
 */

static char *write_text(char *to, const char *text, size_t len)
{
    to = tb_varint_write(to, len);
    if (len)
        memcpy(to, text, len);
    return to + len;
}

/* Labels of so many bytes of text, in the form that the exposition has them. */
static size_t form_room(const struct tb_exposition *x, size_t len)
{
    len = x->label_escaping ? tb_escape_max(len) : len;
    return x->has_pairs ? tb_label_pairs_max(len) : len;
}

static char *write_form(const struct tb_exposition *x, char *to, const char *text, size_t len)
{
    if (!x->has_pairs)
        return write_text(to, text, len);
    char *pairs = to + TB_VARINT_MAX; /* the length goes before, and is not known yet */
    size_t pairs_len = (size_t)(tb_label_pairs(pairs, text, len) - pairs);
    to = tb_varint_write(to, pairs_len);
    memmove(to, pairs, pairs_len);
    return to + pairs_len;
}

/* The same with names that may need escaping: seldom, so it may allocate. */
static char *write_escaped(const struct tb_exposition *x, char *to, const char *text, size_t len)
{
    struct tb_buffer escaped = {0};
    if (!x->label_escaping)
        return write_form(x, to, text, len);
    char *start = tb_buffer_room(&escaped, tb_escape_max(len));
    to = write_form(x, to, start, (size_t)(tb_escape_labels(start, text, len, x->label_escaping) - start));
    tb_buffer_free(&escaped);
    return to;
}

/* What write_labels takes: with constant labels the text is put together behind the place of the result. */
static size_t labels_room(const struct tb_exposition *x, struct tb_labels labels)
{
    size_t len = labels.len + 1 + x->constant.len;
    return form_room(x, len) + (x->constant.len ? len : 0);
}

static char *write_labels(const struct tb_exposition *x, char *to, struct tb_labels labels)
{
    if (labels.is_pairs)
        return write_text(to, labels.text, labels.len);
    if (!x->constant.len)
        return write_escaped(x, to, labels.text, labels.len);
    size_t len = labels.len + (labels.len != 0) + x->constant.len;
    char *text = to + TB_VARINT_MAX + form_room(x, len), *end = text;
    if (labels.len) {
        end = mempcpy(end, labels.text, labels.len);
        *end++ = ',';
    }
    memcpy(end, x->constant.text, x->constant.len);
    return write_escaped(x, to, text, len);
}

/* Room for a record of @texts bytes of text and @numbers numbers, its kind written. */
static char *begin(struct tb_exposition *x, enum tb_exposed_kind kind, size_t texts, size_t numbers)
{
    char *to = tb_buffer_room(&x->records, 1 + texts + numbers * TB_VARINT_MAX);
    *to++ = (char)kind;
    return to;
}

static void finish(struct tb_exposition *x, const char *end)
{
    x->records.len = (size_t)(end - x->records.data);
}

/* Whoever filters knows a name as it is configured, or as it is shown. */
static bool is_wanted(const struct tb_exposition *x, const char *name, const char *shown)
{
    return tb_filter_has_family(x->filter, name) ||
           (strcmp(name, shown) != 0 && tb_filter_has_family(x->filter, shown));
}

bool tb_expose_family(struct tb_exposition *x, const struct tb_metric *m)
{
    char shown[TB_ESCAPED_MEET + 1];
    if (!m->name || strlen(m->name) > TB_ESCAPE_MEET)
        return false;
    *tb_escape_name(shown, m->name, strlen(m->name), x->escaping, false) = 0;
    if (!is_wanted(x, m->name, shown))
        return false;
    size_t name = strlen(shown), unit = strlen(m->unit), help = strlen(m->help);
    char *to = begin(x, TB_EXPOSED_FAMILY, name + unit + help + 3, 5);
    to = write_text(to, shown, name + 1);
    to = write_text(to, m->unit, unit + 1);
    to = write_text(to, m->help, help + 1);
    to = tb_varint_write(to, m->type);
    finish(x, tb_varint_write(to, m->decimals));
    x->families++;
    x->bounds = NULL; /* so that each family can be read by itself */
    return true;
}

void tb_expose_value(struct tb_exposition *x, struct tb_labels labels, uint64_t value, uint64_t created_ns)
{
    char *to = begin(x, TB_EXPOSED_VALUE, labels_room(x, labels), 3);
    to = write_labels(x, to, labels);
    to = tb_varint_write(to, value);
    finish(x, tb_varint_write(to, created_ns));
    x->samples++;
}

void tb_expose_single(struct tb_exposition *x, const struct tb_metric *m, uint64_t value, uint64_t created_ns)
{
    if (tb_expose_family(x, m))
        tb_expose_value(x, tb_labels(""), value, created_ns);
}

void tb_expose_summary(struct tb_exposition *x, struct tb_labels labels, uint64_t count, uint64_t sum,
                       uint64_t created_ns)
{
    char *to = begin(x, TB_EXPOSED_SUMMARY, labels_room(x, labels), 4);
    to = write_labels(x, to, labels);
    to = tb_varint_write(to, count);
    to = tb_varint_write(to, sum);
    finish(x, tb_varint_write(to, created_ns));
    x->samples += 2;
}

static void write_bounds(struct tb_exposition *x, const uint64_t *bounds, size_t count)
{
    char *to = begin(x, TB_EXPOSED_BOUNDS, 0, count + 1);
    to = tb_varint_write(to, count);
    for (size_t i = 0; i < count; i++)
        to = tb_varint_write(to, bounds[i]);
    finish(x, to);
    x->bounds = bounds;
}

static char *write_cells(char *to, const struct tb_exposed_histogram *h)
{
    int32_t last = 0;
    to = tb_varint_write(to, h->zero_count);
    to = tb_varint_write(to, h->cell_count);
    for (size_t i = 0; i < h->cell_count; i++) {
        int32_t step = h->cells[i].index - last; /* only the first can be below 0 */
        to = tb_varint_write(to, step < 0 ? (uint64_t)(uint32_t)-step * 2 + 1 : (uint64_t)(uint32_t)step * 2);
        to = tb_varint_write(to, h->cells[i].count);
        last = h->cells[i].index;
    }
    return to;
}

static void write_exemplar(struct tb_exposition *x, const struct tb_exposed_exemplar *e)
{
    char *to = tb_buffer_room(&x->records, form_room(x, e->labels.len) + 4 * TB_VARINT_MAX);
    to = tb_varint_write(to, e->bucket);
    to = write_form(x, to, e->labels.text, e->labels.len);
    to = tb_varint_write(to, e->value);
    finish(x, tb_varint_write(to, e->time_ns));
}

void tb_expose_histogram(struct tb_exposition *x, struct tb_labels labels, const struct tb_exposed_histogram *h)
{
    if (h->bound_count > TB_BOUNDS_MAX || h->cell_count > TB_EXPOSED_CELLS_MAX ||
        h->exemplar_count > h->bound_count + 1)
        return;
    if (x->bounds != h->bounds)
        write_bounds(x, h->bounds, h->bound_count);
    char *to = begin(x, TB_EXPOSED_HISTOGRAM, labels_room(x, labels), h->bound_count + 1 + 2 * h->cell_count + 7);
    to = write_labels(x, to, labels);
    for (size_t i = 0; i <= h->bound_count; i++)
        to = tb_varint_write(to, h->buckets[i]);
    to = tb_varint_write(to, h->sum);
    to = tb_varint_write(to, h->created_ns);
    to = tb_varint_write(to, h->is_native);
    if (h->is_native)
        to = write_cells(to, h);
    finish(x, tb_varint_write(to, h->exemplar_count));
    for (size_t i = 0; i < h->exemplar_count; i++)
        write_exemplar(x, &h->exemplars[i]);
    x->samples += h->bound_count + 3;
}

/* --- reading ---------------------------------------------------------------------------------------------------------
 */

static uint64_t read_number(struct tb_reader *r)
{
    return tb_varint_read(&r->at);
}

static struct tb_labels read_text(struct tb_reader *r)
{
    size_t len = read_number(r);
    const char *text = (const char *)r->at;
    r->at += len;
    return (struct tb_labels){.text = text, .len = len};
}

static void read_family(struct tb_reader *r)
{
    struct tb_labels name = read_text(r);
    r->metric.name = name.text;
    r->is_quoted = !tb_is_identifier(name.text, name.len - 1, true);
    r->metric.unit = read_text(r).text;
    r->metric.help = read_text(r).text;
    r->metric.type = (enum tb_metric_type)read_number(r);
    r->metric.decimals = (uint8_t)read_number(r);
}

static void read_bounds(struct tb_reader *r)
{
    r->bound_count = read_number(r);
    for (size_t i = 0; i < r->bound_count; i++)
        r->bounds[i] = read_number(r);
}

static void read_cells(struct tb_reader *r, struct tb_exposed_histogram *h)
{
    int32_t index = 0;
    h->zero_count = read_number(r);
    h->cell_count = read_number(r);
    for (size_t i = 0; i < h->cell_count; i++) {
        uint64_t step = read_number(r);
        index += step & 1 ? -(int32_t)(step / 2) : (int32_t)(step / 2);
        r->cells[i].index = index;
        r->cells[i].count = read_number(r);
    }
    h->cells = r->cells;
}

static void read_histogram(struct tb_reader *r)
{
    struct tb_exposed_histogram h = {.bounds = r->bounds, .bound_count = r->bound_count, .buckets = r->buckets};
    r->labels = read_text(r);
    r->value = 0;
    for (size_t i = 0; i <= r->bound_count; i++)
        r->value += r->buckets[i] = read_number(r);
    h.sum = read_number(r);
    r->created_ns = h.created_ns = read_number(r);
    h.is_native = read_number(r) != 0;
    if (h.is_native)
        read_cells(r, &h);
    h.exemplar_count = read_number(r);
    for (size_t i = 0; i < h.exemplar_count; i++) {
        struct tb_exposed_exemplar *e = &r->exemplars[i];
        e->bucket = (uint32_t)read_number(r);
        e->labels = read_text(r);
        e->value = read_number(r);
        e->time_ns = read_number(r);
    }
    h.exemplars = r->exemplars;
    r->histogram = h;
}

void tb_reader_start(struct tb_reader *r, const struct tb_exposition *x)
{
    *r = (struct tb_reader){.at = (const unsigned char *)x->records.data};
    r->end = x->records.len ? r->at + x->records.len : r->at;
}

enum tb_exposed_kind tb_reader_next(struct tb_reader *r)
{
    if (r->at == r->end)
        return TB_EXPOSED_END;
    enum tb_exposed_kind kind = (enum tb_exposed_kind) * r->at++;
    switch (kind) {
    case TB_EXPOSED_END:
        break;
    case TB_EXPOSED_FAMILY:
        read_family(r);
        break;
    case TB_EXPOSED_BOUNDS:
        read_bounds(r);
        break;
    case TB_EXPOSED_VALUE:
        r->labels = read_text(r);
        r->value = read_number(r);
        r->created_ns = read_number(r);
        break;
    case TB_EXPOSED_SUMMARY:
        r->labels = read_text(r);
        r->value = read_number(r);
        r->sum = read_number(r);
        r->created_ns = read_number(r);
        break;
    case TB_EXPOSED_HISTOGRAM:
        read_histogram(r);
        break;
    }
    return kind;
}
