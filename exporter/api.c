/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON interface. Each address is one object, made of parts that other addresses use too, so that a thing looks the
 * same wherever it is shown; /api/v1/overview holds all that the page needs, of one collection. Jansson builds and
 * writes it.
 */
#include "api.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "agent/methods.h"
#include "dependencies.h"
#include "health.h"
#include "self.h"

#define PRECISION 9 /* digits of a number with a fraction */

/* --- values ----------------------------------------------------------------------------------------------------------
 */

static json_t *number(uint64_t n)
{
    return json_integer((json_int_t)(n > INT64_MAX ? INT64_MAX : n));
}

/* null when unknown. */
static json_t *real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *seconds(double ns)
{
    return real(ns / 1e9);
}

static json_t *per_second(uint64_t count, double over_seconds)
{
    return over_seconds > 0 ? json_real((double)count / over_seconds) : json_null();
}

/* Names are valid UTF-8 already (snapshot.h); whatever is not shall not end the answer. */
static json_t *text(const char *value)
{
    json_t *string = json_string(value);
    return string ? string : json_string("\xef\xbf\xbd");
}

static void write_json(json_t *json, struct tb_buffer *out)
{
    char *bytes = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(PRECISION));
    json_decref(json);
    if (!bytes)
        abort(); /* nothing that is put in can fail to be written */
    tb_puts(out, bytes);
    tb_puts(out, "\n");
    free(bytes);
}

void tb_api_error(const char *message, struct tb_buffer *out)
{
    json_t *o = json_object();
    json_object_set_new(o, "error", text(message));
    write_json(o, out);
}

/* --- parts -----------------------------------------------------------------------------------------------------------
 */

static json_t *stats(const struct tb_overview_stats *s)
{
    json_t *o = json_object();
    json_object_set_new(o, "requests", number(s->requests));
    json_object_set_new(o, "client_errors", number(s->client_errors));
    json_object_set_new(o, "server_errors", number(s->server_errors));
    json_object_set_new(o, "aborted", number(s->aborted));
    json_object_set_new(o, "p50_seconds", seconds(s->p50_ns));
    json_object_set_new(o, "p95_seconds", seconds(s->p95_ns));
    json_object_set_new(o, "p99_seconds", seconds(s->p99_ns));
    return o;
}

/* null while there is no window. */
static json_t *window(const struct tb_overview *v, const struct tb_overview_stats *s)
{
    if (!(v->window_seconds > 0))
        return json_null();
    json_t *o = stats(s);
    json_object_set_new(o, "requests_per_second", per_second(s->requests, v->window_seconds));
    json_object_set_new(o, "server_errors_per_second", per_second(s->server_errors, v->window_seconds));
    json_object_set_new(o, "error_ratio",
                        s->requests ? json_real((double)s->server_errors / (double)s->requests) : json_null());
    return o;
}

static json_t *moments(const struct tb_overview *v, const struct tb_overview_moment *m)
{
    if (!m)
        return json_null();
    json_t *o = json_object(), *requests = json_array(), *errors = json_array(), *p95 = json_array();
    for (size_t i = 0; i < v->interval_count; i++) {
        json_array_append_new(requests, number(m[i].requests));
        json_array_append_new(errors, number(m[i].server_errors));
        json_array_append_new(p95, seconds(m[i].p95_ns));
    }
    json_object_set_new(o, "requests", requests);
    json_object_set_new(o, "server_errors", errors);
    json_object_set_new(o, "p95_seconds", p95);
    return o;
}

/* What a view covers: the window and the intervals' ends. */
static void put_time(json_t *o, const struct tb_overview *v)
{
    json_t *ends = json_array();
    for (size_t i = 0; v->interval_count && i <= v->interval_count; i++)
        json_array_append_new(ends, json_real(v->ends[i]));
    json_object_set_new(o, "time_seconds", number(v->snapshot->now_ns / 1000000000));
    json_object_set_new(o, "window_seconds", v->window_seconds > 0 ? json_real(v->window_seconds) : json_null());
    json_object_set_new(o, "interval_ends_seconds_ago", ends);
}

static json_t *unobservable_reasons(const struct tb_snap_service *e)
{
    json_t *a = json_array();
    for (unsigned bit = 0; bit < 64; bit++)
        if (e->unobservable >> bit & 1)
            json_array_append_new(a, text(tb_unobservable_name(bit)));
    return a;
}

