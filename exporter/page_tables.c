/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of the page: services, what they call, routes with the form that chooses among them, what is not
 * observable. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dependencies.h"
#include "health.h"
#include "html.h"
#include "page_parts.h"

/* --- cells -----------------------------------------------------------------------------------------------------------
 */

static void cell_open(struct tb_buffer *b, const char *more_classes)
{
    tb_puts(b, "<td class=\"n");
    tb_puts(b, more_classes);
    tb_puts(b, "\">");
}

static void cell_duration(struct tb_buffer *b, double ns)
{
    cell_open(b, "");
    tb_html_duration(b, ns);
    tb_puts(b, "</td>");
}

static void cell_count(struct tb_buffer *b, uint64_t n)
{
    cell_open(b, n ? "" : " faint");
    tb_html_count(b, n);
    tb_puts(b, "</td>");
}

static void cell_rate(struct tb_buffer *b, double per_second)
{
    cell_open(b, "");
    tb_html_rate(b, per_second);
    tb_puts(b, "</td>");
}

static void cell_errors(struct tb_buffer *b, double ratio)
{
    cell_open(b, tb_page_error_class(ratio));
    tb_html_percent(b, ratio);
    tb_puts(b, "</td>");
}

static void cell_spark(struct tb_buffer *b, const struct tb_page *p, const struct tb_overview_moment *m,
                       enum tb_spark of)
{
    tb_puts(b, "<td class=\"wide\">");
    tb_html_spark(b, p->v, m, of);
    tb_puts(b, "</td>");
}

/* --- services -----------------------------------------------------------------------------------------------------
 */

static void put_state(struct tb_buffer *b, const struct tb_snap_service *e)
{
    if (e->is_off)
        tb_puts(b, "<td class=\"warn\">switched off</td>");
    else if (!e->processes)
        tb_puts(b, "<td class=\"faint\">no process</td>");
    else if (e->unobservable)
        tb_puts(b, "<td class=\"warn\">recording in part</td>");
    else
        tb_puts(b, "<td class=\"good\">recording</td>");
}

void tb_page_services(struct tb_buffer *b, const struct tb_page *p)
{
    for (size_t i = 0; i < p->v->service_count; i++) {
        const struct tb_overview_service *s = &p->v->services[i];
        const struct tb_snap_service *e = s->service;
        tb_puts(b, "<tr><th scope=\"row\" class=\"name\">");
        tb_page_service_link(b, p, e->name);
        tb_puts(b, "</th>");
        cell_spark(b, p, s->moments, TB_SPARK_REQUESTS);
        cell_rate(b, tb_page_rate(p, s->window.requests));
        cell_errors(b, tb_page_error_ratio(p, &s->window));
        cell_duration(b, s->window.p50_ns);
        cell_duration(b, s->window.p95_ns);
        cell_duration(b, s->window.p99_ns);
        cell_count(b, e->in_flight);
        cell_duration(b, e->oldest_ns ? (double)e->oldest_ns : NAN);
        cell_count(b, s->total.aborted);
        cell_count(b, s->total.requests);
        cell_count(b, e->processes);
        put_state(b, e);
        tb_puts(b, "</tr>");
    }
}

/* --- what services call -------------------------------------------------------------------------------------------
 */

static void dependency_row(struct tb_buffer *b, const struct tb_page *p, const struct tb_dependency *d, double seconds)
{
    const char *state = tb_dependency_state(d);
    const bool has_window = seconds > 0;
    tb_puts(b, "<tr><td class=\"service\">");
    tb_page_service_link(b, p, d->service->name);
    tb_puts(b, "</td><th scope=\"row\" class=\"name\"><bdi>");
    tb_html_text(b, d->target);
    tb_puts(b, "</bdi></th>");
    cell_rate(b, has_window ? (double)d->window.calls / seconds : NAN);
    cell_errors(b, has_window && d->window.calls ? (double)d->window.failed / (double)d->window.calls : NAN);
    cell_duration(b, has_window ? d->window.p95_ns : NAN);
    cell_count(b, tb_dependency_failed(d));
    cell_count(b, tb_dependency_calls(d));
    tb_puts(b, strcmp(state, "up") == 0     ? "<td class=\"good\">"
               : strcmp(state, "down") == 0 ? "<td class=\"bad\">"
                                            : "<td class=\"faint\">");
    tb_puts(b, state);
    tb_puts(b, "</td></tr>");
}

