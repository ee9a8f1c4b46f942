/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adding up for the page and the API. One walk over the snapshot makes services and routes with their last minute, a
 * second one adds the details of the routes that are shown. Series lie in the order of service, method, route, host, so
 * a route and a service are complete when the next one begins, and one set of scratch distributions is enough.
 */
#include "overview.h"

#include <math.h>
#include <stdlib.h>
#include <strings.h>

#include "agent/methods.h"
#include "buffer.h"

/* --- orders ----------------------------------------------------------------------------------------------------------
 */

static const struct {
    const char *name, *label;
} sorts[TB_OVERVIEW_SORT_COUNT] = {
#define SORT(id, name, label) {name, label},
    TB_OVERVIEW_SORTS(SORT)
#undef SORT
};

const char *tb_overview_sort_name(enum tb_overview_sort sort)
{
    return sort < TB_OVERVIEW_SORT_COUNT ? sorts[sort].name : NULL;
}

const char *tb_overview_sort_label(enum tb_overview_sort sort)
{
    return sort < TB_OVERVIEW_SORT_COUNT ? sorts[sort].label : NULL;
}

enum tb_overview_sort tb_overview_sort_find(const char *name)
{
    unsigned i = 0;
    while (i < TB_OVERVIEW_SORT_COUNT && strcmp(sorts[i].name, name) != 0)
        i++;
    return (enum tb_overview_sort)i;
}

static double sort_value(const struct tb_overview_route *r, enum tb_overview_sort sort)
{
    const struct tb_overview_stats *w = &r->window;
    switch (sort) {
    case TB_OVERVIEW_SORT_RATE:
        return (double)w->requests;
    case TB_OVERVIEW_SORT_ERRORS:
        return (double)w->server_errors;
    case TB_OVERVIEW_SORT_ERROR_RATIO:
        return w->requests ? (double)w->server_errors / (double)w->requests : -1;
    case TB_OVERVIEW_SORT_P50:
        return w->p50_ns;
    case TB_OVERVIEW_SORT_P95:
        return w->p95_ns;
    case TB_OVERVIEW_SORT_P99:
        return w->p99_ns;
    case TB_OVERVIEW_SORT_REQUESTS:
        return (double)r->total.requests;
    default:
        return 0;
    }
}

static int compare_names(const struct tb_snap_series *a, const struct tb_snap_series *b)
{
    int d = a->service == b->service ? 0 : strcmp(a->service->name, b->service->name);
    d = d ? d : a->key.method - b->key.method;
    d = d ? d : strcmp(a->key.route, b->key.route);
    return d ? d : strcmp(a->key.target, b->key.target);
}

/* The largest first; NAN behind all numbers; then requests in all, then names, so that any order is a stable one. */
static int compare_routes(const void *left, const void *right, void *arg)
{
    const struct tb_overview_route *a = left, *b = right;
    double x = sort_value(a, *(const enum tb_overview_sort *)arg),
           y = sort_value(b, *(const enum tb_overview_sort *)arg);
    if (isnan(x) != isnan(y))
        return isnan(x) ? 1 : -1;
    if (x > y || x < y)
        return x > y ? -1 : 1;
    if (*(const enum tb_overview_sort *)arg != TB_OVERVIEW_SORT_NAME && a->total.requests != b->total.requests)
        return a->total.requests > b->total.requests ? -1 : 1;
    return compare_names(a->like, b->like);
}

/* --- what a query selects --------------------------------------------------------------------------------------------
 */

static bool is_or_any(const char *wanted, const char *value)
{
    return !wanted || !*wanted || strcmp(wanted, value) == 0;
}

static bool is_selected(const struct tb_overview_query *q, const struct tb_snap_series *e)
{
    const char *method = tb_method_name(e->key.method);
    if (!is_or_any(q->service, e->service->name) || !is_or_any(q->method, method) ||
        !is_or_any(q->route, e->key.route) || !is_or_any(q->host, e->key.target))
        return false;
    return !q->search || !*q->search || strcasestr(e->key.route, q->search) ||
           strcasestr(e->service->name, q->search) || strcasestr(method, q->search) ||
           strcasestr(e->key.target, q->search);
}

/* --- adding up -------------------------------------------------------------------------------------------------------
 */

static void count_status(struct tb_overview_stats *s, uint16_t status, uint64_t count)
{
    s->requests += count;
    if (status / 100 == 4)
        s->client_errors += count;
    if (status / 100 == 5)
        s->server_errors += count;
}

static void add_counts(struct tb_overview_stats *to, const struct tb_overview_stats *more)
{
    to->requests += more->requests;
    to->client_errors += more->client_errors;
    to->server_errors += more->server_errors;
    to->aborted += more->aborted;
}

