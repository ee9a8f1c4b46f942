/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the page and the API show: a snapshot and its history, added up by service and by route (service, method, host,
 * path template; all statuses), for the time since the service's totals began and for the last minute, sorted, the
 * first few with their last five minutes. Pure: no I/O, no clock. One thread at a time.
 */
#ifndef TB_OVERVIEW_H
#define TB_OVERVIEW_H

#include "history.h"
#include "snapshot.h"

#define TB_OVERVIEW_TOP 5u          /* of the slowest, of the most failing */
#define TB_OVERVIEW_LIMIT 50u       /* routes, unless asked otherwise */
#define TB_OVERVIEW_LIMIT_MAX 1000u /* also of services with a history: an answer is bounded */
#define TB_OVERVIEW_ROWS_MAX 40u    /* of the heat map */

/* SORT(id, name, label): the orders of routes. The largest first, but for the name. */
#define TB_OVERVIEW_SORTS(SORT)                                                                                        \
    SORT(RATE, "rate", "requests per second")                                                                          \
    SORT(ERRORS, "errors", "server errors")                                                                            \
    SORT(ERROR_RATIO, "error_ratio", "share of errors")                                                                \
    SORT(P50, "p50", "p50")                                                                                            \
    SORT(P95, "p95", "p95")                                                                                            \
    SORT(P99, "p99", "p99")                                                                                            \
    SORT(REQUESTS, "requests", "requests in all")                                                                      \
    SORT(NAME, "name", "name")

enum tb_overview_sort {
#define SORT(id, name, label) TB_OVERVIEW_SORT_##id,
    TB_OVERVIEW_SORTS(SORT)
#undef SORT
        TB_OVERVIEW_SORT_COUNT
};

/* Which routes, in which order. Strings are borrowed; NULL and "" select everything. */
struct tb_overview_query {
    const char *service;
    const char *method;
    const char *route;
    const char *host;
    const char *search; /* part of service, method, host or route; case of ASCII letters does not matter */
    enum tb_overview_sort sort;
    size_t limit; /* routes that are shown and have a history */
};

/* tb_overview_sort_name, tb_overview_sort_label - of one order; NULL out of range. tb_overview_sort_find: COUNT when
 * unknown. */
const char *tb_overview_sort_name(enum tb_overview_sort sort);
const char *tb_overview_sort_label(enum tb_overview_sort sort);
enum tb_overview_sort tb_overview_sort_find(const char *name);

struct tb_overview_stats {
    uint64_t requests, client_errors /* 4xx */, server_errors /* 5xx */, aborted;
    double p50_ns, p95_ns, p99_ns; /* NAN when nothing was timed */
};

/* Of one interval of the history. */
struct tb_overview_moment {
    uint64_t requests, server_errors;
    double p95_ns;
};

struct tb_overview_service {
    const struct tb_snap_service *service;
    size_t routes;
    struct tb_overview_stats total, window;
    struct tb_overview_moment *moments; /* interval_count of them; NULL beyond TB_OVERVIEW_LIMIT_MAX services */
};

struct tb_overview_route {
    const struct tb_snap_series
        *like;                      /* names service, method, route, host (key.target); its status is of no meaning */
    size_t first, count;            /* its series of TB_FAMILY_REQUESTS in the snapshot; count may be 0 */
    struct tb_overview_stats total; /* quantiles only of those listed */
    struct tb_overview_stats window;
    struct tb_overview_moment *moments; /* of those listed, else NULL */
};

/* Requests by interval and duration. A row spans @buckets_per_row buckets of the grid, from @first_bucket. */
struct tb_overview_heat {
    unsigned first_bucket, buckets_per_row, rows; /* rows = 0: nothing was timed */
    uint64_t *counts;                             /* [interval * rows + row] */
};

struct tb_overview {
    const struct tb_snapshot *snapshot; /* borrowed */
    uint64_t now_ns;                    /* CLOCK_MONOTONIC of the collection */
    double window_seconds;              /* that `window` covers; 0 = nothing is known yet */
    size_t interval_count;
    double *ends; /* interval_count + 1: seconds before now, falling; an interval ends where the next one starts */
    struct tb_overview_service *services; /* all, by name */
    size_t service_count;
    struct tb_overview_route *routes; /* that the query selects, sorted; the first @listed are shown */
    size_t route_count, listed, route_space;
    const struct tb_overview_route *slowest[TB_OVERVIEW_TOP]; /* by p95 of the window; NULL behind the last */
    const struct tb_overview_route *failing[TB_OVERVIEW_TOP]; /* by server errors of the window */
    struct tb_overview_stats total, window;                   /* of the routes selected */
    struct tb_overview_moment *moments;                       /* of the routes selected */
    struct tb_overview_heat heat;                             /* of the routes selected */
};

/*
 * tb_overview_make - @s and @h stay as they are while the view lives.
 * @now_ns  CLOCK_MONOTONIC of the collection of @s
 * Free with tb_overview_free.
 */
struct tb_overview *tb_overview_make(const struct tb_snapshot *s, const struct tb_history *h,
                                     const struct tb_overview_query *query, uint64_t now_ns);
void tb_overview_free(struct tb_overview *v);

#endif