void tb_page_dependencies(struct tb_buffer *b, const struct tb_page *p)
{
    struct tb_dependency *list;
    size_t count = tb_dependencies(p->look->snapshot, &list), shown = 0;
    double seconds = tb_dependencies_window(list, count, p->look->snapshot, p->look->history, p->look->now_ns);
    for (size_t i = 0; i < count; i++) {
        if (tb_page_is_given(p->query->service) && strcmp(p->query->service, list[i].service->name) != 0)
            continue;
        dependency_row(b, p, &list[i], seconds);
        shown++;
    }
    if (!shown)
        tb_puts(b, "<tr><td colspan=\"8\" class=\"quiet\">No call of another server was seen.</td></tr>");
    free(list);
}

/* --- routes -------------------------------------------------------------------------------------------------------
 */

/* A hidden field for what the form does not show, so that it is kept. */
static void put_hidden(struct tb_buffer *b, const char *name, const char *value)
{
    if (!tb_page_is_given(value))
        return;
    tb_puts(b, "<input type=\"hidden\" name=\"");
    tb_puts(b, name);
    tb_puts(b, "\" value=\"");
    tb_html_text(b, value);
    tb_puts(b, "\">");
}

static void put_option(struct tb_buffer *b, const char *value, const char *label, bool is_chosen)
{
    tb_puts(b, "<option value=\"");
    tb_html_text(b, value);
    tb_puts(b, is_chosen ? "\" selected>" : "\">");
    tb_html_text(b, label);
    tb_puts(b, "</option>");
}

void tb_page_form(struct tb_buffer *b, const struct tb_page *p)
{
    static const size_t limits[] = {10, TB_OVERVIEW_LIMIT, 200, 1000};
    const struct tb_overview_query *q = p->query;
    tb_puts(b, "<form id=\"form\" method=\"get\" action=\"?\" role=\"search\">");
    put_hidden(b, "method", q->method);
    put_hidden(b, "route", q->route);
    put_hidden(b, "host", q->host);
    tb_puts(b, "<label class=\"grow\">Search<input type=\"search\" name=\"search\" autocomplete=\"off\" "
               "placeholder=\"part of a route, method or service\" value=\"");
    tb_html_text(b, tb_page_is_given(q->search) ? q->search : "");
    tb_puts(b, "\"></label><label>Service<select name=\"service\" id=\"service\">");
    put_option(b, "", "all", !tb_page_is_given(q->service));
    for (size_t i = 0; i < p->v->service_count; i++) {
        const char *name = p->v->services[i].service->name;
        put_option(b, name, name, tb_page_is_given(q->service) && strcmp(name, q->service) == 0);
    }
    tb_puts(b, "</select></label><label>Order<select name=\"sort\">");
    for (unsigned i = 0; i < TB_OVERVIEW_SORT_COUNT; i++)
        put_option(b, tb_overview_sort_name((enum tb_overview_sort)i), tb_overview_sort_label((enum tb_overview_sort)i),
                   q->sort == i);
    tb_puts(b, "</select></label><label>At most<select name=\"limit\">");
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        char text[24];
        snprintf(text, sizeof text, "%zu", limits[i]);
        put_option(b, text, text, q->limit == limits[i]);
    }
    tb_puts(b, "</select></label><button type=\"submit\">Show</button></form>");
}

