/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the exporter serves where: one table (http_pages.c). A new page is a function and a row there; what it needs
 * from the exporter is a callback here.
 */
#ifndef TB_HTTP_PAGES_H
#define TB_HTTP_PAGES_H

#include "api.h"
#include "http.h"
#include "response.h"

/* What a client asks of a scrape. Borrowed for the call. */
struct tb_scrape_ask {
    const struct tb_encoding *encoding;
    const struct tb_filter *filter;
    uint64_t deadline_ns; /* CLOCK_MONOTONIC: of no use to the client later; UINT64_MAX = it did not say */
};

struct tb_pages_options {
    const char *telemetry_path; /* begins with '/', and is no other page's */
    /*
     * Fills the empty @ret with what is to be encoded. Returns 0; -ETIME when it cannot be there in time (503); another
     * -errno (500).
     */
    int (*scrape)(void *arg, const struct tb_scrape_ask *ask, struct tb_exposition *ret);
    /* Told after each scrape with the status that it got. */
    void (*scraped)(void *arg, unsigned code);
    bool (*is_ready)(void *arg);
    bool (*reload)(void *arg);         /* false: it failed. NULL = it is switched off */
    struct tb_response_totals *totals; /* borrowed: grows by every scrape's bytes */
    bool has_created_samples;          /* OpenMetrics 1.0 */
    /* What there is to be seen now, for the page and the API. Returns 0 or -errno. */
    int (*look)(void *arg, struct tb_look *ret);
    void *arg;
};

/* tb_pages_new - the pages, for tb_http_options: pages, page_count and arg. @options is copied, its strings too. */
struct tb_pages *tb_pages_new(const struct tb_pages_options *options, struct tb_http_options *ret);
void tb_pages_free(struct tb_pages *p);

/* tb_pages_look - for the pages of http_look.c: what there is to be seen now. Returns 0 or -errno. */
int tb_pages_look(const struct tb_http_request *r, struct tb_look *ret);

#endif
