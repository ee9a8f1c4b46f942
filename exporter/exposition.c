/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of an exposition: a byte of kind, then texts as length and bytes, numbers as varints (7 bits a byte, lowest
 * first, the high bit says that more follow). Only this file knows the form; what is read is what was written here.
 */
#include "exposition.h"

#include <stdlib.h>

#define VARINT_MAX 10u /* bytes of 2^64 - 1 */

void tb_exposition_free(struct tb_exposition *x)
{
    tb_buffer_free(&x->records);
    *x = (struct tb_exposition){0};
}

size_t tb_labels_split(struct tb_labels labels, struct tb_label *ret)
{
    const char *at = labels.text, *end = at + labels.len;
    size_t count = 0;
    while (at < end && count < TB_LABELS_MAX) {
        struct tb_label l = {.name.text = at};
        while (*at != '=')
            at++;
        l.name.len = (size_t)(at - l.name.text);
        at += 2; /* =" */
        l.value.text = at;
        while (*at != '"')
            at += *at == '\\' ? 2 : 1;
        l.value.len = (size_t)(at - l.value.text);
        at += 2; /* ", */
        size_t place = count++;
        for (; place > 0; place--) {
            const struct tb_labels *before = &ret[place - 1].name;
            size_t shorter = before->len < l.name.len ? before->len : l.name.len;
            int order = memcmp(before->text, l.name.text, shorter);
            if (order < 0 || (order == 0 && before->len <= l.name.len))
                break;
            ret[place] = ret[place - 1];
        }
        ret[place] = l;
    }
    return count;
}

/* --- writing: into room that is known to be there --------------------------------------------------------------------
 */

static char *write_number(char *to, uint64_t n)
{
    for (; n >= 0x80; n >>= 7)
        *to++ = (char)(n | 0x80);
    *to++ = (char)n;
    return to;
}

static char *write_text(char *to, const char *text, size_t len)
{
    to = write_number(to, len);
    if (len)
        memcpy(to, text, len);
    return to + len;
}

/* What write_labels takes. */
static size_t labels_room(const struct tb_exposition *x, struct tb_labels labels)
{
    return labels.len + 1 + x->constant.len;
}

static char *write_labels(const struct tb_exposition *x, char *to, struct tb_labels labels)
{
    bool has_both = labels.len && x->constant.len;
    to = write_number(to, labels.len + has_both + x->constant.len);
    if (labels.len)
        to = mempcpy(to, labels.text, labels.len);
    if (has_both)
        *to++ = ',';
    return x->constant.len ? mempcpy(to, x->constant.text, x->constant.len) : to;
}

/* Room for a record of @texts bytes of text and @numbers numbers, its kind written. */
static char *begin(struct tb_exposition *x, enum tb_exposed_kind kind, size_t texts, size_t numbers)
{
    char *to = tb_buffer_room(&x->records, 1 + texts + numbers * VARINT_MAX);
    *to++ = (char)kind;
    return to;
}

static void finish(struct tb_exposition *x, const char *end)
{
    x->records.len = (size_t)(end - x->records.data);
}

bool tb_expose_family(struct tb_exposition *x, const struct tb_metric *m)
{
    if (!m->name || !tb_filter_has_family(x->filter, m->name))
        return false;
    size_t name = strlen(m->name), unit = strlen(m->unit), help = strlen(m->help);
    char *to = begin(x, TB_EXPOSED_FAMILY, name + unit + help + 3, 5);
    to = write_text(to, m->name, name + 1);
    to = write_text(to, m->unit, unit + 1);
    to = write_text(to, m->help, help + 1);
    to = write_number(to, m->type);
    finish(x, write_number(to, m->decimals));
    x->families++;
    x->bounds = NULL; /* so that each family can be read by itself */
    return true;
}

void tb_expose_value(struct tb_exposition *x, struct tb_labels labels, uint64_t value, uint64_t created_ns)
{
    char *to = begin(x, TB_EXPOSED_VALUE, labels_room(x, labels), 3);
    to = write_labels(x, to, labels);
    to = write_number(to, value);
    finish(x, write_number(to, created_ns));
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
    to = write_number(to, count);
    to = write_number(to, sum);
    finish(x, write_number(to, created_ns));
    x->samples += 2;
}

static void write_bounds(struct tb_exposition *x, const uint64_t *bounds, size_t count)
{
    char *to = begin(x, TB_EXPOSED_BOUNDS, 0, count + 1);
    to = write_number(to, count);
    for (size_t i = 0; i < count; i++)
        to = write_number(to, bounds[i]);
    finish(x, to);
    x->bounds = bounds;
}

static char *write_cells(char *to, const struct tb_exposed_histogram *h)
{
    int32_t last = 0;
    to = write_number(to, h->zero_count);
    to = write_number(to, h->cell_count);
    for (size_t i = 0; i < h->cell_count; i++) {
        int32_t step = h->cells[i].index - last; /* only the first can be below 0 */
        to = write_number(to, step < 0 ? (uint64_t)(uint32_t)-step * 2 + 1 : (uint64_t)(uint32_t)step * 2);
        to = write_number(to, h->cells[i].count);
        last = h->cells[i].index;
    }
    return to;
}

static void write_exemplar(struct tb_exposition *x, const struct tb_exposed_exemplar *e)
{
    char *to = tb_buffer_room(&x->records, e->labels.len + 4 * VARINT_MAX);
    to = write_number(to, e->bucket);
    to = write_text(to, e->labels.text, e->labels.len);
    to = write_number(to, e->value);
    finish(x, write_number(to, e->time_ns));
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
        to = write_number(to, h->buckets[i]);
    to = write_number(to, h->sum);
    to = write_number(to, h->created_ns);
    to = write_number(to, h->is_native);
    if (h->is_native)
        to = write_cells(to, h);
    finish(x, write_number(to, h->exemplar_count));
    for (size_t i = 0; i < h->exemplar_count; i++)
        write_exemplar(x, &h->exemplars[i]);
    x->samples += h->bound_count + 3;
}

/* --- reading ---------------------------------------------------------------------------------------------------------
 */

static uint64_t read_number(struct tb_reader *r)
{
    uint64_t n = *r->at & 0x7f;
    for (unsigned shift = 7; *r->at++ >= 0x80; shift += 7)
        n |= (uint64_t)(*r->at & 0x7f) << shift;
    return n;
}

static struct tb_labels read_text(struct tb_reader *r)
{
    size_t len = read_number(r);
    const char *text = (const char *)r->at;
    r->at += len;
    return (struct tb_labels){text, len};
}

static void read_family(struct tb_reader *r)
{
    r->metric.name = read_text(r).text;
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