static void set_quantiles(struct tb_overview_stats *s, const struct tb_distribution *d)
{
    s->p50_ns = tb_distribution_quantile_ns(d, 0.5);
    s->p95_ns = tb_distribution_quantile_ns(d, 0.95);
    s->p99_ns = tb_distribution_quantile_ns(d, 0.99);
}

/* Some series together: their window, and interval by interval. */
struct sum {
    struct tb_distribution total, window;
    struct tb_overview_moment *moments;
    struct tb_distribution *intervals;
};

static struct sum sum_new(size_t intervals)
{
    return (struct sum){.moments = tb_alloc((intervals + 1) * sizeof(struct tb_overview_moment)),
                        .intervals = tb_alloc((intervals + 1) * sizeof(struct tb_distribution))};
}

static void sum_clear(struct sum *s, size_t intervals)
{
    memset(&s->total, 0, sizeof s->total);
    memset(&s->window, 0, sizeof s->window);
    memset(s->moments, 0, intervals * sizeof *s->moments);
    memset(s->intervals, 0, intervals * sizeof *s->intervals);
}

static void sum_free(struct sum *s)
{
    free(s->moments);
    free(s->intervals);
}

/* The moments of a sum; the caller's to free. */
static struct tb_overview_moment *sum_moments(const struct sum *s, size_t intervals)
{
    struct tb_overview_moment *m = tb_alloc((intervals + 1) * sizeof *m);
    memcpy(m, s->moments, intervals * sizeof *m);
    for (size_t i = 0; i < intervals; i++)
        m[i].p95_ns = tb_distribution_quantile_ns(&s->intervals[i], 0.95);
    return m;
}

struct making {
    struct tb_overview *v;
    const struct tb_overview_query *query;
    struct tb_history_walk *walk;
    size_t window_from; /* the first interval of it */
    struct sum service, selected, route;
    bool is_selected;            /* the route at hand */
    struct tb_increase increase; /* scratch */
};

static void add_increase(struct sum *s, size_t interval, uint16_t status, const struct tb_increase *i)
{
    s->moments[interval].requests += tb_increase_count(i);
    if (status / 100 == 5)
        s->moments[interval].server_errors += tb_increase_count(i);
    tb_distribution_add_increase(&s->intervals[interval], i);
}

/* One series into its route, its service and, when selected, into the whole. */
static void add_series(struct making *m, const struct tb_snap_series *e, struct tb_overview_route *route)
{
    count_status(&route->total, e->key.status, e->count);
    tb_distribution_add_values(&m->service.total, &e->total, e->key.bound_set);
    if (m->is_selected)
        tb_distribution_add_values(&m->selected.total, &e->total, e->key.bound_set);
    for (size_t k = 0; k < m->v->interval_count; k++) {
        if (!tb_history_increase(m->walk, k, e, &m->increase))
            continue;
        add_increase(&m->service, k, e->key.status, &m->increase);
        if (m->is_selected)
            add_increase(&m->selected, k, e->key.status, &m->increase);
        if (k < m->window_from)
            continue;
        count_status(&route->window, e->key.status, tb_increase_count(&m->increase));
        tb_distribution_add_increase(&m->route.window, &m->increase);
    }
}

static void push_route(struct tb_overview *v, const struct tb_overview_route *route)
{
    v->routes = tb_grow(v->routes, v->route_count, &v->route_space, sizeof *v->routes);
    v->routes[v->route_count++] = *route;
}

static void finish_route(struct making *m, struct tb_overview_service *service, struct tb_overview_route *route)
{
    set_quantiles(&route->window, &m->route.window);
    tb_distribution_add(&m->service.window, &m->route.window);
    add_counts(&service->total, &route->total);
    add_counts(&service->window, &route->window);
    service->routes++;
    if (m->is_selected) {
        tb_distribution_add(&m->selected.window, &m->route.window);
        add_counts(&m->v->total, &route->total);
        add_counts(&m->v->window, &route->window);
        push_route(m->v, route);
    }
    memset(&m->route.window, 0, sizeof m->route.window);
}

static bool is_of(const struct tb_snap_series *e, enum tb_family family)
{
    return e->key.family == family && e->key.role == TB_ROLE_SERVER && e->is_served;
}