static json_t *versions(const struct tb_snap_service *e)
{
    json_t *a = json_array();
    for (size_t i = 0; i < sizeof e->agent_versions / sizeof *e->agent_versions && e->agent_versions[i][0]; i++) {
        char *clean = tb_label_clean(e->agent_versions[i], strlen(e->agent_versions[i]));
        json_array_append_new(a, text(clean));
        free(clean);
    }
    return a;
}

static json_t *service(const struct tb_overview *v, const struct tb_overview_service *s)
{
    const struct tb_snap_service *e = s->service;
    json_t *o = json_object();
    json_object_set_new(o, "service", text(e->name));
    json_object_set_new(o, "created_seconds", number(e->created_ns / 1000000000));
    json_object_set_new(o, "processes", number(e->processes));
    json_object_set_new(o, "regions", number(e->regions));
    json_object_set_new(o, "routes", number(s->routes));
    json_object_set_new(o, "in_flight", number(e->in_flight));
    json_object_set_new(o, "oldest_in_flight_seconds", seconds((double)e->oldest_ns));
    json_object_set_new(o, "switched_off", json_boolean(e->is_off));
    json_object_set_new(o, "unobservable", unobservable_reasons(e));
    json_object_set_new(o, "agent_versions", versions(e));
    json_object_set_new(o, "total", stats(&s->total));
    json_object_set_new(o, "window", window(v, &s->window));
    json_object_set_new(o, "history", moments(v, s->moments));
    return o;
}

static json_t *services(const struct tb_overview *v)
{
    json_t *a = json_array();
    for (size_t i = 0; i < v->service_count; i++)
        json_array_append_new(a, service(v, &v->services[i]));
    return a;
}

static json_t *route_name(const struct tb_overview_route *r)
{
    json_t *o = json_object();
    json_object_set_new(o, "service", text(r->like->service->name));
    json_object_set_new(o, "method", text(tb_method_name(r->like->key.method)));
    json_object_set_new(o, "route", text(r->like->key.route));
    if (*r->like->key.target)
        json_object_set_new(o, "host", text(r->like->key.target));
    return o;
}

static json_t *routes(const struct tb_overview *v)
{
    json_t *a = json_array();
    for (size_t i = 0; i < v->listed; i++) {
        json_t *o = route_name(&v->routes[i]);
        json_object_set_new(o, "total", stats(&v->routes[i].total));
        json_object_set_new(o, "window", window(v, &v->routes[i].window));
        json_object_set_new(o, "history", moments(v, v->routes[i].moments));
        json_array_append_new(a, o);
    }
    return a;
}

static json_t *top(const struct tb_overview *v, const struct tb_overview_route *const *list)
{
    json_t *a = json_array();
    for (size_t i = 0; i < TB_OVERVIEW_TOP && list[i]; i++) {
        json_t *o = route_name(list[i]);
        json_object_set_new(o, "window", window(v, &list[i]->window));
        json_array_append_new(a, o);
    }
    return a;
}

static json_t *heatmap(const struct tb_overview *v)
{
    const struct tb_overview_heat *h = &v->heat;
    json_t *o = json_object(), *bounds = json_array(), *counts = json_array();
    for (unsigned row = 0; h->rows && row <= h->rows; row++) {
        unsigned bucket = h->first_bucket + row * h->buckets_per_row;
        bool is_end = bucket >= TB_GRID_BUCKETS;
        json_array_append_new(bounds, bucket == 0 ? json_real(0)
                                      : is_end    ? json_null()
                                                  : seconds((double)tb_grid_upper_ns(bucket - 1)));
    }
    for (size_t i = 0; i < v->interval_count; i++) {
        json_t *column = json_array();
        for (unsigned row = 0; row < h->rows; row++)
            json_array_append_new(column, number(h->counts[i * h->rows + row]));
        json_array_append_new(counts, column);
    }
    json_object_set_new(o, "bounds_seconds", bounds);
    json_object_set_new(o, "counts", counts);
    return o;
}

