/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tickbird top`: the busiest routes of the last interval, again and again. Each row is a difference of two
 * snapshots of the same process, so totals that restart never show as negative rates.
 */
#include "output.h"
#include "view.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/methods.h"
#include "exporter/buffer.h"

#define ROWS_DEFAULT 20ul
#define ROWS_MAX 10000ul
#define SECONDS_MAX 3600ul
#define FRAMES_MAX 1000000ul

/* What a series has counted: in all, or in the last interval. Entries of the snapshot stay where they are. */
struct tally {
    const struct tb_snap_series *series;
    uint64_t count, sum_ns, timed;
};

struct request {
    struct tb_view view;
    unsigned long rows, seconds, frames; /* frames 0 = until interrupted */
};

static bool is_shown(const struct tb_view *view, const struct tb_snap_series *s)
{
    return s->key.role == TB_ROLE_SERVER && s->key.family == TB_FAMILY_REQUESTS && tb_view_wants(view, s->service);
}

static int by_address(const void *a, const void *b)
{
    const struct tally *x = a, *y = b;
    return ((uintptr_t)x->series > (uintptr_t)y->series) - ((uintptr_t)x->series < (uintptr_t)y->series);
}

static int busiest(const void *a, const void *b)
{
    const struct tally *x = a, *y = b;
    return (x->count < y->count) - (x->count > y->count);
}

/* Everything counted so far, sorted by address; the caller frees it. */
static struct tally *remember(const struct tb_snapshot *s)
{
    struct tally *past = tb_alloc((s->series_count + 1) * sizeof(*past));
    for (size_t i = 0; i < s->series_count; i++)
        past[i] = (struct tally){s->series[i], s->series[i]->count, s->series[i]->total.sum_ns,
                                 tb_values_timed(&s->series[i]->total)};
    qsort(past, s->series_count, sizeof(*past), by_address);
    return past;
}

static struct tally *compare(const struct tb_view *view, const struct tally *past, size_t past_count, size_t *ret_count)
{
    const struct tb_snapshot *s = view->snapshot;
    struct tally *rates = tb_alloc((s->series_count + 1) * sizeof(*rates));
    size_t count = 0;
    for (size_t i = 0; i < s->series_count; i++) {
        const struct tb_snap_series *now = s->series[i];
        struct tally key = {.series = now}, none = {0};
        const struct tally *then = bsearch(&key, past, past_count, sizeof(*past), by_address);
        if (!then || now->count < then->count) /* new, or restarted at 0 */
            then = &none;
        if (is_shown(view, now) && now->count > then->count)
            rates[count++] = (struct tally){now, now->count - then->count, now->total.sum_ns - then->sum_ns,
                                            tb_values_timed(&now->total) - then->timed};
    }
    qsort(rates, count, sizeof(*rates), busiest);
    *ret_count = count;
    return rates;
}

static void print_services(const struct tb_view *view, const struct tally *rates, size_t count, double seconds)
{
    struct tb_table table = {.columns = 6,
                             .headings = {"SERVICE", ">PROCESSES", ">REQUESTS/S", ">5XX/S", ">IN FLIGHT", ">OLDEST"}};
    char oldest[TB_TEXT_SMALL];
    for (size_t i = 0; i < view->snapshot->service_count; i++) {
        const struct tb_snap_service *s = view->snapshot->services[i];
        uint64_t all = 0, errors = 0;
        if (!s->processes || !tb_view_wants(view, s))
            continue;
        for (size_t k = 0; k < count; k++) {
            bool is_own = rates[k].series->service == s;
            all += is_own ? rates[k].count : 0;
            errors += is_own && rates[k].series->key.status >= 500 ? rates[k].count : 0;
        }
        tb_table_cell(&table, "%s", s->name);
        tb_table_cell(&table, "%u", s->processes);
        tb_table_cell(&table, "%.1f", (double)all / seconds);
        tb_table_cell(&table, "%.1f", (double)errors / seconds);
        tb_table_cell(&table, "%llu", (unsigned long long)s->in_flight);
        tb_table_cell(&table, "%s", tb_text_duration(oldest, s->oldest_ns));
    }
    if (!table.count)
        puts("No program records here: see `tickbird status`.");
    tb_table_print(&table);
}

static void print_rates(const struct tally *rates, size_t count, double seconds)
{
    struct tb_table table = {.columns = 6,
                             .headings = {">REQUESTS/S", ">MEAN", "SERVICE", "METHOD", ">STATUS", "ROUTE"}};
    char mean[TB_TEXT_SMALL];
    for (size_t i = 0; i < count; i++) {
        const struct tb_snap_key *key = &rates[i].series->key;
        tb_table_cell(&table, "%.1f", (double)rates[i].count / seconds);
        tb_table_cell(&table, "%s", tb_text_duration(mean, rates[i].timed ? rates[i].sum_ns / rates[i].timed : 0));
        tb_table_cell(&table, "%s", rates[i].series->service->name);
        tb_table_cell(&table, "%s", tb_method_name(key->method));
        tb_table_cell(&table, "%u", key->status);
        tb_table_cell(&table, "%s", key->route);
    }
    if (table.count)
        putchar('\n');
    tb_table_print(&table);
}

static uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int frame(struct request *request, bool is_screen)
{
    size_t past_count = request->view.snapshot->series_count, count;
    struct tally *past = remember(request->view.snapshot);
    uint64_t before = monotonic_ns();
    poll(NULL, 0, (int)(request->seconds * 1000));
    int result = tb_view_refresh(&request->view);
    double seconds = (double)(monotonic_ns() - before) / 1e9;
    if (result == 0) {
        struct tally *rates = compare(&request->view, past, past_count, &count);
        if (is_screen)
            fputs("\033[H\033[J", stdout); /* cursor home, clear below */
        print_services(&request->view, rates, count, seconds);
        print_rates(rates, count < request->rows ? count : request->rows, seconds);
        if (fflush(stdout) != 0)
            result = -1;
        free(rates);
    }
    free(past);
    return result;
}

static int parse(int argc, char **argv, struct request *request)
{
    static const struct option options[] = {{"interval", required_argument, NULL, 'i'},
                                            {"frames", required_argument, NULL, 'n'},
                                            {"top", required_argument, NULL, 't'},
                                            TB_VIEW_OPTIONS,
                                            {0}};
    int got;
    while ((got = tb_cli_option(argc, argv, "h", options)) != TB_OPTION_END) {
        int result = 0;
        if (got == TB_OPTION_HELP) {
            fputs(tb_verb_top.usage, stdout);
            return TB_EXIT_OK;
        }
        if (got == 'i')
            result = tb_cli_number("--interval", optarg, 1, SECONDS_MAX, &request->seconds);
        else if (got == 'n')
            result = tb_cli_number("--frames", optarg, 1, FRAMES_MAX, &request->frames);
        else if (got == 't')
            result = tb_cli_number("--top", optarg, 1, ROWS_MAX, &request->rows);
        else if (got == TB_OPTION_BAD || !tb_view_option(&request->view, got, optarg))
            result = -1;
        if (result != 0)
            return TB_EXIT_USAGE;
    }
    return tb_cli_operands(argc, argv) != 0 ? TB_EXIT_USAGE : -1;
}

static int run(int argc, char **argv)
{
    struct request request = {.rows = ROWS_DEFAULT, .seconds = 1};
    int code = parse(argc, argv, &request);
    if (code >= 0)
        return code;
    bool is_screen = isatty(STDOUT_FILENO) == 1;
    int result = tb_view_open(&request.view);
    for (unsigned long i = 0; result == 0 && (!request.frames || i < request.frames); i++) {
        if (i && !is_screen)
            putchar('\n');
        result = frame(&request, is_screen);
    }
    tb_view_close(&request.view);
    return result == 0 ? TB_EXIT_OK : TB_EXIT_FAILED;
}

const struct tb_verb tb_verb_top = {"top", "the busiest routes, live",
                                    "Usage: tickbird top [OPTIONS]\n"
                                    "Shows each second what the programs that record do: requests and server errors a "
                                    "second, requests in flight, and the\n"
                                    "busiest routes with their mean durations. Ends with Ctrl-C.\n"
                                    "\n"
                                    "  --interval N         seconds between two views (1)\n"
                                    "  --frames N           end after N views\n"
                                    "  --top N              rows of routes (20)\n" TB_VIEW_HELP,
                                    run};