/* From series number @i on; returns the number of the first one that is of another service. */
static size_t add_service(struct making *m, size_t i, struct tb_overview_service *service)
{
    const struct tb_snapshot *s = m->v->snapshot;
    while (i < s->series_count && s->series[i]->key.family <= TB_FAMILY_REQUESTS) {
        if (!is_of(s->series[i], TB_FAMILY_REQUESTS)) {
            i++;
            continue;
        }
        struct tb_overview_route route = {.like = s->series[i], .first = i};
        if (route.like->service != service->service)
            break;
        m->is_selected = is_selected(m->query, route.like);
        for (; i < s->series_count && s->series[i]->key.family == TB_FAMILY_REQUESTS &&
               s->series[i]->key.role == route.like->key.role && compare_names(s->series[i], route.like) == 0;
             i++)
            add_series(m, s->series[i], &route);
        route.count = i - route.first;
        finish_route(m, service, &route);
    }
    return i;
}

static void add_services(struct making *m)
{
    struct tb_overview *v = m->v;
    const struct tb_snapshot *s = v->snapshot;
    size_t at = 0;
    v->services = tb_alloc((s->service_count + 1) * sizeof *v->services);
    v->service_count = s->service_count;
    for (size_t i = 0; i < s->service_count; i++) {
        struct tb_overview_service *service = &v->services[i];
        service->service = s->services[i];
        sum_clear(&m->service, v->interval_count);
        at = add_service(m, at, service);
        set_quantiles(&service->total, &m->service.total);
        set_quantiles(&service->window, &m->service.window);
        if (i < TB_OVERVIEW_LIMIT_MAX)
            service->moments = sum_moments(&m->service, v->interval_count);
    }
    set_quantiles(&v->total, &m->selected.total);
    set_quantiles(&v->window, &m->selected.window);
    v->moments = sum_moments(&m->selected, v->interval_count);
}

/* --- aborted requests: they have no status, so they are series of their own, in the same order
 * ---------------------------
 */

static uint64_t increase_of_window(struct making *m, const struct tb_snap_series *e)
{
    uint64_t count = 0;
    for (size_t k = m->window_from; k < m->v->interval_count; k++)
        if (tb_history_increase(m->walk, k, e, &m->increase))
            count += tb_increase_count(&m->increase);
    return count;
}

static void add_aborted(struct making *m)
{
    struct tb_overview *v = m->v;
    size_t service = 0, route = 0, answered = v->route_count; /* these are sorted by name, as yet */
    for (size_t i = 0; i < v->snapshot->series_count; i++) {
        const struct tb_snap_series *e = v->snapshot->series[i];
        if (!is_of(e, TB_FAMILY_ABORTED))
            continue;
        struct tb_overview_stats total = {.aborted = e->count}, window = {.aborted = increase_of_window(m, e)};
        while (v->services[service].service != e->service)
            service++;
        add_counts(&v->services[service].total, &total);
        add_counts(&v->services[service].window, &window);
        if (!is_selected(m->query, e))
            continue;
        add_counts(&v->total, &total);
        add_counts(&v->window, &window);
        while (route < answered && compare_names(v->routes[route].like, e) < 0)
            route++;
        struct tb_overview_route *last = v->route_count ? &v->routes[v->route_count - 1] : NULL;
        struct tb_overview_route *to = route < answered ? &v->routes[route] : last;
        if (!to || compare_names(to->like, e) != 0)
            to = last;
        if (!to || compare_names(to->like, e) != 0) {
            struct tb_overview_route only = {.like = e};
            set_quantiles(&only.window, &m->route.window); /* nothing */
            push_route(v, &only);
            v->services[service].routes++;
            to = &v->routes[v->route_count - 1];
        }
        add_counts(&to->total, &total);
        add_counts(&to->window, &window);
    }
}

/* --- what is shown ---------------------------------------------------------------------------------------------------
 */

static void find_top(const struct tb_overview *v, enum tb_overview_sort by, const struct tb_overview_route **ret)
{
    for (size_t i = 0; i < v->route_count; i++) {
        const struct tb_overview_route *r = &v->routes[i];
        unsigned at = TB_OVERVIEW_TOP;
        if (!(sort_value(r, by) > 0))
            continue;
        while (at > 0 && (!ret[at - 1] || compare_routes(r, ret[at - 1], &by) < 0))
            at--;
        for (unsigned k = TB_OVERVIEW_TOP - 1; k > at; k--)
            ret[k] = ret[k - 1];
        if (at < TB_OVERVIEW_TOP)
            ret[at] = r;
    }
}

static int compare_first(const void *left, const void *right)
{
    const struct tb_overview_route *const *a = left, *const *b = right;
    return (*a)->first < (*b)->first ? -1 : (*a)->first > (*b)->first;
}

