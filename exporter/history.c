/* SPDX-License-Identifier: Apache-2.0 */
/*
 * History on a tape: each point holds, for every series that moved, what it added to each bucket of the grid, packed
 * into variable-length integers in the snapshot's order of series. That order never changes, so a walk over the
 * snapshot reads all tapes side by side; a record whose series is gone (its serial has no place any more) is passed
 * over.
 */
#include "history.h"

#include <stdlib.h>

#include "buffer.h"
#include "varint.h"

#define WINDOW_NS UINT64_C(60000000000)
#define WINDOW_LATE_NS UINT64_C(2500000000)  /* half of what lies between two points */
#define WINDOW_LEAST_NS UINT64_C(1000000000) /* less says nothing */

/* --- packed integers -------------------------------------------------------------------------------------------------
 */

/* What comes behind it. The tapes are our own: well-formed, whole records only. */
static const char *get_varint(const char *at, uint64_t *ret)
{
    const unsigned char *end = (const unsigned char *)at;
    *ret = tb_varint_read(&end);
    return (const char *)end;
}

/* --- records: serial, length of what follows, untimed, number of buckets, (distance, count) of each -----------------
 */

uint64_t tb_increase_count(const struct tb_increase *i)
{
    uint64_t count = i->untimed;
    for (uint32_t k = 0; k < i->used; k++)
        count += i->counts[k];
    return count;
}

void tb_distribution_add_increase(struct tb_distribution *d, const struct tb_increase *i)
{
    for (uint32_t k = 0; k < i->used; k++)
        d->counts[i->buckets[k]] += i->counts[k];
}

static void put_record(struct tb_buffer *b, uint32_t serial, const struct tb_increase *i)
{
    char *start = tb_buffer_room(b, (4 + 2 * (size_t)i->used) * TB_VARINT_MAX);
    char *body = tb_varint_write(start, serial) + TB_VARINT_MAX; /* its length goes before, and is not known yet */
    uint16_t before = 0;
    char *to = tb_varint_write(tb_varint_write(body, i->untimed), i->used);
    for (uint32_t k = 0; k < i->used; k++) {
        to = tb_varint_write(tb_varint_write(to, (uint64_t)(i->buckets[k] - before)), i->counts[k]);
        before = i->buckets[k];
    }
    size_t len = (size_t)(to - body);
    to = tb_varint_write(body - TB_VARINT_MAX, len);
    memmove(to, body, len);
    b->len = (size_t)(to + len - b->data);
}

/* Of one tape: the record that comes next. */
struct cursor {
    const char *at, *end; /* behind it */
    const char *body;     /* NULL: there is none */
    uint32_t serial;
};

static void next_record(struct cursor *c)
{
    uint64_t serial, len;
    c->body = NULL;
    if (c->at == c->end)
        return;
    c->body = get_varint(get_varint(c->at, &serial), &len);
    c->serial = (uint32_t)serial;
    c->at = c->body + len;
}

static void get_body(const char *at, struct tb_increase *ret)
{
    uint64_t bucket = 0, distance, used;
    at = get_varint(get_varint(at, &ret->untimed), &used);
    ret->used = (uint32_t)used;
    for (uint32_t k = 0; k < ret->used; k++) {
        at = get_varint(get_varint(at, &distance), &ret->counts[k]);
        ret->buckets[k] = (uint16_t)(bucket += distance);
    }
}

/* --- series ----------------------------------------------------------------------------------------------------------
 */

/* Requests that were served, and calls of others, answered or not: sizes and streams have no history. */
static bool has_history(const struct tb_snap_series *e)
{
    const uint8_t unanswered = e->key.role == TB_ROLE_SERVER ? TB_FAMILY_ABORTED : TB_FAMILY_CALL_ERRORS;
    return e->key.family == TB_FAMILY_REQUESTS || e->key.family == unanswered;
}

static void total_of(const struct tb_snap_series *e, struct tb_increase *ret)
{
    const struct tb_cell_place *places = tb_bounds_cells(e->key.bound_set);
    ret->untimed = e->total.untimed;
    ret->used = 0;
    for (const struct tb_snap_block *b = e->total.blocks; b != tb_blocks_end(&e->total) && b->octave < TB_OCTAVES;
         b++) {
        for (size_t i = 0; i < TB_BLOCK_CELLS; i++) {
            uint16_t bucket = places[b->octave * TB_BLOCK_CELLS + i].grid;
            if (!b->cells[i])
                continue;
            if (!ret->used || ret->buckets[ret->used - 1] != bucket) {
                ret->buckets[ret->used] = bucket;
                ret->counts[ret->used++] = 0;
            }
            ret->counts[ret->used - 1] += b->cells[i];
        }
    }
}

