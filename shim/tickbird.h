/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics of a program's own, for a program that runs under Tickbird: counters, sums, gauges and histograms that its
 * exporter serves beside what it sees itself. C99 and C++11.
 *
 *     static tickbird_metric *orders;
 *     static const tickbird_label labels[] = {{"kind", "book"}};
 *     orders = tickbird_counter("shop_orders_total", "Orders taken.", labels, 1);
 *     tickbird_counter_add(orders, 1);
 *
 * Nothing is to be linked: every function is a weak symbol, which the preloaded object defines. Without it the pointers
 * are NULL and all of this does nothing, at the cost of a test. (Code for a fixed address, -fno-pie, does not find it,
 * but gcc's for x86-64; with clang add -fno-plt.)
 *
 * All functions may be called from any thread and from signal handlers, before and after fork; none blocks, allocates,
 * or changes errno. None fails loudly: what cannot be counted is tickbird_api_refused_total{service,reason}, and a
 * metric that is NULL counts nothing. docs/c-api.md says the rest.
 */
#ifndef TICKBIRD_H
#define TICKBIRD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* TICKBIRD_DEFINES: only for the object that defines these functions. */
#ifdef TICKBIRD_DEFINES
#define TICKBIRD_API __attribute__((visibility("default")))
#elif defined(__x86_64__) && defined(__has_attribute)
#if __has_attribute(noplt)
#define TICKBIRD_API __attribute__((weak, noplt))
#endif
#endif
#ifndef TICKBIRD_API
#define TICKBIRD_API __attribute__((weak))
#endif

/* One time series: a metric with its labels. Never freed. */
typedef struct tickbird_metric tickbird_metric;

typedef struct tickbird_label {
    const char *name;  /* letters, digits and _; not le, quantile, service, nor beginning with __ */
    const char *value; /* UTF-8 of at most 100 bytes; any other is `_other` */
} tickbird_label;

/*
 * Get a series; the same pointer when it is asked for again. Ask once and keep it: this looks for it by its name, and
 * the first call of a program makes its region. Strings and labels are copied.
 *
 * name    letters, digits, _ and :, at most 100 bytes; counters and sums end in _total
 * help    at most 200 bytes; NULL: none
 * labels  `count` of them, at most 8, in any order; NULL when there are none
 */

/* Whole numbers that are added up, over all processes of the service and over restarts. */
TICKBIRD_API tickbird_metric *tickbird_counter(const char *name, const char *help, const tickbird_label *labels,
                                               size_t count);
TICKBIRD_API void tickbird_counter_add(tickbird_metric *counter, uint64_t by);

/* The same of numbers that are not whole nor negative, exact to 10^-9 and up to 1.8 * 10^10 in all: seconds, prices. */
TICKBIRD_API tickbird_metric *tickbird_sum(const char *name, const char *help, const tickbird_label *labels,
                                           size_t count);
TICKBIRD_API void tickbird_sum_add(tickbird_metric *sum, double by);

/* What each process has at the moment: shown is the sum of those that live. A process's share begins at 0 and goes with
 * it, however it ends; a child of fork has its own. */
TICKBIRD_API tickbird_metric *tickbird_gauge(const char *name, const char *help, const tickbird_label *labels,
                                             size_t count);
TICKBIRD_API void tickbird_gauge_set(tickbird_metric *gauge, double value);
TICKBIRD_API void tickbird_gauge_add(tickbird_metric *gauge, double by); /* may be negative */

/* The last value that any process set, shown as long as the service's region is there: a length that all know, when a
 * job last ended. */
TICKBIRD_API tickbird_metric *tickbird_last(const char *name, const char *help, const tickbird_label *labels,
                                            size_t count);
TICKBIRD_API void tickbird_last_set(tickbird_metric *last, double value);

/* A distribution with upper bounds of its own: at most 40, rising, from 0.000001 to 131072, or whole ones up to 2^36
 * where the last is higher; then observations are rounded to whole numbers. NULL and 0: those of durations in seconds.
 */
TICKBIRD_API tickbird_metric *tickbird_histogram(const char *name, const char *help, const tickbird_label *labels,
                                                 size_t count, const double *bounds, size_t bound_count);
TICKBIRD_API void tickbird_histogram_observe(tickbird_metric *histogram, double value);

#ifndef TICKBIRD_DEFINES
/* Calls where there is somebody to call. (As macros, so that the functions keep their names for dlsym.) */
#define tickbird_counter(...) (tickbird_counter ? tickbird_counter(__VA_ARGS__) : NULL)
#define tickbird_counter_add(...) (tickbird_counter_add ? tickbird_counter_add(__VA_ARGS__) : (void)0)
#define tickbird_sum(...) (tickbird_sum ? tickbird_sum(__VA_ARGS__) : NULL)
#define tickbird_sum_add(...) (tickbird_sum_add ? tickbird_sum_add(__VA_ARGS__) : (void)0)
#define tickbird_gauge(...) (tickbird_gauge ? tickbird_gauge(__VA_ARGS__) : NULL)
#define tickbird_gauge_set(...) (tickbird_gauge_set ? tickbird_gauge_set(__VA_ARGS__) : (void)0)
#define tickbird_gauge_add(...) (tickbird_gauge_add ? tickbird_gauge_add(__VA_ARGS__) : (void)0)
#define tickbird_last(...) (tickbird_last ? tickbird_last(__VA_ARGS__) : NULL)
#define tickbird_last_set(...) (tickbird_last_set ? tickbird_last_set(__VA_ARGS__) : (void)0)
#define tickbird_histogram(...) (tickbird_histogram ? tickbird_histogram(__VA_ARGS__) : NULL)
#define tickbird_histogram_observe(...) (tickbird_histogram_observe ? tickbird_histogram_observe(__VA_ARGS__) : (void)0)
#endif

#ifdef __cplusplus
}
#endif
#endif
