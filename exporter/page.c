/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page: page.html with its parts filled in from a view. Every name that comes from outside goes through
 * tb_html_text or tb_html_argument. A link changes one thing of the query and keeps the rest, so that the page can be
 * used without JavaScript.
 */
#include "page.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "agent/methods.h"
#include "health.h"
#include "html.h"
#include "page_parts.h"

/* --- addresses -------------------------------------------------------------------------------------------------------
 */

bool tb_page_is_given(const char *text)
{
    return text && *text;
}

static void put_argument(struct tb_buffer *b, const char *name, const char *value)
{
    if (!tb_page_is_given(value))
        return;
    tb_puts(b, b->data[b->len - 1] == '?' ? "" : "&amp;");
    tb_puts(b, name);
    tb_puts(b, "=");
    tb_html_argument(b, value);
}

void tb_page_link(struct tb_buffer *b, const struct tb_overview_query *q)
{
    char limit[24] = "";
    if (q->limit != TB_OVERVIEW_LIMIT)
        snprintf(limit, sizeof limit, "%zu", q->limit);
    tb_puts(b, "<a href=\"?");
    put_argument(b, "service", q->service);
    put_argument(b, "method", q->method);
    put_argument(b, "route", q->route);
    put_argument(b, "host", q->host);
    put_argument(b, "search", q->search);
    put_argument(b, "sort", q->sort == TB_OVERVIEW_SORT_RATE ? "" : tb_overview_sort_name(q->sort));
    put_argument(b, "limit", limit);
    tb_puts(b, "\">");
}

void tb_page_service_link(struct tb_buffer *b, const struct tb_page *p, const char *service)
{
    struct tb_overview_query q = {.service = service, .sort = p->query->sort, .limit = p->query->limit};
    tb_page_link(b, &q);
    tb_puts(b, "<bdi>");
    tb_html_text(b, service);
    tb_puts(b, "</bdi></a>");
}

void tb_page_route_link(struct tb_buffer *b, const struct tb_page *p, const struct tb_overview_route *r)
{
    const struct tb_snap_series *e = r->like;
    struct tb_overview_query q = {.service = e->service->name,
                                  .method = tb_method_name(e->key.method),
                                  .route = e->key.route,
                                  .host = e->key.target,
                                  .sort = p->query->sort,
                                  .limit = p->query->limit};
    tb_page_link(b, &q);
    tb_puts(b, "<span class=\"method\">");
    tb_html_text(b, q.method);
    tb_puts(b, "</span> <bdi>");
    tb_html_text(b, e->key.target);
    tb_html_text(b, e->key.route);
    tb_puts(b, "</bdi></a>");
}

/* --- figures of a view -----------------------------------------------------------------------------------------------
 */

double tb_page_rate(const struct tb_page *p, uint64_t count)
{
    return p->v->window_seconds > 0 ? (double)count / p->v->window_seconds : NAN;
}

double tb_page_error_ratio(const struct tb_page *p, const struct tb_overview_stats *w)
{
    return p->v->window_seconds > 0 && w->requests ? (double)w->server_errors / (double)w->requests : NAN;
}

const char *tb_page_error_class(double ratio)
{
    return ratio >= 0.01 ? " bad" : ratio > 0 ? " warn" : "";
}

/* --- parts -----------------------------------------------------------------------------------------------------------
 */

static void put_title(struct tb_buffer *b, const struct tb_page *p)
{
    if (tb_page_is_given(p->query->service)) {
        tb_html_text(b, p->query->service);
        tb_puts(b, " \xc2\xb7 ");
    }
    tb_puts(b, "Tickbird");
}

/* Where one is: all, a service, a route. */
static void put_where(struct tb_buffer *b, const struct tb_page *p)
{
    const struct tb_overview_query *q = p->query;
    struct tb_overview_query all = {.sort = q->sort, .limit = q->limit};
    bool is_all = !tb_page_is_given(q->service) && !tb_page_is_given(q->route);
    tb_puts(b, "<nav aria-label=\"Shown\">");
    if (!is_all) {
        tb_page_link(b, &all);
        tb_puts(b, "All services</a>");
    }
    if (tb_page_is_given(q->service)) {
        tb_puts(b, " \xe2\x80\xba ");
        tb_page_service_link(b, p, q->service);
    }
    if (tb_page_is_given(q->route)) {
        tb_puts(b, " \xe2\x80\xba <bdi>");
        tb_html_text(b, tb_page_is_given(q->method) ? q->method : "");
        tb_puts(b, " ");
        tb_html_text(b, q->route);
        tb_puts(b, "</bdi>");
    }
    tb_puts(b, "</nav>");
}

static void put_asof(struct tb_buffer *b, const struct tb_page *p)
{
    time_t seconds = (time_t)(p->look->snapshot->now_ns / 1000000000);
    struct tm utc;
    char text[40];
    gmtime_r(&seconds, &utc);
    tb_put(b, text, strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &utc));
}