static json_t *unobservable(const struct tb_snapshot *s)
{
    struct tb_health_unobservable *list;
    size_t count = tb_health_unobservable(s, &list);
    json_t *a = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *o = json_object();
        json_object_set_new(o, "service", text(list[i].service));
        json_object_set_new(o, "reason", text(list[i].reason));
        json_object_set_new(o, "help", text(list[i].help));
        json_array_append_new(a, o);
    }
    free(list);
    return a;
}

static json_t *status(const struct tb_look *look)
{
    struct tb_health_regions h = tb_health_count_regions(look->snapshot);
    json_t *o = json_object(), *regions = json_object(), *unreadable = json_object();
    for (unsigned i = 0; i < TB_REGIONS_STATES; i++)
        json_object_set_new(regions, tb_region_health_name((enum tb_region_health)i), number(h.by_state[i]));
    for (unsigned i = TB_READABLE + 1; i < TB_UNREADABLE_COUNT; i++)
        json_object_set_new(unreadable, tb_unreadable_name((enum tb_unreadable)i), number(h.unreadable[i]));
    json_object_set_new(o, "version", text(TB_VERSION));
    json_object_set_new(o, "revision", text(TB_REVISION));
    json_object_set_new(o, "started_seconds", number(look->started_ns / 1000000000));
    json_object_set_new(o, "time_seconds", number(look->snapshot->now_ns / 1000000000));
    json_object_set_new(o, "telemetry_path", text(look->telemetry_path));
    json_object_set_new(o, "ledger", text(look->ledger));
    json_object_set_new(o, "services", number(look->snapshot->service_count));
    json_object_set_new(o, "series", number(look->snapshot->series_count));
    json_object_set_new(o, "skipped_series", number(h.skipped_series));
    json_object_set_new(o, "regions", regions);
    json_object_set_new(o, "unreadable_regions", unreadable);
    json_object_set_new(o, "switched_off_directories", number(h.directories_off));
    json_object_set_new(o, "history_bytes", number(tb_history_bytes(look->history)));
    json_object_set_new(o, "series_without_history", number(tb_history_left_out(look->history)));
    return o;
}

/* null while there is no window. */
static json_t *dependency_window(const struct tb_dependency *d, double over_seconds)
{
    if (!(over_seconds > 0))
        return json_null();
    json_t *o = json_object();
    json_object_set_new(o, "calls", number(d->window.calls));
    json_object_set_new(o, "failed", number(d->window.failed));
    json_object_set_new(o, "calls_per_second", per_second(d->window.calls, over_seconds));
    json_object_set_new(o, "error_ratio",
                        d->window.calls ? json_real((double)d->window.failed / (double)d->window.calls) : json_null());
    json_object_set_new(o, "p95_seconds", seconds(d->window.p95_ns));
    return o;
}

static json_t *dependency(const struct tb_dependency *d, double over_seconds)
{
    json_t *o = json_object(), *unanswered = json_object();
    for (unsigned why = TB_CALL_REFUSED; why <= TB_CALL_PROTOCOL; why++) {
        const struct tb_snap_key key = {.family = TB_FAMILY_CALL_ERRORS, .status = (uint16_t)why};
        if (d->unanswered[why])
            json_object_set_new(unanswered, tb_reason_name(&key), number(d->unanswered[why]));
    }
    bool is_known = d->answered_ns || d->failed_ns;
    json_object_set_new(o, "service", text(d->service->name));
    json_object_set_new(o, "target", text(d->target));
    json_object_set_new(o, "up",
                        is_known ? json_boolean(tb_dependency_is_up(d->answered_ns, d->failed_ns)) : json_null());
    json_object_set_new(o, "last_success_seconds",
                        d->answered_ns ? json_real((double)d->answered_ns / 1e9) : json_null());
    json_object_set_new(o, "answered", number(d->answered));
    json_object_set_new(o, "server_errors", number(d->server_errors));
    json_object_set_new(o, "unanswered", number(tb_dependency_unanswered(d)));
    json_object_set_new(o, "unanswered_by_reason", unanswered);
    json_object_set_new(o, "mean_seconds", d->timed ? seconds((double)d->sum_ns / (double)d->timed) : json_null());
    json_object_set_new(o, "p95_seconds", seconds(d->p95_ns));
    json_object_set_new(o, "window", dependency_window(d, over_seconds));
    return o;
}

