/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of what is shown (shown.h). A row of sums is a struct tb_snap_series as the snapshot's are, so that whoever
 * exposes sees no difference. `shown` of a series says where it went: itself, a row, or nowhere. Both are in one table
 * by label text, since a series of that text may be there before the row is needed.
 */
#include "shown.h"

#include <stdlib.h>

#include "agent/methods.h"
#include "families.h"
#include "rules_ext.h"
#include "rules_gauges.h"
#include "shown_rows.h"
#include "snapshot_labels.h"

#define BUCKETS 1024u
#define RESERVE 8u /* of the samples, one part in so many is kept for rows of sums and for services to come */

struct tb_shown {
    struct tb_shown_limits limits;
    uint64_t snapshot_id, names_id; /* what the rest was decided on */
    struct tb_snap_series *buckets[BUCKETS];
    struct tb_snap_series **list; /* what is shown, in the order of decision */
    size_t list_count, list_space;
    struct tb_snap_series **rows; /* owned; shown, or moved out of the list for good */
    size_t row_count, row_space;
    struct tb_rows_ended ended; /* of decisions before: a sum that is shown again goes on */
    uint64_t series, samples;   /* in the list */
    uint64_t left_out[TB_LEFT_OUT_COUNT];
    struct tb_snap_series **sorted; /* of the list, those that are not idle */
};

static struct tb_snap_series nowhere; /* where series go that no room was left for */

const char *tb_left_out_name(enum tb_left_out why)
{
    static const char *const names[TB_LEFT_OUT_COUNT] = {"service_limit", "series_limit", "samples_limit", "no_room",
                                                         "idle"};
    return names[why];
}

struct tb_shown *tb_shown_new(const struct tb_shown_limits *limits)
{
    struct tb_shown *shown = tb_alloc(sizeof *shown);
    shown->limits = *limits;
    return shown;
}

void tb_shown_set_limits(struct tb_shown *shown, const struct tb_shown_limits *limits)
{
    if (memcmp(&shown->limits, limits, sizeof *limits) == 0)
        return;
    shown->limits = *limits;
    shown->snapshot_id = 0; /* all is decided anew */
}

const struct tb_shown_limits *tb_shown_limits(const struct tb_shown *shown)
{
    return &shown->limits;
}

static void forget_rows(struct tb_shown *shown)
{
    for (size_t i = 0; i < shown->row_count; i++)
        tb_rows_end(&shown->ended, shown->rows[i]);
    memset(shown->buckets, 0, sizeof shown->buckets);
    memset(shown->left_out, 0, sizeof shown->left_out);
    shown->list_count = shown->row_count = 0;
    shown->series = shown->samples = 0;
}

void tb_shown_free(struct tb_shown *shown)
{
    if (!shown)
        return;
    forget_rows(shown);
    tb_rows_free(&shown->ended);
    free(shown->rows);
    free(shown->list);
    free(shown->sorted);
    free(shown);
}

/* --- one row ---------------------------------------------------------------------------------------------------------
 */

