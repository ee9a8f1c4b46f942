/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Differences between totals (push_delta.h). What is noted of a series is a run of varints: created, value, sum, count
 * of the zero bucket, number of cells, then index (zigzag, against the one before) and count of each.
 */
#include "push_delta.h"

#include <stdlib.h>

#include "push_state.h"
#include "varint.h"

/* A region may show a series a moment after it says that it was made. */
#define LATE_NS UINT64_C(1000000000)

struct tb_delta {
    struct tb_push_state *state;
    uint64_t since_ns; /* a series that is not known and began before has nothing new; 0 = all of it is */
    struct tb_buffer key, data;
    struct tb_exposed_cell before[TB_EXPOSED_CELLS_MAX], grown[TB_EXPOSED_CELLS_MAX];
};

struct tb_delta *tb_delta_new(struct tb_push_state *state)
{
    struct tb_delta *d = tb_alloc(sizeof *d);
    uint64_t taken_ns = tb_push_state_taken_ns(state);
    d->state = state;
    d->since_ns = taken_ns > LATE_NS ? taken_ns - LATE_NS : tb_push_state_born_ns(state);
    return d;
}

void tb_delta_free(struct tb_delta *d)
{
    if (!d)
        return;
    tb_buffer_free(&d->key);
    tb_buffer_free(&d->data);
    free(d);
}

static void write_sample(struct tb_buffer *b, const struct tb_sample *s)
{
    int32_t last = 0;
    b->len = 0;
    char *to = tb_buffer_room(b, (5 + 2 * (size_t)s->cell_count) * TB_VARINT_MAX);
    to = tb_varint_write(to, s->created_ns);
    to = tb_varint_write(to, s->value);
    to = tb_varint_write(to, s->sum);
    to = tb_varint_write(to, s->zero_count);
    to = tb_varint_write(to, s->cell_count);
    for (uint32_t i = 0; i < s->cell_count; i++) {
        uint32_t step = (uint32_t)(s->cells[i].index - last);
        to = tb_varint_write(to, step << 1 ^ (uint32_t) - (int32_t)(step >> 31));
        to = tb_varint_write(to, s->cells[i].count);
        last = s->cells[i].index;
    }
    b->len = (size_t)(to - b->data);
}

/* One number of a file that may be damaged. */
static bool read_number(const char **at, const char *end, uint64_t *ret)
{
    uint64_t n = 0;
    for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
        unsigned char byte = (unsigned char)*(*at)++;
        n |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret = n;
            return true;
        }
    }
    return false;
}

static bool read_sample(const char *at, size_t len, struct tb_sample *s, struct tb_exposed_cell *cells)
{
    const char *end = at + len;
    uint64_t count = 0, step = 0;
    int32_t index = 0;
    bool is_good = read_number(&at, end, &s->created_ns) && read_number(&at, end, &s->value) &&
                   read_number(&at, end, &s->sum) && read_number(&at, end, &s->zero_count) &&
                   read_number(&at, end, &count) && count <= TB_EXPOSED_CELLS_MAX;
    for (uint64_t i = 0; is_good && i < count; i++) {
        is_good = read_number(&at, end, &step) && step <= UINT32_MAX && read_number(&at, end, &cells[i].count);
        index = (int32_t)((uint32_t)index + ((uint32_t)step >> 1 ^ (0u - ((uint32_t)step & 1))));
        cells[i].index = index;
    }
    s->cells = cells;
    s->cell_count = is_good ? (uint32_t)count : 0;
    return is_good;
}

/* Cells of @s without those of @before, into @to. False: one of them has fallen. */
static bool subtract_cells(const struct tb_sample *s, const struct tb_sample *before, struct tb_exposed_cell *to,
                           uint32_t *ret_count)
{
    uint32_t b = 0, count = 0;
    for (uint32_t i = 0; i < s->cell_count; i++) {
        uint64_t old = 0;
        if (b < before->cell_count && before->cells[b].index == s->cells[i].index)
            old = before->cells[b++].count;
        if (s->cells[i].count < old)
            return false;
        if (s->cells[i].count > old)
            to[count++] = (struct tb_exposed_cell){s->cells[i].index, s->cells[i].count - old};
    }
    *ret_count = count;
    return b == before->cell_count; /* else one is gone */
}

/* Does what is known of a series lie on its way to what it is now? Then *@s becomes the difference. */
static bool subtract(struct tb_delta *d, struct tb_sample *s, const struct tb_sample *before)
{
    uint32_t count = 0;
    if (before->created_ns != s->created_ns || s->value < before->value || s->sum < before->sum ||
        s->zero_count < before->zero_count || !subtract_cells(s, before, d->grown, &count))
        return false;
    s->value -= before->value;
    s->sum -= before->sum;
    s->zero_count -= before->zero_count;
    s->cells = d->grown;
    s->cell_count = count;
    return true;
}

void tb_delta_take(struct tb_delta *d, const char *family, struct tb_labels labels, struct tb_sample *s)
{
    struct tb_sample before = {0};
    size_t len = 0;
    d->key.len = 0;
    tb_put(&d->key, family, strlen(family) + 1);
    tb_put(&d->key, labels.text, labels.len);
    const char *known = tb_push_state_find(d->state, d->key.data, d->key.len, &len);
    write_sample(&d->data, s);
    bool is_same = known && len == d->data.len && memcmp(known, d->data.data, len) == 0;
    if (!is_same)
        tb_push_state_take(d->state, d->key.data, d->key.len, d->data.data, d->data.len);
    s->bounds = s->buckets = NULL;
    bool is_read = known && read_sample(known, len, &before, d->before);
    bool is_older = !is_read && d->since_ns && s->created_ns <= d->since_ns;
    if (is_older)
        before = *s;
    if (is_read || is_older)
        (void)subtract(d, s, &before); /* else it began anew: all of it came since */
}
