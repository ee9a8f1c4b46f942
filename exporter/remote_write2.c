/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of remote write 2.0 (field numbers: io/prometheus/write/v2/types.proto, 2.0-rc.5). A text goes into the body
 * where it is first named, between the series: parts of a protobuf list need not lie together. Where it lies is where
 * it is looked up again.
 */
#include "remote_write2.h"

#include <stdlib.h>

#include "checksum.h"
#include "protobuf_write.h"

#define TABLE 32768u /* a power of 2 */
_Static_assert(TB_WRITE2_TEXTS_MAX + TB_WRITE2_TEXTS_MORE < TABLE, "there is always an empty place");

struct text {
    size_t at; /* in the body; 0 = an empty place */
    uint32_t len, number;
};

struct tb_write2 {
    struct tb_buffer body, series, part, inner;
    struct text table[TABLE];
    uint32_t texts;
};

/* The number of a text in the request, which it is put into when it is new. */
static uint32_t number_of(struct tb_write2 *w, const char *text)
{
    const size_t len = strlen(text);
    for (uint64_t i = tb_checksum(text, len);; i++) {
        struct text *t = &w->table[i % TABLE];
        if (!t->at) {
            tb_protobuf_text(&w->body, TB_WRITE2_TAG >> 3, text);
            *t = (struct text){w->body.len - len, (uint32_t)len, w->texts};
            return w->texts++;
        }
        if (t->len == len && memcmp(w->body.data + t->at, text, len) == 0)
            return t->number;
    }
}

void tb_write2_restart(struct tb_write2 *w)
{
    memset(w->table, 0, sizeof w->table);
    w->body.len = w->texts = 0;
    number_of(w, ""); /* the first text is the empty one */
}

struct tb_write2 *tb_write2_new(void)
{
    struct tb_write2 *w = tb_alloc(sizeof *w);
    tb_write2_restart(w);
    return w;
}

void tb_write2_free(struct tb_write2 *w)
{
    if (!w)
        return;
    tb_buffer_free(&w->body);
    tb_buffer_free(&w->series);
    tb_buffer_free(&w->part);
    tb_buffer_free(&w->inner);
    free(w);
}

struct tb_buffer *tb_write2_body(struct tb_write2 *w)
{
    return &w->body;
}

bool tb_write2_is_full(const struct tb_write2 *w)
{
    return w->texts >= TB_WRITE2_TEXTS_MAX;
}

/* Totals: since when, in ms; 0 is no time of a total's. */
static void put_start(struct tb_write2 *w, unsigned field, const struct tb_write_series *s)
{
    uint64_t start_ms = s->point->created_ns / 1000000;
    if (s->point->type != TB_METRIC_GAUGE && start_ms && start_ms <= s->time_ms)
        tb_protobuf_number(&w->part, field, start_ms);
}

static void put_sample(struct tb_write2 *w, const struct tb_write_series *s)
{
    tb_protobuf_real(&w->part, 1, s->value);
    tb_protobuf_number(&w->part, 2, s->time_ms);
    put_start(w, 3, s);
    tb_protobuf_message(&w->series, 2, &w->part);
}

/* Runs of neighbouring cells, each with the gap before it. */
static void put_spans(struct tb_write2 *w, const struct tb_point *p)
{
    int32_t next = 0;
    for (size_t i = 0, run; i < p->cell_count; i += run) {
        run = tb_exposed_run(p->cells + i, p->cell_count - i);
        tb_protobuf_zigzag(&w->inner, 1, p->cells[i].index - next);
        tb_protobuf_number(&w->inner, 2, run);
        tb_protobuf_message(&w->part, 11, &w->inner);
        next = p->cells[i + run - 1].index + 1;
    }
}

/* Each cell's count against that of the one before. */
static void put_deltas(struct tb_write2 *w, const struct tb_point *p)
{
    uint64_t before = 0;
    for (uint32_t i = 0; i < p->cell_count; before = p->cells[i++].count) {
        int64_t delta = (int64_t)(p->cells[i].count - before);
        tb_protobuf_varint(&w->inner, (uint64_t)delta << 1 ^ (uint64_t)(delta >> 63));
    }
    tb_protobuf_message(&w->part, 12, &w->inner);
}

static void put_native(struct tb_write2 *w, const struct tb_write_series *s)
{
    const struct tb_point *p = s->point;
    tb_protobuf_number(&w->part, 1, p->value);
    tb_protobuf_real(&w->part, 3, tb_point_real(p, p->sum));
    tb_protobuf_zigzag(&w->part, 4, 3); /* schema: 8 cells an octave */
    tb_protobuf_real(&w->part, 5, tb_point_zero_bound(p));
    tb_protobuf_number(&w->part, 6, p->zero_count);
    if (p->cell_count) {
        put_spans(w, p);
        put_deltas(w, p);
    }
    tb_protobuf_number(&w->part, 15, s->time_ms);
    put_start(w, 17, s);
    tb_protobuf_message(&w->series, 3, &w->part);
}

static void put_exemplars(struct tb_write2 *w, const struct tb_write_series *s)
{
    for (uint32_t i = 0; i < s->point->exemplar_count; i++) {
        const struct tb_point_exemplar *x = &s->point->exemplars[i];
        if (!s->is_native && !(s->is_bucket && x->bucket == s->bucket))
            continue;
        tb_protobuf_varint(&w->inner, number_of(w, "trace_id"));
        tb_protobuf_varint(&w->inner, number_of(w, x->trace_id));
        tb_protobuf_message(&w->part, 1, &w->inner);
        tb_protobuf_real(&w->part, 2, tb_point_real(s->point, x->value));
        tb_protobuf_number(&w->part, 3, x->time_ns ? x->time_ns / 1000000 : s->time_ms);
        tb_protobuf_message(&w->series, 4, &w->part);
    }
}

void tb_write2_add(struct tb_write2 *w, const struct tb_write_series *s)
{
    static const uint8_t types[] = {1, 2, 5, 3}; /* counter, gauge, summary, histogram */
    const struct tb_point *p = s->point;
    for (size_t i = 0; i < s->label_count; i++) {
        tb_protobuf_varint(&w->part, number_of(w, s->labels[i].name));
        tb_protobuf_varint(&w->part, number_of(w, s->labels[i].value));
    }
    tb_protobuf_message(&w->series, 1, &w->part);
    (s->is_native ? put_native : put_sample)(w, s);
    put_exemplars(w, s);
    tb_protobuf_number(&w->part, 1, types[p->type]);
    tb_protobuf_number(&w->part, 3, number_of(w, p->help));
    tb_protobuf_number(&w->part, 4, number_of(w, p->unit));
    tb_protobuf_message(&w->series, 5, &w->part);
    tb_protobuf_message(&w->body, 5, &w->series);
}

bool tb_write2_is_native(const struct tb_point *p)
{
    uint64_t count = p->zero_count;
    for (uint32_t i = 0; i < p->cell_count; i++)
        count += p->cells[i].count;
    /* cells are cut in seconds, also of a family in milliseconds; what an inlet brings has none */
    return p->type == TB_METRIC_HISTOGRAM && count == p->value && p->decimals != 6;
}