/* Samples that a series has at most. 0: it is in no family that is exposed. */
static uint64_t cost_of(const struct tb_snap_key *key, const struct tb_names *names)
{
    const struct tb_metric *m = names->metrics;
    const struct tb_role_families *id = tb_role_families((enum tb_role)key->role);
    const uint64_t histogram = tb_bounds_of(key->bound_set)->count + 3u;
    if (!id)
        return 0;
    if (key->family == TB_FAMILY_REQUESTS) /* and its errors at 0 */
        return (m[id->requests].name ? 2 : 0) + (m[id->duration].name ? histogram : 0) +
               (m[id->first_byte].name ? 2 : 0) + (m[id->incomplete].name ? 1 : 0);
    if (key->family == TB_FAMILY_UNREADABLE)
        return m[TB_M_RULE_UNREADABLE].name ? 1 : 0;
    if (tb_gauge_is(key))
        return 1;
    if (key->family == TB_FAMILY_RULE)
        return tb_ext_shape(key->ext) == TB_EXT_HISTOGRAM ? histogram : 1;
    const struct {
        uint8_t family, role; /* TB_ROLE_UNKNOWN: any */
        size_t metric;
        uint64_t cost;
    } others[] = {{TB_FAMILY_ABORTED, TB_ROLE_SERVER, TB_M_ABORTED, 1},
                  {TB_FAMILY_STREAM, TB_ROLE_SERVER, TB_M_STREAM, histogram},
                  {TB_FAMILY_REQUEST_SIZE, TB_ROLE_UNKNOWN, id->request_size, histogram},
                  {TB_FAMILY_RESPONSE_SIZE, TB_ROLE_UNKNOWN, id->response_size, histogram},
                  {TB_FAMILY_FIRST_BYTE, TB_ROLE_UNKNOWN, id->first_byte, histogram},
                  {TB_FAMILY_CALL_ERRORS, TB_ROLE_CLIENT, TB_M_CLIENT_ERRORS, 1},
                  {TB_FAMILY_CALL_CONNECT, TB_ROLE_CLIENT, TB_M_CLIENT_CONNECT, histogram},
                  {TB_FAMILY_CALL_TLS, TB_ROLE_CLIENT, TB_M_CLIENT_TLS, histogram},
                  {TB_FAMILY_CALL_RESULT, TB_ROLE_CLIENT, TB_M_DEPENDENCY_UP, 2},          /* and when it last was */
                  {TB_FAMILY_INVOCATION, TB_ROLE_SERVER, TB_M_INVOCATIONS, histogram + 2}, /* and its errors at 0 */
                  {TB_FAMILY_INVOCATION_ERRORS, TB_ROLE_SERVER, TB_M_INVOCATION_ERRORS, 1}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (key->family == others[i].family && (!others[i].role || key->role == others[i].role) &&
            m[others[i].metric].name)
            return others[i].cost;
    return 0;
}

/* What is left of a key where labels are left out. */
static struct tb_snap_key key_of_names(const struct tb_snap_key *key, const struct tb_names *names)
{
    struct tb_snap_key k = *key;
    k.ext = "";
    if (!names->labels[TB_LABEL_METHOD])
        k.method = TB_METHOD_OTHER;
    if (!names->labels[TB_LABEL_ROUTE])
        k.route = "";
    if (!names->labels[k.role == TB_ROLE_CLIENT ? TB_LABEL_TARGET : TB_LABEL_HOST])
        k.target = "";
    if (!names->labels[TB_LABEL_STATUS] && !tb_reason_name(&k))
        k.status = 0;
    return k;
}

/* Where a series beyond a limit is summed. */
static struct tb_snap_key key_of_rest(const struct tb_snap_key *key, const struct tb_names *names)
{
    struct tb_snap_key k = *key;
    k.method = TB_METHOD_OTHER;
    k.route = "_other";
    k.target = k.role == TB_ROLE_CLIENT ? "_other" : "";
    return key_of_names(&k, names);
}

static struct tb_snap_series **find(struct tb_shown *shown, const struct tb_snap_series *like)
{
    uint32_t hash = like->key.family * 2u + like->key.role;
    for (uint32_t i = 0; i < like->labels_len; i++)
        hash = (hash ^ (uint8_t)like->labels[i]) * 16777619u;
    struct tb_snap_series **at = &shown->buckets[hash % BUCKETS];
    while (*at && ((*at)->key.family != like->key.family || (*at)->key.role != like->key.role ||
                   strcmp((*at)->labels, like->labels) != 0 || strcmp((*at)->key.ext, like->key.ext) != 0))
        at = &(*at)->next_shown;
    return at;
}

/* @at is where find() has not found it. */
static void show(struct tb_shown *shown, struct tb_snap_series **at, struct tb_snap_series *e, uint64_t cost)
{
    e->shown = e;
    e->cost = (uint32_t)cost;
    e->next_shown = NULL;
    *at = e;
    shown->list = tb_grow(shown->list, shown->list_count, &shown->list_space, sizeof(struct tb_snap_series *));
    shown->list[shown->list_count++] = e;
    shown->samples += cost;
    shown->series++;
    e->service->shown_series++;
}

/* A row takes the place of the series that has had its labels so far. */
static void replace(struct tb_shown *shown, struct tb_snap_series **at, struct tb_snap_series *row)
{
    struct tb_snap_series *e = *at;
    for (size_t i = 0; i < shown->list_count; i++)
        if (shown->list[i] == e)
            shown->list[i] = row;
    row->shown = e->shown == &nowhere ? &nowhere : row;
    row->cost = e->cost;
    if (!row->is_served)
        row->created_ns = e->created_ns;
    row->next_shown = e->next_shown;
    *at = row;
    e->shown = row;
}

/* Other bounds are in force: @e takes the place of the series that differs in its bound set only. */
static void take_over(struct tb_shown *shown, struct tb_snap_series **at, struct tb_snap_series *e)
{
    struct tb_snap_series *before = *at;
    for (size_t i = 0; i < shown->list_count; i++)
        if (shown->list[i] == before)
            shown->list[i] = e;
    e->shown = before->shown == before ? e : before->shown;
    e->cost = before->cost;
    e->next_shown = before->next_shown;
    *at = e;
    before->shown = NULL; /* decided anew when its bounds come back */
}

/* The row of a key, made when new. nowhere: it would be, and there are no more than @room samples for it. */
static struct tb_snap_series *row_of(struct tb_shown *shown, const struct tb_snapshot *s,
                                     const struct tb_snap_series *like, const struct tb_snap_key *key, uint64_t cost,
                                     uint64_t room)
{
    struct tb_snap_series new = {.service = like->service, .key = *key, .created_ns = like->created_ns};
    new.is_sum = new.is_current = true;
    tb_labels_series(s, &new);
    struct tb_snap_series **at = find(shown, &new), *row;
    if (*at ? (*at)->is_sum : cost > room) {
        free(new.labels);
        return *at ? *at : &nowhere;
    }
    new.key.route = tb_strndup(key->route, strlen(key->route));
    new.key.target = tb_strndup(key->target, strlen(key->target));
    shown->rows = tb_grow(shown->rows, shown->row_count, &shown->row_space, sizeof(struct tb_snap_series *));
    row = shown->rows[shown->row_count++] = tb_alloc(sizeof *row);
    *row = new;
    tb_rows_resume(&shown->ended, row);
    if (*at)
        replace(shown, at, row);
    else
        show(shown, at, row, cost);
    return row;
}

/* --- deciding --------------------------------------------------------------------------------------------------------
 */

/* Samples that there is room for, of @limit. */
static uint64_t room_of(const struct tb_shown *shown, uint64_t limit)
{
    return limit > shown->samples ? limit - shown->samples : 0;
}

static enum tb_left_out limit_reached(const struct tb_shown *shown, const struct tb_snap_series *e, uint64_t cost,
                                      uint64_t samples)
{
    if (shown->limits.service_series && e->service->shown_series >= shown->limits.service_series)
        return TB_LEFT_OUT_SERVICE;
    if (shown->limits.series && shown->series >= shown->limits.series)
        return TB_LEFT_OUT_SERIES;
    return cost > room_of(shown, samples - samples / RESERVE) ? TB_LEFT_OUT_SAMPLES : TB_LEFT_OUT_COUNT;
}

static bool has_all_labels(const struct tb_names *names)
{
    for (size_t i = 0; i < TB_LABEL_COUNT; i++)
        if (!names->labels[i])
            return false;
    return true;
}

/* Where @e goes from now on. @samples: there may be so many of series. */
static void decide(struct tb_shown *shown, const struct tb_snapshot *s, struct tb_snap_series *e,
                   const struct tb_names *names, uint64_t samples)
{
    const uint64_t cost = cost_of(&e->key, names);
    struct tb_snap_key key = key_of_names(&e->key, names);
    if (!cost) {
        e->shown = &nowhere;
        return;
    }
    struct tb_snap_series **at = find(shown, e);
    if (*at && !(*at)->is_sum && !(*at)->is_current && tb_snapshot_same_labels(*at, e)) {
        take_over(shown, at, e);
        return;
    }
    enum tb_left_out why = *at ? TB_LEFT_OUT_COUNT : limit_reached(shown, e, cost, samples);
    /* no label of it is left out, none is summed */
    bool is_custom = e->key.family == TB_FAMILY_RULE || e->key.family == TB_FAMILY_UNREADABLE || tb_gauge_is(&e->key);
    if (why == TB_LEFT_OUT_COUNT && !*at && (is_custom || has_all_labels(names))) {
        show(shown, at, e, cost);
        return;
    }
    if (is_custom) {
        e->shown = &nowhere;
        shown->left_out[*at ? TB_LEFT_OUT_NO_ROOM : why]++;
        return;
    }
    if (why != TB_LEFT_OUT_COUNT)
        key = key_of_rest(&e->key, names);
    e->shown = row_of(shown, s, e, &key, cost, room_of(shown, samples));
    if (e->shown == &nowhere || e->shown->shown == &nowhere)
        why = TB_LEFT_OUT_NO_ROOM;
    if (why != TB_LEFT_OUT_COUNT)
        shown->left_out[why]++;
}

/* Older first; of one age, in their order. */
struct candidate {
    struct tb_snap_series *series;
    size_t place;
};

static int compare_candidates(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;
    if (a->series->created_ns != b->series->created_ns)
        return a->series->created_ns < b->series->created_ns ? -1 : 1;
    return a->place < b->place ? -1 : 1;
}

static void decide_all(struct tb_shown *shown, const struct tb_snapshot *s, const struct tb_names *names,
                       uint64_t samples)
{
    struct candidate *candidates = NULL;
    size_t count = 0, space = 0;
    for (size_t i = 0; i < s->series_count; i++) {
        if (s->series[i]->shown || !tb_snapshot_is_shown(s->series[i]))
            continue;
        candidates = tb_grow(candidates, count, &space, sizeof *candidates);
        candidates[count++] = (struct candidate){s->series[i], i};
    }
    if (count)
        qsort(candidates, count, sizeof *candidates, compare_candidates);
    for (size_t i = 0; i < count; i++)
        decide(shown, s, candidates[i].series, names, samples);
    free(candidates);
    /* Services that came later have samples of their own: the newest make room, a scrape that is too large is lost. */
    while (shown->list_count && shown->samples > samples) {
        struct tb_snap_series *e = shown->list[--shown->list_count];
        e->shown = &nowhere;
        shown->samples -= e->cost;
        shown->left_out[TB_LEFT_OUT_NO_ROOM]++;
    }
}

/* --- every scrape ----------------------------------------------------------------------------------------------------
 */

/* The sums of rows. */
static void add_up(struct tb_shown *shown, const struct tb_snapshot *s)
{
    for (size_t i = 0; i < shown->row_count; i++)
        tb_row_begin(shown->rows[i]);
    for (size_t i = 0; i < s->series_count; i++)
        if (s->series[i]->is_current && s->series[i]->shown && s->series[i]->shown->is_sum)
            tb_row_add(s->series[i]->shown, s->series[i]);
    for (size_t i = 0; i < shown->row_count; i++)
        tb_row_finish(shown->rows[i], s->now_ns);
}

static bool is_idle(const struct tb_shown *shown, struct tb_snap_series *e, uint64_t now_ns)
{
    if (!e->changed_ns || e->whole.count != e->changed_count || e->changed_ns > now_ns) {
        e->changed_ns = now_ns;
        e->changed_count = e->whole.count;
    }
    return shown->limits.idle_ns && now_ns - e->changed_ns >= shown->limits.idle_ns;
}

/* Everything of names that decides what a row is. */
static uint64_t id_of(const struct tb_names *names)
{
    uint64_t id = 1;
    for (size_t i = 0; i < TB_LABEL_COUNT; i++)
        for (const char *c = names->labels[i] ? names->labels[i] : "-"; *c; c++)
            id = (id ^ (uint8_t)*c) * UINT64_C(1099511628211) + i;
    for (size_t i = 0; i < TB_METRIC_COUNT; i++)
        id = (id ^ (names->metrics[i].name != NULL)) * UINT64_C(1099511628211);
    return id;
}

static void begin_anew(struct tb_shown *shown, struct tb_snapshot *s, const struct tb_names *names)
{
    const uint64_t id = id_of(names);
    if (shown->snapshot_id == s->id && shown->names_id == id)
        return;
    forget_rows(shown);
    shown->snapshot_id = s->id;
    shown->names_id = id;
    for (size_t i = 0; i < s->series_count; i++)
        s->series[i]->shown = NULL;
    for (size_t i = 0; i < s->service_count; i++)
        s->services[i]->shown_series = 0;
}

/* Leaves idle series out of @list, which is in order. The errors of a route go only with all of it: the series at 0
 * that stands for no error (families.c) must not stand for those. Returns how many are left. */
static size_t leave_idle_out(const struct tb_shown *shown, struct tb_snap_series **list, size_t count, uint64_t now_ns)
{
    size_t kept = 0;
    for (size_t i = 0, end; i < count; i = end) {
        const struct tb_snap_series *first = list[i];
        bool is_busy = false;
        for (end = i; end < count && tb_snapshot_same_route(first, list[end]); end++)
            is_busy |= !is_idle(shown, list[end], now_ns);
        for (size_t k = i; k < end; k++)
            if (!is_idle(shown, list[k], now_ns) || (is_busy && list[k]->key.status == 500))
                list[kept++] = list[k];
    }
    return kept;
}

/* What is shown and not idle: the snapshot is in order, so only rows are to be sorted. */
static struct tb_shown_list in_order(struct tb_shown *shown, const struct tb_snapshot *s)
{
    struct tb_shown_list list = {0};
    size_t row = 0;
    shown->sorted = tb_realloc(shown->sorted, (shown->list_count + 1) * sizeof *shown->sorted);
    if (shown->row_count)
        qsort(shown->rows, shown->row_count, sizeof *shown->rows, tb_series_compare_entries);
    for (size_t i = 0; i <= s->series_count; i++) {
        struct tb_snap_series *e = i < s->series_count ? s->series[i] : NULL;
        for (; row < shown->row_count && (!e || tb_series_compare(shown->rows[row], e) < 0); row++)
            if (shown->rows[row]->shown == shown->rows[row])
                shown->sorted[list.count++] = shown->rows[row];
        if (e && e->shown == e)
            shown->sorted[list.count++] = e;
    }
    list.count = leave_idle_out(shown, shown->sorted, list.count, s->now_ns);
    list.series = shown->sorted;
    return list;
}

struct tb_shown_list tb_shown_choose(struct tb_shown *shown, struct tb_snapshot *s, const struct tb_names *names,
                                     uint64_t fixed)
{
    const struct tb_shown_limits *l = &shown->limits;
    if (!l->samples && !l->series && !l->service_series && !l->idle_ns && has_all_labels(names))
        return (struct tb_shown_list){.series = s->series, .count = s->series_count};
    begin_anew(shown, s, names);
    decide_all(shown, s, names, l->samples ? (l->samples > fixed ? l->samples - fixed : 0) : UINT64_MAX);
    add_up(shown, s);
    struct tb_shown_list list = in_order(shown, s);
    memcpy(list.left_out, shown->left_out, sizeof list.left_out);
    list.left_out[TB_LEFT_OUT_IDLE] = shown->list_count - list.count;
    return list;
}

void tb_shown_expose(struct tb_exposition *x, const struct tb_shown_list *list, const struct tb_snapshot *s,
                     const struct tb_metric *metrics)
{
    struct tb_buffer labels = {0};
    if (!tb_expose_family(x, &metrics[TB_M_LEFT_OUT]))
        return;
    for (unsigned i = 0; i < TB_LEFT_OUT_COUNT; i++) {
        labels.len = 0;
        tb_put_label(&labels, s->label_names[TB_LABEL_REASON], tb_left_out_name((enum tb_left_out)i));
        tb_expose_value(x, (struct tb_labels){.text = labels.data, .len = labels.len}, list->left_out[i], 0);
    }
    tb_buffer_free(&labels);
}
