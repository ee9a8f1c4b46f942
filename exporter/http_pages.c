/* SPDX-License-Identifier: Apache-2.0 */
/* The pages of the exporter (http_pages.h). A scrape is collected inside its page's call, and rendered as it is sent.
 */
#include "http_pages.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "boot.h"
#include "http_look.h"

#define TIMEOUT_HEADER "X-Prometheus-Scrape-Timeout-Seconds"
#define TIMEOUT_MAX_S 3600.0

struct tb_pages {
    struct tb_pages_options options;
    char *telemetry_path;
    struct tb_http_page *table;
    size_t last_bytes; /* that the last scrape held: what the next will hold, as far as can be told */
};

/* --- a scrape --------------------------------------------------------------------------------------------------------
 */

/*
 * When an answer must be under way, so that it is there before the client gives up: a tenth before that, or a quarter
 * of a second. UINT64_MAX when it did not say so in a way that makes sense.
 */
static uint64_t deadline_of(const struct tb_http_request *r, uint64_t now_ns)
{
    const char *text = tb_http_header(r, TIMEOUT_HEADER);
    char *end = NULL;
    double seconds = text ? strtod(text, &end) : 0;
    if (!text || end == text || *end || !(seconds > 0) || seconds > TIMEOUT_MAX_S)
        return UINT64_MAX;
    return now_ns + (uint64_t)((seconds - (seconds < 2.5 ? seconds / 10 : 0.25)) * 1e9);
}

static void answer_busy(struct tb_http_request *r, const char *text)
{
    static const char *const later[] = {MHD_HTTP_HEADER_RETRY_AFTER, "1", NULL};
    tb_http_answer_text(r, MHD_HTTP_SERVICE_UNAVAILABLE, text, later);
}

static size_t read_response(void *arg, char *to, size_t space)
{
    return tb_response_read(arg, to, space);
}

static void end_response(void *arg)
{
    tb_response_free(arg);
}

static void respond(struct tb_pages *p, struct tb_http_request *r, struct tb_accepted accepted, struct tb_exposition *x)
{
    enum tb_coding coding = tb_accept_coding(tb_http_header(r, MHD_HTTP_HEADER_ACCEPT_ENCODING));
    const char *const headers[] = {MHD_HTTP_HEADER_VARY, "Accept, Accept-Encoding",
                                   coding ? MHD_HTTP_HEADER_CONTENT_ENCODING : NULL, tb_coding_name(coding), NULL};
    struct tb_response_options options = {accepted.media->encoding, coding, p->options.has_created_samples,
                                          p->options.totals};
    char *type = tb_accepted_type(accepted);
    struct tb_response *response = tb_response_new(x, &options);
    struct tb_buffer whole;
    bool is_whole = tb_response_whole(response, &whole);
    p->last_bytes = is_whole ? whole.len : tb_response_size(response);
    tb_guard_scrape(r->guard, r->client, p->last_bytes);
    if (is_whole) {
        tb_response_free(response);
        tb_http_answer_buffer(r, MHD_HTTP_OK, type, &whole, headers);
    } else {
        tb_http_answer_stream(r, MHD_HTTP_OK, type, read_response, end_response, response, headers);
    }
    free(type);
}

static void answer(struct tb_pages *p, struct tb_http_request *r, struct tb_accepted accepted,
                   const struct tb_scrape_ask *ask)
{
    struct tb_exposition x = {.has_pairs = accepted.media->encoding->has_pairs, .escaping = accepted.escaping};
    int error = p->options.scrape(p->options.arg, ask, &x);
    if (!error && tb_clock_ns(CLOCK_MONOTONIC) > ask->deadline_ns)
        error = -ETIME;
    if (error)
        tb_exposition_free(&x);
    if (error == -ETIME) {
        r->guard->refused[TB_REFUSED_TOO_LATE]++;
        answer_busy(r, "not ready in the time that " TIMEOUT_HEADER " allows\n");
    } else if (error) {
        tb_http_answer_text(r, MHD_HTTP_INTERNAL_SERVER_ERROR,
                            "the regions could not be read; see the exporter's log\n", NULL);
    } else {
        tb_guard_hurry(r->client, ask->deadline_ns);
        respond(p, r, accepted, &x);
    }
}