/*
 * @now becomes what was added since @before. When anything fell, the service began at 0 again: then all of @now is new.
 */
static void subtract(struct tb_increase *now, const struct tb_increase *before)
{
    struct tb_increase d = {.untimed = now->untimed - before->untimed};
    uint32_t k = 0;
    if (now->untimed < before->untimed)
        return;
    for (uint32_t i = 0; i < now->used; i++) {
        uint64_t old = 0;
        if (k < before->used && before->buckets[k] < now->buckets[i])
            return;
        if (k < before->used && before->buckets[k] == now->buckets[i])
            old = before->counts[k++];
        if (now->counts[i] < old)
            return;
        if (now->counts[i] == old)
            continue;
        d.buckets[d.used] = now->buckets[i];
        d.counts[d.used++] = now->counts[i] - old;
    }
    if (k == before->used)
        *now = d;
}

/* --- points ----------------------------------------------------------------------------------------------------------
 */

struct point {
    uint64_t at_ns;
    struct tb_buffer added; /* since the point before; exactly as long as needed */
};

struct tb_history {
    uint64_t snapshot_id;
    uint64_t looked_ns;                     /* when somebody last looked */
    struct tb_buffer base;                  /* records of totals at the youngest point */
    size_t left_out;                        /* series that the base had no room for */
    struct point points[TB_HISTORY_POINTS]; /* oldest first */
    size_t count;
    size_t bytes; /* of all points */
};

struct tb_history *tb_history_new(void)
{
    return tb_alloc(sizeof(struct tb_history));
}

static void drop_points(struct tb_history *h, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        h->bytes -= h->points[i].added.len;
        tb_buffer_free(&h->points[i].added);
    }
    h->count -= count;
    memmove(h->points, h->points + count, h->count * sizeof *h->points);
}

static void clear(struct tb_history *h)
{
    drop_points(h, h->count);
    tb_buffer_free(&h->base);
    h->left_out = 0;
}

void tb_history_free(struct tb_history *h)
{
    if (!h)
        return;
    clear(h);
    free(h);
}

/* By serial: 1 + the place of a series in the snapshot's order, 0 when it is gone. The caller's to free. */
static uint32_t *find_places(const struct tb_snapshot *s)
{
    uint32_t *places = tb_alloc((s->next_serial + 1u) * sizeof *places);
    for (size_t i = 0; i < s->series_count; i++)
        places[s->series[i]->serial] = (uint32_t)i + 1;
    return places;
}

/* Passes what lies before @e, or is gone. True when its record comes next. */
static bool is_at(struct cursor *c, const struct tb_snap_series *e, const uint32_t *places)
{
    while (c->body && places[c->serial] < places[e->serial])
        next_record(c);
    return c->body && c->serial == e->serial;
}

static struct cursor cursor_at(const struct tb_buffer *b)
{
    struct cursor c = {.at = b->data, .end = b->len ? b->data + b->len : NULL};
    next_record(&c);
    return c;
}

/*
 * What each series added since the base.
 * @ret_base  the next base, unless NULL
 */
static void add_since(const struct tb_history *h, const struct tb_snapshot *s, const uint32_t *places,
                      struct tb_buffer *ret_added, struct tb_buffer *ret_base, size_t *ret_left_out)
{
    struct cursor before = cursor_at(&h->base);
    struct tb_increase now = {0}, old = {0};
    *ret_left_out = 0;
    for (size_t i = 0; i < s->series_count; i++) {
        const struct tb_snap_series *e = s->series[i];
        if (!has_history(e))
            continue;
        bool is_known = is_at(&before, e, places);
        if (!is_known && !e->count)
            continue;
        total_of(e, &now);
        if (ret_base && ret_base->len < TB_HISTORY_BASE_MAX)
            put_record(ret_base, e->serial, &now);
        else if (ret_base)
            ++*ret_left_out;
        if (is_known) {
            get_body(before.body, &old);
            next_record(&before);
            subtract(&now, &old);
        } else if (!h->count || h->left_out) {
            continue; /* its total may be old */
        }
        if (now.untimed || now.used)
            put_record(ret_added, e->serial, &now);
    }
}

static void shrink(struct tb_buffer *b)
{
    if (b->len)
        b->data = tb_realloc(b->data, b->space = b->len);
    else
        tb_buffer_free(b);
}