/* The last five minutes and the quantiles of all time of the routes that are listed: in the snapshot's order. */
static void add_details(struct making *m)
{
    struct tb_overview *v = m->v;
    struct tb_overview_route **order = tb_alloc((v->listed + 1) * sizeof(struct tb_overview_route *));
    for (size_t i = 0; i < v->listed; i++)
        order[i] = &v->routes[i];
    if (v->listed)
        qsort(order, v->listed, sizeof *order, compare_first);
    for (size_t i = 0; i < v->listed; i++) {
        struct tb_overview_route *r = order[i];
        sum_clear(&m->route, v->interval_count);
        for (size_t n = r->first; n < r->first + r->count; n++) {
            const struct tb_snap_series *e = v->snapshot->series[n];
            tb_distribution_add_values(&m->route.total, &e->total, e->key.bound_set);
            for (size_t k = 0; k < v->interval_count; k++)
                if (tb_history_increase(m->walk, k, e, &m->increase))
                    add_increase(&m->route, k, e->key.status, &m->increase);
        }
        set_quantiles(&r->total, &m->route.total);
        r->moments = sum_moments(&m->route, v->interval_count);
    }
    free(order);
}

static void make_heat(struct tb_overview_heat *heat, const struct sum *s, size_t intervals)
{
    unsigned from = TB_GRID_BUCKETS, to = 0;
    for (size_t k = 0; k < intervals; k++) {
        for (unsigned b = 0; b < TB_GRID_BUCKETS; b++) {
            from = s->intervals[k].counts[b] && b < from ? b : from;
            to = s->intervals[k].counts[b] && b > to ? b : to;
        }
    }
    if (from > to)
        return;
    heat->buckets_per_row = 2; /* a factor of 1.19; wider when there would be too many */
    while ((to / heat->buckets_per_row) - (from / heat->buckets_per_row) >= TB_OVERVIEW_ROWS_MAX)
        heat->buckets_per_row *= 2;
    heat->first_bucket = from / heat->buckets_per_row * heat->buckets_per_row;
    heat->rows = (to - heat->first_bucket) / heat->buckets_per_row + 1;
    heat->counts = tb_alloc(intervals * heat->rows * sizeof *heat->counts);
    for (size_t k = 0; k < intervals; k++) {
        for (unsigned b = from; b <= to; b++) {
            unsigned row = (b - heat->first_bucket) / heat->buckets_per_row;
            heat->counts[k * heat->rows + row] += s->intervals[k].counts[b];
        }
    }
}

/* --- the whole -------------------------------------------------------------------------------------------------------
 */

static void find_window(struct making *m)
{
    struct tb_overview *v = m->v;
    uint64_t start = v->now_ns, end;
    v->interval_count = tb_history_intervals(m->walk);
    v->ends = tb_alloc((v->interval_count + 1) * sizeof *v->ends);
    m->window_from = tb_history_window(m->walk, v->now_ns, &v->window_seconds);
    for (size_t k = 0; k < v->interval_count; k++) {
        tb_history_interval(m->walk, k, &start, &end);
        v->ends[k] = start < v->now_ns ? (double)(v->now_ns - start) / 1e9 : 0;
    }
}

struct tb_overview *tb_overview_make(const struct tb_snapshot *s, const struct tb_history *h,
                                     const struct tb_overview_query *query, uint64_t now_ns)
{
    struct tb_overview *v = tb_alloc(sizeof *v);
    struct making m = {.v = v, .query = query};
    enum tb_overview_sort sort = query->sort;
    v->snapshot = s;
    v->now_ns = now_ns;
    m.walk = tb_history_walk_begin(h, s, now_ns);
    find_window(&m);
    m.service = sum_new(v->interval_count);
    m.selected = sum_new(v->interval_count);
    m.route = sum_new(v->interval_count);
    add_services(&m);
    add_aborted(&m);
    tb_history_walk_end(m.walk);
    if (v->route_count)
        qsort_r(v->routes, v->route_count, sizeof *v->routes, compare_routes, &sort);
    v->listed = v->route_count < query->limit ? v->route_count : query->limit;
    find_top(v, TB_OVERVIEW_SORT_P95, v->slowest);
    find_top(v, TB_OVERVIEW_SORT_ERRORS, v->failing);
    m.walk = tb_history_walk_begin(h, s, now_ns);
    add_details(&m);
    tb_history_walk_end(m.walk);
    make_heat(&v->heat, &m.selected, v->interval_count);
    sum_free(&m.service);
    sum_free(&m.selected);
    sum_free(&m.route);
    return v;
}

void tb_overview_free(struct tb_overview *v)
{
    if (!v)
        return;
    for (size_t i = 0; i < v->service_count; i++)
        free(v->services[i].moments);
    for (size_t i = 0; i < v->listed; i++)
        free(v->routes[i].moments);
    free(v->services);
    free(v->routes);
    free(v->moments);
    free(v->heat.counts);
    free(v->ends);
    free(v);
}
