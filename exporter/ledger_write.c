/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshot and marks -> the records of a ledger (ledger_format.h). What is 0 is left out. */
#include "ledger_format.h"
#include "users.h"

static size_t begin_record(struct tb_buffer *b, uint32_t type)
{
    struct record_head head = {type, 0};
    tb_put(b, (const char *)&head, sizeof head);
    return b->len;
}

static void end_record(struct tb_buffer *b, size_t start)
{
    uint32_t length = (uint32_t)(b->len - start);
    memcpy(b->data + start - sizeof length, &length, sizeof length);
    while (b->len % 8)
        tb_put(b, "", 1);
}

static void write_owner(struct tb_buffer *b, const struct tb_snap_service *e, uint32_t service)
{
    if (!e->user)
        return;
    struct owner_record r = {service, e->user->uid};
    size_t start = begin_record(b, RECORD_OWNER);
    tb_put(b, (const char *)&r, sizeof r);
    end_record(b, start);
}

static bool is_zero(const struct tb_snap_values *v)
{
    if (v->sum_ns || v->first_byte_ns || v->rx_bytes || v->tx_bytes || v->incomplete || v->untimed || v->retired)
        return false;
    for (const struct tb_snap_block *b = v->blocks; b != tb_blocks_end(v); b++)
        for (size_t i = 0; i < TB_BLOCK_CELLS; i++)
            if (b->cells[i])
                return false;
    return true;
}

static void write_service(struct tb_buffer *b, const struct tb_snap_service *e)
{
    size_t start = begin_record(b, RECORD_SERVICE);
    struct service_record r = {e->created_ns, TB_COUNTER_COUNT, (uint32_t)strlen(e->name)};
    tb_put(b, (const char *)&r, sizeof r);
    tb_put(b, (const char *)e->base_counters, sizeof e->base_counters);
    tb_put(b, e->name, r.name_len);
    end_record(b, start);
}

/* The numbers of the bound sets in the file; those that it does not have yet are appended. */
struct bounds_written {
    uint32_t number[TB_BOUND_SETS_MAX]; /* + 1 */
    uint32_t count;
};

static uint32_t write_bounds(struct tb_buffer *b, struct bounds_written *written, uint16_t bound_set)
{
    uint32_t *number = &written->number[bound_set];
    if (!*number) {
        const struct tb_bounds *bounds = tb_bounds_of(bound_set);
        struct bounds_record r = {bounds->unit, bounds->count};
        size_t start = begin_record(b, RECORD_BOUNDS);
        tb_put(b, (const char *)&r, sizeof r);
        tb_put(b, (const char *)bounds->at_most, bounds->count * sizeof *bounds->at_most);
        end_record(b, start);
        *number = ++written->count;
    }
    return *number - 1;
}

static void write_chosen(struct tb_buffer *b, const struct tb_snap_series *e)
{
    struct chosen_record r = {e->base_chosen_ns, e->base.retired};
    if (!r.chosen_ns && !r.retired)
        return;
    size_t start = begin_record(b, RECORD_CHOSEN);
    tb_put(b, (const char *)&r, sizeof r);
    end_record(b, start);
}

static void write_series(struct tb_buffer *b, struct bounds_written *written, const struct tb_snap_series *e,
                         uint32_t service)
{
    bool is_builtin = e->key.bound_set < TB_SET_FIRST;
    uint32_t bounds = is_builtin ? 0 : write_bounds(b, written, e->key.bound_set);
    const struct tb_snap_values *v = &e->base;
    struct series_record r = {
        .service = service,
        .family = e->key.family,
        .role = e->key.role,
        .method = e->key.method,
        .bound_set = (uint8_t)(is_builtin ? e->key.bound_set : TB_SET_FIRST),
        .bounds = bounds,
        .status = e->key.status,
        .route_len = (uint16_t)strnlen(e->key.route, UINT16_MAX),
        .target_len = (uint16_t)strnlen(e->key.target, UINT16_MAX),
        .ext_len = (uint16_t)strnlen(e->key.ext, UINT16_MAX),
        .created_ns = e->created_ns,
        .sum_ns = v->sum_ns,
        .first_byte_ns = v->first_byte_ns,
        .rx_bytes = v->rx_bytes,
        .tx_bytes = v->tx_bytes,
        .incomplete = v->incomplete,
        .untimed = v->untimed,
    };
    size_t start = begin_record(b, RECORD_SERIES), head_at = b->len;
    tb_put(b, (const char *)&r, sizeof r);
    for (const struct tb_snap_block *block = v->blocks; block != tb_blocks_end(v); block++) {
        for (size_t i = 0; i < TB_BLOCK_CELLS; i++) {
            struct cell_record cell = {tb_cell_bound(e->key.bound_set, (uint32_t)block->octave, i), block->cells[i]};
            if (!cell.count)
                continue;
            tb_put(b, (const char *)&cell, sizeof cell);
            r.cells++;
        }
    }
    memcpy(b->data + head_at, &r, sizeof r);
    tb_put(b, e->key.route, r.route_len);
    tb_put(b, e->key.target, r.target_len);
    tb_put(b, e->key.ext, r.ext_len);
    end_record(b, start);
    write_chosen(b, e);
}

static uint32_t service_number(const struct tb_snapshot *s, const struct tb_snap_service *e)
{
    uint32_t number = 0;
    for (size_t i = 0; i < s->service_count; i++) {
        if (s->services[i] == e)
            return number;
        number += !s->services[i]->is_forgotten;
    }
    return UINT32_MAX;
}

void tb_ledger_write_records(struct tb_buffer *b, const struct tb_ledger *l, const struct tb_snapshot *s)
{
    const struct tb_snap_service *last = NULL;
    struct bounds_written written = {.count = 0};
    uint32_t number = 0;
    for (size_t i = 0; i < s->service_count; i++)
        if (!s->services[i]->is_forgotten)
            write_service(b, s->services[i]);
    for (size_t i = 0; i < s->service_count; i++)
        if (!s->services[i]->is_forgotten)
            write_owner(b, s->services[i], number++);
    for (size_t i = 0; i < s->series_count; i++) {
        if (is_zero(&s->series[i]->base) || s->series[i]->service->is_forgotten)
            continue;
        if (s->series[i]->service != last)
            number = service_number(s, last = s->series[i]->service);
        write_series(b, &written, s->series[i], number);
    }
    for (size_t i = 0; i < TB_MARK_BUCKETS; i++) {
        for (const struct tb_mark *m = l->marks[i]; m; m = m->next) {
            if (m->service->is_forgotten)
                continue;
            struct mark_record r = {
                m->region_id, m->generation, m->when_ns, {0}, m->kind, service_number(s, m->service), m->uid, 0};
            memcpy(r.boot_id, m->boot_id, sizeof r.boot_id);
            size_t start = begin_record(b, RECORD_MARK);
            tb_put(b, (const char *)&r, sizeof r);
            end_record(b, start);
        }
    }
}
