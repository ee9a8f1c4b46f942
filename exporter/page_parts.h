/* SPDX-License-Identifier: Apache-2.0 */
/* The page's inside, shared by page.c and page_tables.c only. Every function appends to a buffer. */
#ifndef TB_PAGE_PARTS_H
#define TB_PAGE_PARTS_H

#include "page.h"

struct tb_page {
    const struct tb_look *look;
    const struct tb_overview_query *query;
    const struct tb_overview *v;
};

/* `<a href="?...">` of a query; the caller closes it. */
void tb_page_link(struct tb_buffer *b, const struct tb_overview_query *q);
/* The whole link to a service, or to a route; the order and the number of routes are kept. */
void tb_page_service_link(struct tb_buffer *b, const struct tb_page *p, const char *service);
void tb_page_route_link(struct tb_buffer *b, const struct tb_page *p, const struct tb_overview_route *r);

bool tb_page_is_given(const char *text); /* neither NULL nor "" */

/* Of the window; NAN when there is none. */
double tb_page_rate(const struct tb_page *p, uint64_t count);
double tb_page_error_ratio(const struct tb_page *p, const struct tb_overview_stats *w);
/* tb_page_error_class - " bad", " warn" or "". */
const char *tb_page_error_class(double ratio);

/* Parts of page.html. */
void tb_page_services(struct tb_buffer *b, const struct tb_page *p);
void tb_page_dependencies(struct tb_buffer *b, const struct tb_page *p);
void tb_page_form(struct tb_buffer *b, const struct tb_page *p);
void tb_page_routes_head(struct tb_buffer *b, const struct tb_page *p);
void tb_page_routes(struct tb_buffer *b, const struct tb_page *p);
void tb_page_unobservable(struct tb_buffer *b, const struct tb_page *p);

#endif
