/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any exposition through every format. The input makes label values, names, numbers, bounds, exemplars and native
 * buckets; then: pieces are the same as the whole, every format ends as it must, protobuf can be walked by its lengths,
 * and label values survive the way through it.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "exporter/label_pairs.h"
#include "exporter/render.h"
#include "exporter/response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *at, *end;
};

static uint8_t take_byte(struct input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

static uint64_t take_number(struct input *in)
{
    uint64_t n = 0;
    for (unsigned len = take_byte(in) % 9; len; len--)
        n = n << 8 | take_byte(in);
    return n;
}

/* `a="...",b="..."`: values of any bytes, cleaned and escaped as the snapshot does it. */
static struct tb_labels take_labels(struct input *in, struct tb_buffer *to)
{
    to->len = 0;
    for (unsigned count = take_byte(in) % 5; count; count--) {
        char name[3] = {(char)('a' + take_byte(in) % 26), (char)('a' + count), 0};
        size_t len = take_byte(in) % 40;
        len = len < (size_t)(in->end - in->at) ? len : (size_t)(in->end - in->at);
        char *clean = tb_label_clean((const char *)in->at, len);
        in->at += len;
        tb_puts(to, to->len ? "," : "");
        tb_puts(to, name);
        tb_puts(to, "=\"");
        tb_put_escaped(to, clean, strlen(clean));
        tb_puts(to, "\"");
        free(clean);
    }
    return (struct tb_labels){.text = to->data, .len = to->len};
}

static void take_histogram(struct input *in, struct tb_exposition *x, struct tb_buffer *labels)
{
    static uint64_t bounds[TB_BOUNDS_MAX];
    uint64_t buckets[TB_BOUNDS_MAX + 1];
    struct tb_exposed_exemplar exemplars[TB_BOUNDS_MAX + 1];
    struct tb_exposed_cell cells[8];
    struct tb_exposed_histogram h = {.bounds = bounds, .buckets = buckets, .cells = cells, .exemplars = exemplars};
    h.bound_count = take_byte(in) % (TB_BOUNDS_MAX + 1);
    x->bounds = NULL; /* the same place holds others now */
    for (size_t i = 0; i < h.bound_count; i++)
        bounds[i] = take_number(in);
    for (size_t i = 0; i <= h.bound_count; i++)
        buckets[i] = take_number(in);
    h.sum = take_number(in);
    h.created_ns = take_number(in);
    h.is_native = take_byte(in) & 1;
    h.zero_count = take_number(in);
    for (int32_t index = -200; h.cell_count < 8 && take_byte(in) & 1; h.cell_count++)
        cells[h.cell_count] = (struct tb_exposed_cell){index += 1 + take_byte(in) % 40, take_number(in)};
    for (uint32_t i = 0; i <= h.bound_count; i++)
        if (take_byte(in) % 8 == 1)
            exemplars[h.exemplar_count++] = (struct tb_exposed_exemplar){i, tb_labels("trace_id=\"a\\\\\\\"\\n\""),
                                                                         take_number(in), take_number(in)};
    tb_expose_histogram(x, take_labels(in, labels), &h);
}

static struct tb_exposition take_exposition(struct input in, bool has_pairs)
{
    static const struct tb_metric metrics[] = {{"c_total", "", "h", TB_METRIC_COUNTER, 0},
                                               {"g_seconds", "seconds", "h\n\\\"", TB_METRIC_GAUGE, 9},
                                               {"s_bytes", "bytes", "", TB_METRIC_SUMMARY, 0},
                                               {"h_milliseconds", "milliseconds", "h", TB_METRIC_HISTOGRAM, 6}};
    struct tb_exposition x = {.has_pairs = has_pairs};
    struct tb_buffer labels = {0};
    while (in.at < in.end) {
        const struct tb_metric *m = &metrics[take_byte(&in) % 4];
        tb_expose_family(&x, m);
        for (unsigned count = take_byte(&in) % 4; count; count--) {
            if (m->type == TB_METRIC_HISTOGRAM)
                take_histogram(&in, &x, &labels);
            else if (m->type == TB_METRIC_SUMMARY)
                tb_expose_summary(&x, take_labels(&in, &labels), take_number(&in), take_number(&in), take_number(&in));
            else
                tb_expose_value(&x, take_labels(&in, &labels), take_number(&in), take_number(&in));
        }
    }
    tb_buffer_free(&labels);
    return x;
}

static void check(bool is_true)
{
    if (!is_true)
        abort();
}

static uint64_t read_varint(const uint8_t **at, const uint8_t *end)
{
    uint64_t n = 0;
    for (unsigned shift = 0;; shift += 7) {
        check(*at < end && shift < 64);
        uint8_t byte = *(*at)++;
        n |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return n;
    }
}

/* Every field lies within its message; those that are messages of ours are walked, too. */
static void walk_message(const uint8_t *at, const uint8_t *end, unsigned depth)
{
    static const uint8_t nested[][3] = {
        {4}, {1, 7}, {3}, {3}}; /* fields by depth: metric; label, histogram; bucket; exemplar */
    while (at < end) {
        uint64_t tag = read_varint(&at, end), len;
        switch (tag & 7) {
        case 0:
            read_varint(&at, end);
            break;
        case 1:
            check(end - at >= 8);
            at += 8;
            break;
        default:
            check((tag & 7) == 2);
            len = read_varint(&at, end);
            check(len <= (uint64_t)(end - at));
            if (depth < 4 && memchr(nested[depth], (int)(tag >> 3), 3))
                walk_message(at, at + len, depth + 1);
            at += len;
        }
    }
}

static void check_whole(const struct tb_encoding *encoding, const struct tb_buffer *b)
{
    if (encoding == &tb_encoding_protobuf) {
        for (const uint8_t *at = (const uint8_t *)b->data, *end = at + b->len; at < end;) {
            uint64_t len = read_varint(&at, end);
            check(len <= (uint64_t)(end - at));
            walk_message(at, at + len, 0);
            at += len;
        }
        return;
    }
    check(!memchr(b->data, 0, b->len) && b->data[b->len - 1] == '\n');
    if (encoding != &tb_encoding_text)
        check(b->len >= 6 && memcmp(b->data + b->len - 6, "# EOF\n", 6) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct tb_encoding *const encodings[] = {&tb_encoding_text, &tb_encoding_openmetrics,
                                                          &tb_encoding_openmetrics2, &tb_encoding_protobuf};
    for (size_t f = 0; f < 4 && size; f++) {
        struct tb_exposition x = take_exposition((struct input){data, data + size}, encodings[f]->has_pairs);
        struct tb_buffer whole = {0}, pieces = {0};
        tb_render(encodings[f], &x, &whole);
        if (whole.len)
            check_whole(encodings[f], &whole);
        struct tb_response_options options = {encodings[f], TB_CODING_IDENTITY, false, NULL};
        struct tb_response *r = tb_response_new(&x, &options);
        for (size_t n = 1; n; pieces.len += n)
            n = tb_response_read(r, tb_buffer_room(&pieces, 1 + data[0]), 1 + (size_t)data[0]);
        check(pieces.len == whole.len && (!whole.len || memcmp(pieces.data, whole.data, whole.len) == 0));
        tb_response_free(r);
        tb_buffer_free(&whole);
        tb_buffer_free(&pieces);
    }
    return 0;
}