/* False: more is asked for than can be looked for. */
static bool read_filter(const struct tb_http_request *r, struct tb_filter *ret)
{
    ret->wants_family = NULL;
    return tb_http_arguments(r, "name[]", ret->names, TB_FILTER_MAX, &ret->name_count) &&
           tb_http_arguments(r, "service[]", ret->services, TB_FILTER_MAX, &ret->service_count);
}

static void scrape(struct tb_http_request *r)
{
    struct tb_pages *p = r->arg;
    struct tb_accepted accepted = tb_accept(tb_http_header(r, MHD_HTTP_HEADER_ACCEPT));
    struct tb_filter filter;
    struct tb_scrape_ask ask = {accepted.media->encoding, &filter, deadline_of(r, tb_clock_ns(CLOCK_MONOTONIC))};
    if (!read_filter(r, &filter))
        tb_http_answer_text(r, MHD_HTTP_BAD_REQUEST, "more than 64 of name[] or of service[]\n", NULL);
    else if (tb_guard_scrape_admit(r->guard, p->last_bytes))
        answer(p, r, accepted, &ask);
    else
        answer_busy(r, "too many scrapes at once\n");
    p->options.scraped(p->options.arg, r->code);
}

/* --- the others ------------------------------------------------------------------------------------------------------
 */

int tb_pages_look(const struct tb_http_request *r, struct tb_look *ret)
{
    const struct tb_pages *p = r->arg;
    int error = p->options.look(p->options.arg, ret);
    ret->telemetry_path = p->telemetry_path;
    return error;
}

static void healthy(struct tb_http_request *r)
{
    tb_http_answer_text(r, MHD_HTTP_OK, "Tickbird exporter is healthy.\n", NULL);
}

static void ready(struct tb_http_request *r)
{
    const struct tb_pages *p = r->arg;
    if (p->options.is_ready(p->options.arg))
        tb_http_answer_text(r, MHD_HTTP_OK, "Tickbird exporter is ready.\n", NULL);
    else
        tb_http_answer_text(r, MHD_HTTP_SERVICE_UNAVAILABLE, "Tickbird exporter is not ready.\n", NULL);
}

static void reload(struct tb_http_request *r)
{
    const struct tb_pages *p = r->arg;
    if (!p->options.reload)
        tb_http_answer_text(r, MHD_HTTP_FORBIDDEN, "switched off: start with --web.enable-lifecycle\n", NULL);
    else if (p->options.reload(p->options.arg))
        tb_http_answer_text(r, MHD_HTTP_OK, "The configuration is read again.\n", NULL);
    else
        tb_http_answer_text(r, MHD_HTTP_INTERNAL_SERVER_ERROR, "not all of it: see the exporter's log\n", NULL);
}

/* --- the table -------------------------------------------------------------------------------------------------------
 */

static const struct tb_http_page pages[] = {
    {NULL /* the telemetry path */, TB_HTTP_READ, scrape},
    {"/-/healthy", TB_HTTP_READ, healthy},
    {"/-/ready", TB_HTTP_READ, ready},
    {"/-/reload", TB_HTTP_WRITE, reload},
};
#define PAGES (sizeof pages / sizeof *pages)

struct tb_pages *tb_pages_new(const struct tb_pages_options *options, struct tb_http_options *ret)
{
    struct tb_pages *p = tb_alloc(sizeof *p);
    size_t more_count;
    p->options = *options;
    p->telemetry_path = tb_strndup(options->telemetry_path, strlen(options->telemetry_path));
    p->options.telemetry_path = p->telemetry_path;
    const struct tb_http_page *more = tb_look_pages(&more_count);
    p->table = tb_alloc((PAGES + more_count) * sizeof *p->table);
    memcpy(p->table, pages, sizeof pages);
    memcpy(p->table + PAGES, more, more_count * sizeof *more);
    for (size_t i = 0; i < PAGES; i++)
        if (!p->table[i].path)
            p->table[i].path = p->telemetry_path;
    ret->pages = p->table;
    ret->page_count = PAGES + more_count;
    ret->arg = p;
    return p;
}

void tb_pages_free(struct tb_pages *p)
{
    if (!p)
        return;
    free(p->telemetry_path);
    free(p->table);
    free(p);
}