static void add_point(struct tb_history *h, const struct tb_snapshot *s, uint64_t now_ns)
{
    struct point p = {.at_ns = now_ns};
    struct tb_buffer base = {0};
    size_t left_out, old = 0;
    uint32_t *places = find_places(s);
    tb_buffer_grow(&base, h->base.len + h->base.len / 8); /* as much as before, mostly */
    if (h->count)
        tb_buffer_grow(&p.added, h->points[h->count - 1].added.len);
    add_since(h, s, places, &p.added, &base, &left_out);
    h->left_out = left_out;
    free(places);
    shrink(&p.added);
    shrink(&base);
    tb_buffer_free(&h->base);
    h->base = base;
    while (old < h->count && (now_ns - h->points[old].at_ns > TB_HISTORY_SPAN_NS + TB_HISTORY_SPACING_NS ||
                              h->count - old == TB_HISTORY_POINTS))
        old++;
    drop_points(h, old);
    h->bytes += p.added.len;
    h->points[h->count++] = p;
    while (h->bytes > TB_HISTORY_BYTES_MAX && h->count > 1)
        drop_points(h, 1);
}

static void note(struct tb_history *h, const struct tb_snapshot *s, uint64_t now_ns)
{
    if (h->snapshot_id != s->id)
        clear(h);
    h->snapshot_id = s->id;
    if (!h->count || now_ns - h->points[h->count - 1].at_ns >= TB_HISTORY_SPACING_NS)
        add_point(h, s, now_ns);
}

void tb_history_note(struct tb_history *h, const struct tb_snapshot *s, uint64_t now_ns)
{
    h->looked_ns = now_ns;
    note(h, s, now_ns);
}

void tb_history_tend(struct tb_history *h, const struct tb_snapshot *s, uint64_t now_ns)
{
    if (h->looked_ns && now_ns - h->looked_ns < TB_HISTORY_FORGET_NS)
        note(h, s, now_ns);
    else
        clear(h);
}

size_t tb_history_bytes(const struct tb_history *h)
{
    return h->bytes + h->base.len;
}

size_t tb_history_left_out(const struct tb_history *h)
{
    return h->left_out;
}

/* --- walks -----------------------------------------------------------------------------------------------------------
 */

struct tb_history_walk {
    uint32_t *places;
    struct tb_buffer latest; /* since the youngest point */
    size_t count;            /* of intervals: number i is between ends i and i + 1 */
    uint64_t ends_ns[TB_HISTORY_POINTS + 1];
    struct cursor cursors[TB_HISTORY_POINTS];
};

struct tb_history_walk *tb_history_walk_begin(const struct tb_history *h, const struct tb_snapshot *s, uint64_t now_ns)
{
    struct tb_history_walk *w = tb_alloc(sizeof *w);
    size_t left_out;
    if (h->snapshot_id != s->id || !h->count)
        return w;
    w->places = find_places(s);
    for (size_t i = 0; i < h->count; i++) {
        w->ends_ns[i] = h->points[i].at_ns;
        if (i)
            w->cursors[i - 1] = cursor_at(&h->points[i].added);
    }
    w->count = h->count - 1;
    if (now_ns > w->ends_ns[w->count]) {
        add_since(h, s, w->places, &w->latest, NULL, &left_out);
        w->cursors[w->count++] = cursor_at(&w->latest);
        w->ends_ns[w->count] = now_ns;
    }
    return w;
}

void tb_history_walk_end(struct tb_history_walk *w)
{
    free(w->places);
    tb_buffer_free(&w->latest);
    free(w);
}

size_t tb_history_intervals(const struct tb_history_walk *w)
{
    return w->count;
}

void tb_history_interval(const struct tb_history_walk *w, size_t interval, uint64_t *ret_start_ns, uint64_t *ret_end_ns)
{
    *ret_start_ns = w->ends_ns[interval];
    *ret_end_ns = w->ends_ns[interval + 1];
}

size_t tb_history_window(const struct tb_history_walk *w, uint64_t now_ns, double *ret_seconds)
{
    size_t from = w->count;
    uint64_t window_ns = 0;
    for (size_t k = w->count; k-- > 0;) {
        uint64_t age_ns = w->ends_ns[k] < now_ns ? now_ns - w->ends_ns[k] : 0;
        if (from < w->count && age_ns > WINDOW_NS + WINDOW_LATE_NS)
            break;
        from = k;
        window_ns = age_ns;
    }
    *ret_seconds = window_ns < WINDOW_LEAST_NS ? 0 : (double)window_ns / 1e9;
    return window_ns < WINDOW_LEAST_NS ? w->count : from;
}

bool tb_history_increase(struct tb_history_walk *w, size_t interval, const struct tb_snap_series *e,
                         struct tb_increase *ret)
{
    struct cursor *c = &w->cursors[interval];
    if (!is_at(c, e, w->places))
        return false;
    get_body(c->body, ret);
    next_record(c);
    return true;
}
