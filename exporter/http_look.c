/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page, the API and the built-in files over HTTP: arguments in, headers out; what they say is made by page.c and
 * api.c. An answer counts as a scrape in the guard, as it costs as much.
 */
#include "http_look.h"

#include <stdlib.h>

#include "page.h"

#define JSON_TYPE "application/json"
#define ANSWER_BYTES ((size_t)256 << 10) /* of an ordinary one */

static const char policy[] = TB_PAGE_POLICY;
static const char *const look_headers[] = {
    "Content-Security-Policy", policy, "Cache-Control", "no-store", "Referrer-Policy", "no-referrer", NULL};
static const char *const asset_headers[] = {
    "Content-Security-Policy", policy, "Cache-Control", "no-cache", "Referrer-Policy", "no-referrer", NULL};

static void refuse(struct tb_http_request *r, const char *why)
{
    struct tb_buffer out = {0};
    tb_api_error(why, &out);
    tb_http_answer_buffer(r, MHD_HTTP_BAD_REQUEST, JSON_TYPE, &out, look_headers);
}

/* --- what is asked ---------------------------------------------------------------------------------------------------
 */

/* *ret stays as it is when there is none. False when it is given twice. */
static bool argument(const struct tb_http_request *r, const char *name, const char **ret)
{
    const char *value = NULL;
    size_t count = 0;
    if (!tb_http_arguments(r, name, &value, 1, &count))
        return false;
    if (count)
        *ret = value ? value : "";
    return true;
}

static bool parse_limit(const char *text, size_t *ret)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || n > TB_OVERVIEW_LIMIT_MAX)
        return false;
    *ret = n;
    return true;
}

/* Returns NULL, or what is wrong with the query. */
static const char *read_query(const struct tb_http_request *r, struct tb_overview_query *ret)
{
    const char *sort = "", *limit = "";
    *ret = (struct tb_overview_query){.sort = TB_OVERVIEW_SORT_RATE, .limit = TB_OVERVIEW_LIMIT};
    if (!argument(r, "service", &ret->service) || !argument(r, "method", &ret->method) ||
        !argument(r, "route", &ret->route) || !argument(r, "host", &ret->host) ||
        !argument(r, "search", &ret->search) || !argument(r, "sort", &sort) || !argument(r, "limit", &limit))
        return "an argument is given twice";
    if (*sort)
        ret->sort = tb_overview_sort_find(sort);
    if (ret->sort == TB_OVERVIEW_SORT_COUNT)
        return "sort: not one of the orders in docs/api.md";
    if (*limit && !parse_limit(limit, &ret->limit))
        return "limit: not a number from 0 to 1000";
    return NULL;
}

/* --- answers ---------------------------------------------------------------------------------------------------------
 */

static void look_at(struct tb_http_request *r, const char *type,
                    void (*render)(const struct tb_look *look, const struct tb_overview_query *query,
                                   struct tb_buffer *out))
{
    static const char *const later[] = {MHD_HTTP_HEADER_RETRY_AFTER, "1", NULL};
    struct tb_overview_query query;
    struct tb_look look;
    struct tb_buffer out = {0};
    const char *wrong = read_query(r, &query);
    if (wrong) {
        refuse(r, wrong);
    } else if (!tb_guard_scrape_admit(r->guard, ANSWER_BYTES)) {
        tb_http_answer_text(r, MHD_HTTP_SERVICE_UNAVAILABLE, "too many answers at once\n", later);
    } else if (tb_pages_look(r, &look) < 0) {
        tb_http_answer_text(r, MHD_HTTP_INTERNAL_SERVER_ERROR,
                            "the regions could not be read; see the exporter's log\n", NULL);
    } else {
        render(&look, &query, &out);
        tb_guard_scrape(r->guard, r->client, out.len);
        tb_http_answer_buffer(r, MHD_HTTP_OK, type, &out, look_headers);
    }
}

static void answer_page(struct tb_http_request *r)
{
    look_at(r, "text/html; charset=utf-8", tb_page_render);
}

static void answer_api(struct tb_http_request *r)
{
    const struct tb_api_page *page = tb_api_pages;
    while (strcmp(page->path, r->path) != 0) /* the table of addresses is made of this one */
        page++;
    look_at(r, JSON_TYPE, page->render);
}

static void answer_asset(struct tb_http_request *r)
{
    const struct tb_asset *a = tb_assets;
    while (strcmp(a->path, r->path) != 0)
        a++;
    tb_http_answer_static(r, MHD_HTTP_OK, a->type, a->data, (size_t)(a->end - a->data), asset_headers);
}

const struct tb_http_page *tb_look_pages(size_t *ret_count)
{
    static struct tb_http_page pages[32];
    size_t count = 0;
    pages[count++] = (struct tb_http_page){"/", TB_HTTP_READ, answer_page};
    for (const struct tb_api_page *a = tb_api_pages; a->path; a++)
        pages[count++] = (struct tb_http_page){a->path, TB_HTTP_READ, answer_api};
    for (const struct tb_asset *a = tb_assets; a->path && count < sizeof pages / sizeof *pages; a++)
        pages[count++] = (struct tb_http_page){a->path, TB_HTTP_READ, answer_asset};
    *ret_count = count;
    return pages;
}