static void put_window(struct tb_buffer *b, const struct tb_page *p)
{
    char text[64];
    if (p->v->window_seconds > 0)
        snprintf(text, sizeof text, "mean of the last %.0f seconds", p->v->window_seconds);
    else
        snprintf(text, sizeof text, "rates are known in some seconds");
    tb_puts(b, text);
}

/* @class of a notice; what there is so often; what it means. */
static void put_notice(struct tb_buffer *b, const char *class, const char *what, uint64_t count, const char *more)
{
    if (!count)
        return;
    tb_puts(b, "<p class=\"notice ");
    tb_puts(b, class);
    tb_puts(b, "\"><strong>");
    tb_puts(b, what);
    tb_puts(b, ": ");
    tb_html_count(b, count);
    tb_puts(b, ".</strong> ");
    tb_puts(b, more);
    tb_puts(b, "</p>");
}

static void put_notices(struct tb_buffer *b, const struct tb_page *p)
{
    struct tb_health_regions h = tb_health_count_regions(p->look->snapshot);
    uint64_t unreadable = 0, off = 0;
    for (unsigned i = TB_READABLE + 1; i < TB_UNREADABLE_COUNT; i++)
        unreadable += h.unreadable[i];
    for (size_t i = 0; i < p->v->service_count; i++)
        off += p->v->services[i].service->is_off;
    tb_puts(b, "<div id=\"notices\">");
    put_notice(b, "bad", "Region directories switched off", h.directories_off,
               "Nothing that records there is counted; <code>tickbird on</code> ends it.");
    put_notice(b, "warn", "Services switched off", off,
               "What they serve is not counted; <code>tickbird on SERVICE</code> ends it.");
    put_notice(b, "warn", "Regions or directories that cannot be read", unreadable,
               "What they count is missing here; <code>tickbird status</code> says which and why.");
    put_notice(b, "warn", "Series without a history", tb_history_left_out(p->look->history),
               "There are too many; their totals are right, their rates are missing.");
    tb_puts(b, "</div>");
}

static void put_empty(struct tb_buffer *b, const struct tb_page *p)
{
    tb_puts(b,
            p->v->service_count ? "<div class=\"empty\" id=\"empty\" hidden>" : "<div class=\"empty\" id=\"empty\">");
    tb_puts(b, "<h2>Nothing is recorded yet</h2><p>Start a server under Tickbird; it appears here with its first "
               "request:</p><pre>tickbird run --service shop -- nginx -g 'daemon off;'</pre><p>If one runs already "
               "and is not here, this says why:</p><pre>tickbird status\ntickbird doctor PID</pre></div>");
}

static void tile_open(struct tb_buffer *b, const char *id, const char *name, const char *class)
{
    tb_puts(b, "<div><dt>");
    tb_puts(b, name);
    tb_puts(b, "</dt><dd id=\"");
    tb_puts(b, id);
    tb_puts(b, "\" class=\"");
    tb_puts(b, class);
    tb_puts(b, "\">");
}

static void tile_close(struct tb_buffer *b)
{
    tb_puts(b, "</dd></div>");
}

static void tile_duration(struct tb_buffer *b, const char *id, const char *name, double ns)
{
    tile_open(b, id, name, "");
    tb_html_duration(b, ns);
    tile_close(b);
}

static void put_tiles(struct tb_buffer *b, const struct tb_page *p)
{
    const struct tb_overview_stats *w = &p->v->window;
    double ratio = tb_page_error_ratio(p, w);
    uint64_t in_flight = 0;
    for (size_t i = 0; i < p->v->service_count; i++)
        if (!tb_page_is_given(p->query->service) || strcmp(p->query->service, p->v->services[i].service->name) == 0)
            in_flight += p->v->services[i].service->in_flight;
    tile_open(b, "tile-rate", "Requests/s", "");
    tb_html_rate(b, tb_page_rate(p, w->requests));
    tile_close(b);
    tile_open(b, "tile-errors", "Server errors", tb_page_error_class(ratio));
    tb_html_percent(b, ratio);
    tile_close(b);
    tile_duration(b, "tile-p50", "p50", w->p50_ns);
    tile_duration(b, "tile-p95", "p95", w->p95_ns);
    tile_duration(b, "tile-p99", "p99", w->p99_ns);
    tile_open(b, "tile-in-flight", "In flight", "");
    tb_html_count(b, in_flight);
    tile_close(b);
    tile_open(b, "tile-aborted", "Aborted/s", "");
    tb_html_rate(b, tb_page_rate(p, w->aborted));
    tile_close(b);
    tb_puts(b, "<div class=\"wide\"><dt>Last five minutes</dt><dd id=\"tile-spark\">");
    tb_html_spark(b, p->v, p->v->moments, TB_SPARK_REQUESTS);
    tile_close(b);
}

static void put_heat(struct tb_buffer *b, const struct tb_page *p)
{
    tb_html_heat(b, p->v);
}