static json_t *dependencies(const struct tb_look *look, const struct tb_overview_query *query)
{
    struct tb_dependency *list;
    size_t count = tb_dependencies(look->snapshot, &list);
    double over_seconds = tb_dependencies_window(list, count, look->snapshot, look->history, look->now_ns);
    json_t *a = json_array();
    for (size_t i = 0; i < count; i++)
        if (!query->service || !*query->service || strcmp(query->service, list[i].service->name) == 0)
            json_array_append_new(a, dependency(&list[i], over_seconds));
    free(list);
    return a;
}

/* --- addresses -------------------------------------------------------------------------------------------------------
 */

static struct tb_overview *make_view(const struct tb_look *look, const struct tb_overview_query *query)
{
    return tb_overview_make(look->snapshot, look->history, query, look->now_ns);
}

static void put_routes(json_t *o, const struct tb_overview *v, const struct tb_overview_query *query)
{
    json_object_set_new(o, "sort", text(tb_overview_sort_name(query->sort)));
    json_object_set_new(o, "matching", number(v->route_count));
    json_object_set_new(o, "total", stats(&v->total));
    json_object_set_new(o, "window", window(v, &v->window));
    json_object_set_new(o, "history", moments(v, v->moments));
    json_object_set_new(o, "slowest", top(v, v->slowest));
    json_object_set_new(o, "failing", top(v, v->failing));
    json_object_set_new(o, "routes", routes(v));
}

static void render_status(const struct tb_look *look, const struct tb_overview_query *query, struct tb_buffer *out)
{
    (void)query;
    write_json(status(look), out);
}

static void render_services(const struct tb_look *look, const struct tb_overview_query *query, struct tb_buffer *out)
{
    struct tb_overview_query none = *query;
    none.limit = 0;
    struct tb_overview *v = make_view(look, &none);
    json_t *o = json_object();
    put_time(o, v);
    json_object_set_new(o, "services", services(v));
    tb_overview_free(v);
    write_json(o, out);
}

static void render_routes(const struct tb_look *look, const struct tb_overview_query *query, struct tb_buffer *out)
{
    struct tb_overview *v = make_view(look, query);
    json_t *o = json_object();
    put_time(o, v);
    put_routes(o, v, query);
    tb_overview_free(v);
    write_json(o, out);
}

static void render_heatmap(const struct tb_look *look, const struct tb_overview_query *query, struct tb_buffer *out)
{
    struct tb_overview_query none = *query;
    none.limit = 0;
    struct tb_overview *v = make_view(look, &none);
    json_t *o = heatmap(v);
    put_time(o, v);
    json_object_set_new(o, "matching", number(v->route_count));
    tb_overview_free(v);
    write_json(o, out);
}

static void render_unobservable(const struct tb_look *look, const struct tb_overview_query *query,
                                struct tb_buffer *out)
{
    json_t *o = json_object();
    (void)query;
    json_object_set_new(o, "unobservable", unobservable(look->snapshot));
    write_json(o, out);
}

static void render_dependencies(const struct tb_look *look, const struct tb_overview_query *query,
                                struct tb_buffer *out)
{
    json_t *o = json_object();
    json_object_set_new(o, "dependencies", dependencies(look, query));
    write_json(o, out);
}

static void render_overview(const struct tb_look *look, const struct tb_overview_query *query, struct tb_buffer *out)
{
    struct tb_overview *v = make_view(look, query);
    json_t *o = json_object();
    put_time(o, v);
    json_object_set_new(o, "status", status(look));
    json_object_set_new(o, "services", services(v));
    put_routes(o, v, query);
    json_object_set_new(o, "heatmap", heatmap(v));
    json_object_set_new(o, "unobservable", unobservable(look->snapshot));
    json_object_set_new(o, "dependencies", dependencies(look, query));
    tb_overview_free(v);
    write_json(o, out);
}

const struct tb_api_page tb_api_pages[] = {
    {"/api/v1/status", render_status},
    {"/api/v1/services", render_services},
    {"/api/v1/routes", render_routes},
    {"/api/v1/heatmap", render_heatmap},
    {"/api/v1/unobservable", render_unobservable},
    {"/api/v1/dependencies", render_dependencies},
    {"/api/v1/overview", render_overview},
    {NULL, NULL},
};