static void put_heading(struct tb_buffer *b, const struct tb_page *p, const char *text, enum tb_overview_sort sort,
                        const char *class)
{
    bool is_sorted = p->query->sort == sort;
    tb_puts(b, "<th scope=\"col\" class=\"");
    tb_puts(b, class);
    tb_puts(b, !is_sorted                      ? "\">"
               : sort == TB_OVERVIEW_SORT_NAME ? "\" aria-sort=\"ascending\">"
                                               : "\" aria-sort=\"descending\">");
    struct tb_overview_query q = *p->query;
    q.sort = sort;
    tb_page_link(b, &q);
    tb_puts(b, text);
    tb_puts(b, "</a></th>");
}

void tb_page_routes_head(struct tb_buffer *b, const struct tb_page *p)
{
    tb_puts(b, "<thead id=\"routes-head\"><tr><th scope=\"col\">Service</th>");
    put_heading(b, p, "Route", TB_OVERVIEW_SORT_NAME, "name");
    tb_puts(
        b,
        "<th scope=\"col\" class=\"wide\"><span class=\"hidden\">Requests per second, last five minutes</span></th>");
    put_heading(b, p, "Requests/s", TB_OVERVIEW_SORT_RATE, "n");
    put_heading(b, p, "Errors", TB_OVERVIEW_SORT_ERROR_RATIO, "n");
    put_heading(b, p, "p50", TB_OVERVIEW_SORT_P50, "n");
    put_heading(b, p, "p95", TB_OVERVIEW_SORT_P95, "n");
    put_heading(b, p, "p99", TB_OVERVIEW_SORT_P99, "n");
    tb_puts(b, "<th scope=\"col\" class=\"wide\">p95, 5 min</th><th scope=\"col\" class=\"n\">Aborted</th>"
               "<th scope=\"col\" class=\"n\">5xx</th>");
    put_heading(b, p, "Requests", TB_OVERVIEW_SORT_REQUESTS, "n");
    tb_puts(b, "</tr></thead>");
}

void tb_page_routes(struct tb_buffer *b, const struct tb_page *p)
{
    for (size_t i = 0; i < p->v->listed; i++) {
        const struct tb_overview_route *r = &p->v->routes[i];
        tb_puts(b, "<tr><td class=\"service\">");
        tb_page_service_link(b, p, r->like->service->name);
        tb_puts(b, "</td><th scope=\"row\" class=\"name\">");
        tb_page_route_link(b, p, r);
        tb_puts(b, "</th>");
        cell_spark(b, p, r->moments, TB_SPARK_REQUESTS);
        cell_rate(b, tb_page_rate(p, r->window.requests));
        cell_errors(b, tb_page_error_ratio(p, &r->window));
        cell_duration(b, r->window.p50_ns);
        cell_duration(b, r->window.p95_ns);
        cell_duration(b, r->window.p99_ns);
        cell_spark(b, p, r->moments, TB_SPARK_P95);
        cell_count(b, r->total.aborted);
        cell_count(b, r->total.server_errors);
        cell_count(b, r->total.requests);
        tb_puts(b, "</tr>");
    }
    if (!p->v->listed)
        tb_puts(b, "<tr><td colspan=\"12\" class=\"quiet\">No route matches.</td></tr>");
}

void tb_page_unobservable(struct tb_buffer *b, const struct tb_page *p)
{
    struct tb_health_unobservable *list;
    size_t count = tb_health_unobservable(p->look->snapshot, &list);
    for (size_t i = 0; i < count; i++) {
        tb_puts(b, "<tr><th scope=\"row\" class=\"name\"><bdi>");
        tb_html_text(b, list[i].service);
        tb_puts(b, "</bdi></th><td>");
        tb_html_text(b, list[i].reason);
        tb_puts(b, "</td><td class=\"name\">");
        tb_html_text(b, list[i].help);
        tb_puts(b, "</td></tr>");
    }
    if (!count)
        tb_puts(b,
                "<tr><td colspan=\"3\" class=\"quiet\">Everything that listens here, as far as this user may look, is "
                "observed.</td></tr>");
    free(list);
}