static void put_top_open(struct tb_buffer *b, const struct tb_page *p, const struct tb_overview_route *r)
{
    tb_puts(b, "<li><span class=\"name\">");
    tb_page_route_link(b, p, r);
    tb_puts(b, " <small><bdi>");
    tb_html_text(b, r->like->service->name);
    tb_puts(b, "</bdi></small></span><b>");
}

static void put_slowest(struct tb_buffer *b, const struct tb_page *p)
{
    for (size_t i = 0; i < TB_OVERVIEW_TOP && p->v->slowest[i]; i++) {
        put_top_open(b, p, p->v->slowest[i]);
        tb_html_duration(b, p->v->slowest[i]->window.p95_ns);
        tb_puts(b, "</b></li>");
    }
    if (!p->v->slowest[0])
        tb_puts(b, "<li class=\"quiet\">No requests in this time.</li>");
}

static void put_failing(struct tb_buffer *b, const struct tb_page *p)
{
    for (size_t i = 0; i < TB_OVERVIEW_TOP && p->v->failing[i]; i++) {
        const struct tb_overview_stats *w = &p->v->failing[i]->window;
        put_top_open(b, p, p->v->failing[i]);
        tb_html_rate(b, tb_page_rate(p, w->server_errors));
        tb_puts(b, "/s <small>");
        tb_html_percent(b, tb_page_error_ratio(p, w));
        tb_puts(b, "</small></b></li>");
    }
    if (!p->v->failing[0])
        tb_puts(b, "<li class=\"quiet\">No server error in this time.</li>");
}

static void put_shown(struct tb_buffer *b, const struct tb_page *p)
{
    tb_html_count(b, p->v->listed);
    tb_puts(b, " of ");
    tb_html_count(b, p->v->route_count);
}

/* `<li><a href="...">...</a></li>`; relative, so that it works behind a proxy that adds a prefix too. */
static void put_item(struct tb_buffer *b, const char *path, const char *name, size_t len)
{
    tb_puts(b, "<li><a href=\"");
    tb_html_text(b, path + 1);
    tb_puts(b, "\">");
    tb_put(b, name, len);
    tb_puts(b, "</a></li>");
}

static void put_links(struct tb_buffer *b, const struct tb_page *p)
{
    static const char metrics[] = "metrics", docs[] = "/-/docs/", api[] = "/api/v1/";
    tb_puts(b, "<ul><li>For Prometheus:</li>");
    put_item(b, p->look->telemetry_path, metrics, sizeof metrics - 1);
    tb_puts(b, "<li>(text, OpenMetrics 1.0 and 2.0, protobuf, as <code>Accept</code> asks)</li>");
    put_item(b, "/-/healthy", "health", 6);
    put_item(b, "/-/ready", "readiness", 9);
    tb_puts(b, "</ul><ul><li>JSON:</li>");
    for (const struct tb_api_page *a = tb_api_pages; a->path; a++)
        put_item(b, a->path, a->path + sizeof api - 1, strlen(a->path + sizeof api - 1));
    tb_puts(b, "</ul><ul><li>Documents:</li>");
    for (const struct tb_asset *a = tb_assets; a->path; a++)
        if (strncmp(a->path, docs, sizeof docs - 1) == 0)
            put_item(b, a->path, a->path + sizeof docs - 1, strcspn(a->path + sizeof docs - 1, "."));
    tb_puts(b, "</ul><p>Tickbird " TB_VERSION "</p>");
}

/* --- the whole -------------------------------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    void (*put)(struct tb_buffer *b, const struct tb_page *p);
} parts[] = {
    {"title", put_title},
    {"where", put_where},
    {"asof", put_asof},
    {"window", put_window},
    {"notices", put_notices},
    {"empty", put_empty},
    {"tiles", put_tiles},
    {"heat", put_heat},
    {"slowest", put_slowest},
    {"failing", put_failing},
    {"services", tb_page_services},
    {"dependencies", tb_page_dependencies},
    {"shown", put_shown},
    {"form", tb_page_form},
    {"routes", tb_page_routes},
    {"routes_head", tb_page_routes_head},
    {"links", put_links},
    {"unobservable", tb_page_unobservable},
};

static void put_part(struct tb_buffer *b, const struct tb_page *p, const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strlen(parts[i].name) == len && memcmp(parts[i].name, name, len) == 0)
            parts[i].put(b, p);
}

void tb_page_render(const struct tb_look *look, const struct tb_overview_query *query, struct tb_buffer *out)
{
    static const char open[] = "<!--#", close[] = "-->";
    struct tb_overview *v = tb_overview_make(look->snapshot, look->history, query, look->now_ns);
    struct tb_page p = {look, query, v};
    size_t len;
    const char *at = tb_asset_template(&len);
    for (const char *part; (part = strstr(at, open));) { /* it ends with a NUL */
        const char *name = part + sizeof open - 1, *end = strstr(name, close);
        if (!end)
            break;
        tb_put(out, at, (size_t)(part - at));
        put_part(out, &p, name, (size_t)(end - name));
        at = end + sizeof close - 1;
    }
    tb_puts(out, at);
    tb_overview_free(v);
}
